"""Feedback: it moves the score at once, tells those who gave us the value, and can be taken back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from builders import (
    BAD,
    DAY,
    NOW,
    SECOND,
    US,
    check,
    domain,
    feed_source,
    find,
    held_ids,
    indicator_uuid,
    let_out,
    make_collection,
    make_indicator_json,
    make_outlet,
    make_own,
    make_store,
    standing,
    take_in,
    with_terms,
)
from incident_builders import by, make_wide_agreement
from threatshare import feedback
from threatshare.config import OwnAssets
from threatshare.errors import UsageError
from threatshare.feedback import Outcome
from threatshare.lookup import lookup
from threatshare.model import Collection, CollectionKind, Evidence, Micros, Observable, Tlp
from threatshare.policy.agreements import Outbound
from threatshare.review import choose, decide_releases
from threatshare.stix.objects import conforms, indicator_id, siem_indicator_id
from threatshare.stix.opinions import EXPLANATIONS, GROUNDS, ONE_OF_SEVERAL, opinion_id
from threatshare.stix.timestamps import read_timestamp
from threatshare.stix.tlp import TLP2_ID
from threatshare.store.decisions import Action, Scope
from threatshare.store.embedded import Store
from threatshare.store.feedback import Told, evidence_by_key, latest_feedback
from threatshare.store.keys import observable_key
from threatshare.store.lookups import known

THEIRS = domain("bad.badhost.biz")
AGREED = make_wide_agreement()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store with one value that our sensors found, and one that the partner north has told us of."""
    made = make_store(tmp_path)
    find(made, BAD)
    take_in(made, feed_source(made, "north"), make_indicator_json(7, THEIRS, tlp=Tlp.GREEN))
    yield made
    made.close()


def score_of(store: Store, value: Observable) -> int:
    """Gives the score as it is stored."""
    return known(store.conn, store.key_of, [value])[value].score


def of_type(store: Store, collection: Collection, kind: str) -> list[dict[str, Any]]:
    """Gives what stands in a collection of one type."""
    return [one for one in standing(store, collection).values() if one["type"] == kind]


def false_positive(store: Store, value: Observable = BAD, ground: str = "benign", **more: Any) -> Outcome:
    """Reports a false positive."""
    return feedback.false_positive(store, make_own(), value.value, by(**more), ground)


def sighting(store: Store, value: Observable = BAD, person: str = "Analyst", at: Micros = NOW, **more: Any) -> Outcome:
    """Reports a sighting."""
    return feedback.sighting(store, make_own(), value.value, by(person, at), **more)


def undo(store: Store, told: Told, value: Observable = BAD, at: Micros = NOW) -> Outcome:
    """Takes feedback back."""
    return feedback.undo(store, make_own(), told, value.value, by("Another", at, "a mistake"))


# --- sightings ----------------------------------------------------------------------------------------------------


def test_a_sighting_raises_the_score_at_once(store: Store) -> None:
    """A confirmed sighting raises the score, and lookup says by how much and why."""
    before = score_of(store, THEIRS)
    done = sighting(store, THEIRS)
    assert (done.before, done.after) == (before, score_of(store, THEIRS))
    assert before < score_of(store, THEIRS)
    (answer,) = lookup(store.conn, [THEIRS.value], NOW)
    assert answer.score is not None
    assert answer.score.value == score_of(store, THEIRS)
    assert any("sighting" in term for term in answer.score.terms)


def test_a_person_counts_once_a_day(store: Store) -> None:
    """The same person on the same day is told twice and counts once; another day or person counts again."""
    for person, day, wanted in [("A", 2, 1), ("A", 2, 1), ("A", 1, 2), ("B", 1, 3)]:
        sighting(store, THEIRS, person, first=NOW - day * DAY, last=NOW - day * DAY)
        assert known(store.conn, store.key_of, [THEIRS])[THEIRS].evidence == Evidence(confirmed_sightings=wanted)


def test_the_partner_gets_a_sighting_of_its_indicator(store: Store, partner: Collection) -> None:
    """Who told us of a value gets a Sighting with count and times, marked as its indicator, and no name of a person."""
    done = sighting(store, THEIRS, count=3, first=NOW - 2 * DAY, last=NOW - DAY)
    let_out(store, make_outlet(partner, AGREED))
    (one,) = of_type(store, partner, "sighting")
    assert done.told == [one["id"]]
    assert (one["sighting_of_ref"], one["count"], one["created_by_ref"]) == (indicator_uuid(7), 3, US)
    assert (read_timestamp(one["first_seen"]), read_timestamp(one["last_seen"])) == (NOW - 2 * DAY, NOW - DAY)
    assert "Analyst" not in json.dumps(one)


