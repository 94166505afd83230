"""medallion's Backend over the store: what its views ask for, answered for the account that asks.

The views look at a collection's ``can_read`` and ``can_write`` only, so an account's rights are
decided in ``get_collection``; a collection that it has no right on does not exist for it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from http import HTTPStatus
from typing import Any

from flask import g, request

from threatshare.model import DEFAULT_ROOT, Collection, CollectionKind, EmptyPage, Micros, micros
from threatshare.ports import Clock
from threatshare.share.access import ACCESS
from threatshare.share.accounts import current_account
from threatshare.share.bodies import (
    STIX_20,
    STIX_21,
    TAXII,
    date_headers,
    envelope,
    versions_resource,
)
from threatshare.share.connections import Connections
from threatshare.share.errors import Refused
from threatshare.share.exchange import FOREIGN, content_digest
from threatshare.share.filters import read_query
from threatshare.share.negotiation import HEAD_ONLY
from threatshare.share.pagecache import PageCache, Resource
from threatshare.share.positions import write_position
from threatshare.share.posting import Accept, admission, post_objects
from threatshare.share.readlog import ReadLog
from threatshare.share.settings import ServeSettings
from threatshare.store import pages
from threatshare.store.collections import collection_at, collections, title_of_root
from threatshare.store.connection import Connection
from threatshare.store.entries import delete_entries, owner_of
from threatshare.store.exchange_past import remember_deleted
from threatshare.store.pages import ALL, LAST, EntryFilter, Page
from threatshare.store.rights import all_withdrawn
from threatshare.store.runs import note_rejects
from threatshare.store.statuses import keep_status, status_of

_WRITABLE = (CollectionKind.INBOX, CollectionKind.EXCHANGE, CollectionKind.EXERCISE)
"""What we publish ourselves is written by publishing only, whatever rights say."""

_STORED = {CollectionKind.EXCHANGE: (STIX_21, STIX_20)}
"""Media types of what members post; whatever we write ourselves is STIX 2.1."""

_NOT_IN_FORCE = "The agreement under which this collection is shared is not in force."

Answer = tuple[bytes, dict[str, str]]


class EntryBackend:
    """Answers medallion's views; the method names and arguments are theirs."""

    def __init__(
        self,
        connections: Connections,
        settings: ServeSettings,
        acceptors: dict[CollectionKind, Accept],
        next_key: bytes,
        reads: ReadLog,
        page_cache: PageCache,
        clock: Clock,
    ) -> None:
        self._connections = connections
        self._settings = settings
        self._acceptors = acceptors
        self._next_key = next_key
        self._reads = reads
        self._pages = page_cache
        self._admit = admission(connections, settings.daily)
        self._clock = clock

    def server_discovery(self) -> dict[str, Any]:
        """Describes the server (TAXII 2.1 §4.1), all addresses absolute.

        Told are the API roots under which the account sees anything, and to all others the one that there
        always is: a root that would answer 404 is never named, nor one that is none of the client's business.
        """
        if not self._settings.public_url and not request.host:
            raise Refused(HTTPStatus.BAD_REQUEST, "The Host header names no host, so no address can be given.")
        base = (self._settings.public_url or request.url_root).rstrip("/")
        roots = [f"{base}/{root}/" for root in self._roots() or [DEFAULT_ROOT]]
        discovery = {"title": self._settings.title, "default": roots[0], "api_roots": roots}
        if self._settings.contact:
            discovery["contact"] = self._settings.contact
        return discovery

    def get_api_root_information(self, api_root: str) -> dict[str, Any] | None:
        """Describes an API root (§4.2); None where there is none for this account."""
        if api_root != DEFAULT_ROOT and api_root not in self._roots():
            return None
        with self._connections.reading() as conn:
            title = title_of_root(conn, api_root)
        return {
            "title": title or (self._settings.title if api_root == DEFAULT_ROOT else api_root),
            "versions": [TAXII],
            "max_content_length": self._settings.max_content_length,
        }

    def get_status(self, api_root: str, status_id: str) -> bytes | None:
        """Gives a status that this account made under this root (§4.3)."""
        with self._connections.reading() as conn:
            body = status_of(conn, api_root, status_id, current_account().name)
        return None if body is None else body

    def get_collections(self, api_root: str) -> dict[str, Any]:
        """Lists what the account has any right on (§5.1); the key is left out where there is nothing."""
        shown = [_shown(one) for one in self._visible() if one.root == api_root]
        return {"collections": shown} if shown else {}

    def get_collection(self, api_root: str, collection_id: str) -> dict[str, Any] | None:
        """Describes a collection by id or alias (§5.2); None where the account has no right on it."""
        found = self._find(api_root, collection_id)
        return _shown(found) if found is not None and _is_visible(found) else None

    def get_object_manifest(
        self, api_root: str, collection_id: str, _args: Any, allowed: tuple[str, ...], limit: int
    ) -> Answer:
        """Gives a page of the manifest (§5.3)."""
        collection = self._collection(api_root, collection_id)
        wanted = self._filter(collection, allowed)
        built = self._pages.page(collection, wanted, self._limit(limit), of=Resource.MANIFEST)
        return built.plain.body, built.dates

    def get_objects(
        self, api_root: str, collection_id: str, _args: Any, allowed: tuple[str, ...], limit: int
    ) -> Answer:
        """Gives a page of objects (§5.4)."""
        collection = self._collection(api_root, collection_id)
        wanted = self._filter(collection, allowed)
        built = self._pages.page(collection, wanted, self._limit(limit))
        self._note(collection, built.plain.spans)
        return built.plain.body, built.dates

    def add_objects(self, api_root: str, collection_id: str, body: bytes, _request_time: datetime) -> bytes:
        """Takes objects and keeps their status (§5.5)."""
        collection, account = self._collection(api_root, collection_id), current_account()
        now = self._now()
        accept = self._acceptors[collection.kind]
        posted = post_objects(collection, account, body, accept, self._admit, now)
        # Whoever takes an inbox's objects in has noted those that it refused.
        refused = [] if collection.kind is CollectionKind.INBOX else posted.refused
        with self._connections.writing() as conn:
            keep_status(conn, api_root, posted.status_id, account.name, posted.status, now)
            note_rejects(conn, account.name, posted.unread + refused, now)
        return posted.status

    def get_object(
        self,
        api_root: str,
        collection_id: str,
        object_id: str,
        _args: Any,
        allowed: tuple[str, ...],
        limit: int,
    ) -> Answer:
        """Gives a page of one object's versions, whole (§5.6); 404 where the collection has none at all."""
        collection = self._collection(api_root, collection_id)
        wanted = self._filter(collection, allowed, object_id)
        with self._connections.reading() as conn:
            _must_hold(conn, collection, object_id)
            found = pages.page(conn, collection, wanted, self._limit(limit))
        if not found.items and _names_versions(wanted):
            raise _no_object(object_id)  # deleted, or never there (§5.7)
        self._note(collection, found.spans)
        bare = collection.view.empty_page is EmptyPage.BARE
        return envelope(found, self._next(collection, found, wanted), bare), date_headers(found)

    def delete_object(
        self, api_root: str, collection_id: str, object_id: str, _args: Any, allowed: tuple[str, ...]
    ) -> None:
        """Deletes an object's versions (§5.7): all of them unless ``match[version]`` says which."""
        collection, account = self._collection(api_root, collection_id), current_account()
        if collection.kind is CollectionKind.EXERCISE:
            raise Refused(HTTPStatus.FORBIDDEN, "What was posted into an exercise stands until the exercise ends.")
        given = self._filter(collection, allowed, object_id)
        wanted = EntryFilter(
            ids=given.ids,
            spec_versions=given.spec_versions,
            versions=given.versions if request.args.get("match[version]") else (ALL,),
        )
        with self._connections.writing() as conn:
            named = pages.matching(conn, collection, wanted)
            if not named:
                raise _no_object(object_id)
            if any(owner != account.name for _, owner in named):
                raise Refused(HTTPStatus.FORBIDDEN, f"{object_id} {FOREIGN}; nothing was deleted.")
            entries = [entry for entry, _ in named]
            if collection.kind is CollectionKind.EXCHANGE:
                remember_deleted(conn, collection, entries, content_digest)
            delete_entries(conn, collection, entries)

    def get_object_versions(
        self,
        api_root: str,
        collection_id: str,
        object_id: str,
        _args: Any,
        allowed: tuple[str, ...],
        limit: int,
    ) -> Answer:
        """Gives a page of one object's versions, by name (§5.8)."""
        collection = self._collection(api_root, collection_id)
        _not_of_the_past(collection)
        wanted = replace(self._filter(collection, allowed, object_id), versions=(ALL,))
        with self._connections.reading() as conn:
            _must_hold(conn, collection, object_id)
            found = pages.versions(conn, collection, wanted, self._limit(limit))
        return versions_resource(found, self._next(collection, found, wanted)), date_headers(found)

    def _note(self, collection: Collection, spans: tuple[tuple[int, int], ...]) -> None:
        if HEAD_ONLY not in request.environ:
            self._reads.note(current_account().name, collection, spans, self._now())

    def _filter(self, collection: Collection, allowed: tuple[str, ...], object_id: str | None = None) -> EntryFilter:
        wanted = read_query(request.args, self._next_key, collection.number, allowed)
        if wanted.versions != (LAST,):
            _not_of_the_past(collection)
        return wanted if object_id is None else replace(wanted, ids=(object_id,), types=())

    def _limit(self, given: int) -> int:
        return given if request.args.get("limit") else self._settings.default_page_size

    def _next(self, collection: Collection, found: Page[Any], wanted: EntryFilter) -> str | None:
        if not found.more:
            return None
        return write_position(self._next_key, collection.number, found.last_seq, wanted)

    def _roots(self) -> list[str]:
        """Gives the API roots under which the account sees anything, the one that there always is first."""
        seen = {one.root for one in self._visible()}
        return sorted(seen, key=lambda root: (root != DEFAULT_ROOT, root))

    def _visible(self) -> list[Collection]:
        with self._connections.reading() as conn:
            return [one for one in collections(conn) if _is_visible(one)]

    def _collection(self, api_root: str, collection_id: str) -> Collection:
        found = self._find(api_root, collection_id)
        if found is None:
            raise Refused(HTTPStatus.NOT_FOUND, f"There is no collection {collection_id!r}.")
        ACCESS.collection = found.alias
        if found.alias in current_account().withdrawals:
            with self._connections.reading() as conn:
                if not all_withdrawn(conn, found.number):
                    raise Refused(HTTPStatus.FORBIDDEN, f"{_NOT_IN_FORCE} What you were given is being withdrawn.")
        return found

    def _find(self, api_root: str, collection_id: str) -> Collection | None:
        # The views ask for the same collection three times a request.
        found: dict[str, Collection | None] = g.setdefault("collections", {})
        if collection_id not in found:
            with self._connections.reading() as conn:
                found[collection_id] = collection_at(conn, api_root, collection_id)
        return found[collection_id]

    def _now(self) -> Micros:
        return micros(self._clock())


