"""What most readers share: a stream of JSON records, each mapped to an event, each event to a finding.

A reader's own part is one pure function from a decoded record to an ``Event``: what it was called, when it was, and
which values played which part. It gives None for a record that is no finding, and raises BadValue for one that is
broken.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from itertools import islice
from typing import BinaryIO, NamedTuple

import msgspec

from threatshare.config import OwnAssets
from threatshare.errors import BadValue
from threatshare.findings.documents import Doc
from threatshare.findings.extraction import has_public_host
from threatshare.findings.records import MAX_RECORD, decoded, reject
from threatshare.findings.roles import ATTACKER, C2, Began, Ruling, Side, judge, one_sided, sides
from threatshare.model import Finding, Kind, Observable, Observation, Reject, Removal, Role, Tlp
from threatshare.stix.observables import canonical, recognise

LookUp = Callable[[str], tuple[Observable, Side] | None]
"""From the text of an address to its observable and side; None where it is no address."""


class Proposal(NamedTuple):
    """A value as it stands in a record, with the part that the mapping gives it."""

    kind: Kind | None
    """None: by its form."""
    text: str
    ruling: Ruling


@dataclass(frozen=True, slots=True)
class Event:
    """What a mapping makes of one record."""

    title: str
    """The tool's own words; never leaves the node."""
    seen_at: datetime | None
    proposals: Iterable[Proposal]
    last_seen_at: datetime | None = None
    """None: the same moment."""
    confidence: int | None = None
    """The tool's own, 0-100."""
    techniques: tuple[str, ...] = ()
    count: int = 1
    tlp: Tlp | None = None
    """The marking that the record carries; None: none."""
    removals: tuple[Removal, ...] = ()


EventOf = Callable[[Doc, LookUp], Event | None]

Within = Callable[[Doc], Iterable[Doc]]
"""Takes a record out of its wrapping: a page of an API, or an event of a bus, may hold many findings."""

_DECODER = msgspec.json.Decoder(Doc)
_ODD = (TypeError, KeyError, IndexError, AttributeError, ArithmeticError, ValueError)
"""What Python raises where a record holds something else than expected."""
_LOOKED_AT = 3
"""Records at a file's beginning by which a format is recognised."""

_RANKS: Mapping[Role, int] = {Role.VICTIM_ASSET: 0, Role.KNOWN_INDICATOR: 1, Role.THIRD_PARTY: 2, Role.UNKNOWN: 9}
"""Which role stands where a value turns up twice in one finding; roles not named here rank 5."""

UNPAIRED = Ruling(Role.UNKNOWN, "outside, but the record does not name the other end of the connection; held")


def json_findings(
    stream: BinaryIO,
    place: str,
    own: OwnAssets,
    sensor: str,
    event_of: EventOf,
    members: Collection[str] = (),
    limit: int = MAX_RECORD,
    within: Within | None = None,
) -> Iterator[Finding | Reject]:
    """Yields a finding for each JSON record whose event names at least one value.

    ``members`` and ``limit`` as in ``records``; ``within`` gives the documents of a record that holds several.
    """
    look_up = sides(own)
    for item in decoded(stream, place, _DECODER, members, limit):
        if isinstance(item, Reject):
            yield item
            continue
        where, record = item
        for doc in (record,) if within is None else within(record):
            try:
                event = event_of(doc, look_up)
                found = None if event is None else finding_of(event, sensor, where, own)
            except BadValue as problem:
                yield refused(where, str(problem), str(doc))
            except _ODD as problem:
                # Nobody promised the shape of a record: one that a mapping did not foresee must not end the run.
                yield refused(where, f"of a shape that its reader cannot take ({type(problem).__name__})", str(doc))
            else:
                if found is not None:
                    yield found


def first_documents(head: bytes, within: Within, members: Collection[str]) -> list[Doc]:
    """Gives the documents of the first few whole records of a file's head, to recognise a format by its shape."""
    if head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] not in (b"{", b"["):
        return []
    records = (item for item in decoded(BytesIO(head), "", _DECODER, members) if not isinstance(item, Reject))
    return [doc for _, record in islice(records, _LOOKED_AT) for doc in within(record)]


def refused(where: str, reason: str, text: bytes | str) -> Reject:
    """Makes the Reject of a record that stands at ``file:line``."""
    place, _, line = where.rpartition(":")
    return reject(place, int(line), reason, text)


def finding_of(event: Event, sensor: str, where: str, own: OwnAssets) -> Finding | None:
    """Makes a finding of an event, BadValue where it has no time; None where nothing was named or cut out."""
    observations = observed(event.proposals, own)
    if not observations and not event.removals:
        return None
    if event.seen_at is None:
        raise BadValue("no time that can be read")
    last = event.last_seen_at or event.seen_at
    return Finding(
        sensor=sensor,
        title=event.title,
        seen_at=min(event.seen_at, last),
        last_seen_at=max(event.seen_at, last),
        observations=observations,
        place=where,
        confidence=event.confidence if event.confidence is not None and 0 <= event.confidence <= 100 else None,
        techniques=tuple(dict.fromkeys(event.techniques)),
        count=max(1, event.count),
        tlp=event.tlp,
        removals=event.removals,
    )


def observed(proposals: Iterable[Proposal], own: OwnAssets) -> tuple[Observation, ...]:
    """Gives every value once, in the role that ranks first; a text that is no value, or no public host, is none."""
    found: dict[Observable, Observation] = {}
    for kind, text, ruling in proposals:
        if not text:
            continue
        try:
            observable = canonical(kind, text) if kind is not None else recognise(text)
        except BadValue:
            continue
        if not has_public_host(observable):
            continue
        new, old = judge(observable, ruling, text, own), found.get(observable)
        if old is None or _rank(new) < _rank(old):
            found[observable] = new
    return tuple(found.values())


def _rank(one: Observation) -> int:
    return _RANKS.get(one.role, 5)


def overruled(proposals: Iterable[Proposal], ruling: Ruling) -> Iterator[Proposal]:
    """Gives proposals whose indicators, and what is open, are ruled on anew, e.g. by an analyst's verdict."""
    for one in proposals:
        open_or_bad = one.ruling.role.is_indicator or one.ruling.role is Role.UNKNOWN
        yield one._replace(ruling=ruling) if open_or_bad else one


def connection(
    look_up: LookUp,
    source: str,
    destination: str,
    began: Began,
    inbound: Ruling = ATTACKER,
    outbound: Ruling = C2,
    unpaired: Ruling = UNPAIRED,
) -> list[Proposal]:
    """Rules on both ends of a connection, given as addresses, by the one-sided rule.

    An end that is no address is left out; what is outside then gets ``unpaired``.
    """
    ends = [(text, look_up(text)) for text in (source, destination)]
    here, there = ends[0][1], ends[1][1]
    if here is not None and there is not None:
        ruled = one_sided(here[1], there[1], began, inbound, outbound)
    else:
        ruled = one_sided(
            here[1] if here else Side.INSIDE, there[1] if there else Side.INSIDE, Began.SOURCE, unpaired, unpaired
        )
    return [
        Proposal(known[0].kind, text, ruling)
        for (text, known), ruling in zip(ends, ruled, strict=True)
        if known is not None
    ]
