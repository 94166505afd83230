"""Status resources of POSTs to the TAXII server (TAXII 2.1 §4.3), kept packed: an outcome is much like the next one.

A hundred kilobytes of what is no object make outcomes of seven megabytes; packed these are as little as what was sent.
"""

from __future__ import annotations

from threatshare.model import Micros
from threatshare.store.connection import Connection
from threatshare.store.frames import frame, is_frame, unframed

KEPT: Micros = 30 * 24 * 3600 * 1_000_000
"""How long a status can be asked for."""
_PRUNED_AT_ONCE = 100
_SMALL = 2_000
"""Bytes of a status that is kept as it is: a page of the store, about."""


def keep_status(conn: Connection, root: str, status_id: str, account: str, body: bytes, now: Micros) -> None:
    """Keeps a status and drops some that are older than KEPT; called inside the caller's transaction."""
    conn.execute(
        "INSERT INTO taxii_status (id, account, created, body, root) VALUES (?, ?, ?, ?, ?)",
        (status_id, account, now, frame(body) if len(body) > _SMALL else body, root),
    )
    conn.execute(
        "DELETE FROM taxii_status WHERE id IN (SELECT id FROM taxii_status WHERE created < ? LIMIT ?)",
        (now - KEPT, _PRUNED_AT_ONCE),
    )


def status_of(conn: Connection, root: str, status_id: str, account: str) -> bytes | None:
    """Gives the body of a status that this account made under an API root; None for any other."""
    row = conn.execute(
        "SELECT body FROM taxii_status WHERE id = ? AND account = ? AND root = ?", (status_id, account, root)
    ).fetchone()
    if row is None:
        return None
    kept = bytes(row[0])
    return unframed(kept) if is_frame(kept) else kept
