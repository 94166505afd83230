"""A score in words: one line a term, in the order in which the terms acted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from threatshare.model import Claim, Evidence, Kind, Micros, band_of, moment
from threatshare.triage.decay import DAY, decay
from threatshare.triage.evidence import (
    BENIGN_CAP,
    CERTAINTY,
    CONFIRMED,
    FALSE_POSITIVE,
    RELIABILITY,
    UNSTATED,
    after_evidence,
    odds_factor,
    opinion_factor,
    together,
    weight,
)

_MOST_NAMES = 5
"""How many copying sources a line names."""


def explain(kind: Kind, claims: Sequence[Claim], evidence: Evidence, now: Micros, value: int) -> tuple[str, ...]:
    """Gives the terms of a score, the strongest origin first; the order of the claims does not matter."""
    terms, chances = _claim_terms(kind, claims, now)
    chance = together(chances)
    counted = sum(one > 0 for one in chances)
    if counted > 1:
        terms.append(f"{counted} independent origins together: {chance:.2f}")
    heard = _by_source(kind, claims, now)
    if together(heard) < chance:
        chance = together(heard)
        voices = f"{_sources(len(heard))}{_shared(claims)}"
        terms.append(f"heard from {voices}, and none counts more than once: {chance:.2f}")
    terms += _evidence_terms(evidence, chance)
    terms.append(f"score {value} ({band_of(value)})")
    return tuple(terms)


def chance_of(kind: Kind, claim: Claim, now: Micros) -> float:
    """Gives what one claim contributes at a moment, 0.0 to 0.95."""
    if _why_nothing(claim, now) is not None:
        return 0.0
    return weight(claim.confidence, claim.reliability) * decay(kind, now - claim.observed)


def _claim_terms(kind: Kind, claims: Sequence[Claim], now: Micros) -> tuple[list[str], list[float]]:
    if not claims:
        return ["nobody claims anything of this value"], []
    origins: dict[str, list[_Said]] = {}
    for claim in claims:
        chance = chance_of(kind, claim, now)
        said = _Said(-chance, claim.source, claim.indicator_id, _term(kind, chance, claim, now))
        origins.setdefault(claim.origin, []).append(said)
    ranked = sorted(sorted(group) for group in origins.values())
    return [group[0].term + _copies(group) for group in ranked], [-group[0].against for group in ranked]


def _by_source(kind: Kind, claims: Sequence[Claim], now: Micros) -> list[float]:
    """Gives the strongest contribution of every source that contributes; those of one partner are one."""
    strongest: dict[tuple[str, bool], float] = {}
    for claim in claims:
        chance = chance_of(kind, claim, now)
        if chance > strongest.get(claim.voice, 0.0):
            strongest[claim.voice] = chance
    return list(strongest.values())


def _shared(claims: Sequence[Claim]) -> str:
    together = {claim.voice for claim in claims}
    return " (those of one partner are one)" if len(together) < len({claim.source for claim in claims}) else ""


def _sources(count: int) -> str:
    return "one source" if count == 1 else f"{count} sources"


class _Said(NamedTuple):
    """One claim's part; sorts by what it contributes, then by what is told of it, never by its place."""

    against: float
    """Its contribution, negative, so that the strongest comes first."""
    source: str
    indicator_id: str
    term: str


def _term(kind: Kind, chance: float, claim: Claim, now: Micros) -> str:
    nothing = _why_nothing(claim, now)
    if nothing is not None:
        return f"{claim.source}: nothing, {nothing}"
    stated = f"{claim.confidence}" if claim.confidence is not None else f"not stated (taken as {UNSTATED})"
    fresh = weight(claim.confidence, claim.reliability)
    cap = " (no claim is surer)" if fresh == CERTAINTY else ""
    age = max(0, now - claim.observed)
    return (
        f"{claim.source}: confidence {stated} x reliability {claim.reliability} "
        f"({RELIABILITY[claim.reliability]:g}) = {fresh:.2f}{cap}; "
        f"{decay(kind, age):.0%} left after {_age(age)}: {chance:.2f}"
    )


def _why_nothing(claim: Claim, now: Micros) -> str | None:
    if claim.revoked:
        return "its creator revoked it"
    if claim.benign:
        return "it calls the value benign or anomalous only"
    if now < claim.valid_from:
        return f"it is valid only from {_date(claim.valid_from)}"
    if claim.valid_until is not None and now >= claim.valid_until:
        return f"it was valid until {_date(claim.valid_until)}"
    return None


def _copies(group: Sequence[_Said]) -> str:
    others = sorted({said.source for said in group} - {group[0].source})
    if not others:
        return ""
    more = f" and {len(others) - _MOST_NAMES} more" if len(others) > _MOST_NAMES else ""
    return f"; copies: also said by {', '.join(others[:_MOST_NAMES])}{more}, counted once"


def _evidence_terms(evidence: Evidence, chance: float) -> list[str]:
    terms = []
    moved = after_evidence(chance, odds_factor(evidence))
    if evidence.false_positives:
        terms.append(f"false positives reported: {evidence.false_positives}, each x {FALSE_POSITIVE:g} on the odds")
    if evidence.confirmed_sightings:
        terms.append(f"sightings confirmed here: {evidence.confirmed_sightings}, each x {CONFIRMED:g} on the odds")
    for one in evidence.opinions:
        factor = f"x {opinion_factor(one):.2g} on the odds"
        terms.append(f"{one.source} says {one.word}, reliability {one.reliability}: {factor}")
    if terms:
        terms.append(f"after that evidence: {moved:.2f}")
    if evidence.known_benign is not None:
        terms.append(f"known benign ({evidence.known_benign}): at most {BENIGN_CAP}")
    if evidence.own_asset:
        terms.append("one of our own assets: 0, and it never leaves")
    return terms


def _age(age: Micros) -> str:
    days = age / DAY
    if days >= 1:
        return f"{days:.0f} d"
    hours = days * 24
    return f"{hours:.0f} h" if hours >= 1 else f"{hours * 60:.0f} min"


def _date(at: Micros) -> str:
    return f"{moment(at):%Y-%m-%d %H:%M} UTC"
