"""What indicators stand in: what their makers say they indicate, in which reports they stand, and who made them.

A relationship leads on: malware that an indicator indicates uses techniques, and belongs to a campaign, which somebody
is behind. All is told of one source by that source's word alone, as the ties themselves are (``links``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from threatshare.stix.linked import NAMING, Described, described
from threatshare.store.connection import Connection
from threatshare.store.keys import KeyOf, object_key
from threatshare.store.links import Tie, ties_of
from threatshare.store.lookups import HeldClaim, current_bodies
from threatshare.store.sources import sources

MOST = 100
"""Ties of one value that are told."""

MADE_BY = "made by"
NAMES = "names"
LEADING_ON = ("uses", "attributed-to", "variant-of", "exploits", "delivers", "authored-by")
"""Relationships that are followed from what an indicator indicates."""
_STEPS = 2
"""How many are followed one after another: from malware to its campaign, and to who is behind that."""
_MOST_READ = 10_000
"""Ties that are looked through for such."""


class Context(NamedTuple):
    """One thing that an indicator stands in, as one source says."""

    source: str
    relation: str
    """A Relationship's type (``indicates``, ...), ``reported in`` and the like, ``made by``, or ``names`` for an ATT&CK
    id or a galaxy of MISP that the indicator itself refers to."""
    type: str
    """STIX type of what it is tied to; ``attack-pattern`` for an id alone."""
    name: str
    """Empty where the source has not sent the object itself."""
    id: str
    """STIX id; of an id alone that id, e.g. ``T1566.002``, and of a galaxy the tag."""
    techniques: tuple[str, ...] = ()
    """ATT&CK ids that it names."""
    of: str = ""
    """Type and name of what is tied to it, e.g. ``malware BadRat``; empty: the indicator."""


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
    others = _described(conn, {other for other, _, _ in ties})
    found = [one for key, what in read.items() for one in _named(said[key], what)]
    found += [_told(source, relation, others[other]) for other, source, relation in ties if other in others]
    related = {other: source for other, source, relation in ties if other in others and _leads_on(relation)}
    return tuple(dict.fromkeys((*found, *_further(conn, related, others))))


def _leads_on(relation: str) -> bool:
    return relation != MADE_BY and relation not in NAMING.values()


def _named(source: str, what: Described) -> Iterator[Context]:
    """Yields what an indicator names by itself."""
    for technique in what.techniques:
        yield Context(source, NAMES, "attack-pattern", "", technique)
    for kind, name, tag in what.galaxies:
        yield Context(source, NAMES, kind, name, tag)


def _told(source: str, relation: str, what: Described, of: str = "") -> Context:
    return Context(source, relation, what.type, what.title, what.id, what.techniques, of)


def _further(conn: Connection, related: Mapping[int, str], known: Mapping[int, Described]) -> Iterator[Context]:
    """Yields what stands behind what indicators are related to: objects by key, with the source of each."""
    ahead, seen = dict(related), set(related)
    names = {key: f"{known[key].type} {known[key].title or known[key].id}" for key in ahead}
    left = MOST
    for _ in range(_STEPS):
        if not ahead:
            return
        ties = [one for one in _leading_on(conn, ahead, left) if one.other not in seen]
        others = _described(conn, {one.other for one in ties})
        left -= len(ties)
        following = {}
        for one in ties:
            if one.other in others:
                yield _told(ahead[one.object], one.relation, others[one.other], names[one.object])
                following[one.other] = ahead[one.object]
        names = {key: f"{others[key].type} {others[key].title or others[key].id}" for key in following}
        ahead = following
        seen |= following.keys()


def _leading_on(conn: Connection, objects: Iterable[int], limit: int) -> list[Tie]:
    keys = json.dumps(sorted(objects))
    found = conn.execute(
        "SELECT object, relation, other FROM ("
        "SELECT object, relation, other FROM link WHERE object IN (SELECT value FROM json_each(?)) LIMIT ?)"
        " WHERE relation IN (SELECT value FROM json_each(?)) LIMIT ?",
        (keys, _MOST_READ, json.dumps(LEADING_ON), limit),
    )
    return [Tie(*row) for row in found]


def _described(conn: Connection, keys: set[int]) -> dict[int, Described]:
    """Gives what objects say of themselves, without those that are not held, are revoked or cannot be read so."""
    read = {key: described(body) for key, body in current_bodies(conn, keys).items()}
    return {key: what for key, what in read.items() if what is not None and not what.revoked}
