"""The score: worked examples of the sharing rules, caps, evidence, and the next change."""

from __future__ import annotations

from dataclasses import replace

import pytest

from threatshare.model import Claim, Evidence, Kind
from threatshare.triage.decay import CURVES, DAY
from threatshare.triage.score import NO_EVIDENCE, ClaimRow, assess, score, weight

NOW = 1_790_000_000_000_000
FRESH_B85 = Claim("feed-a", "indicator--a", "alpha", "B", 85, NOW, NOW - DAY, None)
FRESH_C70 = Claim("feed-b", "indicator--b", "beta", "C", 70, NOW, NOW - DAY, None)


def value(*claims: Claim, evidence: Evidence = NO_EVIDENCE, kind: Kind = Kind.IPV4) -> int:
    return score(kind, claims, evidence, NOW).value


def test_two_independent_sources() -> None:
    """B at 85 and C at 70, both fresh and independent, make 76 (sharing rules §3.5)."""
    assert value(FRESH_B85, FRESH_C70) == 76


def test_one_origin_counts_once() -> None:
    """The same two claims of one origin make 64, the stronger alone: a copy is no corroboration."""
    assert value(FRESH_B85, replace(FRESH_C70, origin="alpha")) == value(FRESH_B85) == 64


@pytest.mark.parametrize(
    ("confidence", "reliability", "wanted"),
    [
        (85, "B", 0.6375),
        (70, "C", 0.35),
        (100, "A", 0.95),
        (100, "D", 0.25),
        (100, "E", 0.0),
        (100, "F", 0.5),
        (0, "A", 0.0),
        (None, "A", 0.5),
    ],
)
def test_weight(confidence: int | None, reliability: str, wanted: float) -> None:
    """A claim weighs confidence times reliability, at most .95; no stated confidence is 50, never zero."""
    assert weight(confidence, reliability) == pytest.approx(wanted)


def test_nobody_knows_it() -> None:
    """Without claims the score is 0 and stays it."""
    assert assess(Kind.IPV4, [], NO_EVIDENCE, NOW) == (0, None)


@pytest.mark.parametrize(
    "spoilt",
    [
        replace(FRESH_B85, revoked=True),
        replace(FRESH_B85, benign=True),
        replace(FRESH_B85, reliability="E"),
        replace(FRESH_B85, valid_until=NOW),
        replace(FRESH_B85, valid_from=NOW + 1),
    ],
    ids=["revoked", "benign", "unreliable", "expired", "not yet valid"],
)
def test_spoilt_claims_count_nothing(spoilt: Claim) -> None:
    """A claim that is revoked, benign, unreliable, expired or not yet valid is worth nothing, and harms no other."""
    assert value(spoilt) == 0
    assert value(spoilt, FRESH_C70) == value(FRESH_C70) == 35


def test_valid_until_the_last_microsecond() -> None:
    """A claim counts up to its valid_until, which itself is outside."""
    assert value(replace(FRESH_B85, valid_until=NOW + 1)) == 64


@pytest.mark.parametrize(
    ("evidence", "wanted"),
    [
        (Evidence(false_positives=1), 15),  # odds 1.7586 x .1
        (Evidence(false_positives=2), 2),
        (Evidence(confirmed_sightings=1), 90),  # odds x 5
        (Evidence(false_positives=1, confirmed_sightings=1), 47),
        (Evidence(false_positives=10_000), 0),
        (Evidence(confirmed_sightings=10_000), 100),
        (Evidence(known_benign="list"), 20),
        (Evidence(known_benign="list", confirmed_sightings=9), 20),
        (Evidence(own_asset=True, confirmed_sightings=9), 0),
    ],
)
def test_evidence(evidence: Evidence, wanted: int) -> None:
    """False positives and confirmed sightings act on the odds; known benign caps at 20; an own asset is 0."""
    assert value(FRESH_B85, evidence=evidence) == wanted


def test_evidence_makes_nothing_of_nothing() -> None:
    """Sightings of a value that nobody claims to be malicious leave it at 0."""
    assert value(replace(FRESH_B85, revoked=True), evidence=Evidence(confirmed_sightings=5)) == 0


def test_a_benign_value_of_little_weight_is_not_lifted_to_the_cap() -> None:
    """The cap of known-benign values lowers and never raises."""
    assert value(replace(FRESH_B85, confidence=5), evidence=Evidence(known_benign="list")) == 4


def test_next_change_of_one_claim() -> None:
    """A fresh address at 95 leaves the high band when the curve says so, to the second."""
    said, change = assess(Kind.IPV4, [ClaimRow(0, 0.95, NOW, NOW, None, 0)], NO_EVIDENCE, NOW)
    assert said == 95
    assert change == pytest.approx(NOW + CURVES[Kind.IPV4].age_at(0.695 / 0.95), abs=1_000_000)


def test_valid_until_is_the_next_change_where_it_comes_first() -> None:
    """A claim that ends before it has decayed changes the score exactly when it ends."""
    for others in ([], [ClaimRow(1, 0.1, NOW, NOW, None, 1)]):
        rows = [ClaimRow(0, 0.9, NOW, NOW, NOW + DAY, 0), *others]
        assert assess(Kind.DOMAIN, rows, NO_EVIDENCE, NOW)[1] == NOW + DAY


def test_a_claim_that_becomes_valid_is_the_next_change() -> None:
    """A claim that is valid from tomorrow changes the score exactly then, alone or beside another."""
    later = ClaimRow(0, 0.9, NOW, NOW + DAY, None, 0)
    assert assess(Kind.DOMAIN, [later], NO_EVIDENCE, NOW) == (0, NOW + DAY)
    assert assess(Kind.DOMAIN, [later, ClaimRow(1, 0.5, NOW, NOW, None, 1)], NO_EVIDENCE, NOW) == (50, NOW + DAY)


@pytest.mark.parametrize(
    "row",
    [
        ClaimRow(0, 0.9, NOW - 400 * DAY, NOW + DAY, None, 0),
        ClaimRow(0, 0.9, NOW, NOW + DAY, NOW + DAY, 0),
        ClaimRow(0, 0.0, NOW, NOW + DAY, None, 0),
    ],
    ids=["decayed by then", "ends as it begins", "weighs nothing"],
)
def test_a_claim_that_never_counts_never_changes_anything(row: ClaimRow) -> None:
    """A claim that will be worth nothing when it becomes valid gives no moment of change."""
    assert assess(Kind.IPV4, [row], NO_EVIDENCE, NOW) == (0, None)
    assert assess(Kind.IPV4, [row, row], NO_EVIDENCE, NOW) == (0, None)


def test_a_capped_score_changes_only_below_the_cap() -> None:
    """A known-benign value changes its band when its uncapped score falls to nothing, not when it passes 70 or 30."""
    row = ClaimRow(0, 0.95, NOW, NOW, None, 0)
    said, change = assess(Kind.IPV4, [row], Evidence(known_benign="list"), NOW)
    assert said == 20
    assert change == pytest.approx(NOW + CURVES[Kind.IPV4].age_at(0.005 / 0.95), abs=2_000_000)


def test_a_zero_score_has_no_next_change() -> None:
    """A score that is 0 for good is never due again."""
    row = ClaimRow(0, 0.9, NOW - 900 * DAY, NOW - 900 * DAY, None, 0)
    for rows in ([row], [row, row]):
        assert assess(Kind.DOMAIN, rows, NO_EVIDENCE, NOW) == (0, None)
    assert assess(Kind.DOMAIN, [ClaimRow(0, 0.9, NOW, NOW, None, 0)], Evidence(own_asset=True), NOW) == (0, None)
