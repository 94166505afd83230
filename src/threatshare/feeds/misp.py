"""MISP feeds, the form in which MISP instances publish: ``manifest.json`` and a file an event, over HTTPS or from disk.

The manifest says when each event was last changed, so only what has changed since is fetched. The cursor holds that of
every event that was read to its end; a large event takes several pages, small ones share one. An event that cannot be
read does not keep the others from being read: its fault is raised at the end, and it is tried again.

A directory without a manifest is read as single events, one a file; so is a path or address that ends in ``.json`` and
is no manifest. What the manifest no longer names is not withdrawn: publishers cut their feeds to the last months.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import blake2b
from pathlib import Path
from urllib.parse import urljoin

import msgspec
from msgspec import Struct

from threatshare.errors import BadValue, PartnerError
from threatshare.feeds.conditional import cursor_text, read_cursor
from threatshare.feeds.session import PartnerSession, shown
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
_SHOWN = 5
_MEDIA_TYPES = frozenset(
    {"", "application/json", "application/octet-stream", "binary/octet-stream", "text/json", "text/plain"}
)


class _Listed(Struct):
    timestamp: str | int = 0


class _Cursor(Struct):
    feed: str = ""
    """The address or path: a cursor is of no use for another one."""
    events: dict[str, str] = {}
    """When each event that was read was last changed, by name."""


_manifest = msgspec.json.Decoder(dict[str, _Listed])


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
        number = len(self._objects) + len(self._rejects)
        return number >= _PAGE_OBJECTS or self._bytes >= _PAGE_BYTES or self.events >= _PAGE_EVENTS

    def page(self, cursor: _Cursor) -> Page:
        return Page(self._objects, cursor_text(cursor), self.wire_bytes, self._rejects)


class MispFeed:
    """Brings the events that have changed; implements ``ports.FeedClient``."""

    def __init__(self, name: str, place: str, source: WebEvents | DiskEvents) -> None:
        """``place`` is the address or path, ``source`` what reads there."""
        self._name = name
        self._place = place
        self._source = source

    def pages(self, cursor: str | None, now: Micros) -> Iterator[Page]:
        """Yields pages; raises PartnerError at the first fault of the server, and at the end for events."""
        before = read_cursor(cursor, _Cursor())
        known = before.events if before.feed == self._place else {}
        with self._source as source:
            listed = source.listed()
            # What the manifest no longer names leaves the cursor.
            done = {name: stamp for name, stamp in known.items() if name in listed}
            faults: list[str] = []
            broken: PartnerError | None = None
            page = _Collected()
            for name, stamp in sorted(listed.items(), key=lambda one: (one[1].zfill(20), one[0])):
                if known.get(name) == stamp:
                    continue
                try:
                    text, wire_bytes = source.read(name)
                    events = events_of(text)
                except BadValue as problem:
                    faults.append(f"{name}: {problem}")
                    continue
                except PartnerError as problem:
                    broken = problem
                    break
                page.wire_bytes += wire_bytes
                for one in (part for event in events for part in objects_of(event)):
                    if page.full:
                        yield page.page(_Cursor(self._place, done))
                        page = _Collected()
                    page.add(one)
                done[name] = stamp
                page.events += 1
                if page.full:
                    yield page.page(_Cursor(self._place, done))
                    page = _Collected()
            if page.events:
                yield page.page(_Cursor(self._place, done))
        if broken is not None:
            raise broken
        if faults:
            more = f"; and {len(faults) - _SHOWN} more events" if len(faults) > _SHOWN else ""
            raise PartnerError(f"feed {self._name}: {'; '.join(faults[:_SHOWN])}{more}")


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

    def listed(self) -> dict[str, str]:
        """Gives the time of each event's last change by the event's name."""
        if self._single:
            # When a single event was changed, only its content tells.
            self._alone = self._get(self._home)
            return {self._home.rpartition("/")[2]: blake2b(self._alone[0], digest_size=16).hexdigest()}
        text, _ = self._get(urljoin(self._home, MANIFEST))
        return _read_manifest(text, f"{self._place}: {shown(self._home)}{MANIFEST}")

    def read(self, name: str) -> tuple[bytes, int]:
        """Gives an event's text and its bytes on the wire; raises PartnerError."""
        return self._alone or self._get(urljoin(self._home, f"{name}.json"))

    def _get(self, url: str) -> tuple[bytes, int]:
        assert self._session is not None
        answer = self._session.get(url, place=self._place, media_types=_is_json, headers={"Accept": "application/json"})
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

    def listed(self) -> dict[str, str]:
        """Gives for each event when it was last changed: as the manifest says, or else as the file system does."""
        if self._path.is_file():
            return {self._path.name: self._stamp(self._path)}
        if not self._path.is_dir():
            raise PartnerError(f"{self._place}: {self._path} is neither a file nor a directory; check its path")
        manifest = self._path / MANIFEST
        if manifest.is_file():
            found = _read_manifest(self._bytes(manifest), f"{self._place}: {manifest}")
            return {f"{name}.json": stamp for name, stamp in found.items()}
        return {file.name: self._stamp(file) for file in sorted(self._path.glob("*.json")) if file.is_file()}

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
