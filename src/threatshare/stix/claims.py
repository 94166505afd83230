"""What a received indicator claims, about which observables: the normal form that is merged and scored."""

from __future__ import annotations

from msgspec import Struct

from threatshare.errors import BadValue
from threatshare.model import Micros, Observable, Tlp
from threatshare.stix.patterns import read_pattern
from threatshare.stix.received import Received
from threatshare.stix.timestamps import read_timestamp
from threatshare.stix.tlp import TLP_IDS

UNKNOWN_MARKING = 9
"""Stored in place of a TLP rank where an object names a marking that we cannot read: above every ceiling."""

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


def claim_of(read: Received, version: Micros, default_tlp: Tlp, now: Micros) -> NewClaim | None:
    """Reads an indicator's claim; None for every other type and for other pattern languages.

    Raises BadValue with the reason where pattern, times or values cannot be taken.
    """
    if version > now + MAX_AHEAD:
        raise BadValue(f"{read.id}: modified lies more than 5 minutes in the future")
    if not speaks_stix(read):
        return None
    if read.valid_from is None:
        raise BadValue(f"{read.id}: indicator without valid_from")
    valid_from = read_timestamp(read.valid_from)
    valid_until = read_timestamp(read.valid_until) if read.valid_until else None
    if valid_until is not None and valid_until <= valid_from:
        if not read.revoked:
            raise BadValue(f"{read.id}: valid_until does not lie after valid_from")
        # Some producers end the validity at the moment of revocation, even before it began.
        valid_until = None
    try:
        observables = read_pattern(read.pattern or "")
    except BadValue as problem:
        raise BadValue(f"{read.id}: {problem}") from problem
    return NewClaim(
        observables,
        read.created_by_ref,
        read.confidence,
        version,
        valid_from,
        valid_until,
        strictest(read, default_tlp),
        read.revoked,
        bool(read.indicator_types) and _BENIGN.issuperset(read.indicator_types),
    )


def speaks_stix(read: Received) -> bool:
    """Tells whether an object is an indicator in the STIX pattern language; STIX 2.0 knows no other."""
    return read.type == "indicator" and (read.pattern_type or "stix") == "stix"


def strictest(read: Received, default_tlp: Tlp) -> int:
    """Gives the most restrictive TLP rank of an object and its parts; the default where it has none."""
    return max((TLP_IDS.get(ref, UNKNOWN_MARKING) for ref in read.marking_refs), default=int(default_tlp))
