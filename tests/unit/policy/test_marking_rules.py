"""What markings other than TLP ask: of what goes on to others, and of what may be blocked."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from gate_builders import BAD, INTERNAL, NOW, SIEM, THEM, TODAY, agreement, ask, facts, our_indicator, partner
from gate_builders import rules_against as against
from marking_builders import marking_uuid
from threatshare.model import Claim, Decision, Marking, Pap, Tlp, Verdict, micros, moment
from threatshare.policy import gate
from threatshare.policy.agreements import Inbound, Outbound
from threatshare.policy.gate import Candidate, Cleared, Facts, clear
from threatshare.policy.marking_rules import MARKING_TERMS, why_not_blocked
from threatshare.stix.marking_definitions import PAP_IDS
from threatshare.stix.objects import written

REF = marking_uuid()
DAY = 86_400_000_000
REFUSED, HELD = [(MARKING_TERMS, Verdict.REFUSE)], [(MARKING_TERMS, Verdict.HOLD)]
FREE = Marking(None, policies=(REF,))
FROM_FEED = facts(
    agreements={"hub": agreement("hub", inbound=Inbound(sources=("feed",), onward_max_tlp="green", may_block=True))}
)
"""Facts in which what the feed brings may go on as far as GREEN."""


def theirs(marking: Marking, **changed: Any) -> Candidate:
    """An object of the feed's, GREEN, with a marking that means what is given."""
    content = our_indicator(maker=THEM) | changed
    content = {name: value for name, value in content.items() if value is not None}
    content["object_marking_refs"] = [*content["object_marking_refs"], REF]
    return ask(content, [BAD], "feed", defined={REF: marking})


def test_a_policy_that_allows_it_lets_it_go_on() -> None:
    """Under a policy that lets everything be done the object goes on, byte for byte."""
    candidate = theirs(FREE)
    assert against(candidate, partner(), FROM_FEED) == []
    assert isinstance(clear(candidate, written(dict(candidate.content)), partner(), FROM_FEED), Cleared)


@pytest.mark.parametrize(
    "terms",
    [
        {"resharing": False},
        {"policy_tlp": Tlp.AMBER},
        {"policy_tlp": Tlp.RED},
        {"must_not_name": True},
        {"must_name": True, "must_not_name": True},
        {"ends": NOW - DAY},
        {"begins": NOW + DAY},
        # Decisions are as old as the day.
        {"ends": NOW},
        {"begins": NOW},
    ],
)
def test_a_policy_that_forbids_it_keeps_it(terms: dict[str, Any]) -> None:
    """Not to be passed on, above GREEN, nameless, not begun or ended: it stays, and inside nothing is asked."""
    candidate = theirs(replace(FREE, **terms))
    assert against(candidate, partner(), FROM_FEED) == REFUSED
    assert not isinstance(clear(candidate, written(dict(candidate.content)), partner(), FROM_FEED), Cleared)
    for inside in (INTERNAL, SIEM):
        assert MARKING_TERMS not in [rule for rule, _ in against(candidate, inside, FROM_FEED)]


@pytest.mark.parametrize(
    "terms", [{"policy_tlp": Tlp.GREEN}, {"must_name": True}, {"begins": NOW - DAY, "ends": NOW + DAY}]
)
def test_terms_that_are_kept(terms: dict[str, Any]) -> None:
    """Terms that the object meets as it is do not keep it."""
    assert against(theirs(replace(FREE, **terms)), partner(), FROM_FEED) == []


def test_a_policy_below_the_ceiling() -> None:
    """What a policy says of TLP is held against the ceiling like a label."""
    audience = partner(agreement(outbound=Outbound("clear")))
    candidate = theirs(replace(FREE, policy_tlp=Tlp.GREEN))
    assert (MARKING_TERMS, Verdict.REFUSE) in against(candidate, audience, FROM_FEED)


def test_a_creator_that_must_be_named() -> None:
    """Where the source is to be named, an object without creator stays."""
    candidate = theirs(replace(FREE, must_name=True), created_by_ref=None)
    assert against(candidate, partner(), FROM_FEED) == REFUSED


def test_a_statement_waits_for_a_person() -> None:
    """A statement may say anything, so a person reads it first; then the object goes."""
    held = theirs(Marking(None, statements=(REF,)))
    assert against(held, partner(), FROM_FEED) == HELD
    released = replace(held, approved={MARKING_TERMS: "A. Person on 2026-06-15: only a copyright"})
    assert against(released, partner(), FROM_FEED) == []
    assert isinstance(clear(released, written(dict(released.content)), partner(), FROM_FEED), Cleared)


def test_an_undefined_marking_still_refuses() -> None:
    """Without a definition from its source the marking is unknown, in the rules and in the bytes."""
    content = our_indicator(maker=THEM)
    content["object_marking_refs"] = [*content["object_marking_refs"], REF]
    candidate = ask(content, [BAD], "feed")
    assert against(candidate, partner(), FROM_FEED) == [("marking-unknown", Verdict.REFUSE)]


