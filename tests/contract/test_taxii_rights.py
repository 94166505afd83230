from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from clocks import FixedClock
from taxii_node import TAXII, TaxiiNode, basic, indicator, stix_id
from threatshare.model import CollectionKind
from threatshare.share.app import TaxiiApp
from threatshare.share.settings import ServeSettings
from threatshare.store import accounts
from threatshare.store.connection import transaction

KINDS = list(CollectionKind)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[TaxiiNode]:
    with TaxiiNode(tmp_path) as made:
        for kind in KINDS:
            made.collection(kind.value, kind)
            made.publish(kind.value, indicator(1))
        yield made


METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
OPEN = {"/taxii2/": (200,), "/health": (200,), "/ready": (200,), "/.well-known/security.txt": (200, 404)}
"""What answers without credentials: 404 where the node has nothing to say there."""


def every_route(app: TaxiiApp) -> list[tuple[str, str]]:
    """Gives every method with every path at which any layer of the application has anything, as it says itself."""
    filled = {"api_root": "api", "collection_id": "exchange", "object_id": stix_id(1), "status_id": "x"}
    paths = [re.sub(r"<(?:\w+:)?(\w+)>", lambda match: filled[match[1]], rule) for rule in app.routes]
    plain = {path.rstrip("/") for path in paths}
    return list(product(METHODS, sorted(plain | {f"{path}/" for path in plain})))


def test_every_route_asks_who_is_there(tmp_path: Path) -> None:
    """Of all addresses and methods, without credentials none but discovery, health and security.txt gives anything."""
    with TaxiiNode(tmp_path, take_posted=lambda *_: ({"findings": 0, "rejected": 0}, None)) as node:
        routes = every_route(node.app)
        paths = {path.rstrip("/") for _, path in routes}
        assert {"/taxii2", "/api/collections/exchange/objects", "/findings", "/health", "/ready", "/metrics"} <= paths
        for method, path in [*routes, *product(METHODS, ["/", "/nothing", "/nothing/below/it"])]:
            answer = node.request(method, path, None, None, {"objects": []} if method == "POST" else None)
            expected = OPEN.get(path) or OPEN.get(path.rstrip("/")) or OPEN.get(f"{path}/")
            if expected is not None and method in ("GET", "HEAD"):
                assert answer.status in expected, (method, path, answer)
            elif expected is not None and path.rstrip("/") != "/taxii2":
                assert answer.status in (404, 405), (method, path, answer)
            else:
                assert answer.status == 401, (method, path, answer)
                assert answer.headers["Content-Type"] == TAXII


def test_nothing_and_forbidden_are_alike(node: TaxiiNode) -> None:
    """What an account may not see answers as what does not exist, word for word, whatever the method."""
    node.account("soc")
    for below in ("", "objects/", "manifest/", f"objects/{stix_id(1)}/", f"objects/{stix_id(1)}/versions/"):
        for method in METHODS:
            body: dict[str, list[str]] | None = {"objects": []} if method == "POST" else None
            hidden = node.request(method, f"/api/collections/exchange/{below}", "soc", body=body)
            absent = node.request(method, f"/api/collections/absent00/{below}", "soc", body=body)
            assert hidden.status in (404, 405)
            assert hidden.body.replace(b"exchange", b"absent00") == absent.body, (method, below)
            assert hidden.headers.keys() == absent.headers.keys()


def test_an_address_with_nothing_knows_no_methods(node: TaxiiNode) -> None:
    """Where an account may see nothing it is 404 for every method: 405 would say that there is something."""
    node.account("soc")
    for path, method in product(("/findings", "/metrics", "/nothing"), METHODS):
        assert node.request(method, path, "soc").status == 404, (method, path)


def test_discovery_can_be_closed(tmp_path: Path) -> None:
    """With open_discovery off, discovery needs an account like everything else."""
    with TaxiiNode(tmp_path, ServeSettings(open_discovery=False)) as node:
        node.account("soc")
        assert node.get("/taxii2/").status == 401
        assert node.get("/taxii2/", "soc").status == 200


