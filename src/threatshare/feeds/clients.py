"""Makes the client of a feed from its settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import monotonic as system_monotonic

from threatshare.errors import ConfigurationError
from threatshare.feed_settings import FeedSettings, ListSettings
from threatshare.feeds.access import access_of, checked_url
from threatshare.feeds.body import unheard
from threatshare.feeds.bundles import DiskFeed, WebFeed
from threatshare.feeds.egress import Limits, Resolver, system_resolver
from threatshare.feeds.list_presets import settled
from threatshare.feeds.list_rows import RowReader
from threatshare.feeds.lists import DiskList, WebList
from threatshare.feeds.misp import DiskEvents, MispFeed, WebEvents
from threatshare.feeds.session import PartnerSession
from threatshare.feeds.taxii import TaxiiFeed
from threatshare.feeds.taxii20 import Taxii20Feed
from threatshare.ports import Clock, FeedClient, Heard, ListClient

_MAX_OBJECT = 16 * 1024 * 1024
"""Bytes of an object in a streamed file: no object may be that large, a bundle within a bundle may."""


def client_for(
    name: str,
    settings: FeedSettings,
    node_dir: Path,
    *,
    clock: Clock,
    monotonic: Callable[[], float] = system_monotonic,
    resolve: Resolver = system_resolver,
    heard: Heard = unheard,
) -> FeedClient | ListClient:
    """Gives the client of a feed, or of a list; relative paths in its settings are taken from the node directory.

    Secrets are read here, connections are made when pages are asked for. Raises ConfigurationError for
    what cannot be used: a missing secret, an address that is not http(s), that holds a password, or
    that would carry one in clear text over the internet.
    """
    place = f"feeds/{name}.toml"
    terms = settled(settings.list or ListSettings(), place)
    if settings.list is not None and settings.kind != "list":
        raise ConfigurationError(f'{place}: the table list needs kind = "list"')
    if settings.path is not None:
        if settings.kind == "list":
            return DiskList(name, node_dir / settings.path, terms, RowReader(terms, place))
        if settings.kind == "misp":
            events = DiskEvents(name, node_dir / settings.path, settings.max_page_bytes)
            return MispFeed(name, str(node_dir / settings.path), events)
        if settings.kind != "stix":
            raise ConfigurationError(f"{place}: path needs another kind than taxii, which is spoken to a url")
        max_object = min(settings.max_page_bytes, _MAX_OBJECT)
        return DiskFeed(name, node_dir / settings.path, page_size=settings.page_size, max_object=max_object)
    url = settings.url or ""
    access = access_of(settings, node_dir, place)
    parts = checked_url(url, place, with_query=settings.kind not in ("taxii", "taxii20"))
    if parts.scheme == "http" and access.authorization() and not settings.allow_private_address:
        raise ConfigurationError(f"{place}: url is not https, the credentials would be sent in clear text")
    limits = Limits(settings.page_deadline_seconds, settings.run_deadline_seconds, settings.max_page_bytes)

    def open_session() -> PartnerSession:
        return PartnerSession(url, access, limits, clock=clock, monotonic=monotonic, resolve=resolve, heard=heard)

    if settings.kind == "misp":
        return MispFeed(name, url, WebEvents(name, url, open_session))
    if settings.kind == "list":
        return WebList(name, url, open_session, terms, RowReader(terms, place))
    if settings.kind == "stix":
        return WebFeed(name, url, open_session, page_size=settings.page_size)
    return (Taxii20Feed if settings.kind == "taxii20" else TaxiiFeed)(
        name,
        url,
        settings.collection,
        open_session,
        page_size=settings.page_size,
        max_pages=settings.max_pages,
        clock=clock,
    )
