"""How sure we are that an observable is malicious, 0-100: one rule for all claims, negative evidence and caps.

The rule is that of the sharing rules §3.5::

    p of a claim   min(.95, confidence x reliability) x decay(age); 0 where revoked, benign, expired, not yet valid
    one origin     the strongest of its claims: copies are not corroboration
    one source     the strongest of its claims: whom it names as origins costs it nothing to invent;
                   the feeds and accounts of one partner are one source
    all together   noisy-or, P = 1 - product of (1 - p), over origins and over sources; the lower counts
    evidence       acts on the odds of P: x 0.1 a false positive, x 5 a confirmed sighting
    caps           known benign: at most 20; own asset: 0
    score          100 P, rounded to the nearest whole number

``assess`` is the arithmetic alone, for merging millions of claims; ``score`` is the same with its
explanation. Between two events (a claim becomes valid or ends) the score can only fall, which is
what makes the moment of its next change computable when it is written.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

from threatshare.model import BANDS, Claim, Evidence, Kind, Micros, Score
from threatshare.triage.decay import CURVES, Curve
from threatshare.triage.evidence import BENIGN_CAP, after_evidence, odds_factor, together, weight
from threatshare.triage.explanation import explain

__all__ = ["NO_EVIDENCE", "Assessor", "ClaimRow", "assess", "rows_of", "score", "weight"]

NO_EVIDENCE = Evidence()

_FLOORS = tuple(next(floor for floor, _ in BANDS if value >= floor) for value in range(101))
"""The lowest score of each score's band."""

_ROUNDING = 0.5 + 1e-9
"""Half up; the billionth keeps sums that are exact on paper from falling to either side by a float's last bit."""
_LATEST_EARLY: Micros = 1_000_000
"""How much too early a computed next change may be where several claims decay together: a second."""
_SAFETY: Micros = 1_000
"""How much too early it is where the closed form gives it: far more than its rounding error."""


class ClaimRow(NamedTuple):
    """A claim as the store keeps it for scoring."""

    origin: int
    """Who said it first, as a number."""
    weight: float
    """What ``weight`` gives; 0.0 where the claim is revoked or says benign."""
    observed: Micros
    valid_from: Micros
    valid_until: Micros | None
    source: int
    """Who told us, as a number: one for all sources of a partner."""


def assess(kind: Kind, claims: Sequence[ClaimRow], evidence: Evidence, now: Micros) -> tuple[int, Micros | None]:
    """Gives the score and the moment at which it next leaves its band by time alone (never late; None: never)."""
    if evidence.own_asset or not claims:
        return 0, None
    curve = CURVES[kind]
    if len(claims) == 1 and not (
        evidence.false_positives
        or evidence.confirmed_sightings
        or evidence.opinions
        or evidence.known_benign is not None
    ):
        return _assess_one(curve, claims[0], now)
    course = _Course(curve, claims, evidence)
    value = course.value_at(now)
    return value, course.next_change(now, value)


def score(kind: Kind, claims: Sequence[Claim], evidence: Evidence, now: Micros) -> Score:
    """Gives the score with its explanation; the value and next change are those of ``assess``."""
    value, next_change = assess(kind, rows_of(claims), evidence, now)
    return Score(value, explain(kind, claims, evidence, now, value), next_change)


def rows_of(claims: Sequence[Claim]) -> list[ClaimRow]:
    """Reduces claims to the numbers that ``assess`` needs; origins are numbered as they come."""
    origins: dict[str, int] = {}
    voices: dict[tuple[str, bool], int] = {}
    return [
        ClaimRow(
            origins.setdefault(claim.origin, len(origins)),
            0.0 if claim.revoked or claim.benign else weight(claim.confidence, claim.reliability),
            claim.observed,
            claim.valid_from,
            claim.valid_until,
            voices.setdefault(claim.voice, len(voices)),
        )
        for claim in claims
    ]


def _assess_one(curve: Curve, row: ClaimRow, now: Micros) -> tuple[int, Micros | None]:
    _, strength, observed, valid_from, valid_until, _ = row
    if now < valid_from:
        begins = valid_until is None or valid_from < valid_until
        rises = begins and int(100 * strength * curve.factor(valid_from - observed) + _ROUNDING) > 0
        return 0, valid_from if rises else None
    if valid_until is not None and now >= valid_until:
        return 0, None
    value = int(100 * strength * curve.factor(now - observed) + _ROUNDING)
    if value == 0:
        return 0, None
    at = observed + _age_below(curve, _FLOORS[value], strength)
    if valid_until is not None and valid_until < at:
        at = valid_until
    return value, max(at, now + 1)


def _age_below(curve: Curve, floor: int, strength: float) -> Micros:
    """Gives the age at which a claim of some strength falls below a score, never late."""
    left = (floor - _ROUNDING) / 100 / strength
    return curve.age_at(min(1.0, left)) - _SAFETY


