"""Pulls a TAXII 2.1 collection page by page: the library names the requests, the loop is ours.

taxii2-client follows ``more`` and ``next`` for ever, waits for ever and holds whatever comes, so it is
given a connection of ours (``taxii_connection``), asked for one page at a time, and its ``as_pages`` is not used.

The cursor is JSON. Between the pages of a listing it holds the server's ``next`` beside the unchanged
``added_after``; after the last page only ``added_after``, as the server's clock wrote it. Our clock is
used only for servers that send no usable X-TAXII-Date-Added-Last, and then with a margin, so that nothing
added while we were reading is passed over.

    fault                                      what happens
    `next` that this run has already seen      the page's objects are given, the cursor stays, PartnerError
    the same `next` with every page            followed while other objects come, but not kept in the cursor: it counts
                                               what was asked for (medallion), and would pass over what did not arrive
    `more` without `next`                      asked on behind the page's newest date (TAXII 2.1 §3.5); where that does
                                               not move on (OpenTAXII's manifest), as with a `next` seen before
    a second page in a row without objects     PartnerError; one is let pass: some servers filter after paging
    more pages than max_pages                  PartnerError; the next run goes on from there
    `next` of an earlier run is refused        expired: the listing starts again behind the newest date told of it
    `next` is refused after half a minute      the same (medallion: 30 s from the first page)
    the filters are refused                    they are asked for in other ways (``taxii_manner``)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b

import msgspec

from threatshare.errors import BadValue, PartnerError
from threatshare.feeds.content import BadContent, check_number
from threatshare.feeds.session import Answer, BadStatus, PartnerSession, shown
from threatshare.feeds.taxii_connection import Collection, find_collection, get_page
from threatshare.feeds.taxii_manner import Manner
from threatshare.feeds.taxii_position import MARGIN, Position, advance, behind, from_start, position_text, resumed
from threatshare.model import Micros, micros
from threatshare.ports import Clock, Page
from threatshare.stix.received import split_envelope
from threatshare.stix.timestamps import read_timestamp, write_timestamp

DATE_ADDED_LAST = "X-TAXII-Date-Added-Last"
MAX_OBJECTS = 100_000
"""Of one page, whatever ``limit`` it was asked with."""
_MAX_NEXT = 4096
"""Characters of a server's ``next``."""
_LIFE = timedelta(seconds=20)
"""What a ``next`` lives at least; refused sooner, it is a fault."""
_BAD_REQUEST = 400
_EXPIRED = frozenset({_BAD_REQUEST, 404, 410})
"""What servers answer to a ``next`` that they no longer know; medallion 400."""


@dataclass(frozen=True, slots=True)
class Taken:
    """One answer, split."""

    objects: list[bytes]
    more: bool
    next: str | None
    last: str | None
    wire_bytes: int


