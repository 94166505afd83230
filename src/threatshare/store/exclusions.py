"""Who lost a running exercise, since when, why, and with which rights on its collection; and who got it back.

Functions that write are called inside the caller's transaction.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from threatshare.model import Micros
from threatshare.store.connection import Connection

Right = tuple[str, str]
"""An account, and ``read`` or ``write``."""


@dataclass(frozen=True, slots=True)
class Exclusion:
    """That a partner, or accounts that belong to none, may not read an exercise or write to it any more."""

    partner: str
    """Empty: accounts that belong to no partner of the exercise."""
    rights: tuple[Right, ...]
    """What was taken."""
    reason: str
    at: Micros
    lifted: Micros | None
    """Since when it is over; None: it stands."""
    lifted_by: str | None


def rights_on(conn: Connection, collection: int) -> list[Right]:
    """Gives every right on a collection."""
    rows = conn.execute("SELECT account, verb FROM account_right WHERE collection = ? ORDER BY 1, 2", (collection,))
    return [(account, verb) for account, verb in rows]


def exclude(
    conn: Connection, exercise: str, collection: int, partner: str, rights: Iterable[Right], reason: str, now: Micros
) -> None:
    """Takes rights on an exercise's collection away, on record; where the partner is out already, they join that."""
    taken = list(rights)
    conn.executemany(
        "DELETE FROM account_right WHERE collection = ? AND account = ? AND verb = ?",
        [(collection, account, verb) for account, verb in taken],
    )
    before = [right for one in exclusions(conn, exercise, True) if one.partner == partner for right in one.rights]
    conn.execute(
        "INSERT INTO exercise_exclusion (exercise, partner, rights, reason, at) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (exercise, partner) WHERE lifted IS NULL DO UPDATE SET rights = excluded.rights",
        (exercise, partner, json.dumps(sorted({*before, *taken})), reason, now),
    )


def exclusions(conn: Connection, exercise: str, standing: bool = False) -> list[Exclusion]:
    """Gives an exercise's exclusions in the order in which they came; ``standing``: only those that stand."""
    return [
        Exclusion(partner, tuple((account, verb) for account, verb in json.loads(rights)), *rest)
        for partner, rights, *rest in conn.execute(
            "SELECT partner, rights, reason, at, lifted, lifted_by FROM exercise_exclusion"
            " WHERE exercise = ? AND (lifted IS NULL OR NOT ?) ORDER BY number",
            (exercise, standing),
        )
    ]


def lift(
    conn: Connection, exercise: str, collection: int, partner: str, rights: Iterable[Right], by: str, now: Micros
) -> None:
    """Ends a partner's exclusion and gives rights back, but to accounts that were revoked meanwhile."""
    conn.execute(
        "UPDATE exercise_exclusion SET lifted = ?, lifted_by = ? WHERE exercise = ? AND partner = ? AND lifted IS NULL",
        (now, by, exercise, partner),
    )
    conn.executemany(
        "INSERT INTO account_right (account, collection, verb)"
        " SELECT name, ?, ? FROM account WHERE name = ? AND revoked IS NULL ON CONFLICT DO NOTHING",
        [(collection, verb, account) for account, verb in rights],
    )
