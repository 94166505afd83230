"""Defender alerts: each piece of evidence counts by its verdict, and what is ours stays home whatever its verdict."""

from __future__ import annotations

import json
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from reader_builders import read_json
from threatshare.config import OwnAssets
from threatshare.findings.formats.defender import DefenderReader
from threatshare.findings.records import HEAD
from threatshare.model import Finding, Reject, Role

OUT, OUT2, IN = "198.51.100.7", "203.0.113.5", "10.0.0.9"
SHA256 = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
SHA1 = "86f7e437faa5a7fce15d1ddcb9eaeaea377667b8"
MD5 = "0cc175b9c0f1b6a831c399e269772661"
OWN = OwnAssets(networks=(ip_network("192.0.2.0/24"),), domains=("corp.example",))


def evidence(kind: str, verdict: str = "malicious", *roles: str, **more: Any) -> dict[str, Any]:
    return {
        "@odata.type": f"#microsoft.graph.security.{kind}Evidence",
        "createdDateTime": "2026-05-04T03:00:00Z",
        "verdict": verdict,
        "remediationStatus": "none",
        "roles": list(roles),
        **more,
    }


def ip(verdict: str = "malicious", *roles: str, address: str = OUT) -> dict[str, Any]:
    return evidence("ip", verdict, *roles, ipAddress=address)


def alert(*pieces: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "id": "da1",
        "title": "Suspicious connection by j.doe",
        "classification": "unknown",
        "determination": "unknown",
        "status": "new",
        "detectionSource": "microsoftDefenderForEndpoint",
        "serviceSource": "microsoftDefenderForEndpoint",
        "createdDateTime": "2026-05-04T03:05:00Z",
        "firstActivityDateTime": "2026-05-04T03:00:00.1234567Z",
        "lastActivityDateTime": "2026-05-04T03:10:00Z",
        "mitreTechniques": ["T1071.001", "none"],
        "evidence": list(pieces),
        **more,
    }


def read(data: Any, own: OwnAssets = OWN) -> list[Finding | Reject]:
    return read_json(DefenderReader(), data, "d.json", own)


def roles(*pieces: dict[str, Any], **more: Any) -> dict[str, str]:
    got = read([alert(*pieces, **more)])
    assert all(isinstance(one, Finding) for one in got)
    return {
        seen.observable.value: seen.role.value for one in got if isinstance(one, Finding) for seen in one.observations
    }


# --- verdicts and classifications -----------------------------------------------------------------------------------


@pytest.mark.parametrize("verdict", ["malicious", "suspicious"])
def test_a_bad_verdict_makes_an_indicator(verdict: str) -> None:
    """Evidence that automated investigation found bad becomes an indicator."""
    assert roles(ip(verdict)) == {OUT: "attacker"}


@pytest.mark.parametrize("verdict", ["unknown", "noThreatsFound", "unknownFutureValue", ""])
def test_no_verdict_yields_nothing(verdict: str) -> None:
    """Evidence without a bad verdict yields nothing, not even something to hold: every new alert looks so."""
    assert read([alert(ip(verdict), evidence("url", verdict, url="http://a.example/x"))]) == []


def test_a_queue_of_unsorted_alerts_yields_nothing() -> None:
    """All evidence unknown, and only the device has a role: no finding at all."""
    pieces = [
        evidence("device", "unknown", "attacked", deviceDnsName="ws-01.corp.example"),
        evidence("user", "unknown", userAccount={"userPrincipalName": "j.doe@corp.example"}),
        evidence("process", "unknown", imageFile={"sha256": SHA256}),
        evidence("file", "unknown", fileDetails={"sha256": SHA256}),
    ]
    assert read({"value": [alert(*pieces), alert(*pieces)]}) == []


def test_a_true_positive_counts_for_evidence_without_a_verdict() -> None:
    """An analyst's word on the alert stands for a missing verdict, but not against a verdict of no threat."""
    got = roles(ip("unknown"), ip("noThreatsFound", address=OUT2), classification="truePositive")
    assert got == {OUT: "attacker"}


@pytest.mark.parametrize(
    "more",
    [
        {"classification": "falsePositive"},
        {"classification": "informationalExpectedActivity"},
        {"classification": "FalsePositive"},
        {"determination": "securityTesting"},
        {"determination": "lineOfBusinessApplication"},
        {"determination": "notMalicious", "status": "resolved"},
        {"investigationState": "benign", "status": "resolved"},
    ],
)
def test_what_was_no_attack_yields_nothing(more: dict[str, Any]) -> None:
    """False positives, tests and expected activity yield nothing, whatever the evidence's verdicts say."""
    assert read([alert(ip(), **more)]) == []


