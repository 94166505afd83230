"""What was cut out of findings because it was private: rule, part and keyed hash, never the value.

The hash lets a person who holds a value show that it was removed, and tells the same value from another; without the
store's secret nobody can search for values that hash to it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from threatshare.model import Micros, Removal
from threatshare.policy.privacy import hashed
from threatshare.store.connection import Connection
from threatshare.store.settings import make_secret, read_secret

PRIVACY_KEY = "privacy-key"
"""Name of the secret under which private values are hashed."""


@dataclass(frozen=True, slots=True)
class Removed:
    """One removal as it is kept."""

    at: Micros
    rule: str
    part: str
    place: str
    digest: str
    """Hexadecimal digits, as ``policy.privacy.hashed`` gives them."""


def privacy_key(conn: Connection) -> bytes:
    """Gives the secret for hashing private values, made where there is none; inside the caller's transaction."""
    return read_secret(conn, PRIVACY_KEY) or make_secret(conn, PRIVACY_KEY)


def note_removals(conn: Connection, removals: Iterable[tuple[str, Removal]], now: Micros) -> None:
    """Keeps (place, removal) pairs, in the transaction of what they were cut out of."""
    rows = list(removals)
    if rows:
        key = privacy_key(conn)
        conn.executemany(
            "INSERT INTO removal (at, rule, part, place, digest) VALUES (?, ?, ?, ?, ?)",
            [(now, one.rule, one.part, place, hashed(key, one.value)) for place, one in rows],
        )


def removals(conn: Connection, limit: int) -> list[Removed]:
    """Gives the latest removals, newest first."""
    return [
        Removed(*row)
        for row in conn.execute(
            "SELECT at, rule, part, place, digest FROM removal ORDER BY number DESC LIMIT ?", (limit,)
        )
    ]
