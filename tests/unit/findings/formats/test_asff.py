"""Security Hub findings: posture yields nothing, GuardDuty's go by its own rules, attacks are told from oddities."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reader_builders import only_finding, read_json
from threatshare.config import OwnAssets
from threatshare.findings.formats.asff import AsffReader
from threatshare.model import Finding, Reject

OUT, IN, OUR_PUBLIC = "198.51.100.7", "10.0.0.9", "203.0.113.80"
SHA256 = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
SERVICE = "aws/guardduty/service/"
REMOTE = SERVICE + "action/networkConnectionAction/remoteIpDetails/ipAddressV4"
DIRECTION = SERVICE + "action/networkConnectionAction/connectionDirection"


def finding(*types: str, product: str = "other/scanner", **more: Any) -> dict[str, Any]:
    return {
        "SchemaVersion": "2018-10-08",
        "Id": "x/1",
        "ProductArn": f"arn:aws:securityhub:us-east-1::product/{product}",
        "GeneratorId": "g",
        "AwsAccountId": "111122223333",
        "Types": list(types),
        "FirstObservedAt": "2026-05-04T03:00:00Z",
        "LastObservedAt": "2026-05-05T03:00:00Z",
        "CreatedAt": "2026-05-04T03:05:00Z",
        "UpdatedAt": "2026-05-05T03:05:00Z",
        "Severity": {"Label": "HIGH", "Normalized": 70},
        "Title": "The instance i-1 did something",
        "Resources": [
            {"Type": "AwsEc2Instance", "Id": "i-1", "Details": {"AwsEc2Instance": {"IpV4Addresses": [IN, OUR_PUBLIC]}}}
        ],
        "RecordState": "ACTIVE",
        "Workflow": {"Status": "NEW"},
        **more,
    }


def guardduty(kind: str, role: str = "TARGET", direction: str = "INBOUND", **fields: str) -> dict[str, Any]:
    flattened = {
        SERVICE + "resourceRole": role,
        SERVICE + "archived": "false",
        SERVICE + "count": "4",
        SERVICE + "evidence": "",
        SERVICE + "eventFirstSeen": "2026-05-01T03:00:00Z",
        SERVICE + "eventLastSeen": "2026-05-02T03:00:00Z",
        SERVICE + "action/actionType": "NETWORK_CONNECTION",
        REMOTE: OUT,
        DIRECTION: direction,
        "aws/securityhub/ProductName": "GuardDuty",
        **{SERVICE + key: value for key, value in fields.items()},
    }
    purpose = kind.replace("/", "-", 1)
    return finding(f"TTPs/Initial Access/{purpose}", product="aws/guardduty", ProductFields=flattened)


def read(data: Any) -> list[Finding | Reject]:
    return read_json(AsffReader(), data, "a.json", OwnAssets())


def one(doc: dict[str, Any]) -> Finding:
    return only_finding(read(doc))


def roles(doc: dict[str, Any]) -> dict[str, str]:
    """Gives roles by value without the resource's own addresses, which every finding here has."""
    got = {seen.observable.value: seen.role.value for seen in one(doc).observations}
    assert got.pop(IN) == got.pop(OUR_PUBLIC) == "victim-asset"
    return got


# --- GuardDuty's -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "role", "direction", "expected"),
    [
        ("UnauthorizedAccess:EC2/SSHBruteForce", "TARGET", "INBOUND", "attacker"),
        ("UnauthorizedAccess:EC2/SSHBruteForce", "ACTOR", "OUTBOUND", "third-party"),
        ("Backdoor:EC2/DenialOfService.Tcp", "ACTOR", "OUTBOUND", "third-party"),
        ("Backdoor:EC2/C&CActivity.B", "ACTOR", "OUTBOUND", "c2"),
        ("UnauthorizedAccess:EC2/TorClient", "ACTOR", "OUTBOUND", "third-party"),
        ("UnauthorizedAccess:EC2/MaliciousIPCaller.Custom", "ACTOR", "OUTBOUND", "known-indicator"),
        ("Behavior:EC2/NetworkPortUnusual", "ACTOR", "OUTBOUND", "unknown"),
    ],
)
def test_guarddutys_fields_are_ruled_on_as_its_own(kind: str, role: str, direction: str, expected: str) -> None:
    """Flattened fields give the same roles as GuardDuty's own record would."""
    assert roles(guardduty(kind, role, direction)) == {OUT: expected}


