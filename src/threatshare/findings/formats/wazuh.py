"""Wazuh's alerts.json: who attacked, by the groups of the rule that fired; what merely happened yields nothing.

One alert a line, as the manager writes them; lines of a dump and search responses of the Wazuh indexer are taken too.
The agent and the manager are ours. A rule's groups say what its alert is about: an attempt at our machine, whose
source is the attacker; a program of ours that was detected while it connected outwards; a file in which VirusTotal or
YARA found malware; what an IDS or GuardDuty reports. Everything else (audit, syscheck, rootcheck, SCA, CIS,
vulnerabilities, successes, plain log lines) is no attack, and so is what Wazuh itself grades below level 3.

No alerts were at hand: groups, ids and fields are those of Wazuh's rule set 4 (files 0095 sshd, 0240 ids, 0245 web,
0270 web appsec, 0280 attack, 0475 suricata, 0490 virustotal) and its documentation; tables say what is unverified.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import BinaryIO

from threatshare.config import OwnAssets
from threatshare.errors import BadValue
from threatshare.findings.documents import Doc, inner, moment, number, text, texts
from threatshare.findings.events import Event, LookUp, Proposal, json_findings
from threatshare.findings.formats import guardduty
from threatshare.findings.formats.ecs_fields import HITS, hits_opened, source_of
from threatshare.findings.formats.signatures import Claim, claim_of, rulings
from threatshare.findings.roles import Began, Ruling, Side, Situation, one_sided, situation
from threatshare.model import Finding, Kind, Observable, Reject, Role

_LEAST_LEVEL = 3
"""Below, Wazuh's scale has ignored events and system notifications."""
_ATTACK_LEVEL = 6
"""From here, Wazuh's scale (documentation, "Rules classification") speaks of attacks; 3 to 5 are successes and errors.

Asked only of what our own programs did: sites give each of their connections an alert of level 3.
"""

_ATTEMPTS = frozenset(
    "authentication_failed authentication_failures invalid_login attack attacks sql_injection sqlinjection web_scan "
    "recon exploit_attempt".split()
)
"""Groups of rules for an attempt at the machine that logged it."""
_SUCCESS = "authentication_success"
_IDS = frozenset({"ids", "suricata", "snort"})
_DETECTIONS = frozenset({"sysmon_eid3_detections", "sysmon_eid22_detections"})
"""Groups of rules for suspicious connections and name queries; ``sysmon_event3`` alone is every connection."""
_MALWARE = frozenset({"yara"})
"""Groups of rules for a scanner's match that carry syscheck's hashes; unverified, sites name them themselves."""

_NO_ATTACK = frozenset(
    {
        "31101",  # a single answer 4xx of a web server, though its group is attack
        "31509",  # one login at a CMS
        "31530",  # one POST
    }
)
_DOUBTFUL: Mapping[str, Ruling] = dict.fromkeys(
    ("31533", "40101", "40112"),
    Ruling(
        Role.UNKNOWN,
        "many requests, a login of a system user, or failures followed by a success: our own people do that too; "
        "who knows the account can decide; held",
    ),
)
"""Rules that fire for what may be ours as well: a likely bot; system user logged in; success after failures."""

_SOURCES = (
    ("srcip",),
    ("src_ip",),
    ("win", "eventdata", "ipAddress"),
    ("aws", "sourceIPAddress"),
    ("office365", "ClientIP"),
)
"""Where decoders put the source of an attempt; the last two are unverified."""
_DESTINATIONS = (("dstip",), ("dest_ip",), ("dst_ip",))

_SYSCHECK: Mapping[str, Kind] = {"md5_after": Kind.MD5, "sha1_after": Kind.SHA1, "sha256_after": Kind.SHA256}
_VIRUSTOTAL: Mapping[str, Kind] = {"md5": Kind.MD5, "sha1": Kind.SHA1, "sha256": Kind.SHA256}
"""``data.virustotal.source``; sha256 is unverified."""

