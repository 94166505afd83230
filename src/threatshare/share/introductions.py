"""Says who we are to one collection's audience before anything else does, and takes back what it knew of us otherwise.

An introduction is our Identity; where the audience's profile wants it (``introduction = "identity-set"``), with the
consent label of the agreement, and with our Location and the ``located-at`` between them. What changes goes out as a
new version. An audience never knows two of us: before the first object under another identity, everything that stands
under the former one is withdrawn, and the former introduction is taken out of the collection.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain, count
from typing import Any

import msgspec

from threatshare.model import Decision, Micros, Reason, Verdict
from threatshare.policy.agreements import RULE as AGREEMENT_IN_FORCE
from threatshare.policy.candidates import profile_for
from threatshare.policy.disguise_rules import ANONYMITY
from threatshare.policy.gate import Cleared, candidate_of, clear
from threatshare.policy.profile_rules import PROFILE, introduction_reasons
from threatshare.share.outlets import Dispatch, Outlet, PublishReport
from threatshare.share.views import introduced_through
from threatshare.stix import objects
from threatshare.stix.timestamps import read_timestamp, write_timestamp
from threatshare.store.connection import Connection
from threatshare.store.disguises import introductions_standing, standing_under_others
from threatshare.store.entries import delete_entries, held_body, told_versions
from threatshare.store.ledger import record_deletions
from threatshare.store.releases import Release, releases_of, save_releases

_ANOTHER = Decision(
    Verdict.REFUSE,
    (Reason(ANONYMITY, Verdict.REFUSE, "it was released under another identity, under which nothing stands any more"),),
)
_MOVED = Decision(
    Verdict.REFUSE,
    (Reason("introduction", Verdict.REFUSE, "it says where we were, or what this audience does not ask for any more"),),
)
_read = msgspec.json.Decoder(dict[str, Any]).decode


def hindrance(outlet: Outlet) -> Decision | None:
    """Gives the decision that keeps everything here, where a profile wants to know who submits and cannot be told so.

    What keeps every object here by itself, as an agreement that is not in force, is left to the decisions on these.
    """
    audience, facts = outlet.audience, outlet.facts
    if profile_for(audience, facts) is None:
        return None
    reasons = list(introduction_reasons([_read(one) for one in outlet.introduction], audience, facts))
    for body in outlet.introduction:
        decided = clear(candidate_of(body, ()), body, audience, facts)
        if isinstance(decided, Decision):
            against = [one for one in decided.reasons if one.verdict is not Verdict.RELEASE]
            reasons += [one for one in against if one.rule not in (AGREEMENT_IN_FORCE, PROFILE)]
    return Decision(Verdict.REFUSE, tuple(dict.fromkeys(reasons))) if reasons else None


def introduce(dispatch: Dispatch, report: PublishReport) -> None:
    """Puts what says who we are before what a batch releases, where the audience does not have it as it is now.

    Also without a release, where it has an earlier version; all of it or nothing. It counts as no release.
    """
    outlet, conn = dispatch.outlet, dispatch.conn
    told = [introduced_through(outlet.collection.view, body) for body in outlet.introduction]
    wanted = {str(_read(body)["id"]): body for body in told}
    standing = introductions_standing(conn, outlet.collection.number)
    if not standing and not dispatch.cleared:
        return
    past = releases_of(conn, outlet.collection.number, [*wanted, *standing])
    dispatch.before = {**past, **dispatch.before}
    news = [
        _News(object_id, body, past.get(object_id), dispatch)
        for object_id, body in wanted.items()
        if not _is_held(past.get(object_id), body)
    ]
    decided = [one.decided for one in news]
    cleared = [one for one in decided if isinstance(one, Cleared)]
    if len(cleared) < len(news):
        return
    dispatch.cleared[:0] = cleared
    dispatch.uncounted += len(cleared)
    dispatch.introduced |= {one.object_id for one in cleared}
    for one, out in zip(news, cleared, strict=True):
        dispatch.record(one.object_id, out, out.decision, one.life, sha256(one.body).digest())
    for object_id in standing:
        # A place is nobody's claim; that we are there is one.
        if object_id not in wanted and object_id.startswith("relationship--"):
            dispatch.withdraw(past[object_id], _MOVED, report)


def _is_held(past: Release | None, body: bytes) -> bool:
    return past is not None and past.served and past.digest == sha256(body).digest()


@dataclass(frozen=True)
class _News:
    """A part of our introduction that the audience does not have as it is now."""

    object_id: str
    body: bytes
    past: Release | None
    dispatch: Dispatch

    @property
    def life(self) -> int:
        """A new one where it was withdrawn before: a revoked object gets no new version (STIX 2.1 §3.2)."""
        return 1 if self.past is None else self.past.life + self.past.withdrawn

    @property
    def decided(self) -> Cleared | Decision:
        """The gate's word on it, as it would go out."""
        outlet, content = self.dispatch.outlet, _read(self.body)
        content["id"] = objects.reborn_id(self.object_id, self.life)
        held = self.past.version if self.past is not None and self.past.served else None
        content["modified"] = write_timestamp(_version(self.dispatch.conn, content, held, outlet.shown_now))
        told = objects.written(content)
        return clear(candidate_of(told, ()), told, outlet.audience, outlet.facts)


