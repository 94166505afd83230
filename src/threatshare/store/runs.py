"""What ran when: the state of each feed, and everything that was not taken, with its reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from threatshare.model import Micros, Reject
from threatshare.store.connection import Connection

KEPT_REJECTS = 10_000
"""Newest rejects kept for each origin, so that a broken sensor cannot fill the disk."""

_KEPT_TEXT = 65_536
"""Characters kept of what was refused."""


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


def feed_state(conn: Connection, feed: str) -> FeedState:
    """Gives a feed's state; a fresh one where it never ran."""
    row = conn.execute(
        "SELECT feed, cursor, last_run, last_success, next_run, failures, report FROM feed_state WHERE feed = ?",
        (feed,),
    ).fetchone()
    return FeedState(*row) if row else FeedState(feed)


def feed_states(conn: Connection) -> dict[str, FeedState]:
    """Gives the state of every feed that ever ran."""
    return {
        row[0]: FeedState(*row)
        for row in conn.execute(
            "SELECT feed, cursor, last_run, last_success, next_run, failures, report FROM feed_state ORDER BY feed"
        )
    }


def save_cursor(conn: Connection, feed: str, cursor: str) -> None:
    """Saves how far a feed has come, in the transaction of the page it belongs to."""
    conn.execute(
        "INSERT INTO feed_state (feed, cursor) VALUES (?, ?) ON CONFLICT (feed) DO UPDATE SET cursor = excluded.cursor",
        (feed, cursor),
    )


def save_run(conn: Connection, state: FeedState) -> None:
    """Saves how a run went; the cursor is left as its pages saved it."""
    conn.execute(
        "INSERT INTO feed_state (feed, last_run, last_success, next_run, failures, report) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (feed) DO UPDATE SET last_run = excluded.last_run, last_success = excluded.last_success,"
        " next_run = excluded.next_run, failures = excluded.failures, report = excluded.report",
        (state.feed, state.last_run, state.last_success, state.next_run, state.failures, state.report),
    )


def save_job(conn: Connection, name: str, last_run: Micros, next_run: Micros, report: str) -> None:
    """Saves how the daemon's last run of a job went; ``report`` is JSON."""
    conn.execute("INSERT OR REPLACE INTO job VALUES (?, ?, ?, ?)", (name, last_run, next_run, report))


def jobs(conn: Connection) -> list[tuple[str, Micros, Micros, str]]:
    """Gives (name, last run, next run, report) of the daemon's jobs."""
    return list(conn.execute("SELECT name, last_run, next_run, report FROM job ORDER BY name"))


def note_rejects(conn: Connection, origin: str, rejects: Iterable[Reject], now: Micros) -> None:
    """Keeps what was not taken; the oldest of the same origin make room."""
    rows = [(now, origin, _plain(one.place), _plain(one.reason), _plain(one.text[:_KEPT_TEXT])) for one in rejects]
    if not rows:
        return
    conn.executemany("INSERT INTO reject (at, origin, place, reason, text) VALUES (?, ?, ?, ?, ?)", rows)
    conn.execute(
        "DELETE FROM reject WHERE origin = ?1 AND number <= ("
        "SELECT number FROM reject WHERE origin = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2)",
        (origin, KEPT_REJECTS),
    )


def _plain(text: str) -> str:
    """Replaces what is no Unicode: a file's name may hold any bytes."""
    return text if text.isascii() else text.encode(errors="replace").decode()


def reject_counts(conn: Connection) -> dict[str, int]:
    """Counts what is kept aside, by origin."""
    return dict(conn.execute("SELECT origin, count(*) FROM reject GROUP BY origin ORDER BY origin"))


def rejects(conn: Connection, origin: str | None, limit: int) -> Iterator[tuple[Micros, str, Reject]]:
    """Gives the newest rejects with their time and origin."""
    for at, who, place, reason, text in conn.execute(
        "SELECT at, origin, place, reason, text FROM reject WHERE ?1 IS NULL OR origin = ?1"
        " ORDER BY number DESC LIMIT ?2",
        (origin, limit),
    ):
        yield at, who, Reject(place, reason, text)
