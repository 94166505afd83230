"""Every object as it came: one row a source's object, one append-only row each of its versions.

A source can only version its own: the key of an object is made of source and id, so partner A's
copy of B's object is another row and never touches B's.
"""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec
from msgspec import Struct

from threatshare.errors import BadValue
from threatshare.model import Micros, Reject, Tlp
from threatshare.stix.claims import claim_of
from threatshare.stix.received import Received, id_of, reread
from threatshare.store.connection import Connection, insert
from threatshare.store.keys import KeyOf, object_key


class Fresh(Struct, gc=False):
    """A version that the store does not hold yet."""

    raw: bytes
    read: Received
    key: int
    version: Micros
    """``modified`` in microseconds."""
    previous: int | None
    """Number of the version row before it; None for an object that is new."""
    before: bytes | None = None
    """Body of the version before it."""
    number: int = 0
    """Number of its own version row, once kept."""


class Sorted(Struct):
    """A batch told apart by what the store holds already."""

    fresh: list[Fresh]
    """At most one version of each object."""
    unchanged: int
    rejects: list[Reject]
    later: list[list[tuple[bytes, Received]]]
    """Further versions of objects in ``fresh``, oldest first: a list is sorted out once what comes before is merged."""
    ended: dict[int, bytes] = {}
    """Current versions, by key, of objects that an older one has turned out to revoke (decision 15)."""


class _Head(NamedTuple):
    """The current version of an object that is held."""

    modified: Micros
    number: int
    body: bytes


def sort_out(
    conn: Connection, key_of: KeyOf, source: int, objects: Sequence[tuple[bytes, Received]], now: Micros
) -> Sorted:
    """Tells new and changed objects from those already held.

    Same id and ``modified`` with other content keeps the first and rejects the second, as an alarm. A
    version older than the current one takes its place in the history and changes nothing else, unless it
    revokes the object; it counts as unchanged.
    """
    result = Sorted([], 0, [], [])
    turn: dict[int, tuple[bytes, Received]] = {}
    several: dict[int, list[tuple[bytes, Received]]] = {}
    for one in objects:
        stix_id = one[1].id
        key = object_key(key_of, source, stix_id)
        first = turn.setdefault(key, one)
        if first is one:
            continue
        if first[1].id == stix_id:
            several.setdefault(key, [first]).append(one)
        else:
            result.rejects.append(Reject(stix_id, _TAKEN, one[0].decode()))
    heads = _heads(conn, turn)
    for key, head in heads.items():
        if not _is_of(head.body, turn[key][1].id):
            result.rejects += [Reject(read.id, _TAKEN, raw.decode()) for raw, read in several.pop(key, [turn[key]])]
            del turn[key]
    for key, versions in several.items():
        _take_turns(conn, key, versions, heads.get(key), turn, result, now)
    for key, (raw, read) in turn.items():
        version, known = read.version, heads.get(key)
        if known is None:
            result.fresh.append(Fresh(raw, read, key, version, None))
        elif version > known.modified:
            result.fresh.append(Fresh(raw, read, key, version, known.number, known.body))
        elif version == known.modified:
            _compare(known.body, raw, read, result)
        else:
            _keep_older(conn, key, known, [(raw, read)], result, now)
    return result


def keep(conn: Connection, fresh: Sequence[Fresh], now: Micros) -> None:
    """Stores new versions and makes them the current ones of their objects."""
    number = int(conn.execute("SELECT coalesce(max(number), 0) FROM version").fetchone()[0])
    for one in fresh:
        number += 1
        one.number = number
    insert(
        conn,
        "INSERT INTO version (number, object, previous, modified, received, body)",
        [(one.number, one.key, one.previous, one.version, now, one.raw) for one in fresh],
    )
    insert(
        conn,
        "INSERT INTO object (key, version)",
        sorted((one.key, one.number) for one in fresh),
        " ON CONFLICT (key) DO UPDATE SET version = excluded.version",
    )


_ONE_IN = 50


def unheard(conn: Connection, key_of: KeyOf, source: int, raws: Sequence[bytes]) -> Sequence[bytes]:
    """Gives those of some objects that the store does not hold as their current versions, byte by byte.

    Feeds are read again and again, and what has not changed need not be read as an object. A sample tells whether
    it is worth looking: where nothing of it is held, all are given.
    """
    if not _repeated(conn, key_of, source, raws[::_ONE_IN]):
        return raws
    repeated = _repeated(conn, key_of, source, raws)
    return [raw for at, raw in enumerate(raws) if at not in repeated]


def _repeated(conn: Connection, key_of: KeyOf, source: int, raws: Sequence[bytes]) -> set[int]:
    """Gives the places of those objects that are held just so."""
    places: dict[int, int] = {}
    for at, raw in enumerate(raws):
        stix_id = id_of(raw)
        # What is said of markings is looked at every time: it decides on objects that are held already.
        if stix_id is not None and not stix_id.startswith("marking-definition"):
            places[object_key(key_of, source, stix_id)] = at
    found = conn.execute(
        "SELECT key, body FROM object JOIN version ON version.number = object.version"
        " WHERE key IN (SELECT value FROM json_each(?))",
        (json.dumps(sorted(places)),),
    )
    return {places[key] for key, body in found if body == raws[places[key]]}


