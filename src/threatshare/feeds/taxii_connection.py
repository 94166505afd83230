"""taxii2-client on our session: its endpoints and filters, without its sockets, its parser or its strictness.

What real servers say differently from the specification is put right before the library sees it:

    `default` or `api_roots` relative            resolved against the discovery address (OpenCTI: "/root")
    `default` missing                            the first of `api_roots`
    roots with http behind an https address      taken as https: proxies hide the scheme from servers
    `title` missing, `display_name` instead      taken as the title (OpenCTI)
    `can_read` or `can_write` null               taken as true and false (OpenTAXII)

A root on another host is refused by the session: credentials go to the configured address only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from email.message import Message
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

import msgspec
from msgspec import Struct
from taxii2client.common import _HTTPConnection
from taxii2client.exceptions import TAXIIServiceException, ValidationError
from taxii2client.v21 import ApiRoot, Server
from taxii2client.v21 import Collection as _LibraryCollection

from threatshare.errors import PartnerError
from threatshare.feeds.content import UNREADABLE
from threatshare.feeds.session import Answer, BadStatus, PartnerSession, shown

MEDIA_TYPE = "application/taxii+json;version=2.1"
_MAX_RESOURCE_BYTES = 4 * 1024 * 1024
"""Of a discovery, API root or collections resource."""
_MAX_ROOTS = 50
_MAX_COLLECTIONS = 10_000
_SHOWN_COLLECTIONS = 10
_COLLECTION_URL = re.compile(r"(.*/collections/([^/]+)/)(?:objects/)?").fullmatch


class _Resource(Struct):
    """A discovery or API root resource (TAXII 2.1 §4.1.1, §4.2.1): what we read of either."""

    title: str | None = None
    default: str | None = None
    api_roots: list[str] = []
    versions: list[str] | None = None


class _CollectionResource(Struct):
    """TAXII 2.1 §5.2.1: what we read of it."""

    id: str
    title: str | None = None
    display_name: str | None = None
    alias: str | None = None
    can_read: bool | None = None
    can_write: bool | None = None


class _Collections(Struct):
    collections: list[_CollectionResource] = []


class Collection(Struct, frozen=True):
    """A collection that may be read."""

    library: Any
    """taxii2-client's object, on our connection."""
    objects_url: str


class _Connection(_HTTPConnection):  # type: ignore[misc]  # the library has no types
    """Answers the library's requests: resources as mended mappings, a page of objects as our ``Answer``."""

    def __init__(self, session: PartnerSession, place: str) -> None:
        super().__init__(version="2.1")
        # Whatever else of the library sends something, sends it over guarded sockets too.
        self.session = session.http
        self._partner = session
        self.place = place
        """Feed and page, for messages."""

    def get(self, url: str, headers: Mapping[str, str] | None = None, params: Mapping[str, Any] | None = None) -> Any:
        """Asks over the hardened session; ``headers`` other than ours are not sent."""
        page = url.endswith("/objects/")
        answer = self._partner.get(
            url,
            place=self.place,
            media_types=is_taxii,
            headers={"Accept": MEDIA_TYPE},
            params=params,
            max_bytes=None if page else _MAX_RESOURCE_BYTES,
        )
        if page:
            return answer
        try:
            return _mended_collections(answer) if url.endswith("/collections/") else _mended_resource(answer)
        except (*UNREADABLE, ValueError) as problem:
            raise PartnerError(f"{self.place}: {shown(url)}: no TAXII 2.1 resource: {problem}") from problem


def is_taxii(content_type: str) -> bool:
    """Tells whether a Content-Type header names TAXII 2.1; without a version it is taken as 2.1."""
    header = Message()
    header["Content-Type"] = content_type
    return header.get_content_type() == "application/taxii+json" and header.get_param("version", "2.1") == "2.1"


def get_page(collection: Collection, place: str, filters: Mapping[str, Any]) -> Answer:
    """Asks for one page of objects; ``filters`` are ``added_after``, ``limit`` and ``next``."""
    collection.library._conn.place = place
    answer: Answer = collection.library.get_objects(**filters)
    return answer


