"""The store as the flows use it: one transaction at a time, whole or not at all."""

from __future__ import annotations

import gc
from pathlib import Path
from threading import Barrier, Thread

import pytest

from builders import (
    BAD,
    NOW,
    SECOND,
    US,
    domain,
    dump,
    feed_source,
    identity_uuid,
    indicator_uuid,
    ip,
    make_indicator_json,
    make_store,
    nothing_capped,
    read,
    take_in,
)
from threatshare.admission.objects import take
from threatshare.errors import ConfigurationError, StoreError
from threatshare.model import Tally, Tlp
from threatshare.store.connection import open_reader
from threatshare.store.embedded import Store, without_collector
from threatshare.store.faults import StoreFault
from threatshare.store.lookups import OWN_ASSET
from threatshare.store.sources import Source
from threatshare.store.totals import sqlite_version, totals


def test_a_new_store(tmp_path: Path) -> None:
    """A store makes its file, its tables and its secret once; opened again it gives the same keys."""
    file = tmp_path / "a folder with ? and #" / "store.db"
    file.parent.mkdir()
    first = Store(file, nothing_capped)
    key = first.key_of(b"x")
    before = dump(first.conn)
    first.close()
    again = Store(file, nothing_capped)
    assert again.key_of(b"x") == key
    assert dump(again.conn) == before
    assert again.conn.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert again.conn.execute("PRAGMA synchronous").fetchone() == (2,)
    again.close()


def test_two_stores_make_other_keys(tmp_path: Path) -> None:
    """What collides in one store tells nothing about another: each keys its hashes with a secret of its own."""
    stores = [Store(tmp_path / f"{name}.db", nothing_capped) for name in "ab"]
    assert stores[0].key_of(b"x") != stores[1].key_of(b"x")
    for one in stores:
        one.close()


def test_a_reader_needs_a_store(tmp_path: Path) -> None:
    """A reading connection never makes a store, and refuses one that another version made."""
    with pytest.raises(StoreError, match="threatshare init"):
        open_reader(tmp_path / "store.db")
    assert list(tmp_path.iterdir()) == []
    made = make_store(tmp_path)
    with made.writing() as conn:
        conn.execute("UPDATE _sqlite_migrations SET name = '0000_older' WHERE name = '0002_entries'")
    made.close()
    with pytest.raises(StoreError, match="another version"):
        open_reader(tmp_path / "store.db")


def test_a_transaction_is_whole_or_not_at_all(store: Store) -> None:
    """What fails in the middle of a transaction leaves nothing, and the next goes on."""

    def fail() -> None:
        with store.writing() as conn:
            conn.execute("INSERT INTO setting VALUES ('a', 'b')")
            raise ZeroDivisionError

    before = dump(store.conn)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            fail()
        assert dump(store.conn) == before
    with store.writing() as conn:
        conn.execute("INSERT INTO setting VALUES ('a', 'b')")
    assert dump(store.conn) != before


def test_a_trial_leaves_nothing(store: Store) -> None:
    """What is tried is seen while it lasts and undone after it, also where it fails."""
    source = feed_source(store)
    before = dump(store.conn)
    for problem in (None, ZeroDivisionError):
        try:
            with store.trying() as conn:
                seen = store.sort_out(source, [], NOW)
                store.merge(source, [(one, None) for one in seen.fresh], NOW)
                conn.execute("INSERT INTO setting VALUES ('a', 'b')")
                assert dump(conn) != before
                if problem:
                    raise problem
        except ZeroDivisionError:
            pass
        assert dump(store.conn) == before


def test_origins_of_a_transaction_that_failed(store: Store) -> None:
    """Who was first named in a transaction that was undone is numbered anew, and never mixed up with another."""
    source = feed_source(store)

    def fail() -> None:
        raise ZeroDivisionError

    for number in (1, 2):
        raws = [make_indicator_json(number, by=identity_uuid(number))]
        with pytest.raises(ZeroDivisionError):
            take(store, source, raws, US, NOW, Tally(), fail)
    take_in(store, source, make_indicator_json(3, by=identity_uuid(3)))
    take_in(store, source, make_indicator_json(4, by=identity_uuid(4)))
    assert [row[0] for row in store.conn.execute("SELECT name FROM origin ORDER BY number")] == [
        identity_uuid(3),
        identity_uuid(4),
    ]


def test_sources_are_registered_once(store: Store) -> None:
    """A source keeps its number for ever; what is configured of it is brought up to date."""
    first = feed_source(store, "feed-a", "B", Tlp.GREEN)
    assert feed_source(store, "feed-a", "B", Tlp.GREEN) == first
    changed = feed_source(store, "feed-a", "A", Tlp.RED, lineage="an aggregate")
    assert (changed.number, changed.reliability, changed.default_tlp, changed.lineage) == (
        first.number,
        "A",
        Tlp.RED,
        "an aggregate",
    )
    assert feed_source(store, "feed-b").number != first.number


@pytest.mark.parametrize("kind", ["feed", "partner"])
def test_nobody_else_is_called_own(store: Store, kind: str) -> None:
    """No feed or account becomes the source of our own indicators by its name."""
    own = store.source("own", "own", "A", Tlp.GREEN)
    with pytest.raises(ConfigurationError, match="own"):
        store.source("own", kind, "A", Tlp.GREEN)
    assert store.source("own", "own", "A", Tlp.GREEN) == own


