"""Wazuh alerts: the rule's groups say who attacked; what merely happened, and what is ours, yields nothing."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from threatshare.config import OwnAssets
from threatshare.findings.formats.wazuh import WazuhReader
from threatshare.findings.records import HEAD
from threatshare.model import Finding, Reject, Role

OUT, OUT2, IN, IN2 = "198.51.100.7", "203.0.113.5", "10.0.0.9", "10.0.0.10"
SHA256 = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
SHA1 = "86f7e437faa5a7fce15d1ddcb9eaeaea377667b8"
MD5 = "0cc175b9c0f1b6a831c399e269772661"
OWN = OwnAssets(domains=("corp.example",))
SSH = ("syslog", "sshd", "authentication_failed")


def alert(
    groups: tuple[str, ...],
    data: dict[str, Any] | None = None,
    level: int = 5,
    rule: str = "5716",
    fired: int = 4,
    **more: Any,
) -> dict[str, Any]:
    return {
        "timestamp": "2026-05-04T03:02:01.123+0000",
        "rule": {
            "level": level,
            "description": "sshd: authentication failed.",
            "id": rule,
            "mitre": {"id": ["T1110", "bad"], "tactic": ["Credential Access"]},
            "firedtimes": fired,
            "groups": list(groups),
        },
        "agent": {"id": "005", "name": "web-01", "ip": IN},
        "manager": {"name": "wazuh"},
        "id": "1777863721.1",
        "full_log": f"sshd[1]: Failed password for root from {OUT2} port 1 ssh2",
        "decoder": {"name": "sshd"},
        "data": data or {},
        "location": "/var/log/auth.log",
        **more,
    }


def read(*alerts: dict[str, Any]) -> list[Finding | Reject]:
    raw = "\n".join(json.dumps(one) for one in alerts).encode()
    return list(WazuhReader().read(io.BytesIO(raw), "alerts.json", OWN))


def roles(one: dict[str, Any]) -> dict[str, str]:
    got = read(one)
    assert all(isinstance(item, Finding) for item in got)
    return {
        seen.observable.value: seen.role.value
        for item in got
        if isinstance(item, Finding)
        for seen in item.observations
    }


# --- attempts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "groups",
    [
        SSH,
        ("syslog", "sshd", "authentication_failures"),
        ("syslog", "sshd", "invalid_login"),
        ("web", "accesslog", "attack", "sql_injection"),
        ("web", "accesslog", "web_scan", "recon"),
        ("syslog", "sshd", "exploit_attempt"),
    ],
)
def test_the_source_of_an_attempt_is_the_attacker(groups: tuple[str, ...]) -> None:
    """Failed logins and attacks on the agent's services make their outside source an attacker."""
    assert roles(alert(groups, {"srcip": OUT, "srcuser": "root", "url": "/admin?x=http://a.example/"})) == {
        OUT: "attacker"
    }


@pytest.mark.parametrize(
    "data",
    [
        {"src_ip": OUT},
        {"win": {"eventdata": {"ipAddress": OUT, "targetUserName": "j.doe"}}},
        {"srcip": OUT, "dstip": IN2},
    ],
)
def test_where_decoders_put_the_source(data: dict[str, Any]) -> None:
    """Syslog, JSON and Windows decoders name the source differently."""
    assert roles(alert(SSH, data)) == {OUT: "attacker"}


@pytest.mark.parametrize(("fired", "role"), [(1, "unknown"), (3, "unknown"), (4, "attacker")])
def test_a_few_failed_logins_may_be_a_typo(fired: int, role: str) -> None:
    """A source that failed to log in as often as a person is asked for a password is held, beyond it an attacker."""
    assert roles(alert(SSH, {"srcip": OUT}, fired=fired)) == {OUT: role}


def test_attempts_from_inside_yield_nothing() -> None:
    """An internal source, the agent's own public address and a local login are no finding."""
    own_address = alert(SSH, {"srcip": OUT}, agent={"id": "1", "ip": OUT})
    windows = alert(SSH, {"win": {"eventdata": {"ipAddress": "-"}}})
    assert read(alert(SSH, {"srcip": IN2}), own_address, windows, alert(SSH, {"srcip": "::1"}), alert(SSH)) == []


def test_attempts_between_strangers_are_held() -> None:
    """Where the log names a target outside our networks, only a list of what is ours can tell."""
    assert roles(alert(SSH, {"srcip": OUT, "dstip": OUT2})) == {OUT: "unknown"}


