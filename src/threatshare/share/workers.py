"""The server's worker processes: how granian's are started, ended and replaced.

All share one listening socket, which the parent holds: connections wait in its queue while a worker is replaced, and
none is refused. (granian would give each worker a socket of its own under SO_REUSEPORT; what waits at one that
is closed is lost.) A worker that is replaced takes no connections any more, closes each behind the answer to its next
request, and ends a moment later: granian by itself would cut off clients in the middle of their handshake.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from _thread import interrupt_main
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.util import Finalize
from pathlib import Path
from select import select
from threading import Event, Thread, get_ident
from typing import Any

from granian._granian import SocketHolder
from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.mp import MPServer

from threatshare.errors import ThreatshareError
from threatshare.share.app import TaxiiApp
from threatshare.share.memory import reuse_memory
from threatshare.share.negotiation import WsgiApp
from threatshare.share.stalled import Patience, Stalled

_THREADS = 256
"""Of each worker: a body that is sent slowly holds one, an idle one costs next to nothing."""
_FINISHING_SECONDS = 20
"""What is under way when a worker ends gets this long."""
_STARTING_SECONDS = 60
"""A worker that is not ready by then will not replace another."""
_PARENT_SECONDS = 1.0
_LEAVING_SECONDS = 2.0
"""Between two requests on one connection, for most clients that keep it."""
_TAKEN = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2}
_PROBE_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Tls:
    """Files for TLS 1.2 and later, in PEM."""

    certificate: Path
    key: Path
    client_authority: Path | None = None
    """Where given, a client without a certificate of this authority is not let in."""


Reread = Callable[[], Tls | None]
"""Reads the configuration anew and checks it; raises ThreatshareError where it cannot be served with."""


class Workers(MPServer):
    """granian's processes, made for one listening socket."""

    def __init__(
        self,
        listener: socket.socket,
        tls: Tls | None,
        workers: int,
        reread: Reread,
        patience: Patience = Patience(),  # noqa: B008  frozen
    ) -> None:
        host, port = listener.getsockname()[:2]
        super().__init__(
            "threatshare",
            address=host,
            port=port,
            interface=Interfaces.WSGI,
            workers=workers,
            blocking_threads=_THREADS,
            http=HTTPModes.http1,
            http1_settings=HTTP1Settings(header_read_timeout=int(patience.head * 1_000)),
            log_level=LogLevels.critical,
            respawn_failed_workers=True,
            workers_kill_timeout=_FINISHING_SECONDS,
        )
        self._listener = listener
        self._reread = reread
        self._patience = patience
        # A pipe, since a lock shared by processes takes /dev/shm, which not every service has.
        self._ready, self._tell_ready = os.pipe()
        os.set_blocking(self._ready, False)
        self._use(tls)

    def loader(self, make_app: Callable[[], TaxiiApp]) -> Callable[[], WsgiApp]:
        """Gives what makes the application in a worker, and tells us that it is made."""
        return _Loader(make_app, self._tell_ready, self._listener, os.getpid(), self._patience)

    def _use(self, tls: Tls | None) -> None:
        self.build_ssl_context(
            tls.certificate if tls else None,
            tls.key if tls else None,
            None,
            SSLProtocols.tls12,
            tls.client_authority if tls else None,
            [],
            bool(tls and tls.client_authority),
        )

    def _init_shared_socket(self) -> None:
        self._sso: Any = None
        self._shd: Any = SocketHolder(os.dup(self._listener.fileno()), False, self.backlog)  # type: ignore[call-arg]

    def _reload(self, spawn_target: Any, target_loader: Any) -> None:
        """Replaces all workers at once; the old ones go on where the new cannot be had."""
        self.reload_signal = False
        self.main_loop_interrupt.clear()
        if self.interrupt_signal or self.interrupt_children:
            self.main_loop_interrupt.set()
        try:
            self._use(self._reread())
        except (ThreatshareError, OSError) as problem:
            say(f"not reloaded, the server goes on as it was: {problem}")
            return
        new = [self._started(number, spawn_target, target_loader) for number in range(self.workers)]
        started = [one for one in new if one is not None]
        if len(started) < self.workers:
            self._end(started)
            say("not reloaded, a new worker process did not start; see the lines above")
            return
        old: list[Any] = list(self.wrks)
        self.wrks[:] = started
        for number, one in enumerate(started):
            one.interrupt_by_parent = False
            if not one.is_alive():
                self.interrupt_children.append(number)
                self.main_loop_interrupt.set()
        self._let_go(old)
        say("reloaded")

    def _started(self, number: int, spawn_target: Any, target_loader: Any) -> Any:
        """Gives a new worker once it is ready; None where it does not get so far."""
        with suppress(BlockingIOError):
            while os.read(self._ready, 512):
                pass
        new: Any = self._spawn_worker(idx=number, target=spawn_target, callback_loader=target_loader)
        # Until it replaces another its end is for us to judge, and no crash of the server's.
        new.interrupt_by_parent = True
        new.start()
        until = time.monotonic() + _STARTING_SECONDS
        while not select([self._ready], [], [], _PROBE_SECONDS)[0]:
            if not new.is_alive() or self.interrupt_signal or time.monotonic() > until:
                new.kill()  # it serves nobody, and heeds no other signal yet
                new.join()
                return None
        return new

    def _let_go(self, workers: list[Any]) -> None:
        """Has workers take no more connections, and ends them when clients have left."""
        for one in workers:
            one.interrupt_by_parent = True
            if one.is_alive():
                os.kill(one.inner.pid, signal.SIGUSR2)
        until = time.monotonic() + _LEAVING_SECONDS
        while not self.interrupt_signal and time.monotonic() < until:
            time.sleep(_PROBE_SECONDS)
        self._end(workers)

    @staticmethod
    def _end(workers: list[Any]) -> None:
        for one in workers:
            one.terminate()
        until = time.monotonic() + _FINISHING_SECONDS
        for one in workers:
            one.join(max(0.0, until - time.monotonic()))
            if one.is_alive():
                one.kill()
                one.join()


