"""Writing many rows, and bringing what is committed from the log into the file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from builders import make_store
from threatshare.store.connection import IntegrityError, copy_log, insert, open_reader
from threatshare.store.embedded import Store

BATCH = [(f"n{number}", "x" * 100) for number in range(2_000)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = make_store(tmp_path)
    yield made
    made.close()


def fill(store: Store, batch: int) -> None:
    with store.filling() as conn:
        insert(conn, "INSERT INTO setting (name, value)", [(f"{batch}-{name}", value) for name, value in BATCH])


def log_of(tmp_path: Path) -> int:
    return (tmp_path / "store.db-wal").stat().st_size


def count(file: Path) -> int:
    with closing(open_reader(file)) as conn:
        return int(conn.execute("SELECT count(*) FROM setting WHERE name LIKE '%n%'").fetchone()[0])


@pytest.mark.parametrize("number", [0, 1, 39, 40, 41, 80, 95])
def test_every_row_is_written_in_its_order(store: Store, number: int) -> None:
    """However many rows there are, each is written once, and those written first come first."""
    with store.writing() as conn:
        insert(conn, "INSERT INTO changed_observable (observable)", [(one * 7,) for one in range(number)])
    rows = store.conn.execute("SELECT observable FROM changed_observable ORDER BY seq").fetchall()
    assert rows == [(one * 7,) for one in range(number)]


def test_rows_that_are_there_are_brought_up_to_date(store: Store) -> None:
    """What is to happen to a row that is there already is said for all of them, within a statement too."""
    rows = [(f"n{number % 50}", str(number)) for number in range(100)]
    with store.writing() as conn:
        insert(
            conn,
            "INSERT INTO setting (name, value)",
            rows,
            " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        )
    found = dict(store.conn.execute("SELECT name, value FROM setting WHERE name LIKE 'n%'").fetchall())
    assert found == {f"n{number}": str(number + 50) for number in range(50)}


def test_a_row_that_may_not_be_there_undoes_the_batch(store: Store) -> None:
    """One row that clashes leaves nothing of its transaction, neither before it nor behind."""
    rows = [*BATCH[:100], BATCH[70], *BATCH[100:]]
    with pytest.raises(IntegrityError), store.filling() as conn:
        insert(conn, "INSERT OR FAIL INTO setting (name, value)", rows)
    assert store.conn.execute("SELECT count(*) FROM setting WHERE name LIKE 'n%'").fetchone() == (0,)
    fill(store, 1)
    assert store.conn.execute("SELECT count(*) FROM setting WHERE name LIKE '%n%'").fetchone() == (len(BATCH),)


def test_the_log_holds_no_more_than_a_batch(store: Store, tmp_path: Path) -> None:
    """Each large batch begins the log anew, since the one before is in the file by then."""
    fill(store, 0)
    first = log_of(tmp_path)
    for batch in range(1, 8):
        fill(store, batch)
    assert log_of(tmp_path) < 2 * first
    assert count(tmp_path / "store.db") == 8 * len(BATCH)


def test_who_reads_meanwhile_keeps_what_he_sees(store: Store, tmp_path: Path) -> None:
    """A reader in the middle of a transaction sees the store as it was; the log is brought in once he is done."""
    fill(store, 0)
    first = log_of(tmp_path)
    with closing(open_reader(tmp_path / "store.db")) as reader:
        reader.execute("BEGIN")
        seen = reader.execute("SELECT count(*) FROM setting").fetchone()
        for batch in range(1, 4):
            fill(store, batch)
        assert reader.execute("SELECT count(*) FROM setting").fetchone() == seen
        reader.execute("COMMIT")
    assert log_of(tmp_path) > 2 * first
    store.checkpoint()
    assert log_of(tmp_path) == 0
    assert count(tmp_path / "store.db") == 4 * len(BATCH)


def test_small_transactions_bring_the_log_in_by_themselves(store: Store, tmp_path: Path) -> None:
    """A large batch leaves the ordinary rule in place: the log is brought in from a thousand pages on."""
    fill(store, 0)
    store.checkpoint()
    for number in range(400):
        with store.writing() as conn:
            conn.execute("INSERT INTO setting VALUES (?, ?)", (f"large-{number}", "y" * 20_000))
    assert log_of(tmp_path) < 2 * 1000 * 4096


def test_a_log_that_cannot_be_brought_in_stays(tmp_path: Path) -> None:
    """Where there is no store to open, copying says nothing: what is committed is in the log, and stays there."""
    file = tmp_path / "store.db"
    copy_log(file)
    assert not file.exists()
    file.write_bytes(b"no database at all, " * 500)
    copy_log(file)
    assert file.read_bytes() == b"no database at all, " * 500
