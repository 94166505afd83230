"""What members of an exchange deleted there: whose it was and what it said, so that no name changes its meaning.

Readers keep what they were sent: an id that came back with another owner, or a version with other content,
would replace it at theirs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from threatshare.model import Collection, Micros
from threatshare.store.connection import Connection


def remember_deleted(
    conn: Connection, collection: Collection, entries: Sequence[int], digest: Callable[[bytes], bytes]
) -> None:
    """Keeps owner and digest of entries, by their ids, that the caller deletes in the same transaction."""
    for entry in entries:
        row = conn.execute("SELECT object_id, version, owner, body FROM entry WHERE id = ?", (entry,)).fetchone()
        if row is not None:
            conn.execute(
                "INSERT OR REPLACE INTO exchange_past VALUES (?, ?, ?, ?, ?)",
                (collection.number, *row[:3], digest(bytes(row[3]))),
            )


def past_owners_of(conn: Connection, collection: Collection, ids: Sequence[str]) -> dict[str, str]:
    """Gives the accounts that owned those of some objects of which this collection held a version that is deleted."""
    return dict(
        conn.execute(
            "SELECT object_id, owner FROM exchange_past"
            " WHERE collection = ? AND object_id IN (SELECT value FROM json_each(?))",
            (collection.number, json.dumps(ids)),
        ).fetchall()
    )


def past_digest(conn: Connection, collection: Collection, object_id: str, version: Micros) -> bytes | None:
    """Gives the digest of a version that was deleted; None where none was."""
    row = conn.execute(
        "SELECT digest FROM exchange_past WHERE collection = ? AND object_id = ? AND version = ?",
        (collection.number, object_id, version),
    ).fetchone()
    return None if row is None else bytes(row[0])
