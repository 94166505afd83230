"""The scores that agreements ask for: our indicators are looked at again when their score comes to another side of one.

What is ours is decided when it changes itself. Its score moves without that, too: others say the same, people dispute
it, time passes. Only what is scored anew is looked at, never all that stands.
What a partner says itself raises no score that it asks for, and what was withdrawn because its score fell comes back
after a day at the earliest: nobody makes it come and go at will.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from threatshare.model import Claim, Micros, Verdict
from threatshare.policy.rules import MINIMUM_SCORE
from threatshare.share.outlets import Outlet
from threatshare.stix.objects import indicator_id
from threatshare.stix.patterns import read_pattern
from threatshare.store.connection import Connection
from threatshare.store.embedded import Store
from threatshare.store.keys import object_key
from threatshare.store.lookups import Known, bring_forward, claims_about, known, known_by_number
from threatshare.store.releases import Release, note_own_changes, releases_of
from threatshare.store.sources import OWN, sources
from threatshare.triage.score import assess, rows_of

_REST: Micros = 24 * 3_600_000_000
"""How long what was withdrawn because its score fell stays away, unless we say anew: a day."""


def look_across(store: Store, conn: Connection, keys: Sequence[int], outlets: Sequence[Outlet]) -> None:
    """Lines up our indicators of observables that were scored anew, where a partner's threshold says otherwise now."""
    asking = [one for one in outlets if _least(one)]
    own = sources(conn).get(OWN)
    if not asking or own is None:
        return
    us = asking[0].facts.our_identity
    entries = {indicator_id(us, one.observable): one for one in known_by_number(conn, keys)}
    due: set[str] = set()
    for outlet in asking:
        past = releases_of(conn, outlet.collection.number, list(entries))
        worth = scores_for(conn, outlet, [entries[key] for key in past])
        for key, one in past.items():
            score = worth.get(entries[key].number, entries[key].score)
            rests = rests_until(one) > outlet.now
            due.update([key] if _is_other_now(one, score >= _least(outlet) and not rests) else ())
        _watch(conn, outlet, entries, past)
    note_own_changes(conn, [object_key(store.key_of, own.number, one) for one in sorted(due)])


def look_ahead(store: Store, conn: Connection, outlet: Outlet, contents: Iterable[Mapping[str, Any]]) -> None:
    """Has our indicators that were just decided scored again when time alone will have brought them across."""
    if not _least(outlet):
        return
    values = {value for one in contents if "pattern" in one for value in read_pattern(one["pattern"])}
    us = outlet.facts.our_identity
    entries = {indicator_id(us, value): one for value, one in known(conn, store.key_of, values).items()}
    _watch(conn, outlet, entries, releases_of(conn, outlet.collection.number, list(entries)))


def scores_for(conn: Connection, outlet: Outlet, entries: Iterable[Known]) -> dict[int, int]:
    """Gives the scores, by observable number, that are lower without what an audience itself says; no others.

    Else it would learn what we hold back by saying it of values that it guesses. Asked only of what would pass.
    """
    least = _least(outlet)
    passing = {one.number: one for one in entries if one.score >= least} if least else {}
    said = claims_about(conn, list(passing)) if passing else {}
    found = {}
    for number, one in passing.items():
        score = _assess_for(outlet, one, [held.claim for held in said.get(number, ())], outlet.now)
        if score < one.score:
            found[number] = score
    return found


def _assess_for(outlet: Outlet, entry: Known, claims: Sequence[Claim], now: Micros) -> int:
    """Gives the score at a moment without what an audience's own feeds, accounts and identities say, or 100.

    100 where they say nothing: there is nothing to leave out.
    """
    agreement, facts = outlet.audience.agreement, outlet.facts
    partner = agreement.partner if agreement is not None else None

    def theirs(*senders: str) -> bool:
        return any(partner in facts.partners_of(one) for one in senders)

    others = [one for one in claims if not theirs(one.source, one.origin)]
    opinions = tuple(one for one in entry.evidence.opinions if not theirs(one.source))
    if len(others) == len(claims) and len(opinions) == len(entry.evidence.opinions):
        return 100
    return assess(entry.observable.kind, rows_of(others), replace(entry.evidence, opinions=opinions), now)[0]


def _least(outlet: Outlet) -> int:
    agreement = outlet.audience.agreement
    return 0 if agreement is None else agreement.outbound.min_score


def _is_other_now(past: Release, enough: bool) -> bool:
    return not enough if past.served else enough and _waits(past)


def _waits(past: Release) -> bool:
    return not past.served and any(
        one.rule == MINIMUM_SCORE and one.verdict is not Verdict.RELEASE for one in past.reasons
    )


def rests_until(past: Release) -> Micros:
    """Gives until when something stays away that was withdrawn because its score fell; 0 where that is not so."""
    return past.at + _REST if past.withdrawn and _waits(past) else 0


def _watch(conn: Connection, outlet: Outlet, entries: Mapping[str, Known], past: Mapping[str, Release]) -> None:
    """Brings forward when those are scored that stand, or wait for a higher score."""
    watched = [(entries[key], rests_until(one)) for key, one in past.items() if one.served or _waits(one)]
    said = claims_about(conn, [one.number for one, _ in watched]) if watched else {}
    moments = []
    for one, rest in watched:
        claims = [held.claim for held in said.get(one.number, ())]
        at = _crossing(outlet, one, claims)
        if rest > outlet.now:
            at = rest if at is None else min(at, rest)
        if at is not None:
            moments.append((one.number, at))
    bring_forward(conn, moments)


def _crossing(outlet: Outlet, entry: Known, claims: Sequence[Claim]) -> Micros | None:
    """Finds the first moment at which a score may be on the other side of a threshold, by time alone."""
    least, now = _least(outlet), outlet.now
    kind, evidence, rows = entry.observable.kind, entry.evidence, rows_of(claims)
    value, leaves = assess(kind, rows, evidence, now)
    if (value >= least) != (entry.score >= least):
        return now  # it has moved since it was written
    begins = min((one.valid_from for one in claims if one.valid_from > now), default=None)
    last = min((at for at in (begins, leaves) if at is not None), default=None)

    def below(at: Micros) -> bool:
        return assess(kind, rows, evidence, at)[0] < least or _assess_for(outlet, entry, claims, at) < least

    if last is None or below(now):
        return begins
    # Until a claim begins the score only falls, so the first moment below is found by halving.
    return now + bisect_left(range(now, last), True, key=below)
