"""Detection alerts in the Elastic Common Schema: those of Elastic Security, and those that products bring along.

Taken are lines, arrays, lines of a dump (``{"_index": ..., "_source": {...}}``) and search responses, of which each hit
is a record; keys may be nested or dotted, see ``ecs_fields``. Only alerts count: ``event.kind`` alert or signal, or
``kibana.alert.rule.*``; events, metrics, states and the indicators of a threat feed yield nothing. What an
analyst closed as a false positive yields nothing. ``related.*`` mixes both sides and is never read, nor are paths and
command lines; users and recipients are read only to leave out what names them.

No alert of a real Elastic stack was at hand: fields are those of the ECS reference 9 (checked for event, network,
threat and email, the other sets unverified) and of Elastic Security's alert schema; values seen nowhere but there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO

import msgspec

from threatshare.config import OwnAssets
from threatshare.findings.documents import Doc, inner, inners, moment, number, text, texts
from threatshare.findings.events import UNPAIRED, Event, LookUp, Proposal, json_findings, overruled
from threatshare.findings.formats import guardduty
from threatshare.findings.formats.ecs_fields import HITS, hashes, hits_opened, matched, nested, source_of, techniques
from threatshare.findings.formats.signatures import Claim, claim_of, rulings
from threatshare.findings.recipients import Recipients, without_recipients
from threatshare.findings.roles import (
    ATTACKER,
    C2,
    EXTERNAL,
    OURS,
    Began,
    Ruling,
    Side,
    Situation,
    one_sided,
    situation,
)
from threatshare.model import Finding, Kind, Observable, Reject, Removal, Role

_READ = frozenset(
    "@timestamp client destination dns email event file host kibana network observer process rule server "
    "signal source threat tls url user".split()
)
"""Top-level fields that are read; ``signal.*`` is what ``kibana.alert.*`` was called before version 8."""

_MARKS = (b'"kibana', b'"ecs"', b'"ecs.version"', b'"event.kind"', b'"signal"', b'"signal.rule')
_KINDS = frozenset({"alert", "signal"})
"""``event.kind`` of what someone should look at."""
_POSTURE = frozenset({"vulnerability", "configuration"})
"""``event.category`` of weaknesses of ours."""
_BENIGN_REASONS = frozenset({"false_positive", "benign_positive"})
"""``kibana.alert.workflow_reason`` of a closed alert (Kibana 9.2); before, analysts used the tag."""
_BENIGN_TAG = "false positive"
_IDS_MODULES = frozenset({"suricata", "snort"})
"""``event.module`` of integrations whose ``rule.name`` and ``rule.category`` are those of an IDS rule."""

_SENDERS = (("from", "address"), ("sender", "address"), ("reply_to", "address"))
_OUR_PEOPLE = (("email", "to", "address"), ("email", "cc", "address"), ("email", "bcc", "address"), ("user", "email"))
_BEGAN_OUTSIDE = frozenset({"inbound", "ingress"})
_BEGAN_INSIDE = frozenset({"outbound", "egress"})
_DNS_PORTS = frozenset({53, 853})
"""RFC 1035, RFC 7858."""

_MACHINE = Ruling(Role.VICTIM_ASSET, "an address of the machine that the alert is about, or of a sensor")
_LISTED = Ruling(Role.KNOWN_INDICATOR, "the alert says that it matched an indicator of a threat feed")
_FILE = Ruling(Role.PAYLOAD, "the file that the alert is about")
_URL = Ruling(Role.PAYLOAD, "the URL that the alert is about")
_QUERY = Ruling(Role.C2, "the name that our side asked for")
_SENDER = Ruling(Role.PHISH_SENDER, "the sender of the message that the alert is about")
_OUR_SERVER = Ruling(Role.VICTIM_ASSET, "asked of a server of ours")
_RESOLVER = Ruling(Role.THIRD_PARTY, "answered a name query")
_PROCESS = Ruling(
    Role.UNKNOWN, "the image of a process that took part, perhaps a program of the system; a person can decide; held"
)
_CHANGED = Ruling(Role.UNKNOWN, "a file whose change was noticed: whether it is malware, a scan would decide; held")
_BEHIND_PROXY = Ruling(
    Role.UNKNOWN, "asked through a machine of ours: whether it is a server or a proxy of ours would decide; held"
)
_CALLED_INTERNAL = Ruling(
    Role.UNKNOWN,
    "outside our networks, but the sensor calls the connection internal: if it is ours, add it to own-assets.toml and "
    "read this again; held",
)
_BESIDE_LISTED = Ruling(
    Role.UNKNOWN,
    "stands beside a value that matched a threat feed; whether anything else speaks against it would decide; held",
)
_IN_SEQUENCE = Ruling(
    Role.UNKNOWN, "one event of a sequence, which may be harmless alone; a person who sees the whole can decide; held"
)
_GUARDDUTY = Ruling(
    Role.UNKNOWN, "GuardDuty's: which end is the attacker, its own record (event.original) would decide; held"
)


class EcsReader:
    """Reads alerts in the Elastic Common Schema; every other document is passed over."""

    name = "ecs"

    def recognises(self, head: bytes, filename: str) -> bool:
        """Tells by the one field that every ECS document has, and a mark of the schema."""
        return (
            head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[")
            and b'"@timestamp"' in head
            and any(mark in head for mark in _MARKS)
        )

    def read(self, stream: BinaryIO, place: str, own: OwnAssets) -> Iterator[Finding | Reject]:
        """Yields a finding for each alert that holds at least one value."""
        return json_findings(hits_opened(stream), place, own, self.name, partial(_event, own), HITS)


def _event(own: OwnAssets, doc: Doc, look_up: LookUp) -> Event | None:
    """Maps one document, a hit or a dumped line; None where it is no alert, or one that an analyst dismissed."""
    doc = nested(source_of(doc), _READ)
    alert, legacy = inner(doc, "kibana", "alert"), inner(doc, "signal")
    if not (text(doc, "event", "kind") in _KINDS or inner(alert, "rule")) or _dismissed(alert):
        return None
    if set(texts(doc, "event", "category")) and set(texts(doc, "event", "category")) <= _POSTURE:
        return None
    if _is_ids(doc) and claim_of(text(doc, "rule", "name"), text(doc, "rule", "category")) is Claim.NONE:
        return None
    record = _guardduty_record(doc)
    if record:
        return guardduty.event_of(record, look_up)
    # A building block is no alert by the word of its rule's author; those of a sequence carry what the alert is about.
    block = text(alert, "building_block_type") or text(legacy, "rule", "building_block_type")
    if block and not text(alert, "group", "id") and not text(legacy, "group", "id"):
        return None
    people = _people(doc)
    links, removals = _url(inner(doc, "url"), Recipients(people, own) if people else None)
    proposals = list(_proposals(doc, look_up, people, links, bool(block)))
    if not any(one.text and one.ruling is not _MACHINE for one in proposals):
        return None
    threats = [inner(doc, "threat"), *inners(alert, "rule", "threat"), *inners(legacy, "rule", "threat")]
    threats += inners(alert, "rule", "parameters", "threat")
    times = [moment(doc, "event", "start"), moment(alert, "original_time"), moment(legacy, "original_time")]
    return Event(
        title=text(alert, "rule", "name") or text(legacy, "rule", "name") or text(doc, "rule", "name"),
        seen_at=next((at for at in times if at), None) or moment(doc, "@timestamp"),
        last_seen_at=moment(doc, "event", "end") or moment(alert, "suppression", "end"),
        proposals=proposals,
        techniques=tuple(techniques(threats)),
        count=1 + (number(alert, "suppression", "docs_count") or 0),
        removals=removals,
    )


def _dismissed(alert: Doc) -> bool:
    closed = text(alert, "workflow_status").lower() == "closed"
    tags = {tag.lower() for tag in texts(alert, "workflow_tags")}
    return _BENIGN_TAG in tags or (closed and text(alert, "workflow_reason").lower() in _BENIGN_REASONS)


def _guardduty_record(doc: Doc) -> Doc:
    """Gives GuardDuty's own record, which says who did it, out of ``event.original``; empty where it is not kept."""
    if text(doc, "event", "dataset") != "aws.guardduty":
        return {}
    try:
        record = msgspec.json.decode(text(doc, "event", "original") or "{}", type=Doc)
    except (msgspec.MsgspecError, RecursionError):
        return {}
    return record if "type" in record and "service" in record else {}


