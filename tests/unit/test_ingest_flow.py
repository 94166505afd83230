"""Findings in: which values become indicators, which sightings, and that the same findings twice say nothing new."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from builders import (
    BAD,
    DAY,
    NOW,
    SECOND,
    US,
    domain,
    dump,
    feed_source,
    ip,
    make_finding,
    make_indicator_json,
    make_own,
    make_store,
    take_findings,
    take_in,
)
from threatshare.config import OwnAssets
from threatshare.errors import ConfigurationError
from threatshare.model import Kind, Observable, Observation, Reject, Role, Tlp
from threatshare.stix.objects import indicator_id
from threatshare.stix.observables import canonical
from threatshare.stix.patterns import pattern_of
from threatshare.stix.timestamps import read_timestamp
from threatshare.stix.tlp import TLP2_ID
from threatshare.store.embedded import Store
from threatshare.store.observations import held, seen_of
from threatshare.store.releases import own_changes
from threatshare.store.runs import rejects
from threatshare.store.sources import OWN
from threatshare.triage.decay import lifetime

COUNTS = ("observation", "reject")
"""Tables that may differ where the same findings come twice."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = make_store(tmp_path)
    yield made
    made.close()


def current(store: Store, kind: str = "indicator") -> list[dict[str, Any]]:
    """Gives the current versions of our own objects of a type."""
    bodies = [json.loads(body) for _, _, body in own_changes(store.conn, 0, 10_000)]
    return [one for one in bodies if one["type"] == kind]


def versions(store: Store) -> int:
    """Counts every version of every object."""
    return int(store.conn.execute("SELECT count(*) FROM version").fetchone()[0])


def test_a_finding_becomes_an_indicator(store: Store) -> None:
    """An attacker's value becomes one indicator of ours: id, pattern, times, confidence, marking and techniques."""
    finding = make_finding(
        BAD, seen=NOW - 3 * DAY, last=NOW - DAY, confidence=85, techniques=("T1566.002", "T1071"), sensor="suricata-eve"
    )
    report = take_findings(store, finding)
    assert (report.findings, report.number("new"), report.number("updated")) == (1, 1, 0)
    (built,) = current(store)
    assert built["id"] == indicator_id(US, BAD)
    assert (built["created_by_ref"], built["pattern"]) == (US, pattern_of(BAD))
    assert read_timestamp(built["created"]) == read_timestamp(built["modified"]) == NOW
    assert read_timestamp(built["valid_from"]) == NOW - 3 * DAY
    assert read_timestamp(built["valid_until"]) == (NOW - DAY + lifetime(Kind.IPV4)) // 1000 * 1000
    assert (built["confidence"], built["labels"]) == (85, ["attacker"])
    assert built["object_marking_refs"] == [TLP2_ID[Tlp.GREEN]]
    assert [one["external_id"] for one in built["external_references"]] == ["T1071", "T1566.002"]


@pytest.mark.parametrize(
    "observable",
    [
        ip("45.0.0.0/24"),
        Observable(Kind.IPV6, "2a0a:1::1"),
        domain("bad.badhost.biz"),
        canonical(Kind.URL, "https://bad.badhost.biz/a'b\\c?d=%20"),
        Observable(Kind.EMAIL, "o'neill@badhost.biz"),
        Observable(Kind.MAC, "02:11:22:33:44:55"),
        Observable(Kind.MD5, "ab" * 16),
        Observable(Kind.SHA512, "ab" * 64),
    ],
)
def test_every_kind(store: Store, observable: Observable) -> None:
    """A value of any kind becomes an indicator that lives as long as its kind does, and a claim about that value."""
    take_findings(store, make_finding(observable, seen=NOW))
    (built,) = current(store)
    assert read_timestamp(built["valid_until"]) == (NOW + lifetime(observable.kind)) // 1000 * 1000
    assert store.conn.execute("SELECT value, score FROM observable").fetchall() == [(observable.value, 70)]


