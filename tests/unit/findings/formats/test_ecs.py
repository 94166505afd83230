"""Alerts in the Elastic Common Schema: roles by direction and field, however the keys are written."""

from __future__ import annotations

import json
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reader_builders import read_json
from threatshare.config import OwnAssets
from threatshare.findings.formats.ecs import EcsReader
from threatshare.findings.formats.ecs_fields import nested
from threatshare.findings.records import HEAD
from threatshare.model import Finding, Reject, Role

OUT, OUT2, IN, IN2 = "198.51.100.7", "203.0.113.5", "10.0.0.9", "10.0.0.10"
SHA256 = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
MD5 = "0cc175b9c0f1b6a831c399e269772661"
OWN = OwnAssets(networks=(ip_network("192.0.2.0/24"),), domains=("corp.example",))
RULE = {"rule": {"name": "Suspicious traffic of j.doe", "type": "query", "uuid": "u"}, "workflow_status": "open"}


def alert(**fields: Any) -> dict[str, Any]:
    alerted = fields.pop("alert", {})
    return {
        "@timestamp": "2026-05-04T03:05:00.000Z",
        "ecs": {"version": "8.11.0"},
        "event": {"kind": "signal", **fields.pop("event", {})},
        "kibana": {"alert": {**RULE, "original_time": "2026-05-04T03:00:00.000Z", **alerted}},
        "related": {"ip": ["203.0.113.99"], "hosts": ["related.example"], "hash": ["b" * 64]},
        **fields,
    }


def ends(source: str, destination: str, **more: Any) -> dict[str, Any]:
    return {"source": {"ip": source}, "destination": {"ip": destination}, **more}


def read(data: Any) -> list[Finding | Reject]:
    return read_json(EcsReader(), data, "e.json", OWN)


def finding(doc: dict[str, Any]) -> Finding:
    (got,) = read([doc])
    assert isinstance(got, Finding)
    return got


def roles(doc: dict[str, Any]) -> dict[str, str]:
    return {seen.observable.value: seen.role.value for seen in finding(doc).observations}


# --- which documents count --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["event", "metric", "state", "enrichment", "asset", "pipeline_error", ""])
def test_documents_that_are_no_alerts_yield_nothing(kind: str) -> None:
    """Events, metrics, states and intelligence are no findings."""
    doc = alert(**ends(IN, OUT), event={"kind": kind}, file={"hash": {"sha256": SHA256}})
    del doc["kibana"]
    assert read([doc]) == []


def test_a_threat_feed_yields_nothing() -> None:
    """Documents of a feed hold indicators of others: they are pulled, not found."""
    indicator = {"type": "ipv4-addr", "ip": OUT, "url": {"full": "http://feed.example/a"}, "marking": {"tlp": "GREEN"}}
    feed = {
        "@timestamp": "2026-05-04T03:05:00.000Z",
        "ecs.version": "8.11.0",
        "event": {"kind": "enrichment", "category": ["threat"], "type": ["indicator"]},
        "threat": {"indicator": indicator, "feed": {"name": "x"}},
    }
    assert read([feed, {**feed, "event": {"category": "threat"}}]) == []


def test_an_alert_is_told_by_its_kind_or_its_rule() -> None:
    """Products' own alerts have a kind, those of Kibana a rule."""
    product = alert(**ends(IN, OUT), event={"kind": "alert"})
    del product["kibana"]
    ruled = alert(**ends(IN, OUT))
    del ruled["event"]
    assert roles(product) == roles(ruled) == {IN: "victim-asset", OUT: "c2"}


@pytest.mark.parametrize(
    "alerted",
    [
        {"workflow_status": "closed", "workflow_reason": "false_positive"},
        {"workflow_status": "closed", "workflow_reason": "benign_positive"},
        {"workflow_status": "open", "workflow_tags": ["production", "False Positive"]},
        {"building_block_type": "default"},
    ],
)
def test_what_is_no_alert_by_word_of_people_yields_nothing(alerted: dict[str, Any]) -> None:
    """False positives, and building blocks, which their rules' authors do not call alerts."""
    assert read([alert(**ends(IN, OUT), alert=alerted)]) == []


