"""What the gate decided, object by object and collection by collection, and how far publishing has come.

``own_change`` holds one row an object of ours, numbered anew each time the object changes: a collection
reads on from its position and meets each changed object once. ``changed_observable`` is the queue of the
SIEM collection.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import msgspec

from threatshare.model import Decision, Micros, Reason, Verdict
from threatshare.store.connection import Connection

_written = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Release:
    """The gate's last word on one object for one collection."""

    object_id: str
    version: Micros
    """``modified`` of the version that the audience holds; 0 where it never got one."""
    digest: bytes
    """Of what was served; empty where nothing ever was."""
    verdict: Verdict
    reasons: tuple[Reason, ...]
    policy: bytes
    """Digest of all that the decision depended on beside the object."""
    at: Micros
    life: int = 1
    """Counts up each time the object is released again after a withdrawal: a revoked object gets no new
    version (STIX 2.1 §3.2), so it comes back under another id."""
    created: Micros = 0
    """When this life began."""

    @property
    def served(self) -> bool:
        """Whether the audience holds a version that stands."""
        return self.verdict is Verdict.RELEASE

    @property
    def withdrawn(self) -> bool:
        """Whether the audience once held it, and was told to drop it."""
        return not self.served and bool(self.digest)


_COLUMNS = ", ".join(
    f"release.{name}"
    for name in ("object_id", "version", "digest", "verdict", "reasons", "policy", "at", "life", "created")
)


def note_own_changes(conn: Connection, objects: Iterable[int]) -> None:
    """Puts objects of ours at the end of what is to be published."""
    seq = int(conn.execute("SELECT coalesce(max(seq), 0) FROM own_change").fetchone()[0])
    conn.executemany(
        "INSERT INTO own_change (object, seq) VALUES (?, ?) ON CONFLICT (object) DO UPDATE SET seq = excluded.seq",
        [(key, seq + index) for index, key in enumerate(objects, 1)],
    )


def own_changes(conn: Connection, after: int, limit: int) -> list[tuple[int, int, bytes]]:
    """Gives (seq, object key, current body) of our objects that changed after a position."""
    return [
        (seq, key, bytes(body))
        for seq, key, body in conn.execute(
            "SELECT seq, own_change.object, body FROM own_change JOIN object ON object.key = own_change.object"
            " JOIN version ON version.number = object.version WHERE seq > ? ORDER BY seq LIMIT ?",
            (after, limit),
        )
    ]


def position(conn: Connection, collection: int, policy: bytes) -> int:
    """Gives how far a collection has been published under a policy; 0 where the policy is another one now."""
    row = conn.execute("SELECT seq, policy FROM publish_position WHERE collection = ?", (collection,)).fetchone()
    return int(row[0]) if row and bytes(row[1]) == policy else 0


def save_position(conn: Connection, collection: int, seq: int, policy: bytes) -> None:
    """Saves how far a collection has been published, in the transaction of its entries."""
    conn.execute("INSERT OR REPLACE INTO publish_position VALUES (?, ?, ?)", (collection, seq, policy))


def queued_observables(conn: Connection, limit: int) -> tuple[list[int], int]:
    """Gives the next observables for the SIEM collection, each once, and the number up to which the queue was read."""
    rows = conn.execute("SELECT seq, observable FROM changed_observable ORDER BY seq LIMIT ?", (limit,)).fetchall()
    return list({row[1] for row in rows}), rows[-1][0] if rows else 0


def take_from_queue(conn: Connection, through: int) -> None:
    """Takes what was published off the queue."""
    conn.execute("DELETE FROM changed_observable WHERE seq <= ?", (through,))


def queue(conn: Connection, observables: Iterable[int]) -> None:
    """Puts observables on the SIEM collection's queue."""
    conn.executemany("INSERT INTO changed_observable (observable) VALUES (?)", [(one,) for one in observables])


def queue_all(conn: Connection) -> None:
    """Puts every observable on the SIEM collection's queue."""
    conn.execute("DELETE FROM changed_observable")
    conn.execute("INSERT INTO changed_observable (observable) SELECT number FROM observable")


def queue_length(conn: Connection) -> int:
    """Counts what waits for the SIEM collection."""
    row = conn.execute("SELECT coalesce(max(seq) - min(seq) + 1, 0) FROM changed_observable").fetchone()
    return int(row[0])


