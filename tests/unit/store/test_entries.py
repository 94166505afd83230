from __future__ import annotations

from collections.abc import Iterator
from itertools import count, pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threatshare.model import Collection, CollectionKind, Micros
from threatshare.store.collections import add_collection
from threatshare.store.connection import Connection, open_writer, transaction
from threatshare.store.entries import NewEntry, append_entries, delete_entries, entries_held, held_body, owner_of
from threatshare.store.pages import ALL, FIRST, LAST, EntryFilter, manifest, matching, page

NOW = 1_800_000_000_000_000
NUMBERS = count()


def new(object_id: str, version: Micros = 1, owner: str = "") -> NewEntry:
    return NewEntry(object_id, version, "indicator", "2.1", f"{object_id}/{version}".encode(), owner)


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[Connection]:
    opened = open_writer(tmp_path / "store.db")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    opened = open_writer(tmp_path_factory.mktemp("shared") / "store.db")
    opened.execute("PRAGMA synchronous = OFF")
    yield opened
    opened.close()


@pytest.fixture
def one(conn: Connection) -> Collection:
    return add_collection(conn, "one", "One", CollectionKind.INTERNAL, None, NOW)


def added(conn: Connection, collection: Collection) -> list[Micros]:
    whole = manifest(conn, collection, EntryFilter(versions=(ALL,)), 100_000)
    return [entry.added for entry in whole.items]


def bodies(conn: Connection, collection: Collection, *versions: str) -> list[bytes]:
    return page(conn, collection, EntryFilter(versions=versions or (LAST,)), 100).items


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(-3_600_000_000, 3_600_000_000)), max_size=8))
def test_dates_increase_whatever_the_clock_does(shared: Connection, batches: list[tuple[int, int]]) -> None:
    """Dates strictly increase, 10 µs apart or more, never before the clock, and lead it only as far as need be."""
    alias = f"c{next(NUMBERS)}"
    collection = add_collection(shared, alias, alias, CollectionKind.INTERNAL, None, NOW)
    number, clock, highest = 0, NOW, NOW
    for size, step in batches:
        clock += step
        highest = max(highest, clock)
        first = number
        with transaction(shared):
            append_entries(shared, collection, [new(f"id-{number + place}") for place in range(size)], clock)
        number += size
        fresh = added(shared, collection)[first:]
        assert fresh[0] >= clock
        assert fresh[-1] <= highest + 1_000_000 + number * 1_000
    dates = added(shared, collection)
    assert all(later - earlier >= 10 for earlier, later in pairwise(dates))


def test_few_entries_are_a_whole_millisecond_apart(conn: Connection, one: Collection) -> None:
    """Where there is room, dates are whole milliseconds: clients that cut them lose and repeat nothing (S5)."""
    with transaction(conn):
        append_entries(conn, one, [new(f"a{number}") for number in range(900)], NOW + 7)
    dates = added(conn, one)
    assert {date % 1000 for date in dates} == {0}
    assert len(set(dates)) == 900


def test_many_entries_do_not_run_ahead_of_the_clock(conn: Connection, one: Collection) -> None:
    """A large batch is dated 10 µs apart, or as far apart as fits into a second's lead."""
    with transaction(conn):
        append_entries(conn, one, [new(f"a{number}") for number in range(20_000)], NOW)
        append_entries(conn, one, [new(f"b{number}") for number in range(1_000)], NOW)
    dates = added(conn, one)
    assert dates[19_999] - NOW == 999_950
    assert dates[-1] - NOW < 1_020_000


def test_the_same_version_again_changes_nothing(conn: Connection, one: Collection) -> None:
    """An object's version is served once, however often it is appended, also within one batch."""
    assert append_entries(conn, one, [new("a"), new("a"), new("b")], NOW) == 2
    before = added(conn, one)
    assert append_entries(conn, one, [new("b"), new("a")], NOW + 10_000_000) == 0
    assert added(conn, one) == before


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 3, 1)])
@pytest.mark.parametrize("at_once", [True, False])
def test_only_the_latest_version_is_current(
    conn: Connection, one: Collection, order: tuple[int, ...], at_once: bool
) -> None:
    """The latest version is current in whatever order versions come, in one batch or in several."""
    entries = [new("a", version) for version in order]
    for batch in [entries] if at_once else [[entry] for entry in entries]:
        append_entries(conn, one, batch, NOW)
    assert bodies(conn, one) == [b"a/3"]
    assert bodies(conn, one, FIRST) == [b"a/1"]
    assert bodies(conn, one, ALL) == [f"a/{version}".encode() for version in order]


