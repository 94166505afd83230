"""Where a request may go, how long it may take and how much it may bring: enforced at the socket itself.

A partner's server decides what it sends and when, in every phase: name, handshake, header lines, chunk
sizes, body. Checks between the chunks of a body see only the last of these. So every socket of a session
asks one ``Guard`` before it waits and tells it what came, and the guard ends the exchange.

Addresses are checked after resolution and the connection goes to the checked address: a name that
resolves to something else a moment later (DNS rebinding) changes nothing. TLS still verifies the name.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from threading import Thread
from typing import Any

from requests import Session
from requests.adapters import HTTPAdapter
from requests.models import Response
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from threatshare.feeds.addresses import Address, objection

Resolver = Callable[[str, int], Iterable[str]]
"""Gives the addresses of a host and port, in the order in which to try them; raises OSError."""

_FRAMING_BYTES = 1024 * 1024
"""Status, header and chunk lines of one answer, beside its body."""
_MAX_ADDRESSES = 8


class Refusal(Exception):
    """The guard ended an exchange; the message is the reason, without address or credentials."""


class Unfit(Refusal):
    """What came is too large or of another form than was asked for: the next question may be answered all the same."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long an exchange may take and how much it may bring."""

    page_seconds: float
    """From the request to the last byte of its answer, redirects included."""
    run_seconds: float
    """From the first request to the last byte of the last answer."""
    max_bytes: int
    """Of one answer's body, on the wire and after inflating."""
    connect_seconds: float = 10.0
    silence_seconds: float = 30.0
    """Between two pieces of an answer."""


def system_resolver(host: str, port: int) -> list[str]:
    """Asks the operating system."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Guard:
    """Holds what is left of a run's and a page's time and bytes, and opens its connections."""

    def __init__(self, limits: Limits, monotonic: Callable[[], float], allow_private: bool, resolve: Resolver) -> None:
        """Starts the run's clock; ``monotonic`` gives seconds."""
        self._limits = limits
        self._now = monotonic
        self._allow_private = allow_private
        self._resolve = resolve
        self._run_ends = self._page_ends = monotonic() + limits.run_seconds
        self._max_bytes = limits.max_bytes
        self.received = 0
        """Bytes of this answer so far, as they came out of the socket (or out of TLS)."""
        self.connected = 0
        """Connections attempted for this answer; 0: it used one that was kept alive."""

    def begin(self, max_bytes: int) -> None:
        """Starts the clock and the count of one page."""
        self._page_ends = min(self._run_ends, self._now() + self._limits.page_seconds)
        self._max_bytes = max_bytes
        self.received = self.connected = 0

    def patience(self) -> float:
        """Gives the seconds that a socket may now wait; raises Refusal when the time is up."""
        left = self._page_ends - self._now()
        if left > 0:
            return min(left, self._limits.silence_seconds)
        if self._page_ends == self._run_ends:
            raise Refusal(f"the run took longer than {self._limits.run_seconds:g} s")
        raise Refusal(f"the answer took longer than {self._limits.page_seconds:g} s")

    def count(self, received: int) -> int:
        """Adds what a socket received; raises Unfit over the limit."""
        self.received += received
        if self.received > self._max_bytes + _FRAMING_BYTES:
            raise Unfit(f"the answer is larger than {self._max_bytes} bytes")
        return received

    def connect(self, host: str, port: int) -> GuardedSocket:
        """Resolves, checks every address, and connects to the first that answers."""
        self.connected += 1
        failure: OSError | None = None
        for address in self._checked(host, port):
            try:
                return self._connect(address, port)
            except OSError as problem:
                failure = problem
        raise failure or Refusal(f"{host} has no address")

    def _connect(self, address: Address, port: int) -> GuardedSocket:
        sock = GuardedSocket(socket.AF_INET6 if address.version == 6 else socket.AF_INET)
        sock.guard = self
        try:
            sock.settimeout(min(self._limits.connect_seconds, self.patience()))
            sock.connect((str(address), port))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # A TLS handshake that follows waits on this time-out as a whole.
            sock.settimeout(min(self._limits.connect_seconds, self.patience()))
        except (OSError, Refusal):
            sock.close()
            raise
        return sock

    def _checked(self, host: str, port: int) -> list[Address]:
        addresses = [ip_address(text) for text in self._resolved(host, port)][:_MAX_ADDRESSES]
        for address in addresses:
            reason = objection(address, self._allow_private)
            if reason is not None:
                hint = "; set allow_private_address if this host is meant to be inside your network"
                raise Refusal(f"{host} is {address}, {reason}" + ("" if objection(address, True) else hint))
        return addresses

    def _resolved(self, host: str, port: int) -> list[str]:
        """Resolves in a thread of its own: getaddrinfo knows no time-out and waits half a minute and more."""
        found: list[str] = []
        failures: list[Exception] = []

        def ask() -> None:
            try:
                found.extend(self._resolve(host, port))
            except (OSError, UnicodeError) as problem:
                failures.append(problem)

        thread = Thread(target=ask, name="resolve", daemon=True)
        thread.start()
        thread.join(min(self._limits.connect_seconds, self.patience()))
        if thread.is_alive():
            raise Refusal(f"the name {host} was not resolved in time")
        if failures:
            raise Refusal(f"the name {host} cannot be resolved")
        return found


