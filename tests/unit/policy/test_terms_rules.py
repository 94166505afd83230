"""Further terms of agreements, in the gate: approval, greatest age, what sources let go on, to whom, named or not."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from gate_builders import (
    INTERNAL,
    NOW,
    SIEM,
    THEM,
    TODAY,
    US,
    agreement,
    ask,
    facts,
    our_identity,
    our_indicator,
    our_sighting,
    partner,
    rules_against,
)
from threatshare.model import Verdict
from threatshare.policy.agreements import Agreement, Event, Inbound, Outbound
from threatshare.policy.gate import Audience, Candidate, Cleared, clear, decide, policy_of
from threatshare.policy.terms_rules import APPROVAL, MAXIMUM_AGE, ONWARD_TERMS, approval, maximum_age, onward_terms
from threatshare.stix.objects import written
from threatshare.stix.timestamps import write_timestamp

BOTH: Any = ("indicator", "sighting")
HUMAN = agreement(outbound=Outbound("amber", BOTH, approval="human"))
DAY = 86_400_000_000


def said(reasons: tuple[Any, ...]) -> list[tuple[Verdict, str]]:
    return [(one.verdict, one.text) for one in reasons if one.verdict is not Verdict.RELEASE]


def test_a_person_approves_each_object() -> None:
    """Under approval = human an object is held, says which command lets it go, and goes once a person let it."""
    candidate, audience = ask(our_indicator()), partner(HUMAN)
    assert rules_against(candidate, audience) == [(APPROVAL, Verdict.HOLD)]
    ((_, text),) = said(approval(candidate, audience, facts()))
    assert "held: `threatshare review approve`" in text
    by_person = ask(our_indicator(), approved={APPROVAL: "A. Person on 2026-06-15: read it"})
    assert isinstance(clear(by_person, written(our_indicator()), audience, facts()), Cleared)


@pytest.mark.parametrize("audience", [INTERNAL, SIEM, partner()])
def test_no_approval_where_none_is_agreed(audience: Audience) -> None:
    """Our own organisation, and partners with approval = auto, wait for nobody."""
    assert said(approval(ask(our_indicator()), audience, facts())) == []


def test_what_goes_along_needs_no_approval() -> None:
    """Our identity goes with what names us; asking for it by itself would stop what was approved."""
    assert said(approval(ask(our_identity(), ()), partner(HUMAN), facts())) == []


@pytest.mark.parametrize(("age", "verdict"), [(0, None), (30, None), (31, Verdict.REFUSE), (-3, None)])
def test_nothing_older_than_agreed(age: int, verdict: Verdict | None) -> None:
    """What was last changed as many days ago as the agreement allows still goes; a day more, and it is refused."""
    audience = partner(agreement(outbound=Outbound("amber", BOTH, max_age_days=30)))
    content = our_indicator() | {"modified": write_timestamp(NOW - age * DAY)}
    found = said(maximum_age(ask(content), audience, facts()))
    assert [one for one, _ in found] == ([verdict] if verdict else [])
    assert not found or "31 days ago; the agreement allows 30" in found[0][1]


@pytest.mark.parametrize("modified", ["yesterday", "", None, 7, ["2026-06-15T00:00:00.000Z"]])
def test_an_age_that_cannot_be_told_is_refused(modified: object) -> None:
    """Without a time that can be read nothing is taken for young; the reason does not repeat what stands there."""
    content = our_indicator() | {"modified": modified, "created": modified}
    audience = partner(agreement(outbound=Outbound("amber", BOTH, max_age_days=30)))
    ((verdict, text),) = said(maximum_age(ask(content), audience, facts()))
    assert verdict is Verdict.REFUSE
    assert "yesterday" not in text


def source(**inbound: Any) -> Agreement:
    return agreement("hub", inbound=Inbound(sources=("feed", THEM), onward_max_tlp="green", **inbound))


def theirs(**more: Any) -> Candidate:
    return ask(our_indicator(maker=THEM), source="feed", **more)


def about_theirs() -> Candidate:
    return ask(our_sighting(our_indicator(maker=THEM)["id"]), (), about="feed")


@pytest.mark.parametrize("candidate", [theirs(), about_theirs(), ask(our_indicator(), origin=THEM)])
def test_only_to_the_partners_that_the_source_names(candidate: Candidate) -> None:
    """What a source gave us, our sightings of it, and what it said first, go on to the partners it names alone."""
    for names, verdicts in ((None, []), (("north", "x"), []), ((), [Verdict.REFUSE]), (("x",), [Verdict.REFUSE])):
        given = facts(agreements={"hub": source(onward_partners=names)})
        assert [one for one, _ in said(onward_terms(candidate, partner(), given))] == verdicts


def test_named_or_not_as_the_source_wants() -> None:
    """Under must-not nothing goes on, since ids name it; under must only what names its creator does."""
    forbidden, wanted = (facts(agreements={"hub": source(onward_attribution=one)}) for one in ("must-not", "must"))
    nameless = {name: value for name, value in our_indicator(maker=THEM).items() if name != "created_by_ref"}
    for candidate in (theirs(), about_theirs()):
        assert said(onward_terms(candidate, partner(), forbidden))
    assert said(onward_terms(theirs(), partner(), wanted)) == []
    assert said(onward_terms(about_theirs(), partner(), wanted))
    assert said(onward_terms(ask(nameless, source="feed"), partner(), wanted))


def test_ours_feedback_and_inside_are_not_passing_on() -> None:
    """No source's terms stand against what is ours, what goes back to the source, and our own collections."""
    strict = source(onward_partners=(), onward_attribution="must-not")
    given = facts(agreements={"hub": strict})
    assert said(onward_terms(ask(our_indicator()), partner(), given)) == []
    assert said(onward_terms(about_theirs(), partner(strict), given)) == []
    assert said(onward_terms(theirs(), INTERNAL, given)) == []


def test_every_rule_is_asked_by_the_gate() -> None:
    """The gate asks each of these rules, and shows what it said."""
    asked = [one.rule for one in decide(ask(our_indicator()), partner(), facts()).reasons]
    assert {APPROVAL, MAXIMUM_AGE, ONWARD_TERMS} <= set(asked)


def test_the_policy_follows_every_term() -> None:
    """A changed term, and for a greatest age each day, changes the digest by which released objects are looked at."""
    plain = partner()
    given = facts(agreements={"hub": source()})
    digests = {
        policy_of(plain, given),
        policy_of(partner(HUMAN), given),
        policy_of(partner(agreement(outbound=Outbound("amber", BOTH, max_age_days=30))), given),
        policy_of(partner(agreement(event=Event(end=TODAY - timedelta(1)))), given),
        policy_of(plain, facts(agreements={"hub": source(onward_partners=())})),
        policy_of(plain, facts(agreements={"hub": source(onward_attribution="must")})),
    }
    assert len(digests) == 6
    tomorrow = facts(today=TODAY + timedelta(1))
    assert policy_of(plain, facts()) == policy_of(plain, tomorrow)
    aged = partner(agreement(outbound=Outbound("amber", BOTH, max_age_days=30)))
    assert policy_of(aged, facts()) != policy_of(aged, tomorrow)


def test_a_draft_of_the_terms_never_counts() -> None:
    """An agreement whose event is over refuses whatever its other terms say."""
    over = replace(HUMAN, event=Event("games", end=TODAY - timedelta(1)))
    assert ("agreement-in-force", Verdict.REFUSE) in rules_against(ask(our_indicator(maker=US)), partner(over))
