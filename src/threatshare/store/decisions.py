"""What people decided about what was held: who, when, why, and what it covers. Nothing here is ever deleted.

A decision about roles covers values of sensors (``decided_role``), and where it stands for the future also what
matches its scope later. A decision about the gate covers the rules that held an object for a collection.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from threatshare.model import Micros, Observable, Role, Seen
from threatshare.store.connection import Connection
from threatshare.store.keys import KeyOf, observable_key

REVIEW = "review"
"""Rule id of what a person keeps in, whatever the rules say."""


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
        "INSERT INTO decision (at, person, reason, action, role, scope, standing, covered)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING number",
        (by.at, by.person, by.reason, action, role, _written(scope), standing, covered),
    ).fetchone()
    return int(row[0])


def decisions(conn: Connection, limit: int, standing_only: bool = False) -> list[DecisionRecord]:
    """Gives decisions, newest first."""
    return [
        DecisionRecord(
            number,
            ByWhom(person, reason, at),
            Action(action),
            Role(role) if role else None,
            Scope(**json.loads(scope)),
            bool(standing),
            covered,
        )
        for number, at, person, reason, action, role, scope, standing, covered in conn.execute(
            "SELECT number, at, person, reason, action, role, scope, standing, covered FROM decision"
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
    objects = conn.execute("SELECT DISTINCT object_id FROM decided_release WHERE decision = ? LIMIT ?", (number, limit))
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
    """Gives what people decided about objects for a collection, by object id and rule id."""
    found: dict[str, dict[str, tuple[Action, ByWhom]]] = {}
    for object_id, rule, action, person, reason, at in conn.execute(
        "SELECT object_id, rule, action, person, reason, at FROM decided_release"
        " JOIN decision ON decision.number = decision"
        " WHERE collection = ? AND object_id IN (SELECT value FROM json_each(?))",
        (collection, json.dumps(list(object_ids))),
    ):
        found.setdefault(object_id, {})[rule] = (Action(action), ByWhom(person, reason, at))
    return found


def _written(scope: Scope) -> str:
    stated = {"sensor": scope.sensor, "network": scope.network, "kind": scope.kind, "why": scope.why}
    return json.dumps({name: value for name, value in stated.items() if value is not None})
