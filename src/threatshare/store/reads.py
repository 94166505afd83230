"""What each account has read over TAXII, as ranges of sequence numbers per collection.

A client that polls each minute for a year leaves one row, not half a million: a range that repeats
or adjoins what is recorded extends it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from threatshare.model import Micros
from threatshare.store.connection import Connection


@dataclass(frozen=True, slots=True)
class Read:
    """That an account was sent a collection's entries from one sequence number to another, both included."""

    account: str
    collection: int
    first_seq: int
    last_seq: int
    requests: int
    first_at: Micros
    last_at: Micros

    def touches(self, other: Read) -> bool:
        """Whether the two overlap or adjoin."""
        return self.first_seq <= other.last_seq + 1 and other.first_seq <= self.last_seq + 1

    def joined(self, other: Read) -> Read:
        """Gives the range that holds both."""
        return Read(
            self.account,
            self.collection,
            min(self.first_seq, other.first_seq),
            max(self.last_seq, other.last_seq),
            self.requests + other.requests,
            min(self.first_at, other.first_at),
            max(self.last_at, other.last_at),
        )


def joined_reads(reads: Iterable[Read]) -> list[Read]:
    """Joins what overlaps or adjoins; the result is sorted and has no two that touch."""
    joined: list[Read] = []
    for read in sorted(reads, key=lambda one: (one.account, one.collection, one.first_seq)):
        last = joined[-1] if joined else None
        if last and (last.account, last.collection) == (read.account, read.collection) and last.touches(read):
            joined[-1] = last.joined(read)
        else:
            joined.append(read)
    return joined


def record_reads(conn: Connection, reads: Iterable[Read]) -> None:
    """Adds reads to what is recorded, inside the caller's transaction."""
    for read in joined_reads(reads):
        known = _touching(conn, read)
        for one in known:
            conn.execute(
                "DELETE FROM taxii_read WHERE account = ? AND collection = ? AND first_seq = ?",
                (one.account, one.collection, one.first_seq),
            )
        for one in joined_reads([*known, read]):
            conn.execute(
                "INSERT INTO taxii_read VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    one.account,
                    one.collection,
                    one.first_seq,
                    one.last_seq,
                    one.requests,
                    one.first_at,
                    one.last_at,
                ),
            )


def reads_of(conn: Connection, collection: int, seq: int) -> list[Read]:
    """Gives which accounts were sent an entry, each with the range that holds it."""
    rows = conn.execute(
        "SELECT * FROM taxii_read WHERE collection = ? AND first_seq <= ? AND last_seq >= ? ORDER BY account",
        (collection, seq, seq),
    ).fetchall()
    return [Read(*row) for row in rows]


def _touching(conn: Connection, read: Read) -> list[Read]:
    # Recorded ranges never touch each other, so only the last that begins before this one can reach into it.
    rows = conn.execute(
        """
        SELECT * FROM taxii_read
        WHERE account = :account AND collection = :collection AND last_seq >= :first - 1
          AND first_seq <= :last + 1 AND first_seq >= coalesce(
            (SELECT max(first_seq) FROM taxii_read
             WHERE account = :account AND collection = :collection AND first_seq <= :first), 0)
        """,
        {
            "account": read.account,
            "collection": read.collection,
            "first": read.first_seq,
            "last": read.last_seq,
        },
    ).fetchall()
    return [Read(*row) for row in rows]