def test_closed_alerts_count_unless_dismissed() -> None:
    """A closed alert was dealt with, which speaks for it."""
    for reason in ("true_positive", "duplicate", "other", None):
        assert (
            roles(alert(**ends(IN, OUT), alert={"workflow_status": "closed", "workflow_reason": reason}))[OUT] == "c2"
        )


def test_the_events_of_a_sequence_are_held() -> None:
    """The events of a sequence are written as building blocks; each alone may be harmless."""
    doc = alert(**ends(IN, OUT), alert={"building_block_type": "default", "group": {"id": "g", "index": 0}})
    assert roles(doc) == {IN: "victim-asset", OUT: "unknown"}


def test_weaknesses_yield_nothing() -> None:
    """A vulnerability or a wrong setting is no attack."""
    assert read([alert(**ends(IN, OUT), event={"kind": "alert", "category": ["vulnerability"]})]) == []


# --- the connection ---------------------------------------------------------------------------------------------------


def test_ends_follow_the_one_sided_rule() -> None:
    """The source began: an outside source is an attacker, an outside destination a C2 server."""
    assert roles(alert(**ends(OUT, IN))) == {OUT: "attacker", IN: "victim-asset"}
    assert roles(alert(**ends(IN, OUT))) == {OUT: "c2", IN: "victim-asset"}
    assert roles(alert(**ends(IN, IN2))) == {IN: "victim-asset", IN2: "victim-asset"}
    assert roles(alert(**ends(OUT, OUT2))) == {OUT: "unknown", OUT2: "unknown"}
    assert roles(alert(**ends(OUT, "192.0.2.5"))) == {OUT: "attacker", "192.0.2.5": "victim-asset"}


@pytest.mark.parametrize(
    ("direction", "role"), [("inbound", "attacker"), ("ingress", "attacker"), ("outbound", "c2"), ("egress", "c2")]
)
def test_the_stated_direction_says_who_began(direction: str, role: str) -> None:
    """The sensor's direction outranks which end it calls the source."""
    for pair in ((OUT, IN), (IN, OUT)):
        assert roles(alert(**ends(*pair), network={"direction": direction}))[OUT] == role


def test_what_the_sensor_calls_internal_is_held() -> None:
    """An outside address in an internal connection is probably ours, only nobody has said so."""
    assert roles(alert(**ends(OUT, IN), network={"direction": "internal"})) == {OUT: "unknown", IN: "victim-asset"}


def test_client_and_server() -> None:
    """The client began, also where it is the destination of the packet, or the only pair there is."""
    assert roles(alert(client={"ip": IN}, server={"ip": OUT}))[OUT] == "c2"
    assert roles(alert(**ends(OUT, IN), client={"ip": IN}, server={"ip": OUT}))[OUT] == "c2"


def test_addresses_of_the_machine_are_ours() -> None:
    """A host's own outside addresses decide who is who, and those of a sensor stay home."""
    host = {"ip": [OUT, "fe80::1"], "name": "web-01.other.example"}
    got = roles(alert(**ends(OUT2, OUT), host=host, observer={"ip": "203.0.113.8"}))
    assert got == {OUT: "victim-asset", OUT2: "attacker", "203.0.113.8": "victim-asset", "fe80::1": "victim-asset"}


def test_translated_addresses_are_ours() -> None:
    """What is translated to an inside address is inside, and what ours is translated to is ours."""
    got = roles(alert(source={"ip": OUT}, destination={"ip": OUT2, "nat": {"ip": IN}}))
    assert got == {OUT: "attacker", OUT2: "victim-asset", IN: "victim-asset"}
    got = roles(alert(source={"ip": IN, "nat": {"ip": OUT2}}, destination={"ip": OUT}))
    assert got == {OUT: "c2", OUT2: "victim-asset", IN: "victim-asset"}


