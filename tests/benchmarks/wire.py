"""The client of the benchmarks of serving: as little as HTTP needs, so that what is measured is the server."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from threading import Thread

_HEAD = 65_536
_END = b"\r\n\r\n"


class Refused(Exception):
    """A server answered, but not with what was asked for."""


class Wire:
    """One connection; a server that closes it after an answer is connected to anew."""

    def __init__(self, port: int, headers: dict[str, str], patience: float) -> None:
        """``patience``: seconds after which an answer that does not come raises TimeoutError.

        Whatever is asked raises Refused where the answer is an error, and OSError where there is none.
        """
        self._port = port
        self._patience = patience
        self._lines = "".join(f"{name}: {value}\r\n" for name, value in {"Host": "localhost", **headers}.items())
        self._socket: socket.socket | None = None
        self._buffer = bytearray(1 << 20)
        self.head = b""

    def get(self, path: str) -> bytes:
        """Gives the body of an answer."""
        return self._ask(f"GET {path} HTTP/1.1\r\n{self._lines}\r\n".encode())

    def post(self, path: str, body: bytes) -> bytes:
        """Sends a body; gives the answer's."""
        lines = f"{self._lines}Content-Type: application/taxii+json;version=2.1\r\nContent-Length: {len(body)}\r\n\r\n"
        return self._ask(f"POST {path} HTTP/1.1\r\n{lines}".encode() + body)

    def close(self) -> None:
        """Ends the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _ask(self, request: bytes) -> bytes:
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=self._patience)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self._socket.sendall(request)
            return self._answer(self._socket)
        except OSError:
            self.close()
            raise

    def _answer(self, conn: socket.socket) -> bytes:
        held = 0
        while (end := self._buffer.find(_END, 0, held)) < 0:
            held += self._received(conn, held, _HEAD)
        self.head = bytes(self._buffer[:end]).lower()
        length = int(self.head.partition(b"content-length:")[2].split(b"\r", 1)[0])
        begin = end + len(_END)
        if len(self._buffer) < begin + length:
            self._buffer.extend(bytes(begin + length - len(self._buffer)))
        while held < begin + length:
            held += self._received(conn, held, begin + length - held)
        body = bytes(memoryview(self._buffer)[begin : begin + length])
        if b"connection: close" in self.head:
            self.close()
        if not self.head.startswith((b"http/1.1 2", b"http/1.0 2")):
            raise Refused(f"{self.head.splitlines()[0]!r} {body[:300]!r}")
        return body

    def _received(self, conn: socket.socket, at: int, most: int) -> int:
        count = conn.recv_into(memoryview(self._buffer)[at : at + most])
        if not count:
            raise ConnectionResetError("the server has closed the connection")
        return count


@dataclass(frozen=True, slots=True)
class Times:
    """How long requests took, in seconds."""

    taken: list[float]
    lasted: float
    """From the first request to the last answer, however many clients there were."""

    def at(self, share: float) -> float:
        """Gives the time within which this share of the requests was answered."""
        return sorted(self.taken)[min(len(self.taken) - 1, int(len(self.taken) * share))]


def crowd(make: Callable[[], Wire], paths: Sequence[Iterator[str]], most: int, seconds: float) -> Times:
    """Has as many clients as there are iterators ask at once, each once and then at most so often and so long."""
    taken: list[list[float]] = [[] for _ in paths]
    wires = [make() for _ in paths]
    failures: list[BaseException] = []
    began = time.perf_counter()

    def ask(number: int) -> None:
        try:
            while not taken[number] or (len(taken[number]) < most and time.perf_counter() - began < seconds):
                path = next(paths[number])
                at = time.perf_counter()
                wires[number].get(path)
                taken[number].append(time.perf_counter() - at)
        except (OSError, Refused) as problem:
            failures.append(problem)

    threads = [Thread(target=ask, args=(number,)) for number in range(len(paths))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for wire in wires:
        wire.close()
    if failures:
        raise failures[0]
    return Times([one for times in taken for one in times], time.perf_counter() - began)
