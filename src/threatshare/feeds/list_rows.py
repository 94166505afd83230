"""Reads the rows of a list, plain or CSV or JSON a line, into canonical values.

A row that cannot be read is kept aside with its line and the reason, and the rest goes on. Nothing is guessed: a
value of another type than the list says is refused, and so is an address with a port unless the list is of such.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec

from threatshare.errors import BadValue, ConfigurationError, PartnerError
from threatshare.feed_settings import Column, ListSettings
from threatshare.model import Kind, Micros, Observable, Reject, micros
from threatshare.ports import Listed
from threatshare.stix.observables import canonical, recognise, refang

MOST_ROW = 65_536
"""Characters of one row."""
_MOST_MATCHED = 8_192
"""Characters of a row that ``list.pattern`` is tried on: its time may grow faster than the row."""
_FEW_REFUSED = 100_000
"""Rows that may be refused in any list; one of which more are, and that nearly all, is no list."""
_MOST_KEPT = 2_000
"""Characters kept of a row that was taken."""
_MOST_LINES = 100
"""Lines of one row of CSV: a quote that is never closed takes no more."""

_KINDS: Mapping[str, Kind] = {kind.value: kind for kind in Kind if kind is not Kind.PATTERN}
_HASHES: Mapping[int, Kind] = {32: Kind.MD5, 40: Kind.SHA1, 64: Kind.SHA256, 128: Kind.SHA512}
_BLANKS = re.compile(r"[ \t]+")
_PORT = re.compile(r"(.+):[0-9]{1,5}").fullmatch
_IPV4 = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?:/[0-9]{1,2})?", re.ASCII).fullmatch
_HEX = re.compile(r"[0-9A-Fa-f]+", re.ASCII).fullmatch
_NAME = re.compile(r"(?:[A-Za-z0-9_-]++\.)++[A-Za-z][A-Za-z0-9-]*+", re.ASCII).fullmatch
_STRAY_ZONE = re.compile(r" ?UTC$").sub

Row = Any
"""A list of texts, a record of JSON, or a match: what a pick takes a column from."""
Pick = Callable[[Row], str]
"""Gives what stands in one column of a row; empty where nothing does."""


class RowReader:
    """Reads rows as one list's settings say."""

    def __init__(self, terms: ListSettings, place: str) -> None:
        """Raises ConfigurationError for settings that cannot be used; ``place`` names their file."""
        self._terms = terms
        self._place = place
        self._pattern = _compiled(terms.pattern, place)
        self._by_name = terms.format == "json-lines" or self._pattern is not None
        if not self._by_name and terms.header == "none":
            _Columns(terms, self._index({}))

    def read(self, lines: Iterable[str], now: Micros) -> Iterator[Listed | Reject]:
        """Yields what rows say, in order; whatever a row says, it was seen by ``now`` at the latest.

        Raises PartnerError where the header lacks a column that the settings name, and where nearly no row can be read.
        """
        reading = _Lines(lines, self._terms)
        columns = None
        refused = 0
        for number, row in enumerate(self._rows(reading)):
            text = reading.taken()
            if columns is None:
                columns = self._columns(row, reading)
                if self._terms.header == "first" and not self._by_name:
                    continue
            try:
                if len(text) > MOST_ROW:
                    raise BadValue(f"row of more than {MOST_ROW} characters")
                if isinstance(row, BadValue):
                    raise row
                found = columns.listed(row, text, now)
            except BadValue as problem:
                refused += 1
                if refused > _FEW_REFUSED and refused > 0.9 * number:
                    raise PartnerError(
                        f"{self._place}: {refused} of the first {number + 1} rows cannot be read, so this is no"
                        f" such list; the last because: {problem}"
                    ) from problem
                yield Reject(f"line {reading.number}", str(problem), text[:MOST_ROW])
                continue
            if found is not None:
                yield found

    def _rows(self, reading: _Lines) -> Iterator[Row | BadValue]:
        if self._pattern is not None:
            for line in reading:
                yield self._match(self._pattern, line)
        elif self._terms.format == "json-lines":
            for line in reading:
                yield _record(line)
        elif self._terms.format == "lines":
            for line in reading:
                yield self._split(line)
        else:
            yield from _csv_rows(reading, self._terms.delimiter or ",")

    @staticmethod
    def _match(pattern: re.Pattern[str], line: str) -> Row | BadValue:
        if len(line) > _MOST_MATCHED:
            return BadValue(f"row of {len(line)} characters, list.pattern is tried on at most {_MOST_MATCHED}")
        return pattern.fullmatch(line) or BadValue("does not match list.pattern")

    def _split(self, line: str) -> list[str]:
        delimiter = self._terms.delimiter
        return _BLANKS.split(line) if delimiter is None else [one.strip() for one in line.split(delimiter)]

    def _columns(self, row: Row | BadValue, reading: _Lines) -> _Columns:
        """Gives the columns, as the first row or the comment before it calls them."""
        if self._by_name:
            return _Columns(self._terms, _member if self._pattern is None else _group)
        names: list[str] = []
        if self._terms.header == "first":
            names = [] if isinstance(row, BadValue) else row
        elif self._terms.header == "comment":
            mark = next((one for one in self._terms.comments if reading.comment.startswith(one)), "")
            names = self._named(reading.comment[len(mark) :].strip())
        return _Columns(self._terms, self._index({name.strip(): at for at, name in enumerate(names)}))

    def _named(self, comment: str) -> list[str]:
        """Gives the names of columns that stand in a comment, divided as the rows are."""
        if self._terms.format != "csv":
            return self._split(comment)
        row: Row | BadValue = next(_csv_rows(iter([comment]), self._terms.delimiter or ","), [])
        if isinstance(row, BadValue):
            raise PartnerError(f"{self._place}: the comment that names the columns is {row}")
        return list(row)

    def _index(self, names: Mapping[str, int]) -> Callable[[Column], Pick]:
        def pick(column: Column) -> Pick:
            if isinstance(column, int):
                return _cell(column - 1)
            if column in names:
                return _cell(names[column])
            if self._terms.header == "none":
                raise ConfigurationError(
                    f"{self._place}: list.header is none, so columns have numbers: {column!r} is none"
                )
            raise PartnerError(f"{self._place}: the list has no column {column!r}; it has {', '.join(names) or 'none'}")

        return pick


