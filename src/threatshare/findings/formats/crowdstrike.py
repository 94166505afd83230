"""CrowdStrike Falcon detections: the event stream's summaries, detects and alerts of the API, and FDR's copies of them.

What Falcon's own analysis of a file condemns is payload; what it matched with a list is a known indicator. The image
of a process, and what it connected to, merely took part: in a published detection named "Known Malware" the process
was ``git``, which had fetched the malware. Fields after published records of the stream and of the alerts API;
``behaviors[]`` of the older detects API, DNS requests and ``ConnectionDirection`` are unverified.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, BinaryIO

from threatshare.config import OwnAssets
from threatshare.errors import BadValue
from threatshare.findings.documents import Doc, inner, inners, moment, number, text, texts, value
from threatshare.findings.events import Event, LookUp, Proposal, first_documents, json_findings
from threatshare.findings.roles import Ruling
from threatshare.model import Finding, Kind, Reject, Role

_MEMBERS = frozenset({"resources"})
_LIMIT = 16 * 1024 * 1024
"""Bytes of a record: a response of the API begins with ``meta`` and is read as one."""

_SUMMARIES = frozenset({"detectionsummaryevent", "eppdetectionsummaryevent"})
"""``metadata.eventType`` of detections on hosts; CrowdStrike itself spells ``Epp`` and ``EPP``."""
_CUSTOM_IOC = "customeriocevent"
"""A match with an indicator that we gave Falcon ourselves."""

_MARKS: tuple[tuple[bytes, ...], ...] = (
    (b'"metadata"', b'"customerIDString"', b'"eventType"'),
    (b'"behaviors"', b'"detection_id"'),
    (b'"composite_id"', b'"falcon_host_link"'),
    (b'"event_simpleName"', b'"cid"'),
    (b'"ExternalApiType"', b'"cid"'),
)
"""Keys that stand together in a record: stream, detects API, alerts API, FDR telemetry, FDR detections."""

_PLAIN: Mapping[str, str] = {
    "DetectName": "display_name",
    "Name": "display_name",
    "Description": "description",
    "DetectDescription": "description",
    "Tactic": "tactic",
    "Technique": "technique",
    "TacticID": "tactic_id",
    "TechniqueID": "technique_id",
    "Confidence": "confidence",
    "Status": "status",
    "Resolution": "resolution",
    "IOCType": "ioc_type",
    "IOCValue": "ioc_value",
    "SHA256String": "sha256",
    "SHA1String": "sha1",
    "MD5String": "md5",
    "QuarantineFiles": "quarantined_files",
    "SHA256HashData": "sha256",
    "NetworkAccesses": "network_accesses",
    "ConnectionDirection": "connection_direction",
    "RemoteAddress": "remote_address",
    "RemoteAddressIP4": "remote_address",
    "RemoteAddressIP6": "remote_address",
    "LocalAddress": "local_address",
    "DnsRequests": "dns_requests",
    "DomainName": "domain_name",
    "LocalIP": "local_ip",
    "LocalIPv6": "local_ipv6",
    "aip": "external_ip",
    "MitreAttack": "mitre_attack",
}
"""The stream's names for what the API calls otherwise."""

_KINDS: Mapping[str, Kind] = {
    **dict.fromkeys(("hash_sha256", "sha256"), Kind.SHA256),
    **dict.fromkeys(("hash_sha1", "sha1"), Kind.SHA1),
    **dict.fromkeys(("hash_md5", "md5"), Kind.MD5),
    "domain": Kind.DOMAIN,
    "ipv4": Kind.IPV4,
    "ipv6": Kind.IPV6,
}
"""``ioc_type``; command lines, file names and registry keys are no observables."""

_HASHES: Mapping[str, Kind] = {"sha256": Kind.SHA256, "sha1": Kind.SHA1, "md5": Kind.MD5}
_CUSTOM: Mapping[str, Kind] = {**_HASHES, "domain_name": Kind.DOMAIN, "IPv4": Kind.IPV4, "IPv6": Kind.IPV6}

_BENIGN = frozenset({"false_positive", "ignored"})
"""What an analyst put into ``status``, ``resolution`` or ``tags``."""
_SAMPLE = "for evaluation only"
"""How Falcon describes the harmless detection that it offers for trying it out."""

_BY_RULE = "indicator of attack"
"""Technique of detections by a rule of the customer's own, which name as indicator the image that the rule fired on."""
_UNWANTED = re.compile(r"(?i)\bpup\b|adware").search
"""Techniques for unwanted programs; a published example of them is the installer of a known VPN."""
_ON_WRITE = re.compile(r"(?i)on[ _-]?write").search
_TECHNIQUE = re.compile(r"T\d{4}(?:\.\d{3})?").fullmatch
_NO_LETTER = re.compile(r"[^a-z]+")
_C2_TACTIC = ("TA0011", "command and control")
"""ATT&CK's id and name, either of which a detection may have."""
_OUTBOUND = frozenset({"0", "outbound"})
"""``connection_direction``: a number in the stream, a word in the API."""

