"""What is known of values on its way to our own tools: merged and scored -> news where the view changed -> the gate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from threatshare.model import Decision, Kind, Verdict
from threatshare.policy.gate import candidate_of, clear
from threatshare.share.introductions import introduce
from threatshare.share.outlets import Dispatch, Outlet, PublishReport
from threatshare.share.views import id_in, seen_through
from threatshare.stix import objects
from threatshare.store.connection import Connection
from threatshare.store.lookups import bring_forward, claims_about, known_by_number
from threatshare.store.releases import releases_of
from threatshare.triage.merged import Merged, merge


def merged_views(conn: Connection, keys: Sequence[int], outlet: Outlet) -> dict[str, Merged]:
    """Merges what is known of some observables; a pattern of several comparisons is not for this collection."""
    claims = claims_about(conn, keys)
    found = {}
    again = []
    for entry in known_by_number(conn, keys):
        if entry.observable.kind is not Kind.PATTERN:
            said = [one.claim for one in claims.get(entry.number, ())]
            one = merge(
                entry.observable,
                said,
                entry.evidence,
                outlet.facts.our_identity,
                outlet.facts.siem_floor,
                outlet.now,
            )
            found[one.id] = one
            if one.look_again is not None:
                again.append((entry.number, one.look_again))
    bring_forward(conn, again)
    return found


def decide_merged(conn: Connection, outlet: Outlet, merged: Mapping[str, Merged], report: PublishReport) -> None:
    """Releases a new version where band, marking, validity or sources changed; withdraws what fell under the floor."""
    named = {id_in(outlet.collection, siem_id): one for siem_id, one in merged.items()}
    dispatch = Dispatch(conn, outlet, releases_of(conn, outlet.collection.number, list(named)))
    for object_id, one in named.items():
        past = dispatch.before.get(object_id)
        if past is not None and past.served and past.digest == one.digest and past.policy == outlet.policy:
            continue
        if one.facts is None:
            if past is not None and past.served:
                dispatch.withdraw(past, Decision(Verdict.REFUSE, (one.reason,)), report)
            continue
        life = 1 if past is None else past.life + past.withdrawn
        created = past.created if past is not None and past.served else outlet.now
        modified = max(outlet.now, past.version + 1000) if past is not None else outlet.now
        facts = replace(
            one.facts, id=objects.reborn_id(object_id, life), created=created, modified=max(created, modified)
        )
        body = objects.written(seen_through(outlet.collection.view, objects.indicator(facts), facts.observable))
        candidate = candidate_of(body, (facts.observable,), score=one.score)
        dispatch.decide(object_id, clear(candidate, body, outlet.audience, outlet.facts), life, one.digest, report)
    if dispatch.cleared:
        # What names us comes after who we are; a run without news asks nothing and says nothing.
        introduce(dispatch, report)
    dispatch.commit(report)