@pytest.mark.parametrize("role", list(Role))
def test_roles(store: Store, role: Role) -> None:
    """Only the four roles of an attacker's values make an indicator; unknown is held, a known one only observed."""
    report = take_findings(store, make_finding(BAD, role=role))
    wanted = role in (Role.ATTACKER, Role.C2, Role.PAYLOAD, Role.PHISH_SENDER)
    assert len(current(store)) == report.number("new") == wanted
    assert versions(store) == wanted
    assert report.held == ({BAD} if role is Role.UNKNOWN else set())
    assert report.sightings == ({BAD} if role is Role.KNOWN_INDICATOR else set())
    kept = wanted or role in (Role.UNKNOWN, Role.KNOWN_INDICATOR)
    assert store.conn.execute("SELECT count(*) FROM observation").fetchone() == (kept,)
    assert [one.observable for one in held(store.conn)] == ([BAD] if role is Role.UNKNOWN else [])
    if wanted:
        assert current(store)[0]["labels"] == [str(role)]


FINDINGS = (
    make_finding(BAD, ip("45.0.0.1"), techniques=("T1566",)),
    make_finding(BAD, role=Role.C2, sensor="ocsf", count=7),
    make_finding(domain("bad.badhost.biz"), role=Role.KNOWN_INDICATOR),
    make_finding(ip("45.0.0.2"), role=Role.UNKNOWN),
    make_finding(ip("10.0.0.1")),
    Reject("alerts.json:9", "no JSON", "{{{"),
)


def test_the_same_findings_twice(store: Store) -> None:
    """The same findings a day later are unchanged: no new version, claim or score, only counts of what was seen."""
    take_in(store, feed_source(store), make_indicator_json(1, domain("bad.badhost.biz")))
    first = take_findings(store, *FINDINGS)
    assert (first.number("new"), first.rejected, len(first.refused)) == (2, 1, 1)
    before = dump(store.conn, *COUNTS)
    counts = [one.count for found in seen_of(store.conn, store.key_of, [BAD]).values() for one in found]
    second = take_findings(store, *FINDINGS, now=NOW + DAY)
    assert (second.number("unchanged"), second.number("new"), second.number("updated")) == (2, 0, 0)
    assert dump(store.conn, *COUNTS) == before
    again = [one.count for found in seen_of(store.conn, store.key_of, [BAD]).values() for one in found]
    assert again == [2 * count for count in counts]


def test_seen_again_later(store: Store) -> None:
    """A later last-seen makes a new version that lives longer; an earlier one, or one in between, changes nothing."""
    take_findings(store, make_finding(seen=NOW - 9 * DAY, last=NOW - 5 * DAY))
    for last in (NOW - 6 * DAY, NOW - 5 * DAY):
        assert take_findings(store, make_finding(seen=NOW - 8 * DAY, last=last)).number("unchanged") == 1
    (before,) = current(store)
    assert take_findings(store, make_finding(seen=NOW - DAY), now=NOW + DAY).number("updated") == 1
    (after,) = current(store)
    assert (after["id"], after["created"], after["valid_from"]) == tuple(
        before[name] for name in ("id", "created", "valid_from")
    )
    assert read_timestamp(after["modified"]) == NOW + DAY
    assert read_timestamp(after["valid_until"]) - read_timestamp(before["valid_until"]) == 4 * DAY
    assert take_findings(store, make_finding(seen=NOW - 99 * DAY)).number("updated") == 1
    assert read_timestamp(current(store)[0]["valid_from"]) == NOW - 99 * DAY
    assert versions(store) == 3


def test_our_claim_decays_from_the_last_sight(store: Store) -> None:
    """An indicator of a finding that is read weeks late scores as one that is weeks old."""
    take_findings(store, make_finding(BAD, seen=NOW - 30 * DAY), make_finding(ip("45.0.0.1"), seen=NOW))
    scores = dict(store.conn.execute("SELECT value, score FROM observable"))
    assert scores["45.0.0.1"] == 70
    assert 10 < scores[BAD.value] < 20
    observed = store.conn.execute("SELECT observed FROM claim ORDER BY observed").fetchall()
    assert abs(observed[0][0] - (NOW - 30 * DAY)) < 1000


