"""Whatever is written, revised, released and withdrawn, in whatever order, killed or not: no report leaves too early.

Two things hold of every entry of a partner's collection: what a report names stood there before it, and its text was
released by two persons for that collection. After a whole run both hold of all that stands there.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders import (
    NOW,
    SECOND,
    US,
    check,
    find,
    ip,
    let_out,
    make_collection,
    make_outlet,
    make_own,
    make_store,
    served,
    standing,
    with_terms,
)
from incident_builders import Killed, Mortal, by, make_wide_agreement, release_text, revise, write
from threatshare import feedback, incidents
from threatshare.errors import UsageError
from threatshare.model import Collection, CollectionKind, Observable
from threatshare.policy.agreements import Outbound
from threatshare.policy.report_rules import edition_of
from threatshare.stix.objects import indicator_id
from threatshare.store.feedback import Told
from threatshare.store.incidents import due_incidents

VALUES = [ip(f"45.0.0.{number}") for number in (1, 2, 3)]
TERMS = {
    "wide": make_wide_agreement(),
    "high": with_terms(make_wide_agreement(), outbound=Outbound("amber", ("indicator", "report"), min_score=99)),
    "no reports": with_terms(make_wide_agreement(), outbound=Outbound("amber", ("indicator",))),
}


some = st.lists(st.sampled_from(VALUES), min_size=1, max_size=3, unique=True)
which = st.integers(0, 2)
acts = st.one_of(
    st.tuples(st.just("write"), some),
    st.tuples(st.just("revise"), which, st.none() | some),
    st.tuples(st.just("release"), which, st.sampled_from([2, 2, 1])),
    st.tuples(st.just("withdraw"), st.sampled_from(VALUES)),
    st.tuples(st.just("undo"), st.sampled_from(VALUES)),
    st.tuples(st.just("withdraw report"), which, st.booleans()),
    st.tuples(st.just("terms"), st.sampled_from(list(TERMS))),
)
runs = st.lists(st.none() | st.integers(0, 3), max_size=2)
"""Runs of publishing behind an act: whole ones, and such as are killed before their n-th transaction."""
life = st.lists(st.tuples(acts, runs), min_size=3, max_size=15)
begun = st.lists(some, min_size=1, max_size=2)
"""What reports name that were written and released before."""


class Desk:
    """Those who write, read and decide; it remembers which texts were released."""

    def __init__(self, folder: Path) -> None:
        made = make_store(folder, shape=Mortal)
        assert isinstance(made, Mortal)
        self.store = made
        find(made, *VALUES)
        self.partner: Collection = make_collection(made, CollectionKind.PARTNER, "to-north", "north")
        self.now, self.terms, self.words = NOW, "wide", 0
        self.released: set[str] = set()
        self.held: dict[str, str] = {}

    def say(self) -> str:
        """Gives words that nobody has said before."""
        self.words += 1
        return f"Account number {self.words}."

    def report(self, place: int) -> str | None:
        """Gives the id of one of the reports."""
        found = incidents.listed(self.store, make_own())[::-1]
        return str(found[place % len(found)].content["id"]) if found else None

    def do(self, what: str, *how: Any) -> None:
        """Does one step; what cannot be done is refused, and changes nothing."""
        self.now += SECOND
        own, whom = make_own(), by(at=self.now)
        try:
            match what:
                case "write":
                    texts = [one.value for one in how[0]]
                    write(self.store, *texts, now=self.now, token=self.say(), description=self.say())
                case "revise" if (one := self.report(how[0])) is not None:
                    named = None if how[1] is None else [value.value for value in how[1]]
                    revise(self.store, one, self.now, description=self.say(), values=named)
                case "release" if (one := self.report(how[0])) is not None:
                    if release_text(self.store, one, self.now, persons=how[1]) and how[1] == 2:
                        self.released.add(self.held[one])
                case "withdraw":
                    feedback.withdraw(self.store, own, how[0].value, whom)
                case "undo":
                    feedback.undo(self.store, own, Told.WITHDRAWAL, how[0].value, whom)
                case "withdraw report" if (one := self.report(how[0])) is not None:
                    incidents.withdraw(self.store, own, one, whom, undo=how[1])
                case "terms":
                    self.terms = how[0]
                case "publish":
                    self.publish(how[0])
        except UsageError:
            pass

    def publish(self, kill_after: int | None = None) -> None:
        """Publishes, or is killed on the way; both leave what may be there."""
        texts = {one.content["id"]: one.content["description"] for one in incidents.listed(self.store, make_own())}
        self.store.left = kill_after
        try:
            let_out(self.store, make_outlet(self.partner, TERMS[self.terms], self.now))
            self.held = texts
        except Killed:
            # Which of the new texts are held now, the gate has decided before or not: only what it has is released.
            self.held = {one: self._held_text(one, texts) for one in texts}
        finally:
            self.store.left = None
        self.entries_are_right()
        if kill_after is None:
            self.standing_is_right()

    def _held_text(self, object_id: str, texts: dict[str, str]) -> str:
        """Gives the text that the gate holds of a report, by the digest in its rule."""
        shown = incidents.shown(self.store, make_own(), object_id)
        edition = f"report-text-{edition_of(shown.content)}"
        decided = dict(shown.decisions).get("to-north")
        reasons = shown.waiting.get("to-north", decided.reasons if decided is not None else ())
        current = any(one.rule == edition for one in reasons)
        return texts[object_id] if current else self.held.get(object_id, "")

    def entries_are_right(self) -> None:
        """Checks every entry against what stood before it."""
        stood: set[str] = set()
        for one in served(self.store, self.partner):
            if one.revoked:
                stood.discard(one.id)
                continue
            if one.body["type"] == "report":
                assert set(one.body["object_refs"]) <= stood
                assert one.body["description"] in self.released
            stood.add(one.id)

    def standing_is_right(self) -> None:
        """Checks what the partner holds after a whole run, and that no more is due."""
        there = standing(self.store, self.partner)
        for one in there.values():
            assert set(one.get("object_refs", ())) <= set(there)
        reports = [one for one in there.values() if one["type"] == "report"]
        assert self.terms == "wide" or not reports
        assert due_incidents(self.store.conn, self.partner.number, 10) == []
        check(self.store, self.partner)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(begun, life)
def test_no_report_leaves_before_its_objects_and_its_release(
    reports: list[list[Observable]], doing: list[tuple[tuple[Any, ...], list[int | None]]]
) -> None:
    """Every report that a partner gets names what it holds, in words that two persons released; what is over goes."""
    with TemporaryDirectory() as folder:
        desk = Desk(Path(folder))
        try:
            for place, named in enumerate(reports):
                desk.do("write", named)
                desk.do("publish", None)
                desk.do("release", place, 2)
            for act, runs in doing:
                desk.do(*act)
                for kill_after in runs:
                    desk.do("publish", kill_after)
            desk.do("publish", None)
        finally:
            desk.store.close()


def test_all_of_it_leaves_in_the_end(tmp_path: Path) -> None:
    """What was written and released leaves: the property above is not kept by letting nothing out."""
    desk = Desk(tmp_path)
    for step in (("write", VALUES[:2]), ("publish", None), ("release", 0, 2), ("publish", 0), ("publish", None)):
        desk.do(*step)
    (one,) = [one for one in standing(desk.store, desk.partner).values() if one["type"] == "report"]
    assert set(one["object_refs"]) == {indicator_id(US, value) for value in VALUES[:2]}
    desk.store.close()
