"""Feeds in: pull -> read -> dedupe -> normalise -> merge and score -> store.

``pull`` is what `threatshare pull` runs for one feed; how its objects are let in stands in ``admission``,
which partners' inboxes share. A page and the cursor behind it are stored in one transaction: after a kill at
any moment the next run goes on at the last whole page, and a page that comes twice changes nothing.

``pull_list`` is the same for a list, which comes whole: what it no longer names is withdrawn, and its
cursor is saved with the last of that.

What a run may do is its ``Bounds``: a run that takes too long, brings beyond belief or is told to stop ends at the end
of a page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from time import perf_counter

from threatshare.admission.bounds import (
    BATCH_BYTES,
    BATCH_SECONDS,
    UNBOUNDED,
    Bounds,
    Doubted,
    doubted,
    excess,
    is_beyond_belief,
    names_too_few,
    vanished,
)
from threatshare.admission.objects import take
from threatshare.admission.rows import ROWS, next_rows, take_rows
from threatshare.errors import PartnerError
from threatshare.model import FeedReport, Micros, Reject, Tally
from threatshare.ports import FeedClient, ListClient, Listed, Listing, Page
from threatshare.store.embedded import Store, without_collector
from threatshare.store.listings import count_listed
from threatshare.store.runs import feed_state, note_rejects, save_cursor
from threatshare.store.sources import Source

_UNREADABLE = "no row could be read ({} refused): is it a list? `feed test {}` shows what is wrong with them"
Progress = Callable[[Tally], bool]
"""Told the tally after each commit; False stops the run there, at a page's end."""


def pull(
    store: Store,
    source: Source,
    client: FeedClient,
    our_identity: str,
    now: Callable[[], Micros],
    progress: Progress,
    exercises: bool = False,
    bounds: Bounds = UNBOUNDED,
) -> FeedReport:
    """Brings everything new of one feed into the store; what came before a fault stays, and the fault is reported."""
    started = perf_counter()
    tally, error, stopped = Tally(), None, False
    cursor = feed_state(store.conn, source.name).cursor
    pages = client.pages(cursor, now())
    while not (error or stopped):
        batch, error = _batch(pages, bounds, started, tally.objects)
        if not batch:
            break
        doubt = None if tally.objects or bounds.believe else vanished(cursor, batch)
        if doubt is not None:
            error = error or doubt
            break
        raws = [raw for page in batch for raw in page.objects]
        aside = [one for page in batch for one in page.rejects]
        advance = partial(_advance, store, source, batch[-1].cursor, aside, now(), bounds)
        tally.bytes += sum(page.wire_bytes for page in batch)
        take(store, source, raws, our_identity, now(), tally, advance, exercises)
        tally.rejected += len(aside)
        tally.about = None if batch[-1].left is None else tally.objects + batch[-1].left
        stopped = not progress(tally) or bounds.asked()
        error = error or excess(tally, bounds) or bounds.late(started)
    return _report(source, tally, started, error, stopped)


def _advance(store: Store, source: Source, cursor: str, aside: Sequence[Reject], now: Micros, bounds: Bounds) -> None:
    bounds.hold(store.conn)
    note_rejects(store.conn, source.name, aside, now)
    save_cursor(store.conn, source.name, cursor)


def pull_list(
    store: Store,
    source: Source,
    client: ListClient,
    now: Callable[[], Micros],
    progress: Progress,
    believe: bool = False,
    bounds: Bounds = UNBOUNDED,
) -> FeedReport:
    """Brings a list into the store if it has changed; what it no longer names is withdrawn.

    A list that has shrunk or grown beyond belief raises an alarm instead: nothing of it is withdrawn, and where its
    size alone tells, nothing taken. ``believe``: it is believed all the same.
    """
    started = perf_counter()
    tally, error, stopped = Tally(), None, False
    try:
        listing = client.listing(feed_state(store.conn, source.name).cursor, now())
        if listing is not None:
            tally.bytes, tally.about, tally.note = listing.wire_bytes, listing.about, listing.note
            stopped = not _take_list(store, source, listing, now, tally, progress, believe, bounds, started)
    except PartnerError as problem:
        error = problem
    return _report(source, tally, started, error, stopped)


def _take_list(
    store: Store,
    source: Source,
    listing: Listing,
    now: Callable[[], Micros],
    tally: Tally,
    progress: Progress,
    believe: bool,
    bounds: Bounds,
    started: float,
) -> bool:
    """Tells whether it came to the end of the list; its cursor is saved then."""
    with store.writing() as conn:
        before = 0 if believe else count_listed(conn, source)
        if is_beyond_belief(before, listing):
            raise doubted(before, listing.about)
        merge = store.listing(source)
    readable = believe or before > 0
    while True:
        rows, error = next_rows(listing)
        readable = readable or any(isinstance(one, Listed) for one in rows)
        if rows:
            with without_collector(), store.writing() as conn:
                bounds.hold(conn)
                take_rows(conn, merge, source, rows, now(), tally)
        if error := error or bounds.late(started):
            raise error
        if not rows:
            break
        if not progress(tally) or bounds.asked():
            return False
    if tally.objects and not readable and feed_state(store.conn, source.name).cursor is None:
        raise PartnerError(_UNREADABLE.format(tally.objects, source.name))
    while listing.complete:
        with without_collector(), store.writing() as conn:
            bounds.hold(conn)
            if names_too_few(before, merge.named):
                raise doubted(before, merge.named)
            count = merge.withdraw_missing(ROWS, now())
            tally.withdrawn += count
        if not count:
            break
    with store.writing() as conn:
        bounds.hold(conn)
        merge.end()
        save_cursor(conn, source.name, listing.cursor)
    return True


def _told(source: Source, error: PartnerError) -> str:
    if isinstance(error, Doubted):
        return f"{error}; `pull {source.name} --believe` takes it all the same"
    return str(error)


def _report(source: Source, tally: Tally, started: float, error: PartnerError | None, stopped: bool) -> FeedReport:
    return FeedReport(
        source.name,
        "failed" if error else "ok",
        tally.objects,
        tally.new,
        tally.changed,
        tally.unchanged,
        tally.withdrawn,
        tally.rejected,
        round(perf_counter() - started, 3),
        _told(source, error) if error else None,
        error.retry_after if error else None,
        tally.bytes,
        stopped and error is None,
        error.kind if isinstance(error, Doubted) else None,
        note=tally.note,
    )


def _batch(pages: Iterator[Page], bounds: Bounds, started: float, taken: int) -> tuple[list[Page], PartnerError | None]:
    """Collects pages until there are enough objects for one transaction, or the feed or the run ends, or it fails."""
    batch: list[Page] = []
    count = size = 0
    began = perf_counter()
    try:
        for page in pages:
            batch.append(page)
            # A page may hold nothing but rejects, or nothing: what it takes in memory counts, whatever it is.
            count += len(page.objects) + len(page.rejects)
            size += sum(map(len, page.objects)) + sum(len(one.text) for one in page.rejects) + len(page.cursor)
            if count >= bounds.room(taken) or size >= BATCH_BYTES or perf_counter() - began >= BATCH_SECONDS:
                break
            if bounds.asked() or bounds.late(started):
                break
    except PartnerError as problem:
        return batch, problem
    return batch, None
