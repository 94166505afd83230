"""Suricata alerts: who began, which end is ours, what the alert carries."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any

import pytest

from threatshare.config import OwnAssets
from threatshare.findings.formats.signatures import Claim, claim_of
from threatshare.findings.formats.suricata import SuricataReader
from threatshare.model import Finding, Reject, Role

OUT, IN, IN2, OUT2 = "198.51.100.7", "10.0.0.9", "10.0.0.10", "203.0.113.5"
SHA256 = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
OWN = OwnAssets(domains=("corp.example",))
MALWARE = {"signature": "ET MALWARE Test CnC Checkin", "category": "Malware Command and Control Activity Detected"}
SCAN = {"signature": "ET SCAN Potential SSH Scan", "category": "Attempted Information Leak"}
POLICY = {"signature": "ET POLICY curl User-Agent Outbound", "category": "Potential Corporate Privacy Violation"}


def event(src: str, dest: str, alert: Mapping[str, Any] = MALWARE, **more: Any) -> dict[str, Any]:
    return {
        "timestamp": "2026-05-04T03:02:01.123456+0200",
        "event_type": "alert",
        "src_ip": src,
        "src_port": 50_000,
        "dest_ip": dest,
        "dest_port": 4_444,
        "alert": dict(alert),
        **more,
    }


def read(*events: dict[str, Any], own: OwnAssets = OWN) -> list[Finding | Reject]:
    data = "\n".join(json.dumps(item) for item in events).encode()
    return list(SuricataReader().read(io.BytesIO(data), "eve.json", own))


def finding(one: dict[str, Any], own: OwnAssets = OWN) -> Finding:
    (got,) = read(one, own=own)
    assert isinstance(got, Finding)
    return got


def roles(one: dict[str, Any], own: OwnAssets = OWN) -> dict[str, str]:
    return {seen.observable.value: seen.role.value for seen in finding(one, own).observations}


def test_fields_of_the_finding() -> None:
    """Time in UTC, the signature as title, the line as place, confidence and techniques from the metadata."""
    metadata = {"mitre_technique_id": ["T1071.001", "bad"], "confidence": ["High"]}
    got = finding(event(IN, OUT, {**MALWARE, "metadata": metadata}))
    assert got.seen_at.isoformat() == "2026-05-04T01:02:01.123456+00:00"
    assert got.title == "ET MALWARE Test CnC Checkin"
    assert got.place == "eve.json:1"
    assert got.techniques == ("T1071.001",)
    assert got.confidence == 85
    assert got.sensor == "suricata-eve"


def test_without_better_evidence_the_packet_tells_who_began() -> None:
    """The sender of the packet is taken for the initiator."""
    assert roles(event(OUT, IN, SCAN)) == {OUT: "attacker", IN: "victim-asset"}
    assert roles(event(IN, OUT)) == {IN: "victim-asset", OUT: "c2"}


BEGAN_INSIDE = {
    "flow": {"flow": {"src_ip": IN}},
    "direction": {"direction": "to_client"},
    "attack_target": {"alert": {**MALWARE, "metadata": {"attack_target": ["Client_Endpoint"]}}},
    "port of the parsed protocol": {"http": {"hostname": "evil.example", "url": "/"}, "src_port": 80},
}


@pytest.mark.parametrize("more", BEGAN_INSIDE.values(), ids=BEGAN_INSIDE)
def test_an_answer_from_outside_does_not_make_its_sender_the_initiator(more: dict[str, Any]) -> None:
    """A packet from outside in a connection that our side opened comes from a C2 server, not from an attacker."""
    assert roles({**event(OUT, IN), **more})[OUT] == "c2"


def test_the_flow_outranks_the_port() -> None:
    """A server port at the sender says nothing where the flow says who began."""
    one = event(OUT, IN, http={"hostname": "www.corp.example", "url": "/"}, src_port=80, flow={"src_ip": OUT})
    assert roles(one)[OUT] == "attacker"


def test_the_rules_target_is_no_indicator() -> None:
    """Where the rule names its target, and that is outside, our side attacked: nothing is released."""
    alert = {**SCAN, "source": {"ip": IN}, "target": {"ip": OUT}}
    assert roles(event(IN, OUT, alert))[OUT] == "third-party"


def test_both_ends_inside_give_no_indicator() -> None:
    """Two addresses of ours stay victim assets, and a name asked inside is held."""
    got = roles(event(IN, IN2, http={"hostname": "evil.example", "url": "/x"}))
    assert got == {
        IN: "victim-asset",
        IN2: "victim-asset",
        "evil.example": "unknown",
        "http://evil.example:4444/x": "unknown",
    }


def test_both_ends_outside_are_held_until_one_is_known_as_ours() -> None:
    """A honeypot's public address decides everything once it is in the own networks."""
    one = event(OUT, OUT2, SCAN)
    assert roles(one) == {OUT: "unknown", OUT2: "unknown"}
    own = OwnAssets(networks=(ip_network("203.0.113.5/32"),))
    assert roles(one, own) == {OUT: "attacker", OUT2: "victim-asset"}


