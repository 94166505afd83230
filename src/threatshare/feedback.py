"""Feedback: what people say of a value moves its score at once, and goes back to those who gave it to us.

    recognise -> keep who said what, when and why -> act on our own indicator -> tell the others' makers -> score anew

A confirmed sighting is told as a Sighting, a false positive as an Opinion, each to whoever made the indicator; what of
it leaves, the gate decides when it is published. Our own indicator of a false positive is withdrawn.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from threatshare.errors import BadValue, UsageError
from threatshare.findings.assertions import Own, assert_opinion
from threatshare.ingest import IngestReport, keep_own, own_source, take
from threatshare.model import MOST_COUNTED, Micros, Observable, Role, Seen, Tlp
from threatshare.stix.objects import indicator_id, sighting_id
from threatshare.stix.observables import recognise
from threatshare.stix.opinions import GROUNDS, opinion_id
from threatshare.stix.patterns import read_pattern
from threatshare.stix.received import reread
from threatshare.stix.timestamps import whole_milliseconds
from threatshare.store.decisions import Action, ByWhom, decide_everywhere, rejected_everywhere
from threatshare.store.embedded import Store
from threatshare.store.feedback import Feedback, Told, feedback_on, save_feedback, undo_feedback
from threatshare.store.keys import object_key
from threatshare.store.knowledge import void_claim
from threatshare.store.lookups import HeldClaim, Known, claims_about, current_bodies, known, save_scores
from threatshare.store.observations import seen_of
from threatshare.store.releases import note_own_changes, queue
from threatshare.store.sources import OWN, Source
from threatshare.triage.score import assess, rows_of

SENSOR = "a-person"
"""Stands for people among our sensors; who it was, the record of the feedback tells."""
_DOUBTS = frozenset({Told.FALSE_POSITIVE, Told.WITHDRAWAL})
"""Either keeps our own indicator withdrawn."""


@dataclass(slots=True)
class Outcome:
    """What one piece of feedback did."""

    value: str
    """The value in its canonical spelling, or an object's id."""
    number: int = 0
    """Of its record."""
    before: int | None = None
    """The score as it was; None where the feedback is about an object."""
    after: int | None = None
    withdrawn: list[str] = field(default_factory=list)
    """Ids of objects of ours that leave every collection when it is published."""
    restored: list[str] = field(default_factory=list)
    """Ids of those that come back, under another id where the audience was told to drop them."""
    told: list[str] = field(default_factory=list)
    """Ids of our sightings or opinions that tell others."""
    stays: str | None = None
    """What an undoing does not take back."""


def sighting(
    store: Store,
    own: Own,
    what: str,
    by: ByWhom,
    count: int = 1,
    first: Micros | None = None,
    last: Micros | None = None,
) -> Outcome:
    """Keeps that a value was seen in an attack: evidence in its score, and a Sighting for those who told us of it.

    Raises UsageError where nobody says anything of the value, where it is ours, and where the times cannot be.
    """
    at = whole_milliseconds(by.at)
    ended = at if last is None else whole_milliseconds(last)
    began = ended if first is None else whole_milliseconds(first)
    if not began <= ended <= at:
        raise UsageError("it was first seen before it was last seen, and that before now")
    with _matter(store, own, what, by.at) as one:
        value = one.must_be_known()
        if own.assets.owns(value):
            raise UsageError(f"{what}: one of our own assets; to see it in an attack is no sighting of an indicator")
        told = min(count, MOST_COUNTED), began, ended
        one.outcome.number = save_feedback(store.conn, store.key_of, Told.SIGHTING, value, by, seen=told)
        ids = [sighting_id(own.identity, his.id) for his in one.others()]
        one.restore(ids, by)
        why = f"{by.person} confirmed it: {by.reason}"
        seen = [Seen(value, role, SENSOR, why, began, ended, told[0]) for role in sorted(one.roles(bool(ids)))]
        take(store, own, one.source, seen, IngestReport(), at)
        one.outcome.told = sorted(one.kept(ids))
    return one.outcome


