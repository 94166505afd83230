"""Rules S1 to S20: the server holds what each consumer in the field relies on, tried as that consumer asks.

How they ask was read in their source or seen on the wire; docs/reference/taxii.md has the list.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from clocks import FixedClock
from taxii_node import TAXII, Answer, TaxiiNode, basic, indicator, stix_id
from threatshare.errors import UsageError
from threatshare.model import CollectionKind
from threatshare.store.collections import add_collection
from threatshare.store.connection import transaction

OBJECTS = "/api/collections/one/objects/"
LAST = "X-TAXII-Date-Added-Last"


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def node(tmp_path: Path, clock: FixedClock) -> Iterator[TaxiiNode]:
    with TaxiiNode(tmp_path, clock=clock) as made:
        made.collection("one")
        made.collection("two")
        made.collection("box", CollectionKind.INBOX)
        made.account("soc", read=["one", "two"], write=["box"])
        yield made


def others(count: int) -> list[dict[str, Any]]:
    return [
        {**indicator(number), "type": "tool", "id": stix_id(number, "tool")} for number in range(1000, 1000 + count)
    ]


def publish(node: TaxiiNode, clock: FixedClock, count: int, alias: str = "one") -> list[str]:
    for number in range(count):
        node.publish(alias, indicator(number))
        clock.advance(milliseconds=7)
    return [stix_id(number) for number in range(count)]


def elastic(node: TaxiiNode, since: str | None) -> tuple[list[str], str | None]:
    """Polls as Elastic's CEL input does: the date on the first page only, and on as long as there is a `next`."""
    query = {"limit": "4"} | ({"added_after": since} if since else {})
    found, cursor = [], since
    while True:
        answer = node.get(OBJECTS, "soc", query)
        assert answer.status == 200, answer
        found += [one["id"] for one in answer.json["objects"]]
        cursor = answer.headers.get(LAST, cursor)
        if "next" not in answer.json:
            return found, cursor
        query = {"limit": "4", "next": answer.json["next"]}


def test_s1_next_without_the_filters(node: TaxiiNode, clock: FixedClock) -> None:
    """S1: Elastic sends no `added_after` beside `next`; it gets what is newer and nothing else."""
    ids = publish(node, clock, 9)
    found, cursor = elastic(node, None)
    assert found == ids
    assert cursor is not None
    node.publish("one", *(indicator(number) for number in range(20, 30)))
    assert elastic(node, cursor)[0] == [stix_id(number) for number in range(20, 30)]


def test_s2_a_page_an_hour(node: TaxiiNode, clock: FixedClock) -> None:
    """S2: OpenCTI keeps `next` in its database and asks for a page a tick, also when a new worker answers."""
    ids, found = publish(node, clock, 9), []
    kept: dict[str, str] = {}
    for _ in range(5):
        app = node.make_app()
        answer = node.request("GET", OBJECTS, "soc", {"limit": "2", **kept}, None, app)
        app.close()
        found += [one["id"] for one in answer.objects]
        kept = {"next": answer.json["next"]} if answer.json["more"] else {}
        clock.advance(hours=1)
    assert (found, kept) == (ids, {})


def test_s3_an_old_next_at_the_next_collection(node: TaxiiNode, clock: FixedClock) -> None:
    """S3: OpenCTI's connector sends the last `next` with a newer date, and to the next collection; both are right."""
    publish(node, clock, 5)
    second = publish(node, clock, 5, "two")
    kept = node.get(OBJECTS, "soc", {"limit": "2"}).json["next"]
    last = node.get(OBJECTS, "soc").headers[LAST]
    node.publish("one", indicator(50))
    assert [one["id"] for one in node.get(OBJECTS, "soc", {"next": kept, "added_after": last}).objects] == [stix_id(50)]
    found = node.get("/api/collections/two/objects/", "soc", {"next": kept}).objects
    assert [one["id"] for one in found] == second


def test_s4_pages_are_never_empty_before_the_end(node: TaxiiNode, clock: FixedClock) -> None:
    """S4: XSOAR and Google SecOps stop at a page without indicators, Elastic goes on while there is a `next`."""
    node.publish("one", *others(50))
    ids = publish(node, clock, 7)
    node.publish("one", *(one | {"id": stix_id(2000 + n, "tool")} for n, one in enumerate(others(50))))
    pages = node.drain("one", "soc", {"limit": "3", "match[type]": "indicator"})
    assert [len(page) for page in pages] == [3, 3, 1]
    assert [one["id"] for page in pages for one in page] == ids
    exact = node.get(OBJECTS, "soc", {"limit": "7", "match[type]": "indicator"}).json
    assert (exact["more"], "next" in exact) == (False, False)