def releases_of(conn: Connection, collection: int, object_ids: Sequence[str]) -> dict[str, Release]:
    """Gives the last decision on some objects for one collection."""
    return {
        row[0]: _release(row)
        for row in conn.execute(
            f"SELECT {_COLUMNS} FROM release WHERE collection = ? AND object_id IN (SELECT value FROM json_each(?))",
            (collection, json.dumps(list(object_ids))),
        )
    }


def decisions_on(conn: Connection, object_id: str) -> list[tuple[str, Release]]:
    """Gives every collection's decision on one object, with the collection's alias."""
    return [
        (row[0], _release(row[1:]))
        for row in conn.execute(
            f"SELECT alias, {_COLUMNS} FROM release"
            " JOIN collection ON collection.number = release.collection WHERE object_id = ? ORDER BY alias",
            (object_id,),
        )
    ]


def save_releases(conn: Connection, collection: int, decided: Iterable[Release]) -> None:
    """Records decisions, in the transaction of the entries they made."""
    conn.executemany(
        "INSERT OR REPLACE INTO release"
        " (collection, object_id, version, digest, verdict, reasons, policy, at, life, created)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (collection, one.object_id, one.version, one.digest, one.verdict)
            + (_written([(reason.rule, reason.verdict.value, reason.text) for reason in one.reasons]).decode(),)
            + (one.policy, one.at, one.life, one.created)
            for one in decided
        ],
    )


def verdict_counts(conn: Connection) -> dict[str, dict[str, int]]:
    """Counts the standing decisions, by collection alias and verdict."""
    counts: dict[str, dict[str, int]] = {}
    for alias, verdict, count in conn.execute(
        "SELECT alias, verdict, count(*) FROM release JOIN collection ON collection.number = release.collection"
        " GROUP BY alias, verdict ORDER BY alias, verdict"
    ):
        counts.setdefault(alias, {})[verdict] = count
    return counts


def refused(conn: Connection, limit: int) -> list[tuple[str, Release]]:
    """Gives refusals, newest first, with the collection's alias."""
    return [
        (row[0], _release(row[1:]))
        for row in conn.execute(
            f"SELECT alias, {_COLUMNS} FROM release"
            " JOIN collection ON collection.number = release.collection WHERE verdict = ?"
            " ORDER BY at DESC LIMIT ?",
            (Verdict.REFUSE, limit),
        )
    ]


def on_hold(conn: Connection) -> Iterator[tuple[int, str, Release]]:
    """Yields what the gate holds: the collection's number and alias, and the decision.

    So does a version that waits while the audience keeps the one before.
    """
    for row in conn.execute(
        f"SELECT collection.number, alias, {_COLUMNS} FROM release"
        " JOIN collection ON collection.number = release.collection WHERE verdict = 'hold' ORDER BY at DESC"
    ):
        yield row[0], row[1], _release(row[2:])
    for row in conn.execute(
        f"SELECT collection.number, alias, waiting_version.reasons, {_COLUMNS} FROM waiting_version"
        " JOIN release USING (collection, object_id) JOIN collection ON collection.number = release.collection"
    ):
        yield row[0], row[1], replace(_release(row[3:]), verdict=Verdict.HOLD, reasons=_reasons(row[2]))


def waiting_versions(conn: Connection, object_id: str) -> dict[str, tuple[Reason, ...]]:
    """Gives by collection alias why a new version of an object is held while the one before stands."""
    return {
        alias: _reasons(reasons)
        for alias, reasons in conn.execute(
            "SELECT alias, reasons FROM waiting_version JOIN collection ON number = collection WHERE object_id = ?",
            (object_id,),
        )
    }


def decision_of(release: Release) -> Decision:
    """Gives the decision that a record stands for."""
    return Decision(release.verdict, release.reasons)


def _release(row: Sequence[object]) -> Release:
    object_id, version, digest, verdict, reasons, policy, at, life, created = row
    return Release(
        str(object_id),
        version,  # type: ignore[arg-type]
        bytes(digest),  # type: ignore[call-overload]
        Verdict(str(verdict)),
        _reasons(str(reasons)),
        bytes(policy),  # type: ignore[call-overload]
        at,  # type: ignore[arg-type]
        life,  # type: ignore[arg-type]
        created,  # type: ignore[arg-type]
    )


def _reasons(written: str) -> tuple[Reason, ...]:
    return tuple(Reason(rule, Verdict(said), text) for rule, said, text in json.loads(written))
