from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threatshare.store.connection import Connection, open_writer
from threatshare.store.reads import HOUR, Read, joined_reads, reads_of, record_reads

MINUTE = HOUR // 60
spans = st.tuples(st.integers(1, 40), st.integers(0, 6)).map(lambda pair: (pair[0], pair[0] + pair[1]))
times = st.integers(0, 4 * 60).map(lambda minute: minute * MINUTE)


def read(first: int, last: int, at: int = 1, account: str = "siem") -> Read:
    return Read(account, 1, first, last, 1, at, at)


@pytest.fixture(scope="module")
def conn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    opened = open_writer(tmp_path_factory.mktemp("reads") / "store.db")
    opened.execute("PRAGMA synchronous = OFF")
    yield opened
    opened.close()


def rows(conn: Connection) -> list[Read]:
    return [Read(*row) for row in conn.execute("SELECT * FROM taxii_read ORDER BY account, first_seq")]


def test_polls_with_news_leave_a_row_an_hour(conn: Connection) -> None:
    """A client that polls each minute of three hours leaves three rows, each with when its entries were first sent."""
    conn.execute("DELETE FROM taxii_read")
    for poll in range(180):
        record_reads(conn, [read(1 + 2 * poll, 2 + 2 * poll, at=poll * MINUTE)])
    assert rows(conn) == [
        Read("siem", 1, 1 + 120 * hour, 120 + 120 * hour, 60, hour * HOUR, hour * HOUR + 59 * MINUTE)
        for hour in range(3)
    ]


def test_what_is_sent_again_leaves_only_a_count(conn: Connection) -> None:
    """The same page once more, whole or in part and whenever, adds no row and moves no time."""
    conn.execute("DELETE FROM taxii_read")
    record_reads(conn, [read(1, 10, at=5)])
    record_reads(conn, [read(11, 20, at=HOUR)])
    for poll in range(500):
        record_reads(conn, [read(1 + poll % 7, 20, at=2 * HOUR + poll * HOUR)])
    assert [(one.first_seq, one.last_seq, one.first_at, one.last_at) for one in rows(conn)] == [
        (1, 10, 5, 5),
        (11, 20, HOUR, HOUR),
    ]
    assert sum(one.requests for one in rows(conn)) == 502


def test_a_year_of_polls_stays_small(conn: Connection) -> None:
    """A year of hours, each with news, is 8,760 rows; polls without news and pages sent again add none."""
    conn.execute("DELETE FROM taxii_read")
    conn.execute("BEGIN")
    random, seq = Random(1), 0
    for hour in range(8_760):
        news = random.randrange(1, 50)
        record_reads(conn, [read(seq + 1, seq + news, hour * HOUR), read(max(1, seq - 20), seq + 1, hour * HOUR + 1)])
        seq += news
    conn.execute("COMMIT")
    assert conn.execute("SELECT count(*) FROM taxii_read").fetchone() == (8_760,)
    assert [one.hour for one in reads_of(conn, 1, seq)] == [8_759]


@given(given_reads=st.lists(st.tuples(st.sampled_from(["siem", "isac"]), spans, times), max_size=25))
def test_each_entry_tells_when_it_was_first_sent(
    conn: Connection, given_reads: list[tuple[str, tuple[int, int], int]]
) -> None:
    """However reads overlap and in whatever order they are written, each entry's row holds its first sending.

    The row's two moments lie in the hour of that sending and around it; nothing that was not sent is in a row; no
    request is lost; and two rows that adjoin are of different hours.
    """
    conn.execute("DELETE FROM taxii_read")
    first: dict[tuple[str, int], int] = {}
    for account, (begin, end), at in given_reads:
        record_reads(conn, [read(begin, end, at, account)])
        for seq in range(begin, end + 1):
            first[account, seq] = min(at, first.get((account, seq), at))
    for seq in range(50):
        found = {one.account: one for one in reads_of(conn, 1, seq)}
        assert sorted(found) == sorted(account for account, other in first if other == seq)
        for account, one in found.items():
            assert one.first_at <= first[account, seq] <= one.last_at
            assert one.hour == first[account, seq] // HOUR == one.last_at // HOUR
    stored = rows(conn)
    assert sum(one.requests for one in stored) == len(given_reads)
    for one, other in pairwise(stored):
        if one.account == other.account:
            assert one.last_seq < other.first_seq
            assert one.last_seq + 1 < other.first_seq or one.hour != other.hour


@given(given_reads=st.lists(st.tuples(spans, times), max_size=20))
def test_joining_first_changes_nothing(conn: Connection, given_reads: list[tuple[tuple[int, int], int]]) -> None:
    """Joining a batch in memory before it is written leaves the same ranges, hours and counts as writing each read."""
    reads = [read(first, last, at) for (first, last), at in given_reads]
    left = []
    for batches in ([reads], [[one] for one in reads], [joined_reads(reads)]):
        conn.execute("DELETE FROM taxii_read")
        for batch in batches:
            record_reads(conn, batch)
        left.append([(one.first_seq, one.last_seq, one.hour) for one in rows(conn)])
    assert left[0] == left[1] == left[2]


def test_nobody_has_read_anything(conn: Connection) -> None:
    """Where nothing was read, nobody has."""
    conn.execute("DELETE FROM taxii_read")
    assert reads_of(conn, 1, 1) == []
