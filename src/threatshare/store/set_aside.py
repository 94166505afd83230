"""What comes from others and is of an exercise: told from what is live, and kept without counting for anything.

Whatever bears the label or the statement of an exercise, of ours or anybody's, from whatever source, makes no claim.
It is kept as it came, with the values that it names, so that a question about these can say what they are. What an
object once was it stays: a later version without the marks is still of the exercise. What a source says of its own
objects binds nobody else's: a partner cannot call another's indicator an exercise, nor silence our sensors.

Functions that write are called inside the caller's transaction.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from threatshare.errors import BadValue
from threatshare.model import Micros, Observable, Reject
from threatshare.stix.claims import BY_DEFINITION, speaks_stix
from threatshare.stix.exercise import bears_label, defines_exercise, is_exercise_label, named_by
from threatshare.stix.marking_definitions import FIXED
from threatshare.stix.patterns import read_pattern
from threatshare.stix.received import Received, reread
from threatshare.store.connection import Connection
from threatshare.store.exercises import running_injects
from threatshare.store.keys import CODE_KIND, KIND_CODE, KeyOf, object_key, observable_key

Read = tuple[bytes, Received]

LABEL = "bears the label of an exercise"
STATEMENT = "bears the statement marking of an exercise"
_EARLIER = "was of an exercise in an earlier version"
_ABOUT = "is about an object of an exercise"
_INJECT = "names a value of the exercise that this node runs, or one that holds such"
_KEPT = "kept aside: exercise data counts for nothing that is live"


_NO_IDS: frozenset[str] = frozenset()


class Apart(NamedTuple):
    """A batch told apart."""

    live: list[Read]
    aside: list[Read]
    rejects: list[Reject]
    """Of what is aside, with the reason."""
    disowned: list[bytes]
    """Bodies of held objects that a definition of this batch shows to be of an exercise."""


def tell_apart(conn: Connection, key_of: KeyOf, source: int, read: Sequence[Read], now: Micros) -> Apart:
    """Tells what is of an exercise in a batch of one source; keeps what it has learnt of markings and objects."""
    fresh = _learn(conn, source, read)
    marks, objects, injects = _marks(conn, source), _any(conn, "exercise_object"), _any(conn, "exercise_inject")
    # Where there never was an exercise, of ours or anybody's, all that costs anything is left out.
    earlier = _earlier(conn, key_of, source, read) if objects else _NO_IDS
    about = _about(conn, key_of, source, read) if objects or injects else _NO_IDS
    naming = _naming_injects(conn, read) if injects else _NO_IDS
    told = Apart([], [], [], _disowned(conn, source, fresh) if fresh else [])
    for raw, one in read:
        why = _why(one, marks) or (one.id in earlier and _EARLIER) or (one.id in about and _ABOUT)
        why = why or (one.id in naming and _INJECT)
        if not why:
            told.live.append((raw, one))
            continue
        told.aside.append((raw, one))
        told.rejects.append(Reject(one.id, f"{why}; {_KEPT}", raw.decode(errors="replace")))
        if why != _INJECT:
            # Only for as long as that exercise runs: the object itself says nothing of one.
            _remember(conn, key_of, source, one, now)
    for body in told.disowned:
        one = reread(body)
        _remember(conn, key_of, source, one, now)
        told.rejects.append(Reject(one.id, f"{STATEMENT}; {_KEPT}", body.decode(errors="replace")))
    return told


def practised_among(conn: Connection, observables: Collection[Observable]) -> frozenset[Observable]:
    """Gives those of some values that are an inject of an exercise that runs here, or hold one within them."""
    injects = running_injects(conn)
    if not injects:
        return frozenset()
    # Here, since a look-up starts faster without what searches texts.
    from threatshare.store.inject_mentions import holding_injects

    return injects.intersection(observables).union(holding_injects(conn, observables))


def any_exercise(conn: Connection) -> bool:
    """Tells whether anything was ever said of an exercise here, by us or by anybody."""
    return any(_any(conn, table) for table in ("exercise", "exercise_inject", "exercise_marking", "exercise_object"))


def marked_values(
    conn: Connection, key_of: KeyOf, observables: Iterable[Observable]
) -> dict[Observable, tuple[str, ...]]:
    """Gives the sources whose exercise data names some values."""
    if not _any(conn, "exercise_value"):
        return {}
    keys = {observable_key(key_of, one): one for one in observables}
    found: dict[Observable, set[str]] = {}
    for key, kind, value, source in conn.execute(
        "SELECT e.key, e.kind, e.value, s.name FROM exercise_value e"
        " JOIN exercise_object o ON o.object = e.object JOIN source s ON s.number = o.source"
        " WHERE e.key IN (SELECT value FROM json_each(?))",
        (json.dumps(sorted(keys)),),
    ):
        if Observable(CODE_KIND[kind], value) == keys[key]:
            found.setdefault(keys[key], set()).add(source)
    return {one: tuple(sorted(names)) for one, names in found.items()}


def _why(one: Received, marks: Collection[str]) -> str | None:
    # Asked of every object that comes in: a loop costs half of what any() does.
    for label in one.labels:
        if is_exercise_label(label):
            return LABEL
    if marks and any(ref in marks for ref in one.marking_refs):
        return STATEMENT
    return None


def _any(conn: Connection, table: str) -> bool:
    return conn.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() is not None


def _learn(conn: Connection, source: int, read: Sequence[Read]) -> list[str]:
    """Keeps which markings of a source are statements of an exercise; gives those that are news."""
    fresh = []
    for raw, one in read:
        # Nobody's word changes what a marking with a fixed meaning says: a feed brings many producers' objects.
        if one.id not in FIXED and defines_exercise(raw, one):
            done = conn.execute(
                "INSERT INTO exercise_marking (source, ref) VALUES (?, ?) ON CONFLICT DO NOTHING", (source, one.id)
            )
            if done.rowcount:
                fresh.append(one.id)
    return fresh


def _marks(conn: Connection, source: int) -> frozenset[str]:
    rows = conn.execute(
        "SELECT ref FROM exercise_marking WHERE source = ? UNION SELECT marking FROM exercise", (source,)
    )
    return frozenset(row[0] for row in rows)


def _known(conn: Connection, key_of: KeyOf, source: int, ids: Iterable[str]) -> frozenset[str]:
    """Gives those of some objects of a source that are of an exercise."""
    keys = {object_key(key_of, source, one): one for one in ids}
    rows = conn.execute(
        "SELECT object FROM exercise_object WHERE object IN (SELECT value FROM json_each(?))", (json.dumps(list(keys)),)
    )
    return frozenset(keys[row[0]] for row in rows)


def _earlier(conn: Connection, key_of: KeyOf, source: int, read: Sequence[Read]) -> frozenset[str]:
    return _known(conn, key_of, source, [one.id for _, one in read])


def _about(conn: Connection, key_of: KeyOf, source: int, read: Sequence[Read]) -> frozenset[str]:
    """Gives the ids of objects that are about an exercise's: of ours, or of the same source."""
    named = {one.id: some for raw, one in read if (some := named_by(raw, one))}
    if not named:
        return frozenset()
    refs = {ref for some in named.values() for ref in some}
    ours = conn.execute(
        "SELECT object_id FROM exercise_inject WHERE object_id IN (SELECT value FROM json_each(?))",
        (json.dumps(sorted(refs)),),
    )
    practice = {row[0] for row in ours}
    practice |= _known(conn, key_of, source, refs)
    practice |= {one.id for _, one in read if one.id in refs and bears_label(one.labels)}
    return frozenset(one for one, some in named.items() if not practice.isdisjoint(some))


