"""What we read of an object that somebody else made: limits first, then only the fields we use.

stix2 is not used here: it parses 2,000 objects a second, is quadratic in granular markings and accepts
what the standard forbids. The object itself is kept as the bytes that came.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

import msgspec
from msgspec import Raw, Struct

from threatshare.errors import BadValue
from threatshare.model import Micros
from threatshare.stix.patterns import read_ahead
from threatshare.stix.timestamps import read_timestamp

MAX_OBJECT = 1_048_576
"""Bytes."""
MAX_DEPTH = 64
MAX_REFERENCES = 100
"""Markings, granular markings, labels of one object."""

_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_IS_UUID = re.compile(_UUID).fullmatch
_IS_TYPE = re.compile(r"[a-z][a-z0-9]*+(?:-[a-z0-9]++)*+").fullmatch
_IS_ID = re.compile(rf"[a-z][a-z0-9]*+(?:-[a-z0-9]++)*+--{_UUID}").fullmatch
_MAX_TYPE = 250
_MAX_ID = _MAX_TYPE + 38
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*+\\u0000").search
_MOST_DIGITS = 4300
"""Of a number: Python reads no longer ones (``sys.get_int_max_str_digits``)."""
_LONG_NUMBER = re.compile(rb"(?<![0-9])[0-9]{%d}" % _MOST_DIGITS).search
_JSON_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|\Z)', re.DOTALL)
_TOKEN = re.compile(_JSON_STRING.pattern + rb"|[{}\[\]]", re.DOTALL).finditer
_ARRAY = re.compile(rb"[ \t\r\n]*:[ \t\r\n]*\[").match
_MAX_MENDED = 16 * 1024 * 1024
_TO_SQUARE = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(set(range(256)) - set(b"{}[]"))


class GranularMarking(Struct, gc=False):
    """A marking of some properties only; it counts for the whole object here."""

    marking_ref: str | None = None
    lang: str | None = None
    """The language of the properties (STIX 2.1 §7.2.3), which is no restriction."""


class ExternalReference(Struct, gc=False):
    """Where else the object is described."""

    source_name: str | None = None
    external_id: str | None = None
    url: str | None = None


class Received(Struct, gc=False):
    """The fields of a STIX object that this node acts on; all else stays in the kept bytes."""

    type: str
    id: str
    spec_version: str | None = None
    created: str | None = None
    modified: str | None = None
    created_by_ref: str | None = None
    revoked: bool = False
    confidence: int | None = None
    pattern: str | None = None
    pattern_type: str | None = None
    valid_from: str | None = None
    valid_until: str | None = None
    object_marking_refs: list[str] = []
    granular_markings: list[GranularMarking] = []
    labels: list[str] = []
    indicator_types: list[str] = []
    name: str | None = None
    sighting_of_ref: str | None = None
    external_references: list[ExternalReference] = []

    @property
    def version(self) -> Micros:
        """``modified``, else ``created``, else 0 (observables have neither); raises BadValue."""
        text = self.modified or self.created
        return read_timestamp(text) if text else 0

    @property
    def marking_refs(self) -> list[str]:
        """Every marking that it names, on the object and on parts of it; empty text where a part names none."""
        if not self.granular_markings:
            return self.object_marking_refs
        parts = [one.marking_ref or "" for one in self.granular_markings if one.marking_ref or one.lang is None]
        return self.object_marking_refs + parts


class Envelope(Struct, gc=False):
    """A TAXII envelope or STIX bundle, its objects left as text."""

    more: bool | Literal[0, 1, "true", "false", "True", "False"] | None = False
    """Some servers write it as text or as a number."""
    next: str | int | None = None
    type: str | None = None
    objects: list[Raw] | None = None
    """None: nothing there, as some servers say of an empty page."""


class _Named(Struct, gc=False):
    id: str


_object = msgspec.json.Decoder(Received)
_named = msgspec.json.Decoder(_Named)
_anything = msgspec.json.Decoder()
_envelope = msgspec.json.Decoder(Envelope)


def split_envelope(page: bytes) -> tuple[list[bytes], bool, str | int | None]:
    """Splits an envelope or bundle into its objects' exact bytes; gives (objects, more, next); raises BadValue.

    An object that the decoder cannot read (a lone surrogate, too many levels) does not spoil the page.
    """
    try:
        read = _envelope.decode(page)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as problem:
        mended = _objects_apart(page)
        if mended is None:
            raise BadValue(f"no TAXII envelope or STIX bundle: {problem}") from problem
        return mended
    return [bytes(one) for one in read.objects or ()], _is_true(read.more), read.next


def _objects_apart(page: bytes) -> tuple[list[bytes], bool, str | int | None] | None:
    """Splits a page by its brackets, without reading its objects; None where the page itself is no JSON."""
    at = _array(page) if len(page) <= _MAX_MENDED else None
    found = _elements(page, at) if at is not None else None
    if found is None:
        return None
    objects, end = found
    try:
        rest = _envelope.decode(page[:at] + page[end:])
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    return None if rest.objects else (objects, _is_true(rest.more), rest.next)


def _is_true(said: bool | int | str | None) -> bool:
    return said in (True, "true", "True")


def _array(page: bytes) -> int | None:
    """Gives where the elements of the outermost ``objects`` begin."""
    depth = 0
    for token in _TOKEN(page):
        if token[0] == b'"objects"' and depth == 1:
            opened = _ARRAY(page, token.end())
            if opened is not None:
                return opened.end()
        elif token[0] in b"{[":
            depth += 1
        elif token[0] in b"}]":
            depth -= 1
    return None


def _elements(page: bytes, at: int) -> tuple[list[bytes], int] | None:
    """Gives the objects of an array and where it ends; None where there is anything else in it."""
    objects: list[bytes] = []
    depth, start, last = 0, at, at
    for token in _TOKEN(page, at):
        if token[0] in b"{[":
            if depth == 0:
                between = page[last : token.start()].strip()
                if token[0] == b"[" or between != (b"," if objects else b""):
                    return None
                start = token.start()
            depth += 1
        elif token[0] in b"}]":
            depth -= 1
            if depth == 0:
                last = token.end()
                objects.append(page[start:last])
            elif depth < 0:
                return None if page[last : token.start()].strip() else (objects, token.start())
    return None


def read_object(raw: bytes) -> Received:
    """Reads one object within limits; raises BadValue with the reason.

    Refused: too large, too deep, no valid UTF-8, NUL or lone surrogates, numbers that cannot be read,
    an id of the wrong form or for another type, ``modified`` before ``created``, a confidence outside
    0-100, an indicator without pattern, too many references. A property that stands there twice counts
    as it does for every common reader: the last. A costly pattern has been read then, for ``read_pattern``; what is
    wrong with it says whoever asks for what it names.
    """
    _check_text(raw)
    try:
        read = _object.decode(raw)
    except (msgspec.DecodeError, RecursionError) as problem:
        # The decoder takes a lone surrogate at the end of a string for the end of the text.
        hint = "; does it hold a lone surrogate?" if b"\\ud" in raw.lower() else ""
        raise BadValue(f"unreadable object: {problem}{hint}") from problem
    _check_id(read)
    if read.confidence is not None and not 0 <= read.confidence <= 100:
        raise BadValue(f"{read.id}: confidence {read.confidence} is not within 0-100")
    if len(read.object_marking_refs) + len(read.granular_markings) + len(read.labels) > MAX_REFERENCES:
        raise BadValue(f"{read.id}: more than {MAX_REFERENCES} markings and labels")
    if read.created is not None and read.modified is not None:
        _check_times(read.id, read.created, read.modified)
    elif read.type == "indicator":
        raise BadValue(f"{read.id}: indicator without created and modified")
    if read.type == "indicator":
        if not read.pattern:
            raise BadValue(f"{read.id}: indicator without a pattern")
        read.pattern = read_ahead(read.pattern)
    return read


def id_of(raw: bytes) -> str | None:
    """Gives the id of an object of which nothing else is read, and nothing is checked; None where it has none."""
    try:
        return _named.decode(raw).id
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None


def reread(body: bytes) -> Received:
    """Reads an object that was taken before; it stays readable where ``read_object`` has become stricter since."""
    return _object.decode(body)


def _check_id(read: Received) -> None:
    kind, _, number = read.id.partition("--")
    if _IS_UUID(number) is None or len(kind) > _MAX_TYPE or not _is_type(kind):
        raise BadValue(f"id {read.id[:80]!r} is not of the form type--uuid in lower case")
    if kind != read.type:
        raise BadValue(f"id {read.id} does not belong to type {read.type[:40]!r}")
    maker = read.created_by_ref
    if maker is not None and (len(maker) > _MAX_ID or not _is_id(maker)):
        raise BadValue(f"{read.id}: created_by_ref {maker[:80]!r} is not of the form type--uuid in lower case")


# A feed names few types and makers, and each very often.
@lru_cache(maxsize=256)
def _is_type(text: str) -> bool:
    return _IS_TYPE(text) is not None


@lru_cache(maxsize=1024)
def _is_id(text: str) -> bool:
    return _IS_ID(text) is not None


def _check_times(object_id: str, created: str, modified: str) -> None:
    try:
        early = read_timestamp(modified) < read_timestamp(created)
    except BadValue as problem:
        raise BadValue(f"{object_id}: {problem}") from problem
    if early:
        raise BadValue(f"{object_id}: modified lies before created")


def _check_text(raw: bytes) -> None:
    if len(raw) > MAX_OBJECT:
        raise BadValue(f"object of {len(raw)} bytes, at most {MAX_OBJECT} are taken")
    if not raw.isascii():
        try:
            raw.decode()
        except UnicodeDecodeError as problem:
            raise BadValue(f"object is not valid UTF-8: {problem.reason} at byte {problem.start}") from problem
    # A backslash alone is found five times as fast, and most objects have none. Lone surrogates are left
    # to the decoder, which checks what it skips as well.
    if b"\\" in raw and b"\\u0000" in raw and _NUL(raw):
        raise BadValue("object holds a NUL character")
    if len(raw) > _MOST_DIGITS and _LONG_NUMBER(raw):
        _check_numbers(raw)
    # As many brackets as that nest at most that deep; only the rest is looked at.
    if raw.count(b"{") + raw.count(b"[") > MAX_DEPTH and _too_deep(raw):
        raise BadValue(f"object nested deeper than {MAX_DEPTH}")


def _check_numbers(raw: bytes) -> None:
    try:
        _anything.decode(raw)
    except (msgspec.DecodeError, RecursionError) as problem:
        raise BadValue(f"unreadable object: {problem}") from problem


def _too_deep(raw: bytes) -> bool:
    """Tells whether brackets outside strings nest too deep, by taking the innermost pairs away again and again."""
    left = _JSON_STRING.sub(b"", raw).translate(_TO_SQUARE, _NO_BRACKETS)
    for more in range(MAX_DEPTH, 0, -1):
        if b"[" * (more + 1) in left:
            return True
        left = left.replace(b"[]", b"")
        if not left:
            return False
    return True
