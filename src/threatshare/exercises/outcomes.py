"""What came of an exercise, as its report tells it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from threatshare.exercises.starts import named
from threatshare.model import Micros
from threatshare.policy.gate import Facts
from threatshare.report.exercise import ExerciseReport, Left, Measured, Receipt, Said, told
from threatshare.store import exercises as records
from threatshare.store.connection import Connection
from threatshare.store.entries import SEQ_BITS
from threatshare.store.exclusions import exclusions
from threatshare.store.exercises import ExerciseRecord, Inject
from threatshare.store.reads import reads_of


def report(conn: Connection, name: str, facts: Facts, now: Micros) -> dict[str, Any]:
    """Gives the report of an exercise as ``report.exercise.told`` does; of one that has ended, that of its end."""
    one = named(conn, name)
    if one.report is not None:
        kept: dict[str, Any] = msgspec.json.decode(one.report)
        return kept
    return told(measured(conn, one, facts, now))


def measured(conn: Connection, one: ExerciseRecord, facts: Facts, now: Micros) -> ExerciseReport:
    """Gathers all that a report tells of an exercise."""
    said: dict[int | None, list[Said]] = {}
    for given in records.feedback_of(conn, one.name):
        said.setdefault(given.inject, []).append(Said(given.partner, given.at, given.type, given.object_id, given.said))
    injects = tuple(
        Measured(
            x.number,
            str(x.observable.kind),
            x.observable.value,
            x.techniques,
            x.at,
            x.detected,
            x.sensor,
            x.seen,
            x.shared,
            tuple(_receipts(conn, one, x, facts)),
            tuple(said.get(x.number, ())),
        )
        for x in records.injects_of(conn, one.name)
    )
    return ExerciseReport(
        one.name,
        one.tlp.label,
        one.until.isoformat(),
        one.started,
        one.started_by,
        one.ended,
        one.ended_by,
        one.reason,
        one.purged,
        one.partners,
        now,
        injects,
        tuple(said.get(None, ())),
        tuple(
            Left(x.partner, tuple(sorted({account for account, _ in x.rights})), x.at, x.reason, x.lifted, x.lifted_by)
            for x in exclusions(conn, one.name)
        ),
        one.present,
    )


def _receipts(conn: Connection, one: ExerciseRecord, inject: Inject, facts: Facts) -> Iterator[Receipt]:
    if inject.entry is None or inject.shared is None:
        return
    for read in reads_of(conn, one.collection, inject.entry & (1 << SEQ_BITS) - 1):
        agreement = facts.agreement_of(read.account)
        if agreement is not None and agreement.partner in one.partners:
            after = min(max(read.first_at, inject.shared), read.last_at)
            yield Receipt(agreement.partner, read.account, after, read.last_at)
