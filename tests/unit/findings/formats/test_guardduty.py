"""GuardDuty findings: the type and the resource's role say who the attacker is, and who is a victim."""

from __future__ import annotations

import json
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reader_builders import only_finding, read_json
from threatshare.config import OwnAssets
from threatshare.findings.formats import asff, aws_events, crowdstrike, guardduty, scc
from threatshare.findings.formats.guardduty import GuardDutyReader
from threatshare.findings.roles import Ruling
from threatshare.model import Finding, Reject, Role

OUT, IN, OUR_NAT = "198.51.100.7", "10.0.0.9", "203.0.113.80"
SHA256 = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
OWN = OwnAssets(domains=("corp.example",))
INTERFACE = {
    "publicIp": OUR_NAT,
    "privateIpAddress": IN,
    "privateIpAddresses": [{"privateIpAddress": IN}],
    "publicDnsName": "ec2-203-0-113-80.cloud.example",
}


def finding(
    kind: str,
    action: dict[str, Any] | None = None,
    role: str | None = "TARGET",
    resource: dict[str, Any] | None = None,
    **service: Any,
) -> dict[str, Any]:
    return {
        "schemaVersion": "2.0",
        "type": kind,
        "arn": "arn:aws:guardduty:us-east-1:111122223333:detector/aa/finding/bb",
        "resource": resource or {},
        "service": {
            "serviceName": "guardduty",
            "action": action or {},
            "resourceRole": role,
            "eventFirstSeen": "2026-05-04T03:00:00.000Z",
            "eventLastSeen": "2026-05-05T03:00:00Z",
            "archived": False,
            "count": 3,
            **service,
        },
        "severity": 8,
        "createdAt": "2026-05-04T03:05:00.000Z",
        "title": "The instance i-1 did something.",
    }


def connected(direction: str = "OUTBOUND", remote: str = OUT) -> dict[str, Any]:
    return {
        "actionType": "NETWORK_CONNECTION",
        "networkConnectionAction": {
            "connectionDirection": direction,
            "remoteIpDetails": {"ipAddressV4": remote, "organization": {"asnOrg": "Example"}},
            "localIpDetails": {"ipAddressV4": IN},
            "remotePortDetails": {"port": 443},
        },
    }


def asked(domain: str) -> dict[str, Any]:
    return {"actionType": "DNS_REQUEST", "dnsRequestAction": {"domain": domain, "protocol": "UDP", "blocked": False}}


def called(name: str = "awsApiCallAction", remote: str = OUT, **more: Any) -> dict[str, Any]:
    return {name: {"remoteIpDetails": {"ipAddressV4": remote}, **more}}


def read(data: Any) -> list[Finding | Reject]:
    return read_json(GuardDutyReader(), data, "g.json", OWN)


def one(doc: dict[str, Any]) -> Finding:
    return only_finding(read(doc))


def roles(doc: dict[str, Any]) -> dict[str, str]:
    return {seen.observable.value: seen.role.value for seen in one(doc).observations}


def role_of(kind: str, action: dict[str, Any], role: str | None, value: str = OUT) -> str:
    return roles(finding(kind, action, role))[value]


@pytest.mark.parametrize(
    ("kind", "role", "expected"),
    [
        ("UnauthorizedAccess:EC2/SSHBruteForce", "TARGET", "attacker"),
        ("UnauthorizedAccess:EC2/SSHBruteForce", "ACTOR", "third-party"),
        ("UnauthorizedAccess:EC2/RDPBruteForce", "ACTOR", "third-party"),
        ("Impact:EC2/WinRMBruteForce", "ACTOR", "third-party"),
        ("Impact:EC2/PortSweep", "ACTOR", "third-party"),
        ("Recon:EC2/Portscan", "ACTOR", "third-party"),
        ("Recon:EC2/Portscan", "TARGET", "attacker"),
        ("Backdoor:EC2/DenialOfService.Tcp", "ACTOR", "third-party"),
        ("Backdoor:EC2/DenialOfService.UdpOnTcpPorts", "ACTOR", "third-party"),
        ("Backdoor:EC2/Spambot", "ACTOR", "third-party"),
        ("Backdoor:EC2/C&CActivity.B", "ACTOR", "c2"),
        ("Trojan:EC2/DropPoint", "ACTOR", "c2"),
        ("Trojan:EC2/BlackholeTraffic", "ACTOR", "third-party"),
        ("UnauthorizedAccess:EC2/TorClient", "ACTOR", "third-party"),
        ("UnauthorizedAccess:Lambda/TorRelay", "ACTOR", "third-party"),
        ("UnauthorizedAccess:EC2/MaliciousIPCaller.Custom", "ACTOR", "known-indicator"),
        ("Behavior:EC2/NetworkPortUnusual", "ACTOR", "unknown"),
        ("DefenseEvasion:EC2/UnusualDoHActivity", "ACTOR", "unknown"),
    ],
)
def test_the_type_and_the_role_rule_on_a_connection(kind: str, role: str, expected: str) -> None:
    """A target's other end attacks, an actor's is its master, unless the type says that it is a victim or bystander."""
    assert roles(finding(kind, connected(), role)) == {OUT: expected, IN: "victim-asset"}


