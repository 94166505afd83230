"""STIX bundles: only indicators count, in the part that they state, and only if they are ours to say."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threatshare.config import OwnAssets
from threatshare.findings.formats.stix_bundle import StixReader
from threatshare.model import Finding, Reject, Role, Tlp
from threatshare.stix.tlp import TLP1_ID, TLP2_ID, TLP_IDS

US_ID = "identity--5bbf3c5d-0000-4000-8000-000000000001"
THEM_ID = "identity--5bbf3c5d-0000-4000-8000-000000000002"
OUR_NAME = "Our SOC"
US = OwnAssets(domains=("corp.example",), organisations=frozenset({US_ID, "our soc"}))
OUT = "198.51.100.7"
MD5 = "0cc175b9c0f1b6a831c399e269772661"
SHA256 = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
NUMBER = "5bbf3c5d-0000-4000-8000-000000000009"
UNKNOWN_MARKING = f"marking-definition--{NUMBER}"
DAY = "2026-05-01T00:00:00.000Z"


def indicator(pattern: str = f"[ipv4-addr:value = '{OUT}']", **more: Any) -> dict[str, Any]:
    fields = {"type": "indicator", "spec_version": "2.1", "id": f"indicator--{NUMBER}", "created": DAY, "modified": DAY}
    maker = {"created_by_ref": US_ID}
    return {**fields, **maker, "pattern": pattern, "pattern_type": "stix", "valid_from": DAY, **more}


def bundle(*objects: dict[str, Any]) -> dict[str, Any]:
    return {"type": "bundle", "id": f"bundle--{NUMBER}", "objects": list(objects)}


def read(doc: Any, own: OwnAssets = US) -> list[Finding | Reject]:
    return list(StixReader().read(io.BytesIO(json.dumps(doc).encode()), "b.json", own))


def finding(one: dict[str, Any], own: OwnAssets = US) -> Finding:
    (got,) = read(bundle(one), own)
    assert isinstance(got, Finding)
    return got


def roles(one: dict[str, Any], own: OwnAssets = US) -> dict[str, str]:
    return {seen.observable.value: seen.role.value for seen in finding(one, own).observations}


def reason(one: dict[str, Any]) -> str:
    (got,) = read(bundle(one))
    assert isinstance(got, Reject)
    return got.reason


def test_a_value_is_taken_for_what_its_kind_is() -> None:
    """Where an indicator says no more, its kind decides, and the reason says so."""
    assert roles(indicator()) == {OUT: "c2"}
    assert roles(indicator("[url:value = 'http://evil.example/a']")) == {"http://evil.example/a": "payload"}
    assert roles(indicator("[email-addr:value = 'a@evil.example']")) == {"a@evil.example": "phish-sender"}
    assert roles(indicator("[mac-addr:value = '00:00:5e:00:53:01']")) == {"00:00:5e:00:53:01": "unknown"}
    assert "kind of value" in finding(indicator()).observations[0].why


def test_each_value_that_suffices_alone_is_one_of_the_finding() -> None:
    """An OR names several values, and the hashes of one file each name it."""
    both = "[domain-name:value = 'evil.example' OR domain-name:value = 'bad.example']"
    assert roles(indicator(both)) == {"evil.example": "c2", "bad.example": "c2"}
    hashes = f"[file:hashes.MD5 = '{MD5}' AND file:hashes.'SHA-256' = '{SHA256}']"
    assert roles(indicator(hashes)) == {MD5: "payload", SHA256: "payload"}


@pytest.mark.parametrize(
    "pattern",
    [
        f"[ipv4-addr:value = '{OUT}' AND domain-name:value = 'evil.example']",
        "[file:name = 'a.exe']",
        f"[ipv4-addr:value = '{OUT}'] FOLLOWEDBY [domain-name:value = 'evil.example']",
        "[domain-name:value LIKE '%.example']",
    ],
)
def test_a_compound_pattern_is_kept_aside(pattern: str) -> None:
    """What needs several values, or is of no shared kind, is a Reject that says how to keep it whole."""
    assert "threatshare feed add" in reason(indicator(pattern))


def test_phases_and_labels_say_what_part_an_address_plays() -> None:
    """Command and control comes before delivery; hashes and mail addresses have but one part."""

    def phase(*names: str) -> dict[str, Any]:
        chain = "lockheed-martin-cyber-kill-chain"
        return {"kill_chain_phases": [{"kill_chain_name": chain, "phase_name": name} for name in names]}

    assert roles(indicator(**phase("delivery"))) == {OUT: "payload"}
    assert roles(indicator(**phase("delivery", "command-and-control"))) == {OUT: "c2"}
    assert roles(indicator(**phase("reconnaissance"))) == {OUT: "attacker"}
    assert roles(indicator("[url:value = 'http://evil.example/a']", labels=["C2"])) == {"http://evil.example/a": "c2"}
    assert roles(indicator(f"[file:hashes.MD5 = '{MD5}']", **phase("command-and-control"))) == {MD5: "payload"}
    assert roles(indicator(kill_chain_phases="delivery")) == {OUT: "c2"}


def test_types_may_say_that_it_is_no_malice() -> None:
    """Benign and unusual are bystanders; anonymization, compromised hosts and contradictions wait for a person."""
    assert roles(indicator(indicator_types=["benign"])) == {OUT: "third-party"}
    assert roles(indicator(indicator_types=["anomalous-activity"])) == {OUT: "third-party"}
    assert roles(indicator(spec_version="2.0", labels=["benign"])) == {OUT: "third-party"}
    assert roles(indicator(indicator_types=["malicious-activity", "anomalous-activity"])) == {OUT: "c2"}
    for types in (["benign", "malicious-activity"], ["compromised"], ["unknown", "anonymization"]):
        assert roles(indicator(indicator_types=types)) == {OUT: "unknown"}


def test_what_its_producer_revoked_is_passed_over() -> None:
    """A withdrawn indicator asserts nothing."""
    assert read(bundle(indicator(revoked=True))) == []


def test_only_indicators_count() -> None:
    """Observables, observed data, malware, sightings and definitions assert nothing of a value."""
    address = {"type": "ipv4-addr", "id": f"ipv4-addr--{NUMBER}", "spec_version": "2.1", "value": OUT}
    observed = {"type": "observed-data", "id": f"observed-data--{NUMBER}", "objects": {"0": address}}
    referring = {"type": "observed-data", "id": f"observed-data--{NUMBER}", "object_refs": [address["id"]]}
    sighting = {"type": "sighting", "id": f"sighting--{NUMBER}", "sighting_of_ref": f"indicator--{NUMBER}"}
    assert read(bundle(address, observed, referring, sighting)) == []


def test_rules_in_other_languages_are_no_values() -> None:
    """A YARA or Sigma rule is kept aside with its language."""
    assert "'yara'" in reason(indicator("rule a { condition: true }", pattern_type="yara"))


@pytest.mark.parametrize("ref", sorted(TLP_IDS))
def test_every_tlp_id_is_known(ref: str) -> None:
    """All three families of ids mark the finding."""
    assert finding(indicator(object_marking_refs=[ref])).tlp is TLP_IDS[ref]


def test_the_most_restrictive_marking_of_object_and_parts_counts() -> None:
    """A granular marking counts for the whole."""
    parts = [{"marking_ref": TLP2_ID[Tlp.RED], "selectors": ["pattern"]}]
    assert finding(indicator(object_marking_refs=[TLP1_ID[Tlp.GREEN]], granular_markings=parts)).tlp is Tlp.RED


def test_a_marking_that_cannot_be_read_holds() -> None:
    """Even our own indicator is held, and the marking's own words in the bundle change nothing."""
    clear = {"definition_type": "tlp", "definition": {"tlp": "white"}, "created": DAY}
    definition = {"type": "marking-definition", "spec_version": "2.1", "id": UNKNOWN_MARKING, **clear}
    one = indicator(created_by_ref=US_ID, object_marking_refs=[UNKNOWN_MARKING, TLP2_ID[Tlp.CLEAR]])
    (got,) = read(bundle(definition, one))
    assert isinstance(got, Finding)
    assert [seen.role for seen in got.observations] == [Role.UNKNOWN]


