"""Incident reports: written and revised from what we know of our own indicators, listed, shown, withdrawn.

    draft -> what it names -> how it must be marked -> build -> look for private data -> store

Afterwards a report goes the way of every object of ours: ``publish`` asks the gate about each version. Another
organisation gets it once it has all that the report names, and once people have released that very text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from threatshare.errors import BadValue, UsageError
from threatshare.findings.assertions import Own, worthless
from threatshare.ingest import own_source
from threatshare.model import Micros, Reason, Role, Tlp, Verdict
from threatshare.policy.candidates import candidate_of
from threatshare.policy.privacy import hits
from threatshare.policy.report_rules import edition_of
from threatshare.stix.claims import strictest
from threatshare.stix.objects import indicator_id, written
from threatshare.stix.observables import recognise
from threatshare.stix.received import read_object
from threatshare.stix.reports import (
    MOST_REFERENCES,
    VOCABULARIES,
    ReportFacts,
    ReportKind,
    description_of,
    is_technique,
    report,
    report_id,
    title_of,
)
from threatshare.stix.timestamps import read_timestamp, whole_milliseconds
from threatshare.stix.tlp import TLP_IDS
from threatshare.store.collections import collections
from threatshare.store.connection import Connection
from threatshare.store.decisions import Action, ByWhom, decide_everywhere, rejected_everywhere
from threatshare.store.embedded import Store
from threatshare.store.incidents import incidents, save_incident
from threatshare.store.keys import object_key
from threatshare.store.lookups import current_bodies
from threatshare.store.observations import seen_of
from threatshare.store.releases import Release, decisions_on, note_own_changes, releases_of, waiting_versions
from threatshare.store.sources import Source

_NAMED = ("indicator--", "sighting--")
"""What a report can name."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What a person wants a report to say; in a revision what is None stays as it was."""

    title: str | None = None
    description: str | None = None
    kind: ReportKind | None = None
    about: str | None = None
    values: Sequence[str] | None = None
    """Values of ours, as they are typed."""
    objects: Sequence[str] | None = None
    """Ids of indicators and sightings of ours."""
    techniques: Sequence[str] | None = None
    tlp: Tlp | None = None
    """None: as strict as what it names, and as what is found now."""
    published: Micros | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """A report as it was written."""

    id: str
    number: int
    outcome: str
    """``new``, ``updated`` or ``unchanged``."""
    edition: str
    """What tells this version from every other (``report_rules.edition_of``)."""
    tlp: Tlp
    references: int
    private: tuple[str, ...] = ()
    """What a person should look at in the text: rule and field, never the text."""


@dataclass(frozen=True, slots=True)
class Incident:
    """A report of ours with what has become of it."""

    number: int
    content: dict[str, Any]
    withdrawn: bool
    """Whether it was withdrawn everywhere."""
    decisions: tuple[tuple[str, Release], ...] = ()
    """By collection alias the gate's last word."""
    names: dict[str, str] = field(default_factory=dict)
    """What each object that it names is called, by id."""
    missing: dict[str, list[str]] = field(default_factory=dict)
    """By collection alias the ids of what it names and the audience does not hold."""
    waiting: dict[str, tuple[Reason, ...]] = field(default_factory=dict)
    """By collection alias why this version is held where the one before stands meanwhile."""


def write(store: Store, own: Own, draft: Draft, token: str, privacy_key: bytes, now: Micros) -> Written:
    """Writes a new report; ``token`` is random, and makes its id. Raises UsageError where it cannot be written so."""
    kind = draft.kind or ReportKind.REPORT
    return _write(store, own, draft, report_id(kind, own.identity, token), None, privacy_key, now)


def revise(store: Store, own: Own, name: str, draft: Draft, privacy_key: bytes, now: Micros) -> Written:
    """Writes a new version of a report, which people have to release anew. Raises UsageError as ``write`` does."""
    number, before = _found(store, own_source(store, own), name)
    if draft.kind not in (None, before["type"]):
        raise UsageError(f"it is a {before['type']} and stays one: write another one instead")
    if rejected_everywhere(store.conn, [before["id"]]):
        raise UsageError(f"it is withdrawn; take that back first: `threatshare incident withdraw {number} --undo`")
    return _write(store, own, draft, before["id"], before, privacy_key, now)


def withdraw(store: Store, own: Own, name: str, by: ByWhom, undo: bool = False) -> str:
    """Withdraws a report from every collection, or takes that back; gives its id. Publishing carries it out."""
    source = own_source(store, own)
    _, content = _found(store, source, name)
    object_id = str(content["id"])
    if bool(rejected_everywhere(store.conn, [object_id])) is not undo:
        raise UsageError("it is not withdrawn" if undo else "it is withdrawn already")
    with store.writing() as conn:
        decide_everywhere(conn, by, Action.APPROVE if undo else Action.REJECT, [object_id])
        note_own_changes(conn, [object_key(store.key_of, source.number, object_id)])
    return object_id


