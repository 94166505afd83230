"""Bodies that never come: what ends a connection whose client has sent a request's head and then falls silent.

granian cannot be told to stop waiting for a body, and the thread that waits for one is one of few. It does not tell
either which connection a request came on. So the connection is found from outside: the server has sent nothing on it
for so long that it can only be one whose request is in our hands, and of those of its address all others are accounted
for. Its socket is shut down under granian, which then gives the thread back.
"""

from __future__ import annotations

import os
import socket
import sys
from collections import Counter
from collections.abc import Container, Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from fcntl import ioctl
from ipaddress import ip_address
from operator import itemgetter
from pathlib import Path
from stat import S_ISSOCK
from termios import TIOCOUTQ
from threading import Thread, get_ident
from time import monotonic, sleep

from threatshare.share.negotiation import Environ, StartResponse, WsgiApp
from threatshare.share.uploads import VISIT, Visit

_ROUND_PART = 12
"""Rounds in the time after which a body counts as stalled."""
_SLACK = 1.0
"""Seconds by which clocks here and in the kernel may differ, and a request may wait for a thread of ours."""
_DESCRIPTORS = Path("/proc/self/fd")
_ESTABLISHED = 1
_LAST_SENT = 44
"""Where ``tcpi_last_data_sent`` stands in Linux's ``struct tcp_info``, in milliseconds ago (linux/tcp.h)."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the server waits for what a client has to send, in seconds."""

    head: float = 15.0
    """For the next request on a connection, from the last answer to the end of its headers."""
    body: float = 60.0


class Stalled:
    """Wraps the application of one worker, and ends the connections of bodies that do not come."""

    def __init__(self, app: WsgiApp, port: int, patience: Patience) -> None:
        """``port``: where the server listens."""
        self._app = app
        self._port = port
        # Behind it stands whoever has a request of that age, and nobody else: a connection on which there is none is
        # closed by granian within the time for a head.
        self._body = patience.body
        self._silent = patience.body + 2 * patience.head + _SLACK
        self._visits: dict[int, Visit] = {}

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serves a request, of which it is known meanwhile that it is in our hands."""
        thread = get_ident()
        self._visits[thread] = environ[VISIT] = Visit(environ.get("REMOTE_ADDR", ""), monotonic())
        try:
            return self._app(environ, start_response)
        finally:
            del self._visits[thread]

    def watch(self) -> None:
        """Starts the thread that looks, where the system tells what is to be known of a connection."""
        if sys.platform == "linux":
            Thread(target=self._look_again, name="stalled", daemon=True).start()

    def _look_again(self) -> None:
        while True:
            sleep(self._silent / _ROUND_PART)
            with suppress(OSError):  # no descriptor is left to look with: those that wait are looked for again
                self.end_stalled()

    def end_stalled(self) -> int:
        """Shuts down the connections of bodies that have not come; gives how many."""
        overdue = self._overdue()
        ended = 0
        for _, address, connection in sorted(self._quiet(overdue), key=itemgetter(0), reverse=True):
            with connection:
                if overdue[address]:
                    overdue[address] -= 1
                    with suppress(OSError):  # the client was faster
                        connection.shutdown(socket.SHUT_RDWR)
                        ended += 1
        return ended

    def _overdue(self) -> Counter[str]:
        """Counts the bodies that have not come, by address.

        None of an address at which anything else takes as long: its connection could be taken for one of theirs.
        """
        now = monotonic()
        overdue: Counter[str] = Counter()
        busy = set()
        for visit in list(self._visits.values()):
            if not visit.reading and now - visit.began > self._body:
                busy.add(_plain(visit.address))
            elif visit.reading and now - visit.began > self._silent:
                overdue[_plain(visit.address)] += 1
        return Counter({address: count for address, count in overdue.items() if address not in busy})

    def _quiet(self, addresses: Container[str]) -> Iterator[tuple[int, str, socket.socket]]:
        """Gives each connection from these addresses on which the server has sent nothing for so long, and since when.

        The sockets are copies, to be closed by the caller.
        """
        for number in [int(one.name) for one in _DESCRIPTORS.iterdir()] if addresses else ():
            with suppress(OSError), ExitStack() as copies:  # closed since it was listed
                if not S_ISSOCK(os.fstat(number).st_mode):
                    continue
                copy = copies.enter_context(socket.socket(fileno=os.dup(number)))
                if copy.type != socket.SOCK_STREAM or copy.getsockname()[1:2] != (self._port,):
                    continue
                address, silence = _plain(copy.getpeername()[0]), _silence(copy)
                if address in addresses and silence is not None and silence >= (self._silent - _SLACK) * 1_000:
                    copies.pop_all()
                    yield silence, address, copy


def _silence(connection: socket.socket) -> int | None:
    """Gives for how many milliseconds the server has sent nothing; None where something is still to be taken."""
    told = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LAST_SENT + 4)
    unsent = int.from_bytes(ioctl(connection, TIOCOUTQ, bytes(4)), sys.byteorder)
    if told[0] != _ESTABLISHED or unsent:
        return None
    return int.from_bytes(told[_LAST_SENT:], sys.byteorder)


def _plain(address: str) -> str:
    """Writes an address as it is written once: of IPv4 through an IPv6 socket, the IPv4 one."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    return str(getattr(found, "ipv4_mapped", None) or found)
