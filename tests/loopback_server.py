"""A server on a free port of 127.0.0.1, in a thread, which says nothing of clients that hang up on it."""

from __future__ import annotations

import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Quiet(BaseHTTPRequestHandler):
    """Answers over HTTP/1.1, without a word on stderr."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 30

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """Says nothing: clients without a certificate are hung up on, and others hang up."""


class LoopbackServer:
    """Serves from ``begin`` to ``end``."""

    def begin(self, handler: type[Quiet], tls: ssl.SSLContext | None) -> int:
        """Starts serving; gives the port."""
        self._server = _Server(("127.0.0.1", 0), handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return int(self._server.server_address[1])

    def end(self) -> None:
        """Stops serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
