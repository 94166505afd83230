"""TLP by id: three families of ids mean the same five labels."""

from __future__ import annotations

import pytest

from threatshare.model import Tlp
from threatshare.stix.tlp import TLP1_ID, TLP2_ID, TLP_IDS, marking_definition, tlp_named

FAMILIES = {
    # STIX 2.1 §7.2.1.4.
    "613f2e26-407d-48c7-9eca-b8e91df99dc9": Tlp.CLEAR,
    "34098fce-860f-48ae-8e50-ebd3cc5e41da": Tlp.GREEN,
    "f88d31f6-486f-44da-b317-01333bde0b82": Tlp.AMBER,
    "5e57c739-391a-4eb3-b6be-7d15ca92d5ed": Tlp.RED,
    # OASIS extension definition 60a3c5c5, TLP 2.0.
    "94868c89-83c2-464b-929b-a1a8aa3c8487": Tlp.CLEAR,
    "bab4a63c-aed9-4cf5-a766-dfca5abac2bb": Tlp.GREEN,
    "55d920b0-5e8b-4f79-9ee9-91f868d9b421": Tlp.AMBER,
    "939a9414-2ddd-4d32-a0cd-375ea402b003": Tlp.AMBER_STRICT,
    "e828b379-4e03-4974-9ac4-e53a884c97c1": Tlp.RED,
    # OpenCTI's own.
    "826578e1-40ad-459f-bc73-ede076f81f37": Tlp.AMBER_STRICT,
}


def test_every_family_of_ids_is_known_and_nothing_else() -> None:
    """The ten ids in use mean their labels; whatever is in none of the families is unknown."""
    assert {ref.removeprefix("marking-definition--"): tlp for ref, tlp in TLP_IDS.items()} == FAMILIES


def test_what_we_write_is_a_family_of_its_own() -> None:
    """Each label has one TLP 2.0 id, and each but AMBER+STRICT one TLP 1 id."""
    assert [TLP_IDS[TLP2_ID[tlp]] for tlp in Tlp] == list(Tlp)
    assert {TLP_IDS[ref] for ref in TLP1_ID.values()} == {*Tlp} - {Tlp.AMBER_STRICT}
    assert not {*TLP1_ID.values()} & {*TLP2_ID.values()}


@pytest.mark.parametrize("tlp", [*Tlp])
def test_labels_are_named_both_ways(tlp: Tlp) -> None:
    """A label's name gives the label, and no other text does."""
    assert tlp_named(tlp.label) is tlp
    with pytest.raises(KeyError):
        tlp_named(f"{tlp.label}+")


def test_the_definition_is_the_one_that_oasis_published() -> None:
    """Definitions are the official objects, to the property (OASIS cti-stix-common-objects, tlp-2.0)."""
    assert marking_definition(Tlp.AMBER_STRICT) == {
        "type": "marking-definition",
        "spec_version": "2.1",
        "id": "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003",
        "created": "2022-10-01T00:00:00.000Z",
        "name": "TLP:AMBER+STRICT",
        "extensions": {
            "extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d": {
                "extension_type": "property-extension",
                "tlp_2_0": "amber+strict",
            }
        },
    }