def test_wrong_credentials_are_refused_at_discovery(node: TaxiiNode) -> None:
    """Whoever mistypes a key learns it at the first request, although discovery is open."""
    assert node.get("/taxii2/", Authorization=basic("soc", "wrong")).status == 401


def test_rights_by_kind_and_verb(node: TaxiiNode) -> None:
    """For each kind of collection and each combination of rights, every request is allowed or refused as it should."""
    for kind, verbs in product(KINDS, ["", "r", "w", "rw"]):
        name = f"{kind.value}-{verbs}x"
        node.collection(name, kind)
        node.publish(name, indicator(1))
        node.account(name, read=[name] if "r" in verbs else [], write=[name] if "w" in verbs else [])
        # The owner of the exchange's object is this account, so that only rights decide.
        node.writer.execute("UPDATE entry SET owner = ?", (name,))
        others = [one.value for one in KINDS]
        node.account(f"not-{name}", read=others, write=others)
        _check_rights(node, name, kind, verbs)


def _check_rights(node: TaxiiNode, name: str, kind: CollectionKind, verbs: str) -> None:
    writable = "w" in verbs and kind in (CollectionKind.INBOX, CollectionKind.EXCHANGE, CollectionKind.EXERCISE)
    # What was posted into an exercise stands until it ends.
    deletable = writable and kind is not CollectionKind.EXERCISE
    visible = "r" in verbs or writable
    base = f"/api/collections/{name}/"
    one = f"{base}objects/{stix_id(1)}/"
    read = 200 if "r" in verbs else 403
    expected = {
        ("GET", base): 200,
        ("GET", f"{base}objects/"): read,
        ("GET", f"{base}manifest/"): read,
        ("GET", one): read,
        ("GET", f"{one}versions/"): read,
        ("POST", f"{base}objects/"): 202 if writable else 403,
        ("DELETE", one): 200 if "r" in verbs and deletable else 403,
    }
    for (method, path), status in expected.items():
        body = {"objects": [indicator(2)]} if method == "POST" else None
        assert node.request(method, path, f"not-{name}", body=body).status == 404, (method, path)
        answer = node.request(method, path, name, body=body)
        assert answer.status == (status if visible else 404), (method, path, verbs, answer)


def test_5_1_only_what_one_may_use_is_listed(node: TaxiiNode) -> None:
    """§5.1: an account sees the collections that it has a right on; without any the key is left out."""
    node.account("none")
    node.account("some", read=["siem", "partner"], write=["inbox", "internal"])
    assert node.get("/api/collections/", "none").json == {}
    listed = node.get("/api/collections/", "some").json["collections"]
    assert {one["alias"]: (one["can_read"], one["can_write"]) for one in listed} == {
        "siem": (True, False),
        "partner": (True, False),
        "inbox": (False, True),
    }


def test_5_2_a_collection_by_id_and_by_alias(node: TaxiiNode) -> None:
    """§5.2: the alias may stand for the id in every address, and both describe the same collection."""
    node.account("soc", read=["siem"])
    by_alias = node.get("/api/collections/siem/", "soc")
    assert by_alias.json["title"] == "Collection siem"
    assert node.get(f"/api/collections/{by_alias.json['id']}/", "soc").body == by_alias.body
    found = node.get(f"/api/collections/{by_alias.json['id']}/objects/", "soc")
    assert found.body == node.get("/api/collections/siem/objects/", "soc").body


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "Token", "BEARER"])
def test_s17_every_scheme(node: TaxiiNode, scheme: str) -> None:
    """S17: the key works as Basic password, as Bearer and as Token, the scheme in any case."""
    key = node.account("soc", read=["siem"])
    assert node.get("/api/", Authorization=f"{scheme} {key}").status == 200
    assert node.get("/api/", Authorization=basic("soc", key).replace("Basic", "basic")).status == 200
    assert node.get("/api/", Authorization=basic("someone", key)).status == 401