@pytest.mark.parametrize("alert", [SCAN, {"signature": "GPL DOS x"}, {"category": "Web Application Attack"}])
def test_the_target_of_our_own_scan_is_no_indicator(alert: dict[str, Any]) -> None:
    """An attempt that began and was sent on our side makes the outside end a target."""
    assert roles(event(IN, OUT, alert))[OUT] == "third-party"


def test_an_exploit_that_a_server_sends_back_makes_the_server_its_source() -> None:
    """Attempts are attributed to the sender of the packet, whoever opened the connection."""
    assert roles(event(OUT, IN, {"signature": "ET EXPLOIT x"}, direction="to_client"))[OUT] == "payload"


def test_a_policy_alert_says_nothing_bad() -> None:
    """The mirror that a package manager asks is a third party, and its name is not even listed."""
    got = roles(event(IN, OUT, POLICY, http={"hostname": "mirror.example", "url": "/a"}))
    assert got == {IN: "victim-asset", OUT: "third-party"}


@pytest.mark.parametrize(
    "signature",
    [
        "ET DROP Dshield Block Listed Source group 1",
        "ET CINS Active Threat Intelligence Poor Reputation IP TCP group 24",
        "ET COMPROMISED Known Compromised or Hostile Host Traffic TCP group 46",
        "ET TOR Known Tor Relay/Router (Not Exit) Node Traffic group 128",
        "ET CNC Ransomware Tracker Reported CnC Server group 101",
        "ET INTEL something",
        "URLhaus Known malware download URL detected",
        "SSLBL: Traffic to malicious host",
    ],
)
def test_what_matched_a_list_becomes_a_sighting(signature: str) -> None:
    """A reputation hit is a known indicator in both directions, and so are the names it carries."""
    alert = {"signature": signature, "category": "Misc Attack"}
    assert roles(event(OUT, IN, alert))[OUT] == "known-indicator"
    got = roles(event(IN, OUT, alert, tls={"sni": "evil.example"}))
    assert got[OUT] == got["evil.example"] == "known-indicator"


def test_misc_attack_alone_is_no_list() -> None:
    """The category is shared by other rules; a rule of one's own with it is an attack."""
    assert roles(event(OUT, IN, {"signature": "local rule 7", "category": "Misc Attack"}))[OUT] == "attacker"


def test_names_of_an_outside_server() -> None:
    """Host, URL with the port that was really used, and TLS name take the role of the server."""
    got = roles(
        event(
            IN,
            OUT,
            http={"hostname": "Evil.Example", "url": "/a?b=1", "http_method": "GET"},
            tls={"sni": "tls.example"},
            dest_port=8081,
        )
    )
    assert got["evil.example"] == got["tls.example"] == got["http://evil.example:8081/a?b=1"] == "c2"


def test_names_asked_of_a_server_of_ours_stay_home() -> None:
    """An inbound attack carries the name of our server, whether configured or not."""
    got = roles(event(OUT, IN, SCAN, http={"hostname": "shop.example", "url": "/admin.php"}, dest_port=80))
    assert got["shop.example"] == got["http://shop.example/admin.php"] == "victim-asset"


def test_own_domains_are_never_indicators() -> None:
    """Our name at an outside server, as behind a content network, stays ours."""
    got = roles(event(IN, OUT, http={"hostname": "www.corp.example", "url": "/"}, dest_port=80))
    assert got["www.corp.example"] == got["http://www.corp.example/"] == "victim-asset"


