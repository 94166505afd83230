"""Exercises step by step: who may hold one, what may be injected, what counts as detected, shared and answered."""

from __future__ import annotations

import json
from datetime import date
from io import BytesIO
from typing import Any

import pytest

from builders import (
    DAY,
    NOW,
    SECOND,
    US,
    feed_source,
    find,
    ip,
    let_out,
    make_agreement,
    make_finding,
    make_indicator_json,
    make_outlet,
    make_own,
    served,
    take_findings,
    take_in,
)
from exercise_builders import (
    NORTH,
    SOUTH,
    US_OBJECT,
    Running,
    exercise_facts,
    live_values,
    marked,
    statement_definition,
)
from threatshare import exercises
from threatshare.admission.objects import take
from threatshare.config import OwnAssets
from threatshare.errors import UsageError
from threatshare.exercises import Start
from threatshare.findings.formats.stix_bundle import StixReader
from threatshare.findings.injects import generate, read_injects
from threatshare.model import Account, Finding, Kind, Observable, Reject, Role, Tally, Tlp
from threatshare.policy.agreements import Outbound
from threatshare.policy.exercises import unfit
from threatshare.policy.gate import may_exchange_live
from threatshare.share.exercise_posts import accept
from threatshare.stix.exercise import inject_id, practice_hash
from threatshare.stix.observables import recognise
from threatshare.stix.received import read_object
from threatshare.stix.tlp import TLP2_ID
from threatshare.store.accounts import add_account, verify
from threatshare.store.decisions import Action, ByWhom, Scope, cover_objects, save_decision
from threatshare.store.embedded import Store
from threatshare.store.exercises import exercises_with
from threatshare.store.ledger_check import check
from threatshare.store.runs import rejects

ONE, TWO, THREE = ip("192.0.2.1"), ip("192.0.2.2"), ip("192.0.2.3")


@pytest.fixture
def running(store: Store) -> Running:
    """An exercise with one partner, and one inject."""
    made = Running(store).start()
    assert made.inject(ONE) == []
    return made


# --- who may hold one --------------------------------------------------------------------------------


def refusals(store: Store, *agreements: Any, **changed: Any) -> list[str]:
    """Tries to start an exercise with north; gives why not."""
    values: dict[str, Any] = {
        "name": "winter",
        "partners": ("north",),
        "until": date(2026, 3, 31),
        "tlp": Tlp.GREEN,
        "by": "desk",
    }
    made = exercises.start(store, Start(**(values | changed)), exercise_facts(*agreements), NOW)
    return [one.text for one in made] if isinstance(made, tuple) else []


@pytest.mark.parametrize(
    ("agreement", "said"),
    [
        (make_agreement("south"), "there is no agreement"),
        (make_agreement(signed_on=None), "not signed"),
        (make_agreement(expires_on=date(2026, 2, 1)), "expired"),
        (make_agreement(expires_on=date(2026, 3, 20)), "ends on 2026-03-20"),
        (make_agreement(max_tlp="clear"), "above its ceiling, clear"),
        (make_agreement(outbound=Outbound("green", attribution="must-not")), "hides who we are"),
        (make_agreement(outbound=Outbound("green", consent="ais-consent-none")), "hides who we are"),
    ],
)
def test_an_exercise_needs_an_agreement_that_allows_it_with_every_partner(
    store: Store, agreement: Any, said: str
) -> None:
    """Missing, unsigned, expired, too short, or with a lower ceiling: each is a reason, and nothing is opened."""
    found = refusals(store, agreement)
    assert len(found) == 1
    assert said in found[0]
    assert exercises_with(store.conn, "north") == []


def test_an_agreement_for_exercises_only_is_enough(store: Store) -> None:
    """Under ``exercise_only`` nothing live leaves, and an exercise is held all the same."""
    only = make_agreement(outbound=Outbound("green", exercise_only=True))
    held = Running(store, (only,)).start()
    held.inject(ONE)
    assert held.share(everything=True).released == {"exercise-winter": 1}
    assert [one.name for one in exercises_with(store.conn, "north")] == ["winter"]


