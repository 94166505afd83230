"""How a client shows who it is, and what the server does with credentials that are wrong, old or forged."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterator
from hashlib import sha256
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import trustme

from clocks import FixedClock
from taxii_node import TaxiiNode, basic, indicator
from threatshare.config import Serve
from threatshare.errors import ConfigurationError, UsageError
from threatshare.model import Account
from threatshare.share.certificates import pem_fingerprint
from threatshare.share.settings import ServeSettings, serve_settings
from threatshare.store import accounts
from threatshare.store.account_keys import new_key
from threatshare.store.connection import transaction

DAY = 86_400 * 1_000_000
SETTINGS = ServeSettings(trusted_proxies=1, key_header="X-Api-Key", certificate_header="X-Client-Certificate")
OBJECTS = "/api/collections/one/objects/"


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def node(tmp_path: Path, clock: FixedClock) -> Iterator[TaxiiNode]:
    with TaxiiNode(tmp_path, SETTINGS, clock=clock) as made:
        made.collection("one")
        made.account("soc", read=["one"])
        made.account("isac", read=["one"])
        made.publish("one", indicator(1))
        yield made


@pytest.fixture(scope="module")
def pem() -> str:
    issued = trustme.CA().issue_cert("client@example.org")
    return issued.cert_chain_pems[0].bytes().decode()


def stands_for(node: TaxiiNode, name: str, pem: str) -> None:
    with transaction(node.writer):
        accounts.add_certificate(node.writer, name, pem_fingerprint(pem), node.now)


def test_s17_a_key_in_a_header_of_choice(node: TaxiiNode) -> None:
    """S17: the configured header takes the key alone; Authorization goes before it, and a wrong key is 401."""
    for _ in range(2):  # the second time the page need not be built
        assert node.get(OBJECTS, X_Api_Key=node.keys["soc"]).status == 200
        assert node.get(OBJECTS).status == 401
    assert node.get(OBJECTS, X_Api_Key=new_key()).status == 401
    assert node.get(OBJECTS, X_Api_Key=node.keys["soc"], Authorization="Bearer wrong").status == 401


def test_no_header_takes_a_key_unless_it_is_configured(tmp_path: Path) -> None:
    """Without ``key_header`` no header but Authorization is looked at."""
    with TaxiiNode(tmp_path) as node:
        key = node.account("soc")
        assert node.get("/api/", X_Api_Key=key).status == 401


@pytest.mark.parametrize("form", ["pem", "rfc9440", "digest", "digest with colons"])
def test_a_certificate_that_the_proxy_has_verified(node: TaxiiNode, pem: str, form: str) -> None:
    """A mapped certificate opens its account, in whichever form the proxy passes it on; nothing but it is needed."""
    digest = pem_fingerprint(pem).hex()
    header = {
        "pem": quote(pem),
        "rfc9440": ":" + "".join(pem.splitlines()[1:-1]) + ":",
        "digest": digest.upper(),
        "digest with colons": ":".join(digest[place : place + 2] for place in range(0, 64, 2)),
    }[form]
    assert node.get(OBJECTS, X_Client_Certificate=header).status == 401, "it stands for nobody yet"
    stands_for(node, "soc", pem)
    for _ in range(2):
        assert node.get(OBJECTS, X_Client_Certificate=header).status == 200
        assert node.get(OBJECTS).status == 401
    with transaction(node.writer):
        accounts.remove_certificate(node.writer, "soc", pem_fingerprint(pem))
    assert node.get(OBJECTS, X_Client_Certificate=header).status == 401


def test_a_certificate_is_believed_from_the_proxy_alone(node: TaxiiNode, pem: str) -> None:
    """The header is worth nothing from any other address, nor where no proxy or no such header is configured."""
    stands_for(node, "soc", pem)
    node.peer = "192.0.2.7"
    assert node.get(OBJECTS, X_Client_Certificate=quote(pem)).status == 401
    node.peer = "127.0.0.1"
    assert node.get(OBJECTS, X_Client_Certificate=quote(pem)).status == 200
    for settings in (
        ServeSettings(certificate_header="X-Client-Certificate"),
        ServeSettings(trusted_proxies=1),
        ServeSettings(
            trusted_proxies=1, certificate_header="X-Client-Certificate", proxy_networks=(ip_network("192.0.2.0/28"),)
        ),
    ):
        node._settings = settings
        app = node.make_app()
        assert node.request("GET", OBJECTS, None, None, None, app, X_Client_Certificate=quote(pem)).status == 401
        app.close()


def test_forwarded_addresses_are_believed_from_the_proxy_alone(node: TaxiiNode) -> None:
    """Who is no proxy cannot count failed logins against another address, nor rename the server."""
    forwarded = {"X_Forwarded_For": "198.51.100.9", "X_Forwarded_Host": "elsewhere.example"}
    node.peer = "192.0.2.7"
    assert b"elsewhere" not in node.get("/taxii2/", **forwarded).body
    for _ in range(11):
        node.get("/api/", Authorization=basic("soc", "wrong"), **forwarded)
    node.peer = "127.0.0.1"
    assert node.get("/api/", "soc", **forwarded).status == 200
    assert b"elsewhere" in node.get("/taxii2/", **forwarded).body


@pytest.mark.parametrize("header", ["", "0" * 63, "%zz", ":no base64:", "-----BEGIN CERTIFICATE-----", "A" * 40_000])
def test_what_is_no_certificate_opens_nothing(node: TaxiiNode, pem: str, header: str) -> None:
    """A header that names no certificate is as none: 401, never an error."""
    stands_for(node, "soc", pem)
    assert node.get(OBJECTS, X_Client_Certificate=header).status == 401


def test_nobody_can_write_what_stands_for_a_certificate(node: TaxiiNode, pem: str) -> None:
    """Inside, a verified certificate is an Authorization header; no client can send one."""
    stands_for(node, "soc", pem)
    digest = pem_fingerprint(pem).hex()
    for scheme in ("Certificate", "certificate-", f"Certificate-{'0' * 32}", "Bearer", "Token"):
        assert node.get(OBJECTS, Authorization=f"{scheme} {digest}").status == 401


def test_a_certificate_stands_for_one_account(node: TaxiiNode, pem: str) -> None:
    """It is refused to a second one, is a failure to remove where it does not stand, and ends with its account."""
    stands_for(node, "soc", pem)
    with pytest.raises(UsageError, match="stands for soc"):
        stands_for(node, "isac", pem)
    with pytest.raises(UsageError, match="stands for isac"):
        accounts.remove_certificate(node.writer, "isac", pem_fingerprint(pem))
    with transaction(node.writer):
        accounts.revoke_account(node.writer, "soc", node.now)
    assert node.get(OBJECTS, X_Client_Certificate=quote(pem)).status == 401
    stands_for(node, "isac", pem)
    assert node.get(OBJECTS, X_Client_Certificate=quote(pem)).status == 200


def test_an_account_expires(node: TaxiiNode, clock: FixedClock, pem: str) -> None:
    """From its day on neither key nor certificate opens it, though both did a moment before; it can be prolonged."""
    stands_for(node, "soc", pem)
    with transaction(node.writer):
        accounts.expire_account(node.writer, "soc", node.now + DAY)
    clock.advance(seconds=86_399)
    for wanted in (200, 401):
        assert node.get(OBJECTS, "soc").status == wanted
        assert node.get(OBJECTS, X_Client_Certificate=quote(pem)).status == wanted
        clock.advance(seconds=1)
    assert node.get(OBJECTS, "isac").status == 200
    with transaction(node.writer):
        accounts.expire_account(node.writer, "soc", None)
    assert node.get(OBJECTS, "soc").status == 200
    with pytest.raises(UsageError, match="cannot expire"):
        accounts.add_account(node.writer, "late", [], [], node.now, expires=node.now)


def test_an_old_key_ends_behind_its_overlap(node: TaxiiNode, clock: FixedClock) -> None:
    """A rotated key is good for the overlap, on pages that are ready too, and not a second longer."""
    with transaction(node.writer):
        new = accounts.rotate_account_key(node.writer, "soc", node.now, overlap=3_600 * 1_000_000)
    clock.advance(seconds=3_599)
    assert node.get(OBJECTS, "soc").status == 200
    clock.advance(seconds=1)
    assert node.get(OBJECTS, "soc").status == 401
    assert node.get(OBJECTS, Authorization=f"Bearer {new}").status == 200


def test_every_wrong_login_costs_the_same(node: TaxiiNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unknown, wrong, expired and revoked take the same queries, hashes and comparisons: no time tells them apart."""
    with transaction(node.writer):
        expired = accounts.add_account(node.writer, "gone", [], [], node.now, expires=node.now + 1)
        revoked = accounts.add_account(node.writer, "out", [], [], node.now)
        accounts.revoke_account(node.writer, "out", node.now)
    known = node.keys["soc"]
    offered: list[tuple[str | None, str]] = [
        ("nobody", new_key()),
        ("soc", new_key()),
        ("soc", node.keys["isac"]),
        ("nobody", known),
        ("gone", expired),
        ("out", revoked),
        ("soc", known[:12] + new_key()[12:]),
        ("soc", "no key at all"),
    ]
    costs = {_cost(node, name, key, monkeypatch) for name, key in offered}
    assert [cost[2:] for cost in costs] == [("hash", "compare", "compare")], costs
    nameless = {_cost(node, None, key, monkeypatch) for _, key in offered if key not in (known, node.keys["isac"])}
    assert len(nameless) == 1, nameless


