"""Checks the ledger: the chain, what anchors witnessed, and that ledger, entries and releases say the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import chain
from typing import Any

from threatshare.model import CollectionKind
from threatshare.stix.objects import reborn_id
from threatshare.store.blocks import wrong_blocks
from threatshare.store.connection import Connection
from threatshare.store.entries import SEQ_BITS
from threatshare.store.faults import StoreFault
from threatshare.store.ledger import (
    COLUMNS,
    GENESIS,
    Head,
    What,
    all_terms,
    canonical,
    chosen,
    encoded,
    hexadecimal,
    object_id_of,
)

MOST_PROBLEMS = 100
"""Told one by one; the rest is counted."""
_STEP = 10_000
_OTHERS = (CollectionKind.INBOX, CollectionKind.EXCHANGE)
"""What stands there was posted by members and let out by no gate of ours."""


_NONE = Head(0, GENESIS)


@dataclass(slots=True)
class Checked:
    """What a check found."""

    rows: int = 0
    head: Head = _NONE
    anchors: int = 0
    """Witnessed heads that are still in the chain."""
    problems: list[str] = field(default_factory=list)
    """In the order in which they were met; the first names the first bad row."""
    untold: int = 0
    """Problems beyond those."""

    def note(self, problem: str) -> None:
        """Keeps a problem."""
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(problem)
        else:
            self.untold += 1


@dataclass(frozen=True, slots=True)
class _Terms:
    """Terms as a row needs them, read once."""

    text: str
    what: What
    type: str
    collection: int
    alias: str


def check(
    conn: Connection,
    anchors: Mapping[int, Sequence[str]] | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> Checked:
    """Checks every row against the one before it, its entry and the anchors; then collections, releases and blocks.

    ``anchors`` are hashes by row number. ``advance`` is told how many rows are done. Everything is read from one
    snapshot; memory grows with nothing but the number of deleted entries.
    """
    own = not conn.in_transaction
    if own:
        conn.execute("BEGIN")
    try:
        walk = _Walk(conn, anchors or {})
        walk.run(advance)
        _unrecorded(conn, walk)
        _unreleased(conn, walk)
        for block in wrong_blocks(conn):
            place = f"collection {block >> SEQ_BITS}, block {block & (1 << SEQ_BITS) - 1}"
            walk.found.note(f"{place}: what is served in one piece is not what its entries say")
    finally:
        if own:
            conn.execute("COMMIT")
    return walk.found


class _Walk:
    """One pass over the rows."""

    def __init__(self, conn: Connection, anchors: Mapping[int, Sequence[str]]) -> None:
        self.found = Checked()
        self.seqs: dict[int, int] = {}
        """Last recorded sequence number by collection."""
        self.deleted: set[int] = set()
        self._missing: dict[int, int] = {}
        """Rows by entry for entries that are not there; each must be met by a deletion."""
        self._number, self._hash = _NONE
        self._conn = conn
        self._anchors = anchors
        self._terms = _read_terms(conn)

    def run(self, advance: Callable[[int], None]) -> None:
        """Checks all rows."""
        read = self._conn.execute(
            f"SELECT {COLUMNS}, object_id, served.version, body FROM ledger"
            " LEFT JOIN entry AS served ON served.id = ledger.entry ORDER BY ledger.number"
        )
        try:
            for row in read:
                self._row(*row)
                if self.found.rows % _STEP == 0:
                    advance(self.found.rows)
        except StoreFault as problem:
            # Text that is not UTF-8: nothing that this program has written.
            self.found.note(f"row {self._number + 1}: cannot be read: {problem}")
        self.found.head = Head(self._number, self._hash)
        advance(self.found.rows)
        self._finish()

    def _row(
        self,
        number: int,
        at: int,
        digest: bytes,
        tail: bytes | str,
        entry: int,
        terms_number: int,
        version: int,
        hashed: bytes,
        *served: Any,
    ) -> None:
        found, hexed = self.found, hexadecimal(hashed)
        expected, previous = self._number + 1, self._hash
        if number != expected:
            found.note(f"row {expected} is missing: the next is {number}")
        terms = self._terms.get(terms_number)
        if terms is None:
            found.note(f"row {number}: its terms ({terms_number}) are missing or cannot be read")
        else:
            object_id = object_id_of(terms.type, tail)
            seq = entry - (terms.collection << SEQ_BITS)
            text = encoded(number, at, hexadecimal(digest), object_id, previous, seq, terms.text, version)
            if sha256(text.encode("utf-8", "replace")).hexdigest() != hexed:
                found.note(f"row {number}: what it says, or the row before it, does not give its hash")
            else:
                self._entry(number, terms, entry, seq, (object_id, version, digest), served)
        if number in self._anchors:
            self._anchored(number, hexed)
        self._number, self._hash = number, hexed
        found.rows += 1

    def _anchored(self, number: int, hashed: str) -> None:
        for witnessed in self._anchors[number]:
            if witnessed == hashed:
                self.found.anchors += 1
            else:
                self.found.note(f"row {number}: an anchor witnessed another hash: the ledger was made anew up to here")

    def _entry(
        self, number: int, terms: _Terms, entry: int, seq: int, said: tuple[str, int, bytes], served: Sequence[Any]
    ) -> None:
        """Holds a row against its entry."""
        object_id, version, digest = said
        if terms.what is What.OPENING:
            if number != 1:
                self.found.note(f"row {number}: opens the ledger a second time")
        elif terms.what is What.DELETION:
            self._deletion(number, terms, entry, seq, still=served[2] is not None)
        else:
            last = self.seqs.get(terms.collection, 0)
            if seq != last + 1:
                self.found.note(f"row {number}: entry {seq} of {terms.alias} follows {last}: rows between are missing")
            self.seqs[terms.collection] = seq
            if served[2] is None:
                self._missing[entry] = number
            elif _digest(served[2]) != digest or served[0] != object_id or served[1] != version:
                self.found.note(f"row {number}: entry {seq} of {terms.alias} is not what was released ({object_id})")

    def _deletion(self, number: int, terms: _Terms, entry: int, seq: int, still: bool) -> None:
        if still:
            self.found.note(f"row {number}: entry {seq} of {terms.alias} still stands")
        elif self._missing.pop(entry, None) is None:
            self.found.note(f"row {number}: entry {seq} of {terms.alias} was never released")
        self.deleted.add(entry)

    def _finish(self) -> None:
        for entry, number in self._missing.items():
            terms = f"entry {entry & (1 << SEQ_BITS) - 1} of collection {entry >> SEQ_BITS}"
            self.found.note(f"row {number}: {terms} is gone, and no row records its deletion")
        for number in sorted(self._anchors):
            if number > self.found.head.number:
                self.found.note(f"row {number} is missing: an anchor witnessed it, and the ledger ends before it")


def _digest(body: bytes | str) -> bytes:
    # Bytes are what we store; text is what somebody may have put in their place.
    return sha256(body if isinstance(body, bytes) else body.encode("utf-8", "replace")).digest()


def _read_terms(conn: Connection) -> dict[int, _Terms]:
    """Reads all terms; leaves out what is not written as we write, so that no two texts are read alike."""
    read = {}
    for number, text in all_terms(conn).items():
        try:
            told = json.loads(text)
            if canonical(told) == text:
                read[number] = _Terms(
                    text, What(told["what"]), str(told["type"]), int(told["collection"]), str(told["alias"])
                )
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
    return read


def _unrecorded(conn: Connection, walk: _Walk) -> None:
    """Finds entries of ours behind the last that the ledger knows; those before it, the walk has met."""
    for number, alias, kind, last_seq in conn.execute(
        "SELECT number, alias, kind, last_seq FROM collection"
    ).fetchall():
        if kind in _OTHERS:
            continue
        recorded = walk.seqs.get(number, 0)
        first = conn.execute(
            "SELECT id, object_id FROM entry WHERE id > ? AND id < ? ORDER BY id LIMIT 1",
            (number << SEQ_BITS | recorded, number + 1 << SEQ_BITS),
        ).fetchone()
        if first is not None:
            seq = first[0] & (1 << SEQ_BITS) - 1
            walk.found.note(f"{alias}: entry {seq} ({first[1]}) has no row in the ledger")
        elif last_seq != recorded:
            walk.found.note(f"{alias}: {last_seq} entries were added, and the ledger records {recorded}")


def _unreleased(conn: Connection, walk: _Walk) -> None:
    """Finds decisions that let something out of which there is no entry, and so no row."""
    # Where an audience is not told who we are, it has an object by another id than ours.
    gone = (
        "SELECT release.collection, release.object_id, release.version, release.life, served_id FROM release"
        " LEFT JOIN served_as ON served_as.object_id = release.object_id"
        " AND served_as.collection = release.collection AND served_as.life = release.life"
    )
    first_lives = conn.execute(
        f"{gone} LEFT JOIN entry ON entry.object_id = coalesce(served_id, release.object_id)"
        " AND entry.id >> 40 = release.collection AND entry.version = release.version"
        " WHERE release.life = 1 AND release.version > 0 AND entry.id IS NULL"
    )
    later = conn.execute(f"{gone} WHERE release.life > 1 AND release.version > 0")
    for one in chain(first_lives, (one for one in later if not _held(conn, one))):
        collection, object_id, version, *_ = one
        if not _deleted(conn, walk.deleted, collection, _served_id(one), version):
            walk.found.note(f"the release of {object_id} into collection {collection} has no entry and no row")


_Released = tuple[int, str, int, int, str | None]


def _served_id(release: _Released) -> str:
    _, object_id, _, life, served_id = release
    return served_id or reborn_id(object_id, life)


def _held(conn: Connection, release: _Released) -> bool:
    collection, _, version, *_ = release
    row = conn.execute(
        "SELECT 1 FROM entry WHERE object_id = ? AND id >> 40 = ? AND version = ?",
        (_served_id(release), collection, version),
    ).fetchone()
    return row is not None


def _deleted(conn: Connection, deleted: set[int], collection: int, object_id: str, version: int) -> bool:
    """Tells whether a row records the deletion of a version of an object."""
    if not deleted:
        return False
    return any(
        row.told["what"] == What.DELETION and row.told["collection"] == collection and row.version == version
        for row in chosen(conn, 1 << 30, [object_id])
    )