def _is_visible(collection: Collection) -> bool:
    return any(_rights(collection))


def _rights(collection: Collection) -> tuple[bool, bool]:
    account = current_account()
    can_read = collection.alias in account.read or collection.alias in account.withdrawals
    return can_read, collection.alias in account.write and collection.kind in _WRITABLE


def _shown(collection: Collection) -> dict[str, Any]:
    can_read, can_write = _rights(collection)
    return {
        "id": collection.id,
        "title": collection.title,
        "alias": collection.alias,
        "can_read": can_read,
        "can_write": can_write,
        "media_types": list(_STORED.get(collection.kind, (STIX_21,))),
    }


def _must_hold(conn: Connection, collection: Collection, object_id: str) -> None:
    if owner_of(conn, collection, object_id) is None:
        raise _no_object(object_id)


def _names_versions(wanted: EntryFilter) -> bool:
    """Tells whether nothing but versions of one object by name was asked for."""
    return all(isinstance(one, int) for one in wanted.versions) and not (wanted.after or wanted.added_after)


def _not_of_the_past(collection: Collection) -> None:
    """Raises Refused where nothing but withdrawals is left to the account: they are last versions."""
    if collection.alias in current_account().withdrawals:
        raise Refused(HTTPStatus.FORBIDDEN, f"{_NOT_IN_FORCE} What is left to read are withdrawals.")


def _no_object(object_id: str) -> Refused:
    return Refused(HTTPStatus.NOT_FOUND, f"The collection holds no such object or version of {object_id!r}.")
