"""Indicators out: what changed -> gate -> clear -> collections, and withdrawals where something may no longer stand.

Nothing reaches a collection except as the type ``Cleared``, which only the gate makes. Each batch commits
its entries, the decisions on them and the position behind it together: after a kill at any moment the
next run goes on where the last whole batch ended, and publishes nothing twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from typing import Any

import msgspec

from threatshare.model import Collection, CollectionKind, Decision, Kind, Micros, Reason, Verdict
from threatshare.policy.gate import Audience, Cleared, Facts, candidate_of, clear, clear_withdrawal, policy_of
from threatshare.stix import objects
from threatshare.stix.patterns import read_pattern
from threatshare.store.connection import Connection
from threatshare.store.embedded import Store, without_collector
from threatshare.store.entries import NewEntry, append_entries, held_body
from threatshare.store.lookups import (
    bring_forward,
    claims_about,
    due_observables,
    evidence_of,
    known,
    known_by_key,
    save_scores,
)
from threatshare.store.releases import (
    Release,
    own_changes,
    position,
    queue,
    queue_all,
    queued_observables,
    releases_of,
    save_position,
    save_releases,
    take_from_queue,
)
from threatshare.triage.merged import Merged, merge
from threatshare.triage.score import assess, rows_of

BATCH = 1_000
"""Objects that are decided and committed together."""

_SHOWN = 1_000
"""Decisions that a report carries at most."""


@dataclass(slots=True)
class PublishReport:
    """What one run of publish did."""

    released: dict[str, int] = field(default_factory=dict)
    """By collection alias: versions that went out."""
    held: int = 0
    refused: int = 0
    withdrawn: int = 0
    decisions: list[tuple[str, str, Decision]] = field(default_factory=list)
    """(collection alias, object id, decision) of what was examined, the first thousand."""

    def note(self, alias: str, object_id: str, decision: Decision) -> None:
        """Counts a decision that lets nothing out, and keeps it for showing."""
        self.held += decision.verdict is Verdict.HOLD
        self.refused += decision.verdict is Verdict.REFUSE
        if len(self.decisions) < _SHOWN:
            self.decisions.append((alias, object_id, decision))


@dataclass(frozen=True)
class Outlet:
    """One collection with its audience, and all that decisions for it depend on."""

    collection: Collection
    audience: Audience
    facts: Facts
    identity: bytes
    """Our Identity object, which goes along with what names us."""
    now: Micros

    @cached_property
    def policy(self) -> bytes:
        """Digest of all that decisions depend on beside the objects; inside our organisation no agreement counts."""
        inside = self.collection.kind in (CollectionKind.SIEM, CollectionKind.INTERNAL)
        return policy_of(self.audience, replace(self.facts, agreements={}) if inside else self.facts)


def publish(store: Store, outlets: Sequence[Outlet], dry_run: bool = False) -> PublishReport:
    """Brings every collection up to date; a dry run does the same and undoes it."""
    report = PublishReport()
    step = nullcontext(store.conn) if dry_run else None
    with store.trying() if dry_run else nullcontext(), without_collector():
        for outlet in outlets:
            report.released[outlet.collection.alias] = 0
            batches = _merged_batches if outlet.collection.kind is CollectionKind.SIEM else _own_batches
            for _ in batches(store, outlet, report, step):
                pass
    return report


def rescore_due(store: Store, now: Micros) -> int:
    """Scores anew whatever has left its band by time alone, and lines it up; touches nothing else."""
    total = 0
    while True:
        with store.writing() as conn:
            keys = due_observables(conn, now, BATCH)
            _score(conn, keys, now)
            queue(conn, keys)
        total += len(keys)
        if len(keys) < BATCH:
            return total


def _score(conn: Connection, keys: Sequence[int], now: Micros) -> None:
    """Scores some observables anew."""
    claims = claims_about(conn, keys)
    scores = []
    for entry in known_by_key(conn, keys):
        said = rows_of([one.claim for one in claims.get(entry.key, ())])
        scores.append((entry.key, *assess(entry.observable.kind, said, evidence_of(entry.cap), now)))
    save_scores(conn, scores)


Step = AbstractContextManager[Connection] | None
"""What a batch runs in: a transaction of its own (None), or the one that a dry run undoes."""


def _own_batches(store: Store, outlet: Outlet, report: PublishReport, step: Step) -> Iterator[None]:
    """Publishes our own objects that changed since the last run, or all where the policy did."""
    policy, number = outlet.policy, outlet.collection.number
    while True:
        with step or store.writing() as conn:
            changed = own_changes(conn, position(conn, number, policy), BATCH)
            if changed:
                _decide_own(store, conn, outlet, [body for _, _, body in changed], report)
                save_position(conn, number, changed[-1][0], policy)
        if not changed:
            return
        yield


def _decide_own(store: Store, conn: Connection, outlet: Outlet, bodies: Sequence[bytes], report: PublishReport) -> None:
    """Asks the gate about each object, and releases, withdraws or keeps it."""
    read = {str(one["id"]): one for one in map(msgspec.json.decode, bodies)}
    before = releases_of(conn, outlet.collection.number, [*read, outlet.facts.our_identity])
    exits = _Exits(conn, outlet, before)
    values = {key: read_pattern(one["pattern"]) for key, one in read.items() if "pattern" in one}
    scores = known(conn, store.key_of, {one for found in values.values() for one in found})
    for object_id, content in read.items():
        past = before.get(object_id)
        life = 1 if past is None else past.life + past.withdrawn
        body = objects.written({**content, "id": objects.reborn_id(object_id, life)})
        observables = values.get(object_id, ())
        score = min((scores[one].score for one in observables if one in scores), default=None)
        about = _about(store, content, outlet.audience)
        candidate = candidate_of(body, observables, about=about, score=score)
        decided = clear(candidate, body, outlet.audience, outlet.facts)
        exits.decide(object_id, decided, life, sha256(body).digest(), report)
    if exits.cleared and outlet.facts.our_identity not in before:
        _introduce_us(exits)
    exits.commit(report)


def _about(store: Store, content: Mapping[str, Any], audience: Audience) -> str | None:
    """Tells whose indicator a sighting of ours is about; the audience's own where it is among several."""
    if "sighting_of_ref" not in content:
        return None
    holders = store.holders(content["sighting_of_ref"])
    senders = audience.agreement.senders if audience.agreement else frozenset()
    return next((one for one in holders if one in senders), holders[0] if holders else None)


