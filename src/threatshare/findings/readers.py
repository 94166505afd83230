"""Finds the reader for a file and runs it. Built-in readers and plugins come by the same way: entry points.

A reader is asked in this order whether a file is its format: the built-in readers of structured formats, plugins by
name, then tables, then text, because a table is also text, and a plugin knows its format better than they do.
Listing readers imports none of them; asking imports the reader, which imports heavy libraries only when it reads.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from difflib import get_close_matches
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import BinaryIO

from threatshare.config import OwnAssets
from threatshare.errors import ConfigurationError, UsageError
from threatshare.findings.records import HEAD, replay
from threatshare.model import Finding, Reject
from threatshare.ports import Reader

GROUP = "threatshare.readers"

_FIRST = ("suricata-eve", "ocsf")
_LAST = ("csv", "text")


def reader_names() -> list[str]:
    """Lists the names of all readers in the order in which they are asked."""
    names = _registered()
    plugins = sorted(name for name in names if name not in _FIRST + _LAST)
    return [name for name in (*_FIRST, *plugins, *_LAST) if name in names]


def reader_named(name: str) -> Reader:
    """Gives one reader; raises UsageError naming the nearest where there is none of that name."""
    known = _registered()
    if name not in known:
        near = get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(reader_names())}"
        raise UsageError(f"there is no reader named {name!r}; {hint}")
    return _loaded(name)


def recognise(head: bytes, filename: str) -> Reader | None:
    """Gives the first reader that takes a file for its format, by its first 64 KiB; None where none does."""
    readers = (_loaded(name) for name in reader_names())
    return next((reader for reader in readers if reader.recognises(head, filename)), None)


def read_file(
    source: Path | BinaryIO, format: str | None, own: OwnAssets, place: str | None = None
) -> Iterator[Finding | Reject]:
    """Yields what a file or stream holds, in constant memory; a file of no known format is one Reject.

    ``format`` names the reader; None: it is recognised from the content. ``place`` names the source in every result;
    None: the path, or ``-`` for a stream. Raises UsageError where there is no reader of that name.
    """
    reader = reader_named(format) if format is not None else None
    if isinstance(source, Path):
        return _read_path(source, reader, own, place or str(source))
    return _read(source, reader, own, place or "-")


def _read_path(path: Path, reader: Reader | None, own: OwnAssets, place: str) -> Iterator[Finding | Reject]:
    try:
        stream = path.open("rb")
    except OSError as problem:
        yield Reject(place, f"cannot be read: {problem.strerror}")
        return
    with stream:
        yield from _read(stream, reader, own, place)


def _read(stream: BinaryIO, reader: Reader | None, own: OwnAssets, place: str) -> Iterator[Finding | Reject]:
    head = _head(stream)
    if not head.strip():
        return
    if reader is None:
        reader = recognise(head, place)
    if reader is None:
        yield Reject(
            place, f"no reader recognises this format; name one with --format: {', '.join(reader_names())}", ""
        )
        return
    yield from reader.read(replay(head, stream), place, own)


def _head(stream: BinaryIO) -> bytes:
    """Reads the first 64 KiB; a pipe may bring them in pieces."""
    head = io.BytesIO()
    while head.tell() < HEAD and (data := stream.read(HEAD - head.tell())):
        head.write(data)
    return head.getvalue()


@cache
def _registered() -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=GROUP):
        other = found.setdefault(entry.name, entry)
        if other.value != entry.value:
            raise ConfigurationError(
                f"two readers are named {entry.name!r}: {other.value} and {entry.value}. Uninstall one of them."
            )
    return found


@cache
def _loaded(name: str) -> Reader:
    entry = _registered()[name]
    try:
        reader: Reader = entry.load()()
    except (ImportError, AttributeError, TypeError) as problem:
        raise ConfigurationError(f"the reader {name!r} ({entry.value}) cannot be loaded: {problem}") from problem
    return reader
