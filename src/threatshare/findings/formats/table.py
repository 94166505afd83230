"""Tables of indicators as text (CSV, TSV): a list that somebody asserts to be bad, a value a row or a few.

Header or not, any usual delimiter, comment rows, defanged values. The role is what a role column says, else what the
kind suggests. A value cell that holds no value becomes a Reject with its reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import chain
from typing import BinaryIO

from threatshare.config import OwnAssets
from threatshare.errors import BadValue
from threatshare.findings.formats.columns import COMMENTS, KINDS, ROLES, Columns, Row, layout, split, value_of, word
from threatshare.findings.records import MAX_RECORD, Numbered, ahead, file_time, reject, text_lines
from threatshare.findings.roles import Ruling, judge
from threatshare.model import Finding, Kind, Observation, Reject, Role
from threatshare.stix.timestamps import read_loose_time

_SNIFFED = 200
"""Lines that are read ahead to tell the columns."""
_JOINED = 50
"""Lines that one quoted cell may run over."""

ROLE_OF_KIND: Mapping[Kind, Role] = {
    Kind.IPV4: Role.C2,
    Kind.IPV6: Role.C2,
    Kind.DOMAIN: Role.C2,
    Kind.URL: Role.PAYLOAD,
    Kind.EMAIL: Role.PHISH_SENDER,
    Kind.MD5: Role.PAYLOAD,
    Kind.SHA1: Role.PAYLOAD,
    Kind.SHA256: Role.PAYLOAD,
    Kind.SHA512: Role.PAYLOAD,
}
"""What a value of a list of indicators is taken for where nothing says more."""


class TableReader:
    """Reads tables of indicators."""

    name = "csv"

    def recognises(self, head: bytes, filename: str) -> bool:
        """Tells whether the first lines are rows with a column of values; one bare column is a text list."""
        if b"\0" in head or b"#separator" in head:  # binary, or a Zeek log: events, not indicators
            return False
        text = head.decode("utf-8-sig", "replace")
        found = layout(text.splitlines()[:_SNIFFED])
        if found is None:
            return False
        first = next((line for line in text.splitlines() if line.strip() and not line.startswith(COMMENTS)), "")
        return found[0] in first or filename.lower().endswith((".csv", ".tsv"))

    def read(self, stream: BinaryIO, place: str, own: OwnAssets) -> Iterator[Finding | Reject]:
        """Yields a finding a row; rows without a time take the file's own."""
        written_at = file_time(stream)
        lines = text_lines(stream, place)
        first = ahead(lines, _SNIFFED)
        found = layout([item[1] for item in first if not isinstance(item, Reject)])
        if found is None:
            yield reject(place, 1, "no table with a column of indicators: name the columns in a header line", "")
            return
        delimiter, columns = found
        header = columns.has_header
        for row in _rows(chain(first, lines), place, delimiter):
            if isinstance(row, Reject):
                yield row
            elif header:
                header = False
            else:
                yield from _read_row(row[1], columns, f"{place}:{row[0]}", written_at, own)


def _rows(lines: Iterator[Numbered | Reject], place: str, delimiter: str) -> Iterator[tuple[int, Row] | Reject]:
    """Yields rows; one with an open quote goes on in the next lines, if they close it."""
    waiting: list[Numbered] = []
    for item in chain(lines, [None]):
        if isinstance(item, Reject):
            yield item
            continue
        if item is not None:
            waiting.append(item)
        while waiting:
            row, used = _joined(waiting, delimiter)
            if row is None and item is not None and _may_go_on(waiting):
                break
            number, text = waiting[0]
            if row is None:
                yield reject(place, number, "a quote in this row is not closed", text)
            elif text.strip() and not text.lstrip().startswith(COMMENTS):
                yield number, row
            del waiting[:used]


def _may_go_on(waiting: list[Numbered]) -> bool:
    return len(waiting) < _JOINED and sum(len(text) for _, text in waiting) < MAX_RECORD


def _joined(waiting: list[Numbered], delimiter: str) -> tuple[Row | None, int]:
    """Gives the row that begins at the first line, and how many lines it took; no row where a quote stays open."""
    text = ""
    for used, (_, line) in enumerate(waiting, 1):
        text = f"{text}\n{line}" if text else line
        if text.count('"') % 2 == 0:
            try:
                return split(text, delimiter), used
            except BadValue:
                return None, 1
        if used == 1 and text.lstrip().startswith(COMMENTS):
            return [text], 1
    return None, 1


def _read_row(
    row: Row, columns: Columns, place: str, written_at: datetime, own: OwnAssets
) -> Iterator[Finding | Reject]:
    said = word(_cell(row, columns.type))
    observations: list[Observation] = []
    for at, kinds in columns.values:
        text = _cell(row, at).strip()
        if not text:
            continue
        try:
            if columns.type is not None and said and said not in KINDS:
                raise BadValue(f"type {_cell(row, columns.type)[:40]!r} is none that we share")
            observable = value_of(text, KINDS.get(said) or kinds)
        except BadValue as problem:
            yield Reject(place, str(problem), ",".join(row)[:200])
            continue
        ruling = _ruling(row, columns, observable.kind)
        observations.append(judge(observable, ruling, text, own))
    if observations:
        first = read_loose_time(_cell(row, columns.first)) or read_loose_time(_cell(row, columns.last)) or written_at
        last = read_loose_time(_cell(row, columns.last)) or first
        yield Finding(
            sensor=TableReader.name,
            title="row of a table of indicators",
            seen_at=min(first, last),
            last_seen_at=max(first, last),
            observations=tuple(observations),
            place=place,
            confidence=_confidence(_cell(row, columns.confidence)),
        )


def _ruling(row: Row, columns: Columns, kind: Kind) -> Ruling:
    said = _cell(row, columns.role)
    if said.strip():
        role = ROLES.get(word(said))
        if role is not None:
            return Ruling(role, f"the table's role column says {said.strip()[:40]!r}")
        return Ruling(
            Role.UNKNOWN, f"the table's role column says {said.strip()[:40]!r}, which is no role we know; held"
        )
    role = ROLES.get(word(_cell(row, columns.use)))
    if role is not None:
        return Ruling(role, "the table's category column says so")
    return Ruling(ROLE_OF_KIND.get(kind, Role.UNKNOWN), "listed in a table of indicators, taken for what its kind is")


def _cell(row: Row, at: int | None) -> str:
    return row[at] if at is not None and at < len(row) else ""


def _confidence(text: str) -> int | None:
    digits = text.strip().rstrip("%")
    return int(digits) if digits.isdecimal() and len(digits) <= 3 and int(digits) <= 100 else None
