"""How a partner's server is reached, as ``feed add`` and ``target add`` are told it and write it down."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import click

from threatshare.cli.output import say
from threatshare.feeds.addresses import is_inside

_OPTIONS = (
    ("--user", "User name."),
    ("--password-env", "Environment variable that holds the password."),
    ("--password-file", "File that holds the password."),
    ("--token-env", "Environment variable that holds a Bearer token."),
    ("--client-cert", "Client certificate, PEM file."),
    ("--client-key", "Its key, PEM file."),
    ("--ca-file", "Certificates to trust instead of the system's."),
)


def connecting(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options that say as whom we call a server, and whom we trust to be it; each is a key of its file."""
    for option, text in reversed(_OPTIONS):
        command = click.option(option, help=text)(command)
    return command


def private_allowed(url: str, allowed: bool, what: str) -> bool:
    """Tells whether a private address is allowed, also since the URL names one, which is said; ``what``: a feed, ...

    Only an address of this host or of a site's own network counts as allowed by being typed.
    """
    if not allowed and names_private_address(url):
        say(f"{urlsplit(url).hostname} is a private address: allow_private_address was set for this {what}.")
        return True
    return allowed


def names_private_address(url: str) -> bool:
    """Tells whether a URL names an address of this host or of a site's own network."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme not in ("http", "https"):
        return False
    try:
        return is_inside(ip_address(host))
    except ValueError:
        return host == "localhost"
