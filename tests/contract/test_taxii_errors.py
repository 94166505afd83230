from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from taxii_node import TAXII, Answer, TaxiiNode, indicator
from threatshare.model import CollectionKind
from threatshare.share.settings import ServeSettings
from threatshare.stix.received import Received


@pytest.fixture
def node(tmp_path: Path) -> Iterator[TaxiiNode]:
    with TaxiiNode(tmp_path) as made:
        made.collection("one")
        made.collection("box", CollectionKind.INBOX)
        made.account("soc", read=["one"], write=["box"])
        yield made


def is_error(answer: Answer, status: int) -> bool:
    """Tells whether an answer is an error resource (§3.6): TAXII type, a title, the status as text."""
    return (
        answer.status == status
        and answer.headers["Content-Type"] == TAXII
        and bool(answer.json["title"])
        and answer.json["http_status"] == str(status)
    )


def test_3_6_every_failure_is_an_error_resource(node: TaxiiNode) -> None:
    """§3.6: unknown paths, roots, collections, objects, methods and malformed bodies answer in TAXII's own form."""
    objects = "/api/collections/one/objects/"
    for status, answer in [
        (401, node.get("/api/")),
        (404, node.get("/", "soc")),
        (404, node.get("/api/a/b/c/d/e/", "soc")),
        (404, node.get("/other/", "soc")),
        (404, node.get("/api/collections/none/", "soc")),
        (404, node.get(f"{objects}indicator--none/", "soc")),
        (404, node.get(f"{objects}indicator--none/versions/", "soc")),
        (404, node.get("/api/status/none/", "soc")),
        (405, node.request("PUT", objects, "soc")),
        (405, node.request("DELETE", "/api/", "soc")),
        (405, node.request("OPTIONS", objects, "soc")),
        (400, node.get(objects, "soc", {"limit": "0"})),
        (400, node.get(objects, "soc", {"next": "abc"})),
        (400, node.request("POST", "/api/collections/box/objects/", "soc", body=b"{not json")),
        (400, node.request("POST", "/api/collections/box/objects/", "soc", body=b"[]")),
        (400, node.request("POST", "/api/collections/box/objects/", "soc", body=b"\xff\xfe")),
        (400, node.request("POST", "/api/collections/box/objects/", "soc", body=b"[" * 100_000)),
        (422, node.request("POST", "/api/collections/box/objects/", "soc", body=indicator(1))),
    ]:
        assert is_error(answer, status), (status, answer)


def test_401_names_the_ways_in(node: TaxiiNode) -> None:
    """A 401 carries WWW-Authenticate, for no credentials and for wrong ones, which are told apart by nothing."""
    wrong = node.keys["soc"][:-1]
    bodies = set()
    for authorization in ("-", f"Bearer {wrong}", f"Token {wrong}", "Basic !!!", "Basic c29jOng=", "Digest x", "x"):
        answer = node.get("/api/", Authorization=authorization)
        assert is_error(answer, 401)
        assert answer.headers["WWW-Authenticate"].startswith(("Basic realm=", "Bearer realm="))
        bodies.add(answer.body)
    assert len(bodies) == 1


def test_405_names_what_is_allowed(node: TaxiiNode) -> None:
    """A 405 says which methods the resource has (RFC 9110 §15.5.6)."""
    answer = node.request("PATCH", "/api/collections/one/objects/", "soc")
    assert {"GET", "POST"} <= set(answer.headers["Allow"].split(", "))


def test_a_fault_shows_and_logs_no_values(node: TaxiiNode, caplog: pytest.LogCaptureFixture) -> None:
    """A defect answers 500 as an error resource; the log says where it happened and none of what was processed."""

    def broken(_: Received) -> str | None:
        raise KeyError("-".join(("very", "secret")))

    node.inbox.refuse = broken
    with caplog.at_level(logging.DEBUG):
        answer = node.request(
            "POST", "/api/collections/box/objects/?match[id]=hidden-value", "soc", body={"objects": [indicator(1)]}
        )
    assert is_error(answer, 500)
    assert b"secret" not in answer.body
    assert "KeyError" in caplog.text
    assert "objects.get_or_add_objects" in caplog.text
    for secret in ("very-secret", "hidden-value", "198.51.100", node.keys["soc"]):
        assert secret not in caplog.text


def test_a_store_that_cannot_be_written_is_503(node: TaxiiNode) -> None:
    """While the store cannot be written the client is told to come back; reads go on."""
    node.publish("one", indicator(1))
    node.writer.execute("DROP TABLE taxii_status")
    answer = node.request("POST", "/api/collections/box/objects/", "soc", body={"objects": [indicator(1)]})
    assert is_error(answer, 503)
    assert answer.headers["Retry-After"] == "5"
    assert node.get("/api/collections/one/objects/", "soc").status == 200


def test_4_1_discovery_is_absolute(node: TaxiiNode) -> None:
    """§4.1, S12: discovery names the default root, absolute, as the client addressed the server."""
    answer = node.get("/taxii2/", Host="taxii.example.org:8443")
    assert answer.json["default"] == "http://taxii.example.org:8443/api/"
    assert answer.json["api_roots"] == [answer.json["default"]]
    forged = node.get("/taxii2/", Host="h.example", X_Forwarded_Host="evil.example", X_Forwarded_Proto="https")
    assert forged.json["default"] == "http://h.example/api/"


def test_4_1_a_host_that_is_none_is_400(node: TaxiiNode, tmp_path: Path) -> None:
    """S12: of a Host header that can be no host no address is made; with a public address it does not matter."""
    for host in ("evil.example/x", "a b", "user@evil.example"):
        assert is_error(node.get("/taxii2/", Host=host), 400), host
    (tmp_path / "public").mkdir()
    with TaxiiNode(tmp_path / "public", ServeSettings(public_url="https://public.example")) as public:
        told = public.get("/taxii2/", Host="evil.example/x").json
        assert told["default"] == "https://public.example/api/"


def test_4_1_discovery_behind_a_proxy(tmp_path: Path) -> None:
    """S12: a proxy that is trusted says how it was addressed, and a configured public address beats both."""
    with TaxiiNode(tmp_path, ServeSettings(trusted_proxies=1)) as node:
        forwarded = {
            "X_Forwarded_Host": "taxii.example.org",
            "X_Forwarded_Proto": "https",
            "X_Forwarded_Prefix": "/cti",
        }
        answer = node.request("GET", "/taxii2/", None, None, None, None, Host="inner:9000", **forwarded)
        assert answer.json["default"] == "https://taxii.example.org/cti/api/"
    (tmp_path / "other").mkdir()
    with TaxiiNode(tmp_path / "other", ServeSettings(public_url="https://public.example/x/")) as node:
        assert node.get("/taxii2/", Host="inner:9000").json["default"] == "https://public.example/x/api/"


def test_4_2_the_api_root_says_what_it_takes(node: TaxiiNode) -> None:
    """§4.2: title, versions and max_content_length are there."""
    root = node.get("/api/", "soc").json
    assert root["versions"] == [TAXII]
    assert root["title"] == "threatshare"
    assert root["max_content_length"] == ServeSettings().max_content_length
