"""What a report names: indicators and sightings of ours, and nothing else."""

from __future__ import annotations

from typing import Any

from threatshare.errors import BadValue, UsageError
from threatshare.findings.assertions import Own, worthless
from threatshare.incidents.drafts import Draft
from threatshare.incidents.kept import current_versions
from threatshare.model import Role
from threatshare.stix.objects import indicator_id
from threatshare.stix.observables import recognise
from threatshare.stix.reports import MOST_REFERENCES
from threatshare.store.decisions import rejected_everywhere
from threatshare.store.embedded import Store
from threatshare.store.observations import seen_of
from threatshare.store.sources import Source

_NAMED = ("indicator--", "sighting--")
"""What a report can name."""


def references_of(store: Store, own: Own, source: Source, draft: Draft, before: dict[str, Any] | None) -> list[str]:
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
    held = current_versions(store.conn, store, source, wanted)
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
