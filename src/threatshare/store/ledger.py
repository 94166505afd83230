"""The ledger: what the gate let into our collections, a row an entry, each row bound to the one before by SHA-256.

A row is hashed as one line of canonical JSON (``docs/explain/ledger.md``) that holds the hash of the row
before it. In the tables a row is short: what many rows have in common, the terms on which they left, lies
in ``ledger_terms``; an id's type lies there too, and its UUID is 16 bytes. Rows are only ever added.
Triggers refuse anything else, as a guard against mistakes; against intent there is the chain.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from json.encoder import encode_basestring_ascii
from typing import Any, NamedTuple

from threatshare.model import Micros
from threatshare.store.connection import Connection
from threatshare.store.entries import SEQ_BITS

GENESIS = "0" * 64
"""Stands where the first row would have the hash of the one before it."""
_UUID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").fullmatch


def guards(table: str, words: str = "the ledger is only ever added to") -> list[str]:
    """Gives the statements that make triggers against changing a table's rows.

    They are made with its first row: migrations are split at semicolons, and a trigger has one inside.
    """
    return [
        f"CREATE TRIGGER IF NOT EXISTS {table}_no_{verb.lower()} BEFORE {verb} ON {table}"
        f" BEGIN SELECT RAISE(ABORT, '{words}'); END"
        for verb in ("UPDATE", "DELETE")
    ]


class What(StrEnum):
    """What a row records."""

    OPENING = "opening"
    """The first row: whose ledger this is, and since when."""
    INTRODUCTION = "introduction"
    """Our Identity, which goes before the first object that names us."""
    RELEASE = "release"
    WITHDRAWAL = "withdrawal"
    DELETION = "deletion"
    """An entry was taken out of its collection again; whoever has read it still has it."""


class Agreed(NamedTuple):
    """Which version of which agreement something left under."""

    partner: str
    version: int
    sha256: str
    """Of what it says, in hexadecimal digits, as ``policy.agreements.digest`` gives it."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What rows of one audience have in common."""

    what: What
    type: str
    """STIX type of the object."""
    collection: int = 0
    alias: str = ""
    kind: str = ""
    partner: str | None = None
    """None: our own organisation."""
    agreement: Agreed | None = None
    rules: tuple[str, ...] = ()
    """Ids of the rules that let it out; of a withdrawal, also of those for which it may no longer stand."""
    approved: tuple[tuple[str, str], ...] = ()
    """(rule id, person) where a person released what a rule held."""

    @property
    def text(self) -> str:
        """Canonical JSON: names in order, no spaces, ASCII."""
        told = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return canonical(told | {"agreement": self.agreement._asdict() if self.agreement else None})


class Line(NamedTuple):
    """An entry that is to be recorded."""

    entry: int
    """Its id: ``collection.number << 40 | seq``."""
    type: str
    object_id: str
    version: Micros
    digest: bytes
    """SHA-256 of the served bytes."""
    terms: str
    """``Terms.text``."""


class Row(NamedTuple):
    """A recorded entry."""

    number: int
    at: Micros
    digest: str
    object_id: str
    previous: str
    seq: int
    terms: str
    version: Micros
    hash: str

    @property
    def told(self) -> dict[str, Any]:
        """The terms, read; where they cannot be, of that kind ``unreadable``."""
        return _told(self.terms)

    @property
    def exported(self) -> str:
        """The line of an export: the hashed fields, and the hash behind them."""
        return f'{encoded(*self[:-1])[:-1]},"hash":"{self.hash}"}}'


_UNREADABLE: Mapping[str, Any] = {
    "what": "unreadable",
    "type": "",
    "collection": 0,
    "alias": "",
    "kind": "",
    "partner": None,
    "agreement": None,
    "rules": [],
    "approved": [],
}


class Head(NamedTuple):
    """The last row: who has seen it knows of every row before it."""

    number: int
    hash: str


def canonical(told: object) -> str:
    """Writes JSON in the one way in which it is hashed."""
    return json.dumps(told, sort_keys=True, separators=(",", ":"))


def encoded(
    number: int, at: Micros, digest: str, object_id: str, previous: str, seq: int, terms: str, version: Micros
) -> str:
    """Gives what is hashed of a row: canonical JSON of all its fields and the hash of the row before it.

    As ``canonical`` would write it; put together by hand, since that takes a quarter of the time.
    """
    return (
        f'{{"at":{at},"digest":"{digest}","number":{number},"object":{encode_basestring_ascii(object_id)},'
        f'"previous":"{previous}","seq":{seq},"terms":{terms},"version":{version}}}'
    )


def record(conn: Connection, identity: str, lines: Sequence[Line], at: Micros) -> None:
    """Adds rows in order, in the transaction of their entries; before the first ever, the row that opens the ledger."""
    if not lines:
        return
    known = head(conn)
    if known is None:
        for guard in (*guards("ledger"), *guards("ledger_terms")):
            conn.execute(guard)
        opening = Line(0, "identity", identity, 0, b"", Terms(What.OPENING, "identity").text)
        _add(conn, [opening, *lines], at, Head(0, GENESIS))
    else:
        _add(conn, lines, at, known)


