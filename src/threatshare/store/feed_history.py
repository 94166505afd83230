"""What each run of each feed brought: the last hundred runs, and what all have brought together."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import NamedTuple

from threatshare.model import FeedReport, Micros
from threatshare.store.connection import Connection

KEPT_RUNS = 100
"""Of each feed; and of those that brought something as many as ``COMPARED`` besides, however old."""
COMPARED = 20
"""Runs that brought something, with which another is compared."""

_FIELDS = frozenset(one.name for one in fields(FeedReport))


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one feed."""

    began: Micros
    first: bool
    """Whether it read the feed from its beginning, or went on with such a run."""
    report: FeedReport


class Totals(NamedTuple):
    """What all runs of a feed have brought together."""

    runs: int = 0
    failed: int = 0
    objects: int = 0
    new: int = 0
    changed: int = 0
    withdrawn: int = 0
    rejected: int = 0
    bytes: int = 0


def note_run(conn: Connection, began: Micros, first: bool, report: FeedReport) -> None:
    """Keeps how a run went, inside the caller's transaction; the oldest runs of the same feed make room."""
    feed = report.feed
    conn.execute(
        "INSERT INTO feed_run (feed, began, objects, first, doubted, report) VALUES (?, ?, ?, ?, ?, ?)",
        (feed, began, report.objects, first, report.doubt is not None, json.dumps(asdict(report))),
    )
    conn.execute(
        "DELETE FROM feed_run WHERE feed = ?1 AND number <= ("
        "SELECT number FROM feed_run WHERE feed = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2) AND number NOT IN ("
        "SELECT number FROM feed_run WHERE feed = ?1 AND objects > 0 ORDER BY number DESC LIMIT ?3)",
        (feed, KEPT_RUNS, COMPARED),
    )
    brought = Totals(
        1,
        report.status != "ok",
        report.objects,
        report.new,
        report.changed,
        report.withdrawn,
        report.rejected,
        report.bytes,
    )
    conn.execute(
        f"INSERT INTO feed_total (feed, {', '.join(Totals._fields)}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
        f" ON CONFLICT (feed) DO UPDATE SET {', '.join(f'{one} = {one} + excluded.{one}' for one in Totals._fields)}",
        (feed, *brought),
    )


def history(conn: Connection, feed: str, limit: int = KEPT_RUNS) -> list[Run]:
    """Gives a feed's last runs, the newest first."""
    found = []
    for began, first, text in conn.execute(
        "SELECT began, first, report FROM feed_run WHERE feed = ? ORDER BY number DESC LIMIT ?", (feed, limit)
    ):
        said = {name: value for name, value in json.loads(text).items() if name in _FIELDS}
        found.append(Run(began, bool(first), FeedReport(**said | {"alarms": tuple(said.get("alarms", ()))})))
    return found


def largest_run(conn: Connection, feed: str) -> int | None:
    """Gives how many objects the largest of the last runs brought that brought any; None where none did.

    Runs that were doubted do not count: what was stopped for its size is no measure for the next.
    """
    row = conn.execute(
        "SELECT max(objects) FROM (SELECT objects FROM feed_run WHERE feed = ? AND objects > 0 AND doubted = 0"
        " ORDER BY number DESC LIMIT ?)",
        (feed, COMPARED),
    ).fetchone()
    return row[0] if row else None


def totals_of(conn: Connection) -> dict[str, Totals]:
    """Gives what every feed has brought."""
    columns = ", ".join(Totals._fields)
    return {row[0]: Totals(*row[1:]) for row in conn.execute(f"SELECT feed, {columns} FROM feed_total ORDER BY feed")}
