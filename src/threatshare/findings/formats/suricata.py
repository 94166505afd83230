"""Suricata's EVE log: alerts, with the HTTP, DNS, TLS and file records that Suricata attaches to them.

``src_ip`` and ``dest_ip`` are the direction of one packet, not attacker and victim. Who began is taken from the
first of these that the event has: the flow's own source and ``direction`` (Suricata 7), the rule's ``target`` keyword
(``alert.source``, ``alert.target``) or ``attack_target``, the port of the protocol that was parsed, and only then the
packet.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import msgspec
from msgspec import Struct

from threatshare.config import OwnAssets
from threatshare.errors import BadValue
from threatshare.findings.extraction import has_public_host
from threatshare.findings.formats.signatures import Claim, claim_of, rulings
from threatshare.findings.records import decoded, reject
from threatshare.findings.roles import (
    Began,
    Ruling,
    Side,
    Situation,
    judge,
    judge_end,
    one_sided,
    sides,
    situation,
)
from threatshare.model import Finding, Kind, Observable, Observation, Reject, Role
from threatshare.stix.observables import canonical
from threatshare.stix.timestamps import read_loose_time


class _Party(Struct):
    ip: str = ""


class _Alert(Struct):
    signature: str = ""
    category: str | None = ""
    metadata: Any = None
    source: _Party | None = None
    target: _Party | None = None


class _Flow(Struct):
    src_ip: str = ""


class _Http(Struct):
    hostname: str = ""
    url: str = ""
    http_method: str = ""
    http_port: int | None = None


class _Tls(Struct):
    sni: str = ""


class _File(Struct):
    state: str = "CLOSED"
    md5: str = ""
    sha1: str = ""
    sha256: str = ""


class _Event(Struct):
    event_type: str
    timestamp: str = ""
    src_ip: str = ""
    src_port: int = 0
    dest_ip: str = ""
    dest_port: int = 0
    direction: str = ""
    app_proto: str = ""
    alert: _Alert | None = None
    flow: _Flow | None = None
    http: _Http | None = None
    tls: _Tls | None = None
    dns: Any = None
    files: list[_File] = []
    fileinfo: _File | None = None


_DECODER = msgspec.json.Decoder(_Event, strict=False)

_SERVER_PORTS: Mapping[str, frozenset[int]] = {
    "http": frozenset({80, 443, 3128, 8000, 8080, 8443, 8888}),
    "tls": frozenset({443, 465, 636, 853, 989, 990, 993, 995, 8443}),
    "dns": frozenset({53}),
}
"""Where each protocol's servers listen (IANA; for HTTP also the usual alternatives). Used only where Suricata parsed
the protocol, and only one end has such a port."""

_ATTACK_TARGETS: Mapping[str, str] = {
    "client_endpoint": "client",
    "client": "client",
    "server": "server",
    "web_server": "server",
    "http_server": "server",
    "dns_server": "server",
    "smtp_server": "server",
    "sql_server": "server",
    "networking_equipment": "server",
    "iot": "server",
}
"""Emerging Threats' ``attack_target``: which end of the connection the rule's attack is aimed at."""

_CONFIDENCES: Mapping[str, int] = {"low": 15, "medium": 50, "high": 85}
"""STIX 2.1 Appendix A, None / Low / Med / High."""

_TECHNIQUE = re.compile(r"T\d{4}(?:\.\d{3})?").fullmatch
_UPLOADS = frozenset({"POST", "PUT"})
_ASKED = Ruling(Role.C2, "the name that our side asked for")
_RESOLVER = Ruling(Role.THIRD_PARTY, "answered a name query")
_OWN_SERVER = Ruling(Role.VICTIM_ASSET, "the name under which a server of ours was asked")
_AIMED_AT = Ruling(Role.THIRD_PARTY, "the rule names it as the target of the attack, not its source")
_CAME_IN = Ruling(Role.PAYLOAD, "a file that came from outside with what the rule detected")
_BEHIND_PROXY = Ruling(
    Role.UNKNOWN,
    "asked through a machine of ours: whether it is a server or a proxy of ours would decide; held for a person",
)

LookUp = Callable[[str], tuple[Observable, Side] | None]


@dataclass(frozen=True, slots=True)
class _Scene:
    """What is known of an alert's connection."""

    event: _Event
    met: Situation
    outside: Ruling
    """What the outside end is."""
    server_port: int


