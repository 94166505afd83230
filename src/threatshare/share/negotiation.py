"""A thin WSGI layer that puts requests into the one form that medallion's views understand.

medallion compares headers as text, redirects where a slash is missing (which loses credentials and
filters), and wants a Content-Length. Here every spelling that the standards allow becomes its canonical
form, and what remains is refused inside the application, after the login.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from threatshare.share.bodies import TAXII
from threatshare.share.mediatypes import accepts_taxii, is_postable

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
WsgiApp = Callable[[Environ, StartResponse], Iterable[bytes]]

HEAD_ONLY = "threatshare.head_only"
"""Stands in the environ of a request whose body is not sent."""
_SLASHES = re.compile("/{2,}")
_REFUSED = ""
"""A header that names nothing we can do: medallion answers 406 or 415."""


class Negotiation:
    """Wraps the application."""

    def __init__(self, app: WsgiApp) -> None:
        self._app = app

    def __call__(self, environ: Environ, start_response: StartResponse) -> list[bytes]:
        """Serves one request; the body comes back whole, so that the server need not ask for its parts."""
        environ["PATH_INFO"] = _SLASHES.sub("/", environ.get("PATH_INFO", "") + "/")
        environ["HTTP_ACCEPT"] = TAXII if accepts_taxii(environ.get("HTTP_ACCEPT")) else _REFUSED
        if environ["REQUEST_METHOD"] == "POST":
            _settle_body(environ)
        elif environ["REQUEST_METHOD"] == "HEAD":
            # medallion's views know no HEAD, though Flask routes it to them.
            environ["REQUEST_METHOD"], environ[HEAD_ONLY] = "GET", True
        answer = self._app(environ, start_response)
        try:
            return [] if HEAD_ONLY in environ else list(answer)
        finally:
            close = getattr(answer, "close", None)
            if close is not None:
                close()


def is_coded(environ: Environ) -> bool:
    """Tells whether a body came compressed, or coded otherwise."""
    return environ.get("HTTP_CONTENT_ENCODING", "").strip().lower() not in ("", "identity")


def _settle_body(environ: Environ) -> None:
    environ["CONTENT_TYPE"] = TAXII if not is_coded(environ) and is_postable(environ.get("CONTENT_TYPE")) else _REFUSED
    # A chunked body has no length; medallion insists on one, Werkzeug ignores it and counts what comes.
    chunked = "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower()
    if environ.get("CONTENT_LENGTH") == "0":
        del environ["CONTENT_LENGTH"]  # nothing was sent: 400, where medallion would say 413
    if chunked and environ.get("wsgi.input_terminated"):
        environ["CONTENT_LENGTH"] = "1"
