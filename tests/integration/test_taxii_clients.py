"""The real clients that install here, against the real server, over the loopback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
from stix2 import Filter, TAXIICollectionSource
from taxii2client.common import TokenAuth
from taxii2client.exceptions import AccessError
from taxii2client.v21 import ApiRoot, Collection, Server, as_pages

from taxii_node import TAXII, TaxiiNode, indicator, stix_id
from taxii_process import Server as Process
from taxii_process import running
from threatshare.model import CollectionKind
from threatshare.share.app import utc_now


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TaxiiNode]:
    with TaxiiNode(tmp_path_factory.mktemp("node"), clock=utc_now) as made:
        made.collection("one")
        made.collection("hub", CollectionKind.EXCHANGE)
        made.collection("box", CollectionKind.INBOX)
        made.account("soc", read=["one", "hub"], write=["hub", "box"])
        made.publish("one", *(indicator(number) for number in range(250)))
        made.publish("one", indicator(7, "2026-02-01T00:00:00.000Z"))
        yield made


@pytest.fixture(scope="module")
def server(node: TaxiiNode) -> Iterator[Process]:
    with running(node.file, workers=2) as process:
        yield process


@pytest.fixture
def root(node: TaxiiNode, server: Process) -> Iterator[ApiRoot]:
    with ApiRoot(f"{server.url}/api/", user="soc", password=node.keys["soc"]) as opened:
        yield opened


def collection(root: ApiRoot, alias: str) -> Any:
    return next(one for one in root.collections if one.alias == alias)


def test_taxii2_client_finds_its_way(node: TaxiiNode, server: Process) -> None:
    """taxii2-client walks from discovery over the root to the collections."""
    found = Server(f"{server.url}/taxii2/", user="soc", password=node.keys["soc"])
    assert found.default.url == f"{server.url}/api/"
    assert found.default.versions == [TAXII]
    listed = {one.alias: (one.title, one.can_read, one.can_write) for one in found.default.collections}
    assert listed == {
        "one": ("Collection one", True, False),
        "hub": ("Collection hub", True, True),
        "box": ("Collection box", False, True),
    }


def test_taxii2_client_with_a_token(node: TaxiiNode, server: Process) -> None:
    """taxii2-client's TokenAuth gets in; a wrong password does not."""
    found = Server(f"{server.url}/taxii2/", auth=TokenAuth(node.keys["soc"]))
    assert len(found.default.collections) == 3
    with pytest.raises(requests.HTTPError, match="401"):
        _ = Server(f"{server.url}/taxii2/", user="soc", password="x").title


@pytest.mark.parametrize("per_request", [7, 100, 1000])
def test_taxii2_client_pages(root: ApiRoot, per_request: int) -> None:
    """as_pages brings every object and every manifest record once, whatever its page size."""
    one = collection(root, "one")
    for call, order in ((one.get_objects, "id"), (one.get_manifest, "id")):
        pages = list(as_pages(call, per_request=per_request))
        found = [thing[order] for page in pages for thing in page["objects"]]
        assert len(found) == 250
        assert set(found) == {stix_id(number) for number in range(250)}
        assert found[-1] == stix_id(7)


def test_taxii2_client_asks_for_one_object(root: ApiRoot) -> None:
    """An object, its versions and filters by id, version, type and date come as taxii2-client asks for them."""
    one = collection(root, "one")
    assert one.get_object(stix_id(7))["objects"][0]["modified"] == "2026-02-01T00:00:00.000Z"
    assert len(one.get_object(stix_id(7), version="all")["objects"]) == 2
    assert one.object_versions(stix_id(7))["versions"] == ["2026-01-01T00:00:00.000Z", "2026-02-01T00:00:00.000Z"]
    january = datetime(2026, 1, 1, tzinfo=UTC)
    assert one.get_objects(id=[stix_id(7)], version=january)["objects"][0]["modified"].startswith("2026-01")
    assert one.get_objects(type="malware")["objects"] == []
    with pytest.raises(requests.HTTPError, match="404"):
        one.get_object(stix_id(999))


