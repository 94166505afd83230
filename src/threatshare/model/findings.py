"""What our own sensors report: findings, the values in them, and the roles that these play."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from threatshare.model.markings import Tlp
from threatshare.model.observables import Observable
from threatshare.model.times import Micros


class Role(StrEnum):
    """What part a value plays in a finding. Only the first four may become indicators."""

    ATTACKER = "attacker"
    C2 = "c2"
    PAYLOAD = "payload"
    PHISH_SENDER = "phish-sender"
    KNOWN_INDICATOR = "known-indicator"
    """The sensor matched a list: becomes a sighting, never a new indicator."""
    VICTIM_ASSET = "victim-asset"
    SENSOR = "sensor"
    THIRD_PARTY = "third-party"
    REFERENCE = "reference"
    UNKNOWN = "unknown"
    """Held for a person, never guessed."""

    @property
    def is_indicator(self) -> bool:
        """Whether a value in this role may become an indicator of ours."""
        return self in _INDICATOR_ROLES


_INDICATOR_ROLES = frozenset({Role.ATTACKER, Role.C2, Role.PAYLOAD, Role.PHISH_SENDER})


@dataclass(frozen=True, slots=True)
class Observation:
    """One value of a finding, with the role that the rules gave it."""

    observable: Observable
    role: Role
    why: str
    """The rule that decided the role, in words for an analyst."""
    original: str
    """The text as it stood in the input; stays local."""


@dataclass(frozen=True, slots=True)
class Removal:
    """Something private that was cut out of a value before it became an observable; only its keyed hash is kept."""

    rule: str
    """Stable id, e.g. ``recipient-in-url``."""
    part: str
    """Where it stood in the input, e.g. ``body``."""
    value: str = field(repr=False)
    """What was cut out; never stored, logged or shown."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one internal tool reported, reduced to values with roles. Everything here stays local."""

    sensor: str
    """The reader's name, e.g. ``suricata-eve``."""
    title: str
    """The tool's own words; never leaves the node."""
    seen_at: datetime
    """When it was first observed, UTC."""
    last_seen_at: datetime
    observations: tuple[Observation, ...]
    place: str
    """Where it was read: file and line."""
    confidence: int | None = None
    """The tool's confidence, 0-100, where it states one."""
    techniques: tuple[str, ...] = ()
    """ATT&CK technique ids that the finding names, e.g. ``T1566.002``."""
    count: int = 1
    """How many events the tool says it stands for."""
    tlp: Tlp | None = None
    """The marking that the finding itself carries, where its format has markings."""
    removals: tuple[Removal, ...] = ()


MOST_COUNTED = 999_999_999
"""So many events are counted at most: what a STIX sighting can say (STIX 2.1 §5.2)."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One observable in one role, as one sensor saw it so far."""

    observable: Observable
    role: Role
    sensor: str
    why: str
    first_seen: Micros
    last_seen: Micros
    count: int
    confidence: int | None = None
    techniques: tuple[str, ...] = ()
    tlp: Tlp | None = None
    """The most restrictive marking that any of the findings carried."""

    def joined(self, other: Seen) -> Seen:
        """Puts two records of the same observable, role and sensor together."""
        stated = [one for one in (self.confidence, other.confidence) if one is not None]
        return replace(
            self,
            why=other.why,
            first_seen=min(self.first_seen, other.first_seen),
            last_seen=max(self.last_seen, other.last_seen),
            count=min(self.count + other.count, MOST_COUNTED),
            confidence=max(stated, default=None),
            techniques=tuple(sorted({*self.techniques, *other.techniques})),
            tlp=max((one for one in (self.tlp, other.tlp) if one is not None), default=None),
        )
