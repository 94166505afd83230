"""What others remark on indicators of ours: that they saw one (Sighting), what they think of it (Opinion)."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import Struct

from threatshare.errors import BadValue
from threatshare.model import Micros
from threatshare.stix.received import Received
from threatshare.stix.timestamps import read_timestamp

MOST_REFERENCES = 100
"""Objects that one opinion is heard on."""

Word = Literal["strongly-disagree", "disagree", "neutral", "agree", "strongly-agree"]
"""STIX 2.1 §10.24, opinion-enum."""


class Seen(Struct, gc=False):
    """What a Sighting says (STIX 2.1 §5.2)."""

    sighting_of_ref: str
    count: int = 1
    first_seen: str | None = None
    last_seen: str | None = None

    def times(self, version: Micros, now: Micros) -> tuple[Micros, Micros]:
        """Gives when it was first and last seen; where that is not said or lies ahead, the object's own time counts.

        Raises BadValue where one of them is no time.
        """
        last = min(read_timestamp(self.last_seen) if self.last_seen else version, version, now)
        return min(read_timestamp(self.first_seen) if self.first_seen else last, last), last


class Thought(Struct, gc=False):
    """What an Opinion says (STIX 2.1 §4.16)."""

    opinion: Word
    object_refs: list[str]


_seen = msgspec.json.Decoder(Seen)
_thought = msgspec.json.Decoder(Thought)


def seen_of(raw: bytes, read: Received) -> Seen | None:
    """Reads a sighting; None for every other object, and where it says that nothing was seen. Raises BadValue."""
    if read.type != "sighting":
        return None
    try:
        told = _seen.decode(raw)
    except (msgspec.DecodeError, RecursionError) as problem:
        raise BadValue(f"{read.id}: {problem}") from problem
    return told if told.count > 0 else None


def thought_of(raw: bytes, read: Received) -> Thought | None:
    """Reads an opinion; None for every other object. Raises BadValue."""
    if read.type != "opinion":
        return None
    try:
        told = _thought.decode(raw)
    except (msgspec.DecodeError, RecursionError) as problem:
        raise BadValue(f"{read.id}: {problem}") from problem
    if len(told.object_refs) > MOST_REFERENCES:
        raise BadValue(f"{read.id}: an opinion on more than {MOST_REFERENCES} objects")
    return told
