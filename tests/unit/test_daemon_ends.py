"""The daemon's process ends as a whole, whatever happens to its main thread."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from threading import Timer

import pytest
from structlog.testing import capture_logs

from nodes import make_node
from threatshare.daemon import Daemon, process
from threatshare.daemon.server import start as start_server
from threatshare.node import Node, build_node

SERVER = [sys.executable, "-c", "import time; time.sleep(60)"]
"""In place of the TAXII server; it ends by SIGTERM as that does."""


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """A node, and the signals as they were."""
    before = {one: signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    made = build_node(make_node(tmp_path / "node").directory)
    yield made
    made.close()
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The ids of the servers that were started."""
    started: list[int] = []

    def start(command: Sequence[str]) -> object:
        server = start_server(command)
        started.append(server.pid)
        return server

    monkeypatch.setattr(process, "start", start)
    return started


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_what_fails_first_leaves_nothing_running(
    node: Node, children: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the feeds cannot be told, neither the server nor a thread was started."""

    def broken(_: Node) -> None:
        raise ValueError("no feeds")

    monkeypatch.setattr(Node, "feeds", property(broken))
    threads = threading.enumerate()
    with pytest.raises(ValueError, match="no feeds"):
        Daemon(node, SERVER, Random(7)).run()
    assert (children, threading.enumerate()) == ([], threads)


def test_what_fails_later_ends_all_that_was_started(
    node: Node, children: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of the main thread, as where nobody reads the log any more, ends jobs, threads and server."""

    def broken(*_: object, **__: object) -> None:
        raise BrokenPipeError("nobody reads the log")

    monkeypatch.setattr(Daemon, "_wait", broken)
    threads = threading.enumerate()
    with pytest.raises(BrokenPipeError):
        Daemon(node, SERVER, Random(7)).run()
    assert threading.enumerate() == threads
    assert [_lives(pid) for pid in children] == [False]


@pytest.mark.parametrize("kind", ["a number of many digits", "a pipe"])
def test_a_feed_file_that_nobody_can_read_stops_nothing(
    node: Node, children: list[int], kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The daemon tells of it once, does its jobs, and ends by SIGTERM with 0, silently."""
    file = node.directory / "feeds" / "bad.toml"
    if kind == "a pipe":
        os.mkfifo(file)
    else:
        file.write_text('kind = "list"\npath = "x"\npage_size = ' + "9" * 5_000)
    timer = Timer(2.5, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    with capture_logs() as told:
        assert Daemon(node, SERVER, Random(7)).run() == 0
    timer.join()
    events = [one["event"] for one in told]
    assert (events.count("started"), events[-1]) == (1, "stopped")
    assert events.count("feed cannot be scheduled") == 1
    assert "job failed" not in events
    assert [_lives(pid) for pid in children] == [False]
    assert not [one for one in caplog.records if "futures after" in one.getMessage()]
