"""What our own findings assert: indicators and sightings, built from what was seen and nothing else of a finding.

An object is dated anew only where it says something new, so the same findings twice give the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from threatshare.config import OwnAssets
from threatshare.model import Micros, Observable, Role, Seen, Tlp
from threatshare.stix.claims import strictest
from threatshare.stix.objects import (
    IndicatorFacts,
    SightingFacts,
    indicator,
    indicator_id,
    sighting,
    sighting_id,
    written,
)
from threatshare.stix.opinions import Ground, OpinionFacts, opinion, opinion_id
from threatshare.stix.received import read_object
from threatshare.stix.timestamps import read_timestamp, whole_milliseconds
from threatshare.triage.benign import documentation, hard_benign
from threatshare.triage.decay import lifetime


@dataclass(frozen=True, slots=True)
class Own:
    """Who we are and what our objects say, as far as building them needs it."""

    identity: str
    assets: OwnAssets
    tlp: Tlp
    """Marking of what is found now; what was once marked more restrictively stays so."""
    confidence: int
    """Of findings that state none."""
    exercises: bool = False
    """Whether this node is for exercises: what is tagged as of one is then held, elsewhere taken no further."""


@dataclass(frozen=True, slots=True)
class Assertion:
    """An object of ours as it should be now."""

    id: str
    body: bytes
    before: bytes | None
    """The current version; None for a new object."""

    @property
    def outcome(self) -> str:
        """``new``, ``updated`` or ``unchanged``."""
        if self.before is None:
            return "new"
        return "unchanged" if self.body is self.before else "updated"


def worthless(own: Own, observable: Observable) -> str | None:
    """Tells why a value can be no indicator; whether documentation values may leave is for the gate to say."""
    if own.assets.owns(observable):
        return "one of our own assets"
    return None if documentation(observable) else hard_benign(observable)


def assert_indicator(
    own: Own, observable: Observable, seen: Sequence[Seen], before: bytes | None, now: Micros
) -> Assertion:
    """Builds our indicator of a value from all that our sensors saw of it in an indicator's role."""
    malicious = [one for one in seen if one.role.is_indicator]
    stated = [one.confidence for one in malicious if one.confidence is not None]
    ends = max(one.last_seen for one in malicious) + lifetime(observable.kind)

    def build(created: Micros, modified: Micros) -> bytes:
        facts = IndicatorFacts(
            indicator_id(own.identity, observable),
            observable,
            own.identity,
            created,
            modified,
            whole_milliseconds(min(one.first_seen for one in malicious)),
            whole_milliseconds(ends),
            max(stated, default=own.confidence),
            max(_marking(own.tlp, before), *(one.tlp or Tlp.CLEAR for one in malicious)),
            sorted({str(one.role) for one in malicious}),
            sorted({technique for one in malicious for technique in one.techniques}),
        )
        return written(indicator(facts))

    return _renewed(indicator_id(own.identity, observable), build, before, now)


def assert_sighting(
    own: Own, sighted: str, marked: Tlp, seen: Sequence[Seen], before: bytes | None, now: Micros
) -> Assertion:
    """Builds our sighting of somebody's indicator, marked no less restrictively than that."""
    hits = [one for one in seen if one.role is Role.KNOWN_INDICATOR]

    def build(created: Micros, modified: Micros) -> bytes:
        facts = SightingFacts(
            sighted,
            own.identity,
            created,
            modified,
            whole_milliseconds(min(one.first_seen for one in hits)),
            whole_milliseconds(max(one.last_seen for one in hits)),
            sum(one.count for one in hits),
            max(marked, _marking(own.tlp, before), *(one.tlp or Tlp.CLEAR for one in hits)),
        )
        return written(sighting(facts))

    return _renewed(sighting_id(own.identity, sighted), build, before, now)


def assert_opinion(
    own: Own, indicator_id: str, marked: Tlp, ground: Ground, one_of_several: bool, before: bytes | None, now: Micros
) -> Assertion:
    """Builds our opinion on somebody's indicator, marked no less restrictively than that.

    ``one_of_several``: it names more values than the one that is meant.
    """

    def build(created: Micros, modified: Micros) -> bytes:
        tlp = max(marked, _marking(own.tlp, before))
        facts = OpinionFacts(indicator_id, own.identity, created, modified, ground, one_of_several, tlp)
        return written(opinion(facts))

    return _renewed(opinion_id(own.identity, indicator_id), build, before, now)


def _marking(tlp: Tlp, before: bytes | None) -> Tlp:
    return tlp if before is None else Tlp(max(tlp, strictest(read_object(before), tlp)))


def _renewed(object_id: str, build: Callable[[Micros, Micros], bytes], before: bytes | None, now: Micros) -> Assertion:
    """Builds an object as it was last dated; only where that says something new is it dated anew."""
    if before is None:
        return Assertion(object_id, build(now, now), None)
    held = read_object(before)
    created = read_timestamp(held.created or "")
    if _without_count(build(created, held.version)) == _without_count(before):
        return Assertion(object_id, before, before)
    return Assertion(object_id, build(created, max(now, held.version + 1000)), before)


def _without_count(body: bytes) -> bytes:
    """Drops what may differ without being news: how often a thing was seen."""
    if b'"count"' not in body:
        return body
    told = json.loads(body)
    told.pop("count", None)
    return json.dumps(told).encode()