def _naming_injects(conn: Connection, read: Sequence[Read]) -> frozenset[str]:
    """Gives the ids of indicators that name an inject of an exercise that runs here, or whose values hold one."""
    if not running_injects(conn):
        return _NO_IDS
    values = {one.id: some for _, one in read if (some := _values(one))}
    practised = practised_among(conn, {value for some in values.values() for value in some})
    return frozenset(one for one, some in values.items() if not practised.isdisjoint(some))


def _values(one: Received) -> tuple[Observable, ...]:
    try:
        return read_pattern(one.pattern or "") if speaks_stix(one) else ()
    except BadValue:
        return ()


def _remember(conn: Connection, key_of: KeyOf, source: int, one: Received, now: Micros) -> None:
    key = object_key(key_of, source, one.id)
    conn.execute("INSERT OR IGNORE INTO exercise_object VALUES (?, ?, ?, ?)", (key, source, one.id, now))
    conn.executemany(
        "INSERT OR IGNORE INTO exercise_value (key, object, kind, value) VALUES (?, ?, ?, ?)",
        [(observable_key(key_of, value), key, KIND_CODE[value.kind], value.value) for value in _values(one)],
    )


def _disowned(conn: Connection, source: int, refs: Sequence[str]) -> list[bytes]:
    """Gives what is held of a source, makes claims, and bears markings whose definition has only come now."""
    rows = conn.execute(
        "SELECT body FROM object JOIN version ON version.number = object.version"
        " WHERE key IN (SELECT object FROM claim WHERE source = ? AND flags & ?)",
        (source, BY_DEFINITION),
    )
    wanted = set(refs)
    return [body for (body,) in rows.fetchall() if not wanted.isdisjoint(reread(body).marking_refs)]
