"""What people say of values: confirmed sightings, false positives, withdrawals. Kept for good, also once taken back.

Reports that stand are evidence in the score of their value (``triage.score``). One person counts once a value, for
sightings once a day: saying the same again is no further evidence.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from threatshare.model import Micros, Observable
from threatshare.store.connection import Connection
from threatshare.store.decisions import ByWhom
from threatshare.store.keys import KeyOf, observable_key


class Told(StrEnum):
    """What kind of feedback it is."""

    SIGHTING = "sighting"
    FALSE_POSITIVE = "false-positive"
    WITHDRAWAL = "withdrawal"


@dataclass(frozen=True, slots=True)
class Feedback:
    """One piece of feedback as it is kept."""

    number: int
    told: Told
    by: ByWhom
    value: str
    """What it is about: a value in its canonical spelling, or an object's id."""
    ground: str | None
    """For a false positive: the word of ``stix.opinions.GROUNDS``."""
    count: int
    first: Micros
    last: Micros
    undone: ByWhom | None
    """Who took it back, when and why."""


def evidence_by_key(conn: Connection, keys: Iterable[int]) -> dict[int, tuple[int, int]]:
    """Gives (false positives, confirmed sightings) of those of some values that have any, by key."""
    if not conn.execute("SELECT EXISTS (SELECT 1 FROM feedback WHERE undone_at IS NULL)").fetchone()[0]:
        return {}
    return {
        key: (false_positives, sightings)
        for key, false_positives, sightings in conn.execute(
            "SELECT observable, count(DISTINCT CASE told WHEN 'false-positive' THEN person END),"
            f" count(DISTINCT CASE told WHEN 'sighting' THEN (last_seen / {_DAY}) || ' ' || person END)"
            " FROM feedback WHERE observable IN (SELECT value FROM json_each(?)) AND undone_at IS NULL"
            " GROUP BY observable",
            (json.dumps(sorted(keys)),),
        )
        if false_positives or sightings
    }


_DAY: Micros = 86_400 * 1_000_000


def save_feedback(
    conn: Connection,
    key_of: KeyOf,
    told: Told,
    about: Observable | str,
    by: ByWhom,
    ground: str | None = None,
    seen: tuple[int, Micros, Micros] | None = None,
) -> int:
    """Keeps feedback about a value, or about an object's id; gives its number.

    ``seen`` is (count, first, last) of a sighting.
    """
    key = None if isinstance(about, str) else observable_key(key_of, about)
    value = about if isinstance(about, str) else about.value
    row = conn.execute(
        "INSERT INTO feedback (told, at, person, reason, observable, value, ground, count, first_seen, last_seen)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING number",
        (told, by.at, by.person, by.reason, key, value, ground, *(seen or (1, by.at, by.at))),
    ).fetchone()
    return int(row[0])


def undo_feedback(conn: Connection, numbers: Iterable[int], by: ByWhom) -> None:
    """Takes feedback back: it stays on record, and counts no longer."""
    conn.executemany(
        "UPDATE feedback SET undone_at = ?, undone_person = ?, undone_reason = ? WHERE number = ?",
        [(by.at, by.person, by.reason, one) for one in numbers],
    )


def feedback_on(conn: Connection, key_of: KeyOf, about: Observable | str) -> list[Feedback]:
    """Gives all feedback about a value or an object's id, oldest first, also what was taken back."""
    if isinstance(about, str):
        return list(_rows(conn, "observable IS NULL AND value = ? ORDER BY number", (about,)))
    key = observable_key(key_of, about)
    return list(_rows(conn, "observable = ? AND value = ? ORDER BY number", (key, about.value)))


def latest_feedback(conn: Connection, limit: int) -> list[Feedback]:
    """Gives the latest feedback, newest first."""
    return list(_rows(conn, "1 ORDER BY number DESC LIMIT ?", (limit,)))


def _rows(conn: Connection, which: str, values: Sequence[object]) -> Iterator[Feedback]:
    for number, told, at, person, reason, value, ground, count, first, last, *undone in conn.execute(
        "SELECT number, told, at, person, reason, value, ground, count, first_seen, last_seen,"
        f" undone_person, undone_reason, undone_at FROM feedback WHERE {which}",
        values,
    ):
        back = ByWhom(*undone) if undone[0] is not None else None
        yield Feedback(number, Told(told), ByWhom(person, reason, at), value, ground, count, first, last, back)
