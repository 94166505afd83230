"""Bodies that never come, by the hundred: the server ends them, and honest clients notice nothing."""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests
import trustme

from taxii_node import TAXII, TaxiiNode, indicator
from taxii_process import running
from threatshare.model import CollectionKind
from threatshare.share.app import utc_now
from threatshare.share.stalled import Patience

PATIENCE = Patience(head=1.0, body=0.5)
ENDED_SECONDS = 15
"""Within which a silent body is ended under that patience, on a busy machine."""
PATH = "/api/collections/hub/objects/"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[TaxiiNode]:
    with TaxiiNode(tmp_path, clock=utc_now) as made:
        made.collection("hub", CollectionKind.EXCHANGE)
        for name in ("soc", "m1", "m2", "m3", "m4", "m5"):
            made.account(name, read=["hub"], write=["hub"])
        yield made


def half(node: TaxiiNode, account: str, chunked: bool = False) -> bytes:
    length = "Transfer-Encoding: chunked" if chunked else "Content-Length: 100000"
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {node.keys[account]}\r\nAccept: {TAXII}\r\n"
    )
    return f"{head}Content-Type: {TAXII}\r\n{length}\r\n\r\n".encode() + (b"9\r\n" if chunked else b'{"obj')


def honest(node: TaxiiNode, url: str) -> float:
    began = time.monotonic()
    who = ("soc", node.keys["soc"])
    answer = requests.post(
        f"{url}{PATH}", json={"objects": [indicator(1)]}, headers={"Content-Type": TAXII}, auth=who, timeout=20
    )
    assert answer.status_code == 202, answer.text
    assert requests.get(f"{url}{PATH}", auth=who, timeout=20).status_code == 200
    return time.monotonic() - began


def is_over(client: socket.socket) -> bool:
    """Whether the server has answered or ended a connection within its time."""
    try:
        return client.recv(100) is not None
    except ConnectionError:
        return True
    except TimeoutError:
        return False


def test_silent_bodies_by_the_hundred(node: TaxiiNode) -> None:
    """With 200 half-open connections, 60 slow and 300 silent bodies honest clients wait less than a second, and later
    all silent ones are ended and their senders' slots free."""
    with running(node.file, patience=PATIENCE) as server, ExitStack() as held:

        def opened(sent: bytes) -> socket.socket:
            client = held.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=ENDED_SECONDS))
            client.sendall(sent)
            return client

        for _ in range(200):
            opened(b"GET /taxii2/ HTTP/1.1\r\nHost: local")
        slow = [opened(half(node, f"m{1 + number % 5}")) for number in range(60)]
        silent = [opened(half(node, f"m{1 + number % 5}", chunked=number % 2 == 0)) for number in range(300)]
        with ThreadPoolExecutor(4) as pool:
            waits = sorted(pool.map(lambda _: honest(node, server.url), range(60)))
            for one in slow:
                one.sendall(b"x")
            assert waits[58] < 1, waits[-5:]
            assert all(map(is_over, silent + slow))
            assert max(pool.map(lambda _: honest(node, server.url), range(8))) < 1
        # Each account may hold 64: none is counted any more.
        fresh = [opened(half(node, "m1")) for _ in range(60)]
        time.sleep(0.3)
        for one in fresh:
            one.settimeout(0.001)
        assert not any(map(is_over, fresh)), "one was refused"


def test_silent_bodies_over_tls(node: TaxiiNode, tmp_path: Path) -> None:
    """Over TLS a silent body is ended too, while a client that reads slowly is sent all of a long answer."""
    authority = trustme.CA()
    certificate, key, trusted = tmp_path / "server.pem", tmp_path / "server.key", tmp_path / "ca.pem"
    issued = authority.issue_cert("127.0.0.1")
    issued.cert_chain_pems[0].write_to_path(certificate)
    issued.private_key_pem.write_to_path(key)
    authority.cert_pem.write_to_path(trusted)
    node.collection("one")
    node.publish("one", *(indicator(number, description="x" * 2_000) for number in range(3_000)))
    node.account("siem", read=["one"])
    context = ssl.create_default_context(cafile=trusted)
    with running(node.file, 0, 1, certificate, key, patience=PATIENCE) as server, ExitStack() as held:

        def opened(sent: bytes) -> ssl.SSLSocket:
            plain = socket.create_connection(("127.0.0.1", server.port), timeout=ENDED_SECONDS)
            client = held.enter_context(context.wrap_socket(plain, server_hostname="127.0.0.1"))
            client.sendall(sent)
            return client

        reader = opened(
            "GET /api/collections/one/objects/?limit=3000 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            f"Authorization: Bearer {node.keys['siem']}\r\n\r\n".encode()
        )
        silent = [opened(half(node, "m1", chunked=number % 2 == 0)) for number in range(6)]
        assert all(map(is_over, silent))
        with reader.makefile("rb") as answer:
            body = answer.read().partition(b"\r\n\r\n")[2]
        assert len(json.loads(body)["objects"]) == 3_000
