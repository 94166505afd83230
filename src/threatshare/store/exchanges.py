"""What passed between us and a partner in a period: read-only, and what it costs follows the period.

Versions, rejects and the ledger's rows are numbered as they come, and have no index on their times: where a period
begins among the numbers is found by halving, some dozens of rows at any size. The clock that wrote the times may have
been set back since, so the search begins an hour early, and each row's own time decides.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from threatshare.model import Micros
from threatshare.store.connection import Connection
from threatshare.store.ledger import all_terms
from threatshare.store.reads import HOUR


@dataclass(frozen=True, slots=True)
class Sent:
    """A version that was put into a partner's collection."""

    entry: int
    """Its id: ``collection.number << 40 | seq``."""
    object_id: str
    type: str
    first: bool
    """Whether the collection held no version of it before."""
    body: bytes


@dataclass(frozen=True, slots=True)
class Arrival:
    """A version that came in, or that we made ourselves: which of both, the key of its object tells."""

    object: int
    new: bool
    """Whether no version of it was held before."""
    received: Micros
    body: bytes


def sent(conn: Connection, collections: Iterable[int], begin: Micros, end: Micros) -> Iterator[Sent]:
    """Yields what was put into some collections from ``begin`` to before ``end``, in the order of each."""
    for number in collections:
        for entry, object_id, kind, first, body in conn.execute(
            "SELECT id, object_id, type, NOT EXISTS (SELECT 1 FROM entry AS before"
            " WHERE before.object_id = entry.object_id AND before.id >> 40 = entry.id >> 40"
            " AND before.version < entry.version), body FROM entry"
            " WHERE id >> 40 = ? AND added >= ? AND added < ? ORDER BY added",
            (number, begin, end),
        ):
            yield Sent(entry, object_id, kind, bool(first), bytes(body))


def causes(conn: Connection, entries: Sequence[int], begin: Micros) -> dict[int, tuple[str, ...]]:
    """Gives by entry the rules that the ledger names; entries that it does not name since ``begin`` are left out."""
    if not entries:
        return {}
    texts = all_terms(conn)
    return {
        entry: tuple(json.loads(texts[terms])["rules"])
        for entry, terms in conn.execute(
            "SELECT entry, terms FROM ledger WHERE number >= ? AND entry IN (SELECT value FROM json_each(?))",
            (_first(conn, "ledger", "at", begin), json.dumps(list(entries))),
        )
        if terms in texts
    }


def arrivals(conn: Connection, begin: Micros, end: Micros, only: Sequence[str] = ()) -> Iterator[Arrival]:
    """Yields the versions that were kept from ``begin`` to before ``end``, of every source and of ours, as they came.

    ``only``: words one of which a body must hold, such as a type's name, for passing over the rest quickly.
    """
    holds = " OR ".join("instr(body, ?) > 0" for _ in only)
    for key, previous, received, body in conn.execute(
        "SELECT object, previous, received, body FROM version WHERE number >= ? AND number < ?"
        " AND received >= ? AND received < ?" + (f" AND ({holds})" if only else "") + " ORDER BY number",
        (
            _first(conn, "version", "received", begin),
            _first(conn, "version", "received", end + 2 * HOUR),
            begin,
            end,
            *(word.encode() for word in only),
        ),
    ):
        yield Arrival(key, previous is None, received, bytes(body))


def rejected(conn: Connection, origins: Iterable[str], begin: Micros, end: Micros) -> Counter[str]:
    """Counts what was kept aside of some feeds and accounts, by reason; of each the newest ten thousand are known."""
    return Counter(
        dict(
            conn.execute(
                "SELECT reason, count(*) FROM reject WHERE number >= ? AND at >= ? AND at < ?"
                " AND origin IN (SELECT value FROM json_each(?)) GROUP BY reason",
                (_first(conn, "reject", "at", begin), begin, end, json.dumps(list(origins))),
            ).fetchall()
        )
    )


def held_by(conn: Connection, collections: Iterable[int], object_ids: Iterable[str]) -> dict[str, Micros]:
    """Gives those of some objects that were ever put into some collections, with when the latest version was added."""
    return dict(
        conn.execute(
            "SELECT object_id, max(added) FROM entry WHERE object_id IN (SELECT value FROM json_each(?))"
            " AND id >> 40 IN (SELECT value FROM json_each(?)) GROUP BY object_id",
            (json.dumps(list(object_ids)), json.dumps(list(collections))),
        ).fetchall()
    )