def test_our_own_indicator_is_seen_again(store: Store) -> None:
    """A sighting of what our own indicator names makes that valid for longer."""
    before = held_until(store)
    sighting(store, BAD, at=NOW + 20 * DAY)
    assert held_until(store) > before


def held_until(store: Store) -> str:
    """Gives until when our indicator is valid."""
    bodies = [json.loads(row[0]) for row in store.conn.execute("SELECT body FROM version ORDER BY number")]
    return str([one for one in bodies if one["id"] == indicator_id(US, BAD)][-1]["valid_until"])


@pytest.mark.parametrize(
    ("value", "more", "wanted"),
    [
        ("45.0.0.9", {}, "nobody says anything"),
        ("no value", {}, "neither a value nor"),
        (BAD.value, {"last": NOW + DAY}, "before now"),
        (BAD.value, {"first": NOW, "last": NOW - DAY}, "before it was last seen"),
        ("indicator--00000000-0000-4000-8000-000000000007", {}, "wanted the value"),
    ],
)
def test_a_sighting_that_cannot_be_is_refused(store: Store, value: str, more: dict[str, Micros], wanted: str) -> None:
    """What nobody told us of, and times that cannot be, are refused, and nothing is kept."""
    with pytest.raises(UsageError, match=wanted):
        feedback.sighting(store, make_own(), value, by(), **more)
    assert latest_feedback(store.conn, 10) == []


def test_our_own_asset_is_no_sighting(store: Store) -> None:
    """A partner's indicator of what is ours is nothing that we confirm."""
    own = make_own(assets=OwnAssets(domains=(THEIRS.value,)))
    with pytest.raises(UsageError, match="own assets"):
        feedback.sighting(store, own, THEIRS.value, by())


def test_a_sighting_is_taken_back(store: Store, partner: Collection) -> None:
    """Taken back, the score is as before and the Sighting withdrawn; what is told again comes back."""
    before = score_of(store, THEIRS)
    sighting(store, THEIRS)
    let_out(store, make_outlet(partner, AGREED))
    done = undo(store, Told.SIGHTING, THEIRS, NOW + SECOND)
    assert (done.after, done.stays is not None) == (before, True)
    let_out(store, make_outlet(partner, AGREED, NOW + DAY))
    assert of_type(store, partner, "sighting") == []
    with pytest.raises(UsageError, match="no sighting to take back"):
        undo(store, Told.SIGHTING, THEIRS)
    sighting(store, THEIRS, at=NOW + 2 * DAY)
    let_out(store, make_outlet(partner, AGREED, NOW + 2 * DAY))
    assert len(of_type(store, partner, "sighting")) == 1
    check(store, partner)


# --- false positives ----------------------------------------------------------------------------------------------


def test_a_false_positive_withdraws_our_indicator(store: Store, partner: Collection, siem: Collection) -> None:
    """Our own indicator of a false positive leaves every collection, also our SIEM's, and counts no longer."""
    outlets = [make_outlet(partner, AGREED), make_outlet(siem)]
    let_out(store, *outlets)
    assert siem_indicator_id(US, BAD) in held_ids(store, siem)
    done = false_positive(store, at=NOW + SECOND)
    assert (done.after, done.withdrawn) == (0, [indicator_id(US, BAD)])
    let_out(store, make_outlet(partner, AGREED, NOW + DAY), make_outlet(siem, now=NOW + DAY))
    assert held_ids(store, partner) == set()
    assert siem_indicator_id(US, BAD) not in held_ids(store, siem)


def test_a_withdrawn_indicator_stays_away(store: Store, partner: Collection) -> None:
    """What was withdrawn stays so when sensors see it again, and in collections that are made later."""
    false_positive(store)
    find(store, BAD, now=NOW + DAY, seen=NOW + DAY)
    later = make_collection(store, CollectionKind.INTERNAL, "later")
    let_out(store, make_outlet(partner, AGREED, NOW + DAY), make_outlet(later, now=NOW + DAY))
    assert held_ids(store, partner) == held_ids(store, later) == set()
    assert score_of(store, BAD) == 0


