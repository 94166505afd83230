"""What a feed says again: nothing is written, and nothing that matters is overlooked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from builders import NOW, US, FakeFeed, dump, feed_source, ip, make_indicator_json, take_in
from exercise_builders import marked, statement_definition
from threatshare.model import Micros
from threatshare.ports import Page
from threatshare.pull import pull
from threatshare.store.embedded import Store
from threatshare.store.objects import unheard
from threatshare.store.sources import Source

MANY = 120
"""More than one in fifty is looked at."""


def several(first: int = 1, confidence: int = 60) -> list[bytes]:
    return [
        make_indicator_json(number, ip(f"45.66.{number >> 8}.{number & 255}"), confidence=confidence)
        for number in range(first, first + MANY)
    ]


def test_what_is_said_again_writes_nothing(store: Store, source: Source) -> None:
    """Not a row, and not a page of the file or its log."""
    take_in(store, source, *several())
    log = Path(f"{store.conn.execute('PRAGMA database_list').fetchone()[2]}-wal")
    rows, pages = store.conn.total_changes, log.stat()
    tally, _ = take_in(store, source, *several())
    assert (tally.unchanged, tally.objects, tally.rejected) == (MANY, MANY, 0)
    assert store.conn.total_changes == rows
    assert (log.stat().st_size, log.stat().st_mtime_ns) == (pages.st_size, pages.st_mtime_ns)


def test_a_cursor_that_stays_the_same_is_not_written(store: Store, source: Source) -> None:
    """A feed that names one page for ever, as a bundle does, leaves the store as it is."""

    class Bundle(FakeFeed):
        def pages(self, cursor: str | None, now: Micros) -> Iterator[Page]:
            return super().pages(None, now)

    feed = Bundle([several()])
    pull(store, source, feed, US, lambda: NOW, lambda _: True)
    before = store.conn.total_changes
    again = pull(store, source, feed, US, lambda: NOW, lambda _: True)
    assert (again.unchanged, store.conn.total_changes - before) == (MANY, 0)


def test_what_changed_among_much_that_did_not_is_taken(store: Store, source: Source) -> None:
    """One byte more or less is enough to read an object: a second wording of a version is an alarm as ever."""
    held = several()
    take_in(store, source, *held)
    other = several(confidence=90)[3]
    spelled = held[7].replace(b": ", b":")
    newer = make_indicator_json(9, ip("45.66.0.9"), modified=NOW - 1_000_000, confidence=10)
    unseen = several(first=1_000)[0]
    page = [*held[:3], other, *held[4:7], spelled, newer, unseen, *held[10:]]
    tally, rejects = take_in(store, source, *page)
    assert (tally.new, tally.changed, tally.rejected) == (1, 1, 1)
    assert tally.unchanged == len(page) - 3
    assert "alarm: same id" in rejects[0].reason


def test_what_comes_twice_in_one_batch_is_counted_twice(store: Store, source: Source) -> None:
    """Whether it was held before or not."""
    held = several()
    assert take_in(store, source, *held, *held)[0].unchanged == MANY
    assert take_in(store, source, *held, *held)[0].unchanged == 2 * MANY


def test_another_sources_copy_is_not_held_for_this_one(store: Store, source: Source) -> None:
    """The same bytes from a second source are that source's word, and new."""
    take_in(store, source, *several())
    tally, _ = take_in(store, feed_source(store, "feed-b"), *several())
    assert (tally.new, tally.unchanged) == (MANY, 0)


def test_what_is_held_is_looked_at_again_once_there_is_an_exercise(store: Store, source: Source) -> None:
    """A source that calls a marking of its held objects an exercise's has them set aside when they come again."""
    live = [*several(), marked(500, ip("45.66.77.1"), by_label=False)]
    take_in(store, source, *live)
    take_in(store, source, statement_definition())
    tally, rejects = take_in(store, source, *live)
    assert (tally.unchanged, tally.rejected) == (MANY, 1)
    assert "exercise" in rejects[0].reason


def test_what_is_no_object_is_left_to_be_read(store: Store, source: Source) -> None:
    """Leaving out decides nothing about what it cannot read."""
    held = several()
    take_in(store, source, *held)
    state = dump(store.conn)
    strange = [
        b"{",
        b"[]",
        b'{"id":7}',
        b'{"type":"indicator"}',
        b'{"id":"indicator--nothing"}',
        b'{"id":"\xff"}',
        b"\xff",
    ]
    with store.writing() as conn:
        assert list(unheard(conn, store.key_of, source.number, held + strange)) == strange
    assert dump(store.conn) == state
