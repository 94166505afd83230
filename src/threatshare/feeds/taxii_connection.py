"""taxii2-client on our session: its endpoints and filters, without its sockets, its parser or its strictness.

What real servers say differently from the specification is put right before the library sees it:

    `default` or `api_roots` relative            resolved against the discovery address (OpenCTI: "/root")
    `default` missing                            the first of `api_roots`
    roots with http behind an https address      taken as https: proxies hide the scheme from servers
    `title` missing, `display_name` instead      taken as the title (OpenCTI)
    `can_read` or `can_write` null               taken as true and false (OpenTAXII)
    `max_content_length` missing or text         taken as 10 MiB, or as the number that it is
    objects as STIX or as plain JSON             taken where the answer names its `objects`
    the answer to a POST                         see ``taxii_status``; 200 and 201 count as 202

A server of TAXII 2.0 is told apart, and named in the error: it is never spoken to in 2.0 unasked. A root on
another host is refused by the session: credentials go to the configured address only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

import msgspec
from msgspec import Struct
from taxii2client import v21
from taxii2client.common import _HTTPConnection
from taxii2client.exceptions import TAXIIServiceException, ValidationError

from threatshare.errors import PartnerError
from threatshare.feeds.content import UNREADABLE
from threatshare.feeds.session import Answer, BadStatus, PartnerSession, shown
from threatshare.feeds.taxii_media import (
    MEDIA_TYPE,
    OBJECTS_20,
    OLDER,
    RESOURCES_20,
    holds_objects,
    is_json,
    is_stix,
    is_taxii_20,
    is_taxii_21,
    may_be_page,
)
from threatshare.feeds.taxii_status import Status, complaint, read_status

DISCOVERY, DISCOVERY_20 = "/taxii2/", "/taxii/"
MAX_RESOURCE_BYTES = 4 * 1024 * 1024
"""Of a discovery, API root or collections resource."""
_MAX_STATUS_BYTES = 32 * 1024 * 1024
"""Of a status resource, which may name every object of an envelope."""
_UNSTATED_LENGTH = 10 * 1024 * 1024
"""``max_content_length`` of a root that states none, though it must."""
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
    max_content_length: int | str | float | None = None


class _CollectionResource(Struct):
    """TAXII 2.1 §5.2.1: what we read of it."""

    id: str
    title: str | None = None
    display_name: str | None = None
    alias: str | None = None
    can_read: bool | None = None
    can_write: bool | None = None
    media_types: list[str] | None = None


class _Collections(Struct):
    collections: list[_CollectionResource] = []


class Collection(Struct, frozen=True):
    """A collection that may be read."""

    library: Any
    """taxii2-client's object, on our connection."""
    objects_url: str


class WritableCollection(Struct, frozen=True):
    """A collection that may be written to."""

    library: Any
    root: Any
    """taxii2-client's API root of it, for statuses."""
    max_content_length: int
    """Bytes of one POST that the root takes."""


class Connection(_HTTPConnection):  # type: ignore[misc]  # the library has no types
    """Answers the library's requests: resources as mended mappings, a page of objects as our ``Answer``."""

    def __init__(self, session: PartnerSession, place: str) -> None:
        super().__init__(version="2.1")
        # Whatever else of the library sends something, sends it over guarded sockets too.
        self.session = session.http
        self.partner = session
        self.place = place
        """Feed and page, for messages."""
        self.status_id: str | None = None
        """The status that is being asked for."""

    def get(self, url: str, headers: Mapping[str, str] | None = None, params: Mapping[str, Any] | None = None) -> Any:
        """Asks over the hardened session; ``headers`` other than ours are not sent."""
        page = url.endswith("/objects/")
        if self.status_id is not None and url.endswith(f"/status/{self.status_id}/"):
            return self._status(url)
        try:
            answer = self.partner.get(
                url,
                place=self.place,
                media_types=may_be_page if page else is_taxii_21,
                headers={"Accept": MEDIA_TYPE},
                params=params,
                max_bytes=None if page else MAX_RESOURCE_BYTES,
            )
        except BadStatus as refused:
            if self._is_older(url, refused.status):
                raise PartnerError(f"{self.place}: {shown(url)}: HTTP {refused.status}; {OLDER}") from None
            raise in_its_words(refused) from None
        media_type = answer.headers.get("Content-Type", "")
        if page and not holds_objects(media_type, answer.body):
            fault = f"unexpected media type {media_type[:80]!r}, and no objects; check the address"
            raise PartnerError(f"{self.place}: {shown(url)}: {fault}")
        return answer if page else mended(answer, url, self.place)

    def _is_older(self, url: str, status: int) -> bool:
        """Tells whether a server that refuses 2.1 answers in 2.0, by asking it so once more."""
        if status in (404, 406) and urlsplit(url).path == DISCOVERY:
            url = urljoin(url, DISCOVERY_20)
        elif status != 406:
            return False
        asked = {"Accept": f"{RESOURCES_20}, {OBJECTS_20}"}
        if url.endswith("/objects/"):
            asked["Range"] = "items=0-0"
        try:
            self.partner.get(url, place=self.place, media_types=is_taxii_20, headers=asked)
        except PartnerError:
            return False
        return True

    def post(
        self,
        url: str,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
        **body: bytes,
    ) -> Any:
        """Sends an envelope over the hardened session; gives its status, made consistent."""
        sent = {"Accept": MEDIA_TYPE, "Content-Type": MEDIA_TYPE}
        answer = self.partner.post(url, body["data"], place=self.place, headers=sent, max_bytes=_MAX_STATUS_BYTES)
        media_type = answer.headers.get("Content-Type", "")
        # A page of some proxy is no receipt: only JSON is, or nothing at all.
        if answer.body.strip() and not is_json(media_type):
            raise PartnerError(f"{self.place}: {shown(url)}: unexpected media type {media_type[:80]!r} after a POST")
        found = read_status(answer.body)
        return (found or Status(None, complete=True, failed=0, pending=0)).resource() | {"told": found is not None}

    def _status(self, url: str) -> dict[str, Any]:
        answer = self.partner.get(
            url,
            place=self.place,
            media_types=is_json,
            headers={"Accept": MEDIA_TYPE},
            max_bytes=_MAX_STATUS_BYTES,
        )
        found = read_status(answer.body)
        if found is None:
            raise PartnerError(f"{self.place}: {shown(url)}: no TAXII 2.1 status resource")
        return found.resource()


