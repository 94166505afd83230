"""Marking definitions as partners send them, built from the field names of their specifications; and any markings."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from threatshare.model import Action, Marking, Pap, Tlp
from threatshare.stix.acs import ACS
from threatshare.stix.iep import IEP
from threatshare.stix.marking_definitions import BLOCKING_UP_TO

ABSENT = object()
"""Given as a property's value to leave it out."""


def marking_uuid(number: int = 1) -> str:
    """Gives the id of a partner's marking by number."""
    return f"marking-definition--00000000-0000-4000-8000-{number:012d}"


def a_definition(ref: str | None = None, **more: Any) -> dict[str, Any]:
    """Builds a definition that says nothing yet."""
    told = {
        "type": "marking-definition",
        "spec_version": "2.1",
        "id": ref or marking_uuid(),
        "created": "2026-02-01T00:00:00.000Z",
    }
    return {name: value for name, value in (told | more).items() if value is not ABSENT}


def a_statement(text: str = "Copyright 2026, Their Company", ref: str | None = None, **more: Any) -> dict[str, Any]:
    """Builds a statement (STIX 2.1 §7.2.1.3)."""
    told: dict[str, Any] = {"definition_type": "statement", "definition": {"statement": text}}
    return a_definition(ref, **(told | more))


def an_iep(ref: str | None = None, **changed: Any) -> dict[str, Any]:
    """Builds an IEP 2.0 policy that allows whatever such a policy can allow, but for what a test changes."""
    told = {
        "extension_type": "property-extension",
        "iep_id": "00000000-0000-4000-8000-00000000000f",
        "iep_version": 2.0,
        "description": "a policy",
        "start_date": "2026-01-01T00:00:00Z",
        "encrypt_in_transit": "may",
        "permitted_actions": "externally-visible-direct-actions",
        "affected_party_notifications": "may",
        "tlp": "white",
        "provider_attribution": "may",
        "unmodified_resale": "may",
    }
    kept = {name: value for name, value in (told | changed).items() if value is not ABSENT}
    return a_definition(ref, name="a policy", extensions={IEP: kept})


def an_acs(ref: str | None = None, controls: dict[str, Any] | None = None, **changed: Any) -> dict[str, Any]:
    """Builds an ACS marking that allows whatever such a marking can allow, but for what a test changes."""
    told = {
        "extension_type": "property-extension",
        "identifier": "isa:guide.19001.ACS3-00000000-0000-4000-8000-00000000000f",
        "create_date_time": "2026-01-01T00:00:00.000Z",
        "responsible_entity_custodian": "USA.EXAMPLE",
        "policy_reference": acs_policy("permit", "permit"),
        "control_set": {"classification": "U", **(controls or {})},
    }
    kept = {name: value for name, value in (told | changed).items() if value is not ABSENT}
    return a_definition(ref, extensions={ACS: kept})


def acs_policy(privileges: str, sharing: str) -> str:
    """Gives a policy reference with its two defaults."""
    return f"urn:isa:policy:acs:ns:v3.0?privdefault={privileges}&sharedefault={sharing}"


def a_privilege(action: str = "CISAUSES", effect: str = "permit", **scope: list[str]) -> dict[str, Any]:
    """Builds an ACS privilege, for all unless a test says for whom."""
    everybody = {
        name: ["ALL"] for name in ("permitted_nationalities", "permitted_organizations", "shareability", "entity")
    }
    return {"privilege_action": action, "privilege_scope": scope or everybody, "rule_effect": effect}


def as_json(told: dict[str, Any]) -> bytes:
    """Writes an object as it comes in."""
    return json.dumps(told).encode()


_ids = st.lists(st.sampled_from([marking_uuid(number) for number in range(3)]), max_size=2).map(
    lambda some: tuple(sorted(set(some)))
)
_moments = st.none() | st.integers(0, 3)
any_pap = st.none() | st.sampled_from(Pap)


@st.composite
def _markings(draw: st.DrawFn) -> Marking:
    pap = draw(any_pap)
    return Marking(
        draw(st.none() | st.sampled_from(Tlp)),
        draw(_ids),
        pap,
        (pap is None or pap <= BLOCKING_UP_TO) and draw(st.booleans()),
        draw(st.booleans()),
        draw(st.none() | st.sampled_from(Tlp)),
        draw(st.none() | st.sampled_from(Action)),
        draw(st.booleans()),
        draw(st.booleans()),
        draw(st.booleans()),
        draw(st.booleans()),
        draw(st.booleans()),
        draw(_moments),
        draw(_moments),
        draw(_ids),
        draw(_ids),
    )


any_markings = _markings()
"""Any marking that definitions and ids can make, and more."""