def _is_ids(doc: Doc) -> bool:
    return text(doc, "event", "module").lower() in _IDS_MODULES


# --- values -----------------------------------------------------------------------------------------------------


def _proposals(
    doc: Doc, look_up: LookUp, people: frozenset[str], links: Sequence[Proposal], in_sequence: bool
) -> Iterator[Proposal]:
    """Yields every value of an alert with its part; what the alert as a whole does not carry is held."""
    machine = [*texts(doc, "host", "ip"), *texts(doc, "observer", "ip")]
    for address in machine:
        yield Proposal(None, address, _MACHINE)
    listed = [Proposal(kind, value, _LISTED) for kind, value in matched(inner(doc, "threat"))]
    yield from listed
    others = _others(doc, _with_machine(look_up, machine), people, links)
    if _rests_on_a_list(doc, bool(listed)):
        others = overruled(others, _BESIDE_LISTED)
    elif text(doc, "event", "dataset") == "aws.guardduty":
        others = overruled(others, _GUARDDUTY)
    elif in_sequence:
        others = overruled(others, _IN_SEQUENCE)
    yield from others


def _rests_on_a_list(doc: Doc, has_match: bool) -> bool:
    """Tells whether the rule fired for a match alone; an alert of another rule may be enriched later."""
    kind = text(doc, "kibana", "alert", "rule", "type") or text(doc, "signal", "rule", "type")
    return kind == "threat_match" or (has_match and not kind)


