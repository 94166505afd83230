"""What lists name: a row a value, as its list last said it, kept with the day on which it left the list.

A list makes one claim about each value that it names. The claim stands in the name of the list and not of an object,
since rows have no ids; ``list_key`` gives what stands for the object. A value that is named again without a time of
its own is said anew once a day (``SAID_ANEW``), so that it does not decay while it is listed, and a list that nobody
maintains any more decays as a whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

from threatshare.model import Micros, Observable, Reject
from threatshare.ports import Listed
from threatshare.store.connection import Connection
from threatshare.store.first_claims import Speaker, claim_first, newest_number
from threatshare.store.keys import CODE_KIND, KeyOf, object_key, observable_key
from threatshare.store.knowledge import CapOf, Merged, Row, Touched, recall, write
from threatshare.store.lookups import LISTED_BITS
from threatshare.store.sources import Origins, Source
from threatshare.triage.evidence import weight
from threatshare.triage.score import ClaimRow

SAID_ANEW: Micros = 24 * 3_600_000_000
"""How old a claim without a time of its own may be before naming the value says it anew."""
_LIST = "list"
_ROOM = 65_536
"""Observables for which room is made at a time."""
_TAKEN = "its key in this store is taken by another value"

_Known = tuple[int, int, Micros, Micros, Micros | None, Micros | None, int | None, str | None]
"""Of a value that the store has: key and number, and how this list last named it: since when without a break, when it
last said so, which is what the claim decays from, since when no longer, and the rest of its row."""


class ListMerge:
    """One reading of one list; its methods are called inside the caller's transactions."""

    def __init__(
        self,
        conn: Connection,
        key_of: KeyOf,
        source: Source,
        origins: Origins,
        speakers: Mapping[int, Source],
        cap_of: CapOf,
    ) -> None:
        """``speakers`` gives every source by its number, as it is known now."""
        self._conn = conn
        self._key_of = key_of
        self._source = source
        self._origins = origins
        self._speakers = speakers
        self._cap_of = cap_of
        self._object = list_key(key_of, source)
        self._first = self._swept = source.number << LISTED_BITS
        self._newest = newest_number(conn)
        """Rows of this list about observables that come later are all from this reading."""
        self._met = _Met()

    @property
    def named(self) -> int:
        """How many values this reading has met so far."""
        return self._met.count

    def take(self, rows: Sequence[Listed], now: Micros) -> tuple[Merged, int]:
        """Brings rows onto the observables that they name; gives what changed, and how many rows said nothing new."""
        result = Merged()
        told = self._once(rows, result)
        unchanged = len(rows) - len(told)
        known = self._known(told)
        said: dict[int, tuple[Listed, Micros]] = {}
        for key, number, since, said_at, gone, seen, confidence, text in known:
            row = told[key]
            if since is None:
                result.new += 1
                said[key] = row, now
                continue
            met = self._met.add(number)
            if gone is not None:
                result.changed += 1
                said[key] = row, now
            elif row[1:] == (seen, confidence, text):
                unchanged += 1
                if seen is None and not met and now - said_at >= SAID_ANEW:
                    said[key] = row, since
            elif _is_news(row.seen, seen, met):
                result.changed += 1
                said[key] = row, since
            else:
                unchanged += 1
        if said:
            self._claim(said, result, now)
        for one in known:
            del told[one[0]]
        if told:
            self._claim_first(told, now)
            result.new += len(told)
        return result, unchanged

    def withdraw_missing(self, limit: int, now: Micros) -> int:
        """Takes back what is said of the next ``limit`` values that were not met; gives how many there were still."""
        ids = list(islice(self._missing(), limit))
        self._swept = ids[-1] if ids else self._swept
        touched = {
            key: Touched(Observable(CODE_KIND[kind], value), key, {}, now)
            for key, kind, value in self._conn.execute(
                "SELECT key, kind, value FROM observable WHERE number IN (SELECT value FROM json_each(?))",
                (json.dumps([one - self._first for one in ids]),),
            )
        }
        gone = {(key, self._object) for key in touched}
        recall(self._conn, touched, self._speakers, gone, [])
        write(self._conn, touched, [], gone, self._cap_of, now)
        self._conn.executemany("UPDATE listed SET gone = ? WHERE id = ?", [(now, one) for one in ids])
        return len(ids)

    def end(self) -> None:
        """Forgets what was met."""
        self._met = _Met()

    def _missing(self) -> Iterator[int]:
        """Yields the rows of values that are listed and were not met, in order, behind those that were withdrawn."""
        for (one,) in self._conn.execute(
            "SELECT id FROM listed WHERE id > ? AND id <= ? AND gone IS NULL ORDER BY id",
            (self._swept, self._first + self._newest),
        ):
            if one - self._first not in self._met:
                yield one

    def _once(self, rows: Sequence[Listed], result: Merged) -> dict[int, Listed]:
        """Gives one row a value, by the value's key: of several the one that was seen last."""
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
        return told

    def _known(self, keys: Iterable[int]) -> list[_Known]:
        """Reads what the store has of values, and what this list has said of them."""
        return self._conn.execute(
            "SELECT key, number, since, said, gone, seen, confidence, text FROM observable"
            " LEFT JOIN listed ON id = ? + number WHERE key IN (SELECT value FROM json_each(?))",
            (self._first, json.dumps(sorted(keys))),
        ).fetchall()

    def _claim_first(self, told: Mapping[int, Listed], now: Micros) -> None:
        """Writes the claims of rows about values that the store does not have."""
        speaker = Speaker(self._source, self._origin(), self._object)
        self._met.add_all(claim_first(self._conn, speaker, self._cap_of, told, now))

    def _claim(self, said: Mapping[int, tuple[Listed, Micros]], result: Merged, now: Micros) -> None:
        """Writes the claims of rows about values that the store has, each with the time since when it is listed."""
        source, obj, tlp = self._source, self._object, int(self._source.default_tlp)
        origin = self._origin()
        number, reliability = source.number, source.reliability
        voice = self._speakers.get(number, source).voice
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
            about = ClaimRow(origin, heft, at, begun, None, voice)
            entry = touched[key] = Touched(observable, key, {obj: about}, now)
            rows.append((entry, obj, number, origin, confidence, at, begun, None, tlp, 0))
        clashing = recall(self._conn, touched, self._speakers, set(), rows)
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
            self._met.add(entry.number)
        self._conn.executemany("INSERT OR REPLACE INTO listed VALUES (?, ?, ?, ?, ?, ?, ?)", sorted(listed))

    def _origin(self) -> int:
        return self._origins.number(self._source.lineage or self._source.name)


class _Met:
    """Which observables a reading has met, by their numbers: a byte each, and nothing in the store."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    @property
    def count(self) -> int:
        """How many it has met."""
        return self._bytes.count(1)

    def __contains__(self, number: int) -> bool:
        return number < len(self._bytes) and self._bytes[number] == 1

    def add(self, number: int) -> bool:
        """Adds one; tells whether it was met before."""
        if number >= len(self._bytes):
            self._bytes += bytes(number + _ROOM - len(self._bytes))
        before = self._bytes[number]
        self._bytes[number] = 1
        return before == 1

    def add_all(self, numbers: range) -> None:
        """Adds several in a row."""
        if numbers:
            self.add(numbers[-1])
            self._bytes[numbers[0] : numbers[-1] + 1] = b"\1" * len(numbers)


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


def _is_news(seen: Micros | None, before: Micros | None, met: bool) -> bool:
    """Tells whether a row that says something else counts: of several rows about one value the latest, in any order."""
    if seen is not None and before is not None and seen != before:
        return seen > before
    return not met
