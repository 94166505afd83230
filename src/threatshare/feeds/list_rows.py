"""Reads the rows of a list, plain or CSV or JSON a line, into canonical values.

A row that cannot be read is kept aside with its line and the reason, and the rest goes on. Rows are read many together
where each is a line of its own and can be cut; else one by one.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import msgspec

from threatshare.errors import BadValue, ConfigurationError, PartnerError
from threatshare.feed_settings import Column, ListSettings
from threatshare.feeds.list_columns import Columns, Pick, Row, cells, groups, members
from threatshare.feeds.list_lines import MOST_ROW, Lines
from threatshare.model import Micros, Reject
from threatshare.ports import Listed

_MOST_MATCHED = 8_192
"""Characters of a row that ``list.pattern`` is tried on: its time may grow faster than the row."""
_FEW_REFUSED = 100_000
"""Rows that may be refused in any list; one of which more are, and that nearly all, is no list."""
_TOGETHER = 256
"""Rows read together, where they are no longer than one row may be."""
_BLANKS = re.compile(r"[ \t]+")


class _Chunk(NamedTuple):
    """Rows that are read together: one, whatever it is, or several that can be read and are not too long."""

    rows: Sequence[Row | BadValue]
    texts: Sequence[str]
    """As they stood."""
    numbers: Sequence[int]
    """Of their last lines."""


class RowReader:
    """Reads rows as one list's settings say."""

    def __init__(self, terms: ListSettings, place: str) -> None:
        """Raises ConfigurationError for settings that cannot be used; ``place`` names their file."""
        self._terms = terms
        self._place = place
        self._pattern = _compiled(terms.pattern, place)
        self._by_name = terms.format == "json-lines" or self._pattern is not None
        self._csv = not self._by_name and terms.format == "csv"
        self._delimiter = (terms.delimiter or ",")[0]
        self._row = self._cut()
        if not self._by_name and terms.header == "none":
            Columns(terms, self._index({}))

    def read(self, lines: Iterable[str], now: Micros) -> Iterator[Listed | Reject]:
        """Yields what rows say, in order; whatever a row says, it was seen by ``now`` at the latest.

        Raises PartnerError where the header lacks a column that the settings name, and where nearly no row can be read.
        """
        reading = Lines(lines, self._terms)
        columns = None
        count = refused = 0
        for chunk in self._chunks(reading):
            if columns is None:
                columns = self._columns(chunk.rows[0], reading.comment)
                if self._terms.header == "first" and not self._by_name:
                    count += 1
                    continue
            listed, problems = _taken(columns, chunk, now)
            if not problems:
                yield from filter(None, listed)
                count += len(listed)
                continue
            for at, one in enumerate(listed):
                count += 1
                if at in problems:
                    refused += 1
                    self._check(refused, count, problems[at])
                    yield Reject(f"line {chunk.numbers[at]}", str(problems[at]), chunk.texts[at][:MOST_ROW])
                elif one is not None:
                    yield one

    def _check(self, refused: int, count: int, problem: BadValue) -> None:
        if refused > _FEW_REFUSED and refused > 0.9 * (count - 1):
            raise PartnerError(
                f"{self._place}: {refused} of the first {count} rows cannot be read, so this is no"
                f" such list; the last because: {problem}"
            ) from problem

    def _chunks(self, reading: Lines) -> Iterator[_Chunk]:
        # The first row alone: it, and the comment before it, may say what the columns are.
        most = 1
        while texts := reading.ahead(most):
            rows = self._together(texts)
            if rows is not None:
                yield _Chunk(rows, *reading.all())
            elif self._csv:
                yield from self._csv_one_by_one(reading)
            else:
                while reading.left:
                    row = self._row(next(reading))
                    yield _Chunk([row], [reading.taken()], [reading.number])
            most = _TOGETHER

    def _together(self, texts: Sequence[str]) -> Sequence[Row] | None:
        """Cuts lines into as many rows; None where they have to be read one by one."""
        if len(texts) == 1 or sum(map(len, texts)) > MOST_ROW:
            return None
        if self._csv:
            return _a_row_a_line(texts, self._delimiter)
        rows = list(map(self._row, texts))
        return None if self._by_name and BadValue in map(type, rows) else rows

    def _csv_one_by_one(self, reading: Lines) -> Iterator[_Chunk]:
        rows = csv.reader(reading, delimiter=self._delimiter, skipinitialspace=True)
        while reading.left:
            row: Row | BadValue
            try:
                row = next(rows)
            except StopIteration:
                return
            except csv.Error as problem:
                row = BadValue(f"no row of CSV: {problem}")
            yield _Chunk([row], [reading.taken()], [reading.number])

    def _cut(self) -> Callable[[str], Row | BadValue]:
        """Gives the function that cuts a line which is a row."""
        if self._pattern is not None:
            return partial(_match, self._pattern)
        if self._terms.format == "json-lines":
            return _record
        return partial(_columns_of, delimiter=self._terms.delimiter)

    def _columns(self, row: Row | BadValue, comment: str) -> Columns:
        """Gives the columns, as the first row or the comment before it calls them."""
        if self._pattern is not None:
            return Columns(self._terms, partial(groups, self._pattern.groupindex))
        if self._by_name:
            return Columns(self._terms, members)
        names: Sequence[str] = []
        if self._terms.header == "first":
            names = [] if isinstance(row, BadValue) else row
        elif self._terms.header == "comment":
            mark = next((one for one in self._terms.comments if comment.startswith(one)), "")
            names = self._named(comment[len(mark) :].strip())
        return Columns(self._terms, self._index({name.strip(): at for at, name in enumerate(names)}))

    def _named(self, comment: str) -> Sequence[str]:
        """Gives the names of columns that stand in a comment, divided as the rows are."""
        if not self._csv:
            return _columns_of(comment, self._terms.delimiter)
        try:
            return next(csv.reader([comment], delimiter=self._delimiter, skipinitialspace=True), [])
        except csv.Error as problem:
            raise PartnerError(
                f"{self._place}: the comment that names the columns is no row of CSV: {problem}"
            ) from problem

    def _index(self, names: Mapping[str, int]) -> Callable[[Column], Pick]:
        def pick(column: Column) -> Pick:
            if isinstance(column, int):
                return cells(column - 1)
            if column in names:
                return cells(names[column])
            if self._terms.header == "none":
                raise ConfigurationError(
                    f"{self._place}: list.header is none, so columns have numbers: {column!r} is none"
                )
            raise PartnerError(f"{self._place}: the list has no column {column!r}; it has {', '.join(names) or 'none'}")

        return pick