def released(conn: Connection, collections: Iterable[int], object_ids: Iterable[str]) -> set[str]:
    """Gives those of some objects of ours that were ever released to some collections, under whatever id."""
    return {
        row[0]
        for row in conn.execute(
            "SELECT object_id FROM release WHERE length(digest) > 0"
            " AND collection IN (SELECT value FROM json_each(?)) AND object_id IN (SELECT value FROM json_each(?))",
            (json.dumps(list(collections)), json.dumps(list(object_ids))),
        )
    }


def waiting_for_people(conn: Connection, collections: Iterable[int]) -> int:
    """Counts what the gate holds back from some collections until a person or a date lets it go."""
    row = conn.execute(
        "SELECT count(*) FROM release WHERE verdict = 'hold' AND collection IN (SELECT value FROM json_each(?))",
        (json.dumps(list(collections)),),
    ).fetchone()
    return int(row[0])


@dataclass(frozen=True, slots=True)
class Standing:
    """How many decisions on objects for a partner stand, by what became of them."""

    released: int = 0
    withdrawn: int = 0
    held: int = 0


def standing_of(conn: Connection, collections: Iterable[int]) -> Standing:
    """Counts what a partner's collections hold, what was withdrawn from them, and what is held back."""
    return Standing(
        *conn.execute(
            "SELECT coalesce(sum(verdict = 'release'), 0),"
            " coalesce(sum(verdict <> 'release' AND length(digest) > 0), 0), coalesce(sum(verdict = 'hold'), 0)"
            # Our Identity goes along with what names us, and is no release.
            " FROM release WHERE collection IN (SELECT value FROM json_each(?)) AND object_id NOT LIKE 'identity--%'",
            (json.dumps(list(collections)),),
        ).fetchone()
    )


def last_collected(conn: Connection, collections: Iterable[int]) -> dict[str, Micros]:
    """Gives by account when news of some collections was last sent to it; asking when there is none leaves no trace."""
    return dict(
        conn.execute(
            "SELECT account, max(last_at) FROM taxii_read WHERE collection IN (SELECT value FROM json_each(?))"
            " GROUP BY account ORDER BY account",
            (json.dumps(list(collections)),),
        ).fetchall()
    )


def last_pushed(conn: Connection, collections: Iterable[int]) -> Micros | None:
    """Gives when a delivery of some collections to their partner's server last went well."""
    row: Any = conn.execute(
        "SELECT max(last_success) FROM push_target WHERE collection IN (SELECT value FROM json_each(?))",
        (json.dumps(list(collections)),),
    ).fetchone()
    return None if row[0] is None else int(row[0])


def last_posted(conn: Connection, accounts: Iterable[str]) -> Micros | None:
    """Gives when one of some accounts last posted, as far as its statuses are still kept."""
    row: Any = conn.execute(
        "SELECT max(created) FROM taxii_status WHERE account IN (SELECT value FROM json_each(?))",
        (json.dumps(list(accounts)),),
    ).fetchone()
    return None if row[0] is None else int(row[0])


_TABLES = frozenset({("version", "received"), ("reject", "at"), ("ledger", "at")})


def _first(conn: Connection, table: str, column: str, at: Micros) -> int:
    """Gives the number of about the first row of an hour before a moment; one beyond the last where there is none."""
    assert (table, column) in _TABLES
    # Asked for together, SQLite would read the whole table.
    low, high = conn.execute(
        f"SELECT coalesce((SELECT min(number) FROM {table}), 0), coalesce((SELECT max(number) FROM {table}) + 1, 0)"
    ).fetchone()
    wanted = at - HOUR
    while low < high:
        middle = (low + high) // 2
        # Where rows were deleted, the next that is left speaks for the gap.
        number, found = conn.execute(
            f"SELECT number, {column} FROM {table} WHERE number >= ? ORDER BY number LIMIT 1", (middle,)
        ).fetchone()
        if found < wanted:
            low = number + 1
        else:
            high = middle
    return int(low)
