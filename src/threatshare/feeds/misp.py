"""MISP feeds, the form in which MISP instances publish: ``manifest.json`` and a file an event, over HTTPS or from disk.

The manifest says when each event was last changed, so only what has changed since is fetched; and the manifest itself
only when it has changed (``conditional``) since a run that had no fault. The cursor holds the time of every event that
was read to its end; a large event takes several pages, small ones share one. An event that cannot be read does not keep
the others from being read: its fault is raised at the end, and it is tried again.

A directory without a manifest is read as single events, one a file; so is a path or address that ends in ``.json`` and
is no manifest. What the manifest no longer names is not withdrawn: publishers cut their feeds to the last months.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urljoin

import msgspec
from msgspec import Struct

from threatshare.errors import BadValue, PartnerError
from threatshare.feeds.conditional import WebCursor, cursor_text, fetch_in, read_cursor
from threatshare.feeds.session import BadAnswer, BadStatus, PartnerSession, shown
from threatshare.model import Micros, Reject
from threatshare.ports import Page
from threatshare.stix.misp import events_of, objects_of, parts_of

MANIFEST = "manifest.json"
_MOST_EVENTS = 100_000
_MOST_STAMP = 32
"""Characters of the time of an event's last change: the cursor holds them all."""
_PAGE_OBJECTS = 1_000
_PAGE_BYTES = 4 * 1024 * 1024
_PAGE_EVENTS = 100
_ACCEPT = "application/json"
_SHOWN = 5
_MOST_FAULTS = 10
"""Events in a row that cannot be had; then it is the server that is at fault."""
_OF_THE_EVENT = frozenset({403, 404, 410, 451})
"""What servers answer for a single event that they do not give."""
_MEDIA_TYPES = frozenset(
    {"", "application/json", "application/octet-stream", "binary/octet-stream", "text/json", "text/plain"}
)


class _Entry(Struct):
    timestamp: str | int = 0


class _Cursor(Struct):
    feed: str = ""
    """The address or path: a cursor is of no use for another one."""
    events: dict[str, str] = {}
    """When each event that was read was last changed, by name."""
    manifest: WebCursor | None = None
    """What was there when all that it names had been read; None: it has to be read."""


class _Listed(NamedTuple):
    """What there is."""

    events: dict[str, str] | None
    """When each event was last changed, by name; None: all is as it was."""
    manifest: WebCursor | None = None
    """To be saved once all of it has been read; None: it cannot be asked whether it has changed."""
    wire_bytes: int = 0


_manifest = msgspec.json.Decoder(dict[str, _Entry])


class _Collected:
    """What makes the next page."""

    def __init__(self) -> None:
        self._objects: list[bytes] = []
        self._rejects: list[Reject] = []
        self._bytes = 0
        self.wire_bytes = 0
        self.events = 0

    def add(self, one: bytes | Reject) -> None:
        if isinstance(one, Reject):
            self._rejects.append(one)
            self._bytes += len(one.text)
        else:
            self._objects.append(one)
            self._bytes += len(one)

    @property
    def full(self) -> bool:
        return self.number >= _PAGE_OBJECTS or self._bytes >= _PAGE_BYTES or self.events >= _PAGE_EVENTS

    @property
    def number(self) -> int:
        return len(self._objects) + len(self._rejects)

    def page(self, cursor: _Cursor, left: int | None) -> Page:
        return Page(self._objects, cursor_text(cursor), self.wire_bytes, self._rejects, left)