def test_others_indicators_go_on_only_if_they_are_public() -> None:
    """Made by another identity, or by nobody who says so, it is held unless its TLP is CLEAR or GREEN."""
    assert roles(indicator(created_by_ref=THEM_ID)) == {OUT: "unknown"}
    assert roles(indicator(created_by_ref=THEM_ID, object_marking_refs=[TLP1_ID[Tlp.AMBER]])) == {OUT: "unknown"}
    assert roles(indicator(created_by_ref=THEM_ID, object_marking_refs=[TLP1_ID[Tlp.GREEN]])) == {OUT: "c2"}
    assert roles(indicator(created_by_ref=US_ID)) == {OUT: "c2"}
    unsigned = indicator()
    del unsigned["created_by_ref"]
    for one in (unsigned, indicator(created_by_ref=None)):
        assert roles(one) == {OUT: "unknown"}
        assert "names nobody" in finding(one).observations[0].why
        assert roles({**one, "object_marking_refs": [TLP2_ID[Tlp.AMBER]]}) == {OUT: "unknown"}
        assert roles({**one, "object_marking_refs": [TLP2_ID[Tlp.CLEAR]]}) == {OUT: "c2"}


def test_our_name_under_another_id_is_not_us() -> None:
    """Names are public: an identity that bears ours stays somebody else's."""
    identity = {"type": "identity", "id": THEM_ID, "name": OUR_NAME}
    (got,) = read(bundle(identity, indicator(created_by_ref=THEM_ID)))
    assert isinstance(got, Finding)
    assert [seen.role.value for seen in got.observations] == ["unknown"]


