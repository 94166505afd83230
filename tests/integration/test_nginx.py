"""``config/nginx.conf`` under a real nginx: what it lets through, what it adds, what it keeps off."""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests
import trustme

from nginx_process import NGINX, PAGE, before
from nodes import free_port
from taxii_node import TAXII, TaxiiNode, indicator
from taxii_process import running
from threatshare.model import CollectionKind
from threatshare.share.app import utc_now
from threatshare.share.certificates import pem_fingerprint
from threatshare.store.accounts import add_certificate, grant
from threatshare.store.connection import transaction

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed: apt-get install nginx")
OBJECTS = "/api/collections/one/objects/"
_COUNTED_AS = """
    server {{
        listen 127.0.0.1:{port};
        set_real_ip_from 127.0.0.1;
        real_ip_header X-Test-Address;
        return 200 $threatshare_client;
    }}
"""
"""Answers as whom the limits count an address, which a test names in a header."""


@dataclass
class Site:
    node: TaxiiNode
    folder: Path
    port: int
    telling: int
    """Port on which an address is told as whom the limits count it."""

    def ask(self, path: str, client: str | None = None, method: str = "GET", **options: Any) -> requests.Response:
        """Sends a request, with a client certificate of that name."""
        cert = str(self.folder / f"{client}.pem") if client else None
        return requests.request(
            method,
            f"https://127.0.0.1:{self.port}{path}",
            verify=str(self.folder / "ca.pem"),
            cert=cert,
            timeout=20,
            **options,
        )

    @property
    def key(self) -> dict[str, str]:
        """Headers of an account that shows its key."""
        return {"Authorization": f"Bearer {self.node.keys['soc']}", "Accept": TAXII, "Content-Type": TAXII}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("nginx")
    ours, theirs = trustme.CA(), trustme.CA()
    ours.cert_pem.write_to_path(str(folder / "ca.pem"))
    for name, authority in (("mapped", ours), ("unmapped", ours), ("foreign", theirs)):
        issued = authority.issue_cert(f"{name}@example.org")
        issued.private_key_and_cert_chain_pem.write_to_path(str(folder / f"{name}.pem"))
    served = ours.issue_cert("127.0.0.1")
    served.private_key_pem.write_to_path(str(folder / "server.key"))
    (folder / "server.pem").write_bytes(b"".join(one.bytes() for one in served.cert_chain_pems))
    with TaxiiNode(folder, clock=utc_now) as node:
        node.collection("one")
        node.collection("hub", CollectionKind.EXCHANGE)
        node.account("soc", read=["one", "hub"], write=["hub"])
        node.account("isac", read=["one"])
        with transaction(node.writer):
            grant(node.writer, "soc", metrics=True)
            add_certificate(node.writer, "isac", pem_fingerprint((folder / "mapped.pem").read_text()), node.now)
        node.publish("one", *(indicator(number) for number in range(100)))
        serve = {"trusted_proxies": 1, "certificate_header": "X-Client-Certificate", "access_log": str(folder / "own")}
        files = (folder / "server.pem", folder / "server.key", folder / "ca.pem")
        telling = free_port()
        with (
            running(node.file, settings=serve) as server,
            before(server.port, folder, *files, _COUNTED_AS.format(port=telling)) as port,
        ):
            yield Site(node, folder, port, telling)


def test_a_mapped_certificate_is_all_it_takes(site: Site) -> None:
    """Its account reads without any key; with none, with one that stands for nobody, or of another authority not."""
    assert len(site.ask(OBJECTS, "mapped").json()["objects"]) == 100
    assert site.ask(OBJECTS).status_code == 401
    assert site.ask(OBJECTS, "unmapped").status_code == 401
    assert site.ask(OBJECTS, "foreign").status_code == 400
    assert site.ask(OBJECTS, "unmapped", headers=site.key).status_code == 200
    lines = [json.loads(line) for line in (site.folder / "own").read_text().splitlines()]
    assert [line["account"] for line in lines if line["objects"] == 100] == ["isac", "soc"]