@pytest.mark.parametrize(
    ("groups", "data", "level", "rule"),
    [
        (("syslog", "sshd", "authentication_success"), {"srcip": OUT}, 3, "5715"),
        (("local", "authentication_success", "attacks"), {"srcip": OUT}, 12, "100100"),
        (("syslog", "sshd"), {"srcip": OUT}, 4, "5704"),
        (("web", "accesslog"), {"srcip": OUT, "url": "http://a.example/"}, 5, "31120"),
        (("web", "accesslog", "attack"), {"srcip": OUT}, 5, "31101"),
        (("web", "appsec", "attack"), {"srcip": OUT}, 3, "31530"),
        (SSH, {"srcip": OUT}, 2, "5716"),
        (("firewall", "firewall_drop"), {"srcip": OUT, "dstip": IN}, 5, "4101"),
        (("audit", "audit_command"), {"audit": {"exe": "/bin/a"}, "srcip": OUT}, 7, "80792"),
        (("vulnerability-detector",), {"vulnerability": {"reference": "http://a.example/"}, "srcip": OUT}, 10, "23505"),
        (("rootcheck",), {"srcip": OUT}, 7, "510"),
        (("sca",), {"srcip": OUT, "sca": {"check": {"title": "x"}}}, 7, "19007"),
        (("ciscat",), {"srcip": OUT, "cis": {"score": "1"}}, 7, "87411"),
        (("ossec",), {"srcip": OUT}, 3, "503"),
    ],
)
def test_what_is_no_attack_yields_nothing(groups: tuple[str, ...], data: dict[str, Any], level: int, rule: str) -> None:
    """Successes, plain log lines, single errors, audit, posture and low levels are no findings."""
    assert read(alert(groups, data, level, rule)) == []


def test_what_our_own_people_do_too_is_held() -> None:
    """Failures followed by a success may be a forgotten password: a person can decide."""
    (got,) = read(alert(("syslog", "attacks"), {"srcip": OUT}, 12, "40112"))
    assert isinstance(got, Finding)
    (seen,) = got.observations
    assert seen.role is Role.UNKNOWN
    assert seen.why.endswith("; held")


# --- files ------------------------------------------------------------------------------------------------------------


def virustotal(**report: Any) -> dict[str, Any]:
    source = {"file": "/home/j.doe/a.exe", "md5": MD5, "sha1": SHA1}
    defaults = {"found": "1", "malicious": "1", "positives": "41", "total": "70", "source": source, "sha1": SHA1}
    data = {"integration": "virustotal", "virustotal": {**defaults, "permalink": "http://vt.example/x", **report}}
    return alert(("virustotal",), data, 12, "87105")


def test_a_file_that_virustotal_detects_is_payload() -> None:
    """Its hashes come out, its path and the report's link do not."""
    assert roles(virustotal()) == {MD5: "payload", SHA1: "payload"}
    assert roles(virustotal(found=1, positives=3)) == {MD5: "payload", SHA1: "payload"}


@pytest.mark.parametrize(
    "report",
    [{"positives": "0", "malicious": "0"}, {"positives": "2", "malicious": "0"}, {"found": "0"}, {"positives": None}],
)
def test_a_file_that_virustotal_does_not_detect_yields_nothing(report: dict[str, Any]) -> None:
    """Unknown files and files without a detection are nothing."""
    assert read(virustotal(**report)) == []


def test_syscheck_alone_yields_nothing_and_with_yara_payload() -> None:
    """A changed file is no malware until a scanner says so; hashes of before the change are never read."""
    syscheck = {"md5_after": MD5, "sha1_after": SHA1, "sha256_after": SHA256, "sha256_before": "b" * 64, "path": "/x"}
    assert read(alert(("ossec", "syscheck"), {}, 7, "550", syscheck=syscheck)) == []
    assert roles(alert(("yara",), {"yara_rule": "X"}, 12, "108001", syscheck=syscheck)) == {
        MD5: "payload",
        SHA1: "payload",
        SHA256: "payload",
    }


# --- programs of ours -------------------------------------------------------------------------------------------------


def sysmon(*groups: str, level: int = 12, **event: Any) -> dict[str, Any]:
    connection = {"sourceIp": IN, "destinationIp": OUT, "initiated": "true", "image": "C:\\x.exe", "user": "J.DOE"}
    return alert(groups, {"win": {"eventdata": {**connection, **event}}}, level, "92101")


def test_connections_count_only_with_a_detection() -> None:
    """A detected program's far end is C2; every connection that Sysmon merely notes is telemetry."""
    assert roles(sysmon("sysmon", "sysmon_eid3_detections")) == {OUT: "c2", IN: "victim-asset"}
    assert read(sysmon("windows", "sysmon", "sysmon_event3")) == []
    assert read(sysmon("sysmon", "sysmon_eid3_detections", level=3)) == []


