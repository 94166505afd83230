"""What was delivered to partners' servers, envelope by envelope and object by object.

An envelope is written down before it is sent and settled by its answer, in one transaction each:

    sending   may be on its way, or may have arrived without our hearing of it: is sent again as it was
    pending   taken by the server, which has not said yet what became of every object
    done      settled; what was refused of it stands in ``undelivered``
    failed    settled; nothing of it was taken

A target has one envelope in ``sending`` at most. Every entry up to its position lies in exactly one delivery that
is no repetition, or stands in ``undelivered`` without one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from threatshare.model import Micros
from threatshare.store.connection import Connection
from threatshare.store.entries import SEQ_BITS
from threatshare.store.targets import TargetState, advance

REFUSED = "refused"
"""The partner's server would not take it."""
TOO_LARGE = "too-large"
"""No envelope holds it."""
PENDING = "pending"
"""Taken, and nothing more was ever said of it."""
WITHDRAWN = "withdrawn"
"""Taken back here before it was sent: neither it nor its withdrawal leaves."""
OVERTAKEN = "overtaken"
"""A later version has been sent since."""

_SEQ = (1 << SEQ_BITS) - 1
_DELIVERY = (
    "number, target, collection, first_seq, last_seq, again, objects, at, state,"
    " polled, status_id, accepted, pending, failed, tries, error"
)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One envelope."""

    number: int
    target: str
    collection: int
    first_seq: int
    last_seq: int
    again: bool
    """Whether it repeats what was refused before, so that its entries do not follow on each other."""
    objects: int
    at: Micros
    state: str
    polled: Micros | None = None
    """When its status was last heard of."""
    status_id: str | None = None
    """What to ask the server for; None: nothing more can be asked."""
    accepted: int = 0
    pending: int = 0
    failed: int = 0
    tries: int = 0
    """Attempts that ended without an answer."""
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Undelivered:
    """One entry that was not delivered, and why."""

    seq: int
    object_id: str
    version: Micros
    kind: str
    message: str
    """The server's words, cleaned, or ours."""
    tries: int = 1
    delivery: int | None = None
    """The envelope that it was last in; None: it never was in any."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What an answer says of one envelope, object by object where it does."""

    state: str
    accepted: int
    pending: int
    failed: int
    remarks: Sequence[Undelivered] = ()
    status_id: str | None = None
    error: str | None = None


def note_undelivered(conn: Connection, name: str, rows: Sequence[Undelivered], now: Micros) -> None:
    """Keeps why entries were not delivered; what stood there of them before is replaced."""
    conn.executemany(
        "INSERT OR REPLACE INTO undelivered VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (name, one.seq, one.object_id, one.version, one.kind, one.message, one.tries, now, one.delivery)
            for one in rows
        ],
    )


def intend(
    conn: Connection, state: TargetState, seqs: Sequence[int], skipped: Sequence[Undelivered], again: bool, now: Micros
) -> Delivery:
    """Writes an envelope down that is about to be sent, and what is passed over between its entries.

    Entries that are repeated (``again``) belong to it from now on.
    """
    if not again:
        # Of an earlier intent that was taken back: what was too large for it may be in this one.
        conn.execute(
            "DELETE FROM undelivered WHERE target = ? AND seq BETWEEN ? AND ?", (state.name, seqs[0], seqs[-1])
        )
    note_undelivered(conn, state.name, skipped, now)
    number = conn.execute(
        "INSERT INTO delivery (target, collection, first_seq, last_seq, again, objects, at, state)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, 'sending') RETURNING number",
        (state.name, state.collection, seqs[0], seqs[-1], again, len(seqs), now),
    ).fetchall()[0][0]
    if again:
        conn.executemany(
            "UPDATE undelivered SET delivery = ?, tries = tries + 1 WHERE target = ? AND seq = ?",
            [(number, state.name, seq) for seq in seqs],
        )
    conn.execute("UPDATE push_target SET reached = max(reached, ?) WHERE name = ?", (seqs[-1], state.name))
    return Delivery(number, state.name, state.collection, seqs[0], seqs[-1], again, len(seqs), now, "sending")


def abandon(conn: Connection, delivery: Delivery, reached: int | None) -> bool:
    """Takes back the intent of an envelope that the server has refused as a whole; False where it is settled already.

    ``reached`` is what it was before the intent, where the envelope has certainly arrived nowhere.
    """
    gone = conn.execute(
        "DELETE FROM delivery WHERE number = ? AND state = 'sending' RETURNING number", (delivery.number,)
    ).fetchall()
    if gone:
        conn.execute(
            "UPDATE undelivered SET delivery = NULL WHERE target = ? AND delivery = ?",
            (delivery.target, delivery.number),
        )
        if reached is not None:
            conn.execute("UPDATE push_target SET reached = ? WHERE name = ?", (reached, delivery.target))
    return bool(gone)


def note_attempt(conn: Connection, delivery: Delivery, error: str) -> None:
    """Counts an attempt after which it is not known whether the envelope arrived."""
    conn.execute(
        "UPDATE delivery SET tries = tries + 1, error = ? WHERE number = ? AND state = 'sending'",
        (error, delivery.number),
    )


