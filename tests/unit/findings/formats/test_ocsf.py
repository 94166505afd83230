"""OCSF findings: roles come from the object a value stands in, never from its type."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from threatshare.config import OwnAssets
from threatshare.findings.formats.ocsf import OcsfReader
from threatshare.model import Finding, Reject

OUT, IN, IN2 = "198.51.100.7", "10.0.0.9", "10.0.0.10"
SHA256 = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
MD5 = "0cc175b9c0f1b6a831c399e269772661"
OWN = OwnAssets(domains=("corp.example",))
HASHES = [{"algorithm_id": 3, "value": SHA256.upper()}, {"algorithm_id": 1, "value": MD5}]


def event(*evidences: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "class_uid": 2004,
        "metadata": {"version": "1.4.0"},
        "time": 1_777_863_600_000,
        "finding_info": {"title": "Suspicious"},
        "evidences": list(evidences),
        **more,
    }


def read(*events: dict[str, Any]) -> list[Finding | Reject]:
    return list(OcsfReader().read(io.BytesIO(json.dumps(events).encode()), "o.json", OWN))


def finding(one: dict[str, Any]) -> Finding:
    (got,) = read(one)
    assert isinstance(got, Finding)
    return got


def roles(one: dict[str, Any]) -> dict[str, str]:
    return {seen.observable.value: seen.role.value for seen in finding(one).observations}


def ends(src: str, dst: str, **more: Any) -> dict[str, Any]:
    return {"src_endpoint": {"ip": src}, "dst_endpoint": {"ip": dst}, **more}


def test_endpoints_follow_the_one_sided_rule() -> None:
    """The source began: an outside source is an attacker, an outside destination a C2 server."""
    assert roles(event(ends(OUT, IN))) == {OUT: "attacker", IN: "victim-asset"}
    assert roles(event(ends(IN, OUT))) == {OUT: "c2", IN: "victim-asset"}
    assert roles(event(ends(IN, IN2))) == {IN: "victim-asset", IN2: "victim-asset"}
    assert roles(event(ends(OUT, "203.0.113.5"))) == {OUT: "unknown", "203.0.113.5": "unknown"}


def test_direction_is_ignored_where_the_event_doubts_it() -> None:
    """With is_src_dst_assignment_known false the outside end is held: who began is not known."""
    assert roles(event(ends(OUT, IN, is_src_dst_assignment_known=False))) == {OUT: "unknown", IN: "victim-asset"}


def test_a_missing_end_is_the_affected_device() -> None:
    """An outside end alone is decided only where the finding names a device or resource of ours."""
    alone = {"dst_endpoint": {"ip": OUT, "hostname": "evil.example"}}
    assert roles(event(alone)) == {OUT: "unknown", "evil.example": "unknown"}
    assert roles(event(alone, device={"hostname": "ws-01"}))[OUT] == "c2"
    assert roles(event(alone, resources=[{"name": "i-1"}]))["evil.example"] == "c2"


def test_names_of_inside_ends_never_appear() -> None:
    """The host name of a machine of ours becomes nothing."""
    source = {"ip": IN, "hostname": "ws-01.hq.example"}
    assert set(roles(event({"src_endpoint": source, "dst_endpoint": {"ip": OUT}}))) == {IN, OUT}


def test_values_of_the_evidence() -> None:
    """Files and URLs are payload, names asked for are C2, senders are phish senders, recipients are never read."""
    evidence = {
        "file": {"name": "a.exe", "hashes": HASHES},
        "url": {"url_string": "hxxp://evil[.]example/a"},
        "query": {"hostname": "asked.example"},
        "tls": {"sni": "tls.example"},
        "email": {
            "from": "Boss <boss@evil.example>",
            "to": ["me@corp.example", "friend@other.example"],
            "urls": [{"scheme": "https", "hostname": "link.example", "path": "/x"}],
        },
    }
    assert roles(event(evidence)) == {
        SHA256: "payload",
        MD5: "payload",
        "http://evil.example/a": "payload",
        "asked.example": "c2",
        "tls.example": "c2",
        "boss@evil.example": "phish-sender",
        "https://link.example/x": "payload",
    }


def test_what_was_asked_of_our_server_is_ours() -> None:
    """In an inbound attack the URL is on our own server."""
    evidence = ends(OUT, IN, url={"url_string": "https://shop.example/admin"}, tls={"sni": "shop.example"})
    got = roles(event(evidence))
    assert got["https://shop.example/admin"] == got["shop.example"] == "victim-asset"


def test_the_image_of_a_process_is_held() -> None:
    """A process that took part may be a program of the system."""
    assert roles(event({"process": {"file": {"hashes": HASHES}}})) == {SHA256: "unknown", MD5: "unknown"}


def test_malware_files_are_payload() -> None:
    """malware[] names bad files in both classes."""
    malware = [{"name": "x", "files": [{"hashes": HASHES}]}]
    assert roles(event(malware=malware))[SHA256] == "payload"
    assert roles(event(class_uid=2001, malware=malware))[SHA256] == "payload"


def test_intelligence_is_a_known_indicator_wherever_it_turns_up() -> None:
    """A value that osint[] lists becomes a sighting, though the evidence holds it too."""
    osint = [{"type_id": 1, "value": OUT}, {"type_id": 2, "value": "listed.example"}]
    assert roles(event(ends(IN, OUT), osint=osint)) == {
        IN: "victim-asset",
        OUT: "known-indicator",
        "listed.example": "known-indicator",
    }


def test_observables_count_only_through_their_path() -> None:
    """Victims by path stay home, evidence is not doubled, and what leads nowhere is held, never guessed."""
    observables = [
        {"name": "infected_device.ip", "type_id": 2, "value": "203.0.113.9"},
        {"name": "resources[0].hostname", "type_id": 1, "value": "db.other.example"},
        {"name": "evidences[0].dst_endpoint.ip", "type_id": 2, "value": OUT},
        {"name": "osint[].value", "type_id": 6, "value": "http://listed.example/"},
        {"name": "raw.c2", "type_id": 1, "value": "some.example"},
        {"name": "file.name", "type_id": 7, "value": "invoice.zip"},
        {"name": "actor.user.name", "type_id": 4, "value": "j.doe"},
    ]
    assert roles(event(ends(IN, OUT), observables=observables)) == {
        IN: "victim-asset",
        OUT: "c2",
        "203.0.113.9": "victim-asset",
        "db.other.example": "victim-asset",
        "http://listed.example/": "known-indicator",
        "some.example": "unknown",
    }


def test_a_victim_outranks_every_other_role() -> None:
    """The address of the affected device stays home, even where the evidence has it as an endpoint."""
    evidence = ends(IN, OUT, device={"ip": OUT})
    assert roles(event(evidence))[OUT] == "victim-asset"


@pytest.mark.parametrize(
    ("more", "role"),
    [
        ({"verdict_id": 2}, "payload"),
        ({"verdict_id": 4}, "payload"),
        ({"verdict_id": 1}, "third-party"),
        ({"verdict_id": 5}, "third-party"),
        ({"verdict_id": 6}, "third-party"),
        ({"verdict_id": 0}, "unknown"),
        ({"verdict_id": 7}, "unknown"),
    ],
)
def test_verdicts(more: dict[str, Any], role: str) -> None:
    """Evidence found benign, false or a test is no indicator; without a verdict it is held."""
    assert roles(event({"file": {"hashes": HASHES}, **more}))[SHA256] == role


def test_suppressed_findings_hold_no_indicator() -> None:
    """An analyst who suppressed the finding has decided."""
    evidence = {"file": {"hashes": HASHES}}
    assert roles(event(evidence, status_id=3))[SHA256] == "third-party"
    assert roles(event(evidence, class_uid=2001, state_id=3))[SHA256] == "third-party"


@pytest.mark.parametrize("class_uid", [None, [], {}, "detection"])
def test_a_class_that_is_none_is_kept_aside(class_uid: object) -> None:
    """A record whose class cannot be told is a reject with its reason, not passed over as another class."""
    raw = json.dumps({"class_uid": class_uid, "metadata": {}, "time": 1771556400000}).encode()
    (got,) = OcsfReader().read(io.BytesIO(raw), "e.json", OwnAssets())
    assert isinstance(got, Reject)
    assert "no class_uid" in got.reason


@pytest.mark.parametrize("class_uid", [2002, 2003, 2005, 2006, 4001, 6003])
def test_other_classes_yield_nothing(class_uid: int) -> None:
    """Vulnerabilities, compliance, incidents and activity are no detections."""
    assert read(event(ends(OUT, IN), class_uid=class_uid)) == []


def test_posture_findings_yield_nothing() -> None:
    """A detection without evidence, as posture tools write it, is no finding of ours."""
    assert (
        read(event(resources=[{"uid": "arn:aws:s3:::bucket", "name": "b"}], unmapped={"u": "https://x.example"})) == []
    )


def test_times_confidence_techniques_and_count() -> None:
    """Milliseconds, seconds and RFC 3339 are read; first seen counts before created."""
    info = {
        "title": "T",
        "first_seen_time": 1_777_863_600,
        "last_seen_time_dt": "2026-05-04T04:00:00Z",
        "attacks": [{"technique": {"uid": "T1566"}, "sub_technique": {"uid": "T1566.002"}}],
    }
    attacks = [{"technique": {"uid": "T1204"}}, {"tactic": {"uid": "TA0001"}}]
    got = finding(event(ends(OUT, IN), finding_info=info, attacks=attacks, confidence_score=64, count=5))
    assert got.seen_at.isoformat() == "2026-05-04T03:00:00+00:00"
    assert got.last_seen_at.isoformat() == "2026-05-04T04:00:00+00:00"
    assert got.techniques == ("T1204", "T1566.002")
    assert (got.confidence, got.count, got.title, got.place) == (64, 5, "T", "o.json:1")
    assert finding(event(ends(OUT, IN), confidence_id=3)).confidence == 85


def test_broken_events_are_kept_aside() -> None:
    """An event without a time, or that is none, is a reject, and the next one is read; odd types hurt nobody."""
    no_time = event(ends(OUT, IN), time=None)
    no_event: dict[str, Any] = {"metadata": {}}
    odd = event(
        ends(OUT, IN), evidences="text", malware={"a": 1}, osint=[1], observables=[{"value": 7}], attacks=[None]
    )
    got = read(no_time, no_event, odd, event(ends(OUT, IN)))
    assert [type(item) for item in got] == [Reject, Reject, Finding]
    assert [item.place for item in got] == ["o.json:1"] * 3


def test_recognises_its_own() -> None:
    """OCSF is told by the attributes that every event has."""
    assert OcsfReader().recognises(json.dumps([event()]).encode(), "x")
    assert not OcsfReader().recognises(b'{"event_type": "alert"}', "x.ocsf.json")
