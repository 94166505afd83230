"""What objects of other types than indicators say: which objects they tie together, and what they are called."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec
from msgspec import Struct

from threatshare.stix.received import ExternalReference, Received

MOST_LINKS = 10_000
"""References of one object that are followed."""
_MOST_TEXT = 200
"""Characters of a name or relationship type."""
_MOST_NAMED = 20
"""Techniques, and galaxies, of one object."""
_IS_ATTACK_ID = re.compile(r"(?:TA|[TGSMCA])\d{4}(?:\.\d{3})?").fullmatch
"""Ids of ATT&CK: tactics, techniques, groups, software, mitigations, campaigns and assets (attack.mitre.org)."""

NAMING: Mapping[str, str] = {
    "report": "reported in",
    "grouping": "grouped in",
    "note": "noted in",
    "opinion": "judged in",
}
"""Types that refer to others by ``object_refs``, and what that makes of those that they name."""

_GALAXY_TAG = re.compile(r'misp-galaxy:([a-z0-9-]{1,100})="([^"\x00-\x1f]{1,200})"').fullmatch
_GALAXIES: Mapping[str, str] = {
    "threat-actor": "threat-actor",
    "microsoft-activity-group": "threat-actor",
    "mitre-intrusion-set": "intrusion-set",
    "mitre-enterprise-attack-intrusion-set": "intrusion-set",
    "mitre-malware": "malware",
    "mitre-enterprise-attack-malware": "malware",
    **dict.fromkeys(
        ("malpedia", "ransomware", "rat", "banker", "botnet", "stealer", "backdoor", "cryptominers", "android"),
        "malware",
    ),
    "mitre-tool": "tool",
    "mitre-enterprise-attack-tool": "tool",
    "tool": "tool",
    "exploit-kit": "tool",
}
"""Galaxies of MISP (repository MISP/misp-galaxy), and the STIX type of what they name. MISP names malware and those
behind it by tags, and writes its tags as labels where it exports STIX. Seen in samples: threat-actor;
the others are unconfirmed here."""


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
    labels: list[str] = []
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
        return tuple(dict.fromkeys(found))[:_MOST_NAMED]

    @property
    def galaxies(self) -> tuple[tuple[str, str, str], ...]:
        """What its labels name of MISP's galaxies, each once: STIX type, name and label."""
        found = ((_GALAXY_TAG(one), one) for one in self.labels)
        named = ((_GALAXIES[tag[1]], tag[2], one) for tag, one in found if tag is not None and tag[1] in _GALAXIES)
        return tuple(dict.fromkeys(named))[:_MOST_NAMED]


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
    return (reference.source_name or "").startswith("mitre-") and _IS_ATTACK_ID(reference.external_id or "") is not None
