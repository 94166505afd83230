"""Anchors: heads of the ledger, written down where whoever changes the ledger cannot reach them.

An anchor is one line of JSON: ``at`` (microseconds since 1970, UTC), ``hash``, ``node`` (our identity), ``number``.
Kept on another machine, or sent to a partner, it shows later that the chain up to that row is still the same.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import msgspec

from threatshare.errors import UsageError
from threatshare.model import Micros
from threatshare.store.ledger import Head, canonical


class Anchor(msgspec.Struct, frozen=True):
    """A head of the ledger, and when it was that."""

    at: Micros
    hash: str
    node: str
    number: int


_read = msgspec.json.Decoder(Anchor).decode


def append_anchor(file: Path, identity: str, head: Head, at: Micros) -> Anchor:
    """Appends the head to a file, which is made where it is missing; it is on disk when this returns.

    ``-`` is stdout.
    """
    anchor = Anchor(at, head.hash, identity, head.number)
    line = canonical(msgspec.to_builtins(anchor)).encode() + b"\n"
    if str(file) == "-":
        sys.stdout.buffer.write(line)
        return anchor
    # One write of one line at the end: two processes that anchor at once leave two lines.
    handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, line)
        os.fsync(handle)
    finally:
        os.close(handle)
    return anchor


def read_anchors(file: Path, identity: str) -> dict[int, list[str]]:
    """Gives the hashes that a file witnesses, by row number; raises UsageError at a line that is no anchor of ours."""
    found: dict[int, list[str]] = {}
    raw = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    for place, line in enumerate(raw.splitlines(), 1):
        try:
            anchor = _read(line)
        except msgspec.DecodeError as problem:
            raise UsageError(f"{file}:{place} is no anchor: {problem}") from problem
        if anchor.node != identity:
            raise UsageError(f"{file}:{place} is an anchor of {anchor.node}; this node is {identity}")
        found.setdefault(anchor.number, []).append(anchor.hash)
    return found
