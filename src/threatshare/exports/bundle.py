"""A STIX 2.1 bundle, written as its objects come, so that its size does not matter."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_BUNDLE_ID = re.compile(r"bundle--[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII).fullmatch


def write_bundle(objects: Iterable[bytes], bundle_id: str) -> Iterator[bytes]:
    """Yields a bundle of these objects and nothing else, each on a line of its own, byte for byte as given.

    Each object is the UTF-8 text of one JSON object without line breaks. A bundle without objects
    has no ``objects`` at all, for no list of STIX may be empty (STIX 2.1 §8 makes it optional). Raises ValueError
    at once where ``bundle_id`` is no bundle id.
    """
    if _BUNDLE_ID(bundle_id) is None:
        raise ValueError(f"{bundle_id!r} is no bundle id: bundle--UUID in lower case is wanted")
    return _pieces(objects, f'{{"type":"bundle","id":"{bundle_id}"'.encode())


def _pieces(objects: Iterable[bytes], head: bytes) -> Iterator[bytes]:
    before = head + b',"objects":[\n'
    for raw in objects:
        yield before + raw
        before = b",\n"
    yield b"\n]}\n" if before == b",\n" else head + b"}\n"
