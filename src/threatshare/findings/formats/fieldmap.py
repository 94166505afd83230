"""Reads any JSON or CSV by a field map: a small file in which a site says where things stand in its own format.

A map says what a field means, never more than the record does: a word that it does not know is held or refused, and
the ends of a connection are ruled on as everywhere.
"""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeVar

import msgspec

from threatshare.config import OwnAssets
from threatshare.errors import BadValue
from threatshare.findings.documents import Doc, moment
from threatshare.findings.events import Event, LookUp, Proposal, connection, finding_of, json_findings, refused
from threatshare.findings.formats.columns import KINDS, Row, value_of
from threatshare.findings.formats.fieldmap_settings import (
    BEGAN,
    READERS_DIR,
    Confidence,
    FieldMap,
    Severity,
    Value,
    folded,
    load_field_map,
    steps_of,
    zone_of,
)
from threatshare.findings.formats.paths import Steps, as_text, leaves, nearest, objects, texts
from threatshare.findings.formats.rows import as_doc, rows
from threatshare.findings.records import Numbered, file_time, reject, text_lines
from threatshare.findings.roles import Began, Ruling, sides
from threatshare.model import Finding, Kind, Reject, Role, Tlp
from threatshare.ports import Reader
from threatshare.stix.tlp import tlp_named

_TECHNIQUE = re.compile(r"\bT\d{4}(?:\.\d{3})?\b").findall
_NUMBER = re.compile(r"-?\d{1,20}(?:\.\d{1,20})?", re.ASCII).fullmatch
_COUNT = re.compile(r"\d{1,9}", re.ASCII).fullmatch
_EPOCH = re.compile(r"\d{9,20}(?:\.\d{1,20})?", re.ASCII).fullmatch
"""From March 1973 on; fewer digits may be a date, such as 20260504."""
_TLP_LABELS: Mapping[str, Tlp] = {**{one.label: one for one in Tlp}, "white": Tlp.CLEAR}
"""TLP 2.0's labels, and TLP 1's word for CLEAR."""

_TANGLED = Ruling(
    Role.UNKNOWN,
    "outside, but the record names several sources and several destinations: which belong together would decide; held",
)


def site_readers(directory: Path) -> dict[str, Reader]:
    """Loads every ``readers/NAME.toml`` of a node directory, by name; ConfigurationError at the first that is wrong."""
    files = sorted((directory / READERS_DIR).glob("*.toml"))
    return {file.stem: FieldMapReader(file.stem, load_field_map(file)) for file in files}


@dataclass(frozen=True, slots=True)
class _Mapped:
    """One ``[[value]]``, made ready."""

    value: Value
    steps: Steps
    kinds: tuple[Kind, ...] | None
    conditions: tuple[frozenset[str], ...]
    """The words of each condition."""
    beside: tuple[str, ...]
    """The field of each condition, then the one that says the role, if one does."""
    roles: Mapping[str, str]


def _mapped(one: Value, steps: Steps) -> _Mapped:
    conditions = _conditions(one.when)
    role = () if one.role_field is None else (one.role_field,)
    kinds = None if one.kind is None else KINDS[one.kind]
    return _Mapped(one, steps, kinds, tuple(conditions.values()), (*conditions, *role), _folded_keys(one.roles))


