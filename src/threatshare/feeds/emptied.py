"""Tells from two cursors what is gone of a feed that comes whole: a bundle, a directory of such, a MISP feed.

Such a cursor names the digest of every file that was read (``conditional.WebCursor``, ``bundles``), or every event
(``misp``). Where none of those is left and nothing has come, whatever was there is gone.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct


class _Whole(Struct):
    """What cursors of feeds have in common that come whole; others have nothing of it."""

    digest: str | None = None
    """Of the address."""
    files: dict[str, tuple[int, int, str]] = {}
    """Size, time and digest of each file."""
    feed: str | None = None
    """Place of a MISP feed."""
    events: dict[str, str] = {}
    """Events of a MISP feed, with when each was last changed."""

    @property
    def named(self) -> set[str]:
        found = {digest for _, _, digest in self.files.values()}.union(self.events)
        return found if self.digest is None else found | {self.digest}


_whole = msgspec.json.Decoder(_Whole)


def emptied(before: str | None, after: str) -> bool:
    """Tells whether nothing is left of what a cursor knew; False for a cursor of another kind of feed.

    Asked where a run has brought no object.
    """
    known, left = _read(before), _read(after)
    return known is not None and left is not None and bool(known.named) and known.named.isdisjoint(left.named)


def events_left(before: str | None, after: str) -> tuple[int, int]:
    """Gives how many events of a MISP feed a cursor knew, and how many of those its feed still names.

    Nothing of either for a cursor of another kind of feed, or of another place.
    """
    known, left = _read(before), _read(after)
    if known is None or left is None or known.feed != left.feed:
        return 0, 0
    return len(known.events), len(known.events.keys() & left.events.keys())


def _read(cursor: str | None) -> _Whole | None:
    if cursor is None:
        return None
    try:
        return _whole.decode(cursor)
    except msgspec.DecodeError:
        return None
