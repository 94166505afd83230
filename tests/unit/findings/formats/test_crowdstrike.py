"""CrowdStrike detections: what was judged is told from what merely took part, hosts and users stay home."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reader_builders import only_finding, read_json
from threatshare.config import OwnAssets
from threatshare.findings.formats.crowdstrike import CrowdStrikeReader
from threatshare.model import Finding, Reject, Role

OUT, IN, OUR_NAT = "198.51.100.7", "10.0.0.9", "203.0.113.80"
SHA256 = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
MD5 = "0cc175b9c0f1b6a831c399e269772661"
OTHER = "3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d"
ZEROS = "0" * 40
LEARNED = {"Tactic": "Machine Learning", "Technique": "Sensor-based ML"}
MATCHED = {"IOCType": "hash_sha256", "IOCValue": SHA256}


def event(kind: str = "DetectionSummaryEvent", **more: Any) -> dict[str, Any]:
    return {
        "metadata": {"customerIDString": "c1", "offset": 1, "eventType": kind, "eventCreationTime": 1_777_863_600_000},
        "event": {
            "ComputerName": "ws-01.corp.example",
            "UserName": "j.doe",
            "DetectName": "NGAV",
            "DetectDescription": "A process did something.",
            "FileName": "invoice.example",
            "FilePath": "\\Device\\Users\\j.doe\\invoice.example",
            "CommandLine": "curl http://never-read.example/x",
            "SHA256String": SHA256,
            "MD5String": MD5,
            "SHA1String": ZEROS,
            "LocalIP": IN,
            "Tactic": "Execution",
            "Technique": "PowerShell",
            "ParentCommandLine": "explorer.exe",
            **more,
        },
    }


def alert(**more: Any) -> dict[str, Any]:
    return {
        "composite_id": "c1:ind:a1:1",
        "falcon_host_link": "https://falcon.vendor.example/x",
        "device": {"local_ip": IN, "external_ip": OUR_NAT, "hostname": "ws-01.corp.example"},
        "display_name": "Something",
        "sha256": SHA256,
        "md5": MD5,
        "sha1": ZEROS,
        "parent_details": {"sha256": OTHER, "md5": MD5[::-1]},
        "status": "new",
        "tactic": "Execution",
        "technique": "PowerShell",
        "technique_id": "T1059.001",
        "timestamp": "2026-05-04T03:00:00.1Z",
        "user_name": "j.doe@corp.example",
        **more,
    }


def read(data: Any) -> list[Finding | Reject]:
    return read_json(CrowdStrikeReader(), data, "c.json", OwnAssets())


def one(doc: dict[str, Any]) -> Finding:
    return only_finding(read(doc))


def roles(doc: dict[str, Any]) -> dict[str, str]:
    """Gives roles by value without the host's own addresses."""
    got = {seen.observable.value: seen.role.value for seen in one(doc).observations}
    assert got.pop(IN) == "victim-asset"
    assert got.pop(OUR_NAT, "victim-asset") == "victim-asset"
    return got


def test_the_image_of_a_process_that_took_part_is_held() -> None:
    """It may be PowerShell; names, paths, users, command lines and parents come out nowhere."""
    assert roles(event()) == {SHA256: "unknown", MD5: "unknown"}
    assert roles(alert()) == {SHA256: "unknown", MD5: "unknown"}
    assert roles(event(DetectName="Known Malware", Tactic="Malware", Technique="Malicious File")) == {
        SHA256: "unknown",
        MD5: "unknown",
    }


def test_addresses_of_the_host_are_ours() -> None:
    """Also the public one behind which it stands, though no list of own networks names it."""
    for doc in (alert(), DETECT, event(aip=OUR_NAT, LocalIPv6="2001:db8::9")):
        ours = {seen.observable.value for seen in one(doc).observations if seen.role is Role.VICTIM_ASSET}
        assert {IN, OUR_NAT} <= ours <= {IN, OUR_NAT, "2001:db8::9"}
    assert "2001:db8::9" in ours


def test_what_machine_learning_condemns_is_payload() -> None:
    """It judged the file itself, also in an on-demand scan that knows one hash only."""
    assert roles(event(**LEARNED)) == {SHA256: "payload", MD5: "payload"}
    assert roles(event(**LEARNED, **MATCHED)) == {SHA256: "payload", MD5: "payload"}
    assert roles(alert(tactic="MachineLearning", type="ods", md5="")) == {SHA256: "payload"}