def say(text: str) -> None:
    """Writes a line to stderr at once, whatever else is in the middle of writing."""
    with suppress(OSError):  # whoever read it may have gone
        os.write(2, f"{text}\n".encode())


@contextmanager
def steered_by_signals(server: Workers) -> Iterator[None]:
    """Ends the server at SIGTERM or SIGINT and has it reload at SIGHUP; all are taken by a thread of its own.

    They stay blocked in the main thread, and so in every worker from its first moment: one that came
    while a worker started would be lost on it, and the server wait for that worker in vain.
    """
    handlers = {one: signal.getsignal(one) for one in _TAKEN}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _TAKEN)
    over = Event()

    def listen() -> None:
        while not over.is_set():
            if signal.sigwait(_TAKEN - {signal.SIGUSR2}) == signal.SIGHUP:
                server.signal_handler_reload()  # type: ignore[no-untyped-call]
            else:
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


def end_with(parent: int) -> None:
    """Ends this process once its parent has ended, however that came."""
    while os.getppid() == parent:
        time.sleep(_PARENT_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class _Loader:
    """Makes the application in a worker process, and has it closed when the process ends."""

    make_app: Callable[[], TaxiiApp]
    ready: int
    """A pipe that is written to when it is made."""
    listener: socket.socket
    parent: int
    """Its process id, which a worker whose parent is gone could not find out any more."""
    patience: Patience

    def __call__(self) -> WsgiApp:
        reuse_memory()
        # Threads that the application starts must not take what is meant for the one that waits for it.
        signal.pthread_sigmask(signal.SIG_BLOCK, _TAKEN)
        app = self.make_app()
        Finalize(app, app.close, exitpriority=100)

        def leave() -> None:
            _stop_taking(self.listener)
            app.leave()

        _end_once(leave, self.parent)
        watched = Stalled(app, self.listener.getsockname()[1], self.patience)
        watched.watch()
        os.write(self.ready, b".")
        return watched


def _stop_taking(listener: socket.socket) -> None:
    """Takes the listening socket out of granian's hands in this process; others go on taking from its queue.

    granian cannot be told to. Its descriptor is made to mean another socket, to which nobody connects.
    """
    inode = os.fstat(listener.fileno()).st_ino
    folder = Path("/proc/self/fd" if sys.platform == "linux" else "/dev/fd")
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        nobody.setblocking(False)
        for number in [int(one.name) for one in folder.iterdir()]:
            with suppress(OSError):  # the one that listed the folder is closed again
                if os.fstat(number).st_ino == inode:
                    os.dup2(nobody.fileno(), number)


def _end_once(leave: Callable[[], None], parent: int) -> None:
    """Passes the first SIGTERM to granian's handler and no other; takes the end of the parent process for one.

    At SIGUSR2, with which the parent has it replaced, ``leave`` is called before that.

    A terminal and a service manager signal every process of the service, and then the parent signals
    its workers again: granian 2.8 hangs on the second. A worker whose parent was killed would go
    on holding the port.
    """
    main, inherited = get_ident(), signal.getsignal(signal.SIGTERM)
    # Only a signal with a handler wakes the main thread, which waits in a lock, to run the other's.
    signal.signal(signal.SIGUSR1, lambda *_: None)

    def listen() -> None:
        if signal.sigwait({signal.SIGTERM, signal.SIGUSR2}) == signal.SIGUSR2:
            leave()
            signal.sigwait({signal.SIGTERM})
        while signal.getsignal(signal.SIGTERM) == inherited:
            time.sleep(_PROBE_SECONDS)  # granian installs its handler once the application is made
        interrupt_main(signal.SIGTERM)
        signal.pthread_kill(main, signal.SIGUSR1)

    Thread(target=listen, name="signals", daemon=True).start()
    Thread(target=end_with, args=(parent,), name="parent", daemon=True).start()
