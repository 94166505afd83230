"""How the node stands, in numbers for whoever watches it: sizes, positions, ages, queues, delays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from threatshare.model import Micros
from threatshare.store.collections import collections
from threatshare.store.connection import Connection
from threatshare.store.feed_alarms import open_alarms
from threatshare.store.feed_history import totals_of
from threatshare.store.releases import queue_length
from threatshare.store.runs import feed_states, jobs
from threatshare.store.targets import target_states

_SECOND = 1_000_000


class Measure(NamedTuple):
    """One quantity, once or for each of several things."""

    name: str
    text: str
    label: str | None
    """What the keys of ``values`` name; None: there is one value, of the empty key."""
    values: Mapping[str, float]


def measures(conn: Connection, now: Micros) -> list[Measure]:
    """Gives all there are; none holds a value of a finding or an indicator."""
    return [*_sizes(conn), *_queues(conn), *_feeds(conn, now), _delays(conn, now)]


def _sizes(conn: Connection) -> list[Measure]:
    file = Path(conn.execute("PRAGMA database_list").fetchone()[2])
    log = file.with_name(file.name + "-wal")
    size, behind = (one.stat().st_size if one.exists() else 0 for one in (file, log))
    last = dict(conn.execute("SELECT alias, last_seq FROM collection").fetchall())
    return [
        Measure("store_bytes", "Size of the store's file.", None, {"": size}),
        Measure("wal_bytes", "Size of the write-ahead log.", None, {"": behind}),
        Measure("collection_last_seq", "Last entry of a collection.", "collection", last),
    ]


def _queues(conn: Connection) -> list[Measure]:
    last = {one.number: one.alias for one in collections(conn)}
    behind: dict[str, float] = {}
    ends = dict(conn.execute("SELECT number, last_seq FROM collection").fetchall())
    targets = target_states(conn)
    for name, state in targets.items():
        if state.collection in last:
            behind[name] = max(0, ends[state.collection] - state.position)
    failures: dict[str, float] = {name: state.failures for name, state in targets.items()}
    return [
        Measure("siem_queue", "Observables that wait for the SIEM collection.", None, {"": queue_length(conn)}),
        Measure("push_queue", "Entries that a push target has not been offered yet.", "target", behind),
        Measure("push_failures", "Failed runs since a push target's last success.", "target", failures),
    ]


def _feeds(conn: Connection, now: Micros) -> list[Measure]:
    states = feed_states(conn)
    ages = {
        name: (now - state.last_success) / _SECOND for name, state in states.items() if state.last_success is not None
    }
    failures: dict[str, float] = {name: state.failures for name, state in states.items()}
    rests: dict[str, float] = {name: state.rests_until is not None for name, state in states.items()}
    alarms = dict.fromkeys(states, 0.0) | Counter(one.feed for one in open_alarms(conn))
    brought = totals_of(conn)
    return [
        Measure("feed_age_seconds", "Since a feed's last success.", "feed", ages),
        Measure("feed_failures", "Failed runs since a feed's last success.", "feed", failures),
        Measure("feed_rests", "Whether a feed rests after too many failures (1).", "feed", rests),
        Measure("feed_alarms", "Alarms about a feed that nobody has acknowledged.", "feed", alarms),
        *(
            Measure(f"feed_{what}", f"{text}, in all runs together.", "feed", {n: t[place] for n, t in brought.items()})
            for place, (what, text) in enumerate(_BROUGHT)
        ),
    ]


_BROUGHT = (
    ("runs", "Runs of a feed"),
    ("failed_runs", "Runs of a feed that failed"),
    ("objects", "Objects that a feed has sent"),
    ("new", "Objects of a feed that nobody had"),
    ("changed", "Objects of a feed that have changed"),
    ("withdrawn", "Objects of a feed that were withdrawn"),
    ("rejected", "Objects of a feed that were kept aside"),
    ("bytes", "Bytes that a feed has sent"),
)
"""The fields of ``feed_history.Totals``."""


def _delays(conn: Connection, now: Micros) -> Measure:
    """Gives by how much each job and feed is overdue; 0: it is not."""
    due = {f"job {name}": following for name, _, following, _ in jobs(conn)}
    due |= {f"feed {name}": one.next_run for name, one in feed_states(conn).items() if one.next_run is not None}
    late = {name: max(0, now - at) / _SECOND for name, at in due.items()}
    return Measure("overdue_seconds", "Since a job or feed should have run.", "what", late)