def test_threads_take_turns(store: Store) -> None:
    """Four feeds that come in at once, in threads of one process, leave what they would have left one by one."""
    feeds = [f"feed-{name}" for name in "abcd"]
    barrier = Barrier(len(feeds))

    def run(name: str) -> None:
        source = feed_source(store, name)
        barrier.wait()
        for page in range(5):
            raws = [make_indicator_json(n, ip(f"45.0.{page}.{n}"), by=identity_uuid(page)) for n in range(20)]
            renumbered = [raw.replace(b"0000-4000", f"{page:04d}-4000".encode()) for raw in raws]
            take_in(store, source, *renumbered)

    threads = [Thread(target=run, args=(name,)) for name in feeds]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert totals(store.conn) == {"observables": 100, "claims": 400, "object versions": 400}
    assert store.conn.execute("SELECT count(DISTINCT origin), count(DISTINCT source) FROM claim").fetchone() == (5, 4)


def test_two_processes_share_a_store(store: Store, tmp_path: Path) -> None:
    """What another process's connection wrote in between is seen, objects, sources and origins alike."""
    other = make_store(tmp_path)
    for turn, one in enumerate([store, other, store, other]):
        name = f"feed-{turn % 2}"
        raw = make_indicator_json(1, modified=NOW - SECOND + turn, by=identity_uuid(turn))
        tally, _ = take_in(one, feed_source(one, name), raw)
        assert (tally.new, tally.changed) == ((1, 0) if turn < 2 else (0, 1))
        again, _ = take_in(other if one is store else store, feed_source(one, name), raw)
        assert again.unchanged == 1
    assert totals(store.conn) == {"observables": 1, "claims": 2, "object versions": 4}
    other.close()


def test_who_holds_an_object(store: Store) -> None:
    """The sources of an object are told by name, in order; nobody holds what never came."""
    for name in ("feed-c", "feed-a", "feed-b"):
        take_in(store, feed_source(store, name), make_indicator_json(1 if name != "feed-b" else 2))
    assert store.holders(indicator_uuid(1)) == ["feed-a", "feed-c"]
    assert store.holders(indicator_uuid(9)) == []


def test_caps_are_told_anew(tmp_path: Path) -> None:
    """What is ours or benign is told anew of every value, and only what has changed is named."""
    caps = {BAD: OWN_ASSET, domain("a.badhost.biz"): "a list"}
    store = make_store(tmp_path, caps.get)
    values = [BAD, domain("a.badhost.biz"), domain("b.badhost.biz"), domain("c.badhost.biz")]
    take_in(store, feed_source(store), *(make_indicator_json(n, one) for n, one in enumerate(values)))
    assert store.cap_anew() == []
    del caps[BAD]
    caps[values[2]] = "another list"
    with store.writing() as conn:
        changed = store.cap_anew()
        named = {row[0] for number in changed
                 for row in conn.execute("SELECT value FROM observable WHERE number = ?", (number,))}  # fmt: skip
    assert named == {BAD.value, "b.badhost.biz"}
    assert dict(store.conn.execute("SELECT value, cap FROM observable")) == {one.value: caps.get(one) for one in values}
    store.close()


def test_a_full_disk(store: Store) -> None:
    """Where the disk is full nothing of the batch is stored, reading goes on, and writing too once there is room."""
    source = feed_source(store)
    take_in(store, source, make_indicator_json(1))
    before = dump(store.conn)
    many = [make_indicator_json(n, ip(f"45.0.0.{n}")) for n in range(2, 200)]
    pages = store.conn.execute("PRAGMA page_count").fetchone()[0]
    store.conn.execute(f"PRAGMA max_page_count = {pages + 5}")
    for _ in range(2):
        with pytest.raises(StoreFault):
            take_in(store, source, *many)
        assert dump(store.conn) == before
    with pytest.raises(StoreFault, match="full"):
        fill(store, source, many)
    store.conn.execute("PRAGMA max_page_count = 100000")
    assert take_in(store, source, *many)[0].new == len(many)


def fill(store: Store, source: Source, raws: list[bytes]) -> None:
    with store.trying():
        store.merge(source, [(one, None) for one in store.sort_out(source, read(*raws), NOW).fresh], NOW)


def test_checkpoints_cut_the_log(store: Store, tmp_path: Path) -> None:
    """A checkpoint brings the log back into the file and leaves it empty."""
    take_in(store, feed_source(store), *(make_indicator_json(n) for n in range(500)))
    log = tmp_path / "store.db-wal"
    assert log.stat().st_size > 100_000
    store.checkpoint()
    assert log.stat().st_size == 0


def test_the_collector_comes_back() -> None:
    """Garbage collection is off while millions of rows are walked, and on again afterwards, also after a failure."""

    def fail() -> None:
        with without_collector():
            assert not gc.isenabled()
            with without_collector():
                assert not gc.isenabled()
            assert not gc.isenabled()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert gc.isenabled()


def test_the_engine_is_new_enough(store: Store) -> None:
    """SQLite is one without the bug that corrupts databases with a write-ahead log (fixed in 3.51.3)."""
    assert sqlite_version(store.conn) >= (3, 51, 3)