def test_taxii2_client_polls(root: ApiRoot, node: TaxiiNode) -> None:
    """A client that keeps the last date of a manifest gets what is added later, and only that."""
    one = collection(root, "one")
    last = one.get_manifest()["objects"][-1]["date_added"]
    assert one.get_objects(added_after=last)["objects"] == []
    growing_id = node.collection("growing").id
    node.account("poller", read=["growing"])
    url = f"{root.url}collections/{growing_id}/"
    with Collection(url, user="poller", password=node.keys["poller"]) as growing:
        after = datetime(2020, 1, 1, tzinfo=UTC)
        for number in range(3):
            node.publish("growing", indicator(number))
            assert [thing["id"] for thing in growing.get_objects(added_after=after)["objects"]] == [stix_id(number)]
            record = growing.get_manifest()["objects"][-1]
            after = datetime.fromisoformat(record["date_added"])


def test_taxii2_client_posts_and_deletes(root: ApiRoot) -> None:
    """A posted envelope becomes a status that the client can poll, objects that it can read and delete."""
    hub = collection(root, "hub")
    status = hub.add_objects({"objects": [indicator(9_001), indicator(9_002), {"type": "indicator", "id": "bad"}]})
    assert (status.status, status.success_count, status.failure_count) == ("complete", 2, 1)
    status.refresh()
    assert {one["id"] for one in status.successes} == {stix_id(9_001), stix_id(9_002)}
    assert root.get_status(status.id).failures[0]["id"] == "bad"
    hub.delete_object(stix_id(9_001))
    assert [thing["id"] for thing in hub.get_objects()["objects"]] == [stix_id(9_002)]
    box = collection(root, "box")
    assert box.add_objects({"objects": [indicator(9_005)]}).success_count == 1
    with pytest.raises(AccessError):
        box.get_objects()


def test_stix2_reads_a_collection(root: ApiRoot) -> None:
    """stix2's TAXIICollectionSource queries, gets the latest version and lists all of them."""
    source = TAXIICollectionSource(collection(root, "one"))
    assert str(source.get(stix_id(7)).modified) == "2026-02-01 00:00:00+00:00"
    assert len(source.all_versions(stix_id(7))) == 2
    assert len(source.query([Filter("type", "=", "indicator")])) == 250
    assert source.query([Filter("id", "=", stix_id(3))])[0].name == "number 3"


def test_cytaxii2_polls_and_posts(node: TaxiiNode, server: Process) -> None:
    """Cyware's client goes from discovery to the collections, polls page by page, and posts a bundle."""
    cytaxii2 = pytest.importorskip("cytaxii2", reason="cytaxii2 is not installed: `pip install cytaxii2==1.0.1`")
    client = cytaxii2.cytaxii2.cytaxii2(f"{server.url}/taxii2/", "soc", node.keys["soc"])
    listed = {one["alias"]: one["id"] for one in client.collection_request()["response"]["collections"]}
    assert client.collection_data_request(listed["one"])["response"]["title"] == "Collection one"
    asked: dict[str, Any] = {"limit": 100, "object_type": "indicator"}
    found: list[str] = []
    while True:
        page = client.poll_request(listed["one"], **asked)
        assert page["status_code"] == 200, page
        found += [thing["id"] for thing in page["response"]["objects"]]
        if not page["response"]["more"]:
            break
        asked["next"] = page["response"]["next"]
    assert len(found) == len(set(found)) == 250
    bundle = json.dumps({"type": "bundle", "id": stix_id(1, "bundle"), "objects": [indicator(5)]})
    posted = client.inbox_request(listed["box"], bundle)
    assert (posted["status_code"], posted["response"]["success_count"]) == (202, 1)


def test_an_old_client_is_told_to_try_2_0(node: TaxiiNode, server: Process) -> None:
    """A TAXII 2.0 client gets 406, which is its sign that this server speaks 2.1 only."""
    answer = requests.get(
        f"{server.url}/api/collections/",
        headers={"Accept": "application/vnd.oasis.taxii+json; version=2.0"},
        auth=("soc", node.keys["soc"]),
        timeout=10,
    )
    assert (answer.status_code, answer.headers["Content-Type"]) == (406, TAXII)
