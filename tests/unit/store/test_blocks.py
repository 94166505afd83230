from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import count

import pytest
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st

from threatshare.model import Collection, CollectionKind, Micros
from threatshare.store.blocks import BLOCK, wrong_blocks
from threatshare.store.collections import add_collection
from threatshare.store.connection import Connection, open_writer
from threatshare.store.entries import SEQ_BITS, NewEntry, append_entries, delete_entries
from threatshare.store.frames import unframed
from threatshare.store.ledger_check import check
from threatshare.store.pages import ALL, LAST, EntryFilter, page

NOW: Micros = 1_800_000_000_000_000
NUMBERS = count()


def new(number: int, version: Micros = 1) -> NewEntry:
    return NewEntry(f"id-{number}", version, "indicator", "2.1", f'"{number}/{version}"'.encode(), "")


@pytest.fixture(scope="module")
def conn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    opened = open_writer(tmp_path_factory.mktemp("blocks") / "store.db")
    opened.execute("PRAGMA synchronous = OFF")
    yield opened
    opened.close()


@pytest.fixture
def one(conn: Connection) -> Collection:
    return made(conn)


def made(conn: Connection) -> Collection:
    name = f"c{next(NUMBERS)}"
    return add_collection(conn, name, name, CollectionKind.INTERNAL, None, NOW)


def blocks(conn: Connection, collection: Collection) -> list[int]:
    """Gives the numbers of a collection's blocks."""
    low = collection.number << SEQ_BITS
    rows = conn.execute("SELECT id - ? FROM entry_block WHERE id >> 40 = ? ORDER BY id", (low, collection.number))
    return [row[0] for row in rows]


def stored(conn: Connection, collection: Collection, after: int, limit: int, current: bool) -> bytes:
    """Gives what a page must hold, row by row."""
    low = collection.number << SEQ_BITS
    rows = conn.execute(
        f"SELECT body FROM entry NOT INDEXED WHERE id > ? AND id < ? {'AND superseded = 0' if current else ''}"
        " ORDER BY id LIMIT ?",
        (low | after, low + (1 << SEQ_BITS), limit),
    )
    return b",".join(row[0] for row in rows)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, 900), st.integers(1, 700)),
        st.tuples(st.just("supersede"), st.integers(0, 900), st.integers(1, 40)),
        st.tuples(st.just("delete"), st.integers(0, 900), st.integers(1, 3)),
    ),
    min_size=1,
    max_size=8,
)
asked = st.lists(st.tuples(st.integers(0, 1_500), st.integers(101, 1_200)), min_size=1, max_size=6)


@settings(max_examples=40)
@given(steps, asked)
def test_a_page_from_blocks_is_the_page_of_rows(
    conn: Connection, changes: list[tuple[str, int, int]], pages: list[tuple[int, int]]
) -> None:
    """Whatever is added, superseded or deleted, a page is what the rows say: from any place, of any size."""
    collection, version = made(conn), 1
    for kind, number, size in changes:
        if kind == "delete":
            low = collection.number << SEQ_BITS
            span = (low | number, low | number + size)
            found = conn.execute("SELECT id FROM entry WHERE id BETWEEN ? AND ?", span).fetchall()
            delete_entries(conn, collection, [row[0] for row in found])
        else:
            version += kind == "supersede"
            append_entries(conn, collection, [new(number + place, version) for place in range(size)], NOW)
    for after, limit in pages:
        for versions in (LAST, ALL):
            held = page(conn, collection, EntryFilter(after=after, versions=(versions,)), limit)
            assert b",".join(held.items) == stored(conn, collection, after, limit, versions == LAST)
    assert list(wrong_blocks(conn)) == []


def test_a_page_comes_from_whole_blocks(conn: Connection, one: Collection) -> None:
    """A page of four blocks is read as four pieces, and one that begins inside a block as five."""
    append_entries(conn, one, [new(number) for number in range(6 * BLOCK)], NOW)
    assert blocks(conn, one) == list(range(6))
    assert len(page(conn, one, EntryFilter(), 4 * BLOCK).items) == 4
    assert len(page(conn, one, EntryFilter(after=10), 4 * BLOCK).items) == 5


