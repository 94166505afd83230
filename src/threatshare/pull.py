"""Feeds in: pull -> read -> dedupe -> normalise -> merge and score -> store.

``pull`` is what `threatshare pull` runs for one feed; ``take`` is the part that feeds and partners'
inboxes share. A page and the cursor behind it are stored in one transaction: after a kill at any
moment the next run goes on at the last whole page, and a page that comes twice changes nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from time import perf_counter

from threatshare.errors import BadValue, PartnerError
from threatshare.model import FeedReport, Micros, Reject, Tally
from threatshare.ports import FeedClient, Page
from threatshare.stix.claims import NewClaim, claim_of
from threatshare.stix.received import Received, read_object
from threatshare.store.embedded import Store, without_collector
from threatshare.store.objects import Fresh
from threatshare.store.runs import feed_state, note_rejects, save_cursor
from threatshare.store.sources import Source

BATCH = 20_000
"""Objects that are committed together at most; pages of one request are never split."""
BATCH_BYTES = 32 * 1024 * 1024
"""Bytes of objects that are committed together at most."""

Progress = Callable[[Tally], bool]
"""Told the tally after each commit; False stops the run there, at a page's end."""


def pull(
    store: Store,
    source: Source,
    client: FeedClient,
    our_identity: str,
    now: Callable[[], Micros],
    progress: Progress,
) -> FeedReport:
    """Brings everything new of one feed into the store; what came before a fault stays, and the fault is reported."""
    started = perf_counter()
    tally, error = Tally(), None
    cursor = feed_state(store.conn, source.name).cursor
    pages = client.pages(cursor, now())
    while True:
        batch, error = _batch(pages)
        if batch:
            raws = [raw for page in batch for raw in page.objects]
            advance = partial(save_cursor, store.conn, source.name, batch[-1].cursor)
            take(store, source, raws, our_identity, now(), tally, advance)
        if not batch or error or not progress(tally):
            break
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
    )


def take(
    store: Store,
    source: Source,
    raws: Sequence[bytes],
    our_identity: str,
    now: Micros,
    tally: Tally,
    then: Callable[[], object],
) -> list[Reject]:
    """Takes objects of one source in, and does ``then`` in the same transaction; gives what was kept aside."""
    with without_collector():
        read, rejects = _read(raws, our_identity)
        with store.writing() as conn:
            # One turn, but where an object comes in several versions: each is merged as if it had come alone.
            turns = deque([read])
            while turns:
                seen = store.sort_out(source, turns.popleft(), now)
                turns += seen.later
                batch, refused = _normalise(seen.fresh, source, now)
                merged = store.merge(source, batch, now)
                rejects += seen.rejects + refused + merged.rejects
                tally.new += merged.new
                tally.changed += merged.changed
                tally.withdrawn += merged.withdrawn
                tally.unchanged += seen.unchanged
            note_rejects(conn, source.name, rejects, now)
            then()
    tally.objects += len(raws)
    tally.rejected += len(rejects)
    return rejects


def _batch(pages: Iterator[Page]) -> tuple[list[Page], PartnerError | None]:
    """Collects pages until there are enough objects for one transaction, or the feed ends or fails."""
    batch: list[Page] = []
    count = size = 0
    try:
        for page in pages:
            batch.append(page)
            count += len(page.objects)
            size += sum(map(len, page.objects))
            if count >= BATCH or size >= BATCH_BYTES:
                break
    except PartnerError as problem:
        return batch, problem
    return batch, None


def _read(raws: Sequence[bytes], our_identity: str) -> tuple[list[tuple[bytes, Received]], list[Reject]]:
    """Reads objects within limits; refuses what pretends to be ours."""
    taken: list[tuple[bytes, Received]] = []
    rejects: list[Reject] = []
    for raw in raws:
        place = "object"
        try:
            read = read_object(raw)
            place = read.id
            read.version  # noqa: B018  a bad timestamp is found here, before anything is stored
            if our_identity in (read.created_by_ref, read.id):
                raise BadValue(f"{read.id} says that we made it: our own objects are never taken from outside")
            taken.append((raw, read))
        except BadValue as problem:
            rejects.append(Reject(place, str(problem), raw[:65_536].decode(errors="replace")))
    return taken, rejects


def _normalise(
    fresh: Sequence[Fresh], source: Source, now: Micros
) -> tuple[list[tuple[Fresh, NewClaim | None]], list[Reject]]:
    """Reads the claims of what is new; an object whose claim cannot be read is kept aside."""
    batch: list[tuple[Fresh, NewClaim | None]] = []
    rejects: list[Reject] = []
    for one in fresh:
        try:
            batch.append((one, claim_of(one.read, one.version, source.default_tlp, now)))
        except BadValue as problem:
            rejects.append(Reject(one.read.id, str(problem), one.raw.decode(errors="replace")))
    return batch, rejects
