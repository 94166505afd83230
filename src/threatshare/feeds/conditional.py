"""Fetches one address whole, and only when it has changed: ETag, Last-Modified, and the digest of what came."""

from __future__ import annotations

import re
from collections.abc import Callable
from hashlib import blake2b
from typing import NamedTuple, TypeVar

import msgspec
from msgspec import Struct

from threatshare.feeds.session import Answer, PartnerSession

_ETAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]{0,500}"').fullmatch
"""RFC 9110 §8.8.3; anything else could not be sent back, and the feed would never come out of it."""
_DATE = re.compile(r"[A-Za-z0-9 ,:+-]{1,60}").fullmatch


class WebCursor(Struct, omit_defaults=True):
    """What was there when it was last read to its end."""

    url: str | None = None
    """Digest of the address and of how it is read: a cursor is of no use for another one."""
    etag: str | None = None
    last_modified: str | None = None
    digest: str | None = None


class Fetched(NamedTuple):
    """What an address holds now."""

    answer: Answer | None
    """None: the same as at the cursor."""
    before: WebCursor
    """What the cursor said of this address."""
    after: WebCursor
    """What is to be saved once the answer has been read to its end."""
    wire_bytes: int


def fetch(
    url: str,
    cursor: str | None,
    open_session: Callable[[], PartnerSession],
    *,
    place: str,
    accept: str,
    media_types: Callable[[str], bool],
    reading: str = "",
) -> Fetched:
    """Asks an address for what has changed since a cursor, in a session of its own, as ``fetch_in`` does."""
    session = open_session()
    try:
        return fetch_in(session, url, cursor, place=place, accept=accept, media_types=media_types, reading=reading)
    finally:
        session.close()


def fetch_in(
    session: PartnerSession,
    url: str,
    cursor: str | None,
    *,
    place: str,
    accept: str,
    media_types: Callable[[str], bool],
    reading: str = "",
) -> Fetched:
    """Asks an address for what has changed since a cursor; raises PartnerError.

    ``reading`` says how it is read: where that is another way than at the cursor, it has changed too.
    """
    key = blake2b(f"{url}{reading}".encode(), digest_size=8).hexdigest()
    before = read_cursor(cursor, WebCursor())
    if before.url != key:
        before = WebCursor()
    conditions = {"If-None-Match": before.etag, "If-Modified-Since": before.last_modified}
    answer = session.get(
        url,
        place=place,
        media_types=media_types,
        headers={"Accept": accept, **{name: value for name, value in conditions.items() if value}},
    )
    if answer.status == 304:
        return Fetched(None, before, before, answer.wire_bytes)
    digest = blake2b(answer.body, digest_size=16).hexdigest()
    etag, changed = answer.headers.get("ETag", ""), answer.headers.get("Last-Modified", "")
    after = WebCursor(key, etag if _ETAG(etag) else None, changed if _DATE(changed) else None, digest)
    return Fetched(None if digest == before.digest else answer, before, after, answer.wire_bytes)


_Cursor = TypeVar("_Cursor", bound=Struct)


def read_cursor(text: str | None, empty: _Cursor) -> _Cursor:
    """Reads a cursor; one of another kind of feed is as good as none."""
    if text is None:
        return empty
    try:
        return msgspec.json.decode(text, type=type(empty))
    except msgspec.DecodeError:
        return empty


def cursor_text(cursor: Struct) -> str:
    """Writes a cursor."""
    return msgspec.json.encode(cursor).decode()
