"""Findings in: read -> observe with roles -> build indicators and sightings -> store.

Findings are taken in chunks, so that a file of any size needs little memory. What becomes an
indicator is a claim of the source ``own``, merged and scored like everybody else's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import islice

from threatshare.findings.assertions import Assertion, Own, assert_indicator, assert_sighting, worthless
from threatshare.findings.roles import NOBODYS
from threatshare.findings.third_parties import never_told
from threatshare.model import MOST_COUNTED, Finding, Micros, Observable, Observation, Reject, Role, Seen, Tlp, micros
from threatshare.stix.claims import NewClaim, claim_of
from threatshare.stix.exercise import TAGGED
from threatshare.stix.objects import indicator_id, sighting_id
from threatshare.stix.patterns import read_pattern
from threatshare.stix.received import read_object, reread
from threatshare.stix.timestamps import whole_milliseconds
from threatshare.store.connection import Connection
from threatshare.store.decisions import decided_roles, decisions
from threatshare.store.embedded import Store
from threatshare.store.exercises import take_detections
from threatshare.store.keys import object_key
from threatshare.store.lookups import claims_about, current_bodies, known
from threatshare.store.objects import Fresh
from threatshare.store.observations import record, seen_of
from threatshare.store.releases import note_own_changes
from threatshare.store.removals import note_removals
from threatshare.store.runs import note_rejects
from threatshare.store.sources import OWN, Source
from threatshare.triage.decay import lifetime
from threatshare.triage.neighbourhood import network_of

CHUNK = 5_000
"""Findings that are stored together."""


class LeftOut(StrEnum):
    """What a value is that findings name and nobody keeps."""

    KNOWN_BENIGN = "known benign"
    OURS = "ours"
    RESERVED = "reserved or invalid"
    BYSTANDER = "bystanders or references"


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
    left_out: dict[Observable, LeftOut] = field(default_factory=dict)
    """Values in roles that are kept nowhere, with what they are; but those that are kept in another role."""

    def count(self, made: Iterable[Assertion]) -> None:
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
    position: Callable[[Connection], None] | None = None,
) -> IngestReport:
    """Takes findings in, a chunk a transaction; the same findings twice change nothing but counts.

    ``position`` saves how far a source has been read; it is called in the transaction of the last chunk, also where
    there was nothing to take, so that after a kill nothing is lost and, within one chunk, nothing comes twice.
    """
    report = IngestReport()
    source, results = own_source(store, own), iter(results)
    chunk = list(islice(results, CHUNK))
    while chunk or position is not None:
        following = list(islice(results, CHUNK))
        at = whole_milliseconds(now())
        findings = [one for one in chunk if isinstance(one, Finding)]
        rejects = [one for one in chunk if isinstance(one, Reject)]
        seen = _observe(findings, at, own.exercises, report)
        with store.writing() as conn:
            seen, practised = take_detections(conn, store.key_of, seen, at)
            report.refused |= practised
            take(store, own, source, _as_decided(store, seen), report, at)
            note_rejects(conn, OWN, rejects, at)
            note_removals(conn, [(one.place, cut) for one in findings for cut in one.removals], at)
            if position is not None and not following:
                position(conn)
        report.findings += len(findings)
        report.rejected += len(rejects)
        progress(report)
        chunk = following
        if not chunk:
            break
    return report


def own_source(store: Store, own: Own) -> Source:
    """Gives the source of our own indicators."""
    return store.source(OWN, "own", "A", own.tlp)


def take(store: Store, own: Own, source: Source, seen: Sequence[Seen], report: IngestReport, at: Micros) -> None:
    """Adds to what was seen, and makes what follows from it; inside the caller's transaction.

    ``source`` is ``own_source``, registered before.
    """
    taken = record(store.conn, store.key_of, seen)
    report.refused |= dict.fromkeys(taken, _KEY_TAKEN)
    seen = [one for one in seen if one.observable not in taken]
    made = _indicators(store, own, source, seen, report, at)
    report.count(made)
    made += _sightings(store, own, source, seen, at)
    keep_own(store, source, made, at)
    report.sightings |= {one.observable for one in seen if one.role is Role.KNOWN_INDICATOR}
    report.held |= {one.observable for one in seen if one.role is Role.UNKNOWN}


def _as_decided(store: Store, seen: Sequence[Seen]) -> list[Seen]:
    """Gives values of unknown role the roles that people decided for them, or for all that is like them."""
    unknown = [one for one in seen if one.role is Role.UNKNOWN]
    if not unknown:
        return list(seen)
    roles = decided_roles(store.conn, store.key_of, unknown)
    standing = decisions(store.conn, _MOST_STANDING, standing_only=True)
    decided: dict[tuple[Observable, Role, str], Seen] = {}
    for one in seen:
        role = roles.get((one.observable, one.sensor))
        if one.role is Role.UNKNOWN and role is None and standing:
            network = network_of(one.observable)
            role = next((rule.role for rule in standing if rule.scope.covers(one, network)), None)
        new = replace(one, role=role, why=_DECIDED) if one.role is Role.UNKNOWN and role is not None else one
        which = (new.observable, new.role, new.sensor)
        decided[which] = decided[which].joined(new) if which in decided else new
    return list(decided.values())


def _observe(findings: Sequence[Finding], now: Micros, exercises: bool, report: IngestReport) -> list[Seen]:
    """Folds findings into one record an observable, role and sensor; a sensor's clock cannot run ahead of ours.

    What is tagged as of an exercise goes no further, but on a node for ``exercises``.
    """
    seen: dict[tuple[Observable, Role, str], Seen] = {}
    aside: dict[Observable, Observation] = {}
    for finding in findings:
        first, last = sorted(min(micros(one), now) for one in (finding.seen_at, finding.last_seen_at))
        for one in finding.observations:
            if one.role in _IGNORED:
                aside.setdefault(one.observable, one)
                continue
            if one.why == TAGGED and not exercises:
                report.refused[one.observable] = _OF_AN_EXERCISE
                continue
            which = (one.observable, one.role, finding.sensor)
            new = Seen(
                one.observable,
                one.role,
                finding.sensor,
                one.why,
                first,
                last,
                min(finding.count, MOST_COUNTED),
                finding.confidence,
                finding.techniques,
                finding.tlp,
            )
            seen[which] = seen[which].joined(new) if which in seen else new
    for value, observation in aside.items():
        if value not in report.left_out:
            report.left_out[value] = _left_out(observation)
    for value, _, _ in seen:
        report.left_out.pop(value, None)
    return list(seen.values())


def _left_out(observation: Observation) -> LeftOut:
    """Tells what a value is that is kept nowhere, by its role and by the tables of triage."""
    if observation.role in _OURS:
        return LeftOut.OURS
    if observation.role is Role.REFERENCE:
        return LeftOut.BYSTANDER
    if observation.why == NOBODYS.why:
        return LeftOut.RESERVED
    told = never_told(observation.observable) or ""
    if told.startswith(LeftOut.KNOWN_BENIGN):
        return LeftOut.KNOWN_BENIGN
    return LeftOut.RESERVED if told else LeftOut.BYSTANDER


_DECIDED = "a person decided so; see `threatshare review decisions`"
_MOST_STANDING = 1_000
"""Standing decisions that are asked, the latest first."""
_OF_AN_EXERCISE = "tagged as part of an exercise, and this node is not for exercises"
_KEY_TAKEN = "its key in this store is taken by another value"
_IGNORED = frozenset({Role.VICTIM_ASSET, Role.SENSOR, Role.THIRD_PARTY, Role.REFERENCE})
"""Roles of which only the number is told: what is ours or harmless stays in the sensor's own log."""
_OURS = frozenset({Role.VICTIM_ASSET, Role.SENSOR})


