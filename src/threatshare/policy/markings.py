"""What an object's markings mean together: by their ids, or as the object's own source defines them.

The body of a TLP or PAP marking is never trusted: anybody can send a definition with the id of TLP:RED that calls
itself clear (STIX best practices: ignore shared TLP objects). An id that has no fixed meaning, and no definition
from the same source that we can read, is unknown, and what is unknown does not leave.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from threatshare.model import Marking, Tlp
from threatshare.stix.marking_definitions import FIXED, unreadable

_NONE = Marking(None)
_TLP_ALONE = {ref: one for ref, one in FIXED.items() if one.may_block}
NOT_DEFINED: Mapping[str, Marking] = {}
"""Of a source that has defined nothing."""


def marking_of(
    object_refs: Sequence[str], granular_refs: Iterable[str] = (), defined: Mapping[str, Marking] | None = None
) -> Marking:
    """Gives the marking of an object: of the whole and of its parts together, the most restrictive of each property.

    The first two arguments are ids of marking definitions (``object_marking_refs`` and the ``marking_ref`` of
    each granular marking). ``defined`` gives what those without a fixed meaning mean according to the source of
    the object. Without it the answer is for a reader that heeds TLP alone, so whatever else restricts counts as
    unknown. Ids that we cannot read are listed, sorted.
    """
    whole = _NONE
    for refs in (object_refs, granular_refs):
        for ref in refs:
            found = _TLP_ALONE.get(ref) if defined is None else FIXED.get(ref) or defined.get(ref)
            found = found or unreadable(ref)
            whole = found if whole is _NONE else whole.joined(found)
    return whole


def effective(marking: Marking, default: Tlp) -> Marking:
    """Gives the marking that counts: the default of its source where an object carries no TLP at all.

    What a policy says of TLP, and that something must not be passed on, restrict that TLP further.
    """
    tlp = default if marking.tlp is None else marking.tlp
    if marking.policy_tlp is not None:
        tlp = max(tlp, marking.policy_tlp)
    if not marking.resharing:
        tlp = max(tlp, Tlp.AMBER_STRICT)
    return marking if tlp is marking.tlp else replace(marking, tlp=tlp)
