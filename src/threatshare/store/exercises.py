"""Joint exercises: their injects, what was detected, shared, received and answered; and what became of them.

An exercise has tables of its own. Nothing in them is an observable, a claim or an object of ours, so no score, export
or collection beside its own can meet it. Functions that write are called inside the caller's transaction.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from threatshare.model import Collection, Micros, Observable, Seen, Tlp
from threatshare.stix.exercise import label_of
from threatshare.store.connection import Connection
from threatshare.store.keys import CODE_KIND, KIND_CODE, KeyOf, observable_key


@dataclass(frozen=True, slots=True)
class ExerciseRecord:
    """One exercise as it is kept."""

    name: str
    year: int
    marking: str
    """Id of its statement marking."""
    tlp: Tlp
    collection: int
    """Number of its collection."""
    until: date
    """Last day, UTC."""
    share_at_once: bool
    """Whether the daemon shares what is detected by itself."""
    started: Micros
    started_by: str
    ended: Micros | None
    ended_by: str | None
    reason: str | None
    purged: int | None
    """Entries that its end deleted."""
    report: str | None
    """Its last report as JSON, kept when it ended."""
    partners: tuple[str, ...] = ()
    """All that it was begun with."""
    excluded: frozenset[str] = frozenset()
    """Those of them whose agreement allows it no longer (``store.exclusions``)."""

    @property
    def present(self) -> tuple[str, ...]:
        """The partners that may still read it and write to it."""
        return tuple(one for one in self.partners if one not in self.excluded)

    @property
    def label(self) -> str:
        """The label that everything in it bears."""
        return label_of(self.name, self.year)

    @property
    def running(self) -> bool:
        """Whether nobody has ended it; its last day may be past all the same."""
        return self.ended is None


@dataclass(frozen=True, slots=True)
class Inject:
    """One value that is put before everybody's sensors, and what came of it here."""

    number: int
    observable: Observable
    object_id: str
    """Of its indicator, once that is shared."""
    techniques: tuple[str, ...]
    at: Micros
    """When it is injected; may lie ahead."""
    detected: Micros | None = None
    """When a finding of ours first named it."""
    sensor: str | None = None
    seen: Micros | None = None
    """When that sensor says it saw it."""
    shared: Micros | None = None
    entry: int | None = None
    """Id of its entry in the collection."""


@dataclass(frozen=True, slots=True)
class FeedbackRecord:
    """One object that a member posted into an exercise, without its body."""

    account: str
    partner: str
    at: Micros
    type: str
    object_id: str
    said: str
    """What it says in one word: an opinion's value, a sighting's count."""
    inject: int | None
    """Number of the inject that it is about; None: none of ours."""


_COLUMNS = (
    "name, year, marking, tlp, collection, until, share_at_once, started, started_by, ended, ended_by, reason,"
    " purged, report"
)
_INJECT = "number, kind, value, object_id, techniques, at, detected, sensor, seen, shared, entry"


def add_exercise(conn: Connection, one: ExerciseRecord, agreements: Iterable[tuple[str, int, str]]) -> None:
    """Keeps a new exercise with the agreements (partner, version, digest) that it is held under."""
    conn.execute(
        "INSERT INTO exercise (name, year, marking, tlp, collection, until, share_at_once, started, started_by)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (one.name, one.year, one.marking, int(one.tlp), one.collection, one.until.isoformat())
        + (one.share_at_once, one.started, one.started_by),
    )
    conn.executemany(
        "INSERT INTO exercise_partner (exercise, partner, agreement_version, agreement_digest) VALUES (?, ?, ?, ?)",
        [(one.name, *agreed) for agreed in agreements],
    )


def exercises(conn: Connection) -> list[ExerciseRecord]:
    """Gives every exercise, the latest first."""
    return _records(conn, "SELECT name FROM exercise")


def exercise_named(conn: Connection, name: str) -> ExerciseRecord | None:
    """Finds an exercise by its name."""
    return next(iter(_records(conn, "SELECT ?", name)), None)


