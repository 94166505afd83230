"""What a list says of values that nobody has named before: written as it is, since there is nothing to merge it with.

It comes to the same as ``knowledge.recall`` and ``knowledge.write``, which all other values go through. Most of a new
list is such, so each of its rows is bound to two statements alone; its claim is made by the store from its row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from threatshare.model import Kind, Micros
from threatshare.ports import Listed
from threatshare.store.connection import Connection
from threatshare.store.feedback import evidence_by_key
from threatshare.store.keys import KIND_CODE
from threatshare.store.knowledge import CapOf
from threatshare.store.lookups import LISTED_BITS, evidence_of
from threatshare.store.sources import Source
from threatshare.triage.evidence import weight
from threatshare.triage.score import Assessor, ClaimRow, assess

_NOTHING_BESIDE = (None, None, None)

_Made = tuple[int, int, str, int, Micros | None, str | None, Micros, Micros | None, int | None, str | None]
"""An observable to be: key, kind, value, score, its next change and cap; and of the row when it was said, when it was
seen, how sure the list is, and how it stood."""


class Speaker(NamedTuple):
    """The list that makes the claims."""

    source: Source
    origin: int
    """Who said it first, as a number."""
    object: int
    """What stands in its claims for the key of an object."""


def claim_first(conn: Connection, speaker: Speaker, cap_of: CapOf, told: Mapping[int, Listed], now: Micros) -> range:
    """Makes observables of values that the store does not have, given by their keys, each with a list's claim.

    Inside the caller's transaction. Gives their numbers.
    """
    source, origin, obj = speaker
    last = newest_number(conn)
    row_id = source.number << LISTED_BITS
    made = _scored(speaker, cap_of, told, evidence_by_key(conn, told), now)
    # In order of their keys, in which all of it is written.
    made.sort()
    observables, listed = [], []
    for number, (key, code, value, points, change, cap, at, seen, confidence, text) in enumerate(made, last + 1):
        observables.append((number, key, code, value, points, change, now, cap))
        listed.append((row_id + number, now, at, seen, confidence, text))
    number = last + len(made)
    conn.executemany(
        "INSERT INTO observable (number, key, kind, value, score, next_change, first_seen, cap)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        observables,
    )
    _list(conn, listed)
    # The new rows alone, and in their order: nothing else of this list is numbered so high.
    rows = row_id, row_id + last, row_id + number
    conn.execute(
        "INSERT OR REPLACE INTO claim"
        " SELECT id - ?1, ?4, ?5, ?6, confidence, said, min(since, said), NULL, ?7, 0"
        " FROM listed WHERE id > ?2 AND id <= ?3 ORDER BY id",
        (*rows, obj, source.number, origin, int(source.default_tlp)),
    )
    conn.execute(
        "INSERT INTO changed_observable (observable) SELECT id - ?1 FROM listed WHERE id > ?2 AND id <= ?3 ORDER BY id",
        rows,
    )
    return range(last + 1, number + 1)


def _scored(
    speaker: Speaker,
    cap_of: CapOf,
    told: Mapping[int, Listed],
    reported: Mapping[int, tuple[int, int]],
    now: Micros,
) -> list[_Made]:
    """Scores values of which nothing is known but one claim; ``reported`` is what people have said of any."""
    source = speaker.source
    assessors = {kind: Assessor(kind, now) for kind in Kind}
    weights: dict[int | None, float] = {}
    made: list[_Made] = []
    # As they came, since so they lie in memory.
    for key, (observable, seen, confidence, text) in told.items():
        kind, value = observable
        at = now if seen is None else seen
        heft = weights.get(confidence)
        if heft is None:
            heft = weights[confidence] = weight(confidence, source.reliability)
        cap = cap_of(observable)
        if cap is None and key not in reported:
            score, change = assessors[kind].assess(heft, at)
        else:
            evidence = evidence_of(cap, *reported.get(key, (0, 0)))
            claim = ClaimRow(speaker.origin, heft, at, min(now, at), None, source.number)
            score, change = assess(kind, [claim], evidence, now)
        made.append((key, KIND_CODE[kind], value, score, change, cap, at, seen, confidence, text))
    return made


def newest_number(conn: Connection) -> int:
    """Gives the number of the observable that was made last; 0 where there is none."""
    return int(conn.execute("SELECT coalesce(max(number), 0) FROM observable").fetchone()[0])


def _list(conn: Connection, rows: Sequence[tuple[int, Micros, Micros, Micros | None, int | None, str | None]]) -> None:
    """Writes the list's own rows; each NULL that is bound costs a fifth as much as a row, so they are left out."""
    if all(row[3:] == _NOTHING_BESIDE for row in rows):
        conn.executemany("INSERT OR REPLACE INTO listed (id, since, said) VALUES (?, ?, ?)", [row[:3] for row in rows])
    else:
        conn.executemany(
            "INSERT OR REPLACE INTO listed (id, since, said, seen, confidence, text) VALUES (?, ?, ?, ?, ?, ?)", rows
        )
