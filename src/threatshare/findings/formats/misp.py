"""MISP events, as MISP exports them: one, a list, a ``response``, a feed's file or one a line.

Only what an analyst marked for detection (``to_ids``) counts, and only in types and categories that speak of the attack
(``misp_attributes``). What others made, or what bears a restriction that we cannot read, is held. A finding is made of
each attribute and of each object, so that what was seen as one file or one mail stays together.

An event has to lie in memory as a whole, because its creator and tags may stand anywhere in it: events of up to 32 MiB
are taken, with up to five times as much memory, and its attributes are decoded one by one. Who made it is told by the
UUID of its ``Orgc``, by the name only where there is none: names are public.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO

import msgspec
from msgspec import Raw, Struct

from threatshare.config import OwnAssets
from threatshare.errors import BadValue
from threatshare.findings.authorship import held_for_author
from threatshare.findings.documents import Doc, inners, moment, number, text
from threatshare.findings.events import Event, Proposal, finding_of, overruled
from threatshare.findings.formats.misp_attributes import (
    OBJECTS_OF_FLOWS,
    OBJECTS_OF_VICTIMS,
    OPENER,
    proposals_of,
    says,
)
from threatshare.findings.formats.repetition import REPEATED, says_twice
from threatshare.findings.formats.tags import said_by
from threatshare.findings.records import SHOWN, Record, json_records, reject
from threatshare.findings.roles import Ruling
from threatshare.model import Finding, Marking, Reject, Role, Tlp
from threatshare.stix.misp_tags import NAMELESS

MAX_EVENT = 32 * 1024 * 1024
"""Bytes of one event, with its attachments."""

_UNSHARED = frozenset({0, 4})
"""``distribution``: your organisation only, a sharing group; 5 is inherited (MISP core format)."""
_KEPT_IN = Ruling(
    Role.UNKNOWN,
    "MISP's distribution keeps it to one organisation or a sharing group, and no TLP tag says more: a TLP tag or a "
    "person would decide; held",
)
_APART = frozenset({"Attribute", "Object"})
"""Lists of an event whose members are looked at one by one."""
_TAGS = ("Tag", "EventTag", "AttributeTag", "ObjectTag")
"""Where tags stand; all but the first are the rows that join them, each with its ``Tag``."""

_START = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:\[\s*)?\{").match
_INFO = b'"info"'
_FIELDS = (b'"threat_level_id"', b'"analysis"', b'"Orgc"', b'"orgc_id"', b'"Attribute"', b'"distribution"')
"""Names of a MISP event's fields; two beside ``info`` make one."""
_UUID = re.compile(r"[0-9A-Fa-f-]{36}").fullmatch


class _Organisation(Struct):
    name: str | None = None
    uuid: str | None = None


class _Event(Struct):
    """The fields of an event that count; attributes and objects are left as text."""

    info: str | None = None
    date: Any = None
    timestamp: Any = None
    distribution: Any = None
    Orgc: _Organisation | None = None
    Tag: Any = None
    EventTag: Any = None
    Attribute: list[Raw] | None = None
    Object: list[Raw] | None = None


class _Whole(_Event):
    """One JSON object of the file: an event, or what holds one."""

    Event: _Event | None = None


_RECORD = msgspec.json.Decoder(_Whole)
_DOC = msgspec.json.Decoder(Doc)


class MispReader:
    """Reads MISP events."""

    name = "misp"

    def recognises(self, head: bytes, filename: str) -> bool:
        """Tells by the fields of an event, which stand before its attributes."""
        return _START(head) is not None and _INFO in head and sum(one in head for one in _FIELDS) >= 2

    def read(self, stream: BinaryIO, place: str, own: OwnAssets) -> Iterator[Finding | Reject]:
        """Yields a finding for each attribute and object with a value; the place names its UUID."""
        for record in json_records(stream, place, {"response"}, MAX_EVENT):
            if isinstance(record, Record):
                yield from _findings(record, place, own)
            else:
                yield record


def _findings(record: Record, place: str, own: OwnAssets) -> Iterator[Finding | Reject]:
    """Reads one JSON object of a file."""
    try:
        whole = _RECORD.decode(record.text)
    except (msgspec.MsgspecError, RecursionError) as problem:
        yield reject(place, record.line, f"not readable: {problem}", record.text)
        return
    event = whole.Event or whole
    if event.Attribute is None and event.Object is None and event.info is None:
        reason = "no MISP event: export events rather than single attributes"
    elif says_twice(record.text, _APART):
        reason = REPEATED
    else:
        yield from _EventReading(event, f"{place}:{record.line}", own).findings()
        return
    yield reject(place, record.line, reason, record.text)