def exercise_of(conn: Connection, collection: Collection) -> ExerciseRecord | None:
    """Finds the exercise that a collection is of."""
    return next(iter(_records(conn, "SELECT name FROM exercise WHERE collection = ?", collection.number)), None)


def exercises_with(conn: Connection, partner: str) -> list[ExerciseRecord]:
    """Gives every exercise that a partner took part in, the latest first; those under way have no ``ended``."""
    return _records(conn, "SELECT exercise FROM exercise_partner WHERE partner = ?", partner)


def running_exercises(conn: Connection) -> list[ExerciseRecord]:
    """Gives the exercises that nobody has ended, the latest first."""
    return _records(conn, "SELECT name FROM exercise WHERE ended IS NULL")


def _records(conn: Connection, names: str, *values: object) -> list[ExerciseRecord]:
    found = []
    for row in conn.execute(
        f"SELECT {_COLUMNS}, (SELECT json_group_array(partner) FROM (SELECT partner FROM exercise_partner"
        " WHERE exercise = exercise.name ORDER BY partner)),"
        " (SELECT json_group_array(partner) FROM exercise_exclusion WHERE exercise = exercise.name AND lifted IS NULL)"
        f" FROM exercise WHERE name IN ({names}) ORDER BY started DESC, name",
        values,
    ):
        told = dict(zip(_COLUMNS.split(", "), row, strict=False))
        told |= {"tlp": Tlp(told["tlp"]), "until": date.fromisoformat(told["until"])}
        told |= {"share_at_once": bool(told["share_at_once"]), "partners": tuple(json.loads(row[-2]))}
        told["excluded"] = frozenset(json.loads(row[-1]))
        found.append(ExerciseRecord(**told))
    return found


def add_injects(conn: Connection, key_of: KeyOf, exercise: str, injects: Iterable[Inject]) -> None:
    """Keeps new injects."""
    conn.executemany(
        "INSERT INTO exercise_inject (exercise, number, key, kind, value, object_id, techniques, at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (exercise, one.number, observable_key(key_of, one.observable), KIND_CODE[one.observable.kind])
            + (one.observable.value, one.object_id, json.dumps(one.techniques), one.at)
            for one in injects
        ],
    )


def injects_of(conn: Connection, exercise: str) -> list[Inject]:
    """Gives an exercise's injects in order."""
    rows = conn.execute(f"SELECT {_INJECT} FROM exercise_inject WHERE exercise = ? ORDER BY number", (exercise,))
    return [_inject(row) for row in rows]


def _inject(row: Sequence[object]) -> Inject:
    number, kind, value, object_id, techniques, *rest = row
    observable = Observable(CODE_KIND[kind], value)  # type: ignore[index,arg-type]
    return Inject(number, observable, object_id, tuple(json.loads(str(techniques))), *rest)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Practised:
    """That a value is an inject of an exercise."""

    exercise: str
    inject: Inject
    started: Micros
    ended: Micros | None

    def covers(self, first: Micros, last: Micros) -> bool:
        """Tells whether what was seen between two moments is of the exercise; while it runs, everything is."""
        return self.ended is None or (first <= self.ended and last >= self.started)


def practised(
    conn: Connection, key_of: KeyOf, observables: Iterable[Observable], running: bool = False
) -> dict[Observable, list[Practised]]:
    """Gives the exercises that some values are injects of, the latest first; ``running``: only those not ended."""
    if conn.execute("SELECT 1 FROM exercise_inject LIMIT 1").fetchone() is None:
        return {}
    keys = {observable_key(key_of, one): one for one in observables}
    found: dict[Observable, list[Practised]] = {}
    for key, exercise, started, ended, *row in conn.execute(
        f"SELECT key, exercise, started, ended, {_INJECT} FROM exercise_inject JOIN exercise ON name = exercise"
        " WHERE key IN (SELECT value FROM json_each(?)) AND (ended IS NULL OR NOT ?) ORDER BY started DESC",
        (json.dumps(sorted(keys)), running),
    ):
        inject = _inject(row)
        if inject.observable == keys[key]:
            found.setdefault(inject.observable, []).append(Practised(exercise, inject, started, ended))
    return found


