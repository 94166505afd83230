"""Every fault of a partner's server, for every kind of feed and through the whole path: from the socket to the store.

Of each: it ends in time and in little memory, its reason is stored, what came before it stays, the cursor is behind
the last whole page, another feed of the same node is pulled right after it, and once the server is mended the feed is.
"""

from __future__ import annotations

import gzip
import shutil
import socket
import struct
import zlib
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from clocks import FixedClock
from hostile_node import KINDS, MEGABYTE, PATHS, TYPES, WHOLE, Fault, Puller, good, is_second
from hostile_server import HostileServer, Talk
from nodes import make_node
from threatshare.node import opened

_NUMBERS = count()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A node's directory."""
    folder = tmp_path_factory.mktemp("hostile") / "node"
    make_node(folder)
    return folder


@pytest.fixture(scope="module")
def puller(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Puller]:
    """The node at work, with feeds of many tests in it."""
    folder = tmp_path_factory.mktemp("pulled") / "node"
    shutil.copytree(made, folder)
    with opened(folder, FixedClock()) as node:
        yield Puller(node)


def _head(talk: Talk, kind: str, *lines: str) -> None:
    talk.raw("\r\n".join(("HTTP/1.1 200 OK", f"Content-Type: {TYPES[kind]}", *lines, "", "")).encode("latin-1"))


def _slow(talk: Talk, kind: str) -> None:
    _head(talk, kind, "Content-Length: 100000")
    talk.until_stopped(lambda: b" ", 0.03)


def _slow_head(talk: Talk, kind: str) -> None:
    talk.raw(b"HTTP/1.1 200 OK\r\nX: ")
    talk.until_stopped(lambda: b"y", 0.03)


def _slow_chunks(talk: Talk, kind: str) -> None:
    _head(talk, kind, "Transfer-Encoding: chunked")
    talk.until_stopped(lambda: b"1\r\n \r\n", 0.03)


def _silent(talk: Talk, kind: str) -> None:
    talk.hang()


def _silent_within(talk: Talk, kind: str) -> None:
    _head(talk, kind, "Content-Length: 100000")
    talk.raw(b"[")
    talk.hang()


SLOW = {
    "slow body": _slow,
    "slow header": _slow_head,
    "slow chunks": _slow_chunks,
    "silence": _silent,
    "silence within the body": _silent_within,
}


def _endless(talk: Talk, kind: str) -> None:
    _head(talk, kind, "Connection: close")
    talk.until_stopped(lambda: b" " * MEGABYTE)


def _endless_chunks(talk: Talk, kind: str) -> None:
    _head(talk, kind, "Transfer-Encoding: chunked")
    talk.until_stopped(lambda: b"100000\r\n" + b" " * MEGABYTE + b"\r\n")


def _bomb(talk: Talk, kind: str) -> None:
    _head(talk, kind, "Content-Encoding: gzip", "Connection: close")
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    talk.until_stopped(lambda: packer.compress(b" " * 16 * MEGABYTE))


def _bomb_in_bomb(talk: Talk, kind: str) -> None:
    inner = gzip.compress(b" " * 20 * MEGABYTE)
    talk.answer(gzip.compress(inner), content_type=TYPES[kind], Content_Encoding="gzip")


def _encoded(body: bytes, encoding: str) -> Fault:
    return lambda talk: talk.answer(body, content_type=TYPES[_kind_of(talk)], Content_Encoding=encoding)


def _kind_of(talk: Talk) -> str:
    return next(kind for kind in KINDS if talk.asked.path.startswith(PATHS[kind]))


def _status(status: int, **headers: str) -> Fault:
    return lambda talk: talk.answer(b"x", status, headers=headers)


def _reset(talk: Talk, kind: str) -> None:
    _head(talk, kind, "Content-Length: 100000")
    talk.raw(b"[" * 1000)
    talk.handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    talk.handler.connection.close()
    talk.hang_up()


def _ends(*lines: str, body: bytes = b"[") -> object:
    def fault(talk: Talk, kind: str) -> None:
        _head(talk, kind, *lines)
        talk.raw(body)
        talk.hang_up()

    return fault