def _cost(node: TaxiiNode, name: str | None, key: str, monkeypatch: pytest.MonkeyPatch) -> tuple[object, ...]:
    work: list[object] = []

    def noting(word: str, done: Callable[..., Any]) -> Callable[..., Any]:
        def do(*given: Any) -> Any:
            work.append(word)
            return done(*given)

        return do

    with monkeypatch.context() as patched:
        patched.setattr(hmac, "digest", noting("hash", hmac.digest))
        patched.setattr(hmac, "compare_digest", noting("compare", hmac.compare_digest))
        node.writer.set_trace_callback(lambda sql: work.append(" ".join(sql.split())[:40]))
        found = accounts.verify(node.writer, name, key, node.now + 1)
        node.writer.set_trace_callback(None)
    assert found is None
    # Before the first query only the checksum is compared, where there is one: anybody can reckon that for himself.
    return tuple(work[work[0] == "compare" :])


def test_a_right_login_is_counted_against_nobody(node: TaxiiNode) -> None:
    """However often an account reads, and whoever else fails from elsewhere in its name, it is not made to wait."""
    for number in range(30):
        node.peer = f"192.0.2.{number}"
        for _ in range(11):
            node.get("/api/", Authorization=basic("soc", "wrong"))
    node.peer = "198.51.100.1"
    assert {node.get("/api/", "soc").status for _ in range(200)} == {200}