class _Lines:
    """Lines without comments and blank ones; knows which one it is at, and what was read since it was last asked."""

    def __init__(self, lines: Iterable[str], terms: ListSettings) -> None:
        self._lines = iter(lines)
        self._comments = terms.comments
        # A column may be empty, and so be nothing but the delimiter before the next.
        self._columns = terms.format == "lines" and terms.delimiter is not None
        self._since: list[str] = []
        self.number = 0
        self.comment = ""
        """The last comment."""

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        for line in self._lines:
            self.number += 1
            text = line.strip()
            if text and not text.startswith(self._comments):
                break
            self.comment = text or self.comment
        else:
            raise StopIteration
        if self._columns:
            text = line.rstrip("\r\n")
        self._since.append(text)
        if len(self._since) > _MOST_LINES:
            raise csv.Error(f"a row of more than {_MOST_LINES} lines: a quote is not closed")
        return text

    def taken(self) -> str:
        """Gives what was read for the present row."""
        text = self._since[0] if len(self._since) == 1 else "\n".join(self._since)
        self._since = []
        return text


class _Columns:
    """What is taken from a row."""

    def __init__(self, terms: ListSettings, pick: Callable[[Column], Pick]) -> None:
        self._terms = terms
        self._value = pick("value" if terms.pattern is not None else terms.value)
        self._type = _optional(pick, terms.type_column)
        self._seen = _optional(pick, terms.seen)
        self._confidence = _optional(pick, terms.confidence_column)
        kept = {int(name) if name.isdecimal() else name: set(wanted) for name, wanted in terms.keep.items()}
        self._keep = [(pick(column), wanted) for column, wanted in kept.items()]

    def listed(self, row: Row, text: str, now: Micros) -> Listed | None:
        """Reads a row; None where it is to be left out. Raises BadValue."""
        for pick, wanted in self._keep:
            if pick(row) not in wanted:
                return None
        kind = self._kind(row)
        if kind == "skip":
            return None
        value = self._value(row)
        if not value:
            raise BadValue("nothing stands where the value should be")
        observable = _observable(kind, value)
        seen = None if self._seen is None else _moment(self._seen(row), self._terms.seen_format)
        confidence = self._terms.confidence
        if self._confidence is not None:
            confidence = _percent(self._confidence(row))
        original = None if text == observable.value else text[:_MOST_KEPT]
        return Listed(observable, None if seen is None else min(seen, now), confidence, original)

    def _kind(self, row: Row) -> str:
        if self._type is None:
            return self._terms.type
        word = self._type(row)
        if word not in self._terms.types:
            raise BadValue(f"{word[:60]!r} is no type that list.types names")
        return self._terms.types[word]


