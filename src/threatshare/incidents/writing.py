"""How a report is written and revised."""

from __future__ import annotations

from typing import Any

from threatshare.errors import BadValue, UsageError
from threatshare.findings.assertions import Own
from threatshare.incidents.drafts import Draft, Written
from threatshare.incidents.kept import current_versions, report_named
from threatshare.incidents.references import references_of
from threatshare.ingest import own_source
from threatshare.model import Micros, Role, Tlp, Verdict
from threatshare.policy.candidates import candidate_of
from threatshare.policy.privacy import hits
from threatshare.policy.report_rules import edition_of
from threatshare.stix.claims import strictest
from threatshare.stix.objects import written
from threatshare.stix.received import read_object
from threatshare.stix.reports import (
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
from threatshare.store.connection import Connection
from threatshare.store.decisions import rejected_everywhere
from threatshare.store.embedded import Store
from threatshare.store.incidents import incidents, save_incident
from threatshare.store.releases import note_own_changes


def write(store: Store, own: Own, draft: Draft, token: str, privacy_key: bytes, now: Micros) -> Written:
    """Writes a new report; ``token`` is random, and makes its id. Raises UsageError where it cannot be written so."""
    kind = draft.kind or ReportKind.REPORT
    return _write(store, own, draft, report_id(kind, own.identity, token), None, privacy_key, now)


def revise(store: Store, own: Own, name: str, draft: Draft, privacy_key: bytes, now: Micros) -> Written:
    """Writes a new version of a report, which people have to release anew. Raises UsageError as ``write`` does."""
    number, before = report_named(store, own_source(store, own), name)
    if draft.kind not in (None, before["type"]):
        raise UsageError(f"it is a {before['type']} and stays one: write another one instead")
    if rejected_everywhere(store.conn, [before["id"]]):
        raise UsageError(f"it is withdrawn; take that back first: `threatshare incident withdraw {number} --undo`")
    return _write(store, own, draft, before["id"], before, privacy_key, now)


def _write(
    store: Store, own: Own, draft: Draft, object_id: str, before: dict[str, Any] | None, privacy_key: bytes, now: Micros
) -> Written:
    source, now = own_source(store, own), whole_milliseconds(now)
    references = references_of(store, own, source, draft, before)
    bodies = current_versions(store.conn, store, source, references)
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
