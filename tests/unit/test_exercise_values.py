"""What is of an exercise however it is spelled, and what nobody smuggles into one or out of it."""

from __future__ import annotations

from typing import Any

import pytest

from builders import NOW, SECOND, US, feed_source, find, ip, take_in
from exercise_builders import Running, live_values, marked, statement_definition
from threatshare.findings.formats.tags import verdict_of_tags
from threatshare.findings.injects import generate
from threatshare.model import Kind
from threatshare.policy.exercises import unfit
from threatshare.stix.exercise import inject_id, is_exercise_label, is_exercise_statement, practice_hash
from threatshare.stix.objects import name_of
from threatshare.stix.observables import recognise
from threatshare.store.embedded import Store
from threatshare.store.inject_mentions import holding_injects

ONE, TWO = ip("192.0.2.1"), ip("192.0.2.2")


@pytest.fixture
def running(store: Store) -> Running:
    """An exercise with one partner, and one inject that is shared."""
    made = Running(store).start()
    made.inject(ONE)
    made.share(everything=True)
    return made


# --- how it is spelled -------------------------------------------------------------------------------

STATEMENTS = [
    "*** EXERCISE EXERCISE EXERCISE SPRING ***",
    "EXERCISE EXERCISE EXERCISE: w",
    "EXERCISE, EXERCISE, EXERCISE",
    "EXERCISE-EXERCISE-EXERCISE",
    "\u201cEXERCISE\u201d \u201cEXERCISE\u201d 'EXERCISE'",
    "\uff25\uff38\uff25\uff32\uff23\uff29\uff33\uff25 EXERCISE EXERCISE",
    "EXER\u200bCISE EXER\u00adCISE EXERCISE",
    "TLP:GREEN. EXERCISE EXERCISE EXERCISE spring",
    "\u0415\u0425\u0415RCI\u0405E EXERCISE EXERCISE",
    "\u0395\u03a7\u0395RC\u0399SE EXERCISE EXER\u03f9ISE",
    "=" * 60 + " exercise exercise exercise",
]


@pytest.mark.parametrize("text", STATEMENTS)
def test_a_statement_is_an_exercises_however_it_is_written(store: Store, text: str) -> None:
    """Signs, quotes, wide, invisible and look-alike letters change nothing; what bears it makes no claim."""
    assert is_exercise_statement(text)
    take_in(store, feed_source(store), statement_definition(text=text), marked(1, ONE, False))
    assert live_values(store) == set()


LABELS = [
    'misp:exercise:lukex="2026"',
    "cyber-exercise",
    "cyber\u2010exercise",
    "physical-exercise",
    "live exercise",
    "type=exercise",
    "misp\uff1aexercise",
    "\u0435\u0445\u0435r\u0441\u0456\u0455\u0435:lukex",
    "e\u200bxercise",
    "#" * 60 + "exercise",
    "exercise2026",
]


@pytest.mark.parametrize("label", LABELS)
def test_a_label_is_an_exercises_however_it_is_written(store: Store, label: str) -> None:
    """In each part between colons, equals signs, hyphens and blanks; of a feed's object and of a file's tag."""
    assert verdict_of_tags([label]) is not None
    take_in(store, feed_source(store), marked(1, ONE, labels=[label]))
    assert live_values(store) == set()


@pytest.mark.parametrize("text", ["tlp:green", "exec:rcise", "live", "", "mitre:T1566"])
def test_what_only_resembles_the_word_is_none(text: str) -> None:
    """Other labels and statements count as ever; one EXERCISE alone is no statement."""
    assert not is_exercise_label(text)
    assert not is_exercise_statement(text)
    assert not is_exercise_statement("This exercise is over, that exercise begins")


# --- what members may say ----------------------------------------------------------------------------

LIVE = "45.155.205.233"


def refused(running: Running, told: dict[str, Any], **changed: Any) -> str:
    """Posts an object with other properties; gives why it was refused."""
    outcome = running.post(told | changed)[0]
    assert outcome is not None
    return outcome


@pytest.mark.parametrize(
    "changed",
    [
        {"name": f"C2 {LIVE}"},
        {"description": f"seen on {LIVE}"},
        {"description": "A real story."},
        {"external_references": [{"source_name": "x", "url": f"http://{LIVE}/"}]},
        {"external_references": [{"source_name": "mitre-attack", "external_id": "T1566", "description": LIVE}]},
        {"extensions": {"extension-definition--00000000-0000-4000-8000-000000000001": {"ip": LIVE}}},
        {"x_note": LIVE},
        {LIVE: 1},
        {"kill_chain_phases": [{"kill_chain_name": LIVE, "phase_name": "x"}]},
        {"indicator_types": [LIVE]},
        {"granular_markings": [{"selectors": ["name"], "lang": "de"}]},
        {"pattern": f"[ipv4-addr:value = '192.0.2.1'] /* {LIVE} */"},
        {"pattern": "[ipv4-addr:value = '192.0.2.1'] // a story"},
        {"pattern": f"[url:value = 'http://example.com/a?next=http://{LIVE}/']"},
        {"pattern": f"[url:value = 'http://example.com/#{LIVE}']"},
        {"lang": LIVE},
    ],
)
def test_a_post_says_nothing_beside_its_marked_value(running: Running, changed: dict[str, Any]) -> None:
    """No free text, no property that our builder does not write, no value within another one."""
    text = refused(running, running.indicator(1, TWO), **changed)
    assert LIVE not in text