def test_lists_of_flattened_fields_are_put_together() -> None:
    """Evidence and probes stand in lists, whose places are written in two ways."""
    kind = "Backdoor:EC2/C&CActivity.B"
    listed = {"evidence/threatIntelligenceDetails.0_/threatListName": "ExampleList"}
    assert roles(guardduty(kind, "ACTOR", **listed)) == {OUT: "known-indicator"}
    probes = guardduty("Recon:EC2/PortProbeUnprotectedPort")
    for number, address in enumerate((OUT, "198.51.100.8")):
        key = f"{SERVICE}action/portProbeAction/portProbeDetails:{number}/remoteIpDetails/ipAddressV4"
        probes["ProductFields"][key] = address
    del probes["ProductFields"][REMOTE]
    assert roles(probes) == {OUT: "attacker", "198.51.100.8": "attacker"}


def test_fields_without_their_prefix_are_read_too() -> None:
    """Records of 2019 name the fields from service on."""
    doc = guardduty("UnauthorizedAccess:EC2/RDPBruteForce", "ACTOR", "OUTBOUND")
    doc["ProductFields"] = {key.removeprefix(SERVICE): value for key, value in doc["ProductFields"].items()}
    assert roles(doc) == {OUT: "third-party"}


def test_the_action_fills_in_for_missing_fields() -> None:
    """Security Hub writes the action also in its own fields."""
    doc = guardduty("Backdoor:EC2/C&CActivity.B!DNS", "ACTOR")
    doc["ProductFields"] = {SERVICE + "resourceRole": "ACTOR"}
    doc["Action"] = {"ActionType": "DNS_REQUEST", "DnsRequestAction": {"Domain": "evil.example", "Protocol": "UDP"}}
    assert roles(doc) == {"evil.example": "c2"}


def test_what_a_guardduty_finding_says_of_itself() -> None:
    """The title is GuardDuty's type; times and count are GuardDuty's."""
    got = one(guardduty("UnauthorizedAccess:EC2/SSHBruteForce"))
    assert got.title == "UnauthorizedAccess:EC2/SSHBruteForce"
    assert (got.count, got.sensor, got.seen_at.day, got.last_seen_at.day) == (4, "asff", 1, 2)


def test_guarddutys_samples_yield_nothing() -> None:
    """However Security Hub says that it is one."""
    kind = "UnauthorizedAccess:EC2/SSHBruteForce"
    assert read(guardduty(kind, **{"additionalInfo/sample": "true"})) == []
    assert read(guardduty(kind, additionalInfo='{"sample":true}')) == []
    assert read({**guardduty(kind), "Sample": True}) == []
    assert read({**guardduty(kind), "Title": "[SAMPLE] i-1"}) == []


@pytest.mark.parametrize("key", [SERVICE + "a/" * 5000 + "b", SERVICE + "x." + "9" * 5000, SERVICE, "/", SERVICE + "²"])
def test_odd_keys_harm_nothing(key: str) -> None:
    """A key of thousands of steps or digits is passed over."""
    doc = guardduty("UnauthorizedAccess:EC2/SSHBruteForce")
    doc["ProductFields"][key] = "x"
    assert roles(doc) == {OUT: "attacker"}


# --- other products ----------------------------------------------------------------------------------------------

INBOUND: dict[str, Any] = {"Network": {"Direction": "IN", "SourceIpV4": OUT, "DestinationIpV4": OUR_PUBLIC}}
OUTBOUND: dict[str, Any] = {
    "Network": {
        "Direction": "OUT",
        "SourceIpV4": "192.0.2.1",
        "DestinationIpV4": OUT,
        "DestinationDomain": "evil.example",
    }
}


def test_the_direction_says_which_end_is_ours() -> None:
    """What came in attacks; what our side went out to is C2; our end stays home, though nobody listed its address."""
    inbound = {"Direction": "IN", "SourceIpV4": OUT, "DestinationIpV4": "192.0.2.1"}
    assert roles(finding("TTPs/Initial Access", Network=inbound)) == {OUT: "attacker", "192.0.2.1": "victim-asset"}
    expected = {"192.0.2.1": "victim-asset", OUT: "c2", "evil.example": "c2"}
    assert roles(finding("TTPs/Command and Control", **OUTBOUND)) == expected


