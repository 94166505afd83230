"""Who a request comes from, put into one form: the client's own address, and its credentials in Authorization.

The outermost layer. What stands in headers that only a proxy may set is believed from the networks where the
proxies are, and from nobody else.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv6Address, ip_address

from werkzeug.middleware.proxy_fix import ProxyFix

from threatshare.share.accounts import Gatekeeper
from threatshare.share.certificates import presented
from threatshare.share.negotiation import Environ, StartResponse, WsgiApp
from threatshare.share.settings import ServeSettings

FORWARDED = "threatshare.forwarded"
"""Stands in the environ of a request that came through a proxy, or says so."""
_SIGNS = ("HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_X_REAL_IP", "HTTP_VIA")


class Clients:
    """Wraps the application."""

    def __init__(self, app: WsgiApp, settings: ServeSettings, gatekeeper: Gatekeeper) -> None:
        self._app = app
        self._gatekeeper = gatekeeper
        self._networks = settings.proxy_networks if settings.trusted_proxies else ()
        self._key = _variable(settings.key_header)
        self._certificate = _variable(settings.certificate_header)
        self._trusted = lru_cache(maxsize=256)(self._is_proxy)
        hops = settings.trusted_proxies
        self._behind: WsgiApp = ProxyFix(app, x_for=hops, x_proto=hops, x_host=hops, x_port=0, x_prefix=hops)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serves one request."""
        trusted = bool(self._networks) and self._trusted(environ.get("REMOTE_ADDR", ""))
        if trusted or any(sign in environ for sign in _SIGNS):
            environ[FORWARDED] = True
        if not environ.get("HTTP_AUTHORIZATION"):
            self._authorize(environ, trusted)
        return (self._behind if trusted else self._app)(environ, start_response)

    def _authorize(self, environ: Environ, trusted: bool) -> None:
        """Writes the header of a client that shows who it is elsewhere: a key goes before a certificate."""
        key = environ.get(self._key) if self._key else None
        if key:
            environ["HTTP_AUTHORIZATION"] = f"Bearer {key}"
        elif trusted and self._certificate and (certificate := presented(environ.get(self._certificate, ""))):
            environ["HTTP_AUTHORIZATION"] = self._gatekeeper.sealed(certificate)

    def _is_proxy(self, address: str) -> bool:
        try:
            peer = ip_address(address.partition("%")[0])
        except ValueError:
            return False
        if isinstance(peer, IPv6Address) and peer.ipv4_mapped is not None:
            peer = peer.ipv4_mapped
        return any(peer.version == one.version and peer in one for one in self._networks)


def _variable(header: str | None) -> str | None:
    """Gives the name under which WSGI shows a header."""
    return None if header is None else "HTTP_" + header.upper().replace("-", "_")