class TaxiiFeed:
    """Brings one collection; implements ``ports.FeedClient``."""

    kind = "taxii"
    """As in the feed's settings."""

    def __init__(
        self,
        name: str,
        url: str,
        collection: str | None,
        open_session: Callable[[], PartnerSession],
        *,
        page_size: int,
        max_pages: int,
        clock: Clock,
        max_objects: int = MAX_OBJECTS,
    ) -> None:
        """``url`` is a discovery, API root or collection address; ``collection`` an id, title or alias."""
        self._name = name
        self._url = url
        self._collection = collection
        self._open = open_session
        self._page_size = page_size
        self._max_pages = max_pages
        self._max_objects = max_objects
        self._clock = clock
        whose = f"{url} {collection}" if self.kind == "taxii" else f"{self.kind} {url} {collection}"
        self._digest = blake2b(whose.encode(), digest_size=8).hexdigest()

    def pages(self, cursor: str | None, now: Micros) -> Iterator[Page]:
        """Yields pages until the listing is complete; raises PartnerError at the first fault."""
        session = self._open()
        try:
            collection = self._find(session)
            yield from self._listing(collection, self._start(cursor, now))
        finally:
            session.close()

    def _find(self, session: PartnerSession) -> Collection:
        return find_collection(session, self._url, self._collection, f"feed {self._name}")

    def _start(self, cursor: str | None, now: Micros) -> Position:
        fresh = Position(began=write_timestamp(now, 6), feed=self._digest)
        if cursor is None:
            return fresh
        try:
            saved = msgspec.json.decode(cursor, type=Position)
        except msgspec.DecodeError:
            return fresh
        if saved.feed != self._digest:
            return fresh
        if saved.next is not None:
            return saved
        return msgspec.structs.replace(fresh, added_after=saved.added_after, manner=saved.manner)

    def _listing(self, collection: Collection, start: Position) -> Iterator[Page]:
        trail = _Trail(start.next)
        at = saved = start
        told, began = None, self._clock()
        for number in range(1, self._max_pages + 1):
            place = f"feed {self._name}, page {number}"
            try:
                answer, manner = self._ask(collection, at, place)
            except BadStatus as refused:
                again = None
                if refused.status in _EXPIRED and at.next is not None:
                    again = resumed(at) if number == 1 else self._behind(at, told, began)
                if again is None:
                    raise
                at = saved = again
                trail, told, began = _Trail(None), None, self._clock()
                continue
            if manner != at.manner:
                at = saved = msgspec.structs.replace(at, manner=manner)
            taken = self._split(answer, f"{place}: {shown(collection.objects_url)}")
            del answer
            onward = _behind_date(at, taken)
            if onward is not None:
                yield Page(taken.objects, position_text(onward), taken.wire_bytes)
                at = saved = onward
                continue
            after = advance(at, taken.last, taken.next if taken.more else None, got_objects=bool(taken.objects))
            fault = trail.fault(taken)
            if fault is not None:
                if taken.objects:
                    yield Page(taken.objects, position_text(saved), taken.wire_bytes)
                raise PartnerError(f"{place}: {shown(collection.objects_url)}: {fault}")
            saved, before = from_start(at) if taken.more and trail.counts else after, saved
            if taken.objects or (saved.added_after, saved.next) != (before.added_after, before.next):
                yield Page(taken.objects, position_text(saved), taken.wire_bytes)
            if not taken.more:
                return
            at, told = after, taken.last
        raise PartnerError(
            f"feed {self._name}: {shown(collection.objects_url)}: more than {self._max_pages} pages in one run; "
            "the next run goes on from there. Raise max_pages or page_size if the collection is that large"
        )

    def _behind(self, at: Position, told: str | None, began: datetime) -> Position | None:
        """Gives where a listing starts again whose ``next`` of this run is refused; None where that is a fault.

        ``told``: the date of the newest page, ``began``: when the first one was asked for.
        """
        if told is None or self._clock() - began < _LIFE:
            return None
        return behind(at, told)

    def _ask(self, collection: Collection, at: Position, place: str) -> tuple[Answer, Manner]:
        """Asks for one page; gives the manner too in which the server has taken the question."""
        try:
            return self._ask_so(collection, at, place, at.manner), at.manner
        except BadStatus as refused:
            if refused.status != _BAD_REQUEST or at.next is not None:
                raise
            for manner in at.manner.others(at.added_after, self._page_size):
                try:
                    return self._ask_so(collection, at, place, manner), manner
                except BadStatus as again:
                    if again.status != _BAD_REQUEST:
                        raise
            raise

    def _ask_so(self, collection: Collection, at: Position, place: str, manner: Manner) -> Answer:
        asked = {"added_after": manner.date(at.added_after), "limit": manner.limit(self._page_size), "next": at.next}
        return get_page(collection, place, {name: value for name, value in asked.items() if value is not None})

    def _split(self, answer: Answer, place: str) -> Taken:
        try:
            check_number(answer.body, self._max_objects)
            objects, more, following = split_envelope(answer.body)
        except (BadContent, BadValue, UnicodeDecodeError) as problem:
            raise PartnerError(f"{place}: {problem}") from problem
        return Taken(
            objects,
            more,
            None if following is None else str(following),
            self._believed(answer.headers.get(DATE_ADDED_LAST)),
            answer.wire_bytes,
        )

    def _believed(self, header: str | None) -> str | None:
        """Gives the header as it came if it is a time, and not one that would stop the feed until it comes."""
        if header is None:
            return None
        try:
            at = read_timestamp(header)
        except BadValue:
            return None
        return header if at <= micros(self._clock()) + MARGIN else None


class _Trail:
    """Remembers where a run has been, to notice a server that leads in circles or nowhere."""

    def __init__(self, first: str | None) -> None:
        self._seen: set[bytes] = set()
        self._empty_before = False
        self._given: str | None = None
        self._ends: list[bytes] = []
        self.counts = False
        """Whether the server gives the same ``next`` with every page, and counts how often it was asked with it."""
        if first is not None:
            self._seen.add(_digest(first))

    def fault(self, taken: Taken) -> str | None:
        """Says what is wrong with how a page goes on; None where it may be followed or is the last."""
        if not taken.more:
            return None
        if taken.next is None or taken.next == "":
            return "says that there is more, but not where (`more` without `next`)"
        if len(taken.next) > _MAX_NEXT:
            return f"`next` has {len(taken.next)} characters, at most {_MAX_NEXT} are taken"
        mark = _digest(taken.next)
        ends = taken.objects[:1] + taken.objects[-1:]
        self.counts = taken.next == self._given and ends != self._ends
        self._given, self._ends = taken.next, ends
        if mark in self._seen and not self.counts:
            return "`next` repeats: the server leads in a circle"
        if not taken.objects and self._empty_before:
            return "two pages in a row without objects, and `more` of them"
        self._empty_before = not taken.objects
        self._seen.add(mark)
        return None


def _behind_date(at: Position, taken: Taken) -> Position | None:
    """Gives where a listing goes on that has more but no ``next``: behind its newest date; None where that stands."""
    if not taken.more or taken.next or not taken.objects or taken.last is None:
        return None
    if at.added_after is not None and read_timestamp(taken.last) <= read_timestamp(at.added_after):
        return None
    return msgspec.structs.replace(at, added_after=taken.last, next=None, last=None)


def _digest(text: str) -> bytes:
    return blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest()
