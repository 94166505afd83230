"""What is held, and what people decide about it: select -> decide -> carry out, in one transaction.

Two things are held: values whose role no rule could tell, and objects that a rule of the gate holds for a
collection. Both are shown in groups, so that one decision answers many; every decision keeps name, time and reason.
"""

from __future__ import annotations

from collections.abc import Collection as Some
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import combinations
from pathlib import Path

from threatshare.amendments import add_to_list
from threatshare.config import ASSETS_FILE, load_assets
from threatshare.errors import BadValue, UsageError
from threatshare.findings.assertions import Own
from threatshare.ingest import IngestReport, own_source, take
from threatshare.model import Kind, Micros, Observable, Reason, Role, Seen, Verdict, host_of, moment
from threatshare.policy import never_share
from threatshare.policy.approvals import approval_key, needs_two
from threatshare.stix.observables import recognise
from threatshare.store.collections import collections
from threatshare.store.connection import Connection
from threatshare.store.decisions import (
    REVIEW,
    Action,
    ByWhom,
    Scope,
    approvals,
    approve_holds,
    cover_objects,
    cover_values,
    end_approvals,
    end_decision,
    rejected_for,
    save_decision,
    two_persons,
)
from threatshare.store.embedded import Store
from threatshare.store.keys import object_key
from threatshare.store.observations import forget_held, held
from threatshare.store.releases import Release, decisions_on, note_own_changes, on_hold
from threatshare.store.sources import OWN, sources
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


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a decision is about."""

    values: list[Seen]
    objects: list[tuple[GateGroup, frozenset[str]]]
    """Groups of held objects, and which objects of each."""
    scope: Scope
    """What all the values have in common, where that is how they were named; open where they were named one by one."""
    others: list[Observable] = field(default_factory=list)
    """Values that were named and are not held."""

    @property
    def observables(self) -> list[Observable]:
        """Every value that is meant, each once."""
        return sorted({*(one.observable for one in self.values), *self.others})


def select(conn: Connection, scope: Scope) -> list[Seen]:
    """Gives the held values that fall under a scope."""
    return [one for one in held(conn) if scope.covers(one, network_of(one.observable))]


def choose(conn: Connection, names: Sequence[str], scope: Scope, unheld: bool = False) -> Chosen:
    """Finds what is meant by ids of groups or objects and by values, narrowed by a scope; no names: all that it covers.

    An object that is not held is meant too, in every collection that the gate was asked about it for, so that it can be
    taken back. ``unheld``: so are values. Raises UsageError where a name is none of these, and where nothing is meant.
    """
    if not names:
        if scope.is_open:
            raise UsageError("name groups or values, or narrow by --sensor, --network or --kind")
        return _not_empty(Chosen(select(conn, scope), [], scope))
    gates = {one.id: one for one in gate_groups(conn)}
    scopes = _scopes_of(conn)
    objects = [(gates[name], frozenset(gates[name].objects)) for name in names if name in gates]
    for name in names:
        held_here = [(one, frozenset({name})) for one in gates.values() if name in one.objects]
        objects += held_here or ([(one, frozenset({name})) for one in _decided(conn, name)] if "--" in name else [])
    wanted = [scopes[name] for name in names if name in scopes]
    values = {_value(name) for name in names if name not in gates and name not in scopes and "--" not in name}
    chosen = [
        one
        for one in select(conn, scope)
        if one.observable in values or any(each.covers(one, network_of(one.observable)) for each in wanted)
    ]
    common = wanted[0].narrowed(scope) if len(wanted) == 1 and not values else scope
    others = sorted(values - {one.observable for one in chosen}) if unheld else []
    return _not_empty(Chosen(chosen, objects, common if wanted else Scope(), others))


def _decided(conn: Connection, object_id: str) -> list[GateGroup]:
    """Gives an object that is not held, as if it were by a person, for every collection that it was decided on for."""
    numbers = {one.alias: one.number for one in collections(conn)}
    reason = Reason(REVIEW, Verdict.HOLD, "decided already")
    return [
        GateGroup(alias, numbers[alias], (reason,), {object_id: release})
        for alias, release in decisions_on(conn, object_id)
    ]


def _not_empty(chosen: Chosen) -> Chosen:
    if not chosen.observables and not chosen.objects:
        raise UsageError("nothing that is held is meant by this; see `threatshare review`")
    return chosen


def _scopes_of(conn: Connection) -> dict[str, Scope]:
    """Gives the scope of every group that there is, however held values are grouped, by its id."""
    found = set()
    ways = [way for count in range(5) for way in combinations(range(4), count)]
    for seen in held(conn):
        said = (seen.sensor, network_of(seen.observable), seen.observable.kind.value, seen.why)
        found |= {Scope(*(said[at] if at in way else None for at in range(4))) for way in ways}
    named: dict[str, Scope] = {}
    for one in found:
        if named.setdefault(Group(one).id, one) != one:
            raise UsageError(f"two groups are called {Group(one).id}; narrow by --sensor, --network or --kind instead")
    return named


def _value(text: str) -> Observable:
    try:
        return recognise(text)
    except BadValue as problem:
        raise UsageError(f"{text!r} is no group, object id or value: {problem}") from problem


def decide_roles(
    store: Store,
    own: Own,
    selected: Sequence[Seen],
    action: Action,
    role: Role,
    by: ByWhom,
    scope: Scope,
    standing: bool = False,
) -> IngestReport:
    """Gives held values a role, and makes what follows: indicators, sightings, or nothing.

    ``standing``: what falls under the scope later gets the role too, so the scope must ask something.
    """
    if standing and scope.is_open:
        raise UsageError("a decision about all that is ever held cannot stand; name a sensor, network, kind or reason")
    if standing and role.is_indicator and (scope.sensor is None or scope.network is None):
        raise UsageError("a standing decision makes indicators only of one sensor's values in one network; name both")
    report, source = IngestReport(), own_source(store, own)
    with store.writing() as conn:
        number = save_decision(conn, by, action, role, scope, standing, len(selected))
        cover_values(conn, store.key_of, number, selected)
        forget_held(conn, store.key_of, selected)
        why = f"{by.person} decided (decision {number}): {by.reason}"
        take(store, own, source, [replace(one, role=role, why=why) for one in selected], report, by.at)
    return report


def decide_releases(store: Store, group: GateGroup, objects: Iterable[str], action: Action, by: ByWhom) -> int:
    """Lets held objects out for their collection, or keeps them in, and lines them up for publishing; counts them.

    What two persons have to lift, the first one's approval does not let out. Raises UsageError where this person has
    approved all of it already.
    """
    named = [one for one in objects if one in group.objects]
    with store.writing() as conn:
        number = save_decision(conn, by, action, None, Scope(), False, len(named))
        if action is Action.APPROVE:
            _approve(conn, number, group, named, by)
        else:
            end_approvals(conn, number, group.collection, named)
            cover_objects(conn, number, group.collection, dict.fromkeys(named, group.rules))
        ours = sources(conn).get(OWN)
        if ours is not None:
            note_own_changes(conn, [object_key(store.key_of, ours.number, one) for one in named])
    return len(named)


def _approve(conn: Connection, number: int, group: GateGroup, named: Sequence[str], by: ByWhom) -> None:
    alone = [rule for rule in group.rules if not needs_two(rule)]
    signed = approvals(conn, group.collection, named)
    fresh = {}
    for one in named:
        by_hold = signed.get(one, {})
        fresh[one] = [
            hold
            for hold in dict.fromkeys(_of_two(group.objects[one]))
            if all(by.is_another_than(other) for other in by_hold.get(hold, ()))
        ]
    if named and not alone and not any(fresh.values()):
        raise UsageError(f"{by.person} has approved this already: a second, different person has to approve it as well")
    approve_holds(conn, number, group.collection, fresh)
    # A rejection that is taken back under whatever rule it was; what two have to lift is then held anew.
    back = {one: [*alone, *rejected_for(conn, group.collection, one)] for one in named}
    cover_objects(conn, number, group.collection, back)


def _of_two(release: Release) -> list[str]:
    """Gives what only two persons lift of the holds on an object (``policy.approvals``)."""
    return [approval_key(one) for one in release.reasons if one.verdict is Verdict.HOLD and needs_two(one.rule)]


def _halfway(conn: Connection, group: GateGroup) -> dict[str, str]:
    if not any(map(needs_two, group.rules)):
        return {}
    signed = approvals(conn, group.collection, list(group.objects))
    found = {}
    for one, by_hold in signed.items():
        lacking = [by_hold.get(hold, []) for hold in _of_two(group.objects[one])]
        first = next((by[0].person for by in lacking if by and two_persons(by) is None), None)
        if first is not None:
            found[one] = first
    return found


def waiting_for_second(conn: Connection, group: GateGroup, objects: Iterable[str]) -> int:
    """Counts those of some objects that one person has approved, and that a second one has to approve as well."""
    return len(_halfway(conn, group).keys() & set(objects))


def end_standing(store: Store, number: int, by: ByWhom) -> None:
    """Ends a decision that held for what comes later; what it has decided stays. Raises UsageError where it is none."""
    with store.writing() as conn:
        ended = end_decision(conn, number)
        if ended is None:
            raise UsageError(f"decision {number} does not stand for what comes; see `threatshare review decisions`")
        save_decision(conn, by, Action.END, ended.role, ended.scope, False, 0)


def keep_as_own(directory: Path, values: Iterable[Observable], by: ByWhom, network: str | None = None) -> None:
    """Adds values to own-assets.toml, or ``network`` (a network or a domain) instead of them all.

    Raises UsageError for a mail address: its domain may be a public provider's.
    """
    if network is not None:
        entries = {"networks" if "/" in network else "domains": [network]}
    else:
        entries = {}
        for one in values:
            key, text = _asset(one)
            entries.setdefault(key, []).append(text)
    for key, texts in entries.items():
        add_to_list(directory / ASSETS_FILE, key, sorted(set(texts)), _signed(by))
    load_assets(directory)


def keep_unshared(directory: Path, values: Iterable[Observable], by: ByWhom) -> None:
    """Adds values to never-share.toml."""
    add_to_list(directory / never_share.FILE, "values", sorted({one.value for one in values}), _signed(by))
    never_share.load_never_share(directory)


def _signed(by: ByWhom) -> str:
    return f"{by.person}, {moment(by.at):%Y-%m-%d}: {by.reason}"


def _asset(observable: Observable) -> tuple[str, str]:
    kind, value = observable
    match kind:
        case Kind.IPV4 | Kind.IPV6:
            return "networks", value
        case Kind.DOMAIN:
            return "domains", value
        case Kind.URL:
            host = host_of(value)
            return ("networks" if ":" in host or host.replace(".", "").isdigit() else "domains"), host
        case Kind.MD5 | Kind.SHA1 | Kind.SHA256 | Kind.SHA512:
            return "file_hashes", value
        case _:
            raise UsageError(f"a {kind} is no asset by itself; add its domain to own-assets.toml by hand")


def _id_of(*parts: str | None) -> str:
    return sha256("\0".join(f"{part is None}{part}" for part in parts).encode()).hexdigest()[:12]
