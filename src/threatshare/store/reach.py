"""Whom an object reached: who was sent which version, when first, and who has been sent its withdrawal since.

What is known of pulls is what was sent over TAXII (``store.reads``), of pushes what was delivered
(``store.deliveries``); whether anybody looked at it, no record tells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import msgspec

from threatshare.model import Micros
from threatshare.policy.senders import sole
from threatshare.stix.objects import reborn_id
from threatshare.store.connection import Connection
from threatshare.store.deliveries import PENDING, Delivery, deliveries_of
from threatshare.store.disguises import served_elsewhere
from threatshare.store.entries import SEQ_BITS
from threatshare.store.ledger import Row, What, chosen
from threatshare.store.reads import reads_of
from threatshare.store.rights import account_at, partners_of

PULL, PUSH = "pull", "push"
_EVERY = 1 << 30


@dataclass(frozen=True, slots=True)
class Receipt:
    """That somebody was sent one entry."""

    who: str
    """An account, or the target whose server it was delivered to."""
    way: str
    """``pull`` or ``push``."""
    first_at: Micros
    """Not sent before that."""
    last_at: Micros
    """Sent by then; of pulls within the same hour."""


def _pulled(conn: Connection, collection: int, seq: int) -> list[Receipt]:
    return [Receipt(one.account, PULL, one.first_at, one.last_at) for one in reads_of(conn, collection, seq)]


def _pushed(conn: Connection, collection: int, seq: int) -> list[Receipt]:
    """Gives the targets that an entry was delivered to, or may have been: an envelope without answer counts."""
    envelopes: dict[str, list[Delivery]] = {}
    for one in deliveries_of(conn, collection, seq):
        if one.state != "failed":
            envelopes.setdefault(one.target, []).append(one)
    receipts = []
    for target, held in envelopes.items():
        left = conn.execute(
            "SELECT kind, delivery FROM undelivered WHERE target = ? AND seq = ?", (target, seq)
        ).fetchone()
        if left is not None:
            # It was passed over or refused, unless it is under way once more.
            held = [one for one in held if one.number == left[1] and (left[0] == PENDING or one.state in _OPEN)]
        if held:
            last_at = max(one.polled or one.at for one in held)
            receipts.append(Receipt(target, PUSH, min(one.at for one in held), last_at))
    return receipts


_OPEN = ("sending", "pending")

WAYS: tuple[Callable[[Connection, int, int], list[Receipt]], ...] = (_pulled, _pushed)
"""Each gives who was sent an entry, by collection number and seq."""


class Sent(StrEnum):
    """Whether it was this very version that was sent: a place is skipped once a later version stands elsewhere."""

    CERTAINLY = "certainly"
    PROBABLY = "probably"
    """A later version was published between the two moments of its first sending."""
    HARDLY = "hardly"
    """A later version stood already: sent only to who asks for all versions, or asked while that was published."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """Somebody who was sent a version."""

    receipt: Receipt
    sent: Sent
    told: Receipt | None
    """When it was sent the withdrawal; None: never, or nothing is withdrawn."""
    may_read: bool
    """Whether its account can still read the collection, and so learn of a withdrawal by itself; of a push, True."""
    partner: str | None = None
    """Whose it is; None: nothing, or more than one thing, says so."""


@dataclass(frozen=True, slots=True)
class Reached:
    """One version of an object in one collection, and whom it reached."""

    alias: str
    partner: str | None
    """Whom the collection is for; None: our own organisation, or an exchange's members."""
    object_id: str
    version: Micros
    seq: int
    what: str
    """``release``, ``withdrawal`` or ``introduction``; ``post`` for what a member posted to an exchange."""
    number: int | None
    """Its row in the ledger; None for what members posted."""
    at: Micros
    """When it was published."""
    deleted: bool
    """Whether the entry was taken out of the collection again."""
    withdrawn_at: Micros | None
    """When the withdrawal of this version was published; None: it stands, or is one itself."""
    recipients: tuple[Recipient, ...]
    waiting: tuple[str, ...]
    """Accounts that may read the collection and have not been sent this."""

    @property
    def untold(self) -> tuple[str, ...]:
        """Who was sent it, and not its withdrawal."""
        if self.withdrawn_at is None:
            return ()
        return tuple(one.receipt.who for one in self.recipients if one.told is None)


@dataclass(frozen=True, slots=True)
class _Version:
    """A version of an object where it was published."""

    collection: int
    alias: str
    partner: str | None
    object_id: str
    version: Micros
    seq: int
    what: str
    number: int | None
    at: Micros
    deleted: bool


def reach(conn: Connection, object_ids: Iterable[str], now: Micros | None = None) -> list[Reached]:
    """Tells of every version of some objects, in all their lives, in every collection, whom it reached.

    ``now``: for telling who may read; None: by what was granted, whatever became of agreements since.
    """
    versions = _versions(conn, served_ids(conn, object_ids))
    return [_reached(conn, one, versions, now) for one in versions]


