"""Served entries, written: what a collection holds, in the order in which it was added.

``entry.id`` is ``collection.number << 40 | seq``. ``seq`` and ``added`` are assigned inside the publishing
transaction, which holds the store's write lock: commit order is sequence order is date order, so a
reader that has seen an entry has missed none before it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from threatshare.model import Collection, Micros
from threatshare.store.blocks import SEQ_BITS as SEQ_BITS
from threatshare.store.blocks import add_blocks, drop_blocks
from threatshare.store.connection import Connection

_LEAST_STEP: Micros = 10
"""Between two entries, however many come at once."""
_FULL_STEP: Micros = 1_000
"""Where there is room: clients that cut ``added`` to milliseconds then neither miss nor repeat an entry."""
_LEAD: Micros = 1_000_000
"""How far ahead of the clock full steps may run; beyond it entries follow at the least step."""


@dataclass(frozen=True, slots=True)
class NewEntry:
    """One version of one object, to be served."""

    object_id: str
    version: Micros
    """``modified``, else ``created``, else 0."""
    type: str
    spec_version: str
    body: bytes
    """JSON, sent as it is."""
    owner: str
    """The account that may change it in an exchange collection; empty for our own."""


def append_entries(conn: Connection, collection: Collection, entries: Sequence[NewEntry], now: Micros) -> int:
    """Appends entries inside the caller's transaction and returns how many were new.

    A version of an object that the collection holds already is left as it is. Of the versions of
    one object only the latest stays current, whatever the order in which they come.
    """
    fresh, rewritten = _not_held(conn, collection, entries)
    if not fresh:
        return 0
    seq, last_added = conn.execute(
        "SELECT last_seq, last_added FROM collection WHERE number = ?", (collection.number,)
    ).fetchone()
    added, step = _first_added(last_added, now, len(fresh))
    rows = []
    for entry, superseded in fresh:
        seq += 1
        rows.append(
            (
                collection.number << SEQ_BITS | seq,
                added,
                entry.object_id,
                entry.version,
                entry.type,
                entry.spec_version,
                entry.owner,
                superseded,
                entry.body,
            )
        )
        added += step
    conn.executemany("INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
    conn.execute(
        "UPDATE collection SET last_seq = ?, last_added = ?, rewritten = rewritten + ? WHERE number = ?",
        (seq, added - step, rewritten, collection.number),
    )
    add_blocks(conn, collection, seq - len(fresh) + 1, seq)
    return len(fresh)


def entries_held(conn: Connection, number: int) -> int:
    """Counts the entries of a collection, all versions, in an index alone: some 20 million a second."""
    row = conn.execute("SELECT count(*) FROM entry INDEXED BY entry_added WHERE id >> 40 = ?", (number,)).fetchone()
    return int(row[0])


def owner_of(conn: Connection, collection: Collection, object_id: str) -> str | None:
    """Gives the account that owns an object's versions in this collection; None where it holds none."""
    row = conn.execute(
        "SELECT owner FROM entry WHERE object_id = ? AND id >> 40 = ? LIMIT 1", (object_id, collection.number)
    ).fetchone()
    return None if row is None else str(row[0])


def owners_of(conn: Connection, collection: Collection, ids: Sequence[str]) -> dict[str, str]:
    """Gives the accounts that own those of some objects that this collection holds, by id."""
    return dict(
        conn.execute(
            "SELECT object_id, owner FROM entry WHERE object_id IN (SELECT value FROM json_each(?)) AND id >> 40 = ?",
            (json.dumps(ids), collection.number),
        ).fetchall()
    )


def held_body(conn: Connection, collection: Collection, object_id: str, version: Micros) -> bytes | None:
    """Gives the bytes of one version of an object in this collection; None where it does not hold it."""
    row = conn.execute(
        "SELECT body FROM entry WHERE object_id = ? AND id >> 40 = ? AND version = ?",
        (object_id, collection.number, version),
    ).fetchone()
    return None if row is None else bytes(row[0])