def listed(store: Store, own: Own) -> list[Incident]:
    """Gives every report of ours, the latest first, with the gate's word on each."""
    return [_incident(store, number, content) for number, content in reversed(_all(store, own_source(store, own)))]


def shown(store: Store, own: Own, name: str) -> Incident:
    """Gives one report by number or id, with what it names; raises UsageError where there is none."""
    source = own_source(store, own)
    number, content = _found(store, source, name)
    one = _incident(store, number, content)
    refs = content["object_refs"]
    bodies = _current(store.conn, store, source, refs)
    one.names.update({key: str(body.get("name") or body["type"]) for key, body in bodies.items()})
    for collection in collections(store.conn):
        if any(alias == collection.alias for alias, _ in one.decisions):
            held = releases_of(store.conn, collection.number, refs)
            one.missing[collection.alias] = [ref for ref in refs if ref not in held or not held[ref].served]
    return one


def _incident(store: Store, number: int, content: dict[str, Any]) -> Incident:
    withdrawn = bool(rejected_everywhere(store.conn, [content["id"]]))
    decided, waiting = decisions_on(store.conn, content["id"]), waiting_versions(store.conn, content["id"])
    return Incident(number, content, withdrawn, tuple(decided), waiting=waiting)


# --- writing ------------------------------------------------------------------------------------------------------


def _write(
    store: Store, own: Own, draft: Draft, object_id: str, before: dict[str, Any] | None, privacy_key: bytes, now: Micros
) -> Written:
    source, now = own_source(store, own), whole_milliseconds(now)
    references = _references(store, own, source, draft, before)
    bodies = _current(store.conn, store, source, references)
    facts = _facts(own, draft, object_id, before, bodies, now)
    content = report(facts)
    if before is not None and {**before, "modified": ""} == {**content, "modified": ""}:
        return _told(store.conn, before, "unchanged", facts, ())
    body = written(content)
    private = _private(body, own, privacy_key)
    with store.writing() as conn:
        kept = store.sort_out(source, [(body, read_object(body))], now)
        merged = store.merge(source, [(one, None) for one in kept.fresh], now)
        for one in (*kept.rejects, *merged.rejects):
            raise UsageError(f"the store does not take it: {one.reason}")
        save_incident(conn, object_id, content["object_refs"], now)
        note_own_changes(conn, [one.key for one in kept.fresh])
    return _told(store.conn, content, "new" if before is None else "updated", facts, private)


def _told(
    conn: Connection, content: dict[str, Any], outcome: str, facts: ReportFacts, private: tuple[str, ...]
) -> Written:
    number = next(number for number, object_id in incidents(conn) if object_id == facts.id)
    return Written(facts.id, number, outcome, edition_of(content), facts.tlp, len(content["object_refs"]), private)


def _facts(
    own: Own,
    draft: Draft,
    object_id: str,
    before: dict[str, Any] | None,
    bodies: dict[str, dict[str, Any]],
    now: Micros,
) -> ReportFacts:
    """Puts together what the report says: what the draft says, else what the version before said."""
    past = before or {}
    kind = ReportKind(object_id.partition("--")[0])
    about = draft.about or past.get("context") or next(iter(past.get("report_types", ())), VOCABULARIES[kind][0])
    if about not in VOCABULARIES[kind]:
        raise UsageError(f"a {kind} is not about {about!r}; wanted one of {', '.join(VOCABULARIES[kind])}")
    try:
        title = title_of(past["name"] if draft.title is None and past else draft.title or "")
        said = past.get("description", "") if draft.description is None else draft.description
        description = description_of(said)
    except BadValue as problem:
        raise UsageError(str(problem)) from problem
    techniques = draft.techniques
    if techniques is None:
        techniques = [one["external_id"] for one in past.get("external_references", ())]
    for technique in techniques:
        if not is_technique(technique):
            raise UsageError(f"{technique!r} is no ATT&CK technique; wanted its id, such as T1566.002")
    published = read_timestamp(past["published"]) if "published" in past else now
    return ReportFacts(
        object_id,
        own.identity,
        read_timestamp(past["created"]) if past else now,
        max(now, read_timestamp(past["modified"]) + 1000) if past else now,
        kind,
        about,
        title,
        description,
        list(bodies),
        _marking(own, draft.tlp, past, bodies),
        published if draft.published is None else whole_milliseconds(draft.published),
        techniques,
        sorted(_ROLES.intersection(one for body in bodies.values() for one in body.get("labels", ()))),
    )


