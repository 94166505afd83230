"""gzip and zstd for clients that ask (RFC 9110 §12.5.3, §8.4.1; RFC 8878).

An attacker who could place text of his own beside a secret, and watch the length of what is sent, could guess the
secret from it (BREACH). Our bodies hold no secrets: keys are shown by the command line only, and what a client may
not read is not in its page.

A body is one zstd frame with its size in the head: joining stored frames would cost nothing here, and aiohttp before
3.14, reqwest before 0.12.13 and others read the first of several only, or fail. ``deflate`` is not offered: clients
disagree on what it is.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from threatshare.share.negotiation import Environ, StartResponse, WsgiApp
from threatshare.store.frames import frame

VARY = ("Vary", "Accept-Encoding")
TINY = 1_000
"""Bytes: anything smaller fits into one packet as it is."""
_GZIP_LEVEL = 1
"""A page of 700 kB in 1.8 ms, 14 times smaller; level 6 takes 5 ms for 16 times."""
_GZIP_WINDOW = 31
"""zlib's way to say: with gzip's head and tail."""
_IDENTITY = ""
_LONGEST = 1_000
"""Characters of a header that is read: clients send some thirty, and what is read is remembered."""
_OFFERED = ("zstd", "gzip")
"""Where a client has no preference, the first that it takes: zstd costs a fifth of gzip."""


def coding_for(accepted: str | None) -> str:
    """Chooses the coding by an Accept-Encoding header: ``zstd``, ``gzip`` or empty for none.

    Where a client takes nothing that there is, it gets the body as it is, which no client has refused.
    """
    return _coding_for(accepted) if accepted and len(accepted) <= _LONGEST else _IDENTITY


@lru_cache(maxsize=256)
def _coding_for(accepted: str) -> str:
    weights: dict[str, float] = {}
    for part in accepted.lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        weights[{"x-gzip": "gzip"}.get(name, name)] = _weight(parameters)
    others = weights.get("*", 0.0)
    best = max(_OFFERED, key=lambda name: weights.get(name, others))
    weight = weights.get(best, others)
    return best if weight > 0 and weight >= weights.get("identity", 0.0) else _IDENTITY


def compressed(body: bytes, coding: str) -> bytes:
    """Compresses a body; other threads run meanwhile."""
    return frame(body) if coding == "zstd" else zlib.compress(body, _GZIP_LEVEL, _GZIP_WINDOW)


class Compressed:
    """Wraps an application whose bodies are whole; what has a Content-Encoding already goes on as it is."""

    def __init__(self, app: WsgiApp) -> None:
        self._app = app

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serves one request."""
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], None]:
            started.append((status, headers))
            return _no_writing

        answer = self._app(environ, start)
        try:
            parts = list(answer)
        finally:
            close = getattr(answer, "close", None)
            if close is not None:
                close()
        status, headers = started[-1]
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        coding = coding_for(environ.get("HTTP_ACCEPT_ENCODING"))
        if status.startswith("2") and len(body) >= TINY:
            headers = [*headers, VARY]
            if coding and not any(name.lower() == "content-encoding" for name, _ in headers):
                body = compressed(body, coding)
                headers = [(name, value) for name, value in headers if name.lower() != "content-length"]
                headers += [("Content-Length", str(len(body))), ("Content-Encoding", coding)]
        start_response(status, headers)
        return [body]


def _weight(parameters: list[str]) -> float:
    """Reads ``q``; what cannot be read, or is none, counts as 0, as nobody wants it."""
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return max(0.0, min(1.0, float(value)))
            except ValueError:
                return 0.0
    return 1.0


def _no_writing(_data: bytes) -> None:
    raise NotImplementedError("the applications behind this layer return their bodies")
