"""Exercises for tests: a store with one that runs, what its members post, and what others mark as of an exercise."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from builders import CREATED, NOW, US, identity_uuid, make_agreement, make_indicator
from threatshare import exercises
from threatshare.config import OwnAssets
from threatshare.exercises import Start
from threatshare.findings.injects import Planned
from threatshare.model import Account, Collection, Micros, Observable, Tlp, moment
from threatshare.policy.agreements import Agreement
from threatshare.policy.gate import Facts
from threatshare.share.exercise_posts import accept
from threatshare.share.outlets import PublishReport
from threatshare.stix.exercise import label_of
from threatshare.stix.objects import identity, written
from threatshare.stix.received import read_object
from threatshare.stix.timestamps import write_timestamp
from threatshare.stix.tlp import TLP2_ID
from threatshare.store.collections import collections
from threatshare.store.embedded import Store
from threatshare.store.exercises import ExerciseRecord

NORTH = make_agreement("north")
SOUTH = make_agreement("south")
LAST_DAY = date(2026, 3, 31)
US_OBJECT = written(identity(US, "Our Company", "technology", CREATED))
STATEMENT_ID = "marking-definition--00000000-0000-4000-8000-0000000000aa"


def exercise_facts(*agreements: Agreement, now: Micros = NOW, **changed: Any) -> Facts:
    """What the gate takes as given, on the day of ``now``."""
    values: dict[str, Any] = {
        "own": OwnAssets(declared_empty=True),
        "purpose": "live",
        "our_identity": US,
        "today": moment(now).date(),
        "agreements": {one.partner: one for one in agreements or (NORTH,)},
    }
    return Facts(**(values | changed))


@dataclass
class Running:
    """An exercise that runs in a store."""

    store: Store
    agreements: tuple[Agreement, ...] = (NORTH,)
    name: str = "winter"
    facts: dict[str, Any] = field(default_factory=dict)

    def given(self, now: Micros) -> Facts:
        """The facts of a moment."""
        return exercise_facts(*self.agreements, now=now, **self.facts)

    def start(self, now: Micros = NOW, tlp: Tlp = Tlp.GREEN, until: date = LAST_DAY) -> Running:
        """Opens it."""
        partners = tuple(one.partner for one in self.agreements)
        made = exercises.start(
            self.store, Start(self.name, partners, until, tlp, "exercise desk"), self.given(now), now
        )
        assert isinstance(made, ExerciseRecord), made
        return self

    @property
    def record(self) -> ExerciseRecord:
        """As it is kept."""
        return exercises.named(self.store.conn, self.name)

    @property
    def collection(self) -> Collection:
        """Its collection."""
        return next(one for one in collections(self.store.conn) if one.alias == f"exercise-{self.name}")

    def inject(self, *values: Observable, now: Micros = NOW, offset: Micros = 0) -> list[str]:
        """Injects values; gives the reasons of those that were refused."""
        planned = [Planned(one, offset) for one in values]
        return [one.reason for one in exercises.inject(self.store, self.name, planned, self.given(now), now)[1]]

    def share(self, now: Micros = NOW, everything: bool = False, by: str | None = None) -> PublishReport:
        """Shares what was detected, or everything."""
        return exercises.share(self.store, self.name, self.given(now), US_OBJECT, now, everything, by)

    def post(self, *objects: dict[str, Any], account: str = "north", now: Micros = NOW) -> list[str | None]:
        """Has a member post."""
        raws = [json.dumps(one).encode() for one in objects]
        read = [(raw, read_object(raw)) for raw in raws]
        who = Account(account, frozenset(), frozenset({self.collection.alias}))
        return accept(self.store, self.collection, who, read, self.given(now), now)

    def report(self, now: Micros = NOW) -> dict[str, Any]:
        """Its report."""
        return exercises.report(self.store.conn, self.name, self.given(now), now)

    def end(self, now: Micros = NOW) -> dict[str, Any]:
        """Ends it."""
        return exercises.end(self.store, self.name, "exercise desk", "all done", self.given(now), now)

    def marks(self, tlp: Tlp = Tlp.GREEN) -> dict[str, Any]:
        """What an object needs to belong into it."""
        return {"labels": [self.record.label], "object_marking_refs": [TLP2_ID[tlp], self.record.marking]}

    def indicator(self, number: int, about: Observable, at: Micros = NOW, **more: Any) -> dict[str, Any]:
        """A member's own indicator for the exercise."""
        values = self.marks() | {"modified": at, "by": identity_uuid(1)} | more
        return make_indicator(number, about, **values)

    def sighting(self, number: int, sighted: str, at: Micros = NOW, **more: Any) -> dict[str, Any]:
        """A member's sighting of an inject."""
        return {
            "type": "sighting",
            "spec_version": "2.1",
            "id": f"sighting--00000000-0000-4000-8000-{number:012d}",
            "created_by_ref": identity_uuid(1),
            "created": write_timestamp(at),
            "modified": write_timestamp(at),
            "count": 2,
            "sighting_of_ref": sighted,
            **self.marks(),
            **more,
        }


def statement_definition(ref: str = STATEMENT_ID, text: str = "EXERCISE EXERCISE EXERCISE LUKEX") -> bytes:
    """Somebody's statement marking of an exercise."""
    return json.dumps(
        {
            "type": "marking-definition",
            "spec_version": "2.1",
            "id": ref,
            "created": "2026-02-01T00:00:00.000Z",
            "definition_type": "statement",
            "definition": {"statement": text},
        }
    ).encode()


def marked(number: int, about: Observable, by_label: bool = True, **more: Any) -> bytes:
    """Somebody's indicator that is of an exercise, by its label or by its statement marking alone."""
    marks: dict[str, Any] = {"tlp": Tlp.GREEN}
    if by_label:
        marks["labels"] = [label_of("lukex", 2026)]
    else:
        marks = {"object_marking_refs": [TLP2_ID[Tlp.GREEN], STATEMENT_ID]}
    return json.dumps(make_indicator(number, about, **(marks | more))).encode()


def live_values(store: Store) -> set[str]:
    """Gives every value that scores, is seen, or waits for anybody as live data."""
    claimed = store.conn.execute("SELECT value FROM observable WHERE number IN (SELECT observable FROM claim)")
    return {row[0] for row in (*claimed, *store.conn.execute("SELECT value FROM observation"))}


def served_text(store: Store, among: Sequence[Collection]) -> str:
    """Gives everything that some collections hold, withdrawals included, as one text."""
    numbers = [one.number for one in among]
    return "\n".join(
        bytes(body).decode()
        for number, body in store.conn.execute("SELECT id >> 40, body FROM entry")
        if number in numbers
    )