def test_labels_count_as_the_tags_of_misp_do() -> None:
    """An exercise and a restriction that cannot be read are held, a TLP raises the marking, words say nothing."""
    for label in ('exercise:cyber-europe="2018"', "EXERCISE:locked-shields", "PAP:RED", "tlp-amber", "restricted"):
        public = indicator(labels=["c2", label], object_marking_refs=[TLP2_ID[Tlp.CLEAR]])
        assert roles(public) == {OUT: "unknown"}, label
        assert roles(indicator(indicator_types=[label])) == {OUT: "unknown"}, label
    red = finding(indicator(labels=["tlp:red"], object_marking_refs=[TLP2_ID[Tlp.CLEAR]]))
    assert red.tlp is Tlp.RED
    assert roles(indicator(labels=["tlp:red"], object_marking_refs=[TLP2_ID[Tlp.CLEAR]], created_by_ref=THEM_ID)) == {
        OUT: "unknown"
    }
    assert roles(indicator(labels=["tlp:green", "PaperBug", "malicious-activity"])) == {OUT: "c2"}


@pytest.mark.parametrize("name", ["object_marking_refs", "object_\\u006darking_refs"])
def test_a_property_that_stands_twice_is_refused(name: str) -> None:
    """A marking may not be hidden behind another one of the same name, however the name is written."""
    clear = json.dumps(bundle(indicator(object_marking_refs=[TLP2_ID[Tlp.CLEAR]])))
    twice = clear.replace('"object_marking_refs"', f'"{name}": ["{TLP2_ID[Tlp.RED]}"], "object_marking_refs"')
    (got,) = StixReader().read(io.BytesIO(twice.encode()), "b.json", US)
    assert isinstance(got, Reject)
    assert "twice" in got.reason
    assert got.place == f"b.json:1 indicator--{NUMBER}"


def test_our_identity_stays_ours_under_another_name() -> None:
    """An id that is ours counts, whatever name a bundle gives it."""
    identity = {"type": "identity", "id": US_ID, "name": "A former name"}
    (got,) = read(bundle(identity, indicator(created_by_ref=US_ID)))
    assert isinstance(got, Finding)
    assert [seen.role.value for seen in got.observations] == ["c2"]


def test_what_is_ours_stays_ours() -> None:
    """An indicator of one of our own names is none."""
    assert roles(indicator("[domain-name:value = 'www.corp.example']")) == {"www.corp.example": "victim-asset"}


