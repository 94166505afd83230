"""What the gate says of an object for an audience, and why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """What the gate says of one object for one audience."""

    RELEASE = "release"
    HOLD = "hold"
    """It may leave once a person or a date removes the obstacle."""
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Reason:
    """One rule's word on an object; a decision carries all of them."""

    rule: str
    """Stable id, e.g. ``marking-ceiling``."""
    verdict: Verdict
    text: str
    """For a person: what was found and what would change it. Never the value itself."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The gate's answer: the most restrictive verdict, with every reason."""

    verdict: Verdict
    reasons: tuple[Reason, ...]
