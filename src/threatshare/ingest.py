"""Findings in: read -> observe with roles -> build indicators and sightings -> store.

Findings are taken in chunks, so that a file of any size needs little memory. What becomes an
indicator is a claim of the source ``own``, merged and scored like everybody else's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

from threatshare.config import OwnAssets, Purpose
from threatshare.model import Finding, Micros, Observable, Reject, Role, Tlp, micros
from threatshare.stix.claims import NewClaim, claim_of
from threatshare.stix.objects import (
    IndicatorFacts,
    SightingFacts,
    indicator,
    indicator_id,
    sighting,
    sighting_id,
    written,
)
from threatshare.stix.received import read_object
from threatshare.stix.timestamps import read_timestamp, whole_milliseconds
from threatshare.store.embedded import Store
from threatshare.store.keys import object_key, observable_key
from threatshare.store.lookups import claims_about, current_bodies
from threatshare.store.objects import Fresh
from threatshare.store.observations import Seen, record, seen_of
from threatshare.store.releases import note_own_changes
from threatshare.store.runs import note_rejects
from threatshare.store.sources import OWN, Source
from threatshare.triage.benign import documentation, hard_benign
from threatshare.triage.decay import lifetime

CHUNK = 5_000
"""Findings that are stored together."""


@dataclass(frozen=True, slots=True)
class Own:
    """Who we are and what our indicators say, as far as building them needs it."""

    identity: str
    assets: OwnAssets
    purpose: Purpose
    tlp: Tlp
    confidence: int


@dataclass(frozen=True, slots=True)
class _Made:
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


@dataclass(slots=True)
class IngestReport:
    """What one run of ingest did; each value counts once, however many findings name it."""

    findings: int = 0
    outcomes: dict[str, str] = field(default_factory=dict)
    """By indicator id: ``new``, ``updated`` or ``unchanged``."""
    sightings: set[Observable] = field(default_factory=set)
    """Values that a sensor's own list had named: sightings, never indicators of ours."""
    held: set[Observable] = field(default_factory=set)
    """Values whose role is unknown; they wait for a person."""
    refused: dict[Observable, str] = field(default_factory=dict)
    """Values in an indicator's role that can be none (ours, reserved, known benign), with the reason."""
    rejected: int = 0
    """Lines and records that could not be read."""

    def count(self, made: Iterable[_Made]) -> None:
        """Adds what became of indicators; the first outcome of a run stands, but for one that says nothing."""
        for one in made:
            if self.outcomes.get(one.id, "unchanged") == "unchanged":
                self.outcomes[one.id] = one.outcome

    def number(self, outcome: str) -> int:
        """Counts the indicators of one outcome."""
        return sum(one == outcome for one in self.outcomes.values())


def ingest(
    store: Store,
    own: Own,
    results: Iterable[Finding | Reject],
    now: Callable[[], Micros],
    progress: Callable[[IngestReport], None],
) -> IngestReport:
    """Takes findings in, a chunk a transaction; the same findings twice change nothing but counts."""
    report = IngestReport()
    source = store.source(OWN, "own", "A", own.tlp)
    results = iter(results)
    while chunk := list(islice(results, CHUNK)):
        at = whole_milliseconds(now())
        findings = [one for one in chunk if isinstance(one, Finding)]
        rejects = [one for one in chunk if isinstance(one, Reject)]
        seen = _observe(findings, at)
        with store.writing() as conn:
            record(conn, store.key_of, list(seen.values()))
            note_rejects(conn, OWN, rejects, at)
            made = _indicators(store, own, source, seen, report, at)
            report.count(made)
            made += _sightings(store, own, source, seen, at)
            _keep(store, source, made, at)
        report.findings += len(findings)
        report.rejected += len(rejects)
        report.sightings |= {one.observable for one in seen.values() if one.role is Role.KNOWN_INDICATOR}
        report.held |= {one.observable for one in seen.values() if one.role is Role.UNKNOWN}
        progress(report)
    return report


def _observe(findings: Sequence[Finding], now: Micros) -> dict[tuple[Observable, Role, str], Seen]:
    """Folds findings into one record an observable, role and sensor; a sensor's clock cannot run ahead of ours."""
    seen: dict[tuple[Observable, Role, str], Seen] = {}
    for finding in findings:
        first, last = min(micros(finding.seen_at), now), min(micros(finding.last_seen_at), now)
        for one in finding.observations:
            if one.role in _IGNORED:
                continue
            which = (one.observable, one.role, finding.sensor)
            new = Seen(
                one.observable,
                one.role,
                finding.sensor,
                one.why,
                first,
                last,
                finding.count,
                finding.confidence,
                finding.techniques,
            )
            seen[which] = seen[which].joined(new) if which in seen else new
    return seen


_IGNORED = frozenset({Role.VICTIM_ASSET, Role.SENSOR, Role.THIRD_PARTY, Role.REFERENCE})
"""Roles that are counted by no one and kept nowhere: what is ours or harmless stays in the sensor's own log."""


