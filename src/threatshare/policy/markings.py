"""What an object's markings mean together, by their ids alone.

A marking's body is never trusted: anybody can send a definition with the id of TLP:RED that calls
itself clear (STIX best practices: ignore shared TLP objects). An id that is in no table of ours is
unknown, and what is unknown does not leave.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from threatshare.model import Marking, Tlp
from threatshare.stix.tlp import TLP_IDS

_NONE = Marking(None)
_KNOWN = {tlp: Marking(tlp) for tlp in Tlp}


def marking_of(object_refs: Sequence[str], granular_refs: Iterable[str] = ()) -> Marking:
    """Gives the marking of an object: the most restrictive TLP of the whole and of its parts.

    Both arguments are ids of marking definitions (``object_marking_refs`` and the ``marking_ref`` of
    each granular marking). Ids that we cannot read are listed, sorted.
    """
    tlp: Tlp | None = None
    unknown: set[str] | None = None
    for refs in (object_refs, granular_refs):
        for ref in refs:
            found = TLP_IDS.get(ref)
            if found is None:
                unknown = (unknown or set()) | {ref}
            elif tlp is None or found > tlp:
                tlp = found
    if unknown:
        return Marking(tlp, tuple(sorted(unknown)))
    return _NONE if tlp is None else _KNOWN[tlp]


def effective(marking: Marking, default: Tlp) -> Marking:
    """Gives the marking that counts: the default of its source where an object carries no TLP at all."""
    return marking if marking.tlp is not None else Marking(default, marking.unknown)
