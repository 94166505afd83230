"""Blocks: the bodies of consecutive entries once more, joined and compressed, so that a page is read in a few pieces.

Reading a page of 1000 row by row costs four times what sending it does. ``entry_block`` holds, per collection, the
bodies of entries ``number * BLOCK + 1`` to ``(number + 1) * BLOCK`` as they stand in an envelope, one zstd frame,
and where in it each begins. Which of them are current is not said there but asked of ``entry``: superseding an entry
leaves its block as it is. Deleting one takes the block away, and what has no block is read row by row; so is a block
that is empty, which stands for entries too large to be opened together.

Blocks are made while entries are appended, in the same transaction: at each append those that it completes, and a
few more where a store has older entries without. So a block costs each entry the same, whatever is stored.
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from threatshare.model import Collection
from threatshare.store.connection import Connection
from threatshare.store.frames import frame, holds, unframed

SEQ_BITS = 40

BLOCK = 250
"""Entries of a block: a page of 1000 is four or five, and one of 100 is read faster by rows."""
_CATCH_UP = 8
"""Blocks made at most at each append beside those that it completes."""
_LARGEST = 16 * 1024 * 1024
"""Bytes of a block's bodies: 20 times what 250 indicators take."""
_SEQ_MASK = (1 << SEQ_BITS) - 1


def add_blocks(conn: Connection, collection: Collection, first_seq: int, last_seq: int) -> None:
    """Makes the blocks that appending these entries completed, inside the caller's transaction."""
    low = collection.number << SEQ_BITS
    last = conn.execute("SELECT max(id) FROM entry_block WHERE id >= ? AND id <= ?", (low, low | _SEQ_MASK)).fetchone()
    begin = 0 if last[0] is None else (last[0] & _SEQ_MASK) + 1
    end = last_seq // BLOCK
    own = max(0, end - (first_seq - 1) // BLOCK)
    rows = (_made(conn, low, number) for number in range(begin, min(end, begin + own + _CATCH_UP)))
    conn.executemany("INSERT INTO entry_block VALUES (?, ?, ?)", rows)


def drop_blocks(conn: Connection, entries: Iterable[int]) -> None:
    """Takes away the blocks of entries, given by their ids, inside the caller's transaction."""
    blocks = {(entry & ~_SEQ_MASK) | ((entry & _SEQ_MASK) - 1) // BLOCK for entry in entries}
    conn.executemany("DELETE FROM entry_block WHERE id = ?", [(block,) for block in blocks])


def joined_bodies(conn: Connection, collection: Collection, after: int, until: int, current: bool) -> list[bytes]:
    """Gives the bodies of the entries beyond ``after`` up to ``until`` in order, several to an item, joined by commas.

    ``current`` leaves superseded ones out. To be called where one edition of the store is read.
    """
    low = collection.number << SEQ_BITS
    span = (low | after // BLOCK, low | (until - 1) // BLOCK)
    rows = conn.execute(_Q_BLOCKS, span).fetchall()
    blocks = {block & _SEQ_MASK: (begins, packed) for block, begins, packed in rows if begins}
    hidden = [row[0] & _SEQ_MASK for row in conn.execute(_Q_SUPERSEDED, (low | after, low | until)).fetchall()]
    items: list[bytes] = []
    for begin, end, number in _stretches(after, until, blocks):
        if number is None:
            items += [row[0] for row in conn.execute(_Q_ROWS[current], (low | begin, low | end)).fetchall()]
        else:
            begins, packed = blocks[number]
            among = hidden[bisect_right(hidden, begin) : bisect_right(hidden, end)] if current else ()
            items += _pieces(begins, packed, number * BLOCK, begin, end, among)
    return items


def wrong_blocks(conn: Connection) -> Iterator[int]:
    """Compares each block with the entries that it repeats, and gives the ids of those that differ."""
    for (block,) in conn.execute("SELECT id FROM entry_block ORDER BY id").fetchall():
        held = conn.execute("SELECT begins, bodies FROM entry_block WHERE id = ?", (block,)).fetchone()
        if held is None:
            continue
        _, begins, bodies = _made(conn, block & ~_SEQ_MASK, block & _SEQ_MASK)
        # Another version of the library may have packed the same otherwise.
        if held[0] != begins or (held[1] != bodies and not (bodies and holds(held[1], unframed(bodies)))):
            yield block


_Q_BLOCKS = "SELECT id, begins, bodies FROM entry_block WHERE id >= ? AND id <= ? ORDER BY id"
_Q_SUPERSEDED = """
    SELECT id FROM entry INDEXED BY entry_superseded WHERE id > ? AND id <= ? AND superseded = 1 ORDER BY id
"""
_Q_ROWS = {
    True: "SELECT body FROM entry INDEXED BY entry_current WHERE id > ? AND id <= ? AND superseded = 0 ORDER BY id",
    False: "SELECT body FROM entry NOT INDEXED WHERE id > ? AND id <= ? ORDER BY id",
}


def _made(conn: Connection, low: int, number: int) -> tuple[int, bytes, bytes]:
    """Makes a block: id, where each entry's body begins and where all end, and the bodies.

    A body begins after the comma that ends the one before; an entry that is deleted begins where the next does.
    """
    first = number * BLOCK + 1
    span = (low | first, low | first + BLOCK - 1)
    if conn.execute("SELECT total(length(body)) FROM entry WHERE id BETWEEN ? AND ?", span).fetchone()[0] > _LARGEST:
        return low | number, b"", b""
    bodies = dict(conn.execute("SELECT id, body FROM entry WHERE id BETWEEN ? AND ? ORDER BY id", span).fetchall())
    begins, at = array("I"), 0
    for entry in range(span[0], span[1] + 1):
        begins.append(at)
        if entry in bodies:
            at += len(bodies[entry]) + 1
    begins.append(at)
    return low | number, _little(begins).tobytes(), frame(b",".join(bodies.values()))


def _stretches(after: int, until: int, blocks: Iterable[int]) -> Iterator[tuple[int, int, int | None]]:
    """Cuts a range of entries into (after, until, block); the block is None for what is read by rows."""
    place = after
    for number in blocks:
        begin = max(after, number * BLOCK)
        if place < begin:
            yield place, begin, None
        place = min(until, (number + 1) * BLOCK)
        yield begin, place, number
    if place < until:
        yield place, until, None


def _pieces(marks: bytes, packed: bytes, base: int, after: int, until: int, hidden: Sequence[int]) -> list[bytes]:
    """Gives what is wanted of a block whose first entry is ``base + 1``, cut around the hidden ones."""
    text = unframed(packed)
    cuts = [after, *hidden, until + 1]
    begins = _little(array("I", marks))
    pieces = []
    for one, other in pairwise(cuts):
        # Entries one + 1 to other - 1.
        begin, end = begins[one - base], begins[other - 1 - base]
        if end - begin == len(text) + 1:
            return [text]
        if end > begin:
            pieces.append(text[begin : end - 1])
    return pieces


def _little(numbers: array[int]) -> array[int]:
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers
