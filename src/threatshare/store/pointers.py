"""What leads to an indicator, or to the value itself: relationships told from their other end.

``context`` tells what indicators lead to. Here is what names them as its target: a course of action that mitigates an
indicator, one that is derived from it, malware that communicates with the address. A value is named by the id that
STIX gives it by its content (STIX 2.1 §2.9). As in ``links``, each source speaks of its own objects only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from threatshare.model import Kind, Observable
from threatshare.stix.linked import described
from threatshare.stix.observed import cyber_observable
from threatshare.store.connection import Connection
from threatshare.store.context import MOST, Context
from threatshare.store.keys import KeyOf, object_key
from threatshare.store.links import ties_of, ties_to
from threatshare.store.lookups import HeldClaim, current_bodies
from threatshare.store.sources import sources

THE_VALUE = "the value"
"""What a tie is of that is no indicator's."""


def pointing_at(
    conn: Connection, key_of: KeyOf, observable: Observable, held: Sequence[HeldClaim], bodies: Mapping[int, bytes]
) -> tuple[Context, ...]:
    """Gives what names a value, or the objects of some claims about it, as its target, each once.

    ``bodies`` are those objects by key. What the value itself is tied to, or reported in, is told with it.
    """
    said = {one.object: (one.claim.source, "") for one in held if one.object in bodies}
    values = _keys_of(conn, key_of, observable)
    said |= {key: (source, THE_VALUE) for key, source in values.items()}
    ties = [(one.object, f"target of {one.relation}", *said[one.other]) for one in ties_to(conn, said, MOST)]
    ties += [(one.other, one.relation, *said[one.object]) for one in ties_of(conn, values, MOST)]
    others = current_bodies(conn, {key for key, *_ in ties})
    found = []
    for key, relation, source, of in ties:
        what = described(others[key]) if key in others else None
        if what is not None and not what.revoked:
            found.append(Context(source, relation, what.type, what.title, what.id, what.techniques, of))
    return tuple(dict.fromkeys(found))


def _keys_of(conn: Connection, key_of: KeyOf, observable: Observable) -> dict[int, str]:
    """Gives the keys under which sources would say something of the value itself, with the source of each."""
    if observable.kind is Kind.PATTERN:
        return {}
    stix_id = cyber_observable(observable)["id"]
    return {object_key(key_of, one.number, stix_id): one.name for one in sources(conn).values()}