def test_the_maker_gets_our_opinion_and_nobody_else(store: Store, partner: Collection) -> None:
    """Whoever made the indicator gets an Opinion from a fixed list, never the person's words; no other partner does."""
    south = make_collection(store, CollectionKind.PARTNER, "to-south", "south")
    done = false_positive(store, THEIRS, "outdated", reason="see ticket 4711 of the web team")
    assert (done.told, done.withdrawn) == ([opinion_id(US, indicator_uuid(7))], [])
    assert done.before is not None
    assert done.after is not None
    assert done.after < done.before
    let_out(store, make_outlet(partner, AGREED), make_outlet(south, make_wide_agreement("south")))
    (one,) = of_type(store, partner, "opinion")
    assert (one["object_refs"], one["opinion"]) == ([indicator_uuid(7)], "disagree")
    assert one["explanation"] == GROUNDS["outdated"].text
    assert one["object_marking_refs"] == [TLP2_ID[Tlp.GREEN]]
    assert "4711" not in json.dumps(one)
    assert conforms(json.dumps(one).encode()) is None
    assert of_type(store, south, "opinion") == []


def test_without_opinions_in_the_agreement_none_leaves(store: Store, partner: Collection) -> None:
    """Where the agreement does not take opinions, the partner gets none."""
    false_positive(store, THEIRS)
    let_out(store, make_outlet(partner, with_terms(AGREED, outbound=Outbound("amber", ("indicator",)))))
    assert of_type(store, partner, "opinion") == []


def test_an_opinion_is_marked_as_what_it_is_on(store: Store, partner: Collection) -> None:
    """An Opinion on an indicator above the ceiling stays here; on one of several values it says so."""
    take_in(store, feed_source(store, "north"), make_indicator_json(8, domain("a.badhost.biz"), tlp=Tlp.RED))
    both = "[domain-name:value = 'b.badhost.biz' OR domain-name:value = 'c.badhost.biz']"
    take_in(store, feed_source(store, "north"), make_indicator_json(9, both, tlp=Tlp.CLEAR))
    false_positive(store, domain("a.badhost.biz"))
    false_positive(store, domain("b.badhost.biz"))
    let_out(store, make_outlet(partner, AGREED))
    (one,) = of_type(store, partner, "opinion")
    assert one["object_refs"] == [indicator_uuid(9)]
    assert one["explanation"] == ONE_OF_SEVERAL + GROUNDS["benign"].text
    assert one["explanation"] in EXPLANATIONS


def test_a_false_positive_is_taken_back(store: Store, partner: Collection, siem: Collection) -> None:
    """Taken back, our indicator comes back under another id, the Opinion is withdrawn, the score is as before."""
    take_in(store, feed_source(store, "north"), make_indicator_json(6, BAD))
    let_out(store, make_outlet(partner, AGREED))
    before = score_of(store, BAD)
    false_positive(store, at=NOW + SECOND)
    let_out(store, make_outlet(partner, AGREED, NOW + DAY), make_outlet(siem, now=NOW + DAY))
    assert len(of_type(store, partner, "opinion")) == 1
    done = undo(store, Told.FALSE_POSITIVE, at=NOW + SECOND)
    assert (done.after, done.restored) == (before, [indicator_id(US, BAD)])
    let_out(store, make_outlet(partner, AGREED, NOW + 2 * DAY), make_outlet(siem, now=NOW + 2 * DAY))
    assert of_type(store, partner, "opinion") == []
    assert len(held_ids(store, partner)) == 1
    assert len(held_ids(store, siem)) == 2
    check(store, partner)


def test_two_reports_count_twice_and_the_indicator_waits_for_both(store: Store) -> None:
    """Two persons' reports count twice; our indicator comes back only once neither stands."""
    false_positive(store, person="A")
    false_positive(store, person="B")
    false_positive(store, person="B")
    assert known(store.conn, store.key_of, [BAD])[BAD].evidence == Evidence(false_positives=2)
    assert undo(store, Told.FALSE_POSITIVE).restored == []
    assert undo(store, Told.FALSE_POSITIVE).restored == []
    assert undo(store, Told.FALSE_POSITIVE).restored == [indicator_id(US, BAD)]


