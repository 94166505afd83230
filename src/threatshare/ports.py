"""The few seams at which implementations differ: the smallest function types and protocols that work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, Protocol

from threatshare.config import OwnAssets
from threatshare.model import Finding, Micros, Reject

Clock = Callable[[], datetime]
"""Gives the present as an aware UTC datetime; tests pass their own."""


class Reader(Protocol):
    """Reads one format of internal findings; registered under the entry point group ``threatshare.readers``."""

    name: str

    def recognises(self, head: bytes, filename: str) -> bool:
        """Tells from the first 64 KiB whether this is the reader's format."""
        ...

    def read(self, stream: BinaryIO, place: str, own: OwnAssets) -> Iterator[Finding | Reject]:
        """Yields findings and rejects in order, one record in memory at a time.

        ``place`` names the file; every result adds its line. A broken record is a Reject,
        never an exception.
        """
        ...


@dataclass(frozen=True, slots=True)
class Page:
    """What one request to a feed brought: raw objects and the cursor that comes after them."""

    objects: list[bytes]
    """Each the JSON text of one object, exactly as received."""
    cursor: str
    """Saved in the transaction of these objects; opaque to everyone but the feed."""
    wire_bytes: int = 0


class FeedClient(Protocol):
    """Brings one feed's objects, page by page, from where the cursor left off."""

    def pages(self, cursor: str | None, now: Micros) -> Iterator[Page]:
        """Yields pages until the feed has no more; raises PartnerError at the first fault."""
        ...
