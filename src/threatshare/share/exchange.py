"""Exchange collections: what a member posts, members read, byte for byte; each changes only what is its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from threatshare.model import Account, Collection, Micros
from threatshare.share.connections import Connections
from threatshare.share.posting import Accept
from threatshare.stix.received import Received
from threatshare.store.connection import Connection
from threatshare.store.entries import NewEntry, append_entries, held_body, owner_of

MayExchange = Callable[[bytes, Received], str | None]
"""Says why an object may not be passed on to the members; None where it may."""

FOREIGN = "belongs to another member"
_OTHER_CONTENT = "this version is held already with other content; send a later modified"
_FUTURE = "modified lies in the future"


def exchange_acceptor(connections: Connections, may_exchange: MayExchange) -> Accept:
    """Makes the function that takes what members post to exchange collections."""

    def accept(
        collection: Collection, account: Account, objects: Sequence[tuple[bytes, Received]], now: Micros
    ) -> list[str | None]:
        refusals = [may_exchange(raw, received) for raw, received in objects]
        outcomes: list[str | None] = []
        with connections.writing() as conn:
            batch = _Batch(conn, collection, account)
            for (raw, received), refusal in zip(objects, refusals, strict=True):
                outcomes.append(refusal or batch.take(raw, received, now))
            append_entries(conn, collection, batch.entries, now)
        return outcomes

    return accept


class _Batch:
    """What one POST adds to a collection, checked against what is there and against itself."""

    def __init__(self, conn: Connection, collection: Collection, account: Account) -> None:
        self._conn = conn
        self._collection = collection
        self._owner = account.name
        self._bodies: dict[tuple[str, Micros], bytes] = {}
        self.entries: list[NewEntry] = []

    def take(self, raw: bytes, received: Received, now: Micros) -> str | None:
        """Adds an object; says why not where it must not be added, None where it is added or held already."""
        version = received.version
        # Clients take the highest `modified` for their next `added_after`: one from the future stalls them.
        if version > now:
            return _FUTURE
        held = self._bodies.get((received.id, version))
        if held is None:
            held = held_body(self._conn, self._collection, received.id, version)
        if held is not None and _same_json(held, raw):
            return None
        if (owner_of(self._conn, self._collection, received.id) or self._owner) != self._owner:
            return FOREIGN
        if held is not None:
            return _OTHER_CONTENT
        self._bodies[received.id, version] = raw
        self.entries.append(_entry(raw, received, version, self._owner))
        return None


def _entry(raw: bytes, received: Received, version: Micros, owner: str) -> NewEntry:
    return NewEntry(received.id, version, received.type, _spec_version(received), raw, owner)


def _spec_version(received: Received) -> str:
    """Gives the specification version of an object: only STIX 2.0 leaves it out where ``created`` stands (§3.2)."""
    return received.spec_version or ("2.0" if received.created else "2.1")


def _same_json(held: bytes, raw: bytes) -> bool:
    if held == raw:
        return True
    try:
        return bool(msgspec.json.decode(held) == msgspec.json.decode(raw))
    except msgspec.DecodeError:
        # Numbers that no float or integer holds: equal as bytes, or not known to be equal.
        return False