def test_without_a_direction_the_outside_end_is_held() -> None:
    """Nobody says who began."""
    network = {"SourceIpV4": OUT, "DestinationIpV4": IN, "DestinationDomain": "some.example"}
    assert roles(finding("TTPs/Initial Access", Network=network)) == {OUT: "unknown", "some.example": "unknown"}
    assert roles(finding("TTPs/Initial Access", Network={"SourceIpV4": OUT})) == {OUT: "unknown"}


@pytest.mark.parametrize("namespace", ["Effects/Data Exposure", "Unusual Behaviors/Network Flow"])
def test_effects_and_unusual_behaviour_are_held(namespace: str) -> None:
    """They may be an attack's trace, or nothing."""
    assert roles(finding(namespace, **INBOUND)) == {OUT: "unknown"}
    assert roles(finding(namespace, "TTPs/Execution", **INBOUND)) == {OUT: "attacker"}


def test_actions_of_other_products() -> None:
    """Probes attack, connections go by direction, callers are held."""
    details = {"RemoteIpDetails": {"IpAddressV4": OUT}}
    probe = {"ActionType": "PORT_PROBE", "PortProbeAction": {"PortProbeDetails": [details]}}
    assert roles(finding("TTPs/Discovery", Action=probe)) == {OUT: "attacker"}
    network = {"NetworkConnectionAction": {"ConnectionDirection": "OUTBOUND", **details}}
    assert roles(finding("TTPs/Command and Control", Action=network)) == {OUT: "c2"}
    assert roles(finding("TTPs/Discovery", Action={"AwsApiCallAction": details})) == {OUT: "unknown"}


def test_intelligence_is_a_known_indicator_of_its_kind() -> None:
    """Also where the finding names the value as an end; a mutex is no observable."""
    listed = [
        {"Type": "IPV4_ADDRESS", "Value": OUT, "Category": "BACKDOOR", "Source": "Some List"},
        {"Type": "HASH_SHA256", "Value": SHA256},
        {"Type": "DOMAIN", "Value": "listed.example"},
        {"Type": "MUTEX", "Value": "mutex.example"},
    ]
    expected = {OUT: "known-indicator", SHA256: "known-indicator", "listed.example": "known-indicator"}
    assert roles(finding("TTPs/Initial Access", ThreatIntelIndicators=listed, **INBOUND)) == expected


@pytest.mark.parametrize(
    "doc",
    [
        finding("Software and Configuration Checks/Vulnerabilities/CVE", **INBOUND),
        finding("Sensitive Data Identifications/PII", **INBOUND),
        finding("TTPs/Initial Access", Compliance={"Status": "FAILED"}, **INBOUND),
        finding(**INBOUND),
        finding("Software and Configuration Checks/AWS Security Best Practices"),
    ],
)
def test_posture_yields_nothing(doc: dict[str, Any]) -> None:
    """Checks of our own configuration name no attacker, whatever addresses they mention."""
    assert read(doc) == []


@pytest.mark.parametrize(
    "over",
    [
        {"RecordState": "ARCHIVED"},
        {"Workflow": {"Status": "SUPPRESSED"}},
        {"VerificationState": "FALSE_POSITIVE"},
        {"VerificationState": "BENIGN_POSITIVE"},
        {"Sample": True},
    ],
)
def test_what_was_taken_back_yields_nothing(over: dict[str, Any]) -> None:
    """Archived, suppressed, false or benign positives, and samples; a true positive stays."""
    assert read(finding("TTPs/Initial Access", **INBOUND, **over)) == []
    assert read({**guardduty("UnauthorizedAccess:EC2/SSHBruteForce"), **over}) == []
    assert roles(finding("TTPs/Initial Access", **INBOUND, VerificationState="TRUE_POSITIVE")) == {OUT: "attacker"}


def test_names_and_paths_of_malware_are_not_read() -> None:
    """Malware has no hashes in this format; a file name that looks like a domain comes out nowhere."""
    malware = [{"Name": "evil.example", "Path": "/home/j.doe/evil.example", "Type": "VIRUS", "State": "OBSERVED"}]
    assert roles(finding("TTPs/Execution", Malware=malware)) == {}


# --- shapes ------------------------------------------------------------------------------------------------------

