"""What a marking allows: who may know (TLP), what may be done (PAP, IEP), and what else policies say."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TypeVar

from threatshare.model.times import Micros


class Tlp(IntEnum):
    """TLP 2.0 labels in order of restriction (FIRST, August 2022)."""

    CLEAR = 0
    GREEN = 1
    AMBER = 2
    AMBER_STRICT = 3
    RED = 4

    @property
    def label(self) -> str:
        """The label in lower case, e.g. ``amber+strict``."""
        return self.name.lower().replace("_", "+")


class Pap(IntEnum):
    """PAP labels in order of restriction (MISP taxonomy PAP, version 3): what may be done, not who may know."""

    CLEAR = 0
    GREEN = 1
    AMBER = 2
    RED = 3


class Action(IntEnum):
    """What may be done with information, the freest first (FIRST IEP 2.0, ``permitted_actions``)."""

    EXTERNALLY_VISIBLE_DIRECT = 0
    EXTERNALLY_VISIBLE_INDIRECT = 1
    INTERNALLY_VISIBLE = 2
    CONTACT_FOR_INSTRUCTION = 3
    NONE = 4


@dataclass(frozen=True, slots=True)
class Marking:
    """The effective marking of one object: object and granular markings, most restrictive wins.

    The defaults restrict nothing. ``joined`` is the join of a semilattice: whatever the order and however often
    markings are put together, the outcome is the same, and never less restrictive than any of them.
    """

    tlp: Tlp | None
    """None: the object carries no TLP marking at all."""
    unknown: tuple[str, ...] = ()
    """References to markings that this node cannot read; any of them refuses release."""
    pap: Pap | None = None
    may_block: bool = True
    """False: it must not be acted on where an attacker could notice, so no blocking."""
    resharing: bool = True
    """False: it stays in our own organisation, whatever its TLP."""
    policy_tlp: Tlp | None = None
    """What a policy (IEP, ACS) says of TLP: it restricts further, and never stands in for a TLP marking."""
    permitted: Action | None = None
    """None: no policy says."""
    must_name: bool = False
    """Whoever passes it on names who gave it."""
    must_not_name: bool = False
    """Whoever passes it on must not show who gave it."""
    notifications: bool = True
    """False: those whom it shows to be affected must not be told."""
    resale: bool = True
    """False: it must not be sold as it came."""
    encrypted: bool = False
    """It is encrypted where it is sent on."""
    begins: Micros | None = None
    """From when on its policies hold."""
    ends: Micros | None = None
    """Until when its policies hold; what they allow ends then, what they forbid does not."""
    statements: tuple[str, ...] = ()
    """Ids of markings that are statements for people, in order."""
    policies: tuple[str, ...] = ()
    """Ids of markings that were read from their source's definitions, in order."""
    exercise: bool = False
    """A statement says that it is of an exercise, so nothing live."""

    def joined(self, other: Marking) -> Marking:
        """Gives the marking of what bears both: of each property the most restrictive."""
        return Marking(
            _stricter(self.tlp, other.tlp),
            _both(self.unknown, other.unknown),
            _stricter(self.pap, other.pap),
            self.may_block and other.may_block,
            self.resharing and other.resharing,
            _stricter(self.policy_tlp, other.policy_tlp),
            _stricter(self.permitted, other.permitted),
            self.must_name or other.must_name,
            self.must_not_name or other.must_not_name,
            self.notifications and other.notifications,
            self.resale and other.resale,
            self.encrypted or other.encrypted,
            _stricter(self.begins, other.begins),
            other.ends if self.ends is None else self.ends if other.ends is None else min(self.ends, other.ends),
            _both(self.statements, other.statements),
            _both(self.policies, other.policies),
            self.exercise or other.exercise,
        )

    def holds_at(self, now: Micros) -> bool:
        """Tells whether every policy that it names has begun and none has ended."""
        return (self.begins is None or self.begins <= now) and (self.ends is None or now <= self.ends)

    def may_block_at(self, now: Micros) -> bool:
        """Tells whether a value may be blocked on this information's word: all is read, and what allows it holds."""
        return self.may_block and not self.unknown and self.holds_at(now)


_Ordered = TypeVar("_Ordered", bound=int)


def _stricter(one: _Ordered | None, other: _Ordered | None) -> _Ordered | None:
    if one is None:
        return other
    return one if other is None or one >= other else other


def _both(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    return one if one == other else tuple(sorted({*one, *other}))
