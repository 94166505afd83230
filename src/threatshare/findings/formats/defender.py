"""Microsoft Defender: security alerts of Microsoft Graph (v2), and the alerts inside incidents of Defender XDR.

Taken are pages (``{"value": [...]}``) of alerts or of incidents with their ``alerts``, arrays, lines and single
objects; the older incidents API of Defender XDR calls evidence ``entities`` and its types ``Ip``, ``Url``, ``File``.

Every piece of evidence stands for itself: it counts where automated investigation called it malicious or suspicious,
or where an analyst classified the whole alert as a true positive. Evidence without a verdict yields nothing, it is not
even held: sorting new alerts is this product's own work, every alert begins so, and a queue of unsorted alerts would
bury what is worth a person's time; once it has a verdict, the next export brings it. Only alerts that rest on a list
of indicators need none, because what they name becomes a sighting. What an analyst called a false
positive or expected yields nothing. Devices, users, mailboxes and recipients are ours.

No alert was at hand: fields and values are those of Microsoft's reference (security-alert, security-alertevidence and
the evidence types of Graph 1.0; "List incidents" of Defender XDR).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import BinaryIO

import msgspec

from threatshare.config import OwnAssets
from threatshare.errors import BadValue
from threatshare.findings.documents import Doc, inner, inners, moment, text, texts
from threatshare.findings.events import Event, LookUp, Proposal, connection, json_findings
from threatshare.findings.recipients import Recipients, without_recipients
from threatshare.findings.roles import ATTACKER, C2, Began, Ruling
from threatshare.model import Finding, Kind, Reject, Removal, Role
from threatshare.stix.observables import refang

_LIMIT = 16 * 1024 * 1024
"""Bytes of one record: an incident holds all its alerts."""
_PAGE = frozenset({"value"})
_DECODER = msgspec.json.Decoder(Doc)

_TRUE_POSITIVE = "truepositive"
_BENIGN_CLASSIFICATIONS = frozenset({"falsepositive", "informationalexpectedactivity", "benignpositive"})
_BENIGN_DETERMINATIONS = frozenset(
    "securitypersonnel securitytesting clean notmalicious insufficientdata notenoughdatatovalidate "
    "confirmeduseractivity confirmedactivity lineofbusinessapplication".split()
)
"""``determination`` of alerts that were no attack, in all spellings of the reference, in lower case."""
_BENIGN_INVESTIGATION = "benign"
"""``investigationState`` of alerts that automated investigation found benign."""
_BAD_VERDICTS = frozenset({"malicious", "suspicious"})
_NO_THREAT = frozenset({"nothreatsfound", "clean"})

_OUR_ROLES = frozenset({"compromised", "attacked", "scanned", "edited", "policyviolator"})
"""Roles of what was attacked; ``contextual`` is harmless by its definition."""
_CONTEXTUAL = "contextual"
_C2_ROLE = "commandandcontrol"
_OUTBOUND_ROLES = frozenset({_C2_ROLE, "destination"})
_INBOUND_ROLES = frozenset({"attacker", "source"})
_OUTBOUND_CATEGORIES = frozenset({"commandandcontrol", "exfiltration"})
"""``category`` of alerts in which our side connects to an address, where its roles do not say."""
_LIST_SOURCES = frozenset({"customti", "microsoftdefenderthreatintelligenceanalytics"})
"""``detectionSource`` of alerts that rest on a list of indicators."""

_LISTED = Ruling(Role.KNOWN_INDICATOR, "the alert says that it matched threat intelligence")
_OURS = Ruling(Role.VICTIM_ASSET, "what was attacked, a device, user or mailbox of ours")
_FILE = Ruling(Role.PAYLOAD, "a file with a bad verdict")
_SERVER = Ruling(Role.C2, "a URL with a bad verdict, used for command and control")
_URL = Ruling(Role.PAYLOAD, "a URL with a bad verdict")
_LINK = Ruling(Role.PAYLOAD, "a link in a message with a bad verdict")
_SENDER = Ruling(Role.PHISH_SENDER, "sent a message with a bad verdict")
_QUERY = Ruling(Role.C2, "a name with a bad verdict that our side asked for")
_CONTACTED = Ruling(Role.C2, "an address with a bad verdict to which our side connected")
_BAD_ADDRESS = Ruling(Role.ATTACKER, "an address with a bad verdict")
_PROCESS = Ruling(
    Role.UNKNOWN, "the image of a process that took part, perhaps a program of the system; a person can decide; held"
)
_FORGED = Ruling(
    Role.UNKNOWN,
    "the visible sender, not of the domain that the message came from: it may be forged; its authentication results "
    "would decide; held",
)
_AMONG_LINKS = Ruling(
    Role.UNKNOWN, "one of several links, and the alert gives another one a bad verdict; a person can decide; held"
)

_DETAILS: Mapping[str, Kind] = {"sha256": Kind.SHA256, "sha1": Kind.SHA1, "md5": Kind.MD5}
_TECHNIQUE = re.compile(r"T\d{4}(?:\.\d{3})?").fullmatch
_MARKS = (b'"detectionSource"', b'"serviceSource"')


class DefenderReader:
    """Reads alerts of Microsoft Defender out of Graph and Defender XDR."""

    name = "defender"

    def recognises(self, head: bytes, filename: str) -> bool:
        """Tells by the namespace of the evidence types, or by what every alert of both interfaces has."""
        return head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[") and (
            b'"#microsoft.graph.security.' in head
            or (all(mark in head for mark in _MARKS) and (b'"evidence"' in head or b'"entities"' in head))
        )

    def read(self, stream: BinaryIO, place: str, own: OwnAssets) -> Iterator[Finding | Reject]:
        """Yields a finding for each alert that holds at least one value, those of an incident one by one."""
        return json_findings(stream, place, own, self.name, partial(_event, own), _PAGE, _LIMIT, _alerts)


def _alerts(record: Doc) -> list[Doc]:
    """Gives the alerts of an incident, or the one alert that a record is."""
    return inners(record, "alerts") if "alerts" in record else [record]


def _event(own: OwnAssets, alert: Doc, look_up: LookUp) -> Event | None:
    """Maps one alert; None for one that was no attack. Raises BadValue for what is no alert at all."""
    pieces = [*inners(alert, "evidence"), *inners(alert, "entities")]
    if not pieces and not (text(alert, "detectionSource") or text(alert, "serviceSource")):
        raise BadValue("no Defender alert: neither evidence nor a detectionSource; incidents need $expand=alerts")
    if (
        _word(alert, "classification") in _BENIGN_CLASSIFICATIONS
        or _word(alert, "determination") in _BENIGN_DETERMINATIONS
        or _word(alert, "investigationState") == _BENIGN_INVESTIGATION
    ):
        return None
    ours = frozenset(_key(value, look_up) for piece in pieces for value in _owned(piece) if value)
    people = [value for value in ours if "@" in value]
    proposals, removals = _without_people(_proposals(alert, pieces, ours, look_up), people, own)
    seen = ("firstActivityDateTime", "firstActivity", "createdDateTime", "creationTime")
    return Event(
        title=text(alert, "title"),
        seen_at=next((at for key in seen if (at := moment(alert, key))), None),
        last_seen_at=moment(alert, "lastActivityDateTime") or moment(alert, "lastActivity"),
        proposals=proposals,
        removals=removals,
        techniques=tuple(uid for uid in texts(alert, "mitreTechniques") if _TECHNIQUE(uid)),
    )


def _word(doc: Doc, key: str) -> str:
    """Gives a value of an enumeration in lower case: Graph begins it with a small letter, the older API does not."""
    return text(doc, key).lower()


# --- evidence -----------------------------------------------------------------------------------------------------


def _proposals(alert: Doc, pieces: list[Doc], ours: frozenset[str], look_up: LookUp) -> Iterator[Proposal]:
    """Yields the values of all evidence that counts; whatever is ours in one piece is ours in every other."""
    listed = _word(alert, "detectionSource") in _LIST_SOURCES
    judged_links = any(_type(piece) == "url" and _counts(piece, alert) for piece in pieces)
    for piece in pieces:
        read, roles = _EVIDENCE.get(_type(piece)), _roles(piece)
        if read is None or _CONTEXTUAL in roles or not _counts(piece, alert):
            continue
        for one in read(piece, alert, look_up):
            if roles & _OUR_ROLES or _key(one.text, look_up) in ours:
                yield one._replace(ruling=_OURS)
            elif not listed:
                yield one._replace(ruling=_AMONG_LINKS) if judged_links and one.ruling is _LINK else one
            elif one.ruling.role.is_indicator:
                yield one._replace(ruling=_LISTED)


def _without_people(
    proposals: Iterator[Proposal], people: list[str], own: OwnAssets
) -> tuple[list[Proposal], tuple[Removal, ...]]:
    """Gives the proposals with URLs cut before what names a recipient or user, and what was cut out."""
    if not people:
        return list(proposals), ()
    recipients, kept, removals = Recipients(people, own), list[Proposal](), list[Removal]()
    for one in proposals:
        if one.ruling is _OURS or "://" not in (link := refang(one.text)):
            kept.append(one)
            continue
        cut = without_recipients(link, recipients, "url")
        if cut is None:
            continue
        removals += cut.removals
        if cut.observable is not None:
            ruling = one.ruling if cut.hold is None else Ruling(Role.UNKNOWN, cut.hold)
            kept.append(Proposal(cut.observable.kind, cut.observable.value, ruling))
    return kept, tuple(removals)


def _key(value: str, look_up: LookUp) -> str:
    """Gives one spelling for each address, and lower case for all else."""
    known = look_up(value)
    return known[0].value if known is not None else value.lower()


def _counts(piece: Doc, alert: Doc) -> bool:
    """Tells whether a piece of evidence is bad by its verdict, or for want of one by what is known of the alert."""
    verdict = _word(piece, "verdict")
    if verdict in _BAD_VERDICTS or verdict in _NO_THREAT:
        return verdict in _BAD_VERDICTS
    return _word(alert, "classification") == _TRUE_POSITIVE or _word(alert, "detectionSource") in _LIST_SOURCES


def _roles(piece: Doc) -> frozenset[str]:
    return frozenset(role.lower() for role in (*texts(piece, "roles"), *texts(piece, "evidenceRoles")))


def _type(piece: Doc) -> str:
    """Names the type of evidence: ``ip`` for ``#microsoft.graph.security.ipEvidence`` and for entityType ``Ip``."""
    graph = text(piece, "@odata.type").rpartition(".")[2].removesuffix("Evidence")
    return (graph or text(piece, "entityType")).lower()


