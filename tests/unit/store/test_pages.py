from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from threatshare.errors import BadValue
from threatshare.model import Collection, CollectionKind, Micros
from threatshare.store import pages
from threatshare.store.collections import add_collection
from threatshare.store.connection import Connection, open_writer, transaction
from threatshare.store.entries import NewEntry, append_entries
from threatshare.store.pages import ALL, FIRST, LAST, EntryFilter, Page

NOW = 1_800_000_000_000_000
IDS = ("a", "b", "c", "d", "e")
TYPES = ("indicator", "malware", "tool")


@dataclass(frozen=True)
class Held:
    """What the model remembers of an entry."""

    seq: int
    added: Micros
    entry: NewEntry


@dataclass(frozen=True)
class Shelf:
    """A store with a collection, its model, and a second collection that must never show."""

    conn: Connection
    collection: Collection
    held: tuple[Held, ...]

    def expected(self, wanted: EntryFilter) -> list[Held]:
        """Says the standard's filter rules once more, row by row."""
        among = [
            one
            for one in self.held
            if (not wanted.ids or one.entry.object_id in wanted.ids)
            and (not wanted.types or one.entry.type in wanted.types)
            and (not wanted.spec_versions or one.entry.spec_version in wanted.spec_versions)
        ]
        versions: dict[str, list[Micros]] = {}
        for one in self.held:
            if not wanted.spec_versions or one.entry.spec_version in wanted.spec_versions:
                versions.setdefault(one.entry.object_id, []).append(one.entry.version)

        def named(one: Held) -> bool:
            mine = versions[one.entry.object_id]
            return (
                ALL in wanted.versions
                or one.entry.version in wanted.versions
                or (LAST in wanted.versions and one.entry.version == max(mine))
                or (FIRST in wanted.versions and one.entry.version == min(mine))
            )

        return [
            one
            for one in among
            if named(one) and one.seq > wanted.after and (wanted.added_after is None or one.added > wanted.added_after)
        ]


def _entry(object_id: str, version: Micros, kind: str, spec_version: str, body: bytes) -> NewEntry:
    return NewEntry(object_id, version, kind, spec_version, body, "")


def _entries(count: int) -> list[NewEntry]:
    return [
        NewEntry(
            IDS[number * 7 % 5],
            number * 13 % 11,
            TYPES[number * 7 % 5 % 3],
            "2.0" if number % 4 == 1 else "2.1",
            b"%d" % number,
            "",
        )
        for number in range(count)
    ]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    conn = open_writer(tmp_path_factory.mktemp("shelf") / "store.db")
    before = add_collection(conn, "before", "Before", CollectionKind.INTERNAL, None, NOW)
    collection = add_collection(conn, "one", "One", CollectionKind.INTERNAL, None, NOW)
    after = add_collection(conn, "after", "After", CollectionKind.INTERNAL, None, NOW)
    with transaction(conn):
        for place, entry in enumerate(_entries(40)):
            for filled in (before, collection, after):
                body = entry.body if filled is collection else b"of another collection"
                append_entries(conn, filled, [replace(entry, body=body)], NOW + place * 700)
    rows = conn.execute(
        "SELECT id & 0xffffffffff, added, object_id, version, type, spec_version, body FROM entry"
        " WHERE id >> 40 = ? ORDER BY id",
        (collection.number,),
    ).fetchall()
    held = tuple(Held(row[0], row[1], _entry(*row[2:])) for row in rows)
    assert len(held) > 20
    yield Shelf(conn, collection, held)
    conn.close()


versions = st.one_of(
    st.just((ALL,)),
    st.lists(st.sampled_from([FIRST, LAST, *range(12)]), min_size=1, max_size=4, unique=True).map(tuple),
)
filters = st.builds(
    EntryFilter,
    after=st.integers(0, 45),
    added_after=st.one_of(st.none(), st.integers(-5, 40).map(lambda place: NOW + place * 700)),
    ids=st.lists(st.sampled_from([*IDS, "unknown"]), max_size=3, unique=True).map(tuple),
    types=st.lists(st.sampled_from([*TYPES, "unknown"]), max_size=3, unique=True).map(tuple),
    spec_versions=st.sampled_from([(), ("2.0",), ("2.1",), ("2.0", "2.1"), ("9.9",)]),
    versions=versions,
)


def _steps(conn: Connection, collection: Collection, wanted: EntryFilter) -> int:
    """Counts how often a hundred of SQLite's steps were taken to read a page."""
    ticks = 0

    def tick() -> int:
        nonlocal ticks
        ticks += 1
        return 0

    conn.set_progress_handler(tick, 100)
    try:
        assert pages.manifest(conn, collection, wanted, 10).items == []
    finally:
        conn.set_progress_handler(None, 0)
    return ticks


@pytest.mark.parametrize(
    "wanted",
    [
        EntryFilter(types=("indicator",), versions=(NOW,)),
        EntryFilter(types=("indicator",), spec_versions=("9.9",)),
        EntryFilter(types=("indicator",), spec_versions=("9.9",), versions=(FIRST,)),
    ],
)
def test_nothing_found_costs_the_same_at_any_size(tmp_path: Path, wanted: EntryFilter) -> None:
    """A type beside a version or specification that nothing has is not searched for in all entries of that type."""
    conn = open_writer(tmp_path / "store.db")
    collection = add_collection(conn, "one", "One", CollectionKind.INTERNAL, None, NOW)
    taken = []
    for begin, end in ((0, 100), (100, 5_000)):
        with transaction(conn):
            rows = [NewEntry(f"i{one}", one, "indicator", "2.1", b"{}", "") for one in range(begin, end)]
            append_entries(conn, collection, rows, NOW)
        taken.append(_steps(conn, collection, wanted))
    conn.close()
    assert taken[1] <= taken[0] + 2, taken