class SuricataReader:
    """Reads alerts out of an EVE log; every other event is passed over."""

    name = "suricata-eve"

    def recognises(self, head: bytes, filename: str) -> bool:
        """Tells by the two keys that every EVE event has."""
        return b'"event_type"' in head and b'"timestamp"' in head and head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in b"{["

    def read(self, stream: BinaryIO, place: str, own: OwnAssets) -> Iterator[Finding | Reject]:
        """Yields a finding an alert."""
        look_up = sides(own)
        for item in decoded(stream, place, _DECODER):
            if isinstance(item, Reject):
                yield item
                continue
            where, event = item
            if event.event_type == "alert":
                yield _finding(event, where, own, look_up)


def _finding(event: _Event, place: str, own: OwnAssets, look_up: LookUp) -> Finding | Reject:
    alert = event.alert
    seen_at = read_loose_time(event.timestamp)
    source, destination = look_up(event.src_ip), look_up(event.dest_ip)
    if alert is None or seen_at is None or source is None or destination is None:
        path, _, line = place.rpartition(":")
        return reject(path, int(line), "alert without signature, time or addresses", event.timestamp)
    claim = claim_of(alert.signature, alert.category or "")
    sent_by_outside = source[1] is Side.OUTSIDE
    began = _began(event, alert, sent_by_outside)
    ruled = one_sided(source[1], destination[1], began, *rulings(claim, sent_by_outside))
    scene = _Scene(
        event,
        situation(source[1], destination[1], began),
        ruled[0] if sent_by_outside else ruled[1],
        event.dest_port if began is Began.SOURCE else event.src_port,
    )
    return Finding(
        sensor=SuricataReader.name,
        title=alert.signature,
        seen_at=seen_at,
        last_seen_at=seen_at,
        observations=(
            *_ends(scene, alert, source, destination, ruled),
            *(() if claim is Claim.NONE else _named(scene, own)),
        ),
        place=place,
        confidence=_CONFIDENCES.get(_first(alert.metadata, "confidence").lower()),
        techniques=_techniques(alert.metadata),
    )


def _began(event: _Event, alert: _Alert, sent_by_outside: bool) -> Began:
    """Tells which end of the packet opened the connection, by the best evidence that the event holds."""
    if event.flow is not None and event.flow.src_ip:
        return Began.SOURCE if event.flow.src_ip == event.src_ip else Began.DESTINATION
    if event.direction in ("to_server", "to_client"):
        return Began.SOURCE if event.direction == "to_server" else Began.DESTINATION
    aimed = _ATTACK_TARGETS.get(_first(alert.metadata, "attack_target").lower(), "")
    if alert.source is not None and alert.target is not None:
        attacker = Began.SOURCE if alert.source.ip == event.src_ip else Began.DESTINATION
        return _other(attacker) if aimed == "client" else attacker
    if aimed == "client" and sent_by_outside:
        return Began.DESTINATION
    for protocol, ports in _SERVER_PORTS.items():
        if event.app_proto == protocol or getattr(event, protocol) is not None:
            listens = (event.src_port in ports, event.dest_port in ports)
            if listens[0] != listens[1]:
                return Began.DESTINATION if listens[0] else Began.SOURCE
    return Began.SOURCE


def _other(end: Began) -> Began:
    return Began.DESTINATION if end is Began.SOURCE else Began.SOURCE


def _ends(
    scene: _Scene,
    alert: _Alert,
    source: tuple[Observable, Side],
    destination: tuple[Observable, Side],
    ruled: tuple[Ruling, Ruling],
) -> Iterator[Observation]:
    event = scene.event
    aimed_at = alert.target.ip if alert.target is not None else None
    resolver = scene.met is Situation.OUTBOUND and (event.dns is not None or event.app_proto == "dns")
    for end, ruling, text in ((source, ruled[0], event.src_ip), (destination, ruled[1], event.dest_ip)):
        if ruling.role.is_indicator and (text == aimed_at or resolver):
            ruling = _AIMED_AT if text == aimed_at else _RESOLVER
        yield judge_end(end, ruling, text)


