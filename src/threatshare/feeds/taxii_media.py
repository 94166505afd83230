"""Media types of TAXII 2.1 and 2.0 and of STIX, and what servers call theirs."""

from __future__ import annotations

from email.message import Message

from threatshare.feeds.egress import Refusal

MEDIA_TYPE = "application/taxii+json;version=2.1"
RESOURCES_20 = "application/vnd.oasis.taxii+json; version=2.0"
"""Media type of everything but objects in TAXII 2.0, with the blank with which taxii2-client writes it too."""
OBJECTS_20 = "application/vnd.oasis.stix+json; version=2.0"
"""Media type of objects in TAXII 2.0."""
OLDER = 'it speaks TAXII 2.0, not 2.1; a feed of kind = "taxii20" pulls from it'
"""What is said of a server of 2.0 that was asked in 2.1."""


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


def is_taxii_21(content_type: str) -> bool:
    """Tells what ``is_taxii`` does; raises Refusal with the advice that helps for the media types of 2.0."""
    if content_type.strip().lower().startswith("application/vnd.oasis."):
        raise Refusal(f"unexpected media type: {OLDER}")
    return is_taxii(content_type)