def _with_machine(look_up: LookUp, machine: list[str]) -> LookUp:
    """Gives a look-up to which the machine's own addresses are inside, public ones too."""
    ours = {known[0] for address in machine if (known := look_up(address)) is not None}
    if not ours:
        return look_up

    def look(address: str) -> tuple[Observable, Side] | None:
        known = look_up(address)
        return (known[0], Side.INSIDE) if known is not None and known[0] in ours else known

    return look


def _others(doc: Doc, look_up: LookUp, people: frozenset[str], links: Sequence[Proposal]) -> Iterator[Proposal]:
    scene = _scene(doc, look_up)
    yield from scene.ends
    for link in links:
        yield link._replace(ruling=scene.asked) if scene.asked is not None and link.ruling is _URL else link
    yield Proposal(Kind.DOMAIN, text(doc, "tls", "client", "server_name"), scene.asked or _QUERY)
    # A name asked of a resolver inside is asked by our side all the same.
    query = _QUERY if scene.asked is _BEHIND_PROXY else scene.asked or _QUERY
    yield Proposal(Kind.DOMAIN, text(doc, "dns", "question", "name"), query)
    changed = text(doc, "event", "module") == "file_integrity"
    yield from _hashed(inner(doc, "file"), _CHANGED if changed else _FILE)
    yield from _hashed(inner(doc, "process"), _PROCESS)
    yield from _email(doc, people)


def _url(url: Doc, people: Recipients | None) -> tuple[tuple[Proposal, ...], tuple[Removal, ...]]:
    """Gives the URL without what names our people, or its host where that is all there is; and what was cut out."""
    whole = next((one for one in (text(url, "full"), text(url, "original")) if "://" in one), "")
    if not whole:
        return (Proposal(None, text(url, "domain"), _URL),), ()
    if people is None:
        return (Proposal(Kind.URL, whole, _URL),), ()
    cut = without_recipients(whole, people, "url")
    if cut is None or cut.observable is None:
        return (), () if cut is None else cut.removals
    ruling = _URL if cut.hold is None else Ruling(Role.UNKNOWN, cut.hold)
    return (Proposal(cut.observable.kind, cut.observable.value, ruling),), cut.removals


def _hashed(holder: Doc, ruling: Ruling) -> Iterator[Proposal]:
    return (Proposal(kind, digits, ruling) for kind, digits in hashes(holder))


def _people(doc: Doc) -> frozenset[str]:
    """Gives the mail addresses of users and recipients, to leave out what names them."""
    found = (one.lower() for path in _OUR_PEOPLE for one in texts(doc, *path))
    return frozenset(one for one in found if "@" in one)


def _email(doc: Doc, people: frozenset[str]) -> Iterator[Proposal]:
    """Yields senders and attachments of a message that came in; a forged sender that is one of our people is none."""
    if text(doc, "email", "direction").lower() in ("outbound", "internal"):
        return
    for path in _SENDERS:
        for sender in texts(doc, "email", *path):
            address = sender.rpartition("<")[2].rstrip("> ")
            if address.lower() not in people:
                yield Proposal(Kind.EMAIL, address, _SENDER)
    for attachment in inners(doc, "email", "attachments"):
        yield from _hashed(inner(attachment, "file"), _FILE)


