"""Served entries, read: one page of a collection, its manifest, an object's versions (TAXII 2.1 §3.4 to §3.6).

Whatever the filter, a page is read from ranges of one index, each in the order of the entries and cut
at the page's size, so its cost does not grow with what is stored. A page is read whole: no read
transaction is ever held over a socket, it would keep the write-ahead log from being reclaimed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Generic, NamedTuple, TypeVar

from threatshare.errors import BadValue
from threatshare.model import Collection, Micros
from threatshare.store.blocks import joined_bodies
from threatshare.store.connection import Connection
from threatshare.store.entries import SEQ_BITS

FIRST, LAST, ALL = "first", "last", "all"
"""Keywords of ``match[version]``."""

_SEQ_MASK = (1 << SEQ_BITS) - 1
_FEW, _SPARSE = 100, 2
"""Blocks are not opened for fewer entries, nor where superseded ones are most of what lies in the way."""
_MOST_RANGES = 60
"""Index ranges of one page; SQLite joins at most 500 queries."""

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class EntryFilter:
    """What a client asks for; conditions of different fields are all to be met, values of one are alternatives."""

    after: int = 0
    """Only entries beyond this sequence number."""
    added_after: Micros | None = None
    """Only entries added later than this."""
    ids: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    spec_versions: tuple[str, ...] = ()
    versions: tuple[str | Micros, ...] = (LAST,)
    """``first``, ``last``, ``all`` and versions; ``all`` stands alone."""

    @property
    def is_whole(self) -> bool:
        """Whether nothing but the position narrows the answer, so that a page covers a range without holes."""
        return not (self.ids or self.types or self.spec_versions) and self.versions in ((LAST,), (ALL,))


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """A page of a collection, in the order in which its entries were added."""

    items: list[Item]
    """Of a page of bodies an item may be several, joined by commas."""
    first_added: Micros
    """0 where the page is empty, as the next two."""
    last_added: Micros
    last_seq: int
    more: bool
    spans: tuple[tuple[int, int], ...]
    """The sequence numbers that it covers, as ranges with both ends."""


class ManifestEntry(NamedTuple):
    """What a manifest says of one entry."""

    object_id: str
    added: Micros
    version: Micros
    spec_version: str


def page(conn: Connection, collection: Collection, wanted: EntryFilter, limit: int) -> Page[bytes]:
    """Reads the bodies of one page. Raises BadValue where the filter names too many types or versions."""
    if wanted.is_whole:
        return _whole_page(conn, collection, wanted, limit)
    return _page(_rows(conn, collection, wanted, limit, "body"), wanted, limit, lambda row: row[2])


def manifest(conn: Connection, collection: Collection, wanted: EntryFilter, limit: int) -> Page[ManifestEntry]:
    """Reads one page of the manifest."""
    rows = _rows(conn, collection, wanted, limit, "object_id, version, spec_version")
    return _page(rows, wanted, limit, lambda row: ManifestEntry(row[2], row[1], row[3], row[4]))


def versions(conn: Connection, collection: Collection, wanted: EntryFilter, limit: int) -> Page[Micros]:
    """Reads one page of an object's versions; ``wanted`` names its id and ``all`` versions."""
    return _page(_rows(conn, collection, wanted, limit, "version"), wanted, limit, lambda row: row[2])


def matching(conn: Connection, collection: Collection, wanted: EntryFilter) -> list[tuple[int, str]]:
    """Gives id and owner of every entry that a filter of ids and versions names."""
    return [(row[0], row[2]) for row in _rows(conn, collection, wanted, _SEQ_MASK, "owner")[1]]


def start_of(conn: Connection, collection: Collection, wanted: EntryFilter) -> int:
    """Gives the sequence number after which a page begins, whether a position or a date said so."""
    low = collection.number << SEQ_BITS
    return max(low | wanted.after, _position(conn, collection, wanted.added_after)) & _SEQ_MASK


def _whole_page(conn: Connection, collection: Collection, wanted: EntryFilter, limit: int) -> Page[bytes]:
    """Reads a page without holes: its ends first, then the bodies, from blocks where they are worth opening."""
    low = collection.number << SEQ_BITS
    start = low | start_of(conn, collection, wanted)
    current = wanted.versions[0] == LAST
    source, condition = _WHOLE[current]
    queries = {name: text.format(source=source, condition=condition) for name, text in _Q_WHOLE.items()}
    named = {"start": start, "end": low | _SEQ_MASK, "skip": limit - 1}
    own = not conn.in_transaction
    if own:
        conn.execute("BEGIN")
    try:
        first = conn.execute(queries["first"], named).fetchone()
        if first is None:
            return Page([], 0, 0, 0, False, ())
        edge = conn.execute(queries["edge"], named).fetchall() or conn.execute(queries["last"], named).fetchall()
        last_id, last_added = edge[0]
        if _FEW < last_id - first[0] < limit * _SPARSE:
            items = joined_bodies(conn, collection, (first[0] & _SEQ_MASK) - 1, last_id & _SEQ_MASK, current)
        else:
            items = [row[0] for row in conn.execute(queries["bodies"], {**named, "end": last_id}).fetchall()]
    finally:
        if own:
            conn.execute("COMMIT")
    last_seq = last_id & _SEQ_MASK
    spans = (((start & _SEQ_MASK) + 1, last_seq),)
    return Page(items, first[1], last_added, last_seq, len(edge) > 1, spans)