def test_custom_intelligence_becomes_a_sighting() -> None:
    """An alert that rests on a list makes sightings, also without a verdict, and holds no bystanding process."""
    pieces = (
        ip("unknown"),
        evidence("url", url="http://listed.example/a"),
        ip("noThreatsFound", address=OUT2),
        evidence("process", "unknown", imageFile={"sha256": SHA256}),
    )
    assert roles(*pieces, detectionSource="customTi") == {
        OUT: "known-indicator",
        "http://listed.example/a": "known-indicator",
    }


# --- roles ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "role"),
    [
        (("attacker", "source"), "attacker"),
        (("commandAndControl",), "c2"),
        (("destination",), "c2"),
        (("suspicious",), "attacker"),
        (("attacked",), "victim-asset"),
        (("compromised", "source"), "victim-asset"),
        (("scanned",), "victim-asset"),
    ],
)
def test_roles_of_an_address(given: tuple[str, ...], role: str) -> None:
    """The evidence's roles say what part an address plays; what was attacked is ours in spite of its verdict."""
    assert roles(ip("malicious", *given)) == {OUT: role}


def test_the_category_decides_where_roles_do_not() -> None:
    """In an alert about command and control our side connects; an attacker's role outranks that."""
    assert roles(ip(), category="CommandAndControl") == {OUT: "c2"}
    assert roles(ip("malicious", "attacker"), category="CommandAndControl") == {OUT: "attacker"}


def test_contextual_evidence_yields_nothing() -> None:
    """Contextual evidence is harmless by its definition."""
    assert read([alert(ip("malicious", "contextual"))]) == []


def test_own_addresses_and_those_of_the_device_stay_home() -> None:
    """Inside addresses, own networks and a device's own outside address are never indicators."""
    device = evidence("device", "unknown", lastExternalIpAddress=OUT, lastIpAddress=IN, ipInterfaces=["2001:DB8::5"])
    got = roles(device, ip(), ip(address=IN), ip(address="192.0.2.8"), ip(address="2001:db8:0::5"), ip(address=OUT2))
    assert got == {
        OUT: "victim-asset",
        IN: "victim-asset",
        "192.0.2.8": "victim-asset",
        "2001:db8::5": "victim-asset",
        OUT2: "attacker",
    }


@pytest.mark.parametrize(
    "piece",
    [
        evidence("device", deviceDnsName="ws-01.other.example", hostName="ws-01", lastIpAddress=OUT),
        evidence("user", userAccount={"userPrincipalName": "j.doe@other.example", "accountName": "j.doe"}),
        evidence("mailbox", primaryAddress="j.doe@other.example", upn="j.doe@other.example"),
        evidence("mailCluster", query="SenderDomain:evil.example", clusterByValue="evil.example"),
        evidence("registryKey", registryKey="SOFTWARE\\evil.example", registryHive="HKLM"),
        evidence("cloudApplication", displayName="app.evil.example", appId=5),
        evidence("somethingNew", ipAddress=OUT, url="http://new.example/x"),
    ],
)
def test_evidence_that_is_ours_or_nobodys_yields_nothing(piece: dict[str, Any]) -> None:
    """Devices, users, mailboxes, clusters, registry keys and types not known yield nothing, though called malicious."""
    assert read([alert(piece, classification="truePositive")]) == []


# --- values -----------------------------------------------------------------------------------------------------------


def test_values_of_each_type() -> None:
    """Files, hashes and URLs are payload, names asked for C2, the image of a process is held, its parent never read."""
    pieces = (
        evidence("file", fileDetails={"sha256": SHA256, "sha1": SHA1, "fileName": "a.exe", "filePath": "C:\\Users\\x"}),
        evidence("fileHash", algorithm="md5", value=MD5),
        evidence("fileHash", algorithm="sha256ac", value="b" * 64),
        evidence("process", imageFile={"sha1": "a" * 40}, parentProcessImageFile={"sha1": "b" * 40}),
        evidence("url", url="http://evil.example/a"),
        evidence("url", "malicious", "commandAndControl", url="beacon.example"),
        evidence("dns", domainName="asked.example", dnsServerIp={"ipAddress": OUT}, hostIpAddress={"ipAddress": OUT2}),
    )
    assert roles(*pieces) == {
        SHA256: "payload",
        SHA1: "payload",
        MD5: "payload",
        "a" * 40: "unknown",
        "http://evil.example/a": "payload",
        "beacon.example": "c2",
        "asked.example": "c2",
    }


def test_a_file_found_bad_outranks_its_own_process() -> None:
    """The image of a process is payload where the file itself has a bad verdict."""
    pieces = (evidence("process", imageFile={"sha256": SHA256}), evidence("file", fileDetails={"sha256": SHA256}))
    assert roles(*pieces) == {SHA256: "payload"}