def record_deletions(
    conn: Connection, identity: str, entries: Iterable[int], rule: str, person: str | None, at: Micros
) -> None:
    """Records that entries of ours are about to be deleted, in the transaction that does so, before it does.

    ``rule`` says what deletes them, ``person`` who asked for it. Withdrawing is what is normally done; this is for
    what leaves no trace in the collection, as the end of an exercise.
    """
    lines = []
    for entry in entries:
        found = conn.execute(
            "SELECT entry.type, object_id, version, body, alias, kind, partner FROM entry"
            " JOIN collection ON collection.number = entry.id >> 40 WHERE entry.id = ?",
            (entry,),
        ).fetchone()
        if found is not None:
            kind, object_id, version, body, alias, audience, partner = found
            approved = ((rule, person),) if person else ()
            terms = Terms(What.DELETION, kind, entry >> SEQ_BITS, alias, audience, partner, None, (rule,), approved)
            lines.append(Line(entry, kind, object_id, version, sha256(body).digest(), terms.text))
    record(conn, identity, lines, at)


def head(conn: Connection) -> Head | None:
    """Gives the last row's number and hash; None where the ledger is empty."""
    row = conn.execute("SELECT number, hash FROM ledger ORDER BY number DESC LIMIT 1").fetchone()
    return None if row is None else Head(row[0], hexadecimal(row[1]))


def all_terms(conn: Connection) -> dict[int, str]:
    """Gives all terms by number."""
    found = conn.execute("SELECT number, CAST(text AS BLOB) FROM ledger_terms").fetchall()
    return {number: bytes(text).decode("utf-8", "replace") for number, text in found}


def rows(conn: Connection) -> Iterator[Row]:
    """Yields every row, oldest first, as it stands: whether it is what was recorded, ``ledger_check`` tells."""
    previous, terms = GENESIS, all_terms(conn)
    for stored in conn.execute(f"SELECT {COLUMNS} FROM ledger ORDER BY number"):
        row = _row(stored, terms, previous)
        previous = row.hash
        yield row


def chosen(
    conn: Connection,
    limit: int,
    object_ids: Sequence[str] | None = None,
    partner: str | None = None,
    begin: Micros | None = None,
    end: Micros | None = None,
) -> list[Row]:
    """Gives the newest rows about some objects, one partner, a time from ``begin`` to before ``end``; newest first.

    The table is read from its end: some millions of rows a second.
    """
    terms = all_terms(conn)
    wanted = [number for number, text in terms.items() if partner is None or _told(text)["partner"] == partner]
    tails = None if object_ids is None else {*object_ids, *(_tail(one.partition("--")[0], one) for one in object_ids)}
    marks = "" if tails is None else f" AND object IN ({', '.join('?' * len(tails))})"
    found = conn.execute(
        f"SELECT {COLUMNS}, (SELECT before.hash FROM ledger AS before"
        f" WHERE before.number = ledger.number - 1) FROM ledger"
        " WHERE at >= coalesce(?, at) AND at < coalesce(?, at + 1)"
        f" AND terms IN (SELECT value FROM json_each(?)){marks} ORDER BY number DESC LIMIT ?",
        (begin, end, json.dumps(wanted), *(tails or ()), limit),
    ).fetchall()
    made = [_row(stored, terms, GENESIS if before is None else hexadecimal(before)) for *stored, before in found]
    return [one for one in made if object_ids is None or one.object_id in object_ids]


COLUMNS = "ledger.number, at, digest, object, entry, terms, ledger.version, hash"


def object_id_of(kind: str, tail: bytes | str) -> str:
    """Gives an object's id from its type and what is stored of it."""
    if not isinstance(tail, bytes):
        return str(tail)
    text = tail.hex()
    return f"{kind}--{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def hexadecimal(stored: object) -> str:
    """Writes stored bytes; anything else that somebody put in their place is not what was hashed, as it is."""
    return stored.hex() if isinstance(stored, bytes) else str(stored)


def _told(text: str) -> dict[str, Any]:
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        told = None
    return {**_UNREADABLE, **(told if isinstance(told, dict) else {})}


def _row(stored: Sequence[Any], terms: dict[int, str], previous: str) -> Row:
    number, at, digest, tail, entry, terms_number, version, hashed = stored
    text = terms.get(terms_number, "null")
    told = _told(text)
    seq = entry - (told["collection"] << SEQ_BITS)
    object_id = object_id_of(told["type"], tail)
    return Row(number, at, hexadecimal(digest), object_id, previous, seq, text, version, hexadecimal(hashed))


def _add(conn: Connection, lines: Sequence[Line], at: Micros, last: Head) -> None:
    number, previous = last
    numbers: dict[str, int] = {}
    made = []
    for entry, kind, object_id, version, digest, terms in lines:
        number += 1
        if terms not in numbers:
            numbers[terms] = _terms_number(conn, terms)
        seq = entry & (1 << SEQ_BITS) - 1
        text = encoded(number, at, digest.hex(), object_id, previous, seq, terms, version)
        hashed = sha256(text.encode())
        previous = hashed.hexdigest()
        tail = _tail(kind, object_id)
        made.append((number, at, numbers[terms], entry, tail, version, digest, hashed.digest()))
    conn.executemany("INSERT INTO ledger VALUES (?, ?, ?, ?, ?, ?, ?, ?)", made)


def _terms_number(conn: Connection, text: str) -> int:
    row = conn.execute("SELECT number FROM ledger_terms WHERE text = ?", (text,)).fetchone()
    if row is None:
        row = conn.execute("INSERT INTO ledger_terms (text) VALUES (?) RETURNING number", (text,)).fetchone()
    return int(row[0])


def _tail(kind: str, object_id: str) -> bytes | str:
    """Gives what is stored of an id: the bytes of its UUID, or all of it where it is not of the usual form."""
    before, _, uuid = object_id.partition("--")
    return bytes.fromhex(uuid.replace("-", "")) if before == kind and _UUID(uuid) else object_id