def _owned(piece: Doc) -> Iterator[str]:
    """Yields what a device, user, mailbox or recipient is called, so that it is ours wherever it turns up."""
    for key in ("lastIpAddress", "lastExternalIpAddress", "deviceDnsName", "primaryAddress", "upn", "recipient"):
        yield text(piece, key)
    for key in ("recipientEmailAddress", "submitter", "userPrincipalName", "mailboxAddress", "hostName"):
        yield text(piece, key)
    yield from texts(piece, "ipInterfaces")
    yield text(piece, "userAccount", "userPrincipalName")


def _ip(piece: Doc, alert: Doc, look_up: LookUp) -> Iterator[Proposal]:
    roles = _roles(piece)
    outwards = roles & _OUTBOUND_ROLES or (
        not roles & _INBOUND_ROLES and _word(alert, "category") in _OUTBOUND_CATEGORIES
    )
    yield Proposal(None, text(piece, "ipAddress"), _CONTACTED if outwards else _BAD_ADDRESS)


def _url(piece: Doc, alert: Doc, look_up: LookUp) -> Iterator[Proposal]:
    yield Proposal(None, text(piece, "url"), _SERVER if _C2_ROLE in _roles(piece) else _URL)


def _file(piece: Doc, alert: Doc, look_up: LookUp) -> Iterator[Proposal]:
    yield from _hashes(inner(piece, "fileDetails") or piece, _FILE)