def _taken(columns: Columns, chunk: _Chunk, now: Micros) -> tuple[list[Listed | None], dict[int, BadValue]]:
    """Reads a chunk; gives what its rows say, None for one that says nothing, and why rows were refused."""
    if len(chunk.rows) == 1:
        row = chunk.rows[0]
        if len(chunk.texts[0]) > MOST_ROW:
            row = BadValue(f"row of more than {MOST_ROW} characters")
        if isinstance(row, BadValue):
            return [None], {0: row}
    return columns.taken(chunk.rows, chunk.texts, now)


def _compiled(pattern: str | None, place: str) -> re.Pattern[str] | None:
    if pattern is None:
        return None
    try:
        compiled = re.compile(pattern)
    except re.error as problem:
        raise ConfigurationError(f"{place}: list.pattern is no regular expression: {problem}") from problem
    if "value" not in compiled.groupindex:
        raise ConfigurationError(f"{place}: list.pattern has no group called value; write (?P<value>...)")
    return compiled


def _a_row_a_line(texts: Sequence[str], delimiter: str) -> Sequence[Row] | None:
    """Cuts lines of CSV into as many rows; None where one goes on in the next line, or cannot be read."""
    try:
        # The line behind them is empty, unless a quote is still open there.
        rows = list(csv.reader([*texts, ""], delimiter=delimiter, skipinitialspace=True))
    except csv.Error:
        return None
    if len(rows) != len(texts) + 1:
        return None
    rows.pop()
    return rows


def _match(pattern: re.Pattern[str], line: str) -> Row | BadValue:
    if len(line) > _MOST_MATCHED:
        return BadValue(f"row of {len(line)} characters, list.pattern is tried on at most {_MOST_MATCHED}")
    return pattern.fullmatch(line) or BadValue("does not match list.pattern")


def _record(line: str) -> Row | BadValue:
    try:
        found = msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError) as problem:
        return BadValue(f"no JSON: {problem}")
    return found if isinstance(found, dict) else BadValue("no JSON object")


def _columns_of(line: str, delimiter: str | None) -> list[str]:
    if delimiter is not None:
        return line.split(delimiter)
    return _BLANKS.split(line) if " " in line or "\t" in line else [line]