@pytest.mark.parametrize(
    "http",
    [
        {"hostname": "nancy.mee.seeks", "url": "/x"},
        {"hostname": "/gpsoqmpo.htm", "url": "/x", "http_method": "CONNECT"},
        {"hostname": "", "url": "/libhtp::request_uri_not_seen"},
    ],
)
def test_made_up_names_are_left_out(http: dict[str, Any]) -> None:
    """What is no public host gives no observation."""
    assert set(roles(event(IN, OUT, http=http))) == {IN, OUT}


@pytest.mark.parametrize(
    "dns",
    [
        {"rrname": "evil.example"},
        {"query": [{"rrname": "evil.example"}]},
        {"version": 3, "queries": [{"rrname": "evil.example"}]},
    ],
)
def test_a_name_query(dns: dict[str, Any]) -> None:
    """The name asked for is the C2, in all versions of the record; the resolver is a bystander."""
    got = roles(event(IN, OUT, dns=dns, dest_port=53))
    assert got["evil.example"] == "c2"
    assert got[OUT] == "third-party"
    assert roles(event(IN, IN2, dns=dns, dest_port=53))["evil.example"] == "c2"
    assert "evil.example" not in roles(event(OUT, IN, dns=dns, dest_port=53))


def test_files_that_came_in() -> None:
    """Whole files from outside are payload; truncated ones, uploads of ours and internal ones are not."""
    file = {"sha256": SHA256, "state": "CLOSED"}
    get = {"hostname": "evil.example", "url": "/a", "http_method": "GET"}
    assert roles(event(IN, OUT, files=[file]))[SHA256] == "payload"
    assert roles(event(IN, OUT, fileinfo=file, http=get))[SHA256] == "payload"
    assert SHA256 not in roles(event(IN, OUT, files=[{**file, "state": "TRUNCATED"}]))
    assert SHA256 not in roles(event(IN, OUT, files=[file], http={**get, "http_method": "POST"}))
    assert SHA256 not in roles(event(IN, IN2, files=[file]))
    assert roles(event(OUT, IN, files=[file], app_proto="smtp"))[SHA256] == "payload"


def test_other_events_are_passed_over() -> None:
    """Flows, DNS answers, statistics and stand-alone file records are no findings."""
    assert read(*({"event_type": kind, "timestamp": "x"} for kind in ("flow", "dns", "stats", "fileinfo"))) == []


@pytest.mark.parametrize(
    "broken",
    [
        {"event_type": "alert"},
        {**event(IN, OUT), "timestamp": "soon"},
        {**event(IN, OUT), "src_ip": "here"},
        {**event(IN, OUT), "alert": "text"},
        {"timestamp": "2026-05-04T03:02:01Z"},
    ],
)
def test_broken_alerts_are_kept_aside(broken: dict[str, Any]) -> None:
    """An alert without time, addresses or shape is a reject with its line, and the next one is read."""
    bad, good = read(broken, event(IN, OUT))
    assert isinstance(bad, Reject)
    assert bad.place == "eve.json:1"
    assert isinstance(good, Finding)


def test_recognises_its_own() -> None:
    """EVE is told from other JSON and from text that quotes it."""
    reader = SuricataReader()
    assert reader.recognises(json.dumps([event(IN, OUT)]).encode(), "x")
    assert not reader.recognises(b'{"class_uid": 2004}', "eve.json")
    assert not reader.recognises(b'see "event_type" and "timestamp"', "eve.json")


@pytest.mark.parametrize(
    ("signature", "category", "claim"),
    [
        ("ET MALWARE x", "", Claim.ATTACK),
        ("local rule", "", Claim.ATTACK),
        ("local rule", "Misc activity", Claim.NONE),
        ("SURICATA STREAM bad window", "Generic Protocol Command Decode", Claim.NONE),
        ("ET HUNTING x", "A Network Trojan was detected", Claim.DOUBTFUL),
        ("ET PHISHING x", "", Claim.DELIVERY),
        ("ET SCAN Behavioral Unusual Port 445", "Misc activity", Claim.ATTEMPT),
        ("ETPRO EXPLOIT_KIT x", "Exploit Kit Activity Detected", Claim.DELIVERY),
    ],
)
def test_what_a_rule_claims(signature: str, category: str, claim: Claim) -> None:
    """The family in the rule's name counts before its category."""
    assert claim_of(signature, category) is claim


def test_doubtful_rules_are_held() -> None:
    """A hunting rule decides nothing."""
    assert roles(event(IN, OUT, {"signature": "ET HUNTING x"}))[OUT] == Role.UNKNOWN
