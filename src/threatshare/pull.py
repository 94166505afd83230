"""Feeds in: pull -> read -> dedupe -> normalise -> merge and score -> store.

``pull`` is what `threatshare pull` runs for one feed; ``take`` is the part that feeds and partners'
inboxes share. A page and the cursor behind it are stored in one transaction: after a kill at any
moment the next run goes on at the last whole page, and a page that comes twice changes nothing.

``pull_list`` is the same for a list, which comes whole: what it no longer names is withdrawn, and its
cursor is saved with the last of that.

What a run may do is its ``Bounds``: a run that takes too long, brings beyond belief or is told to stop ends at the end
of a page.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from time import perf_counter
from types import MappingProxyType

from threatshare.errors import BadValue, PartnerError
from threatshare.feeds.emptied import emptied
from threatshare.model import FeedReport, Micros, Reject, Tally
from threatshare.policy.disguise import UNTOLD
from threatshare.ports import FeedClient, ListClient, Listed, Listing, Page
from threatshare.stix.claims import NewClaim, claim_of
from threatshare.stix.received import Received, read_object
from threatshare.store.connection import Connection
from threatshare.store.disguises import faces, our_ids
from threatshare.store.embedded import Store, without_collector
from threatshare.store.exercises import running_injects
from threatshare.store.feed_alarms import EMPTIED, GROWN, SIZE
from threatshare.store.listings import ListMerge, count_listed
from threatshare.store.objects import Fresh, unheard
from threatshare.store.ours import ours_among
from threatshare.store.remarks import claim_of_remark, hear
from threatshare.store.runs import feed_state, note_rejects, save_cursor
from threatshare.store.set_aside import any_exercise, tell_apart
from threatshare.store.sources import Source

BATCH = 20_000
"""Objects that are committed together at most; pages of one request are never split."""
BATCH_BYTES = 32 * 1024 * 1024
"""Bytes of objects that are committed together at most."""

DOUBT = 10
"""A list that names so many times fewer or more values than before is not believed unasked."""
FEW = 100
"""Lists of fewer values are not doubted: they change as they like."""

NONE_READ: Mapping[bytes, Received] = MappingProxyType({})

Progress = Callable[[Tally], bool]
"""Told the tally after each commit; False stops the run there, at a page's end."""


