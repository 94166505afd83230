"""Posting to servers that misbehave: time, bytes and addresses stay within their limits."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from clocks import FixedClock
from fake_ais import HOST, make_pki
from threatshare.errors import PartnerError
from threatshare.feeds.access import Access
from threatshare.feeds.egress import Limits
from threatshare.feeds.session import Answer, BadStatus, Busy, PartnerSession

BODY = b"x" * (16 * 1024 * 1024)
"""More than what the buffers of a connection hold."""
Talk = Callable[[socket.socket], None]


@contextmanager
def _server(talk: Talk, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Accepts connections on loopback, a thread each, and talks as told; gives the port."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve(sock: socket.socket) -> None:
        try:
            with tls.wrap_socket(sock, server_side=True) if tls else sock as wrapped:
                talk(wrapped)
        except OSError:
            # The client has had enough.
            return

    def accept() -> None:
        while True:
            try:
                sock, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(sock,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(5)


def _session(home: str, **choices: Any) -> PartnerSession:
    access = Access(allow_private_address=True, **choices)
    limits = Limits(1.0, 3.0, 100_000, connect_seconds=1.0, silence_seconds=0.5)
    return PartnerSession(home, access, limits, clock=FixedClock(), resolve=lambda host, port: ["127.0.0.1"])


def _post(port: int, body: bytes = b"{}", path: str = "/a", home: str = "", **choices: Any) -> Answer:
    session = _session(home or f"http://127.0.0.1:{port}/", **choices)
    try:
        return session.post(f"http://127.0.0.1:{port}{path}", body, place="target north", headers={})
    finally:
        session.close()


def _read_request(sock: socket.socket) -> bytes:
    """Reads a request with a body of two bytes."""
    got = b""
    while not got.endswith(b"\r\n\r\n{}"):
        piece = sock.recv(65_536)
        if not piece:
            return got
        got += piece
    return got


def _answers(*lines: str, body: bytes = b"", read: list[bytes] | None = None) -> Talk:
    def talk(sock: socket.socket) -> None:
        got = _read_request(sock)
        if read is not None:
            read.append(got)
        head = "\r\n".join((*lines, f"Content-Length: {len(body)}", "", ""))
        sock.sendall(head.encode() + body)

    return talk


def _hangs(sock: socket.socket) -> None:
    time.sleep(5)


def _dawdles(sock: socket.socket) -> None:
    # Every read makes a little room, so that no single write ever waits for long.
    ends = time.monotonic() + 5
    while time.monotonic() < ends and sock.recv(4_096):
        time.sleep(0.02)


@pytest.mark.parametrize("talk", [_hangs, _dawdles])
@pytest.mark.parametrize("encrypted", [False, True])
def test_a_body_that_nobody_wants(tmp_path: Path, talk: Talk, encrypted: bool) -> None:
    """A server that does not read, or reads drop by drop, costs no more than the deadline."""
    pki = make_pki(tmp_path)
    with _server(talk, pki.server if encrypted else None) as port:
        home = f"https://{HOST}:{port}/" if encrypted else f"http://127.0.0.1:{port}/"
        files = {"ca_file": pki.ca_file, "client_cert": pki.client_cert} if encrypted else {}
        session = _session(home, **files)
        began = time.monotonic()
        with pytest.raises(PartnerError, match=r"took longer than 1 s|no answer in time"):
            session.post(home, BODY, place="target north", headers={})
        session.close()
    assert time.monotonic() - began < 3


def test_the_length_is_stated_and_the_body_whole() -> None:
    """The body goes with its length, as servers need it that take no chunks, and credentials go with it."""
    read: list[bytes] = []
    with _server(_answers("HTTP/1.1 202 Accepted", body=b"{}", read=read)) as port:
        answer = _post(port, token="secret")
    assert (answer.status, answer.body) == (202, b"{}")
    head = read[0].lower()
    assert b"content-length: 2\r\n" in head
    assert b"transfer-encoding" not in head
    assert b"authorization: bearer secret" in head


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(status: int) -> None:
    """A redirect of a POST is an answer of its own, on the same host too; the body goes nowhere else."""
    read: list[bytes] = []
    with _server(_answers(f"HTTP/1.1 {status} Moved", "Location: /b", body=b"moved", read=read)) as port:
        with pytest.raises(BadStatus, match=f"HTTP {status}") as caught:
            _post(port)
        assert caught.value.status == status
    assert len(read) == 1


def test_another_origin() -> None:
    """Nothing is sent to another host, port or scheme than the configured."""
    read: list[bytes] = []
    with (
        _server(_answers("HTTP/1.1 202 Accepted", read=read)) as port,
        pytest.raises(PartnerError, match="which is not on http"),
    ):
        _post(port, home="http://127.0.0.1:1/")
    assert read == []


def test_metadata_services_are_no_partners() -> None:
    """A name that leads to a cloud's metadata service is refused before anything is sent."""
    access = Access(allow_private_address=True)
    session = PartnerSession(
        "http://x.example/", access, Limits(1.0, 3.0, 1_000), clock=FixedClock(), resolve=lambda *_: ["169.254.169.254"]
    )
    with pytest.raises(PartnerError, match="metadata"):
        session.post("http://x.example/", b"{}", place="target north", headers={})


def test_what_comes_with_an_error_is_read_within_limits() -> None:
    """The words beside an error are kept where they are few; more of them change nothing about the error."""
    with _server(_answers("HTTP/1.1 422 No", body=b'{"title": "why"}')) as port:
        with pytest.raises(BadStatus) as caught:
            _post(port)
        assert caught.value.body == b'{"title": "why"}'
    with _server(_answers("HTTP/1.1 422 No", body=b"x" * 70_000)) as port:
        with pytest.raises(BadStatus) as caught:
            _post(port)
        assert (caught.value.status, caught.value.body) == (422, b"")


def test_an_answer_that_is_too_large() -> None:
    """A receipt over the limit is refused."""
    with (
        _server(_answers("HTTP/1.1 202 Accepted", body=b"x" * 200_000)) as port,
        pytest.raises(PartnerError, match="larger than 100000 bytes"),
    ):
        _post(port)


def test_busy_is_no_answer() -> None:
    """A server that asks to be left alone says for how long."""
    with _server(_answers("HTTP/1.1 429 Slow", "Retry-After: 7")) as port:
        with pytest.raises(Busy) as caught:
            _post(port)
        assert caught.value.retry_after == 7.0


def test_a_connection_that_was_closed_in_between() -> None:
    """A kept connection that the server has closed is opened again, and the body sent from its beginning."""
    read: list[bytes] = []
    with _server(_answers("HTTP/1.1 202 Accepted", body=b"{}", read=read)) as port:
        session = _session(f"http://127.0.0.1:{port}/")
        for _ in range(3):
            answer = session.post(f"http://127.0.0.1:{port}/a", b"{}", place="target north", headers={})
            assert answer.body == b"{}"
            # The server says nothing of closing, and closes.
            time.sleep(0.05)
        session.close()
    assert [one.endswith(b"\r\n\r\n{}") for one in read] == [True] * 3
