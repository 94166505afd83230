"""Google Security Command Center: findings from the API (``listFindingsResults``), Pub/Sub notifications and exports.

Only threats count; vulnerabilities, misconfigurations and posture speak of ourselves. ``indicator`` is the bad side;
``connections`` are ends of flows, whose source is not always who began. Fields after the REST reference (Finding,
Indicator, Connection, Access) and categories after the list of Event Threat Detection rules; no record with an
indicator was at hand: unverified.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import BinaryIO, NamedTuple

from threatshare.config import OwnAssets
from threatshare.errors import BadValue
from threatshare.findings.documents import Doc, inner, inners, moment, text, texts
from threatshare.findings.events import Event, LookUp, Proposal, connection, json_findings, overruled
from threatshare.findings.roles import Began, Ruling
from threatshare.model import Finding, Kind, Reject, Role

_MEMBERS = frozenset({"findings", "listFindingsResults"})
"""Arrays that API responses, v1 and v2, and exports hold findings in."""

_THREAT = "THREAT"
"""``findingClass``; older findings have none, then only what an indicator or a known category tells counts."""

_NAME = re.compile(rb'"name"\s*:\s*"(?:organizations|folders|projects)/[^"/]+/sources/[^"/]+/(?:locations/[^"/]+/)?fin')
"""The beginning of a finding's relative resource name."""

_LISTED = Ruling(Role.KNOWN_INDICATOR, "matched Google's threat intelligence, as the category says")
_ATTACKER = Ruling(Role.ATTACKER, "the category names an attack on our resource, and this is its indicator")
_CALLED_OUT = Ruling(Role.C2, "the indicator of malicious software on our resource")
_NAMED = Ruling(Role.C2, "the finding's indicator: a name or address that our resource used")
_VICTIM = Ruling(Role.THIRD_PARTY, "our resource attacked it: a victim, not an attacker")
_RELAY = Ruling(Role.THIRD_PARTY, "an anonymising proxy, which belongs to nobody in this attack")
_SCANNER = Ruling(Role.THIRD_PARTY, "the host of a vulnerability scanner that found a flaw of ours")
_THIEF = Ruling(Role.ATTACKER, "used a key of ours that had leaked")
_OPEN = Ruling(
    Role.UNKNOWN, "an indicator of a category whose direction this reader does not know: a person can decide; held"
)
_CALLER = Ruling(
    Role.UNKNOWN, "called an interface of ours: whether it was one of us or an intruder would decide; held"
)
_FLOW = Ruling(Role.UNKNOWN, "an end of a flow in the finding, who began is not known: a person can decide; held")


class _Category(NamedTuple):
    """What a family of categories says."""

    pattern: str
    """As in ``fnmatch``, in lower case; the first that matches counts."""
    indicator: Ruling
    """What addresses, domains and URIs of ``indicator`` are."""
    caller: Ruling = _CALLER
    """What ``access.callerIp`` is."""


_CATEGORIES: tuple[_Category, ...] = (
    _Category("*bad ip*", _LISTED),
    _Category("*bad domain*", _LISTED),
    _Category("*malicious url observed*", _LISTED),
    _Category("*outgoing dos*", _VICTIM),
    _Category("*anonymizing proxy*", _RELAY, _RELAY),
    _Category("active scan: *", _SCANNER),
    _Category("*brute force*", _ATTACKER, _ATTACKER),
    _Category("*log4j compromise attempt*", _ATTACKER),
    _Category("*leaked service account key used*", _THIEF, _THIEF),
    _Category("malware: *", _CALLED_OUT),
    _Category("c2: *", _CALLED_OUT),
    _Category("command and control: *", _CALLED_OUT),
    _Category("execution: *", _CALLED_OUT),
    _Category("*reverse shell*", _CALLED_OUT),
)


class SccReader:
    """Reads Security Command Center findings of the class THREAT; every other class is passed over."""

    name = "scc"

    def recognises(self, head: bytes, filename: str) -> bool:
        """Tells by a finding's resource name beside the category and the resource that it is about."""
        return (
            head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[")
            and b'"category"' in head
            and b'"resourceName"' in head
            and _NAME.search(head) is not None
        )

    def read(self, stream: BinaryIO, place: str, own: OwnAssets) -> Iterator[Finding | Reject]:
        """Yields a finding for each active threat that names a value; what is muted or inactive yields nothing."""
        return json_findings(stream, place, own, self.name, _event, _MEMBERS)


def _event(doc: Doc, look_up: LookUp) -> Event | None:
    finding = inner(doc, "finding") or doc
    if any(doc.get(name) == [] for name in _MEMBERS):
        return None
    category = text(finding, "category")
    if not category or "resourceName" not in finding:
        raise BadValue("no Security Command Center finding: it has no category or no resourceName")
    if text(finding, "findingClass") not in (_THREAT, "", "FINDING_CLASS_UNSPECIFIED"):
        return None
    # Inactive: fixed, or no issue; muted: a person or a rule of ours said that it is to be passed over.
    if text(finding, "state") == "INACTIVE" or text(finding, "mute") == "MUTED":
        return None
    return Event(
        title=category,
        seen_at=moment(finding, "eventTime") or moment(finding, "createTime"),
        proposals=_proposals(finding, category.lower(), look_up),
    )


def _proposals(finding: Doc, category: str, look_up: LookUp) -> Iterator[Proposal]:
    """Yields the bad side first, then the ends of flows: what is named twice keeps the role that says more."""
    known = next((one for one in _CATEGORIES if fnmatchcase(category, one.pattern)), None)
    if known is None and not text(finding, "findingClass") and not inner(finding, "indicator"):
        return
    indicator = inner(finding, "indicator")
    for address in texts(indicator, "ipAddresses"):
        yield Proposal(None, address, known.indicator if known else _OPEN)
    for kind, key in ((Kind.DOMAIN, "domains"), (Kind.URL, "uris")):
        for name in texts(indicator, key):
            yield Proposal(kind, name, known.indicator if known else _NAMED)
    yield Proposal(None, text(finding, "access", "callerIp"), known.caller if known else _CALLER)
    yield from _flows(finding, known, look_up)


def _flows(finding: Doc, known: _Category | None, look_up: LookUp) -> Iterator[Proposal]:
    for flow in inners(finding, "connections"):
        source, destination = text(flow, "sourceIp"), text(flow, "destinationIp")
        ends = connection(look_up, source, destination, Began.UNKNOWN, unpaired=_FLOW)
        bystander = known is not None and known.indicator.role is Role.THIRD_PARTY
        yield from overruled(iter(ends), known.indicator) if known and bystander else ends