def test_connections_follow_the_one_sided_rule() -> None:
    """A connection's source began it."""
    inwards = evidence("networkConnection", sourceAddress={"ipAddress": OUT}, destinationAddress={"ipAddress": IN})
    outwards = evidence("networkConnection", sourceAddress={"ipAddress": IN}, destinationAddress={"ipAddress": OUT})
    assert roles(inwards) == {OUT: "attacker", IN: "victim-asset"}
    assert roles(outwards) == {OUT: "c2", IN: "victim-asset"}


MESSAGE: dict[str, Any] = {
    "senderIp": OUT,
    "p1Sender": {"emailAddress": "Bounce@mail.evil.example", "domainName": "mail.evil.example"},
    "p2Sender": {"emailAddress": "boss@evil.example", "displayName": "Boss"},
    "recipientEmailAddress": "j.doe@other.example",
    "antiSpamDirection": "inbound",
    "urls": ["http://link.example/a", "http://track.example/?to=J.Doe%40other.example"],
    "subject": "see http://subject.example/",
}


def test_a_bad_message() -> None:
    """Senders and their server are phish senders, links payload; recipients never, also not inside a link."""
    assert roles(evidence("analyzedMessage", **MESSAGE, attachments=[{"sha256": SHA256}])) == {
        OUT: "phish-sender",
        "bounce@mail.evil.example": "phish-sender",
        "boss@evil.example": "phish-sender",
        "http://link.example/a": "payload",
        "http://track.example/": "payload",
        SHA256: "payload",
    }


def test_a_visible_sender_of_another_domain_is_held() -> None:
    """What a message shows as its sender may be forged, and then is a victim."""
    message = {**MESSAGE, "p2Sender": {"emailAddress": "service@bank.example"}}
    got = roles(evidence("analyzedMessage", **message))
    assert got["service@bank.example"] == "unknown"
    assert got["bounce@mail.evil.example"] == "phish-sender"


def test_a_sender_that_is_the_recipient_is_ours() -> None:
    """A message that seems to come from its recipient, or from a mailbox of the alert, accuses nobody."""
    forged = {**MESSAGE, "p1Sender": {}, "p2Sender": {"emailAddress": "J.Doe@other.example"}}
    assert roles(evidence("analyzedMessage", **forged))["j.doe@other.example"] == "victim-asset"
    mailbox = evidence("mailbox", "unknown", "compromised", primaryAddress="boss@evil.example")
    assert roles(evidence("analyzedMessage", **MESSAGE), mailbox)["boss@evil.example"] == "victim-asset"


@pytest.mark.parametrize("direction", ["outbound", "intraorg"])
def test_senders_of_our_own_messages_yield_nothing(direction: str) -> None:
    """Who sends outwards or within is one of us; the links of such a message count."""
    assert roles(evidence("analyzedMessage", **{**MESSAGE, "antiSpamDirection": direction})) == {
        "http://link.example/a": "payload",
        "http://track.example/": "payload",
    }


def test_links_are_held_where_the_alert_judges_one() -> None:
    """Where a URL has a verdict of its own, the message's other links are not bad by that."""
    got = roles(evidence("analyzedMessage", **MESSAGE), evidence("url", url="http://bad.example/x"))
    assert got["http://bad.example/x"] == "payload"
    assert got["http://link.example/a"] == "unknown"


def test_a_url_is_cut_before_the_recipient() -> None:
    """A URL with a verdict that carries the recipient's address comes out without it, and is held where that is all."""
    url = evidence("url", url="http://bad.example/x?e=j.doe@other.example")
    got = roles(url, evidence("analyzedMessage", **MESSAGE))
    assert got["http://bad.example/x"] == "payload"
    assert "j.doe" not in " ".join(got)
    in_path = evidence("url", url="hxxp://bad.example/j.doe@other.example")
    assert roles(in_path, evidence("mailbox", "unknown", upn="j.doe@other.example")) == {
        "http://bad.example/": "unknown"
    }


def test_what_is_held_says_what_would_decide() -> None:
    """Every reason to hold ends so that review can show it."""
    message = {**MESSAGE, "p2Sender": {"emailAddress": "service@bank.example"}}
    pieces = (
        evidence("analyzedMessage", **message),
        evidence("url", url="http://bad.example/x"),
        evidence("process", imageFile={"sha256": SHA256}),
    )
    (got,) = read([alert(*pieces)])
    assert isinstance(got, Finding)
    held = [seen for seen in got.observations if seen.role is Role.UNKNOWN]
    assert len(held) == 4
    assert all(seen.why.endswith("; held") for seen in held)


# --- shapes -----------------------------------------------------------------------------------------------------------