def test_an_end_alone_needs_a_machine() -> None:
    """One end is decided where the alert names the machine; without one it is held."""
    assert roles(alert(source={"ip": OUT})) == {OUT: "unknown"}
    assert roles(alert(source={"ip": OUT}, host={"name": "web-01"})) == {OUT: "attacker"}
    assert roles(alert(destination={"ip": OUT, "domain": "beacon.example"}, host={"name": "ws-01"})) == {
        OUT: "c2",
        "beacon.example": "c2",
    }


def test_ids_rules_keep_their_meaning() -> None:
    """Alerts of an IDS count by what its rule claims: a listed address is a sighting, policy is nothing."""
    event = {"kind": "alert", "module": "suricata", "dataset": "suricata.eve"}
    listed = {"name": "ET DROP Dshield Block Listed Source group 1", "category": "Misc Attack"}
    policy = {"name": "ET POLICY curl", "category": "Potential Corporate Privacy Violation"}
    url = {"full": "http://listed.example/a"}
    assert roles(alert(**ends(OUT, IN), event=event, rule=listed))[OUT] == "known-indicator"
    assert roles(alert(**ends(IN, OUT), event=event, rule=listed, url=url)) == {
        IN: "victim-asset",
        OUT: "known-indicator",
        "http://listed.example/a": "known-indicator",
    }
    assert read([alert(**ends(IN, OUT), event=event, rule=policy)]) == []


def test_guardduty_keeps_its_own_rules() -> None:
    """Out of GuardDuty's own record an instance's brute force names a victim; without the record it is held."""
    action = {"networkConnectionAction": {"remoteIpDetails": {"ipAddressV4": OUT}, "connectionDirection": "OUTBOUND"}}
    record = {
        "type": "UnauthorizedAccess:EC2/SSHBruteForce",
        "service": {"resourceRole": "ACTOR", "action": action, "eventFirstSeen": "2026-05-04T03:00:00Z"},
    }
    event = {"kind": "alert", "dataset": "aws.guardduty"}
    with_record = read([alert(**ends(IN, OUT), event={**event, "original": json.dumps(record)})])
    found = [seen for one in with_record if isinstance(one, Finding) for seen in one.observations]
    assert not [seen for seen in found if seen.role.is_indicator]
    for original in ("", "{", "[1]", '{"a": ' * 5_000):
        assert roles(alert(**ends(IN, OUT), event={**event, "original": original}))[OUT] == "unknown"


# --- values -----------------------------------------------------------------------------------------------------------


def test_values_of_an_alert() -> None:
    """Files and URLs are payload, names asked for C2; a process is held, its parent and paths are never read."""
    doc = alert(
        host={"name": "ws-01.other.example", "hostname": "ws-01.other.example"},
        user={"name": "j.doe", "email": "j.doe@other.example", "domain": "other.example"},
        url={"full": "http://evil.example/a", "domain": "evil.example"},
        dns={"question": {"name": "asked.example"}, "resolved_ip": [OUT2], "answers": [{"data": OUT2}]},
        tls={"client": {"server_name": "tls.example"}, "server": {"hash": {"sha256": "c" * 64}}},
        file={"hash": {"sha256": SHA256, "md5": MD5}, "path": "C:\\a.example.zip", "name": "a.zip"},
        process={
            "hash": {"sha256": "d" * 64},
            "parent": {"hash": {"sha256": "e" * 64}},
            "command_line": "curl http://arg.example/x",
        },
    )
    assert roles(doc) == {
        "http://evil.example/a": "payload",
        "asked.example": "c2",
        "tls.example": "c2",
        SHA256: "payload",
        MD5: "payload",
        "d" * 64: "unknown",
    }


def test_a_domain_counts_where_there_is_no_url() -> None:
    """The host of a URL is not bad by itself; where it is all there is, it is what the alert is about."""
    assert roles(alert(url={"domain": "evil.example", "path": "/a"})) == {"evil.example": "payload"}
    assert roles(alert(url={"original": "http://evil.example/b", "domain": "evil.example"})) == {
        "http://evil.example/b": "payload"
    }


def test_the_name_of_an_attacker_is_no_indicator() -> None:
    """What came in has an address; the name that it resolves to is its provider's."""
    doc = alert(source={"ip": OUT, "domain": "host-7.provider.example"}, destination={"ip": IN})
    assert roles(doc) == {OUT: "attacker", IN: "victim-asset"}


