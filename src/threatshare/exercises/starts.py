"""How an exercise starts, and how it is found again while it runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from threatshare.errors import UsageError
from threatshare.model import Collection, CollectionKind, Micros, Reason, Tlp
from threatshare.policy import agreements
from threatshare.policy.gate import Facts
from threatshare.policy.rules import EXERCISE, refuse
from threatshare.share.exercise_members import unable
from threatshare.share.exercise_outlet import terms_of
from threatshare.stix.exercise import is_name, marking_id
from threatshare.store import exercises as records
from threatshare.store.accounts import grant
from threatshare.store.collections import add_collection, collections
from threatshare.store.connection import Connection
from threatshare.store.embedded import Store
from threatshare.store.exercises import ExerciseRecord


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
        yield from too_short(partner, plan.until, facts)


def too_short(partner: str, until: date, facts: Facts) -> Iterator[Reason]:
    """Yields why a partner's agreement does not last as long as an exercise, where it does not."""
    agreement = facts.agreements.get(partner)
    last = agreements.in_force_until(agreement, facts.today) if agreement is not None else None
    if last is not None and last < until:
        yield refuse(EXERCISE, f"{partner}: its agreement ends on {last}, the exercise on {until}")


def _check_account(account: str, partners: Sequence[str], facts: Facts) -> None:
    """Raises UsageError where an account belongs to no partner of an exercise."""
    agreement = facts.agreement_of(account)
    if agreement is None or agreement.partner not in partners:
        raise UsageError(
            f"account {account} belongs to no partner of the exercise: say whose it is with `threatshare account tie`,"
            " or name it in inbound.sources of one agreement"
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


def taking_more(conn: Connection, name: str, facts: Facts) -> ExerciseRecord:
    """Finds an exercise that takes more; raises UsageError where it has ended or is over."""
    one = named(conn, name, running=True)
    over = terms_of(one, facts).over(facts.today)
    if over is not None:
        raise UsageError(f"{over}: it takes nothing more; `threatshare exercise end {name}` purges it")
    return one


def collection_of(conn: Connection, one: ExerciseRecord) -> Collection:
    """Gives an exercise's collection."""
    return next(held for held in collections(conn) if held.number == one.collection)
