"""The merged view: what our own tools are told of one value, and when it must be looked at again."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import BEGUN, DAY, NOW, SECOND, US, ip
from threatshare.model import Claim, Evidence, Kind, Marking, Tlp, Verdict, band_of
from threatshare.stix.objects import siem_indicator_id
from threatshare.triage.decay import lifetime
from threatshare.triage.merged import CEILING, Merged, merge
from threatshare.triage.score import score

NOTHING = Evidence()
SAID = Claim("feed-a", "indicator--a", "alpha", "A", 80, NOW, BEGUN, None, marking=Marking(Tlp.GREEN))
RED = replace(SAID, source="feed-red", origin="red", marking=Marking(Tlp.RED))


def view(*claims: Claim, floor: int = 1, at: int = NOW, evidence: Evidence = NOTHING) -> Merged:
    return merge(ip(), claims, evidence, US, floor, at)


def test_what_it_says() -> None:
    """It says score, strictest marking, widest validity, band and sources, under one id that never changes."""
    other = replace(
        SAID, source="Feed B!", origin="beta", confidence=50, valid_from=BEGUN - DAY, marking=Marking(Tlp.AMBER_STRICT)
    )
    one = view(SAID, other)
    assert one.facts is not None
    assert one.id == one.facts.id == siem_indicator_id(US, ip())
    assert one.score == one.facts.confidence == 90
    assert one.facts.tlp is Tlp.AMBER_STRICT
    assert one.facts.valid_from == BEGUN - DAY
    assert 0 <= one.facts.valid_until - (NOW + lifetime(Kind.IPV4, 0.0)) < 7 * DAY
    assert one.facts.labels == ["score:high", "source:feed-a", "source:feed-b"]
    assert one.reason.verdict is Verdict.RELEASE


@pytest.mark.parametrize(
    "hidden",
    [RED, replace(RED, marking=Marking(None)), replace(RED, marking=Marking(None, ("unreadable",)))],
)
def test_what_is_above_the_ceiling_takes_no_part(hidden: Claim) -> None:
    """A claim marked RED, unreadably or not at all has no part in score, sources and validity, alone or with others."""
    assert replace(view(SAID, hidden), look_again=None) == view(SAID)
    alone = view(hidden)
    assert (alone.facts, alone.score) == (None, 0)
    assert "above the ceiling" in alone.reason.text


@pytest.mark.parametrize(
    "fallen",
    [
        replace(SAID, revoked=True),
        replace(SAID, benign=True),
        replace(SAID, valid_until=NOW),
        replace(SAID, valid_from=NOW + 1),
        replace(SAID, observed=NOW - 48 * DAY),
        replace(SAID, confidence=0),
    ],
)
def test_what_does_not_stand_is_not_served(fallen: Claim) -> None:
    """Revoked, benign, ended, not begun, decayed, worth nothing: the view is empty, and others gain nothing by it."""
    empty = view(fallen)
    assert (empty.facts, empty.reason.verdict) == (None, Verdict.REFUSE)
    assert view(replace(fallen, source="feed-b"), SAID).score == view(SAID).score


def test_evidence_counts() -> None:
    """What is ours is never served; what is known benign only under a floor of at most 20."""
    assert view(SAID, evidence=Evidence(own_asset=True)).facts is None
    assert view(SAID, evidence=Evidence(known_benign="a list"), floor=21).facts is None
    assert view(SAID, evidence=Evidence(known_benign="a list"), floor=20).facts is not None


def test_the_digest_follows_what_is_told() -> None:
    """The digest changes with band, marking, validity and sources, and not with the score within its band."""
    known = {view(SAID).digest}
    for other in (
        replace(SAID, confidence=60),
        replace(SAID, marking=Marking(Tlp.AMBER)),
        replace(SAID, valid_until=NOW + DAY),
        replace(SAID, valid_from=BEGUN - DAY),
        replace(SAID, source="feed-b"),
    ):
        digest = view(other).digest
        assert digest not in known
        known.add(digest)
    assert view(replace(SAID, confidence=79)).digest == view(SAID).digest
    assert view(SAID, at=NOW + DAY).digest == view(SAID).digest


def test_validity_of_a_moment() -> None:
    """A claim that ends a moment after it began still makes a validity that STIX allows."""
    one = view(replace(SAID, valid_from=NOW - 1, valid_until=NOW + 1))
    assert one.facts is not None
    assert one.facts.valid_from // 1000 < one.facts.valid_until // 1000


def test_usually_nothing_to_look_at_before_the_score_changes() -> None:
    """With all claims visible and begun, and a floor that is a band's, the score's own next change is enough."""
    for floor in (1, 30, 70):
        assert view(SAID, floor=floor).look_again is None
    assert view(replace(SAID, valid_until=NOW + DAY)).look_again is None


def test_a_claim_that_begins() -> None:
    """A claim that begins later is looked at when it begins, unless it is void."""
    later = replace(SAID, valid_from=NOW + DAY)
    assert view(SAID, later).look_again == NOW + DAY
    assert view(SAID, replace(later, revoked=True)).look_again is None


begins = st.integers(-30, 20).map(lambda days: NOW + days * DAY)
claims = st.builds(
    Claim,
    source=st.sampled_from(["feed-a", "feed-b"]),
    indicator_id=st.just("indicator--a"),
    origin=st.sampled_from(["alpha", "beta", "gamma"]),
    reliability=st.sampled_from("ABE"),
    confidence=st.sampled_from([20, 60, 100]),
    observed=st.integers(-40, 0).map(lambda days: NOW + days * DAY),
    valid_from=begins,
    valid_until=st.none() | st.integers(21, 60).map(lambda days: NOW + days * DAY),
    revoked=st.sampled_from([False, False, True]),
    marking=st.sampled_from([Marking(Tlp.GREEN), Marking(Tlp.AMBER_STRICT), Marking(Tlp.RED), Marking(None, ("x",))]),
)


def told(one: Merged) -> tuple[object, ...]:
    """Gives what a change of would need a new version: whether it is served, and its band, end and marking."""
    return (None,) if one.facts is None else (band_of(one.score), one.facts.valid_until)


@given(st.lists(claims, max_size=5), st.sampled_from([0, 1, 30, 45, 70]), st.floats(0, 1), st.integers(0, 60 * 86_400))
def test_nothing_changes_unseen(said: list[Claim], floor: int, share: float, near: int) -> None:
    """Until it is looked at again, or the whole score leaves its band, the view is served or not as it was."""
    one = merge(ip(), said, NOTHING, US, floor, NOW)
    due = [score(Kind.IPV4, said, NOTHING, NOW).next_change, one.look_again]
    end = min((at for at in due if at is not None), default=NOW + 500 * DAY)
    assert end > NOW
    for at in (NOW + int((end - 1 - NOW) * share), max(NOW, end - 1 - near * SECOND), end - 1):
        assert told(merge(ip(), said, NOTHING, US, floor, at)) == told(one)


@given(st.lists(claims, max_size=5), st.sampled_from([0, 1, 30, 45, 70]))
def test_looking_again_ends(said: list[Claim], floor: int) -> None:
    """From one look to the next the view comes to rest."""
    at = NOW
    for _ in range(100):
        one = merge(ip(), said, NOTHING, US, floor, at)
        due = [score(Kind.IPV4, said, NOTHING, at).next_change, one.look_again]
        moments = [moment for moment in due if moment is not None]
        if not moments:
            break
        at = min(moments) + SECOND
    assert not moments
    assert CEILING is Tlp.AMBER_STRICT
