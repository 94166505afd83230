"""Laws of two-person changes, with the gate as the oracle: what is not called a loosening opens nothing."""

from __future__ import annotations

from datetime import date, timedelta
from functools import cache
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace as changed

from gate_builders import THEM, TODAY, ask, facts, our_indicator, our_sighting
from threatshare.model import CollectionKind, Tlp, Verdict
from threatshare.policy.agreement_bounds import _fitting, loosened, narrowed
from threatshare.policy.agreements import (
    Agreement,
    Inbound,
    LegalBasis,
    Outbound,
    agreement_toml,
    parse_agreement,
    standing,
)
from threatshare.policy.gate import Audience, Candidate, decide

ORDER = {Verdict.RELEASE: 0, Verdict.HOLD: 1, Verdict.REFUSE: 2}
DAY = timedelta(1)


AROUND = tuple(TODAY + number * DAY for number in (-30, -1, 0, 1, 5, 30))
BASES: tuple[tuple[LegalBasis, ...], ...] = (
    (),
    (LegalBasis("law", TODAY - DAY),),
    (LegalBasis("law", TODAY - DAY, TODAY + 9 * DAY),),
    (LegalBasis("law", TODAY + 2 * DAY),),
    (LegalBasis("law", TODAY - DAY, TODAY + 2 * DAY), LegalBasis("contract", TODAY + 9 * DAY)),
)
TERMS: dict[str, tuple[Any, ...]] = {
    "effective_from": AROUND,
    "expires_on": AROUND,
    "signed_on": (None, *AROUND),
    "version": (1, 2),
    "legal_basis": BASES,
    "event.start": (None, *AROUND),
    "event.end": (None, *AROUND),
    "outbound.max_tlp": ("clear", "green", "amber", "red"),
    "outbound.object_types": (("indicator", "sighting"), ("indicator",), ("sighting",), ()),
    "outbound.indicator_types": (None, ("malicious-activity",), ("benign",)),
    "outbound.min_score": (0, 50, 90),
    "outbound.collections": (None, ("to-north",), ("elsewhere",), ("to-north", "elsewhere")),
    "outbound.attribution": ("may", "must", "must-not"),
    "outbound.exercise_only": (False, True),
    "outbound.approval": ("auto", "human"),
    "outbound.max_age_days": (None, 1, 10, 30),
    "outbound.anonymise_as": (None, "a utility"),
    "outbound.consent": (None, "ais-consent-everyone", "ais-consent-usg", "ais-consent-none"),
    "inbound.default_tlp": ("clear", "green", "amber+strict"),
    "inbound.sources": (("feed", THEM), ("feed",), ()),
    "inbound.onward_max_tlp": (None, "clear", "green"),
    "inbound.onward_partners": (None, ("north",), ("elsewhere",), ("north", "elsewhere")),
    "inbound.onward_attribution": ("may", "must", "must-not"),
    "inbound.may_block": (False, True),
    "feedback.sightings_back": (False, True),
}
"""By key some of its values, each next to others in any order there is."""


def open_to_all(partner: str) -> Agreement:
    """An agreement under which nearly everything leaves, and goes on."""
    return Agreement(
        partner,
        TODAY - 99 * DAY,
        TODAY + 99 * DAY,
        Outbound("red", ("indicator", "sighting")),
        TODAY - 99 * DAY,
        inbound=Inbound("clear", sources=("feed", THEM) if partner == "hub" else (), onward_max_tlp="green"),
    )


def with_term(agreement: Agreement, key: str, value: object) -> Agreement:
    group, _, name = key.rpartition(".")
    if not group:
        return changed(agreement, **{name: value})
    return changed(agreement, **{group: changed(getattr(agreement, group), **{name: value})})


@st.composite
def with_some_terms(draw: st.DrawFn, agreement: Agreement, least: int) -> Agreement:
    """An agreement with a few other terms."""
    for key in draw(st.lists(st.sampled_from(sorted(TERMS)), min_size=least, max_size=3, unique=True)):
        agreement = with_term(agreement, key, draw(st.sampled_from(TERMS[key])))
    return agreement


@st.composite
def versions(draw: st.DrawFn, partner: str) -> Agreement:
    """Any version of an agreement, as a rule an open one."""
    return draw(with_some_terms(open_to_all(partner), 0))


@st.composite
def changes(draw: st.DrawFn, partner: str) -> tuple[Agreement, Agreement]:
    """Two versions of one agreement that differ in a few terms, the wider one first or last."""
    one = draw(versions(partner))
    other = draw(with_some_terms(one, 1))
    return (one, other) if draw(st.booleans()) else (other, one)


