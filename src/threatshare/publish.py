"""Indicators out: what changed -> gate -> clear -> collections, and withdrawals where something may no longer stand.

Nothing reaches a collection except as the type ``Cleared``, which only the gate makes. Each batch commits
its entries, the decisions on them and the position behind it together: after a kill at any moment the
next run goes on where the last whole batch ended, and publishes nothing twice.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext

import msgspec

from threatshare.model import CollectionKind, Decision, Micros
from threatshare.share.introductions import hindrance, leave_former
from threatshare.share.merged_entries import decide_merged, merged_views
from threatshare.share.outlets import Outlet, PublishReport
from threatshare.share.own_entries import decide_own, own_objects
from threatshare.share.references import is_report
from threatshare.share.thresholds import look_across, look_ahead
from threatshare.store.connection import Connection
from threatshare.store.disguises import standing_under_others
from threatshare.store.embedded import Store, without_collector
from threatshare.store.incidents import due_incidents, look_again, take_off
from threatshare.store.lookups import (
    claims_about,
    due_observables,
    known_by_number,
    save_scores,
)
from threatshare.store.releases import (
    own_changes,
    position,
    queue,
    queue_all,
    queued_observables,
    save_position,
    take_from_queue,
)
from threatshare.triage.score import assess, rows_of

BATCH = 1_000
"""Objects that are decided and committed together."""


def publish(store: Store, outlets: Sequence[Outlet], dry_run: bool = False) -> PublishReport:
    """Brings every collection up to date; a dry run does the same and undoes it."""
    report = PublishReport()
    step = nullcontext(store.conn) if dry_run else None
    with store.trying() if dry_run else nullcontext(), without_collector():
        report.released.update((outlet.collection.alias, 0) for outlet in outlets)
        merged = [one for one in outlets if one.collection.kind is CollectionKind.SIEM]
        own = [one for one in outlets if one.collection.kind is not CollectionKind.SIEM]
        for _ in _merged_batches(store, merged, own, report, step):
            pass
        for outlet in own:
            for _ in _own_batches(store, outlet, report, step):
                pass
    return report


def rescore_due(store: Store, now: Micros) -> int:
    """Scores anew whatever has left its band by time alone, and lines it up; touches nothing else.

    But for what sources say that are configured otherwise now: their claims are restated first.
    """
    total = 0
    while True:
        with store.writing() as conn:
            keys = due_observables(conn, now, BATCH) or store.restate(BATCH)
            _score(conn, keys, now)
            queue(conn, keys)
        total += len(keys)
        if not keys:
            return total


def _score(conn: Connection, keys: Sequence[int], now: Micros) -> None:
    """Scores some observables anew."""
    claims = claims_about(conn, keys)
    scores = []
    for entry in known_by_number(conn, keys):
        said = rows_of([one.claim for one in claims.get(entry.number, ())])
        scores.append((entry.number, *assess(entry.observable.kind, said, entry.evidence, now)))
    save_scores(conn, scores)


Step = AbstractContextManager[Connection] | None
"""What a batch runs in: a transaction of its own (None), or the one that a dry run undoes."""


def _own_batches(store: Store, outlet: Outlet, report: PublishReport, step: Step) -> Iterator[None]:
    """Publishes our own objects that changed since the last run, or all where the policy did."""
    policy, number = outlet.policy, outlet.collection.number
    if not (yield from _former_left(store, outlet, report, step)):
        return
    kept = hindrance(outlet)
    while True:
        with step or store.writing() as conn:
            changed = own_changes(conn, position(conn, number, policy), BATCH)
            if changed:
                read = {str(one["id"]): one for one in (msgspec.json.decode(body) for _, _, body in changed)}
                now = {k: one for k, one in read.items() if not is_report(one)}
                decide_own(store, conn, outlet, now, report, kept)
                look_ahead(store, conn, outlet, now.values())
                look_again(conn, number, list(read))
                save_position(conn, number, changed[-1][0], policy)
        if not changed:
            break
        yield
    yield from _report_batches(store, outlet, report, step, kept)


def _former_left(store: Store, outlet: Outlet, report: PublishReport, step: Step) -> Generator[None, None, bool]:
    """Takes back what an audience has of us under another identity, before anything goes out under the present one.

    Gives whether all of it could be taken back; only after a change of what decisions depend on can there be any.
    """
    number = outlet.collection.number
    if outlet.collection.kind is not CollectionKind.PARTNER or position(store.conn, number, outlet.policy):
        return True
    while True:
        with step or store.writing() as conn:
            more = leave_former(conn, outlet, report, BATCH)
            left = bool(standing_under_others(conn, number, outlet.face, 1))
        if not more:
            return not left
        yield


def _report_batches(
    store: Store, outlet: Outlet, report: PublishReport, step: Step, kept: Decision | None
) -> Iterator[None]:
    """Publishes reports that are new, or that name what has changed: last, so that all they name has been decided."""
    number = outlet.collection.number
    while True:
        with step or store.writing() as conn:
            due = due_incidents(conn, number, BATCH)
            take_off(conn, number, due)
            if due:
                decide_own(store, conn, outlet, own_objects(store, conn, due), report, kept)
        if not due:
            return
        yield


def _merged_batches(
    store: Store, outlets: Sequence[Outlet], others: Sequence[Outlet], report: PublishReport, step: Step
) -> Iterator[None]:
    """Publishes merged, scored indicators of every observable that was touched since the last run, to all outlets.

    Where floor, own assets or rules changed, or an outlet is new, of every observable: what is ours is told anew then.
    Ours of these observables are lined up for ``others`` where their score was too low and is not any more, or is now.
    """
    if not outlets:
        return
    with step or store.writing() as conn:
        new = [one for one in outlets if not position(conn, one.collection.number, one.policy)]
        if new:
            _score(conn, store.cap_anew(), outlets[0].now)
            queue_all(conn)
        for one in new:
            save_position(conn, one.collection.number, 1, one.policy)
    while True:
        with step or store.writing() as conn:
            keys, through = queued_observables(conn, BATCH)
            if keys:
                merged = merged_views(conn, keys, outlets[0])
                for one in outlets:
                    decide_merged(conn, one, merged, report)
                look_across(store, conn, keys, others)
                take_from_queue(conn, through)
        if not keys:
            return
        yield
