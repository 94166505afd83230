"""The few seams at which implementations differ: the smallest function types and protocols that work."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, NamedTuple, Protocol, runtime_checkable

from threatshare.config import OwnAssets
from threatshare.model import Finding, Micros, Observable, Reject

Clock = Callable[[], datetime]
"""Gives the present as an aware UTC datetime; tests pass their own."""


Heard = Callable[[int, int | None], object]
"""Told, while an answer comes in, how many of its bytes are here, and how many there are; None: nobody knows."""


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
    rejects: Sequence[Reject] = ()
    """What could not even be read as objects."""
    left: int | None = None
    """How many objects come behind it in this run, roughly; None: nobody knows."""


class FeedClient(Protocol):
    """Brings one feed's objects, page by page, from where the cursor left off."""

    def pages(self, cursor: str | None, now: Micros) -> Iterator[Page]:
        """Yields pages until the feed has no more; raises PartnerError at the first fault."""
        ...


class Listed(NamedTuple):
    """One value that a list names, as its row says it."""

    observable: Observable
    seen: Micros | None
    """When it was last seen; None: the list does not say."""
    confidence: int | None
    """0-100; None: unspecified."""
    text: str | None
    """The row as it stood; None where that is the canonical value and nothing else."""


@dataclass(frozen=True, slots=True)
class Listing:
    """A list as it stands now: all that it names, and what follows from that."""

    rows: Iterator[Listed | Reject]
    """In order; raises PartnerError where the list turns out not to be what it should be."""
    cursor: str
    """Saved once every row is in."""
    complete: bool
    """Whether what it no longer names is withdrawn."""
    about: int = 0
    """How many rows there are, roughly and at most."""
    wire_bytes: int = 0
    note: str | None = None
    """What a person is to know of this reading, in words."""


@runtime_checkable
class ListClient(Protocol):
    """Brings one list whole, whenever it has changed."""

    def listing(self, cursor: str | None, now: Micros) -> Listing | None:
        """Gives the list; None where it is as it was at the cursor. Raises PartnerError."""
        ...