def served_ids(conn: Connection, object_ids: Iterable[str]) -> list[str]:
    """Gives the ids under which objects were served: one for each life, and those for who is not told that we are."""
    found: dict[str, None] = {}
    for object_id in object_ids:
        row = conn.execute(
            "SELECT max(life) FROM release WHERE collection IN (SELECT number FROM collection) AND object_id = ?",
            (object_id,),
        ).fetchone()
        for life in range(1, (row[0] or 1) + 1):
            found[reborn_id(object_id, life)] = None
        found |= dict.fromkeys(served_elsewhere(conn, object_id))
    return list(found)


def _versions(conn: Connection, object_ids: Sequence[str]) -> list[_Version]:
    """Gives all versions of objects, those too that were deleted, by collection and place."""
    recorded: dict[tuple[int, int], Row] = {}
    gone: set[tuple[int, int]] = set()
    for row in chosen(conn, _EVERY, object_ids) if object_ids else ():
        place = row.told["collection"], row.seq
        if row.told["what"] == What.DELETION:
            gone.add(place)
        else:
            recorded[place] = row
    found = {place: _recorded(row, place in gone) for place, row in recorded.items()}
    for object_id in object_ids:
        for entry, added, version, body, alias, partner in conn.execute(
            "SELECT entry.id, added, version, body, alias, partner FROM entry"
            " JOIN collection ON collection.number = entry.id >> 40 WHERE object_id = ?",
            (object_id,),
        ).fetchall():
            place = entry >> SEQ_BITS, entry & (1 << SEQ_BITS) - 1
            if place not in found:
                what = What.WITHDRAWAL if msgspec.json.decode(body).get("revoked") is True else "post"
                found[place] = _Version(
                    place[0], alias, partner, object_id, version, place[1], what, None, added, False
                )
    return [found[place] for place in sorted(found)]


def _recorded(row: Row, deleted: bool) -> _Version:
    told = row.told
    return _Version(
        told["collection"],
        told["alias"],
        told["partner"],
        row.object_id,
        row.version,
        row.seq,
        told["what"],
        row.number,
        row.at,
        deleted,
    )


def _reached(conn: Connection, one: _Version, versions: Sequence[_Version], now: Micros | None) -> Reached:
    later = sorted(
        (
            other
            for other in versions
            if (other.collection, other.object_id) == (one.collection, one.object_id) and other.version > one.version
        ),
        key=lambda other: other.version,
    )
    withdrawal = next((other for other in later if other.what == What.WITHDRAWAL), None)
    told = {} if withdrawal is None else {_key(got): got for got in _receipts(conn, withdrawal)}
    readers = _readers(conn, one, now)
    receipts = _receipts(conn, one)
    replaced_at = min((other.at for other in later), default=None)
    recipients = tuple(
        Recipient(
            got,
            _sent(got, replaced_at),
            told.get(_key(got)),
            got.way == PUSH or got.who in readers,
            one.partner if got.way == PUSH else sole(partners_of(conn, got.who)),
        )
        for got in receipts
    )
    waiting = tuple(sorted(readers.difference(got.who for got in receipts)))
    withdrawn_at = None if withdrawal is None else withdrawal.at
    return Reached(
        one.alias,
        one.partner,
        one.object_id,
        one.version,
        one.seq,
        one.what,
        one.number,
        one.at,
        one.deleted,
        withdrawn_at,
        recipients,
        waiting,
    )


def _receipts(conn: Connection, one: _Version) -> list[Receipt]:
    # Nothing is sent before it is published, though other entries of its range may have been.
    return [
        replace(receipt, first_at=min(max(receipt.first_at, one.at), receipt.last_at))
        for way in WAYS
        for receipt in way(conn, one.collection, one.seq)
    ]


def _sent(receipt: Receipt, replaced_at: Micros | None) -> Sent:
    if replaced_at is None or receipt.last_at < replaced_at:
        return Sent.CERTAINLY
    return Sent.PROBABLY if receipt.first_at < replaced_at else Sent.HARDLY


def _key(receipt: Receipt) -> tuple[str, str]:
    return receipt.who, receipt.way


def _readers(conn: Connection, one: _Version, now: Micros | None) -> set[str]:
    """Gives the accounts that may read a collection now, or its withdrawals alone."""
    granted = {
        row[0]
        for row in conn.execute(
            "SELECT account FROM account_right JOIN account ON account.name = account_right.account"
            " WHERE collection = ? AND verb = 'read' AND revoked IS NULL",
            (one.collection,),
        )
    }
    if now is None:
        return granted
    accounts = (account_at(conn, name, now) for name in granted)
    return {account.name for account in accounts if one.alias in account.read | account.withdrawals}