@settings(max_examples=400)
@given(wanted=filters, limit=st.integers(1, 50))
def test_pages_hold_what_the_filter_names(shelf: Shelf, wanted: EntryFilter, limit: int) -> None:
    """For every combination of filters a page is the first entries that match, in order, and knows of more."""
    expected = shelf.expected(wanted)
    found = pages.page(shelf.conn, shelf.collection, wanted, limit)
    assert found.items == [one.entry.body for one in expected[:limit]]
    assert found.more == (len(expected) > limit)
    if found.items:
        assert (found.first_added, found.last_added) == (expected[0].added, expected[: len(found.items)][-1].added)
        assert found.last_seq == expected[: len(found.items)][-1].seq
    listed = pages.manifest(shelf.conn, shelf.collection, wanted, limit)
    assert [one.object_id for one in listed.items] == [one.entry.object_id for one in expected[:limit]]
    assert [one.version for one in listed.items] == [one.entry.version for one in expected[:limit]]


@settings(max_examples=100)
@given(wanted=filters, limit=st.integers(1, 7))
def test_spans_cover_what_was_sent_and_no_more(shelf: Shelf, wanted: EntryFilter, limit: int) -> None:
    """What a page says it covers holds every entry sent, and no other that the filter left out."""
    found = pages.page(shelf.conn, shelf.collection, wanted, limit)
    sent = {one.seq for one in shelf.expected(wanted)[:limit]}
    covered = {seq for first, last in found.spans for seq in range(first, last + 1)}
    assert sent <= covered
    if not wanted.is_whole:
        assert covered == sent


PLANS = [
    (EntryFilter(), "entry_current"),
    (EntryFilter(versions=(ALL,)), "INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
    (EntryFilter(added_after=NOW), "entry_current"),
    (EntryFilter(versions=(FIRST,)), "INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
    (EntryFilter(ids=("a", "b")), "entry_object (object_id=? AND <expr>=?)"),
    (EntryFilter(types=("malware",)), "entry_type (<expr>=? AND type=? AND superseded=? AND rowid>? AND rowid<?)"),
    (EntryFilter(types=TYPES, versions=(ALL,)), "entry_type (<expr>=? AND type=? AND superseded=? AND rowid>?"),
    (EntryFilter(versions=(5,)), "entry_version (<expr>=? AND version=? AND rowid>? AND rowid<?)"),
    (EntryFilter(spec_versions=("2.0",)), "entry_old_spec (id>? AND id<?)"),
]


@pytest.mark.parametrize(("wanted", "index"), PLANS)
def test_no_page_walks_the_table(shelf: Shelf, wanted: EntryFilter, index: str) -> None:
    """Every page is read from ranges of an index in their own order: nothing is scanned, and nothing
    but a handful of named ids sorted."""
    plan = _plan(shelf, wanted)
    assert any(index in step for step in plan), plan
    assert not [step for step in plan if step.startswith("SCAN") and "entry" in step], plan
    assert bool(wanted.ids) or not [step for step in plan if "ORDER BY" in step], plan


def test_the_place_of_a_date_is_looked_up(shelf: Shelf) -> None:
    """`added_after` becomes a position by one search of an index, even near the end of a large collection."""
    seen: list[str] = []
    shelf.conn.set_trace_callback(seen.append)
    pages.page(shelf.conn, shelf.collection, EntryFilter(added_after=NOW + 700), 5)
    shelf.conn.set_trace_callback(None)
    plan = [row[3] for row in shelf.conn.execute(f"EXPLAIN QUERY PLAN {seen[0]}")]
    assert plan == ["SEARCH entry USING INDEX entry_added (<expr>=? AND added>?)"] or plan == [
        "SEARCH entry USING COVERING INDEX entry_added (<expr>=? AND added>?)"
    ]


def test_too_many_ranges_are_refused(shelf: Shelf) -> None:
    """A filter of a thousand types is refused with a reason and not put to the engine."""
    with pytest.raises(BadValue, match="too many values"):
        pages.page(shelf.conn, shelf.collection, EntryFilter(types=tuple(map(str, range(1000)))), 5)
    with pytest.raises(BadValue, match="too many values"):
        pages.page(shelf.conn, shelf.collection, EntryFilter(versions=tuple(range(1000))), 5)


def test_an_empty_page_says_nothing(shelf: Shelf) -> None:
    """A page beyond the end has no dates, no spans and no more."""
    assert pages.page(shelf.conn, shelf.collection, EntryFilter(after=1_000), 5) == Page([], 0, 0, 0, False, ())


def _plan(shelf: Shelf, wanted: EntryFilter) -> list[str]:
    seen: list[str] = []
    shelf.conn.set_trace_callback(seen.append)
    pages.page(shelf.conn, shelf.collection, wanted, 5)
    shelf.conn.set_trace_callback(None)
    selects = [statement for statement in seen if statement.lstrip().startswith("SELECT")]
    assert selects
    return [str(row[3]) for statement in selects for row in _explain(shelf.conn, statement)]


def _explain(conn: Connection, statement: str) -> list[tuple[Any, ...]]:
    return conn.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall()
