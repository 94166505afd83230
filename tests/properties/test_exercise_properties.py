"""Exercise and live stay apart, both ways, whatever happens in whatever order."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from builders import (
    DAY,
    NOW,
    SECOND,
    domain,
    feed_source,
    ip,
    let_out,
    make_collection,
    make_finding,
    make_indicator,
    make_outlet,
    make_store,
    take_findings,
    take_in,
)
from exercise_builders import NORTH, STATEMENT_ID, Running, live_values, marked, served_text, statement_definition
from threatshare.model import CollectionKind, Observable, Role, Tlp
from threatshare.policy.exercises import unfit
from threatshare.publish import rescore_due
from threatshare.stix.exercise import TAGGED
from threatshare.stix.patterns import read_pattern
from threatshare.store.collections import collections
from threatshare.store.ledger_check import check
from threatshare.store.lookups import known_by_number, ranked

NIGHTLY = settings.default is not None and settings.default.max_examples >= 10_000

LIVE = [ip("45.66.77.1"), domain("evil.de")]
"""Real values: they may be live, and nothing else."""
DRILLED = [ip("192.0.2.1"), domain("one.example"), domain("two.test")]
"""Values that may be injected, or be found in earnest before that: then they are live, and never injected."""
MARKED = [ip("203.0.113.1"), domain("marked.example")]
"""Values that others name, and only as of an exercise."""
KINDS = (CollectionKind.SIEM, CollectionKind.INTERNAL)

values = st.sampled_from(LIVE + DRILLED)
numbers = st.integers(1, 6)


class Apart(RuleBasedStateMachine):
    """A node that works, and holds an exercise while it does."""

    def __init__(self) -> None:
        super().__init__()
        self.closing = ExitStack()
        self.store = make_store(Path(self.closing.enter_context(TemporaryDirectory())))
        self.closing.callback(self.store.close)
        self.now = self.began = NOW
        self.injected: set[Observable] = set()
        self.running: Running | None = None
        self.ended = False

    @initialize()
    def begin(self) -> None:
        """Makes the collections that live data leaves by."""
        for kind in KINDS:
            make_collection(self.store, kind)
        make_collection(self.store, CollectionKind.PARTNER, "to-north", "north")
        self.feed, self.inbox = feed_source(self.store), self.store.source("north", "partner", "A", Tlp.GREEN)

    def tick(self) -> None:
        """Lets some time go by."""
        self.now += SECOND

    @rule(value=values, role=st.sampled_from([Role.ATTACKER, Role.KNOWN_INDICATOR, Role.UNKNOWN]), tagged=st.booleans())
    def report(self, value: Observable, role: Role, tagged: bool) -> None:
        """A sensor reports a value, or something that is tagged as of an exercise."""
        self.ingest(value, role, tagged)

    def ingest(self, value: Observable, role: Role, tagged: bool) -> None:
        """Takes a finding; those that come after the exercise's end are late ones, from before it."""
        self.tick()
        finding = make_finding(value, role=role, seen=self.began if self.ended else self.now)
        if tagged:
            said = [_tagged(one) for one in make_finding(*MARKED).observations]
            finding = replace(finding, observations=tuple(said))
        take_findings(self.store, finding, now=self.now)

    @precondition(lambda self: self.injected)
    @rule(data=st.data(), role=st.sampled_from([Role.C2, Role.KNOWN_INDICATOR, Role.UNKNOWN]), by_feed=st.booleans())
    def name_inject(self, data: st.DataObject, role: Role, by_feed: bool) -> None:
        """A sensor reports an inject, or a feed names it as if it were live."""
        value = data.draw(st.sampled_from(sorted(self.injected)))
        if by_feed:
            self.claim(1, value)
        else:
            self.ingest(value, role, False)

    @rule(which=st.sampled_from(["label", "statement", "late"]), number=numbers, value=st.sampled_from(MARKED))
    def others_exercise(self, which: str, number: int, value: Observable) -> None:
        """A feed, or a partner's inbox, brings exercise data; its definition before it or behind it."""
        self.tick()
        source = self.feed if number % 2 else self.inbox
        told = marked(number, value, which == "label", modified=self.now - SECOND)
        defined = [] if which == "label" else [statement_definition()]
        for batch in [[told], defined] if which == "late" else [[*defined, told]]:
            take_in(self.store, source, *batch, now=self.now)

    @rule(number=numbers, value=values)
    def others_live(self, number: int, value: Observable) -> None:
        """A feed names a value in earnest."""
        self.claim(number, value)

    def claim(self, number: int, value: Observable) -> None:
        """Takes a live indicator; of the values of an exercise that has ended anybody may speak again."""
        self.tick()
        if self.ended and value in self.injected:
            return
        told = make_indicator(number + 10, value, modified=self.now - SECOND, tlp=Tlp.GREEN, confidence=90)
        take_in(self.store, self.feed, json.dumps(told).encode(), now=self.now)

    @precondition(lambda self: self.running is None)
    @rule()
    def start(self) -> None:
        """An exercise begins."""
        self.tick()
        self.began = self.now
        self.running = Running(self.store, (NORTH,), facts={"purpose": "demo"}).start(self.now)

    @precondition(lambda self: self.running is not None and not self.ended)
    @rule(value=values)
    def inject(self, value: Observable) -> None:
        """A value is injected, unless it is real or live."""
        assert self.running is not None
        self.tick()
        live = value.value in live_values(self.store)
        if not self.running.inject(value, now=self.now):
            assert value in DRILLED
            assert not live
            self.injected.add(value)

    @precondition(lambda self: self.running is not None and not self.ended)
    @rule(everything=st.booleans())
    def share(self, everything: bool) -> None:
        """What was detected, or all, is shared."""
        assert self.running is not None
        self.tick()
        self.running.share(self.now, everything)

    @precondition(lambda self: self.running is not None)
    @rule(number=numbers, value=values, change=st.sampled_from(["", "labels", "object_marking_refs", "other"]))
    def post(self, number: int, value: Observable, change: str) -> None:
        """A member posts into the exercise: what belongs there, or what does not."""
        assert self.running is not None
        self.tick()
        told = self.running.indicator(number + 20, value, self.now)
        if change == "other":
            told["labels"] = ['exercise:summer="2026"']
        elif change == "labels":
            del told["labels"]
        elif change:
            told["object_marking_refs"] = told["object_marking_refs"][:1]
        outcome = self.running.post(told, now=self.now)[0]
        if change or value in LIVE or self.ended:
            assert outcome is not None

    @precondition(lambda self: self.running is not None and not self.ended)
    @rule()
    def end(self) -> None:
        """The exercise ends."""
        assert self.running is not None
        self.tick()
        self.running.end(self.now)
        self.ended = True

    @rule(days=st.sampled_from([0, 0, 1]))
    def publish(self, days: int) -> None:
        """Everything live is published, perhaps a day later."""
        self.now += days * DAY if not self.ended else 0
        self.tick()
        rescore_due(self.store, self.now)
        let_out(
            self.store,
            *(
                make_outlet(one, NORTH if one.partner else None, self.now, purpose="demo")
                for one in collections(self.store.conn)
                if one.kind is not CollectionKind.EXERCISE
            ),
        )

    @invariant()
    def exercise_data_is_nowhere_live(self) -> None:
        """No value of an exercise has a claim, a score, an observation, or an entry outside its collection."""
        secret = {one.value for one in (*self.injected, *MARKED)}
        assert secret.isdisjoint(live_values(self.store))
        scored = known_by_number(self.store.conn, ranked(self.store.conn, list(range(12)), 1))
        assert secret.isdisjoint(one.observable.value for one in scored)
        live = [one for one in collections(self.store.conn) if one.kind is not CollectionKind.EXERCISE]
        text = served_text(self.store, live)
        assert [one for one in secret if f"'{one}'" in text] == []
        assert "exercise:" not in text
        assert STATEMENT_ID not in text

    @invariant()
    def live_data_is_in_no_exercise(self) -> None:
        """Everything in the exercise's collection bears its marks and names nobody's values; its end leaves nothing."""
        if self.running is None:
            return
        entries = served_text(self.store, [self.running.collection]).splitlines()
        assert not (self.ended and entries)
        record = self.running.record
        for one in map(json.loads, entries):
            if one["type"] in ("identity", "marking-definition"):
                continue
            assert one["labels"].count(record.label) == 1
            assert record.marking in one["object_marking_refs"]
            assert all(unfit(value, record.name) is None for value in read_pattern(one["pattern"]))

    def teardown(self) -> None:
        """The ledger holds, whatever happened."""
        found = check(self.store.conn)
        self.closing.close()
        assert found.problems == []


def _tagged(observation: Any) -> Any:
    return type(observation)(observation.observable, Role.UNKNOWN, TAGGED, observation.original)


TestApart = Apart.TestCase
TestApart.settings = settings(max_examples=10_000 if NIGHTLY else 40, stateful_step_count=25, deadline=None)