@pytest.mark.parametrize("ref", list(PAP_IDS))
def test_pap_goes_along(ref: str) -> None:
    """PAP does not say who may know: others' objects go on with it; ours never bear it."""
    content = our_indicator(maker=THEM)
    content["object_marking_refs"] = [*content["object_marking_refs"], ref]
    candidate = ask(content, [BAD], "feed")
    assert isinstance(clear(candidate, written(content), partner(), FROM_FEED), Cleared)
    ours = our_indicator()
    ours["object_marking_refs"] = [*ours["object_marking_refs"], ref]
    assert not isinstance(clear(ask(ours), written(ours), partner(), facts()), Cleared)


def test_the_second_look_finds_what_is_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even were there no rules, an object of ours with PAP, or of others with a marking that was not read, stays."""
    monkeypatch.setattr(gate, "RULES", ())
    for source, ref in (("own", next(iter(PAP_IDS))), ("feed", REF)):
        content = our_indicator()
        assert isinstance(clear(ask(content, [BAD], source), written(content), partner(), facts()), Cleared)
        content["object_marking_refs"] = [*content["object_marking_refs"], ref]
        decision = clear(ask(content, [BAD], source), written(content), partner(), facts())
        assert isinstance(decision, Decision)
        assert [reason.rule for reason in decision.reasons] == [gate.SERVED_BYTES]


# --- blocking ----------------------------------------------------------------------------------------

SAID = Claim("feed", "indicator--a", "feed", "A", 80, NOW, NOW, None, marking=Marking(Tlp.GREEN))
MARKING = "its marking (PAP, IEP or ACS)"


def under(**terms: Any) -> Facts:
    """Facts with an agreement that covers the feed and one identity."""
    return facts(agreements={"hub": agreement("hub", inbound=Inbound(sources=("feed", THEM), **terms))})


@pytest.mark.parametrize(
    ("marking", "why"),
    [
        (Marking(Tlp.GREEN), None),
        (Marking(Tlp.RED, pap=Pap.GREEN), None),
        (Marking(Tlp.GREEN, may_block=False), MARKING),
        (Marking(None, (REF,)), MARKING),
        (Marking(Tlp.GREEN, begins=NOW, ends=NOW), None),
        (Marking(Tlp.GREEN, begins=NOW + 1), MARKING),
        (Marking(Tlp.GREEN, ends=NOW - 1), MARKING),
    ],
)
def test_what_markings_say_of_blocking(marking: Marking, why: str | None) -> None:
    """A marking that forbids it, that we cannot read, or whose policy does not hold now lets nothing be blocked."""
    assert why_not_blocked(replace(SAID, marking=marking), facts(), NOW) == why


@pytest.mark.parametrize(
    ("terms", "may"),
    [
        ({}, False),
        ({"may_block": True}, True),
        ({"may_block": True, "permitted_actions": "externally-visible-direct-actions"}, True),
        ({"may_block": True, "permitted_actions": "none"}, False),
        ({"may_block": True, "permitted_actions": "contact-for-instruction"}, False),
        ({"may_block": True, "pap_default": "green"}, True),
        ({"may_block": True, "pap_default": "amber"}, False),
        ({"may_block": True, "pap_default": "red"}, False),
    ],
)
@pytest.mark.parametrize("said", [SAID, replace(SAID, source="other", origin=THEM)])
def test_what_agreements_say_of_blocking(terms: dict[str, Any], may: bool, said: Claim) -> None:
    """An agreement lets block only what it says so of, whether its partner sent the value or said it first."""
    why = why_not_blocked(said, under(**terms), NOW)
    assert (why is None) == may
    assert why is None or "the agreement with hub" in why


@pytest.mark.parametrize("lapsed", [{"expires_on": TODAY - timedelta(1)}, {"signed_on": None}])
def test_an_agreement_that_is_not_in_force_allows_nothing(lapsed: dict[str, Any]) -> None:
    """What an agreement let us block is blocked no longer when it has ended, nor before it is signed."""
    one = agreement("hub", inbound=Inbound(sources=("feed",), may_block=True), **lapsed)
    assert "not in force" in (why_not_blocked(SAID, facts(agreements={"hub": one}), NOW) or "")


def test_without_an_agreement() -> None:
    """Of a feed without an agreement only markings say what may be done."""
    assert why_not_blocked(replace(SAID, source="open feed", origin="open feed"), under(), NOW) is None


def test_the_moments_are_those_of_today() -> None:
    """The tests' day and moment belong together."""
    assert moment(NOW).date() == TODAY
    assert micros(moment(NOW) + timedelta(days=1)) == NOW + DAY
