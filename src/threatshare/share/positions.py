"""``next``: where a client stands in a collection and what it asked for, signed, valid for ever on any worker.

Clients keep it for hours, drop their filters once they have it, or send it back with a newer
``added_after``, and even to another collection. So it carries its filters, filters sent with it
take precedence, the later of two positions counts, and in another collection it says nothing.
"""

from __future__ import annotations

import binascii
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode

import msgspec

from threatshare.errors import BadValue
from threatshare.store.pages import EntryFilter

_TAG = 12
"""Bytes of the truncated HMAC-SHA256."""
_LONGEST_FILTER = 2_048
"""Bytes of filter carried; a longer one has to be sent again, lest the address grow past what proxies take."""


class Position(msgspec.Struct, frozen=True, array_like=True):
    """What a ``next`` says."""

    collection: int
    seq: int
    types: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    versions: tuple[str | int, ...] = ()
    spec_versions: tuple[str, ...] = ()
    carried: bool = True
    """False: the filter was too long and must be sent again."""


_decoder = msgspec.msgpack.Decoder(Position)


def write_position(key: bytes, collection: int, seq: int, wanted: EntryFilter) -> str:
    """Writes the ``next`` of a page that ended at a sequence number."""
    whole = Position(collection, seq, wanted.types, wanted.ids, wanted.versions, wanted.spec_versions)
    payload = msgspec.msgpack.encode(whole)
    if len(payload) > _LONGEST_FILTER:
        payload = msgspec.msgpack.encode(Position(collection, seq, carried=False))
    return urlsafe_b64encode(_tag(key, payload) + payload).rstrip(b"=").decode()


def read_position(key: bytes, text: str) -> Position:
    """Reads a ``next``; raises BadValue for anything that this node did not write."""
    try:
        raw = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except (binascii.Error, UnicodeEncodeError) as problem:
        raise BadValue("next is none that this server gave") from problem
    tag, payload = raw[:_TAG], raw[_TAG:]
    if not hmac.compare_digest(tag, _tag(key, payload)):
        raise BadValue("next is none that this server gave")
    try:
        return _decoder.decode(payload)
    except msgspec.DecodeError as problem:
        raise BadValue("next was given by another version of this server") from problem


def _tag(key: bytes, payload: bytes) -> bytes:
    return hmac.digest(key, payload, "sha256")[:_TAG]
