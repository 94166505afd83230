"""What an answer to a delivered envelope means: pure functions from statuses to what is recorded and done next.

2xx with a status      recorded object by object; pending is asked for again
2xx without            taken: the standard demands a status resource, some servers give none
413                    half as much at a time; an object alone is kept as too large
400, 422               one bad object makes some servers refuse all of it: halved, down to the one
429, 503               left alone for as long as it asks (``Busy``)
408, 425, other 5xx    tried again later, the same envelope: it may have arrived
all else               refused for a reason that waiting does not mend: parked until a person changes something
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum

from threatshare.feeds.taxii_status import Outcome, Status
from threatshare.model import Micros
from threatshare.store.deliveries import PENDING, REFUSED, Settled, Undelivered

Contents = Sequence[tuple[int, str, Micros]]
"""(seq, object id, version) of what an envelope holds, in order."""

NO_STATUS = "the server took it and gave no status resource"
NO_STATUS_ID = "the server took it and gave no id to ask for its status"
FORGOTTEN = "the server no longer knows the status; what became of pending objects was never told"


class Ruling(Enum):
    """What is done about a status that is no success."""

    SMALLER = "smaller"
    APART = "apart"
    LATER = "later"
    PARK = "park"


_RULINGS = {413: Ruling.SMALLER, 400: Ruling.APART, 422: Ruling.APART, 408: Ruling.LATER, 425: Ruling.LATER}
_ADVICE = {
    401: "check the target's user, password, token or certificate",
    403: "this account may not write there; ask the partner",
    404: "check the target's url and remote",
    405: "that address takes no objects; check the target's url",
    406: "the server does not answer in TAXII 2.1",
    407: "a proxy stands in the way",
    410: "the collection is gone; ask the partner",
    415: "the server takes no TAXII 2.1 envelopes",
}
FORGETS = frozenset({404, 410})
"""What servers answer when asked for a status that they keep no more (TAXII 2.1 §4.3 lets them)."""


def ruling(status: int) -> Ruling:
    """Rules on an HTTP status that is no success, 429 and 503 apart."""
    return _RULINGS.get(status) or (Ruling.LATER if status >= 500 else Ruling.PARK)


def advice(status: int) -> str:
    """Says what a person can do about a status; empty where nothing is known."""
    if 300 <= status < 400:
        return "it redirects, which a POST never follows; name the address that is meant"
    return _ADVICE.get(status, "")


def settled(contents: Contents, status: Status | None) -> Settled:
    """Turns a server's word on an envelope into what is recorded of it.

    What it names and we did not send is left out. Counts are made to agree with each other: accepted,
    pending and failed add up to the envelope.
    """
    count = len(contents)
    if status is None:
        return Settled("done", count, 0, 0, error=NO_STATUS)
    refused = _remarks(contents, status.failures, REFUSED)
    seen = {one.seq for one in refused}
    waiting = [one for one in _remarks(contents, status.pendings, PENDING) if one.seq not in seen]
    failed = min(max(status.failed, len(refused)), count)
    remarks = sorted([*refused, *waiting], key=lambda one: one.seq)
    if status.complete or status.id is None:
        error = None if status.complete else NO_STATUS_ID
        pending = min(len(waiting), count - failed)
        state = "failed" if failed == count else "done"
        return Settled(state, count - failed - pending, pending, failed, remarks, None, error)
    pending = min(max(status.pending, len(waiting)) or count, count - failed)
    return Settled("pending", count - failed - pending, pending, failed, remarks, status.id)


def forgotten(contents: Contents, remarks: Sequence[Undelivered]) -> Settled:
    """Settles an envelope whose status the server has dropped: what was said of its objects last stays."""
    failed = sum(one.kind == REFUSED for one in remarks)
    pending = sum(one.kind == PENDING for one in remarks)
    return Settled("done", max(len(contents) - failed - pending, 0), pending, failed, remarks, None, FORGOTTEN)


def refused_alone(contents: Contents, kind: str, message: str) -> Settled:
    """Settles an envelope of one object that the server would not take."""
    remarks = [Undelivered(seq, object_id, version, kind, message) for seq, object_id, version in contents]
    return Settled("failed", 0, 0, len(remarks), remarks)


def _remarks(contents: Contents, outcomes: Iterable[Outcome], kind: str) -> list[Undelivered]:
    named: dict[str, dict[Micros | None, str]] = {}
    for one in outcomes:
        named.setdefault(one.object_id, {})[one.version] = one.message
    if not named:
        return []
    sent: dict[str, set[Micros]] = {}
    for _, object_id, version in contents:
        sent.setdefault(object_id, set()).add(version)
    found = []
    for seq, object_id, version in contents:
        told = named.get(object_id)
        # Servers write versions in many ways; what names none of those sent means whichever was sent.
        if told is not None and (version in told or not (sent[object_id] & told.keys())):
            message = told.get(version) or next(iter(told.values()))
            found.append(Undelivered(seq, object_id, version, kind, message or "the server gave no reason"))
    return found
