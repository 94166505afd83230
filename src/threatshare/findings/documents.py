"""Reads decoded JSON whose shape nobody promised: what is missing or of another type is empty, never an error.

A path is given as its steps: ``text(doc, "service", "action", "actionType")``.
"""

from __future__ import annotations

from datetime import UTC, datetime
from math import isfinite
from typing import Any

from threatshare.stix.timestamps import read_loose_time

Doc = dict[str, Any]

_MILLISECONDS = 100_000_000_000
"""Seconds since 1970 beyond this (the year 5138) are milliseconds, and a thousandfold of it microseconds."""


def value(doc: Doc, *path: str) -> Any:
    """Gives what stands at a path; None where there is nothing."""
    found: Any = doc
    for step in path:
        if not isinstance(found, dict):
            return None
        found = found.get(step)
    return found


def inner(doc: Doc, *path: str) -> Doc:
    """Gives the object at a path; empty where there is none."""
    found = value(doc, *path)
    return found if isinstance(found, dict) else {}


def inners(doc: Doc, *path: str) -> list[Doc]:
    """Gives the objects of the list at a path; one object counts as a list of it."""
    found = value(doc, *path)
    listed = found if isinstance(found, list) else [found]
    return [one for one in listed if isinstance(one, dict)]


def text(doc: Doc, *path: str) -> str:
    """Gives the text at a path without the blanks around it; empty where there is none."""
    found = value(doc, *path)
    return found.strip() if isinstance(found, str) else ""


def texts(doc: Doc, *path: str) -> list[str]:
    """Gives the texts of the list at a path; one text counts as a list of it."""
    found = value(doc, *path)
    listed = found if isinstance(found, list) else [found]
    return [one.strip() for one in listed if isinstance(one, str) and one.strip()]


def number(doc: Doc, *path: str) -> int | None:
    """Gives the whole number at a path, also where it is written as text; None where there is none."""
    found = value(doc, *path)
    if isinstance(found, str) and len(found) <= 20 and found.strip().isascii() and found.strip().isdigit():
        return int(found)
    if isinstance(found, float) and found.is_integer():
        return int(found)
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def moment(doc: Doc, *path: str) -> datetime | None:
    """Gives the time at a path, UTC: RFC 3339 and the like, or seconds, milliseconds or microseconds since 1970."""
    found = value(doc, *path)
    if isinstance(found, str):
        # Digits alone are a number: some would pass for a date without its hyphens.
        try:
            found = float(found)
        except ValueError:
            return read_loose_time(found)
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    try:
        seconds = float(found)
        if not isfinite(seconds):
            return None
        while abs(seconds) >= _MILLISECONDS:
            seconds /= 1000
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, OSError, ValueError):
        return None