def find_collection(session: PartnerSession, url: str, wanted: str | None, place: str) -> Collection:
    """Finds the collection that an address and a name mean; raises PartnerError, naming what there is.

    The address is a collection's own (asked for nothing), an API root's, or a discovery
    address; a bare host means its ``/taxii2/`` (TAXII 2.1 §1.4.1). ``wanted`` is an id, alias or title; None
    takes the only readable collection.
    """
    conn = _Connection(session, place)
    address = _directory(url)
    direct = _COLLECTION_URL(address)
    if direct is not None:
        known = {"id": direct[2], "title": unquote(direct[2]), "can_read": True, "can_write": False}
        return _readable(_LibraryCollection(direct[1], conn=conn, collection_info=known))
    try:
        offered = list(_offered(conn, address, wanted))
    except (TAXIIServiceException, ValidationError) as problem:
        raise PartnerError(f"{place}: {shown(address)}: {problem}") from problem
    found = [one for one in offered if wanted is None or wanted in (one.id, one.alias, one.title)]
    readable = [one for one in found if one.can_read]
    if len(readable) == 1:
        return _readable(readable[0])
    there = "; ".join(f"{one.title!r:.80} {one.id}" for one in offered[:_SHOWN_COLLECTIONS]) or "none"
    if not found:
        what = f"has no collection {wanted!r}" if wanted is not None else "has no collection"
    elif not readable:
        what = "does not let this account read it"
    else:
        what = "has several collections that could be meant, name one by its id"
    raise PartnerError(f"{place}: {shown(address)} {what}. It offers: {there}")


def _readable(library: Any) -> Collection:
    return Collection(library, library.objects_url)


def _offered(conn: _Connection, address: str, wanted: str | None) -> Iterator[Any]:
    """Gives the library's collections, root by root, the default first, up to the root that has the wanted one."""
    server = Server(address, conn=conn)
    if server.custom_properties.get("versions"):
        yield from ApiRoot(address, conn=conn).collections
        return
    default = server.default.url
    roots = [default, *(root.url for root in server.api_roots if root.url != default)]
    for root in roots:
        try:
            collections = ApiRoot(root, conn=conn).collections
        except BadStatus:
            # Servers advertise roots that an account may not see, or that are gone.
            if root == default:
                raise
            continue
        yield from collections
        if any(wanted in (None, one.id, one.alias, one.title) for one in collections):
            return


def _mended_resource(answer: Answer) -> dict[str, Any]:
    read = msgspec.json.decode(answer.body, type=_Resource)
    title = read.title or "untitled"
    if read.versions and not read.api_roots and read.default is None:
        return {"title": title, "versions": read.versions}
    roots = [_root_url(answer.url, text) for text in read.api_roots[:_MAX_ROOTS]]
    default = _root_url(answer.url, read.default) if read.default else next(iter(roots), None)
    if default is None:
        raise ValueError("it names no API root")
    return {"title": title, "default": default, "api_roots": list(dict.fromkeys([default, *roots]))}


def _root_url(base: str, text: str) -> str:
    absolute = urlsplit(urljoin(base, text))
    home = urlsplit(base)
    if home.scheme == "https" and absolute.scheme == "http" and absolute.hostname == home.hostname:
        absolute = absolute._replace(scheme=home.scheme, netloc=home.netloc)
    return _directory(urlunsplit(absolute))


def _mended_collections(answer: Answer) -> dict[str, Any]:
    read = msgspec.json.decode(answer.body, type=_Collections)
    if len(read.collections) > _MAX_COLLECTIONS:
        raise ValueError(f"it lists {len(read.collections)} collections, at most {_MAX_COLLECTIONS} are taken")
    return {
        "collections": [
            {
                "id": one.id,
                "title": one.title or one.display_name or one.alias or one.id,
                "alias": one.alias,
                "can_read": one.can_read is not False,
                "can_write": one.can_write is True,
            }
            for one in read.collections
            if one.id and "/" not in one.id
        ]
    }


def _directory(url: str) -> str:
    """Ends an address with a slash, as every TAXII address does; a bare host becomes its discovery address.

    An API root's list of collections stands for the root.
    """
    parts = urlsplit(url)
    path = parts.path.rstrip("/").removesuffix("/collections") + "/"
    return urlunsplit(parts._replace(path="/taxii2/" if path == "/" else path))
