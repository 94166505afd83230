"""The last look before something is sent to a partner with a profile: an envelope together with what was sent before.

What wants objects together (one submitter, its place, nobody named who did not consent) is asked here of all that the
partner's server will have, since the gate sees one object at a time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from threatshare.policy.candidates import profile_for
from threatshare.policy.profile_bundles import Bundle, Member, NodeFacts, observables_of
from threatshare.policy.profile_rules import facts_for
from threatshare.policy.profile_terms import Profile
from threatshare.policy.profiles import check
from threatshare.share.outlets import Outlet
from threatshare.store.connection import Connection
from threatshare.store.deliveries import PENDING
from threatshare.store.entries import SEQ_BITS
from threatshare.store.targets import TargetState

_INTRODUCTORY = frozenset({"identity", "location", "relationship"})
_read = msgspec.json.Decoder(dict[str, Any]).decode


@dataclass(frozen=True, slots=True)
class Submission:
    """What a partner's profile wants of everything that is sent to it."""

    profile: Profile
    facts: NodeFacts

    def fault(self, conn: Connection, state: TargetState, bodies: Iterable[bytes]) -> str | None:
        """Says what the profile blocks in an envelope, seen with what the partner has of our introduction.

        Withdrawals say nothing new and always go; an envelope that holds a part of the introduction alone is not yet
        a submission.
        """
        sent = [one for one in map(_read, bodies) if one.get("revoked") is not True]
        if all(one["type"] in _INTRODUCTORY for one in sent):
            return None
        held = {str(one["id"]): one for one in _delivered(conn, state)}
        known = list((held | {str(one["id"]): one for one in sent}).values())
        members = tuple(Member("", one, observables_of(one)) for one in known)
        found = [one for one in check(self.profile, Bundle(members), self.facts).faults if one.on_fail == "block"]
        if not found:
            return None
        first = found[0]
        more = f"; and {len(found) - 1} more" if len(found) > 1 else ""
        what = " ".join(filter(None, (first.object or "the submission as a whole", first.pointer)))
        return f"{self.profile.name} {first.rule}: {what} {first.found}; to mend it: {first.mend}{more}"


def submission_of(outlet: Outlet) -> Submission | None:
    """Gives what the partner's profile wants; None where its agreement names none that can be read."""
    profile = profile_for(outlet.audience, outlet.facts)
    return None if profile is None else Submission(profile, facts_for(outlet.audience, outlet.facts))


def _delivered(conn: Connection, state: TargetState) -> list[dict[str, Any]]:
    """Gives the latest of what says who we are that a target may have received, but for what was withdrawn since."""
    rows = conn.execute(
        "SELECT object_id, body FROM entry WHERE id > ?1 AND id <= ?2 AND type IN ('identity', 'location',"
        " 'relationship') AND NOT EXISTS (SELECT 1 FROM undelivered WHERE target = ?3 AND seq = entry.id - ?1"
        " AND kind <> ?4) ORDER BY id",
        (state.collection << SEQ_BITS, state.collection << SEQ_BITS | state.reached, state.name, PENDING),
    ).fetchall()
    latest = {object_id: _read(body) for object_id, body in rows}
    return [one for one in latest.values() if one.get("revoked") is not True]