def test_a_right_key_of_a_paused_account_is_no_failed_login(node: TaxiiNode) -> None:
    """However often its client tries meanwhile, it is 401 without a time to wait, and 200 once the account goes on."""
    accounts.pause_account(node.writer, "soc", node.now)
    assert {node.get("/api/", "soc").status for _ in range(150)} == {401}
    assert node.get("/api/", Authorization=basic("soc", "wrong")).status == 401
    accounts.pause_account(node.writer, "soc", None)
    assert node.get("/api/", "soc").status == 200


def test_ipv6_customers_count_as_one(node: TaxiiNode) -> None:
    """Addresses of one /64 share a count, so that nobody gets around it with his line's other addresses."""
    statuses = []
    for number in range(12):
        node.peer = f"2001:db8::{number:x}:1"
        statuses.append(node.get("/api/", Authorization=basic("soc", "wrong")).status)
    assert statuses == [401] * 10 + [429] * 2
    node.peer = "2001:db8:0:1::1"
    assert node.get("/api/", Authorization=basic("soc", "wrong")).status == 401


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"key_header": "X Key"}, "key_header"),
        ({"key_header": "Authorization"}, "key_header"),
        ({"certificate_header": "X-Cert"}, "trusted_proxies"),
        ({"certificate_header": "Host", "trusted_proxies": 1}, "certificate_header"),
        ({"proxy_networks": ("192.0.2.300",)}, "proxy_networks"),
    ],
)
def test_settings_that_cannot_be_meant(given: dict[str, object], named: str, tmp_path: Path) -> None:
    """A header that can be none, or one that would be believed from nobody, is refused at the start."""
    with pytest.raises(ConfigurationError, match=named):
        serve_settings("x", Serve(**given), tmp_path)  # type: ignore[arg-type]


def test_the_account_of_a_certificate_has_its_rights(node: TaxiiNode, pem: str) -> None:
    """A certificate gives the account's own rights, no more."""
    stands_for(node, "soc", pem)
    found = accounts.verify_certificate(node.writer, sha256(_der(pem)).digest(), node.now)
    assert found == Account("soc", frozenset({"one"}), frozenset())


def _der(pem: str) -> bytes:
    import ssl

    return ssl.PEM_cert_to_DER_cert(pem)
