"""When the merged view must be looked at again: at every moment at which it tells something else."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from builders import BEGUN, DAY, NOW, US, ip
from threatshare.model import Claim, Evidence, Kind, Marking, Tlp
from threatshare.triage.decay import lifetime
from threatshare.triage.merged import MONITOR_ONLY, Merged, merge
from threatshare.triage.score import score

SAID = Claim("feed-a", "", "alpha", "A", 90, NOW, BEGUN, NOW + 20 * DAY, marking=Marking(Tlp.GREEN))
SHORT = replace(SAID, source="feed-b", origin="beta", confidence=1, valid_until=NOW + DAY)


def view(*claims: Claim, at: int = NOW) -> Merged:
    return merge(ip(), claims, Evidence(), US, 1, at)


def test_one_of_two_ends() -> None:
    """Where one of two claims ends, the view is looked at again, and is then as the other alone has it."""
    both = view(SAID, SHORT)
    assert both.look_again == SHORT.valid_until
    assert view(SAID, SHORT, at=NOW + DAY).digest == view(SAID, at=NOW + DAY).digest != both.digest


def test_a_stricter_marking_ends_with_its_claim() -> None:
    """The marking of a claim binds as long as the claim stands, and no longer: neither its TLP nor its PAP."""
    strict = replace(SHORT, marking=Marking(Tlp.AMBER_STRICT))
    free = replace(SHORT, source="feed-c", marking=Marking(Tlp.GREEN))
    watched = replace(SAID, marking=Marking(Tlp.GREEN, may_block=False))
    for claims, before, after in (
        ((SAID, strict), (Tlp.AMBER_STRICT, False), (Tlp.GREEN, False)),
        ((watched, free), (Tlp.GREEN, False), (Tlp.GREEN, True)),
    ):
        said = []
        for at in (NOW, view(*claims).look_again or 0):
            facts = view(*claims, at=at).facts
            assert facts is not None
            said.append((facts.tlp, MONITOR_ONLY in facts.labels))
        assert said == [before, after]


def test_the_last_one_is_no_reason() -> None:
    """With the last of the claims the score falls to nothing, which is seen without looking again for it."""
    assert view(SAID).look_again is None
    assert view(SAID, replace(SHORT, valid_until=SAID.valid_until)).look_again is None
    assert view(replace(SAID, revoked=True), SHORT).look_again is None


def test_an_end_by_decay_is_told_to_the_week() -> None:
    """What ends by decay alone is told till the end of that week; what its source states, to the moment."""
    listed = replace(SAID, valid_until=None)
    gone = [NOW + day * DAY + lifetime(Kind.IPV4, 0.0) for day in range(21)]
    told = [view(replace(listed, observed=NOW + day * DAY), at=NOW + day * DAY).facts for day in range(21)]
    ends = [one.valid_until for one in told if one is not None]
    assert all(0 <= end - at < 7 * DAY for end, at in zip(ends, gone, strict=True))
    assert len(set(ends)) == 4
    stated = view(SAID).facts
    assert stated is not None
    assert stated.valid_until == SAID.valid_until


claims = st.builds(
    Claim,
    source=st.sampled_from(["feed-a", "feed-b"]),
    indicator_id=st.just(""),
    origin=st.sampled_from(["alpha", "beta"]),
    reliability=st.sampled_from("ABE"),
    confidence=st.sampled_from([0, 20, 100]),
    observed=st.integers(-40, 0).map(lambda days: NOW + days * DAY),
    valid_from=st.integers(-30, 20).map(lambda days: NOW + days * DAY),
    valid_until=st.none() | st.integers(21, 60).map(lambda days: NOW + days * DAY),
    revoked=st.sampled_from([False, False, True]),
    benign=st.sampled_from([False, False, True]),
    marking=st.builds(Marking, st.sampled_from([Tlp.GREEN, Tlp.AMBER, Tlp.RED]), may_block=st.booleans()),
)


@given(st.lists(claims, max_size=5), st.sampled_from([0, 1, 30, 45, 70]), st.floats(0, 1))
def test_nothing_that_is_told_changes_unseen(said: list[Claim], floor: int, share: float) -> None:
    """Until it is looked at again, or the whole score leaves its band, the view tells the same in every part."""
    one = merge(ip(), said, Evidence(), US, floor, NOW)
    due = [score(Kind.IPV4, said, Evidence(), NOW).next_change, one.look_again]
    end = min((at for at in due if at is not None), default=NOW + 500 * DAY)
    for at in (NOW + int((end - 1 - NOW) * share), end - 1):
        assert merge(ip(), said, Evidence(), US, floor, at).digest == one.digest
