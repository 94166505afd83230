"""What our own sensors saw: one row an observable, role and sensor; more of the same only counts up."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence

from threatshare.model import Observable, Role, Seen, Tlp
from threatshare.store.connection import Connection
from threatshare.store.keys import CODE_KIND, KIND_CODE, KeyOf, observable_key


def record(conn: Connection, key_of: KeyOf, seen: Sequence[Seen]) -> set[Observable]:
    """Adds a batch to what was seen before; inside the caller's transaction.

    Gives what was refused since another value has its key.
    """
    keys = {one.observable: observable_key(key_of, one.observable) for one in seen}
    held = _held(conn, set(keys.values()))
    owners = {key: one.observable for key, one in held}
    refused = {one for one, key in keys.items() if owners.setdefault(key, one) != one}
    keyed = {(keys[one.observable], one.role, one.sensor): one for one in seen if one.observable not in refused}
    for key, before in held:
        which = (key, before.role, before.sensor)
        if which in keyed:
            keyed[which] = before.joined(keyed[which])
    conn.executemany(
        "INSERT OR REPLACE INTO observation (observable, role, sensor, kind, value, why, first_seen, last_seen,"
        " count, confidence, techniques, tlp) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (key, one.role, one.sensor, KIND_CODE[one.observable.kind], one.observable.value, one.why)
            + (one.first_seen, one.last_seen, one.count, one.confidence, json.dumps(one.techniques), one.tlp)
            for (key, _, _), one in keyed.items()
        ],
    )
    return refused


def seen_of(conn: Connection, key_of: KeyOf, observables: Iterable[Observable]) -> dict[Observable, list[Seen]]:
    """Gives all that our sensors saw of some observables."""
    found: dict[Observable, list[Seen]] = {}
    for _, one in _held(conn, {observable_key(key_of, one) for one in observables}):
        found.setdefault(one.observable, []).append(one)
    return found


def held(conn: Connection) -> Iterator[Seen]:
    """Yields what waits for a person since its role is unknown, what was seen most often first."""
    for row in conn.execute(f"SELECT {_COLUMNS} FROM observation WHERE role = 'unknown' ORDER BY count DESC, value"):
        yield _row(row)


def forget_held(conn: Connection, key_of: KeyOf, seen: Iterable[Seen]) -> None:
    """Takes values off what waits for a person, since one has decided; inside the caller's transaction."""
    conn.executemany(
        "DELETE FROM observation WHERE observable = ? AND role = 'unknown' AND sensor = ?",
        [(observable_key(key_of, one.observable), one.sensor) for one in seen],
    )


_COLUMNS = "kind, value, role, sensor, why, first_seen, last_seen, count, confidence, techniques, tlp"


def _row(row: Sequence[object]) -> Seen:
    kind, value, role, sensor, why, first, last, count, confidence, techniques, tlp = row
    return Seen(
        Observable(CODE_KIND[kind], value),  # type: ignore[index,arg-type]
        Role(str(role)),
        str(sensor),
        str(why),
        first,  # type: ignore[arg-type]
        last,  # type: ignore[arg-type]
        count,  # type: ignore[arg-type]
        confidence,  # type: ignore[arg-type]
        tuple(json.loads(str(techniques))),
        None if tlp is None else Tlp(tlp),  # type: ignore[arg-type]
    )


def _held(conn: Connection, keys: set[int]) -> list[tuple[int, Seen]]:
    return [
        (row[0], _row(row[1:]))
        for row in conn.execute(
            f"SELECT observable, {_COLUMNS} FROM observation WHERE observable IN (SELECT value FROM json_each(?))",
            (json.dumps(sorted(keys)),),
        )
    ]