def _indicators(
    store: Store,
    own: Own,
    source: Source,
    seen: Sequence[Seen],
    report: IngestReport,
    now: Micros,
) -> list[Assertion]:
    """Builds the indicators of all values that now stand in an indicator's role."""
    allowed: dict[str, Observable] = {}
    for observable in sorted({one.observable for one in seen if one.role.is_indicator}):
        reason = worthless(own, observable)
        if reason:
            report.refused[observable] = reason
        else:
            allowed[indicator_id(own.identity, observable)] = observable
    facts = seen_of(store.conn, store.key_of, allowed.values())
    before = _current(store, source, allowed)
    return [
        assert_indicator(own, observable, facts[observable], before.get(one), now)
        for one, observable in allowed.items()
    ]


def _current(store: Store, source: Source, ids: Iterable[str]) -> dict[str, bytes]:
    """Gives the current versions of our objects by id."""
    keys = {object_key(store.key_of, source.number, one): one for one in ids}
    return {keys[key]: body for key, body in current_bodies(store.conn, keys).items()}


def _sightings(store: Store, own: Own, source: Source, seen: Sequence[Seen], now: Micros) -> list[Assertion]:
    """Builds a sighting of every indicator that we hold for a value which a sensor's list had named."""
    listed = {one.observable for one in seen if one.role is Role.KNOWN_INDICATOR}
    numbers = [one.number for one in known(store.conn, store.key_of, listed).values()]
    held = [one for claims in claims_about(store.conn, numbers).values() for one in claims]
    theirs = {one.object: one for one in held if one.claim.source != OWN and not one.claim.revoked}
    # Several sources may hold one indicator, and one indicator may name several values that were seen.
    tlps: dict[str, int] = {}
    values: dict[str, set[Observable]] = {}
    for obj, body in current_bodies(store.conn, theirs).items():
        read = reread(body)
        if read.type != "indicator":
            # A partner's sighting of an indicator of ours is a claim too, and nothing that we could sight.
            continue
        tlps[read.id] = max(theirs[obj].tlp, tlps.get(read.id, 0))
        values.setdefault(read.id, set()).update(read_pattern(read.pattern or ""))
    facts = seen_of(store.conn, store.key_of, {one for named in values.values() for one in named})
    ids = {sighting_id(own.identity, one): one for one, tlp in sorted(tlps.items()) if tlp <= Tlp.RED}
    before = _current(store, source, ids)
    made = []
    for one, sighted in ids.items():
        hits = [hit for value in sorted(values[sighted]) if not own.assets.owns(value) for hit in facts.get(value, ())]
        if any(hit.role is Role.KNOWN_INDICATOR for hit in hits):
            made.append(assert_sighting(own, sighted, Tlp(tlps[sighted]), hits, before.get(one), now))
    return made


def keep_own(store: Store, source: Source, made: Sequence[Assertion], now: Micros) -> None:
    """Stores new versions of our objects and lines them up for publishing; inside the caller's transaction."""
    fresh = [one.body for one in made if one.outcome != "unchanged"]
    kept = store.sort_out(source, [(body, read_object(body)) for body in fresh], now)
    merged = store.merge(source, [(one, _own_claim(one, source)) for one in kept.fresh], now)
    note_rejects(store.conn, OWN, kept.rejects + merged.rejects, now)
    note_own_changes(store.conn, [one.key for one in kept.fresh])


def _own_claim(one: Fresh, source: Source) -> NewClaim | None:
    """Reads our own claim; it decays from when our sensors last saw the value, not from when we wrote it down."""
    # Our own versions may lie ahead of our clock, where that was put back.
    claim = claim_of(one.read, one.version, source.default_tlp, one.version)
    if claim is not None and claim.valid_until is not None:
        claim.observed = claim.valid_until - lifetime(claim.observables[0].kind)
    return claim
