"""Every fault of a partner's TAXII server: each ends in time and in little memory, after what came before it."""

from __future__ import annotations

import gzip
import json
import socket
import struct
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from clocks import FixedClock
from hostile_server import TAXII, HostileServer, Talk, envelope, indicators, opener
from threatshare.errors import BadValue, PartnerError
from threatshare.feeds.session import Busy
from threatshare.feeds.taxii import TaxiiFeed
from threatshare.ports import Page
from threatshare.stix.received import read_object

PAGE = 10
MEGABYTE = 1024 * 1024
DATED = {"X-TAXII-Date-Added-Last": "2026-02-01T00:00:00.123456Z"}
Fault = Callable[[Talk], None]


def _after_two_pages(fault: Fault) -> Fault:
    """Serves two good pages, then the fault."""

    def behave(talk: Talk) -> None:
        if talk.number <= 2:
            body = envelope(talk.number * PAGE, PAGE, more=True, next=f"n{talk.number}")
            talk.answer(body, headers=DATED)
        else:
            fault(talk)

    return behave


def _feed(server: HostileServer, **choices: Any) -> TaxiiFeed:
    ours: dict[str, Any] = {"page_size": PAGE, "max_pages": 50, "clock": FixedClock()}
    ours |= {name: choices.pop(name) for name in ("max_pages", "max_objects") if name in choices}
    return TaxiiFeed("isac", server.url(), None, opener(server, **choices), **ours)


def _chunked(talk: Talk, *more: str) -> None:
    talk.head("Transfer-Encoding: chunked", *more)


def _bomb(talk: Talk) -> None:
    """A gibibyte of blanks in a megabyte of gzip, made as it is sent."""
    talk.head("Content-Encoding: gzip", "Connection: close")
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    blanks = b" " * MEGABYTE
    for _ in range(1024):
        talk.raw(packer.compress(blanks))
    talk.raw(packer.flush())
    talk.hang_up()


def _double_gzip(talk: Talk) -> None:
    talk.answer(gzip.compress(gzip.compress(b" " * 50 * MEGABYTE)), Content_Encoding="gzip")


def _endless_body(talk: Talk) -> None:
    talk.head("Connection: close")
    talk.until_stopped(lambda: b" " * MEGABYTE)


def _endless_chunk_size(talk: Talk) -> None:
    _chunked(talk)
    talk.until_stopped(lambda: b"0" * MEGABYTE)


def _endless_chunk_extension(talk: Talk) -> None:
    _chunked(talk)
    talk.raw(b"5;x=")
    talk.until_stopped(lambda: b"y" * MEGABYTE)


def _negative_chunk(talk: Talk) -> None:
    _chunked(talk)
    talk.raw(b"-1\r\n")
    talk.until_stopped(lambda: b"y" * MEGABYTE)


def _endless_trailer(talk: Talk) -> None:
    _chunked(talk)
    talk.raw(b"0\r\n")
    talk.until_stopped(lambda: b"X: y\r\n" * 1000)


def _endless_continue(talk: Talk) -> None:
    talk.until_stopped(lambda: b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)


def _endless_headers(talk: Talk) -> None:
    talk.raw(b"HTTP/1.1 200 OK\r\n")
    talk.until_stopped(lambda: b"X: y\r\n" * 1000)


def _endless_header_line(talk: Talk) -> None:
    talk.raw(b"HTTP/1.1 200 OK\r\nX: ")
    talk.until_stopped(lambda: b"y" * MEGABYTE)


def _drip_body(talk: Talk) -> None:
    talk.head("Content-Length: 100000")
    talk.until_stopped(lambda: b" ", 0.05)


def _drip_headers(talk: Talk) -> None:
    talk.raw(b"HTTP/1.1 200 OK\r\nX: ")
    talk.until_stopped(lambda: b"y", 0.05)


def _hang_within(talk: Talk) -> None:
    talk.head("Content-Length: 100000")
    talk.raw(b'{"objects":[')
    talk.hang()


def _reset_within(talk: Talk) -> None:
    talk.head("Content-Length: 100000")
    talk.raw(b'{"objects":[')
    talk.handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    talk.handler.connection.close()
    talk.hang_up()


def _short_body(talk: Talk) -> None:
    talk.head("Content-Length: 100000")
    talk.raw(b'{"objects":[')
    talk.hang_up()


def _short_chunk(talk: Talk) -> None:
    _chunked(talk)
    talk.raw(b"ff\r\n{}")
    talk.hang_up()


def _short_gzip(talk: Talk) -> None:
    talk.answer(gzip.compress(envelope(0, 50))[:-20], Content_Encoding="gzip")


