"""Clauses of TAXII 2.1 that the other files of this folder leave, each test named after its clause."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from clocks import FixedClock
from taxii_node import TAXII, TaxiiNode, indicator, stix_id
from threatshare.model import CollectionKind

API = "/api/collections/"
OBJECTS = f"{API}one/objects/"
MANIFEST = f"{API}one/manifest/"
HUB = f"{API}hub/objects/"
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z").fullmatch
MARKING = {
    "type": "marking-definition",
    "spec_version": "2.1",
    "id": stix_id(80, "marking-definition"),
    "created": "2026-01-05T00:00:00.000Z",
    "definition_type": "statement",
    "definition": {"statement": "for a test"},
}
ADDRESS = {"type": "ipv4-addr", "spec_version": "2.1", "id": stix_id(81, "ipv4-addr"), "value": "198.51.100.7"}
TYPES = """
    attack-pattern campaign course-of-action grouping identity incident indicator infrastructure intrusion-set location
    malware malware-analysis note observed-data opinion report threat-actor tool vulnerability relationship sighting
    artifact autonomous-system directory domain-name email-addr email-message file ipv4-addr ipv6-addr mac-addr mutex
    network-traffic process software url user-account windows-registry-key x509-certificate extension-definition
    language-content marking-definition
""".split()


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def node(tmp_path: Path, clock: FixedClock) -> Iterator[TaxiiNode]:
    with TaxiiNode(tmp_path, clock=clock) as made:
        made.collection("one")
        made.collection("secret")
        made.collection("hub", CollectionKind.EXCHANGE)
        made.collection("box", CollectionKind.INBOX)
        made.account("soc", read=["one"])
        made.account("all", read=["one", "secret", "hub"], write=["hub", "box"])
        for number in range(6):
            made.publish("one", indicator(number))
            made.publish("secret", indicator(100 + number))
            clock.advance(seconds=1)
        yield made


def post(node: TaxiiNode, *objects: dict[str, Any], alias: str = "hub") -> dict[str, Any]:
    answer = node.request("POST", f"{API}{alias}/objects/", "all", body={"objects": list(objects)})
    assert answer.status == 202, answer
    told: dict[str, Any] = answer.json
    return told


def test_2_identifiers_and_timestamps(node: TaxiiNode) -> None:
    """§2: ids of collections and statuses are UUIDs of version 4, timestamps have six digits and Z."""
    status = post(node, indicator(1))
    ids = [one["id"] for one in node.get(API, "all").json["collections"]]
    assert {UUID(one).version for one in [*ids, status["id"]]} == {4}
    answer = node.get(MANIFEST, "soc")
    told = [one["date_added"] for one in answer.objects] + [status["request_timestamp"]]
    told += [value for name, value in answer.headers.items() if name.startswith("X-TAXII")]
    assert len(told) == 9
    assert all(TIMESTAMP(one) for one in told), told


def test_3_1_every_answer_names_type_and_version(node: TaxiiNode) -> None:
    """§3.1: whatever the endpoint, method and outcome, the answer's type is TAXII's with its version."""
    post(node, indicator(1))
    one = f"{HUB}{stix_id(1)}/"
    for method, path, body in [
        ("GET", "/taxii2/", None),
        ("GET", "/api/", None),
        ("GET", API, None),
        ("GET", f"{API}one/", None),
        ("GET", MANIFEST, None),
        ("GET", OBJECTS, None),
        ("GET", one, None),
        ("GET", f"{one}versions/", None),
        ("HEAD", OBJECTS, None),
        ("POST", HUB, {"objects": [indicator(2)]}),
        ("DELETE", one, None),
        ("DELETE", one, None),
        ("GET", "/nothing/here/", None),
    ]:
        assert node.request(method, path, "all", body=body).headers["Content-Type"] == TAXII, (method, path)


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("application/taxii+json;version=2.1,application/stix+json;version=2.1", 200),
        ("application/vnd.oasis.stix+json; version=2.0, application/taxii+json; version=2.1", 200),
        ('text/html;q=0.9, application/taxii+json; version="2.1";q=0.1', 200),
        ("Application/TAXII+JSON ; Version=2.1", 200),
        ("application/taxii+json;version=2.0;q=1, application/taxii+json;version=2.1;q=0.001", 200),
        ("*/*;q=0.1", 200),
        ("application/*", 200),
        ("application/taxii+json;version=2.1;q=0", 406),
        ("*/*, application/taxii+json;version=2.1;q=0", 406),
        ("application/taxii+json;version=3.0, text/html", 406),
    ],
)
def test_3_1_accept_headers_as_rfc_9110_has_them(node: TaxiiNode, accept: str, status: int) -> None:
    """§3.1, §1.6.8: lists, quality values, quotes, case and blanks are read as HTTP has them, at every endpoint."""
    for path in ("/taxii2/", "/api/", API, f"{API}one/", OBJECTS, MANIFEST, f"{OBJECTS}{stix_id(1)}/"):
        assert node.get(path, "soc", Accept=accept).status == status, path


def test_3_1_head_is_get_without_a_body(node: TaxiiNode) -> None:
    """RFC 9110 §9.3.2: HEAD has the headers of GET and no body, is refused where GET is, and counts as no read."""
    for path, account in ((OBJECTS, "soc"), (MANIFEST, "soc"), ("/taxii2/", None), (f"{API}box/objects/", "all")):
        got, told = (node.request(method, path, account) for method in ("GET", "HEAD"))
        assert told.status == got.status
        assert told.body == b""
        assert {name: value for name, value in told.headers.items() if name != "Content-Length"} == {
            name: value for name, value in got.headers.items() if name != "Content-Length"
        }
    assert node.request("HEAD", OBJECTS).status == 401
    node.account("looker", read=["one"])
    node.request("HEAD", OBJECTS, "looker")
    node.app.close()
    read = node.writer.execute("SELECT count(*) FROM taxii_read WHERE account = 'looker'").fetchone()
    assert read == (0,)


def test_3_3_oldest_first_and_the_same_order_each_time(node: TaxiiNode) -> None:
    """§3.3, §3.4: objects and records come in the order in which they were added; collections always in one order."""
    node.publish("one", indicator(2, "2026-02-01T00:00:00.000Z"))
    dates = [one["date_added"] for one in node.get(MANIFEST, "soc", {"match[version]": "all"}).objects]
    assert len(dates) == 7
    assert all(before < after for before, after in pairwise(dates))
    assert [one["id"] for one in node.get(OBJECTS, "soc").objects] == [stix_id(n) for n in (0, 1, 3, 4, 5, 2)]
    assert [one["id"] for one in node.get(OBJECTS, "soc", {"limit": "2"}).objects] == [stix_id(0), stix_id(1)]
    first = node.get(API, "all").body
    node.collection("later")
    assert node.get(API, "all").body == first


def test_3_4_1_no_type_is_an_error(node: TaxiiNode) -> None:
    """§3.4.1: every type of STIX 2.1 may be asked for, and types of others too."""
    for kind in [*TYPES, "x-of-our-own"]:
        assert node.get(OBJECTS, "soc", {"match[type]": kind}).status == 200, kind


def test_3_4_1_versions_of_what_is_not_versioned(node: TaxiiNode) -> None:
    """§3.4.1, §5.3.1, §5.8: without `modified`, `created` is the version; without either, one for all."""
    post(node, MARKING, ADDRESS)
    created = {"match[version]": MARKING["created"]}
    assert node.get(HUB, "all", created).objects == [MARKING]
    listed = {one["id"]: one["version"] for one in node.get(f"{API}hub/manifest/", "all").objects}
    assert listed == {MARKING["id"]: MARKING["created"], ADDRESS["id"]: "1970-01-01T00:00:00.000Z"}
    for one in (MARKING, ADDRESS):
        assert node.get(f"{HUB}{one['id']}/versions/", "all").json["versions"] == [listed[str(one["id"])]]
        assert node.get(f"{HUB}{one['id']}/", "all", {"match[version]": listed[str(one["id"])]}).objects == [one]


@pytest.mark.parametrize("version", ["last,last", "first,last,first", "2026-01-01T00:00:00Z,2026-01-01T00:00:00.000Z"])
def test_3_4_1_the_same_version_twice(node: TaxiiNode, version: str) -> None:
    """§3.4.1: a version that is named twice, which no client may do, comes once."""
    assert len(node.get(f"{OBJECTS}{stix_id(1)}/", "soc", {"match[version]": version}).objects) == 1


def test_3_4_1_filters_are_all_to_be_met(node: TaxiiNode) -> None:
    """§3.4: different fields narrow each other, values of one field widen it, a date narrows all."""
    newer = indicator(1, "2026-02-01T00:00:00.000Z")
    node.publish("one", newer, {**indicator(50), "type": "malware", "id": stix_id(50, "malware")})
    dates = {one["id"]: one["date_added"] for one in node.get(MANIFEST, "soc", {"match[version]": "first"}).objects}
    asked = {"match[id]": f"{stix_id(1)},{stix_id(4)},{stix_id(50, 'malware')}", "match[type]": "indicator"}
    assert [one["id"] for one in node.get(OBJECTS, "soc", asked).objects] == [stix_id(4), stix_id(1)]
    asked["match[version]"] = "first,last"
    assert [one["id"] for one in node.get(OBJECTS, "soc", asked).objects] == [stix_id(n) for n in (1, 4, 1)]
    asked["added_after"] = dates[stix_id(1)]
    assert [one["id"] for one in node.get(OBJECTS, "soc", asked).objects] == [stix_id(4), stix_id(1)]
    asked["match[spec_version]"] = "2.0"
    assert node.get(OBJECTS, "soc", asked).objects == []


def test_3_4_no_more_than_was_asked_for_and_none_left_out(node: TaxiiNode) -> None:
    """§3.4: `more` says whether objects are left, exactly; a page holds all there are where they fit."""
    for limit in range(1, 8):
        answer = node.get(OBJECTS, "soc", {"limit": str(limit)})
        assert len(answer.objects) == min(limit, 6)
        assert answer.json["more"] is (limit < 6)
        assert ("next" in answer.json) is answer.json["more"]


def test_appendix_b_next_gives_no_rights(node: TaxiiNode) -> None:
    """Appendix B: a `next` is held against what its sender may read and asks for now, whatever it says itself."""
    stolen = node.get(f"{API}secret/objects/", "all", {"limit": "2"}).json["next"]
    assert node.get(f"{API}secret/objects/", "soc", {"next": stolen}).status == 404
    found = node.get(OBJECTS, "soc", {"next": stolen})
    assert {one["id"] for one in found.objects} == {stix_id(number) for number in range(6)}
    mine = node.get(OBJECTS, "soc", {"limit": "2"}).json["next"]
    assert node.get(OBJECTS, "soc", {"next": mine, "match[id]": stix_id(5)}).objects == [indicator(5)]


def test_4_1_1_the_default_root_is_one_of_the_roots(node: TaxiiNode) -> None:
    """§4.1.1: `default` is among `api_roots`, which are absolute, have no query and end in a slash."""
    for account in ("soc", "all", None):
        told = node.get("/taxii2/", account).json
        assert told["default"] in told["api_roots"]
        assert all(re.fullmatch(r"https?://[^/?#]+/[a-z0-9-]+/", root) for root in told["api_roots"])


def test_4_3_a_status_lasts_and_then_is_404(node: TaxiiNode, clock: FixedClock) -> None:
    """§4.3: a status can be asked for at least a day (here: thirty), and is 404 when it is gone."""
    status = post(node, indicator(1))
    path = f"/api/status/{status['id']}/"
    clock.advance(days=29)
    assert node.get(path, "all").json == status
    clock.advance(days=2)
    post(node, indicator(2, "2026-01-02T00:00:00.000Z"))
    assert node.get(path, "all").status == 404


def test_4_3_1_counts_add_up(node: TaxiiNode) -> None:
    """§4.3.1: each object is counted once; ids and versions are the objects' own, `created` without `modified`."""
    status = post(node, indicator(11), MARKING, ADDRESS, {**indicator(13), "confidence": 101})
    assert status["total_count"] == status["success_count"] + status["failure_count"] + status["pending_count"] == 4
    told = {one["id"]: one["version"] for one in status["successes"]}
    assert told[stix_id(11)] == indicator(11)["modified"]
    assert told[str(MARKING["id"])] == MARKING["created"]
    assert str(ADDRESS["id"]) in told
    assert [one["id"] for one in status["failures"]] == [stix_id(13)]