def test_fields_of_the_finding() -> None:
    """Times of the activity, technique ids, the title, the line as place."""
    (got,) = read([alert(ip())])
    assert isinstance(got, Finding)
    assert got.seen_at.isoformat() == "2026-05-04T03:00:00.123456+00:00"
    assert got.last_seen_at.isoformat() == "2026-05-04T03:10:00+00:00"
    assert got.techniques == ("T1071.001",)
    assert (got.sensor, got.title, got.place) == ("defender", "Suspicious connection by j.doe", "d.json:1")


def test_shapes() -> None:
    """Pages, arrays, lines and single objects hold the same alerts, and incidents each of theirs."""
    one, two = alert(ip()), alert(ip(address=OUT2))
    page = {"@odata.context": "https://graph.example/$metadata#security/alerts_v2", "@odata.count": 2}
    incident = {"id": "7", "displayName": "Multi-stage", "alerts": [one, two]}
    lines = b"\n".join(json.dumps(item).encode() for item in (one, two))
    shapes: list[Any] = [
        {**page, "value": [one, two]},
        {**page, "value": [incident]},
        [one, two],
        incident,
        lines,
        json.dumps({**page, "value": [one, two]}, indent=2).encode(),
    ]
    for shape in shapes:
        got = read(shape)
        assert all(isinstance(item, Finding) for item in got), shape
        found = [item for item in got if isinstance(item, Finding)]
        assert [item.observations[0].observable.value for item in found] == [OUT, OUT2], shape


def test_entities_of_the_older_interface() -> None:
    """Incidents of Defender XDR call evidence entities and write values with a capital."""
    entities = [
        {"entityType": "Ip", "ipAddress": OUT, "verdict": "Malicious"},
        {"entityType": "Ip", "ipAddress": OUT2, "url": None},
        {"entityType": "File", "sha1": SHA1, "sha256": None, "verdict": "Suspicious"},
        {"entityType": "Url", "url": "down.example", "verdict": "Malicious"},
        {"entityType": "User", "userPrincipalName": "j.doe@other.example", "verdict": "Malicious"},
        {
            "entityType": "MailMessage",
            "sender": "x@evil.example",
            "recipient": "j.doe@other.example",
            "verdict": "Malicious",
        },
        {"entityType": "MailBox", "mailboxAddress": "j.doe@other.example", "verdict": "Suspicious"},
    ]
    old = {
        "alertId": "da2",
        "serviceSource": "MicrosoftDefenderATP",
        "detectionSource": "WindowsDefenderAtp",
        "classification": None,
        "creationTime": "2026-05-04T03:05:00.0733333Z",
        "firstActivity": "2026-05-04T03:00:00Z",
        "lastActivity": "2026-05-04T03:10:00Z",
        "entities": entities,
    }
    (got,) = read({"value": [{"incidentId": 1, "alerts": [old]}]})
    assert isinstance(got, Finding)
    assert {seen.observable.value: seen.role.value for seen in got.observations} == {
        OUT: "attacker",
        SHA1: "payload",
        "down.example": "payload",
        "x@evil.example": "phish-sender",
    }


def test_broken_alerts_are_kept_aside() -> None:
    """A record that is no alert, or has no time, is a reject, and the next one is read."""
    timeless = alert(ip(), createdDateTime="", firstActivityDateTime=None)
    odd = alert(evidence=["text", 7, {"roles": 5, "verdict": ["malicious"]}], classification={"a": 1})
    got = read([{"displayName": "an incident for j.doe"}, timeless, odd, alert(ip())])
    assert [type(item) for item in got] == [Reject, Reject, Finding]
    assert ["no Defender alert" in getattr(item, "reason", "") for item in got[:2]] == [True, False]


def test_no_sample_of_another_format_is_taken(samples: Path) -> None:
    """Of all real files of other formats, none is taken for this one."""
    heads = [(path, path.open("rb").read(HEAD)) for path in sorted(samples.rglob("*")) if path.is_file()]
    assert len(heads) > 100
    assert [path.name for path, head in heads if DefenderReader().recognises(head, path.name)] == []


def test_recognises_its_own() -> None:
    """Told by the evidence's namespace or the fields of every alert; other tools' records are not taken."""
    reader = DefenderReader()
    assert reader.recognises(json.dumps({"value": [alert(ip())]}).encode(), "x")
    assert reader.recognises(json.dumps(alert(evidence=[])).encode(), "x")
    assert not reader.recognises(b'{"class_uid": 2004, "metadata": {}, "evidences": []}', "defender.json")
    assert not reader.recognises(b"#microsoft.graph.security.ipEvidence in prose", "notes.txt")
    assert not reader.recognises(b'{"event_type": "alert", "timestamp": "x"}', "defender.json")