def test_an_alert_without_values_yields_nothing() -> None:
    """The addresses of the machine alone are no finding."""
    assert read([alert(host={"ip": [IN, OUT]}, process={"name": "a.exe"})]) == []


def test_what_was_asked_of_our_server_is_ours() -> None:
    """In an attack on us the URL and the server's name are our own, or held where nobody can tell."""
    asked = {"url": {"full": "https://shop.example/admin"}, "tls": {"client": {"server_name": "shop.example"}}}
    inbound = roles(alert(**ends(OUT, IN), **asked))
    assert inbound["https://shop.example/admin"] == inbound["shop.example"] == "victim-asset"
    for pair in (ends(OUT, OUT2), ends(IN, IN2), {"source": {"ip": OUT}}):
        assert roles(alert(**pair, **asked))["shop.example"] == "unknown"
    for pair in (ends(IN, OUT), {"source": {"ip": IN}, "host": {"name": "ws-01"}}):
        assert roles(alert(**pair, **asked))["shop.example"] == "c2"


def test_name_servers_are_bystanders() -> None:
    """Who answers a name query is no C2 server; the name is, also when asked through our own resolver."""
    question = {"question": {"name": "asked.example"}}
    assert roles(alert(**ends(IN, OUT), dns=question)) == {
        IN: "victim-asset",
        OUT: "third-party",
        "asked.example": "c2",
    }
    assert roles(alert(**ends(IN, IN2), dns=question))["asked.example"] == "c2"
    assert roles(alert(**ends(IN, OUT), dns=question, network={"protocol": "dns"}))[OUT] == "third-party"


@pytest.mark.parametrize("more", [{"network": {"protocol": "http"}}, {"destination": {"ip": OUT, "port": 443}}])
def test_a_server_whose_name_was_asked_before_is_no_name_server(more: dict[str, Any]) -> None:
    """An alert of a connection may carry the name query that went before it."""
    doc = alert(**{**ends(IN, OUT), "dns": {"question": {"name": "asked.example"}}, **more})
    assert roles(doc) == {IN: "victim-asset", OUT: "c2", "asked.example": "c2"}


def test_a_changed_file_is_held() -> None:
    """Integrity monitoring notices changes, not malware."""
    doc = alert(event={"kind": "signal", "module": "file_integrity"}, file={"hash": {"sha256": SHA256}})
    assert roles(doc) == {SHA256: "unknown"}


MAIL = {
    "direction": "inbound",
    "from": {"address": ["Boss <boss@evil.example>"]},
    "sender": {"address": "bounce@evil.example"},
    "reply_to": {"address": ["reply@evil.example"]},
    "to": {"address": ["j.doe@other.example"]},
    "cc": {"address": ["friend@other.example"]},
    "attachments": [{"file": {"hash": {"sha256": SHA256}, "name": "a.zip"}}],
}


def test_a_message() -> None:
    """Senders and attachments come out, recipients do not, also not inside a URL."""
    url = {"full": "http://track.example/?u=J.Doe%40other.example"}
    got = finding(alert(email=MAIL, url=url))
    assert {seen.observable.value: seen.role.value for seen in got.observations} == {
        "boss@evil.example": "phish-sender",
        "bounce@evil.example": "phish-sender",
        "reply@evil.example": "phish-sender",
        SHA256: "payload",
        "http://track.example/": "payload",
    }
    assert [cut.rule for cut in got.removals] == ["recipient-in-url"]


def test_forged_and_own_senders_yield_nothing() -> None:
    """A sender that is a recipient is forged; who sends outwards is one of us."""
    forged = {**MAIL, "from": {"address": "J.Doe@other.example"}}
    assert "j.doe@other.example" not in roles(alert(email=forged))
    assert "boss@evil.example" not in roles(alert(email=MAIL, user={"email": "Boss@evil.example"}))
    assert read([alert(email={**MAIL, "direction": "outbound"})]) == []