# --- the connection ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Scene:
    """How the two ends of an alert's connection stand."""

    ends: tuple[Proposal, ...] = ()
    asked: Ruling | None = None
    """What a name or URL is that was asked of the server; None: what it is by itself."""


def _scene(doc: Doc, look_up: LookUp) -> _Scene:
    """Rules on both ends; one that is not named is the machine that the alert is about, where it names one."""
    ends = [inner(doc, "source"), inner(doc, "destination")]
    if not any(_address(end) for end in ends):
        ends = [inner(doc, "client"), inner(doc, "server")]
    stand = [_side(end, look_up) for end in ends]
    inbound, outbound = _rulings(doc, stand[0])
    doubt = None if outbound.role.is_indicator else outbound
    if stand == [None, None]:
        return _Scene(asked=doubt)
    if None in stand and not inner(doc, "host"):
        ruled = [OURS if side is Side.INSIDE else UNPAIRED for side in stand]
        return _Scene(_of_ends(ends, stand, ruled), UNPAIRED if stand[0] is Side.OUTSIDE else doubt)
    source, destination = stand[0] or Side.INSIDE, stand[1] or Side.INSIDE
    began = _began(doc, source, destination)
    met = situation(source, destination, began)
    if met is Situation.OUTBOUND and _is_query(doc, ends[1]):
        inbound, outbound = _RESOLVER, _RESOLVER
    asked = {
        Situation.INBOUND: _OUR_SERVER,
        Situation.INTERNAL: doubt if None in stand else _BEHIND_PROXY,
        Situation.EXTERNAL: EXTERNAL,
    }.get(met, doubt)
    return _Scene(_of_ends(ends, stand, one_sided(source, destination, began, inbound, outbound)), asked)


def _is_query(doc: Doc, server: Doc) -> bool:
    """Tells whether the connection is a name query, and not one for which a name was asked before."""
    if not text(doc, "dns", "question", "name"):
        return False
    protocol, port = text(doc, "network", "protocol").lower(), number(server, "port")
    return protocol == "dns" or port in _DNS_PORTS or (not protocol and port is None)


def _rulings(doc: Doc, source: Side | None) -> tuple[Ruling, Ruling]:
    """Gives what an outside end is where it began, and where our side began."""
    if text(doc, "network", "direction").lower() == "internal":
        return _CALLED_INTERNAL, _CALLED_INTERNAL
    if _is_ids(doc):
        claim = claim_of(text(doc, "rule", "name"), text(doc, "rule", "category"))
        return rulings(claim, source is Side.OUTSIDE)
    return ATTACKER, C2


def _began(doc: Doc, source: Side, destination: Side) -> Began:
    """Tells who began: by the direction that the sensor states, else the client, else the source."""
    direction = text(doc, "network", "direction").lower()
    if source is not destination and direction in _BEGAN_OUTSIDE | _BEGAN_INSIDE:
        outside_began = direction in _BEGAN_OUTSIDE
        return Began.SOURCE if (source is Side.OUTSIDE) == outside_began else Began.DESTINATION
    client = text(doc, "client", "ip")
    return Began.DESTINATION if client and client == text(doc, "destination", "ip") else Began.SOURCE


def _address(end: Doc) -> str:
    return text(end, "ip") or text(end, "address")


def _side(end: Doc, look_up: LookUp) -> Side | None:
    """Tells where an end stands; what is translated to an inside address is ours, whatever it shows outside."""
    behind, known = look_up(text(end, "nat", "ip")), look_up(_address(end))
    if behind is not None and behind[1] is Side.INSIDE:
        return Side.INSIDE
    return None if known is None else known[1]


def _of_ends(ends: Sequence[Doc], stand: Sequence[Side | None], ruled: Sequence[Ruling]) -> tuple[Proposal, ...]:
    found: list[Proposal] = []
    for end, side, ruling in zip(ends, stand, ruled, strict=True):
        if side is not None:
            found.append(Proposal(None, _address(end), ruling))
        if side is Side.INSIDE:
            found.append(Proposal(None, text(end, "nat", "ip"), ruling))
        # The name of an end that came to us is only what its provider calls the address.
        if side is Side.OUTSIDE and ruling.role is not Role.ATTACKER:
            found.append(Proposal(Kind.DOMAIN, text(end, "domain"), ruling))
    return tuple(found)
