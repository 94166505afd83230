"""zstd frames (RFC 8878): one call each way, at the level that measuring has chosen."""

from __future__ import annotations

import sys
from functools import cache
from typing import Protocol

_LEVEL = 1
"""On pages of indicators, samples and generated ones: as small as level 5, in a fifth of its time."""


_MAGIC = b"\x28\xb5\x2f\xfd"
"""With which a frame begins (RFC 8878 §3.1.1), and no JSON."""


class _Decompressor(Protocol):
    def decompress(self, data: bytes) -> bytes: ...


class _Zstd(Protocol):
    @property
    def ZstdError(self) -> type[Exception]: ...  # noqa: N802
    def compress(self, data: bytes, level: int) -> bytes: ...
    def ZstdDecompressor(self) -> _Decompressor: ...  # noqa: N802


def frame(data: bytes) -> bytes:
    """Compresses into a single frame whose head tells the size, for clients that read no more than that."""
    return _zstd().compress(data, level=_LEVEL)


def unframed(data: bytes) -> bytes:
    """Gives what ``frame`` was given; for our own frames only, since nothing limits what comes out."""
    return _zstd().ZstdDecompressor().decompress(data)


def is_frame(data: bytes) -> bool:
    """Tells whether some data is a frame, and not JSON text."""
    return data.startswith(_MAGIC)


def holds(packed: bytes, data: bytes) -> bool:
    """Tells whether a frame holds some data, whichever version of the library has made it."""
    zstd = _zstd()
    try:
        return zstd.ZstdDecompressor().decompress(packed) == data
    except zstd.ZstdError:
        return False


@cache
def _zstd() -> _Zstd:
    # At first use: many verbs open the store and few compress anything.
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd
