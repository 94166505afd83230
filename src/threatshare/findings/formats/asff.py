"""AWS Security Hub findings in the AWS Security Finding Format (ASFF).

Most are checks of our own configuration and yield nothing. Findings that Security Hub took over from GuardDuty carry
its fields flattened in ``ProductFields`` and are ruled on as GuardDuty's own. Of other products, the namespace of
``Types`` tells an attack (``TTPs``) from what is merely unusual. Checked on real posture findings and on published
records from GuardDuty; ``Network`` and ``Action`` of other products are written to the ASFF reference, unverified.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, BinaryIO

from threatshare.config import OwnAssets
from threatshare.errors import BadValue
from threatshare.findings.documents import Doc, inner, inners, moment, number, text, texts
from threatshare.findings.events import Event, LookUp, Proposal, connection, first_documents, json_findings
from threatshare.findings.formats import guardduty
from threatshare.findings.formats.aws_events import (
    MEMBERS,
    RESOURCE,
    Way,
    address,
    direction,
    is_event,
    is_true,
    local_ends,
    remotes,
    unwrapped,
)
from threatshare.findings.roles import ATTACKER, C2, Began, Ruling
from threatshare.model import Finding, Kind, Reject, Role

_DETAIL_TYPES = frozenset({"Security Hub Findings - Imported", "Security Hub Findings - Custom Action"})

_ATTACKS = "ttps"
"""Namespace of ``Types`` for tactics, techniques and procedures of an attacker."""
_UNUSUAL = frozenset({"effects", "unusual behaviors"})
"""Namespaces for what may be an attack's trace. All others, e.g. "Software and Configuration Checks" and "Sensitive
Data Identifications", speak of ourselves."""

_DONE = frozenset({"SUPPRESSED"})
"""``Workflow.Status``: reviewed, and nothing needs to be done."""
_CLEARED = frozenset({"FALSE_POSITIVE", "BENIGN_POSITIVE"})
"""``VerificationState``."""

_KINDS: Mapping[str, Kind] = {
    "DOMAIN": Kind.DOMAIN,
    "EMAIL_ADDRESS": Kind.EMAIL,
    "HASH_MD5": Kind.MD5,
    "HASH_SHA1": Kind.SHA1,
    "HASH_SHA256": Kind.SHA256,
    "HASH_SHA512": Kind.SHA512,
    "IPV4_ADDRESS": Kind.IPV4,
    "IPV6_ADDRESS": Kind.IPV6,
    "URL": Kind.URL,
}
"""``ThreatIntelIndicators[].Type`` (API reference); MUTEX and PROCESS are no observables."""

_LISTED = Ruling(Role.KNOWN_INDICATOR, "the finding names it as matched intelligence (ThreatIntelIndicators)")
_CAME_IN = Ruling(Role.ATTACKER, "the finding says that it came in to us")
_WENT_OUT = Ruling(Role.C2, "the finding says that our resource went out to it or asked for it")
_CALLER = Ruling(
    Role.UNKNOWN, "called an interface of ours: whether it was one of us or an intruder would decide; held"
)
_UNDIRECTED = Ruling(Role.UNKNOWN, "the finding does not say who began, which would decide; held")
_UNSURE = Ruling(
    Role.UNKNOWN, "the finding speaks of an effect or of unusual behaviour, not of an attack: a person can decide; held"
)
_RULINGS: Mapping[Way, Ruling] = {
    Way.CAME_IN: _CAME_IN,
    Way.WENT_OUT: _WENT_OUT,
    Way.ASKED: _WENT_OUT,
    Way.CALLED: _CALLER,
    Way.UNKNOWN: _UNDIRECTED,
}

_FLATTENED = "aws/guardduty/service/"
"""Where Security Hub puts GuardDuty's fields; records of 2019 have them without it."""
_DEEPEST = 16
"""Steps of a flattened key that are followed."""
_STEP = re.compile(r"(.+?)[.:](\d{1,3})_?", re.ASCII).fullmatch
"""A place in a list as Security Hub writes it: ``threatIntelligenceDetails.0_``, formerly ``portProbeDetails:0``."""
_INDEX = re.compile(r"\d{1,3}", re.ASCII).fullmatch
_GUARDDUTY_TYPE = re.compile(r"([A-Za-z]+:[A-Za-z0-9]+)-(.+)").fullmatch
"""``TTPs/Command and Control/Backdoor:EC2-C&CActivity.B!DNS``: what was a slash is a hyphen."""


class AsffReader:
    """Reads ASFF findings from the Security Hub API, EventBridge or a file of them."""

    name = "asff"

    def recognises(self, head: bytes, filename: str) -> bool:
        """Tells by the attributes that every ASFF finding must have."""
        if b"ProductArn" not in head:
            return False
        documents = first_documents(head, _within, MEMBERS)
        if not documents:
            return is_event(head, _DETAIL_TYPES)
        return any({"productArn", "awsAccountId", "generatorId"} <= doc.keys() for doc in documents)

    def read(self, stream: BinaryIO, place: str, own: OwnAssets) -> Iterator[Finding | Reject]:
        """Yields a finding for each that names a value; configuration checks and what was cleared yield nothing."""
        return json_findings(stream, place, own, self.name, _event, MEMBERS, within=_within)


def _within(record: Doc) -> Iterator[Doc]:
    return unwrapped(record, _DETAIL_TYPES)


def _event(doc: Doc, look_up: LookUp) -> Event | None:
    if "productArn" not in doc:
        raise BadValue("no ASFF finding: it has no ProductArn")
    if _is_over(doc):
        return None
    listed = list(_listed(doc))
    shared = [*listed, *_ours(doc)]
    if _is_guardduty(doc):
        event = guardduty.event_of(_as_guardduty(doc), look_up)
        return None if event is None else replace(event, proposals=[*event.proposals, *shared])
    namespaces = {kind.partition("/")[0].strip().lower() for kind in _types(doc)}
    if inner(doc, "compliance") or not (listed or namespaces & (_UNUSUAL | {_ATTACKS})):
        return None
    ends = [*_network(inner(doc, "network"), look_up), *_action(inner(doc, "action"))]
    if _ATTACKS not in namespaces:
        ends = [one._replace(ruling=_UNSURE) if one.ruling.role.is_indicator else one for one in ends]
    return Event(
        title=text(doc, "title"),
        seen_at=moment(doc, "firstObservedAt") or moment(doc, "createdAt"),
        last_seen_at=moment(doc, "lastObservedAt") or moment(doc, "updatedAt"),
        proposals=[*shared, *ends],
        confidence=number(doc, "confidence"),
    )


def _is_over(doc: Doc) -> bool:
    """Tells a sample, and what the product or an analyst took back."""
    return (
        is_true(doc.get("sample"))
        or text(doc, "recordState") == "ARCHIVED"
        or text(doc, "workflow", "status") in _DONE
        or text(doc, "verificationState") in _CLEARED
    )


def _types(doc: Doc) -> list[str]:
    return texts(doc, "types") or texts(doc, "findingProviderFields", "types")


def _listed(doc: Doc) -> Iterator[Proposal]:
    for one in inners(doc, "threatIntelIndicators"):
        kind = _KINDS.get(text(one, "type"))
        if kind is not None:
            yield Proposal(kind, text(one, "value"), _LISTED)


def _ours(doc: Doc) -> Iterator[Proposal]:
    for resource in inners(doc, "resources"):
        instance = inner(resource, "details", "awsEc2Instance")
        for key in ("ipV4Addresses", "ipV6Addresses"):
            for one in texts(instance, key):
                yield address(one, RESOURCE)


def _network(network: Doc, look_up: LookUp) -> Iterator[Proposal]:
    """Rules on source and destination; the direction, where stated, says which of them is ours."""
    source, destination = _end(network, "source"), _end(network, "destination")
    match direction(network, "direction"):
        case Way.CAME_IN:
            yield address(source, _CAME_IN)
            yield address(destination, RESOURCE)
        case Way.WENT_OUT:
            yield address(source, RESOURCE)
            yield address(destination, _WENT_OUT)
            yield Proposal(Kind.DOMAIN, text(network, "destinationDomain"), _WENT_OUT)
        case _:
            yield from connection(look_up, source, destination, Began.UNKNOWN, ATTACKER, C2, _UNDIRECTED)
            yield Proposal(Kind.DOMAIN, text(network, "destinationDomain"), _UNDIRECTED)


def _end(network: Doc, end: str) -> str:
    return text(network, end + "IpV4") or text(network, end + "IpV6")


def _action(action: Doc) -> Iterator[Proposal]:
    for remote in remotes(action):
        yield remote.proposed(_RULINGS[remote.way])
    yield from local_ends(action)


# --- GuardDuty's findings in Security Hub ---------------------------------------------------------------------


def _is_guardduty(doc: Doc) -> bool:
    return text(doc, "productArn").endswith("/aws/guardduty") or text(doc, "productName") == "GuardDuty"


def _as_guardduty(doc: Doc) -> Doc:
    """Makes a GuardDuty finding of what Security Hub keeps of it; the action also stands in ASFF's own fields."""
    service = _unflattened(inner(doc, "productFields"))
    action = {**inner(doc, "action"), **inner(service, "action")}
    return {
        "type": next((_guardduty_type(kind) for kind in _types(doc)), ""),
        "title": doc.get("title"),
        "createdAt": doc.get("firstObservedAt") or doc.get("createdAt"),
        "updatedAt": doc.get("lastObservedAt") or doc.get("updatedAt"),
        "service": {**service, "serviceName": "guardduty", "action": action},
    }


def _guardduty_type(kind: str) -> str:
    last = kind.rpartition("/")[2]
    found = _GUARDDUTY_TYPE(last)
    return f"{found[1]}/{found[2]}" if found else last


def _unflattened(fields: Doc) -> Doc:
    """Makes GuardDuty's ``service`` again of the keys that Security Hub flattened, e.g. ``.../action/actionType``."""
    whole: Doc = {}
    for key, value in sorted(fields.items()):
        plain = key.removeprefix(_FLATTENED)
        steps = [part for step in plain.split("/") for part in _steps(step)]
        if plain.startswith("aws/") or len(steps) > _DEEPEST:
            continue
        at = whole
        for step in steps[:-1]:
            below = at.get(step)
            if not isinstance(below, dict):
                below = at[step] = {}
            at = below
        at.setdefault(steps[-1], value)
    made = _lists(whole)
    return made if isinstance(made, dict) else {}


def _steps(step: str) -> list[str]:
    found = _STEP(step)
    return [found[1], found[2]] if found else [step]


def _lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if value and all(_INDEX(key) for key in value):
        return [_lists(value[key]) for key in sorted(value, key=int)]
    return {key: _lists(one) for key, one in value.items()}
