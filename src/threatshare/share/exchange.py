"""Exchange collections: what a member posts, members read, byte for byte; each changes only what is its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import msgspec

from threatshare.errors import BadValue
from threatshare.model import Account, Collection, Micros, Tlp
from threatshare.policy.markings import NOT_DEFINED, marking_of
from threatshare.share.connections import Connections
from threatshare.share.posting import Accept
from threatshare.stix.claims import speaks_stix
from threatshare.stix.patterns import read_pattern
from threatshare.stix.received import Received
from threatshare.store.accounts import readers_of
from threatshare.store.collections import collections
from threatshare.store.connection import Connection
from threatshare.store.entries import NewEntry, append_entries, held_body, owners_of
from threatshare.store.exchange_past import past_digest, past_owners_of
from threatshare.store.ours import follows_from, ours_served

MayExchange = Callable[[bytes, Received], str | None]
"""Says why an object may not be passed on to the members; None where it may."""


@dataclass(frozen=True, slots=True)
class ExchangeTerms:
    """What was agreed on with the members of an exchange, for one of them that posts."""

    ceiling: Tlp | None = None
    """Up to which they share; None: nothing is agreed."""
    refusal: str | None = None
    """Why the account may post nothing."""
    identity: str | None = None
    """Ours; None: the account is not told who we are, and must not find out."""
    relays: frozenset[str] = frozenset()
    """Ids of identities in whose name the account may post: those that its agreement names as its organisation's."""


Agreed = Callable[[Account, Sequence[str]], ExchangeTerms]
"""Gives the terms for an account; the texts are the readers of the exchange, accounts by name."""

FOREIGN = "belongs to another member"
NOT_YOURS = (
    "created_by_ref names an identity that is not yours here: post the identity itself, or have the agreement with your"
    " organisation name it"
)
_OTHER_CONTENT = "this version is held already with other content; send a later modified"
_OTHER_BEFORE = "this version was deleted here and had other content; send a later modified"
_FUTURE = "modified lies in the future"


def exchange_acceptor(connections: Connections, may_exchange: MayExchange, agreed: Agreed | None = None) -> Accept:
    """Makes the function that takes what members post to exchange collections, within what was agreed with them."""

    def accept(
        collection: Collection, account: Account, objects: Sequence[tuple[bytes, Received]], now: Micros
    ) -> list[str | None]:
        terms = None
        if agreed is not None:
            with connections.reading() as conn:
                terms = agreed(account, readers_of(conn, collection))
            if terms.refusal is not None:
                return [terms.refusal] * len(objects)
        ceiling = terms.ceiling if terms is not None else None
        refusals = [may_exchange(raw, received) or _unfit(ceiling, received) for raw, received in objects]
        outcomes: list[str | None] = []
        with connections.writing() as conn:
            batch = _Batch(conn, collection, account, [received for _, received in objects], terms)
            for (raw, received), refusal in zip(objects, refusals, strict=True):
                outcomes.append(refusal or batch.take(raw, received, now))
            append_entries(conn, collection, batch.entries, now)
        return outcomes

    return accept


