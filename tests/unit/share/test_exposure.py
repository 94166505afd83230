"""What ``doctor`` says of how the server stands towards the network."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from sqlite3 import Connection

import pytest

from taxii_node import TaxiiNode
from threatshare.config import Serve
from threatshare.model import Micros
from threatshare.share.exposure import exposures
from threatshare.store.accounts import add_account, revoke_account
from threatshare.store.connection import transaction

_DAY: Micros = 86_400 * 1_000_000
_BEHIND = {"trusted_proxies": 1, "certificate_header": "X-Client-Certificate"}


@pytest.fixture
def node(tmp_path: Path) -> Iterator[TaxiiNode]:
    with TaxiiNode(tmp_path) as made:
        made.collection("one")
        yield made


def said(node: TaxiiNode, **serve: object) -> list[str]:
    return exposures(Serve(**serve), node.file.parent, node.writer, node.now)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("serve", "named"),
    [
        ({"host": "0.0.0.0", "trusted_proxies": 1}, "the proxy is on this machine"),
        ({"host": "0.0.0.0"}, "without TLS: keys cross the network"),
        ({"tls_client_authority": "ca.pem"}, "takes TLS"),
        ({"public_url": "taxii.example.org"}, "wanted is an address such as"),
        ({"public_url": "taxii.example.org:8443"}, "wanted is an address such as"),
        ({"public_url": "https://", "trusted_proxies": 1}, "wanted is an address such as"),
        ({"public_url": "https://[::1", "trusted_proxies": 1}, "no address"),
        ({"public_url": "https://taxii.example.org/taxii2/", "trusted_proxies": 1}, "leave /taxii2/ away"),
        ({"public_url": "https://taxii.example.org"}, "all clients count as one"),
        ({"public_url": "http://taxii.example.org"}, "in the clear"),
        ({"default_page_size": 500, "max_page_size": 100}, "more than serve.max_page_size"),
        ({"access_log": "nowhere/access.log"}, "cannot be written"),
        ({"access_log": "."}, "cannot be written"),
        (_BEHIND | {"certificate_header": "X-Forwarded-For"}, "which others write too"),
        (_BEHIND | {"key_header": "x-client-certificate"}, "Use two headers"),
        (_BEHIND | {"proxy_networks": ("0.0.0.0/0",)}, "holds 0.0.0.0/0"),
        (_BEHIND | {"proxy_networks": ("127.0.0.1", "::/0")}, "holds ::/0"),
        (_BEHIND | {"proxy_networks": ("192.0.0.0/7",)}, "holds 192.0.0.0/7"),
    ],
)
def test_what_is_wrong_is_named(node: TaxiiNode, serve: dict[str, object], named: str) -> None:
    """Each setting that cannot be meant is told once, with what to do."""
    (found,) = said(node, **serve)
    assert named in found


@pytest.mark.parametrize(
    "serve",
    [
        {},
        _BEHIND | {"key_header": "X-Api-Key"},
        {"host": "0.0.0.0", "trusted_proxies": 1, "proxy_networks": ("198.51.100.7",)},
        {"trusted_proxies": 1, "proxy_networks": ("10.0.0.0/8",)},
        {"public_url": "https://taxii.example.org/cti", "trusted_proxies": 1},
        {"public_url": "http://127.0.0.1:9000"},
        {"default_page_size": 100, "max_page_size": 100},
        {"access_log": "/dev/stderr"},
        {"access_log": "access.log"},
    ],
)
def test_what_is_right_is_not(node: TaxiiNode, serve: dict[str, object]) -> None:
    """Settings as the pages advise them are passed over in silence, and no log is made by asking."""
    assert said(node, **serve) == []
    assert not (node.file.parent / "access.log").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_a_log_of_somebody_else(node: TaxiiNode) -> None:
    """A file that is there and may only be read is named."""
    (node.file.parent / "access.log").touch(0o400)
    assert "cannot be written" in said(node, access_log="access.log")[0]


def _add(conn: Connection, name: str, read: list[str], made: Micros, until: Micros) -> None:
    with transaction(conn):
        add_account(conn, name, read, [], made, expires=until)


def test_an_account_that_has_ended(node: TaxiiNode) -> None:
    """It is named while it keeps rights, with both ways out; not once revoked, nor where it has none."""
    made, until = node.now - 9 * _DAY, node.now - _DAY
    for name, read in (("late", ["one"]), ("empty", []), ("gone", ["one"])):
        _add(node.writer, name, read, made, until)
    with transaction(node.writer):
        revoke_account(node.writer, "gone", node.now)
    (found,) = said(node)
    assert "account late has ended" in found
    assert "account revoke late" in found