def test_a_file_judged_when_written_is_not_the_image_of_its_writer() -> None:
    """The indicator names the written file; the process that wrote it is held, also where no indicator is named."""
    written = event(**LEARNED, IOCType="hash_sha256", IOCValue=OTHER)
    assert roles(written) == {OTHER: "payload", SHA256: "unknown", MD5: "unknown"}
    assert roles(event(**{**LEARNED, "DetectName": "Cloud ML On-Write"})) == {SHA256: "unknown", MD5: "unknown"}


@pytest.mark.parametrize("technique", ["PUP", "Adware/PUP"])
def test_unwanted_programs_are_held(technique: str) -> None:
    """Installers of known products are among them, quarantined or not."""
    quarantined = [{"ImageFileName": "x", "SHA256HashData": SHA256}]
    doc = event(Tactic="Machine Learning", Technique=technique, QuarantineFiles=quarantined, **MATCHED)
    assert roles(doc) == {SHA256: "unknown", MD5: "unknown"}


def test_a_match_with_a_list_is_a_known_indicator() -> None:
    """The same file's other hashes too; other files of the detection are held; domains and addresses go alike."""
    assert roles(event(**MATCHED)) == {SHA256: "known-indicator", MD5: "known-indicator"}
    assert roles(event(IOCType="hash_sha256", IOCValue=OTHER)) == {
        OTHER: "known-indicator",
        SHA256: "unknown",
        MD5: "unknown",
    }
    assert roles(event(IOCType="domain", IOCValue="listed.example"))["listed.example"] == "known-indicator"
    assert roles(event(IOCType="ipv4", IOCValue=OUT))[OUT] == "known-indicator"
    assert set(roles(event(IOCType="hash_sha256", IOCValue="0" * 64))) == {SHA256, MD5}
    assert set(roles(event(IOCType="command_line", IOCValue="cmd.example"))) == {SHA256, MD5}


def test_what_a_rule_of_our_own_fired_on_is_held() -> None:
    """The indicator is then the image of the process, not the entry of a list."""
    doc = event(Tactic="Custom Intelligence", Technique="Indicator of Attack", **MATCHED)
    assert roles(doc) == {SHA256: "unknown", MD5: "unknown"}
    doc = event(Tactic="Custom Intelligence", Technique="Indicator of Compromise", **MATCHED)
    assert roles(doc) == {SHA256: "known-indicator", MD5: "known-indicator"}


def test_the_context_of_an_alert_names_the_judged_file() -> None:
    """ioc_context holds all hashes of what was judged."""
    context = [{"ioc_type": "hash_sha256", "ioc_value": OTHER, "sha256": OTHER, "md5": "ab" * 16, "type": "module"}]
    assert roles(alert(ioc_context=context)) == {
        OTHER: "known-indicator",
        "ab" * 16: "known-indicator",
        SHA256: "unknown",
        MD5: "unknown",
    }


def test_quarantined_files_are_payload() -> None:
    """In both spellings."""
    stream = event(QuarantineFiles=[{"ImageFileName": "x.example", "SHA256HashData": OTHER}])
    assert roles(stream)[OTHER] == "payload"
    assert roles(alert(quarantined_files=[{"filename": "x.example", "sha256": OTHER, "id": "y"}]))[OTHER] == "payload"


def test_contacts_of_a_process_are_held() -> None:
    """Not everything that it spoke with is the attacker's."""
    accesses = [{"LocalAddress": "192.0.2.1", "RemoteAddress": OUT, "ConnectionDirection": 0}]
    doc = event(NetworkAccesses=accesses, DnsRequests=[{"DomainName": "asked.example"}], RemoteAddressIP4="192.0.2.9")
    got = roles(doc)
    assert (got[OUT], got["asked.example"], got["192.0.2.9"]) == ("unknown", "unknown", "unknown")
    assert got["192.0.2.1"] == "victim-asset"