def _sent(body: bytes, content_type: str = TAXII, encoding: str | None = None) -> Fault:
    headers = {} if encoding is None else {"Content-Encoding": encoding}
    return lambda talk: talk.answer(body, content_type=content_type, headers=headers)


DEEP = b'{"objects":[' + b'{"a":' * 50_000 + b"1" + b"}" * 50_000 + b"]}"
SILENT = "took longer than|no answer in time"
LARGE = "larger than 2097152 bytes"
NO_HTTP = "no proper HTTP"
SHORT = "ended too early"
NO_ENVELOPE = "no TAXII envelope"

FAULTS: dict[str, tuple[Fault, str]] = {
    "hang": (lambda talk: talk.hang(), SILENT),
    "hang within the body": (_hang_within, SILENT),
    "drip": (_drip_body, SILENT),
    "drip in a header": (_drip_headers, SILENT),
    "bomb of a gibibyte": (_bomb, LARGE),
    "double gzip": (_double_gzip, "compressed more than once|larger than"),
    "double gzip, named": (_sent(gzip.compress(gzip.compress(b"{}")), encoding="gzip, gzip"), "one layer"),
    "deflate": (_sent(zlib.compress(b"{}"), encoding="deflate"), "one layer"),
    "zstd": (_sent(b"x", encoding="zstd"), "one layer"),
    "broken gzip": (_sent(b"\x1f\x8bnonsense", encoding="gzip"), "gzip is broken"),
    "short gzip": (_short_gzip, "gzip ends too early"),
    "body without end": (_endless_body, LARGE),
    "body of half a gigabyte": (lambda talk: talk.head("Content-Length: 536870912"), LARGE),
    "chunk size without end": (_endless_chunk_size, NO_HTTP),
    "chunk extension without end": (_endless_chunk_extension, NO_HTTP),
    "trailer without end": (_endless_trailer, f"{LARGE}|took longer"),
    "100 Continue without end": (_endless_continue, f"{LARGE}|took longer|{NO_HTTP}"),
    "headers without end": (_endless_headers, NO_HTTP),
    "header line without end": (_endless_header_line, NO_HTTP),
    "chunk of negative size": (_negative_chunk, LARGE),
    "silent hang-up": (lambda talk: talk.hang_up(), "closed the connection without an answer"),
    "short body": (_short_body, SHORT),
    "short chunk": (_short_chunk, SHORT),
    "reset within the body": (_reset_within, "reset|too early"),
    "no HTTP": (lambda talk: talk.raw(b"SSH-2.0-OpenSSH\r\n\r\n"), NO_HTTP),
    "redirect to another host": (lambda talk: talk.answer(b"", 302, Location="http://localhost/x"), "not on"),
    "redirect to metadata": (lambda talk: talk.answer(b"", 307, Location="http://169.254.169.254/"), "not on"),
    "page missing": (lambda talk: talk.answer(b"", 404), "HTTP 404"),
    "part of a page": (lambda talk: talk.answer(envelope(0, 1), 206), "HTTP 206"),
    "error": (lambda talk: talk.answer(b"", 500), "HTTP 500"),
    "busy": (lambda talk: talk.answer(b"", 429, Retry_After="7"), "HTTP 429"),
    "HTML": (_sent(b"<html>", content_type="text/html"), "unexpected media type 'text/html'"),
    "TAXII 2.0": (_sent(b"{}", content_type="application/vnd.oasis.stix+json; version=2.0"), "unexpected media type"),
    "TAXII of a later version": (_sent(b"{}", content_type="application/taxii+json;version=3.0"), "unexpected media"),
    "plain JSON": (_sent(b"{}", content_type="application/json"), "unexpected media type"),
    "no media type": (lambda talk: talk.answer(b"{}", content_type=None), "unexpected media type ''"),
    "truncated JSON": (_sent(envelope(0, 5)[:-9]), NO_ENVELOPE),
    "empty body": (_sent(b""), NO_ENVELOPE),
    "array": (_sent(b"[]"), NO_ENVELOPE),
    "null": (_sent(b"null"), NO_ENVELOPE),
    "more that is no boolean": (_sent(envelope(0, 1, more="yes", next="x")), NO_ENVELOPE),
    "next that is no UTF-8": (_sent(b'{"more":true,"next":"\xff","objects":[{}]}'), "utf-8"),
    "next that is half a character": (_sent(b'{"more":true,"next":"\\ud800","objects":[{}]}'), NO_ENVELOPE),
    "next that is an object": (_sent(envelope(0, 1, more=True, next={})), NO_ENVELOPE),
    "number of a million digits": (_sent(b'{"next":' + b"9" * 1_000_000 + b"}"), NO_ENVELOPE),
}
"""What the third request is answered with, and what the message must say."""


