"""Why granian: the same TAXII application under granian and gunicorn, at speed and under slow clients.

    python tests/benchmarks/bench_servers.py [--entries 100000] [--rounds 200]

One worker each. Then 600 connections that never finish their headers, 60 bodies that hardly move, and 200 of the
one with 60 of the other are held open, and an honest client asks for pages: shown is the longest wait of five, and
under both attacks at once the 99th of 100. `-` means that it had no answer within five seconds.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from candidates import TAXII, filled_node, serving

OBJECTS = "/api/collections/bench/objects/"
PATH = f"{OBJECTS}?limit=1000"
NODE = "THREATSHARE_BENCH_NODE"
COMMANDS: dict[str, list[str]] = {
    "granian": serving(Path("{node}"))[1:],
    "gunicorn gthread 8": ["-m", "gunicorn", "-k", "gthread", "--threads", "8"],
    "gunicorn gthread 256": ["-m", "gunicorn", "-k", "gthread", "--threads", "256"],
    "gunicorn sync": ["-m", "gunicorn", "-k", "sync"],
}


def application() -> Any:
    """Makes the application for gunicorn."""
    from threatshare.node import ServerApp

    return ServerApp(Path(os.environ[NODE]))()


@contextmanager
def running(command: list[str], node: Path) -> Iterator[int]:
    """Runs a server; gives its port once it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = [one.format(node=node) for one in command]
    if "gunicorn" in arguments:
        arguments += ["-w", "1", "-b", f"127.0.0.1:{port}", "--log-level", "critical", "bench_servers:application()"]
    environment = {**os.environ, NODE: str(node), "PYTHONPATH": str(Path(__file__).parent)}
    process = subprocess.Popen([sys.executable, *arguments], stderr=subprocess.PIPE, text=True, env=environment)
    try:
        if "gunicorn" not in arguments:
            assert process.stderr is not None
            port = int(process.stderr.readline().rpartition(":")[2])
        while not _answers(port):
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait()


def _answers(port: int) -> bool:
    try:
        with closing(HTTPConnection("127.0.0.1", port, timeout=1)) as probe:
            probe.request("GET", "/taxii2/")
            return probe.getresponse().status == 200
    except OSError:
        return False


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=200)
    options, _ = parser.parse_known_args()
    directory = Path(tempfile.mkdtemp(prefix="threatshare-bench-"))
    try:
        node = directory / "node"
        key = filled_node(node, options.entries).headers["Authorization"].removeprefix("Bearer ")
        print(
            f"{'one worker':<22}{'page p50 ms':>12}{'p99':>8}"
            f"{'600 half-open':>15}{'60 slow bodies':>15}{'both p99':>12}"
        )
        for name, command in COMMANDS.items():
            with running(command, node) as port:
                times = [_page(port, key) for _ in range(options.rounds)]
                middle, late = statistics.median(times), sorted(times)[int(len(times) * 0.99)]
            waits = [
                _under(command, node, [_half_open(600)], key, 5, 4),
                _under(command, node, [_slow_body(60, key)], key, 5, 4),
                _under(command, node, [_half_open(200), _slow_body(60, key)], key, 100, 98),
            ]
            print(
                f"{name:<22}{middle * 1e3:>12.2f}{late * 1e3:>8.2f}"
                + "".join(
                    f"{'-' if wait is None else f'{wait * 1e3:.0f} ms':>{width}}"
                    for wait, width in zip(waits, (15, 15, 12), strict=True)
                )
            )
    finally:
        shutil.rmtree(directory)


def _page(port: int, key: str) -> float:
    began = time.perf_counter()
    with closing(HTTPConnection("127.0.0.1", port, timeout=5)) as client:
        client.request("GET", PATH, headers={"Accept": TAXII, "Authorization": f"Bearer {key}"})
        answer = client.getresponse()
        if answer.status != 200:
            raise SystemExit(f"{answer.status} {answer.read()[:200]!r}")
        answer.read()
    return time.perf_counter() - began


def _under(
    command: list[str], node: Path, attacks: list[tuple[int, bytes]], key: str, times: int, place: int
) -> float | None:
    """Gives how long an honest client waits while attacks last: of so many waits in order, the one at that place."""
    with running(command, node) as port, ExitStack() as stack:
        for count, begun in attacks:
            for _ in range(count):
                stack.enter_context(socket.create_connection(("127.0.0.1", port))).sendall(begun)
        time.sleep(0.5)
        try:
            return sorted(_page(port, key) for _ in range(times))[place]
        except OSError:
            return None


def _half_open(count: int) -> tuple[int, bytes]:
    return count, b"GET /taxii2/ HTTP/1.1\r\nHost: local"


def _slow_body(count: int, key: str) -> tuple[int, bytes]:
    head = f"POST {OBJECTS} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\nContent-Type: {TAXII}\r\n"
    return count, f"{head}Content-Length: 100000\r\n\r\n".encode() + b'{"obj'


if __name__ == "__main__":
    main()