def test_several_sensors_make_one_indicator(store: Store) -> None:
    """What several sensors say of a value is one indicator: every role and technique, the highest confidence."""
    take_findings(
        store,
        make_finding(sensor="one", confidence=30, techniques=("T1001",), seen=NOW - 5 * DAY),
        make_finding(sensor="two", role=Role.C2, confidence=60, techniques=("T1002", "T1001")),
        make_finding(sensor="two", role=Role.UNKNOWN, confidence=99, techniques=("T1003",), seen=NOW),
        make_finding(sensor="two", role=Role.KNOWN_INDICATOR, confidence=99, techniques=("T1004",), seen=NOW),
    )
    (built,) = current(store)
    assert (built["confidence"], built["labels"]) == (60, ["attacker", "c2"])
    assert [one["external_id"] for one in built["external_references"]] == ["T1001", "T1002"]
    assert read_timestamp(built["valid_from"]) == NOW - 5 * DAY
    assert read_timestamp(built["valid_until"]) == (NOW - DAY + lifetime(Kind.IPV4)) // 1000 * 1000


def test_confidence_that_nobody_states(store: Store) -> None:
    """Where no tool states a confidence, the configured one is said; a stated zero is a statement."""
    take_findings(store, make_finding(BAD), make_finding(ip("45.0.0.1"), confidence=0), own=make_own(confidence=42))
    assert {one["pattern"]: one["confidence"] for one in current(store)} == {
        pattern_of(BAD): 42,
        pattern_of(ip("45.0.0.1")): 0,
    }


@pytest.mark.parametrize(
    ("observable", "reason"),
    [
        (ip("45.10.3.4"), "own"),
        (ip("45.10.0.0/15"), "own"),
        (domain("mail.our-company.de"), "own"),
        (Observable(Kind.URL, "https://www.our-company.de/x"), "own"),
        (Observable(Kind.EMAIL, "boss@our-company.de"), "own"),
        (ip("10.0.0.1"), "RFC 1918"),
        (ip("127.0.0.1"), "loopback"),
        (domain("printer.local"), "RFC 6762"),
        (Observable(Kind.MD5, "d41d8cd98f00b204e9800998ecf8427e"), "empty"),
    ],
)
def test_values_that_can_be_no_indicator(store: Store, observable: Observable, reason: str) -> None:
    """What is ours, reserved or known benign becomes no indicator, whatever role it has, and the reason is told."""
    own = make_own(assets=OwnAssets((ip_network("45.10.0.0/16"),), ("our-company.de",)))
    report = take_findings(store, make_finding(observable), own=own)
    assert reason in report.refused[observable]
    assert current(store) == []


def test_documentation_values_are_for_the_gate_to_judge(store: Store) -> None:
    """Documentation ranges become indicators, since demo and exercise nodes live on them; the gate keeps them in."""
    report = take_findings(store, make_finding(ip("203.0.113.7"), domain("bad.example.net")))
    assert (report.number("new"), report.refused) == (2, {})


CANARY = "canary-5f0a5c43"


def test_no_text_of_a_finding_is_in_any_object(store: Store) -> None:
    """Title, place, original text, rule and sensor of a finding stand in no object that is stored."""
    take_in(store, feed_source(store), make_indicator_json(1, domain("bad.badhost.biz")))
    for role, observable in ((Role.ATTACKER, BAD), (Role.KNOWN_INDICATOR, domain("bad.badhost.biz"))):
        finding = make_finding(observable, role=role, title=CANARY, place=f"/{CANARY}.json:1", sensor=CANARY)
        marked = Observation(observable, role, f"{CANARY} why", f"{CANARY} original")
        take_findings(store, finding, replace(finding, observations=(marked,)))
    assert len(current(store)) == len(current(store, "sighting")) == 1
    bodies = [bytes(row[0]) for row in store.conn.execute("SELECT body FROM version")]
    assert len(bodies) >= 3
    assert not [body for body in bodies if CANARY.encode() in body]


