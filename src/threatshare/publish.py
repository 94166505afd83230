"""Indicators out: what changed -> gate -> clear -> collections, and withdrawals where something may no longer stand.

Nothing reaches a collection except as the type ``Cleared``, which only the gate makes. Each batch commits
its entries, the decisions on them and the position behind it together: after a kill at any moment the
next run goes on where the last whole batch ended, and publishes nothing twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from hashlib import sha256
from typing import Any

import msgspec

from threatshare.model import CollectionKind, Decision, Kind, Micros, Reason, Verdict, moment
from threatshare.policy.gate import Audience, Cleared, candidate_of, clear
from threatshare.share.outlets import Dispatch, Outlet, PublishReport
from threatshare.stix import objects
from threatshare.stix.patterns import read_pattern
from threatshare.store.connection import Connection
from threatshare.store.decisions import REVIEW, Action, ByWhom, decided_releases
from threatshare.store.embedded import Store, without_collector
from threatshare.store.lookups import (
    bring_forward,
    claims_about,
    due_observables,
    evidence_of,
    known,
    known_by_number,
    save_scores,
)
from threatshare.store.releases import (
    own_changes,
    position,
    queue,
    queue_all,
    queued_observables,
    releases_of,
    save_position,
    take_from_queue,
)
from threatshare.triage.merged import Merged, merge
from threatshare.triage.score import assess, rows_of

BATCH = 1_000
"""Objects that are decided and committed together."""


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
    for entry in known_by_number(conn, keys):
        said = rows_of([one.claim for one in claims.get(entry.number, ())])
        scores.append((entry.number, *assess(entry.observable.kind, said, evidence_of(entry.cap), now)))
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
    dispatch = Dispatch(conn, outlet, before)
    said = decided_releases(conn, outlet.collection.number, list(read))
    values = {key: read_pattern(one["pattern"]) for key, one in read.items() if "pattern" in one}
    scores = known(conn, store.key_of, {one for found in values.values() for one in found})
    for object_id, content in read.items():
        past = before.get(object_id)
        life = 1 if past is None else past.life + past.withdrawn
        body = objects.written({**content, "id": objects.reborn_id(object_id, life)})
        observables = values.get(object_id, ())
        score = min((scores[one].score for one in observables if one in scores), default=None)
        about = _about(store, content, outlet.audience)
        approved, rejected = _by_people(said.get(object_id, {}))
        candidate = candidate_of(body, observables, about=about, score=score, approved=approved)
        decided = rejected or clear(candidate, body, outlet.audience, outlet.facts)
        dispatch.decide(object_id, decided, life, sha256(body).digest(), report)
    if dispatch.cleared and outlet.facts.our_identity not in before:
        _introduce_us(dispatch)
    dispatch.commit(report)


def _by_people(said: Mapping[str, tuple[Action, ByWhom]]) -> tuple[dict[str, str], Decision | None]:
    """Gives the rules whose hold a person has lifted, with who, when and why; and the refusal, where one refused."""
    words = {rule: f"{by.person} on {moment(by.at):%Y-%m-%d}: {by.reason}" for rule, (_, by) in said.items()}
    rejected = next((rule for rule, (action, _) in said.items() if action is Action.REJECT), None)
    if rejected is not None:
        held = "" if rejected == REVIEW else f"held by {rejected}, and "
        reason = Reason(REVIEW, Verdict.REFUSE, f"{held}rejected by {words[rejected]}")
        return {}, Decision(Verdict.REFUSE, (reason,))
    return words, None


def _about(store: Store, content: Mapping[str, Any], audience: Audience) -> str | None:
    """Tells whose indicator a sighting of ours is about; the audience's own where it is among several."""
    if "sighting_of_ref" not in content:
        return None
    holders = store.holders(content["sighting_of_ref"])
    senders = audience.agreement.senders if audience.agreement else frozenset()
    return next((one for one in holders if one in senders), holders[0] if holders else None)


def _introduce_us(dispatch: Dispatch) -> None:
    """Puts our Identity before the first object that names us; it counts as no release."""
    outlet = dispatch.outlet
    decided = clear(candidate_of(outlet.identity, ()), outlet.identity, outlet.audience, outlet.facts)
    if isinstance(decided, Cleared):
        dispatch.cleared.insert(0, decided)
        dispatch.uncounted += 1
        dispatch.record(outlet.facts.our_identity, decided, decided.decision, 1, sha256(outlet.identity).digest())


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
    for entry in known_by_number(conn, keys):
        if entry.observable.kind is not Kind.PATTERN:
            said = [one.claim for one in claims.get(entry.number, ())]
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
                again.append((entry.number, one.look_again))
    bring_forward(conn, again)
    return found


def _decide_merged(conn: Connection, outlet: Outlet, merged: Mapping[str, Merged], report: PublishReport) -> None:
    """Releases a new version where band, marking or validity changed; withdraws what fell under the floor."""
    dispatch = Dispatch(conn, outlet, releases_of(conn, outlet.collection.number, list(merged)))
    for object_id, one in merged.items():
        past = dispatch.before.get(object_id)
        if past is not None and past.served and past.digest == one.digest and past.policy == outlet.policy:
            continue
        if one.facts is None:
            if past is not None and past.served:
                dispatch.withdraw(past, Decision(Verdict.REFUSE, (one.reason,)), report)
            continue
        life = 1 if past is None else past.life + past.withdrawn
        created = past.created if past is not None and past.served else outlet.now
        modified = max(outlet.now, past.version + 1000) if past is not None else outlet.now
        facts = replace(
            one.facts, id=objects.reborn_id(object_id, life), created=created, modified=max(created, modified)
        )
        body = objects.written(objects.indicator(facts))
        candidate = candidate_of(body, (facts.observable,), score=one.score)
        dispatch.decide(object_id, clear(candidate, body, outlet.audience, outlet.facts), life, one.digest, report)
    dispatch.commit(report)