@pytest.mark.parametrize("name", ["", "Winter", "a" * 41, "-a", 'x="y"', "winter.2026"])
def test_a_name_fits_into_a_label(store: Store, name: str) -> None:
    """What could not stand in label, alias and title is no name."""
    with pytest.raises(UsageError, match="cannot be an exercise's name"):
        refusals(store, NORTH, name=name)


def test_a_name_is_used_once_and_accounts_belong_to_partners(store: Store, running: Running) -> None:
    """Neither a second exercise of a name nor rights for somebody else's account."""
    with pytest.raises(UsageError, match="used once"):
        running.start()
    with store.writing() as conn:
        add_account(conn, "stranger", [], [], NOW)
    with pytest.raises(UsageError, match="belongs to no partner"):
        refusals(store, NORTH, name="spring", accounts=("stranger",))


# --- injects -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    ["192.0.2.9", "198.51.100.0/25", "2001:db8::1", "evil.example", "a.test", "b.invalid", "https://c.invalid/x"]
    + ["d@e.invalid", "mail.example.com", "https://203.0.113.9/a", practice_hash("winter", Kind.SHA1, 7).value],
)
def test_what_is_nobodys_may_be_injected(running: Running, value: str) -> None:
    """Documentation ranges, reserved names, and hashes made of the exercise's name."""
    assert running.inject(recognise(value)) == []


@pytest.mark.parametrize(
    "value",
    ["8.8.8.8", "10.0.0.1", "192.0.2.0/23", "evil.de", "example.de", "notexample.com", "invalid.de"]
    + ["https://evil.de/example.com", "a@evil.de", "ab" * 32, practice_hash("summer", Kind.MD5, 1).value],
)
def test_what_may_be_somebodys_is_never_injected(running: Running, value: str) -> None:
    """Anything else is refused, also the hash of another exercise."""
    assert len(running.inject(recognise(value))) == 1


def test_an_inject_is_neither_live_nor_ours_nor_there_twice(store: Store, running: Running) -> None:
    """What is found in earnest, what is ours, what another exercise uses and what comes too late is refused."""
    find(store, TWO)
    running.facts = {"own": OwnAssets(domains=("example.net",))}
    outcomes = running.inject(ONE, TWO, recognise("a.example.net"))
    assert [text.split(":")[0] for text in outcomes] == [
        "an inject of this exercise already",
        "known here as live data",
        "one of our own assets",
    ]
    other = Running(store, name="spring").start()
    assert other.inject(ONE) == ["an inject of exercise winter, which is running"]
    assert "after the exercise's last day" in other.inject(THREE, offset=60 * DAY)[0]


def test_generated_injects_are_the_same_for_the_same_seed(running: Running) -> None:
    """They follow from name and seed, are of several kinds, and all fit to practise with."""

    def first(name: str, seed: int) -> list[Observable]:
        made = generate(name, seed)
        return [next(made).observable for _ in range(40)]

    assert first("winter", 1) == first("winter", 1)
    assert first("winter", 1) != first("winter", 2)
    assert {one.kind for one in first("winter", 1)} >= {Kind.IPV4, Kind.IPV6, Kind.DOMAIN, Kind.URL, Kind.SHA256}
    assert [unfit(one, "winter") for one in first("winter", 3)] == [None] * 40
    taken = exercises.inject_generated(running.store, "winter", 30, 5, running.given(NOW), NOW)
    assert [one.number for one in taken] == list(range(2, 32))
    assert running.share(everything=True).released == {"exercise-winter": 31}