def test_who_opened_a_detected_connection() -> None:
    """What came in is an attacker, whichever end is called source; without the flag it is held; inside is nothing."""
    group = "sysmon_eid3_detections"
    assert roles(sysmon(group, initiated="false"))[OUT] == "attacker"
    assert roles(sysmon(group, sourceIp=OUT, destinationIp=IN, initiated="false"))[OUT] == "attacker"
    assert roles(sysmon(group, sourceIp=None))[OUT] == "c2"
    assert roles(sysmon(group, initiated=None))[OUT] == "unknown"
    assert roles(sysmon(group, sourceIp=OUT2)) == {OUT: "unknown", OUT2: "unknown"}
    assert read(sysmon(group, destinationIp=IN2)) == []


def test_a_name_that_a_detected_program_asked_for() -> None:
    """Sysmon's name query counts with a detection rule."""
    event: dict[str, Any] = {"queryName": "beacon.example", "destinationIp": None, "queryResults": f"::ffff:{OUT2};"}
    assert roles(sysmon("sysmon_eid22_detections", **event)) == {"beacon.example": "c2"}


# --- other tools inside -----------------------------------------------------------------------------------------------


def suricata(src: str, dest: str, signature: str, category: str, **more: Any) -> dict[str, Any]:
    data = {
        "timestamp": "2026-05-04T03:02:01.123456+0200",
        "event_type": "alert",
        "src_ip": src,
        "src_port": "4444",
        "dest_ip": dest,
        "alert": {"signature": signature, "category": category},
        **more,
    }
    return alert(("ids", "suricata"), data, 3, "86601")


CNC = ("ET MALWARE Test CnC Checkin", "Malware Command and Control Activity Detected")


def test_suricata_needs_the_flow_to_tell_who_began() -> None:
    """With the flow's source or direction both ends are decided; without, the outside end is held."""
    assert roles(suricata(IN, OUT, *CNC, flow={"src_ip": IN})) == {IN: "victim-asset", OUT: "c2"}
    assert roles(suricata(OUT, IN, *CNC, flow={"src_ip": IN})) == {IN: "victim-asset", OUT: "c2"}
    assert roles(suricata(OUT, IN, *CNC, flow={"src_ip": OUT})) == {IN: "victim-asset", OUT: "attacker"}
    assert roles(suricata(IN, OUT, *CNC, direction="to_server")) == {IN: "victim-asset", OUT: "c2"}
    assert roles(suricata(IN, OUT, *CNC)) == {IN: "victim-asset", OUT: "unknown"}
    assert roles(suricata(OUT, OUT2, *CNC, flow={"src_ip": OUT})) == {OUT: "unknown", OUT2: "unknown"}


def test_names_count_where_our_side_asked() -> None:
    """The host of a request outwards is what its server is; of one inwards it is ours and left out."""
    more: dict[str, Any] = {"http": {"hostname": "beacon.example", "url": "/x"}, "tls": {"sni": "tls.example"}}
    outwards = roles(suricata(IN, OUT, *CNC, flow={"src_ip": IN}, **more))
    assert (outwards["beacon.example"], outwards["tls.example"]) == ("c2", "c2")
    inwards = roles(suricata(OUT, IN, *CNC, flow={"src_ip": OUT}, **more))
    assert set(inwards) == {OUT, IN}


def test_signatures_keep_their_meaning() -> None:
    """A listed address is a sighting whoever began, and policy is nothing."""
    listed = suricata(OUT, IN, "ET DROP Dshield Block Listed Source group 1", "Misc Attack")
    assert roles(listed) == {IN: "victim-asset", OUT: "known-indicator"}
    # Whose server a host name belongs to, only the flow tells.
    named = suricata(
        IN, OUT, "ET DROP Dshield Block Listed Source group 1", "Misc Attack", http={"hostname": "a.example"}
    )
    assert roles(named) == {IN: "victim-asset", OUT: "known-indicator"}
    assert read(suricata(IN, OUT, "ET POLICY curl", "Potential Corporate Privacy Violation")) == []
    assert read(suricata(IN, IN2, *CNC, flow={"src_ip": IN})) == []


def test_snort_is_held() -> None:
    """Snort's packet direction does not say who began."""
    assert roles(alert(("ids",), {"srcip": OUT, "dstip": IN, "id": "1:2:3"}, 6, "20101")) == {
        OUT: "unknown",
        IN: "victim-asset",
    }