def false_positive(store: Store, own: Own, what: str, by: ByWhom, ground: str) -> Outcome:
    """Keeps that a value is no evidence of an attack: withdraws our indicator of it, and tells the others' makers.

    ``ground`` is a word of ``stix.opinions.GROUNDS``. Raises UsageError where nobody says anything of the value.
    """
    with _matter(store, own, what, by.at) as one:
        value = one.must_be_known()
        one.outcome.number = save_feedback(store.conn, store.key_of, Told.FALSE_POSITIVE, value, by, ground)
        if one.kept([one.object_id]):
            one.withdraw([one.object_id], by)
        others = one.others()
        ids = [opinion_id(own.identity, his.id) for his in others]
        before, at = one.kept(ids), whole_milliseconds(by.at)
        made = [
            assert_opinion(own, his.id, his.tlp, GROUNDS[ground], his.several, before.get(opinion), at)
            for opinion, his in zip(ids, others, strict=True)
        ]
        one.restore(ids, by)
        keep_own(store, one.source, made, at)
        one.outcome.told = sorted(ids)
    return one.outcome


def withdraw(store: Store, own: Own, what: str, by: ByWhom) -> Outcome:
    """Withdraws our indicator of a value, or any object of ours by its id, from every collection, also those to come.

    Raises UsageError where we have no such object, and where it is withdrawn already.
    """
    with _matter(store, own, what, by.at) as one:
        if not one.kept([one.object_id]):
            raise UsageError(
                f"{what}: no object of ours; others' are theirs to withdraw (`threatshare false-positive`)"
            )
        if one.gone([one.object_id]):
            raise UsageError(f"{what}: withdrawn already")
        about = one.value or one.object_id
        one.outcome.number = save_feedback(store.conn, store.key_of, Told.WITHDRAWAL, about, by)
        one.withdraw([one.object_id], by)
    return one.outcome


def undo(store: Store, own: Own, told: Told, what: str, by: ByWhom) -> Outcome:
    """Takes the latest feedback of a sort about a value or object back; raises UsageError where none stands."""
    with _matter(store, own, what, by.at) as one:
        standing = [each for each in one.feedback() if each.undone is None]
        latest = max((each.number for each in standing if each.told is told), default=None)
        if latest is None:
            raise UsageError(f"{what}: there is no {told} to take back")
        one.outcome.number = latest
        undo_feedback(store.conn, [latest], by)
        left = {each.told for each in standing if each.number != latest}
        others = [his.id for his in one.others(revoked=True)]
        if told is Told.SIGHTING:
            one.outcome.stays = _STAYS
            if told not in left and not one.seen_by_sensors():
                one.withdraw([sighting_id(own.identity, his) for his in others], by)
        if told is Told.FALSE_POSITIVE and told not in left:
            one.withdraw([opinion_id(own.identity, his) for his in others], by)
        if told in _DOUBTS and not left & _DOUBTS:
            one.restore([one.object_id], by)
    return one.outcome


_STAYS = "what was seen stays counted, and our own indicator valid for as long as it now is; `withdraw` ends that"


class _Other(NamedTuple):
    """Somebody else's indicator of the value."""

    id: str
    tlp: Tlp
    several: bool
    """Whether it names other values too."""


