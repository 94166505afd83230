"""STIX and TAXII timestamps (RFC 3339, UTC, ``Z``) to microseconds and back."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache

from threatshare.errors import BadValue
from threatshare.model import Micros, micros, moment

# Hour 24 is no hour (RFC 3339 §5.6), though ISO 8601 and some parsers take it for the next day's first.
_SHAPE = re.compile(r"\d{4}-\d\d-\d\dT(?!24)\d\d:\d\d:\d\d(?:\.\d{1,20})?Z", re.ASCII).fullmatch


@lru_cache(maxsize=16_384)
def read_timestamp(text: str) -> Micros:
    """Reads a timestamp strictly (STIX 2.1 §3.2: ``T``, ``Z``, upper case); digits past the sixth are dropped.

    Cached: an object says the same moment two or three times, and a feed's objects share many.
    """
    if _SHAPE(text) is None:
        raise BadValue(f"timestamp {text[:40]!r} is not of the form YYYY-MM-DDTHH:MM:SS[.fff]Z")
    try:
        # Not by way of a float: that takes the last moment of the year 9999, "for ever", beyond what dates can hold.
        return micros(datetime.fromisoformat(text))
    except ValueError as problem:
        raise BadValue(f"timestamp {text[:40]!r}: {problem}") from problem


@lru_cache(maxsize=1_024)
def write_timestamp(at: Micros, digits: int = 3) -> str:
    """Writes a timestamp with 3 fractional digits (STIX) or 6 (TAXII ``date_added``)."""
    # Not strftime, which writes the first years with fewer than four digits.
    return moment(at).isoformat(timespec="microseconds")[: 20 + digits] + "Z"


def whole_milliseconds(at: Micros) -> Micros:
    """Drops what a STIX timestamp of three digits cannot say."""
    return at - at % 1000


def read_loose_time(text: str) -> datetime | None:
    """Reads the times that tools write (any offset, none at all is UTC); None where it cannot."""
    try:
        at = datetime.fromisoformat(text.strip())
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
