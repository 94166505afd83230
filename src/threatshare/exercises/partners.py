"""Who still takes part in an exercise."""

from __future__ import annotations

from threatshare.errors import UsageError
from threatshare.exercises.starts import collection_of, taking_more, too_short
from threatshare.model import Micros, Reason
from threatshare.policy.gate import Facts
from threatshare.share import exercise_members as members
from threatshare.share.exercise_members import Examined
from threatshare.stix.timestamps import whole_milliseconds
from threatshare.store import exercises as records
from threatshare.store.embedded import Store


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
        found = [members.examine(conn, one, collection_of(conn, one), facts, us, now) for one in running]
    return [one for one in found if one.excluded or one.withdrawn or one.deserted]


def deserted(name: str) -> str:
    """Says that no partner remains in an exercise."""
    return f"no partner remains in exercise {name}: `threatshare exercise invite {name} PARTNER`"


def invite(store: Store, name: str, partner: str, by: str, facts: Facts, now: Micros) -> tuple[Reason, ...]:
    """Lets a partner that lost a running exercise take part again; gives every reason for which it may not."""
    with store.writing() as conn:
        one = taking_more(conn, name, facts)
        if partner not in one.excluded:
            out = ", ".join(sorted(one.excluded & set(one.partners))) or "nobody"
            raise UsageError(f"{partner} has not lost exercise {name}; who has: {out}")
        short = tuple(too_short(partner, one.until, facts))
        return short or members.invite(conn, one, collection_of(conn, one), partner, facts, by, whole_milliseconds(now))