def _introduce_us(exits: _Exits) -> None:
    """Puts our Identity before the first object that names us; it counts as no release."""
    outlet = exits.outlet
    decided = clear(candidate_of(outlet.identity, ()), outlet.identity, outlet.audience, outlet.facts)
    if isinstance(decided, Cleared):
        exits.cleared.insert(0, decided)
        exits.uncounted += 1
        exits.record(outlet.facts.our_identity, decided, decided.decision, 1, sha256(outlet.identity).digest())


def _merged_batches(store: Store, outlet: Outlet, report: PublishReport, step: Step) -> Iterator[None]:
    """Publishes merged, scored indicators of every observable that was touched since the last run.

    Where floor, own assets or rules changed, of every observable: what is ours is told anew then.
    """
    policy, number = outlet.policy, outlet.collection.number
    with step or store.writing() as conn:
        if not position(conn, number, policy):
            _score(conn, store.cap_anew(), outlet.now)
            queue_all(conn)
            save_position(conn, number, 1, policy)
    while True:
        with step or store.writing() as conn:
            keys, through = queued_observables(conn, BATCH)
            if keys:
                _decide_merged(conn, outlet, _merged(conn, keys, outlet), report)
                take_from_queue(conn, through)
        if not keys:
            return
        yield


def _merged(conn: Connection, keys: Sequence[int], outlet: Outlet) -> dict[str, Merged]:
    """Merges what is known of some observables; a pattern of several comparisons is not for this collection."""
    claims = claims_about(conn, keys)
    found = {}
    again = []
    for entry in known_by_key(conn, keys):
        if entry.observable.kind is not Kind.PATTERN:
            said = [one.claim for one in claims.get(entry.key, ())]
            one = merge(
                entry.observable,
                said,
                evidence_of(entry.cap),
                outlet.facts.our_identity,
                outlet.facts.siem_floor,
                outlet.now,
            )
            found[one.id] = one
            if one.look_again is not None:
                again.append((entry.key, one.look_again))
    bring_forward(conn, again)
    return found