class _Batch:
    """What one POST adds to a collection, checked against what is there and against itself."""

    def __init__(
        self,
        conn: Connection,
        collection: Collection,
        account: Account,
        objects: Sequence[Received],
        terms: ExchangeTerms | None,
    ) -> None:
        ids = [one.id for one in objects]
        makers = list({one.created_by_ref for one in objects if one.created_by_ref is not None})
        self._conn = conn
        self._collection = collection
        self._owner = account.name
        self._past_owners = past_owners_of(conn, collection, ids)
        self._owners = self._past_owners | owners_of(conn, collection, ids)
        self._terms = terms
        self._makers = past_owners_of(conn, collection, makers) | owners_of(conn, collection, makers)
        self._ours = _ours_for(conn, account, objects, terms)
        self._brought = frozenset(ids) - self._owners.keys() - self._ours
        self._bodies: dict[tuple[str, Micros], bytes] = {}
        self.entries: list[NewEntry] = []

    def take(self, raw: bytes, received: Received, now: Micros) -> str | None:
        """Adds an object; says why not where it must not be added, None where it is added or held already."""
        version = received.version
        # Clients take the highest `modified` for their next `added_after`: one from the future stalls them.
        if version > now:
            return _FUTURE
        held, owner = self._bodies.get((received.id, version)), self._owners.get(received.id)
        if held is None and owner is not None:
            held = held_body(self._conn, self._collection, received.id, version)
        if held is not None and _same_json(held, raw):
            return None
        if owner not in (None, self._owner) or received.id in self._ours:
            return FOREIGN
        if received.created_by_ref is not None and not self._may_name(received.created_by_ref):
            return NOT_YOURS
        if held is not None:
            return _OTHER_CONTENT
        if received.id in self._past_owners:
            past = past_digest(self._conn, self._collection, received.id, version)
            if past is not None and past != content_digest(raw):
                return _OTHER_BEFORE
        self._bodies[received.id, version] = raw
        self.entries.append(_entry(raw, received, version, self._owner))
        return None

    def _may_name(self, maker: str) -> bool:
        """Tells whether the member may post in the name of an identity.

        Whose nobody has said here, it may; but where it is not told who we are that would tell our name from others, so
        there it has to bring the identity with it.
        """
        owner = self._makers.get(maker)
        if owner == self._owner or (self._terms is not None and maker in self._terms.relays):
            return True
        if owner is not None:
            return False
        if self._terms is None:
            return True
        if self._terms.identity is None:
            return maker in self._brought
        return maker != self._terms.identity


def _ours_for(
    conn: Connection, account: Account, objects: Sequence[Received], terms: ExchangeTerms | None
) -> frozenset[str]:
    """Gives the ids among those of some objects that are ours, as far as the account can know that.

    That is one that it may read here, and one that follows from our identity and the object's own pattern, whether we
    have it or not: what is refused never tells what we have.
    """
    readable = [one.number for one in collections(conn) if one.alias in account.read]
    found = ours_served(conn, [one.id for one in objects], readable)
    if terms is not None and terms.identity is not None:
        found |= {one.id for one in objects if one.id == terms.identity or follows_from(terms.identity, one)}
    return frozenset(found)


def _unfit(ceiling: Tlp | None, received: Received) -> str | None:
    return _above(ceiling, received) or _broken_pattern(received)


def _broken_pattern(received: Received) -> str | None:
    """Says what is wrong with a STIX pattern, as inboxes say it; of other languages nothing is asked."""
    if received.revoked or received.pattern is None or not speaks_stix(received):
        return None
    try:
        read_pattern(received.pattern)
    except BadValue as problem:
        return str(problem)
    return None


def _above(ceiling: Tlp | None, received: Received) -> str | None:
    tlp = marking_of(received.marking_refs, (), NOT_DEFINED).tlp
    if ceiling is None or tlp is None or tlp <= ceiling:
        return None
    return f"TLP:{tlp.label.upper()} is above TLP:{ceiling.label.upper()}, up to which the members have agreed to share"


def _entry(raw: bytes, received: Received, version: Micros, owner: str) -> NewEntry:
    return NewEntry(received.id, version, received.type, spec_version_of(received), raw, owner)


def spec_version_of(received: Received) -> str:
    """Gives the specification version of an object: only STIX 2.0 leaves it out where ``created`` stands (§3.2)."""
    return received.spec_version or ("2.0" if received.created else "2.1")


def content_digest(raw: bytes) -> bytes:
    """Digests what an object says, however it is spaced and ordered."""
    try:
        plain = msgspec.json.encode(msgspec.json.decode(raw), order="deterministic")
    except msgspec.DecodeError:
        # As below.
        plain = raw
    return blake2b(plain, digest_size=16).digest()


def _same_json(held: bytes, raw: bytes) -> bool:
    if held == raw:
        return True
    try:
        return bool(msgspec.json.decode(held) == msgspec.json.decode(raw))
    except msgspec.DecodeError:
        # Numbers that no float or integer holds: equal as bytes, or not known to be equal.
        return False
