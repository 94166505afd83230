"""OCSF findings: Detection Finding (2004) and its forerunner Security Finding (2001), from OCSF 1.0 to 1.9.

The evidence says what part a value plays; ``observables[]`` has no roles, so an entry counts only through the path in
its ``name``, back to the object that it points at. Posture and compliance findings hold no evidence and yield nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, BinaryIO

import msgspec

from threatshare.config import OwnAssets
from threatshare.errors import BadValue
from threatshare.findings.extraction import has_public_host
from threatshare.findings.records import decoded, reject
from threatshare.findings.roles import Began, Ruling, Side, Situation, judge, one_sided, sides, situation
from threatshare.model import Finding, Kind, Observable, Observation, Reject, Role
from threatshare.stix.observables import canonical, recognise, refang
from threatshare.stix.timestamps import read_loose_time

Doc = dict[str, Any]
Proposal = tuple[Kind | None, str, Ruling]
"""A value as it stands, its kind (None: by its form) and what it is."""

_DECODER = msgspec.json.Decoder(Doc)

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

_RANKS: Mapping[Role, int] = {Role.VICTIM_ASSET: 0, Role.KNOWN_INDICATOR: 1, Role.THIRD_PARTY: 2, Role.UNKNOWN: 9}
"""Which role stands where a value turns up twice in one finding; roles not named here rank 5."""

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
        look_up = sides(own)
        for item in decoded(stream, place, _DECODER):
            if isinstance(item, Reject):
                yield item
            elif item[1].get("class_uid") in _CLASSES:
                yield from _findings(item[1], item[0], own, look_up)
            elif "class_uid" not in item[1]:
                path, _, line = item[0].rpartition(":")
                yield reject(path, int(line), "no OCSF event: it has no class_uid", str(item[1]))


LookUp = Callable[[str], tuple[Observable, Side] | None]


def _findings(doc: Doc, place: str, own: OwnAssets, look_up: LookUp) -> Iterator[Finding | Reject]:
    observations = _observations(doc, own, look_up)
    if not observations:
        return
    info = _map(doc, "finding_info") or _map(doc, "finding")
    seen_at = _time(info, "first_seen_time") or _time(doc, "start_time") or _time(doc, "time")
    seen_at = seen_at or _time(info, "created_time")
    if seen_at is None:
        path, _, line = place.rpartition(":")
        yield reject(path, int(line), "no time that can be read", _text(info, "title"))
        return
    last = _time(info, "last_seen_time") or _time(doc, "end_time") or seen_at
    score = doc.get("confidence_score")
    count = doc.get("count")
    yield Finding(
        sensor=OcsfReader.name,
        title=_text(info, "title") or _text(doc, "message"),
        seen_at=min(seen_at, last),
        last_seen_at=max(seen_at, last),
        observations=tuple(observations.values()),
        place=place,
        confidence=score
        if isinstance(score, int) and 0 <= score <= 100
        else _CONFIDENCES.get(_number(doc, "confidence_id")),
        techniques=tuple(dict.fromkeys(_techniques(doc, info))),
        count=count if isinstance(count, int) and count > 0 else 1,
    )


def _observations(doc: Doc, own: OwnAssets, look_up: LookUp) -> dict[Observable, Observation]:
    """Gives every value of an event once, in the role that ranks first."""
    found: dict[Observable, Observation] = {}
    overall = _suppressed(doc)
    for evidence in (doc, *_maps(doc, "evidences")):
        verdict = overall or _verdict(evidence, of_finding=evidence is doc)
        affected = bool(_map(doc, "device") or _maps(doc, "resources") or _map(evidence, "device"))
        _take(found, _evidence(evidence, own, look_up, affected), verdict, own)
    for malware in _maps(doc, "malware"):
        files = (*_maps(malware, "files"), _map(malware, "file"))
        _take(found, (hashed for file in files for hashed in _hashes(file, _MALWARE)), overall, own)
    _take(found, ((None, _text(osint, "value"), _LISTED) for osint in _maps(doc, "osint")), None, own)
    _take(found, _traced(doc, found), overall, own)
    return found


def _take(
    found: dict[Observable, Observation], proposals: Iterator[Proposal], verdict: Ruling | None, own: OwnAssets
) -> None:
    for kind, text, ruling in proposals:
        try:
            observable = canonical(kind, text) if kind is not None else recognise(text)
        except BadValue:
            continue
        if not has_public_host(observable):
            continue
        if verdict is not None and (ruling.role.is_indicator or ruling.role is Role.UNKNOWN):
            ruling = verdict
        new, old = judge(observable, ruling, text, own), found.get(observable)
        if old is None or _RANKS.get(new.role, 5) < _RANKS.get(old.role, 5):
            found[observable] = new


def _evidence(evidence: Doc, own: OwnAssets, look_up: LookUp, affected: bool) -> Iterator[Proposal]:
    """Yields every value of one evidence object with its part in it."""
    met, ends = _connection(evidence, own, look_up, affected)
    yield from ends
    asked = _OUR_SERVER if met is Situation.INBOUND else None
    yield from _hashes(_map(evidence, "file"), _FILE)
    for url in (_map(evidence, "url"), _map(_map(evidence, "http_request"), "url")):
        yield from _url(url, asked or _URL)
    yield None, _text(_map(evidence, "query"), "hostname"), asked or _QUERY
    yield Kind.DOMAIN, _text(_map(evidence, "tls"), "sni"), asked or _QUERY
    for process in (_map(evidence, "process"), _map(_map(evidence, "actor"), "process")):
        yield from _hashes(_map(process, "file"), _PROCESS)
    yield from _email(_map(evidence, "email"))
    for device in (_map(evidence, "device"), *_maps(evidence, "resources")):
        yield None, _text(device, "ip"), _AFFECTED
        yield Kind.DOMAIN, _text(device, "hostname"), _AFFECTED


def _connection(
    evidence: Doc, own: OwnAssets, look_up: LookUp, affected: bool
) -> tuple[Situation | None, list[Proposal]]:
    """Rules on both endpoints; one that is missing is the affected device, where the finding names one."""
    endpoints = (_map(evidence, "src_endpoint"), _map(evidence, "dst_endpoint"))
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
            ends.append((None, _text(endpoint, "ip"), ruling))
            if side is Side.OUTSIDE:
                ends += [(Kind.DOMAIN, _text(endpoint, key), ruling) for key in ("hostname", "domain")]
    return situation(source, destination, began), ends


def _side(endpoint: Doc, own: OwnAssets, look_up: LookUp) -> Side | None:
    known = look_up(_text(endpoint, "ip"))
    if known is not None:
        return known[1]
    name = _text(endpoint, "hostname").lower()
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
    text = refang(_text(url, "url_string"))
    if "://" in text:
        yield Kind.URL, text, ruling
    elif _text(url, "scheme") and _text(url, "hostname"):
        port = f":{url['port']}" if isinstance(url.get("port"), int) else ""
        query = f"?{url['query_string']}" if _text(url, "query_string") else ""
        yield Kind.URL, f"{url['scheme']}://{url['hostname']}{port}{_text(url, 'path')}{query}", ruling
    elif _text(url, "hostname"):
        yield Kind.DOMAIN, _text(url, "hostname"), ruling


def _hashes(file: Doc, ruling: Ruling) -> Iterator[Proposal]:
    for fingerprint in _maps(file, "hashes"):
        kind = _HASHES.get(_number(fingerprint, "algorithm_id"))
        if kind is not None:
            yield kind, _text(fingerprint, "value"), ruling


def _email(email: Doc) -> Iterator[Proposal]:
    """Yields senders, links and attachments; recipients are never read."""
    for key in ("from", "smtp_from", "reply_to"):
        text = _text(email, key).rpartition("<")[2].rstrip("> ")
        if text:
            yield Kind.EMAIL, text, _SENDER
    for file in _maps(email, "files"):
        yield from _hashes(file, _FILE)
    for url in _maps(email, "urls"):
        yield from _url(url, _URL)


def _traced(doc: Doc, found: Mapping[Observable, Observation]) -> Iterator[Proposal]:
    """Yields the observables that no evidence gave a role, with what their paths say of them."""
    for entry in _maps(doc, "observables"):
        text, kinds = _text(entry, "value"), _OBSERVABLE_KINDS.get(_number(entry, "type_id"))
        try:
            observable = recognise(text)
        except BadValue:
            continue
        if kinds is None or observable.kind not in kinds:
            continue
        steps = re.sub(r"\[\d*\]", "", _text(entry, "name")).lower().split(".")
        if any(step in _OURS or step.endswith("_device") for step in steps):
            yield None, text, _AFFECTED
        elif steps[0] == "osint":
            yield None, text, _LISTED
        elif observable not in found:
            yield None, text, _UNTRACED


def _suppressed(doc: Doc) -> Ruling | None:
    return _BENIGN if _SUPPRESSED in (_number(doc, "status_id"), _number(doc, "state_id")) else None


def _verdict(evidence: Doc, of_finding: bool) -> Ruling | None:
    verdict = _number(evidence, "verdict_id")
    if verdict in _BENIGN_VERDICTS:
        return _BENIGN
    return _OPEN if verdict in _OPEN_VERDICTS and not of_finding else None


def _techniques(doc: Doc, info: Doc) -> Iterator[str]:
    for attack in (*_maps(doc, "attacks"), *_maps(info, "attacks")):
        for key in ("sub_technique", "technique"):
            uid = _text(_map(attack, key), "uid")
            if re.fullmatch(r"T\d{4}(\.\d{3})?", uid):
                yield uid
                break


def _time(doc: Doc, key: str) -> datetime | None:
    """Reads ``key_dt`` (RFC 3339) or ``key``: milliseconds by the schema, but some tools write seconds."""
    stated = read_loose_time(_text(doc, key + "_dt"))
    number = doc.get(key)
    if stated is not None or isinstance(number, bool) or not isinstance(number, int | float):
        return stated
    seconds = number if number < 100_000_000_000 else number / 1000
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, OSError, ValueError):
        return None


def _map(doc: Doc, key: str) -> Doc:
    value = doc.get(key)
    return value if isinstance(value, dict) else {}


def _maps(doc: Doc, key: str) -> list[Doc]:
    value = doc.get(key)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _text(doc: Doc, key: str) -> str:
    value = doc.get(key)
    return value if isinstance(value, str) else ""


def _number(doc: Doc, key: str) -> int:
    """Gives an enumeration's number; -1 where there is none."""
    value = doc.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else -1