def test_5_3_media_types_are_those_of_the_collection(node: TaxiiNode) -> None:
    """§5.3.1, §5.2.1: a record's media type is one that its collection names; where it has none of these, none."""
    old = {name: value for name, value in indicator(7).items() if name != "spec_version"}
    post(node, indicator(6), old, indicator(8, spec_version="9.9"))
    for alias, told in (("one", {"2.1"}), ("hub", {"2.1", "2.0"})):
        named = node.get(f"{API}{alias}/", "all").json["media_types"]
        records = node.get(f"{API}{alias}/manifest/", "all").objects
        assert {one["media_type"] for one in records if "media_type" in one} <= set(named)
        assert {one.rpartition("=")[2] for one in named} == told
    assert [one["id"] for one in records if "media_type" not in one] == [stix_id(8)]


def test_5_7_after_a_delete_there_is_nothing(node: TaxiiNode) -> None:
    """§5.7: what was deleted is 404 by its id, and in no page, manifest or list of versions."""
    versions = [indicator(11), indicator(11, "2026-02-01T00:00:00.000Z")]
    post(node, *versions, indicator(12))
    one = f"{HUB}{stix_id(11)}/"
    answer = node.request("DELETE", one, "all")
    assert (answer.status, answer.headers["Content-Type"], answer.body) == (200, TAXII, b"")
    for path in (one, f"{one}versions/"):
        for query in ({}, {"match[version]": "all"}, {"match[version]": versions[0]["modified"]}):
            assert node.get(path, "all", query).status == 404
    for path in (HUB, f"{API}hub/manifest/"):
        assert [found["id"] for found in node.get(path, "all", {"match[version]": "all"}).objects] == [stix_id(12)]


