"""What tools have pushed to the node, by digest: whoever sends the same again gets the same answer, and no more.

Functions that write are called inside the caller's transaction.
"""

from __future__ import annotations

from threatshare.model import Micros
from threatshare.store.connection import Connection

KEPT: Micros = 86_400_000_000
"""A tool that had no answer tries again within a day."""


def answer_to(conn: Connection, account: str, digest: bytes) -> bytes | None:
    """Gives the answer to what an account posted before: None where it did not, empty where none was kept."""
    row = conn.execute("SELECT answer FROM posted WHERE account = ? AND digest = ?", (account, digest)).fetchone()
    return None if row is None else bytes(row[0])


def keep_digest(conn: Connection, account: str, digest: bytes, now: Micros) -> bool:
    """Remembers what an account posted, in the transaction that takes it; False where it was taken in between."""
    conn.execute("DELETE FROM posted WHERE at < ?", (now - KEPT,))
    done = conn.execute(
        "INSERT INTO posted (account, digest, at, answer) VALUES (?, ?, ?, x'') ON CONFLICT DO NOTHING",
        (account, digest, now),
    )
    return done.rowcount == 1


def keep_answer(conn: Connection, account: str, digest: bytes, answer: bytes) -> None:
    """Keeps the answer to what was taken."""
    conn.execute("UPDATE posted SET answer = ? WHERE account = ? AND digest = ?", (answer, account, digest))
