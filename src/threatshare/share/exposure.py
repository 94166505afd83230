"""What an operator should mend in how the server stands towards the network, before partners notice it."""

from __future__ import annotations

import os
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from threatshare.config import Network, Serve
from threatshare.errors import ConfigurationError
from threatshare.model import Micros, moment
from threatshare.share.accesslog import STDERR
from threatshare.share.certificates import check_pair, findings
from threatshare.share.settings import ServeSettings, serve_settings
from threatshare.store.accounts import AccountRecord, list_accounts
from threatshare.store.connection import Connection

_DAY: Micros = 86_400 * 1_000_000
_NOTICE = 14 * _DAY
_SET_BY_OTHERS = frozenset(
    {
        "forwarded",
        "user-agent",
        "via",
        "x-api-key",
        "x-client-ip",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-prefix",
        "x-forwarded-proto",
        "x-forwarded-server",
        "x-real-ip",
        "x-request-id",
    }
)
"""Headers, in lower case, that clients and proxies write for another purpose: none may say whose certificate it is."""
_WIDEST = 8
"""A network of proxies with a shorter prefix holds strangers too."""


def exposures(serve: Serve, directory: Path, conn: Connection, now: Micros) -> list[str]:
    """Says what is, or soon will be, wrong with ``[serve]``, its certificate and the accounts, and how to mend it."""
    return [*_settings(serve, directory), *_tls(serve, directory, now), *_accounts(conn, now)]


def _settings(serve: Serve, directory: Path) -> list[str]:
    try:
        made = serve_settings("", serve, directory)
    except ConfigurationError as problem:
        return [str(problem)]
    found = [*_listening(serve, made.proxy_networks), *_public_url(serve.public_url), *_unseen_clients(serve)]
    if serve.certificate_header is not None:
        found += _certificate_header(serve.certificate_header, serve.key_header, made.proxy_networks)
    if serve.default_page_size > serve.max_page_size:
        found.append(
            f"serve.default_page_size is {serve.default_page_size}, more than serve.max_page_size, "
            f"{serve.max_page_size}: no page is larger than that"
        )
    return found + _access_log(made)


def _listening(serve: Serve, proxies: tuple[Network, ...]) -> list[str]:
    """Warns of keys in the clear; a proxy that is said to be on another machine may have a network of its own."""
    if serve.tls_certificate is not None or _is_loopback(serve.host):
        return []
    if not serve.trusted_proxies:
        return [
            f"serve.host is {serve.host} without TLS: keys cross the network in the clear. Set serve.tls_certificate "
            "and serve.tls_key, or listen on 127.0.0.1 behind a proxy"
        ]
    if all(one.is_loopback for one in proxies):
        return [
            f"serve.host is {serve.host} without TLS, and the proxy is on this machine: past it keys cross the network "
            "in the clear. Listen on 127.0.0.1, or name the proxy's address in serve.proxy_networks"
        ]
    return []


def _certificate_header(header: str, key_header: str | None, proxies: tuple[Network, ...]) -> list[str]:
    """Warns of what would have a certificate believed that nobody has verified."""
    found = []
    if header.lower() in _SET_BY_OTHERS:
        found.append(
            f"serve.certificate_header is {header}, which others write too: a client could name somebody's certificate "
            "in it. Use a header of its own, such as X-Client-Certificate"
        )
    if key_header is not None and key_header.lower() == header.lower():
        found.append(
            f"serve.certificate_header and serve.key_header are both {header}: a certificate would be taken for a key. "
            "Use two headers"
        )
    found += [
        f"serve.proxy_networks holds {one}: whoever connects from there is believed about client certificates. "
        "Name the proxy's own address"
        for one in proxies
        if one.prefixlen < _WIDEST
    ]
    return found


def _public_url(url: str | None) -> list[str]:
    if url is None:
        return []
    try:
        parts = urlsplit(url)
        scheme, host, path = parts.scheme, parts.hostname, parts.path
    except ValueError as problem:
        return [f"serve.public_url is {url}, no address: {problem}"]
    if scheme not in ("http", "https") or not host:
        return [f"serve.public_url is {url}; wanted is an address such as https://taxii.example.org"]
    found = []
    if "taxii2" in path.split("/"):
        found.append(f"serve.public_url is {url}: leave /taxii2/ away, or discovery names addresses that are not there")
    if scheme == "http" and not _is_loopback(host):
        found.append(f"serve.public_url is {url}: discovery has clients send their keys in the clear. Write https")
    return found


def _unseen_clients(serve: Serve) -> list[str]:
    """Warns of a proxy that is not named as one: its address stands for everybody's then."""
    if serve.trusted_proxies or serve.tls_certificate is not None or not (serve.public_url or "").startswith("https:"):
        return []
    return [
        "serve.public_url is https, and serve.trusted_proxies is 0: behind a proxy all clients count as one, so wrong "
        "logins are limited for all together, and logs name the proxy's address alone. Set serve.trusted_proxies to "
        "how many proxies stand in front, or serve.tls_certificate and serve.tls_key where there is none"
    ]


def _access_log(made: ServeSettings) -> list[str]:
    file = made.access_log
    if file is None or file == STDERR:
        return []
    # Asked, not tried: whoever runs doctor would own a file that the server is to write.
    place = file if file.exists() else file.parent
    if not file.is_dir() and os.access(place, os.W_OK):
        return []
    return [f"serve.access_log: {file} cannot be written by whoever runs this command: the server would not start"]


def _tls(serve: Serve, directory: Path, now: Micros) -> list[str]:
    if (serve.tls_certificate is None) != (serve.tls_key is None):
        return ["serve.tls_certificate and serve.tls_key go together: set both or neither"]
    if serve.tls_certificate is None and serve.tls_client_authority is not None:
        return [
            "serve.tls_client_authority takes TLS: set serve.tls_certificate and serve.tls_key; behind a proxy have "
            "the proxy check client certificates"
        ]
    if serve.tls_certificate is None or serve.tls_key is None:
        return []
    certificate, key = directory / serve.tls_certificate, directory / serve.tls_key
    found = findings(certificate, key, now)
    if serve.tls_client_authority is not None and not found:
        try:
            check_pair(certificate, key, directory / serve.tls_client_authority)
        except ConfigurationError as problem:
            found.append(str(problem))
    return found


def _accounts(conn: Connection, now: Micros) -> list[str]:
    found = []
    for one in list_accounts(conn):
        if one.revoked is not None or one.expires is None or one.expires >= now + _NOTICE:
            continue
        name, day = one.account.name, f"{moment(one.expires):%Y-%m-%d}"
        prolong = f"`threatshare account expire {name} --on DAY` prolongs it"
        if one.expires > now:
            found.append(f"account {name} ends on {day}: {prolong}")
        elif _has_rights(one):
            found.append(
                f"account {name} has ended on {day} and keeps its rights: {prolong}, "
                f"`threatshare account revoke {name}` ends it for good"
            )
    return found


def _has_rights(one: AccountRecord) -> bool:
    return bool(one.account.read or one.account.write or one.findings or one.metrics)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
