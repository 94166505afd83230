"""Joint exercises: start -> inject -> detect -> share -> what partners receive and answer -> report -> end.

An exercise has a collection and tables of its own. Its injects are indicators that stand nowhere else: they are
built, cleared by the gate for every partner of the exercise, and put into its collection and the ledger in one
transaction. What our sensors report of an inject is noted as its detection and goes no further (``ingest``); what
members post is kept in the collection and counts for nothing that is live.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from itertools import islice
from typing import Any

import msgspec

from threatshare.errors import UsageError
from threatshare.findings.injects import Planned, generate
from threatshare.model import Collection, CollectionKind, Micros, Observable, Reason, Tlp
from threatshare.policy import agreements
from threatshare.policy.exercises import unfit
from threatshare.policy.gate import Facts
from threatshare.policy.rules import EXERCISE, refuse
from threatshare.report.exercise import ExerciseReport, Left, Measured, Receipt, Said, told
from threatshare.share import exercise_members as members
from threatshare.share.exercise_members import Examined, unable
from threatshare.share.exercise_outlet import ExerciseOutlet, end_of, release, terms_of
from threatshare.share.outlets import PublishReport
from threatshare.stix.exercise import inject_id, is_name, marking_id
from threatshare.stix.timestamps import whole_milliseconds
from threatshare.store import exercises as records
from threatshare.store.accounts import grant
from threatshare.store.collections import add_collection, collections
from threatshare.store.connection import Connection
from threatshare.store.embedded import Store
from threatshare.store.entries import SEQ_BITS, delete_entries
from threatshare.store.exclusions import exclusions
from threatshare.store.exercises import ExerciseRecord, Inject
from threatshare.store.ledger import record_deletions
from threatshare.store.lookups import known
from threatshare.store.observations import seen_of
from threatshare.store.reads import reads_of

MOST_INJECTS = 10_000
"""Of one exercise: all of them are looked at together."""
END_RULE = "exercise-end"
"""Rule id in the ledger of what an exercise's end deletes."""

_BY_HAND = "by hand"


@dataclass(frozen=True, slots=True)
class Start:
    """What an exercise is to be."""

    name: str
    partners: tuple[str, ...]
    until: date
    tlp: Tlp
    by: str
    """Who starts it."""
    accounts: tuple[str, ...] = ()
    """Partners' accounts that are to read it and write to it."""
    share_at_once: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """A value that was not taken as an inject."""

    value: str
    place: str
    reason: str


def start(store: Store, plan: Start, facts: Facts, now: Micros) -> ExerciseRecord | tuple[Reason, ...]:
    """Opens an exercise with its collection, or gives every reason for which it may not be held."""
    if is_name(plan.name) is None:
        raise UsageError(f"{plan.name!r} cannot be an exercise's name: up to 40 lower-case letters, digits and hyphens")
    if not plan.partners:
        raise UsageError("an exercise needs partners: --partners NAME,NAME")
    if plan.until < facts.today:
        raise UsageError(f"--until {plan.until} is past")
    reasons = tuple(_against(plan, facts))
    if reasons:
        return reasons
    alias = f"exercise-{plan.name}"
    only = plan.partners[0] if len(plan.partners) == 1 else None
    with store.writing() as conn:
        if records.exercise_named(conn, plan.name) is not None:
            raise UsageError(f"there was an exercise {plan.name} already; a name is used once")
        made = add_collection(conn, alias, f"Exercise {plan.name}", CollectionKind.EXERCISE, only, now)
        for account in plan.accounts:
            _check_account(account, plan.partners, facts)
            grant(conn, account, [alias], [alias])
        one = ExerciseRecord(
            plan.name,
            facts.today.year,
            marking_id(facts.our_identity, plan.name),
            plan.tlp,
            made.number,
            plan.until,
            plan.share_at_once,
            now,
            plan.by,
            *(None,) * 5,
            partners=plan.partners,
        )
        held = [facts.agreements[partner] for partner in plan.partners]
        records.add_exercise(conn, one, [(x.partner, x.version, agreements.digest_of(x)) for x in held])
    return one


def _against(plan: Start, facts: Facts) -> Iterator[Reason]:
    for partner in plan.partners:
        yield from unable(partner, plan.tlp, facts)
        yield from _too_short(partner, plan.until, facts)


def _too_short(partner: str, until: date, facts: Facts) -> Iterator[Reason]:
    agreement = facts.agreements.get(partner)
    last = agreements.in_force_until(agreement, facts.today) if agreement is not None else None
    if last is not None and last < until:
        yield refuse(EXERCISE, f"{partner}: its agreement ends on {last}, the exercise on {until}")


def _check_account(account: str, partners: Sequence[str], facts: Facts) -> None:
    """Raises UsageError where an account belongs to no partner of an exercise."""
    agreement = facts.agreement_with(account)
    if agreement is None or agreement.partner not in partners:
        raise UsageError(
            f"account {account} belongs to no partner of the exercise: name it in inbound.sources of its agreement"
        )


def named(conn: Connection, name: str, running: bool = False) -> ExerciseRecord:
    """Finds an exercise; raises UsageError where there is none, or ``running`` is wanted and it has ended."""
    found = records.exercise_named(conn, name)
    if found is None:
        there = ", ".join(one.name for one in records.exercises(conn)) or "none yet"
        raise UsageError(f"there is no exercise {name!r}; there are: {there}")
    if running and not found.running:
        raise UsageError(f"exercise {name} has ended; start another, under another name")
    return found


def inject(
    store: Store, name: str, planned: Iterable[Planned], facts: Facts, now: Micros
) -> tuple[list[Inject], list[Refused]]:
    """Takes injects into a running exercise; gives those that it took, and those that it refused with the reason."""
    taken: list[Inject] = []
    refused: list[Refused] = []
    with store.writing() as conn:
        one = _open(conn, name, facts)
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


