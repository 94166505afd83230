"""Security Command Center: threats yield their indicator, everything that speaks of ourselves yields nothing."""

from __future__ import annotations

import json
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reader_builders import only_finding, read_json
from threatshare.config import OwnAssets
from threatshare.findings.formats.scc import SccReader
from threatshare.model import Finding, Reject

OUT, IN, OUR_PUBLIC = "198.51.100.7", "10.0.0.9", "203.0.113.80"
NAME = "organizations/1/sources/2/findings/aa"
OWN = OwnAssets(networks=(ip_network("203.0.113.64/26"),), domains=("corp.example",))


def finding(category: str, klass: str | None = "THREAT", **more: Any) -> dict[str, Any]:
    inside = {
        "name": NAME,
        "parent": "organizations/1/sources/2",
        "resourceName": "//compute.googleapis.com/projects/p/zones/z/instances/web.example",
        "state": "ACTIVE",
        "category": category,
        "mute": "UNMUTED",
        "severity": "HIGH",
        "eventTime": "2026-05-04T03:00:00.123Z",
        "createTime": "2026-05-04T03:01:00Z",
        **more,
    }
    if klass is not None:
        inside["findingClass"] = klass
    return {"finding": inside, "resource": {"name": "//compute.googleapis.com/projects/p", "displayName": "p.example"}}


def bad(*addresses: str, **more: list[str]) -> dict[str, Any]:
    return {"ipAddresses": list(addresses), **more}


def read(data: Any) -> list[Finding | Reject]:
    return read_json(SccReader(), data, "s.json", OWN)


def one(doc: dict[str, Any]) -> Finding:
    return only_finding(read(doc))


def roles(doc: dict[str, Any]) -> dict[str, str]:
    return {seen.observable.value: seen.role.value for seen in one(doc).observations}


@pytest.mark.parametrize(
    ("category", "expected"),
    [
        ("Malware: Bad IP", "known-indicator"),
        ("Malware: Cryptomining Bad IP", "known-indicator"),
        ("Log4j Malware: Bad IP", "known-indicator"),
        ("C2: Bad IP", "known-indicator"),
        ("Malware: Outgoing DoS", "third-party"),
        ("Brute Force: SSH", "attacker"),
        ("Initial Access: Log4j Compromise Attempt", "attacker"),
        ("Execution: Reverse Shell", "c2"),
        ("Command and Control: DNS Tunneling", "c2"),
        ("Evasion: Access from Anonymizing Proxy", "third-party"),
        ("Active Scan: Log4j Vulnerable to RCE", "third-party"),
        ("Persistence: New Geography", "unknown"),
    ],
)
def test_the_category_says_what_an_indicators_address_is(category: str, expected: str) -> None:
    """Matches of Google's lists are known, victims and relays bystanders, and what is not in the table is held."""
    assert roles(finding(category, indicator=bad(OUT))) == {OUT: expected}


def test_names_of_an_indicator() -> None:
    """Domains and URIs are what our resource used; in a match with a list they are known."""
    indicator = bad(domains=["evil.example"], uris=["http://evil.example/x", "no uri"])
    assert roles(finding("Execution: Malicious Python Executed", indicator=indicator)) == {
        "evil.example": "c2",
        "http://evil.example/x": "c2",
    }
    assert set(roles(finding("Some New Category", indicator=indicator)).values()) == {"c2"}
    assert set(roles(finding("Malware: bad domain", indicator=indicator)).values()) == {"known-indicator"}
    assert set(roles(finding("Malicious URL Observed", indicator=indicator)).values()) == {"known-indicator"}


def test_our_own_addresses_and_names_never_become_indicators() -> None:
    """Own assets have the last word, also inside the indicator; the resource's names are never read."""
    indicator = bad(OUT, IN, OUR_PUBLIC, domains=["vpn.corp.example"])
    assert roles(finding("Brute force: SSH", indicator=indicator)) == {
        OUT: "attacker",
        IN: "victim-asset",
        OUR_PUBLIC: "victim-asset",
        "vpn.corp.example": "victim-asset",
    }


def test_ends_of_flows_are_held_unless_the_indicator_names_them() -> None:
    """The source of a flow is not always who began; a victim of our own attack stays one."""
    flows = [{"sourceIp": IN, "destinationIp": OUT}, {"sourceIp": "198.51.100.8", "destinationIp": IN}]
    doc = finding("Malware: Bad IP", indicator=bad(OUT), connections=flows)
    assert roles(doc) == {OUT: "known-indicator", IN: "victim-asset", "198.51.100.8": "unknown"}
    assert roles(finding("Execution: X", connections=[{"destinationIp": OUT}])) == {OUT: "unknown"}
    assert roles(finding("Malware: Outgoing DoS", connections=flows)) == {
        OUT: "third-party",
        "198.51.100.8": "third-party",
        IN: "victim-asset",
    }


def test_a_caller_is_held_unless_the_category_accuses_it() -> None:
    """Who used our interface may be one of us."""
    access = {"callerIp": OUT, "principalEmail": "j.doe@corp.example", "userAgent": "x"}
    assert roles(finding("Persistence: IAM Anomalous Grant", access=access)) == {OUT: "unknown"}
    leaked = finding("Initial Access: Leaked Service Account Key Used", access=access)
    assert roles(leaked) == {OUT: "attacker"}
    assert roles(finding("Evasion: Access from Anonymizing Proxy", access=access)) == {OUT: "third-party"}