def test_what_could_not_be_read_is_kept(store: Store) -> None:
    """Lines and records that a reader could not read are counted and kept with place and reason."""
    report = take_findings(store, Reject("a.json:7", "no JSON", "{{"), make_finding(), Reject("a.json:9", "cut off"))
    assert (report.findings, report.rejected, report.number("new")) == (1, 2, 1)
    kept = [(one.place, one.reason, one.text) for _, origin, one, _ in rejects(store.conn, OWN, 9)]
    assert kept == [("a.json:9", "cut off", ""), ("a.json:7", "no JSON", "{{")]


@pytest.mark.parametrize("place", ["caf\udce9.json:1", "a\0b"])
def test_places_that_are_no_text(store: Store, place: str) -> None:
    """A file name that is no valid Unicode ends nothing."""
    take_findings(store, Reject(place, "no JSON", "\udcff"), make_finding())
    assert len(list(rejects(store.conn, OWN, 9))) == 1
    assert len(current(store)) == 1


def test_a_sensor_ahead_of_our_clock(store: Store) -> None:
    """What a sensor dates in the future counts as seen now, so that no indicator lives longer than its kind."""
    take_findings(store, make_finding(seen=NOW + 99 * DAY))
    (built,) = current(store)
    assert read_timestamp(built["valid_from"]) == NOW
    assert read_timestamp(built["valid_until"]) == (NOW + lifetime(Kind.IPV4)) // 1000 * 1000


def test_a_sensor_that_ends_before_it_begins(store: Store) -> None:
    """Where a finding's last sight lies before its first, the two are taken the right way round."""
    take_findings(store, make_finding(seen=NOW - DAY, last=NOW - 99 * DAY))
    (built,) = current(store)
    assert read_timestamp(built["valid_from"]) == NOW - 99 * DAY
    assert read_timestamp(built["valid_until"]) == (NOW - DAY + lifetime(Kind.IPV4)) // 1000 * 1000


def test_findings_of_other_centuries(store: Store) -> None:
    """A finding dated in the year 1 is an indicator long past, and nothing worse."""
    year_one = read_timestamp("0001-01-01T00:00:00Z")
    assert take_findings(store, make_finding(seen=year_one)).number("new") == 1
    assert current(store)[0]["valid_from"] == "0001-01-01T00:00:00.000Z"
    assert store.conn.execute("SELECT score FROM observable").fetchone() == (0,)


def test_a_clock_that_was_put_back(store: Store) -> None:
    """Where our own clock was put back by an hour, what is found then still makes new versions, later than the last."""
    take_findings(store, make_finding(seen=NOW - DAY))
    report = take_findings(store, make_finding(seen=NOW - 7200 * SECOND), now=NOW - 3600 * SECOND)
    assert report.number("updated") == 1
    assert read_timestamp(current(store)[0]["modified"]) == NOW + 1000
    assert versions(store) == 2


def test_two_values_of_one_key(store: Store) -> None:
    """Of two values that share a key the second is refused, and the first's counts stay its own."""
    other = ip("45.0.0.1")
    real, texts = store.key_of, {f"{one.kind}|{one.value}".encode() for one in (BAD, other)}
    store.key_of = lambda text: 42 if text in texts else real(text)
    take_findings(store, make_finding(BAD, count=3))
    before = dump(store.conn)
    report = take_findings(store, make_finding(other, count=5), make_finding(other, role=Role.KNOWN_INDICATOR))
    assert "key" in report.refused[other]
    assert report.sightings == set()
    assert dump(store.conn) == before
    report = take_findings(store, make_finding(other, BAD))
    assert (report.number("unchanged"), set(report.refused)) == (1, {other})
    assert [one.count for one in seen_of(store.conn, store.key_of, [BAD])[BAD]] == [4]


def test_only_we_are_called_own(store: Store) -> None:
    """No feed and no account can take the name of our own source, under which it could change our objects."""
    take_findings(store, make_finding())
    with pytest.raises(ConfigurationError, match="own"):
        feed_source(store, OWN)


def test_no_count_is_too_large(store: Store) -> None:
    """A tool that counts beyond all reason, once or again and again, breaks nothing; STIX's own limit is kept."""
    for _ in range(2):
        take_findings(store, make_finding(BAD, count=10**300), make_finding(BAD, count=10**12))
    assert seen_of(store.conn, store.key_of, [BAD])[BAD][0].count == 999_999_999