def _named(scene: _Scene, own: OwnAssets) -> Iterator[Observation]:
    """Yields names, URLs and hashes that the alert carries, each once."""
    seen: set[Observable] = set()
    for kind, text, ruling in (*_http_values(scene), *_names(scene), *_hashes(scene)):
        try:
            observable = canonical(kind, text)
        except BadValue:
            continue
        if observable not in seen and has_public_host(observable):
            seen.add(observable)
            yield judge(observable, ruling, text, own)


def _asked(met: Situation, outside: Ruling) -> Ruling | None:
    """Rules on the name of the server that was asked; None where it says nothing."""
    if met is Situation.OUTBOUND:
        return outside
    if met is Situation.INBOUND:
        return _OWN_SERVER
    return _BEHIND_PROXY if met is Situation.INTERNAL else None


def _http_values(scene: _Scene) -> Iterator[tuple[Kind, str, Ruling]]:
    http = scene.event.http
    ruling = _asked(scene.met, scene.outside)
    if http is None or not http.hostname or ruling is None:
        return
    host, _, port = http.hostname.partition(":") if http.hostname.count(":") == 1 else (http.hostname, "", "")
    yield Kind.DOMAIN, host, ruling
    if http.url.startswith("/") and http.http_method != "CONNECT" and "libhtp::" not in http.url:
        number = port or http.http_port or scene.server_port
        yield Kind.URL, f"http://{host}{f':{number}' if number else ''}{http.url}", ruling


def _names(scene: _Scene) -> Iterator[tuple[Kind, str, Ruling]]:
    event, ruling = scene.event, _asked(scene.met, scene.outside)
    if event.tls is not None and event.tls.sni and ruling is not None:
        yield Kind.DOMAIN, event.tls.sni, ruling
    if event.dns is None or scene.met in (Situation.INBOUND, Situation.EXTERNAL):
        return
    listed = scene.outside.role is Role.KNOWN_INDICATOR
    for name in _questions(event.dns):
        yield Kind.DOMAIN, name, scene.outside if listed else _ASKED


def _questions(dns: Any) -> Iterator[str]:
    """Yields the names asked for, in all three shapes of the DNS record (versions 1, 2 and 3)."""
    if not isinstance(dns, dict):
        return
    asked = dns.get("queries") or dns.get("query") or [dns]
    for question in asked if isinstance(asked, list) else [asked]:
        if isinstance(question, dict) and isinstance(question.get("rrname"), str):
            yield question["rrname"]


def _hashes(scene: _Scene) -> Iterator[tuple[Kind, str, Ruling]]:
    """Yields hashes of whole files that came in: from the server, or uploaded by an outside client."""
    event = scene.event
    method = event.http.http_method if event.http is not None else ""
    uploaded = event.app_proto in ("smtp", "ftp-data") or method in _UPLOADS
    if scene.met is not (Situation.INBOUND if uploaded else Situation.OUTBOUND):
        return
    ruling = scene.outside if scene.outside.role is Role.KNOWN_INDICATOR else _CAME_IN
    for file in (*event.files, *((event.fileinfo,) if event.fileinfo else ())):
        if file.state == "CLOSED":  # the hash of a truncated file is nobody's
            for kind, digits in ((Kind.MD5, file.md5), (Kind.SHA1, file.sha1), (Kind.SHA256, file.sha256)):
                if digits:
                    yield kind, digits, ruling


def _first(metadata: Any, key: str) -> str:
    value = metadata.get(key) if isinstance(metadata, dict) else None
    if isinstance(value, list):
        value = value[0] if value else None
    return value if isinstance(value, str) else ""


def _techniques(metadata: Any) -> tuple[str, ...]:
    value = metadata.get("mitre_technique_id") if isinstance(metadata, dict) else None
    values = value if isinstance(value, list) else [value]
    return tuple(text for text in values if isinstance(text, str) and _TECHNIQUE(text))