def first_told(conn: Connection, introduction: bytes, now: Micros) -> bytes:
    """Writes a part of our introduction for an audience that has none of it, dated as for others who were told it."""
    content = _read(introduction)
    content["modified"] = write_timestamp(_version(conn, content, None, now))
    return objects.written(content)


def _version(conn: Connection, content: dict[str, Any], held: Micros | None, now: Micros) -> Micros:
    """Dates a version: as anybody was told the same, if later than what this audience has, else as nothing else is.

    Audiences are told of one Identity in different words, and at different times: dated by each alone, one version
    would have two contents (STIX 2.1 §3.6). Rather a little earlier than now than later, which stalls clients.
    """
    first = read_timestamp(content["modified"]) if held is None else held + 1_000
    told = told_versions(conn, content["id"])
    same = [version for version, body in told if version >= first and _is_same(_read(body), content)]
    if same or not told:
        return same[-1] if same else first
    taken = {version for version, _ in told}
    moments = chain(range(now, first - 1, -1_000), count(max(now, first), 1_000))
    return next(at for at in moments if at not in taken)


def _is_same(told: dict[str, Any], content: dict[str, Any]) -> bool:
    return told | {"modified": None} == content | {"modified": None}


def leave_former(conn: Connection, outlet: Outlet, report: PublishReport, most: int) -> bool:
    """Takes back, at most so much at once, what an audience has of us under another identity.

    Gives whether anything was; what cannot be taken back stands for one more run, and the next one tries again.
    """
    disguise, number = outlet.audience.disguise, outlet.collection.number
    former = standing_under_others(conn, number, disguise.identity if disguise else None, most)
    if former:
        before = releases_of(conn, number, former)
        dispatch = Dispatch(conn, outlet, before)
        for past in before.values():
            dispatch.withdraw(past, _ANOTHER, report)
        dispatch.commit(report)
        return bool(dispatch.decided)
    _forget(conn, outlet, introductions_standing(conn, number))
    return False


def _forget(conn: Connection, outlet: Outlet, introductions: Sequence[str]) -> None:
    """Takes former introductions out of a collection, which whoever reads it later would take for ours as well.

    They are not withdrawn: an Identity that was revoked could never be used again (STIX 2.1 §3.2).
    """
    us, number = _read(outlet.identity)["id"], outlet.collection.number
    gone: list[Release] = []
    entries: list[int] = []
    for past in releases_of(conn, number, introductions).values():
        body = held_body(conn, outlet.collection, objects.reborn_id(past.object_id, past.life), past.version)
        if body is not None and _read(body).get("created_by_ref") != us:
            entries += _entries(conn, number, past)
            kept = (past.object_id, 0, b"", Verdict.REFUSE, _ANOTHER.reasons, outlet.policy, outlet.now, past.life)
            gone.append(Release(*kept))
    if entries:
        record_deletions(conn, outlet.facts.our_identity, entries, ANONYMITY, None, outlet.now)
        delete_entries(conn, outlet.collection, entries)
        save_releases(conn, number, gone)


def _entries(conn: Connection, collection: int, past: Release) -> list[int]:
    found = []
    for life in range(1, past.life + 1):
        served_id = objects.reborn_id(past.object_id, life)
        rows = conn.execute("SELECT id FROM entry WHERE object_id = ? AND id >> 40 = ?", (served_id, collection))
        found += [row[0] for row in rows.fetchall()]
    return found
