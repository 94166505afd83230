"""Why granian: the same TAXII application under granian and gunicorn, at speed and under slow clients.

    python tests/benchmarks/bench_servers.py [--entries 100000] [--rounds 200]

One worker each. Then 600 connections that never finish their headers and 60 bodies that hardly move are
held open, and an honest client asks for a page; `-` means that it had no answer within five seconds.
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
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from bench_serving import OBJECTS, PAGE, TAXII, fill, taxii

PATH = f"{OBJECTS}?limit={PAGE}"
STORE = "THREATSHARE_BENCH_STORE"
COMMANDS: dict[str, list[str]] = {
    "granian": [str(Path(__file__).with_name("bench_serving.py")), "--run", "taxii", "{store}"],
    "gunicorn gthread 8": ["-m", "gunicorn", "-k", "gthread", "--threads", "8"],
    "gunicorn gthread 256": ["-m", "gunicorn", "-k", "gthread", "--threads", "256"],
    "gunicorn sync": ["-m", "gunicorn", "-k", "sync"],
}


def application() -> Any:
    """Makes the application for gunicorn."""
    return taxii(Path(os.environ[STORE]))


@contextmanager
def running(command: list[str], store: Path) -> Iterator[int]:
    """Runs a server; gives its port once it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = [one.format(store=store) for one in command]
    if "gunicorn" in arguments:
        arguments += ["-w", "1", "-b", f"127.0.0.1:{port}", "--log-level", "critical", "bench_servers:application()"]
    environment = {**os.environ, STORE: str(store), "PYTHONPATH": str(Path(__file__).parent)}
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
        store = directory / "store.db"
        key = fill(store, options.entries)
        print(f"{'one worker':<22}{'page p50 ms':>12}{'p99':>8}{'600 half-open':>15}{'60 slow bodies':>15}")
        for name, command in COMMANDS.items():
            with running(command, store) as port:
                times = [_page(port, key) for _ in range(options.rounds)]
                middle, late = statistics.median(times), sorted(times)[int(len(times) * 0.99)]
            waits = [_under(command, store, key, _half_open), _under(command, store, key, _slow_body)]
            print(
                f"{name:<22}{middle * 1e3:>12.2f}{late * 1e3:>8.2f}"
                + "".join(f"{'-' if wait is None else f'{wait * 1e3:.0f} ms':>15}" for wait in waits)
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


def _under(command: list[str], store: Path, key: str, attack: Callable[[str], tuple[int, bytes]]) -> float | None:
    """Gives how long an honest client waits, at worst of five times, while the attack lasts."""
    count, begun = attack(key)
    with running(command, store) as port, ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(socket.create_connection(("127.0.0.1", port))).sendall(begun)
        time.sleep(0.5)
        try:
            return max(_page(port, key) for _ in range(5))
        except OSError:
            return None


def _half_open(_key: str) -> tuple[int, bytes]:
    return 600, b"GET /taxii2/ HTTP/1.1\r\nHost: local"


def _slow_body(key: str) -> tuple[int, bytes]:
    head = f"POST {OBJECTS} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\nContent-Type: {TAXII}\r\n"
    return 60, f"{head}Content-Length: 100000\r\n\r\n".encode() + b'{"obj'


if __name__ == "__main__":
    main()
