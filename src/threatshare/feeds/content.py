"""Finds the STIX objects of a JSON text, each as the very bytes that stand there.

Taken: a bundle or envelope (anything with an ``objects`` array), an array of objects without a bundle,
objects a line, bundles inside any of these, and a single object. STIX 2.0 and 2.1 do not differ here.

Two ways that give the same: ``split`` for a text in memory, which the parser checks as a whole, and ``scan``
for a stream of any size, of which only one object and a chunk are held. The parser makes all objects at
once, and 64 MiB of ``{},{},`` are a gigabyte of them: a text with that many parts is scanned too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from io import BytesIO
from typing import BinaryIO

import msgspec
from msgspec import Raw, Struct

_MAX_NESTING = 8
"""Bundles within bundles."""
_CHUNK = 1024 * 1024
_GUESSES = 8
_MANY = 500_000
"""Commas; 30,000 indicators have about as many."""
_BOM = b"\xef\xbb\xbf"
_BLANK = re.compile(rb"[ \t\r\n]*").match
IS_LINES = re.compile(rb"(?:\xef\xbb\xbf)?[ \t\r\n]*+\{[^\n]*\}[ \t\r]*+\n[ \t\r\n]*+\{").match
"""Tells whether a text begins with an object a line: in whole JSON nothing stands so."""
_TO_BRACKET = re.compile(rb'[^"{}\[\]]*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"[^"{}\[\]]*+)*+[{}\[\]]', re.DOTALL).match
"""Up to and with the next bracket that is not inside a string; no match where the text ends before it."""
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|["{}\[\]]', re.DOTALL)
"""A whole string, or one structural character; a quote alone opens a string that does not end here."""
_OBJECTS = re.compile(rb"[ \t\r\n]*:[ \t\r\n]*(?=\[)")
_OBJECTS_KEY = b'"objects"'
_QUOTE, _OPEN, _LIST, _LIST_END, _COMMA = b'"{[],'
_OPENING = b"{["


class BadContent(ValueError):
    """The text is no STIX, or no JSON; the message says what and at which byte."""


class _Top(Struct):
    type: str | None = None
    objects: list[Raw] | None = None


UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What the parser raises for a text; text that is not UTF-8 is no DecodeError of its own."""

_top = msgspec.json.Decoder(_Top)
_array = msgspec.json.Decoder(list[Raw])


def split(text: bytes) -> Iterator[bytes]:
    """Yields the objects of a text in memory; raises BadContent.

    It does so before the first object if the text is not whole JSON, or as ``scan`` does if it has very many parts.
    An object that the parser cannot read (too many levels, NaN) does not spoil the others: it is yielded as it stands.
    """
    if IS_LINES(text):
        yield from _flat(_lines(_Window(BytesIO(text), len(text))), 0)
        return
    if text.count(b",") > _MANY:
        yield from scan(BytesIO(text), len(text))
        return
    body = text[len(_BOM) :] if text.startswith(_BOM) else text
    start = _after_blanks(body, 0)
    try:
        if body[start : start + 1] == b"[":
            yield from _flat((bytes(one) for one in _array.decode(body)), 0)
            return
        top = _top.decode(body)
    except UNREADABLE as problem:
        if _is_sound_around_objects(body):
            yield from scan(BytesIO(body), len(body))
            return
        # The parser names the byte of every fault but this one.
        where = f" at byte {len(text)}" if "truncated" in str(problem) else ""
        raise BadContent(f"{problem}{where}") from problem
    if top.objects is not None:
        yield from _flat((bytes(one) for one in top.objects), 0)
    elif top.type is None:
        raise BadContent("neither a STIX bundle, nor an array of objects, nor an object with a type")
    elif top.type != "bundle":
        yield body.strip()


def _is_sound_around_objects(text: bytes) -> bool:
    try:
        for _ in scan(BytesIO(text), len(text)):
            pass
    except BadContent:
        return False
    return True


def check_number(text: bytes, most: int) -> None:
    """Raises BadContent for a text of more than ``most`` objects, without making them."""
    # One object more takes one comma more, and real ones have a dozen each.
    if text.count(b",") > max(most, _MANY):
        for number, _ in enumerate(_elements(_Window(BytesIO(text), len(text)))):
            if number >= most:
                raise BadContent(f"more than {most} objects")


def _flat(objects: Iterable[bytes], depth: int) -> Iterator[bytes]:
    """Yields objects, and the objects of bundles among them."""
    for one in objects:
        inner = _top_of_bundle(one) if b'"bundle"' in one else None
        if inner is None:
            yield one
        elif depth == _MAX_NESTING:
            raise BadContent(f"bundles nested deeper than {_MAX_NESTING}")
        else:
            yield from _flat((bytes(raw) for raw in inner), depth + 1)


def _top_of_bundle(one: bytes) -> list[Raw] | None:
    try:
        top = _top.decode(one)
    except UNREADABLE:
        # Not for this module to judge: whoever reads the object refuses it with a reason.
        return None
    return (top.objects or []) if top.type == "bundle" else None