@dataclass(frozen=True, slots=True)
class _EventReading:
    """One event, and where it stands."""

    event: _Event
    where: str
    own: OwnAssets

    def findings(self) -> Iterator[Finding | Reject]:
        """Yields what its attributes and objects make."""
        for at, raw in enumerate(self.event.Attribute or (), 1):
            doc = self._decoded(raw, f"attribute {at}")
            yield from (doc,) if isinstance(doc, Reject) else self._finding({}, [doc], f"attribute {_uuid(doc, at)}")
        for at, raw in enumerate(self.event.Object or (), 1):
            doc = self._decoded(raw, f"object {at}")
            if isinstance(doc, Reject):
                yield doc
            elif not says(doc, "deleted"):
                yield from self._finding(doc, inners(doc, "Attribute"), f"object {_uuid(doc, at)}")

    def _decoded(self, raw: Raw, what: str) -> Doc | Reject:
        try:
            doc = _DOC.decode(raw)
            reason = REPEATED if says_twice(bytes(raw)) else ""
        except (msgspec.MsgspecError, RecursionError) as problem:
            doc, reason = {}, f"not readable: {problem}"
        said = bytes(raw)[: 4 * SHOWN].decode("utf-8", "replace")
        return self._reject(what, reason, said) if reason else doc

    def _finding(self, holder: Doc, attributes: list[Doc], what: str) -> Iterator[Finding | Reject]:
        """Makes one finding of an attribute, or of an object's (``holder``) attributes."""
        proposals: list[Proposal] = []
        taken: list[Doc] = []
        of_victim = text(holder, "name") in OBJECTS_OF_VICTIMS
        for attribute in attributes:
            try:
                found = proposals_of(attribute, of_victim)
            except BadValue as problem:
                yield self._reject(what, str(problem), text(attribute, "value"))
                continue
            if found:
                proposals += found
                taken.append(attribute)
        if all(one.ruling.role is Role.VICTIM_ASSET for one in proposals):
            return
        if text(holder, "name") in OBJECTS_OF_FLOWS:
            proposals = [one._replace(ruling=OPENER) if one.ruling.role is Role.ATTACKER else one for one in proposals]
        try:
            finding = finding_of(self._event(holder, taken, proposals), MispReader.name, self._place(what), self.own)
        except BadValue as problem:
            yield self._reject(what, str(problem), text(taken[0], "value"))
        else:
            if finding is not None:
                yield finding

    def _event(self, holder: Doc, taken: list[Doc], proposals: list[Proposal]) -> Event:
        own_tags = tuple(tag for one in (holder, *taken) for name in _TAGS for tag in _tags(one.get(name)))
        of_event = (*_tags(self.event.Tag), *_tags(self.event.EventTag))
        nearest, said = said_by(own_tags), said_by((*of_event, *own_tags))
        ruling = said.verdict or self._held(said.marking, (holder, *taken))
        seen_at, last_seen_at = self._times(holder, taken)
        return Event(
            title=self.event.info or "",
            seen_at=seen_at,
            last_seen_at=last_seen_at,
            proposals=proposals if ruling is None else overruled(proposals, ruling),
            confidence=said.confidence if nearest.confidence is None else nearest.confidence,
            techniques=said.techniques,
            tlp=said.marking.tlp,
        )

    def _held(self, marking: Marking, docs: Sequence[Doc]) -> Ruling | None:
        maker = self.event.Orgc or _Organisation()
        held = held_for_author(maker.uuid or maker.name or "", marking, self.own)
        if held is not None or marking.tlp in (Tlp.CLEAR, Tlp.GREEN):
            return held
        levels = {number(one, "distribution") for one in ({"distribution": self.event.distribution}, *docs)}
        return _KEPT_IN if marking.tlp is None and _UNSHARED & levels else None

    def _times(self, holder: Doc, taken: list[Doc]) -> tuple[datetime | None, datetime | None]:
        """Gives first and last seen: what is stated, else when the attributes, else when the event was last edited."""
        docs = (*taken, holder)
        first, last = _moments(docs, "first_seen"), _moments(docs, "last_seen")
        event = {"timestamp": self.event.timestamp, "date": self.event.date}
        seen = (
            first or last or _moments(docs, "timestamp") or _moments([event], "timestamp") or _moments([event], "date")
        )
        return min(seen, default=None), max(last, default=None)

    def _place(self, what: str) -> str:
        return f"{self.where} {what}"

    def _reject(self, what: str, reason: str, said: str) -> Reject:
        return Reject(self._place(what), reason, said[:SHOWN])


def _uuid(doc: Doc, at: int) -> str:
    said = text(doc, "uuid")
    return said if _UUID(said) else str(at)


def _tags(said: object) -> Iterator[str]:
    """Gives the names of tags in any shape that tools write: objects, names, rows that join a tag, one or a list."""
    if isinstance(said, list):
        for one in said:
            yield from _tags(one)
    elif isinstance(said, dict):
        yield from (_tags(said["Tag"]) if "Tag" in said and "name" not in said else _tags(said.get("name") or NAMELESS))
    elif said is not None:
        yield said if isinstance(said, str) and said else NAMELESS


def _moments(docs: Sequence[Doc], key: str) -> list[datetime]:
    return [at for one in docs if (at := moment(one, key)) is not None]