def test_collections_keep_apart(conn: Connection, one: Collection) -> None:
    """The same object in two collections is two entries: neither supersedes nor deletes the other's."""
    two = add_collection(conn, "two", "Two", CollectionKind.INTERNAL, None, NOW)
    append_entries(conn, one, [new("a", 1)], NOW)
    append_entries(conn, two, [new("a", 2), new("b", 1)], NOW)
    assert bodies(conn, one) == [b"a/1"]
    assert bodies(conn, two) == [b"a/2", b"b/1"]
    delete_entries(conn, two, [entry for entry, _ in matching(conn, two, EntryFilter(ids=("a",)))])
    assert bodies(conn, one) == [b"a/1"]
    assert bodies(conn, two) == [b"b/1"]


def test_what_is_held_is_counted_without_what_was_deleted(conn: Connection, one: Collection) -> None:
    """The count of a collection is of the versions that it holds now, not of the numbers that it has given out."""
    two = add_collection(conn, "two", "Two", CollectionKind.INTERNAL, None, NOW)
    append_entries(conn, one, [new("a", 1), new("a", 2), new("b", 1)], NOW)
    append_entries(conn, two, [new("c")], NOW)
    delete_entries(conn, one, [entry for entry, _ in matching(conn, one, EntryFilter(ids=("b",)))])
    assert (entries_held(conn, one.number), entries_held(conn, two.number)) == (2, 1)


def test_deleting_the_latest_brings_back_the_one_before(conn: Connection, one: Collection) -> None:
    """Where the latest version is deleted, the latest that is left is current again."""
    append_entries(conn, one, [new("a", 1), new("a", 2), new("a", 3)], NOW)
    latest = matching(conn, one, EntryFilter(ids=("a",), versions=(LAST,)))
    assert delete_entries(conn, one, [entry for entry, _ in latest]) == 1
    assert bodies(conn, one) == [b"a/2"]


def test_a_sequence_number_is_never_given_twice(conn: Connection, one: Collection) -> None:
    """After the newest entry is deleted, the next one comes beyond where it stood, so no reader's cursor misses it."""
    append_entries(conn, one, [new("a"), new("b")], NOW)
    seen = page(conn, one, EntryFilter(), 10).last_seq
    delete_entries(conn, one, [entry for entry, _ in matching(conn, one, EntryFilter(ids=("b",)))])
    append_entries(conn, one, [new("c")], NOW)
    assert page(conn, one, EntryFilter(after=seen), 10).items == [b"c/1"]


def test_owner_and_body_are_found(conn: Connection, one: Collection) -> None:
    """An object's owner and the exact bytes of a version can be asked for, in this collection only."""
    two = add_collection(conn, "two", "Two", CollectionKind.EXCHANGE, None, NOW)
    append_entries(conn, two, [new("a", 5, "isac")], NOW)
    assert owner_of(conn, two, "a") == "isac"
    assert held_body(conn, two, "a", 5) == b"a/5"
    assert owner_of(conn, one, "a") is None
    assert held_body(conn, two, "a", 6) is None


def test_an_abandoned_transaction_leaves_no_gap(conn: Connection, one: Collection) -> None:
    """Entries of a transaction that is rolled back leave neither a row nor a used number behind."""
    conn.execute("BEGIN IMMEDIATE")
    append_entries(conn, one, [new("a")], NOW)
    conn.execute("ROLLBACK")
    append_entries(conn, one, [new("b")], NOW)
    found = page(conn, one, EntryFilter(), 10)
    assert (found.items, found.last_seq) == ([b"b/1"], 1)
