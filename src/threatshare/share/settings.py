"""How the TAXII server presents itself and what it takes."""

from __future__ import annotations

from dataclasses import dataclass


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
    open_discovery: bool = True
    """Whether ``/taxii2/`` answers without credentials."""
    trusted_proxies: int = 0
    """How many proxies stand in front and set X-Forwarded-For, -Proto, -Host and -Prefix; 0: none is believed."""