def scan(stream: BinaryIO, max_object: int) -> Iterator[bytes]:
    """Yields the objects of a stream; raises BadContent where that is not JSON.

    An object, or what stands before the first, of more than ``max_object`` bytes is a fault too.
    Only the structure around the objects is checked: a broken object is left to whoever reads it.
    What stood before a fault has been yielded by then. A single object without a bundle is not taken here.
    """
    window = _Window(stream, max_object)
    yield from _flat(_lines(window) if IS_LINES(window.data) else _elements(window), 0)


class _Window:
    """The part of a stream that is being looked at: grows while something is incomplete, slides on when it is done."""

    def __init__(self, stream: BinaryIO, most: int) -> None:
        self._stream = stream
        self._most = most
        self._offset = 0
        self.data = b""
        self.at = 0
        """Where the next thing begins in ``data``."""
        self.grown = False
        self.grow()

    def grow(self) -> bool:
        """Reads more behind what is not done yet; False at the end of the stream."""
        if len(self.data) - self.at > self._most:
            raise BadContent(f"an object of more than {self._most} bytes at byte {self.place}")
        # At least as much again: an object of n bytes is looked at a bounded number of times.
        more = self._stream.read(max(_CHUNK, len(self.data) - self.at))
        self._offset += self.at
        self.data = self.data[self.at :] + more
        self.at = 0
        self.grown = True
        return bool(more)

    @property
    def place(self) -> int:
        """The byte of the stream where the next thing begins."""
        return self._offset + self.at


def _lines(window: _Window) -> Iterator[bytes]:
    """Yields what stands on each line; one that is no object is left to whoever reads it."""
    more = True
    while more:
        end = window.data.find(b"\n", window.at)
        if end < 0:
            more = window.grow()
            if more:
                continue
            end = len(window.data)
        line = window.data[window.at : end].removeprefix(_BOM).strip()
        if line:
            yield line
        window.at = end + 1


def _elements(window: _Window) -> Iterator[bytes]:
    _enter_array(window)
    first = True
    while _next(window) != _LIST_END:
        if not first:
            if _next(window) != _COMMA:
                raise BadContent(f"a comma or the end of the array was expected at byte {window.place}")
            window.at += 1
        if _next(window) != _OPEN:
            raise BadContent(f"an object was expected at byte {window.place}")
        yield from _whole(window) or _one(window)
        first = False


def _whole(window: _Window) -> list[bytes]:
    """Moves past what the parser takes of the window as whole objects, once for each time that it has grown.

    The parser is five times as fast as walking from bracket to bracket, but has to be told where an
    object ends: tried are the last places that look like it.
    """
    if not window.grown:
        return []
    window.grown = False
    end = len(window.data)
    for _ in range(_GUESSES):
        end = window.data.rfind(b"},", window.at, end)
        if end < 0:
            break
        try:
            found = [bytes(one) for one in _array.decode(b"[" + window.data[window.at : end + 1] + b"]")]
        except UNREADABLE:
            continue
        if not all(one.startswith(b"{") for one in found):
            break
        window.at = end + 1
        return found
    return []


def _one(window: _Window) -> list[bytes]:
    """Moves past the next object."""
    end = _end(window)
    start, window.at = window.at, end
    return [window.data[start:end]]


def _enter_array(window: _Window) -> None:
    """Moves into the array of objects: the outermost, or that of the key ``objects`` of the outermost object."""
    if window.data.startswith(_BOM):
        window.at = len(_BOM)
    if _next(window) == _LIST:
        window.at += 1
        return
    if _next(window) != _OPEN:
        raise BadContent(f"a bundle or an array was expected at byte {window.place}")
    while True:
        found = _find_objects(window.data, window.at)
        if found is not None:
            window.at = found + 1
            return
        if not window.grow():
            raise BadContent("it has no array of objects")


def _find_objects(data: bytes, start: int) -> int | None:
    """Gives where the array of the key ``objects`` opens; None where it has not come yet."""
    depth = 0
    for token in _TOKEN.finditer(data, start):
        at = token.start()
        mark = data[at]
        if mark == _QUOTE:
            if depth == 1 and token[0] == _OBJECTS_KEY:
                colon = _OBJECTS.match(data, token.end())
                if colon is not None:
                    return colon.end()
            if token.end() - at == 1:
                return None
        elif mark in (_OPEN, _LIST):
            depth += 1
        else:
            depth -= 1
            if depth == 0:
                raise BadContent("it has no array of objects")
    return None


def _end(window: _Window) -> int:
    """Gives where the object at the window's position ends, growing the window until it is there."""
    while True:
        depth = 0
        at = window.at
        while (bracket := _TO_BRACKET(window.data, at)) is not None:
            at = bracket.end()
            if window.data[at - 1] in _OPENING:
                depth += 1
            else:
                depth -= 1
                if depth == 0:
                    return at
        if not window.grow():
            raise BadContent(f"it ends within the object at byte {window.place}")


def _next(window: _Window) -> int:
    """Moves past blanks, also across chunks, and gives the byte that follows."""
    while True:
        window.at = _after_blanks(window.data, window.at)
        if window.at < len(window.data):
            return window.data[window.at]
        if not window.grow():
            raise BadContent(f"it ends too early, at byte {window.place}")


def _after_blanks(data: bytes, at: int) -> int:
    found = _BLANK(data, at)
    return at if found is None else found.end()
