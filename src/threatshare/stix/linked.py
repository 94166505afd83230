"""What objects of other types than indicators say: which objects they tie together, and what they are called."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec
from msgspec import Struct

from threatshare.stix.received import ExternalReference, Received

MOST_LINKS = 10_000
"""References of one object that are followed."""
_MOST_TEXT = 200
"""Characters of a name or relationship type."""

NAMING: Mapping[str, str] = {
    "report": "reported in",
    "grouping": "grouped in",
    "note": "noted in",
    "opinion": "judged in",
}
"""Types that refer to others by ``object_refs``, and what that makes of those that they name."""


class Link(NamedTuple):
    """One object's tie to another."""

    source: str
    """STIX id."""
    relation: str
    """``relationship_type`` of a Relationship, or what ``NAMING`` says."""
    target: str


class _Tying(Struct):
    source_ref: str | None = None
    relationship_type: str | None = None
    target_ref: str | None = None
    object_refs: list[str] = []


class _KillChainPhase(Struct):
    kill_chain_name: str = ""
    phase_name: str = ""


class Described(Struct):
    """What an object says of itself for people."""

    type: str
    id: str
    name: str | None = None
    abstract: str | None = None
    """A note's short text."""
    opinion: str | None = None
    explanation: str | None = None
    aliases: list[str] = []
    malware_types: list[str] = []
    external_references: list[ExternalReference] = []
    kill_chain_phases: list[_KillChainPhase] = []
    created_by_ref: str | None = None
    revoked: bool = False

    @property
    def title(self) -> str:
        """What to call it; empty where it has no name."""
        return (self.name or self.abstract or self.opinion or "")[:_MOST_TEXT]

    @property
    def techniques(self) -> tuple[str, ...]:
        """Ids of ATT&CK techniques, groups or software that it names, each once."""
        found = [one.external_id for one in self.external_references if _is_attack(one) and one.external_id]
        return tuple(dict.fromkeys(found))


_tying = msgspec.json.Decoder(_Tying)
_described = msgspec.json.Decoder(Described)


def links_of(read: Received, raw: bytes) -> Iterator[Link]:
    """Yields the ties that an object makes; none where it is of another type, is revoked or cannot be read so."""
    if read.revoked or (read.type != "relationship" and read.type not in NAMING):
        return
    try:
        tying = _tying.decode(raw)
    except msgspec.DecodeError:
        # The object is kept as it came; what it ties together cannot be told.
        return
    if read.type == "relationship":
        if tying.source_ref and tying.relationship_type and tying.target_ref:
            yield Link(tying.source_ref, tying.relationship_type[:_MOST_TEXT], tying.target_ref)
    else:
        for ref in tying.object_refs[:MOST_LINKS]:
            yield Link(ref, NAMING[read.type], read.id)


def described(body: bytes) -> Described | None:
    """Reads what an object says of itself; None where it says it in another form than STIX has."""
    try:
        return _described.decode(body)
    except msgspec.DecodeError:
        return None


def _is_attack(reference: ExternalReference) -> bool:
    return (reference.source_name or "").startswith("mitre-")
