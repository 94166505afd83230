"""Pages of objects and of manifests, built once and kept while they stand.

What a page holds depends on the collection and the filter and not on who asks, so the clients of a
collection share it. A full page stands until an entry of its collection is superseded or deleted, the
last one also until the next is added; both are told from two numbers of the collection's row, so a
page that was kept is never staler than one that is built.

A client that follows ``next`` finds the following page ready, in the coding that it asks for: it is built while
the client reads. A page is compressed once in each coding, and who takes it as it is never waits for that.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from queue import SimpleQueue
from threading import Event, Lock, Thread
from typing import Any

from threatshare.model import Collection, EmptyPage
from threatshare.share.bodies import TAXII, date_headers, envelope, manifest_resource
from threatshare.share.compressed import TINY, VARY, compressed
from threatshare.share.connections import Connections
from threatshare.share.positions import write_position
from threatshare.store.connection import Connection
from threatshare.store.entries import Edition, edition
from threatshare.store.faults import StoreFault
from threatshare.store.pages import EntryFilter, Page, manifest, page, start_of

_log = logging.getLogger(__name__)

ReadPage = Callable[[Connection, Collection, EntryFilter, int], Page[bytes]]

_LARGEST_SHARE = 4
"""A page larger than this part of what may be kept is not."""
_BESIDE = 2_000
"""Bytes that a page takes beside its bodies: its filter, its headers, its place among the others."""
_FOLLOWED = 256
"""Clients whose next request is recognised."""
_AHEAD = 4
"""Pages that may wait to be built ahead."""
_PATIENCE = 1.0
"""Seconds to wait for a page that is being built already."""


class Resource(Enum):
    """What a page is of."""

    OBJECTS = auto()
    MANIFEST = auto()


@dataclass(frozen=True, slots=True)
class Asked:
    """What decides a page; the date of ``added_after`` is a position already."""

    resource: Resource
    collection: Collection
    wanted: EntryFilter
    limit: int
    number: int = field(init=False, compare=False)
    """Its hash, which goes through all fields of a collection and is asked for eight times a request."""

    def __post_init__(self) -> None:
        known = hash((self.resource, self.collection.number, self.wanted, self.limit))
        object.__setattr__(self, "number", known)

    def __hash__(self) -> int:
        return self.number


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class Sent:
    """A page in one coding, as it goes over the wire."""

    body: bytes
    headers: list[tuple[str, str]]
    spans: tuple[tuple[int, int], ...]
    """The entries of which it has the objects; none of a manifest, which has their names only."""


@dataclass(frozen=True, slots=True, eq=False)
class Built:
    """A page that was built."""

    plain: Sent
    dates: dict[str, str]
    """The headers that bound its dates."""
    edition: Edition
    asked: Asked
    following: Asked | None
    """What the client will ask for next; None where there is no more."""
    codings: dict[str, Sent] = field(default_factory=dict)
    """The page in the codings that were asked for so far."""
    compressing: Lock = field(default_factory=Lock)

    @property
    def size(self) -> int:
        """Bytes held."""
        return _BESIDE + len(self.plain.body) + sum(len(one.body) for one in self.codings.values())

    def stands(self, now: Edition) -> bool:
        """Tells whether the page would be built the same now."""
        if self.edition.rewritten != now.rewritten:
            return False
        return self.following is not None or self.edition.last_seq == now.last_seq


class PageCache:
    """Builds pages and keeps them, for one worker process."""

    def __init__(
        self,
        connections: Connections,
        next_key: bytes,
        most_bytes: int = 32 * 1024 * 1024,
        read: ReadPage = page,
    ) -> None:
        self._connections = connections
        self._next_key = next_key
        self._most_bytes = most_bytes
        self._read = read
        self._kept: OrderedDict[Asked, Built] = OrderedDict()
        self._size = 0
        self._followers: OrderedDict[Asked, None] = OrderedDict()
        self._lock = Lock()
        self._coming: dict[Asked, Event] = {}
        self._ahead: SimpleQueue[tuple[Asked, str] | None] = SimpleQueue()
        self._thread = Thread(target=self._build_ahead, name="pages-ahead", daemon=True)
        self._thread.start()

    def page(
        self, collection: Collection, wanted: EntryFilter, limit: int, coding: str = "", of: Resource = Resource.OBJECTS
    ) -> Built:
        """Gives a page, kept or built, for a client that will ask for the next in the same coding.

        Raises BadValue where the filter names too many values.
        """
        asked = Asked(of, collection, self._placed(collection, wanted), limit)
        self._await(asked)
        with self._connections.reading() as conn:
            built = self._held(conn, asked) or self._build(conn, asked)
        self._served(asked, built, coding)
        return built

    def sent(self, built: Built, coding: str) -> Sent:
        """Gives a page in a coding, which it is put into once; in none where it is tiny."""
        if not coding or len(built.plain.body) < TINY:
            return built.plain
        with built.compressing:
            if coding not in built.codings:
                packed = _sent(compressed(built.plain.body, coding), built.dates, built.plain.spans, coding)
                with self._lock:
                    built.codings[coding] = packed
                    if self._kept.get(built.asked) is built:
                        self._size += len(packed.body)
                        self._shrink()
            return built.codings[coding]

    def close(self) -> None:
        """Ends building ahead."""
        self._ahead.put(None)
        self._thread.join()

    def _placed(self, collection: Collection, wanted: EntryFilter) -> EntryFilter:
        if wanted.added_after is None:
            return wanted
        with self._connections.reading() as conn:
            start = start_of(conn, collection, wanted)
        return replace(wanted, after=start, added_after=None)

    def _await(self, asked: Asked) -> None:
        """Lets a page come that is being built already."""
        with self._lock:
            coming = self._coming.get(asked)
        if coming is not None:
            coming.wait(_PATIENCE)

    def _held(self, conn: Connection, asked: Asked) -> Built | None:
        with self._lock:
            built = self._kept.get(asked)
        return built if built is not None and built.stands(edition(conn, asked.collection)) else None

    def _build(self, conn: Connection, asked: Asked) -> Built:
        # Before the page is read: what changes meanwhile makes it look older than it is, never newer.
        now = edition(conn, asked.collection)
        found = self._found(conn, asked)
        token, following = None, None
        if found.more:
            token = write_position(self._next_key, asked.collection.number, found.last_seq, asked.wanted)
            following = replace(asked, wanted=replace(asked.wanted, after=found.last_seq))
        dates = date_headers(found)
        if asked.resource is Resource.MANIFEST:
            plain = _sent(manifest_resource(found, token), dates, ())
        else:
            bare = asked.collection.view.empty_page is EmptyPage.BARE
            plain = _sent(envelope(found, token, bare), dates, found.spans)
        built = Built(plain, dates, now, asked, following)
        if len(plain.body) * _LARGEST_SHARE <= self._most_bytes:
            self._keep(asked, built)
        return built

    def _found(self, conn: Connection, asked: Asked) -> Page[Any]:
        if asked.resource is Resource.MANIFEST:
            return manifest(conn, asked.collection, asked.wanted, asked.limit)
        return self._read(conn, asked.collection, asked.wanted, asked.limit)

    def _keep(self, asked: Asked, built: Built) -> None:
        with self._lock:
            before = self._kept.pop(asked, None)
            self._kept[asked] = built
            self._size += built.size - (before.size if before else 0)
            self._shrink()

    def _shrink(self) -> None:
        while self._size > self._most_bytes:
            self._size -= self._kept.popitem(last=False)[1].size

    def _served(self, asked: Asked, built: Built, coding: str) -> None:
        """Notes what was served; has the next page built where this one was the next of another."""
        with self._lock:
            if asked in self._kept:
                self._kept.move_to_end(asked)
            follows = self._followers.pop(asked, False) is None
            if built.following is None:
                return
            self._followers[built.following] = None
            if len(self._followers) > _FOLLOWED:
                self._followers.popitem(last=False)
            kept = self._kept.get(built.following)
            ready = kept is not None and (not coding or coding in kept.codings)
            if not follows or ready or len(self._coming) >= _AHEAD or built.following in self._coming:
                return
            self._coming[built.following] = Event()
        self._ahead.put((built.following, coding))

    def _build_ahead(self) -> None:
        while (job := self._ahead.get()) is not None:
            asked, coding = job
            with self._lock:
                built = self._kept.get(asked)
            try:
                if built is None:
                    with self._connections.reading() as conn:
                        built = self._build(conn, asked)
            except StoreFault as problem:
                # Whoever asks for it will see for himself.
                _log.warning("a page could not be built ahead: %s", problem)
            finally:
                with self._lock:
                    self._coming.pop(asked).set()
            if built is not None:
                self.sent(built, coding)


def _sent(body: bytes, dates: dict[str, str], spans: tuple[tuple[int, int], ...], coding: str = "") -> Sent:
    headers = [*dates.items(), ("Content-Type", TAXII), ("Content-Length", str(len(body)))]
    if coding:
        headers.append(("Content-Encoding", coding))
    if coding or len(body) >= TINY:
        headers.append(VARY)
    return Sent(body, headers, spans)