_OURS = Ruling(Role.VICTIM_ASSET, "the host that the sensor runs on")
_LISTED = Ruling(Role.KNOWN_INDICATOR, "Falcon matched it with a list of indicators")
_CONDEMNED = Ruling(Role.PAYLOAD, "Falcon's machine learning calls the file malicious")
_QUARANTINED = Ruling(Role.PAYLOAD, "Falcon quarantined the file")
_C2 = Ruling(Role.C2, "contacted by a process that Falcon detected for command and control")
_PUP = Ruling(Role.UNKNOWN, "adware or an unwanted program, not plainly malicious: a person can decide; held")
_RULE = Ruling(Role.UNKNOWN, "a program that a rule of our own fired on: who wrote the rule can decide; held")
_PROCESS = Ruling(
    Role.UNKNOWN, "the image of a process that took part, perhaps a program of the system; a person can decide; held"
)
_CONTACTED = Ruling(
    Role.UNKNOWN, "a process that took part had contact with it, perhaps for a good reason; a person can decide; held"
)


class CrowdStrikeReader:
    """Reads detections of CrowdStrike Falcon; telemetry and audit events are passed over."""

    name = "crowdstrike"

    def recognises(self, head: bytes, filename: str) -> bool:
        """Tells by the keys of the first records; where none is whole, by keys that stand together."""
        if head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] not in (b"{", b"["):
            return False
        if not any(all(key in head for key in keys) for keys in _MARKS):
            return False
        documents = first_documents(head, _within, _MEMBERS)
        return any(_is_falcons(doc) for doc in documents) if documents else b'"@timestamp"' not in head

    def read(self, stream: BinaryIO, place: str, own: OwnAssets) -> Iterator[Finding | Reject]:
        """Yields a finding for each detection that names a value; false positives yield nothing."""
        return json_findings(stream, place, own, self.name, _event, _MEMBERS, _LIMIT, _within)


def _is_falcons(doc: Doc) -> bool:
    return "customerIDString" in inner(doc, "metadata") or any(
        key in doc for key in ("behaviors", "composite_id", "event_simpleName", "ExternalApiType")
    )


def _within(record: Doc) -> Iterator[Doc]:
    """Takes detections out of a response of the API, which may stand under ``body``."""
    response = inner(record, "body") or record
    if "resources" in response:
        yield from inners(response, "resources")
    else:
        yield record


def _event(doc: Doc, look_up: LookUp) -> Event | None:
    if not _is_falcons(doc):
        raise BadValue("no detection of CrowdStrike Falcon: it has no metadata, behaviors or composite_id")
    metadata = inner(doc, "metadata")
    if metadata:
        kind, at = text(metadata, "eventType").lower(), moment(metadata, "eventCreationTime")
        event = _plain(inner(doc, "event"))
        if kind == _CUSTOM_IOC:
            matched = (Proposal(one, text(event, key), _LISTED) for key, one in _CUSTOM.items())
            return Event("CustomerIOCEvent", at, [one for one in matched if not _is_zero(one.text)])
        return _detection(event, [event], at) if kind in _SUMMARIES else None
    if "behaviors" in doc:
        plain = _plain(doc)
        return _detection(plain, inners(plain, "behaviors"), moment(doc, "first_behavior"))
    if "composite_id" in doc:
        plain = _plain(doc)
        return _detection(plain, [plain], moment(doc, "timestamp"))
    kind = (text(doc, "ExternalApiType") or text(doc, "event_simpleName")).lower().removeprefix("event_")
    if kind not in _SUMMARIES:
        return None
    plain = _plain(doc)
    return _detection(plain, [plain], moment(doc, "timestamp") or moment(doc, "UTCTimestamp"))


def _plain(doc: Doc) -> Doc:
    """Gives a document with the API's names for what the stream calls otherwise, at every depth."""
    return {_PLAIN.get(key, key): _plain_value(one) for key, one in doc.items()}


def _plain_value(value: Any) -> Any:
    if isinstance(value, dict):
        return _plain(value)
    return [_plain_value(one) for one in value] if isinstance(value, list) else value


