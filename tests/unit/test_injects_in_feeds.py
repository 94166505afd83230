"""Feeds and lists that name values of an exercise that runs here, outright or within other values."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from builders import DAY, NOW, SECOND, feed_source, indicator_uuid, ip, make_indicator_json, take_in
from exercise_builders import Running, live_values, marked
from threatshare.lookup import lookup
from threatshare.model import Kind, Micros, Observable
from threatshare.ports import Listed, Listing
from threatshare.pull import pull_list
from threatshare.stix.observed import cyber_observable
from threatshare.store.embedded import Store

ONE, OTHER = ip("192.0.2.1"), ip("192.0.2.9")
HOST = Observable(Kind.DOMAIN, "c2.drill.example")


@dataclass
class FakeList:
    values: list[Observable]

    def listing(self, cursor: str | None, now: Micros) -> Listing | None:
        """Gives all values, each time."""
        return Listing((Listed(one, None, None, None) for one in self.values), "1", True, len(self.values))


@pytest.fixture
def running(store: Store) -> Running:
    """An exercise of an address and a domain."""
    made = Running(store).start()
    assert made.inject(ONE, HOST) == []
    return made


@pytest.mark.parametrize(
    "pattern",
    [
        "[url:value = 'http://192.0.2.1/gate.php']",
        "[url:value = 'https://www.c2.drill.example/a']",
        "[url:value = 'https://go.example/?to=http%3A%2F%2Fc2.drill.example%2Fa']",
        "[domain-name:value = 'www.c2.drill.example']",
        "[email-addr:value = 'x@c2.drill.example']",
        "[ipv4-addr:value = '192.0.2.1' AND ipv4-addr:value = '192.0.2.9']",
        "[ipv4-addr:value = '192.0.2.9'] FOLLOWEDBY [domain-name:value = 'c2.drill.example']",
    ],
)
def test_what_holds_an_inject_counts_for_nothing_while_it_runs(store: Store, running: Running, pattern: str) -> None:
    """A URL on an inject's host, a name below it, a pattern of several: set aside, until the exercise has ended."""
    feed = feed_source(store)
    tally, aside = take_in(store, feed, make_indicator_json(1, pattern))
    assert (tally.rejected, tally.new) == (1, 0)
    assert aside[0].reason.startswith("names a value of the exercise that this node runs, or one that holds such")
    assert live_values(store) == set()
    running.end(NOW + SECOND)
    take_in(store, feed, make_indicator_json(1, pattern, modified=NOW + DAY), now=NOW + DAY)
    assert len(live_values(store)) == 1


@pytest.mark.usefixtures("running")
def test_what_only_looks_like_an_inject_is_live(store: Store) -> None:
    """Neighbours of an inject are as real as ever."""
    patterns = ["[url:value = 'http://192.0.2.11/']", "[domain-name:value = 'c2.drills.example']"]
    patterns += ["[domain-name:value = 'notc2.drill.example']", "[domain-name:value = 'drill.example']"]
    tally, aside = take_in(store, feed_source(store), *(make_indicator_json(n, one) for n, one in enumerate(patterns)))
    assert (tally.new, aside) == (4, [])


@pytest.mark.usefixtures("running")
def test_a_list_is_read_so_too(store: Store) -> None:
    """Its rows that name or hold an inject are kept aside, and the others are taken."""
    values = [ONE, OTHER, Observable(Kind.URL, "http://c2.drill.example/x")]
    report = pull_list(store, feed_source(store, "list-a"), FakeList(values), lambda: NOW, lambda _: True)
    assert (report.new, report.rejected) == (1, 2)
    assert live_values(store) == {OTHER.value}


def test_relationships_of_an_exercise_are_no_context(store: Store) -> None:
    """What a label sets aside is kept with its ties, and no lookup of a live value tells of them."""
    feed = feed_source(store)
    malware = {"type": "malware", "id": f"malware--{indicator_uuid(5)[11:]}", "name": "Drill", "labels": ["exercise"]}
    same = json.loads(make_indicator_json(7)) | malware
    del same["pattern"]
    for number, target in enumerate((indicator_uuid(1), cyber_observable(OTHER)["id"])):
        tie = {"type": "relationship", "id": f"relationship--{indicator_uuid(number)[11:]}", "labels": ["exercise"]}
        refs = {"source_ref": same["id"], "relationship_type": "communicates-with", "target_ref": target}
        take_in(store, feed, json.dumps(same | tie | refs).encode())
    take_in(store, feed, make_indicator_json(1, OTHER), json.dumps(same).encode(), marked(2, ONE))
    (answer,) = lookup(store.conn, [OTHER.value], NOW)
    assert (answer.known, answer.context) == (True, ())
