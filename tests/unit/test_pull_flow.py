"""Feeds in: each page with its cursor, faults in between, and what a second run brings."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from builders import (
    BAD,
    NOW,
    SECOND,
    US,
    FakeFeed,
    dump,
    feed_source,
    identity_uuid,
    ip,
    make_indicator_json,
)
from threatshare.admission.bounds import BATCH
from threatshare.admission.objects import PART, take
from threatshare.errors import PartnerError
from threatshare.model import FeedReport, Micros, Tally
from threatshare.ports import FeedClient, Page
from threatshare.pull import pull
from threatshare.store.connection import open_writer, transaction
from threatshare.store.embedded import Store
from threatshare.store.runs import feed_state, rejects, save_cursor
from threatshare.store.sources import Source


def page(first: int, size: int = 10) -> list[bytes]:
    """Builds a page of indicators about values of their own."""
    return [make_indicator_json(n, ip(f"45.{n >> 16}.{n >> 8 & 255}.{n & 255}")) for n in range(first, first + size)]


def run(store: Store, source: Source, client: FeedClient, stop_after: int = 10**9) -> tuple[FeedReport, list[int]]:
    """Pulls a feed; gives the report without its time, and the objects taken at each commit."""
    commits: list[int] = []

    def progress(tally: Tally) -> bool:
        commits.append(tally.objects)
        return len(commits) < stop_after

    report = pull(store, source, client, US, lambda: NOW, progress)
    assert report.seconds >= 0
    return replace(report, seconds=0.0), commits


def test_a_run_brings_everything_and_the_next_goes_on(store: Store, source: Source) -> None:
    """A run takes every page and remembers where it ended; the next asks for what comes after and finds nothing."""
    feed = FakeFeed([page(0), page(10), []])
    report, _ = run(store, source, feed)
    assert report == FeedReport("feed-a", "ok", objects=20, new=20)
    assert feed_state(store.conn, "feed-a").cursor == "3"
    before = dump(store.conn)
    report, _ = run(store, source, feed)
    assert report == FeedReport("feed-a", "ok")
    assert feed.asked == [None, "3"]
    assert dump(store.conn) == before


def test_a_fault_keeps_what_came_before(store: Store, source: Source) -> None:
    """Where a page cannot be had, those before it stay with the cursor behind them, and the fault is reported."""
    feed = FakeFeed([page(0), page(10), page(20)], fails_at=2)
    report, _ = run(store, source, feed)
    assert report == FeedReport("feed-a", "failed", objects=20, new=20, error="page 2 cannot be had")
    assert feed_state(store.conn, "feed-a").cursor == "2"
    feed.fails_at = None
    report, _ = run(store, source, feed)
    assert report == FeedReport("feed-a", "ok", objects=10, new=10)
    assert feed.asked == [None, "2"]


def test_a_fault_before_the_first_page(store: Store, source: Source) -> None:
    """Where nothing can be had, nothing changes, and when to come again is told."""

    class Busy:
        def pages(self, cursor: str | None, now: Micros) -> Iterator[Page]:
            problem = PartnerError("busy")
            problem.retry_after = 77.0
            raise problem
            yield  # a generator, whose first step raises

    before = dump(store.conn)
    report, commits = run(store, source, Busy())
    assert report == FeedReport("feed-a", "failed", error="busy", retry_after=77.0)
    assert (commits, dump(store.conn)) == ([], before)


def test_pages_are_committed_together_up_to_a_batch(store: Store, source: Source) -> None:
    """Pages share a transaction until there are as many objects as a batch holds; a page is never split."""
    size = BATCH // 2 + 1
    feed = FakeFeed([page(n * size, size) for n in range(3)])
    report, commits = run(store, source, feed)
    assert commits == [2 * size, 3 * size]
    assert report.new == 3 * size
    assert store.conn.execute("SELECT count(*), count(DISTINCT value) FROM observable").fetchone() == (
        3 * size,
        3 * size,
    )


def test_a_batch_is_merged_in_parts(store: Store, source: Source) -> None:
    """What is too much to be merged at once is merged as if its parts had come one after the other, and kept as one."""
    newer = make_indicator_json(0, ip("45.0.0.0"), modified=NOW + SECOND, revoked=True)
    raws = [*page(0, PART), newer, *page(PART, 3), newer]
    tally = Tally()
    with pytest.raises(ZeroDivisionError):
        take(store, source, raws, US, NOW + SECOND, tally, lambda: 1 // 0)
    assert store.conn.execute("SELECT count(*) FROM version").fetchone() == (0,)
    tally = Tally()
    assert take(store, source, raws, US, NOW + SECOND, tally, lambda: None) == []
    assert (tally.objects, tally.new, tally.withdrawn, tally.unchanged) == (PART + 5, PART + 3, 1, 1)
    score = "SELECT score FROM observable WHERE value = ?"
    assert store.conn.execute(score, ("45.0.0.0",)).fetchone() == (0,)
    assert store.conn.execute(score, ("45.0.0.1",)).fetchone() > (0,)


def test_a_stop_comes_at_a_pages_end(store: Store, source: Source) -> None:
    """A run that is told to stop stops behind a commit, and the next goes on from there."""
    feed = FakeFeed([page(0, BATCH), page(BATCH, 5)])
    report, commits = run(store, source, feed, stop_after=1)
    assert (report.status, report.new, commits) == ("ok", BATCH, [BATCH])
    assert feed_state(store.conn, "feed-a").cursor == "1"
    report, _ = run(store, source, feed)
    assert (report.status, report.new) == ("ok", 5)


def test_what_fails_in_the_transaction_leaves_nothing(store: Store, source: Source) -> None:
    """Where anything goes wrong before the commit, objects, cursor, claims and rejects are as they were."""
    take(store, source, page(0), US, NOW, Tally(), lambda: save_cursor(store.conn, "feed-a", "1"))
    before = dump(store.conn)

    def fail() -> None:
        save_cursor(store.conn, "feed-a", "2")
        raise ZeroDivisionError

    bad = [*page(5), make_indicator_json(99, by=identity_uuid(9), confidence=33), b"nonsense"]
    with pytest.raises(ZeroDivisionError):
        take(store, source, bad, US, NOW, Tally(), fail)
    assert dump(store.conn) == before
    assert gc.isenabled()
    tally = Tally()
    take(store, source, bad, US, NOW, tally, lambda: None)
    assert (tally.new, tally.unchanged, tally.rejected) == (6, 5, 1)
    # Who was first named in the transaction that failed has a number of his own in the next.
    names = store.conn.execute("SELECT name FROM claim JOIN origin ON number = claim.origin WHERE confidence = 33")
    assert names.fetchall() == [(identity_uuid(9),)]


def test_the_tally_adds_up(store: Store, source: Source) -> None:
    """Every object that came is counted once: new, changed, unchanged, withdrawn or kept aside."""
    first = page(0, 6)
    second = [
        first[0],
        make_indicator_json(1, BAD, modified=NOW),
        make_indicator_json(2, BAD, modified=NOW, revoked=True),
        make_indicator_json(3, BAD, modified=NOW - 2),
        make_indicator_json(3, BAD, modified=NOW - 1),
        make_indicator_json(4, confidence=3),
        make_indicator_json(77, by=US),
        make_indicator_json(78),
    ]
    report, _ = run(store, source, FakeFeed([first, second]))
    assert report.objects == 14
    assert report == FeedReport("feed-a", "ok", objects=14, new=7, changed=3, unchanged=1, withdrawn=1, rejected=2)
    assert len(list(rejects(store.conn, "feed-a", 99))) == 2


def test_the_store_is_free_while_a_page_is_fetched(store: Store, source: Source, tmp_path: Path) -> None:
    """While a slow partner is waited for, another process can write."""
    other = open_writer(tmp_path / "store.db")
    other.execute("PRAGMA busy_timeout = 0")

    class Slow:
        def pages(self, cursor: str | None, now: Micros) -> Iterator[Page]:
            for number in range(3):
                with transaction(other):
                    other.execute("INSERT INTO setting VALUES (?, 'x')", (f"page {number}",))
                yield Page(page(10 * number), str(number))

    report, _ = run(store, source, Slow())
    assert (report.status, report.new) == ("ok", 30)
    other.close()


def test_feeds_have_cursors_of_their_own(store: Store, source: Source) -> None:
    """Two feeds with the same objects each remember their own place, and each object is each feed's own."""
    other = feed_source(store, "feed-b")
    for one in (source, other):
        report, _ = run(store, one, FakeFeed([page(0), page(10)], fails_at=1 if one is source else None))
        assert report.new == report.objects
    assert [feed_state(store.conn, name).cursor for name in ("feed-a", "feed-b")] == ["1", "2"]
    assert store.conn.execute("SELECT count(*) FROM object").fetchone() == (30,)


def test_objects_dated_a_little_ahead(store: Store, source: Source) -> None:
    """A partner whose clock runs a minute ahead of ours is taken, and its score is no higher than a fresh one's."""
    report, _ = run(store, source, FakeFeed([[make_indicator_json(1, modified=NOW + 60 * SECOND, confidence=100)]]))
    assert report.new == 1
    assert store.conn.execute("SELECT score FROM observable").fetchone() == (75,)
