"""Whose word it is: agreements and ties by hand are asked together, and where they disagree nobody gains by it."""

from __future__ import annotations

from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from gate_builders import BAD, THEM, agreement, ask, facts, our_indicator, our_sighting, partner, rules_against
from threatshare.model import Claim, Marking, Tlp, Verdict
from threatshare.policy.agreements import Inbound
from threatshare.policy.candidates import OWN
from threatshare.policy.gate import policy_of
from threatshare.policy.marking_rules import why_not_blocked
from threatshare.policy.senders import NO_TIES, Ties, claimants, sole

REFUSE = Verdict.REFUSE
NORTH = agreement(inbound=Inbound(onward_max_tlp="green"))
SOUTH = agreement("south", inbound=Inbound(onward_max_tlp="green", sources=("desk-9",)))
BOTH = {"north": NORTH, "south": SOUTH}
TIED = Ties(
    {"desk-7": "north", "desk-9": "north"},
    {one: one.removesuffix(" (inbox)") for one in ("desk-7", "desk-7 (inbox)", "desk-9", "south")},
)
"""desk-7 is north's by hand; desk-9 is too, while the agreement with south names it."""
GIVEN = facts(agreements=BOTH, ties=TIED)


def theirs() -> dict[str, Any]:
    """An indicator of somebody else's."""
    return our_indicator(BAD, Tlp.GREEN, THEM)


@pytest.mark.parametrize("source", ["desk-7", "desk-7 (inbox)"])
def test_what_a_tied_account_posts_does_not_go_back(source: str) -> None:
    """What an account that was tied to a partner posts is no news to it, and goes on as its agreement says."""
    said = ask(theirs(), source=source)
    assert ("no-echo", REFUSE) in rules_against(said, partner(NORTH), GIVEN)
    assert rules_against(said, partner(SOUTH), GIVEN) == []
    strict = facts(agreements=BOTH | {"north": agreement()}, ties=TIED)
    assert rules_against(said, partner(SOUTH), strict) == [("onward", REFUSE)]
    assert ("no-echo", REFUSE) not in rules_against(said, partner(NORTH), facts(agreements=BOTH))


def test_where_two_partners_are_named_it_goes_to_neither_and_on_to_nobody() -> None:
    """What is said to be two partners' goes back to none of them, on to no third, and is no feedback for either."""
    east = agreement("east")
    given = facts(agreements=BOTH | {"east": east}, ties=TIED)
    for one in (NORTH, SOUTH):
        assert {("no-echo", REFUSE), ("onward", REFUSE)} <= set(
            rules_against(ask(theirs(), source="desk-9"), partner(one), given)
        )
        sighting = ask(our_sighting(our_indicator()["id"], Tlp.AMBER), [], about="desk-9")
        assert ("onward", REFUSE) in rules_against(sighting, partner(one), given)
    assert ("onward", REFUSE) in rules_against(ask(theirs(), source="desk-9"), partner(east), given)
    assert given.agreement_of("desk-9") is None
    assert given.agreement_with("desk-9") is None


def test_a_feed_is_nobodys_because_an_account_has_its_name() -> None:
    """A tie says whose an account is; a feed of that name is whose the agreements say."""
    ties = Ties({"shared": "north"}, {"shared (inbox)": "shared"})
    given = facts(agreements=BOTH, ties=ties)
    assert given.partners_of("shared") == frozenset()
    assert given.partners_of("shared (inbox)") == {"north"}
    assert given.partners_of_account("shared") == {"north"}


def test_what_any_of_them_forbids_to_block_is_not_blocked() -> None:
    """Under two names the terms of both hold: what one of them does not let us block is not blocked."""
    forbids = agreement(inbound=Inbound(may_block=False))
    given = facts(agreements={"north": forbids, "south": SOUTH}, ties=TIED)
    claim = Claim("desk-9", "indicator--1", "desk-9", "C", None, 0, 0, None, marking=Marking(Tlp.GREEN))
    assert "north" in (why_not_blocked(claim, given, 0) or "")


def test_a_tie_has_all_decided_anew() -> None:
    """Decisions that are kept are asked again once an account is tied, or tied to another; without ties all stands."""
    audience = partner(NORTH)
    plain = policy_of(audience, facts(agreements=BOTH))
    assert policy_of(audience, facts(agreements=BOTH, ties=Ties({}, {"desk-7": "desk-7"}))) == plain
    made = {policy_of(audience, facts(agreements=BOTH, ties=Ties({"desk-7": one}))) for one in ("north", "south")}
    assert len(made | {plain}) == 3


NAMES = st.sampled_from(["a", "b", "c", "a (inbox)"])
PARTNERS = st.sampled_from(["north", "south", "east"])


@hypothesis.given(
    st.dictionaries(PARTNERS, st.frozensets(NAMES)),
    st.dictionaries(NAMES, PARTNERS),
    st.dictionaries(NAMES, NAMES),
    NAMES,
)
def test_more_that_is_said_never_takes_a_partner_away(
    named: dict[str, frozenset[str]], tied: dict[str, str], posters: dict[str, str], name: str
) -> None:
    """Every tie and every agreement can only add to whose something may be; one alone has rights by it."""
    for account in (True, False):
        found = claimants(name, named.items(), Ties(tied, posters), account)
        assert claimants(name, named.items(), NO_TIES, account) <= found
        assert found <= {*named, *tied.values()}
        assert sole(found) in ({None} if len(found) != 1 else found)
    assert facts(ties=Ties(tied, posters)).partners_of(OWN) == frozenset()
