"""What a source said, restated as it is configured now, a batch at a time.

How far a source can be trusted acts wherever its claims are read; whose word it passes on, and how what it does not
mark is marked, stand in the claims themselves. So where a person changes one of these, its claims are written anew
from the objects that made them, and the values they are about are scored and told anew. How far that has come is
kept in the store: a kill loses nothing of it.
"""

from __future__ import annotations

import json

from threatshare.stix.claims import strictest
from threatshare.stix.received import reread
from threatshare.store.connection import Connection
from threatshare.store.lookups import current_bodies
from threatshare.store.sources import Origins, Source, sources


def line_up(conn: Connection, source: Source) -> None:
    """Has all that a source says restated, from the beginning; inside the caller's transaction."""
    conn.execute("INSERT OR REPLACE INTO restatement (source, position) VALUES (?, 0)", (source.number,))


def restate_next(conn: Connection, origins: Origins, limit: int) -> list[int]:
    """Restates what is said of the next observables in line; gives their numbers, at most ``limit``, none at the end.

    They are left for the caller to score. Claims are met in the order in which they lie: one pass over them, whatever
    the number of batches.
    """
    by_number = {one.number: one for one in sources(conn).values()}
    for number, position in conn.execute("SELECT source, position FROM restatement ORDER BY source").fetchall():
        found = [
            row[0]
            for row in conn.execute(
                "SELECT observable FROM claim WHERE observable > ?1 AND source = ?2"
                " UNION SELECT observable FROM opinion WHERE observable > ?1 AND source = ?2"
                " ORDER BY observable LIMIT ?3",
                (position, number, limit),
            )
        ]
        if len(found) == limit:
            conn.execute("UPDATE restatement SET position = ? WHERE source = ?", (found[-1], number))
        else:
            conn.execute("DELETE FROM restatement WHERE source = ?", (number,))
        if found:
            _restate(conn, origins, by_number[number], found)
            return found
    return []


def _restate(conn: Connection, origins: Origins, source: Source, observables: list[int]) -> None:
    """Writes those of a source's claims anew that say another origin or marking now."""
    claims = conn.execute(
        "SELECT observable, object, origin, tlp FROM claim"
        " WHERE observable IN (SELECT value FROM json_each(?)) AND source = ?",
        (json.dumps(observables), source.number),
    ).fetchall()
    bodies = current_bodies(conn, {row[1] for row in claims})
    changed = []
    for observable, obj, origin, tlp in claims:
        maker, rank = None, int(source.default_tlp)
        if obj in bodies:  # which a list's rows are not
            read = reread(bodies[obj])
            maker, rank = read.created_by_ref, strictest(read, source.default_tlp)
        said = origins.number(source.lineage or maker or source.name), rank
        if said != (origin, tlp):
            changed.append((*said, observable, obj))
    conn.executemany("UPDATE claim SET origin = ?, tlp = ? WHERE observable = ? AND object = ?", changed)
