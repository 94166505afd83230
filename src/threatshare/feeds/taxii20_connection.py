"""taxii2-client's classes of TAXII 2.0 on our session: its endpoints and ranges, without its sockets or its parser.

Discovery, API roots and collections are put right as those of 2.1 are (``taxii_connection``). Objects come as
STIX bundles, by ranges of the unit ``items`` (TAXII 2.0 §3.4, RFC 7233). The specification shows the header as
``Range: items 0-9``, RFC 7233 as ``items=0-9``: servers exist for either, so the second is sent, and the first
where that is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from taxii2client import v20

from threatshare.errors import PartnerError
from threatshare.feeds.session import Answer, BadStatus, PartnerSession
from threatshare.feeds.taxii_connection import (
    DISCOVERY_20,
    MAX_RESOURCE_BYTES,
    Collection,
    Connection,
    directory,
    in_its_words,
    mended,
    seek,
)
from threatshare.feeds.taxii_media import OBJECTS_20, RESOURCES_20, is_taxii_20

_CONTENT_RANGE = re.compile(r"items[ =](?:([0-9]{1,15})-([0-9]{1,15})|\*)/(?:([0-9]{1,15})|\*)").fullmatch


class ContentRange(NamedTuple):
    """What a server says of the objects that it gives."""

    first: int | None
    """Number of the first object, from 0; None: it does not say."""
    last: int | None
    total: int | None
    """Objects that the whole listing has at the moment; None: it does not say."""


class _Connection20(Connection):
    """Answers the library's requests of TAXII 2.0."""

    items = "items="
    """How the unit of a range is written to this server."""

    def get(self, url: str, headers: Mapping[str, str] | None = None, params: Mapping[str, Any] | None = None) -> Any:
        """Asks over the hardened session; of ``headers`` only the range is sent, beside ours."""
        page = url.endswith("/objects/")
        asked = {"Accept": OBJECTS_20 if page else RESOURCES_20}
        if page and headers is not None and "Range" in headers:
            asked["Range"] = self.items + headers["Range"].removeprefix("items=")
        try:
            answer = self.partner.get(
                url,
                place=self.place,
                media_types=is_taxii_20,
                headers=asked,
                params=params,
                max_bytes=None if page else MAX_RESOURCE_BYTES,
            )
        except BadStatus as refused:
            raise in_its_words(refused) from None
        return answer if page else mended(answer, url, self.place)


def find_collection_20(session: PartnerSession, url: str, wanted: str | None, place: str) -> Collection:
    """Finds the collection of a TAXII 2.0 server, as ``find_collection`` does; a bare host means its ``/taxii/``."""
    return seek(_Connection20(session, place), v20, directory(url, DISCOVERY_20), wanted)


def get_range(collection: Collection, place: str, first: int, count: int, added_after: str | None) -> Answer:
    """Asks for ``count`` objects from number ``first`` on, counted from 0; raises Busy, BadStatus or PartnerError."""
    conn = collection.library._conn
    conn.place = place
    filters = {} if added_after is None else {"added_after": added_after}
    try:
        answer: Answer = collection.library.get_objects(start=first, per_request=count, **filters)
    except BadStatus as refused:
        if refused.status != 400 or conn.items != _Connection20.items:
            raise
        conn.items = "items "
        try:
            answer = collection.library.get_objects(start=first, per_request=count, **filters)
        except BadStatus:
            # It was not the unit that was wrong.
            conn.items = _Connection20.items
            raise
    return answer


def is_there(collection: Collection) -> bool:
    """Tells whether the collection itself can be seen, where its objects are not found: some call an empty one so."""
    conn = collection.library._conn
    asked = {"Accept": RESOURCES_20}
    try:
        conn.partner.get(
            collection.library.url,
            place=conn.place,
            media_types=is_taxii_20,
            headers=asked,
            max_bytes=MAX_RESOURCE_BYTES,
        )
    except PartnerError:
        return False
    return True


def read_content_range(answer: Answer) -> ContentRange:
    """Reads the Content-Range header; what cannot be read says nothing."""
    found = _CONTENT_RANGE(answer.headers.get("Content-Range", "").strip())
    if found is None:
        return ContentRange(None, None, None)
    first, last, total = (None if text is None else int(text) for text in found.groups())
    if first is not None and last is not None and last < first:
        return ContentRange(None, None, total)
    return ContentRange(first, last, total)
