"""Who may still take part in a running exercise, and what may still stand in it, as agreements and facts have it now.

An exercise's collection is read for weeks after the gate was asked. So it is asked again with every run of publishing
and every post: a partner whose agreement no longer allows the exercise loses its rights on the collection, and an
inject that the gate would refuse a partner that is left is withdrawn.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256

from threatshare.model import Collection, Decision, Micros, Reason, Tlp, Verdict
from threatshare.policy import agreements
from threatshare.policy.disguise import wants_disguise
from threatshare.policy.gate import Facts, policy_of
from threatshare.policy.rules import EXERCISE, MARKING_CEILING, NAMED_IN_EXERCISES, refuse
from threatshare.policy.senders import sole
from threatshare.share.exercise_outlet import ExerciseOutlet
from threatshare.share.outlets import Dispatch, PublishReport
from threatshare.store.connection import Connection
from threatshare.store.entries import held_body
from threatshare.store.exclusions import Right, exclude, exclusions, lift, rights_on
from threatshare.store.exercises import ExerciseRecord, exercise_named, injects_of
from threatshare.store.releases import Release, position, releases_of, save_position


@dataclass(frozen=True, slots=True)
class Examined:
    """What a look at an exercise changed."""

    exercise: str
    excluded: tuple[tuple[str, str], ...]
    """Who lost it now (a partner; empty: accounts of none), with the reason."""
    withdrawn: int
    """Injects that may no longer stand."""
    deserted: bool
    """Whether no partner remains."""


def unable(partner: str, tlp: Tlp, facts: Facts) -> Iterator[Reason]:
    """Yields every reason for which a partner may not take part in an exercise of this marking today."""
    agreement = facts.agreements.get(partner)
    found = agreements.standing(agreement, facts.today)
    yield from (replace(one, text=f"{partner}: {one.text}") for one in found)
    if agreement is None:
        return
    if tlp > agreement.outbound.ceiling:
        ceiling = agreement.outbound.ceiling.label
        yield refuse(MARKING_CEILING, f"{partner}: the exercise's TLP, {tlp.label}, is above its ceiling, {ceiling}")
    if wants_disguise(agreement.outbound):
        yield refuse(EXERCISE, f"{partner}: {NAMED_IN_EXERCISES}")


def close_out(conn: Connection, one: ExerciseRecord, facts: Facts, now: Micros) -> ExerciseRecord:
    """Takes a running exercise from whoever may not take part in it any more; gives it as it is then.

    Whoever is out stays out until somebody invites them again: that an agreement stands again says nothing of what was
    put into the exercise meanwhile. An account that belongs to no partner of the exercise has no business in it.
    """
    reasons = {partner: "; ".join(_told(partner, one, facts)) for partner in one.present}
    left = {partner for partner, why in reasons.items() if not why}
    lost: dict[str, list[Right]] = {partner: [] for partner, why in reasons.items() if why}
    for account, verb in rights_on(conn, one.collection):
        partner = partner_of(account, one, facts)
        if partner not in left:
            lost.setdefault(partner, []).append((account, verb))
    for partner, rights in lost.items():
        named = ", ".join(sorted({account for account, _ in rights}))
        why = reasons.get(partner) or f"of no partner that takes part: {named}"
        exclude(conn, one.name, one.collection, partner, rights, why, now)
    return (exercise_named(conn, one.name) or one) if lost else one


def _told(partner: str, one: ExerciseRecord, facts: Facts) -> list[str]:
    return [why.text.removeprefix(f"{partner}: ") for why in unable(partner, one.tlp, facts)]


def partner_of(account: str, one: ExerciseRecord, facts: Facts) -> str:
    """Gives the partner of an exercise that an account belongs to, by its name where the agreement is gone; or none."""
    claims = facts.partners_of_account(account)
    partner = sole(claims) or ("" if claims else account)
    return partner if partner in one.partners else ""


def examine(
    conn: Connection, one: ExerciseRecord, collection: Collection, facts: Facts, us: bytes, now: Micros
) -> Examined:
    """Looks at a running exercise again: at who takes part, and where anything has changed, at what stands in it."""
    before = {(x.partner, x.rights) for x in exclusions(conn, one.name, True)}
    one = close_out(conn, one, facts, now)
    fresh = [x for x in exclusions(conn, one.name, True) if (x.partner, x.rights) not in before]
    way = ExerciseOutlet.of(one, collection, facts, us, now, None)
    withdrawn = 0
    if one.present and way.terms.over(facts.today) is None:
        digest = sha256(b"".join(policy_of(audience, facts) for audience in way.audiences)).digest()
        if not position(conn, collection.number, digest):
            withdrawn = _withdraw(conn, way)
            save_position(conn, collection.number, 1, digest)
    told = tuple((x.partner, x.reason) for x in fresh)
    return Examined(one.name, told, withdrawn, not one.present)


def _withdraw(conn: Connection, way: ExerciseOutlet) -> int:
    """Withdraws what the gate would refuse a partner that is left; what it would only hold, a person let out before."""
    report = PublishReport(released={way.outlet.collection.alias: 0})
    standing = dict(_against(conn, way))
    dispatch = Dispatch(conn, way.outlet, {past.object_id: past for past in standing})
    for past, decided in standing.items():
        if decided.verdict is Verdict.REFUSE:
            dispatch.withdraw(past, decided, report)
    if dispatch.cleared or dispatch.decided:
        dispatch.commit(report)
    return report.withdrawn


def _against(conn: Connection, way: ExerciseOutlet) -> Iterator[tuple[Release, Decision]]:
    """Yields what stands in an exercise and is not cleared for its audiences now, with the decision."""
    collection = way.outlet.collection
    injects = {one.object_id: one.observable for one in injects_of(conn, way.record.name) if one.shared is not None}
    for object_id, past in releases_of(conn, collection.number, list(injects)).items():
        body = held_body(conn, collection, object_id, past.version) if past.served else None
        decided = way.clear(body, (injects[object_id],)) if body is not None else None
        if isinstance(decided, Decision):
            yield past, decided


def invite(
    conn: Connection, one: ExerciseRecord, collection: Collection, partner: str, facts: Facts, by: str, now: Micros
) -> tuple[Reason, ...]:
    """Lets a partner take part again, with the rights that it lost; or gives every reason why not.

    All that stands in the exercise is cleared for it first, ``by`` approving what a person has to.
    """
    reasons = tuple(unable(partner, one.tlp, facts))
    if reasons:
        return reasons
    alone = replace(one, partners=(partner,), excluded=frozenset())
    way = ExerciseOutlet.of(alone, collection, facts, b"", now, by)
    kept = (why for _, decided in _against(conn, way) for why in decided.reasons if why.verdict is not Verdict.RELEASE)
    if reasons := tuple(dict.fromkeys(kept)):
        return reasons
    taken = [right for out in exclusions(conn, one.name, True) for right in out.rights]
    back = [right for right in taken if partner_of(right[0], one, facts) == partner]
    lift(conn, one.name, one.collection, partner, back, by, now)
    return ()
