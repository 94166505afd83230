"""What ran when: the state of each feed, and everything that was not taken, with its reason."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b

from threatshare.model import Micros, Reject
from threatshare.store.connection import Connection

KEPT_REJECTS = 10_000
"""Newest rejects kept for each origin, so that a broken sensor cannot fill the disk."""

_KEPT_TEXT = 65_536
"""Characters kept of what was refused."""


_STATE = "feed, cursor, last_run, last_success, next_run, failures, report, rests_until"


@dataclass(frozen=True, slots=True)
class FeedState:
    """How far a feed has come, and how its last run went."""

    feed: str
    cursor: str | None = None
    last_run: Micros | None = None
    last_success: Micros | None = None
    next_run: Micros | None = None
    failures: int = 0
    """Failed runs since the last success."""
    report: str | None = None
    """JSON of the last run's FeedReport."""
    rests_until: Micros | None = None
    """Until when it rests, since too many runs in a row have failed; one is tried then. None: it does not."""


def feed_state(conn: Connection, feed: str) -> FeedState:
    """Gives a feed's state; a fresh one where it never ran."""
    row = conn.execute(
        f"SELECT {_STATE} FROM feed_state WHERE feed = ?",
        (feed,),
    ).fetchone()
    return FeedState(*row) if row else FeedState(feed)


def feed_states(conn: Connection) -> dict[str, FeedState]:
    """Gives the state of every feed that ever ran."""
    return {row[0]: FeedState(*row) for row in conn.execute(f"SELECT {_STATE} FROM feed_state ORDER BY feed")}


def save_cursor(conn: Connection, feed: str, cursor: str) -> None:
    """Saves how far a feed has come, in the transaction of the page it belongs to."""
    conn.execute(
        "INSERT INTO feed_state (feed, cursor) VALUES (?, ?) ON CONFLICT (feed) DO UPDATE SET cursor = excluded.cursor"
        " WHERE cursor IS NOT excluded.cursor",
        (feed, cursor),
    )


def forget_cursor(conn: Connection, feed: str) -> None:
    """Has a feed read from its beginning again, inside the caller's transaction; what it said stays."""
    conn.execute("UPDATE feed_state SET cursor = NULL WHERE feed = ?", (feed,))
    forgive(conn, feed, None)


def forgive(conn: Connection, feed: str, next_run: Micros | None) -> None:
    """Forgets a feed's failures, inside the caller's transaction; ``next_run`` is when it is due."""
    conn.execute(
        "UPDATE feed_state SET failures = 0, rests_until = NULL, next_run = ? WHERE feed = ?", (next_run, feed)
    )


def save_run(conn: Connection, state: FeedState) -> None:
    """Saves how a run went; the cursor is left as its pages saved it."""
    conn.execute(
        "INSERT INTO feed_state (feed, last_run, last_success, next_run, failures, report, rests_until)"
        " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (feed) DO UPDATE SET last_run = excluded.last_run,"
        " last_success = excluded.last_success, next_run = excluded.next_run, failures = excluded.failures,"
        " report = excluded.report, rests_until = excluded.rests_until",
        (state.feed, state.last_run, state.last_success, state.next_run, state.failures, state.report)
        + (state.rests_until,),
    )


def save_job(conn: Connection, name: str, last_run: Micros, next_run: Micros, report: str) -> None:
    """Saves how the daemon's last run of a job went; ``report`` is JSON."""
    conn.execute("INSERT OR REPLACE INTO job VALUES (?, ?, ?, ?)", (name, last_run, next_run, report))


def jobs(conn: Connection) -> list[tuple[str, Micros, Micros, str]]:
    """Gives (name, last run, next run, report) of the daemon's jobs."""
    return list(conn.execute("SELECT name, last_run, next_run, report FROM job ORDER BY name"))


def note_rejects(conn: Connection, origin: str, rejects: Iterable[Reject], now: Micros) -> None:
    """Keeps what was not taken; the oldest of the same origin make room.

    What was kept before, word for word, is not kept twice: it becomes the newest, and counts how often it came.
    """
    # Those that would have to make room at once are not even written.
    newest = deque(rejects, KEPT_REJECTS)
    rows = [_row(origin, one, now) for one in newest]
    if not rows:
        return
    conn.executemany(
        "INSERT OR REPLACE INTO reject (at, origin, place, reason, text, digest, times) VALUES (?1, ?2, ?3, ?4, ?5, ?6,"
        " 1 + coalesce((SELECT times FROM reject WHERE origin = ?2 AND digest = ?6), 0))",
        rows,
    )
    conn.execute(
        "DELETE FROM reject WHERE origin = ?1 AND number <= ("
        "SELECT number FROM reject WHERE origin = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2)",
        (origin, KEPT_REJECTS),
    )


def _row(origin: str, one: Reject, now: Micros) -> tuple[Micros, str, str, str, str, int]:
    # Many reasons begin with the object's id, which stands beside them already.
    reason = _plain(one.reason.removeprefix(f"{one.place}: "))
    place, text = _plain(one.place), _plain(one.text[:_KEPT_TEXT])
    digest = blake2b("\0".join((place, reason, text)).encode(), digest_size=8).digest()
    return now, origin, place, reason, text, int.from_bytes(digest, signed=True)


def _plain(text: str) -> str:
    """Replaces what is no Unicode: a file's name may hold any bytes."""
    return text if text.isascii() else text.encode(errors="replace").decode()


def reject_counts(conn: Connection) -> dict[str, int]:
    """Counts what is kept aside, by origin."""
    return dict(conn.execute("SELECT origin, count(*) FROM reject GROUP BY origin ORDER BY origin"))


def rejects(conn: Connection, origin: str | None, limit: int) -> Iterator[tuple[Micros, str, Reject, int]]:
    """Gives what was kept aside, with when it last came, from where and how many times; what came last is first."""
    for at, who, place, reason, text, times in conn.execute(
        "SELECT at, origin, place, reason, text, times FROM reject WHERE ?1 IS NULL OR origin = ?1"
        " ORDER BY number DESC LIMIT ?2",
        (origin, limit),
    ):
        yield at, who, Reject(place, reason, text), times
