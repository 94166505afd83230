"""Whether anything waits to be published: cheap enough to be asked several times a second."""

from __future__ import annotations

from dataclasses import dataclass

from threatshare.model import CollectionKind
from threatshare.store.connection import Connection


@dataclass(frozen=True, slots=True)
class Waiting:
    """What tells one moment's unpublished changes from another's."""

    own: int
    """Number of the latest change of an object of ours."""
    collection: int
    """Number of the latest collection: a new one has everything before it."""
    queued: bool
    """Whether observables wait for a SIEM collection that there is."""


def data_version(conn: Connection) -> int:
    """Gives a number that differs from the last one where another connection has committed in between."""
    return int(conn.execute("PRAGMA data_version").fetchone()[0])


def waiting(conn: Connection) -> Waiting:
    """Tells what waits, from the ends of three indexes."""
    own, collection, queued = conn.execute(
        "SELECT (SELECT coalesce(max(seq), 0) FROM own_change), (SELECT coalesce(max(number), 0) FROM collection),"
        " EXISTS (SELECT 1 FROM changed_observable) AND EXISTS (SELECT 1 FROM collection WHERE kind = ?)",
        (CollectionKind.SIEM,),
    ).fetchone()
    return Waiting(own, collection, bool(queued))