_NOT_WORTH_TELLING = frozenset({Role.VICTIM_ASSET, Role.THIRD_PARTY})

_TECHNIQUE = re.compile(r"T\d{4}(?:\.\d{3})?").fullmatch

_ONE_FAILURE = "authentication_failed"
_TRIES = 4
"""So often a rule for a single failed login must have fired: OpenSSH's client asks a person three times."""

_TYPO = Ruling(
    Role.UNKNOWN,
    "failed to log in fewer than four times, which our own people do too; a rule for many failures "
    "(authentication_failures) or who knows the account can decide; held",
)
_ATTACKER = Ruling(Role.ATTACKER, "outside, and made the attempt that the rule reports")
_SCANNED = Ruling(Role.PAYLOAD, "a file in which engines of VirusTotal found malware")
_MATCHED = Ruling(Role.PAYLOAD, "a file that a YARA rule matched")
_ASKED = Ruling(Role.C2, "the name that a detected program of ours asked for")


class WazuhReader:
    """Reads Wazuh's alerts."""

    name = "wazuh"

    def recognises(self, head: bytes, filename: str) -> bool:
        """Tells by the objects that every alert has."""
        marks = (b'"rule"', b'"level"', b'"groups"', b'"agent"', b'"manager"')
        return head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[") and all(mark in head for mark in marks)

    def read(self, stream: BinaryIO, place: str, own: OwnAssets) -> Iterator[Finding | Reject]:
        """Yields a finding for each alert that names an attacker or malware, or may name one."""
        return json_findings(hits_opened(stream), place, own, self.name, wazuh_event, HITS)


def wazuh_event(doc: Doc, look_up: LookUp) -> Event | None:
    """Maps one alert; None where its rule reports no attack. Raises BadValue for what is no alert at all."""
    doc = source_of(doc)
    rule, data = inner(doc, "rule"), inner(doc, "data")
    level = number(rule, "level")
    if level is None:
        raise BadValue("no Wazuh alert: it has no rule.level")
    if level < _LEAST_LEVEL or text(rule, "id") in _NO_ATTACK:
        return None
    if text(data, "aws", "source") == "guardduty":
        return guardduty.event_of(inner(data, "aws"), look_up)
    proposals = list(_proposals(doc, rule, data, level, _with_agent(look_up, text(doc, "agent", "ip"))))
    # A finding of nothing but ourselves tells nobody anything.
    if not any(one.text and one.ruling.role not in _NOT_WORTH_TELLING for one in proposals):
        return None
    return Event(
        title=text(rule, "description"),
        seen_at=moment(doc, "timestamp") or moment(doc, "@timestamp"),
        proposals=proposals,
        techniques=tuple(uid for uid in texts(rule, "mitre", "id") if _TECHNIQUE(uid)),
    )


def _with_agent(look_up: LookUp, address: str) -> LookUp:
    """Gives a look-up to which the agent's own address is inside, a public one too."""
    agent = look_up(address)
    if agent is None:
        return look_up

    def look(text: str) -> tuple[Observable, Side] | None:
        known = look_up(text)
        return (known[0], Side.INSIDE) if known is not None and known[0] == agent[0] else known

    return look


def _proposals(doc: Doc, rule: Doc, data: Doc, level: int, look_up: LookUp) -> Iterator[Proposal]:
    """Yields what the first of these that the alert is has to say: VirusTotal, YARA, IDS, detection, attempt."""
    groups = frozenset(texts(rule, "groups"))
    if text(data, "integration") == "virustotal" or "virustotal" in groups:
        yield from _virustotal(inner(data, "virustotal"))
    elif groups & _MALWARE:
        yield from (Proposal(kind, text(doc, "syscheck", key), _MATCHED) for key, kind in _SYSCHECK.items())
    elif groups & _IDS:
        yield from _ids(rule, data, look_up)
    elif groups & _DETECTIONS:
        if level >= _ATTACK_LEVEL:
            yield from _detected(inner(data, "win", "eventdata"), look_up)
    elif groups & _ATTEMPTS and _SUCCESS not in groups:
        typo = groups & _ATTEMPTS == {_ONE_FAILURE} and (number(rule, "firedtimes") or 1) < _TRIES
        yield from _attempt(data, _DOUBTFUL.get(text(rule, "id"), _TYPO if typo else _ATTACKER), look_up)


def _virustotal(report: Doc) -> Iterator[Proposal]:
    """Yields the hashes of a file that VirusTotal knows and at least one engine detects; values come as text."""
    if number(report, "found") == 1 and (number(report, "positives") or 0) > 0 and number(report, "malicious") != 0:
        for key, kind in _VIRUSTOTAL.items():
            yield Proposal(kind, text(report, "source", key), _SCANNED)


def _attempt(data: Doc, ruling: Ruling, look_up: LookUp) -> Iterator[Proposal]:
    """Yields the source of an attempt; its target is the machine that logged it, unless the log names another."""
    source = look_up(_first(data, _SOURCES))
    target = look_up(_first(data, _DESTINATIONS))
    if source is not None:
        ruled = one_sided(source[1], target[1] if target else Side.INSIDE, Began.SOURCE, ruling)
        yield Proposal(source[0].kind, source[0].value, ruled[0])


def _first(data: Doc, paths: tuple[tuple[str, ...], ...]) -> str:
    return next((found for path in paths if (found := text(data, *path))), "")


def _detected(event: Doc, look_up: LookUp) -> Iterator[Proposal]:
    """Yields both ends of a connection that a program of ours opened or took (Sysmon 3), or the name it asked for (22).

    ``initiated`` says whether our program opened it; which end is then called the source is not relied on.
    """
    yield Proposal(Kind.DOMAIN, text(event, "queryName"), _ASKED)
    source, target = look_up(text(event, "sourceIp")), look_up(text(event, "destinationIp"))
    if target is None:
        return
    near = source[1] if source is not None else Side.INSIDE
    began, opened = Began.UNKNOWN, text(event, "initiated").lower()
    if opened in ("true", "false"):
        began = Began.SOURCE if (near is Side.INSIDE) == (opened == "true") else Began.DESTINATION
    for end, ruling in zip((source, target), one_sided(near, target[1], began), strict=True):
        if end is not None:
            yield Proposal(end[0].kind, end[0].value, ruling)


# --- alerts of an IDS ---------------------------------------------------------------------------------------------


def _ids(rule: Doc, data: Doc, look_up: LookUp) -> Iterator[Proposal]:
    """Yields both ends of what Suricata (its EVE record is ``data``) or Snort reported, and what was asked for.

    The addresses are those of one packet: who began is known only where the flow says so, or where it does not matter.
    """
    source, target = look_up(text(data, "src_ip") or text(data, "srcip")), look_up(_first(data, _DESTINATIONS))
    claim = claim_of(text(data, "alert", "signature") or text(rule, "description"), text(data, "alert", "category"))
    if source is None or target is None or claim is Claim.NONE:
        return
    sent_by_outside = source[1] is Side.OUTSIDE
    inbound, outbound = rulings(claim, sent_by_outside)
    began = Began.SOURCE if inbound == outbound else _began(data)
    ends = one_sided(source[1], target[1], began, inbound, outbound)
    for end, ruling in zip((source, target), ends, strict=True):
        yield Proposal(end[0].kind, end[0].value, ruling)
    if situation(source[1], target[1], began) is Situation.OUTBOUND and _began(data) is not Began.UNKNOWN:
        asked = ends[0] if sent_by_outside else ends[1]
        for path in (("http", "hostname"), ("tls", "sni")):
            yield Proposal(Kind.DOMAIN, text(data, *path), asked)


def _began(data: Doc) -> Began:
    opener = text(data, "flow", "src_ip")
    if opener:
        return Began.SOURCE if opener == text(data, "src_ip") else Began.DESTINATION
    return {"to_server": Began.SOURCE, "to_client": Began.DESTINATION}.get(text(data, "direction"), Began.UNKNOWN)
