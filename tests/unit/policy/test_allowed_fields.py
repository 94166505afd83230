"""The allow-list of what our own objects may say: everything the builder writes, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from gate_builders import (
    BAD,
    INTERNAL,
    SIEM,
    THEM,
    US,
    ask,
    facts,
    our_identity,
    our_indicator,
    our_sighting,
    partner,
    rules_against,
)
from threatshare.model import Kind, Tlp, Verdict
from threatshare.policy.gate import Audience, decide
from threatshare.stix.objects import description_of, revoked
from threatshare.stix.observables import canonical
from threatshare.stix.tlp import TLP1_ID

REFUSED = [("allowed-fields", Verdict.REFUSE)]
SIGHTED = our_indicator(maker=THEM)["id"]

VALUES = {
    Kind.IPV4: "45.66.0.0/24",
    Kind.IPV6: "2a0b::7",
    Kind.DOMAIN: "b\u00fccher.evil.ru",
    Kind.URL: "http://evil.ru/it's?a=\\b",
    Kind.EMAIL: "Sender@Evil.ru",
    Kind.MAC: "00-16-3E-01-02-03",
    Kind.MD5: "1" * 32,
    Kind.SHA1: "2" * 40,
    Kind.SHA256: "3" * 64,
    Kind.SHA512: "4" * 128,
}


@pytest.mark.parametrize("kind", list(VALUES))
def test_what_the_builder_writes_is_allowed(kind: Kind) -> None:
    """An indicator of every kind passes as our builder writes it, new and withdrawn."""
    value = canonical(kind, VALUES[kind])
    content = our_indicator(value)
    assert rules_against(ask(content, [value]), partner()) == []
    assert rules_against(ask(revoked(content, 1_790_000_000_000_000), [value]), partner()) == []


def test_sightings_and_our_identity_are_allowed() -> None:
    """A sighting and our Identity pass as our builder writes them."""
    assert rules_against(ask(our_sighting(SIGHTED), [], about="own"), partner()) == []
    assert rules_against(ask(our_identity(), []), partner()) == []


CHANGES: list[dict[str, Any]] = [
    {"description": "seen on jane's laptop"},
    {"description": description_of(["attacker"])},
    {"name": "ipv4-addr 45.66.77.89"},
    {"name": "ipv4-addr 45.66.77.88 (jane)"},
    {"pattern": "[ipv4-addr:value = '45.66.77.89']"},
    {"pattern": "[ipv4-addr:value = '45.66.77.88'] "},
    {"pattern_type": "snort"},
    {"pattern_version": "jane"},
    {"created_by_ref": THEM},
    {"id": "indicator--jane"},
    {"id": "sighting--00000000-0000-4000-8000-000000000000"},
    {"created": "2026-01-01T00:00:00+02:00"},
    {"modified": "jane"},
    {"valid_until": None},
    {"revoked": "jane"},
    {"confidence": 101},
    {"confidence": True},
    {"confidence": "85"},
    {"spec_version": "2.0"},
    {"labels": ["jane"]},
    {"labels": []},
    {"labels": [["attacker"]]},
    {"indicator_types": ["jane"]},
    {"indicator_types": [{}]},
    {"object_marking_refs": [TLP1_ID[Tlp.CLEAR], "jane"]},
    {"external_references": [{"source_name": "jane"}]},
    {"external_references": [{"source_name": "mitre-attack", "external_id": "jane"}]},
    {"external_references": [{"source_name": "mitre-attack", "external_id": "T1566", "description": "jane"}]},
    {"external_references": [{"source_name": "mitre-attack", "external_id": "T1566", "url": "http://jane/"}]},
    {"external_references": "jane"},
    {"lang": "en"},
    {"kill_chain_phases": [{"kill_chain_name": "jane", "phase_name": "jane"}]},
    {"granular_markings": [{"marking_ref": TLP1_ID[Tlp.CLEAR], "selectors": ["jane"]}]},
    {"extensions": {"extension-definition--00000000-0000-4000-8000-000000000000": {"jane": 1}}},
    {"x_jane": 1},
    {"jane doe": 1},
]


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_anything_else_is_refused(change: dict[str, Any]) -> None:
    """Any other property, and any other value of an allowed one, is refused."""
    against = rules_against(ask(our_indicator() | change), partner())
    assert REFUSED[0] in against
    assert {rule for rule, _ in against} <= {"allowed-fields", "marking-unknown"}


@pytest.mark.parametrize("name", ["id", "created", "modified", "pattern", "pattern_type", "valid_from", "labels"])
def test_nothing_may_be_missing(name: str) -> None:
    """An indicator without what makes it one, or without the labels that its description names, is refused."""
    content = our_indicator()
    del content[name]
    assert rules_against(ask(content), partner()) == REFUSED


@pytest.mark.parametrize(
    "change",
    [
        {"description": "jane"},
        {"summary": True},
        {"where_sighted_refs": [THEM]},
        {"observed_data_refs": []},
        {"sighting_of_ref": "malware--00000000-0000-4000-8000-000000000000"},
        {"count": -1},
    ],
    ids=str,
)
def test_a_sighting_says_no_more_than_that_it_was_seen(change: dict[str, Any]) -> None:
    """A sighting names no place, no data and nothing but an indicator; where it was seen is us, or not said."""
    assert rules_against(ask(our_sighting(SIGHTED) | change, [], about="own"), partner()) == REFUSED
    ours = our_sighting(SIGHTED) | {"where_sighted_refs": [US]}
    assert rules_against(ask(ours, [], about="own"), partner()) == []


@pytest.mark.parametrize(
    "change",
    [{"id": THEM}, {"contact_information": "jane"}, {"name": "a\nb"}, {"sectors": ["jane"]}, {"roles": ["jane"]}],
    ids=str,
)
def test_an_identity_is_ours_and_says_only_name_and_sector(change: dict[str, Any]) -> None:
    """Nobody else's Identity goes out as ours, and ours without contact data."""
    assert rules_against(ask(our_identity() | change, []), partner()) == REFUSED


