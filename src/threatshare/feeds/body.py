"""Reads an answer's body within a byte limit, on the wire and after inflating."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from io import BytesIO

from requests import Response

from threatshare.feeds.egress import Guard, Refusal

_CHUNK = 64 * 1024
_INFLATED_CHUNK = 256 * 1024
_GZIP = 16 + zlib.MAX_WBITS
_GZIP_MAGIC = b"\x1f\x8b"


def read_body(response: Response, guard: Guard, most: int) -> bytes:
    """Reads and inflates a whole body of at most ``most`` bytes; raises Refusal.

    Taken: identity, or one layer of gzip. A second layer is refused whether the headers name
    it or not. The limit holds at every moment: a bomb is noticed when it has filled it, not after.
    """
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        raise Refusal(f"Content-Encoding {encoding[:40]!r}; one layer of gzip is taken, nothing else")
    announced = response.headers.get("Content-Length", "")
    if announced.isdecimal() and int(announced[:20]) > most:
        raise Refusal(f"the answer is larger than {most} bytes")
    pieces: Iterator[bytes] = response.raw.stream(_CHUNK, decode_content=False)
    if encoding.endswith("gzip"):
        pieces = _inflated(pieces, guard)
    into = BytesIO()
    for piece in pieces:
        if into.tell() + len(piece) > most:
            raise Refusal(f"the answer is larger than {most} bytes")
        into.write(piece)
    body = into.getvalue()
    if body.startswith(_GZIP_MAGIC):
        raise Refusal("the answer is compressed once more than its headers say")
    return body


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
        raise Refusal("the answer's gzip is broken") from None
    if begun and not inflater.eof:
        raise Refusal("the answer's gzip ends too early")