def _optional(pick: Callable[[Column], Pick], column: Column | None) -> Pick | None:
    return None if column is None else pick(column)


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


def _csv_rows(reading: Iterator[str], delimiter: str) -> Iterator[Row | BadValue]:
    rows = csv.reader(reading, delimiter=delimiter[0], skipinitialspace=True)
    while True:
        try:
            yield next(rows)
        except StopIteration:
            return
        except csv.Error as problem:
            yield BadValue(f"no row of CSV: {problem}")


def _record(line: str) -> Row | BadValue:
    try:
        found = msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError) as problem:
        return BadValue(f"no JSON: {problem}")
    return found if isinstance(found, dict) else BadValue("no JSON object")


def _cell(at: int) -> Pick:
    return lambda row: row[at].strip() if at < len(row) else ""


def _member(column: Column) -> Pick:
    path = str(column).split(".")

    def pick(row: Row) -> str:
        for key in path:
            row = row.get(key) if isinstance(row, dict) else None
        return _text(row)

    return pick


def _group(column: Column) -> Pick:
    name = str(column)
    return lambda row: _text(row.groupdict().get(name))


def _text(found: object) -> str:
    return found.strip() if isinstance(found, str) else "" if found is None else str(found)


def _observable(kind: str, text: str) -> Observable:
    """Gives the canonical value of a text of a type; defanged ones too. Raises BadValue."""
    if kind == "ip:port":
        address = _PORT(text)
        if address is None:
            raise BadValue(f"{text[:80]!r} is no address with a port")
        kind, text = "auto", address[1].strip("[]")
        if _kind_of(text) not in (Kind.IPV4, Kind.IPV6):
            raise BadValue(f"{text[:80]!r} is no address")
    if kind == "auto":
        found = _kind_of(text)
        return recognise(text) if found is None else canonical(found, text)
    wanted = _HASHES.get(len(text)) if kind == "file" else _KINDS[kind]
    if wanted is None:
        raise BadValue(f"a hash of {len(text)} characters; there are MD5, SHA-1, SHA-256 and SHA-512")
    try:
        return canonical(wanted, text)
    except BadValue:
        plain = refang(text)
        if plain == text:
            raise
        return canonical(wanted, plain)


def _kind_of(text: str) -> Kind | None:
    """Gives the kinds that can be told at a glance; None where it takes more."""
    if _IPV4(text):
        return Kind.IPV4
    if ":" in text and "/" not in text and _HEX(text.replace(":", "")) and text.count(":") > 1:
        return Kind.IPV6 if len(text) != 17 or text[2] != ":" else None
    if len(text) in _HASHES and _HEX(text):
        return _HASHES[len(text)]
    if _NAME(text):
        return Kind.DOMAIN
    return Kind.URL if text.startswith(("http://", "https://")) and "[" not in text else None


# Rows of one day repeat their times.
@lru_cache(maxsize=4_096)
def _moment(text: str, form: str) -> Micros | None:
    """Reads when a row was last seen; None where it does not say. Raises BadValue."""
    if text in ("", "None", "null", "-"):
        return None
    try:
        if form == "epoch":
            found = datetime.fromtimestamp(float(text), UTC)
        elif form == "iso":
            found = datetime.fromisoformat(_STRAY_ZONE("", text))
        else:
            found = datetime.strptime(text, form)  # noqa: DTZ007  what has no zone is UTC, below
        at = micros(found if found.tzinfo else found.replace(tzinfo=UTC))
    except (ValueError, OverflowError, OSError) as problem:
        raise BadValue(f"{text[:60]!r} is no time as list.seen_format says ({form})") from problem
    if at < 0:
        raise BadValue(f"{text[:60]!r} lies before 1970")
    return at


@lru_cache(maxsize=256)
def _percent(text: str) -> int | None:
    if not text:
        return None
    try:
        found = round(float(text))
    except (ValueError, OverflowError) as problem:
        raise BadValue(f"{text[:60]!r} is no confidence from 0 to 100") from problem
    if not 0 <= found <= 100:
        raise BadValue(f"{text[:60]!r} is no confidence from 0 to 100")
    return found