@cache
def questions() -> tuple[Candidate, ...]:
    """Objects of ours and of others in all markings, and sightings, as the gate may be asked about them."""
    read = {"approval": "A desk on 2026-06-15: read it"}
    asked = []
    for tlp in (Tlp.CLEAR, Tlp.GREEN, Tlp.AMBER):
        ours, theirs = our_indicator(tlp=tlp), our_indicator(tlp=tlp, maker=THEM)
        unnamed = {name: value for name, value in theirs.items() if name != "created_by_ref"}
        asked += [ask(ours, score=score, approved=approved) for score in (40, 80) for approved in ({}, read)]
        asked += [ask(theirs, source="feed", origin=origin, score=80) for origin in (None, THEM)]
        asked.append(ask(unnamed, source="feed", score=80))
        asked.append(ask(our_sighting(theirs["id"], tlp), (), about="feed"))
    return tuple(asked)


DAYS = (0, 5, 25)
"""From today."""


def verdicts(north: Agreement, hub: Agreement) -> list[int]:
    """Gives what the gate says of each object on each day."""
    audience = Audience("to-north", CollectionKind.PARTNER, north)
    known = {"north": north, "hub": hub}
    taken = [facts(agreements=known, today=TODAY + days * DAY) for days in DAYS]
    return [ORDER[decide(one, audience, given).verdict] for given in taken for one in questions()]


def no_looser(after: list[int], before: list[int]) -> bool:
    return all(later >= earlier for later, earlier in zip(after, before, strict=True))


HUB = open_to_all("hub")


def test_something_leaves_at_all() -> None:
    """The agreement that the others are made of lets things of every sort out: the laws are not empty."""
    assert verdicts(open_to_all("north"), HUB).count(0) >= len(DAYS) * 14


@pytest.mark.parametrize("key", TERMS)
def test_no_value_of_a_term_opens_unseen(key: str) -> None:
    """Of each term, whatever it was and whatever it becomes, a change that lets anything more out is a loosening."""
    said = []
    for value in TERMS[key]:
        north, hub = with_term(open_to_all("north"), key, value), with_term(HUB, key, value)
        said.append((north, verdicts(north, HUB), hub, verdicts(open_to_all("north"), hub)))
    for before, after in permutations(said, 2):
        assert loosened(before[0], after[0]) or no_looser(after[1], before[1])
        assert loosened(before[2], after[2]) or no_looser(after[3], before[3])


@given(changes("north"))
def test_what_is_no_loosening_opens_nothing(change: tuple[Agreement, Agreement]) -> None:
    """Where a change of a partner's agreement loosens no term, nothing leaves after it that did not before."""
    before, after = change
    if not loosened(before, after):
        assert no_looser(verdicts(after, HUB), verdicts(before, HUB))


@given(versions("north"), changes("hub"))
def test_nor_does_it_let_more_of_others_go_on(north: Agreement, change: tuple[Agreement, Agreement]) -> None:
    """Where a change of a source's agreement loosens no term, no more of what it gave goes on to others."""
    before, after = change
    if not loosened(before, after):
        assert no_looser(verdicts(north, after), verdicts(north, before))


@given(changes("north"), changes("hub"))
def test_what_acts_meanwhile_is_no_looser_than_before(
    north: tuple[Agreement, Agreement], hub: tuple[Agreement, Agreement]
) -> None:
    """Until a change is confirmed, what acts loosens nothing, lets nothing more out, and comes to rest."""
    acts = [narrowed(*change) for change in (north, hub)]
    for (before, after), one in zip((north, hub), acts, strict=True):
        assert loosened(before, one) == ()
        assert narrowed(one, after) == one
    assert no_looser(verdicts(*acts), verdicts(north[0], hub[0]))


@given(changes("north"), st.sampled_from(AROUND))
def test_an_end_acts_at_once(change: tuple[Agreement, Agreement], today: date) -> None:
    """What the later version does not let stand on a day does not stand on it, however much else waits."""
    before, after = change
    acts = narrowed(before, after)
    if standing(after, today) or standing(before, today):
        assert standing(acts, today)
    if all(not standing(one, today) for one in (before, after, acts)):
        assert parse_agreement(agreement_toml(acts), "file") == acts


@given(changes("north"))
def test_a_change_is_judged_by_its_terms_alone(change: tuple[Agreement, Agreement]) -> None:
    """No change loosens nothing; what loosens nothing acts as it is but for what is for the record."""
    before, after = map(_fitting, change)
    assert loosened(before, before) == ()
    assert narrowed(before, before) == before
    if not loosened(before, after):
        assert loosened(narrowed(before, after), after) == ()
        assert loosened(after, narrowed(before, after)) == ()
