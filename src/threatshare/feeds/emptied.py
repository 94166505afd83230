"""Tells from two cursors that what comes whole, a bundle or a directory of such, holds other files than before.

Such a cursor names the digest of every file that was read (``conditional.WebCursor``, ``bundles``). Where none of those
is left and nothing has come, whatever was there is gone.
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

    @property
    def digests(self) -> set[str]:
        found = {digest for _, _, digest in self.files.values()}
        return found if self.digest is None else found | {self.digest}


_whole = msgspec.json.Decoder(_Whole)


def emptied(before: str | None, after: str) -> bool:
    """Tells whether nothing is left of what a cursor knew; False for a cursor of another kind of feed.

    Asked where a run has brought no object.
    """
    if before is None:
        return False
    try:
        known, left = _whole.decode(before).digests, _whole.decode(after).digests
    except msgspec.DecodeError:
        return False
    return bool(known) and known.isdisjoint(left)
