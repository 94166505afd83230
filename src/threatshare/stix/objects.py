"""Builds our own STIX 2.1 objects, field by field: nothing of a finding's text can get in.

Ids are UUIDv5 in a namespace of our own (STIX 2.1 §2.9 forbids the SCO namespace here), so the same
finding twice is one indicator. Objects are written as JSON once; that text is what is stored and served.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid5

import msgspec

from threatshare.model import Micros, Observable, Tlp
from threatshare.stix.patterns import pattern_of
from threatshare.stix.timestamps import write_timestamp
from threatshare.stix.tlp import TLP2_ID

NAMESPACE = UUID("8b7c1d2e-5f0a-5c43-9d61-3e2a7f4b9c10")
"""Our own, for every id that follows from content."""

_write = msgspec.json.Encoder().encode


def new_identity_id(name: str, created: str) -> str:
    """Gives a node's identity id; two nodes of one name made at different moments differ."""
    return f"identity--{uuid5(NAMESPACE, f'identity|{name}|{created}')}"


def indicator_id(identity: str, observable: Observable) -> str:
    """Gives the id of an organisation's indicator for an observable, always the same."""
    return f"indicator--{uuid5(NAMESPACE, f'{identity}|{pattern_of(observable)}')}"


def siem_indicator_id(identity: str, observable: Observable) -> str:
    """Gives the id of the merged, scored indicator of an observable, stable over its life."""
    return f"indicator--{uuid5(NAMESPACE, f'{identity}|siem|{pattern_of(observable)}')}"


def reborn_id(object_id: str, life: int) -> str:
    """Gives the id under which an object comes back: a revoked one gets no new version (STIX 2.1 §3.2)."""
    kind, _, _ = object_id.partition("--")
    return object_id if life == 1 else f"{kind}--{uuid5(NAMESPACE, f'{object_id}|life {life}')}"


def sighting_id(identity: str, indicator: str) -> str:
    """Gives the id of our sighting of one indicator; more sightings are new versions of it."""
    return f"sighting--{uuid5(NAMESPACE, f'{identity}|{indicator}')}"


def name_of(observable: Observable) -> str:
    """Gives the only name that our indicators bear: kind and value."""
    return f"{observable.kind} {observable.value}"[:500]


def description_of(labels: Sequence[str]) -> str:
    """Gives the only description that our indicators bear: generated, never a finding's text."""
    return f"Reported as {', '.join(sorted(labels))}."


@dataclass(frozen=True, slots=True)
class IndicatorFacts:
    """All that an indicator of ours says."""

    id: str
    observable: Observable
    identity: str
    created: Micros
    modified: Micros
    valid_from: Micros
    valid_until: Micros
    confidence: int
    tlp: Tlp
    labels: Sequence[str]
    """At least one; the roles in which the value was seen."""
    techniques: Sequence[str] = ()
    """ATT&CK technique ids."""
    revoked: bool = False


def indicator(facts: IndicatorFacts) -> dict[str, Any]:
    """Builds an indicator of one ``=`` comparison."""
    built: dict[str, Any] = {
        "type": "indicator",
        "spec_version": "2.1",
        "id": facts.id,
        "created_by_ref": facts.identity,
        "created": write_timestamp(facts.created),
        "modified": write_timestamp(facts.modified),
    }
    if facts.revoked:
        built["revoked"] = True
    built |= {
        "name": name_of(facts.observable),
        "description": description_of(facts.labels),
        "indicator_types": ["malicious-activity"],
        "pattern": pattern_of(facts.observable),
        "pattern_type": "stix",
        "pattern_version": "2.1",
        "valid_from": write_timestamp(facts.valid_from),
        "valid_until": write_timestamp(facts.valid_until),
        "labels": sorted(facts.labels),
        "confidence": facts.confidence,
        "object_marking_refs": [TLP2_ID[facts.tlp]],
    }
    if facts.techniques:
        built["external_references"] = [
            {"source_name": "mitre-attack", "external_id": technique} for technique in sorted(facts.techniques)
        ]
    return built


@dataclass(frozen=True, slots=True)
class SightingFacts:
    """All that a sighting of ours says."""

    sighted: str
    """Id of the indicator that was seen."""
    identity: str
    created: Micros
    modified: Micros
    first_seen: Micros
    last_seen: Micros
    count: int
    tlp: Tlp


def sighting(facts: SightingFacts) -> dict[str, Any]:
    """Builds a sighting; where it was seen is said by ``created_by_ref`` alone."""
    return {
        "type": "sighting",
        "spec_version": "2.1",
        "id": sighting_id(facts.identity, facts.sighted),
        "created_by_ref": facts.identity,
        "created": write_timestamp(facts.created),
        "modified": write_timestamp(facts.modified),
        "first_seen": write_timestamp(facts.first_seen),
        "last_seen": write_timestamp(facts.last_seen),
        "count": min(facts.count, 999_999_999),
        "sighting_of_ref": facts.sighted,
        "object_marking_refs": [TLP2_ID[facts.tlp]],
    }


def identity(identity_id: str, name: str, sector: str, created: str) -> dict[str, Any]:
    """Builds our Identity."""
    return {
        "type": "identity",
        "spec_version": "2.1",
        "id": identity_id,
        "created_by_ref": identity_id,
        "created": created,
        "modified": created,
        "name": name,
        "identity_class": "organization",
        "sectors": [sector],
        "object_marking_refs": [TLP2_ID[Tlp.CLEAR]],
    }


def revoked(built: Mapping[str, Any], modified: Micros) -> dict[str, Any]:
    """Gives the version that withdraws an object: revoked, and where it has one a validity that ended now or before.

    Both, because some consumers read only one of the two.
    """
    gone = dict(built) | {"modified": write_timestamp(modified), "revoked": True}
    if "valid_until" in gone:
        # Our own timestamps have one shape, and compare as text.
        gone["valid_until"] = min(gone["valid_until"], write_timestamp(modified))
        if gone["valid_from"] >= gone["valid_until"]:
            gone["valid_from"] = write_timestamp(modified - 1000)
    return gone


def written(built: Mapping[str, Any]) -> bytes:
    """Writes an object as the JSON text that is stored and served."""
    return _write(built)


def conforms(body: bytes) -> str | None:
    """Has stix2 parse an object of ours; gives its complaint, None where there is none. Slow: own findings only."""
    import stix2
    from stix2.exceptions import STIXError

    try:
        stix2.parse(body.decode())
    except (STIXError, ValueError) as problem:
        return str(problem)
    return None


def sectors() -> frozenset[str]:
    """Gives the STIX industry-sector vocabulary (STIX 2.1 §10.9)."""
    return _SECTORS


_SECTORS = frozenset(
    """
    agriculture aerospace automotive chemical commercial communications construction defense education energy
    entertainment financial-services government emergency-services government-local government-national
    government-public-services government-regional healthcare hospitality-leisure infrastructure dams nuclear
    water insurance manufacturing mining non-profit pharmaceuticals retail technology telecommunications
    transportation utilities
    """.split()
)
