"""The merged view of one observable: what our own tools are told, in one indicator of ours.

It says what all sources together say, as our judgement: our score as its confidence, the most restrictive
marking, the latest validity. What is marked above the ceiling of our own organisation takes no part.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

from threatshare.model import Claim, Evidence, Kind, Micros, Observable, Reason, Tlp, Verdict, band_of
from threatshare.stix.objects import IndicatorFacts, siem_indicator_id
from threatshare.stix.timestamps import whole_milliseconds
from threatshare.triage.decay import lifetime
from threatshare.triage.score import assess, rows_of

CEILING = Tlp.AMBER_STRICT
"""RED is for named recipients: it takes no part in what a SIEM is told."""

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


def merge(
    observable: Observable, claims: Sequence[Claim], evidence: Evidence, identity: str, floor: int, now: Micros
) -> Merged:
    """Merges what every source says of an observable into one indicator; ``floor`` is a score 0-100."""
    visible = [one for one in claims if one.marking.tlp is not None and one.marking.tlp <= CEILING]
    score, _ = assess(observable.kind, rows_of(visible), evidence, now)
    standing = [one for one in visible if _stands(one, observable.kind, now)]
    object_id = siem_indicator_id(identity, observable)
    if score < floor or not standing:
        text = f"score {score} is under the floor of {floor}" if visible else "every claim is marked above the ceiling"
        return Merged(object_id, score, None, Reason("siem-floor", Verdict.REFUSE, text), b"")
    band = band_of(score)
    tlp = max(one.marking.tlp or Tlp.CLEAR for one in standing)
    ends = whole_milliseconds(max(_end(one, observable.kind) for one in standing))
    begins = whole_milliseconds(min(min(one.valid_from for one in standing), ends - 1000))
    labels = [f"score:{band}", *sorted({f"source:{_token(one.source)}" for one in standing})]
    facts = IndicatorFacts(object_id, observable, identity, 0, 0, begins, ends, score, tlp, labels)
    digest = blake2b(f"{tlp}|{begins}|{ends}|{labels}".encode(), digest_size=16).digest()
    return Merged(object_id, score, facts, Reason("siem-floor", Verdict.RELEASE, f"score {score}"), digest)


def _stands(claim: Claim, kind: Kind, now: Micros) -> bool:
    return not claim.revoked and not claim.benign and claim.valid_from <= now < _end(claim, kind)


def _end(claim: Claim, kind: Kind) -> Micros:
    """Gives when a claim no longer counts: its own end, or when it has decayed to nothing."""
    gone = claim.observed + lifetime(kind, 0.0)
    return gone if claim.valid_until is None else min(gone, claim.valid_until)


def _token(name: str) -> str:
    return _NOT_TOKEN.sub("-", name.lower()).strip("-._")[:60] or "unnamed"