ATTACK = finding("TTPs/Initial Access", **INBOUND)
EVENT = {
    "version": "0",
    "detail-type": "Security Hub Findings - Imported",
    "resources": ["arn:aws:x"],
    "detail": {"findings": [ATTACK]},
}
CUSTOM = {
    "detail-type": "Security Hub Findings - Custom Action",
    "detail": {"actionName": "x", "findings": [ATTACK, ATTACK]},
}


@pytest.mark.parametrize(
    ("shape", "count"),
    [(ATTACK, 1), ([ATTACK, ATTACK], 2), ({"Findings": [ATTACK, ATTACK]}, 2), (EVENT, 1), (CUSTOM, 2)],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_every_wrapping_is_recognised_and_read(shape: Any, count: int, indent: int | None) -> None:
    """A finding alone, an array, a page of the API, EventBridge events with one finding or many."""
    data = json.dumps(shape, indent=indent).encode()
    assert AsffReader().recognises(data, "x")
    found = read(data)
    assert len(found) == count
    assert {type(got) for got in found} == {Finding}


def test_an_event_longer_than_the_head_is_recognised_by_its_type() -> None:
    """A custom action sends up to twenty findings in one record."""
    padded = [{**ATTACK, "Description": "x" * 9000}] * 20
    data = json.dumps({**CUSTOM, "detail": {"findings": padded}}).encode()
    assert AsffReader().recognises(data[:65_536], "x")
    assert len(read(data)) == 20


def test_lines_are_read_one_by_one() -> None:
    """Events of other types are passed over; a broken record costs only itself."""
    other = {"detail-type": "GuardDuty Finding", "detail": {"type": "x"}}
    lines = [json.dumps(doc).encode() for doc in (other, EVENT, {"Types": ["TTPs"]}, ATTACK)]
    got = read(b"\n".join(lines))
    assert [type(item).__name__ for item in got] == ["Finding", "Reject", "Finding"]


@pytest.mark.parametrize(
    "foreign",
    [
        {"type": "Backdoor:EC2/C&CActivity.B", "service": {"serviceName": "guardduty"}, "arn": "arn:aws:guardduty:x"},
        {"data": {"aws": ATTACK}, "rule": {"id": "1"}},
        {"class_uid": 2004, "metadata": {"product": {"uid": "arn:aws:securityhub:ProductArn"}}},
        {"event": {"original": json.dumps(ATTACK)}},
    ],
)
def test_other_tools_records_are_not_taken(foreign: dict[str, Any]) -> None:
    """Also where they carry an ASFF finding inside."""
    assert not AsffReader().recognises(json.dumps(foreign).encode(), "alerts.json")
    assert not AsffReader().recognises(b"ProductArn,Types\n", "x.csv")


KEYS = st.sampled_from(
    "SourceIpV4 DestinationIpV4 Direction RemoteIpDetails IpAddressV4 NetworkConnectionAction DnsRequestAction Domain "
    "Type Value Details AwsEc2Instance aws/guardduty/service/action aws/guardduty/service/evidence.0_".split()
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.just(OUT) | st.just("IN"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(JSON, JSON, JSON, st.sampled_from(["aws/guardduty", "other/x"]))
def test_no_shape_of_a_field_breaks_the_reader(network: Any, fields: Any, listed: Any, product: str) -> None:
    """Whatever stands where an object should, the record is a finding, a reject or nothing."""
    doc = finding("TTPs/X/Backdoor:EC2-C&CActivity.B", product=product, Network=network, Action=network)
    doc |= {"ProductFields": fields, "ThreatIntelIndicators": listed, "Resources": listed}
    for item in read(doc):
        assert isinstance(item, Finding | Reject)


@given(
    st.dictionaries(
        st.sampled_from(
            "detail-type detail Findings findings ProductArn Types ProductFields Workflow Compliance".split()
        ),
        JSON,
        max_size=5,
    )
)
def test_no_shape_of_a_record_breaks_the_reader(doc: dict[str, Any]) -> None:
    """Nor does a record whose wrapping is of another type."""
    AsffReader().recognises(json.dumps(doc).encode(), "x")
    for item in read(doc):
        assert isinstance(item, Finding | Reject)


def test_a_detail_type_that_is_no_text_harms_nothing() -> None:
    """Such a record is passed over."""
    assert read({"detail-type": ["x"], "detail": {}}) == []