class _Matter:
    """What one piece of feedback is about: a value, with our indicator of it, or any object of ours."""

    def __init__(self, store: Store, own: Own, what: str) -> None:
        self.store, self.own = store, own
        self.source: Source = own_source(store, own)
        self.value, self.object_id = self._meant(what)
        self.outcome = Outcome(self.value.value if self.value is not None else self.object_id)

    def _meant(self, what: str) -> tuple[Observable | None, str]:
        """Gives value and object id of what is typed; the id of our indicator of a value means the value."""
        if _ID(what):
            body = self.kept([what]).get(what)
            named = read_pattern(reread(body).pattern or "") if body and what.startswith("indicator--") else ()
            return (named[0] if len(named) == 1 else None), what
        try:
            value = recognise(what)
        except BadValue as problem:
            raise UsageError(f"{what!r} is neither a value nor an object's id: {problem}") from problem
        return value, indicator_id(self.own.identity, value)

    def entry(self) -> Known | None:
        """Gives the value as the store knows it."""
        wanted = [self.value] if self.value is not None else []
        return next(iter(known(self.store.conn, self.store.key_of, wanted).values()), None)

    def must_be_known(self) -> Observable:
        """Gives the value; raises UsageError where nobody says anything of it."""
        if self.value is None:
            raise UsageError(f"{self.object_id}: wanted the value, not an object's id")
        entry = self.entry()
        if entry is None or not self.claims(entry):
            raise UsageError(f"{self.value.value}: nobody says anything of it; `threatshare ingest` takes findings in")
        return self.value

    def claims(self, entry: Known) -> list[HeldClaim]:
        """Gives all claims about the value."""
        return claims_about(self.store.conn, [entry.number]).get(entry.number, [])

    def others(self, revoked: bool = False) -> list[_Other]:
        """Gives others' indicators of the value; what is marked so that we cannot read it is left alone."""
        entry = self.entry()
        held = {one.object: one for one in self.claims(entry) if one.claim.source != OWN} if entry is not None else {}
        found: dict[str, _Other] = {}
        for key, body in current_bodies(self.store.conn, held).items():
            claim, read = held[key], reread(body)
            if read.type != "indicator":
                # A partner's sighting of an indicator of ours is a claim too.
                continue
            if claim.tlp <= Tlp.RED and (revoked or not claim.claim.revoked):
                # Several sources may have brought one indicator: the strictest of their markings counts.
                tlp = max(Tlp(claim.tlp), found[read.id].tlp if read.id in found else Tlp.CLEAR)
                found[read.id] = _Other(read.id, tlp, len(read_pattern(read.pattern or "")) > 1)
        return [found[one] for one in sorted(found)]

    def roles(self, others: bool) -> set[Role]:
        """Gives the roles in which a sighting is news: that of a known indicator, and those our own rests on."""
        assert self.value is not None
        ours = bool(self.kept([self.object_id])) and not self.gone([self.object_id])
        seen = seen_of(self.store.conn, self.store.key_of, [self.value]).get(self.value, [])
        return ({Role.KNOWN_INDICATOR} if others else set()) | {
            one.role for one in seen if ours and one.role.is_indicator
        }

    def seen_by_sensors(self) -> bool:
        """Tells whether sensors' lists have named the value too."""
        wanted = [self.value] if self.value is not None else []
        seen = [one for each in seen_of(self.store.conn, self.store.key_of, wanted).values() for one in each]
        return any(one.role is Role.KNOWN_INDICATOR and one.sensor != SENSOR for one in seen)

    def feedback(self) -> list[Feedback]:
        """Gives all feedback on it."""
        about = self.object_id if self.value is None else self.value
        return feedback_on(self.store.conn, self.store.key_of, about)

    def kept(self, ids: Iterable[str]) -> dict[str, bytes]:
        """Gives the current versions of those of some objects that are ours, by id."""
        keys = {object_key(self.store.key_of, self.source.number, one): one for one in ids}
        return {keys[key]: body for key, body in current_bodies(self.store.conn, keys).items()}

    def gone(self, ids: Iterable[str]) -> set[str]:
        """Gives those of some objects that people have withdrawn."""
        return rejected_everywhere(self.store.conn, list(ids))

    def withdraw(self, ids: Iterable[str], by: ByWhom) -> None:
        """Withdraws objects of ours that are not withdrawn yet."""
        ours = self.kept(ids)
        standing = sorted(set(ours) - self.gone(ours))
        self._decide(standing, Action.REJECT, by)
        self.outcome.withdrawn += standing

    def restore(self, ids: Iterable[str], by: ByWhom) -> None:
        """Takes the withdrawal of objects of ours back, where they are withdrawn."""
        back = sorted(self.gone(self.kept(ids)))
        self._decide(back, Action.APPROVE, by)
        self.outcome.restored += back

    def _decide(self, ids: list[str], action: Action, by: ByWhom) -> None:
        conn, entry = self.store.conn, self.entry()
        decide_everywhere(conn, by, action, ids)
        keys = [object_key(self.store.key_of, self.source.number, one) for one in ids]
        note_own_changes(conn, keys)
        if entry is not None:
            for key in keys:
                void_claim(conn, entry.number, key, action is Action.REJECT)

    def score(self, now: Micros) -> tuple[int | None, list[tuple[int, int, Micros | None]]]:
        """Scores the value as of now; gives the score beside what is to be saved of it."""
        entry = self.entry()
        if entry is None:
            return None, []
        rows = rows_of([one.claim for one in self.claims(entry)])
        value, next_change = assess(entry.observable.kind, rows, entry.evidence, now)
        return value, [(entry.number, value, next_change)]


_ID = re.compile(r"[a-z][a-z0-9-]{1,40}--[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}").fullmatch


@contextmanager
def _matter(store: Store, own: Own, what: str, now: Micros) -> Iterator[_Matter]:
    """Holds the store for one piece of feedback; at its end the value is scored anew, and lined up for our tools."""
    one = _Matter(store, own, what)
    with store.writing() as conn:
        one.outcome.before, _ = one.score(now)
        yield one
        one.outcome.after, scored = one.score(now)
        save_scores(conn, scored)
        queue(conn, [number for number, _, _ in scored])
