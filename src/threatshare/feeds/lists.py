"""Lists of values, over HTTPS or from disk: read whole whenever they have changed, since what is missing tells as much.

    place                cursor                                        unchanged is
    an address           ETag, Last-Modified and digest                304; else the same digest
    a file, or all       digest of every file's name, size and time    the same digest
    of a directory       of modification

A list whose settings were changed since counts as changed. Names that begin with a dot are no files of a list.

An answer that has no length and comes in no chunks ends where its connection does, lost or closed; a gzip of several
members may be cut between two of them.
Such a list withdraws nothing, and its last line waits, until the very same has come again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from hashlib import blake2b
from io import BytesIO
from pathlib import Path

from msgspec import Struct

from threatshare.errors import PartnerError
from threatshare.feed_settings import ListSettings
from threatshare.feeds.conditional import Fetched, WebCursor, cursor_text, fetch, read_cursor
from threatshare.feeds.list_lines import lines_of
from threatshare.feeds.list_rows import RowReader
from threatshare.feeds.session import PartnerSession, shown
from threatshare.model import Micros, Reject
from threatshare.ports import Listed, Listing

_MOST_FILES = 100_000
_SHOWN = 5
_ACCEPT = "text/plain, text/csv;q=0.9, application/json;q=0.9, */*;q=0.1"
_MEDIA_TYPES = frozenset(
    {
        "",
        "application/csv",
        "application/gzip",
        "application/json",
        "application/json-lines",
        "application/jsonl",
        "application/ndjson",
        "application/octet-stream",
        "application/x-gzip",
        "application/x-ndjson",
        "binary/octet-stream",
        "text/csv",
        "text/json",
        "text/plain",
        "text/tab-separated-values",
    }
)
"""What web servers say of a list; a login or error page is text/html."""
_ONCE = "once "
"""What stands before the digest of a list that has come once, and may be the beginning of a longer one."""
_CUT_OFF = (
    "the server tells neither how long the list is nor where it ends, so it may be cut off: nothing is withdrawn until"
    " the same has come twice; list.ends_by_closing = true takes it for whole each time"
)
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
        if self._terms.ends_by_closing or _has_end(found.answer.headers) or _is_again(found):
            return Listing(self._read(body, now), after, self._terms.complete, _count_of(body), found.wire_bytes)
        once = WebCursor(found.after.url, digest=_ONCE + str(found.after.digest))
        # The last line may be the beginning of a longer one, and then another value.
        body = body[: body.rfind(b"\n") + 1]
        return Listing(self._read(body, now), cursor_text(once), False, _count_of(body), found.wire_bytes, _CUT_OFF)

    def _read(self, body: bytes, now: Micros) -> Iterator[Listed | Reject]:
        return self._rows.read(lines_of(BytesIO(body)), now)


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
            try:
                with file.open("rb") as stream:
                    rows = self._rows.read(lines_of(stream), now)
                    yield from rows if len(files) == 1 else _placed(rows, file.name)
            except OSError as problem:
                faults.append(f"{file}: {problem.strerror or problem}")
            except PartnerError as problem:
                faults.append(f"{file}: {problem}")
        if faults:
            raise PartnerError(f"feed {self._name}: {'; '.join(faults[:_SHOWN])}")


def _placed(rows: Iterator[Listed | Reject], name: str) -> Iterator[Listed | Reject]:
    """Says of what was refused in which of several files it stands."""
    for one in rows:
        yield Reject(f"{name}, {one.place}", one.reason, one.text) if isinstance(one, Reject) else one


def _has_end(headers: Mapping[str, str]) -> bool:
    """Tells whether a lost connection would have been noticed: length and chunks each say where the end is.

    A gzip does not: further members may follow the last one that came (RFC 1952 §2.2).
    """
    return "Content-Length" in headers or "chunked" in headers.get("Transfer-Encoding", "").lower()


def _is_again(found: Fetched) -> bool:
    """Tells whether the very bytes came that came before, and could not be told from a beginning then."""
    return found.before.digest == _ONCE + str(found.after.digest)


def _count_of(body: bytes) -> int:
    return body.count(b"\n") + (not body.endswith(b"\n") and bool(body))


def _count(file: Path) -> int:
    """Counts the lines of a file."""
    with file.open("rb") as stream:
        count, last = 0, b"\n"
        for chunk in iter(lambda: stream.read(1024 * 1024), b""):
            count, last = count + chunk.count(b"\n"), chunk[-1:]
        return count + (last != b"\n")


def _is_list(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() in _MEDIA_TYPES