@pytest.mark.parametrize("extra", [LIVE, "c2:evil.de", "note"])
def test_a_posts_labels_are_roles_and_the_exercises(running: Running, extra: str) -> None:
    """A label of its own could say anything."""
    told = running.indicator(1, TWO)
    assert "labels" in refused(running, told, labels=[*told["labels"], extra])


def test_an_exercises_label_spelled_otherwise_is_refused(running: Running) -> None:
    """The labels of another exercise are told however they are written."""
    told = running.indicator(1, TWO)
    assert "label of another exercise" in refused(running, told, labels=[*told["labels"], "Exercise:\u0455ummer"])


def test_sightings_opinions_and_identities_say_no_more_either(running: Running) -> None:
    """An Identity has a name, in which no value stands; an opinion's explanation is one of ours."""
    sighted = inject_id(US, "winter", ONE)
    sighting = running.sighting(1, sighted)
    assert "description" in refused(running, sighting, description=f"from {LIVE}")
    opinion = {name: value for name, value in sighting.items() if name not in ("sighting_of_ref", "count")}
    opinion |= {"type": "opinion", "id": sighting["id"].replace("sighting", "opinion")}
    opinion |= {"opinion": "agree", "object_refs": [sighted]}
    assert "explanation" in refused(running, opinion, explanation=f"see {LIVE}")
    identity = {name: value for name, value in sighting.items() if name not in ("sighting_of_ref", "count")}
    identity |= {"type": "identity", "id": sighting["id"].replace("sighting", "identity"), "name": "North desk"}
    for name in (LIVE, "evil[.]de", "aHR0cDovL2V2aWwuZGUv", "x" * 101):
        assert "name" in refused(running, identity, name=name)
    assert running.post(sighting, opinion, identity) == [None] * 3


def test_what_our_own_builder_writes_may_be_posted(running: Running) -> None:
    """Names and descriptions as generated, techniques, and several documentation values in one pattern."""
    roles = ["attacker", running.record.label]
    told = running.indicator(1, TWO, labels=roles, name=name_of(TWO), confidence=50)
    told |= {"description": f"Reported as {', '.join(roles)}.", "indicator_types": ["malicious-activity"]}
    told |= {"pattern_version": "2.1"}
    told |= {"external_references": [{"source_name": "mitre-attack", "external_id": "T1566.002"}]}
    pattern = "[ipv4-addr:value = '192.0.2.1' OR url:value = 'https://login.example.net/m365']"
    several = running.indicator(2, TWO) | {"pattern": pattern}
    hashed = running.indicator(3, practice_hash("winter", Kind.MD5, 3))
    assert running.post(told, several, hashed) == [None] * 3


# --- values within values ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        f"http://example.com/a?next=http://{LIVE}/",
        "http://example.com/a?u=evil.de",
        "http://example.com/%34%35.155.205.233",
        "http://example.com/aHR0cDovL2V2aWwuZGUv",
        "http://45-155-205-233.example.com/",
        "http://example.com/?ip=765119977",
        "http://example.com/?n=jane@evil.de",
        "http://example.com/a[.]evil[.]de",
        "http://example.com/2a02:26f0:1::1/",
        "http://example.com/" + "ab" * 32,
        "evil.de@example.com",
        "45-155-205-233.example.com",
    ],
)
def test_no_inject_holds_a_value_that_may_be_somebodys(running: Running, value: str) -> None:
    """A query, a path, a local part and a label are looked into, escaped and encoded ones too."""
    assert "nobody's, but holds" in running.inject(recognise(value))[0]


def test_generated_injects_and_plain_scenarios_hold_nothing() -> None:
    """What may be practised with stays so: file names, numbers, documentation values within one another."""
    made = generate("winter", 5)
    assert {unfit(next(made).observable, "winter") for _ in range(500)} == {None}
    for value in ("https://login.example.net/m365?to=http://192.0.2.7/a", "http://c.invalid/index.html?f=setup.exe"):
        assert unfit(recognise(value), "winter") is None


@pytest.mark.parametrize(
    "value",
    [
        "http://evil.de/?next=http://192.0.2.1/",
        "http://evil.de/?next=http%3A%2F%2F192.0.2.1%2F",
        "http://evil.de/aHR0cDovLzE5Mi4wLjIuMS8",
        "http://evil.de/login.example/m365",
        "http://evil.de/?a=[2001:db8::7]",
        "192.0.2.1.evil.de",
        "http://evil.de/?m=bait@post.example",
    ],
)
def test_a_finding_that_holds_an_inject_is_set_aside_while_the_exercise_runs(running: Running, value: str) -> None:
    """In a query, a path, a label, decoded or not; afterwards it is found in earnest, and it is no detection."""
    values = ("https://login.example/m365", "2001:db8::7", "bait@post.example")
    assert running.inject(*map(recognise, values)) == []
    find(running.store, recognise(value), now=NOW + SECOND)
    assert live_values(running.store) == set()
    assert [one["detected"] for one in running.report()["injects"]] == [None] * 4
    running.end(NOW + 2 * SECOND)
    find(running.store, recognise(value), now=NOW + 3 * SECOND, seen=NOW + 3 * SECOND)
    assert live_values(running.store) == {recognise(value).value}


def test_what_holds_no_inject_is_live(running: Running) -> None:
    """A longer number, another address and another name are nothing of the exercise."""
    values = [recognise(one) for one in ("http://evil.de/?a=192.0.2.11", "http://evil.de/?a=1192.0.2.1", "evil.de")]
    assert holding_injects(running.store.conn, values) == {}