class Assessor:
    """Scores many values at one moment, each by one claim that is valid and has no end: as ``assess``, in less time.

    Rows of a list share their times and weights, of which each is reckoned with once.
    """

    __slots__ = ("_ages", "_curve", "_factors", "_now")

    def __init__(self, kind: Kind, now: Micros) -> None:
        self._curve = CURVES[kind]
        self._now = now
        self._factors: dict[Micros, float] = {}
        self._ages: dict[tuple[int, float], Micros] = {}

    def assess(self, strength: float, observed: Micros) -> tuple[int, Micros | None]:
        """Gives the score and the moment at which it next leaves its band by time alone; ``strength`` is its weight."""
        factor = self._factors.get(observed)
        if factor is None:
            factor = self._factors[observed] = self._curve.factor(self._now - observed)
        value = int(100 * strength * factor + _ROUNDING)
        if value == 0:
            return 0, None
        floor = _FLOORS[value]
        age = self._ages.get((floor, strength))
        if age is None:
            age = self._ages[floor, strength] = _age_below(self._curve, floor, strength)
        return value, max(observed + age, self._now + 1)


class _Course:
    """The score of one observable as a function of time, as long as nothing new is heard."""

    __slots__ = ("_cap", "_factor", "_power", "_relayed", "_rows", "_tau")

    def __init__(self, curve: Curve, claims: Sequence[ClaimRow], evidence: Evidence) -> None:
        self._tau = curve.tau
        self._power = 1.0 / curve.delta
        self._rows = [row for row in claims if row[1]]
        # Where each source names one origin, the sources' sum is never the lower one.
        self._relayed = len({row.source for row in self._rows}) < len({(row.source, row.origin) for row in self._rows})
        self._cap = 100 if evidence.known_benign is None else BENIGN_CAP
        self._factor = odds_factor(evidence)

    def value_at(self, at: Micros) -> int:
        return min(self._cap, int(100 * self.chance_at(at) + _ROUNDING))

    def chance_at(self, at: Micros) -> float:
        """Gives P after evidence, before the cap."""
        tau, power = self._tau, self._power
        by_origin: dict[int, float] = {}
        by_source: dict[int, float] = {}
        for origin, fresh, observed, valid_from, valid_until, source in self._rows:
            age = at - observed
            if age >= tau or valid_from > at or (valid_until is not None and valid_until <= at):
                continue
            chance = fresh * (1.0 - (age / tau) ** power) if age > 0 else fresh
            if chance > by_origin.get(origin, 0.0):
                by_origin[origin] = chance
            if self._relayed and chance > by_source.get(source, 0.0):
                by_source[source] = chance
        chance = together(by_origin.values())
        if self._relayed:
            chance = min(chance, together(by_source.values()))
        return chance if self._factor == 1.0 else after_evidence(chance, self._factor)

    def next_change(self, now: Micros, value: int) -> Micros | None:
        """Walks from one beginning claim to the next; in between, the score can only fall."""
        floor = _FLOORS[value]
        start = now
        for rise in sorted({row.valid_from for row in self._rows if row.valid_from > now}):
            if self.value_at(rise - 1) < floor:
                return self._fall(floor, start, rise - 1, now)
            if _FLOORS[self.value_at(rise)] != floor:
                return rise
            start = rise
        if floor == 0:
            return None
        return self._fall(floor, start, max(self._end(row) for row in self._rows), now)

    def _end(self, row: ClaimRow) -> Micros:
        gone = row.observed + self._tau
        return gone if row.valid_until is None else min(gone, row.valid_until)

    def _fall(self, floor: int, start: Micros, end: Micros, now: Micros) -> Micros:
        """Finds when the score falls below a floor, given that it does so between two moments."""
        ends = sorted(
            {row.valid_until for row in self._rows if row.valid_until is not None and start < row.valid_until <= end}
        )
        first = bisect_left(ends, True, key=lambda at: self.value_at(at) < floor)
        if first < len(ends):
            end = ends[first]
            if self.value_at(end - 1) >= floor:
                return end
            end -= 1
        if first > 0:
            start = ends[first - 1]
        return max(self._root((floor - _ROUNDING) / 100, start, end), now + 1)

    def _root(self, threshold: float, start: Micros, end: Micros) -> Micros:
        """Finds where the chance falls through a threshold on a stretch where it is continuous: never late.

        The secant through the last two points, within a bracket; where that leads out of it, or has
        gone on for long, the bracket is halved.
        """
        before, height_before = end, self.chance_at(end) - threshold
        last, height = start, self.chance_at(start) - threshold
        steps = 0
        while end - start > _LATEST_EARLY:
            steps += 1
            middle = (start + end) // 2
            if steps % 8 and height != height_before:
                # A little beyond the estimate, so that a good one is hemmed in from both sides at once.
                guess = last - int(height * (last - before) / (height - height_before))
                guess += _LATEST_EARLY // 2 if height >= 0 else -_LATEST_EARLY // 2
                middle = guess if start < guess < end else middle
            before, height_before = last, height
            last, height = middle, self.chance_at(middle) - threshold
            if height >= 0:
                start = middle
            else:
                end = middle
        return start
