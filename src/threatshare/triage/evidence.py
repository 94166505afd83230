"""The arithmetic of the merge rule (sharing rules §3.5): what one claim weighs, and how chances are joined.

Tables first. Reliability is the Admiralty scale's letter for a source, as numbers in MISP's
``admiralty-scale`` taxonomy (version 5): A 100, B 75, C 50, D 25, E 0 and F, "cannot be judged", 50.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from threatshare.model import Evidence, Opinion

RELIABILITY: Mapping[str, float] = {"A": 1.0, "B": 0.75, "C": 0.5, "D": 0.25, "E": 0.0, "F": 0.5}
UNSTATED = 50
"""What an absent confidence counts as (STIX 2.1 Appendix A: absent is unspecified, never zero)."""
CERTAINTY = 0.95
"""No single claim is surer than this."""
FALSE_POSITIVE = 0.1
"""A trusted analyst's false-positive report multiplies the odds by this."""
CONFIRMED = 5.0
"""A sighting of our own, confirmed as true positive, multiplies the odds by this."""
OPINIONS: Mapping[str, float] = {
    "strongly-disagree": 0.2,
    "disagree": 0.5,
    "neutral": 1.0,
    "agree": 1.5,
    "strongly-agree": 3.0,
}
"""What an opinion multiplies the odds by, where its author is fully reliable: the author's weight is the exponent."""
BENIGN_CAP = 20
"""Highest score of a value on a known-benign list."""

_MOST = 300
"""So many reports of one kind count; more could not change the rounded score, only overflow a float."""


def weight(confidence: int | None, reliability: str) -> float:
    """Gives a fresh claim's chance of being right: confidence x reliability, at most .95.

    Confidence is 0-100, None counts as 50; reliability is a letter A-F (KeyError for any other).
    """
    return min(CERTAINTY, (UNSTATED if confidence is None else confidence) / 100 * RELIABILITY[reliability])


def together(chances: Iterable[float]) -> float:
    """Joins the chances of independent origins: that at least one of them is right (noisy-or).

    Sorted first, because a product of floats depends on its order and a score must not.
    """
    missed = 1.0
    for chance in sorted(chances):
        missed *= 1.0 - chance
    return 1.0 - missed


def odds_factor(evidence: Evidence) -> float:
    """Gives what reports of false positives, confirmed sightings and opinions multiply the odds by."""
    factor = float(
        FALSE_POSITIVE ** min(evidence.false_positives, _MOST) * CONFIRMED ** min(evidence.confirmed_sightings, _MOST)
    )
    for one in evidence.opinions[:_MOST]:
        factor *= opinion_factor(one)
    return factor


def opinion_factor(opinion: Opinion) -> float:
    """Gives what one opinion multiplies the odds by.

    AIS says ``agree`` of what nobody has confirmed (AIS scoring framework), which is no more than was known.
    """
    if opinion.of_ais and opinion.word == "agree":
        return 1.0
    return float(OPINIONS[opinion.word] ** RELIABILITY[opinion.reliability])


def after_evidence(chance: float, factor: float) -> float:
    """Gives the chance whose odds are those of ``chance`` times a factor; 0 and 1 stay what they are."""
    supported = chance * factor
    return supported / (supported + 1.0 - chance) if supported else 0.0
