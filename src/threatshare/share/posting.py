"""A POST of objects: read one by one within limits, handed over, and answered object by object (TAXII 2.1 §5.5)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import msgspec

from threatshare.errors import BadValue
from threatshare.model import Account, Collection, Micros
from threatshare.share.bodies import Ready, timestamp
from threatshare.share.errors import Refused
from threatshare.stix.received import Received, read_object, split_envelope

Accept = Callable[[Collection, Account, Sequence[tuple[bytes, Received]], Micros], list[str | None]]
"""Takes what an account posted to a collection; says for each object None (taken) or why it was not."""

MOST_OBJECTS = 50_000
"""Objects of one POST; each gets its outcome in the status."""
_MOST_BRACES = 40 * MOST_OBJECTS
"""Cheap to count before parsing: a body of nothing but tiny objects would take memory beyond its size."""


class _Named(msgspec.Struct):
    id: str = ""
    modified: str = ""
    created: str = ""


_named = msgspec.json.Decoder(_Named)


def post_objects(
    collection: Collection, account: Account, body: bytes, accept: Accept, now: Micros
) -> tuple[str, Ready]:
    """Takes an envelope or a bundle; gives the id and the body of its status.

    Raises BadValue where the body is neither, and Refused where it holds nothing or too much. An
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
    read, outcomes = _read(objects, now)
    taken = accept(collection, account, [pair for _, pair in read], now) if read else []
    for (place, _), failure in zip(read, taken, strict=True):
        outcomes[place]["message"] = failure
    return _status(outcomes, now)


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


def _status(outcomes: list[dict[str, Any]], now: Micros) -> tuple[str, Ready]:
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
    return status_id, Ready(msgspec.json.encode(status))


def _too_many() -> Refused:
    return Refused(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"One POST may hold {MOST_OBJECTS} objects; send them in several."
    )
