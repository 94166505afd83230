"""What a decision is about: held values and objects that somebody names or narrows down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations

from threatshare.errors import BadValue, UsageError
from threatshare.model import Observable, Reason, Seen, Verdict
from threatshare.review.held import GateGroup, Group, gate_groups, select
from threatshare.stix.observables import recognise
from threatshare.store.collections import collections
from threatshare.store.connection import Connection
from threatshare.store.decisions import REVIEW, Scope
from threatshare.store.observations import held
from threatshare.store.releases import decisions_on
from threatshare.triage.neighbourhood import network_of


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
