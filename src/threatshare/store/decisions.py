"""What people decided about what was held: who, when, why, and what it covers. Nothing here is ever deleted.

A decision about roles covers values of sensors (``decided_role``), and where it stands for the future also what
matches its scope later. A decision about the gate covers the rules that held an object for a collection; where two
persons have to lift a hold, each one's approval of it is kept (``approval``), and both together let the object go.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from threatshare.model import Micros, Observable, Role, Seen
from threatshare.policy.names import likeness
from threatshare.store.connection import Connection
from threatshare.store.keys import KeyOf, observable_key
from threatshare.store.roster import ROLES_IN_FORCE

REVIEW = "review"
"""Rule id of what a person keeps in, whatever the rules say."""

EVERYWHERE = 0
"""Stands for every collection, also those to come: what a person has withdrawn, or let out again."""


class Action(StrEnum):
    """What a person decided."""

    ASSIGN = "assign"
    """The values play this role."""
    REJECT = "reject"
    """They are no indicators, or the object shall not go out."""
    OWN = "own"
    """They are ours; they were added to own-assets.toml."""
    NEVER_SHARE = "never-share"
    """They never leave; they were added to never-share.toml."""
    APPROVE = "approve"
    """The object may go out although rules hold it."""
    END = "end"
    """A decision that held for what comes later does so no longer."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Which held values a decision is about; what is None is not asked."""

    sensor: str | None = None
    network: str | None = None
    """As ``triage.neighbourhood.network_of`` gives it."""
    kind: str | None = None
    why: str | None = None

    def covers(self, seen: Seen, network: str) -> bool:
        """Tells whether a held value falls under it."""
        wanted = (self.sensor, self.network, self.kind, self.why)
        actual = (seen.sensor, network, seen.observable.kind.value, seen.why)
        return all(one is None or one == other for one, other in zip(wanted, actual, strict=True))

    def narrowed(self, other: Scope) -> Scope:
        """Gives what falls under both; where both ask the same thing, what this one asks."""
        return Scope(
            self.sensor or other.sensor, self.network or other.network, self.kind or other.kind, self.why or other.why
        )

    @property
    def is_open(self) -> bool:
        """Whether it asks nothing, and so covers everything."""
        return self == Scope()


@dataclass(frozen=True, slots=True)
class ByWhom:
    """Who decides, and why."""

    person: str
    reason: str
    at: Micros
    login: str | None = None
    """The operating system's user, where people have logins."""

    def is_another_than(self, other: ByWhom) -> bool:
        """Tells whether two people sign: by their logins where both have one, else by their names, which prove less."""
        if self.login is not None and other.login is not None:
            return self.login != other.login
        return likeness(self.person) != likeness(other.person)


@dataclass(frozen=True, slots=True)
class DecisionRecord:
    """One decision as it is kept."""

    number: int
    by: ByWhom
    action: Action
    role: Role | None
    scope: Scope
    standing: bool
    """Whether it holds for what comes later too."""
    covered: int
    """How many held values or objects it was about when it was made."""


def save_decision(
    conn: Connection, by: ByWhom, action: Action, role: Role | None, scope: Scope, standing: bool, covered: int
) -> int:
    """Keeps a decision; gives its number."""
    row = conn.execute(
        "INSERT INTO decision (at, person, login, reason, action, role, scope, standing, covered)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING number",
        (by.at, by.person, by.login, by.reason, action, role, _written(scope), standing, covered),
    ).fetchone()
    return int(row[0])


def decisions(conn: Connection, limit: int, standing_only: bool = False) -> list[DecisionRecord]:
    """Gives decisions, newest first."""
    return [
        DecisionRecord(
            number,
            ByWhom(person, reason, at, login),
            Action(action),
            Role(role) if role else None,
            Scope(**json.loads(scope)),
            bool(standing),
            covered,
        )
        for number, at, person, login, reason, action, role, scope, standing, covered in conn.execute(
            "SELECT number, at, person, login, reason, action, role, scope, standing, covered FROM decision"
            " WHERE standing OR NOT ? ORDER BY number DESC LIMIT ?",
            (standing_only, limit),
        )
    ]


def end_decision(conn: Connection, number: int) -> DecisionRecord | None:
    """Takes from a decision that it holds for what comes later; gives it, or None where it did not."""
    standing = next((one for one in decisions(conn, _ALL, standing_only=True) if one.number == number), None)
    if standing is not None:
        conn.execute("UPDATE decision SET standing = 0 WHERE number = ?", (number,))
    return standing


def covered_by(conn: Connection, number: int, limit: int) -> list[str]:
    """Gives values and object ids that a decision covers, at most so many."""
    values = conn.execute(
        "SELECT DISTINCT value FROM decided_role JOIN observation USING (observable) WHERE decision = ? LIMIT ?",
        (number, limit),
    )
    objects = conn.execute(
        "SELECT object_id FROM decided_release WHERE decision = ? UNION SELECT object_id FROM approval"
        " WHERE decision = ? LIMIT ?",
        (number, number, limit),
    )
    return [row[0] for row in (*values, *objects)][:limit]


_ALL = 1_000_000


def cover_values(conn: Connection, key_of: KeyOf, decision: int, seen: Iterable[Seen]) -> None:
    """Says which values of which sensors a decision is about; the latest one counts."""
    conn.executemany(
        "INSERT OR REPLACE INTO decided_role (observable, sensor, decision) VALUES (?, ?, ?)",
        [(observable_key(key_of, one.observable), one.sensor, decision) for one in seen],
    )