def test_runtime_findings_have_no_role_and_go_by_direction() -> None:
    """Without resourceRole the direction decides; without both, the other end is held."""
    assert role_of("Backdoor:Runtime/C&CActivity.B", connected("OUTBOUND"), None) == "c2"
    assert role_of("Execution:Runtime/SuspiciousShellCreated", connected("INBOUND"), None) == "attacker"
    assert role_of("Backdoor:Runtime/C&CActivity.B", connected("UNKNOWN"), None) == "unknown"
    assert role_of("UnauthorizedAccess:EC2/SSHBruteForce", connected("UNKNOWN"), None) == "unknown"
    assert role_of("UnauthorizedAccess:Runtime/TorClient", connected("UNKNOWN"), None) == "third-party"


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("Backdoor:EC2/C&CActivity.B!DNS", "c2"),
        ("Trojan:EC2/DGADomainRequest.B", "c2"),
        ("Trojan:EC2/BlackholeTraffic!DNS", "c2"),
        ("Impact:EC2/MaliciousDomainRequest.Reputation", "c2"),
        ("Trojan:EC2/PhishingDomainRequest!DNS", "payload"),
        ("Trojan:EC2/DriveBySourceTraffic!DNS", "payload"),
        ("Impact:EC2/SuspiciousDomainRequest.Reputation", "unknown"),
        ("Impact:EC2/AbusedDomainRequest.Reputation", "unknown"),
        ("UnauthorizedAccess:EC2/MetadataDNSRebind", "unknown"),
        ("Impact:EC2/MaliciousDomainRequest.Custom", "known-indicator"),
    ],
)
@pytest.mark.parametrize("role", ["ACTOR", "TARGET", None])
def test_a_name_is_asked_for_by_our_side_whatever_the_role(kind: str, expected: str, role: str | None) -> None:
    """In a DNS request our resource is the one that acts, also where the finding calls it the target."""
    assert role_of(kind, asked("evil.example"), role, "evil.example") == expected


def test_the_domain_for_testing_guardduty_is_nobodys_server() -> None:
    """What AWS tells its customers to look up for a trial never becomes an indicator."""
    kind, domain = "Backdoor:EC2/C&CActivity.B!DNS", "guarddutyc2activityb.com"
    assert role_of(kind, asked(domain), "ACTOR", domain) == "third-party"


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("UnauthorizedAccess:IAMUser/ConsoleLoginSuccess.B", "unknown"),
        ("UnauthorizedAccess:IAMUser/ConsoleLogin", "unknown"),
        ("Discovery:IAMUser/AnomalousBehavior", "unknown"),
        ("PenTest:IAMUser/KaliLinux", "unknown"),
        ("Stealth:IAMUser/CloudTrailLoggingDisabled", "unknown"),
        ("UnauthorizedAccess:IAMUser/InstanceCredentialExfiltration.InsideAWS", "unknown"),
        ("UnauthorizedAccess:IAMUser/InstanceCredentialExfiltration.OutsideAWS", "attacker"),
        ("Recon:IAMUser/MaliciousIPCaller", "known-indicator"),
        ("Recon:IAMUser/MaliciousIPCaller.Custom", "known-indicator"),
        ("Discovery:S3/TorIPCaller", "third-party"),
    ],
)
def test_who_called_an_interface_is_an_attacker_only_where_the_type_says_so(kind: str, expected: str) -> None:
    """An anomalous caller may be one of us: it is held, although the account is the target."""
    assert roles(finding(kind, called())) == {OUT: expected}


def test_logins_and_kubernetes_calls() -> None:
    """They are calls too: failed logins are held, brute force that succeeded is an attack."""
    kube, login = "kubernetesApiCallAction", "rdsLoginAttemptAction"
    assert role_of("CredentialAccess:Kubernetes/SuccessfulAnonymousAccess", called(kube), "TARGET") == "unknown"
    assert role_of("Impact:Kubernetes/MaliciousIPCaller", called(kube), "TARGET") == "known-indicator"
    assert role_of("CredentialAccess:RDS/AnomalousBehavior.FailedLogin", called(login), "TARGET") == "unknown"
    assert role_of("CredentialAccess:RDS/AnomalousBehavior.SuccessfulBruteForce", called(login), "TARGET") == "attacker"
    assert role_of("CredentialAccess:RDS/TorIPCaller.FailedLogin", called(login), "TARGET") == "third-party"


