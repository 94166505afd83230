from __future__ import annotations

import gzip
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from taxii_node import Answer, TaxiiNode, indicator
from threatshare.share.compressed import TINY, Compressed, coding_for, compressed
from threatshare.share.connections import Connections
from threatshare.share.pagecache import PageCache
from threatshare.store.connection import open_reader, open_writer
from threatshare.store.frames import unframed
from threatshare.store.pages import EntryFilter

OBJECTS = "/api/collections/one/objects/"
MANIFEST = "/api/collections/one/manifest/"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[TaxiiNode]:
    with TaxiiNode(tmp_path) as made:
        made.collection("one")
        made.account("soc", read=["one"])
        made.publish("one", *(indicator(number) for number in range(60)))
        yield made


def opened(answer: Answer) -> bytes:
    """Gives an answer's body, in whatever coding it came."""
    read: dict[str | None, Callable[[bytes], bytes]] = {"gzip": gzip.decompress, "zstd": unframed, None: bytes}
    return read[answer.headers.get("Content-Encoding")](answer.body)


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        (None, ""),
        ("", ""),
        ("gzip, deflate", "gzip"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("GZIP;Q=0.5", "gzip"),
        ("x-gzip", "gzip"),
        ("gzip;q=1.0, zstd;q=0.5", "gzip"),
        ("gzip;q=0", ""),
        ("gzip;q=0.0, *;q=0.1", "zstd"),
        ("*", "zstd"),
        ("*;q=0", ""),
        ("identity", ""),
        ("identity, gzip;q=0.5", ""),
        ("identity;q=0, gzip;q=0.2", "gzip"),
        ("deflate, br", ""),
        ("gzip;q=high", ""),
        ("gzip;q=nan", "gzip"),
        (",,;;gzip", ""),
        ("zstd ; q=0.3 , gzip ; q=0.4", "gzip"),
    ],
)
def test_the_coding_is_what_the_client_prefers(accepted: str | None, coding: str) -> None:
    """Quality values decide; without them zstd comes before gzip, and nothing is sent that was not asked for."""
    assert coding_for(accepted) == coding


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
@pytest.mark.parametrize("path", [OBJECTS, MANIFEST])
def test_a_body_is_the_same_in_every_coding(node: TaxiiNode, path: str, coding: str) -> None:
    """What a client decompresses is what another gets as it is; the length is that of the body sent, Vary is set."""
    plain = node.get(path, "soc")
    packed = node.get(path, "soc", Accept_Encoding=coding)
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == coding
    assert opened(packed) == plain.body
    assert int(packed.headers["Content-Length"]) == len(packed.body) < len(plain.body) / 4
    assert plain.headers["Vary"] == packed.headers["Vary"] == "Accept-Encoding"
    assert packed.headers["Content-Type"] == plain.headers["Content-Type"]
    head = node.request("HEAD", path, "soc", Accept_Encoding=coding)
    assert (head.status, head.body, head.headers) == (200, b"", packed.headers)


def test_tiny_bodies_and_errors_are_sent_as_they_are(node: TaxiiNode) -> None:
    """Where compressing saves no packet nothing is compressed."""
    tiny = node.get(OBJECTS, "soc", {"limit": "1"}, Accept_Encoding="gzip, zstd")
    assert len(tiny.body) < TINY
    assert "Content-Encoding" not in tiny.headers
    missing = node.get("/api/collections/two/objects/", "soc", Accept_Encoding="gzip, zstd")
    assert (missing.status, missing.headers.get("Content-Encoding")) == (404, None)


def test_zstd_is_one_frame_that_tells_its_size() -> None:
    """Clients that read one frame only, or want its size beforehand, can read it (RFC 8878 §3.1.1)."""
    body = b"some text " * 1_000
    packed = compressed(body, "zstd")
    assert packed.startswith(b"\x28\xb5\x2f\xfd")
    size_flag, single_segment = packed[4] >> 6, packed[4] >> 5 & 1
    assert size_flag or single_segment
    assert unframed(packed) == body


def test_a_page_is_compressed_once(node: TaxiiNode) -> None:
    """The coded body is kept with its page; the page as it is stays beside it."""
    conns = Connections(partial(open_reader, node.file), partial(open_writer, node.file))
    cache = PageCache(conns, bytes(32))
    built = cache.page(node.collection("one"), EntryFilter(), 50, "gzip")
    first = cache.sent(built, "gzip")
    assert cache.sent(cache.page(node.collection("one"), EntryFilter(), 50), "gzip") is first
    assert cache.sent(built, "") is built.plain
    cache.close()
    conns.close()


def test_the_next_page_is_compressed_ahead(node: TaxiiNode) -> None:
    """Who follows `next` with a coding finds the page after in that coding."""
    conns = Connections(partial(open_reader, node.file), partial(open_writer, node.file))
    cache = PageCache(conns, bytes(32))
    for after in (0, 10, 20):
        cache.page(node.collection("one"), EntryFilter(after=after), 10, "gzip")
    until = time.monotonic() + 60
    while "gzip" not in cache.page(node.collection("one"), EntryFilter(after=30), 10).codings:
        assert time.monotonic() < until, "nothing was compressed ahead"
        time.sleep(0.01)
    cache.close()
    conns.close()


def test_what_is_compressed_already_goes_on_as_it_is() -> None:
    """An application that compresses by itself is left alone."""
    sent: list[tuple[str, list[tuple[str, str]]]] = []

    def app(_environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Encoding", "br"), ("Content-Length", str(2 * TINY))])
        return [b"x" * TINY, b"y" * TINY]

    body = Compressed(app)({"HTTP_ACCEPT_ENCODING": "gzip"}, lambda *args: sent.append(args))
    assert b"".join(body) == b"x" * TINY + b"y" * TINY
    assert ("Content-Encoding", "br") in sent[0][1]
