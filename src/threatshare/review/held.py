"""What is held: values and objects in groups, each of which one decision can answer."""

from __future__ import annotations

from collections.abc import Collection as Some
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256

from threatshare.model import Micros, Reason, Seen, Verdict
from threatshare.policy.approvals import approval_key, needs_two
from threatshare.store.connection import Connection
from threatshare.store.decisions import Scope, approvals, two_persons
from threatshare.store.observations import held
from threatshare.store.releases import Release, on_hold
from threatshare.triage.neighbourhood import network_of

GROUPINGS = ("sensor", "kind", "network", "why")
"""What held values can be grouped by."""

_EXAMPLES = 5


@dataclass(slots=True)
class Group:
    """Held values that one decision can answer."""

    scope: Scope
    values: int = 0
    events: int = 0
    first: Micros = 0
    last: Micros = 0
    examples: list[Seen] = field(default_factory=list)
    """The ones seen most often."""

    @property
    def id(self) -> str:
        """Twelve digits that name the group; the same whenever it is listed."""
        return _id_of("role", self.scope.sensor, self.scope.kind, self.scope.network, self.scope.why)

    def add(self, seen: Seen) -> None:
        """Counts one more value; they come with what was seen most often first."""
        self.first = min(self.first, seen.first_seen) if self.values else seen.first_seen
        self.last = max(self.last, seen.last_seen)
        self.values += 1
        self.events += seen.count
        if len(self.examples) < _EXAMPLES:
            self.examples.append(seen)


@dataclass(slots=True)
class GateGroup:
    """Objects that the same rules hold for the same collection."""

    alias: str
    collection: int
    reasons: tuple[Reason, ...]
    """Of one of them; those of the others may name other parts."""
    objects: dict[str, Release] = field(default_factory=dict)
    """By our object id."""
    halfway: dict[str, str] = field(default_factory=dict)
    """By object id who has approved what a second person has to approve as well."""

    @property
    def id(self) -> str:
        """Twelve digits that name the group; the same whenever it is listed."""
        return _id_of("gate", self.alias, *self.rules)

    @property
    def rules(self) -> tuple[str, ...]:
        """The ids of the rules that hold them."""
        return tuple(dict.fromkeys(one.rule for one in self.reasons))


def groups(conn: Connection, by: Some[str], scope: Scope) -> list[Group]:
    """Groups the held values that fall under a scope; those seen most often first."""
    found: dict[Scope, Group] = {}
    for seen in held(conn):
        network = network_of(seen.observable)
        if not scope.covers(seen, network):
            continue
        key = Scope(
            seen.sensor if "sensor" in by else None,
            network if "network" in by else None,
            seen.observable.kind.value if "kind" in by else None,
            seen.why if "why" in by else None,
        )
        found.setdefault(key, Group(key)).add(seen)
    return sorted(found.values(), key=lambda one: (-one.events, one.id))


def gate_groups(conn: Connection) -> list[GateGroup]:
    """Groups the objects that the gate holds; the largest group first."""
    found: dict[str, GateGroup] = {}
    for collection, alias, release in on_hold(conn):
        reasons = tuple(one for one in release.reasons if one.verdict is Verdict.HOLD)
        group = GateGroup(alias, collection, reasons)
        found.setdefault(group.id, group).objects[release.object_id] = release
    for group in found.values():
        group.halfway.update(_halfway(conn, group))
    return sorted(found.values(), key=lambda one: (-len(one.objects), one.id))


def select(conn: Connection, scope: Scope) -> list[Seen]:
    """Gives the held values that fall under a scope."""
    return [one for one in held(conn) if scope.covers(one, network_of(one.observable))]


def of_two(release: Release) -> list[str]:
    """Gives what only two persons lift of the holds on an object (``policy.approvals``)."""
    return [approval_key(one) for one in release.reasons if one.verdict is Verdict.HOLD and needs_two(one.rule)]


def _halfway(conn: Connection, group: GateGroup) -> dict[str, str]:
    if not any(map(needs_two, group.rules)):
        return {}
    signed = approvals(conn, group.collection, list(group.objects))
    found = {}
    for one, by_hold in signed.items():
        lacking = [by_hold.get(hold, []) for hold in of_two(group.objects[one])]
        first = next((by[0].person for by in lacking if by and two_persons(by) is None), None)
        if first is not None:
            found[one] = first
    return found


def waiting_for_second(conn: Connection, group: GateGroup, objects: Iterable[str]) -> int:
    """Counts those of some objects that one person has approved, and that a second one has to approve as well."""
    return len(_halfway(conn, group).keys() & set(objects))


def _id_of(*parts: str | None) -> str:
    return sha256("\0".join(f"{part is None}{part}" for part in parts).encode()).hexdigest()[:12]
