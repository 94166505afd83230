"""What lists name: a row a value, as its list last said it, kept with the day on which it left the list.

A list makes one claim about each value that it names. The claim stands in the name of the list and not of an object,
since rows have no ids; ``list_key`` gives what stands for the object. A value that is named again without a time of
its own is said anew once a day (``SAID_ANEW``), so that it does not decay while it is listed, and a list that nobody
maintains any more decays as a whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from threatshare.model import Micros, Observable, Reject
from threatshare.ports import Listed
from threatshare.store.connection import Connection
from threatshare.store.keys import CODE_KIND, KeyOf, object_key, observable_key
from threatshare.store.knowledge import CapOf, Merged, Row, Touched, recall, write
from threatshare.store.lookups import LISTED_BITS
from threatshare.store.sources import Origins, Source
from threatshare.triage.evidence import weight
from threatshare.triage.score import ClaimRow

SAID_ANEW: Micros = 24 * 3_600_000_000
"""How old a claim without a time of its own may be before naming the value says it anew."""
_LIST = "list"
_TAKEN = "its key in this store is taken by another value"


class _Held(NamedTuple):
    """A value's row."""

    id: int
    """``source.number << 40 | number of the observable``: rows of one list are written in order, at the end."""
    since: Micros
    """Since when it is listed without a break."""
    said: Micros
    """When the list last said so, which is what its claim decays from."""
    gone: Micros | None
    """Since when it is no longer listed."""
    seen: Micros | None
    confidence: int | None
    text: str | None