class GuardedSocket(socket.socket):
    """A plain socket that asks its guard before every wait."""

    guard: Guard

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """Receives within the guard's patience and counts."""
        self.settimeout(self.guard.patience())
        return self.guard.count(super().recv_into(buffer, nbytes, flags))

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Sends within the guard's patience."""
        self.settimeout(self.guard.patience())
        super().sendall(data, flags)


class GuardedTlsSocket(ssl.SSLSocket):
    """The same over TLS; ``SSLContext.sslsocket_class`` makes the context build these."""

    guard: Guard

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        """Receives within the guard's patience and counts."""
        self.settimeout(self.guard.patience())
        return self.guard.count(super().recv_into(buffer, nbytes, flags))

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Sends within the guard's patience."""
        self.settimeout(self.guard.patience())
        super().sendall(data, flags)


class _Plain(HTTPConnection):
    def __init__(self, *args: Any, guard: Guard, **rest: Any) -> None:
        super().__init__(*args, **rest)
        self._guard = guard

    def _new_conn(self) -> socket.socket:
        return self._guard.connect(self.host, self.port)


class _Tls(HTTPSConnection):
    def __init__(self, *args: Any, guard: Guard, **rest: Any) -> None:
        super().__init__(*args, **rest)
        self._guard = guard

    def _new_conn(self) -> socket.socket:
        return self._guard.connect(self.host, self.port)

    def connect(self) -> None:
        super().connect()
        if isinstance(self.sock, GuardedTlsSocket):
            self.sock.guard = self._guard


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _Tls


class GuardedAdapter(HTTPAdapter):
    """Sends requests' requests over guarded connections only, verified by one TLS context."""

    def __init__(self, guard: Guard, tls: ssl.SSLContext | None) -> None:
        self._guard = guard
        self._tls = tls
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **rest: Any) -> None:
        """Puts guarded pools and our TLS context into the pool manager."""
        super().init_poolmanager(connections, maxsize, block, ssl_context=self._tls, **rest)
        self.poolmanager.pool_classes_by_scheme = {
            "http": partial(_PlainPool, guard=self._guard),
            "https": partial(_TlsPool, guard=self._guard),
        }

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Leaves trust to the TLS context: requests would add its own authorities to it."""


class GuardedHttp(Session):
    """requests' session without what it does by itself: no redirects, cookies, proxies or .netrc."""

    def __init__(self, adapter: GuardedAdapter) -> None:
        super().__init__()
        self.trust_env = False
        self.mount("https://", adapter)
        self.mount("http://", adapter)

    def get_redirect_target(self, resp: Response) -> str | None:
        """Says that nothing redirects: requests reads a redirect's whole body even when told not to follow."""
        return None
