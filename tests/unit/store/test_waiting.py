from __future__ import annotations

from pathlib import Path

from builders import find, let_out, make_agreement, make_collection, make_outlet, make_store
from threatshare.model import CollectionKind
from threatshare.store.connection import open_reader
from threatshare.store.waiting import data_version, waiting


def test_what_is_to_be_published_shows_and_what_was_is_gone(tmp_path: Path) -> None:
    """A finding and a new collection change what is told, publishing empties the queue and changes nothing else."""
    store = make_store(tmp_path)
    conn = open_reader(tmp_path / "store.db")
    empty = waiting(conn)
    find(store)
    found = waiting(conn)
    assert found.own > empty.own
    assert not found.queued, "there is no SIEM collection that anything could wait for"
    siem = make_collection(store, CollectionKind.SIEM)
    partner = make_collection(store, CollectionKind.PARTNER, "to-north", "north")
    assert waiting(conn).queued
    assert waiting(conn).collection > found.collection
    before = waiting(conn)
    let_out(store, make_outlet(siem), make_outlet(partner, make_agreement()))
    after = waiting(conn)
    assert (after.own, after.collection, after.queued) == (before.own, before.collection, False)
    conn.close()
    store.close()


def test_any_commit_of_another_changes_the_version(tmp_path: Path) -> None:
    """It stands as long as nobody commits, and whatever is committed changes it."""
    store = make_store(tmp_path)
    conn = open_reader(tmp_path / "store.db")
    first = data_version(conn)
    assert data_version(conn) == first
    with store.writing():
        pass
    assert data_version(conn) == first
    find(store)
    assert data_version(conn) != first
    conn.close()
    store.close()