def test_5_7_a_deleted_version_is_404(node: TaxiiNode) -> None:
    """§5.7: a version that was deleted is 404 by its name, while the object's others stand."""
    versions = [indicator(11), indicator(11, "2026-02-01T00:00:00.000Z")]
    post(node, *versions)
    one, gone = f"{HUB}{stix_id(11)}/", {"match[version]": versions[1]["modified"]}
    assert node.request("DELETE", one, "all", gone).status == 200
    assert node.get(one, "all", gone).status == 404
    assert node.get(one, "all").objects == versions[:1]


def test_8_2_1_no_user_agent_is_needed(node: TaxiiNode) -> None:
    """§8.2.1: a request without User-Agent is served as any."""
    assert node.get(OBJECTS, "soc", User_Agent="-").status == 200


def test_7_1_what_an_envelope_says_beside_is_ignored(node: TaxiiNode) -> None:
    """§7.1.1: properties of an envelope that we do not know are passed over; those of objects are kept."""
    odd = indicator(11, x_example_com_note={"kept": [1, 2.5]})
    body = {"x_acme_note": 1, "more": False, "objects": [odd]}
    assert node.request("POST", HUB, "all", body=json.loads(json.dumps(body))).json["success_count"] == 1
    assert node.get(HUB, "all").objects == [odd]