class Doubted(PartnerError):
    """What a feed brought is not believed until a person has looked at it."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(f"alarm: {text}; `pull NAME --believe` takes it all the same")
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
        if not (tally.objects or bounds.believe or _brings(batch)) and emptied(cursor, batch[-1].cursor):
            error = error or Doubted(EMPTIED, "it held objects and holds none any more")
            break
        raws = [raw for page in batch for raw in page.objects]
        aside = [one for page in batch for one in page.rejects]
        advance = partial(_advance, store, source, batch[-1].cursor, aside, now(), bounds)
        tally.bytes += sum(page.wire_bytes for page in batch)
        take(store, source, raws, our_identity, now(), tally, advance, exercises)
        tally.rejected += len(aside)
        stopped = not progress(tally) or bounds.asked()
        error = error or _excess(tally, bounds) or bounds.late(started)
    return _report(source, tally, started, error, stopped)


def _brings(batch: Sequence[Page]) -> bool:
    return any(page.objects or page.rejects for page in batch)


def _excess(tally: Tally, bounds: Bounds) -> Doubted | None:
    if bounds.believe or bounds.most is None or tally.objects <= bounds.most:
        return None
    return Doubted(GROWN, f"it has brought {tally.objects} objects, ten times more than in any of its last runs")


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
            tally.bytes, tally.about = listing.wire_bytes, listing.about
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
        before = count_listed(conn, source) if listing.complete and not believe else 0
        if before >= FEW and not before / DOUBT <= listing.about <= before * DOUBT:
            raise _doubt(before, listing.about)
        merge = store.listing(source)
    while True:
        rows, error = _next_rows(listing)
        if rows:
            with without_collector(), store.writing() as conn:
                bounds.hold(conn)
                _take_rows(conn, merge, source, rows, now(), tally)
        if error := error or bounds.late(started):
            raise error
        if not rows:
            break
        if not progress(tally) or bounds.asked():
            return False
    while listing.complete:
        with without_collector(), store.writing() as conn:
            bounds.hold(conn)
            if before >= FEW and merge.named < before / DOUBT:
                raise _doubt(before, merge.named)
            count = merge.withdraw_missing(BATCH, now())
            tally.withdrawn += count
        if not count:
            break
    with store.writing() as conn:
        bounds.hold(conn)
        merge.end()
        save_cursor(conn, source.name, listing.cursor)
    return True


_PRACTISED = "names a value of the exercise that this node runs; kept aside"


def _next_rows(listing: Listing) -> tuple[list[Listed | Reject], PartnerError | None]:
    """Gives the rows of one transaction, and the fault that ends them early."""
    rows: list[Listed | Reject] = []
    try:
        for row in islice(listing.rows, BATCH):
            rows.append(row)
    except PartnerError as problem:
        return rows, problem
    return rows, None


def _take_rows(
    conn: Connection, merge: ListMerge, source: Source, rows: Sequence[Listed | Reject], now: Micros, tally: Tally
) -> None:
    rejects = [one for one in rows if isinstance(one, Reject)]
    listed = [one for one in rows if isinstance(one, Listed)]
    practice = running_injects(conn)
    rejects += [Reject(one.observable.value, _PRACTISED) for one in listed if one.observable in practice]
    merged, unchanged = merge.take([one for one in listed if one.observable not in practice], now)
    rejects += merged.rejects
    note_rejects(conn, source.name, rejects, now)
    tally.objects += len(rows)
    tally.new += merged.new
    tally.changed += merged.changed
    tally.unchanged += unchanged
    tally.rejected += len(rejects)


def _doubt(before: int, now: int) -> Doubted:
    return Doubted(SIZE, f"it names {now} values and named {before} before, so it is not believed")


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
        str(error) if error else None,
        error.retry_after if error else None,
        tally.bytes,
        stopped and error is None,
        error.kind if isinstance(error, Doubted) else None,
    )


def take(
    store: Store,
    source: Source,
    raws: Sequence[bytes],
    our_identity: str,
    now: Micros,
    tally: Tally,
    then: Callable[[], object],
    exercises: bool = False,
    known: Mapping[bytes, Received] = NONE_READ,
) -> list[Reject]:
    """Takes objects of one source in, and does ``then`` in the same transaction; gives what was kept aside.

    What is of an exercise is kept and makes no claim, but on a node for ``exercises``. ``known``: what was read of some
    of them before.
    """
    with without_collector():
        news = raws if known else _news(store, source, raws, exercises)
        read, rejects = _read(store, news, our_identity, known)
        with store.writing() as conn:
            if not exercises:
                read, aside = _set_aside(store, conn, source, read, now)
                rejects += aside
            # One turn, but where an object comes in several versions: each is merged as if it had come alone.
            turns = deque([read])
            while turns:
                seen = store.sort_out(source, turns.popleft(), now)
                turns += seen.later
                batch, refused = _normalise(conn, seen.fresh, source, now)
                merged = store.merge(source, batch, now)
                hear(conn, store.key_of, source, [one for one, _ in batch], now)
                rejects += seen.rejects + refused + merged.rejects
                tally.new += merged.new
                tally.changed += merged.changed
                tally.withdrawn += merged.withdrawn
                tally.unchanged += seen.unchanged
            note_rejects(conn, source.name, rejects, now)
            then()
    tally.objects += len(raws)
    tally.taken += sum(map(len, raws))
    tally.unchanged += len(raws) - len(news)
    tally.rejected += len(rejects)
    return rejects


def _news(store: Store, source: Source, raws: Sequence[bytes], exercises: bool) -> Sequence[bytes]:
    """Leaves out what is held just so, unless it may have become part of an exercise since."""
    with store.writing() as conn:
        told_apart = not exercises and any_exercise(conn)
        return raws if told_apart else unheard(conn, store.key_of, source.number, raws)


def _set_aside(
    store: Store, conn: Connection, source: Source, read: list[tuple[bytes, Received]], now: Micros
) -> tuple[list[tuple[bytes, Received]], list[Reject]]:
    """Keeps what is of an exercise without claims; gives what is live, and what was set aside with its reason."""
    told = tell_apart(conn, store.key_of, source.number, read, now)
    turns = deque([told.aside] if told.aside else [])
    while turns:
        seen = store.sort_out(source, turns.popleft(), now)
        turns += seen.later
        store.merge(source, [(one, None) for one in seen.fresh], now)
    if told.disowned:
        store.disown(source, told.disowned, now)
    return told.live, told.rejects


def _batch(pages: Iterator[Page], bounds: Bounds, started: float, taken: int) -> tuple[list[Page], PartnerError | None]:
    """Collects pages until there are enough objects for one transaction, or the feed or the run ends, or it fails."""
    batch: list[Page] = []
    count = size = 0
    try:
        for page in pages:
            batch.append(page)
            # A page may hold nothing but rejects, or nothing: what it takes in memory counts, whatever it is.
            count += len(page.objects) + len(page.rejects)
            size += sum(map(len, page.objects)) + sum(len(one.text) for one in page.rejects) + len(page.cursor)
            if count >= bounds.room(taken) or size >= BATCH_BYTES or bounds.asked() or bounds.late(started):
                break
    except PartnerError as problem:
        return batch, problem
    return batch, None


def _read(
    store: Store, raws: Sequence[bytes], our_identity: str, known: Mapping[bytes, Received]
) -> tuple[list[tuple[bytes, Received]], list[Reject]]:
    """Reads objects within limits; refuses what pretends to be ours, and what is, whoever may not know it."""
    taken: list[tuple[bytes, Received]] = []
    us = {our_identity, *faces(store.conn)}
    rejects: list[Reject] = []
    for raw in raws:
        place = "object"
        try:
            read = (known.get(raw) if known else None) or read_object(raw)
            place = read.id
            read.version  # noqa: B018  a bad timestamp is found here, before anything is stored
            if our_identity in (read.created_by_ref, read.id):
                raise BadValue(f"{read.id} says that we made it: our own objects are never taken from outside")
            if not us.isdisjoint((read.created_by_ref, read.id)) or (len(us) > 1 and our_ids(store.conn, read.id)):
                raise BadValue(UNTOLD)
            taken.append((raw, read))
        except BadValue as problem:
            rejects.append(Reject(place, str(problem), raw[:65_536].decode(errors="replace")))
    ours = ours_among(store.conn, store.key_of, our_identity, (read for _, read in taken))
    if ours:
        rejects += [Reject(one.id, UNTOLD, raw.decode()) for raw, one in taken if one.id in ours]
        taken = [pair for pair in taken if pair[1].id not in ours]
    return taken, rejects


def _normalise(
    conn: Connection, fresh: Sequence[Fresh], source: Source, now: Micros
) -> tuple[list[tuple[Fresh, NewClaim | None]], list[Reject]]:
    """Reads the claims of what is new; an object whose claim cannot be read is kept aside."""
    batch: list[tuple[Fresh, NewClaim | None]] = []
    rejects: list[Reject] = []
    for one in fresh:
        try:
            claim = claim_of(one.read, one.version, source.default_tlp, now)
            batch.append((one, claim or claim_of_remark(conn, one, source, now)))
        except BadValue as problem:
            rejects.append(Reject(one.read.id, str(problem), one.raw.decode(errors="replace")))
    return batch, rejects
