"""What each account has read over TAXII, as ranges of sequence numbers per collection, by the hour of first sending.

A row says: these entries were first sent to this account between two moments of one hour. What is sent
again changes nothing but a count. A client that polls each minute for a year leaves one row for each hour
that had news, some 9,000 at most, not half a million; and one more for each poll that found a version replaced
which the account had first been sent in that same hour, so that what was certain of either stays certain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from heapq import heappop, heappush
from itertools import groupby, pairwise

from threatshare.model import Micros
from threatshare.store.connection import Connection
from threatshare.store.entries import SEQ_BITS

HOUR: Micros = 3_600_000_000
_MOST_LOOKED_AT = 10_000
"""Entries published between two reads that are looked through: after more, the reads stay apart unlooked."""


@dataclass(frozen=True, slots=True)
class Read:
    """That an account was sent a collection's entries from one sequence number to another, both included."""

    account: str
    collection: int
    first_seq: int
    last_seq: int
    requests: int
    """How many requests began within the range."""
    first_at: Micros
    """No entry of the range was sent to the account before."""
    last_at: Micros
    """Each entry of the range had been sent by then: within the hour of ``first_at``."""

    @property
    def hour(self) -> int:
        """The hour in which the range was first sent."""
        return self.first_at // HOUR


MayJoin = Callable[[Read, Read], bool]
"""Tells whether two adjoining ranges of one hour may be one."""


def _always(_: Read, __: Read) -> bool:
    return True


def joined_reads(reads: Iterable[Read], may_join: MayJoin = _always) -> list[Read]:
    """Gives the same reads without overlaps: ranges of one hour that adjoin are one, earlier sendings win.

    The result is sorted; what overlaps is cut where the hour of first sending changes, or ``may_join`` says no.
    """
    ordered = sorted(reads, key=lambda one: (one.account, one.collection, one.first_seq))
    return [
        joined
        for _, group in groupby(ordered, key=lambda one: (one.account, one.collection))
        for joined in _joined(list(group), may_join)
    ]


def record_reads(conn: Connection, reads: Iterable[Read]) -> None:
    """Adds reads to what is recorded, inside the caller's transaction."""
    for read in joined_reads(reads):
        known = _touching(conn, read)
        after = joined_reads([*known, read], partial(_tells_as_much, conn))
        kept = {one.first_seq for one in after}
        for one in known:
            if one.first_seq not in kept:
                conn.execute(
                    "DELETE FROM taxii_read WHERE account = ? AND collection = ? AND first_seq = ?",
                    (one.account, one.collection, one.first_seq),
                )
        for one in set(after).difference(known):
            conn.execute(
                "INSERT OR REPLACE INTO taxii_read"
                " (account, collection, first_seq, last_seq, requests, first_at, last_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (one.account, one.collection, one.first_seq, one.last_seq, one.requests, one.first_at, one.last_at),
            )


def reads_of(conn: Connection, collection: int, seq: int) -> list[Read]:
    """Gives which accounts were sent an entry, each with the range that holds it, and so when it was first sent."""
    accounts = conn.execute(
        # One step of the index an account, however many rows each has.
        "WITH RECURSIVE reader (name) AS (SELECT min(account) FROM taxii_read"
        " UNION ALL SELECT (SELECT min(account) FROM taxii_read WHERE account > name) FROM reader"
        " WHERE name IS NOT NULL)"
        " SELECT name FROM reader WHERE name IS NOT NULL"
    ).fetchall()
    found = []
    for (account,) in accounts:
        row = conn.execute(
            f"SELECT {_COLUMNS} FROM taxii_read WHERE account = ? AND collection = ? AND first_seq <= ?"
            " ORDER BY first_seq DESC LIMIT 1",
            (account, collection, seq),
        ).fetchone()
        if row is not None and row[3] >= seq:
            found.append(Read(*row))
    return found


_COLUMNS = "account, collection, first_seq, last_seq, requests, first_at, last_at"