@pytest.fixture
def traced() -> Iterator[None]:
    """Counts the memory that Python objects take."""
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("name", FAULTS)
def test_fault(name: str) -> None:
    """The fault ends in a PartnerError in time and in bounds, and the pages before it have been given."""
    fault, message = FAULTS[name]
    pages: list[Page] = []
    with HostileServer(_after_two_pages(fault)) as server:
        # Only faults that end with the deadline wait for it.
        feed = _feed(server, page_seconds=0.4 if "took longer" in message else 10.0, run_seconds=20.0)
        began = time.monotonic()
        with pytest.raises(PartnerError, match=message) as caught:
            pages.extend(feed.pages(None, 0))
        took = time.monotonic() - began
    assert f"feed isac, page 3: {server.url()}objects/" in str(caught.value)
    assert [len(page.objects) for page in pages] == [PAGE, PAGE]
    assert json.loads(pages[-1].cursor)["next"] == "n2"
    assert took < (5 if "took longer" in message else 10)
    assert tracemalloc.get_traced_memory()[1] < 100 * MEGABYTE
    assert isinstance(caught.value, Busy) == (name == "busy")


def test_one_object_too_deep_for_the_parser_does_not_cost_the_page() -> None:
    """It is passed on as it came, to be refused by itself where objects are read."""
    with HostileServer(_after_two_pages(_sent(DEEP))) as server:
        *_, last = _feed(server, page_seconds=10.0, run_seconds=20.0).pages(None, 0)
    with pytest.raises(BadValue, match="nested deeper"):
        read_object(*last.objects)


LEADING_ON: dict[str, tuple[Callable[[int], bytes], str, int]] = {
    "the same next": (lambda n: envelope(n * PAGE, PAGE, more=True, next="again"), "more than 20 pages", 20),
    "two nexts in turn": (lambda n: envelope(n * PAGE, PAGE, more=True, next=f"{n % 2}"), "repeats", 3),
    "the same number": (lambda n: envelope(n * PAGE, PAGE, more=True, next=7), "more than 20 pages", 20),
    "a next each time": (lambda n: envelope(n * PAGE, PAGE, more=True, next=n), "more than 20 pages", 20),
    "a long next": (lambda n: envelope(n * PAGE, PAGE, more=True, next="x" * 5000), "5000 characters", 1),
    "no objects": (lambda n: envelope(0, 0, more=True, next=n), "without objects", 1),
    "no key of objects": (lambda n: b'{"more":true,"next":"%d"}' % n, "without objects", 1),
    "keys twice": (
        lambda n: b'{"more":false,"more":true,"next":"a","next":"b","objects":[{}]}',
        "repeats",
        2,
    ),
}
"""Answers by number of the request, what the message must say, and how many pages are given before it."""


@pytest.mark.parametrize("name", LEADING_ON)
def test_server_that_leads_on(name: str) -> None:
    """A server that never comes to an end is left, with what it did give, and its circle is not entered again."""
    body, message, given = LEADING_ON[name]
    pages: list[Page] = []
    with HostileServer(lambda talk: talk.answer(body(talk.number), headers=DATED)) as server:
        feed = _feed(server, max_pages=20)
        with pytest.raises(PartnerError, match=message):
            pages.extend(feed.pages(None, 0))
        assert len(pages) == given
        assert all("added_after" not in json.loads(page.cursor) for page in pages), "the listing was never complete"
        first_run = len(server.asked)
        assert first_run <= 20
        # The next run starts from the last cursor and ends just as well.
        with pytest.raises(PartnerError):
            list(feed.pages(pages[-1].cursor, 0))


def test_page_that_leads_nowhere_does_not_move_the_cursor() -> None:
    """The page with a bad continuation is given, but the cursor stays before it; the next run meets it at once."""

    def behave(talk: Talk) -> None:
        talk.answer(envelope(1, 1, more=True, next="b" if "next" in talk.asked.query else "a"), headers=DATED)

    pages: list[Page] = []
    with HostileServer(behave) as server:
        with pytest.raises(PartnerError, match=r"page 3.*repeats"):
            pages.extend(_feed(server).pages(None, 0))
        assert [json.loads(page.cursor)["next"] for page in pages] == ["a", "b", "b"]
        server.asked.clear()
        again: list[Page] = []
        with pytest.raises(PartnerError, match=r"page 1.*repeats"):
            again.extend(_feed(server).pages(pages[-1].cursor, 0))
    assert [page.cursor for page in again] == [pages[-1].cursor]
    assert [asked.query["next"] for asked in server.asked] == ["b"]