def _detection(doc: Doc, behaviors: list[Doc], at: datetime | None) -> Event | None:
    """Maps a detection with what happened in it; the stream and the alerts API know only one thing a detection."""
    if _is_void(doc, behaviors):
        return None
    titles = (text(one, name) for one in (doc, *behaviors) for name in ("display_name", "name"))
    confidences = [found for one in behaviors if (found := number(one, "confidence")) is not None]
    return Event(
        title=next(filter(None, titles), ""),
        seen_at=at or moment(doc, "created_timestamp"),
        last_seen_at=moment(doc, "last_behavior"),
        proposals=_proposals(doc, behaviors),
        confidence=max(confidences, default=None),
        techniques=tuple(_techniques(behaviors)),
    )


def _is_void(doc: Doc, behaviors: list[Doc]) -> bool:
    """Tells what an analyst called a false positive, and the vendor's own sample."""
    said = [text(doc, "status"), text(doc, "resolution"), *texts(doc, "tags")]
    if any(one.lower().replace(" ", "_") in _BENIGN for one in said):
        return True
    return any(text(one, "description").lower().startswith(_SAMPLE) for one in (doc, *behaviors))


def _proposals(doc: Doc, behaviors: list[Doc]) -> Iterator[Proposal]:
    for host in (doc, inner(doc, "device")):
        for key in ("local_ip", "local_ipv6", "external_ip"):
            yield Proposal(None, text(host, key), _OURS)
    unwanted = any(_is_unwanted(one) for one in behaviors)
    for file in inners(doc, "quarantined_files"):
        yield from _hashes(file, _PUP if unwanted else _QUARANTINED)
    for one in behaviors:
        yield from _files(one)
        yield from _contacts(one)
    if not any(doc is one for one in behaviors):
        yield from _contacts(doc)


def _files(one: Doc) -> Iterator[Proposal]:
    """Yields what was judged, then the image of the process, which is judged only where it is that same file."""
    learned = _NO_LETTER.sub("", text(one, "tactic").lower()) == "machinelearning"
    verdict = _RULE if text(one, "technique").lower() == _BY_RULE else _LISTED
    if learned:
        verdict = _PUP if _is_unwanted(one) else _CONDEMNED
    judged: set[str] = set()
    for match in (one, *inners(one, "ioc_context")):
        kind, found = _KINDS.get(text(match, "ioc_type").lower()), text(match, "ioc_value")
        if kind is None or _is_zero(found):
            continue
        if kind in _HASHES.values():
            judged.add(found.lower())
        yield Proposal(kind, found, verdict if kind in _HASHES.values() else _LISTED)
    for context in inners(one, "ioc_context"):
        yield from _hashes(context, verdict, only=judged)
    if not judged and learned and not _ON_WRITE(text(one, "display_name") or text(one, "name")):
        yield from _hashes(one, verdict)
    else:
        same = any(text(one, key).lower() in judged for key in _HASHES)
        yield from _hashes(one, verdict if same else _PROCESS)


def _is_unwanted(one: Doc) -> bool:
    return _UNWANTED(text(one, "technique")) is not None


def _hashes(file: Doc, ruling: Ruling, only: set[str] | None = None) -> Iterator[Proposal]:
    """Yields the hashes of one file; ``only``: where one of them is among these."""
    found = {key: text(file, key) for key in _HASHES}
    if only is None or any(one.lower() in only for one in found.values()):
        for key, one in found.items():
            if not _is_zero(one):
                yield Proposal(_HASHES[key], one, ruling)


def _is_zero(digits: str) -> bool:
    """Tells the zeros that Falcon writes where it has no hash."""
    return not digits.strip("0")


def _contacts(one: Doc) -> Iterator[Proposal]:
    """Yields what a process had contact with: C2 where Falcon detected that and it is the only one, else held."""
    is_c2 = text(one, "tactic_id") == _C2_TACTIC[0] or text(one, "tactic").lower() == _C2_TACTIC[1]
    accesses, requests = inners(one, "network_accesses"), inners(one, "dns_requests")
    only = is_c2 and len({text(access, "remote_address") for access in accesses}) == 1
    for access in accesses:
        outbound = str(value(access, "connection_direction")).lower() in _OUTBOUND
        yield Proposal(None, text(access, "remote_address"), _C2 if only and outbound else _CONTACTED)
        yield Proposal(None, text(access, "local_address"), _OURS)
    yield Proposal(None, text(one, "remote_address"), _CONTACTED)
    only = is_c2 and len({text(request, "domain_name") for request in requests}) == 1
    for request in requests:
        yield Proposal(Kind.DOMAIN, text(request, "domain_name"), _C2 if only else _CONTACTED)
    yield Proposal(Kind.DOMAIN, text(one, "domain_name"), _CONTACTED)


def _techniques(behaviors: list[Doc]) -> Iterator[str]:
    for one in (entry for behavior in behaviors for entry in (behavior, *inners(behavior, "mitre_attack"))):
        if _TECHNIQUE(text(one, "technique_id")):
            yield text(one, "technique_id")
