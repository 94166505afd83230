"""Makes the client of a feed from its settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import monotonic as system_monotonic
from urllib.parse import urlsplit

from threatshare.config import FeedSettings, secret
from threatshare.errors import ConfigurationError
from threatshare.feeds.access import Access
from threatshare.feeds.bundles import DiskFeed, WebFeed
from threatshare.feeds.egress import Limits, Resolver, system_resolver
from threatshare.feeds.session import PartnerSession
from threatshare.feeds.taxii import TaxiiFeed
from threatshare.ports import Clock, FeedClient

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
) -> FeedClient:
    """Gives the client of a feed; relative paths in its settings are taken from the node directory.

    Secrets are read here, connections are made when pages are asked for. Raises ConfigurationError for
    what cannot be used: a missing secret, an address that is not http(s), that holds a password, or
    that would carry one in clear text over the internet.
    """
    place = f"feeds/{name}.toml"
    if settings.path is not None:
        if settings.kind != "stix":
            raise ConfigurationError(f'{place}: path needs kind = "stix", TAXII is spoken to a url')
        max_object = min(settings.max_page_bytes, _MAX_OBJECT)
        return DiskFeed(name, node_dir / settings.path, page_size=settings.page_size, max_object=max_object)
    url = settings.url or ""
    access = _access(settings, node_dir, place)
    _check_url(url, settings, access, place)
    limits = Limits(settings.page_deadline_seconds, settings.run_deadline_seconds, settings.max_page_bytes)

    def open_session() -> PartnerSession:
        return PartnerSession(url, access, limits, clock=clock, monotonic=monotonic, resolve=resolve)

    if settings.kind == "stix":
        return WebFeed(name, url, open_session, page_size=settings.page_size)
    return TaxiiFeed(
        name,
        url,
        settings.collection,
        open_session,
        page_size=settings.page_size,
        max_pages=settings.max_pages,
        clock=clock,
    )


def _access(settings: FeedSettings, node_dir: Path, place: str) -> Access:
    def file(text: str | None) -> Path | None:
        return None if text is None else node_dir / text

    password_file = file(settings.password_file)
    return Access(
        user=settings.user,
        password=secret(settings.password_env, None if password_file is None else str(password_file), place),
        token=secret(settings.token_env, None, place),
        client_cert=file(settings.client_cert),
        client_key=file(settings.client_key),
        ca_file=file(settings.ca_file),
        allow_private_address=settings.allow_private_address,
    )


def _check_url(url: str, settings: FeedSettings, access: Access, place: str) -> None:
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        known = False
    if not known:
        raise ConfigurationError(f"{place}: url must be an http or https address")
    if "@" in parts.netloc:
        raise ConfigurationError(f"{place}: url holds a password; use user with password_env or password_file instead")
    if settings.kind == "taxii" and parts.query:
        raise ConfigurationError(f"{place}: url has a query, which a TAXII address cannot have")
    if parts.scheme == "http" and access.authorization() and not settings.allow_private_address:
        raise ConfigurationError(f"{place}: url is not https, the credentials would be sent in clear text")