def _file_hash(piece: Doc, alert: Doc, look_up: LookUp) -> Iterator[Proposal]:
    kind = _DETAILS.get(_word(piece, "algorithm"))
    if kind is not None:
        yield Proposal(kind, text(piece, "value"), _FILE)


def _process(piece: Doc, alert: Doc, look_up: LookUp) -> Iterator[Proposal]:
    """Yields the image; that of the parent process is never read."""
    yield from _hashes(inner(piece, "imageFile") or piece, _PROCESS)


def _dns(piece: Doc, alert: Doc, look_up: LookUp) -> Iterator[Proposal]:
    yield Proposal(Kind.DOMAIN, text(piece, "domainName"), _QUERY)


def _network(piece: Doc, alert: Doc, look_up: LookUp) -> Iterator[Proposal]:
    """Rules on both ends; the source of the reference is the connection's, so it began."""
    ends = [text(piece, key, "ipAddress") for key in ("sourceAddress", "destinationAddress")]
    yield from connection(look_up, ends[0], ends[1], Began.SOURCE, ATTACKER, C2)


def _message(piece: Doc, alert: Doc, look_up: LookUp) -> Iterator[Proposal]:
    """Yields senders, links and attachments of a message that came in; recipients are never read."""
    came_in = _word(piece, "antiSpamDirection") in ("", "inbound")
    if came_in:
        envelope, visible = text(piece, "p1Sender", "emailAddress"), text(piece, "p2Sender", "emailAddress")
        yield Proposal(Kind.EMAIL, envelope, _SENDER)
        yield Proposal(Kind.EMAIL, visible, _SENDER if _aligned(envelope, visible) else _FORGED)
        yield Proposal(Kind.EMAIL, text(piece, "sender"), _SENDER)
        yield Proposal(None, text(piece, "senderIp"), _SENDER)
    for link in texts(piece, "urls"):
        yield Proposal(None, link, _LINK)
    for attachment in inners(piece, "attachments"):  # not in the reference of Graph 1.0: unverified
        yield from _hashes(inner(attachment, "fileDetails") or attachment, _FILE)


def _aligned(envelope: str, visible: str) -> bool:
    """Tells whether both senders are of one domain, or one of a subdomain of the other's (as DMARC's relaxed mode)."""
    one, other = (address.rpartition("@")[2].lower() for address in (envelope, visible))
    return not one or not other or one == other or one.endswith(f".{other}") or other.endswith(f".{one}")


def _hashes(details: Doc, ruling: Ruling) -> Iterator[Proposal]:
    for key, kind in _DETAILS.items():
        yield Proposal(kind, text(details, key), ruling)


_EVIDENCE: Mapping[str, Callable[[Doc, Doc, LookUp], Iterator[Proposal]]] = {
    "ip": _ip,
    "url": _url,
    "file": _file,
    "filehash": _file_hash,
    "process": _process,
    "dns": _dns,
    "networkconnection": _network,
    "analyzedmessage": _message,
    "mailmessage": _message,
    "submissionmail": _message,
}
"""Types that hold values of the other side. Devices, users, mailboxes, mail clusters, registry keys, sessions, cloud
resources and applications are ours or nobody's, and so is every type that comes after this was written."""