# --- threat intelligence ----------------------------------------------------------------------------------------------


def match(atomic: str, **indicator: Any) -> dict[str, Any]:
    matched = {"atomic": atomic, "field": "destination.ip", "type": "indicator_match_rule", "index": "i"}
    return {"enrichments": [{"matched": matched, "indicator": indicator}]}


def test_matches_become_sightings_and_the_rest_is_held() -> None:
    """What matched a feed is known; what stands beside it is not bad by that."""
    doc = alert(
        **ends(IN, OUT),
        threat=match(OUT, ip=OUT, reference="http://feed.example/1", provider="x"),
        url={"full": "http://beside.example/a"},
        alert={"rule": {"name": "Match", "type": "threat_match"}},
    )
    assert roles(doc) == {IN: "victim-asset", OUT: "known-indicator", "http://beside.example/a": "unknown"}


def test_all_hashes_of_a_matched_file_are_known() -> None:
    """An indicator's hashes are those of one file, whichever matched."""
    doc = alert(file={"hash": {"sha256": SHA256}}, threat=match(SHA256, file={"hash": {"sha256": SHA256, "md5": MD5}}))
    assert roles(doc) == {SHA256: "known-indicator", MD5: "known-indicator"}


def test_matches_in_other_spellings() -> None:
    """Without the matched value the indicator's fields count; version 7 put matches under threat.indicator."""
    fields = {"enrichments": [{"indicator.ip": [OUT], "matched.type": ["indicator_match_rule"]}]}
    legacy = {"indicator": [{"matched": {"atomic": "listed.example", "type": "url"}, "domain": "listed.example"}]}
    assert roles(alert(threat=fields)) == {OUT: "known-indicator"}
    assert roles(alert(threat=legacy)) == {"listed.example": "known-indicator"}


def test_an_enriched_alert_of_another_rule_keeps_its_roles() -> None:
    """An alert that did not fire for the match stands on its own; the match is a sighting all the same."""
    doc = alert(**ends(IN, OUT), threat=match(OUT), url={"full": "http://evil.example/a"})
    assert roles(doc) == {IN: "victim-asset", OUT: "known-indicator", "http://evil.example/a": "payload"}


# --- shapes -----------------------------------------------------------------------------------------------------------


DOTTED = {
    "@timestamp": "2026-05-04T03:05:00.000Z",
    "event.kind": "signal",
    "kibana.alert.rule.name": "Suspicious traffic of j.doe",
    "kibana.alert.original_time": "2026-05-04T03:00:00.000Z",
    "source.ip": IN,
    "destination": {"ip": OUT},
    "url.full": "http://evil.example/a",
}


def test_shapes() -> None:
    """Nested and dotted keys, lines, arrays, dumped lines, responses with _source or fields: all hold the same."""
    # What the fields option brings: every value a list, and an empty _source beside it.
    listed = {key: [value] for key, value in {**DOTTED, "destination": None, "destination.ip": OUT}.items() if value}
    hits = [
        {"_index": ".alerts", "_id": "1", "_source": DOTTED},
        {"_index": ".alerts", "_id": "2", "_source": {}, "fields": listed},
    ]
    response = {
        "took": 3,
        "timed_out": False,
        "_shards": {"total": 1, "failed": 0},
        "hits": {"total": {"value": 2, "relation": "eq"}, "max_score": None, "hits": hits},
        "aggregations": {"top": {"hits": {"hits": hits}}},
    }
    wanted = {IN: "victim-asset", OUT: "c2", "http://evil.example/a": "payload"}
    lines = b"\n".join(json.dumps(one).encode() for one in (DOTTED, hits[1]))
    filtered = {"hits": {"hits": hits}}
    for shape in ([DOTTED, DOTTED], hits, response, json.dumps(response, indent=1).encode(), lines, filtered):
        got = read(shape)
        assert all(isinstance(one, Finding) for one in got), shape
        found = [one for one in got if isinstance(one, Finding)]
        assert len(found) == 2, shape
        for one in found:
            assert {seen.observable.value: seen.role.value for seen in one.observations} == wanted
            assert one.seen_at.isoformat() == "2026-05-04T03:00:00+00:00"


