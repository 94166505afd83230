"""Cuts a stream of any size into records in constant memory: JSON in all the shapes that tools write, and lines.

JSON comes as one object a line, as one array of objects, as objects one after another over several lines, or as one
object that holds an array of them under a name that the reader knows. Limits: 1 MiB a record, 64 levels. What exceeds
them or is broken becomes a Reject, and reading goes on behind it.
"""

from __future__ import annotations

import codecs
import io
import os
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import BinaryIO, TypeVar, cast

import msgspec

from threatshare.model import Reject

MAX_RECORD = 1024 * 1024
"""Bytes of one record."""
MAX_DEPTH = 64
HEAD = 64 * 1024
"""Bytes that a reader sees to recognise a format."""
SHOWN = 200
"""Characters of a refused record that are kept for a person."""

Numbered = tuple[int, str]
"""A line with its number, from 1."""

_CHUNK = 256 * 1024
_WIDEST_MARGIN = 256
"""Blanks before a record on its line; beyond that, the text is not laid out in lines."""
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_TOO_DEEP = f"nested more than {MAX_DEPTH} levels deep"
_CUT_OFF = "the record does not end: a bracket or quote is not closed"

# Everything up to the next bracket outside a string; fails where the buffer ends inside a string. A line's end closes
# a string whose quote is missing: none may stand inside one, and so a broken string costs its own record only.
_STRING = rb'"[^"\\\n]*+(?:\\[^\n][^"\\\n]*+)*+(?:"|\\?(?=\n))'
_WRAPPED = re.compile(
    rb'\s*\{(?:\s*"[^"\\]*+"\s*:\s*(?:' + _STRING + rb'|[-+.\w]++)\s*,)*+\s*"([^"\\]*+)"\s*:\s*\['
).match
_NAMED = re.compile(rb'"([^"\\]*+)"\s*:\s*\Z').search
_STEP = re.compile(rb'[^"{}\[\]]*+(?:' + _STRING + rb'[^"{}\[\]]*+)*+[{}\[\]]').match
_OPENING = frozenset(b"{[")
_LIST = ord("[")
_PAIRS = frozenset({(ord("{"), ord("}")), (ord("["), ord("]"))})
_BLANK = b" \t\r\n,"


@dataclass(frozen=True, slots=True)
class Record:
    """The bytes of one JSON object, not yet decoded, and the line on which it begins."""

    line: int
    text: bytes


Read = TypeVar("Read")


def decoded(
    stream: BinaryIO,
    place: str,
    decoder: msgspec.json.Decoder[Read],
    members: Collection[str] = (),
    limit: int = MAX_RECORD,
) -> Iterator[tuple[str, Read] | Reject]:
    """Yields each JSON object of a stream with its place (``file:line``), decoded; broken ones as Reject.

    ``members`` and ``limit`` as for ``json_records``.
    """
    for record in json_records(stream, place, members, limit):
        if isinstance(record, Reject):
            yield record
            continue
        try:
            value = decoder.decode(record.text)
        except (msgspec.MsgspecError, RecursionError) as problem:
            yield reject(place, record.line, f"not readable: {problem}", record.text)
        else:
            yield f"{place}:{record.line}", value


def json_records(
    stream: BinaryIO, place: str, members: Collection[str] = (), limit: int = MAX_RECORD
) -> Iterator[Record | Reject]:
    """Yields the JSON objects of a stream one by one: lines, one array, or objects over several lines.

    ``members`` names arrays that tools wrap their records in, e.g. ``{"Findings": [...]}``: where an object begins
    with one of them, its elements are the records, and its other members are passed over. ``limit``: bytes of a record.
    """
    head = stream.read(HEAD).removeprefix(codecs.BOM_UTF8)
    whole = replay(head, stream)
    wrapped = _first_array(head)
    if wrapped is not None and wrapped in members:
        yield from _Splitter(whole, place, 2, limit, frozenset(one.encode() for one in members)).run()
    elif _one_a_line(head):
        yield from _lines_of_json(whole, place, limit)
    else:
        yield from _Splitter(whole, place, 1 if head.lstrip().startswith(b"[") else 0, limit).run()


def reject(place: str, line: int, reason: str, text: bytes | str) -> Reject:
    """Makes the Reject of one record: place and line, the reason, the first 200 characters."""
    shown = text if isinstance(text, str) else text[: 4 * SHOWN].decode("utf-8", "replace")
    return Reject(f"{place}:{line}", reason, shown[:SHOWN])