def _longer_than_it_says(talk: Talk, kind: str) -> None:
    """What follows must not be taken for the next answer either."""
    _head(talk, kind, "Content-Length: 1")
    talk.raw(b"{" + b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\n45.66.6.6")
    talk.hang_up()


def _huge_head(talk: Talk, kind: str) -> None:
    talk.raw(b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: %s\r\n" % (n, b"y" * 60_000) for n in range(99)) + b"\r\n")
    talk.hang_up()


def _many_heads(talk: Talk, kind: str) -> None:
    talk.raw(b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(5000)) + b"\r\n")
    talk.hang_up()


def _raw(data: bytes) -> object:
    def fault(talk: Talk, kind: str) -> None:
        talk.raw(data)
        talk.hang_up()

    return fault


def _sent(body: bytes, content_type: str | None = None) -> object:
    return lambda talk, kind: talk.answer(body, content_type=content_type or TYPES[kind])


def _redirected(to: str) -> object:
    return lambda talk, kind: talk.answer(b"", 302, Location=to)


HTML = b"<!DOCTYPE html><title>Sign in</title><form>"
LARGE = "larger than 2097152 bytes"
NO_HTTP = "no proper HTTP|too early"
UNREADABLE = (
    "no TAXII envelope|no array of objects|neither a STIX|was expected|malformed|no MISP event|truncated|recursion"
    "|Expected|out of range"
)

FAULTS = {
    "endless body": (_endless, LARGE),
    "endless chunks": (_endless_chunks, LARGE),
    "gzip bomb": (_bomb, LARGE),
    "gzip bomb in a gzip": (_bomb_in_bomb, "compressed more than once|larger than"),
    "zstd": (lambda talk, kind: _encoded(b"\x28\xb5\x2f\xfd" + b"x" * 99, "zstd")(talk), "one layer of gzip"),
    "brotli": (lambda talk, kind: _encoded(b"x", "br")(talk), "one layer of gzip"),
    "two layers": (lambda talk, kind: _encoded(gzip.compress(b"x"), "gzip, gzip")(talk), "one layer of gzip"),
    "broken gzip": (lambda talk, kind: _encoded(b"\x1f\x8bnonsense", "gzip")(talk), "gzip is broken"),
    "short gzip": (lambda talk, kind: _encoded(gzip.compress(b" " * 99)[:-9], "gzip")(talk), "ends too early"),
    "short body": (_ends("Content-Length: 100000"), "ended too early"),
    "short chunk": (_ends("Transfer-Encoding: chunked", body=b"ff\r\n["), "ended too early"),
    "chunks of nonsense": (_ends("Transfer-Encoding: chunked", body=b"zz\r\n[\r\n0\r\n\r\n"), NO_HTTP),
    "length of a terabyte": (_ends("Content-Length: 1099511627776"), LARGE),
    "length of many digits": (_ends("Content-Length: " + "9" * 5000), f"{LARGE}|{NO_HTTP}"),
    "two lengths": (_ends("Content-Length: 9", "Content-Length: 5000"), f"{NO_HTTP}|ended too early"),
    "two lengths in one": (_ends("Content-Length: 9, 5000"), f"{NO_HTTP}|ended too early"),
    "reset within the body": (_reset, "reset|too early"),
    "hang-up": (_raw(b""), "without an answer"),
    "no HTTP": (_raw(b"220 mail.example ESMTP\r\n"), NO_HTTP),
    "status of nonsense": (_raw(b"HTTP/1.1 99999 Yes\r\n\r\n"), f"{NO_HTTP}|HTTP"),
    "huge headers": (_huge_head, f"{LARGE}|{NO_HTTP}|media type|reset|Broken pipe"),
    "many headers": (_many_heads, NO_HTTP),
    "redirects without end": (lambda talk, kind: talk.answer(b"", 302, Location=talk.handler.path), "redirects"),
    "redirect to metadata": (_redirected("http://169.254.169.254/latest/meta-data/"), "not on"),
    "redirect to loopback": (_redirected("http://127.0.0.1:1/"), "not on"),
    "redirect to IPv4 in IPv6": (_redirected("http://[::ffff:169.254.169.254]/"), "not on"),
    "redirect to a decimal host": (_redirected("http://2852039166/"), "not on"),
    "redirect to a file": (_redirected("file:///etc/passwd"), "not on"),
    "redirect to nonsense": (_redirected("http://[x/"), "cannot be read"),
    "redirect of many characters": (_redirected("http://x.example/" + "y" * 60_000), "not on"),
    "login page": (_sent(HTML, "text/html"), "unexpected media type"),
    "image": (_sent(b"\x89PNG", "image/png"), "unexpected media type"),
    "not found": (lambda talk, kind: _status(404)(talk), "HTTP 404"),
    "no longer allowed": (lambda talk, kind: _status(401)(talk), "HTTP 401"),
    "error": (lambda talk, kind: _status(500)(talk), "HTTP 500"),
    "part": (lambda talk, kind: _status(206)(talk), "HTTP 206"),
    "busy": (lambda talk, kind: _status(503, **{"Retry-After": "7"})(talk), "HTTP 503"),
}
"""Faults of HTTP, whatever is fetched; and what the reason must say."""

CONTENTS = {
    "more than it says": (_longer_than_it_says, UNREADABLE),
    "login page under a right type": (_sent(HTML), UNREADABLE),
    "nothing": (_sent(b""), UNREADABLE),
    "nesting without end": (_sent(b'{"objects":' + b'{"a":' * 100_000), UNREADABLE),
    "brackets": (_sent(b"[" * MEGABYTE), UNREADABLE),
    "number of a million digits": (_sent(b'{"objects":' + b"9" * MEGABYTE + b"}"), UNREADABLE),
    "binary": (_sent(bytes(range(256)) * 1000), UNREADABLE),
    "UTF-16": (_sent('{"objects":[]}'.encode("utf-16")), UNREADABLE),
}
"""Faults of what is fetched; a list is no JSON and keeps such rows aside."""


def _check(puller: Puller, kind: str, fault: object, reason: str, seconds: float, **limits: object) -> None:
    name = f"{kind}-{next(_NUMBERS)}"
    state = {"fault": False}

    def behave(talk: Talk) -> None:
        if talk.asked.path.startswith("/well"):
            talk.answer(b"45.88.0.%d\n" % talk.number, content_type="text/plain")
        elif state["fault"] and is_second(kind, talk):
            fault(talk, kind)  # type: ignore[operator]
        else:
            good(kind, talk)

    with HostileServer(behave) as server:
        puller.add(name, kind, server)
        if kind in ("stix", "list"):
            # One answer is the whole of it: what came before a fault came in an earlier run.
            assert puller.pull(name).status == "ok"
        stood, cursor = puller.claims(name), puller.cursor(name)
        state["fault"] = True
        puller.change(name, **limits)
        report = puller.pull(name)
        assert report.status == "failed"
        assert report.error is not None
        assert _matches(reason, report.error), report.error
        assert f"feed {name}" in report.error
        assert len(report.error) < 1000
        cost = puller.costs[name]
        assert cost.seconds < seconds
        assert cost.megabytes < 100
        if kind in ("stix", "list"):
            assert (puller.claims(name), puller.cursor(name)) == (stood, cursor)
        else:
            assert puller.claims(name) == WHOLE
            assert puller.cursor(name) not in (None, cursor)
        puller.add(f"{name}-well", "list", server, "/well")
        well = puller.pull(f"{name}-well")
        assert (well.status, well.objects) == ("ok", 1)
        state["fault"] = False
        puller.add(name, kind, server)
        assert puller.pull(name).status == "ok"
        assert puller.claims(name) == 2 * WHOLE


def _matches(pattern: str, text: str) -> bool:
    return any(one in text for one in pattern.split("|"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", SLOW)
def test_slow(puller: Puller, kind: str, name: str) -> None:
    """However slowly a server speaks, in whatever part of its answer, the page's deadline ends it."""
    _check(puller, kind, SLOW[name], "took longer than|no answer in time", 3.0, page_deadline_seconds=0.2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FAULTS)
def test_fault(puller: Puller, kind: str, name: str) -> None:
    """A fault of HTTP ends the run with its reason."""
    fault, reason = FAULTS[name]
    _check(puller, kind, fault, reason, 5.0)


@pytest.mark.parametrize("kind", ["taxii", "stix", "misp"])
@pytest.mark.parametrize("name", CONTENTS)
def test_content(puller: Puller, kind: str, name: str) -> None:
    """What is no JSON of its kind ends the run with its reason."""
    fault, reason = CONTENTS[name]
    _check(puller, kind, fault, reason, 5.0)