class FieldMapReader:
    """Reads one site's format, as its field map says."""

    def __init__(self, name: str, read: FieldMap) -> None:
        self.name = name
        self._map = read
        self._zone = zone_of(read.time.zone) or UTC
        self._when = _conditions(read.when)
        self._unless = _conditions(read.unless)
        self._unpaired = _conditions(read.connection.unless)
        self._values = [_mapped(one, self._steps(one.field)) for one in read.value]
        self._confidences = _folded_keys(read.confidence.words)
        self._severities = _folded_keys(read.severity.words)
        self._markings = {**_TLP_LABELS, **{folded(word): tlp_named(one) for word, one in read.marking.words.items()}}

    def recognises(self, head: bytes, filename: str) -> bool:
        """Tells by the keys or columns that the map names; never, where it names none."""
        if self._map.format == "json":
            keys = [*self._map.recognise.keys, *filter(None, [self._map.records])]
            opening = head.removeprefix(codecs.BOM_UTF8).lstrip()[:1]
            return (
                bool(self._map.recognise.keys) and opening in (b"{", b"[") and all(_has_key(head, one) for one in keys)
            )
        wanted = self._map.recognise.columns
        read = self._rows(text_lines(io.BytesIO(head), filename), filename)
        first = next((row for row in read if not isinstance(row, Reject)), None)
        return bool(wanted) and first is not None and set(wanted) <= {cell.strip() for cell in first[1]}

    def read(self, stream: BinaryIO, place: str, own: OwnAssets) -> Iterator[Finding | Reject]:
        """Yields a finding for each record or row that counts and holds at least one value."""
        event_of = partial(self._event, file_time(stream))
        if self._map.format == "json":
            members = () if self._map.records is None else (self._map.records,)
            yield from json_findings(stream, place, own, self.name, event_of, members)
            return
        look_up = sides(own)
        for item in self._table(stream, place):
            if isinstance(item, Reject):
                yield item
                continue
            where, doc = item
            try:
                event = event_of(doc, look_up)
                found = None if event is None else finding_of(event, self.name, where, own)
            except BadValue as problem:
                yield refused(where, str(problem), str(doc))
            else:
                if found is not None:
                    yield found

    # --- records ----------------------------------------------------------------------------------------------

    def _event(self, written_at: datetime, doc: Doc, look_up: LookUp) -> Event | None:
        read = self._map
        if not self._counts(doc):
            return None
        proposals = [*self._connection(doc, look_up), *self._proposals(doc)]
        if not proposals:
            return None
        return Event(
            title=next(self._texts(doc, read.title), ""),
            seen_at=self._time(doc, read.time.seen) if read.time.seen else written_at,
            last_seen_at=self._time(doc, read.time.last) if read.time.last else None,
            proposals=proposals,
            confidence=min(self._percents(doc, read.confidence, self._confidences), default=None),
            techniques=tuple(one for text in self._texts(doc, read.techniques) for one in _TECHNIQUE(text)),
            count=max((int(text) for text in self._texts(doc, read.count) if _COUNT(text)), default=1),
            tlp=self._marking(doc),
        )

    def _counts(self, doc: Doc) -> bool:
        if not all(self._says(doc, path, words) for path, words in self._when.items()):
            return False
        if any(self._says(doc, path, words) for path, words in self._unless.items()):
            return False
        severity = self._map.severity
        if not severity.field or not severity.at_least:
            return True
        found = max(self._percents(doc, severity, self._severities), default=None)
        if found is None:
            raise BadValue(f"no severity in {severity.field}, and the field map asks for one of {severity.at_least}")
        return found >= severity.at_least

    def _says(self, doc: Doc, path: str, words: frozenset[str]) -> bool:
        return any(folded(text) in words for text in self._texts(doc, path))

    def _percents(self, doc: Doc, read: Confidence | Severity, words: Mapping[str, int]) -> Iterator[int]:
        for text in self._texts(doc, read.field):
            known = words.get(folded(text))
            if known is not None:
                yield known
            elif _NUMBER(text) and 0 <= float(text) <= read.out_of:
                yield round(float(text) * 100 / read.out_of)
            else:
                raise BadValue(
                    f"{read.field} says {text[:40]!r}, which is none of the field map's words, "
                    f"nor a number from 0 to {read.out_of}"
                )

    def _marking(self, doc: Doc) -> Tlp | None:
        found: list[Tlp] = []
        for text in self._texts(doc, self._map.marking.field):
            tlp = self._markings.get(folded(text), self._markings.get(folded(text).removeprefix("tlp:")))
            if tlp is None:
                raise BadValue(
                    f"{self._map.marking.field} says {text[:40]!r}, which is no TLP label: add it to marking.words"
                )
            found.append(tlp)
        return max(found, default=None)

    def _time(self, doc: Doc, path: str) -> datetime | None:
        text = next(self._texts(doc, path), "")
        if not text:
            return None
        form = self._map.time.format
        if form == "epoch" or (not form and _EPOCH(text)):
            return moment({"at": float(text)}, "at") if _NUMBER(text) else None
        try:
            at = datetime.fromisoformat(text) if form in ("", "rfc3339") else datetime.strptime(text, form)  # noqa: DTZ007
            return (at.replace(tzinfo=self._zone) if at.tzinfo is None else at).astimezone(UTC)
        except (ValueError, OverflowError):
            return None

    # --- values -----------------------------------------------------------------------------------------------

    def _connection(self, doc: Doc, look_up: LookUp) -> Iterator[Proposal]:
        read = self._map.connection
        if not read.source or any(self._says(doc, path, words) for path, words in self._unpaired.items()):
            return
        source, destination = self._steps(read.source), self._steps(read.destination)
        began = BEGAN[read.initiator]
        for inner, depth in objects(doc, source, destination):
            ends = [list(dict.fromkeys(map(_address, texts(inner, one[depth:])))) for one in (source, destination)]
            yield from _ruled(ends[0], ends[1], began, look_up)

    def _proposals(self, doc: Doc) -> Iterator[Proposal]:
        for one in self._values:
            rulings: dict[tuple[int, ...], Ruling | None] = {}
            others = [self._steps(path) for path in one.beside]
            for leaf, trail in leaves(doc, one.steps):
                around = [nearest(trail, one.steps, other) for other in others]
                # Decided once for all values of an object: a record may hold thousands, and as many words beside them.
                which = tuple(id(inner) for _, inner in around)
                if which not in rulings:
                    said = [list(texts(inner, other[at:])) for (at, inner), other in zip(around, others, strict=True)]
                    rulings[which] = self._ruling(one, said)
                ruling = rulings[which]
                if ruling is None:
                    continue
                text = as_text(leaf)
                for part in [text] if one.value.split is None else text.split(one.value.split):
                    yield from _proposed(part.strip(), one.kinds, ruling)

    def _ruling(self, one: _Mapped, said: list[list[str]]) -> Ruling | None:
        """Rules on the values of one object by what its fields in ``one.beside`` say; None where they do not count."""
        for words, given in zip(one.conditions, said, strict=False):
            if not any(folded(text) in words for text in given):
                return None
        if one.value.role is None:
            return self._told(one.value.role_field or "", said[-1], one.roles)
        role = Role(one.value.role)
        if role is Role.UNKNOWN:
            return Ruling(
                role, f"the field map {self.name} leaves open what {one.value.field} is: a person can decide; held"
            )
        return Ruling(role, f"the field map {self.name} says so of {one.value.field}")

    def _told(self, field: str, given: list[str], roles: Mapping[str, str]) -> Ruling:
        """Rules by the tool's own words; what they leave open is held."""
        meant = {roles.get(folded(text)) for text in given}
        if len(meant) == 1 and (only := meant.pop()) is not None:
            open_still = "; held" if only == Role.UNKNOWN else ""
            return Ruling(
                Role(only), f"{field} says {given[0][:40]!r}, {only} by the field map {self.name}{open_still}"
            )
        if not given:
            return Ruling(Role.UNKNOWN, f"{field} says nothing of it, which would decide; held")
        unknown = next((text for text in given if folded(text) not in roles), None)
        if unknown is None:
            return Ruling(Role.UNKNOWN, f"{field} says several things of it: one alone would decide; held")
        why = f"{field} says {unknown[:40]!r}, unknown to the field map {self.name}: its roles would decide; held"
        return Ruling(Role.UNKNOWN, why)

    # --- tables and paths -------------------------------------------------------------------------------------

    def _table(self, stream: BinaryIO, place: str) -> Iterator[tuple[str, Doc] | Reject]:
        header: Row | None = None
        for row in self._rows(text_lines(stream, place), place):
            if isinstance(row, Reject):
                yield row
                continue
            number, cells = row
            if header is None:
                header = [cell.strip() for cell in cells]
                read = {one.field for one in self._map.value} | {self._map.connection.source} - {""}
                if not read & set(header):
                    yield reject(
                        place, number, f"no header with a column of {', '.join(sorted(read))}", ",".join(cells)
                    )
                    return
            elif len(cells) != len(header):
                reason = f"a row of {len(cells)} cells under a header of {len(header)}"
                yield reject(place, number, reason, ",".join(cells))
            else:
                yield f"{place}:{number}", as_doc(header, cells)

    def _rows(self, lines: Iterator[Numbered | Reject], place: str) -> Iterator[tuple[int, Row] | Reject]:
        return rows(lines, place, self._map.delimiter, self._map.comment)

    def _steps(self, path: str) -> Steps:
        return (path,) if self._map.format == "csv" else steps_of(path)

    def _texts(self, doc: Doc, path: str) -> Iterator[str]:
        return texts(doc, self._steps(path)) if path else iter(())