def test_callers_from_our_own_accounts_are_left_out() -> None:
    """AWS knows which accounts belong to the organisation."""
    assert read(finding("Recon:IAMUser/X", called(remoteAccountDetails={"accountId": "1", "affiliated": True}))) == []


def test_every_prober_is_an_attacker() -> None:
    """A port probe names many remote ends, IPv6 too; local ends stay home."""
    details = [
        {"remoteIpDetails": {"ipAddressV4": OUT}, "localIpDetails": {"ipAddressV4": IN}},
        {"remoteIpDetails": {"ipAddressV6": "2001:db8::7"}},
    ]
    doc = finding("Recon:EC2/PortProbeUnprotectedPort", {"portProbeAction": {"portProbeDetails": details}})
    assert roles(doc) == {OUT: "attacker", "2001:db8::7": "attacker", IN: "victim-asset"}


@pytest.mark.parametrize(
    "told",
    [
        {"evidence": {"threatIntelligenceDetails": [{"threatListName": "ExampleList", "threatNames": ["Scanner"]}]}},
        {"additionalInfo": {"threatListName": "ExampleList"}},
        {"additionalInfo": {"value": '{"threatListName":"ExampleList"}', "type": "default"}},
    ],
)
def test_what_a_threat_list_named_is_a_known_indicator(told: dict[str, Any]) -> None:
    """A match with a list becomes a sighting; a victim stays a victim."""
    assert roles(finding("Backdoor:EC2/C&CActivity.B", connected(), "ACTOR", **told))[OUT] == "known-indicator"
    assert roles(finding("Behavior:EC2/TrafficVolumeUnusual", connected(), "ACTOR", **told))[OUT] == "known-indicator"
    assert roles(finding("Backdoor:EC2/DenialOfService.Udp", connected(), "ACTOR", **told))[OUT] == "third-party"


@pytest.mark.parametrize(
    "doc",
    [
        finding("Backdoor:EC2/C&CActivity.B", connected(), "ACTOR", additionalInfo={"sample": True}),
        finding("Backdoor:EC2/C&CActivity.B", connected(), "ACTOR", additionalInfo={"sample": "True"}),
        finding("Backdoor:EC2/C&CActivity.B", connected(), "ACTOR", additionalInfo={"value": '{"sample":true}'}),
        {**finding("Backdoor:EC2/C&CActivity.B", connected(), "ACTOR"), "title": "[SAMPLE] EC2 instance ..."},
        finding("Backdoor:EC2/C&CActivity.B", connected(), "ACTOR", userFeedback="NOT_USEFUL"),
        finding("Policy:IAMUser/RootCredentialUsage", called()),
    ],
)
def test_samples_posture_and_useless_findings_yield_nothing(doc: dict[str, Any]) -> None:
    """Neither AWS's own samples nor what an analyst marked as not useful, nor how our accounts are set up."""
    assert read(doc) == []


def test_an_archived_finding_is_held() -> None:
    """Archived may mean dealt with or expected: no indicator, no sighting, but a person sees it."""
    assert role_of("UnauthorizedAccess:EC2/SSHBruteForce", connected(), "TARGET") == "attacker"
    doc = finding("UnauthorizedAccess:EC2/SSHBruteForce", connected(), archived=True)
    assert roles(doc) == {OUT: "unknown", IN: "victim-asset"}
    (seen,) = [seen for seen in one(doc).observations if seen.role is Role.UNKNOWN]
    assert seen.why.endswith("; held")
    listed = finding("Recon:IAMUser/MaliciousIPCaller", called(), archived="true")
    assert roles(listed) == {OUT: "unknown"}


def test_addresses_of_the_resource_are_ours_wherever_they_turn_up() -> None:
    """The instance's public address and name outrank the part that the action gives them."""
    resource = {"instanceDetails": {"networkInterfaces": [INTERFACE]}}
    doc = finding("UnauthorizedAccess:EC2/SSHBruteForce", connected(remote=OUR_NAT), resource=resource)
    assert roles(doc) == {
        OUR_NAT: "victim-asset",
        IN: "victim-asset",
        "ec2-203-0-113-80.cloud.example": "victim-asset",
    }


