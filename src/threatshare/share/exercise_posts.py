"""What members post into an exercise: kept in its collection and in its figures, and handed to nothing that is live."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256

import msgspec

from threatshare.model import Account, Collection, Micros, Observable
from threatshare.policy.exercises import ExerciseTerms, may_enter
from threatshare.policy.gate import Facts
from threatshare.share.exchange import spec_version_of
from threatshare.share.exercise_members import close_out
from threatshare.share.exercise_outlet import terms_of
from threatshare.stix.exercise import named_by
from threatshare.stix.patterns import read_pattern
from threatshare.stix.received import Received
from threatshare.store import exercises as records
from threatshare.store.connection import Connection
from threatshare.store.embedded import Store
from threatshare.store.entries import NewEntry, append_entries, held_body, owner_of
from threatshare.store.exclusions import exclusions
from threatshare.store.exercises import ExerciseRecord, FeedbackRecord
from threatshare.store.ledger import Line, Terms, What, record

POST_RULE = "exercise-post"
"""Rule id in the ledger of what a member posted into an exercise."""


def accept(
    store: Store,
    collection: Collection,
    account: Account,
    objects: Sequence[tuple[bytes, Received]],
    facts: Facts,
    now: Micros,
) -> list[str | None]:
    """Takes what a member posts into an exercise; says for each object None (taken) or why it was not.

    It is kept in the collection, where the other members read it, and in the figures of the exercise; it is never
    handed to what takes live data. Each entry has its row in the ledger.
    """
    with store.writing() as conn:
        one = records.exercise_of(conn, collection)
        if one is None or not one.running:
            return ["the exercise has ended and takes nothing more"] * len(objects)
        # Before anybody reads what is posted now: whoever may not any more is out.
        one = close_out(conn, one, facts, now)
        agreement = facts.agreement_of(account.name)
        if agreement is None or agreement.partner not in one.partners:
            return [f"account {account.name} belongs to no partner of this exercise"] * len(objects)
        if agreement.partner in one.excluded:
            return [_closed(conn, one, agreement.partner)] * len(objects)
        posts = _Posts(conn, one, collection, account, terms_of(one, facts), facts)
        outcomes = [posts.take(raw, received, now) for raw, received in objects]
        posts.keep(agreement.partner, now)
    return outcomes


def _closed(conn: Connection, one: ExerciseRecord, partner: str) -> str:
    why = next(out.reason for out in exclusions(conn, one.name, True) if out.partner == partner)
    return f"exercise {one.name} is closed to you: {why}"


class _Posts:
    """What one POST adds to an exercise."""

    def __init__(
        self,
        conn: Connection,
        one: ExerciseRecord,
        collection: Collection,
        account: Account,
        terms: ExerciseTerms,
        facts: Facts,
    ) -> None:
        self._conn = conn
        self._exercise = one
        self._collection = collection
        self._account = account
        self._terms = terms
        self._facts = facts
        self._fresh: dict[tuple[str, Micros], tuple[bytes, Received]] = {}

    def take(self, raw: bytes, received: Received, now: Micros) -> str | None:
        """Adds an object; says why not where it must not be added, None where it is added or held already."""
        fault = may_enter(raw, received, self._terms, self._facts.our_identity, self._facts.today)
        if fault is not None:
            return fault
        version = received.version
        if version > now:
            return f"{received.id}: modified lies in the future"
        owner = owner_of(self._conn, self._collection, received.id)
        if owner is not None and owner != self._account.name:
            return f"{received.id} belongs to another member"
        held = held_body(self._conn, self._collection, received.id, version)
        if held is None:
            held = self._fresh.get((received.id, version), (None,))[0]
        if held is not None:
            same = held == raw or msgspec.json.decode(held) == msgspec.json.decode(raw)
            return None if same else f"{received.id}: this version is held already with other content"
        self._fresh[received.id, version] = raw, received
        return None

    def keep(self, partner: str, now: Micros) -> None:
        """Writes entries, their rows in the ledger, and the figures."""
        entries = [
            NewEntry(one.id, one.version, one.type, spec_version_of(one), raw, self._account.name)
            for raw, one in self._fresh.values()
        ]
        count = append_entries(self._conn, self._collection, entries, now)
        lines = [self._line(*row) for row in self._added(count)]
        record(self._conn, self._facts.our_identity, lines, now)
        injects: dict[str | Observable, int] = {}
        for one in records.injects_of(self._conn, self._exercise.name):
            injects |= {one.object_id: one.number, one.observable: one.number}
        given = [_feedback(injects, *post, self._account.name, partner, now) for post in self._fresh.values()]
        records.add_feedback(self._conn, self._exercise.name, given)

    def _added(self, count: int) -> list[tuple[int, str, str, Micros, bytes]]:
        rows = self._conn.execute(
            "SELECT id, type, object_id, version, body FROM entry WHERE id >> 40 = ? ORDER BY id DESC LIMIT ?",
            (self._collection.number, count),
        )
        return rows.fetchall()[::-1]

    def _line(self, entry: int, kind: str, object_id: str, version: Micros, body: bytes) -> Line:
        to = self._collection
        terms = Terms(What.RELEASE, kind, to.number, to.alias, to.kind.value, to.partner, None, (POST_RULE,))
        return Line(entry, kind, object_id, version, sha256(body).digest(), terms.text)


def _feedback(
    injects: Mapping[str | Observable, int], raw: bytes, one: Received, account: str, partner: str, now: Micros
) -> FeedbackRecord:
    content = msgspec.json.decode(raw)
    values = read_pattern(one.pattern or "") if one.type == "indicator" else ()
    subjects: list[str | Observable] = [*named_by(raw, one), *values]
    about = next((injects[subject] for subject in subjects if subject in injects), None)
    said = content.get("opinion") if one.type == "opinion" else content.get("count")
    return FeedbackRecord(account, partner, now, one.type, one.id, str(said if said is not None else "")[:60], about)
