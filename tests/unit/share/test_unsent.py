from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from taxii_node import TAXII, TaxiiNode, basic, indicator
from taxii_process import running
from threatshare.share.access import ACCESS
from threatshare.share.app import utc_now
from threatshare.share.negotiation import Environ, StartResponse
from threatshare.share.unsent import Unsent

LARGE = 1_100_000


def answering(_environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Length", str(LARGE))])
    return [b"x" * LARGE]


class Client:
    """Asks as one account and remembers how it was answered."""

    def __init__(self, unsent: Unsent) -> None:
        self._unsent = unsent

    def ask(self, account: str) -> tuple[str, Iterator[bytes]]:
        told: list[str] = []

        def begin(status: str, _headers: Any, *_more: Any) -> None:
            told.append(status[:3])

        ACCESS.begin()
        ACCESS.account = account
        answer = self._unsent({}, begin)
        return told[0], iter(answer)


@pytest.fixture
def client() -> Client:
    return Client(Unsent(answering, most=4 * LARGE, most_of_account=2 * LARGE))


def test_what_an_account_leaves_unread_is_bounded(client: Client) -> None:
    """Beyond its bound an account is answered 503 until it has read or left; another is answered all the while."""
    (one, first), (two, second), (three, refused) = (client.ask("greedy") for _ in range(3))
    assert (one, two, three) == ("200", "200", "503")
    assert json.loads(b"".join(refused))["http_status"] == "503"
    other, _kept = client.ask("other")
    assert other == "200"
    assert len(b"".join(first)) == LARGE
    again, _again = client.ask("greedy")
    assert (again, client.ask("greedy")[0]) == ("200", "503")
    del second
    assert client.ask("greedy")[0] == "200"


def test_all_accounts_together_are_bounded_and_each_has_one(client: Client) -> None:
    """Whatever others leave unread, an account is answered one request at a time."""
    kept = [client.ask(name) for name in ("a", "a", "b", "b", "c", "c")]
    assert [status for status, _ in kept] == ["200", "200", "200", "200", "200", "503"]


def test_nobody_reads(tmp_path: Path) -> None:
    """Of twelve connections that ask for 12 MB and never read, those beyond the account's bound get 503."""
    with TaxiiNode(tmp_path, clock=utc_now) as node, ExitStack() as open_things:
        node.collection("one")
        for name in ("greedy", "other"):
            node.account(name, read=["one"])
        node.publish("one", *(indicator(number, description="x" * 2_000_000) for number in range(6)))
        with running(node.file) as server:
            asking = [open_things.enter_context(_asking(node, server.port, "greedy")) for _ in range(12)]
            statuses = [one.recv(12)[9:] for one in asking]
            assert (statuses.count(b"200"), statuses.count(b"503")) == (4, 8)
            with _asking(node, server.port, "other") as honest:
                assert honest.recv(12)[9:] == b"200"
            for one in asking:
                one.close()
            until = time.monotonic() + 30
            while time.monotonic() < until:
                with _asking(node, server.port, "greedy") as again:
                    if again.recv(12)[9:] == b"200":
                        return
            pytest.fail("connections that are closed still count")


def _asking(node: TaxiiNode, port: int, account: str) -> socket.socket:
    asking = socket.socket()
    asking.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
    asking.settimeout(10)
    asking.connect(("127.0.0.1", port))
    key = basic(account, node.keys[account])
    head = f"GET /api/collections/one/objects/ HTTP/1.1\r\nHost: x\r\nAccept: {TAXII}\r\nAuthorization: {key}\r\n\r\n"
    asking.sendall(head.encode())
    return asking
