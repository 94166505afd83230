"""The server's processes: start, stop, crash, slow and silent clients, TLS."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests
import trustme

import taxii_process
from taxii_node import TAXII, TaxiiNode, indicator
from taxii_process import Server, running
from threatshare.model import CollectionKind
from threatshare.share.app import utc_now
from threatshare.store.reads import reads_of

OBJECTS = "/api/collections/one/objects/"
UNSEALED = "ECDHE-ECDSA-AES256-SHA384:ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES256-SHA384:AES256-SHA256"
"""Ciphers of TLS 1.2 that do not authenticate what they encrypt."""


@pytest.fixture
def node(tmp_path: Path) -> Iterator[TaxiiNode]:
    with TaxiiNode(tmp_path, clock=utc_now) as made:
        made.collection("one")
        made.collection("hub", CollectionKind.EXCHANGE)
        made.account("soc", read=["one", "hub"], write=["hub"])
        made.publish("one", *(indicator(number) for number in range(100)))
        yield made


def get(node: TaxiiNode, url: str, **options: object) -> requests.Response:
    return requests.get(f"{url}{OBJECTS}", auth=("soc", node.keys["soc"]), timeout=20, **options)  # type: ignore[arg-type]


def test_one_line_when_it_answers(node: TaxiiNode) -> None:
    """One line names the real address as soon as requests are answered, and nothing else stands on stderr."""
    with running(node.file, workers=2) as server:
        assert server.first_line == f"listening on http://127.0.0.1:{server.port}\n"
        assert get(node, server.url).status_code == 200
        assert server.stop() == (0, "")


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_signals_to_the_whole_group_stop_it(node: TaxiiNode, sent: int) -> None:
    """A terminal and a service manager signal every process at once; it ends soon, with 0, and says nothing."""
    with running(node.file, workers=2) as server:
        began = time.monotonic()
        os.killpg(server.process.pid, sent)
        assert server.wait() == (0, "")
        assert time.monotonic() - began < 10


def test_what_is_under_way_is_finished(node: TaxiiNode) -> None:
    """A POST whose body is still coming when the server is told to stop is taken and answered; reads are recorded."""
    body = json.dumps({"objects": [indicator(9_001)]}).encode()
    with running(node.file) as server:
        assert get(node, server.url, params={"limit": "60"}).status_code == 200
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as slow:
            slow.sendall(head(node, len(body)) + body[:20])
            time.sleep(0.3)
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            slow.sendall(body[20:])
            assert slow.recv(1000).startswith(b"HTTP/1.1 202")
        assert server.wait() == (0, "")
    hub, one = node.collection("hub"), node.collection("one")
    assert node.writer.execute("SELECT count(*) FROM entry WHERE id >> 40 = ?", (hub.number,)).fetchone() == (1,)
    assert [read.account for read in reads_of(node.writer, one.number, 60)] == ["soc"]


def head(node: TaxiiNode, length: int) -> bytes:
    return (
        "POST /api/collections/hub/objects/ HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: Bearer {node.keys['soc']}\r\nAccept: {TAXII}\r\nContent-Type: {TAXII}\r\n"
        f"Content-Length: {length}\r\n\r\n"
    ).encode()


def test_a_second_server_is_told_that_the_port_is_taken(node: TaxiiNode) -> None:
    """A port in use is an error that names it; the workers' shared port would otherwise split the clients."""
    with running(node.file) as server:
        second = subprocess.run(
            [sys.executable, taxii_process.__file__, str(node.file), str(server.port), "1", taxii_process.told()],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert second.returncode != 0
        assert f"port {server.port} cannot be listened on" in second.stderr
        assert get(node, server.url).status_code == 200


def test_a_worker_that_is_killed_is_replaced(node: TaxiiNode) -> None:
    """The server goes on when one of its workers dies, with a new one in its place."""
    with running(node.file, workers=2) as server:
        victim = server.workers[0]
        os.kill(victim, signal.SIGKILL)
        until = time.monotonic() + 60
        while victim in server.workers or len(server.workers) < 2:
            assert time.monotonic() < until, server.workers
            time.sleep(0.1)
        assert get(node, server.url).status_code == 200
        assert server.stop()[0] == 0


def test_workers_do_not_outlive_their_parent(node: TaxiiNode) -> None:
    """kill -9 of the server frees its port within seconds, so that it can be started again."""
    with running(node.file, workers=2) as server:
        workers = server.workers
        server.process.kill()
        until = time.monotonic() + 30
        while any(Path(f"/proc/{worker}").exists() for worker in workers):
            assert time.monotonic() < until
            time.sleep(0.1)
        with running(node.file, server.port) as again:
            assert get(node, again.url).status_code == 200


def test_half_open_connections_and_slow_bodies(node: TaxiiNode) -> None:
    """With 200 half-open connections and 60 bodies that hardly move, 99 of 100 honest requests take under a second."""
    with running(node.file) as server, ExitStack() as open_things:
        for _ in range(200):
            half = open_things.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            half.sendall(b"GET /taxii2/ HTTP/1.1\r\nHost: local")
        for _ in range(60):
            slow = open_things.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            slow.sendall(head(node, 100_000) + b'{"obj')
        time.sleep(0.5)
        with ThreadPoolExecutor(4) as pool:
            waits = sorted(pool.map(lambda _: honest(node, server), range(100)))
        assert waits[98] < 1, waits[-10:]


def honest(node: TaxiiNode, server: Server) -> float:
    began = time.monotonic()
    assert len(get(node, server.url).json()["objects"]) == 100
    answer = requests.post(
        f"{server.url}/api/collections/hub/objects/",
        json={"objects": [indicator(1)]},
        headers={"Accept": TAXII, "Content-Type": TAXII, "Authorization": f"Bearer {node.keys['soc']}"},
        timeout=20,
    )
    assert answer.status_code == 202
    return time.monotonic() - began


def test_the_access_log_on_stderr(node: TaxiiNode) -> None:
    """A line a request goes to the journal, where stderr is; workers write whole lines, whoever else writes."""
    with running(node.file, 0, 2, settings={"access_log": "/dev/stderr"}) as server:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: get(node, server.url), range(40)))
        code, rest = server.stop()
    lines = [json.loads(line) for line in rest.splitlines()]
    assert (code, len([line for line in lines if line["account"] == "soc" and line["objects"] == 100])) == (0, 40)