def test_other_types_are_refused() -> None:
    """We publish no type that has no list."""
    report = our_indicator() | {"type": "report", "id": "report--00000000-0000-4000-8000-000000000000"}
    assert REFUSED[0] in rules_against(ask(report), INTERNAL)


@pytest.mark.parametrize("audience", [INTERNAL, SIEM])
def test_labels_are_free_tokens_inside(audience: Audience) -> None:
    """Inside our organisation a label may be any short token, such as a source's name; to partners only a role."""
    content = our_indicator() | {"labels": ["source:north-feed"], "description": description_of(["source:north-feed"])}
    assert rules_against(ask(content), audience) == []
    assert rules_against(ask(content), partner()) == REFUSED
    assert rules_against(ask(content | {"labels": ["two words"]}), audience) == REFUSED


def test_techniques_with_and_without_their_address() -> None:
    """An ATT&CK reference may carry the address that follows from its id."""
    reference = {
        "source_name": "mitre-attack",
        "external_id": "T1566.002",
        "url": "https://attack.mitre.org/techniques/T1566/002",
    }
    assert rules_against(ask(our_indicator() | {"external_references": [reference]}), partner()) == []


def test_the_reason_names_properties_and_no_values() -> None:
    """The analyst reads which properties are at fault; a name that is not STIX's could be text, and is not repeated."""
    content = our_indicator() | {"description": "jane", "lang": "jane", "jane": "jane"}
    reasons = decide(ask(content), partner(), facts()).reasons
    (text,) = [one.text for one in reasons if one.rule == "allowed-fields"]
    assert text == "missing, or not what our builder writes: a property of no name that we know, description, lang"


def test_the_value_checked_is_the_value_sent() -> None:
    """A candidate whose observable is not the one in its pattern is refused, and so is one with several."""
    other = canonical(Kind.IPV4, "45.66.77.99")
    assert rules_against(ask(our_indicator(), [other]), partner()) == REFUSED
    assert rules_against(ask(our_indicator(), [BAD, other]), partner()) == REFUSED