def settle(conn: Connection, delivery: Delivery, said: Settled, now: Micros) -> bool:
    """Records an answer, once: False where another process has recorded one already.

    ``said.remarks`` replace what stood there of the envelope's objects; those without a remark were taken.
    """
    done = conn.execute(
        "UPDATE delivery SET state = ?, polled = ?, status_id = ?, accepted = ?, pending = ?, failed = ?, error = ?"
        " WHERE number = ? AND state = ? RETURNING number",
        (
            *(said.state, now, said.status_id, said.accepted, said.pending, said.failed, said.error),
            *(delivery.number, delivery.state),
        ),
    ).fetchall()
    if not done:
        return False
    before = dict(
        conn.execute(
            "DELETE FROM undelivered WHERE target = ? AND delivery = ? RETURNING seq, tries",
            (delivery.target, delivery.number),
        ).fetchall()
    )
    rows = [
        Undelivered(
            *(one.seq, one.object_id, one.version, one.kind, one.message),
            before.get(one.seq, 1),
            delivery.number,
        )
        for one in said.remarks
    ]
    note_undelivered(conn, delivery.target, rows, now)
    if not delivery.again:
        advance(conn, delivery.target, delivery.last_seq)
    return True


def sending(conn: Connection, name: str) -> Delivery | None:
    """Gives the envelope of a target whose answer was never recorded."""
    found = list(_deliveries(conn, "target = ? AND state = 'sending'", (name,)))
    return found[0] if found else None


def pending(conn: Connection, name: str) -> list[Delivery]:
    """Gives the envelopes of a target that the server has not finished with, in the order in which they were sent."""
    return list(_deliveries(conn, "target = ? AND state = 'pending'", (name,)))


def deliveries(conn: Connection, name: str, limit: int) -> list[Delivery]:
    """Gives the newest envelopes of a target."""
    return list(_deliveries(conn, "target = ?", (name,), f"DESC LIMIT {limit:d}"))


def deliveries_of(conn: Connection, collection: int, seq: int) -> list[Delivery]:
    """Gives the envelopes that may hold an entry of a collection, for telling who got it by push.

    Those in which the entry was refused are among them: see ``undelivered``.
    """
    return list(_deliveries(conn, "collection = ? AND first_seq <= ? AND last_seq >= ?", (collection, seq, seq)))


def undelivered(conn: Connection, name: str, kinds: Sequence[str] = ()) -> list[Undelivered]:
    """Gives a target's entries that were not delivered, in order; of some kinds only, where these are named."""
    marks = ",".join("?" * len(kinds))
    return [
        Undelivered(*row)
        for row in conn.execute(
            "SELECT seq, object_id, version, kind, message, tries, delivery FROM undelivered WHERE target = ?"
            + (f" AND kind IN ({marks})" if kinds else "")
            + " ORDER BY seq",
            (name, *kinds),
        )
    ]


def repeatable(conn: Connection, name: str, kinds: Sequence[str], most_tries: int | None) -> list[int]:
    """Gives the entries that may be sent once more, in order: of some kinds, and not in an envelope still open."""
    marks = ",".join("?" * len(kinds))
    return [
        row[0]
        for row in conn.execute(
            f"SELECT seq FROM undelivered u WHERE target = ? AND kind IN ({marks}) AND (? IS NULL OR tries < ?)"
            " AND NOT EXISTS (SELECT 1 FROM delivery d"
            " WHERE d.number = u.delivery AND d.state IN ('sending', 'pending'))"
            " ORDER BY seq",
            (name, *kinds, most_tries, most_tries),
        )
    ]


def remarks(conn: Connection, delivery: Delivery) -> list[Undelivered]:
    """Gives what was said last of an envelope's objects, where it was not that they were taken."""
    return [
        Undelivered(*row)
        for row in conn.execute(
            "SELECT seq, object_id, version, kind, message, tries, delivery FROM undelivered"
            " WHERE target = ? AND delivery = ? ORDER BY seq",
            (delivery.target, delivery.number),
        )
    ]


def counts(conn: Connection, name: str) -> Mapping[str, int]:
    """Counts a target's undelivered entries by kind."""
    return dict(
        conn.execute("SELECT kind, count(*) FROM undelivered WHERE target = ? GROUP BY kind", (name,)).fetchall()
    )


def contents(conn: Connection, delivery: Delivery) -> list[tuple[int, str, Micros]]:
    """Gives (seq, object id, version) of what an open envelope holds, in order; deleted entries are left out."""
    return [(row[0] & _SEQ, row[1], row[2]) for row in _entries(conn, delivery, "id, object_id, version")]


def bodies(conn: Connection, delivery: Delivery) -> list[bytes]:
    """Gives the objects of an open envelope, in order."""
    return [bytes(row[0]) for row in _entries(conn, delivery, "body")]


def _entries(conn: Connection, delivery: Delivery, columns: str) -> Iterator[Any]:
    # An envelope of repetitions holds the entries that name it; any other all between its ends but those passed over.
    wanted = "" if delivery.again else "NOT"
    relation = "IS" if delivery.again else "IS NOT"
    base = delivery.collection << SEQ_BITS
    return conn.execute(
        f"SELECT {columns} FROM entry WHERE id BETWEEN ? AND ? AND {wanted} EXISTS (SELECT 1 FROM undelivered"
        f" WHERE target = ? AND seq = entry.id & {_SEQ} AND delivery {relation} ?) ORDER BY id",
        (base | delivery.first_seq, base | delivery.last_seq, delivery.target, delivery.number),
    )


def _deliveries(conn: Connection, where: str, given: tuple[object, ...], order: str = "") -> Iterator[Delivery]:
    for row in conn.execute(f"SELECT {_DELIVERY} FROM delivery WHERE {where} ORDER BY number {order}", given):
        values = list(row)
        values[5] = bool(values[5])
        yield Delivery(*values)