def test_infected_files_are_payload_and_their_paths_are_not_read() -> None:
    """Hashes of volumes and of objects come out; EICAR is a test; no path or name of a file appears anywhere."""
    volumes = {
        "threatNames": [
            {"name": "Trojan.X", "filePaths": [{"hash": SHA256, "filePath": "/home/j.doe/a", "fileName": "a.example"}]},
            {"name": "EICAR-Test-File", "filePaths": [{"hash": "ab" * 32, "filePath": "/tmp/eicar.example"}]},
        ]
    }
    scan = {"ebsVolumeScanDetails": {"scanDetections": {"threatDetectedByName": volumes}}}
    doc = finding("Execution:EC2/MaliciousFile", role=None, **scan)
    assert roles(doc) == {SHA256: "payload", "ab" * 32: "third-party"}
    bucket = {
        "s3BucketDetails": [{"name": "b", "s3ObjectDetails": [{"key": "k.example", "hash": SHA256, "eTag": "x"}]}]
    }
    threats = {
        "malwareScanDetails": {"threats": [{"name": "T", "itemPaths": [{"nestedItemPath": "p", "hash": "1" * 32}]}]}
    }
    doc = finding("Object:S3/MaliciousFile", role=None, resource=bucket, **threats)
    assert roles(doc) == {SHA256: "payload", "1" * 32: "payload"}
    assert roles(finding("Object:S3/MaliciousFile", connected(), resource=bucket)).get(SHA256) is None


def test_programs_that_took_part_are_held() -> None:
    """A process may be a shell; a miner is what the type calls it; a listed file is a known indicator."""
    runtime = {
        "process": {"executableSha256": SHA256, "executablePath": "/usr/bin/ssh"},
        "context": {"moduleSha256": "3f79" * 8, "threatFilePath": "/tmp/x.example", "targetProcess": {"name": "sshd"}},
    }
    assert roles(finding("Execution:Runtime/NewBinaryExecuted", role=None, runtimeDetails=runtime)) == {
        SHA256: "unknown"
    }
    assert roles(finding("Impact:Runtime/CryptoMinerExecuted", role=None, runtimeDetails=runtime)) == {
        SHA256: "payload"
    }
    evidence = {"threatIntelligenceDetails": [{"threatFileSha256": "cd" * 32}]}
    doc = finding("Execution:Runtime/MaliciousFileExecuted", role=None, runtimeDetails=runtime, evidence=evidence)
    assert roles(doc) == {SHA256: "unknown", "cd" * 32: "known-indicator"}


def test_an_attack_sequence_holds_what_no_list_named() -> None:
    """Listed addresses are known indicators, Tor nodes bystanders, endpoints are held; techniques are kept."""
    sequence = {
        "sequenceIndicators": [
            {"key": "MALICIOUS_IP", "values": [OUT]},
            {"key": "TOR_IP", "values": ["198.51.100.9"]},
            {"key": "SUSPICIOUS_NETWORK", "values": ["net.example"]},
            {"key": "ATTACK_TECHNIQUE", "values": ["Initial Access: T1078.004 - Valid Accounts"]},
        ],
        "endpoints": [{"ip": OUT}, {"ip": "198.51.100.8", "domain": "end.example"}],
    }
    got = one(finding("AttackSequence:IAM/CompromisedCredentials", role=None, detection={"sequence": sequence}))
    assert {seen.observable.value: seen.role.value for seen in got.observations} == {
        OUT: "known-indicator",
        "198.51.100.9": "third-party",
        "198.51.100.8": "unknown",
        "end.example": "unknown",
    }
    assert got.techniques == ("T1078.004",)


def pascal(value: Any) -> Any:
    """Spells keys as the API does."""
    if isinstance(value, dict):
        return {key[:1].upper() + key[1:]: pascal(one) for key, one in value.items()}
    return [pascal(one) for one in value] if isinstance(value, list) else value