def test_injects_are_read_from_lists_tables_and_lines_of_json() -> None:
    """All three say the same; what cannot be read is kept aside with its line."""
    wanted = [("192.0.2.1", 0, ()), ("a.example", 600 * SECOND, ("T1566.002",))]
    table = "value,offset,techniques\n192.0.2.1,,\na[.]example,10m,T1566.002\n"
    lines = '{"value": "192.0.2.1"}\n{"value": "a.example", "offset": 10, "techniques": ["T1566.002"]}\n'
    for text in (table, lines):
        read = [one for one in read_injects(text, "f") if not isinstance(one, Reject)]
        assert [(one.observable.value, one.offset, one.techniques) for one in read] == wanted
    assert [one.observable.value for one in read_injects("# list\n\n192.0.2.1\n", "f")] == ["192.0.2.1"]  # type: ignore[union-attr]
    broken = list(read_injects('{"value": 1}\n{"a\nno value\n{"value":"192.0.2.1","offset":"soon"}\n', "f"))
    assert [one.place for one in broken if isinstance(one, Reject)] == ["f:1", "f:2", "f:3", "f:4"]


# --- detection ---------------------------------------------------------------------------------------


def test_a_finding_of_an_inject_is_its_detection_and_nothing_else(store: Store, running: Running) -> None:
    """The first one counts; the value is neither seen, nor ours, nor anything else that is live."""
    for at in (NOW + SECOND, NOW + 5 * SECOND):
        report = take_findings(store, make_finding(ONE, THREE, sensor="zeek", seen=at), now=at)
    assert report.refused[ONE] == "an inject of exercise winter: noted there, and no part of what is live"
    inject = running.report()["injects"][0]
    assert (inject["seconds_to_detection"], inject["sensor"]) == (1.0, "zeek")
    assert live_values(store) == {THREE.value}


def test_before_its_moment_an_inject_is_kept_apart_and_not_detected(store: Store, running: Running) -> None:
    """A value that is to be injected later is not live before, and what is found of it early is no detection."""
    running.inject(TWO, offset=60 * SECOND)
    find(store, TWO, now=NOW + SECOND)
    assert running.report()["injects"][1]["detected"] is None
    assert live_values(store) == set()
    find(store, TWO, now=NOW + 61 * SECOND)
    assert running.report()["injects"][1]["seconds_to_detection"] == 1.0


def test_late_findings_of_an_exercise_stay_apart_and_later_ones_are_live(store: Store, running: Running) -> None:
    """What was seen while it ran is of it for good; what is seen after its end is found in earnest."""
    running.end(NOW + 10 * SECOND)
    find(store, ONE, seen=NOW + 5 * SECOND, now=NOW + 20 * SECOND)
    assert live_values(store) == set()
    find(store, ONE, seen=NOW + 30 * SECOND, now=NOW + 40 * SECOND)
    assert live_values(store) == {ONE.value}


def test_what_is_tagged_as_of_an_exercise_is_taken_no_further(store: Store) -> None:
    """In a STIX file by label or by a statement that the file defines; only a node for exercises holds it."""
    objects = [json.loads(one) for one in (statement_definition(), marked(1, ONE), marked(2, TWO, False))]
    bundle = json.dumps({"type": "bundle", "id": "bundle--00000000-0000-4000-8000-000000000001", "objects": objects})
    found = list(StixReader().read(BytesIO(bundle.encode()), "b.json", OwnAssets(declared_empty=True)))
    findings = [one for one in found if isinstance(one, Finding)]
    assert len(findings) == 2
    report = take_findings(store, *findings)
    assert set(report.refused) == {ONE, TWO}
    assert live_values(store) == set()
    assert take_findings(store, *findings, own=make_own(exercises=True)).held == {ONE, TWO}


# --- sharing -----------------------------------------------------------------------------------------


def test_only_what_was_detected_is_shared_unless_all_is_wanted(store: Store, running: Running) -> None:
    """Marking and label stand on it, the statement's definition and our identity go along, each has its row."""
    running.inject(TWO)
    find(store, ONE, now=NOW + SECOND)
    assert running.share(NOW + 2 * SECOND).released == {"exercise-winter": 1}
    assert running.share(NOW + 3 * SECOND, everything=True).released == {"exercise-winter": 1}
    assert running.share(NOW + 4 * SECOND, everything=True).released == {"exercise-winter": 0}
    entries = served(store, running.collection)
    assert [one.body["type"] for one in entries] == ["identity", "marking-definition", "indicator", "indicator"]
    for one in entries[2:]:
        assert one.body["labels"] == ["attacker", 'exercise:winter="2026"']
        assert running.record.marking in one.body["object_marking_refs"]
    assert entries[1].body["definition"] == {"statement": "EXERCISE EXERCISE EXERCISE winter"}
    assert check(store.conn).problems == []


