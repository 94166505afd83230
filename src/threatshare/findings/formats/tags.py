"""What tags and labels make of values, beside what they say of sharing (``stix.misp_tags``): an exercise, an error."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from threatshare.findings.roles import Ruling
from threatshare.model import Marking, Role
from threatshare.stix.exercise import TAGGED, bears_label
from threatshare.stix.misp_tags import confidence_of_tags, folded, marking_of_tags, techniques_of_tags

_EXERCISE = Ruling(Role.UNKNOWN, TAGGED)
_FALSE_POSITIVE = Ruling(Role.THIRD_PARTY, "tagged as a confirmed false positive")


class Said(NamedTuple):
    """What the tags of an event or attribute say together."""

    marking: Marking
    verdict: Ruling | None
    """What they make of the values themselves: an exercise, a false positive."""
    confidence: int | None
    techniques: tuple[str, ...]


@lru_cache(maxsize=4096)
def said_by(tags: tuple[str, ...]) -> Said:
    """Reads tags; remembered, because an event's attributes bear few sets of them."""
    return Said(marking_of_tags(tags), verdict_of_tags(tags), confidence_of_tags(tags), techniques_of_tags(tags))


def verdict_of_tags(tags: Iterable[str]) -> Ruling | None:
    """Says what tags make of the values themselves: an exercise, a false positive; None: nothing."""
    tags = tuple(tags)
    if bears_label(tags):
        return _EXERCISE
    plain = [folded(tag) for tag in tags]
    confirmed = (one for one in plain if one.startswith("false-positive:confirmed"))
    return _FALSE_POSITIVE if any(not one.endswith("=false") for one in confirmed) else None
