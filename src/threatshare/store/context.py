"""What indicators stand in: what their makers say they indicate, in which reports they stand, and who made them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from threatshare.stix.linked import described
from threatshare.store.connection import Connection
from threatshare.store.keys import KeyOf, object_key
from threatshare.store.links import ties_of
from threatshare.store.lookups import HeldClaim, current_bodies
from threatshare.store.sources import sources

MOST = 100
"""Ties of one value that are told."""

MADE_BY = "made by"
NAMES = "names"


class Context(NamedTuple):
    """One thing that an indicator stands in, as one source says."""

    source: str
    relation: str
    """A Relationship's type (``indicates``, ...), ``reported in`` and the like, ``made by``, or ``names`` for an ATT&CK
    id that the indicator itself refers to."""
    type: str
    """STIX type of what it is tied to; ``attack-pattern`` for an id alone."""
    name: str
    """Empty where the source has not sent the object itself."""
    id: str
    """STIX id; of an id alone that id, e.g. ``T1566.002``."""
    techniques: tuple[str, ...] = ()
    """ATT&CK ids that it names."""


def context_of(
    conn: Connection, key_of: KeyOf, held: Sequence[HeldClaim], bodies: Mapping[int, bytes]
) -> tuple[Context, ...]:
    """Gives what the objects of some claims stand in, each once; ``bodies`` are those objects by key."""
    numbers = {name: one.number for name, one in sources(conn).items()}
    said = {one.object: one.claim.source for one in held if one.object in bodies}
    read = {key: one for key in said if (one := described(bodies[key])) is not None}
    makers = {
        object_key(key_of, numbers[said[key]], one.created_by_ref): (said[key], MADE_BY)
        for key, one in read.items()
        if one.created_by_ref is not None
    }
    ties = [(one.other, said[one.object], one.relation) for one in ties_of(conn, said, MOST)]
    ties += [(key, source, relation) for key, (source, relation) in makers.items()]
    others = current_bodies(conn, {other for other, _, _ in ties})
    named = [(said[key], technique) for key, one in read.items() for technique in one.techniques]
    found = [Context(source, NAMES, "attack-pattern", "", technique) for source, technique in named]
    for other, source, relation in ties:
        what = described(others[other]) if other in others else None
        if what is not None and not what.revoked:
            found.append(Context(source, relation, what.type, what.title, what.id, what.techniques))
    return tuple(dict.fromkeys(found))