def text_lines(stream: BinaryIO, place: str) -> Iterator[Numbered | Reject]:
    """Yields numbered lines without their ends: UTF-8 or, with its byte order mark, UTF-16; bad bytes as U+FFFD."""
    head = stream.read(2)
    encoding = "utf-16" if head in _UTF16 else "utf-8-sig"
    # Only a line feed ends a line: an attacker who chooses a name in a log could begin a line of his own with others.
    reader = io.TextIOWrapper(replay(head, stream), encoding, errors="replace", newline="\n")
    number = 0
    while line := reader.readline(MAX_RECORD):
        number += 1
        if len(line) < MAX_RECORD or line.endswith("\n"):
            yield number, line.rstrip("\r\n")
            continue
        while (rest := reader.readline(MAX_RECORD)) and not rest.endswith("\n"):
            pass
        yield reject(place, number, f"line of more than {MAX_RECORD} characters", line)


def _too_long(limit: int) -> str:
    return f"record of more than {limit} bytes"


def ahead(lines: Iterator[Numbered | Reject], count: int) -> list[Numbered | Reject]:
    """Takes the first lines, at most ``count`` and about 64 KiB, to tell what a file holds."""
    taken: list[Numbered | Reject] = []
    size = 0
    while len(taken) < count and size < HEAD and (item := next(lines, None)) is not None:
        taken.append(item)
        size += len(item.text) if isinstance(item, Reject) else len(item[1])
    return taken


def file_time(stream: BinaryIO) -> datetime:
    """Tells when a stream was last written, for formats that state no time: the file's own time, else now."""
    now = datetime.now(UTC)
    try:
        return min(datetime.fromtimestamp(os.fstat(stream.fileno()).st_mtime, UTC), now)
    except (OSError, ValueError):
        return now


def replay(head: bytes, stream: BinaryIO) -> BinaryIO:
    """Gives a stream that begins with bytes already read; closing it leaves the original open."""
    return cast(BinaryIO, io.BufferedReader(_Replayed(head, stream), _CHUNK))


class _Replayed(io.RawIOBase):
    def __init__(self, head: bytes, stream: BinaryIO) -> None:
        super().__init__()
        self._head = head
        self._stream = stream

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._stream.fileno()

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._head[: len(buffer)] or self._stream.read(len(buffer))
        self._head = self._head[len(data) :]
        buffer[: len(data)] = data
        return len(data)


def _first_array(head: bytes) -> str | None:
    """Names the array that an object begins with, after members that are no objects; None where it has none."""
    found = _WRAPPED(head)
    return found[1].decode("utf-8", "replace") if found else None


def _one_a_line(head: bytes) -> bool:
    text = head.lstrip()
    if text.startswith(b"["):
        return False
    first, _, rest = text.partition(b"\n")
    # A first line may be broken (a rotated log); then the second one still begins at the margin.
    return not text.startswith(b"{") or rest.startswith(b"{") or _profile(first)[:2] == (0, 1)


def _profile(text: bytes) -> tuple[int, int, int]:
    """Counts brackets: how many are open at the end, how often none was, and how deep they nest."""
    depth = position = closed = deepest = 0
    while step := _STEP(text, position):
        position = step.end()
        depth += 1 if text[position - 1] in _OPENING else -1
        closed += depth == 0
        deepest = max(deepest, depth)
    return depth, closed, deepest


def _lines_of_json(stream: BinaryIO, place: str, limit: int) -> Iterator[Record | Reject]:
    number = 0
    while line := stream.readline(limit + 1):
        number += 1
        if len(line) > limit:
            while not line.endswith(b"\n") and (rest := stream.readline(limit)):
                line = line[:SHOWN] + rest[-1:]
            yield reject(place, number, _too_long(limit), line)
            continue
        text = line.strip(_BLANK)
        if not text:
            continue
        if not text.startswith(b"{"):
            yield reject(place, number, "no JSON object", text)
        elif text.count(b"{") + text.count(b"[") > MAX_DEPTH and _profile(text)[2] > MAX_DEPTH:
            yield reject(place, number, _TOO_DEEP, text)
        else:
            yield Record(number, text)


