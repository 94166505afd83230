"""Submissions for the profiles' tests: each passes unless a test changes something."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from gate_builders import CREATED, NOW, OWN_ASSETS, TODAY, US, our_identity, our_indicator, our_sighting
from threatshare.model import Kind, Observable, Tlp
from threatshare.policy.profile_bundles import Bundle, NodeFacts, Record, read_bundle
from threatshare.policy.profiles import Report, check, shipped_profiles
from threatshare.stix.ais import Submitter, identity_set
from threatshare.stix.objects import IndicatorFacts, indicator, indicator_id, written
from threatshare.stix.tlp import marking_definition

BUNDLE = "bundle--6f1b7f4e-6a8e-4f0b-9c59-1c9f8d1a2b3c"
SUBMITTER = Submitter(US, "Our Company", "technology", "US", "US-DC", CREATED)
PROFILES = shipped_profiles()

IN_FORCE = (Record("a record", TODAY, TODAY.replace(year=TODAY.year + 1)),)
FACTS = NodeFacts(
    OWN_ASSETS,
    US,
    "Our Company",
    today=TODAY,
    records={"agreement": IN_FORCE, "legal-basis": IN_FORCE, "certificate": IN_FORCE},
)
"""A node that knows all that can be known."""


def exported() -> list[dict[str, Any]]:
    """What ``export stix`` writes of our own: identity, indicators, a sighting of ours, the markings."""
    one = our_indicator()
    more = [our_indicator(Observable(Kind.DOMAIN, "login.example.net")), our_sighting(one["id"])]
    return [our_identity(), marking_definition(Tlp.GREEN), marking_definition(Tlp.CLEAR), one, *more]


def submission(who: Submitter = SUBMITTER) -> list[dict[str, Any]]:
    """What goes to AIS: who submits, and an indicator."""
    facts = IndicatorFacts(
        indicator_id(who.identity, BAD), BAD, who.identity, NOW, NOW, NOW, NOW + 10**12, 70, Tlp.GREEN, ["attacker"]
    )
    return [*identity_set(who), marking_definition(Tlp.AMBER), marking_definition(Tlp.GREEN), indicator(facts)]


BAD = Observable(Kind.IPV4, "45.66.77.88")


def bundled(objects: Iterable[Any], bundle_id: str = BUNDLE, **more: Any) -> bytes:
    """Writes a bundle."""
    return json.dumps({"type": "bundle", "id": bundle_id, "objects": list(objects), **more}).encode()


def held(objects: Iterable[Any], name: str = "ais", facts: NodeFacts | None = FACTS, **more: Any) -> Report:
    """Holds objects against a shipped profile."""
    return check(PROFILES[name], read_bundle(bundled(objects, **more)), facts)


def faults(objects: Iterable[Any], name: str = "ais", facts: NodeFacts | None = FACTS, **more: Any) -> list[str]:
    """Gives what was found, each as ``RULE on_fail TYPE pointer``."""
    return [
        " ".join(filter(None, (one.rule, one.on_fail, one.object.partition("--")[0] or "file", one.pointer)))
        for one in held(objects, name, facts, **more).faults
    ]


def changed(objects: list[dict[str, Any]], kind: str, **properties: Any) -> list[dict[str, Any]]:
    """Gives the objects with properties of one type changed; None takes one away."""
    return [_with(one, properties) if one["type"] == kind else one for one in objects]


def _with(one: Mapping[str, Any], properties: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**one, **properties}.items() if value is not None}


def read_as(objects: Iterable[dict[str, Any]], form: str) -> Bundle:
    """Reads objects in one of the forms in which they come."""
    listed = list(objects)
    lines = b"\n".join(written(one) for one in listed)
    forms = {
        "bundle": bundled(listed),
        "envelope": json.dumps({"more": False, "objects": listed}).encode(),
        "array": json.dumps(listed, indent=1).encode(),
        "lines": lines,
    }
    return read_bundle(forms[form])
