from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from taxii_node import TaxiiNode, indicator, stix_id
from threatshare.errors import UsageError
from threatshare.model import CollectionKind, Micros
from threatshare.share.settings import ServeSettings
from threatshare.store.collections import add_collection, name_root
from threatshare.store.connection import transaction

NOW: Micros = 0


@pytest.fixture
def node(tmp_path: Path) -> Iterator[TaxiiNode]:
    with TaxiiNode(tmp_path, ServeSettings(title="The Node")) as made:
        made.collection("home")
        made.collection("hub", CollectionKind.EXCHANGE, "trust-one")
        made.collection("box", CollectionKind.INBOX, "trust-two")
        with transaction(made.writer):
            name_root(made.writer, "trust-one", "First trust group")
        made.account("soc", read=["home", "hub"])
        made.account("member", read=["hub"], write=["hub"])
        made.account("sender", write=["box", "home"])
        made.account("nobody")
        for alias in ("home", "hub"):
            made.publish(alias, indicator(1))
        yield made


def roots(node: TaxiiNode, account: str | None) -> list[str]:
    told = node.get("/taxii2/", account).json
    assert told["default"] == told["api_roots"][0]
    return [root.removeprefix("http://localhost") for root in told["api_roots"]]


def test_4_1_each_account_is_told_of_its_own_roots(node: TaxiiNode) -> None:
    """§4.1: discovery names the roots in which an account sees something, and to anybody else the one of every node."""
    assert roots(node, "soc") == ["/api/", "/trust-one/"]
    assert roots(node, "member") == ["/trust-one/"]
    assert roots(node, "sender") == ["/trust-two/"]
    assert roots(node, "nobody") == roots(node, None) == ["/api/"]


@pytest.mark.parametrize("account", ["soc", "member", "sender", "nobody"])
def test_s14_no_dead_root_is_advertised(node: TaxiiNode, account: str) -> None:
    """S14: every root that is told of answers, with its collections; last path segments and titles differ."""
    told = roots(node, account)
    assert len({root.split("/")[-2] for root in told}) == len(told)
    titles = [node.get(root, account).json["title"] for root in told]
    assert len(set(titles)) == len(told)
    for root in told:
        assert node.get(f"{root}collections/", account).status == 200


def test_4_2_a_root_that_is_not_ones_own_is_404(node: TaxiiNode) -> None:
    """§4.2: a root under which one sees nothing is as unknown as one that there is not."""
    for account, root in (("member", "trust-two"), ("nobody", "trust-one"), ("sender", "trust-one")):
        for path in ("", "collections/", "collections/hub/", "collections/hub/objects/", "status/x/"):
            hidden, unknown = (node.get(f"/{name}/{path}", account) for name in (root, "unknown"))
            assert hidden.status == 404
            assert hidden.body.replace(root.encode(), b"unknown") == unknown.body


def test_4_2_titles_of_roots(node: TaxiiNode) -> None:
    """§4.2.1: each root has its own title, the default one the node's."""
    assert node.get("/api/", "soc").json["title"] == "The Node"
    assert node.get("/trust-one/", "soc").json["title"] == "First trust group"
    assert node.get("/trust-two/", "sender").json["title"] == "trust-two"


def test_a_collection_stands_under_its_root_only(node: TaxiiNode) -> None:
    """A collection is listed and answers under its own root, by id and by alias, and is 404 under any other."""
    for root, mine, other in (("/api/", "home", "hub"), ("/trust-one/", "hub", "home")):
        listed = node.get(f"{root}collections/", "soc").json["collections"]
        assert [one["alias"] for one in listed] == [mine]
        for name in (mine, listed[0]["id"]):
            for _ in range(2):  # the second is answered from a kept page
                assert len(node.get(f"{root}collections/{name}/objects/", "soc").objects) == 1
        for part in ("", "objects/", "manifest/", f"objects/{stix_id(1)}/"):
            assert node.get(f"{root}collections/{other}/{part}", "soc").status == 404


def test_4_3_a_status_stands_under_the_root_of_its_post(node: TaxiiNode) -> None:
    """§4.3: the status of a POST is found under the root that it was posted to."""
    answer = node.request("POST", "/trust-one/collections/hub/objects/", "member", body={"objects": [indicator(2)]})
    status = answer.json["id"]
    assert node.get(f"/trust-one/status/{status}/", "member").json == answer.json
    assert node.get(f"/api/status/{status}/", "member").status == 404


@pytest.mark.parametrize("name", ["taxii2", "findings", "metrics", "A", "a/b", "", "a b", ".."])
def test_names_that_no_root_has(node: TaxiiNode, name: str) -> None:
    """A root's name is one path segment, and none that the server answers to otherwise."""
    with pytest.raises(UsageError, match="API root's name"), transaction(node.writer):
        add_collection(node.writer, "new", "New", CollectionKind.INTERNAL, None, NOW, name)


def test_two_roots_have_two_titles(node: TaxiiNode) -> None:
    """S14: a title names one root."""
    with pytest.raises(UsageError, match="trust-one has the title"), transaction(node.writer):
        name_root(node.writer, "trust-two", "First trust group")


def test_405_under_any_root_of_ones_own(node: TaxiiNode) -> None:
    """A method that an address does not know is 405 under a root of one's own, and 404 under any other."""
    assert node.request("PUT", "/trust-one/collections/hub/objects/", "member").status == 405
    assert node.request("PUT", "/trust-one/collections/hub/objects/", "sender").status == 404
    assert node.request("PUT", "/unknown/collections/hub/objects/", "member").status == 404
