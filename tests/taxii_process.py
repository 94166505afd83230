"""A TAXII server in a process of its own, as an operator runs it. Run as a script it is that process."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from threatshare.config import Serve
from threatshare.model import Account, Collection, Micros
from threatshare.share.app import TaxiiApp, create_app
from threatshare.share.connections import Connections
from threatshare.share.server import Address, Tls, serve
from threatshare.share.settings import ServeSettings, serve_settings
from threatshare.share.stalled import Patience
from threatshare.stix.received import Received
from threatshare.store.connection import open_reader, open_writer


def make_app(file: Path, settings: ServeSettings) -> TaxiiApp:
    """Makes the application of one worker; inboxes and exchanges take everything."""
    opened = Connections(partial(open_reader, file), partial(open_writer, file))
    return create_app(opened, settings, _take, lambda _raw, _received: None)


def _take(
    _collection: Collection, _account: Account, objects: Sequence[tuple[bytes, Received]], _now: Micros
) -> list[str | None]:
    return [None] * len(objects)


def told(settings: Mapping[str, Any] | None = None, patience: Patience = Patience()) -> str:  # noqa: B008  frozen
    """Writes what a server's process is told of how to serve."""
    return json.dumps({"settings": settings or {}, "patience": [patience.head, patience.body]})


class Server:
    """A running server."""

    def __init__(self, process: subprocess.Popen[str], first_line: str) -> None:
        self.process = process
        self.first_line = first_line
        self.url = first_line.split()[-1]
        self.port = int(self.url.rpartition(":")[2])

    def stop(self, sent: int = signal.SIGTERM) -> tuple[int, str]:
        """Sends a signal and waits; gives the exit code and what else stood on stderr."""
        self.process.send_signal(sent)
        return self.wait()

    def wait(self) -> tuple[int, str]:
        """Waits for the end; gives the exit code and what else stood on stderr."""
        assert self.process.stderr is not None
        rest = self.process.stderr.read()
        return self.process.wait(30), rest

    @property
    def workers(self) -> list[int]:
        """Process ids of the workers."""
        pid = self.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@contextmanager
def running(
    file: Path,
    port: int = 0,
    workers: int = 1,
    *tls: Path,
    settings: Mapping[str, Any] | None = None,
    patience: Patience = Patience(),  # noqa: B008  frozen
) -> Iterator[Server]:
    """Runs a server over a store until the end of the block; ``settings`` are those of ``[serve]``."""
    process = subprocess.Popen(
        [sys.executable, __file__, str(file), str(port), str(workers), told(settings, patience), *map(str, tls)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert line.startswith("listening on "), line + process.stderr.read()
        yield Server(process, line)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(30)
        if process.stderr is not None:
            process.stderr.close()


def _main(file: str, port: str, workers: str, how: str, *tls: str) -> None:
    files: Any = [Path(one) for one in tls]
    read = json.loads(how)
    made = serve_settings("threatshare", Serve(**read["settings"]), Path(file).parent)
    address = Address("127.0.0.1", int(port), Tls(*files) if files else None)
    serve(partial(make_app, Path(file), made), address, int(workers), patience=Patience(*read["patience"]))


if __name__ == "__main__":
    _main(*sys.argv[1:])
