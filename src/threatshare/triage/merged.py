"""The merged view of one observable: what our own tools are told, in one indicator of ours.

It says what all that stands says together, as our judgement: our score as its confidence, the most restrictive
marking, the latest validity. What is marked above the ceiling of our own organisation takes no part.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

from threatshare.model import BANDS, Claim, Evidence, Kind, Micros, Observable, Reason, Tlp, Verdict, band_of
from threatshare.stix.objects import IndicatorFacts, siem_indicator_id
from threatshare.stix.timestamps import whole_milliseconds
from threatshare.triage.decay import lifetime
from threatshare.triage.score import assess, rows_of

CEILING = Tlp.AMBER_STRICT
"""RED is for named recipients: it takes no part in what a SIEM is told."""

MONITOR_ONLY = "action:monitor-only"
"""Label of a value that no marking lets us block: PAP AMBER or RED, a policy that forbids it (IEP, ACS)."""

_HOUR: Micros = 3_600_000_000
_WEEK: Micros = 7 * 24 * _HOUR
_NOT_TOKEN = re.compile(r"[^a-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Merged:
    """What the SIEM collection should hold of one observable."""

    id: str
    """The indicator's id, stable over its life."""
    score: int
    facts: IndicatorFacts | None
    """None: nothing, it falls under the floor. ``created`` and ``modified`` are left for publishing to date."""
    reason: Reason
    """Why there is nothing, or that there is."""
    digest: bytes
    """Changes when band, marking, validity or sources change, and with nothing else."""
    look_again: Micros | None = None
    """When this view changes by time alone, where that may be before the observable's own score leaves its band."""


def merge(
    observable: Observable, claims: Sequence[Claim], evidence: Evidence, identity: str, floor: int, now: Micros
) -> Merged:
    """Merges what every source says of an observable into one indicator; ``floor`` is a score 0-100."""
    visible = [one for one in claims if one.marking.tlp is not None and one.marking.tlp <= CEILING]
    score, _ = assess(observable.kind, rows_of(visible), evidence, now)
    standing = [one for one in visible if _stands(one, observable.kind, now)]
    object_id = siem_indicator_id(identity, observable)
    served = score >= floor and bool(standing)
    hidden = len(visible) < len(claims)
    moments = [
        _look_again(observable.kind, visible, evidence, floor if served else None, now, hidden),
        _marked_anew(claims, observable.kind, now),
        _one_ends(standing, observable.kind) if served else None,
    ]
    again = min((at for at in moments if at is not None), default=None)
    if not served:
        text = f"score {score} is under the floor of {floor}" if visible else "every claim is marked above the ceiling"
        return Merged(object_id, score, None, Reason("siem-floor", Verdict.REFUSE, text), b"", again)
    band = band_of(score)
    tlp = max(one.marking.tlp or Tlp.CLEAR for one in standing)
    ends = whole_milliseconds(max(_told_end(one, observable.kind) for one in standing))
    begins = whole_milliseconds(min(min(one.valid_from for one in standing), ends - 1000))
    watched = [] if any(one.marking.may_block_at(now) for one in standing) else [MONITOR_ONLY]
    labels = [f"score:{band}", *watched, *sorted({f"source:{_token(one.source)}" for one in standing})]
    facts = IndicatorFacts(object_id, observable, identity, 0, 0, begins, ends, score, tlp, labels)
    digest = blake2b(f"{tlp}|{begins}|{ends}|{labels}".encode(), digest_size=16).digest()
    return Merged(object_id, score, facts, Reason("siem-floor", Verdict.RELEASE, f"score {score}"), digest, again)


def _look_again(
    kind: Kind, visible: Sequence[Claim], evidence: Evidence, floor: int | None, now: Micros, some_hidden: bool
) -> Micros | None:
    """Finds when the view changes other than with the band of the whole score; ``floor``: None where none is served.

    Three things do that: a claim that begins, a floor that is no band's, and, where claims are hidden,
    the band of what is left.
    """
    begins = [one.valid_from for one in visible if one.valid_from > now and not (one.revoked or one.benign)]
    between_bands = floor is not None and floor not in _BAND_FLOORS
    if not (begins or some_hidden or between_bands):
        return None
    rows = rows_of(visible)
    moments = [*begins, *filter(None, [assess(kind, rows, evidence, now)[1]])]
    if between_bands:
        # Until a claim begins the score only falls, so the first moment below the floor is found by halving.
        last = min([*moments, max(_end(one, kind) for one in visible if _stands(one, kind, now))])
        below = bisect_left(range(now, last), True, key=lambda at: assess(kind, rows, evidence, at)[0] < (floor or 0))
        moments.append(now + below)
    return min(moments, default=None)


def _one_ends(standing: Sequence[Claim], kind: Kind) -> Micros | None:
    """Finds when one of several claims ends that stand: marking, sources and beginning may be the others' alone then.

    With the last of them the score falls to nothing, which is a change of band.
    """
    ends = {_end(one, kind) for one in standing}
    return min(ends) if len(ends) > 1 else None


def _marked_anew(claims: Sequence[Claim], kind: Kind, now: Micros) -> Micros | None:
    """Finds when a marking may mean something else: a policy begins or ends, a definition may have come meanwhile.

    Definitions nearly always come with what they mark. For one that did not we look after an hour, then after as
    long again as the claim is old, at least once a day, until the claim has ended.
    """
    moments: list[Micros] = []
    for one in claims:
        marking = one.marking
        if marking.unknown and not (one.revoked or one.benign) and now < _end(one, kind):
            moments.append(now + min(max(now - one.observed, _HOUR), 24 * _HOUR))
        if marking.begins is not None and marking.begins > now:
            moments.append(marking.begins)
        if marking.ends is not None and marking.ends >= now:
            moments.append(marking.ends + 1)
    return min(moments, default=None)


_BAND_FLOORS = frozenset(floor for floor, _ in BANDS if floor)


def _stands(claim: Claim, kind: Kind, now: Micros) -> bool:
    return not claim.revoked and not claim.benign and claim.valid_from <= now < _end(claim, kind)


def _end(claim: Claim, kind: Kind) -> Micros:
    """Gives when a claim no longer counts: its own end, or when it has decayed to nothing."""
    gone = claim.observed + lifetime(kind, 0.0)
    return gone if claim.valid_until is None else min(gone, claim.valid_until)


def _told_end(claim: Claim, kind: Kind) -> Micros:
    """Gives until when a claim is told to be valid: its own end, or the end of the week in which nothing is left of it.

    That week is our reckoning and nobody's word, and moves whenever the claim is said anew: told to the moment, all
    that a list names would be told anew each day, though nothing had changed. What has decayed is withdrawn in time.
    """
    gone = claim.observed + lifetime(kind, 0.0)
    gone += -gone % _WEEK
    return gone if claim.valid_until is None else min(gone, claim.valid_until)


def _token(name: str) -> str:
    return _NOT_TOKEN.sub("-", name.lower()).strip("-._")[:60] or "unnamed"