def test_confidence_techniques_time_and_place() -> None:
    """What the object states is carried over; it was seen when it became valid, whatever has happened since."""
    references = [
        {"source_name": "mitre-attack", "external_id": "T1566.002"},
        {"source_name": "mitre-attack", "external_id": "S0154"},
        {"source_name": "a blog", "external_id": "T1000"},
        {"source_name": "mitre-f3", "external_id": "T1001"},
        {"source_name": "mitre-ics-attack", "external_id": "T0883"},
    ]
    got = finding(
        indicator(confidence=40, external_references=references, valid_until="2026-05-02T00:00:00Z", name="n")
    )
    assert (got.confidence, got.techniques, got.title) == (40, ("T1566.002", "T0883"), "n")
    assert got.seen_at == got.last_seen_at == datetime(2026, 5, 1, tzinfo=UTC)
    assert got.place == f"b.json:1 indicator--{NUMBER}"


def test_every_shape_is_read() -> None:
    """A bundle of either version, an envelope, an array, one object a line, nested bundles, compact or indented."""
    one = indicator()
    old = {"id": f"bundle--{NUMBER}", "spec_version": "2.0", "objects": [one], "type": "bundle"}
    shapes = [bundle(one), old, {"more": False, "objects": [one]}, [one], one, [bundle(one)], bundle(bundle(one))]
    texts = [json.dumps(shape, indent=indent) for shape in shapes for indent in (None, 2)]
    for text in (*texts, json.dumps(one) + "\n", json.dumps(bundle(one)) + "\n"):
        assert StixReader().recognises(text.encode(), "b.json")
        (got,) = StixReader().read(io.BytesIO(text.encode()), "b.json", US)
        assert isinstance(got, Finding)
    assert read({"type": "bundle", "id": f"bundle--{NUMBER}"}) == []
    assert read({"more": False, "objects": []}) == []


@pytest.mark.parametrize(
    "head",
    [
        b'{"Event": {"info": "x", "uuid": "5bbf3c5d-0000-4000-8000-000000000001", "Attribute": []}}',
        b'{"class_uid": 2004, "type": "x", "id": "5bbf3c5d-0000-4000-8000-000000000001"}',
        b'{"id": "1", "type": "alert", "stix": {"id": "indicator--5bbf3c5d-0000-4000-8000-000000000001"}}',
        b'"id": "indicator--5bbf3c5d-0000-4000-8000-000000000001", "type": "indicator"',
        b"[ipv4-addr:value = '192.0.2.1']",
        b"",
    ],
)
def test_other_formats_are_left_alone(head: bytes) -> None:
    """MISP events, alerts that quote an id, and prose are not taken."""
    assert not StixReader().recognises(head, "x.json")


def test_what_is_broken_is_kept_aside_alone() -> None:
    """A bad object is a Reject that names it; what stands beside it is read."""
    bad = [
        indicator(pattern="[ipv4-addr:value = '999.1.1.1']"),
        indicator(pattern="[nonsense"),
        indicator(valid_from="soon"),
        indicator(confidence=101),
        {"type": "indicator", "id": "indicator--1"},
        {"type": 7},
        {"no": "type"},
    ]
    got = read(bundle(*bad, indicator()))
    assert [type(one) for one in got] == [Reject] * len(bad) + [Finding]
    assert got[0].place == f"b.json:1 indicator--{NUMBER}"
    cut = json.dumps(bundle(indicator(), indicator())).encode()[:-9]
    assert [type(one) for one in StixReader().read(io.BytesIO(cut), "b.json", US)] == [Finding, Reject]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_FIELDS = st.sampled_from(
    "type id name objects pattern created valid_from labels kill_chain_phases object_marking_refs "
    "created_by_ref".split()
)


@given(st.dictionaries(_FIELDS, _JSON))
def test_no_shape_ends_the_reading(fields: dict[str, Any]) -> None:
    """Whatever stands in an object's fields, the result is findings and rejects."""
    assert all(isinstance(one, Finding | Reject) for one in read(bundle(indicator(**fields), indicator())))
