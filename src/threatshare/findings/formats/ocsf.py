"""OCSF findings: Detection Finding (2004) and its forerunner Security Finding (2001), from OCSF 1.0 to 1.9.

The evidence says what part a value plays; ``observables[]`` has no roles, so an entry counts only through the path in
its ``name``, back to the object that it points at. Posture and compliance findings hold no evidence and yield nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import BinaryIO

from threatshare.config import OwnAssets
from threatshare.errors import BadValue
from threatshare.findings.documents import Doc, inner, inners, moment, number, text
from threatshare.findings.events import Event, LookUp, Proposal, json_findings, overruled
from threatshare.findings.extraction import has_public_host
from threatshare.findings.roles import Began, Ruling, Side, Situation, one_sided, situation
from threatshare.model import Finding, Kind, Reject, Role
from threatshare.stix.observables import canonical, recognise, refang

_CLASSES = frozenset({2001, 2004})

_HASHES: Mapping[int, Kind] = {1: Kind.MD5, 2: Kind.SHA1, 3: Kind.SHA256, 4: Kind.SHA512}
"""``fingerprint.algorithm_id``."""

_BENIGN_VERDICTS = frozenset({1, 3, 5, 6})
"""``verdict_id``: false positive, disregard, benign, test."""
_OPEN_VERDICTS = frozenset({0, 7})
"""``verdict_id``: unknown, insufficient data."""
_SUPPRESSED = 3
"""``status_id`` (2004) and ``state_id`` (2001): reviewed, and found benign or false."""

_CONFIDENCES: Mapping[int, int] = {1: 15, 2: 50, 3: 85}
"""``confidence_id`` low, medium, high, in the numbers of STIX 2.1 Appendix A."""

_OBSERVABLE_KINDS: Mapping[int, tuple[Kind, ...]] = {
    1: (Kind.DOMAIN,),
    2: (Kind.IPV4, Kind.IPV6),
    5: (Kind.EMAIL,),
    6: (Kind.URL,),
    8: (Kind.MD5, Kind.SHA1, Kind.SHA256, Kind.SHA512),
    12: (Kind.IPV4, Kind.IPV6),
}
"""``observable.type_id``: which kinds an entry of that type may be; all other types are passed over."""

_OURS = frozenset(
    "device devices host hosts resource resources user users actor victim victims target targets recipient agent "
    "owner account cloud container".split()
)
"""Objects that a path of ``observables[].name`` may lead through: then it points at something of ours."""

_AFFECTED = Ruling(Role.VICTIM_ASSET, "the affected device or resource")
_LISTED = Ruling(Role.KNOWN_INDICATOR, "the finding says it matched intelligence (osint)")
_FILE = Ruling(Role.PAYLOAD, "a file in the evidence of a detection")
_MALWARE = Ruling(Role.PAYLOAD, "a file that the finding names as malware")
_URL = Ruling(Role.PAYLOAD, "a URL in the evidence of a detection")
_QUERY = Ruling(Role.C2, "the name that our side asked for")
_SENDER = Ruling(Role.PHISH_SENDER, "the sender of the message in the evidence")
_OUR_SERVER = Ruling(Role.VICTIM_ASSET, "asked of a server of ours")
_PROCESS = Ruling(
    Role.UNKNOWN, "the image of a process that took part, perhaps a program of the system; a person can decide; held"
)
_UNTRACED = Ruling(
    Role.UNKNOWN, "listed among observables, but its path leads to no evidence that gives it a role; held"
)
_BENIGN = Ruling(Role.THIRD_PARTY, "the product or an analyst found it benign, a false positive or a test")
_OPEN = Ruling(Role.UNKNOWN, "the product came to no verdict on this evidence; an analyst's verdict would decide; held")


class OcsfReader:
    """Reads OCSF findings of classes 2001 and 2004; every other class is passed over."""

    name = "ocsf"

    def recognises(self, head: bytes, filename: str) -> bool:
        """Tells by the attributes that every OCSF event has."""
        return b'"class_uid"' in head and b'"metadata"' in head and head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in b"{["

    def read(self, stream: BinaryIO, place: str, own: OwnAssets) -> Iterator[Finding | Reject]:
        """Yields a finding for each event that holds at least one value."""
        return json_findings(stream, place, own, self.name, partial(_event, own))


def _event(own: OwnAssets, doc: Doc, look_up: LookUp) -> Event | None:
    if number(doc, "class_uid") is None:
        raise BadValue("no OCSF event: it has no class_uid")
    if number(doc, "class_uid") not in _CLASSES:
        return None
    info = inner(doc, "finding_info") or inner(doc, "finding")
    seen_at = _time(info, "first_seen_time") or _time(doc, "start_time") or _time(doc, "time")
    confidence = number(doc, "confidence_score")
    return Event(
        title=text(info, "title") or text(doc, "message"),
        seen_at=seen_at or _time(info, "created_time"),
        last_seen_at=_time(info, "last_seen_time") or _time(doc, "end_time"),
        proposals=_proposals(doc, own, look_up),
        confidence=_CONFIDENCES.get(number(doc, "confidence_id") or -1) if confidence is None else confidence,
        techniques=tuple(_techniques(doc, info)),
        count=number(doc, "count") or 1,
    )


def _proposals(doc: Doc, own: OwnAssets, look_up: LookUp) -> Iterator[Proposal]:
    """Yields every value of an event with its part; what the product or an analyst found benign is a bystander."""
    overall = _suppressed(doc)
    for evidence in (doc, *inners(doc, "evidences")):
        verdict = overall or _verdict(evidence, of_finding=evidence is doc)
        affected = bool(inner(doc, "device") or inners(doc, "resources") or inner(evidence, "device"))
        yield from _ruled(_evidence(evidence, own, look_up, affected), verdict)
    for malware in inners(doc, "malware"):
        for file in (*inners(malware, "files"), inner(malware, "file")):
            yield from _ruled(_hashes(file, _MALWARE), overall)
    for osint in inners(doc, "osint"):
        yield Proposal(None, text(osint, "value"), _LISTED)
    yield from _ruled(_traced(doc), overall)


def _ruled(proposals: Iterator[Proposal], verdict: Ruling | None) -> Iterator[Proposal]:
    return proposals if verdict is None else overruled(proposals, verdict)


def _evidence(evidence: Doc, own: OwnAssets, look_up: LookUp, affected: bool) -> Iterator[Proposal]:
    """Yields every value of one evidence object with its part in it."""
    met, ends = _connection(evidence, own, look_up, affected)
    yield from ends
    asked = _OUR_SERVER if met is Situation.INBOUND else None
    yield from _hashes(inner(evidence, "file"), _FILE)
    for url in (inner(evidence, "url"), inner(inner(evidence, "http_request"), "url")):
        yield from _url(url, asked or _URL)
    yield Proposal(None, text(inner(evidence, "query"), "hostname"), asked or _QUERY)
    yield Proposal(Kind.DOMAIN, text(inner(evidence, "tls"), "sni"), asked or _QUERY)
    for process in (inner(evidence, "process"), inner(inner(evidence, "actor"), "process")):
        yield from _hashes(inner(process, "file"), _PROCESS)
    yield from _email(inner(evidence, "email"))
    for device in (inner(evidence, "device"), *inners(evidence, "resources")):
        yield Proposal(None, text(device, "ip"), _AFFECTED)
        yield Proposal(Kind.DOMAIN, text(device, "hostname"), _AFFECTED)


def _connection(
    evidence: Doc, own: OwnAssets, look_up: LookUp, affected: bool
) -> tuple[Situation | None, list[Proposal]]:
    """Rules on both endpoints; one that is missing is the affected device, where the finding names one."""
    endpoints = (inner(evidence, "src_endpoint"), inner(evidence, "dst_endpoint"))
    stand = [_side(endpoint, own, look_up) for endpoint in endpoints]
    if stand == [None, None]:
        return None, []
    missing = Side.INSIDE if affected else Side.OUTSIDE
    source, destination = stand[0] or missing, stand[1] or missing
    began = _began(evidence)
    ruled = one_sided(source, destination, began)
    ends: list[Proposal] = []
    for endpoint, side, ruling in zip(endpoints, stand, ruled, strict=True):
        if side is not None:
            ends.append(Proposal(None, text(endpoint, "ip"), ruling))
            if side is Side.OUTSIDE:
                ends += [Proposal(Kind.DOMAIN, text(endpoint, key), ruling) for key in ("hostname", "domain")]
    return situation(source, destination, began), ends


def _side(endpoint: Doc, own: OwnAssets, look_up: LookUp) -> Side | None:
    known = look_up(text(endpoint, "ip"))
    if known is not None:
        return known[1]
    name = text(endpoint, "hostname").lower()
    if not name:
        return None
    try:
        public = has_public_host(canonical(Kind.DOMAIN, name))
    except BadValue:
        public = False
    return Side.OUTSIDE if public and not own.owns_name(name) else Side.INSIDE


def _began(evidence: Doc) -> Began:
    """Tells who began: the source, unless the event itself doubts which end that is."""
    if evidence.get("is_src_dst_assignment_known") is False:
        return Began.UNKNOWN
    return Began.SOURCE


def _url(url: Doc, ruling: Ruling) -> Iterator[Proposal]:
    if not url:
        return
    stated = refang(text(url, "url_string"))
    if "://" in stated:
        yield Proposal(Kind.URL, stated, ruling)
    elif text(url, "scheme") and text(url, "hostname"):
        port = f":{url['port']}" if isinstance(url.get("port"), int) else ""
        query = f"?{url['query_string']}" if text(url, "query_string") else ""
        yield Proposal(Kind.URL, f"{url['scheme']}://{url['hostname']}{port}{text(url, 'path')}{query}", ruling)
    elif text(url, "hostname"):
        yield Proposal(Kind.DOMAIN, text(url, "hostname"), ruling)


def _hashes(file: Doc, ruling: Ruling) -> Iterator[Proposal]:
    for fingerprint in inners(file, "hashes"):
        kind = _HASHES.get(number(fingerprint, "algorithm_id") or -1)
        if kind is not None:
            yield Proposal(kind, text(fingerprint, "value"), ruling)


def _email(email: Doc) -> Iterator[Proposal]:
    """Yields senders, links and attachments; recipients are never read."""
    for key in ("from", "smtp_from", "reply_to"):
        yield Proposal(Kind.EMAIL, text(email, key).rpartition("<")[2].rstrip("> "), _SENDER)
    for file in inners(email, "files"):
        yield from _hashes(file, _FILE)
    for url in inners(email, "urls"):
        yield from _url(url, _URL)


def _traced(doc: Doc) -> Iterator[Proposal]:
    """Yields what the paths of ``observables[]`` say of them; where the evidence says more, that counts."""
    for entry in inners(doc, "observables"):
        said, kinds = text(entry, "value"), _OBSERVABLE_KINDS.get(number(entry, "type_id") or -1)
        try:
            kind = recognise(said).kind
        except BadValue:
            continue
        if kinds is None or kind not in kinds:
            continue
        steps = re.sub(r"\[\d*\]", "", text(entry, "name")).lower().split(".")
        if any(step in _OURS or step.endswith("_device") for step in steps):
            yield Proposal(None, said, _AFFECTED)
        else:
            yield Proposal(None, said, _LISTED if steps[0] == "osint" else _UNTRACED)


def _suppressed(doc: Doc) -> Ruling | None:
    return _BENIGN if _SUPPRESSED in (number(doc, "status_id"), number(doc, "state_id")) else None


def _verdict(evidence: Doc, of_finding: bool) -> Ruling | None:
    verdict = number(evidence, "verdict_id")
    if verdict in _BENIGN_VERDICTS:
        return _BENIGN
    return _OPEN if verdict in _OPEN_VERDICTS and not of_finding else None


def _techniques(doc: Doc, info: Doc) -> Iterator[str]:
    for attack in (*inners(doc, "attacks"), *inners(info, "attacks")):
        for key in ("sub_technique", "technique"):
            uid = text(inner(attack, key), "uid")
            if re.fullmatch(r"T\d{4}(\.\d{3})?", uid):
                yield uid
                break


def _time(doc: Doc, key: str) -> datetime | None:
    """Reads ``key_dt`` (RFC 3339) or ``key``: milliseconds by the schema, but some tools write seconds."""
    return moment(doc, key + "_dt") or moment(doc, key)
