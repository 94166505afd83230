"""Laws of the score, for any claims: what merging, time and copying may never do to it."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from threatshare.model import Claim, Evidence, Kind, band_of
from threatshare.triage.decay import CURVES, DAY
from threatshare.triage.score import ClaimRow, assess, rows_of, score

NOW = 1_790_000_000_000_000
SPAN = 500 * DAY
A_MINUTE = 60_000_000

kinds = st.sampled_from(list(Kind))
ages = st.one_of(st.integers(-2 * DAY, SPAN), st.sampled_from([0, 1, DAY, 47 * DAY, 460 * DAY]))
evidences = st.builds(
    Evidence,
    st.integers(0, 4),
    st.integers(0, 4),
    st.sampled_from([False, False, False, True]),
    st.sampled_from([None, None, None, "list"]),
)


@st.composite
def claims(draw: st.DrawFn, may_begin_later: bool = True) -> Claim:
    observed = NOW - draw(ages)
    latest_start = 100 * DAY if may_begin_later else 0
    valid_from = NOW + draw(st.integers(-SPAN, latest_start))
    lasts = draw(st.none() | st.integers(1, SPAN))
    return Claim(
        source=draw(st.sampled_from(["s1", "s2", "s3"])),
        indicator_id=f"indicator--{draw(st.integers(0, 5))}",
        origin=draw(st.sampled_from(["o1", "o2", "o3", "o4"])),
        reliability=draw(st.sampled_from("ABCDEF")),
        confidence=draw(st.none() | st.integers(0, 100)),
        observed=observed,
        valid_from=valid_from,
        valid_until=None if lasts is None else valid_from + lasts,
        revoked=draw(st.sampled_from([False, False, False, True])),
        benign=draw(st.sampled_from([False, False, False, True])),
    )


some = st.lists(claims(), max_size=6)
begun = st.lists(claims(may_begin_later=False), max_size=6)


@given(kinds, some, evidences, st.randoms())
def test_order_does_not_matter(kind: Kind, given_claims: list[Claim], evidence: Evidence, random: Random) -> None:
    """The same claims in any order give the same score, explanation and band change, to the second."""
    shuffled = list(given_claims)
    random.shuffle(shuffled)
    first, second = score(kind, given_claims, evidence, NOW), score(kind, shuffled, evidence, NOW)
    assert (first.value, first.terms) == (second.value, second.terms)
    assert first.next_change == second.next_change


@given(kinds, some, evidences)
def test_a_claim_twice_is_a_claim_once(kind: Kind, given_claims: list[Claim], evidence: Evidence) -> None:
    """Taking everything in a second time changes nothing."""
    assert score(kind, given_claims * 2, evidence, NOW).value == score(kind, given_claims, evidence, NOW).value


@given(kinds, some, claims(), evidences, st.integers(0, 100), st.integers(0, SPAN), st.integers(0, DAY))
def test_a_copy_changes_nothing(
    kind: Kind, others: list[Claim], said: Claim, evidence: Evidence, weaker: int, older: int, shorter: int
) -> None:
    """A copy of a claim, under another name and no stronger, newer or longer valid, never changes the score.

    Unless a source had been counted once for several origins: then the score stays below what these are worth.
    """
    copy = replace(
        said,
        source="aggregator",
        indicator_id="indicator--copy",
        confidence=min(weaker, 50 if said.confidence is None else said.confidence),
        observed=said.observed - older,
        valid_from=said.valid_from + shorter,
    )
    apart = [replace(one, source=f"source {number}") for number, one in enumerate([*others, said])]
    of_origins = score(kind, apart, evidence, NOW).value
    assert score(kind, [*apart, copy], evidence, NOW).value == of_origins
    assert score(kind, [*others, said], evidence, NOW).value <= of_origins
    assert score(kind, [*others, said, copy], evidence, NOW).value <= of_origins


@given(kinds, some, evidences)
def test_bounded_and_explained(kind: Kind, given_claims: list[Claim], evidence: Evidence) -> None:
    """A score lies within 0 and 100, within its caps, and its last line says it."""
    result = score(kind, given_claims, evidence, NOW)
    assert 0 <= result.value <= 100
    assert evidence.known_benign is None or result.value <= 20
    assert not evidence.own_asset or result.value == 0
    assert result.terms[-1] == f"score {result.value} ({result.band})"


@given(kinds, begun, evidences, st.integers(0, SPAN), st.integers(0, SPAN))
def test_time_alone_never_raises_it(
    kind: Kind, given_claims: list[Claim], evidence: Evidence, sooner: int, later: int
) -> None:
    """Without new evidence, and with every claim begun, a later score is never higher."""
    first, second = sorted((NOW + sooner, NOW + later))
    assert score(kind, given_claims, evidence, second).value <= score(kind, given_claims, evidence, first).value


@given(kinds, some, claims(), evidences)
def test_another_source_never_lowers_it(kind: Kind, given_claims: list[Claim], more: Claim, evidence: Evidence) -> None:
    """One more claim, of whatever origin and weight, never lowers a score."""
    before = score(kind, given_claims, evidence, NOW).value
    assert score(kind, [*given_claims, replace(more, origin="somebody else")], evidence, NOW).value >= before
    assert score(kind, [*given_claims, more], evidence, NOW).value >= before


@given(kinds, some, evidences)
def test_one_source_counts_once(kind: Kind, given_claims: list[Claim], evidence: Evidence) -> None:
    """However many origins a source names, all that it says weighs no more than its strongest claim alone."""
    ours = [replace(one, source="a partner", origin=f"invented {number}") for number, one in enumerate(given_claims)]
    alone = [score(kind, [one], evidence, NOW).value for one in ours]
    assert score(kind, ours, evidence, NOW).value == max(alone, default=0)


@given(kinds, some, evidences)
def test_negative_evidence_never_raises_and_sightings_never_lower(
    kind: Kind, given_claims: list[Claim], evidence: Evidence
) -> None:
    """One more false positive never raises a score; one more confirmed sighting never lowers it."""
    value = score(kind, given_claims, evidence, NOW).value
    worse = replace(evidence, false_positives=evidence.false_positives + 1)
    better = replace(evidence, confirmed_sightings=evidence.confirmed_sightings + 1)
    assert score(kind, given_claims, worse, NOW).value <= value <= score(kind, given_claims, better, NOW).value


@given(kinds, some, evidences)
def test_the_hot_path_is_the_same_rule(kind: Kind, given_claims: list[Claim], evidence: Evidence) -> None:
    """The value without explanation is the value with it."""
    explained = score(kind, given_claims, evidence, NOW)
    assert assess(kind, rows_of(given_claims), evidence, NOW) == (explained.value, explained.next_change)


@given(kinds, claims(), st.booleans())
def test_the_closed_form_is_the_general_one(kind: Kind, said: Claim, twice: bool) -> None:
    """One claim alone, by its short cut, gives what the general rule gives."""
    row = rows_of([said])[0]
    short, general = assess(kind, [row], Evidence(), NOW), assess(kind, [row, row], Evidence(), NOW)
    assert short[0] == general[0]
    assert (short[1] is None) == (general[1] is None)
    if short[1] is not None and general[1] is not None:
        assert abs(short[1] - general[1]) <= 2_000_000


@given(kinds, some, evidences, st.floats(0, 1), st.integers(0, 10 * A_MINUTE))
def test_next_change_is_never_late(
    kind: Kind, given_claims: list[Claim], evidence: Evidence, share: float, near: int
) -> None:
    """Until its next change a score stays in its band; without one, for ever."""
    rows = rows_of(given_claims)
    value, change = assess(kind, rows, evidence, NOW)
    end = change if change is not None else NOW + 4 * SPAN
    assert end > NOW
    for at in (NOW + int((end - 1 - NOW) * share), max(NOW, end - 1 - near), end - 1):
        assert band_of(assess(kind, rows, evidence, at)[0]) == band_of(value)


@given(kinds, some, evidences)
def test_next_change_is_hardly_early(kind: Kind, given_claims: list[Claim], evidence: Evidence) -> None:
    """Within a minute of its next change a score is in another band."""
    rows = rows_of(given_claims)
    value, change = assess(kind, rows, evidence, NOW)
    if change is not None:
        moments = {change, change + A_MINUTE}
        assert any(band_of(assess(kind, rows, evidence, at)[0]) != band_of(value) for at in moments)


@given(kinds, st.lists(claims(), min_size=2, max_size=12), evidences)
def test_walking_the_changes_ends(kind: Kind, given_claims: list[Claim], evidence: Evidence) -> None:
    """From one next change to the next, a score comes to rest: the daemon never goes round in circles."""
    rows = rows_of(given_claims)
    at = NOW
    for _ in range(8 * len(rows) + 8):
        change = assess(kind, rows, evidence, at)[1]
        if change is None:
            break
        # The daemon comes at the earliest a second after what is due.
        at = change + 1_000_000
    assert assess(kind, rows, evidence, at)[1] is None


@given(
    st.lists(
        st.builds(
            ClaimRow, st.integers(0, 9), st.floats(0, 0.95), st.just(NOW), st.just(NOW), st.none(), st.integers(0, 3)
        )
    )
)
def test_all_weights(rows: list[ClaimRow]) -> None:
    """Any number of claims of any weight gives a score from 0 to 100."""
    assert 0 <= assess(Kind.DOMAIN, rows, Evidence(), NOW)[0] <= 100


def test_the_curves_are_long_enough_for_these_laws() -> None:
    """The span of these tests covers every curve's whole life."""
    assert max(curve.tau for curve in CURVES.values()) < SPAN