def decided_roles(conn: Connection, key_of: KeyOf, seen: Sequence[Seen]) -> dict[tuple[Observable, str], Role]:
    """Gives the roles that people decided for values of sensors, by (observable, sensor)."""
    keys = {observable_key(key_of, one.observable): one.observable for one in seen}
    return {
        (keys[key], sensor): Role(role)
        for key, sensor, role in conn.execute(
            "SELECT observable, sensor, role FROM decided_role JOIN decision ON decision.number = decision"
            " WHERE observable IN (SELECT value FROM json_each(?)) AND role IS NOT NULL",
            (json.dumps(sorted(keys)),),
        )
    }


def cover_objects(conn: Connection, decision: int, collection: int, held: Mapping[str, Iterable[str]]) -> None:
    """Says which objects, by id, a decision about the gate is about, and which rules held each."""
    conn.executemany(
        "INSERT OR REPLACE INTO decided_release (collection, object_id, rule, decision) VALUES (?, ?, ?, ?)",
        [(collection, object_id, rule, decision) for object_id, rules in held.items() for rule in rules],
    )


def decided_releases(
    conn: Connection, collection: int, object_ids: Sequence[str]
) -> dict[str, dict[str, tuple[Action, ByWhom]]]:
    """Gives what people decided about objects for a collection, or for every one, by object id and rule id.

    Where the two differ on one rule, what rejects counts.
    """
    found: dict[str, dict[str, tuple[Action, ByWhom]]] = {}
    for object_id, rule, action, person, reason, at in conn.execute(
        "SELECT object_id, rule, action, person, reason, at FROM decided_release"
        " JOIN decision ON decision.number = decision"
        f" WHERE collection IN ({EVERYWHERE}, ?) AND object_id IN (SELECT value FROM json_each(?))"
        " ORDER BY action = 'reject'",
        (collection, json.dumps(list(object_ids))),
    ):
        found.setdefault(object_id, {})[rule] = (Action(action), ByWhom(person, reason, at))
    return found


def decide_everywhere(conn: Connection, by: ByWhom, action: Action, object_ids: Sequence[str]) -> None:
    """Withdraws objects from every collection (REJECT), or takes that back (APPROVE)."""
    if object_ids:
        number = save_decision(conn, by, action, None, Scope(), False, len(object_ids))
        cover_objects(conn, number, EVERYWHERE, dict.fromkeys(object_ids, (REVIEW,)))


def rejected_everywhere(conn: Connection, object_ids: Sequence[str]) -> set[str]:
    """Gives those of some objects that stand withdrawn from every collection."""
    return {
        row[0]
        for row in conn.execute(
            "SELECT object_id FROM decided_release JOIN decision ON decision.number = decision"
            f" WHERE collection = {EVERYWHERE} AND rule = ? AND action = ?"
            " AND object_id IN (SELECT value FROM json_each(?))",
            (REVIEW, Action.REJECT, json.dumps(list(object_ids))),
        )
    }


def approve_holds(conn: Connection, decision: int, collection: int, holds: Mapping[str, Iterable[str]]) -> None:
    """Keeps one person's approval of holds that two have to lift, by object id (``policy.approvals.approval_key``)."""
    conn.executemany(
        "INSERT INTO approval (collection, object_id, hold, decision) VALUES (?, ?, ?, ?)",
        [(collection, object_id, hold, decision) for object_id, keys in holds.items() for hold in keys],
    )


def end_approvals(conn: Connection, decision: int, collection: int, object_ids: Iterable[str]) -> None:
    """Has the approvals of some objects count no more, from a decision on; they stay on record."""
    conn.executemany(
        "UPDATE approval SET ended = ? WHERE collection = ? AND object_id = ? AND ended IS NULL",
        [(decision, collection, one) for one in object_ids],
    )


def approvals(conn: Connection, collection: int, object_ids: Sequence[str]) -> dict[str, dict[str, list[ByWhom]]]:
    """Gives who approved which holds of some objects, by object id and hold; the first one first.

    Once people have logins here, only approvals with a login count: whoever typed the name of another proves nothing.
    """
    found: dict[str, dict[str, list[ByWhom]]] = {}
    for object_id, hold, person, reason, at, login in conn.execute(
        "SELECT object_id, hold, person, reason, at, login FROM approval JOIN decision ON decision.number = decision"
        " WHERE collection = ? AND ended IS NULL AND object_id IN (SELECT value FROM json_each(?))"
        f" AND (login IS NOT NULL OR NOT {ROLES_IN_FORCE}) ORDER BY decision",
        (collection, json.dumps(list(object_ids))),
    ):
        found.setdefault(object_id, {}).setdefault(hold, []).append(ByWhom(person, reason, at, login))
    return found


def two_persons(signed: Sequence[ByWhom]) -> tuple[ByWhom, ByWhom] | None:
    """Gives the first who signed and the first other one; None where one person alone did."""
    second = next((one for one in signed if one.is_another_than(signed[0])), None)
    return None if second is None else (signed[0], second)


def rejected_for(conn: Connection, collection: int, object_id: str) -> list[str]:
    """Gives the rules under which a person keeps an object in."""
    return [
        rule
        for (rule,) in conn.execute(
            "SELECT rule FROM decided_release JOIN decision ON decision.number = decision"
            " WHERE collection = ? AND object_id = ? AND action = ?",
            (collection, object_id, Action.REJECT),
        )
    ]


def _written(scope: Scope) -> str:
    stated = {"sensor": scope.sensor, "network": scope.network, "kind": scope.kind, "why": scope.why}
    return json.dumps({name: value for name, value in stated.items() if value is not None})
