from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threatshare.store.connection import Connection, open_writer
from threatshare.store.reads import Read, joined_reads, reads_of, record_reads

spans = st.tuples(st.integers(1, 40), st.integers(0, 6)).map(lambda pair: (pair[0], pair[0] + pair[1]))


def read(first: int, last: int, at: int = 1, account: str = "siem") -> Read:
    return Read(account, 1, first, last, 1, at, at)


@pytest.fixture(scope="module")
def conn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    opened = open_writer(tmp_path_factory.mktemp("reads") / "store.db")
    opened.execute("PRAGMA synchronous = OFF")
    yield opened
    opened.close()


def test_a_year_of_polls_is_one_row(conn: Connection) -> None:
    """Pages that follow each other, and the same page again, extend the one row of that account."""
    conn.execute("DELETE FROM taxii_read")
    for poll in range(500):
        record_reads(conn, [read(1, 10 + poll, at=poll)])
    assert conn.execute("SELECT count(*) FROM taxii_read").fetchone() == (1,)
    assert reads_of(conn, 1, 509) == [Read("siem", 1, 1, 509, 500, 0, 499)]


@given(reads=st.lists(st.tuples(st.sampled_from(["siem", "isac"]), spans), max_size=20))
def test_nothing_read_is_lost_or_invented(conn: Connection, reads: list[tuple[str, tuple[int, int]]]) -> None:
    """However reads overlap, the rows say exactly which entries each account was sent, and how many requests."""
    conn.execute("DELETE FROM taxii_read")
    for at, (account, (first, last)) in enumerate(reads):
        record_reads(conn, [read(first, last, at, account)])
    for account in ("siem", "isac"):
        wanted = {seq for name, (first, last) in reads if name == account for seq in range(first, last + 1)}
        for seq in range(50):
            found = [one for one in reads_of(conn, 1, seq) if one.account == account]
            assert len(found) == (seq in wanted)
    requests = conn.execute("SELECT coalesce(sum(requests), 0) FROM taxii_read").fetchone()[0]
    assert requests == len(reads)


@given(given_spans=st.lists(spans, max_size=20))
def test_joining_first_changes_nothing(conn: Connection, given_spans: list[tuple[int, int]]) -> None:
    """Joining a batch in memory before it is written leaves the same rows as writing each read."""
    reads = [read(first, last, at) for at, (first, last) in enumerate(given_spans)]
    rows = []
    for batches in ([reads], [[one] for one in reads], [joined_reads(reads)]):
        conn.execute("DELETE FROM taxii_read")
        for batch in batches:
            record_reads(conn, batch)
        rows.append(conn.execute("SELECT * FROM taxii_read").fetchall())
    assert rows[0] == rows[1] == rows[2]
