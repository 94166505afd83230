"""How the TAXII server presents itself and what it takes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path

from threatshare.config import Network, OwnContact, Serve
from threatshare.errors import ConfigurationError
from threatshare.store.quotas import Amount

LOOPBACK = ("127.0.0.0/8", "::1/128")
_HEADER = re.compile("[A-Za-z][A-Za-z0-9-]{0,63}").fullmatch
_TAKEN = ("authorization", "accept", "content-type", "content-length", "host", "cookie")


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """Settings of one TAXII application."""

    title: str = "threatshare"
    """Of the server and its API root; usually the organisation's name."""
    contact: str | None = None
    public_url: str | None = None
    """What clients type, without ``/taxii2/``; None: taken from each request's Host."""
    default_page_size: int = 1_000
    max_page_size: int = 10_000
    max_content_length: int = 10_485_760
    """Bytes of one POST body."""
    daily: Amount = Amount(2_000_000, 4_294_967_296)  # noqa: RUF009  frozen
    """What one account may post a day."""
    open_discovery: bool = True
    """Whether ``/taxii2/`` answers without credentials."""
    trusted_proxies: int = 0
    """How many proxies stand in front and set X-Forwarded-For, -Proto, -Host and -Prefix; 0: none is believed."""
    proxy_networks: tuple[Network, ...] = tuple(ip_network(text) for text in LOOPBACK)
    """Where the last of those proxies connects from; what others say in such headers is not believed."""
    key_header: str | None = None
    """A header in which a client may send its key, instead of Authorization."""
    certificate_header: str | None = None
    """The header in which the proxy names the client's certificate that it has verified."""
    open_metrics: bool = False
    """Whether ``/metrics`` answers without credentials on loopback, to what no proxy has forwarded."""
    access_log: Path | None = None
    """File of one JSON line a request, opened when a worker starts; ``/dev/stderr`` for the service's journal."""
    certificate: Path | None = None
    """The server's TLS certificate, where it has one: ``/ready`` tells whether it holds."""
    own_contact: OwnContact = OwnContact()  # noqa: RUF009  frozen
    """What security.txt is made of."""


def serve_settings(name: str, serve: Serve, directory: Path, certificate: Path | None = None) -> ServeSettings:
    """Makes settings of ``[serve]``; ``name`` is the organisation's.

    Paths are as seen from the node directory, except the certificate's. Raises ConfigurationError where a header cannot
    be one, or a certificate's would be believed from nobody.
    """
    for key, header in (("key_header", serve.key_header), ("certificate_header", serve.certificate_header)):
        if header is not None and (_HEADER(header) is None or header.lower() in _TAKEN):
            raise ConfigurationError(f"serve.{key} is {header!r}, wanted is a header's name, such as X-Api-Key")
    if serve.certificate_header is not None and not serve.trusted_proxies:
        raise ConfigurationError(
            "serve.certificate_header is set and serve.trusted_proxies is 0: nobody would be believed. "
            "Set it to 1 where one proxy checks client certificates."
        )
    return ServeSettings(
        title=serve.title or name,
        contact=serve.contact,
        public_url=serve.public_url,
        default_page_size=serve.default_page_size,
        max_page_size=serve.max_page_size,
        max_content_length=serve.max_content_length,
        daily=Amount(serve.daily_objects, serve.daily_bytes),
        open_discovery=serve.open_discovery,
        trusted_proxies=serve.trusted_proxies,
        proxy_networks=tuple(_network(text) for text in serve.proxy_networks),
        key_header=serve.key_header,
        certificate_header=serve.certificate_header,
        open_metrics=serve.open_metrics,
        access_log=directory / serve.access_log if serve.access_log else None,
        certificate=certificate or (directory / serve.tls_certificate if serve.tls_certificate else None),
    )


def _network(text: str) -> Network:
    try:
        return ip_network(text, strict=False)
    except ValueError as problem:
        raise ConfigurationError(f"serve.proxy_networks: {text!r} is no network: {problem}") from problem
