"""What a server says became of the objects that it was sent: the status resource (TAXII 2.1 §4.3.1), and errors (§3.6).

Servers differ, so little is demanded: counts may be text, ids numbers, details plain ids, and lists may be
missing. What contradicts itself is read as the worse of the two. Text of theirs is cut and cleaned here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import Raw, Struct

from threatshare.errors import BadValue
from threatshare.feeds.content import UNREADABLE
from threatshare.model import Micros
from threatshare.stix.timestamps import read_timestamp

MAX_SAID = 300
"""Characters kept of any one message."""
_MAX_DETAILS = 100_000
_IS_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,127}").fullmatch
"""An id becomes part of an address that is asked: nothing that could lead elsewhere is taken."""
_NOTHING = Raw(b"null")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the server says of one object."""

    object_id: str
    version: Micros | None
    """None: it did not say which, or not readably."""
    message: str
    """Cleaned and cut; may be empty."""


@dataclass(frozen=True, slots=True)
class Status:
    """One answer to a POST, as far as it goes by now."""

    id: str | None
    """None: none that can be asked for later."""
    complete: bool
    failed: int
    """Objects that were refused, by the server's own count."""
    pending: int
    failures: tuple[Outcome, ...] = ()
    pendings: tuple[Outcome, ...] = ()

    def resource(self) -> dict[str, Any]:
        """Gives a status resource that is consistent in itself, as taxii2-client demands; this value goes along."""
        return {
            "id": self.id or "unnamed",
            "status": "complete" if self.complete else "pending",
            "total_count": self.failed + self.pending,
            "success_count": 0,
            "failure_count": self.failed,
            "pending_count": self.pending,
            "read": self,
        }


class _Detail(Struct):
    id: str | int | None = None
    version: str | int | None = None
    message: Any = None


class _StatusResource(Struct):
    id: str | int | None = None
    status: str | None = None
    failure_count: str | int | float | None = None
    pending_count: str | int | float | None = None
    failures: Raw = _NOTHING
    pendings: Raw = _NOTHING


class _ErrorResource(Struct):
    title: str | None = None
    description: str | None = None
    error_code: str | int | None = None


def read_status(body: bytes) -> Status | None:
    """Reads a status resource; None where the body is none."""
    try:
        read = msgspec.json.decode(body, type=_StatusResource)
    except UNREADABLE:
        return None
    if read.status is None and read.failure_count is None and read.pending_count is None:
        return None
    failures, pendings = _details(read.failures), _details(read.pendings)
    failed = max(_count(read.failure_count), len(failures))
    pending = max(_count(read.pending_count), len(pendings))
    said = (read.status or "").strip().lower()
    # Only the two words of the standard are believed; for any other the counts decide.
    complete = said == "complete" or (said != "pending" and pending == 0)
    known = str(read.id) if read.id is not None else ""
    return Status(known if _IS_ID(known) else None, complete, failed, pending, failures, pendings)


def complaint(body: bytes) -> str:
    """Gives what an error resource says, cleaned and cut; empty where the body is none."""
    try:
        read = msgspec.json.decode(body, type=_ErrorResource)
    except UNREADABLE:
        return ""
    code = None if read.error_code is None else f"({read.error_code})"
    return cleaned(": ".join(filter(None, (read.title, read.description))) + (f" {code}" if code else ""))


def cleaned(text: str) -> str:
    """Makes one printable line of a server's text, of at most ``MAX_SAID`` characters."""
    plain = "".join(one if one.isprintable() else " " for one in text[: 4 * MAX_SAID])
    return " ".join(plain.split())[:MAX_SAID]


def _details(listed: Raw) -> tuple[Outcome, ...]:
    try:
        details = msgspec.json.decode(listed, type=list[Raw] | None)
    except UNREADABLE:
        return ()
    return tuple(filter(None, map(_outcome, (details or [])[:_MAX_DETAILS])))


def _outcome(raw: Raw) -> Outcome | None:
    """Reads one detail: an object of TAXII 2.1, or the bare id of 2.0."""
    try:
        read = msgspec.json.decode(raw, type=_Detail | str)
    except UNREADABLE:
        return None
    if isinstance(read, str):
        return Outcome(cleaned(read), None, "")
    if read.id is None:
        return None
    message = read.message if isinstance(read.message, str) else ""
    return Outcome(cleaned(str(read.id)), _version(read.version), cleaned(message))


def _version(text: str | int | None) -> Micros | None:
    try:
        return read_timestamp(text) if isinstance(text, str) else None
    except BadValue:
        return None


def _count(given: str | int | float | None) -> int:
    try:
        return min(max(int(given or 0), 0), 10**9)
    except (ValueError, OverflowError):
        return 0
