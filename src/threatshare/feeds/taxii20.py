"""Pulls a TAXII 2.0 collection range by range: the library names the requests, the loop is ours.

As ``taxii`` does for 2.1: what is new is asked for by ``added_after``, told by the server's clock, never by what
objects say of themselves. Within a listing the place is the number of the next object, beside what the server said of
the listing's length; in the cursor's ``next`` they stand as ``100/250``, or ``100/*`` where it did not say.

Numbers move when a server removes objects that were passed already: a listing that has become shorter is gone on with
as many objects further back. Objects that come twice change nothing.

    answer                                      what it means
    200 without Content-Range                   all there is: the server does not know ranges, or needed none
    206 with Content-Range                      go on behind it, until its total is reached
    206 without, or without a total             go on behind what came, until nothing comes
    416                                         the listing has ended; at a number of an earlier run, or before
                                                its end: it has been cut, and is read again from its added_after
    404                                         nothing there, where the collection itself can be seen
    400 to a date with a fraction               asked again in whole seconds
    another range than was asked for            PartnerError; the cursor stays
    the objects of the range before, again      the same: the server passes over the range
    a second range in a row without objects     the same
    more ranges than max_pages                  PartnerError; the next run goes on from there
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import NamedTuple

import msgspec

from threatshare.errors import PartnerError
from threatshare.feeds.session import Answer, BadStatus, PartnerSession, shown
from threatshare.feeds.taxii import Taken, TaxiiFeed
from threatshare.feeds.taxii20_connection import find_collection_20, get_range, is_there, read_content_range
from threatshare.feeds.taxii_connection import Collection
from threatshare.feeds.taxii_manner import Manner
from threatshare.feeds.taxii_position import Position, advance, position_text
from threatshare.ports import Page


class _Place(NamedTuple):
    """Where a listing stands."""

    first: int = 0
    """Number of the next object."""
    total: int | None = None
    """What the listing had at the last answer."""


class _Step(NamedTuple):
    """One answer: what came, and where the listing goes on."""

    taken: Taken
    after: _Place | None
    """None: the listing has ended."""
    fault: str | None
    manner: Manner | None = None
    """In which the server has taken the question; None: it gave nothing."""


_NOTHING = Taken([], False, None, None, 0)


class Taxii20Feed(TaxiiFeed):
    """Brings one collection of a TAXII 2.0 server; implements ``ports.FeedClient``."""

    kind = "taxii20"

    def _find(self, session: PartnerSession) -> Collection:
        return find_collection_20(session, self._url, self._collection, f"feed {self._name}")

    def _listing(self, collection: Collection, start: Position) -> Iterator[Page]:
        trail = _Trail()
        at = start
        for number in range(1, self._max_pages + 1):
            place = f"feed {self._name}, page {number}"
            where = _read_place(at.next)
            if where is None:
                at = msgspec.structs.replace(at, next=None, last=None)
                where = _Place()
            step = self._step(collection, at, where, place, trail)
            if step is None:
                at = msgspec.structs.replace(at, next=None, last=None)
                continue
            if step.manner is not None and step.manner != at.manner:
                at = msgspec.structs.replace(at, manner=step.manner)
            taken = step.taken
            following = None if step.after is None else _place_text(step.after)
            after = advance(at, taken.last, following, got_objects=bool(taken.objects))
            if step.fault is not None:
                if taken.objects:
                    yield Page(taken.objects, position_text(at), taken.wire_bytes)
                raise PartnerError(f"{place}: {shown(collection.objects_url)}: {step.fault}")
            if taken.objects or (after.added_after, after.next) != (at.added_after, at.next):
                yield Page(taken.objects, position_text(after), taken.wire_bytes)
            if step.after is None:
                return
            at = after
        raise PartnerError(
            f"feed {self._name}: {shown(collection.objects_url)}: more than {self._max_pages} pages in one run; "
            "the next run goes on from there. Raise max_pages or page_size if the collection is that large"
        )

    def _step(self, collection: Collection, at: Position, where: _Place, place: str, trail: _Trail) -> _Step | None:
        """Asks for one range; None where the listing has to be read again from its beginning."""
        try:
            answer, manner = self._ask_range(collection, at, where, place)
        except BadStatus as refused:
            if refused.status == 416 and trail.may_begin_again(where):
                return None
            if refused.status == 416 or (refused.status == 404 and where.first == 0 and is_there(collection)):
                return _Step(_NOTHING, None, None)
            raise
        taken = self._split(answer, f"{place}: {shown(collection.objects_url)}")
        return self._read(answer, taken, where, trail)._replace(manner=manner)

    def _ask_range(self, collection: Collection, at: Position, where: _Place, place: str) -> tuple[Answer, Manner]:
        """Asks for one range; gives the manner too in which the server has taken the question."""
        first, size = where.first, self._page_size
        try:
            return get_range(collection, place, first, size, at.manner.date(at.added_after)), at.manner
        except BadStatus as refused:
            if refused.status != 400 or first > 0 or at.added_after is None or at.manner.whole_seconds:
                raise
            manner = Manner(whole_seconds=True)
            return get_range(collection, place, first, size, manner.date(at.added_after)), manner

    def _read(self, answer: Answer, taken: Taken, where: _Place, trail: _Trail) -> _Step:
        """Tells from an answer with objects where the listing goes on."""
        told = read_content_range(answer)
        if answer.status == 200 and told.first is None:
            return _Step(taken, None, None)
        if told.first is not None and told.first != where.first and taken.objects:
            fault = f"asked for objects from number {where.first} on, it gave those from {told.first} on"
            return _Step(taken, None, fault)
        count = len(taken.objects)
        if told.first is not None and told.last is not None:
            # A range that says more than was asked for is believed as far as objects came with it.
            count = min(told.last - told.first + 1, max(count, self._page_size))
        if told.total is not None and where.total is not None and told.total < where.total:
            trail.forget()
            return _Step(taken, _Place(max(0, where.first - (where.total - told.total)), told.total), None)
        following = where.first + count
        if count == 0 or (told.total is not None and following >= told.total):
            return _Step(taken, None, None)
        return _Step(taken, _Place(following, told.total), trail.fault(taken))


class _Trail:
    """Remembers the range before, to notice a server that gives the same again or nothing."""

    def __init__(self) -> None:
        self._before: bytes | None = None
        self._begun_again = False

    def may_begin_again(self, where: _Place) -> bool:
        """Tells whether a listing that ends before this place has been cut since its objects were counted; once."""
        resumed = self._before is None
        cut = where.first > 0 and (resumed or (where.total is not None and where.first < where.total))
        if not cut or self._begun_again:
            return False
        self._begun_again = True
        self.forget()
        return True

    def fault(self, taken: Taken) -> str | None:
        """Says what is wrong with a range that is not the last; None where it may be followed."""
        mark = blake2b(b"\0".join(taken.objects), digest_size=16).digest()
        before, self._before = self._before, mark
        if mark != before:
            return None
        return "the same objects again: it passes over the range" if taken.objects else "two ranges without objects"

    def forget(self) -> None:
        """Lets the next range be what the one before was."""
        self._before = None


def _read_place(text: str | None) -> _Place | None:
    if text is None:
        return _Place()
    first, _, total = text.partition("/")
    try:
        return _Place(int(first), None if total == "*" else int(total))
    except ValueError:
        return None


def _place_text(place: _Place) -> str:
    return f"{place.first}/{'*' if place.total is None else place.total}"
