"""What a received indicator claims, about which observables: the normal form that is merged and scored."""

from __future__ import annotations

from msgspec import Struct

from threatshare.errors import BadValue
from threatshare.model import Micros, Observable, Tlp
from threatshare.stix.marking_definitions import FIXED
from threatshare.stix.patterns import read_pattern
from threatshare.stix.received import Received
from threatshare.stix.timestamps import read_timestamp

UNKNOWN_MARKING = 9
"""Stored in place of a TLP rank where an object names a marking without fixed meaning: above every ceiling."""

NO_BLOCK = 4
BY_DEFINITION = 8
"""Bits of ``NewClaim.handling`` and ``claim.flags``: it must not be blocked on this word; what its marking means has
to be looked up among its source's definitions, until when it counts as unknown."""

MAX_AHEAD: Micros = 300_000_000
"""How far in the future ``modified`` may lie (5 minutes), so that no object can stay the latest for ever."""

_BENIGN = frozenset({"benign", "anomalous-activity"})


class NewClaim(Struct, gc=False):
    """One indicator version's claim, about each of its observables."""

    observables: tuple[Observable, ...]
    origin: str | None
    """``created_by_ref``; None where the object does not say who made it."""
    confidence: int | None
    observed: Micros
    valid_from: Micros
    valid_until: Micros | None
    tlp: int
    """Rank of the effective TLP, or UNKNOWN_MARKING."""
    revoked: bool
    benign: bool
    handling: int = 0
    """Bits NO_BLOCK and BY_DEFINITION."""


def claim_of(read: Received, version: Micros, default_tlp: Tlp, now: Micros, held: bool = False) -> NewClaim | None:
    """Reads an indicator's claim; None for every other type and for other pattern languages.

    Raises BadValue with the reason where pattern, times or values cannot be taken. A withdrawal is obeyed
    whatever else is wrong with it: it then claims nothing of any observable, not even of those before. ``held``: it
    was read so before it was stored.
    """
    if version > now + MAX_AHEAD:
        raise BadValue(f"{read.id}: modified lies more than 5 minutes in the future")
    if not speaks_stix(read):
        return None
    try:
        valid_from, valid_until = _validity(read)
        observables = read_pattern(read.pattern or "", held)
    except BadValue as problem:
        if not read.revoked:
            raise BadValue(f"{read.id}: {problem}") from problem
        valid_from, valid_until, observables = version, None, ()
    tlp, handling = _marked(read, default_tlp)
    return NewClaim(
        observables,
        read.created_by_ref,
        read.confidence,
        version,
        valid_from,
        valid_until,
        tlp,
        read.revoked,
        _is_benign(read),
        handling,
    )


def claim_of_sighting(
    read: Received, observables: tuple[Observable, ...], default_tlp: Tlp, first: Micros, last: Micros
) -> NewClaim:
    """Makes the claim of a sighting about what it says was seen, from the first time on, as of the last."""
    tlp, handling = _marked(read, default_tlp)
    maker, confidence = read.created_by_ref, read.confidence
    return NewClaim(observables, maker, confidence, last, first, None, tlp, read.revoked, False, handling)


def _validity(read: Received) -> tuple[Micros, Micros | None]:
    if read.valid_from is None:
        raise BadValue("indicator without valid_from")
    valid_from = read_timestamp(read.valid_from)
    if read.valid_until is None:
        return valid_from, None
    valid_until = read_timestamp(read.valid_until)
    if valid_until > valid_from:
        return valid_from, valid_until
    if not read.revoked:
        raise BadValue("valid_until does not lie after valid_from")
    # Some producers end the validity at the moment of revocation, even before it began.
    return valid_from, None


def _is_benign(read: Received) -> bool:
    # STIX 2.0 §2.5 says the indicator's types in its labels.
    types = read.indicator_types or (read.labels if read.spec_version != "2.1" else ())
    return bool(types) and _BENIGN.issuperset(types)


def speaks_stix(read: Received) -> bool:
    """Tells whether an object is an indicator in the STIX pattern language; STIX 2.0 knows no other."""
    return read.type == "indicator" and (read.pattern_type or "stix") == "stix"


def strictest(read: Received, default_tlp: Tlp) -> int:
    """Gives the most restrictive TLP rank of an object and its parts; the default where it has none."""
    return _marked(read, default_tlp)[0]


_UNREAD = UNKNOWN_MARKING, NO_BLOCK | BY_DEFINITION
_NO_TLP = -1
_RANKS = {
    ref: (_NO_TLP if one.tlp is None else int(one.tlp), 0 if one.may_block else NO_BLOCK) for ref, one in FIXED.items()
}


def _marked(read: Received, default_tlp: Tlp) -> tuple[int, int]:
    """Gives rank and handling of an object and its parts, the most restrictive of each."""
    tlp, handling = _NO_TLP, 0
    for ref in read.marking_refs:
        rank, bits = _RANKS.get(ref, _UNREAD)
        if rank > tlp:
            tlp = rank
        handling |= bits
    return int(default_tlp) if tlp == _NO_TLP else tlp, handling
