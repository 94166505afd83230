"""The TAXII server's processes: granian, which parses HTTP outside the interpreter.

Chosen by measurement (docs/decisions): as fast as any, and alone among those that need no second
server in front of it, it keeps answering while hundreds of connections dawdle.
"""

from __future__ import annotations

import os
import signal
import socket
import ssl
import sys
import time
from _thread import interrupt_main
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from multiprocessing.util import Finalize
from pathlib import Path
from threading import Event, Thread, get_ident

from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.mp import MPServer

from threatshare.errors import ConfigurationError, ThreatshareError
from threatshare.share.app import TaxiiApp

_THREADS = 256
"""Of each worker: a body that is sent slowly holds one, an idle one costs next to nothing."""
_HEADER_MILLISECONDS = 15_000
_FINISHING_SECONDS = 20
"""What is under way when the server stops gets this long."""
_PARENT_SECONDS = 1.0
_ENDS = {signal.SIGTERM, signal.SIGINT}
_PROBE_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Tls:
    """Files for TLS 1.2 and later, in PEM."""

    certificate: Path
    key: Path
    client_authority: Path | None = None
    """Where given, a client without a certificate of this authority is not let in."""


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
) -> None:
    """Serves in the foreground until SIGTERM or SIGINT, then finishes what is under way and returns.

    ``with_parent``: the end of the process that started it counts as SIGTERM.

    ``make_app`` is called once in every worker process, and must survive pickling where processes are
    not forked. ``announce`` is called with the URL once requests are answered; by default it
    prints ``listening on URL`` to stderr. Raises ConfigurationError where the address is taken.
    """
    with closing(_claimed(address)) as claim:
        bound = Address(address.host, claim.getsockname()[1], address.tls)
        server = _server(bound, claim.getsockname()[0], workers)
        with _ended_by_signals(server):
            Thread(target=_announce, args=(server, bound, workers, announce or _say), daemon=True).start()
            if with_parent:
                Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
            try:
                server.serve(target_loader=_Loader(make_app), wrap_loader=False)
            except SystemExit:
                # A worker that ended before it was told to is a failure only where nobody wanted the end.
                if not server.interrupt_signal:
                    raise
    if not server.interrupt_signal:
        raise ThreatshareError("the TAXII server's worker processes end again and again; see the lines above")


@dataclass(frozen=True, slots=True)
class _Loader:
    """Makes the application in a worker process, and has it closed when the process ends."""

    make_app: Callable[[], TaxiiApp]

    def __call__(self) -> TaxiiApp:
        _end_once()
        app = self.make_app()
        Finalize(app, app.close, exitpriority=100)
        return app


@contextmanager
def _ended_by_signals(server: MPServer) -> Iterator[None]:
    """Ends the server at SIGTERM or SIGINT, taken by a thread of its own.

    They stay blocked in the main thread, and so in every worker from its first moment: one that came
    while a worker started would be lost on it, and the server wait for that worker in vain.
    """
    handlers = {one: signal.getsignal(one) for one in _ENDS}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDS)
    over = Event()

    def listen() -> None:
        while not over.is_set():
            signal.sigwait(_ENDS)
            server.signal_handler_interrupt()  # type: ignore[no-untyped-call]

    listener = Thread(target=listen, name="signals", daemon=True)
    listener.start()
    try:
        yield
    finally:
        over.set()
        signal.pthread_kill(listener.ident or 0, signal.SIGTERM)
        listener.join()
        for one, handler in handlers.items():
            signal.signal(one, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _end_once() -> None:
    """Passes the first SIGTERM to granian's handler and no other; takes the end of the parent process for one.

    A terminal and a service manager signal every process of the service, and then the parent signals
    its workers again: granian 2.8 hangs on the second. A worker whose parent was killed would go
    on holding the port.
    """
    main, inherited = get_ident(), signal.getsignal(signal.SIGTERM)
    # Only a signal with a handler wakes the main thread, which waits in a lock, to run the other's.
    signal.signal(signal.SIGUSR1, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDS)

    def listen() -> None:
        signal.sigwait({signal.SIGTERM})
        while signal.getsignal(signal.SIGTERM) == inherited:
            time.sleep(_PROBE_SECONDS)  # granian installs its handler once the application is made
        interrupt_main(signal.SIGTERM)
        signal.pthread_kill(main, signal.SIGUSR1)

    Thread(target=listen, name="signals", daemon=True).start()
    Thread(target=_end_with, args=(os.getppid(),), name="parent", daemon=True).start()


def _end_with(parent: int) -> None:
    """Ends this process once its parent has ended, however that came."""
    while os.getppid() == parent:
        time.sleep(_PARENT_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


def _server(address: Address, host: str, workers: int) -> MPServer:
    tls = address.tls
    return MPServer(
        "threatshare",
        address=host,
        port=address.port,
        interface=Interfaces.WSGI,
        workers=workers,
        blocking_threads=_THREADS,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=_HEADER_MILLISECONDS),
        log_level=LogLevels.critical,
        ssl_cert=tls.certificate if tls else None,
        ssl_key=tls.key if tls else None,
        ssl_protocol_min=SSLProtocols.tls12,
        ssl_ca=tls.client_authority if tls else None,
        ssl_client_verify=bool(tls and tls.client_authority),
        respawn_failed_workers=True,
        workers_kill_timeout=_FINISHING_SECONDS,
    )


def _claimed(address: Address) -> socket.socket:
    """Binds the address, so that the port is known and nobody else takes it.

    Workers share it by SO_REUSEPORT, under which a second server would silently take half of the
    connections: binding without it first tells whether somebody is there.
    """
    try:
        family, kind, _, _, target = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(target)
            chosen = probe.getsockname()
        claim = socket.socket(family, kind)
        if sys.platform == "linux":
            claim.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            claim.bind(chosen)
    except OSError as problem:
        raise ConfigurationError(
            f"{address.host} port {address.port} cannot be listened on: {problem.strerror or problem}. "
            "Stop what listens there, or choose another with --port."
        ) from problem
    return claim


def _announce(server: MPServer, address: Address, workers: int, announce: Callable[[str], None]) -> None:
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
            plain.sendall(b"HEAD / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return plain.recv(5) == b"HTTP/"
    except OSError:
        return False


def _shakes_hands(plain: socket.socket) -> bool:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with context.wrap_socket(plain):
        return True


def _say(url: str) -> None:
    os.write(sys.stderr.fileno(), f"listening on {url}\n".encode())