def test_s5_a_bulk_insert_through_milliseconds(node: TaxiiNode, clock: FixedClock) -> None:
    """S5: OpenCTI cuts the last date to milliseconds: of 300 objects that came at once it misses none."""
    node.publish("one", *(indicator(number) for number in range(300)))
    clock.advance(seconds=5)
    found: list[str] = []
    query: dict[str, str] = {"limit": "50"}
    for _ in range(20):
        answer = node.get(OBJECTS, "soc", query)
        new = [one["id"] for one in answer.objects if one["id"] not in found]
        if not new:
            break
        found += new
        query = {"limit": "50", "added_after": answer.headers[LAST][:23] + "Z"}
    assert found == [stix_id(number) for number in range(300)]


@pytest.mark.parametrize("spelling", ["2026-03-01T12:00:00Z", "2026-03-01T12:00:00.5Z", "2026-03-01T12:00:00.500Z"])
def test_s6_dates_as_clients_write_them(node: TaxiiNode, clock: FixedClock, spelling: str) -> None:
    """S6: Elastic sends whole seconds, taxii2-client cuts trailing zeros; colons come raw and escaped."""
    publish(node, clock, 2)
    clock.advance(seconds=2)
    node.publish("one", indicator(9))
    expected = node.get(OBJECTS, "soc", {"added_after": spelling}).objects
    assert expected
    assert expected[-1]["id"] == stix_id(9)
    for written in (spelling, quote(spelling), spelling.replace(".5Z", ".500000Z")):
        assert node.get(OBJECTS, "soc", f"added_after={written}").objects == expected


def test_s7_the_last_date_is_the_cursor(node: TaxiiNode, clock: FixedClock) -> None:
    """S7: a client that keeps nothing but the header goes on where it was; on an empty page there is no header."""
    ids, cursor, found = publish(node, clock, 10), "2026-01-01T00:00:00Z", []
    while answer := node.get(OBJECTS, "soc", {"added_after": cursor, "limit": "3"}):
        if not answer.objects:
            break
        found += [one["id"] for one in answer.objects]
        cursor = answer.headers[LAST]
    assert found == ids
    assert LAST not in answer.headers


def taxii2_client_takes(answer: Answer) -> bool:
    """Checks the content type as taxii2-client does: type and version, parameters beside are fine."""
    parts = [part.strip() for part in answer.headers["Content-Type"].split(";")]
    return parts[0] == "application/taxii+json" and "version=2.1" in parts[1:]


def test_s8_the_type_of_every_answer(node: TaxiiNode) -> None:
    """S8: taxii2-client gives up where type or version is missing, on errors as on pages."""
    for answer in (
        node.get("/taxii2/", "soc"),
        node.get("/api/", "soc"),
        node.get("/api/collections/", "soc"),
        node.get(OBJECTS, "soc"),
        node.get(OBJECTS),
        node.get("/api/collections/none/", "soc"),
        node.get(OBJECTS, "soc", {"limit": "x"}),
        node.request("POST", "/api/collections/box/objects/", "soc", body=b"{"),
    ):
        assert taxii2_client_takes(answer), answer


def test_s9_what_clients_ask_for(node: TaxiiNode) -> None:
    """S9: OpenCTI writes a blank after the semicolon, users of Elastic type what they like; XSOAR falls back on 406."""
    for accept in ("application/taxii+json; version=2.1", "application/taxii+json", "*/*", "application/json"):
        assert node.get(OBJECTS, "soc", Accept=accept).status == 200
    assert node.get(OBJECTS, "soc", Accept="application/vnd.oasis.taxii+json; version=2.0").status == 406


def test_s11_addresses_that_elastic_builds(node: TaxiiNode, clock: FixedClock) -> None:
    """S11: `URL/?...` is answered at once, whether URL ends in a slash or not; all addresses that we give do."""
    ids = publish(node, clock, 3)
    for typed in (OBJECTS, OBJECTS.rstrip("/")):
        answer = node.get(f"{typed}/", "soc", {"limit": "10"})
        assert (answer.status, [one["id"] for one in answer.objects]) == (200, ids)
    told = node.get("/taxii2/", "soc").json
    assert all(root.endswith("/") for root in [told["default"], *told["api_roots"]])