def test_the_only_contact_of_command_and_control_is_c2() -> None:
    """Falcon names the tactic and there is one place that it can mean; of two, neither is decided."""
    outbound = {"remote_address": OUT, "connection_direction": "Outbound"}
    inbound = {**outbound, "connection_direction": "Inbound"}
    two = [outbound, {**outbound, "remote_address": "192.0.2.9"}]
    c2 = {"tactic": "Command and Control", "tactic_id": "TA0011"}
    assert roles(alert(**c2, network_accesses=[outbound, outbound]))[OUT] == "c2"
    assert roles(alert(**c2, network_accesses=[inbound]))[OUT] == "unknown"
    assert roles(alert(**c2, network_accesses=two))[OUT] == "unknown"
    assert roles(alert(**c2, dns_requests=[{"domain_name": "c2.example"}]))["c2.example"] == "c2"
    stream = event(Tactic="Command And Control", NetworkAccesses=[{"RemoteAddress": OUT, "ConnectionDirection": 0}])
    assert roles(stream)[OUT] == "c2"


@pytest.mark.parametrize(
    "doc",
    [
        alert(status="false_positive", tactic="Machine Learning"),
        alert(resolution="false_positive", tactic="Machine Learning"),
        alert(tags=["falcon_complete", "false_positive"], tactic="Machine Learning"),
        alert(status="ignored"),
        event(Status="False Positive", **LEARNED),
        event(DetectDescription="For evaluation only - benign, no action needed.", **LEARNED),
    ],
)
def test_false_positives_and_the_vendors_sample_yield_nothing(doc: dict[str, Any]) -> None:
    """Whatever else the detection says; a true positive stays."""
    assert read(doc) == []
    assert roles(alert(tags=["true_positive"], tactic="Machine Learning"))[SHA256] == "payload"


@pytest.mark.parametrize(
    "doc",
    [
        event("UserActivityAuditEvent"),
        event("IncidentSummaryEvent"),
        event("FirewallMatchEvent", RemoteAddress=OUT),
        {"event_simpleName": "ProcessRollup2", "aid": "a", "cid": "c", "aip": OUR_NAT, "SHA256HashData": SHA256},
        {"event_simpleName": "DnsRequest", "aid": "a", "cid": "c", "DomainName": "asked.example", "timestamp": "1"},
        {"event_simpleName": "NetworkConnectIP4", "aid": "a", "cid": "c", "RemoteAddressIP4": OUT},
    ],
)
def test_telemetry_and_audit_events_yield_nothing(doc: dict[str, Any]) -> None:
    """They are taken for what they are, and hold no finding."""
    assert CrowdStrikeReader().recognises(json.dumps(doc).encode(), "x")
    assert read(doc) == []


def test_matches_of_our_own_indicators_are_known() -> None:
    """A custom indicator event names one value of any kind, and nothing else of it counts."""
    names = {"SHA256String": "", "MD5String": "", "SHA1String": "", "LocalIP": ""}
    for key, value in (("DomainName", "listed.example"), ("IPv4", OUT), ("IPv6", "2001:db8::7"), ("MD5String", MD5)):
        (got,) = read(event("CustomerIOCEvent", **{**names, key: value}))
        assert isinstance(got, Finding)
        assert [(seen.observable.value, seen.role.value) for seen in got.observations] == [(value, "known-indicator")]


DETECT = {
    "detection_id": "ldt:a:1",
    "created_timestamp": "2026-05-04T03:02:00Z",
    "first_behavior": "2026-05-04T03:00:00Z",
    "last_behavior": "2026-05-04T03:01:00Z",
    "device": {"local_ip": IN, "external_ip": OUR_NAT},
    "status": "new",
    "behaviors": [
        {"display_name": "First", "tactic": "Execution", "technique_id": "T1204", "confidence": 60, "sha256": OTHER},
        {"tactic": "Machine Learning", "technique_id": "CST0007", "confidence": 80, "sha256": SHA256, "md5": MD5},
    ],
    "quarantined_files": [],
}
FLAT = {
    **event(**LEARNED)["event"],
    "ExternalApiType": "Event_DetectionSummaryEvent",
    "cid": "c",
    "timestamp": "1777863600000",
}


def test_each_behaviour_is_ruled_on_by_itself() -> None:
    """One detection of the older API holds several; times, techniques and the highest confidence are kept."""
    got = one(DETECT)
    assert roles(DETECT) == {OTHER: "unknown", SHA256: "payload", MD5: "payload"}
    assert (got.title, got.confidence, got.techniques) == ("First", 80, ("T1204",))
    assert (got.seen_at.minute, got.last_seen_at.minute) == (0, 1)


