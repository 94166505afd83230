"""Our judgement of an observable, and what moves it beside the claims."""

from __future__ import annotations

from dataclasses import dataclass

from threatshare.model.claims import Opinion
from threatshare.model.times import Micros


@dataclass(frozen=True, slots=True)
class Evidence:
    """What moves a score beside the claims."""

    false_positives: int = 0
    """Reports of a false positive by trusted analysts."""
    confirmed_sightings: int = 0
    """Own sightings that a person or a sensor confirmed as true positive."""
    own_asset: bool = False
    known_benign: str | None = None
    """Name of the known-benign list that holds the value."""
    opinions: tuple[Opinion, ...] = ()
    """Partners' opinions on our indicators of the value, in order, one a source."""


@dataclass(frozen=True, slots=True)
class Score:
    """Our judgement of one observable."""

    value: int
    """0-100."""
    terms: tuple[str, ...]
    """The explanation, one line a term, in the order in which they acted."""
    next_change: Micros | None
    """When the value next crosses a band by time alone, never late; None: never."""

    @property
    def band(self) -> str:
        """``none`` 0, ``low`` 1-29, ``medium`` 30-69, ``high`` 70-100 (STIX 2.1 Appendix A, N/L/M/H)."""
        return band_of(self.value)


BANDS: tuple[tuple[int, str], ...] = ((70, "high"), (30, "medium"), (1, "low"), (0, "none"))


def band_of(value: int) -> str:
    """Names the band of a score 0-100."""
    return next(name for floor, name in BANDS if value >= floor)