def test_revocation_and_rights_act_at_once(node: TaxiiNode) -> None:
    """A right that is taken away and an account that is revoked end with the next request."""
    node.account("soc", read=["siem", "partner"])
    assert node.get("/api/collections/siem/objects/", "soc").status == 200
    with transaction(node.writer):
        accounts.withdraw(node.writer, "soc", read=["siem"])
    assert node.get("/api/collections/siem/objects/", "soc").status == 404
    with transaction(node.writer):
        accounts.revoke_account(node.writer, "soc", node.now)
    assert node.get("/api/collections/partner/objects/", "soc").status == 401


def test_failed_logins_are_limited(tmp_path: Path) -> None:
    """After ten failures under a name, known or not, more from that address are 429, with Retry-After; the right
    key is let in all the same, which ends nothing for wrong ones; others and later are not touched."""
    clock = FixedClock()
    with TaxiiNode(tmp_path, clock=clock) as node:
        node.account("soc")
        node.account("other")
        statuses = [node.get("/api/", Authorization=basic("soc", "guess")).status for _ in range(20)]
        assert statuses == [401] * 10 + [429] * 10
        nobody = [node.get("/api/", Authorization=basic("nobody", "guess")).status for _ in range(20)]
        assert nobody == statuses, "nothing tells whether there is such an account"
        assert node.get("/api/", "soc").status == 200
        refused = node.get("/api/", Authorization=basic("soc", "guess"))
        unknown = node.get("/api/", Authorization=basic("nobody", "guess"))
        assert (refused.status, refused.body) == (unknown.status, unknown.body)
        assert (refused.status, refused.headers["Retry-After"]) == (429, "60")
        assert refused.headers["Content-Type"] == TAXII
        assert node.get("/api/", "other").status == 200
        bearer = [node.get("/api/", Authorization=f"Bearer {node.keys['soc']}x").status for _ in range(12)]
        assert bearer[-1] == 429
        assert node.get("/api/", Authorization=f"Bearer {node.keys['soc']}").status == 200
        clock.advance(seconds=61)
        assert node.get("/api/", Authorization=basic("soc", "guess")).status == 401


def test_two_applications_in_one_process(tmp_path: Path) -> None:
    """Accounts of one node are none of another's, although medallion has one authentication for the process."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    with TaxiiNode(tmp_path / "a") as one, TaxiiNode(tmp_path / "b") as two:
        one.account("soc")
        two.account("isac")
        assert one.get("/api/", "soc").status == 200
        assert two.get("/api/", "isac").status == 200
        assert two.request("GET", "/api/", Authorization=basic("soc", one.keys["soc"])).status == 401
        assert one.request("GET", "/api/", Authorization=basic("isac", two.keys["isac"])).status == 401


def test_s20_reads_are_recorded(tmp_path: Path) -> None:
    """S20: what each account was sent is recorded as ranges; manifests and refused requests send nothing."""
    with TaxiiNode(tmp_path) as node:
        node.collection("one")
        for account in ("soc", "isac", "none"):
            node.account(account, read=["one"] if account != "none" else [])
        node.publish("one", *(indicator(number) for number in range(50)))
        node.drain("one", "soc", {"limit": "9"})
        node.drain("one", "soc", {"limit": "20"})
        for wanted in (3, 4, 20):
            node.get("/api/collections/one/objects/", "isac", {"match[id]": stix_id(wanted)})
        node.drain("one", "isac", {}, "manifest")
        node.get("/api/collections/one/objects/", "none")
        node.app.close()
        rows = node.writer.execute("SELECT account, first_seq, last_seq, requests FROM taxii_read").fetchall()
    assert rows == [("isac", 4, 5, 2), ("isac", 21, 21, 1), ("soc", 1, 50, 9)]