def told_versions(conn: Connection, object_id: str) -> list[tuple[Micros, bytes]]:
    """Gives each version, oldest first, of an object of ours that any collection holds, with what it says."""
    rows = conn.execute(
        "SELECT DISTINCT version, body FROM entry WHERE object_id = ? AND owner = '' ORDER BY version", (object_id,)
    ).fetchall()
    return [(version, bytes(body)) for version, body in rows]


def delete_entries(conn: Connection, collection: Collection, ids: Sequence[int]) -> int:
    """Deletes entries by their ids inside the caller's transaction; returns how many there were.

    Where that takes an object's latest version away, the latest that is left becomes current.
    """
    objects = {
        row[0]
        for entry in ids
        for row in conn.execute("DELETE FROM entry WHERE id = ? RETURNING object_id", (entry,)).fetchall()
    }
    for object_id in objects:
        conn.execute(
            """
            UPDATE entry SET superseded = 0 WHERE superseded = 1 AND id = (
                SELECT id FROM entry WHERE object_id = ? AND id >> 40 = ? ORDER BY version DESC LIMIT 1
            )
            """,
            (object_id, collection.number),
        )
    drop_blocks(conn, ids)
    conn.execute("UPDATE collection SET rewritten = rewritten + 1 WHERE number = ?", (collection.number,))
    return len(ids)


@dataclass(frozen=True, slots=True)
class Edition:
    """Tells whether what was read of a collection still stands."""

    last_seq: int
    """Grows with every entry that is added."""
    rewritten: int
    """Grows whenever an entry below it may have stopped or started being the first or the last of its object."""


def edition(conn: Connection, collection: Collection) -> Edition:
    """Gives the edition of a collection; what is read afterwards is of this edition or a later one."""
    return Edition(
        *conn.execute("SELECT last_seq, rewritten FROM collection WHERE number = ?", (collection.number,)).fetchone()
    )


def _not_held(
    conn: Connection, collection: Collection, entries: Sequence[NewEntry]
) -> tuple[list[tuple[NewEntry, bool]], int]:
    """Picks what the collection does not hold yet, each with whether it is superseded from the start.

    Gives the number of versions, too, that change how others of their object are told apart: those that supersede one
    that is held, and those that come after a later one (they may be the first now).
    """
    rewritten = 0
    fresh: dict[tuple[str, Micros], NewEntry] = {}
    latest: dict[str, Micros] = {}
    for entry in entries:
        object_id, version = entry.object_id, entry.version
        if (object_id, version) in fresh:
            continue
        newest = conn.execute(
            "SELECT version, id FROM entry WHERE object_id = ? AND id >> 40 = ? ORDER BY version DESC LIMIT 1",
            (object_id, collection.number),
        ).fetchone()
        if newest is not None:
            if version <= newest[0] and held_body(conn, collection, object_id, version) is not None:
                continue
            if version > newest[0]:
                conn.execute("UPDATE entry SET superseded = 1 WHERE id = ? AND superseded = 0", newest[1:])
            rewritten += 1
            latest[object_id] = max(latest.get(object_id, version), newest[0])
        fresh[object_id, version] = entry
        latest[object_id] = max(latest.get(object_id, version), version)
    return [(entry, entry.version < latest[entry.object_id]) for entry in fresh.values()], rewritten


def _first_added(last_added: Micros, now: Micros, count: int) -> tuple[Micros, Micros]:
    """Chooses the first entry's date and the step to the next: never before an earlier entry's nor the clock's.

    Never before the clock either where the last entry is long ago: whoever asks for what was
    added since his own clock's last reading would miss it.
    """
    room = (now + _LEAD - max(now, last_added)) // count
    if room >= _FULL_STEP:
        first = max(now, last_added + _FULL_STEP)
        return first + -first % _FULL_STEP, _FULL_STEP
    step = max(_LEAST_STEP, room)
    return max(now, last_added + step), step