def test_what_one_partner_may_not_have_nobody_in_the_exercise_gets(store: Store) -> None:
    """All read one collection, so the gate is asked for every partner, and the first refusal counts."""
    held = Running(store, (NORTH, SOUTH)).start()
    held.inject(ONE)
    held.agreements = (NORTH, make_agreement("south", outbound=Outbound("green", attribution="must-not")))
    report = held.share(everything=True)
    assert (report.released, report.refused) == ({"exercise-winter": 0}, 1)
    assert served(store, held.collection) == []
    held.agreements = (NORTH, make_agreement("south", max_tlp="clear"))
    assert held.share(NOW + SECOND, everything=True).refused == 1
    held.agreements = (NORTH, SOUTH)
    assert held.share(NOW + SECOND, everything=True).released == {"exercise-winter": 1}
    assert check(store.conn).problems == []


def test_an_agreement_that_ends_stops_the_sharing(store: Store, running: Running) -> None:
    """Nothing more leaves or is taken once an agreement is no longer in force."""
    running.agreements = (make_agreement(expires_on=date(2026, 2, 1)),)
    assert running.share(everything=True).refused == 1
    assert "expired" in str(running.post(running.indicator(1, TWO))[0])


def test_where_a_person_approves_everything_somebody_has_to_be_named(store: Store) -> None:
    """Under ``approval = human`` sharing waits for ``--by``, and the ledger keeps who it was."""
    held = Running(store, (make_agreement(outbound=Outbound("green", approval="human")),)).start()
    held.inject(ONE)
    assert held.share(everything=True).held == 1
    assert held.share(NOW + SECOND, everything=True, by="release desk").released == {"exercise-winter": 1}
    terms = [row[0] for row in store.conn.execute("SELECT text FROM ledger_terms")]
    assert any('["approval","release desk"]' in one for one in terms)


def test_what_waits_for_a_person_is_decided_in_review_too(store: Store) -> None:
    """An approval in review lets it go at the next sharing, a rejection keeps it here."""
    held = Running(store, (make_agreement(outbound=Outbound("green", approval="human")),)).start()
    held.inject(ONE, TWO)
    held.share(everything=True)
    with store.writing() as conn:
        for value, action in ((ONE, Action.APPROVE), (TWO, Action.REJECT)):
            by = ByWhom("release desk", "looked at", NOW)
            number = save_decision(conn, by, action, None, Scope(), False, 1)
            named = {inject_id(US, "winter", value): ["approval"]}
            cover_objects(conn, number, held.collection.number, named)
    report = held.share(NOW + SECOND, everything=True)
    assert (report.released, report.refused) == ({"exercise-winter": 1}, 1)


def test_publishing_never_touches_an_exercise(store: Store, running: Running) -> None:
    """Live indicators do not enter its collection, and the gate refuses them if somebody tried."""
    find(store, THREE)
    out = make_outlet(running.collection, NORTH)
    report = let_out(store, out)
    assert report.released == {"exercise-winter": 0}
    assert report.refused == 1
    assert {one.rule for _, _, said in report.decisions for one in said.reasons if one.verdict == "refuse"} >= {
        "exercise"
    }


# --- what members post -------------------------------------------------------------------------------