class MispFeed:
    """Brings the events that have changed; implements ``ports.FeedClient``."""

    def __init__(self, name: str, place: str, source: WebEvents | DiskEvents) -> None:
        """``place`` is the address or path, ``source`` what reads there."""
        self._name = name
        self._place = place
        self._source = source

    def pages(self, cursor: str | None, now: Micros) -> Iterator[Page]:
        """Yields pages; raises PartnerError at the first fault of the server, and at the end for events.

        Where nothing has changed but that events are gone, there is one page, which holds nothing.
        """
        before = read_cursor(cursor, _Cursor())
        if before.feed != self._place:
            before = _Cursor()
        known = before.events
        with self._source as source:
            listed = source.listed(before.manifest)
            if listed.events is None:
                return
            # What the manifest no longer names leaves the cursor.
            run = _Run(self._place, {name: stamp for name, stamp in known.items() if name in listed.events}, listed)
            order = sorted(listed.events.items(), key=lambda one: (one[1].zfill(20), one[0]))
            run.ahead = [(name, stamp) for name, stamp in order if known.get(name) != stamp]
            yield from run.pages(source)
            if not run.paged and (run.done.keys() != known.keys() or listed.manifest != before.manifest):
                yield Page([], cursor_text(run.cursor(to_its_end=True)), listed.wire_bytes, left=0)
        if run.broken is not None:
            raise run.broken
        if run.faults:
            more = f"; and {len(run.faults) - _SHOWN} more events" if len(run.faults) > _SHOWN else ""
            shown_faults = "; ".join(one.removeprefix(f"feed {self._name}: ") for one in run.faults[:_SHOWN])
            raise PartnerError(f"feed {self._name}: {shown_faults}{more}")


class _Run:
    """The events of one run on their way into pages."""

    def __init__(self, place: str, done: dict[str, str], listed: _Listed) -> None:
        self._place = place
        self._listed = listed
        self.done = done
        """When each event that has been read was last changed, by name."""
        self.ahead: list[tuple[str, str]] = []
        """Name and time of the events that are to be read."""
        self.faults: list[str] = []
        self.broken: PartnerError | None = None
        """The fault of the server that has ended it."""
        self.paged = False
        self._objects = 0
        """How many have been read; and ``_whole``, how many of events that were read to their end."""
        self._whole = 0

    def pages(self, source: WebEvents | DiskEvents) -> Iterator[Page]:
        """Yields pages of what is ahead; an event that cannot be read leaves its fault and nothing else."""
        page, missing = _Collected(), 0
        page.wire_bytes = self._listed.wire_bytes
        for place, (name, stamp) in enumerate(self.ahead):
            try:
                text, wire_bytes = source.read(name)
                events = events_of(text)
            except BadValue as problem:
                self.faults.append(f"{name}: {problem}")
                continue
            except PartnerError as problem:
                missing += 1
                if not _is_of_the_event(problem) or missing > _MOST_FAULTS:
                    self.broken = problem
                    break
                self.faults.append(str(problem))
                continue
            missing = 0
            page.wire_bytes += wire_bytes
            for one in (part for event in events for part in objects_of(event)):
                if page.full:
                    yield self._page(page, place)
                    page = _Collected()
                page.add(one)
                self._objects += isinstance(one, bytes)
            self.done[name] = stamp
            self._whole = self._objects
            page.events += 1
            if page.full:
                yield self._page(page, place + 1)
                page = _Collected()
        if page.events:
            yield self._page(page, len(self.ahead))

    def _page(self, page: _Collected, read: int) -> Page:
        """Gives a page, with how many objects are to come if events are all as large as the ``read`` ones."""
        self.paged = True
        left = round(self._whole / read * len(self.ahead)) - self._objects if read else None
        return page.page(self.cursor(read == len(self.ahead)), None if left is None else max(left, 0))

    def cursor(self, to_its_end: bool) -> _Cursor:
        """Gives the cursor behind what has been read; where that is all, and without a fault, with the manifest."""
        clean = to_its_end and self.broken is None and not self.faults
        return _Cursor(self._place, self.done, self._listed.manifest if clean else None)