@pytest.mark.parametrize(
    "klass",
    ["VULNERABILITY", "MISCONFIGURATION", "POSTURE_VIOLATION", "OBSERVATION", "SCC_ERROR", "TOXIC_COMBINATION"],
)
def test_other_classes_yield_nothing(klass: str) -> None:
    """They speak of our own configuration, even where they carry addresses."""
    flows = [{"sourceIp": IN, "destinationIp": OUT}]
    assert read(finding("Malware: Bad IP", klass, indicator=bad(OUT), connections=flows)) == []


def test_findings_without_a_class_count_only_by_indicator_or_category() -> None:
    """Before 2021 there was none: a known category or an indicator makes it a threat."""
    assert roles(finding("C2: Bad IP", None, indicator=bad(OUT))) == {OUT: "known-indicator"}
    assert read(finding("C2: Bad IP", None, sourceProperties={"evidence": OUT})) == []
    flows = [{"sourceIp": IN, "destinationIp": OUT}]
    assert read(finding("OPEN_FIREWALL", None, connections=flows, access={"callerIp": OUT})) == []


@pytest.mark.parametrize("over", [{"state": "INACTIVE"}, {"mute": "MUTED"}])
def test_what_is_inactive_or_muted_yields_nothing(over: dict[str, Any]) -> None:
    """It is settled, or somebody said that it is of no interest."""
    assert read(finding("Brute force: SSH", indicator=bad(OUT), **over)) == []


def test_signatures_and_properties_are_not_read() -> None:
    """Memory hashes and YARA rules name no file; source properties mix both sides."""
    signatures = [{"memoryHashSignature": {"binaryFamily": "x", "detections": [{"binary": "ab" * 32}]}}]
    indicator = {"signatures": [*signatures, {"yaraRuleSignature": {"yaraRule": "y"}}]}
    assert read(finding("Execution: Cryptomining", indicator=indicator, sourceProperties={"ip": OUT})) == []


ATTACK = finding("Brute force: SSH", indicator=bad(OUT))
NOTE = {"notificationConfigName": "organizations/1/notificationConfigs/x", **ATTACK}


@pytest.mark.parametrize(
    ("shape", "count"),
    [
        (ATTACK, 1),
        (NOTE, 1),
        ([ATTACK, ATTACK], 2),
        (ATTACK["finding"], 1),
        ({"findings": [ATTACK["finding"]]}, 1),
        ({"readTime": "2026-05-04T03:00:00Z", "listFindingsResults": [ATTACK, ATTACK], "totalSize": 2}, 2),
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_every_wrapping_is_recognised_and_read(shape: Any, count: int, indent: int | None) -> None:
    """API responses, notifications, exports and bare findings, in one line or many."""
    data = json.dumps(shape, indent=indent).encode()
    assert SccReader().recognises(data, "x")
    found = read(data)
    assert len(found) == count
    for got in found:
        assert isinstance(got, Finding)
        assert [(seen.observable.value, seen.role.value) for seen in got.observations] == [(OUT, "attacker")]
        assert (got.title, got.sensor, got.confidence) == ("Brute force: SSH", "scc", None)
        assert got.seen_at.isoformat() == "2026-05-04T03:00:00.123000+00:00"


def test_lines_are_read_one_by_one_and_empty_pages_pass() -> None:
    """A page without results is no error; a broken record costs only itself."""
    empty = {"listFindingsResults": [], "readTime": "x", "totalSize": 0}
    got = read(b"\n".join(json.dumps(doc).encode() for doc in (ATTACK, empty, {"finding": {"a": 1}}, NOTE)))
    assert [type(item).__name__ for item in got] == ["Finding", "Reject", "Finding"]


@pytest.mark.parametrize(
    "foreign",
    [
        {"findings": [{"name": "x", "category": "y", "resourceName": "z"}]},
        {"event": {"original": json.dumps(ATTACK)}, "resourceName": "x", "category": "y"},
        {"class_uid": 2004, "category": "x", "resourceName": "y"},
    ],
)
def test_other_tools_records_are_not_taken(foreign: dict[str, Any]) -> None:
    """Also where they carry such a finding as text."""
    assert not SccReader().recognises(json.dumps(foreign).encode(), "alerts.json")
    assert not SccReader().recognises(b"name,category,resourceName\n", "x.csv")


KEYS = st.sampled_from("ipAddresses domains uris sourceIp destinationIp callerIp".split())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.just(OUT),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(JSON, JSON, JSON)
def test_no_shape_of_a_field_breaks_the_reader(indicator: Any, connections: Any, access: Any) -> None:
    """Whatever stands where an object should, the record is a finding, a reject or nothing."""
    doc = finding("Malware: Bad IP", indicator=indicator, connections=connections, access=access)
    for item in read(doc):
        assert isinstance(item, Finding | Reject)


@given(
    st.dictionaries(
        st.sampled_from("finding findings listFindingsResults category resourceName findingClass state".split()),
        JSON,
        max_size=5,
    )
)
def test_no_shape_of_a_record_breaks_the_reader(doc: dict[str, Any]) -> None:
    """Nor does a record whose wrapping is of another type."""
    for item in read(doc):
        assert isinstance(item, Finding | Reject)
