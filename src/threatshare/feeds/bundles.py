"""Reads STIX bundles, 2.0 and 2.1, from disk or over HTTPS; what has not changed costs nothing.

    place              cursor                                   unchanged is
    a file, or all     for every file its size, time of         same size and time; else the same digest
    of a directory     modification and digest
    an address         ETag, Last-Modified and digest           304; else the same digest

The files of a directory are those named ``.json``, ``.stix`` or ``.stix2`` at any depth, in order of their names.
A file that cannot be read does not keep the others from being read: its fault is raised at the end.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

from msgspec import Struct

from threatshare.errors import PartnerError
from threatshare.feeds.conditional import cursor_text, fetch, read_cursor
from threatshare.feeds.content import BadContent, scan, split
from threatshare.feeds.session import Answer, PartnerSession, shown
from threatshare.model import Micros
from threatshare.ports import Page

IN_MEMORY = 64 * 1024 * 1024
"""Bytes; a larger file is read as a stream."""
_PAGE_BYTES = 16 * 1024 * 1024
_SUFFIXES = frozenset({".json", ".stix", ".stix2"})
_MAX_FILES = 100_000
_SHOWN_FAULTS = 5
_MEDIA_TYPES = frozenset(
    {
        "",
        "application/gzip",
        "application/json",
        "application/json-lines",
        "application/jsonl",
        "application/ndjson",
        "application/octet-stream",
        "application/stix+json",
        "application/taxii+json",
        "application/vnd.oasis.stix+json",
        "application/x-gzip",
        "application/x-ndjson",
        "binary/octet-stream",
        "text/json",
        "text/plain",
    }
)
"""What web servers and object stores say of a JSON file; a login or error page is text/html."""


class _FileStamp(Struct, array_like=True):
    size: int
    modified: int
    """Nanoseconds."""
    digest: str


class _DiskCursor(Struct):
    files: dict[str, _FileStamp] = {}
    """By name relative to the feed's path."""