def test_hits_keep_their_lines_and_a_response_may_be_long() -> None:
    """Each hit is a record of its own: a response longer than a record's limit is read to its end."""
    hits = [{"_index": "i", "_id": str(n), "_source": {**DOTTED, "message": "x" * 1_000}} for n in range(1_500)]
    raw = json.dumps({"took": 1, "hits": {"total": 1_500, "hits": hits}}, indent=0).encode()
    assert len(raw) > 1 << 20
    got = read(raw)
    assert len(got) == 1_500
    assert raw.splitlines()[int(got[-1].place.rpartition(":")[2]) - 1].startswith(b"{")


@pytest.mark.parametrize("indent", [None, 2])
def test_pages_appended_to_one_another_are_all_read(indent: int | None) -> None:
    """A file to which a script appended response after response holds the hits of all, each with its line."""
    pages = []
    for number in range(40):
        hits = [{"_index": "i", "_id": str(n), "_source": {**DOTTED, "message": "x" * 400}} for n in range(25)]
        more = {"aggregations": {"a": {"buckets": [{"key": 1}]}}} if number % 2 else {}
        pages.append({"took": number, "hits": {"total": {"value": 25}, "hits": hits}, **more})
    raw = "\n".join(json.dumps(page, indent=indent) for page in pages).encode()
    got = read(b"\xef\xbb\xbf" + raw)
    assert len(got) == 1_000
    assert all(isinstance(one, Finding) for one in got)
    lines = raw.splitlines()
    assert all(lines[int(one.place.rpartition(":")[2]) - 1].lstrip().startswith(b"{") for one in got)
    assert int(got[-1].place.rpartition(":")[2]) > len(lines) - (2 if indent is None else 60)


def test_a_response_that_cannot_be_opened_is_a_reject() -> None:
    """A multi-search response is not passed over in silence."""
    (got,) = read({"took": 1, "responses": [{"hits": {"hits": [{"_id": "1", "_source": DOTTED}]}}]})
    assert isinstance(got, Reject)
    assert "one a line" in got.reason


def test_fields_of_the_finding() -> None:
    """Times of the original event, the rule's name, techniques without their parents, suppressed alerts counted."""
    threat = [{"technique": [{"id": "T1566", "subtechnique": [{"id": "T1566.002"}]}, {"id": "bad"}]}]
    doc = alert(
        **ends(OUT, IN),
        event={"start": "2026-05-04T02:59:00Z", "end": "2026-05-04T03:20:00Z"},
        threat={"technique": {"id": ["T1204"]}},
        alert={"rule": {**RULE["rule"], "threat": threat}, "suppression": {"docs_count": 4}},  # type: ignore[dict-item]
    )
    got = finding(doc)
    assert got.seen_at.isoformat() == "2026-05-04T02:59:00+00:00"
    assert got.last_seen_at.isoformat() == "2026-05-04T03:20:00+00:00"
    assert got.techniques == ("T1204", "T1566.002")
    assert (got.title, got.count, got.sensor) == ("Suspicious traffic of j.doe", 5, "ecs")


def test_alerts_before_version_8() -> None:
    """What is kibana.alert today was signal before."""
    signal = {"rule": {"name": "Old", "type": "query"}, "original_time": "2026-05-04T03:00:00Z", "status": "open"}
    old = {"@timestamp": "2026-05-04T03:05:00Z", "event": {"kind": "signal"}, "signal": signal, **ends(IN, OUT)}
    got = finding(old)
    assert (got.title, got.seen_at.hour, got.seen_at.minute) == ("Old", 3, 0)