def in_its_words(refused: BadStatus) -> BadStatus:
    """Adds what the server's error resource (TAXII 2.1 §3.6.1) says is wrong."""
    said = complaint(refused.body)
    return BadStatus(f"{refused}; it says {said!r}", refused.status, refused.body) if said else refused


def get_page(collection: Collection, place: str, filters: Mapping[str, Any]) -> Answer:
    """Asks for one page of objects; ``filters`` are ``added_after``, ``limit`` and ``next``."""
    collection.library._conn.place = place
    answer: Answer = collection.library.get_objects(**filters)
    return answer


def post_envelope(collection: WritableCollection, place: str, envelope: bytes) -> Status | None:
    """Sends one envelope; gives its status, None where the server took it and said nothing of its objects.

    Raises Busy, BadStatus or PartnerError, as ``PartnerSession.post``.
    """
    collection.library._conn.place = place
    answered = collection.library.add_objects(envelope, wait_for_completion=False).custom_properties
    status: Status = answered["read"]
    return status if answered["told"] else None


def ask_status(collection: WritableCollection, place: str, status_id: str) -> Status:
    """Asks how far an earlier envelope has got; raises Busy, BadStatus or PartnerError."""
    conn = collection.root._conn
    conn.place, conn.status_id = place, status_id
    status: Status = collection.root.get_status(status_id).custom_properties["read"]
    return status


def find_writable(session: PartnerSession, url: str, wanted: str | None, place: str) -> WritableCollection:
    """Finds the collection to write to, as ``find_collection`` does the one to read, in whichever API root it is.

    A collection's own address is looked up in its root's list, which alone says what may be written.
    Raises PartnerError, naming what there is.
    """
    conn = Connection(session, place)
    address = directory(url)
    direct = _COLLECTION_URL(address)
    if direct is not None:
        address, wanted = direct[1].rpartition("collections/")[0], wanted or unquote(direct[2])
    try:
        offered = list(_offered(conn, address, lambda one: _named(one, wanted) and one.can_write))
        library = _choice(offered, wanted, "write to", place, address)
        root = v21.ApiRoot(library.url.rpartition("collections/")[0], conn=conn)
        most = int(root.max_content_length)
    except (TAXIIServiceException, ValidationError) as problem:
        raise PartnerError(f"{place}: {shown(address)}: {problem}") from problem
    if library.media_types and not any(map(is_stix, library.media_types)):
        takes = ", ".join(library.media_types)[:200]
        raise PartnerError(f"{place}: {shown(library.url)} takes no STIX 2.1. It takes: {takes!r}")
    return WritableCollection(library, root, most)


def find_collection(session: PartnerSession, url: str, wanted: str | None, place: str) -> Collection:
    """Finds the collection that an address and a name mean; raises PartnerError, naming what there is.

    The address is a collection's own (asked for nothing), an API root's, or a discovery
    address; a bare host means its ``/taxii2/`` (TAXII 2.1 §1.4.1). ``wanted`` is an id, alias or title; None
    takes the only readable collection.
    """
    return seek(Connection(session, place), v21, directory(url), wanted)


