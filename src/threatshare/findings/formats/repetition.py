"""Tells JSON that says a property twice: readers keep the last value, so the first one, perhaps a marking, is lost."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

REPEATED = (
    "a property stands twice in the record, so that a marking may hide behind another one: have its sender write it "
    "again with each property once"
)

_TWICE = object()
_Members = list[tuple[str, Any]]


def says_twice(raw: bytes, apart: Collection[str] = ()) -> bool:
    """Tells whether any object within some JSON has a property twice, or no second parser can read the text.

    ``apart`` names properties whose values are looked at by themselves later: what is said twice within them does not
    count. Memory is that of the text and of the one object that is open, not of all that is in it.
    """

    def seen(members: _Members) -> object:
        within = any(name not in apart and _told(value) for name, value in members)
        return _TWICE if within or len({name for name, _ in members}) != len(members) else None

    try:
        # Numbers stay text: Python refuses to count in those of many digits.
        read = json.loads(raw.decode("utf-8", "replace"), object_pairs_hook=seen, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return True
    return _told(read)


def _told(value: object) -> bool:
    return value is _TWICE or (isinstance(value, list) and any(_told(one) for one in value))
