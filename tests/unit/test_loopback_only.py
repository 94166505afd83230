"""The wall around the tests holds: a test that is not shut in could talk to strangers."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest
import requests

from loopback_only import OutsideLoopback, is_loopback

ELSEWHERE = "192.0.2.1"
"""TEST-NET-1 (RFC 5737): no machine has it, should the wall fail."""


def test_connections_to_other_machines_are_refused() -> None:
    """A connection to another machine never leaves, whatever opens it."""
    with socket.socket() as plug, pytest.raises(OutsideLoopback):
        plug.connect((ELSEWHERE, 80))
    with pytest.raises(OutsideLoopback):
        requests.get(f"http://{ELSEWHERE}/", timeout=1)


def test_datagrams_to_other_machines_are_refused() -> None:
    """A datagram to another machine never leaves."""
    with socket.socket(type=socket.SOCK_DGRAM) as plug, pytest.raises(OutsideLoopback):
        plug.sendto(b"x", (ELSEWHERE, 53))


@pytest.mark.parametrize("ask", [socket.gethostbyname, lambda name: socket.getaddrinfo(name, 80)])
def test_names_are_not_looked_up(ask: object) -> None:
    """A host name other than our own is never asked of a name server."""
    assert callable(ask)
    with pytest.raises(OutsideLoopback):
        ask("partner.invalid")


def test_children_are_shut_in_too() -> None:
    """A command that a test starts is refused the same connection."""
    code = f"import socket; socket.create_connection(({ELSEWHERE!r}, 80), 1)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert run.returncode == 1
    assert "OutsideLoopback" in run.stderr


def test_loopback_stays_open() -> None:
    """Servers on this machine are reached as ever, by address and by name."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        socket.create_connection(("localhost", port), 5).close()
        socket.create_connection(("127.0.0.1", port), 5).close()


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.255.0.9", True),
        ("::1", True),
        ("localhost.", True),
        (b"localhost", True),
        ("0.0.0.0", False),
        ("localhost.partner.example", False),
        ("10.0.0.1", False),
        (None, False),
    ],
)
def test_only_loopback_counts_as_loopback(host: object, expected: bool) -> None:
    """Private ranges, the unspecified address and names that only begin with localhost are other machines."""
    assert is_loopback(host) is expected
