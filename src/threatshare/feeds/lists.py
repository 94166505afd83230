"""Lists of values, over HTTPS or from disk: read whole whenever they have changed, since what is missing tells as much.

    place                cursor                                        unchanged is
    an address           ETag, Last-Modified and digest                304; else the same digest
    a file, or all       digest of every file's name, size and time    the same digest
    of a directory       of modification

A list whose settings were changed since counts as changed. Names that begin with a dot are no files of a list.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from hashlib import blake2b
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

from threatshare.errors import PartnerError
from threatshare.feed_settings import ListSettings
from threatshare.feeds.conditional import cursor_text, fetch, read_cursor
from threatshare.feeds.list_rows import MOST_ROW, RowReader
from threatshare.feeds.session import PartnerSession, shown
from threatshare.model import Micros, Reject
from threatshare.ports import Listed, Listing

_MOST_FILES = 100_000
_SHOWN = 5
_MOST_LINE = MOST_ROW + 2
"""Characters read of one line: enough for its reader to see that it is too long."""
_ACCEPT = "text/plain, text/csv;q=0.9, application/json;q=0.9, */*;q=0.1"
_MEDIA_TYPES = frozenset(
    {
        "",
        "application/csv",
        "application/json",
        "application/json-lines",
        "application/ndjson",
        "application/octet-stream",
        "application/x-ndjson",
        "binary/octet-stream",
        "text/csv",
        "text/json",
        "text/plain",
        "text/tab-separated-values",
    }
)
"""What web servers say of a list; a login or error page is text/html."""
_PAGE = (b"<!doctype html", b"<html", b"<?xml")


class _FolderCursor(Struct):
    digest: str = ""


class WebList:
    """Reads one address; implements ``ports.ListClient``."""

    def __init__(
        self, name: str, url: str, open_session: Callable[[], PartnerSession], terms: ListSettings, rows: RowReader
    ) -> None:
        self._name = name
        self._url = url
        self._open = open_session
        self._terms = terms
        self._rows = rows

    def listing(self, cursor: str | None, now: Micros) -> Listing | None:
        """Gives the list if it has changed; raises PartnerError, also for a page that is plainly no list."""
        found = fetch(
            self._url,
            cursor,
            self._open,
            place=f"feed {self._name}",
            accept=_ACCEPT,
            media_types=_is_list,
            reading=repr(self._terms),
        )
        after = cursor_text(found.after)
        if found.answer is None:
            same = found.after == found.before
            return None if same else Listing(iter(()), after, False, 0, found.wire_bytes)
        body = found.answer.body
        if body[:200].lstrip().lower().startswith(_PAGE):
            raise PartnerError(f"feed {self._name}: {shown(self._url)}: a web page came instead of a list")
        rows = self._rows.read(_lines(BytesIO(body)), now)
        return Listing(rows, after, self._terms.complete, body.count(b"\n") + 1, found.wire_bytes)


class DiskList:
    """Reads a file, or all files of a directory as one list; implements ``ports.ListClient``."""

    def __init__(self, name: str, path: Path, terms: ListSettings, rows: RowReader) -> None:
        self._name = name
        self._path = path
        self._terms = terms
        self._rows = rows

    def listing(self, cursor: str | None, now: Micros) -> Listing | None:
        """Gives the list if a file has changed; raises PartnerError where one cannot be read."""
        files = self._files()
        digest = blake2b(repr(self._terms).encode(), digest_size=16)
        for file in files:
            found = file.stat()
            digest.update(f"\0{file}\0{found.st_size}\0{found.st_mtime_ns}".encode(errors="surrogateescape"))
        after = _FolderCursor(digest.hexdigest())
        if read_cursor(cursor, _FolderCursor()) == after:
            return None
        return Listing(self._read(files, now), cursor_text(after), self._terms.complete, sum(map(_count, files)))

    def _files(self) -> list[Path]:
        if self._path.is_file():
            return [self._path]
        if not self._path.is_dir():
            raise PartnerError(f"feed {self._name}: {self._path} is neither a file nor a directory; check its path")
        walked = os.walk(self._path)
        found = [Path(folder, name) for folder, _, names in walked for name in names if not name.startswith(".")]
        if len(found) > _MOST_FILES:
            raise PartnerError(f"feed {self._name}: {self._path} holds more than {_MOST_FILES} files")
        return sorted(one for one in found if one.is_file())

    def _read(self, files: list[Path], now: Micros) -> Iterator[Listed | Reject]:
        """Yields the rows of every file; one that cannot be read does not keep the others from being read."""
        faults = []
        for file in files:
            where = "" if len(files) == 1 else f"{file.name}, "
            try:
                with file.open("rb") as stream:
                    for one in self._rows.read(_lines(stream), now):
                        yield Reject(where + one.place, one.reason, one.text) if isinstance(one, Reject) else one
            except OSError as problem:
                faults.append(f"{file}: {problem.strerror or problem}")
            except PartnerError as problem:
                faults.append(f"{file}: {problem}")
        if faults:
            raise PartnerError(f"feed {self._name}: {'; '.join(faults[:_SHOWN])}")


def _lines(stream: BinaryIO) -> Iterator[str]:
    """Yields lines, and the beginning of one that is too long for any row."""
    # What is no UTF-8 stays as it is and fails where it stands in a value, instead of ending the list.
    text = TextIOWrapper(stream, encoding="utf-8-sig", errors="backslashreplace")
    while line := text.readline(_MOST_LINE):
        yield line
        while len(line) == _MOST_LINE and not line.endswith("\n"):
            line = text.readline(_MOST_LINE)


def _count(file: Path) -> int:
    """Counts the lines of a file."""
    with file.open("rb") as stream:
        return 1 + sum(chunk.count(b"\n") for chunk in iter(lambda: stream.read(1024 * 1024), b""))


def _is_list(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() in _MEDIA_TYPES