def test_nobody_can_claim_a_certificate(site: Site) -> None:
    """A client that writes the header itself, in any form, is not believed: nginx sets it."""
    pem = (site.folder / "mapped.pem").read_text()
    for forged in (pem_fingerprint(pem).hex(), quote(pem[pem.index("-----BEGIN CERT") :])):
        for name in ("X-Client-Certificate", "x-client-certificate", "X_Client_Certificate"):
            for client in (None, "unmapped"):
                assert site.ask(OBJECTS, client, headers={name: forged}).status_code == 401


def test_addresses_are_those_that_clients_type(site: Site) -> None:
    """Discovery names https, name and port as they came; what a client claims was forwarded is dropped."""
    claimed = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "http", "Forwarded": "host=evil.example"}
    found = site.ask("/taxii2/", headers=claimed).json()
    assert found["default"] == f"https://127.0.0.1:{site.port}/api/"


def test_a_client_that_fails_shuts_nobody_else_out(site: Site) -> None:
    """Failed logins count against the client's own address, which it cannot change by a header."""
    for number in range(12):
        answer = site.ask(
            "/api/", headers={"Authorization": "Basic aXNhYzp3cm9uZw==", "X-Forwarded-For": f"192.0.2.{number}"}
        )
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) > 0


def test_bodies_up_to_the_nodes_limit(site: Site) -> None:
    """What is a little too large the node answers, what is far too large nginx, both as TAXII says; nothing is kept."""
    posted = site.ask("/api/collections/hub/objects/", None, "POST", json={"objects": [indicator(1)]}, headers=site.key)
    assert posted.status_code == 202
    for size in (10_600_000, 20_000_000):
        answer = site.ask("/api/collections/hub/objects/", None, "POST", data=b" " * size, headers=site.key)
        assert (answer.status_code, answer.headers["Content-Type"]) == (413, TAXII)
        assert answer.json()["http_status"] == "413"
    assert list((site.folder / "bodies").rglob("*")) == []
    assert list((site.folder / "answers").rglob("*")) == []


def test_a_large_body_is_not_written_to_disk(site: Site) -> None:
    """While a body of megabytes is on its way, nginx has no file of it open."""
    pid = int((site.folder / "nginx.pid").read_text())
    workers = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    context = ssl.create_default_context(cafile=str(site.folder / "ca.pem"))
    with (
        socket.create_connection(("127.0.0.1", site.port)) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as sending,
    ):
        head = "POST /api/collections/hub/objects/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8000000\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in site.key.items())
        sending.sendall(head.encode() + b"\r\n" + b" " * 6_000_000)
        time.sleep(0.3)
        for worker in workers:
            opened = [str(one.readlink()) for one in Path(f"/proc/{worker}/fd").iterdir()]
            assert not [path for path in opened if str(site.folder / "bodies") in path]


def test_a_long_drain_is_never_refused(site: Site) -> None:
    """A client that follows pages as fast as they come gets more of them than the burst, slowed and not refused."""
    with requests.Session() as session:
        following: dict[str, str] = {}
        for _ in range(130):
            query = {"limit": "1", **following}
            url = f"https://127.0.0.1:{site.port}{OBJECTS}"
            answer = session.get(url, params=query, headers=site.key, verify=str(site.folder / "ca.pem"), timeout=20)
            assert answer.status_code == 200
            told = answer.json()
            following = {"next": told["next"]} if told["more"] else {}