_ROLES = frozenset(role.value for role in Role if role.is_indicator)


def _marking(own: Own, wanted: Tlp | None, past: dict[str, Any], bodies: dict[str, dict[str, Any]]) -> Tlp:
    """Gives the report's marking: no less strict than that of anything it names."""
    named = Tlp(max(strictest(read_object(written(body)), own.tlp) for body in bodies.values()))
    if wanted is None:
        held = TLP_IDS[past["object_marking_refs"][0]] if past else own.tlp
        return max(held, named)
    if wanted < named:
        raise UsageError(
            f"TLP:{wanted.label.upper()} is less strict than what it names, of which some is TLP:{named.label.upper()}:"
            f" mark it {named.label}, or leave out what is marked so"
        )
    return wanted


def _private(body: bytes, own: Own, key: bytes) -> tuple[str, ...]:
    """Looks for private data in the text: refuses what no person could release, gives what one has to look at."""
    found = hits(candidate_of(body, ()), own.assets, key)
    refused = [one for one in found if one.detector.verdict is Verdict.REFUSE]
    if refused:
        told = "; ".join(dict.fromkeys(f"{one.field} holds {one.detector.what}" for one in refused))
        raise UsageError(f"{told}: take that out; nobody could release it")
    return tuple(dict.fromkeys(f"{one.field} holds {one.detector.what} ({one.detector.rule})" for one in found))


# --- what a report names ------------------------------------------------------------------------------------------


def _references(store: Store, own: Own, source: Source, draft: Draft, before: dict[str, Any] | None) -> list[str]:
    """Gives the ids of what the report names; raises UsageError for what is not ours, with what to do."""
    if before is not None and draft.values is None and draft.objects is None:
        return list(before["object_refs"])
    wanted = {one: one for one in draft.objects or ()}
    for text in draft.values or ():
        try:
            wanted[indicator_id(own.identity, recognise(text))] = text
        except BadValue as problem:
            raise UsageError(f"{text!r} is no value: {problem}") from problem
    if not wanted:
        raise UsageError("a report names at least one of our indicators: --value VALUE, or --object ID")
    if len(wanted) > MOST_REFERENCES:
        raise UsageError(f"{len(wanted)} objects; a report names at most {MOST_REFERENCES}: write several")
    held = _current(store.conn, store, source, wanted)
    gone = rejected_everywhere(store.conn, list(wanted))
    for one, text in wanted.items():
        if one in gone:
            raise UsageError(f"{text}: withdrawn by a person; take that back first (`threatshare withdraw --undo`)")
        if one not in held or not one.startswith(_NAMED):
            raise UsageError(f"{text}: {_why_not(store, own, one, text)}")
    return sorted(wanted)


def _why_not(store: Store, own: Own, object_id: str, text: str) -> str:
    """Says why something is no indicator of ours, and what makes it one."""
    if object_id == text:
        return "no indicator or sighting of ours has this id"
    value = recognise(text)
    reason = worthless(own, value)
    if reason is not None:
        return f"not an indicator of ours, and can be none: {reason}"
    if any(one.role is Role.UNKNOWN for one in seen_of(store.conn, store.key_of, [value]).get(value, ())):
        return "not an indicator of ours yet: it is held; `threatshare review assign --role` makes it one"
    return "not an indicator of ours; `threatshare ingest` a finding that names it first"


def _current(conn: Connection, store: Store, source: Source, ids: Sequence[str] | dict[str, str]) -> dict[str, Any]:
    """Gives the current versions of objects of ours by id, in the order asked for."""
    keys = {object_key(store.key_of, source.number, one): one for one in ids}
    found = {keys[key]: msgspec.json.decode(body) for key, body in current_bodies(conn, keys).items()}
    return {one: found[one] for one in ids if one in found}


def _all(store: Store, source: Source) -> list[tuple[int, dict[str, Any]]]:
    """Gives (number, current version) of every report of ours."""
    known = incidents(store.conn)
    bodies = _current(store.conn, store, source, [one for _, one in known])
    return [(number, bodies[one]) for number, one in known]


def _found(store: Store, source: Source, name: str) -> tuple[int, dict[str, Any]]:
    """Gives a report by its number or id; raises UsageError that tells where to find both."""
    for number, object_id in incidents(store.conn):
        if name in (str(number), object_id):
            return number, _current(store.conn, store, source, [object_id])[object_id]
    raise UsageError(f"there is no report {name!r}; `threatshare incident list` gives numbers and ids")