def _page(found: tuple[int, list[Any]], wanted: EntryFilter, limit: int, item: Any) -> Page[Any]:
    start, rows = found
    more = len(rows) > limit
    if more:
        rows.pop()
    if not rows:
        return Page([], 0, 0, 0, False, ())
    last_seq = rows[-1][0] & _SEQ_MASK
    spans = (((start & _SEQ_MASK) + 1, last_seq),) if wanted.is_whole else _spans(rows)
    return Page([item(row) for row in rows], rows[0][1], rows[-1][1], last_seq, more, spans)


def _spans(rows: list[Any]) -> tuple[tuple[int, int], ...]:
    spans: list[list[int]] = []
    for row in rows:
        seq = row[0] & _SEQ_MASK
        if spans and spans[-1][1] == seq - 1:
            spans[-1][1] = seq
        else:
            spans.append([seq, seq])
    return tuple((first, last) for first, last in spans)


def _rows(
    conn: Connection, collection: Collection, wanted: EntryFilter, limit: int, columns: str
) -> tuple[int, list[Any]]:
    """Reads up to one row more than the limit: (id, added, columns ...). Gives the position, too, it started after."""
    low = collection.number << SEQ_BITS
    high = low | _SEQ_MASK
    start = low | start_of(conn, collection, wanted)
    query, values = _query(collection, wanted, columns)
    named = {"start": start, "end": high, "collection": collection.number, "count": limit + 1, **values}
    return start, conn.execute(query, named).fetchall()


def _position(conn: Connection, collection: Collection, added_after: Micros | None) -> int:
    """Gives the id of the last entry that is not added later; comparing dates row by row would walk the table."""
    if added_after is None:
        return 0
    row = conn.execute(
        "SELECT id FROM entry INDEXED BY entry_added WHERE id >> 40 = ? AND added > ? ORDER BY added LIMIT 1",
        (collection.number, added_after),
    ).fetchone()
    return (collection.number << SEQ_BITS | _SEQ_MASK) if row is None else row[0] - 1


def _query(collection: Collection, wanted: EntryFilter, columns: str) -> tuple[str, dict[str, Any]]:
    values: dict[str, Any] = {}
    conditions = _conditions(wanted, values)
    if len(wanted.ids) == 1:
        return _Q_ONE.format(columns=columns, conditions=_and(conditions)), {**values, "one": wanted.ids[0]}
    if wanted.ids:
        # Not a range of entries: as many look-ups as ids are named.
        values["ids"] = json.dumps(wanted.ids)
        return _Q_IDS.format(columns=_named(columns), conditions=_and(conditions)), values
    ranges = _ranges(wanted, values)
    if len(ranges) == 1 and ranges[0][1] == "":
        return _Q_WALK.format(index=ranges[0][0], columns=columns, conditions=_and(conditions)), values
    parts = " UNION ALL ".join(
        _Q_RANGE.format(index=index, conditions=_and([condition, *conditions])) for index, condition in ranges
    )
    return _Q_RANGES.format(columns=_named(columns), parts=parts), values


_WHOLE = {True: ("entry INDEXED BY entry_current", "AND superseded = 0"), False: ("entry NOT INDEXED", "")}
_Q_WHOLE = {
    "first": "SELECT id, added FROM {source} WHERE id > :start AND id <= :end {condition} ORDER BY id LIMIT 1",
    "last": "SELECT id, added FROM {source} WHERE id > :start AND id <= :end {condition} ORDER BY id DESC LIMIT 1",
    "edge": "SELECT id, added FROM {source} WHERE id > :start AND id <= :end {condition}"
    " ORDER BY id LIMIT 2 OFFSET :skip",
    "bodies": "SELECT body FROM {source} WHERE id > :start AND id <= :end {condition} ORDER BY id",
}
_Q_WALK = """
    SELECT id, added, {columns} FROM entry AS e {index}
    WHERE id > :start AND id <= :end {conditions} ORDER BY id LIMIT :count
"""
_Q_ONE = """
    SELECT id, added, {columns} FROM entry AS e INDEXED BY entry_object
    WHERE object_id = :one AND id >> 40 = :collection AND +id > :start {conditions} ORDER BY id LIMIT :count
"""
_Q_IDS = """
    SELECT e.id, e.added, {columns}
    FROM (SELECT DISTINCT value FROM json_each(:ids)) AS named
    CROSS JOIN entry AS e INDEXED BY entry_object ON e.object_id = named.value AND e.id >> 40 = :collection
    WHERE +e.id > :start {conditions} ORDER BY e.id LIMIT :count
"""
_Q_RANGE = """
    SELECT id FROM (
        SELECT id FROM entry AS e INDEXED BY {index}
        WHERE id > :start AND id <= :end {conditions} ORDER BY id LIMIT :count
    )
"""
_Q_RANGES = """
    SELECT e.id, e.added, {columns} FROM entry AS e
    WHERE e.id IN ({parts}) ORDER BY e.id LIMIT :count
"""

