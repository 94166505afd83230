"""Which objects of a source tie which of its objects together: relationships, and what reports and notes name.

A source's objects are tied by that source's word only: what partner A says of B's object is kept with A's copy of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from threatshare.stix.linked import NAMING, links_of
from threatshare.store.connection import Connection
from threatshare.store.keys import KeyOf, object_key

if TYPE_CHECKING:
    # `lookup` reads ties, and starts faster without what keeps objects.
    from threatshare.store.objects import Fresh


class Tie(NamedTuple):
    """One tie of an object, by keys."""

    object: int
    relation: str
    other: int
    """Key of what it is tied to, which the store may not hold."""


def keep_links(conn: Connection, key_of: KeyOf, source: int, fresh: Sequence[Fresh]) -> None:
    """Brings ties up to date with new versions of the objects that make them; inside the caller's transaction."""
    makers = [one for one in fresh if one.read.type == "relationship" or one.read.type in NAMING]
    if not makers:
        return
    known = [(one.key,) for one in makers if one.previous is not None]
    if known:
        conn.executemany("DELETE FROM link WHERE maker = ?", known)
    rows = {
        (object_key(key_of, source, link.source), one.key, object_key(key_of, source, link.target), link.relation)
        for one in makers
        for link in links_of(one.read, one.raw)
    }
    conn.executemany("INSERT OR REPLACE INTO link (object, maker, other, relation) VALUES (?, ?, ?, ?)", sorted(rows))


_LIVE = " AND NOT EXISTS (SELECT 1 FROM exercise_object e WHERE e.object IN (link.maker, link.object, link.other))"
"""What was set aside as exercise data is kept with its ties, and says nothing of what is live."""


def ties_of(conn: Connection, objects: Iterable[int], limit: int) -> list[Tie]:
    """Gives the ties of some objects by their keys, at most ``limit``."""
    found = conn.execute(
        f"SELECT object, relation, other FROM link WHERE object IN (SELECT value FROM json_each(?)){_LIVE} LIMIT ?",
        (json.dumps(sorted(objects)), limit),
    )
    return [Tie(*row) for row in found]


def ties_to(conn: Connection, others: Iterable[int], limit: int) -> list[Tie]:
    """Gives the relationships whose targets are some objects, given by their keys; at most ``limit``."""
    found = conn.execute(
        "SELECT object, relation, other FROM link WHERE other IN (SELECT value FROM json_each(?))"
        f" AND relation NOT IN (SELECT value FROM json_each(?)){_LIVE} LIMIT ?",
        (json.dumps(sorted(others)), json.dumps(list(NAMING.values())), limit),
    )
    return [Tie(*row) for row in found]