def test_superseding_leaves_blocks_as_they_are(conn: Connection, one: Collection) -> None:
    """A new version hides the old one on pages, though no block is written anew."""
    append_entries(conn, one, [new(number) for number in range(BLOCK)], NOW)
    before = conn.execute("SELECT * FROM entry_block WHERE id >> 40 = ?", (one.number,)).fetchall()
    append_entries(conn, one, [new(7, 2)], NOW)
    assert conn.execute("SELECT * FROM entry_block WHERE id >> 40 = ?", (one.number,)).fetchall() == before
    bodies = b",".join(page(conn, one, EntryFilter(), BLOCK).items)
    assert b'"7/1"' not in bodies
    assert bodies.endswith(b'"7/2"')


def test_deleting_takes_the_block_away(conn: Connection, one: Collection) -> None:
    """What was deleted is in no block, neither where the block was made before nor where it is made after."""
    append_entries(conn, one, [new(number) for number in range(2 * BLOCK + 10)], NOW)
    low = one.number << SEQ_BITS
    delete_entries(conn, one, [low | 5, low | 2 * BLOCK + 3])
    assert blocks(conn, one) == [1]
    append_entries(conn, one, [new(number) for number in range(1_000, 1_000 + BLOCK)], NOW)
    assert blocks(conn, one) == [1, 2]
    bodies = b",".join(page(conn, one, EntryFilter(), 4 * BLOCK).items)
    assert bodies == stored(conn, one, 0, 4 * BLOCK, True)
    assert bodies.count(b",") == 3 * BLOCK + 10 - 2 - 1


def test_a_store_without_blocks_gets_them_a_few_at_a_time(conn: Connection, one: Collection) -> None:
    """Where entries are older than blocks, each append makes a bounded number of those that are missing, in order."""
    append_entries(conn, one, [new(number) for number in range(20 * BLOCK)], NOW)
    conn.execute("DELETE FROM entry_block WHERE id >> 40 = ?", (one.number,))
    grown = []
    for number in range(4):
        append_entries(conn, one, [new(10_000 + number)], NOW)
        grown.append(blocks(conn, one))
    assert grown == [list(range(8)), list(range(16)), list(range(20)), list(range(20))]


def test_a_block_that_was_altered_is_found(conn: Connection, one: Collection) -> None:
    """A block that says other than its entries is named."""
    append_entries(conn, one, [new(number) for number in range(2 * BLOCK)], NOW)
    low = one.number << SEQ_BITS
    conn.execute(
        "UPDATE entry_block SET bodies = (SELECT bodies FROM entry_block WHERE id = ?) WHERE id = ?", (low, low | 1)
    )
    assert list(wrong_blocks(conn)) == [low | 1]
    assert "block 1: what is served in one piece is not what its entries say" in "".join(check(conn).problems)
    conn.execute("UPDATE entry_block SET bodies = x'00' WHERE id = ?", (low | 1,))
    assert list(wrong_blocks(conn)) == [low | 1]
    conn.execute("DELETE FROM entry_block WHERE id = ?", (low | 1,))
    assert list(wrong_blocks(conn)) == []


def test_a_block_that_another_version_has_packed_is_right(conn: Connection, one: Collection) -> None:
    """What counts is what a block holds, not how tightly the library has packed it."""
    append_entries(conn, one, [new(number) for number in range(BLOCK)], NOW)
    low = one.number << SEQ_BITS
    (packed,) = conn.execute("SELECT bodies FROM entry_block WHERE id = ?", (low,)).fetchone()
    otherwise = zstd.compress(unframed(packed), level=19)
    assert otherwise != packed
    conn.execute("UPDATE entry_block SET bodies = ? WHERE id = ?", (otherwise, low))
    assert list(wrong_blocks(conn)) == []


def test_entries_that_are_large_together_have_no_bodies_in_a_block(conn: Connection, one: Collection) -> None:
    """No block is larger than what may be opened at once; its entries are read row by row, before and after others."""
    large = [replace(new(number), body=b'"%0*d"' % (80_000, number)) for number in range(BLOCK)]
    append_entries(conn, one, large, NOW)
    append_entries(conn, one, [new(number) for number in range(1_000, 1_000 + BLOCK)], NOW)
    kept = conn.execute(
        "SELECT length(bodies) FROM entry_block WHERE id >> 40 = ? ORDER BY id", (one.number,)
    ).fetchall()
    assert kept[0][0] == 0 < kept[1][0]
    found = page(conn, one, EntryFilter(after=BLOCK // 2), BLOCK)
    assert b",".join(found.items) == stored(conn, one, BLOCK // 2, BLOCK, True)
    assert list(wrong_blocks(conn)) == []