def _decide_merged(conn: Connection, outlet: Outlet, merged: Mapping[str, Merged], report: PublishReport) -> None:
    """Releases a new version where band, marking or validity changed; withdraws what fell under the floor."""
    exits = _Exits(conn, outlet, releases_of(conn, outlet.collection.number, list(merged)))
    for object_id, one in merged.items():
        past = exits.before.get(object_id)
        if past is not None and past.served and past.digest == one.digest and past.policy == outlet.policy:
            continue
        if one.facts is None:
            if past is not None and past.served:
                exits.withdraw(past, Decision(Verdict.REFUSE, (one.reason,)), report)
            continue
        life = 1 if past is None else past.life + past.withdrawn
        created = past.created if past is not None and past.served else outlet.now
        modified = max(outlet.now, past.version + 1000) if past is not None else outlet.now
        facts = replace(
            one.facts, id=objects.reborn_id(object_id, life), created=created, modified=max(created, modified)
        )
        body = objects.written(objects.indicator(facts))
        candidate = candidate_of(body, (facts.observable,), score=one.score)
        exits.decide(object_id, clear(candidate, body, outlet.audience, outlet.facts), life, one.digest, report)
    exits.commit(report)


@dataclass
class _Exits:
    """The entries and decisions of one batch on their way into one collection."""

    conn: Connection
    outlet: Outlet
    before: Mapping[str, Release]
    cleared: list[Cleared] = field(default_factory=list)
    decided: list[Release] = field(default_factory=list)
    uncounted: int = 0
    """Cleared objects that are no release of their own: withdrawals, our Identity."""

    def decide(
        self, object_id: str, decided: Cleared | Decision, life: int, digest: bytes, report: PublishReport
    ) -> None:
        """Acts on the gate's word: releases what is news, withdraws what may no longer stand, notes the rest."""
        past = self.before.get(object_id)
        if isinstance(decided, Cleared):
            if past is None or not past.served or past.digest != digest:
                self.cleared.append(decided)
                self.record(object_id, decided, decided.decision, life, digest)
            elif past.policy != self.outlet.policy:
                self.decided.append(replace(past, reasons=self._reasons(decided.decision), policy=self.outlet.policy))
            return
        report.note(self.outlet.collection.alias, object_id, decided)
        if past is not None and past.served:
            self.withdraw(past, decided, report)
        elif past is None:
            self.decided.append(self._release(object_id, 0, b"", decided, 1, 0))
        else:
            # What the audience once held stays on record, so that a later release is another life.
            self.decided.append(
                replace(past, verdict=decided.verdict, reasons=decided.reasons, policy=self.outlet.policy)
            )

    def withdraw(self, past: Release, decision: Decision, report: PublishReport) -> None:
        """Sends a revoked version of what the audience holds."""
        served_id = objects.reborn_id(past.object_id, past.life)
        held = held_body(self.conn, self.outlet.collection, served_id, past.version)
        if held is None:
            # Deleted from the collection by somebody: there is nothing left to withdraw.
            self.decided.append(replace(past, verdict=decision.verdict, reasons=decision.reasons))
            return
        modified = max(self.outlet.now, past.version + 1000)
        gone = objects.written(objects.revoked(msgspec.json.decode(held), modified))
        cleared = clear_withdrawal(gone, held, self.outlet.audience, self.outlet.facts)
        if isinstance(cleared, Cleared):
            self.cleared.append(cleared)
            self.uncounted += 1
            report.withdrawn += 1
            self.decided.append(
                self._release(past.object_id, cleared.version, sha256(gone).digest(), decision, past.life, past.created)
            )
        else:
            # It stands for one more run, and the next one tries again.
            report.note(self.outlet.collection.alias, served_id, cleared)

    def record(self, object_id: str, cleared: Cleared, decision: Decision, life: int, digest: bytes) -> None:
        """Notes what goes out."""
        past = self.before.get(object_id)
        created = past.created if past is not None and past.served else self.outlet.now
        self.decided.append(self._release(object_id, cleared.version, digest, decision, life, created))

    def commit(self, report: PublishReport) -> None:
        """Writes entries and decisions."""
        entries = [
            NewEntry(one.object_id, one.version, one.type, one.spec_version, one.body, "") for one in self.cleared
        ]
        append_entries(self.conn, self.outlet.collection, entries, self.outlet.now)
        save_releases(self.conn, self.outlet.collection.number, self.decided)
        report.released[self.outlet.collection.alias] += len(self.cleared) - self.uncounted

    def _release(
        self, object_id: str, version: Micros, digest: bytes, decision: Decision, life: int, created: Micros
    ) -> Release:
        return Release(
            object_id,
            version,
            digest,
            decision.verdict,
            self._reasons(decision),
            self.outlet.policy,
            self.outlet.now,
            life,
            created,
        )

    def _reasons(self, decision: Decision) -> tuple[Reason, ...]:
        # Of a million merged indicators that are released for the same reasons, the reasons are not kept.
        merged = self.outlet.collection.kind is CollectionKind.SIEM and decision.verdict is Verdict.RELEASE
        return () if merged else decision.reasons
