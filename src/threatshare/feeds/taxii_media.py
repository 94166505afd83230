"""Media types of TAXII 2.1 and 2.0 and of STIX, and what servers call theirs."""

from __future__ import annotations

from email.message import Message

import msgspec
from msgspec import Raw, Struct

from threatshare.feeds.egress import Refusal

MEDIA_TYPE = "application/taxii+json;version=2.1"
RESOURCES_20 = "application/vnd.oasis.taxii+json; version=2.0"
"""Media type of everything but objects in TAXII 2.0, with the blank with which taxii2-client writes it too."""
OBJECTS_20 = "application/vnd.oasis.stix+json; version=2.0"
"""Media type of objects in TAXII 2.0."""
OLDER = 'it speaks TAXII 2.0, not 2.1; a feed of kind = "taxii20" pulls from it'
"""What is said of a server of 2.0 that was asked in 2.1."""


class _Nothing(Struct, forbid_unknown_fields=True):
    """An envelope without objects."""

    more: Raw = Raw()
    next: Raw = Raw()


def is_taxii(content_type: str) -> bool:
    """Tells whether a Content-Type header names TAXII 2.1; without a version it is taken as 2.1."""
    header = Message()
    header["Content-Type"] = content_type
    return header.get_content_type() == "application/taxii+json" and header.get_param("version", "2.1") == "2.1"


def is_taxii_20(content_type: str) -> bool:
    """Tells whether a Content-Type header names TAXII 2.0, or objects as it serves them, of whatever STIX version."""
    header = Message()
    header["Content-Type"] = content_type
    kind = header.get_content_type()
    if kind == "application/vnd.oasis.taxii+json":
        return header.get_param("version", "2.0") == "2.0"
    return kind in ("application/vnd.oasis.stix+json", "application/stix+json")


def is_json(content_type: str) -> bool:
    """Tells whether a Content-Type header names JSON of any kind."""
    header = Message()
    header["Content-Type"] = content_type
    kind = header.get_content_type()
    return kind.endswith(("+json", "/json")) if content_type else False


def is_stix(media_type: str) -> bool:
    """Tells whether a collection's media type is STIX 2.1; without a version it is taken as 2.1."""
    header = Message()
    header["Content-Type"] = media_type
    known = header.get_content_type() in ("application/stix+json", "application/vnd.oasis.stix+json")
    return known and header.get_param("version", "2.1") == "2.1"


def may_be_page(content_type: str) -> bool:
    """Tells whether objects may come under a Content-Type header: besides TAXII's own as STIX, or as plain JSON."""
    return is_taxii_21(content_type) or _kind(content_type) in ("application/stix+json", "application/json")


def holds_objects(content_type: str, body: bytes) -> bool:
    """Tells whether an answer that ``may_be_page`` is one: what is not called TAXII has to name its objects.

    Where it is called STIX it may also be an envelope of none, which need not name them (TAXII 2.1 §3.7).
    """
    if is_taxii(content_type) or b'"objects"' in body:
        return True
    try:
        msgspec.json.decode(body, type=_Nothing)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return _kind(content_type) != "application/json"


def _kind(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def is_taxii_21(content_type: str) -> bool:
    """Tells what ``is_taxii`` does; raises Refusal with the advice that helps for the media types of 2.0."""
    if content_type.strip().lower().startswith("application/vnd.oasis."):
        raise Refusal(f"unexpected media type: {OLDER}")
    return is_taxii(content_type)