_C_OTHER = """
    NOT EXISTS (
        SELECT 1 FROM entry AS o INDEXED BY entry_object
        WHERE o.object_id = e.object_id AND o.id >> 40 = :collection AND o.version {sign} e.version {among}
    )
"""


def _named(columns: str) -> str:
    return ", ".join(f"e.{column.strip()}" for column in columns.split(","))


def _and(conditions: Sequence[str]) -> str:
    return "".join(f" AND {condition}" for condition in conditions if condition)


def _ranges(wanted: EntryFilter, values: dict[str, Any]) -> list[tuple[str, str]]:
    """Chooses the index and the ranges of it that hold the answer in order: (index, condition)."""
    current_only = wanted.versions == (LAST,) and not wanted.spec_versions
    # What is rare first: nearly all entries of a collection may be of one type.
    if _names_versions_only(wanted):
        return _limited(
            [
                ("entry_version", f"id >> 40 = :collection AND version = :{name}")
                for name in _numbered("version", wanted.versions, values)
            ],
            len(wanted.versions),
        )
    if _names_old_specs_only(wanted):
        return [("entry_old_spec", "spec_version <> '2.1'")]
    if wanted.types:
        states = (0,) if current_only else (0, 1)
        return _limited(
            [
                ("entry_type", f"id >> 40 = :collection AND type = :{name} AND superseded = {state}")
                for name, state in product(_numbered("type", wanted.types, values), states)
            ],
            len(wanted.types),
        )
    return [("INDEXED BY entry_current" if current_only else "NOT INDEXED", "")]


def _names_versions_only(wanted: EntryFilter) -> bool:
    return not any(isinstance(one, str) for one in wanted.versions)


def _names_old_specs_only(wanted: EntryFilter) -> bool:
    return bool(wanted.spec_versions) and "2.1" not in wanted.spec_versions


def _limited(ranges: list[tuple[str, str]], given: int) -> list[tuple[str, str]]:
    if len(ranges) > _MOST_RANGES:
        most = _MOST_RANGES * given // len(ranges)
        raise BadValue(f"too many values in one match: {given} were sent, at most {most} are taken here")
    return ranges


def _numbered(name: str, given: Sequence[str | Micros], values: dict[str, Any]) -> list[str]:
    names = [f"{name}{number}" for number in range(len(given))]
    values.update(zip(names, given, strict=True))
    return names


def _conditions(wanted: EntryFilter, values: dict[str, Any]) -> list[str]:
    """Gives what each row must meet beside lying in one of the ranges; those of types settle the type."""
    conditions = []
    among = ""
    if wanted.spec_versions:
        values["spec_versions"] = json.dumps(wanted.spec_versions)
        among = "{}.spec_version IN (SELECT value FROM json_each(:spec_versions))"
        conditions.append(among.format("e"))
    if wanted.types and (wanted.ids or _names_versions_only(wanted) or _names_old_specs_only(wanted)):
        values["types"] = json.dumps(wanted.types)
        conditions.append("e.type IN (SELECT value FROM json_each(:types))")
    if wanted.versions != (ALL,):
        conditions.append(_version_condition(wanted, among, values))
    return conditions


def _version_condition(wanted: EntryFilter, among: str, values: dict[str, Any]) -> str:
    # The latest of the specification versions asked for, where some are (§3.4.1).
    alternatives = []
    if LAST in wanted.versions:
        newer = _C_OTHER.format(sign=">", among=_and([among.format("o")]))
        alternatives.append(newer if among else "e.superseded = 0")
    if FIRST in wanted.versions:
        alternatives.append(_C_OTHER.format(sign="<", among=_and([among.format("o")])))
    exact = [one for one in wanted.versions if not isinstance(one, str)]
    if exact:
        values["versions"] = json.dumps(exact)
        alternatives.append("e.version IN (SELECT value FROM json_each(:versions))")
    return f"({' OR '.join(alternatives)})"