class ListMerge:
    """One reading of one list; its methods are called inside the caller's transactions."""

    def __init__(
        self,
        conn: Connection,
        key_of: KeyOf,
        source: Source,
        origins: Origins,
        reliabilities: Mapping[int, str],
        cap_of: CapOf,
    ) -> None:
        """``reliabilities`` gives the Admiralty letter of every source number."""
        self._conn = conn
        self._key_of = key_of
        self._source = source
        self._origins = origins
        self._reliabilities = reliabilities
        self._cap_of = cap_of
        self._object = list_key(key_of, source)
        self._first = self._swept = source.number << LISTED_BITS
        self._last = self._first | (1 << LISTED_BITS) - 1
        self._met = f"listed_{source.number}"
        # Of this connection alone and not of the store: half a reading is forgotten with the process.
        conn.execute(f"DROP TABLE IF EXISTS temp.{self._met}")
        conn.execute(f"CREATE TEMP TABLE {self._met} (id INTEGER PRIMARY KEY)")

    @property
    def named(self) -> int:
        """How many values this reading has met so far."""
        return int(self._conn.execute(f"SELECT count(*) FROM temp.{self._met}").fetchone()[0])

    def take(self, rows: Sequence[Listed], now: Micros) -> tuple[Merged, int]:
        """Brings rows onto the observables that they name; gives what changed, and how many rows said nothing new."""
        result = Merged()
        told, unchanged = self._once(rows, result)
        held = self._held(told)
        met = self._known_met(one.id for one in held.values())
        said: dict[int, tuple[Listed, Micros]] = {}
        for key, row in told.items():
            before = held.get(key)
            if before is None:
                result.new += 1
                said[key] = row, now
            elif not _is_news(row, before, before.id in met, now):
                unchanged += 1
            elif before.gone is None and _says_the_same(row, before):
                # Said anew, without a change.
                unchanged += 1
                said[key] = row, before.since
            else:
                result.changed += 1
                said[key] = row, before.since if before.gone is None else now
        ids = self._claim(said, result, now) if said else []
        ids += [one.id for one in held.values()]
        self._conn.executemany(f"INSERT OR IGNORE INTO temp.{self._met} VALUES (?)", sorted((one,) for one in ids))
        return result, unchanged

    def withdraw_missing(self, limit: int, now: Micros) -> int:
        """Takes back what is said of the next ``limit`` values that were not met; gives how many there were still."""
        ids = [
            row[0]
            for row in self._conn.execute(
                "SELECT id FROM listed WHERE id > ? AND id <= ? AND gone IS NULL"
                f" AND id NOT IN (SELECT id FROM temp.{self._met}) ORDER BY id LIMIT ?",
                (self._swept, self._last, limit),
            )
        ]
        self._swept = ids[-1] if ids else self._swept
        touched = {
            key: Touched(Observable(CODE_KIND[kind], value), key, {}, now)
            for key, kind, value in self._conn.execute(
                "SELECT key, kind, value FROM observable WHERE number IN (SELECT value FROM json_each(?))",
                (json.dumps([one - self._first for one in ids]),),
            )
        }
        gone = {(key, self._object) for key in touched}
        recall(self._conn, touched, self._reliabilities, gone, [])
        write(self._conn, touched, [], gone, self._cap_of, now)
        self._conn.executemany("UPDATE listed SET gone = ? WHERE id = ?", [(now, one) for one in ids])
        return len(ids)

    def end(self) -> None:
        """Forgets what was met."""
        self._conn.execute(f"DROP TABLE IF EXISTS temp.{self._met}")

    def _once(self, rows: Sequence[Listed], result: Merged) -> tuple[dict[int, Listed], int]:
        """Gives one row a value, by the value's key, the one that was seen last; and how many rows that leaves out."""
        told: dict[int, Listed] = {}
        for row in rows:
            key = observable_key(self._key_of, row.observable)
            first = told.setdefault(key, row)
            if first is row:
                continue
            if first.observable != row.observable:
                result.rejects.append(Reject(row.observable.value, _TAKEN))
            elif (row.seen or 0) > (first.seen or 0):
                told[key] = row
        return told, len(rows) - len(told)

    def _held(self, keys: Iterable[int]) -> dict[int, _Held]:
        return {
            row[0]: _Held(*row[1:])
            for row in self._conn.execute(
                "SELECT key, id, since, said, gone, seen, confidence, text FROM observable"
                " JOIN listed ON id = ? + number WHERE key IN (SELECT value FROM json_each(?))",
                (self._first, json.dumps(sorted(keys))),
            )
        }

    def _known_met(self, ids: Iterable[int]) -> set[int]:
        found = self._conn.execute(
            f"SELECT id FROM temp.{self._met} WHERE id IN (SELECT value FROM json_each(?))", (json.dumps(sorted(ids)),)
        )
        return {row[0] for row in found}

    def _claim(self, said: Mapping[int, tuple[Listed, Micros]], result: Merged, now: Micros) -> list[int]:
        """Writes the claims of rows, each with the time since when its value is listed; gives the rows' ids."""
        source, obj, tlp = self._source, self._object, int(self._source.default_tlp)
        origin = self._origins.number(source.lineage or source.name)
        number, reliability = source.number, source.reliability
        touched: dict[int, Touched] = {}
        rows: list[Row] = []
        weights: dict[int | None, float] = {}
        # In order of their keys, in which all of it is written.
        for key in sorted(said):
            (observable, seen, confidence, _), since = said[key]
            at = now if seen is None else seen
            begun = since if since < at else at
            heft = weights.get(confidence)
            if heft is None:
                heft = weights[confidence] = weight(confidence, reliability)
            about = ClaimRow(origin, heft, at, begun, None, number)
            entry = touched[key] = Touched(observable, key, {obj: (0, about)}, now)
            rows.append((entry, obj, number, origin, confidence, at, begun, None, tlp, 0))
        clashing = recall(self._conn, touched, self._reliabilities, set(), rows)
        if clashing:
            result.rejects += [Reject(one.value, _TAKEN) for one in sorted(clashing)]
            touched = {key: one for key, one in touched.items() if one.observable not in clashing}
            rows = [row for row in rows if row[0].observable not in clashing]
        write(self._conn, touched, rows, set(), self._cap_of, now)
        listed = []
        for key, entry in touched.items():
            (_, seen, confidence, text), since = said[key]
            said_at = now if seen is None else seen
            listed.append((self._first + entry.number, since, said_at, None, seen, confidence, text))
        self._conn.executemany("INSERT OR REPLACE INTO listed VALUES (?, ?, ?, ?, ?, ?, ?)", sorted(listed))
        return [row[0] for row in listed]


def list_key(key_of: KeyOf, source: Source) -> int:
    """Gives what stands in a list's claims for the key of an object."""
    return object_key(key_of, source.number, _LIST)


def count_listed(conn: Connection, source: Source) -> int:
    """Counts the values that a list names now."""
    first = source.number << LISTED_BITS
    found = conn.execute(
        "SELECT count(*) FROM listed WHERE id > ? AND id < ? AND gone IS NULL", (first, first + (1 << LISTED_BITS))
    )
    return int(found.fetchone()[0])


def _is_news(row: Listed, before: _Held, met: bool, now: Micros) -> bool:
    """Tells whether a row says something that its value's row does not say yet."""
    if before.gone is not None:
        return True
    if row.seen is not None and before.seen is not None and row.seen != before.seen:
        # Of several rows about one value the latest counts, in whatever order they come.
        return row.seen > before.seen
    if met:
        return False
    return not _says_the_same(row, before) or (row.seen is None and now - before.said >= SAID_ANEW)


def _says_the_same(row: Listed, before: _Held) -> bool:
    return (row.seen, row.confidence, row.text) == (before.seen, before.confidence, before.text)