def seek(conn: Connection, library: Any, address: str, wanted: str | None) -> Collection:
    """Finds the collection as ``find_collection`` does, from an address that ends in a slash.

    ``library`` is taxii2-client's module of the protocol's version, and ``conn`` speaks that version.
    """
    direct = _COLLECTION_URL(address)
    if direct is not None:
        known = {"id": direct[2], "title": unquote(direct[2]), "can_read": True, "can_write": False}
        return _readable(library.Collection(direct[1], conn=conn, collection_info=known))
    try:
        offered = list(_offered(conn, address, lambda one: _named(one, wanted), library))
    except (TAXIIServiceException, ValidationError) as problem:
        raise PartnerError(f"{conn.place}: {shown(address)}: {problem}") from problem
    return _readable(_choice(offered, wanted, "read", conn.place, address))


def _choice(offered: list[Any], wanted: str | None, verb: str, place: str, address: str) -> Any:
    """Gives the one collection that is meant and allows it; ``verb`` is ``read`` or ``write to``."""
    found = [one for one in offered if _named(one, wanted)]
    allowed = [one for one in found if (one.can_read if verb == "read" else one.can_write)]
    if len(allowed) == 1:
        return allowed[0]
    there = "; ".join(f"{one.title!r:.80} {one.id}" for one in offered[:_SHOWN_COLLECTIONS]) or "none"
    if not found:
        what = f"has no collection {wanted!r}" if wanted is not None else "has no collection"
    elif not allowed:
        what = f"does not let this account {verb} it"
    else:
        what = "has several collections that could be meant, name one by its id"
    raise PartnerError(f"{place}: {shown(address)} {what}. It offers: {there}")


def _named(one: Any, wanted: str | None) -> bool:
    # Collections of TAXII 2.0 have no alias.
    return wanted is None or wanted in (one.id, getattr(one, "alias", None), one.title)


def _readable(library: Any) -> Collection:
    return Collection(library, library.objects_url)


def _offered(conn: Connection, address: str, enough: Callable[[Any], bool], library: Any = v21) -> Iterator[Any]:
    """Gives the library's collections, root by root, the default first, up to the root that has the wanted one."""
    server = library.Server(address, conn=conn)
    if server.custom_properties.get("versions"):
        yield from library.ApiRoot(address, conn=conn).collections
        return
    default = server.default.url
    roots = [default, *(root.url for root in server.api_roots if root.url != default)]
    for root in roots:
        try:
            collections = library.ApiRoot(root, conn=conn).collections
        except BadStatus:
            # Servers advertise roots that an account may not see, or that are gone.
            if root == default:
                raise
            continue
        yield from collections
        if any(map(enough, collections)):
            return


def mended(answer: Answer, url: str, place: str) -> dict[str, Any]:
    """Gives a discovery, API root or collections resource as the library takes it; raises PartnerError.

    ``url`` is what was asked for, which tells which of them it is.
    """
    try:
        return _mended_collections(answer) if url.endswith("/collections/") else _mended_resource(answer)
    except (*UNREADABLE, ValueError) as problem:
        raise PartnerError(f"{place}: {shown(url)}: no TAXII resource: {problem}") from problem


def _mended_resource(answer: Answer) -> dict[str, Any]:
    read = msgspec.json.decode(answer.body, type=_Resource)
    title = read.title or "untitled"
    if read.versions and not read.api_roots and read.default is None:
        return {"title": title, "versions": read.versions, "max_content_length": _length(read.max_content_length)}
    roots = [_root_url(answer.url, text) for text in read.api_roots[:_MAX_ROOTS]]
    default = _root_url(answer.url, read.default) if read.default else next(iter(roots), None)
    if default is None:
        raise ValueError("it names no API root")
    return {"title": title, "default": default, "api_roots": list(dict.fromkeys([default, *roots]))}


def _length(given: str | float | None) -> int:
    try:
        stated = int(given or 0)
    except (ValueError, OverflowError):
        stated = 0
    return stated if stated > 0 else _UNSTATED_LENGTH


def _root_url(base: str, text: str) -> str:
    absolute = urlsplit(urljoin(base, text))
    home = urlsplit(base)
    if home.scheme == "https" and absolute.scheme == "http" and absolute.hostname == home.hostname:
        absolute = absolute._replace(scheme=home.scheme, netloc=home.netloc)
    return directory(urlunsplit(absolute))


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
                "media_types": one.media_types,
            }
            for one in read.collections
            if one.id and "/" not in one.id
        ]
    }


def directory(url: str, discovery: str = DISCOVERY) -> str:
    """Ends an address with a slash, as every TAXII address does; a bare host becomes its discovery address.

    An API root's list of collections stands for the root.
    """
    parts = urlsplit(url)
    path = parts.path.rstrip("/").removesuffix("/collections") + "/"
    return urlunsplit(parts._replace(path=discovery if path == "/" else path))
