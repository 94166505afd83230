"""A POST of objects: read one by one within limits, handed over, and answered object by object (TAXII 2.1 §5.5)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple
from uuid import uuid4

import msgspec

from threatshare.errors import BadValue
from threatshare.model import Account, Collection, Micros, Reject
from threatshare.share.bodies import timestamp
from threatshare.share.connections import Connections
from threatshare.share.errors import Refused
from threatshare.stix.received import Received, read_object, split_envelope
from threatshare.store.quotas import Amount, charge, quota_of, until_midnight

Accept = Callable[[Collection, Account, Sequence[tuple[bytes, Received]], Micros], list[str | None]]
"""Takes what an account posted to a collection; says for each object None (taken) or why it was not."""

Admit = Callable[[Account, Amount, Micros], None]
"""Counts what an account posts before any of it is taken; raises Refused where that is too much."""

MOST_OBJECTS = 50_000
"""Objects of one POST; each gets its outcome in the status."""
_KEPT_TEXT = 4096
"""Bytes of an object that was not taken: for a person to look at."""
_MOST_BRACES = 40 * MOST_OBJECTS
"""Cheap to count before parsing: a body of nothing but tiny objects would take memory beyond its size."""


class _Named(msgspec.Struct):
    id: str = ""
    modified: str = ""
    created: str = ""


_named = msgspec.json.Decoder(_Named)


class Posted(NamedTuple):
    """What came of one POST."""

    status_id: str
    status: bytes
    unread: list[Reject]
    """Objects that nothing could be read from, so that nobody was asked to take them."""
    refused: list[Reject]
    """Objects that whoever was asked did not take."""


def post_objects(
    collection: Collection, account: Account, body: bytes, accept: Accept, admit: Admit, now: Micros
) -> Posted:
    """Takes an envelope or a bundle; gives its status, and what was not taken.

    Raises BadValue where the body is neither, and Refused where it holds nothing or too much, or ``admit`` does. An
    object that cannot be read fails alone.
    """
    if body.count(b"{") > _MOST_BRACES:
        raise _too_many()
    objects = split_envelope(body)[0]
    if not objects:
        raise Refused(
            HTTPStatus.UNPROCESSABLE_ENTITY, "The body holds no objects; wanted is an envelope or a STIX bundle."
        )
    if len(objects) > MOST_OBJECTS:
        raise _too_many()
    admit(account, Amount(len(objects), len(body)), now)
    read, outcomes = _read(objects, now)
    unread = [_aside(one, raw) for one, raw in zip(outcomes, objects, strict=True) if one["message"] is not None]
    taken = accept(collection, account, [pair for _, pair in read], now) if read else []
    refused = []
    for (place, (raw, received)), failure in zip(read, taken, strict=True):
        if failure is not None:
            # The id stands beside it already.
            outcomes[place]["message"] = failure.removeprefix(f"{received.id}: ")
            refused.append(_aside(outcomes[place], raw))
    return Posted(*_status(outcomes, now), unread, refused)


def _aside(outcome: dict[str, Any], raw: bytes) -> Reject:
    return Reject(outcome["id"], outcome["message"], raw[:_KEPT_TEXT].decode(errors="replace"))


def admission(connections: Connections, default: Amount) -> Admit:
    """Makes the function that counts what accounts post towards their quotas of the day.

    What no day's quota would hold is 413, what today's does not any more 429. ``default`` is everybody's quota for whom
    none was set.
    """

    def admit(account: Account, amount: Amount, now: Micros) -> None:
        with connections.writing() as conn:
            quota = quota_of(conn, account.name, default)
            if charge(conn, account.name, amount, quota, now):
                return
        limit = f"This account may post {quota.objects} objects and {quota.bytes} bytes a day (UTC)"
        if not quota.holds(amount):
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"{limit}; this is more than that.")
        raise Refused(
            HTTPStatus.TOO_MANY_REQUESTS,
            f"{limit}, and this is more than is left of today. Nothing was taken; send it tomorrow.",
            {"Retry-After": str(until_midnight(now))},
        )

    return admit


def _read(
    objects: Sequence[bytes], now: Micros
) -> tuple[list[tuple[int, tuple[bytes, Received]]], list[dict[str, Any]]]:
    """Reads each object; gives those that could be, with their places, and a row of the status for each object."""
    read = []
    outcomes: list[dict[str, Any]] = []
    arrived = timestamp(now)
    for place, raw in enumerate(objects):
        try:
            received = read_object(raw)
            _ = received.version
        except BadValue as problem:
            outcomes.append(_unreadable(raw, place, str(problem), arrived))
            continue
        read.append((place, (raw, received)))
        version = received.modified or received.created or arrived
        outcomes.append({"id": received.id, "version": version, "message": None})
    return read, outcomes


def _unreadable(raw: bytes, place: int, reason: str, arrived: str) -> dict[str, Any]:
    try:
        named = _named.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        named = _Named()
    return {
        "id": named.id[:300] or f"object {place + 1} of the envelope",
        "version": (named.modified or named.created)[:40] or arrived,
        "message": reason,
    }


def _status(outcomes: list[dict[str, Any]], now: Micros) -> tuple[str, bytes]:
    status_id = str(uuid4())
    failures = [one for one in outcomes if one["message"] is not None]
    successes = [{"id": one["id"], "version": one["version"]} for one in outcomes if one["message"] is None]
    status: dict[str, Any] = {
        "id": status_id,
        "status": "complete",
        "request_timestamp": timestamp(now),
        "total_count": len(outcomes),
        "success_count": len(successes),
        "failure_count": len(failures),
        "pending_count": 0,
    }
    if successes:
        status["successes"] = successes
    if failures:
        status["failures"] = failures
    return status_id, msgspec.json.encode(status)


def _too_many() -> Refused:
    return Refused(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"One POST may hold {MOST_OBJECTS} objects; send them in several."
    )