class _Batch:
    """Collects objects until they make a page, by number or by bytes."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._bytes = 0
        self.objects: list[bytes] = []

    def add(self, one: bytes) -> bool:
        """Tells whether the page is full now."""
        self.objects.append(one)
        self._bytes += len(one)
        return len(self.objects) >= self._size or self._bytes >= _PAGE_BYTES

    def take(self) -> list[bytes]:
        taken, self.objects = self.objects, []
        self._bytes = 0
        return taken


class _Ahead:
    """Reckons from what has been read of so many bytes how many objects are still to come."""

    def __init__(self, size: int) -> None:
        self._left = size
        self._bytes = 0
        self._objects = 0

    def read(self, one: bytes) -> None:
        """Counts an object that has been read."""
        self._objects += 1
        self._bytes += len(one)
        self._left -= len(one)

    def passed(self, size: int) -> None:
        """Leaves out bytes that need not be read."""
        self._left -= size

    @property
    def objects(self) -> int | None:
        """How many are to come, roughly."""
        return round(max(self._left, 0) * self._objects / self._bytes) if self._bytes else None


class DiskFeed:
    """Reads a file or a directory of files; implements ``ports.FeedClient``."""

    def __init__(self, name: str, path: Path, *, page_size: int, max_object: int, in_memory: int = IN_MEMORY) -> None:
        """``max_object`` bytes bound an object of a streamed file, ``in_memory`` bytes a file that is not streamed."""
        self._name = name
        self._path = path
        self._page_size = page_size
        self._max_object = max_object
        self._in_memory = in_memory

    def pages(self, cursor: str | None, now: Micros) -> Iterator[Page]:
        """Yields the objects of files that are new or changed; raises PartnerError at the end for those with faults."""
        before = read_cursor(cursor, _DiskCursor()).files
        files = self._files()
        # A file that is gone leaves the cursor; one that has changed keeps its old stamp until it is done.
        done = {name: before[name] for name, _ in files if name in before}
        faults: list[str] = []
        batch = _Batch(self._page_size)
        ahead = _Ahead(_changed_bytes(files, before))
        for name, file in files:
            try:
                stamp = _stamp(file, before.get(name))
                if stamp.digest != _digest_of(before.get(name)):
                    for one in self._objects(file, stamp.size):
                        ahead.read(one)
                        if batch.add(one):
                            yield Page(batch.take(), cursor_text(_DiskCursor(done)), left=ahead.objects)
                elif stamp is not before[name]:
                    ahead.passed(stamp.size)
                done[name] = stamp
            except BadContent as problem:
                faults.append(f"{file}: {problem}")
            except OSError as problem:
                faults.append(f"{file}: {problem.strerror or problem}")
        if batch.objects or done != before:
            yield Page(batch.take(), cursor_text(_DiskCursor(done)), left=0)
        if faults:
            raise PartnerError(f"feed {self._name}: {_listed(faults)}")

    def _files(self) -> list[tuple[str, Path]]:
        """Gives every file with its name in the cursor."""
        if self._path.is_file():
            return [(self._path.name, self._path)]
        if not self._path.is_dir():
            raise PartnerError(f"feed {self._name}: {self._path} is neither a file nor a directory; check its path")
        found = [
            Path(folder, file)
            for folder, _, files in os.walk(self._path)
            for file in files
            if Path(file).suffix.lower() in _SUFFIXES
        ]
        if len(found) > _MAX_FILES:
            raise PartnerError(f"feed {self._name}: {self._path} holds more than {_MAX_FILES} files")
        return sorted((file.relative_to(self._path).as_posix(), file) for file in found if file.is_file())

    def _objects(self, file: Path, size: int) -> Iterator[bytes]:
        if size <= self._in_memory:
            yield from split(file.read_bytes())
            return
        with file.open("rb") as stream:
            yield from scan(stream, self._max_object)


class WebFeed:
    """Reads one address; implements ``ports.FeedClient``."""

    def __init__(self, name: str, url: str, open_session: Callable[[], PartnerSession], *, page_size: int) -> None:
        self._name = name
        self._url = url
        self._open = open_session
        self._page_size = page_size

    def pages(self, cursor: str | None, now: Micros) -> Iterator[Page]:
        """Yields the objects if they have changed; the cursor moves with the last page only.

        Raises PartnerError at the first fault.
        """
        found = fetch(
            self._url,
            cursor,
            self._open,
            place=f"feed {self._name}",
            accept="application/stix+json, application/json;q=0.9, */*;q=0.1",
            media_types=_is_json,
        )
        after = cursor_text(found.after)
        if found.answer is not None:
            yield from self._paged(found.answer, cursor_text(found.before), after)
        elif found.after != found.before:
            yield Page([], after, found.wire_bytes)

    def _paged(self, answer: Answer, before: str, after: str) -> Iterator[Page]:
        batch, ahead = _Batch(self._page_size), _Ahead(len(answer.body))
        wire_bytes = answer.wire_bytes
        try:
            for one in split(answer.body):
                ahead.read(one)
                if batch.add(one):
                    yield Page(batch.take(), before, wire_bytes, left=ahead.objects)
                    wire_bytes = 0
        except BadContent as problem:
            raise PartnerError(f"feed {self._name}: {shown(self._url)}: {problem}") from problem
        yield Page(batch.take(), after, wire_bytes, left=0)


def _is_json(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() in _MEDIA_TYPES


def _stamp(file: Path, before: _FileStamp | None) -> _FileStamp:
    """Gives a file's size, time and digest; reads it only where size or time differ from before."""
    found = file.stat()
    if before is not None and _is_as(before, found):
        return before
    digest = blake2b(digest_size=16)
    with file.open("rb") as stream:
        while chunk := stream.read(1024 * 1024):
            digest.update(chunk)
    return _FileStamp(found.st_size, found.st_mtime_ns, digest.hexdigest())


def _is_as(before: _FileStamp, found: os.stat_result) -> bool:
    return (before.size, before.modified) == (found.st_size, found.st_mtime_ns)


def _changed_bytes(files: list[tuple[str, Path]], before: dict[str, _FileStamp]) -> int:
    """Gives the bytes of the files that are to be read; those that cannot be are told of when they are."""
    size = 0
    for name, file in files:
        with suppress(OSError):
            found = file.stat()
            if name not in before or not _is_as(before[name], found):
                size += found.st_size
    return size


def _digest_of(stamp: _FileStamp | None) -> str | None:
    return None if stamp is None else stamp.digest


def _listed(faults: list[str]) -> str:
    more = len(faults) - _SHOWN_FAULTS
    return "; ".join(faults[:_SHOWN_FAULTS]) + (f"; and {more} more files" if more > 0 else "")
