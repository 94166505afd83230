"""Our own objects: written the same for ever, and good STIX for whoever checks."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import pytest
import stix2
from stix2validator import ValidationOptions, validate_instance

from threatshare.model import Kind, Observable, Tlp
from threatshare.stix.claims import claim_of
from threatshare.stix.objects import (
    NAMESPACE,
    IndicatorFacts,
    SightingFacts,
    conforms,
    identity,
    indicator,
    indicator_id,
    new_identity_id,
    reborn_id,
    revoked,
    sectors,
    siem_indicator_id,
    sighting,
    sighting_id,
    written,
)
from threatshare.stix.received import read_object
from threatshare.stix.timestamps import read_timestamp, write_timestamp
from threatshare.stix.tlp import marking_definition

GOLDEN = Path(__file__).parents[2] / "golden" / "stix"
FORBIDDEN = UUID("00abedb4-aa42-466c-9c01-fed23315a9b7")
CREATED = "2026-01-01T00:00:00.000Z"
NOW = read_timestamp("2026-06-15T12:00:00.000Z")
DAY = 86_400_000_000
US = new_identity_id("Our Company", CREATED)

VALUES = {
    Kind.IPV4: "198.51.100.7",
    Kind.IPV6: "2001:db8::7",
    Kind.DOMAIN: "login.example.net",
    Kind.URL: "https://login.example.net/it's?a=%22b%22",
    Kind.EMAIL: "o'brien@example.net",
    Kind.MAC: "00:00:5e:00:53:01",
    Kind.MD5: "0123456789abcdef" * 2,
    Kind.SHA1: "01234567" * 5,
    Kind.SHA256: "0123456789abcdef" * 4,
    Kind.SHA512: "0123456789abcdef" * 8,
    Kind.PATTERN: "[file:name = 'it\\'s' AND file:size = 7]",
}


def an_indicator(kind: Kind = Kind.IPV4, **changed: Any) -> dict[str, Any]:
    observable = Observable(kind, VALUES[kind])
    values: dict[str, Any] = {
        "id": indicator_id(US, observable),
        "observable": observable,
        "identity": US,
        "created": NOW,
        "modified": NOW,
        "valid_from": NOW - DAY,
        "valid_until": NOW + 30 * DAY,
        "confidence": 70,
        "tlp": Tlp.GREEN,
        "labels": ["payload", "attacker"],
        "techniques": ["T1566.002", "T1071"],
    }
    return indicator(IndicatorFacts(**(values | changed)))


def a_sighting(**changed: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "sighted": an_indicator()["id"],
        "identity": US,
        "created": NOW,
        "modified": NOW,
        "first_seen": NOW - DAY,
        "last_seen": NOW,
        "count": 3,
        "tlp": Tlp.AMBER,
    }
    return sighting(SightingFacts(**(values | changed)))


OBJECTS: Mapping[str, dict[str, Any]] = {
    **{f"indicator-{kind.name.lower()}": an_indicator(kind) for kind in Kind},
    "indicator-network": an_indicator(observable=Observable(Kind.IPV4, "198.51.100.0/24"), techniques=()),
    "indicator-revoked": revoked(an_indicator(), NOW + DAY),
    "sighting": a_sighting(),
    "identity": identity(US, "Our Company", "technology", CREATED),
    **{f"marking-{tlp.label}": marking_definition(tlp) for tlp in Tlp},
}

CORNERS: Mapping[str, dict[str, Any]] = {
    **{f"marked {tlp.label}": an_indicator(tlp=tlp) for tlp in Tlp},
    "no confidence": an_indicator(confidence=0),
    "full confidence": an_indicator(confidence=100),
    "for a SIEM": an_indicator(labels=["score:high", "source:own", "source:partner-feed"], techniques=()),
    "revoked before it began": revoked(an_indicator(valid_from=NOW + DAY), NOW),
    "revoked as it began": revoked(an_indicator(valid_from=NOW), NOW),
    "revoked after it ended": revoked(an_indicator(), NOW + 300 * DAY),
    "revoked twice": revoked(revoked(an_indicator(), NOW), NOW + DAY),
    "long name": an_indicator(observable=Observable(Kind.URL, "http://example.com/" + "a" * 8000)),
    "seen once": a_sighting(first_seen=NOW, last_seen=NOW, count=1),
    "seen often": a_sighting(count=10**12),
    "revoked sighting": revoked(a_sighting(), NOW + DAY),
    "revoked identity": revoked(OBJECTS["identity"], NOW),
    **{f"sector {sector}": identity(US, "Our Company", sector, CREATED) for sector in sorted(sectors())},
}


def complaints(built: Mapping[str, Any], disabled: list[str]) -> list[str]:
    """Gives all that stix2-validator, in strict mode, says against an object."""
    options = ValidationOptions(version="2.1", strict=True, disabled=disabled)
    result = validate_instance(json.loads(written(built)), options)
    return [str(one) for one in [*(result.errors or []), *(result.warnings or [])]]


@pytest.mark.parametrize("name", OBJECTS)
def test_objects_are_written_the_same_for_ever(name: str) -> None:
    """The same facts give the same bytes as when they were first published; a change here changes partners' ids.

    ``THREATSHARE_WRITE_GOLDEN=1`` writes the files anew.
    """
    file = GOLDEN / f"{name}.json"
    if os.environ.get("THREATSHARE_WRITE_GOLDEN"):
        file.write_bytes(written(OBJECTS[name]) + b"\n")
    assert written(OBJECTS[name]) + b"\n" == file.read_bytes()


def test_every_golden_file_is_of_an_object() -> None:
    """No file is left behind that nothing is compared with."""
    assert {file.stem for file in GOLDEN.glob("*.json")} == {*OBJECTS}


@pytest.mark.parametrize("built", [*OBJECTS.values(), *CORNERS.values()], ids=[*OBJECTS, *CORNERS])
def test_every_object_is_good_stix(built: dict[str, Any]) -> None:
    """stix2 parses it, and stix2-validator in strict mode has nothing against it.

    But for one check of its, which wants UUIDs of version 4: ours follow from content, as STIX 2.1 §2.9 allows.
    """
    parsed = stix2.parse(written(built).decode())
    assert parsed["id"] == built["id"]
    assert conforms(written(built)) is None
    assert complaints(built, ["uuid-check"]) == []


def test_nothing_but_the_uuid_check_is_spared() -> None:
    """The one check that is left out is the only one that says anything, and the validator is awake."""
    said = complaints(an_indicator(), [])
    assert len(said) == 1
    assert "{103}" in said[0]
    assert complaints(an_indicator() | {"valid_from": "2026-01-01"}, ["uuid-check"])


@pytest.mark.parametrize("kind", [*Kind])
def test_our_own_indicators_can_be_read_by_us(kind: Kind) -> None:
    """What we publish, a node like ours takes for the observable that it is."""
    read = read_object(written(an_indicator(kind)))
    claim = claim_of(read, read.version, Tlp.RED, NOW)
    assert claim is not None
    assert claim.observables == (Observable(kind, VALUES[kind]),)
    assert (claim.origin, claim.confidence, claim.tlp, claim.benign) == (US, 70, Tlp.GREEN, False)


@pytest.mark.parametrize("built", [an_indicator(), a_sighting(), OBJECTS["identity"]])
def test_a_revoked_object_says_no_more_than_before(built: dict[str, Any]) -> None:
    """A withdrawal differs in its date, the word, and an earlier end, and in nothing else."""
    gone = revoked(built, NOW + DAY)
    changed = {name for name in gone if gone[name] != built.get(name)}
    assert changed - {"valid_until"} == {"modified", "revoked"}
    assert gone["revoked"] is True
    assert "revoked" not in built


def test_a_withdrawal_ends_the_validity_now_and_never_later() -> None:
    """A consumer that reads only ``valid_until`` lets the indicator go too, and one that expired stays expired."""
    assert revoked(an_indicator(), NOW + DAY)["valid_until"] == write_timestamp(NOW + DAY)
    expired = an_indicator(valid_until=NOW - DAY // 2)
    assert revoked(expired, NOW + DAY)["valid_until"] == expired["valid_until"]
    early = revoked(an_indicator(valid_from=NOW + DAY), NOW)
    assert early["valid_from"] < early["valid_until"] == write_timestamp(NOW)


def test_ids_follow_from_who_and_what() -> None:
    """The same organisation and value always give the same id, and any difference another."""
    them = new_identity_id("Their Company", CREATED)
    first, second = Observable(Kind.IPV4, "198.51.100.7"), Observable(Kind.IPV4, "198.51.100.8")
    same_text = Observable(Kind.DOMAIN, "198.51.100.7")
    made = [
        make(who, what)
        for make in (indicator_id, siem_indicator_id)
        for who in (US, them)
        for what in (first, second, same_text)
    ]
    assert len({*made}) == len(made)
    assert indicator_id(US, first) == indicator_id(US, Observable(Kind.IPV4, "198.51.100.7"))
    assert new_identity_id("Our Company", CREATED) == US
    assert new_identity_id("Our Company", "2026-01-01T00:00:00.001Z") != US
    assert sighting_id(US, made[0]) != sighting_id(them, made[0]) != sighting_id(them, made[1])


def test_an_object_that_comes_back_has_an_id_of_its_own() -> None:
    """A revoked object has no more versions (STIX 2.1 §3.2): each life after the first has another id."""
    first = an_indicator()["id"]
    lives = [reborn_id(first, life) for life in (1, 2, 3)]
    assert lives[0] == first
    assert len({*lives}) == 3
    assert all(one.startswith("indicator--") for one in lives)


def test_ids_are_uuids_of_version_5_outside_the_forbidden_namespace() -> None:
    """The namespace of observables is for observables alone (STIX 2.1 §2.9), and ours is another."""
    observable = Observable(Kind.IPV4, "198.51.100.7")
    assert NAMESPACE != FORBIDDEN
    for one in (US, indicator_id(US, observable), siem_indicator_id(US, observable), a_sighting()["id"]):
        number = one.partition("--")[2]
        assert UUID(number).version == 5
        assert str(UUID(number)) == number
    name = f"{US}|[ipv4-addr:value = '198.51.100.7']"
    assert (
        indicator_id(US, observable) == f"indicator--{uuid5(NAMESPACE, name)}" != f"indicator--{uuid5(FORBIDDEN, name)}"
    )


def test_what_does_not_conform_is_told() -> None:
    """The check before publishing says what is wrong."""
    for wrong in ({"confidence": "x"}, {"pattern": "[ipv4-addr:value ="}, {"valid_until": "2020-01-01T00:00:00Z"}):
        assert conforms(written(an_indicator() | wrong))
    assert conforms(b"{")
    assert conforms(b'{"type":"indicator"}')