def guardduty(kind: str, role: str, **service: Any) -> dict[str, Any]:
    action = {"networkConnectionAction": {"remoteIpDetails": {"ipAddressV4": OUT}, "connectionDirection": "INBOUND"}}
    body = {
        "resourceRole": role,
        "action": {"actionType": "NETWORK_CONNECTION", **action},
        "eventFirstSeen": "2026-05-04T03:00:00Z",
        "eventLastSeen": "2026-05-04T03:10:00Z",
        "count": "4",
        "archived": "false",
        **service,
    }
    data = {"integration": "aws", "aws": {"source": "guardduty", "type": kind, "service": body, "severity": "5"}}
    return alert(("amazon", "aws", "aws_guardduty"), data, 6, "80302")


def test_guardduty_keeps_its_own_rules() -> None:
    """A target's other end is the attacker, that of a brute force of ours a victim; samples are nothing."""
    attacked = guardduty("UnauthorizedAccess:EC2/SSHBruteForce", "TARGET")
    (got,) = read(attacked)
    assert isinstance(got, Finding)
    assert {seen.observable.value: seen.role.value for seen in got.observations} == {OUT: "attacker"}
    assert (got.sensor, got.count) == ("wazuh", 4)
    acting = roles(guardduty("UnauthorizedAccess:EC2/SSHBruteForce", "ACTOR"))
    assert acting.get(OUT) != "attacker"
    assert acting.get(OUT) != "c2"
    assert read(guardduty("UnauthorizedAccess:EC2/SSHBruteForce", "TARGET", additionalInfo={"sample": "true"})) == []


# --- shapes -----------------------------------------------------------------------------------------------------------


def test_fields_of_the_finding() -> None:
    """Time, technique ids, the rule's description as title and the line as place."""
    first, second = read(alert(SSH, {"srcip": OUT}), alert(SSH, {"srcip": OUT2}))
    assert isinstance(first, Finding)
    assert isinstance(second, Finding)
    assert first.seen_at.isoformat() == "2026-05-04T03:02:01.123000+00:00"
    assert first.techniques == ("T1110",)
    assert (first.sensor, first.title, first.place) == ("wazuh", "sshd: authentication failed.", "alerts.json:1")
    assert second.place == "alerts.json:2"


def test_dumps_and_search_responses_of_the_indexer() -> None:
    """Lines of a dump and the hits of a response hold the same alerts."""
    hits = [{"_index": "wazuh-alerts-4.x", "_id": str(n), "_source": alert(SSH, {"srcip": OUT})} for n in range(2)]
    response = {"took": 1, "timed_out": False, "hits": {"total": {"value": 2}, "hits": hits}}
    assert len([one for one in read(*hits) if isinstance(one, Finding)]) == 2
    assert len([one for one in read(response) if isinstance(one, Finding)]) == 2


def test_broken_alerts_are_kept_aside() -> None:
    """No alert, no time, no JSON: each a reject, and the next one is read; odd types hurt nobody."""
    odd = alert(SSH, {"srcip": ["x"], "win": 7}, rule="5716")
    lines = [json.dumps(one) for one in ({"a": 1}, alert(SSH, {"srcip": OUT}, timestamp="?"), odd)]
    raw = "\n".join([*lines, '{"rule": ', json.dumps(alert(SSH, {"srcip": OUT}))]).encode()
    got = list(WazuhReader().read(io.BytesIO(raw), "a", OWN))
    assert [type(one) for one in got] == [Reject, Reject, Reject, Finding]
    assert [one.place for one in got] == ["a:1", "a:2", "a:4", "a:5"]


def test_no_sample_of_another_format_is_taken(samples: Path) -> None:
    """Of all real files of other formats, none is taken for this one."""
    heads = [(path, path.open("rb").read(HEAD)) for path in sorted(samples.rglob("*")) if path.is_file()]
    assert len(heads) > 100
    assert [path.name for path, head in heads if WazuhReader().recognises(head, path.name)] == []


def test_recognises_its_own() -> None:
    """Told by the objects that every alert has; other JSON is not taken."""
    reader = WazuhReader()
    assert reader.recognises(json.dumps(alert(SSH)).encode(), "x")
    assert not reader.recognises(b'{"rule": {"level": 3}, "timestamp": "x"}', "alerts.json")
    assert not reader.recognises(b'{"event_type": "alert", "timestamp": "x", "alert": {}}', "alerts.json")
    assert not reader.recognises(b"rule level groups agent manager location", "alerts.txt")
