"""Media types as RFC 9110 §8.3 and §12.5.1 write them: any case, blanks, quotes, quality values."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

# Nothing is tried twice: a string that does not end takes the rest, and gives none of it back.
_PART = re.compile(r'"(?:[^"\\]|\\.?)*+"?|[^",;]+|[,;]', re.DOTALL)
_LONGEST = 4_096
"""Characters of a header that is read, and remembered: it is looked at before anybody has said who he is."""
_VERSION = "2.1"
_TAXII_TYPE = "application/taxii+json"
_STIX_TYPE = "application/stix+json"
_ANY_OF_OURS = {
    _TAXII_TYPE: 2,
    "application/*": 1,
    "*/*": 0,
    # What we send is JSON; whoever asks for no more than that can read it.
    "application/json": 1,
    _STIX_TYPE: 1,
}
"""Ranges that our one representation satisfies, with how specific each is."""


@dataclass(frozen=True, slots=True)
class MediaRange:
    """One range of an Accept header, or a content type."""

    type: str
    version: str | None
    quality: float


def accepts_taxii(header: str | None) -> bool:
    """Tells whether an Accept header lets us answer in TAXII 2.1; the most specific range that fits decides."""
    if header is None:
        return True
    return len(header) <= _LONGEST and _accepts_taxii(header)


@lru_cache(maxsize=256)
def _accepts_taxii(header: str) -> bool:
    if not header.strip():
        return True
    best: tuple[int, float] = (-1, 0.0)
    for one in _ranges(header):
        specific = _ANY_OF_OURS.get(one.type)
        if specific is None or one.version not in (None, _VERSION):
            continue
        best = max(best, (specific + (one.version is not None), one.quality))
    return best[1] > 0


def is_postable(header: str | None) -> bool:
    """Tells whether a Content-Type is one in which objects may be posted: TAXII or STIX, 2.1 or no version."""
    ranges = _ranges(header) if header is not None and len(header) <= _LONGEST else []
    return len(ranges) == 1 and ranges[0].type in (_TAXII_TYPE, _STIX_TYPE) and ranges[0].version in (None, _VERSION)


def _ranges(header: str) -> list[MediaRange]:
    ranges: list[MediaRange] = []
    parts: list[str] = [""]
    for piece in [*_PART.findall(header), ","]:
        if piece == ",":
            if any(part.strip() for part in parts):
                ranges.append(_range(parts))
            parts = [""]
        elif piece == ";":
            parts.append("")
        else:
            parts[-1] += piece
    return ranges


def _range(parts: list[str]) -> MediaRange:
    parameters: dict[str, str] = {}
    for part in parts[1:]:
        name, _, value = part.partition("=")
        parameters.setdefault(name.strip().lower(), value.strip().strip('"'))
    return MediaRange(parts[0].strip().lower(), parameters.get("version") or None, _quality(parameters.get("q", "1")))


def _quality(text: str) -> float:
    try:
        return float(text) if re.fullmatch(r"[01](\.\d{0,3})?", text, re.ASCII) else 0.0
    except ValueError:
        return 0.0
