"""Reads an answer's body within a byte limit, on the wire and after inflating."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from io import BytesIO
from itertools import chain

from requests import Response

from threatshare.feeds.egress import Guard, Unfit
from threatshare.ports import Heard

_CHUNK = 64 * 1024
_INFLATED_CHUNK = 256 * 1024
_GZIP = 16 + zlib.MAX_WBITS
_GZIP_MAGIC = b"\x1f\x8b"


def unheard(received: int, total: int | None) -> None:
    """Tells nobody how far an answer has come in."""


def read_body(response: Response, guard: Guard, most: int, heard: Heard = unheard) -> bytes:
    """Reads and inflates a whole body of at most ``most`` bytes, and tells ``heard`` of it; raises Unfit.

    Taken: identity, or one layer of gzip, also of a file that is published so and that the headers therefore do not
    name as an encoding. A second layer is refused either way. The limit holds at every moment: a bomb is noticed when
    it has filled it, not after.
    """
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        raise Unfit(f"Content-Encoding {encoding[:40]!r}; one layer of gzip is taken, nothing else")
    announced = response.headers.get("Content-Length", "")
    total = int(announced[:20]) if announced.isdecimal() else None
    if total is not None and total > most:
        raise Unfit(f"the answer is larger than {most} bytes")
    pieces = _told(response.raw.stream(_CHUNK, decode_content=False), total, heard)
    begun = next(pieces, b"")
    while 0 < len(begun) < len(_GZIP_MAGIC) and (piece := next(pieces, b"")):
        begun += piece
    pieces = chain((begun,), pieces)
    if encoding.endswith("gzip") or begun.startswith(_GZIP_MAGIC):
        pieces = _inflated(pieces, guard)
    into = BytesIO()
    for piece in pieces:
        if into.tell() + len(piece) > most:
            raise Unfit(f"the answer is larger than {most} bytes")
        into.write(piece)
    body = into.getvalue()
    if body.startswith(_GZIP_MAGIC):
        raise Unfit("the answer is compressed more than once")
    return body


def _told(pieces: Iterable[bytes], total: int | None, heard: Heard) -> Iterator[bytes]:
    received = 0
    for piece in pieces:
        received += len(piece)
        heard(received, total)
        yield piece


def _inflated(pieces: Iterator[bytes], guard: Guard) -> Iterator[bytes]:
    """Inflates one layer of gzip (RFC 1952: one member or several in a row), a bounded piece at a time."""
    inflater = zlib.decompressobj(_GZIP)
    begun = False
    try:
        for piece in pieces:
            rest = piece
            while rest:
                if inflater.eof:
                    inflater = zlib.decompressobj(_GZIP)
                guard.patience()
                begun = True
                yield inflater.decompress(rest, _INFLATED_CHUNK)
                rest = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
    except zlib.error:
        raise Unfit("the answer's gzip is broken") from None
    if begun and not inflater.eof:
        raise Unfit("the answer's gzip ends too early")