def test_members_answer_injects_and_the_report_says_when(store: Store, running: Running) -> None:
    """Sightings, opinions and own indicators are theirs; what is about none of the injects is listed beside them."""
    running.share(NOW + SECOND, everything=True)
    sighted = inject_id(US, "winter", ONE)
    at = NOW + 60 * SECOND
    opinion = running.sighting(2, sighted, at) | {"type": "opinion", "opinion": "agree", "object_refs": [sighted]}
    opinion["id"] = opinion["id"].replace("sighting", "opinion")
    del opinion["sighting_of_ref"], opinion["count"]
    posts = [running.sighting(1, sighted, at), opinion, running.indicator(3, ONE, at), running.indicator(4, THREE, at)]
    assert running.post(*posts, now=at) == [None] * 4
    assert running.post(*posts, now=at + SECOND) == [None] * 4
    told = running.report(at)
    assert [(one["type"], one["said"]) for one in told["injects"][0]["feedback"]] == [
        ("sighting", "2"),
        ("opinion", "agree"),
        ("indicator", ""),
    ]
    assert told["medians"]["seconds_to_feedback"] == {"north": 60.0}
    assert [one["type"] for one in told["other_feedback"]] == ["indicator"]
    assert live_values(store) == set()
    assert check(store.conn).problems == []


def change(told: dict[str, Any], **changed: Any) -> dict[str, Any]:
    """Gives an object with other properties; None takes one away."""
    return {name: value for name, value in (told | changed).items() if value is not None}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"labels": None}, "does not bear the label"),
        ({"labels": ['exercise:summer="2026"']}, "does not bear the label"),
        ({"labels": ['exercise:winter="2026"', 'exercise:summer="2026"']}, "label of another exercise"),
        ({"object_marking_refs": None}, "does not bear the marking"),
        ({"pattern": "[ipv4-addr:value = '8.8.8.8']"}, "neither of a documentation range"),
        ({"pattern": "[ipv4-addr:value = '192.0.2.9' OR ipv4-addr:value = '8.8.8.8']"}, "neither of a documentation"),
        ({"pattern": "[ipv4-addr:value LIKE '192.0.2.%']"}, "a pattern of several comparisons"),
        ({"created_by_ref": US}, "says that we made it"),
        ({"modified": "2027-01-01T00:00:00.000Z"}, "lies in the future"),
        ({"type": "malware", "id": "malware--00000000-0000-4000-8000-000000000001"}, "an exercise takes"),
    ],
)
def test_what_does_not_belong_into_an_exercise_is_refused(running: Running, changed: dict[str, Any], said: str) -> None:
    """Label, marking, values, maker, time and type are looked at, each with its reason."""
    outcome = running.post(change(running.indicator(1, TWO), **changed))[0]
    assert said in str(outcome)
    assert served(running.store, running.collection) == []


def test_a_marking_above_the_exercise_is_refused(running: Running) -> None:
    """What is marked more restrictively than the exercise may not be shown to its members."""
    assert "above the exercise's TLP:GREEN" in str(
        running.post(running.indicator(1, TWO, **running.marks(Tlp.AMBER)))[0]
    )


def test_a_property_that_stands_there_twice_is_refused(running: Running) -> None:
    """Readers differ on which of two labels counts."""
    raw = json.dumps(running.indicator(1, TWO)).replace('"labels"', '"labels": ["live"], "labels"', 1).encode()
    who = Account("north", frozenset(), frozenset())
    outcome = accept(running.store, running.collection, who, [(raw, read_object(raw))], running.given(NOW), NOW)
    assert "stands there twice" in str(outcome[0])


def test_members_change_only_what_is_their_own(store: Store) -> None:
    """Neither our injects nor another member's objects get a version from somebody else."""
    held = Running(store, (NORTH, SOUTH)).start()
    held.inject(ONE)
    held.share(everything=True)
    forged = held.indicator(1, ONE) | {"id": inject_id(US, "winter", ONE)}
    assert "belongs to another member" in str(held.post(forged)[0])
    assert held.post(held.indicator(2, TWO)) == [None]
    later = held.indicator(2, TWO, NOW + SECOND)
    assert "belongs to another member" in str(held.post(later, account="south", now=NOW + SECOND)[0])
    assert "belongs to no partner" in str(held.post(later, account="west")[0])
    other = held.indicator(2, THREE)
    assert "other content" in str(held.post(other)[0])
    assert held.post(later, now=NOW + SECOND) == [None]


# --- what comes from others and is of an exercise ----------------------------------------------------