def running_injects(conn: Connection) -> frozenset[Observable]:
    """Gives the injects of all exercises that nobody has ended; some ten thousand at most of each."""
    rows = conn.execute(
        "SELECT kind, value FROM exercise_inject JOIN exercise ON name = exercise WHERE ended IS NULL"
    ).fetchall()
    return frozenset(Observable(CODE_KIND[kind], value) for kind, value in rows)


def take_detections(
    conn: Connection, key_of: KeyOf, seen: Sequence[Seen], now: Micros
) -> tuple[list[Seen], dict[Observable, str]]:
    """Takes out of what sensors saw what is of an exercise, and notes the detections that it means.

    Gives what is left, and for each value that was taken out, why. The first finding of a running exercise's
    inject, from its moment on, is the detection; a finding from an exercise that has ended means nothing any more. What
    only holds a running exercise's inject, as a URL does in its query, is of it too, and no detection.
    """
    # Here, since `lookup` asks this module too, and looks for nothing within a value.
    from threatshare.store.inject_mentions import holding_injects

    values = {one.observable for one in seen}
    held = practised(conn, key_of, values)
    aside = {
        one: f"holds an inject of exercise {exercise}, which is running: no part of what is live"
        for one, exercise in holding_injects(conn, values - held.keys()).items()
    }
    if not held and not aside:
        return list(seen), {}
    live = []
    for one in seen:
        if one.observable in aside and one.observable not in held:
            continue
        of = next((it for it in held.get(one.observable, ()) if it.covers(one.first_seen, one.last_seen)), None)
        if of is None:
            live.append(one)
            continue
        aside[one.observable] = f"an inject of exercise {of.exercise}: noted there, and no part of what is live"
        if of.ended is None and of.inject.at <= now:
            mark_detected(conn, of.exercise, of.inject.number, now, one.sensor, one.first_seen)
    return live, aside


def mark_detected(
    conn: Connection, exercise: str, number: int, at: Micros, sensor: str, seen: Micros | None = None
) -> bool:
    """Notes that an inject was detected; False where it had been before."""
    done = conn.execute(
        "UPDATE exercise_inject SET detected = ?, sensor = ?, seen = ?"
        " WHERE exercise = ? AND number = ? AND detected IS NULL",
        (at, sensor, seen, exercise, number),
    )
    return done.rowcount == 1


def mark_shared(conn: Connection, exercise: str, shared: Iterable[tuple[int, int]], at: Micros) -> None:
    """Notes injects (number, entry id) as shared, in the transaction of their entries."""
    conn.executemany(
        "UPDATE exercise_inject SET shared = ?, entry = ? WHERE exercise = ? AND number = ?",
        [(at, entry, exercise, number) for number, entry in shared],
    )


def add_feedback(conn: Connection, exercise: str, given: Iterable[FeedbackRecord]) -> None:
    """Keeps what a member said, in the transaction of its entries."""
    conn.executemany(
        "INSERT INTO exercise_feedback (exercise, account, partner, at, type, object_id, said, inject)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [(exercise, x.account, x.partner, x.at, x.type, x.object_id, x.said, x.inject) for x in given],
    )


def feedback_of(conn: Connection, exercise: str) -> list[FeedbackRecord]:
    """Gives what members said, in the order in which it came."""
    return [
        FeedbackRecord(*row)
        for row in conn.execute(
            "SELECT account, partner, at, type, object_id, said, inject FROM exercise_feedback"
            " WHERE exercise = ? ORDER BY number",
            (exercise,),
        )
    ]


def close_exercise(
    conn: Connection, exercise: ExerciseRecord, by: str, reason: str, report: str, purged: int, now: Micros
) -> None:
    """Ends an exercise: nobody has a right on its collection any more, and of decisions on it nothing is left."""
    for table in ("account_right", "release", "decided_release", "publish_position"):
        conn.execute(f"DELETE FROM {table} WHERE collection = ?", (exercise.collection,))
    conn.execute(
        "UPDATE exercise SET ended = ?, ended_by = ?, reason = ?, report = ?, purged = ? WHERE name = ?",
        (now, by, reason, report, purged, exercise.name),
    )