class WebEvents:
    """Events at an address; a context, within which the server is talked to."""

    def __init__(self, name: str, url: str, open_session: Callable[[], PartnerSession]) -> None:
        """``url`` is the feed's folder, its manifest, or a single event."""
        self._place = f"feed {name}"
        self._single = url.endswith(".json") and not url.endswith(f"/{MANIFEST}")
        folder = url.removesuffix(MANIFEST)
        self._home = folder if folder.endswith("/") or self._single else f"{folder}/"
        self._open = open_session
        self._session: PartnerSession | None = None
        self._alone: tuple[bytes, int] | None = None

    def __enter__(self) -> WebEvents:
        self._session = self._open()
        return self

    def __exit__(self, *_: object) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    def listed(self, before: WebCursor | None) -> _Listed:
        """Asks for what has changed since ``before``; raises PartnerError."""
        url = self._home if self._single else urljoin(self._home, MANIFEST)
        cursor = None if before is None else cursor_text(before)
        assert self._session is not None
        found = fetch_in(self._session, url, cursor, place=self._place, accept=_ACCEPT, media_types=_is_json)
        if found.answer is None:
            return _Listed(None)
        text = found.answer.body
        if self._single:
            # When a single event was changed, only its content tells.
            self._alone = text, found.wire_bytes
            return _Listed({url.rpartition("/")[2]: blake2b(text, digest_size=16).hexdigest()}, found.after)
        events = _read_manifest(text, f"{self._place}: {shown(self._home)}{MANIFEST}")
        return _Listed(events, found.after, found.wire_bytes)

    def read(self, name: str) -> tuple[bytes, int]:
        """Gives an event's text and its bytes on the wire; raises PartnerError."""
        return self._alone or self._get(urljoin(self._home, f"{name}.json"))

    def _get(self, url: str) -> tuple[bytes, int]:
        assert self._session is not None
        answer = self._session.get(url, place=self._place, media_types=_is_json, headers={"Accept": _ACCEPT})
        return answer.body, answer.wire_bytes


class DiskEvents:
    """Events in a folder, or one in a file."""

    def __init__(self, name: str, path: Path, most: int) -> None:
        """``most`` bytes has an event at most."""
        self._place = f"feed {name}"
        self._path = path
        self._most = most

    def __enter__(self) -> DiskEvents:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def listed(self, before: WebCursor | None) -> _Listed:
        """Gives for each event when it was last changed: as the manifest says, or else as the file system does."""
        if self._path.is_file():
            return _Listed({self._path.name: self._stamp(self._path)})
        if not self._path.is_dir():
            raise PartnerError(f"{self._place}: {self._path} is neither a file nor a directory; check its path")
        manifest = self._path / MANIFEST
        if manifest.is_file():
            found = _read_manifest(self._bytes(manifest), f"{self._place}: {manifest}")
            return _Listed({f"{name}.json": stamp for name, stamp in found.items()})
        return _Listed({file.name: self._stamp(file) for file in sorted(self._path.glob("*.json")) if file.is_file()})

    def read(self, name: str) -> tuple[bytes, int]:
        """Gives an event's text; raises BadValue where the file cannot be read."""
        file = self._path if self._path.is_file() else self._path / name
        try:
            return self._bytes(file), 0
        except PartnerError as problem:
            raise BadValue(str(problem)) from problem

    def _bytes(self, file: Path) -> bytes:
        try:
            if file.stat().st_size > self._most:
                raise PartnerError(f"{file} has more than {self._most} bytes")
            return file.read_bytes()
        except OSError as problem:
            raise PartnerError(f"{self._place}: {file}: {problem.strerror or problem}") from problem

    def _stamp(self, file: Path) -> str:
        found = file.stat()
        return f"{found.st_mtime_ns}.{found.st_size}"


def _is_of_the_event(problem: PartnerError) -> bool:
    return isinstance(problem, BadAnswer) or (isinstance(problem, BadStatus) and problem.status in _OF_THE_EVENT)


def _read_manifest(text: bytes, place: str) -> dict[str, str]:
    # Each takes a brace or more, and an entry takes more memory than text.
    if text.count(b"{") > _MOST_EVENTS and sum(1 for _ in parts_of(text)) > _MOST_EVENTS:
        raise PartnerError(f"{place} names more than {_MOST_EVENTS} events")
    try:
        listed = _manifest.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise PartnerError(f"{place} is no manifest of a MISP feed: {problem}") from problem
    strange = next((name for name in listed if not _is_name(name)), None)
    if strange is not None:
        raise PartnerError(f"{place} names an event {strange[:60]!r}, which is no UUID")
    return {name: str(one.timestamp)[:_MOST_STAMP] for name, one in listed.items()}


def _is_name(name: str) -> bool:
    return len(name) == 36 and name.replace("-", "").isalnum() and name.isascii()


def _is_json(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() in _MEDIA_TYPES
