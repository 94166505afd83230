"""Counts each request, and writes a line of it where an access log is wanted.

A line says when, who, which route, which collection, how it ended, how long it took and how much was sent; never an
id, a filter or any other part of a request that names a value.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from time import perf_counter
from typing import Any

from threatshare.share.access import ACCESS
from threatshare.share.accesslog import AccessLog
from threatshare.share.metrics import Answered, Metrics
from threatshare.share.negotiation import Environ, StartResponse, WsgiApp
from threatshare.share.unsent import Pieces

_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})
_FIXED = frozenset({"taxii2", "findings", "health", "ready", "metrics", ".well-known/security.txt"})
_BELOW_ROOT = {
    (): "/{root}/",
    ("status", "*"): "/{root}/status/{id}/",
    ("collections",): "/{root}/collections/",
    ("collections", "*"): "/{root}/collections/{id}/",
    ("collections", "*", "manifest"): "/{root}/collections/{id}/manifest/",
    ("collections", "*", "objects"): "/{root}/collections/{id}/objects/",
    ("collections", "*", "objects", "*"): "/{root}/collections/{id}/objects/{id}/",
    ("collections", "*", "objects", "*", "versions"): "/{root}/collections/{id}/objects/{id}/versions/",
}
_OTHER = "other"
_LONGEST = 512
"""Characters of a path that may lead anywhere; a route that was found is remembered."""
_PROBED = ("/health", "/ready")
"""Asked every few seconds by whatever watches the server: counted, not logged."""


class Measured:
    """Wraps the application."""

    def __init__(self, app: WsgiApp, metrics: Metrics, log: AccessLog | None = None) -> None:
        self._app = app
        self._metrics = metrics
        self._log = log

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serves one request; the body comes back whole, or in pieces of a known size."""
        ACCESS.begin()
        began = perf_counter()
        path, method = environ.get("PATH_INFO", ""), environ["REQUEST_METHOD"]
        status = "500"

        def begin(line: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            nonlocal status
            status = line[:3]
            return start_response(line, headers) if exc_info is None else start_response(line, headers, exc_info)

        sent = 0
        try:
            answer = self._app(environ, begin)
            sent = answer.size if isinstance(answer, Pieces) else sum(map(len, answer))
            return answer
        finally:
            self._note(path, method, status, perf_counter() - began, sent)

    def _note(self, path: str, method: str, status: str, seconds: float, sent: int) -> None:
        route = route_of(path)
        method = method if method in _METHODS else _OTHER
        self._metrics.note(
            Answered(route, method, status, seconds, sent, ACCESS.account, ACCESS.collection, ACCESS.objects)
        )
        if self._log is not None and route not in _PROBED:
            self._log(
                account=ACCESS.account or None,
                method=method,
                route=route,
                collection=ACCESS.collection or None,
                status=int(status),
                ms=round(seconds * 1e3, 2),
                bytes=sent,
                objects=ACCESS.objects,
            )


def route_of(path: str) -> str:
    """Gives the pattern of an address's path; ``other`` for whatever we have nothing at."""
    return _route_of(path) if len(path) <= _LONGEST else _OTHER


@lru_cache(maxsize=512)
def _route_of(path: str) -> str:
    plain = path.strip("/")
    if plain in _FIXED:
        return f"/{plain}"
    words = tuple(word for word in plain.split("/")[1:] if word)
    shape = tuple("*" if place % 2 else word for place, word in enumerate(words))
    return _BELOW_ROOT.get(shape, _OTHER) if plain else _OTHER