@pytest.mark.parametrize("late", [False, True])
def test_a_statement_marking_sets_aside_whether_it_comes_before_or_after(store: Store, late: bool) -> None:
    """Where the definition comes later, the claims that were made in between are taken back."""
    feed = feed_source(store)
    batches = [[marked(1, ONE, False)], [statement_definition()]]
    for batch in batches if late else batches[::-1]:
        take_in(store, feed, *batch)
    assert live_values(store) == set()
    assert [one.reason.partition(";")[0] for _, _, one, _ in rejects(store.conn, None, 10)] == [
        "bears the statement marking of an exercise"
    ]


@pytest.mark.parametrize("label", ["exercise", 'exercise:lukex="2026"', " EXERCISE: x", "\u201cexercise\u201d:y"])
def test_a_label_of_any_exercise_sets_aside_however_it_is_written(store: Store, label: str) -> None:
    """Kept as it came, without a claim, with the reason; again and again."""
    feed = feed_source(store)
    told = marked(1, ONE, labels=[label])
    for _ in range(2):
        tally, aside = take_in(store, feed, told)
        assert (tally.objects, tally.new, tally.rejected) == (1, 0, 1)
        assert aside[0].reason.endswith("exercise data counts for nothing that is live")
    assert live_values(store) == set()
    assert store.conn.execute("SELECT count(*) FROM version").fetchone() == (1,)


def test_what_was_live_and_is_then_marked_loses_its_claim_and_never_gets_it_back(store: Store) -> None:
    """A later version without the mark is still of the exercise: what an object once was it stays."""
    feed = feed_source(store)
    take_in(store, feed, make_indicator_json(1, ONE, tlp=Tlp.GREEN))
    assert live_values(store) == {ONE.value}
    take_in(store, feed, marked(1, ONE, modified=NOW - SECOND))
    assert live_values(store) == set()
    for at in (NOW, NOW + SECOND):
        take_in(store, feed, make_indicator_json(1, ONE, modified=at, tlp=Tlp.GREEN), now=at)
    assert live_values(store) == set()


def test_no_partner_calls_anothers_object_an_exercise_or_silences_our_sensors(store: Store) -> None:
    """What a source says of its exercise binds what it sends itself, and nothing else."""
    one, other = feed_source(store, "one"), feed_source(store, "other")
    take_in(store, one, marked(1, ONE), statement_definition())
    take_in(store, other, make_indicator_json(1, ONE, tlp=Tlp.GREEN))
    take_in(store, other, marked(2, TWO, False))
    find(store, THREE)
    take_in(store, one, marked(3, THREE))
    assert live_values(store) == {ONE.value, TWO.value, THREE.value}


def test_a_definition_under_the_id_of_tlp_says_nothing(store: Store) -> None:
    """Else one producer in a feed could silence all others that mark as TLP:GREEN."""
    feed = feed_source(store)
    take_in(store, feed, statement_definition(TLP2_ID[Tlp.GREEN]), make_indicator_json(1, ONE, tlp=Tlp.GREEN))
    assert live_values(store) == {ONE.value}


def test_feedback_on_an_exercise_in_an_inbox_is_set_aside(store: Store, running: Running) -> None:
    """A sighting without marks that is about an inject of ours has no place among live data."""
    inbox = store.source("north", "partner", "A", Tlp.GREEN)
    sighting = running.sighting(1, inject_id(US, "winter", ONE), labels=[], object_marking_refs=[])
    _, aside = take_in(store, inbox, json.dumps(sighting).encode())
    assert [one.reason.partition(";")[0] for one in aside] == ["is about an object of an exercise"]


def test_a_feed_that_names_an_inject_is_set_aside_for_as_long_as_the_exercise_runs(
    store: Store, running: Running
) -> None:
    """Whoever has it from the exercise and says it in earnest is not believed; after the end it may be said again."""
    feed = feed_source(store)
    _, aside = take_in(store, feed, make_indicator_json(1, ONE))
    assert [one.reason.partition(",")[0] for one in aside] == ["names a value of the exercise that this node runs"]
    assert live_values(store) == set()
    running.end(NOW + SECOND)
    take_in(store, feed, make_indicator_json(1, ONE, modified=NOW + DAY), now=NOW + DAY)
    assert live_values(store) == {ONE.value}


