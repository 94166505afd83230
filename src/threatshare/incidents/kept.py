"""Reports of ours as they are kept: found, listed, shown, withdrawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from threatshare.errors import UsageError
from threatshare.findings.assertions import Own
from threatshare.ingest import own_source
from threatshare.model import Reason
from threatshare.store.collections import collections
from threatshare.store.connection import Connection
from threatshare.store.decisions import Action, ByWhom, decide_everywhere, rejected_everywhere
from threatshare.store.embedded import Store
from threatshare.store.incidents import incidents
from threatshare.store.keys import object_key
from threatshare.store.lookups import current_bodies
from threatshare.store.releases import Release, decisions_on, note_own_changes, releases_of, waiting_versions
from threatshare.store.sources import Source


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


def withdraw(store: Store, own: Own, name: str, by: ByWhom, undo: bool = False) -> str:
    """Withdraws a report from every collection, or takes that back; gives its id. Publishing carries it out."""
    source = own_source(store, own)
    _, content = report_named(store, source, name)
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
    number, content = report_named(store, source, name)
    one = _incident(store, number, content)
    refs = content["object_refs"]
    bodies = current_versions(store.conn, store, source, refs)
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


def current_versions(
    conn: Connection, store: Store, source: Source, ids: Sequence[str] | dict[str, str]
) -> dict[str, Any]:
    """Gives the current versions of objects of ours by id, in the order asked for."""
    keys = {object_key(store.key_of, source.number, one): one for one in ids}
    found = {keys[key]: msgspec.json.decode(body) for key, body in current_bodies(conn, keys).items()}
    return {one: found[one] for one in ids if one in found}


def _all(store: Store, source: Source) -> list[tuple[int, dict[str, Any]]]:
    """Gives (number, current version) of every report of ours."""
    known = incidents(store.conn)
    bodies = current_versions(store.conn, store, source, [one for _, one in known])
    return [(number, bodies[one]) for number, one in known]


def report_named(store: Store, source: Source, name: str) -> tuple[int, dict[str, Any]]:
    """Gives a report by its number or id; raises UsageError that tells where to find both."""
    for number, object_id in incidents(store.conn):
        if name in (str(number), object_id):
            return number, current_versions(store.conn, store, source, [object_id])[object_id]
    raise UsageError(f"there is no report {name!r}; `threatshare incident list` gives numbers and ids")