def _indicators(
    store: Store,
    own: Own,
    source: Source,
    seen: dict[tuple[Observable, Role, str], Seen],
    report: IngestReport,
    now: Micros,
) -> list[_Made]:
    """Builds the indicators of all values that now stand in an indicator's role."""
    allowed: dict[str, Observable] = {}
    for observable in sorted({one.observable for one in seen.values() if one.role.is_indicator}):
        worthless = _worthless(own, observable)
        if worthless:
            report.refused[observable] = worthless
        else:
            allowed[indicator_id(own.identity, observable)] = observable
    facts = seen_of(store.conn, store.key_of, allowed.values())
    before = _current(store, source, allowed)
    return [
        _renewed(one, partial(_indicator, own, observable, facts[observable]), before.get(one), now)
        for one, observable in allowed.items()
    ]


def _worthless(own: Own, observable: Observable) -> str | None:
    """Tells why a value can be no indicator; whether documentation values may leave is for the gate to say."""
    if own.assets.owns(observable):
        return "one of our own assets"
    return None if documentation(observable) else hard_benign(observable)


def _current(store: Store, source: Source, ids: Iterable[str]) -> dict[str, bytes]:
    """Gives the current versions of our objects by id."""
    keys = {object_key(store.key_of, source.number, one): one for one in ids}
    return {keys[key]: body for key, body in current_bodies(store.conn, keys).items()}


def _indicator(own: Own, observable: Observable, seen: Sequence[Seen], created: Micros, modified: Micros) -> bytes:
    malicious = [one for one in seen if one.role.is_indicator]
    last = max(one.last_seen for one in malicious)
    first = min(one.first_seen for one in malicious)
    stated = [one.confidence for one in malicious if one.confidence is not None]
    return written(
        indicator(
            IndicatorFacts(
                indicator_id(own.identity, observable),
                observable,
                own.identity,
                created,
                modified,
                whole_milliseconds(first),
                whole_milliseconds(last + lifetime(observable.kind)),
                max(stated, default=own.confidence),
                own.tlp,
                sorted({str(one.role) for one in malicious}),
                sorted({technique for one in malicious for technique in one.techniques}),
            )
        )
    )


def _sightings(
    store: Store, own: Own, source: Source, seen: dict[tuple[Observable, Role, str], Seen], now: Micros
) -> list[_Made]:
    """Builds a sighting of every indicator that we hold for a value which a sensor's list had named."""
    known = {one.observable for one in seen.values() if one.role is Role.KNOWN_INDICATOR}
    facts = seen_of(store.conn, store.key_of, known)
    keyed = {observable_key(store.key_of, one): one for one in known}
    sighted: dict[str, tuple[Observable, int]] = {}
    for key, claims in claims_about(store.conn, list(keyed)).items():
        held = {one.object: one for one in claims if one.claim.source != OWN and not one.claim.revoked}
        for obj, body in current_bodies(store.conn, held).items():
            sighted[read_object(body).id] = (keyed[key], held[obj].tlp)
    ids = {sighting_id(own.identity, one): one for one, (_, tlp) in sorted(sighted.items()) if tlp <= Tlp.RED}
    before = _current(store, source, ids)
    made = []
    for one, indicator_seen in ids.items():
        observable, tlp = sighted[indicator_seen]
        build = partial(_sighting, own, indicator_seen, facts[observable], Tlp(tlp))
        made.append(_renewed(one, build, before.get(one), now))
    return made


def _sighting(own: Own, sighted: str, seen: Sequence[Seen], tlp: Tlp, created: Micros, modified: Micros) -> bytes:
    hits = [one for one in seen if one.role is Role.KNOWN_INDICATOR]
    return written(
        sighting(
            SightingFacts(
                sighted,
                own.identity,
                created,
                modified,
                whole_milliseconds(min(one.first_seen for one in hits)),
                whole_milliseconds(max(one.last_seen for one in hits)),
                sum(one.count for one in hits),
                max(tlp, own.tlp),
            )
        )
    )


def _renewed(object_id: str, build: Callable[[Micros, Micros], bytes], before: bytes | None, now: Micros) -> _Made:
    """Builds an object as it was last dated; only where that says something new is it dated anew."""
    if before is None:
        return _Made(object_id, build(now, now), None)
    held = read_object(before)
    created = read_timestamp(held.created or "")
    if _without_count(build(created, held.version)) == _without_count(before):
        return _Made(object_id, before, before)
    return _Made(object_id, build(created, max(now, held.version + 1000)), before)


def _without_count(body: bytes) -> bytes:
    """Drops what may differ without being news: how often a thing was seen."""
    if b'"count"' not in body:
        return body
    told = json.loads(body)
    told.pop("count", None)
    return json.dumps(told).encode()


def _keep(store: Store, source: Source, made: Sequence[_Made], now: Micros) -> None:
    """Stores new versions of our objects and lines them up for publishing."""
    fresh = [one.body for one in made if one.outcome != "unchanged"]
    kept = store.sort_out(source, [(body, read_object(body)) for body in fresh], now).fresh
    store.merge(source, [(one, _own_claim(one, source, now)) for one in kept], now)
    note_own_changes(store.conn, [one.key for one in kept])


def _own_claim(one: Fresh, source: Source, now: Micros) -> NewClaim | None:
    """Reads our own claim; it decays from when our sensors last saw the value, not from when we wrote it down."""
    claim = claim_of(one.read, one.version, source.default_tlp, now)
    if claim is not None and claim.valid_until is not None:
        claim.observed = claim.valid_until - lifetime(claim.observables[0].kind)
    return claim