class _Splitter:
    """Finds the objects at one level of a JSON text by counting brackets outside strings.

    After a broken record it begins again at the next line whose brace stands in the same column.
    """

    def __init__(
        self, stream: BinaryIO, place: str, within: int, limit: int, members: frozenset[bytes] = frozenset()
    ) -> None:
        self._stream = stream
        self._place = place
        self._within = within
        """Brackets around each record: 1 in an array, 2 in an array that is a member of an object."""
        self._limit = limit
        self._members = members
        """Names of the arrays that hold records, where those are members."""
        self._listing = within < 2
        """Whether what opens next inside the brackets around records is one."""
        self._buffer = b""
        self._position = 0
        self._line = 1
        """Line of the byte at ``_counted``."""
        self._counted = 0
        self._column = 0
        """Bytes before the buffer's first byte on its line."""
        self._start = -1
        """Where the record under way begins; -1 between records."""
        self._margin: Callable[[bytes, int], re.Match[bytes] | None] | None = None
        """Matches a brace in the column of records; known after the first broken one."""
        self._depth = 0
        self._deepest = 0

    def run(self) -> Iterator[Record | Reject]:
        while True:
            step = _STEP(self._buffer, self._position)
            if step is not None:
                yield from self._bracket(step.end())
                if self._start >= 0 and self._position - self._start > self._limit:
                    yield from self._begin_again(_too_long(self._limit))
                continue
            if self._start >= 0 and len(self._buffer) - self._start > self._limit:
                yield from self._begin_again(_too_long(self._limit))
            elif self._start < 0 and len(self._buffer) - self._position > self._limit:
                yield from self._between(len(self._buffer))
                self._position = len(self._buffer)
            elif not self._fill():
                if self._start < 0:
                    yield from self._between(len(self._buffer))
                    return
                yield from self._begin_again(_CUT_OFF)

    def _bracket(self, end: int) -> Iterator[Record | Reject]:
        opening = self._buffer[end - 1] in _OPENING
        if self._depth in (0, self._within) and self._listing and self._start < 0:
            yield from self._between(end - 1)
        if opening and self._margin is not None and self._start >= 0 and self._margin(self._buffer, end - 1):
            # After one broken record, a brace where records begin begins one: no second search for an end that is not.
            yield reject(self._place, self._line_at(self._start), _CUT_OFF, self._buffer[self._start : end - 1])
            self._start, self._depth = -1, self._within
        if opening and self._depth == 1 and self._within == 2 and self._start < 0:
            named = _NAMED(self._buffer[self._position : end - 1])
            self._listing = self._buffer[end - 1] == _LIST and named is not None and named[1] in self._members
        if opening and self._depth == self._within and self._listing and self._start < 0:
            self._start = end - 1
            self._deepest = 0
        self._depth = max(0, self._depth + (1 if opening else -1))
        self._deepest = max(self._deepest, self._depth - self._within)
        self._position = end
        if self._depth == 1 and self._within == 2:
            self._listing = False
        if self._start >= 0 and self._depth <= self._within:
            if (self._buffer[self._start], self._buffer[end - 1]) not in _PAIRS:
                yield from self._begin_again(_CUT_OFF)
                return
            record = self._buffer[self._start : end]
            line = self._line_at(self._start)
            self._start = -1
            reason = (
                _TOO_DEEP if self._deepest > MAX_DEPTH else _too_long(self._limit) if len(record) > self._limit else ""
            )
            yield reject(self._place, line, reason, record) if reason else Record(line, record)

    def _between(self, end: int) -> Iterator[Reject]:
        junk = self._buffer[self._position : end].strip(_BLANK)
        if junk:
            line = self._line_at(self._position)
            yield reject(self._place, line, "text between the records", junk)

    def _begin_again(self, reason: str) -> Iterator[Reject]:
        line = self._line_at(self._start)
        column = self._start - self._buffer.rfind(b"\n", 0, self._start) - 1
        if self._buffer.rfind(b"\n", 0, self._start) < 0:
            column += self._column
        yield reject(self._place, line, reason, self._buffer[self._start : self._start + 4 * SHOWN])
        if column > _WIDEST_MARGIN:
            self._give_up()
            return
        margin = re.compile(rb"\n[ \t]{%d}(?=\{)" % column)
        self._margin = re.compile(rb"(?<=\n[ \t]{%d})\{" % column).match
        after = self._start
        while (found := margin.search(self._buffer, after)) is None:
            after = max(0, len(self._buffer) - column - 2)
            self._start, self._position = -1, after
            if not self._fill():
                self._position = len(self._buffer)
                return
            after = 0
        self._start, self._position, self._depth = -1, found.end(), self._within

    def _give_up(self) -> None:
        """Passes over the rest of a text that has no lines to begin again at."""
        self._start = -1
        self._position = len(self._buffer)
        while self._fill():
            self._position = len(self._buffer)

    def _line_at(self, position: int) -> int:
        """Tells the line of a byte by counting on from the byte asked for before."""
        if position >= self._counted:
            self._line += self._buffer.count(b"\n", self._counted, position)
        else:
            self._line -= self._buffer.count(b"\n", position, self._counted)
        self._counted = position
        return self._line

    def _fill(self) -> bool:
        """Reads on, and forgets what lies before the record or the position; False at the end."""
        keep = self._start if self._start >= 0 else self._position
        gone = self._buffer[:keep]
        newline = gone.rfind(b"\n")
        self._line_at(keep)
        self._counted = 0
        self._column = len(gone) - newline - 1 if newline >= 0 else self._column + len(gone)
        more = self._stream.read(_CHUNK)
        self._buffer = self._buffer[keep:] + more
        self._position -= keep
        self._start = 0 if self._start >= 0 else -1
        return bool(more)