def test_slow_bodies_without_an_account_are_refused(node: TaxiiNode) -> None:
    """Whoever has no key is answered 401 before any of his body is read."""
    with running(node.file) as server, socket.create_connection(("127.0.0.1", server.port), timeout=5) as stranger:
        stranger.sendall(head(node, 100_000).replace(node.keys["soc"].encode(), b"ts_x"))
        assert stranger.recv(100).startswith(b"HTTP/1.1 401")


def test_a_body_that_is_too_large_is_refused_at_once(node: TaxiiNode) -> None:
    """100 MB announced are refused before they are sent, and chunked ones once they pass the limit."""
    with running(node.file) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as large:
            large.sendall(head(node, 100_000_000))
            assert large.recv(100).startswith(b"HTTP/1.1 413")
        chunks = (b"x" * 1_000_000 for _ in range(12))
        headers = {"Content-Type": TAXII, "Authorization": f"Bearer {node.keys['soc']}"}
        answer = requests.post(f"{server.url}/api/collections/hub/objects/", data=chunks, headers=headers, timeout=20)
        assert answer.status_code == 413
        body = json.dumps({"objects": [indicator(9_001)]}).encode()
        halves = (half for half in (body[:99], body[99:]))
        answer = requests.post(f"{server.url}/api/collections/hub/objects/", data=halves, headers=headers, timeout=20)
        assert (answer.status_code, answer.json()["success_count"]) == (202, 1)


def test_many_clients_at_once(node: TaxiiNode) -> None:
    """Fifty clients that read and write at the same time are all served rightly."""
    with running(node.file, workers=2) as server, ThreadPoolExecutor(25) as pool:

        def one(number: int) -> tuple[int, int]:
            answer = requests.post(
                f"{server.url}/api/collections/hub/objects/",
                json={"objects": [indicator(9_000 + number)]},
                headers={"Content-Type": TAXII, "Authorization": f"Bearer {node.keys['soc']}"},
                timeout=30,
            )
            return answer.json()["success_count"], len(get(node, server.url).json()["objects"])

        assert set(pool.map(one, range(50))) == {(1, 100)}
    hub = node.collection("hub")
    seqs = node.writer.execute(
        "SELECT id & 0xffffffffff FROM entry WHERE id >> 40 = ? ORDER BY added", (hub.number,)
    ).fetchall()
    assert [row[0] for row in seqs] == list(range(1, 51))


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_tls(node: TaxiiNode, authority: trustme.CA, tmp_path: Path) -> None:
    """With a certificate the server speaks TLS, from 1.2 on, with authenticated ciphers only; its URL says https."""
    files = pem(authority, tmp_path)
    trusted = str(tmp_path / "ca.pem")
    authority.cert_pem.write_to_path(trusted)
    with running(node.file, 0, 1, *files) as server:
        assert server.url.startswith("https://")
        assert get(node, server.url, verify=trusted).status_code == 200
        for version, ciphers in ((ssl.TLSVersion.TLSv1_1, "ALL:@SECLEVEL=0"), (ssl.TLSVersion.TLSv1_2, UNSEALED)):
            old = ssl.create_default_context(cafile=trusted)
            old.minimum_version = old.maximum_version = version
            old.set_ciphers(ciphers)
            with (
                socket.create_connection(("127.0.0.1", server.port), timeout=5) as plain,
                pytest.raises(ssl.SSLError, match="ALERT"),
            ):
                old.wrap_socket(plain, server_hostname="127.0.0.1")


def test_client_certificates(node: TaxiiNode, authority: trustme.CA, tmp_path: Path) -> None:
    """Where client certificates are demanded, none and one of another authority are refused."""
    trusted = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(trusted))
    with running(node.file, 0, 1, *pem(authority, tmp_path), trusted) as server:
        for name, maker in (("mine", authority), ("foreign", trustme.CA())):
            client = maker.issue_cert(f"{name}@example.org")
            client.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / f"{name}.pem"))
        good = get(node, server.url, verify=str(trusted), cert=str(tmp_path / "mine.pem"))
        assert good.status_code == 200
        for cert in (None, str(tmp_path / "foreign.pem")):
            with pytest.raises(requests.ConnectionError):
                get(node, server.url, verify=str(trusted), cert=cert)


def pem(authority: trustme.CA, folder: Path) -> tuple[Path, Path]:
    issued = authority.issue_cert("127.0.0.1")
    certificate, key = folder / "server.pem", folder / "server.key"
    certificate.write_bytes(b"".join(one.bytes() for one in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(str(key))
    return certificate, key