def test_a_flood_is_refused(site: Site) -> None:
    """More connections of one address than any honest client needs are 429, in the form that TAXII wants."""
    with ThreadPoolExecutor(160) as pool:
        answers = list(pool.map(lambda _: site.ask("/taxii2/"), range(160)))
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    assert {answer.headers["Content-Type"] for answer in refused} == {TAXII}
    assert {answer.json()["http_status"] for answer in refused} == {"429"}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::1"),
        ("2001:db8:1:0:3:4:5:6", "2001:db8:1::1"),
        ("2001:db8::1", "2001:db8:0:0:1::"),
        ("2001:db8:0:0:a:b:c:d", "2001:db8::ffff:0:0:1"),
    ],
)
def test_limits_count_a_whole_ipv6_network(site: Site, one: str, other: str) -> None:
    """Two addresses of one /64, however they are written, share their limits; those of another /64 do not."""

    def counted_as(address: str) -> bytes:
        url = f"http://127.0.0.1:{site.telling}/"
        return requests.get(url, headers={"X-Test-Address": address}, timeout=20).content

    assert counted_as(one) == counted_as(other) != b""
    assert counted_as(one) != counted_as("2001:db8:1:3::1")
    assert counted_as("192.0.2.1") != counted_as("192.0.2.2")
    assert PAGE.read_text().count("_zone $threatshare_client ") == 2


def test_what_nginx_refuses_by_itself_is_an_error_resource(site: Site) -> None:
    """A method that it knows nothing of, and headers that are too long, are told as TAXII wants errors."""
    for answer, status in (
        (site.ask("/taxii2/", method="TRACE"), 405),
        (site.ask("/taxii2/", headers={"X-Long": "x" * 40_000}), 400),
    ):
        assert (answer.status_code, answer.headers["Content-Type"]) == (status, TAXII)
        assert answer.json()["http_status"] == str(status)


def test_what_is_for_the_operator_stays_inside(site: Site) -> None:
    """Metrics and readiness are nothing to the internet, whoever asks and however it is spelt."""
    for path in ("/metrics", "/metrics/", "//metrics", "/ready", "/%6detrics"):
        answer = site.ask(path, headers=site.key)
        assert (answer.status_code, answer.headers["Content-Type"]) == (404, TAXII)
    assert site.ask("/health").text == "ok\n"


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_tls_is_refused(site: Site) -> None:
    """TLS 1.1, and TLS 1.2 with a cipher that does not authenticate what it encrypts, are refused by the server."""
    offers = [
        (ssl.TLSVersion.TLSv1_1, "ALL:@SECLEVEL=0", "PROTOCOL_VERSION"),
        (ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES256-SHA384", "HANDSHAKE_FAILURE"),
    ]
    for version, ciphers, alert in offers:
        context = ssl.create_default_context(cafile=str(site.folder / "ca.pem"))
        context.minimum_version = context.maximum_version = version
        context.set_ciphers(ciphers)
        with (
            socket.create_connection(("127.0.0.1", site.port), timeout=5) as plain,
            pytest.raises(ssl.SSLError, match=alert),
        ):
            context.wrap_socket(plain, server_hostname="127.0.0.1")


def test_half_open_connections_before_nginx(site: Site) -> None:
    """With 30 half-open and 0 closed connections of one address, as many as it may have, others of it still work."""
    context = ssl.create_default_context(cafile=str(site.folder / "ca.pem"))
    with ExitStack() as stack:
        for _ in range(30):
            plain = stack.enter_context(socket.create_connection(("127.0.0.1", site.port)))
            half = stack.enter_context(context.wrap_socket(plain, server_hostname="127.0.0.1"))
            half.sendall(b"GET /taxii2/ HTTP/1.1\r\nHost: local")
        began = time.monotonic()
        assert site.ask(OBJECTS, headers=site.key).status_code == 200
        assert time.monotonic() - began < 1


def test_its_log_holds_no_value(site: Site) -> None:
    """nginx writes neither what was asked for nor who asked with which key."""
    site.ask(f"{OBJECTS}?match[id]={indicator(77)['id']}", headers=site.key)
    site.ask("/api/collections/canary/objects/", headers=site.key)
    time.sleep(0.2)
    for file in ("threatshare.log", "threatshare-error.log", "error.log"):
        text = (site.folder / file).read_text() if (site.folder / file).exists() else ""
        assert "indicator--" not in text
        assert "canary" not in text
        assert site.node.keys["soc"] not in text