def bodies(conn: Connection, numbers: Iterable[int]) -> dict[int, bytes]:
    """Gives the bodies of version rows by number."""
    return dict(
        conn.execute(
            "SELECT number, body FROM version WHERE number IN (SELECT value FROM json_each(?))",
            (json.dumps(list(numbers)),),
        )
    )


def held_keys(conn: Connection, keys: Iterable[int]) -> list[int]:
    """Gives those of some object keys that the store holds."""
    found = conn.execute(
        "SELECT key FROM object WHERE key IN (SELECT value FROM json_each(?))", (json.dumps(list(keys)),)
    )
    return [row[0] for row in found]


def current(conn: Connection, key: int) -> bytes | None:
    """Gives the current version of an object by its key."""
    row = conn.execute(
        "SELECT body FROM object JOIN version ON version.number = object.version WHERE key = ?", (key,)
    ).fetchone()
    return bytes(row[0]) if row else None


def _heads(conn: Connection, keys: Iterable[int]) -> dict[int, _Head]:
    """Gives the current version of those objects that are held."""
    return {
        row[0]: _Head(*row[1:])
        for row in conn.execute(
            "SELECT key, version.modified, version, body FROM object JOIN version ON version.number = object.version"
            " WHERE key IN (SELECT value FROM json_each(?))",
            (json.dumps(sorted(keys)),),
        )
    }


def _is_of(body: bytes, stix_id: str) -> bool:
    """Tells whether a body is of an id: two objects may share a key."""
    return stix_id.encode() in body or reread(body).id == stix_id


_TAKEN = "its key in this store is taken by another object"
_CONFLICT = "alarm: same id and modified as a version already held, but other content; the first was kept"


def _compare(held: bytes, raw: bytes, read: Received, result: Sorted) -> None:
    """Tells a repeated version from one that says something else under the same id and modified."""
    if held == raw or _content(held) == _content(raw):
        result.unchanged += 1
    else:
        result.rejects.append(Reject(read.id, _CONFLICT, raw.decode()))


def _content(raw: bytes) -> bytes:
    """Gives a body without what says nothing: the order of its keys, blanks, the spelling of characters."""
    try:
        return msgspec.json.encode(msgspec.json.decode(raw), order="sorted")
    except msgspec.DecodeError:
        # Numbers beyond every integer and float: equal as bytes, or not known to be equal.
        return raw


def _take_turns(
    conn: Connection,
    key: int,
    versions: list[tuple[bytes, Received]],
    head: _Head | None,
    turn: dict[int, tuple[bytes, Received]],
    result: Sorted,
    now: Micros,
) -> None:
    """Puts several versions of one object in order: the history, the next one, and those that come after it."""
    versions.sort(key=_version)
    newer = bisect_right(versions, head.modified, key=_version) if head else 0
    if head and newer:
        _keep_older(conn, key, head, versions[:newer], result, now)
    if newer == len(versions):
        del turn[key]
        return
    turn[key] = versions[newer]
    for place, one in enumerate(versions[newer + 1 :]):
        if place == len(result.later):
            result.later.append([])
        result.later[place].append(one)


def _version(one: tuple[bytes, Received]) -> Micros:
    return one[1].version


def _keep_older(
    conn: Connection, key: int, head: _Head, older: Sequence[tuple[bytes, Received]], result: Sorted, now: Micros
) -> None:
    """Puts versions no newer than the current one into their places in the chain."""
    chain = _chain(conn, head.number)
    for raw, read in older:
        version = read.version
        place = bisect_left(chain, version, key=_modified)
        modified, newer = chain[place]
        if modified == version:
            _compare(bodies(conn, [newer])[newer], raw, read, result)
            continue
        try:
            # What would be refused as the newest version is refused as an older one too.
            claim_of(read, version, Tlp.RED, now)
        except BadValue as problem:
            result.rejects.append(Reject(read.id, str(problem), raw.decode()))
            continue
        number = conn.execute(
            "INSERT INTO version (object, previous, modified, received, body) VALUES (?, ?, ?, ?, ?) RETURNING number",
            (key, chain[place - 1][1] if place else None, version, now, raw),
        ).fetchone()[0]
        conn.execute("UPDATE version SET previous = ? WHERE number = ?", (number, newer))
        chain.insert(place, (version, number))
        if read.revoked:
            result.ended[key] = head.body
        result.unchanged += 1


def _chain(conn: Connection, head: int) -> list[tuple[Micros, int]]:
    """Gives (modified, number) of a version and all before it, oldest first."""
    rows = conn.execute(
        "WITH RECURSIVE chain (number, modified, previous) AS ("
        " SELECT number, modified, previous FROM version WHERE number = ?"
        " UNION ALL SELECT v.number, v.modified, v.previous FROM chain JOIN version v ON v.number = chain.previous)"
        " SELECT modified, number FROM chain",
        (head,),
    ).fetchall()
    return rows[::-1]


def _modified(one: tuple[Micros, int]) -> Micros:
    return one[0]
