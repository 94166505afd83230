"""Injects of an exercise: taken in, detected, and shared with its partners."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from threatshare.errors import UsageError
from threatshare.exercises.partners import deserted
from threatshare.exercises.starts import collection_of, named, taking_more
from threatshare.findings.injects import Planned, generate
from threatshare.model import Micros, Observable
from threatshare.policy.exercises import unfit
from threatshare.policy.gate import Facts
from threatshare.share.exercise_outlet import ExerciseOutlet, end_of, release
from threatshare.share.outlets import PublishReport
from threatshare.stix.exercise import inject_id
from threatshare.stix.timestamps import whole_milliseconds
from threatshare.store import exercises as records
from threatshare.store.connection import Connection
from threatshare.store.embedded import Store
from threatshare.store.exercises import ExerciseRecord, Inject
from threatshare.store.lookups import known
from threatshare.store.observations import seen_of

MOST_INJECTS = 10_000
"""Of one exercise: all of them are looked at together."""

_BY_HAND = "by hand"


@dataclass(frozen=True, slots=True)
class Refused:
    """A value that was not taken as an inject."""

    value: str
    place: str
    reason: str


def inject(
    store: Store, name: str, planned: Iterable[Planned], facts: Facts, now: Micros
) -> tuple[list[Inject], list[Refused]]:
    """Takes injects into a running exercise; gives those that it took, and those that it refused with the reason."""
    taken: list[Inject] = []
    refused: list[Refused] = []
    with store.writing() as conn:
        one = taking_more(conn, name, facts)
        used = {x.observable for x in records.injects_of(conn, name)}
        for plan in planned:
            fault = _unusable(store, conn, one, plan, facts, used, now)
            if fault is not None:
                refused.append(Refused(plan.observable.value, plan.place, fault))
                continue
            if len(used) == MOST_INJECTS:
                raise UsageError(f"exercise {name} has {MOST_INJECTS} injects; start another one")
            used.add(plan.observable)
            object_id = inject_id(facts.our_identity, name, plan.observable)
            taken.append(Inject(len(used), plan.observable, object_id, plan.techniques, now + plan.offset))
        records.add_injects(conn, store.key_of, name, taken)
    return taken, refused


def inject_generated(store: Store, name: str, count: int, seed: int, facts: Facts, now: Micros) -> list[Inject]:
    """Takes so many generated injects more into a running exercise: the next of its name and seed that may be used."""
    conn = store.conn
    one = named(conn, name, running=True)
    used = {x.observable for x in records.injects_of(conn, name)}
    chosen: list[Planned] = []
    # Addresses and hashes are few: those that were drawn before, or are ours, are passed over.
    for plan in islice(generate(name, seed), 10 * (count + len(used)) + 1_000):
        if len(chosen) == count:
            break
        if _unusable(store, conn, one, plan, facts, used, now) is None:
            used.add(plan.observable)
            chosen.append(plan)
    if len(chosen) < count:
        raise UsageError(f"only {len(chosen)} of {count} injects could be generated: too many values are used already")
    return inject(store, name, chosen, facts, now)[0]


def _unusable(
    store: Store,
    conn: Connection,
    one: ExerciseRecord,
    plan: Planned,
    facts: Facts,
    used: set[Observable],
    now: Micros,
) -> str | None:
    value = plan.observable
    fault = unfit(value, one.name)
    if fault is not None:
        return fault
    if value in used:
        return "an inject of this exercise already"
    if facts.own.owns(value):
        return "one of our own assets"
    if now + plan.offset >= end_of(one.until):
        return f"would be injected after the exercise's last day, {one.until}"
    other = records.practised(conn, store.key_of, [value], running=True).get(value)
    if other:
        return f"an inject of exercise {other[0].exercise}, which is running"
    if known(conn, store.key_of, [value]) or seen_of(conn, store.key_of, [value]):
        return "known here as live data: what is found of it could not be told from the exercise"
    return None


def detect(store: Store, name: str, values: Sequence[Observable], sensor: str, facts: Facts, now: Micros) -> list[str]:
    """Notes injects as detected by hand; gives for each value what came of it: ``detected``, ``before`` or ``none``."""
    with store.writing() as conn:
        taking_more(conn, name, facts)
        numbers = {one.observable: one.number for one in records.injects_of(conn, name) if one.at <= now}
        return [_detected(conn, name, numbers.get(value), sensor or _BY_HAND, now) for value in values]


def _detected(conn: Connection, name: str, number: int | None, sensor: str, now: Micros) -> str:
    if number is None:
        return "none"
    return "detected" if records.mark_detected(conn, name, number, now, sensor) else "before"


def share(
    store: Store, name: str, facts: Facts, us: bytes, now: Micros, everything: bool = False, by: str | None = None
) -> PublishReport:
    """Publishes the indicators of injects that were detected, or of every one so far, into the exercise's collection.

    Each is cleared for every partner, since all read the same. ``us`` is our Identity object. ``by`` lifts the hold
    of agreements under which a person approves everything.
    """
    now = whole_milliseconds(now)
    report = PublishReport()
    with store.writing() as conn:
        one = taking_more(conn, name, facts)
        collection = collection_of(conn, one)
        report.released[collection.alias] = 0
        if not one.present:
            raise UsageError(f"{deserted(name)}; or `threatshare exercise end {name}`")
        due = [x for x in records.injects_of(conn, name) if x.shared is None and x.at <= now]
        due = due if everything else [x for x in due if x.detected is not None]
        if due:
            out = ExerciseOutlet.of(one, collection, facts, us, now, by)
            records.mark_shared(conn, name, release(conn, out, due, report), now)
    return report