def test_a_node_for_exercises_takes_what_is_marked_as_ever(store: Store) -> None:
    """There the whole node is apart, so what is of an exercise counts."""
    feed = feed_source(store)
    aside = take(store, feed, [marked(1, ONE)], US, NOW, Tally(), lambda: None, exercises=True)
    assert aside == []
    assert live_values(store) == {ONE.value}


def test_an_exchange_takes_no_exercise_data() -> None:
    """Neither what bears a label nor the statement itself, on a node that is not for exercises."""
    for raw in (marked(1, ONE), statement_definition()):
        assert "no place among live data" in str(may_exchange_live(raw, read_object(raw)))
    raw = make_indicator_json(1, ONE, tlp=Tlp.GREEN)
    assert may_exchange_live(raw, read_object(raw)) is None


# --- the end -----------------------------------------------------------------------------------------


def test_the_end_deletes_on_the_record_and_closes_the_collection(store: Store, running: Running) -> None:
    """Entries, decisions and rights are gone, report and ledger stay, and nothing more is taken."""
    with store.writing() as conn:
        key = add_account(conn, "north", [running.collection.alias], [running.collection.alias], NOW)
    running.share(everything=True)
    running.post(running.indicator(1, TWO))
    assert running.end(NOW + SECOND)["purged"] == 4
    assert served(store, running.collection) == []
    account = verify(store.conn, "north", key, NOW + SECOND)
    assert account is not None
    assert not account.read | account.write
    assert store.conn.execute("SELECT count(*) FROM release").fetchone() == (0,)
    assert running.report(NOW + DAY)["ended_by"] == "exercise desk"
    assert check(store.conn).problems == []
    assert "has ended" in str(running.post(running.indicator(2, TWO))[0])
    for act in (running.share, running.end, lambda: running.inject(TWO)):
        with pytest.raises(UsageError, match="has ended"):
            act()


def test_after_its_last_day_an_exercise_takes_nothing_and_the_daemon_ends_it(store: Store, running: Running) -> None:
    """Nobody injects, shares or posts any more; the next look at what is due purges it."""
    running.share(everything=True)
    after = NOW + 31 * DAY
    for act in (lambda: running.share(after), lambda: running.inject(TWO, now=after)):
        with pytest.raises(UsageError, match="is over"):
            act()
    assert "is over" in str(running.post(running.indicator(1, TWO), now=after)[0])
    assert exercises.tend(store, running.given(NOW + DAY), US_OBJECT, NOW + DAY) == {}
    assert exercises.tend(store, running.given(after), US_OBJECT, after) == {"winter": "ended"}
    assert served(store, running.collection) == []
    assert check(store.conn).problems == []


def test_the_daemon_shares_at_once_where_that_was_wanted(store: Store) -> None:
    """What is detected is shared without anybody asking."""
    plan = Start("winter", ("north",), date(2026, 3, 31), Tlp.GREEN, "desk", (), True)
    exercises.start(store, plan, exercise_facts(), NOW)
    held = Running(store)
    held.inject(ONE, TWO)
    find(store, ONE, now=NOW + SECOND)
    done = exercises.tend(store, held.given(NOW), US_OBJECT, NOW + 2 * SECOND)
    assert done == {"winter": {"released": 1, "held": 0, "refused": 0}}
    assert exercises.tend(store, held.given(NOW), US_OBJECT, NOW + 3 * SECOND) == {}


def test_a_finding_of_any_role_is_taken_out_of_live_data(store: Store, running: Running) -> None:
    """Also what a sensor's own list names, and what has no role."""
    for role in (Role.KNOWN_INDICATOR, Role.UNKNOWN, Role.PAYLOAD):
        find(store, ONE, role=role, now=NOW + SECOND)
    assert live_values(store) == set()
