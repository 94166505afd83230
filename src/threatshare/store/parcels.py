"""What the next envelope to a partner holds: a collection's entries in order, within bounds, less what was withdrawn.

An entry that was taken back before it was sent stays here, and so does its withdrawal, which would tell
what it withdraws: a partner's server may have been out of reach while the agreement was tightened. Where
any version of an object may have reached the partner, its withdrawal goes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

from threatshare.model import Micros
from threatshare.store.connection import Connection
from threatshare.store.deliveries import OVERTAKEN, TOO_LARGE, WITHDRAWN, Undelivered
from threatshare.store.entries import SEQ_BITS
from threatshare.store.targets import TargetState

_HEAD, _TAIL = b'{"objects":[', b"]}"
_MOST_SKIPPED = 10_000
"""Entries passed over in one go at most."""
_SEQ = (1 << SEQ_BITS) - 1
_COLUMNS = "id, object_id, version, superseded, body"
_Row = tuple[int, str, Micros, int, bytes]


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much an envelope may hold."""

    objects: int
    bytes: int
    """Of the whole envelope, where it holds more than one object."""
    most: int
    """Of an envelope with one object: what no server of this address takes."""


@dataclass(slots=True)
class Parcel:
    """What one envelope will hold, and what was passed over on the way."""

    seqs: list[int] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    skipped: list[Undelivered] = field(default_factory=list)
    size: int = len(_HEAD) + len(_TAIL)
    """Bytes of the envelope so far."""

    def fits(self, body: bytes, bounds: Bounds) -> bool:
        """Tells whether one more object may go in."""
        if not self.bodies:
            return self.size + len(body) <= bounds.most
        return len(self.bodies) < bounds.objects and self.size + len(body) + 1 <= min(bounds.bytes, bounds.most)

    def add(self, seq: int, body: bytes) -> None:
        """Puts an object in."""
        self.size += len(body) + bool(self.bodies)
        self.seqs.append(seq)
        self.bodies.append(body)

    @property
    def passed(self) -> list[Undelivered]:
        """What was passed over between its objects, which is written down with it."""
        return [one for one in self.skipped if not self.seqs or one.seq < self.seqs[-1]]


def envelope(bodies: Sequence[bytes]) -> bytes:
    """Writes an envelope (TAXII 2.1 §3.7) of objects as they were cleared, byte for byte."""
    return b"".join((_HEAD, b",".join(bodies), _TAIL))


def next_parcel(conn: Connection, state: TargetState, bounds: Bounds) -> Parcel:
    """Collects what comes next for a target; empty where there is nothing more, or all of it was passed over."""
    base = state.collection << SEQ_BITS
    rows: Iterator[_Row] = conn.execute(
        f"SELECT {_COLUMNS} FROM entry WHERE id > ? AND id < ? ORDER BY id",
        (base | state.position, state.collection + 1 << SEQ_BITS),
    )
    parcel = Parcel()
    for row in rows:
        reason = _withheld(conn, state, row)
        if reason is None and not parcel.fits(row[4], bounds):
            if parcel.bodies:
                break
            reason = _too_large(row, bounds)
        if reason is None:
            parcel.add(row[0] & _SEQ, bytes(row[4]))
        else:
            parcel.skipped.append(reason)
        if len(parcel.skipped) >= _MOST_SKIPPED:
            break
    return parcel


def repeated_parcel(conn: Connection, state: TargetState, seqs: Sequence[int], bounds: Bounds) -> tuple[Parcel, int]:
    """Collects entries that are to be sent once more; gives how many of ``seqs`` that deals with, too.

    Passed over is what a later version has overtaken: never is an earlier one sent after it.
    """
    parcel = Parcel()
    for dealt, seq in enumerate(seqs):
        row = conn.execute(
            f"SELECT {_COLUMNS} FROM entry WHERE id = ?", (state.collection << SEQ_BITS | seq,)
        ).fetchone()
        if row is None:
            continue
        reason = _overtaken(conn, state, row) or _withheld(conn, state, row)
        if reason is None and not parcel.fits(row[4], bounds):
            if parcel.bodies:
                return parcel, dealt
            reason = _too_large(row, bounds)
        if reason is None:
            parcel.add(seq, bytes(row[4]))
        else:
            parcel.skipped.append(reason)
    return parcel, len(seqs)


class _Body(msgspec.Struct):
    revoked: bool = False


_body = msgspec.json.Decoder(_Body)


def _withheld(conn: Connection, state: TargetState, row: _Row) -> Undelivered | None:
    """Says that an entry was taken back before it was sent; None where it may go."""
    number, object_id, version, superseded, body = row
    seq = number & _SEQ
    if _body.decode(body).revoked:
        if _was_sent(conn, state, row):
            return None
        return Undelivered(seq, object_id, version, WITHDRAWN, "the partner never had what this withdraws")
    if superseded and _is_withdrawn(conn, state, object_id):
        # What may have arrived counts as sent, so that the withdrawal follows it.
        kind = OVERTAKEN if seq <= state.reached else WITHDRAWN
        return Undelivered(seq, object_id, version, kind, "withdrawn before it was sent")
    return None


def _is_withdrawn(conn: Connection, state: TargetState, object_id: str) -> bool:
    latest = conn.execute(
        "SELECT body FROM entry WHERE object_id = ? AND id >> 40 = ? ORDER BY version DESC LIMIT 1",
        (object_id, state.collection),
    ).fetchone()
    return latest is not None and _body.decode(latest[0]).revoked


def _was_sent(conn: Connection, state: TargetState, row: _Row) -> bool:
    """Tells whether any earlier version of an object may have reached the partner."""
    return (
        conn.execute(
            f"SELECT 1 FROM entry WHERE object_id = ? AND id >> 40 = ? AND id < ? AND id & {_SEQ} <= ? AND NOT EXISTS ("
            f"SELECT 1 FROM undelivered WHERE target = ? AND seq = entry.id & {_SEQ} AND kind IN (?, ?)"
            " AND delivery IS NULL) LIMIT 1",
            (row[1], state.collection, row[0], state.reached, state.name, WITHDRAWN, TOO_LARGE),
        ).fetchone()
        is not None
    )


def _overtaken(conn: Connection, state: TargetState, row: _Row) -> Undelivered | None:
    number, object_id, version = row[:3]
    later = conn.execute(
        f"SELECT 1 FROM entry WHERE object_id = ? AND id >> 40 = ? AND id > ? AND id & {_SEQ} <= ? LIMIT 1",
        (object_id, state.collection, number, state.reached),
    ).fetchone()
    if later is None:
        return None
    return Undelivered(number & _SEQ, object_id, version, OVERTAKEN, "a later version has been sent since")


def _too_large(row: _Row, bounds: Bounds) -> Undelivered:
    reason = f"{len(row[4])} bytes; an envelope may have {bounds.most}"
    return Undelivered(row[0] & _SEQ, row[1], row[2], TOO_LARGE, reason)
