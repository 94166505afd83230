"""What people decide of what is held, carried out in one transaction each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from threatshare.errors import UsageError
from threatshare.findings.assertions import Own
from threatshare.ingest import IngestReport, own_source, take
from threatshare.model import Role, Seen
from threatshare.policy.approvals import needs_two
from threatshare.review.held import GateGroup, of_two
from threatshare.store.connection import Connection
from threatshare.store.decisions import (
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
)
from threatshare.store.embedded import Store
from threatshare.store.keys import object_key
from threatshare.store.observations import forget_held
from threatshare.store.releases import note_own_changes
from threatshare.store.sources import OWN, sources


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
            for hold in dict.fromkeys(of_two(group.objects[one]))
            if all(by.is_another_than(other) for other in by_hold.get(hold, ()))
        ]
    if named and not alone and not any(fresh.values()):
        raise UsageError(f"{by.person} has approved this already: a second, different person has to approve it as well")
    approve_holds(conn, number, group.collection, fresh)
    # A rejection that is taken back under whatever rule it was; what two have to lift is then held anew.
    back = {one: [*alone, *rejected_for(conn, group.collection, one)] for one in named}
    cover_objects(conn, number, group.collection, back)


def end_standing(store: Store, number: int, by: ByWhom) -> None:
    """Ends a decision that held for what comes later; what it has decided stays. Raises UsageError where it is none."""
    with store.writing() as conn:
        ended = end_decision(conn, number)
        if ended is None:
            raise UsageError(f"decision {number} does not stand for what comes; see `threatshare review decisions`")
        save_decision(conn, by, Action.END, ended.role, ended.scope, False, 0)