BRUTE = finding("UnauthorizedAccess:EC2/SSHBruteForce", connected())
EVENT = {
    "version": "0",
    "detail-type": "GuardDuty Finding",
    "source": "aws.guardduty",
    "resources": ["arn:aws:x"],
    "detail": BRUTE,
}
SHAPES = [
    BRUTE,
    [BRUTE, BRUTE],
    EVENT,
    {"Findings": [pascal(BRUTE), pascal(BRUTE)]},
    {"NextToken": "x", "Findings": [pascal(BRUTE)]},
    {"findings": [BRUTE]},
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("indent", [None, 2])
def test_every_wrapping_and_spelling_gives_the_same_finding(shape: Any, indent: int | None) -> None:
    """Exports, the API's PascalCase and EventBridge events are recognised and read alike, in one line or many."""
    data = json.dumps(shape, indent=indent).encode()
    assert GuardDutyReader().recognises(data, "x")
    found = read(data)
    assert found
    for got in found:
        assert isinstance(got, Finding)
        assert [(seen.observable.value, seen.role.value) for seen in got.observations] == [
            (OUT, "attacker"),
            (IN, "victim-asset"),
        ]


def test_lines_are_read_one_by_one_and_other_events_passed_over() -> None:
    """An event of another service is not ours; a broken line costs only itself."""
    other = {"detail-type": "AWS API Call via CloudTrail", "source": "aws.s3", "detail": {"eventName": "x"}}
    lines = [json.dumps(doc).encode() for doc in (other, EVENT, {"type": "no finding"}, BRUTE)]
    data = b"\n".join([*lines, b'{"type": "cut'])
    assert GuardDutyReader().recognises(data, "x")
    got = read(data)
    assert [type(item).__name__ for item in got] == ["Finding", "Reject", "Finding", "Reject"]
    assert isinstance(got[1], Reject)
    assert got[1].place == "g.json:3"
    assert "no GuardDuty finding" in got[1].reason


def test_what_the_finding_says_of_itself() -> None:
    """Title is the type, never the sentence with our instance in it; times and count are kept; severity is no
    confidence."""
    got = one(BRUTE)
    assert got.title == "UnauthorizedAccess:EC2/SSHBruteForce"
    assert got.seen_at.isoformat() == "2026-05-04T03:00:00+00:00"
    assert got.last_seen_at.isoformat() == "2026-05-05T03:00:00+00:00"
    assert (got.count, got.confidence, got.sensor) == (3, None, "guardduty")


@pytest.mark.parametrize(
    "foreign",
    [
        {"SchemaVersion": "2018-10-08", "ProductArn": "arn:aws:securityhub:::product/aws/guardduty", "Types": ["TTPs"]},
        {"rule": {"id": "80301"}, "agent": {"id": "1"}, "data": {"aws": BRUTE}},
        {"event": {"original": json.dumps(BRUTE)}, "@timestamp": "2026-05-04T03:00:00Z"},
        {"class_uid": 2004, "metadata": {}, "finding_info": {"title": "x"}},
        {"type": "indicator", "service": {}},
        {"event_type": "alert", "timestamp": "x"},
    ],
)
def test_other_tools_records_are_not_taken(foreign: dict[str, Any]) -> None:
    """Also where they carry a GuardDuty finding inside."""
    assert not GuardDutyReader().recognises(json.dumps(foreign).encode(), "alerts.json")
    assert not GuardDutyReader().recognises(b"type,service,action\n", "x.csv")


KEYS = st.sampled_from(
    "remoteIpDetails ipAddressV4 networkConnectionAction portProbeAction portProbeDetails dnsRequestAction domain "
    "value evidence threatIntelligenceDetails sample networkInterfaces instanceDetails sequence endpoints".split()
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20) | st.just(OUT),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(JSON, JSON, JSON, JSON)
def test_no_shape_of_a_field_breaks_the_reader(action: Any, info: Any, resource: Any, detection: Any) -> None:
    """Whatever stands where an object should, the record is a finding, a reject or nothing."""
    doc = finding("Backdoor:EC2/C&CActivity.B", additionalInfo=info, detection=detection, evidence=info)
    doc["service"]["action"] = action
    doc["resource"] = resource
    for item in read(doc):
        assert isinstance(item, Finding | Reject)


@given(
    st.dictionaries(
        st.sampled_from("detail-type detail Findings findings type service Type Service resource title".split()),
        JSON,
        max_size=5,
    )
)
def test_no_shape_of_a_record_breaks_the_reader(doc: dict[str, Any]) -> None:
    """Nor does a record whose wrapping is of another type."""
    GuardDutyReader().recognises(json.dumps(doc).encode(), "x")
    for item in read(doc):
        assert isinstance(item, Finding | Reject)


def test_a_detail_type_that_is_no_text_harms_nothing() -> None:
    """Such a record is passed over."""
    assert read({"detail-type": ["x"], "detail": {}}) == []


@pytest.mark.parametrize(
    "module", [asff, aws_events, crowdstrike, guardduty, scc], ids=lambda module: str(module.__name__)
)
def test_every_held_ruling_of_the_cloud_readers_says_what_would_decide_it(module: ModuleType) -> None:
    """A person in review sees what to look for, and nothing held reads as if it were decided."""
    rulings = [one for one in vars(module).values() if isinstance(one, Ruling)]
    assert rulings
    for one in rulings:
        held = one.role is Role.UNKNOWN
        assert one.why.endswith("; held") is held
        assert not held or "decide" in one.why
