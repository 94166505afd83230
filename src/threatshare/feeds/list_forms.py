"""Guesses from its beginning how a list is to be read: what divides its columns, where they have names, which one holds
values.

Every guess is held against the rows by the reader itself (``list_rows``): the form counts whose column has the most
values that can be read. Nothing here is believed without being shown to a person first.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from threatshare.errors import BadValue, ConfigurationError, PartnerError
from threatshare.feed_settings import ListSettings
from threatshare.feeds.list_rows import RowReader
from threatshare.model import Micros, Reject
from threatshare.ports import Listed

HEAD = 64 * 1024
"""Bytes that are looked at."""
_ROWS = 200
_COLUMNS = 50
_ENOUGH = 0.5
"""Of the rows must hold a value, else it is no list that we know."""
_EVEN = 0.8
"""Of the rows must have as many columns as most have, for a delimiter to be one."""
_DELIMITERS = (",", ";", "\t", "|")
_NAME = re.compile(r"[A-Za-z_][\w ./()-]{0,60}").fullmatch
_SEEN = ("last_seen", "last_seen_utc", "lastseen", "last_online", "last_time")
"""Names of columns that say when a value was last seen; what else is a time may be of anything."""
_NOBODY = frozenset({"0.0.0.0", "127.0.0.1", "::", "::1"})  # noqa: S104  read, never bound to
"""Where a hosts file sends the names that it blocks: no values."""
_ZEEK = "#fields\tindicator\t"
_PLACE = "the list"


class Form(NamedTuple):
    """How a list is probably read."""

    terms: ListSettings
    words: str
    """What was guessed, for a person."""
    share: float
    """Of the rows that were looked at, those with a value."""


def form_of(head: bytes, now: Micros) -> Form | None:
    """Guesses the form of a list from its beginning; None where too few rows hold a value in any."""
    lines = _lines(head)
    if any(line.startswith(_ZEEK) for line in lines):
        return Form(ListSettings(preset="zeek-intel"), "an intelligence file of Zeek", 1.0)
    rows = [line for line in lines if line.strip() and not line.startswith(ListSettings().comments)][:_ROWS]
    if not rows:
        return None
    found = list(_json_forms(rows, now)) if rows[0].lstrip().startswith("{") else list(_forms(lines, rows, now))
    # The first of equals: plain lines before columns, a column on the left before one on the right.
    best = max(found, key=lambda one: one.share, default=None)
    return best if best is not None and best.share >= _ENOUGH else None


def _lines(head: bytes) -> list[str]:
    """Gives the whole lines of a beginning; the last one may be cut off."""
    lines = head[:HEAD].decode("utf-8-sig", errors="replace").splitlines()
    return lines[:-1] if len(head) >= HEAD and len(lines) > 1 else lines


def _forms(lines: Sequence[str], rows: Sequence[str], now: Micros) -> Iterator[Form]:
    plain = ListSettings()
    yield Form(plain, "a value a line", _share(plain, rows, now))
    ports = ListSettings(type="ip:port")
    yield Form(ports, "an address with a port a line", _share(ports, rows, now))
    blanks = max(len(row.split()) for row in rows[:_COLUMNS])
    for column in range(2, min(blanks, _COLUMNS) + 1):
        terms = ListSettings(value=column)
        yield Form(terms, f"columns between blanks, values in column {column}", _share(terms, rows, now))
    for delimiter in _DELIMITERS:
        table = _table(rows, delimiter)
        width = _width(table)
        if width is None:
            continue
        columns = range(1, min(width, _COLUMNS) + 1)
        # Without the first row, which may be a header: it would count against every column.
        shares = {one: _share(_csv(delimiter, one), rows[1:] or rows, now) for one in columns}
        column = max(shares, key=lambda one: shares[one])
        terms, words = _named(lines, rows, table[0], _csv(delimiter, column), width, now)
        yield Form(terms, words, shares[column])


def _csv(delimiter: str, column: int) -> ListSettings:
    return ListSettings(format="csv", delimiter=None if delimiter == "," else delimiter, value=column)


def _table(rows: Iterable[str], delimiter: str) -> list[list[str]]:
    try:
        return list(csv.reader(rows, delimiter=delimiter, skipinitialspace=True))
    except csv.Error:
        return []


def _width(table: Sequence[Sequence[str]]) -> int | None:
    """Gives how many columns nearly all rows have; None: they are no columns."""
    widths = [len(row) for row in table]
    usual = max(set(widths), key=widths.count, default=0)
    return usual if usual > 1 and widths.count(usual) >= _EVEN * len(widths) else None


def _named(
    lines: Sequence[str], rows: Sequence[str], first: Sequence[str], terms: ListSettings, width: int, now: Micros
) -> tuple[ListSettings, str]:
    """Finds where columns have their names, and calls the column of values by its name."""
    at = terms.value
    assert isinstance(at, int)
    what = f"columns between {'commas' if terms.delimiter is None else repr(terms.delimiter)}"
    comment = _comment(lines, rows[0], terms)
    if _share(terms, rows[:1], now) == 0.0 and len(first) == width and all(_NAME(one.strip()) for one in first):
        names, header = [one.strip() for one in first], "first"
    elif comment is not None and len(comment) == width:
        names, header = comment, "comment"
    else:
        return terms, f"{what} without names, values in column {at}"
    if len(set(names)) != len(names):
        return msgspec.structs.replace(terms, header=header), f"{what}, values in column {at}"
    named = msgspec.structs.replace(terms, header=header, value=names[at - 1])
    seen = next((one for one in names if one.lower().replace(" ", "_") in _SEEN), None)
    timed = msgspec.structs.replace(named, seen=seen) if seen is not None else named
    text = [*lines[: lines.index(rows[0])], *rows]
    if seen is not None and _share(timed, text, now) >= _share(named, text, now):
        return timed, f"{what}, values in {names[at - 1]!r}, last seen in {seen!r}"
    return named, f"{what}, values in {names[at - 1]!r}"


def _comment(lines: Sequence[str], first: str, terms: ListSettings) -> list[str] | None:
    """Reads the last comment before the first row as names of columns; None where it is none."""
    before = [line for line in lines[: lines.index(first)] if line.startswith(terms.comments)]
    if not before:
        return None
    mark = next(one for one in terms.comments if before[-1].startswith(one))
    table = _table([before[-1][len(mark) :].strip()], terms.delimiter or ",")
    names = [one.strip() for one in table[0]] if table else []
    return names if names and all(map(_NAME, names)) else None


def _json_forms(rows: Sequence[str], now: Micros) -> Iterator[Form]:
    try:
        first = msgspec.json.decode(rows[0])
    except (msgspec.DecodeError, RecursionError):
        return
    if not isinstance(first, dict):
        return
    for key in [one for one, value in first.items() if isinstance(value, str)][:_COLUMNS]:
        if 0 < len(key) <= 100:
            terms = ListSettings(format="json-lines", value=key)
            yield Form(terms, f"a record of JSON a line, values in {key!r}", _share(terms, rows, now))


def _share(terms: ListSettings, rows: Iterable[str], now: Micros) -> float:
    """Gives what part of rows has a value, read as the settings say."""
    found: list[Listed | Reject] = []
    try:
        found.extend(RowReader(terms, _PLACE).read(rows, now))
    except (PartnerError, ConfigurationError, BadValue):
        return 0.0
    values = [one for one in found if isinstance(one, Listed) and one.observable.value not in _NOBODY]
    return len(values) / len(found) if found else 0.0


def said(terms: ListSettings) -> Mapping[str, object]:
    """Gives what a list's settings say that is not said anyhow."""
    found: Mapping[str, object] = msgspec.to_builtins(terms)
    return found