def _open(conn: Connection, name: str, facts: Facts) -> ExerciseRecord:
    """Finds an exercise that takes more; raises UsageError where it has ended or is over."""
    one = named(conn, name, running=True)
    over = terms_of(one, facts).over(facts.today)
    if over is not None:
        raise UsageError(f"{over}: it takes nothing more; `threatshare exercise end {name}` purges it")
    return one


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
        _open(conn, name, facts)
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
        one = _open(conn, name, facts)
        collection = _collection(conn, one)
        report.released[collection.alias] = 0
        if not one.present:
            raise UsageError(f"{deserted(name)}; or `threatshare exercise end {name}`")
        due = [x for x in records.injects_of(conn, name) if x.shared is None and x.at <= now]
        due = due if everything else [x for x in due if x.detected is not None]
        if due:
            out = ExerciseOutlet.of(one, collection, facts, us, now, by)
            records.mark_shared(conn, name, release(conn, out, due, report), now)
    return report


def _collection(conn: Connection, one: ExerciseRecord) -> Collection:
    return next(held for held in collections(conn) if held.number == one.collection)


def report(conn: Connection, name: str, facts: Facts, now: Micros) -> dict[str, Any]:
    """Gives the report of an exercise as ``report.exercise.told`` does; of one that has ended, that of its end."""
    one = named(conn, name)
    if one.report is not None:
        kept: dict[str, Any] = msgspec.json.decode(one.report)
        return kept
    return told(_measured(conn, one, facts, now))


def _measured(conn: Connection, one: ExerciseRecord, facts: Facts, now: Micros) -> ExerciseReport:
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
        agreement = facts.agreement_with(read.account)
        if agreement is not None and agreement.partner in one.partners:
            after = min(max(read.first_at, inject.shared), read.last_at)
            yield Receipt(agreement.partner, read.account, after, read.last_at)


def end(store: Store, name: str, by: str, reason: str, facts: Facts, now: Micros) -> dict[str, Any]:
    """Ends an exercise: deletes all that stands in its collection, on the record, and keeps its report.

    Gives that report. Nobody has a right on the collection any more, so it is not there for anybody. What is deleted is
    overwritten in the store's file, and in its write-ahead log as far as no reader is in the way of cutting that short.
    """
    with store.writing() as conn, _overwriting(conn):
        one = named(conn, name, running=True)
        collection = _collection(conn, one)
        rows = conn.execute("SELECT id FROM entry WHERE id >> 40 = ? ORDER BY id", (one.collection,)).fetchall()
        entries = [row[0] for row in rows]
        record_deletions(conn, facts.our_identity, entries, END_RULE, by, now)
        delete_entries(conn, collection, entries)
        ended = replace(one, ended=now, ended_by=by, reason=reason, purged=len(entries))
        last = told(_measured(conn, ended, facts, now))
        records.close_exercise(conn, one, by, reason, msgspec.json.encode(last).decode(), len(entries), now)
    store.checkpoint()
    return last


@contextmanager
def _overwriting(conn: Connection) -> Iterator[None]:
    """Has SQLite overwrite what it deletes, which by itself it only forgets the place of."""
    before = conn.execute("PRAGMA secure_delete").fetchone()[0]
    conn.execute("PRAGMA secure_delete = ON")
    try:
        yield
    finally:
        conn.execute(f"PRAGMA secure_delete = {'FAST' if before == 2 else int(before)}")


def examine(store: Store, facts: Facts, us: bytes, now: Micros, dry_run: bool = False) -> list[Examined]:
    """Looks again at every running exercise, as belongs to each run of publishing; gives what that changed.

    Who may not take part any more loses its rights, what may not stand any more is withdrawn. Where no exercise runs
    this is one question to the store. A dry run undoes it all.
    """
    if not records.running_exercises(store.conn):
        return []
    now = whole_milliseconds(now)
    with store.trying() if dry_run else store.writing() as conn:
        # As they are under the lock: one may have ended meanwhile.
        running = records.running_exercises(conn)
        found = [members.examine(conn, one, _collection(conn, one), facts, us, now) for one in running]
    return [one for one in found if one.excluded or one.withdrawn or one.deserted]


def deserted(name: str) -> str:
    """Says that no partner remains in an exercise."""
    return f"no partner remains in exercise {name}: `threatshare exercise invite {name} PARTNER`"


def invite(store: Store, name: str, partner: str, by: str, facts: Facts, now: Micros) -> tuple[Reason, ...]:
    """Lets a partner that lost a running exercise take part again; gives every reason for which it may not."""
    with store.writing() as conn:
        one = _open(conn, name, facts)
        if partner not in one.excluded:
            out = ", ".join(sorted(one.excluded & set(one.partners))) or "nobody"
            raise UsageError(f"{partner} has not lost exercise {name}; who has: {out}")
        short = tuple(_too_short(partner, one.until, facts))
        return short or members.invite(conn, one, _collection(conn, one), partner, facts, by, whole_milliseconds(now))


def tend(store: Store, facts: Facts, us: bytes, now: Micros) -> dict[str, object]:
    """Does what is due without anybody asking: shares what was detected where that was wanted, ends what is over."""
    done: dict[str, object] = {}
    for one in records.running_exercises(store.conn):
        if terms_of(one, facts).over(facts.today) is not None:
            end(store, one.name, "threatshare daemon", f"its last day was {one.until}", facts, now)
            done[one.name] = "ended"
        elif one.share_at_once and one.present:
            shared = share(store, one.name, facts, us, now)
            told = {"released": sum(shared.released.values()), "held": shared.held, "refused": shared.refused}
            done |= {one.name: told} if any(told.values()) else {}
    return done
