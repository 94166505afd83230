"""Push targets: how far each has got with its collection, how its last run went, and whether it may go on.

``position`` is the last entry of the collection that has been dealt with, ``reached`` the last that may ever have
been sent, answered or not.
"""

from __future__ import annotations

from dataclasses import dataclass

from threatshare.model import Micros
from threatshare.store.connection import Connection

_STATE = (
    "name, destination, collection, position, reached, last_run, last_success, not_before, failures, parked, report"
)


@dataclass(frozen=True, slots=True)
class TargetState:
    """How far a target has got, and how its last run went."""

    name: str
    destination: bytes
    """Digest of collection and address: what was delivered elsewhere is not there."""
    collection: int
    position: int = 0
    reached: int = 0
    last_run: Micros | None = None
    last_success: Micros | None = None
    not_before: Micros | None = None
    """When the partner asked to be called again."""
    failures: int = 0
    """Failed runs since the last success."""
    parked: bytes | None = None
    """Fingerprint of the settings with which the partner refused us; None: it did not."""
    report: str | None = None
    """JSON of the last run's report."""


def enter(conn: Connection, name: str, destination: bytes, collection: int) -> TargetState:
    """Gives a target's state, fresh where it is new or leads elsewhere than before; inside the caller's transaction."""
    known = target_state(conn, name)
    if known is not None and known.destination == destination:
        return known
    conn.execute(
        "UPDATE delivery SET state = 'failed', error = 'the target was changed before this was settled'"
        " WHERE target = ? AND state IN ('sending', 'pending')",
        (name,),
    )
    conn.execute("DELETE FROM undelivered WHERE target = ?", (name,))
    conn.execute(
        "INSERT OR REPLACE INTO push_target (name, destination, collection) VALUES (?, ?, ?)",
        (name, destination, collection),
    )
    return TargetState(name, destination, collection)


def target_state(conn: Connection, name: str) -> TargetState | None:
    """Gives the state of a target that ever ran."""
    row = conn.execute(f"SELECT {_STATE} FROM push_target WHERE name = ?", (name,)).fetchone()
    return None if row is None else TargetState(*row)


def target_states(conn: Connection) -> dict[str, TargetState]:
    """Gives the state of every target that ever ran."""
    return {row[0]: TargetState(*row) for row in conn.execute(f"SELECT {_STATE} FROM push_target ORDER BY name")}


def save_push(conn: Connection, state: TargetState) -> None:
    """Saves how a run went; position and reached are left as its envelopes saved them."""
    conn.execute(
        "UPDATE push_target SET last_run = ?, last_success = ?, not_before = ?, failures = ?, parked = ?, report = ?"
        " WHERE name = ?",
        (
            *(state.last_run, state.last_success, state.not_before),
            *(state.failures, state.parked, state.report, state.name),
        ),
    )


def note_fault(conn: Connection, name: str, now: Micros) -> None:
    """Counts a run that could not even begin, e.g. since a secret is missing, so that the next one waits."""
    conn.execute(
        "INSERT INTO push_target (name, destination, collection, last_run, failures) VALUES (?, x'', 0, ?, 1)"
        " ON CONFLICT (name) DO UPDATE SET last_run = excluded.last_run, failures = failures + 1",
        (name, now),
    )


def advance(conn: Connection, name: str, position: int) -> None:
    """Moves a target past entries that are dealt with."""
    conn.execute(
        "UPDATE push_target SET position = max(position, ?1), reached = max(reached, ?1) WHERE name = ?2",
        (position, name),
    )


def left(conn: Connection, name: str) -> int:
    """Counts the entries that a target has not dealt with yet."""
    # The sequence has no gaps in a collection that nobody but publishing writes to.
    row = conn.execute(
        "SELECT last_seq - position FROM push_target t JOIN collection c ON c.number = t.collection WHERE t.name = ?",
        (name,),
    ).fetchone()
    return row[0] if row else 0


def published_otherwise(conn: Connection, collection: int, policy: bytes) -> bool:
    """Tells whether a collection was published last under another policy than the present."""
    row = conn.execute("SELECT policy FROM publish_position WHERE collection = ?", (collection,)).fetchone()
    return row is not None and bytes(row[0]) != policy


def unexamined(conn: Connection, collection: int, policy: bytes) -> bool:
    """Tells whether anything stands in a collection that was not decided under the present policy.

    Publishing goes through a collection in batches, so that it may be found half-way. Looks at every
    release; what says who we are apart, which stands whatever becomes of the rest.
    """
    found = conn.execute(
        "SELECT 1 FROM release WHERE collection = ? AND verdict = 'release' AND policy <> ?"
        " AND object_id NOT GLOB 'identity--*' AND object_id NOT GLOB 'location--*'"
        " AND object_id NOT GLOB 'relationship--*' LIMIT 1",
        (collection, policy),
    ).fetchone()
    return found is not None or published_otherwise(conn, collection, policy)
