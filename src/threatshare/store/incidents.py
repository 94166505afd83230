"""Our incident reports beside their bodies: which there are, what they name, and which the gate has to look at again.

The bodies are kept like those of every object of ours. What a report names lies by the id that it is named by, so that
a change of one indicator finds the few reports that name it without looking at the others.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from threatshare.model import Micros, Reason
from threatshare.store.connection import Connection


def save_incident(conn: Connection, object_id: str, references: Iterable[str], now: Micros) -> None:
    """Registers a report, or what its new version names; what a version names that somebody holds is kept beside it."""
    conn.execute("INSERT OR IGNORE INTO incident (id, created) VALUES (?, ?)", (object_id, now))
    number = conn.execute("SELECT number FROM incident WHERE id = ?", (object_id,)).fetchone()[0]
    conn.execute(
        "DELETE FROM incident_reference WHERE incident = ?1 AND object_id NOT IN"
        " (SELECT json_each.key FROM incident_held, json_each(named) WHERE incident = ?1)",
        (number,),
    )
    conn.executemany(
        "INSERT OR IGNORE INTO incident_reference (object_id, incident) VALUES (?, ?)",
        [(one, number) for one in set(references)],
    )


def incidents(conn: Connection) -> list[tuple[int, str]]:
    """Gives (number, object id) of every report of ours, in the order in which they were written."""
    return [(row[0], row[1]) for row in conn.execute("SELECT number, id FROM incident ORDER BY number")]


def look_again(conn: Connection, collection: int, object_ids: Sequence[str]) -> None:
    """Lines up for a collection those of some objects that are reports, and the reports that name the others."""
    conn.execute(
        "INSERT OR IGNORE INTO incident_due (collection, incident)"
        " SELECT ?1, number FROM incident WHERE id IN (SELECT value FROM json_each(?2))"
        " UNION SELECT ?1, incident FROM incident_reference WHERE object_id IN (SELECT value FROM json_each(?2))",
        (collection, json.dumps(list(object_ids))),
    )


def due_incidents(conn: Connection, collection: int, limit: int) -> list[str]:
    """Gives the ids of reports that are lined up for a collection."""
    return [
        row[0]
        for row in conn.execute(
            "SELECT id FROM incident_due JOIN incident ON incident.number = incident_due.incident"
            " WHERE collection = ? ORDER BY incident LIMIT ?",
            (collection, limit),
        )
    ]


def take_off(conn: Connection, collection: int, object_ids: Sequence[str]) -> None:
    """Takes reports off the line, in the transaction of what was decided on them."""
    conn.execute(
        "DELETE FROM incident_due WHERE collection = ? AND incident IN"
        " (SELECT number FROM incident WHERE id IN (SELECT value FROM json_each(?)))",
        (collection, json.dumps(list(object_ids))),
    )


def note_held(conn: Connection, collection: int, object_id: str, edition: str, named: Mapping[str, int]) -> None:
    """Notes which version of a report a collection holds from now on, and what that names, in which life of it."""
    conn.execute(
        "INSERT OR REPLACE INTO incident_held (collection, incident, edition, named)"
        " SELECT ?, number, ?, ? FROM incident WHERE id = ?",
        (collection, edition, json.dumps(named), object_id),
    )


def held_version(conn: Connection, collection: int, object_id: str) -> tuple[str, dict[str, int]]:
    """Gives which version of a report a collection was given last, and what that names; empty where none."""
    row = conn.execute(
        "SELECT edition, named FROM incident_held JOIN incident ON incident.number = incident_held.incident"
        " WHERE collection = ? AND id = ?",
        (collection, object_id),
    ).fetchone()
    return (row[0], json.loads(row[1])) if row else ("", {})


def let_wait(conn: Connection, collection: int, object_id: str, reasons: Iterable[Reason]) -> None:
    """Notes that a new version is held while the collection keeps the one before."""
    told = json.dumps([(one.rule, one.verdict.value, one.text) for one in reasons])
    conn.execute("INSERT OR REPLACE INTO waiting_version VALUES (?, ?, ?)", (collection, object_id, told))


def wait_no_longer(conn: Connection, collection: int, object_id: str) -> None:
    """Notes that no version of an object is held beside another that stands."""
    conn.execute("DELETE FROM waiting_version WHERE collection = ? AND object_id = ?", (collection, object_id))
