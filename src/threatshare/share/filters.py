"""The query of a GET, read strictly: what the standard knows must be right, what it does not is ignored.

TAXII 2.1 §3.4: conditions of different fields are all to be met, values of one field are
alternatives, and no field occurs twice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

from threatshare.errors import BadValue
from threatshare.share.positions import Position, read_position
from threatshare.stix.timestamps import read_timestamp
from threatshare.store.pages import ALL, FIRST, LAST, EntryFilter

_LIMIT = re.compile("[0-9]+").fullmatch
_SPEC_VERSION = re.compile(r"\d{1,3}\.\d{1,3}", re.ASCII).fullmatch
_ONCE = (
    "added_after",
    "limit",
    "next",
    "match[id]",
    "match[type]",
    "match[version]",
    "match[spec_version]",
)


class Query(Protocol):
    """A query string as Flask gives it: a mapping that may hold a key several times."""

    def getlist(self, key: str) -> list[str]:
        """Gives all values of a key."""
        ...


MATCH_FIELDS = ("id", "type", "version", "spec_version")
"""Match fields of the endpoints of objects and of their manifest (TAXII 2.1 §5.3, §5.4)."""


def read_query(query: Query, next_key: bytes, collection: int, allowed: tuple[str, ...]) -> EntryFilter:
    """Reads the filter of a query with what its ``next`` says; raises BadValue, naming the parameter."""
    texts = query.getlist("next")
    position = read_position(next_key, texts[0]) if texts and texts[0] else None
    return read_filter(query, position, collection, allowed)


def read_filter(query: Query, position: Position | None, collection: int, allowed: tuple[str, ...]) -> EntryFilter:
    """Reads a filter; raises BadValue, naming the parameter.

    ``allowed`` are the match fields of the endpoint; others are ignored there. ``position`` is what the
    query's ``next`` says, of use only in the collection that it comes from.
    """
    given = _once(query)
    if _LIMIT(given.get("limit", "1")) is None:
        raise BadValue("limit is no number in plain digits, such as 100")
    wanted = EntryFilter(
        added_after=_added_after(given.get("added_after")),
        ids=_values(given, "id", allowed),
        types=_values(given, "type", allowed),
        spec_versions=_spec_versions(_values(given, "spec_version", allowed)),
        versions=_versions(_values(given, "version", allowed)),
    )
    if position is None or position.collection != collection:
        return wanted
    return _resumed(wanted, position, given)


def _resumed(wanted: EntryFilter, position: Position, given: Mapping[str, str]) -> EntryFilter:
    if not position.carried:
        if not any(name.startswith("match[") for name in given):
            raise BadValue("next: this query was too long to be kept, so send its match parameters again")
        return replace(wanted, after=position.seq)
    return replace(
        wanted,
        after=position.seq,
        ids=wanted.ids or position.ids,
        types=wanted.types or position.types,
        spec_versions=wanted.spec_versions or position.spec_versions,
        versions=wanted.versions if "match[version]" in given else position.versions,
    )


def _once(query: Query) -> dict[str, str]:
    given = {}
    for name in _ONCE:
        values = query.getlist(name)
        if len(values) > 1:
            raise BadValue(f"{name} occurs more than once")
        if values:
            given[name] = values[0]
    return given


def _values(given: Mapping[str, str], field: str, allowed: tuple[str, ...]) -> tuple[str, ...]:
    if field not in allowed:
        return ()
    parts = (part.strip() for part in given.get(f"match[{field}]", "").split(","))
    return tuple(dict.fromkeys(part for part in parts if part))


def _added_after(text: str | None) -> int | None:
    if not text:
        return None
    try:
        return read_timestamp(text)
    except BadValue as problem:
        raise BadValue(f"added_after: {problem}") from problem


def _spec_versions(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if _SPEC_VERSION(value) is None:
            raise BadValue(f"match[spec_version]: {value[:20]!r} is no version such as 2.1")
    return values


def _versions(values: tuple[str, ...]) -> tuple[str | int, ...]:
    if not values:
        return (LAST,)
    if ALL in values and len(values) > 1:
        raise BadValue("match[version]: all cannot be combined with anything else")
    return tuple(value if value in (FIRST, LAST, ALL) else _version(value) for value in values)


def _version(text: str) -> int:
    try:
        return read_timestamp(text)
    except BadValue as problem:
        raise BadValue(f"match[version]: {problem}; wanted are first, last, all or timestamps") from problem
