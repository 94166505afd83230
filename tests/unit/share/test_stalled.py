"""Connections on which a body never comes are ended, and no others."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from threading import Event, Thread
from time import sleep

import pytest

from threatshare.share.negotiation import Environ, StartResponse
from threatshare.share.stalled import Patience, Stalled
from threatshare.share.uploads import VISIT

PATIENCE = Patience(head=0.02, body=0.06)
SILENT = 1.2
"""More than the time after which a body counts as stalled under that patience."""


class World:
    """A listening socket, and requests that are in the hands of an application."""

    def __init__(self, held: ExitStack) -> None:
        self._held = held
        self._listener = held.enter_context(socket.create_server(("127.0.0.1", 0)))
        self._over = Event()
        self.stalled = Stalled(self._wait, self._listener.getsockname()[1], PATIENCE)
        held.callback(self._over.set)

    def connection(self, address: str = "127.0.0.1") -> tuple[socket.socket, socket.socket]:
        """Connects from an address; gives the client's end and the server's."""
        client = self._held.enter_context(
            socket.create_connection(self._listener.getsockname(), timeout=1, source_address=(address, 0))
        )
        server, _ = self._listener.accept()
        self._held.enter_context(server)
        client.sendall(b"POST")
        return client, server

    def request(self, reading: bool, address: str = "127.0.0.1", over: Event | None = None) -> Thread:
        """Begins a request whose body is waited for, or which is worked on."""
        environ = {"REMOTE_ADDR": address, "reading": reading, "over": over or self._over}
        thread = Thread(target=lambda: self.stalled(environ, lambda *_: None), daemon=True)
        thread.start()
        return thread

    @staticmethod
    def _wait(environ: Environ, _start: StartResponse) -> list[bytes]:
        environ[VISIT].reading = environ["reading"]
        environ["over"].wait(10)
        return []


@pytest.fixture
def world() -> Iterator[World]:
    with ExitStack() as held:
        yield World(held)


def ended(client: socket.socket) -> bool:
    client.setblocking(False)
    try:
        return client.recv(1) == b""
    except BlockingIOError:
        return False


def test_a_body_that_never_comes_ends_its_connection(world: World) -> None:
    """The connection of a silent body is shut down, seen from both ends, and not before its time."""
    client, server = world.connection()
    world.request(reading=True)
    sleep(0.2)
    assert world.stalled.end_stalled() == 0
    sleep(SILENT)
    assert world.stalled.end_stalled() == 1
    assert ended(client)
    assert server.recv(4) == b"POST"
    assert server.recv(1) == b""


def test_others_are_let_be(world: World) -> None:
    """Not ended are other addresses' connections, ones just answered, and ones that are still being sent an answer."""
    silent, _ = world.connection()
    elsewhere, _ = world.connection("127.0.0.2")
    reads_slowly, sends_much = world.connection()
    sends_much.setblocking(False)
    with suppress(BlockingIOError):
        while True:
            sends_much.send(b"x" * 100_000)
    answered, answers = world.connection()
    world.request(reading=True)
    world.request(reading=False, address="127.0.0.2")
    sleep(SILENT)
    answers.sendall(b"HTTP/1.1 200 OK")
    assert world.stalled.end_stalled() == 1
    assert ended(silent)
    assert not ended(elsewhere)
    assert reads_slowly.recv(1) == b"x"
    assert answered.recv(99) == b"HTTP/1.1 200 OK"
    assert not ended(answered)


def test_what_is_worked_on_is_never_taken_for_a_body(world: World) -> None:
    """While a request of the same address is worked on for as long, nothing of that address is ended; then it is."""
    clients = [world.connection()[0] for _ in range(2)]
    done = Event()
    world.request(reading=True)
    working = world.request(reading=False, over=done)
    sleep(SILENT)
    assert world.stalled.end_stalled() == 0
    assert not any(map(ended, clients))
    done.set()
    working.join(5)
    assert world.stalled.end_stalled() == 1


def test_no_more_connections_than_bodies(world: World) -> None:
    """Of several quiet connections of an address so many are ended as bodies are missing, the quietest first."""
    first, _ = world.connection()
    sleep(0.05)
    second, _ = world.connection()
    world.request(reading=True)
    sleep(SILENT)
    assert world.stalled.end_stalled() == 1
    assert (ended(first), ended(second)) == (True, False)
