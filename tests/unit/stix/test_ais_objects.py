"""Who submits to AIS: written the same for ever, good STIX, and not to be traced where it is anonymous."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import stix2
from stix2validator import ValidationOptions, validate_instance
from stix2validator.v21.enums import COUNTRY_CODES

from threatshare.stix.ais import CONSENTS, Submitter, anonymous, identity_set
from threatshare.stix.location import COUNTRIES, is_area_of, is_country
from threatshare.stix.objects import conforms, new_identity_id, written

GOLDEN = Path(__file__).parents[2] / "golden" / "stix" / "ais"
CREATED = "2026-01-01T00:00:00.000Z"
US = Submitter(new_identity_id("Our Company", CREATED), "Our Company", "technology", "US", "US-DC", CREATED)
KEY = b"sixteen bytes of a secret"
LATER = "2026-06-01T00:00:00.000Z"
HIDDEN = anonymous(US, "Submitter 7", LATER, KEY)

OBJECTS = {
    f"{prefix}{one['type']}": one
    for prefix, who in (("named-", replace(US, consent="ais-consent-everyone")), ("anonymous-", HIDDEN))
    for one in identity_set(who)
}


@pytest.mark.parametrize("name", OBJECTS)
def test_the_submitter_is_written_the_same_for_ever(name: str) -> None:
    """The same submitter gives the same bytes as at the first submission.

    ``THREATSHARE_WRITE_GOLDEN=1`` writes the files anew.
    """
    file = GOLDEN / f"{name}.json"
    if os.environ.get("THREATSHARE_WRITE_GOLDEN"):
        file.write_bytes(written(OBJECTS[name]) + b"\n")
    assert written(OBJECTS[name]) + b"\n" == file.read_bytes()


def test_every_ais_golden_file_is_of_an_object() -> None:
    """No file is left behind that nothing is compared with."""
    assert {file.stem for file in GOLDEN.glob("*.json")} == {*OBJECTS}


@pytest.mark.parametrize("built", OBJECTS.values(), ids=[*OBJECTS])
def test_the_submitter_is_good_stix(built: dict[str, Any]) -> None:
    """stix2 parses it, and stix2-validator in strict mode has nothing against it but ids that follow from content."""
    assert stix2.parse(written(built).decode())["id"] == built["id"]
    assert conforms(written(built)) is None
    options = ValidationOptions(version="2.1", strict=True, disabled=["uuid-check"])
    result = validate_instance(json.loads(written(built)), options)
    assert [str(one) for one in [*(result.errors or []), *(result.warnings or [])]] == []


@pytest.mark.parametrize("consent", CONSENTS)
def test_the_consent_is_the_only_label(consent: Any) -> None:
    """Exactly one consent label, whichever; anonymous unless something else is said."""
    assert identity_set(replace(US, consent=consent))[0]["labels"] == [consent]
    assert identity_set(US)[0]["labels"] == ["ais-consent-none"]


def test_the_place_belongs_to_the_submitter() -> None:
    """The relationship leads from the Identity to the Location, and the Identity made all three."""
    who, place, link = identity_set(US)
    assert (link["source_ref"], link["relationship_type"], link["target_ref"]) == (who["id"], "located-at", place["id"])
    assert {one["created_by_ref"] for one in (who, place, link)} == {who["id"]}


def test_an_anonymous_submitter_is_not_traced() -> None:
    """Nothing of name or id is left, the id is the same every time, and without the key nobody makes it."""
    text = b"".join(written(one) for one in identity_set(HIDDEN))
    assert US.name.encode() not in text
    assert US.identity.partition("--")[2].encode() not in text
    assert not {one["id"] for one in identity_set(HIDDEN)} & {one["id"] for one in identity_set(US)}
    assert US.created.encode() not in text
    assert anonymous(US, "Submitter 7", LATER, KEY) == HIDDEN
    assert anonymous(US, "Submitter 7", LATER, KEY[::-1]).identity != HIDDEN.identity
    assert HIDDEN.consent == "ais-consent-none"


@pytest.mark.parametrize(
    ("name", "created", "key"),
    [("Submitter 7", LATER, b"short"), ("our company, hidden", LATER, KEY), ("Submitter 7", CREATED, KEY)],
)
def test_a_poor_disguise_is_refused(name: str, created: str, key: bytes) -> None:
    """A key that can be guessed, a name that contains the true one, and its moment of creation are errors."""
    with pytest.raises(ValueError, match="anonymous submitter"):
        anonymous(US, name, created, key)


@pytest.mark.parametrize(
    "wrong",
    [
        {"sector": "cyber"},
        {"consent": "ais-consent-all"},
        {"country": "us"},
        {"country": "DE"},
        {"area": "DC"},
        {"area": "US-"},
    ],
)
def test_what_is_no_code_is_refused(wrong: dict[str, Any]) -> None:
    """Sector, consent, country and area are of their lists, or nothing is built."""
    with pytest.raises(ValueError, match="is no"):
        identity_set(replace(US, **wrong))


def test_countries_are_those_of_iso_3166() -> None:
    """249 codes are assigned; the validator's list, which has reserved and former codes too, holds them all."""
    assert len(COUNTRIES) == 249
    assert {code.upper() for code in COUNTRY_CODES} >= COUNTRIES
    assert not any(is_country(text) for text in ("us", "UK", "XX", "USA", "", None, 1))
    assert is_area_of("US-DC", "US")
    assert not is_area_of("US-DC", "DE")
    assert not is_area_of(None, "US")
