"""The way out into an exercise: what is cleared for every partner of it, and what goes along with that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from hashlib import sha256

import msgspec

from threatshare.model import Collection, CollectionKind, Decision, Micros, Observable, Reason, Verdict, micros, moment
from threatshare.policy.approvals import needs_two
from threatshare.policy.exercises import ExerciseTerms
from threatshare.policy.gate import Audience, Cleared, Facts, candidate_of, clear
from threatshare.share.introductions import first_told
from threatshare.share.outlets import Dispatch, Outlet, PublishReport
from threatshare.stix.exercise import InjectFacts, definition, inject_indicator
from threatshare.stix.objects import written
from threatshare.store.connection import Connection
from threatshare.store.decisions import REVIEW, Action, ByWhom, decided_releases
from threatshare.store.exercises import ExerciseRecord, Inject
from threatshare.store.releases import releases_of

_NOBODY: Mapping[str, tuple[Action, ByWhom]] = {}
"""Of what nobody has decided about."""


def terms_of(one: ExerciseRecord, facts: Facts) -> ExerciseTerms:
    """Gives what an exercise demands of everything in it."""
    made = definition(facts.our_identity, one.name, one.started)
    return ExerciseTerms(one.name, one.label, one.marking, made, one.tlp, one.until)


def end_of(day: date) -> Micros:
    """Gives the moment at which a day is over, UTC."""
    return micros(datetime.combine(day + timedelta(days=1), time.min, UTC))


@dataclass(frozen=True)
class ExerciseOutlet:
    """The way out into one exercise: an audience for each partner in it, all of which must be allowed what one gets."""

    record: ExerciseRecord
    terms: ExerciseTerms
    outlet: Outlet
    audiences: tuple[Audience, ...]
    approved: Mapping[str, str]

    @classmethod
    def of(
        cls, one: ExerciseRecord, collection: Collection, facts: Facts, us: bytes, now: Micros, by: str | None
    ) -> ExerciseOutlet:
        """Builds the way into an exercise at one moment; ``by`` has approved what leaves, where anybody has."""
        terms = terms_of(one, facts)
        audiences = tuple(
            Audience(collection.alias, CollectionKind.EXERCISE, facts.agreements.get(partner), exercise=terms)
            for partner in one.present
        )
        # The ledger has room for one agreement a row; of several, the exercise itself keeps which they were.
        agreement = audiences[0].agreement if len(audiences) == 1 else None
        whole = Audience(collection.alias, CollectionKind.EXERCISE, agreement, exercise=terms)
        approved = {"approval": f"{by} on {facts.today}: exercise {one.name}"} if by else {}
        return cls(one, terms, Outlet(collection, whole, facts, us, now), audiences, approved)

    def clear(
        self, body: bytes, observables: Sequence[Observable] = (), said: Mapping[str, tuple[Action, ByWhom]] = _NOBODY
    ) -> Cleared | Decision:
        """Clears an object for every partner, or gives the first decision that keeps it here.

        ``said``: what people have decided about it in review, by rule.
        """
        words = {rule: f"{by.person} on {moment(by.at):%Y-%m-%d}: {by.reason}" for rule, (_, by) in said.items()}
        rejected = next((rule for rule, (action, _) in said.items() if action is Action.REJECT), None)
        if rejected is not None:
            return Decision(Verdict.REFUSE, (Reason(REVIEW, Verdict.REFUSE, f"rejected by {words[rejected]}"),))
        approved = {**self.approved, **{rule: text for rule, text in words.items() if not needs_two(rule)}}
        candidate = candidate_of(body, observables, approved=approved, defined=self.terms.defined)
        decided: Cleared | Decision | None = None
        for audience in self.audiences:
            decided = clear(candidate, body, audience, self.outlet.facts)
            if isinstance(decided, Decision):
                return decided
        assert decided is not None, "an exercise has partners"
        return decided


def release(
    conn: Connection, way: ExerciseOutlet, due: Sequence[Inject], report: PublishReport
) -> list[tuple[int, int]]:
    """Puts the indicators of injects into the collection, as far as the gate lets them; gives (number, entry id)."""
    outlet, number = way.outlet, way.outlet.collection.number
    identity = first_told(conn, outlet.identity, outlet.now)
    companions = {outlet.facts.our_identity: identity, way.terms.marking: written(way.terms.definition)}
    before = releases_of(conn, number, [*companions, *(one.object_id for one in due)])
    dispatch = Dispatch(conn, outlet, before)
    along = {object_id: way.clear(body) for object_id, body in companions.items()}
    # What names us, or bears the statement, goes nowhere without what says who we are and what that means.
    kept = next((decided for decided in along.values() if isinstance(decided, Decision)), None)
    said = decided_releases(conn, number, [one.object_id for one in due])
    for one in due:
        body = _body(way, one)
        decided = way.clear(body, (one.observable,), said.get(one.object_id, _NOBODY))
        decided = kept if kept is not None and isinstance(decided, Cleared) else decided
        dispatch.decide(one.object_id, decided, 1, sha256(body).digest(), report)
    if dispatch.cleared:
        for object_id, companion in reversed(along.items()):
            if object_id not in before and isinstance(companion, Cleared):
                _goes_along(dispatch, object_id, companion)
    dispatch.commit(report)
    ids = {one.object_id: one.number for one in due}
    placed = conn.execute(
        "SELECT object_id, id FROM entry WHERE id >> 40 = ? AND object_id IN (SELECT value FROM json_each(?))",
        (number, msgspec.json.encode(list(ids)).decode()),
    ).fetchall()
    return [(ids[one], entry) for one, entry in placed]


def _goes_along(dispatch: Dispatch, object_id: str, companion: Cleared) -> None:
    """Puts our Identity, or what the marking means, before the first object that names it; it is no release."""
    dispatch.cleared.insert(0, companion)
    dispatch.uncounted += 1
    if companion.type == "identity":
        dispatch.introduced.add(object_id)
    dispatch.record(object_id, companion, companion.decision, 1, sha256(companion.body).digest())


def _body(way: ExerciseOutlet, one: Inject) -> bytes:
    record, now = way.record, way.outlet.now
    ends = end_of(record.until)
    identity = way.outlet.facts.our_identity
    return written(
        inject_indicator(
            InjectFacts(
                one.observable, identity, record.name, record.year, now, one.at, ends, record.tlp, one.techniques
            )
        )
    )