def test_endless_pages_end_with_the_run() -> None:
    """A server whose pages never end, each in good time, is left when the run's time is up."""

    def behave(talk: Talk) -> None:
        time.sleep(0.05)
        talk.answer(envelope(talk.number, 1, more=True, next=talk.number))

    pages: list[Page] = []
    with HostileServer(behave) as server:
        feed = _feed(server, max_pages=10_000, run_seconds=0.5)
        began = time.monotonic()
        with pytest.raises(PartnerError, match=r"the run took longer than 0\.5 s"):
            pages.extend(feed.pages(None, 0))
    assert time.monotonic() - began < 3
    assert 1 < len(pages) < 12


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("element", [b"{}", b"1", b'""'])
def test_a_page_of_millions_of_objects(element: bytes) -> None:
    """A page of more objects than anyone needs is refused before they are made."""
    body = b'{"objects":[' + b",".join([element] * 1_500_000) + b"]}"
    with HostileServer(lambda talk: talk.answer(body)) as server:
        feed = _feed(server, max_bytes=len(body), max_objects=10_000, page_seconds=20.0, run_seconds=20.0)
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        with pytest.raises(PartnerError, match=r"more than 10000 objects|an object was expected"):
            list(feed.pages(None, 0))
        assert tracemalloc.get_traced_memory()[1] - before < 100 * MEGABYTE


def test_a_large_page() -> None:
    """A page of many times the objects that were asked for is taken."""
    body = b'{"objects":[' + b",".join([b'{"type":"x","id":"y","a":1,"b":2}'] * 90_000) + b"]}"
    with HostileServer(lambda talk: talk.answer(body)) as server:
        (page,) = _feed(server, max_bytes=len(body)).pages(None, 0)
    assert len(page.objects) == 90_000


def test_broken_objects_do_not_break_the_page() -> None:
    """Objects that are no STIX at all come through as they are: whoever reads them keeps them apart with a reason."""
    good = indicators(0, 1)[0]
    body = json.dumps({"objects": [good, 7, None, "x", [], {"type": 5}]}).encode()
    with HostileServer(lambda talk: talk.answer(body)) as server:
        (page,) = _feed(server).pages(None, 0)
    assert [json.loads(one) for one in page.objects] == [good, 7, None, "x", [], {"type": 5}]


@pytest.mark.parametrize(
    "resource",
    [
        b"[]",
        b"{}",
        b"{",
        b'{"title":7}',
        b'{"title":"\xff"}',
        b'{"default":{}}',
        b'{"api_roots":["http://[x"]}',
        b'{"api_roots":"/root/"}',
        b'{"title":"x","versions":[]}',
        b'{"a":' * 50_000,
        b'{"default":"http://other.example/root/"}',
        b'{"default":"file:///etc/passwd"}',
        b'{"title":"x","versions":["2.1"],"self":1,"conn":2}',
        json.dumps({"api_roots": ["x/"] * 500_000}).encode(),
    ],
    ids=range(14),
)
def test_faults_of_discovery(resource: bytes) -> None:
    """Whatever stands where discovery should be is a PartnerError."""

    def behave(talk: Talk) -> None:
        talk.answer(resource if talk.asked.path == "/taxii2/" else b'{"collections":[{"id":7}]}', content_type=TAXII)

    with HostileServer(behave) as server:
        feed = TaxiiFeed(
            "isac",
            server.url("/"),
            None,
            opener(server, max_bytes=64 * MEGABYTE),
            page_size=10,
            max_pages=5,
            clock=FixedClock(),
        )
        with pytest.raises(PartnerError, match="feed isac"):
            list(feed.pages(None, 0))


def test_large_discovery() -> None:
    """A discovery resource has less room than a page of objects."""
    body = b'{"default":"/root/"}' + b" " * 5 * MEGABYTE
    with HostileServer(lambda talk: talk.answer(body)) as server:
        feed = TaxiiFeed(
            "isac",
            server.url("/"),
            None,
            opener(server, max_bytes=64 * MEGABYTE),
            page_size=10,
            max_pages=5,
            clock=FixedClock(),
        )
        with pytest.raises(PartnerError, match="larger than 4194304 bytes"):
            list(feed.pages(None, 0))


def test_discovery_of_many_roots() -> None:
    """A discovery that names hundreds of roots does not make us ask all of them."""
    discovery = json.dumps({"api_roots": [f"/{number}/" for number in range(300)]}).encode()

    def behave(talk: Talk) -> None:
        talk.answer(discovery if talk.asked.path == "/taxii2/" else b'{"collections":[]}')

    with HostileServer(behave) as server:
        feed = TaxiiFeed(
            "isac", server.url("/"), "wanted", opener(server), page_size=10, max_pages=5, clock=FixedClock()
        )
        with pytest.raises(PartnerError, match="no collection 'wanted'"):
            list(feed.pages(None, 0))
        assert len(server.asked) <= 52