def _joined(reads: Sequence[Read], may_join: MayJoin) -> list[Read]:
    """Joins the reads of one account and collection, sorted by where they begin."""
    if len(reads) == 1:
        return list(reads)
    joined: list[Read] = []
    for piece in _pieces(reads):
        last = joined[-1] if joined else None
        adjoins = last is not None and last.last_seq + 1 == piece.first_seq and last.hour == piece.hour
        if last is not None and adjoins and may_join(last, piece):
            joined[-1] = replace(
                last,
                last_seq=piece.last_seq,
                requests=last.requests + piece.requests,
                first_at=min(last.first_at, piece.first_at),
                last_at=max(last.last_at, piece.last_at),
            )
        else:
            joined.append(piece)
    return joined


def _tells_as_much(conn: Connection, one: Read, other: Read) -> bool:
    """Tells whether two ranges, joined, say as surely as each alone which versions were sent.

    Not where an entry of one was replaced at a moment that only the joined range holds: it was sent before that
    for certain, or not before, and would then be one of the two.
    """
    begin, end = min(one.first_at, other.first_at), max(one.last_at, other.last_at)
    return not any(
        _replaced(conn, each, after, until)
        for each in (one, other)
        for after, until in ((each.last_at, end), (begin, each.first_at))
        if after < until
    )


def _replaced(conn: Connection, read: Read, after: Micros, until: Micros) -> bool:
    """Tells whether a later version of an entry of a range came in after one moment and by another, or may have."""
    row = conn.execute(
        """
        WITH later AS MATERIALIZED (
            SELECT object_id, version FROM entry
            WHERE id >> 40 = :collection AND added > :after AND added <= :until LIMIT :most + 1)
        SELECT (SELECT count(*) FROM later) > :most OR EXISTS (
            SELECT 1 FROM later JOIN entry AS held
            ON held.object_id = later.object_id AND held.id >> 40 = :collection AND held.version < later.version
            WHERE held.id BETWEEN :first AND :last)
        """,
        {
            "collection": read.collection,
            "after": after,
            "until": until,
            "most": _MOST_LOOKED_AT,
            "first": read.collection << SEQ_BITS | read.first_seq,
            "last": read.collection << SEQ_BITS | read.last_seq,
        },
    ).fetchone()
    return bool(row[0])


def _pieces(reads: Sequence[Read]) -> Iterable[Read]:
    """Cuts overlapping reads at all their ends; gives each piece once, with when it was first sent at all.

    Of several reads that hold a piece, each says that it was sent between two moments; so it was first
    sent between the least of the first ones and the least of the last ones, both of the earliest hour.
    """
    begins = sorted(reads, key=lambda one: one.first_seq)
    cuts = sorted({one.first_seq for one in reads} | {one.last_seq + 1 for one in reads})
    by_first: list[tuple[Micros, int]] = []
    by_last: list[tuple[Micros, int]] = []
    place = 0
    for begin, end in pairwise(cuts):
        requests = 0
        while place < len(begins) and begins[place].first_seq == begin:
            one = begins[place]
            heappush(by_first, (one.first_at, one.last_seq))
            heappush(by_last, (one.last_at, one.last_seq))
            requests += one.requests
            place += 1
        for heap in (by_first, by_last):
            while heap and heap[0][1] < begin:
                heappop(heap)
        if by_first:
            yield Read(reads[0].account, reads[0].collection, begin, end - 1, requests, by_first[0][0], by_last[0][0])


def _touching(conn: Connection, read: Read) -> list[Read]:
    # Recorded ranges never overlap, so only the last that begins before this one can reach into it.
    rows = conn.execute(
        f"""
        SELECT {_COLUMNS} FROM taxii_read
        WHERE account = :account AND collection = :collection AND last_seq >= :first - 1
          AND first_seq <= :last + 1 AND first_seq >= coalesce(
            (SELECT max(first_seq) FROM taxii_read
             WHERE account = :account AND collection = :collection AND first_seq < :first), 0)
        """,
        {
            "account": read.account,
            "collection": read.collection,
            "first": read.first_seq,
            "last": read.last_seq,
        },
    ).fetchall()
    return [Read(*row) for row in rows]
