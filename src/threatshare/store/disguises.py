"""Under which ids and identity objects of ours were served where an audience was not told who we are.

Everything else in the store goes by our own ids. A row is added with the first version of each life that is served
under another id, and stays: it says for ever which object the audience knows by which id.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from threatshare.store.connection import Connection

DISGUISE_KEY = "disguise-key"
"""Name of the secret from which the identities and ids follow by which those know us who are not told who we are."""


@dataclass(frozen=True, slots=True)
class ServedAs:
    """One life of an object of ours, as an audience knows it."""

    object_id: str
    """Our own id; of an Identity made for the audience alone its own."""
    life: int
    served_id: str
    identity: str
    """The id of the Identity that the audience knew us by."""


def note_served_as(conn: Connection, collection: int, rows: Iterable[ServedAs]) -> None:
    """Keeps under which ids objects were served, in the transaction of their entries."""
    for one in rows:
        conn.execute("INSERT OR IGNORE INTO face (identity) VALUES (?)", (one.identity,))
        conn.execute(
            "INSERT OR IGNORE INTO served_as (collection, object_id, life, served_id, face)"
            " SELECT ?, ?, ?, ?, number FROM face WHERE identity = ?",
            (collection, one.object_id, one.life, one.served_id, one.identity),
        )


def served_as(conn: Connection, collection: int, object_ids: Sequence[str]) -> dict[tuple[str, int], ServedAs]:
    """Gives how a collection's audience knows some objects, by our id and life; without those that it knows as ours."""
    return {
        (row[0], row[1]): ServedAs(*row)
        for row in conn.execute(
            "SELECT object_id, life, served_id, identity FROM served_as JOIN face ON face.number = face"
            " WHERE collection = ? AND object_id IN (SELECT value FROM json_each(?))",
            (collection, json.dumps(list(object_ids))),
        )
    }


def served_elsewhere(conn: Connection, object_id: str) -> list[str]:
    """Gives every id under which an object of ours was served to anybody who was not told that it is ours."""
    return [row[0] for row in conn.execute("SELECT served_id FROM served_as WHERE object_id = ?", (object_id,))]


def our_ids(conn: Connection, served_id: str) -> list[str]:
    """Gives the ids of our objects that somebody knows by another id; one at most, but for chance."""
    return [
        row[0] for row in conn.execute("SELECT DISTINCT object_id FROM served_as WHERE served_id = ?", (served_id,))
    ]


def faces(conn: Connection) -> frozenset[str]:
    """Gives the ids of all Identities that somebody knew us by and that are not our own."""
    return frozenset(row[0] for row in conn.execute("SELECT identity FROM face"))


def standing_under_others(conn: Connection, collection: int, identity: str | None, limit: int) -> list[str]:
    """Gives our ids of what stands in a collection under another identity than the present.

    ``identity`` is the present one; None where the audience is told who we are. Our introductions are left out.
    """
    return [
        row[0]
        for row in conn.execute(
            "SELECT release.object_id FROM release LEFT JOIN served_as USING (collection, object_id, life)"
            " LEFT JOIN face ON face.number = face WHERE collection = ? AND verdict = 'release'"
            " AND coalesce(identity, '') <> coalesce(?, '') AND release.object_id NOT GLOB 'identity--*'"
            " AND release.object_id NOT GLOB 'location--*' AND release.object_id NOT GLOB 'relationship--*' LIMIT ?",
            (collection, identity, limit),
        )
    ]


def introductions_standing(conn: Connection, collection: int) -> list[str]:
    """Gives the ids of what stands in a collection and says who we are, and where."""
    return [
        row[0]
        for row in conn.execute(
            "SELECT object_id FROM release WHERE collection = ?1 AND verdict = 'release'"
            " AND object_id >= 'identity--' AND object_id < 'identity-.'"
            " UNION ALL SELECT object_id FROM release WHERE collection = ?1 AND verdict = 'release'"
            " AND object_id >= 'location--' AND object_id < 'location-.'"
            " UNION ALL SELECT object_id FROM release WHERE collection = ?1 AND verdict = 'release'"
            " AND object_id >= 'relationship--' AND object_id < 'relationship-.'",
            (collection,),
        )
    ]