def _ruled(sources: list[str], destinations: list[str], began: Began, look_up: LookUp) -> Iterator[Proposal]:
    """Rules on the ends that one object names; where several stand on both sides, no pair is guessed."""
    if len(sources) > 1 and len(destinations) > 1:
        for end in (*sources, *destinations):
            yield from connection(look_up, end, "", began, unpaired=_TANGLED)
        return
    for source in sources or [""]:
        for destination in destinations or [""]:
            yield from connection(look_up, source, destination, began)


def _address(text: str) -> str:
    """Takes the port off an IPv4 address."""
    host, colon, port = text.partition(":")
    return host if colon and "." in host and port.isdigit() else text


def _proposed(text: str, kinds: tuple[Kind, ...] | None, ruling: Ruling) -> Iterator[Proposal]:
    if kinds is None:
        yield Proposal(None, text, ruling)
        return
    try:
        observable = value_of(text, kinds)
    except BadValue:  # another kind of value, or none: such fields hold host names, blanks and hyphens too
        return
    yield Proposal(observable.kind, observable.value, ruling)


def _conditions(read: Mapping[str, list[str]]) -> dict[str, frozenset[str]]:
    return {path: frozenset(map(folded, words)) for path, words in read.items()}


Meaning = TypeVar("Meaning")


def _folded_keys(words: Mapping[str, Meaning]) -> dict[str, Meaning]:
    return {folded(word): meaning for word, meaning in words.items()}


def _has_key(head: bytes, key: str) -> bool:
    return re.search(re.escape(msgspec.json.encode(key)) + rb"\s*:", head) is not None
