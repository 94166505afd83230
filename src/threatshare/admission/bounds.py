"""How far one run may go, and what of a feed is not believed unasked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

from threatshare.errors import PartnerError
from threatshare.feeds.emptied import emptied, events_left
from threatshare.model import Tally
from threatshare.ports import Listing, Page
from threatshare.store.connection import Connection
from threatshare.store.feed_alarms import EMPTIED, GROWN, SIZE

BATCH = 30_000
"""Objects that are committed together at most; pages of one request are never split.

In a large store each commit writes nearly every page of two indexes anew, so it is worth having fewer of them.
"""
BATCH_BYTES = 32 * 1024 * 1024
"""Bytes of objects that are committed together at most."""
BATCH_SECONDS = 2.0
"""What takes longer to come is committed as it is, so that a slow server's shows, and a kill costs no more."""
DOUBT = 10
"""A list that names so many times fewer or more values than before is not believed unasked."""
FEW = 100
"""Lists of fewer values, and MISP feeds of fewer events, change as they like, but to nothing or to ten times as many as
this."""


class Doubted(PartnerError):
    """What a feed brought is not believed until a person has looked at it."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(f"alarm: {text}")
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far one run may go."""

    believe: bool = False
    """Whether what raises an alarm by its size is taken all the same."""
    most: int | None = None
    """A run of more objects is not believed; None: however many. Lists are held against what they named before."""
    seconds: float | None = None
    """A run that takes longer ends; None: however long."""
    asked: Callable[[], bool] = lambda: False
    """Tells whether it is to stop behind the page that it is at."""
    hold: Callable[[Connection], object] = lambda conn: None
    """Makes sure, inside each transaction, that the run may still write; raises otherwise."""

    def room(self, taken: int) -> int:
        """Gives how many objects to read before a commit, of a run that has ``taken`` some: so many that it shows."""
        return BATCH if self.believe or self.most is None else min(BATCH, max(1, self.most + 1 - taken))

    def late(self, started: float) -> PartnerError | None:
        """Gives the fault of a run that has taken too long since ``started``, a reading of ``perf_counter``."""
        if self.seconds is None or perf_counter() - started <= self.seconds:
            return None
        return PartnerError(f"the run took longer than {self.seconds:g} s; the next goes on from there")


UNBOUNDED = Bounds()


def vanished(cursor: str | None, batch: Sequence[Page]) -> Doubted | None:
    """Doubts a feed of which all, or nine tenths of the events, are gone since ``cursor``."""
    after = batch[-1].cursor
    if not any(page.objects or page.rejects for page in batch) and emptied(cursor, after):
        return Doubted(EMPTIED, "it held objects and holds none any more")
    known, left = events_left(cursor, after)
    if known >= FEW and left * DOUBT < known:
        return Doubted(SIZE, f"of the {known} events that it named it names {left}, so it is not believed")
    return None


def excess(tally: Tally, bounds: Bounds) -> Doubted | None:
    """Doubts a feed that has brought more objects than its last runs let expect."""
    if bounds.believe or bounds.most is None or tally.objects <= bounds.most:
        return None
    return Doubted(GROWN, f"it has brought {tally.objects} objects, ten times more than in any of its last runs")


def is_beyond_belief(before: int, listing: Listing) -> bool:
    """Tells from the size of a list alone, beside what it has named so far; what it names in the end tells more."""
    if not before:
        return False
    shrunk = listing.complete and before >= FEW and listing.about < before / DOUBT
    return shrunk or listing.about > max(before, FEW) * DOUBT


def names_too_few(before: int, named: int) -> bool:
    """Tells whether a list that has come to its end names next to nothing of what it named before."""
    return before > 0 and (not named or (before >= FEW and named < before / DOUBT))


def doubted(before: int, now: int) -> Doubted:
    """Gives the doubt about a list by how many values it named and names."""
    values = "a value" if now == 1 else f"{now} values"
    return Doubted(SIZE, f"it names {values} and named {before} before, so it is not believed")