def test_s12_discovery_as_cytaxii2_follows_it(node: TaxiiNode, clock: FixedClock) -> None:
    """S12: cytaxii2 takes `default`, which must be there and absolute, cuts its slash off and builds all else on it."""
    ids = publish(node, clock, 2)
    root = node.get("/taxii2/", "soc").json["default"].rstrip("/")
    assert root.startswith("http://localhost/")
    path = root.removeprefix("http://localhost")
    found = node.get(f"{path}/collections/", "soc").json["collections"][0]["id"]
    # It sends a Content-Type with every GET.
    answer = node.get(f"{path}/collections/{found}/objects/", "soc", None, Content_Type=TAXII)
    assert [one["id"] for one in answer.objects] == ids


def test_s13_what_taxii2_client_validates(node: TaxiiNode) -> None:
    """S13: taxii2-client wants title, versions, max_content_length of a root; id, title and rights of collections."""
    root = node.get("/api/", "soc").json
    assert all(root[name] for name in ("title", "versions", "max_content_length"))
    for one in node.get("/api/collections/", "soc").json["collections"]:
        assert one["id"]
        assert one["title"]
        assert {type(one[name]) for name in ("can_read", "can_write")} == {bool}


@pytest.mark.parametrize("title", ["Collection one", "a.b", "a,b", " "])
def test_s14_titles_that_no_collection_has(node: TaxiiNode, title: str) -> None:
    """S14: XSOAR, Google SecOps and OpenCTI choose by title, and split at dots and commas."""
    with pytest.raises(UsageError), transaction(node.writer):
        add_collection(node.writer, "new", title, CollectionKind.INTERNAL, None, node.now)


def test_s15_types_and_unknown_keys(node: TaxiiNode, clock: FixedClock) -> None:
    """S15: Google SecOps asks for indicators only, XSOAR for a list; a key that nobody knows changes nothing."""
    node.publish("one", *others(3))
    ids = publish(node, clock, 2)
    for asked in ("indicator", "indicator,relationship,malware"):
        assert [one["id"] for one in node.get(OBJECTS, "soc", {"match[type]": asked}).objects] == ids
    assert len(node.get(OBJECTS, "soc", {"match[match[type]]": "x", "_": "1"}).objects) == 5


def test_s16_one_request_without_a_limit(node: TaxiiNode) -> None:
    """S16: IntelMQ reads one page without a limit: it holds a thousand. A limit beyond ours is no 413."""
    node.publish("one", *(indicator(number) for number in range(1200)))
    assert len(node.get(OBJECTS, "soc").objects) == 1000
    assert node.get(OBJECTS, "soc", {"limit": "1000000"}).status == 200


def test_s17_ways_in(node: TaxiiNode) -> None:
    """S17: Basic as Sentinel sends it, Bearer, Token; a refusal is 401 with a challenge, never a redirect."""
    key = node.keys["soc"]
    for header in (basic("soc", key), f"Bearer {key}", f"Token {key}"):
        assert node.get(OBJECTS, Authorization=header).status == 200
    refused = node.get(OBJECTS, Authorization=basic("soc", "wrong"))
    assert (refused.status, "WWW-Authenticate" in refused.headers, "Location" in refused.headers) == (401, True, False)
    assert taxii2_client_takes(refused)


@pytest.mark.parametrize("content_type", ["application/stix+json; version=2.1", "application/taxii+json; version=2.1"])
def test_s18_a_bundle_as_opencti_posts_it(node: TaxiiNode, content_type: str) -> None:
    """S18: OpenCTI's taxii-post and Splunk's CTIS app post a STIX bundle, as STIX or as TAXII."""
    bundle = {"type": "bundle", "id": stix_id(1, "bundle"), "objects": [indicator(1)]}
    path = "/api/collections/box/objects/"
    answer = node.request("POST", path, "soc", None, bundle, None, Content_Type=content_type)
    assert (answer.status, answer.json["success_count"]) == (202, 1)


def test_s19_the_highest_modified_as_the_next_date(node: TaxiiNode, clock: FixedClock) -> None:
    """S19: XSOAR goes on from the highest `modified` it saw; no entry of an exchange is dated before that."""
    node.collection("hub", CollectionKind.EXCHANGE)
    node.account("member", read=["hub"], write=["hub"])
    hub, since = "/api/collections/hub/objects/", "2026-01-01T00:00:00Z"
    found: list[str] = []
    for number in range(4):
        posted = [indicator(number, "2026-03-01T12:00:00.000Z"), indicator(90 + number, "2027-01-01T00:00:00.000Z")]
        node.request("POST", hub, "member", body={"objects": posted})
        new = node.get(hub, "member", {"added_after": since}).objects
        found += [one["id"] for one in new]
        since = max([since, *(one["modified"] for one in new)])
        clock.advance(minutes=1)
    assert set(found) == {stix_id(number) for number in range(4)}
