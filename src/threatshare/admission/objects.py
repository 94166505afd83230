"""Objects of one source, let in: read -> dedupe -> normalise -> merge and score -> store."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from threatshare.errors import BadValue
from threatshare.model import Micros, Reject, Tally
from threatshare.policy.disguise import UNTOLD
from threatshare.stix.claims import NewClaim, claim_of
from threatshare.stix.received import Received, read_object
from threatshare.store.connection import Connection
from threatshare.store.disguises import faces, our_ids
from threatshare.store.embedded import Store, without_collector
from threatshare.store.objects import Fresh, unheard
from threatshare.store.ours import ours_among
from threatshare.store.remarks import claim_of_remark, hear
from threatshare.store.runs import note_rejects
from threatshare.store.set_aside import any_exercise, tell_apart
from threatshare.store.sources import Source

PART = 15_000
"""Objects that are merged together at most, in the memory that this takes."""
MANY = 2_000
"""A batch of as many new objects is brought into the store's file by a thread, while the next is read."""


NONE_READ: Mapping[bytes, Received] = MappingProxyType({})


def take(
    store: Store,
    source: Source,
    raws: Sequence[bytes],
    our_identity: str,
    now: Micros,
    tally: Tally,
    then: Callable[[], object],
    exercises: bool = False,
    known: Mapping[bytes, Received] = NONE_READ,
) -> list[Reject]:
    """Takes objects of one source in, and does ``then`` in the same transaction; gives what was kept aside.

    What is of an exercise is kept and makes no claim, but on a node for ``exercises``. ``known``: what was read of some
    of them before.
    """
    with without_collector():
        news = raws if known else _news(store, source, raws, exercises)
        read, rejects = _read(store, news, our_identity, known)
        with store.filling() if len(news) >= MANY else store.writing() as conn:
            for at in range(0, len(read), PART):
                part = read[at : at + PART]
                if not exercises:
                    part, aside = _set_aside(store, conn, source, part, now)
                    rejects += aside
                rejects += _merge(store, conn, source, part, now, tally)
            note_rejects(conn, source.name, rejects, now)
            then()
    tally.objects += len(raws)
    tally.unchanged += len(raws) - len(news)
    tally.rejected += len(rejects)
    return rejects


def _merge(
    store: Store, conn: Connection, source: Source, read: list[tuple[bytes, Received]], now: Micros, tally: Tally
) -> list[Reject]:
    rejects: list[Reject] = []
    # One turn, but where an object comes in several versions: each is merged as if it had come alone.
    turns = deque([read])
    while turns:
        seen = store.sort_out(source, turns.popleft(), now)
        turns += seen.later
        if seen.ended:
            store.end(source, seen.ended.values(), now)
        batch, refused = _normalise(conn, seen.fresh, source, now)
        merged = store.merge(source, batch, now)
        hear(conn, store.key_of, source, [one for one, _ in batch], now)
        rejects += seen.rejects + refused + merged.rejects
        tally.new += merged.new
        tally.changed += merged.changed
        tally.withdrawn += merged.withdrawn
        tally.unchanged += seen.unchanged
    return rejects


def _news(store: Store, source: Source, raws: Sequence[bytes], exercises: bool) -> Sequence[bytes]:
    """Leaves out what is held just so, unless it may have become part of an exercise since."""
    with store.writing() as conn:
        told_apart = not exercises and any_exercise(conn)
        return raws if told_apart else unheard(conn, store.key_of, source.number, raws)


def _set_aside(
    store: Store, conn: Connection, source: Source, read: list[tuple[bytes, Received]], now: Micros
) -> tuple[list[tuple[bytes, Received]], list[Reject]]:
    """Keeps what is of an exercise without claims; gives what is live, and what was set aside with its reason."""
    told = tell_apart(conn, store.key_of, source.number, read, now)
    turns = deque([told.aside] if told.aside else [])
    while turns:
        seen = store.sort_out(source, turns.popleft(), now)
        turns += seen.later
        store.merge(source, [(one, None) for one in seen.fresh], now)
    if told.disowned:
        store.disown(source, told.disowned, now)
    return told.live, told.rejects


def _read(
    store: Store, raws: Sequence[bytes], our_identity: str, known: Mapping[bytes, Received]
) -> tuple[list[tuple[bytes, Received]], list[Reject]]:
    """Reads objects within limits; refuses what pretends to be ours, and what is, whoever may not know it."""
    taken: list[tuple[bytes, Received]] = []
    us = {our_identity, *faces(store.conn)}
    disguised = len(us) > 1
    rejects: list[Reject] = []
    for raw in raws:
        place = "object"
        try:
            read = (known.get(raw) if known else None) or read_object(raw)
            place = read.id
            read.version  # noqa: B018  a bad timestamp is found here, before anything is stored
            if place in us or read.created_by_ref in us or (disguised and our_ids(store.conn, place)):
                if our_identity in (place, read.created_by_ref):
                    raise BadValue(f"{place} says that we made it: our own objects are never taken from outside")
                raise BadValue(UNTOLD)
            taken.append((raw, read))
        except BadValue as problem:
            rejects.append(Reject(place, str(problem), raw[:65_536].decode(errors="replace")))
    ours = ours_among(store.conn, store.key_of, our_identity, (read for _, read in taken))
    if ours:
        rejects += [Reject(one.id, UNTOLD, raw.decode()) for raw, one in taken if one.id in ours]
        taken = [pair for pair in taken if pair[1].id not in ours]
    return taken, rejects


def _normalise(
    conn: Connection, fresh: Sequence[Fresh], source: Source, now: Micros
) -> tuple[list[tuple[Fresh, NewClaim | None]], list[Reject]]:
    """Reads the claims of what is new; an object whose claim cannot be read is kept aside."""
    batch: list[tuple[Fresh, NewClaim | None]] = []
    rejects: list[Reject] = []
    for one in fresh:
        try:
            claim = claim_of(one.read, one.version, source.default_tlp, now)
            batch.append((one, claim or claim_of_remark(conn, one, source, now)))
        except BadValue as problem:
            rejects.append(Reject(one.read.id, str(problem), one.raw.decode(errors="replace")))
    return batch, rejects
