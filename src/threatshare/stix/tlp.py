"""TLP marking definitions, by id: three families of ids are in use for the same five labels.

Trust the id, never a body: a shared definition may say anything (STIX best practices). Sources:
STIX 2.1 §7.2.1.4 (TLP 1), OASIS extension definition 60a3c5c5 (TLP 2.0), OpenCTI's own AMBER+STRICT.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from threatshare.model import Tlp

_TLP_2 = "extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d"

TLP2_ID: Mapping[Tlp, str] = {
    Tlp.CLEAR: "marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487",
    Tlp.GREEN: "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb",
    Tlp.AMBER: "marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421",
    Tlp.AMBER_STRICT: "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003",
    Tlp.RED: "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1",
}

TLP1_ID: Mapping[Tlp, str] = {
    Tlp.CLEAR: "marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9",
    Tlp.GREEN: "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da",
    Tlp.AMBER: "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82",
    Tlp.RED: "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed",
}

_OTHER = {"marking-definition--826578e1-40ad-459f-bc73-ede076f81f37": Tlp.AMBER_STRICT}

TLP_IDS: Mapping[str, Tlp] = {
    **{ref: tlp for tlp, ref in TLP2_ID.items()},
    **{ref: tlp for tlp, ref in TLP1_ID.items()},
    **_OTHER,
}
"""Every id that means a TLP label."""


def tlp_named(label: str) -> Tlp:
    """Gives the TLP of a lower-case label such as ``amber+strict``; raises KeyError."""
    return Tlp[label.upper().replace("+", "_")]


def marking_definition(tlp: Tlp) -> dict[str, Any]:
    """Gives the canonical TLP 2.0 definition object."""
    return {
        "type": "marking-definition",
        "spec_version": "2.1",
        "id": TLP2_ID[tlp],
        "created": "2022-10-01T00:00:00.000Z",
        "name": f"TLP:{tlp.label.upper()}",
        "extensions": {_TLP_2: {"extension_type": "property-extension", "tlp_2_0": tlp.label}},
    }
