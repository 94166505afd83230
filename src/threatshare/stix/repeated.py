"""Properties that stand in an object twice: readers differ on which one counts (RFC 8259 §4), so it says two things."""

from __future__ import annotations

import json

import msgspec
from msgspec import Raw

_parts = msgspec.json.Decoder(dict[str, Raw]).decode


def repeated_property(raw: bytes) -> str | None:
    """Names a property that an object has twice, however its names are escaped; None where each stands there once.

    Only its own are looked at, not those of what stands within. ``raw`` is an object that was read already.
    """
    parts = _parts(raw)
    # Of two that are named alike the last is left, so the comma behind the first stands in none of what is left.
    left = b"".join(parts.values()).count(b",") + len(parts) - 1
    if raw.count(b",") == left and not any("," in name for name in parts):
        return None
    return _first_repeated(raw)


def _first_repeated(raw: bytes) -> str | None:
    pairs: list[tuple[str, object]] = []

    def keep(found: list[tuple[str, object]]) -> None:
        pairs[:] = found  # the outermost object is the last to be done

    json.loads(raw, object_pairs_hook=keep, parse_int=str, parse_float=str)  # of numbers nothing is asked
    names: set[str] = set()
    for name, _ in pairs:
        if name in names:
            return name
        names.add(name)
    return None
