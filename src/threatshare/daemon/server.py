"""The TAXII server as a process of its own, which the daemon starts and ends."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence

from threatshare.daemon.log import log

_STOP_SECONDS = 30


def server_command(directory: str, options: Sequence[str]) -> list[str]:
    """Gives the command that serves a node in a process of its own."""
    return [sys.executable, "-m", "threatshare", "--node", directory, "serve", "--with-parent", *options]


def start(command: Sequence[str]) -> subprocess.Popen[bytes]:
    """Starts the server; a SIGHUP that comes before it listens for one waits, where it would be its end."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        return subprocess.Popen(command)  # noqa: S603  our own command
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})


def end(server: subprocess.Popen[bytes]) -> None:
    """Ends the server, which finishes the requests under way."""
    if server.poll() is None:
        server.terminate()
        try:
            server.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            log.error("the TAXII server did not stop in time; ended", pid=server.pid)
            server.kill()
            server.wait()
