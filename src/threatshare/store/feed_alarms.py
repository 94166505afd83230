"""Alarms about feeds, and about what accounts post, kept until a person has acknowledged them.

    own        it names what is ours: such values score 0, whoever names them; of accounts this one alone
    grown      a run brought ten times more than any lately; it was stopped there
    size       a list names ten times fewer or more values than before, or a MISP feed a tenth of the events that it
               named; it was not believed
    emptied    a bundle, a directory of such or a MISP feed holds nothing any more; it was not believed

There is one open alarm of a kind for a feed at most; what is raised again counts on it. About own assets, what has
been acknowledged raises no alarm again; another value does.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from threatshare.errors import UsageError
from threatshare.model import Micros
from threatshare.store.connection import Connection
from threatshare.store.keys import CODE_KIND
from threatshare.store.knowledge import REVOKED
from threatshare.store.lookups import OWN_ASSET
from threatshare.store.sources import Source

OWN = "own"
GROWN = "grown"
SIZE = "size"
EMPTIED = "emptied"
_MOST_NUMBERS = 10_000
"""Values of ours that an alarm remembers, so that another one is told from them."""
_SHOWN = 20
"""Values and objects that an alarm names."""
_LIST_OBJECT = "a row of the list"


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarm about one feed."""

    number: int
    feed: str
    kind: str
    text: str
    about: dict[str, Any] = field(hash=False)
    """What it names: ``count`` and, of own assets, ``values``, ``objects`` and ``said_by``, the first of each."""
    first: Micros
    last: Micros
    times: int
    acknowledged: Micros | None = None
    person: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Named:
    """What a feed says of our own assets."""

    numbers: tuple[int, ...]
    """Of the observables."""
    values: tuple[str, ...]
    objects: tuple[str, ...]
    said_by: tuple[str, ...]
    """Who made these objects, by the identity they name; else the feed."""


def raise_alarm(conn: Connection, feed: str, kind: str, text: str, about: dict[str, Any], now: Micros) -> bool:
    """Raises an alarm inside the caller's transaction; tells whether there was no open one of its kind."""
    said = json.dumps(about)
    open_one = conn.execute(
        "UPDATE feed_alarm SET text = ?, about = ?, last = ?, times = times + 1"
        " WHERE feed = ? AND kind = ? AND acknowledged IS NULL",
        (text, said, now, feed, kind),
    )
    if open_one.rowcount:
        return False
    conn.execute(
        "INSERT INTO feed_alarm (feed, kind, text, about, first, last, times) VALUES (?, ?, ?, ?, ?, ?, 1)",
        (feed, kind, text, said, now, now),
    )
    return True


def open_alarms(conn: Connection, feed: str | None = None) -> list[Alarm]:
    """Gives what nobody has acknowledged, of one feed or of all, the oldest first."""
    where = "acknowledged IS NULL" + ("" if feed is None else " AND feed = ?")
    return list(_alarms(conn, f"{where} ORDER BY number", () if feed is None else (feed,)))


def alarms_of(conn: Connection, feed: str, limit: int) -> list[Alarm]:
    """Gives the last alarms about a feed, the newest first."""
    return list(_alarms(conn, "feed = ? ORDER BY number DESC LIMIT ?", (feed, limit)))


def acknowledge(conn: Connection, feed: str, person: str, reason: str, now: Micros, kind: str | None = None) -> int:
    """Closes a feed's open alarms inside the caller's transaction; gives how many. Raises UsageError for no reason."""
    if not reason.strip():
        raise UsageError("--reason is empty: say what was found out")
    return conn.execute(
        "UPDATE feed_alarm SET acknowledged = ?, person = ?, reason = ?"
        " WHERE feed = ? AND acknowledged IS NULL AND (? IS NULL OR kind = ?)",
        (now, person, reason, feed, kind, kind),
    ).rowcount


def watch_own(conn: Connection, source: Source, now: Micros) -> str | None:
    """Raises the alarm where a source names what is ours, in words where it is new; inside the caller's transaction."""
    named = own_named(conn, source)
    if named is None:
        return None
    past = conn.execute(
        "SELECT about, acknowledged FROM feed_alarm WHERE feed = ? AND kind = ? ORDER BY number DESC LIMIT 1",
        (source.name, OWN),
    ).fetchone()
    known = set(json.loads(past[0])["numbers"]) if past else set()
    if past and past[1] is not None and known.issuperset(named.numbers):
        return None
    text = f"it names {_counted(len(named.numbers))} of our own; what it says of them counts for nothing"
    about = {
        "count": len(named.numbers),
        "values": named.values,
        "objects": named.objects,
        "said_by": named.said_by,
        # Values that were acknowledged before stay known, though they may have gone in between.
        "numbers": sorted(known | set(named.numbers))[-_MOST_NUMBERS:],
    }
    return text if raise_alarm(conn, source.name, OWN, text, about, now) else None


def own_named(conn: Connection, source: Source) -> Named | None:
    """Gives what a source says of our own assets right now; None: nothing."""
    rows = conn.execute(
        "SELECT observable.number, observable.kind, observable.value, claim.object FROM observable"
        " JOIN claim ON claim.observable = observable.number"
        f" WHERE observable.cap = '{OWN_ASSET}' AND claim.source = ? AND claim.flags & ? = 0"
        " ORDER BY observable.number LIMIT ?",
        (source.number, REVOKED, _MOST_NUMBERS),
    ).fetchall()
    if not rows:
        return None
    values = dict.fromkeys(f"{CODE_KIND[kind]}: {value}" for _, kind, value, _ in rows)
    keys = list(dict.fromkeys(row[3] for row in rows))[:_SHOWN]
    made = [_object(conn, key) for key in keys]
    return Named(
        tuple(dict.fromkeys(row[0] for row in rows)),
        tuple(values)[:_SHOWN],
        tuple(dict.fromkeys(one for one, _ in made)),
        tuple(dict.fromkeys(by or f"the {_whose(source)} {source.name}" for _, by in made)),
    )


def _object(conn: Connection, key: int) -> tuple[str, str | None]:
    """Gives id and maker of the object behind a claim."""
    row = conn.execute(
        "SELECT version.body FROM object JOIN version ON version.number = object.version WHERE object.key = ?", (key,)
    ).fetchone()
    if row is None:
        return _LIST_OBJECT, None
    body = json.loads(row[0])
    return str(body["id"]), body.get("created_by_ref")


def _whose(source: Source) -> str:
    return "account" if source.kind == "partner" else "feed"


def _counted(count: int) -> str:
    return "a value" if count == 1 else f"{count} values"


def _alarms(conn: Connection, rest: str, values: tuple[object, ...]) -> Iterator[Alarm]:
    columns = "number, feed, kind, text, about, first, last, times, acknowledged, person, reason"
    for number, feed, kind, text, about, *since in conn.execute(
        f"SELECT {columns} FROM feed_alarm WHERE {rest}", values
    ):
        yield Alarm(number, feed, kind, text, json.loads(about), *since)
