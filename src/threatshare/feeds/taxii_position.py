"""Where a listing of a TAXII server stands: what a feed's cursor holds, and how it moves.

Dates are as the server's clock wrote them. Ours is used only for servers that tell none, and then with a margin, so
that nothing added while we were reading is passed over.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from threatshare.feeds.taxii_manner import USUAL, Manner
from threatshare.model import Micros
from threatshare.stix.timestamps import read_timestamp, write_timestamp

MARGIN: Micros = 5 * 60 * 1_000_000
"""Taken off our own clock where a server does not tell its own; also how far ahead of ours its clock may be."""
_TICK: Micros = 1_000
"""What servers may cut off the date that they tell: a listing that starts again behind it asks from so much before."""


class Position(Struct, omit_defaults=True):
    """Where a listing stands: what the cursor's text holds."""

    added_after: str | None = None
    """Sent with every page of the listing; None: from the beginning."""
    next: str | None = None
    """The server's continuation; None: the listing is complete."""
    last: str | None = None
    """What ``added_after`` will be once the listing is complete: told by the newest page that had objects."""
    began: str | None = None
    """When the listing began by our clock, for servers without that header."""
    feed: str | None = None
    """Digest of address and collection: a cursor is of no use for another one."""
    manner: Manner = USUAL
    """How the server wants to be asked."""


def advance(at: Position, last: str | None, following: str | None, *, got_objects: bool) -> Position:
    """Gives the position after a page.

    ``last`` is the page's X-TAXII-Date-Added-Last, ``following`` the server's ``next`` or None after
    the last page. ``added_after`` never moves backwards, and never moves without objects.
    """
    newest = (last or _before(at.began)) if got_objects else at.last
    if following is not None:
        return msgspec.structs.replace(at, next=following, last=newest)
    return Position(added_after=_later(at.added_after, newest), feed=at.feed, manner=at.manner)


def from_start(at: Position) -> Position:
    """Gives the beginning of a listing."""
    return msgspec.structs.replace(at, next=None, last=None)


def resumed(at: Position) -> Position:
    """Gives where a listing starts again whose ``next`` has expired since the run before.

    Behind the newest date that the server told: a listing that takes longer than a run would never come to its end.
    """
    # A date of our own clock is behind all that there is.
    told = None if at.last == _before(at.began) else at.last
    return (None if told is None else behind(at, told)) or from_start(at)


def behind(at: Position, told: str) -> Position | None:
    """Gives a listing that starts again behind a date; None where it began there already."""
    after = write_timestamp(read_timestamp(told) - _TICK, 6)
    if at.added_after is not None and read_timestamp(after) <= read_timestamp(at.added_after):
        return None
    return msgspec.structs.replace(at, added_after=after, next=None, last=None)


def _before(began: str | None) -> str | None:
    return None if began is None else write_timestamp(read_timestamp(began) - MARGIN, 6)


def _later(one: str | None, other: str | None) -> str | None:
    if one is None or other is None:
        return one or other
    return one if read_timestamp(one) >= read_timestamp(other) else other


def position_text(position: Position) -> str:
    """Gives the cursor's text."""
    return msgspec.json.encode(position).decode()
