"""How a TAXII server takes its filters, found out where it refuses what the standard allows.

    refused with 400                  asked again
    ``added_after`` with a fraction   in whole seconds, rounded down: what comes twice changes nothing
    ``limit``                         with 100 at most, then without

Only the beginning of a listing is asked again: a ``next`` that is refused has expired. What was found out stays in the
cursor.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

_SMALL = 100
"""What servers with small pages give in one (OpenCTI, EclecticIQ)."""


class Manner(Struct, frozen=True, omit_defaults=True):
    """How a server wants to be asked."""

    whole_seconds: bool = False
    """Dates without a fraction."""
    most: int | None = None
    """The largest ``limit``; 0: none is sent; None: whatever is configured."""

    def date(self, added_after: str | None) -> str | None:
        """Gives a date as it is sent.

        As the server wrote it, but with a fraction, without which some do not read it (``%f``), unless this one refuses
        just that.
        """
        if added_after is None or not added_after.endswith("Z"):
            return added_after
        whole, _, fraction = added_after[:-1].partition(".")
        if self.whole_seconds:
            return f"{whole}Z"
        return added_after if fraction else f"{whole}.000000Z"

    def limit(self, page_size: int) -> int | None:
        """Gives the objects that are asked for in one request; None: as many as the server likes to give."""
        return page_size if self.most is None else min(self.most, page_size) or None

    def others(self, added_after: str | None, page_size: int) -> Iterator[Manner]:
        """Yields other ways to ask the same, the next best first."""
        sizes = [self.most, *(one for one in (_SMALL, 0) if one < (self.limit(page_size) or 0))]
        dates = (False,) if added_after is None else (True, False)
        for most in sizes:
            for whole_seconds in dates:
                other = Manner(whole_seconds, most)
                if other != self:
                    yield other


USUAL = Manner()
"""As the standard says."""
