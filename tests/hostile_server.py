"""A real HTTP server on loopback whose every answer a test decides, down to the bytes."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from time import monotonic
from typing import Any
from urllib.parse import parse_qs, urlsplit

from clocks import FixedClock
from loopback_server import LoopbackServer, Quiet
from threatshare.feeds.access import Access
from threatshare.feeds.egress import Limits, system_resolver
from threatshare.feeds.session import PartnerSession

_PATIENCE = 30.0
"""Seconds in which a server misbehaves at most."""
TAXII = "application/taxii+json;version=2.1"
COLLECTION = "/root/collections/91a7b528-80eb-42ed-a74d-c6fbd5a26116/"


@dataclass(frozen=True)
class Asked:
    """One request as the server saw it."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]
    """Keys in lower case."""
    client_cert: dict[str, Any] | None = None


@dataclass
class Talk:
    """One request that waits for its answer, and the means to misbehave in it."""

    asked: Asked
    handler: BaseHTTPRequestHandler
    stopping: threading.Event
    number: int
    """Requests so far, this one included."""

    def answer(
        self,
        body: bytes,
        status: int = 200,
        content_type: str | None = TAXII,
        headers: Mapping[str, str] | None = None,
        **more: str,
    ) -> None:
        """Sends a whole and correct answer; underscores in the names of ``more`` headers stand for hyphens."""
        self.handler.send_response(status)
        if content_type is not None:
            self.handler.send_header("Content-Type", content_type)
        self.handler.send_header("Content-Length", str(len(body)))
        for name, value in {**(headers or {}), **more}.items():
            self.handler.send_header(name.replace("_", "-"), value)
        self.handler.end_headers()
        self.handler.wfile.write(body)

    def raw(self, data: bytes) -> None:
        """Sends bytes as they are."""
        self.handler.wfile.write(data)
        self.handler.wfile.flush()

    def head(self, *lines: str) -> None:
        """Sends a status line of 200, the TAXII media type and more header lines."""
        self.raw("\r\n".join(("HTTP/1.1 200 OK", f"Content-Type: {TAXII}", *lines, "", "")).encode())

    def until_stopped(self, send: Callable[[], bytes], pause: float = 0.0) -> None:
        """Sends piece after piece until the client or the test has had enough, or half a minute is over.

        A client that sets no limit of its own fails its test then, instead of keeping it for ever.
        """
        ends = monotonic() + _PATIENCE
        while monotonic() < ends and not self.stopping.wait(pause):
            self.raw(send())
        self.hang_up()

    def hang(self) -> None:
        """Says nothing more, until the test is over."""
        self.stopping.wait(_PATIENCE)

    def hang_up(self) -> None:
        """Closes the connection after this answer, without saying so."""
        self.handler.close_connection = True


Behaviour = Callable[[Talk], None]


@dataclass
class HostileServer:
    """Serves on a free port of 127.0.0.1 from ``with`` to its end."""

    behave: Behaviour
    tls: ssl.SSLContext | None = None
    asked: list[Asked] = field(default_factory=list)

    def __enter__(self) -> HostileServer:
        outer = self
        self.stopping = threading.Event()

        class Answering(Quiet, BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer._serve(self)

        self._server = LoopbackServer()
        self.port = self._server.begin(Answering, self.tls)
        return self

    def __exit__(self, *exc: object) -> None:
        self.stopping.set()
        self._server.end()

    def url(self, path: str = COLLECTION, host: str = "127.0.0.1") -> str:
        """Gives the address of a path here."""
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}{path}"

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        sock = handler.connection
        asked = Asked(
            parts.path,
            {name: values[0] for name, values in parse_qs(parts.query).items()},
            {name.lower(): value for name, value in handler.headers.items()},
            sock.getpeercert() if isinstance(sock, ssl.SSLSocket) else None,
        )
        self.asked.append(asked)
        self.behave(Talk(asked, handler, self.stopping, len(self.asked)))


def opener(server: HostileServer, *, path: str = COLLECTION, **choices: Any) -> Callable[[], PartnerSession]:
    """Gives what a client opens its session with, limits short.

    ``choices`` are fields of Access and Limits, and ``host`` and ``resolve``.
    """
    home = server.url(path, choices.pop("host", "127.0.0.1"))
    resolve = choices.pop("resolve", system_resolver)
    limits: dict[str, Any] = {
        "page_seconds": 1.0,
        "run_seconds": 3.0,
        "max_bytes": 2 * 1024 * 1024,
        "connect_seconds": 1.0,
    }
    limits |= {name: choices.pop(name) for name in list(choices) if name in Limits.__dataclass_fields__}
    access = Access(**{"allow_private_address": True, **choices})
    return lambda: PartnerSession(home, access, Limits(**limits), clock=FixedClock(), resolve=resolve)


def indicators(first: int, count: int) -> list[dict[str, Any]]:
    """Gives indicators with numbered ids."""
    return [
        {
            "type": "indicator",
            "spec_version": "2.1",
            "id": f"indicator--00000000-0000-4000-8000-{number:012d}",
            "created": "2026-01-01T00:00:00.000Z",
            "modified": "2026-01-01T00:00:00.000Z",
            "pattern": f"[url:value = 'https://example.com/{number}']",
            "pattern_type": "stix",
            "valid_from": "2026-01-01T00:00:00Z",
        }
        for number in range(first, first + count)
    ]


def envelope(first: int, count: int, **rest: Any) -> bytes:
    """Gives a TAXII envelope of numbered indicators; ``rest`` are ``more`` and ``next``."""
    return json.dumps({**rest, "objects": indicators(first, count)}).encode()