def test_feedback_counts_in_what_comes_later(store: Store) -> None:
    """A partner's word that comes after a false positive is weighed with it, as if it had come before."""
    value = domain("later.badhost.biz")
    take_in(store, feed_source(store, "a", lineage="a"), make_indicator_json(21, value))
    false_positive(store, value)
    take_in(store, feed_source(store, "b", lineage="b"), make_indicator_json(22, value))
    entry = known(store.conn, store.key_of, [value])[value]
    (answer,) = lookup(store.conn, [value.value], NOW)
    assert answer.score is not None
    assert entry.score == answer.score.value
    key = observable_key(store.key_of, value)
    assert evidence_by_key(store.conn, [key, 1]) == {key: (1, 0)}


# --- withdrawals --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", [BAD.value, indicator_id(US, BAD)])
def test_a_withdrawal_is_by_value_or_id(store: Store, partner: Collection, what: str) -> None:
    """Value and id mean the same: the indicator leaves, its score falls, who and why are kept; and it can come back."""
    let_out(store, make_outlet(partner, AGREED))
    done = feedback.withdraw(store, make_own(), what, by("Releaser", reason="ours by mistake"))
    assert (done.after, done.withdrawn) == (0, [indicator_id(US, BAD)])
    let_out(store, make_outlet(partner, AGREED, NOW + DAY))
    assert held_ids(store, partner) == set()
    (kept,) = latest_feedback(store.conn, 10)
    assert (kept.told, kept.by.person, kept.by.reason, kept.undone) == (
        Told.WITHDRAWAL,
        "Releaser",
        "ours by mistake",
        None,
    )
    with pytest.raises(UsageError, match="withdrawn already"):
        feedback.withdraw(store, make_own(), what, by())
    assert feedback.undo(store, make_own(), Told.WITHDRAWAL, what, by("Another")).after == done.before
    let_out(store, make_outlet(partner, AGREED, NOW + 2 * DAY))
    assert len(held_ids(store, partner)) == 1
    (kept,) = latest_feedback(store.conn, 10)
    assert kept.undone is not None
    assert kept.undone.person == "Another"


@pytest.mark.parametrize("what", [THEIRS.value, indicator_uuid(7), "45.0.0.9"])
def test_only_what_is_ours_is_withdrawn(store: Store, what: str) -> None:
    """Others' indicators are theirs to withdraw, and what we have no indicator of cannot be."""
    with pytest.raises(UsageError, match="no object of ours"):
        feedback.withdraw(store, make_own(), what, by())


def test_a_name_in_punycode_is_a_value(store: Store) -> None:
    """A name with two hyphens is taken for the value that it is."""
    name = domain("xn--bad-bla.badhost.biz")
    find(store, name)
    assert feedback.withdraw(store, make_own(), name.value, by()).withdrawn == [indicator_id(US, name)]


def test_a_withdrawal_goes_before_what_was_said_for_one_collection(store: Store, partner: Collection) -> None:
    """What a person let out for one collection is withdrawn from it all the same, once it is withdrawn everywhere."""
    let_out(store, make_outlet(partner, AGREED))
    object_id = indicator_id(US, BAD)
    for action in (Action.REJECT, Action.APPROVE):
        for group, ids in choose(store.conn, [object_id], Scope()).objects:
            decide_releases(store, group, ids, action, by())
    feedback.withdraw(store, make_own(), BAD.value, by(at=NOW + SECOND))
    let_out(store, make_outlet(partner, AGREED, NOW + DAY))
    assert held_ids(store, partner) == set()


def test_the_page_on_feedback_lists_every_ground(root: Path) -> None:
    """What partners are told for each word of ``--because`` stands on the how-to page as it is told."""
    page = (root / "docs/howto/give-feedback.md").read_text("utf-8")
    for word, ground in GROUNDS.items():
        assert f"| `{word}` | {ground.opinion} | {ground.text} |" in page


@pytest.mark.parametrize("report", [false_positive, sighting])
def test_what_a_partner_has_sighted_can_be_spoken_of(
    store: Store, partner: Collection, report: Callable[[Store], Outcome]
) -> None:
    """A partner's sighting of our indicator is a claim without a pattern, and stands in the way of no report."""
    let_out(store, make_outlet(partner, AGREED))
    (theirs,) = held_ids(store, partner)
    at = {"created": "2026-01-01T00:00:00Z", "modified": "2026-01-01T00:00:00Z", "spec_version": "2.1"}
    seen = {"type": "sighting", "id": "sighting--00000000-0000-4000-8000-000000000001", "sighting_of_ref": theirs}
    tally, _ = take_in(store, feed_source(store, "north"), json.dumps(seen | at).encode())
    assert tally.new == 1
    before = score_of(store, BAD)
    assert report(store).after != before