def test_what_is_held_says_what_would_decide() -> None:
    """Every reason to hold ends so that review can show it."""
    docs = [
        alert(**ends(OUT, IN), network={"direction": "internal"}),
        alert(source={"ip": OUT}, url={"full": "http://a.example/x"}),
        alert(**ends(IN, IN2), url={"full": "http://a.example/x"}, process={"hash": {"md5": MD5}}),
        alert(**ends(IN, OUT), threat=match("listed.example"), alert={"rule": {"type": "threat_match"}}),
        alert(**ends(IN, OUT), event={"kind": "alert", "dataset": "aws.guardduty"}),
        alert(**ends(IN, OUT), alert={"building_block_type": "default", "group": {"id": "g"}}),
        alert(event={"kind": "signal", "module": "file_integrity"}, file={"hash": {"md5": MD5}}),
    ]
    for doc in docs:
        held = [seen for seen in finding(doc).observations if seen.role is Role.UNKNOWN]
        assert held
        assert all(seen.why.endswith("; held") for seen in held)


def test_broken_documents_are_kept_aside() -> None:
    """An alert without a time is a reject, odd types hurt nobody, and reading goes on."""
    timeless = alert(**ends(IN, OUT), **{"@timestamp": None}, alert={"original_time": "?"})
    odd = alert(source="x", destination=[1, {"ip": 5}], url=7, file={"hash": "x"}, threat=[None], email={"from": 3})
    got = read([timeless, odd, alert(**ends(IN, OUT))])
    assert [type(one) for one in got] == [Reject, Finding]


_PLAIN = st.one_of(st.text(max_size=5), st.integers(), st.none(), st.booleans())
_JSON = st.recursive(_PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner))
_KEYS = st.sampled_from(["event.kind", "event", "source.ip", "source", "kibana.alert", "kibana", "threat", "url.full"])


@given(st.dictionaries(_KEYS, _JSON | st.sampled_from([OUT, IN, "signal", ["alert"], {"kind": "alert"}])))
def test_no_document_raises(doc: dict[str, Any]) -> None:
    """Whatever a document holds, reading it ends in findings and rejects."""
    assert all(isinstance(one, Finding | Reject) for one in read([{"@timestamp": "2026-05-04T03:05:00Z", **doc}]))


_NAMES = st.text("abc", min_size=1, max_size=3)
_TREES = st.recursive(st.integers(), lambda inner: st.dictionaries(_NAMES, inner, min_size=1, max_size=3), max_leaves=8)


def _flat(doc: Any, path: str = "") -> dict[str, Any]:
    if not isinstance(doc, dict):
        return {path: doc}
    found: dict[str, Any] = {}
    for key, one in doc.items():
        found |= _flat(one, f"{path}.{key}" if path else key)
    return found


@given(st.dictionaries(_NAMES, _TREES, min_size=1))
def test_nesting_undoes_flattening(doc: dict[str, Any]) -> None:
    """A document and its flattened form, whole or in part, are the same nested document."""
    assert nested(_flat(doc), doc.keys()) == doc
    assert nested({key: _flat(one) if isinstance(one, dict) else one for key, one in doc.items()}, doc.keys()) == doc


def test_long_dotted_keys_are_bounded() -> None:
    """A key of very many steps makes no deep object."""
    held: Any = nested({"event." + "a." * 100_000: 1}, {"event"})
    depth = 0
    while isinstance(held, dict):
        held, depth = next(iter(held.values())), depth + 1
    assert depth <= 17


def test_no_sample_of_another_format_is_taken(samples: Path) -> None:
    """Of all real files of other formats, none is taken for ECS."""
    heads = [(path, path.open("rb").read(HEAD)) for path in sorted(samples.rglob("*")) if path.is_file()]
    assert len(heads) > 100
    assert [path.name for path, head in heads if EcsReader().recognises(head, path.name)] == []


def test_recognises_its_own() -> None:
    """Told by the time and a mark of the schema; other JSON is not taken."""
    reader = EcsReader()
    for doc in (alert(), DOTTED, {"took": 1, "hits": {"hits": [{"_id": "1", "_source": DOTTED}]}}):
        assert reader.recognises(json.dumps(doc).encode(), "x")
    assert not reader.recognises(b'{"@timestamp": "x", "rule": {"level": 3}}', "ecs.json")
    assert not reader.recognises(b'{"event_type": "alert", "timestamp": "x"}', "ecs.json")
    assert not reader.recognises(b'"@timestamp" "ecs"', "notes.txt")
