"""The TAXII server: granian, which parses HTTP outside the interpreter.

Chosen by measurement (docs/decisions): as fast as any, and alone among those that need no second
server in front of it, it keeps answering while hundreds of connections dawdle.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from threading import Thread

from threatshare.errors import ConfigurationError, ThreatshareError
from threatshare.share.app import TaxiiApp
from threatshare.share.metrics import DIRECTORY
from threatshare.share.scratch import scratch
from threatshare.share.stalled import Patience
from threatshare.share.workers import Reread, Tls, Workers, end_with, say, steered_by_signals

__all__ = ["Address", "Tls", "serve"]

_BACKLOG = 1_024
"""Connections that may wait to be taken."""
_PROBE_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen."""

    host: str
    port: int
    """0: a free one is chosen."""
    tls: Tls | None = None

    @property
    def url(self) -> str:
        """The address as a client would type it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}"


def serve(
    make_app: Callable[[], TaxiiApp],
    address: Address,
    workers: int = 1,
    announce: Callable[[str], None] | None = None,
    with_parent: bool = False,
    reread: Reread | None = None,
    patience: Patience = Patience(),  # noqa: B008  frozen
) -> None:
    """Serves in the foreground until SIGTERM or SIGINT, then finishes what is under way and returns.

    ``with_parent``: the end of the process that started it counts as SIGTERM.

    ``make_app`` is called once in every worker process. ``announce`` is called with the URL once requests are
    answered; by default it prints ``listening on URL`` to stderr. At SIGHUP ``reread`` gives the certificate's
    files anew, and each worker is replaced by one that has read everything anew. No connection is refused
    meanwhile; address and number of workers stay. Raises ConfigurationError where the address is taken.
    """
    # Workers take over the listening socket, so they are forked where Python would not by itself (from 3.14 on).
    multiprocessing.set_start_method("fork", force=True)
    with closing(_claimed(address)) as claim, scratch() as counts:
        os.environ[DIRECTORY] = counts
        bound = Address(address.host, claim.getsockname()[1], address.tls)
        server = Workers(claim, address.tls, workers, reread or (lambda: address.tls), patience)
        with steered_by_signals(server):
            Thread(target=_announce, args=(server, bound, workers, announce or _say_url), daemon=True).start()
            if with_parent:
                Thread(target=end_with, args=(os.getppid(),), daemon=True).start()
            try:
                server.serve(target_loader=server.loader(make_app), wrap_loader=False)
            except SystemExit:
                # A worker that ended before it was told to is a failure only where nobody wanted the end.
                if not server.interrupt_signal:
                    raise
    if not server.interrupt_signal:
        raise ThreatshareError("the TAXII server's worker processes end again and again; see the lines above")


def _claimed(address: Address) -> socket.socket:
    """Listens at the address, which is so known and nobody else's; nothing is answered before workers run."""
    try:
        family, kind, _, _, target = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        claim = socket.socket(family, kind)
    except OSError as problem:
        raise _not_listening(address, problem) from problem
    try:
        claim.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        claim.bind(target)
        claim.listen(_BACKLOG)
        claim.setblocking(False)
    except OSError as problem:
        claim.close()
        raise _not_listening(address, problem) from problem
    return claim


def _not_listening(address: Address, problem: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"{address.host} port {address.port} cannot be listened on: {problem.strerror or problem}. "
        "Stop what listens there, or choose another with --port."
    )


def _announce(server: Workers, address: Address, workers: int, announce: Callable[[str], None]) -> None:
    # Sleeps until all workers are forked: a thread in the middle of anything would leave its locks to them.
    while len(server.wrks) < workers:
        time.sleep(_PROBE_SECONDS)
    while not server.interrupt_signal:
        if _answers(address):
            announce(address.url)
            return
        time.sleep(_PROBE_SECONDS)


def _answers(address: Address) -> bool:
    """Tells whether a request is answered, by a request for what needs neither account nor store."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host)  # noqa: S104
    try:
        with socket.create_connection((host, address.port), timeout=1) as plain:
            if address.tls:
                return _shakes_hands(plain)
            plain.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return plain.recv(5) == b"HTTP/"
    except OSError:
        return False


def _shakes_hands(plain: socket.socket) -> bool:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with context.wrap_socket(plain):
        return True


def _say_url(url: str) -> None:
    say(f"listening on {url}")
