"""Our own objects on their way into one collection: as the audience knows them -> what people said -> gate -> entries.

What goes out is not always what we hold: an object that comes back after it was withdrawn has another id, a partner
that is not told who we are gets it under another identity, a report names the ids that its audience knows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec

from threatshare.model import Decision, Reason, Verdict, moment
from threatshare.policy.approvals import needs_two
from threatshare.policy.disguise import Disguise, version_after
from threatshare.policy.gate import Cleared, candidate_of, clear
from threatshare.policy.report_rules import as_report
from threatshare.share.introductions import introduce
from threatshare.share.outlets import Dispatch, Outlet, PublishReport
from threatshare.share.references import FORMER, held_by, is_report, names_former, renamed, waits
from threatshare.share.thresholds import rests_until, scores_for
from threatshare.stix import objects
from threatshare.stix.patterns import read_pattern
from threatshare.stix.timestamps import read_timestamp
from threatshare.store.connection import Connection
from threatshare.store.decisions import REVIEW, Action, ByWhom, approvals, decided_releases, two_persons
from threatshare.store.embedded import Store
from threatshare.store.incidents import look_again
from threatshare.store.keys import object_key
from threatshare.store.lookups import current_bodies, known
from threatshare.store.releases import Release, releases_of
from threatshare.store.sources import OWN, sources


def own_objects(store: Store, conn: Connection, object_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Gives the current versions of objects of ours by id."""
    own = sources(conn)[OWN].number
    bodies = current_bodies(conn, [object_key(store.key_of, own, one) for one in object_ids])
    return {str(one["id"]): one for one in map(msgspec.json.decode, bodies.values())}


def decide_own(
    store: Store,
    conn: Connection,
    outlet: Outlet,
    read: Mapping[str, Mapping[str, Any]],
    report: PublishReport,
    kept: Decision | None,
) -> None:
    """Asks the gate about each object, by id, and releases, withdraws or keeps it; ``kept`` keeps them all."""
    before = releases_of(conn, outlet.collection.number, list(read))
    held, former = held_by(conn, outlet.collection.number, read.values()), set()
    dispatch = Dispatch(conn, outlet, before)
    said = decided_releases(conn, outlet.collection.number, list(read))
    signed = approvals(conn, outlet.collection.number, list(read))
    values = {key: read_pattern(one["pattern"]) for key, one in read.items() if "pattern" in one}
    scores = known(conn, store.key_of, {one for found in values.values() for one in found})
    worth = scores_for(conn, outlet, scores.values())
    for object_id, content in read.items():
        past = before.get(object_id)
        known_as = _as_known(store, outlet.audience.disguise, content, held, past)
        observables = values.get(object_id, ())
        entries = [scores[one] for one in observables if one in scores]
        score = min((worth.get(one.number, one.score) for one in entries), default=None)
        about = _about(store, content, outlet)
        approved, refused = _by_people(said.get(object_id, {}), signed.get(object_id, {}))
        candidate = candidate_of(known_as.body, observables, about=about, score=score, approved=approved)
        candidate = replace(candidate, own_words=any(one.number in worth for one in entries))
        if past is not None and read_timestamp(str(content["modified"])) <= past.at:
            candidate = replace(candidate, rests=rests_until(past) > outlet.now)
        if is_report(content):
            candidate = as_report(candidate, content, outlet.known_ids(held.values()), outlet.audience.disguise)
        if refused is None and names_former(content, past, known_as.plain):
            refused = FORMER
            former.add(object_id)
        decided = refused or clear(candidate, known_as.body, outlet.audience, outlet.facts)
        if kept is not None and isinstance(decided, Cleared):
            decided = replace(kept, reasons=decided.decision.reasons + kept.reasons)
        if is_report(content) and (waiting := waits(conn, outlet, content, past, decided)) is not None:
            report.note(outlet.collection.alias, object_id, waiting)
            continue
        dispatch.decide(object_id, decided, known_as.life, known_as.digest, report)
    introduce(dispatch, report)
    dispatch.commit(report)
    look_again(conn, outlet.collection.number, [*former.intersection(one.object_id for one in dispatch.decided)])


def _by_people(
    said: Mapping[str, tuple[Action, ByWhom]], signed: Mapping[str, Sequence[ByWhom]]
) -> tuple[dict[str, str], Decision | None]:
    """Gives the holds that people have lifted, with who, when and why; and the refusal, where one refused.

    ``signed``: who approved the holds that only two persons lift together; what one person says of these lifts nothing.
    """
    rejected = next((rule for rule, (action, _) in said.items() if action is Action.REJECT), None)
    if rejected is not None:
        held = "" if rejected == REVIEW else f"held by {rejected}, and "
        reason = Reason(REVIEW, Verdict.REFUSE, f"{held}rejected by {_lifted_by(said[rejected][1])}")
        return {}, Decision(Verdict.REFUSE, (reason,))
    words = {rule: _lifted_by(by) for rule, (_, by) in said.items() if not needs_two(rule)}
    both = {hold: two_persons(by) for hold, by in signed.items()}
    return words | {hold: _lifted_by(*pair) for hold, pair in both.items() if pair is not None}, None


def _lifted_by(*people: ByWhom) -> str:
    """Says who, when and why, as ``share.outlets`` reads it again: the names before what anybody wrote."""
    names = " and by ".join(f"{by.person} on {moment(by.at):%Y-%m-%d}" for by in people)
    return f"{names}: {'; '.join(by.reason for by in people)}"


class _KnownAs(NamedTuple):
    """One object of ours in the words in which an audience knows it."""

    body: bytes
    plain: bytes
    """The same as we would say it to whoever knows us."""
    digest: bytes
    """Of ``plain``: what tells whether we say anything new."""
    life: int


def _as_known(
    store: Store, disguise: Disguise | None, content: Mapping[str, Any], held: Mapping[str, str], past: Release | None
) -> _KnownAs:
    """Gives an object of ours with the ids, and under the identity, by which an audience knows it."""
    life = 1 if past is None else past.life + past.withdrawn
    told = {**renamed(content, held), "id": objects.reborn_id(str(content["id"]), life)}
    plain = objects.written(told)
    digest = sha256(plain).digest()
    if disguise is None:
        return _KnownAs(plain, plain, digest, life)
    known = past if past is not None and past.served else None
    if known is not None and known.digest == digest:
        modified = known.version
    else:
        modified = version_after(told, known.version if known is not None else None)
    ours = frozenset(held.values())
    body = objects.written(disguise.worn(told, lambda one: one in ours or OWN in store.holders(one), modified))
    return _KnownAs(body, plain, digest, life)


def _about(store: Store, content: Mapping[str, Any], outlet: Outlet) -> str | None:
    """Tells whose indicator a sighting or opinion of ours is about; the audience's own where it is among several."""
    about = content.get("sighting_of_ref")
    if content["type"] == "opinion":
        about = content["object_refs"][0]
    if about is None:
        return None
    holders = store.holders(about)
    agreement = outlet.audience.agreement
    theirs = (one for one in holders if agreement is not None and agreement in outlet.facts.agreements_with(one))
    return next(theirs, holders[0] if holders else None)
