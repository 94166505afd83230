"""SIGHUP: everything is read anew while clients go on; counts go on too, over workers that come and go."""

from __future__ import annotations

import http.client
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import pytest
import requests
import trustme

from nodes import make_node
from taxii_node import TAXII, TaxiiNode, indicator
from taxii_process import Server, running
from threatshare.share.app import utc_now
from threatshare.store.accounts import grant
from threatshare.store.connection import transaction

OBJECTS = "/api/collections/one/objects/"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[TaxiiNode]:
    with TaxiiNode(tmp_path, clock=utc_now) as made:
        made.collection("one")
        made.account("soc", read=["one"])
        with transaction(made.writer):
            grant(made.writer, "soc", metrics=True)
        made.publish("one", *(indicator(number) for number in range(100)))
        yield made


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def issue(authority: trustme.CA, folder: Path) -> tuple[Path, Path]:
    """Writes a new certificate and its key over the old ones."""
    issued = authority.issue_cert("127.0.0.1")
    certificate, key = folder / "server.pem", folder / "server.key"
    certificate.write_bytes(b"".join(one.bytes() for one in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(str(key))
    return certificate, key


def reload(server: Server) -> str:
    server.process.send_signal(signal.SIGHUP)
    assert server.process.stderr is not None
    return server.process.stderr.readline()


class Clients:
    """Clients that ask without a pause until they are told to stop: two connect each time, one keeps its connection."""

    def __init__(self, server: Server, key: str, trusted: Path) -> None:
        self.served = 0
        self.failures: list[str] = []
        self.certificates: set[str] = set()
        self._stop = Event()
        self._server, self._trusted = server, str(trusted)
        self._headers = {"Authorization": f"Bearer {key}", "Accept": TAXII}
        self._threads = [Thread(target=self._ask, args=(work,)) for work in (self._fresh, self._fresh, self._kept)]

    def __enter__(self) -> Clients:
        self._context = ssl.create_default_context(cafile=self._trusted)
        self._session = requests.Session()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._session.close()

    def _ask(self, work: object) -> None:
        assert callable(work)
        while not self._stop.is_set():
            try:
                assert work() == 200
                self.served += 1
            except (OSError, AssertionError, http.client.HTTPException, requests.RequestException) as problem:
                self.failures.append(repr(problem))

    def _fresh(self) -> int:
        client = http.client.HTTPSConnection("127.0.0.1", self._server.port, context=self._context, timeout=20)
        client.connect()
        shown = client.sock.getpeercert()
        self.certificates.add(str(shown["serialNumber"] if shown else None))
        client.request("GET", OBJECTS, headers=self._headers)
        answer = client.getresponse()
        answer.read()
        client.close()
        return answer.status

    def _kept(self) -> int:
        url = self._server.url + OBJECTS
        return self._session.get(url, headers=self._headers, verify=self._trusted, timeout=20).status_code


@pytest.mark.parametrize("workers", [1, 2])
def test_certificates_are_swapped_under_load(
    node: TaxiiNode, authority: trustme.CA, tmp_path: Path, workers: int
) -> None:
    """Three new certificates are taken up one after the other while clients loop, and not one request fails."""
    trusted = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(trusted))
    with running(node.file, 0, workers, *issue(authority, tmp_path)) as server:
        before = server.workers
        with Clients(server, node.keys["soc"], trusted) as clients:
            for _ in range(3):
                issue(authority, tmp_path)
                assert reload(server) == "reloaded\n"
            time.sleep(0.2)
        assert clients.failures == []
        assert len(clients.certificates) == 4
        assert clients.served > 100
        assert not set(before) & set(server.workers)
        assert server.stop() == (0, "")


def test_a_broken_certificate_changes_nothing(node: TaxiiNode, authority: trustme.CA, tmp_path: Path) -> None:
    """What cannot be served with is told on stderr, and the old workers go on with what they have."""
    trusted = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(trusted))
    certificate, key = issue(authority, tmp_path)
    with running(node.file, 0, 1, certificate, key) as server:
        before = server.workers
        certificate.write_text("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
        assert reload(server).startswith("not reloaded, the server goes on as it was: ")
        assert server.workers == before
        answer = requests.get(server.url + "/health", verify=str(trusted), timeout=10)
        assert answer.text == "ok\n"
        issue(authority, tmp_path)
        assert reload(server) == "reloaded\n"


def test_a_worker_that_does_not_start_replaces_none(node: TaxiiNode) -> None:
    """Where the new worker fails, the old one serves on, and a later reload succeeds."""
    with running(node.file) as server:
        moved = node.file.rename(node.file.with_name("moved"))
        server.process.send_signal(signal.SIGHUP)
        assert server.process.stderr is not None
        lines = iter(server.process.stderr.readline, "")
        assert any(line.startswith("not reloaded, a new worker") for line in lines)
        assert requests.get(server.url + "/health", timeout=10).text == "ok\n"
        assert requests.get(server.url + "/ready", timeout=10).status_code == 503
        moved.rename(node.file)
        server.process.send_signal(signal.SIGHUP)
        assert any(line == "reloaded\n" for line in lines)
        assert requests.get(server.url + "/ready", timeout=10).status_code == 200


def test_a_stop_during_a_reload_is_obeyed(node: TaxiiNode) -> None:
    """SIGTERM that comes while workers are replaced ends the server soon, with 0."""
    with running(node.file, 0, 2) as server:
        server.process.send_signal(signal.SIGHUP)
        time.sleep(0.3)
        began = time.monotonic()
        assert server.stop()[0] == 0
        assert time.monotonic() - began < 10


def counted(node: TaxiiNode, server: Server) -> float:
    answer = requests.get(server.url + "/metrics", headers={"Authorization": f"Bearer {node.keys['soc']}"}, timeout=10)
    assert answer.status_code == 200
    wanted = 'threatshare_requests_total{method="GET",route="/{root}/",status="200"}'
    return sum(float(line.split()[-1]) for line in answer.text.splitlines() if line.startswith(wanted))


def test_workers_are_counted_together(node: TaxiiNode) -> None:
    """Whichever worker is asked, the sum over all is soon exact; it never falls, through reloads and kill -9."""
    with running(node.file, 0, 2) as server:

        def ask(times: int) -> None:
            for _ in range(times):
                answer = requests.get(
                    server.url + "/api/", headers={"Authorization": f"Bearer {node.keys['soc']}"}, timeout=10
                )
                assert answer.status_code == 200

        def settle(requests_made: int) -> None:
            until = time.monotonic() + 60
            last = 0.0
            while last < requests_made:
                assert time.monotonic() < until
                now = counted(node, server)
                assert now >= last
                last = now
            assert {counted(node, server) for _ in range(6)} == {requests_made}

        ask(20)
        settle(20)
        assert reload(server) == "reloaded\n"
        ask(5)
        settle(25)
        victim = server.workers[0]
        os.kill(victim, signal.SIGKILL)
        until = time.monotonic() + 60
        while victim in server.workers or len(server.workers) < 2:
            assert time.monotonic() < until
            time.sleep(0.1)
        ask(5)
        settle(30)


def test_configuration_is_read_anew(tmp_path: Path) -> None:
    """The command takes up a changed node.toml at SIGHUP, names what is wrong with a broken one, and serves on."""
    folder = make_node(tmp_path / "node").directory
    file = folder / "node.toml"
    process = subprocess.Popen(
        [sys.executable, "-m", "threatshare", "--node", str(folder), "serve", "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        url = process.stderr.readline().split()[-1]
        assert requests.get(url + "/taxii2/", timeout=60).status_code == 200
        text = file.read_text()
        file.write_text(text.replace("[serve]", "[serve]\nopen_discovery = false"))
        process.send_signal(signal.SIGHUP)
        assert process.stderr.readline() == "reloaded\n"
        assert requests.get(url + "/taxii2/", timeout=60).status_code == 401
        file.write_text(text.replace("[serve]", "[serve]\nopen_discovry = true"))
        process.send_signal(signal.SIGHUP)
        assert "open_discovry" in process.stderr.readline()
        file.write_text(text.replace("[serve]", '[serve]\naccess_log = "nowhere/access.log"'))
        process.send_signal(signal.SIGHUP)
        assert "serve.access_log" in process.stderr.readline()
        assert requests.get(url + "/taxii2/", timeout=60).status_code == 401
    finally:
        process.terminate()
        assert process.wait(60) == 0
        assert process.stderr is not None
        process.stderr.close()


def test_an_access_log_that_cannot_be_written_is_told_at_the_start(tmp_path: Path) -> None:
    """The server says in one line which file it is and ends with 3, before any worker starts."""
    node = make_node(tmp_path / "node")
    file = node.directory / "node.toml"
    file.write_text(file.read_text().replace("[serve]", '[serve]\naccess_log = "nowhere/access.log"'))
    done = node.run("serve", "--port", "0")
    assert done.returncode == 3
    assert "nowhere/access.log cannot be written" in done.stderr
    assert "Traceback" not in done.stderr