@pytest.mark.parametrize(
    ("shape", "count"),
    [
        (event(**LEARNED), 1),
        (event("EppDetectionSummaryEvent", **LEARNED), 1),
        (event("EPPDetectionSummaryEvent", **LEARNED), 1),
        ([event(**LEARNED), event(**LEARNED)], 2),
        (alert(tactic="Machine Learning"), 1),
        (FLAT, 1),
        ({"resources": [DETECT, DETECT]}, 2),
        ({"meta": {"query_time": 0.1, "trace_id": "t"}, "resources": [DETECT, DETECT], "errors": []}, 2),
        ({"status_code": 200, "body": {"meta": {}, "resources": [alert(tactic="Machine Learning")]}}, 1),
    ],
)
@pytest.mark.parametrize("indent", [None, 4])
def test_every_wrapping_is_recognised_and_read(shape: Any, count: int, indent: int | None) -> None:
    """Stream, API and replicated events, in one line or many."""
    data = json.dumps(shape, indent=indent).encode()
    assert CrowdStrikeReader().recognises(data, "x")
    found = read(data)
    assert len(found) == count
    for got in found:
        assert isinstance(got, Finding)
        assert (SHA256, "payload") in [(seen.observable.value, seen.role.value) for seen in got.observations]
        assert (got.seen_at.isoformat()[:16], got.sensor) == ("2026-05-04T03:00", "crowdstrike")


def test_a_long_response_of_the_api_is_recognised_and_read() -> None:
    """It begins with an object and is one record, longer than the head and than a usual record."""
    padded = [alert(tactic="Machine Learning", cmdline="x" * 20_000) for _ in range(100)]
    data = json.dumps({"meta": {"query_time": 0.1}, "resources": padded}).encode()
    assert len(data) > 1024 * 1024
    assert CrowdStrikeReader().recognises(data[:65_536], "x")
    assert len(read(data)) == 100


def test_lines_are_read_one_by_one() -> None:
    """A broken record costs only itself."""
    got = read(b"\n".join(json.dumps(doc).encode() for doc in (event(**LEARNED), {"a": 1}, alert())))
    assert [type(item).__name__ for item in got] == ["Finding", "Reject", "Finding"]


@pytest.mark.parametrize(
    "foreign",
    [
        {"event": {"original": json.dumps(event())}, "@timestamp": "x"},
        {"@timestamp": "x", "crowdstrike": {"alert": alert()}},
        {"metadata": {"eventType": "x"}, "event": {}},
        {"resources": [{"id": 1}], "meta": {}},
    ],
)
def test_other_tools_records_are_not_taken(foreign: dict[str, Any]) -> None:
    """Also where they carry a detection inside."""
    assert not CrowdStrikeReader().recognises(json.dumps(foreign).encode(), "alerts.json")
    assert not CrowdStrikeReader().recognises(b"composite_id,falcon_host_link\n", "x.csv")


KEYS = st.sampled_from(
    "IOCType IOCValue ioc_context ioc_type ioc_value sha256 SHA256String Tactic Technique NetworkAccesses "
    "RemoteAddress DnsRequests DomainName QuarantineFiles behaviors device local_ip tags".split()
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from([OUT, SHA256, "hash_sha256", "Machine Learning", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=14,
)


@given(st.dictionaries(KEYS, JSON, max_size=6))
def test_no_shape_of_a_field_breaks_the_reader(fields: dict[str, Any]) -> None:
    """Whatever stands where an object should, the record is a finding, a reject or nothing."""
    for doc in (event(**fields), alert(**fields), {"detection_id": "x", "behaviors": [fields, 1], **fields}):
        for item in read(doc):
            assert isinstance(item, Finding | Reject)


@given(
    st.dictionaries(
        st.sampled_from("metadata event resources body behaviors composite_id detection_id ExternalApiType".split()),
        JSON,
        max_size=4,
    )
)
def test_no_shape_of_a_record_breaks_the_reader(doc: dict[str, Any]) -> None:
    """Nor does a record whose wrapping is of another type."""
    CrowdStrikeReader().recognises(json.dumps(doc).encode(), "x")
    for item in read(doc):
        assert isinstance(item, Finding | Reject)
