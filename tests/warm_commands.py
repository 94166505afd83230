"""The command line with its imports made once: every command is a process of its own, forked from one that is warm.

Python's start and the imports are most of what a command takes, half a second each, and the tests run hundreds of
them. So one process imports all of the package and then waits; what it forks for a command has its own arguments,
environment, folder, streams and exit code, and ends as the interpreter ends. Nothing but imports has happened before
the fork, and ``test_start.py`` holds those to be without effect. That a command also starts from nothing, and with
another order of its sets, is shown by the tests that start servers and daemons, and by all under the nightly profile.

Run as a script, this file is the warm process.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile


class WarmCommands:
    """A warm process and the commands that it forks; usable from every thread."""

    def __init__(self) -> None:
        self._folder = TemporaryDirectory(prefix="threatshare-warm-")
        self._address = str(Path(self._folder.name, "socket"))
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(self._address)
            listening.listen(64)
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(listening.fileno())],
                stdin=subprocess.PIPE,
                pass_fds=[listening.fileno()],
                start_new_session=True,
            )

    def close(self) -> None:
        """Ends the warm process."""
        self._process.communicate()
        self._folder.cleanup()

    def run(
        self, arguments: Sequence[str], stdin: str | None, environment: Mapping[str, str], patience: float
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command to its end, with nothing to read where ``stdin`` is None.

        Raises subprocess.TimeoutExpired, and kills the command, after ``patience`` seconds.
        """
        told = json.dumps([list(arguments), dict(environment), str(Path.cwd())]).encode()
        with TemporaryFile() as out, TemporaryFile() as err, socket.socket(socket.AF_UNIX) as talk:
            talk.connect(self._address)
            read, write = os.pipe()
            socket.send_fds(talk, [b"."], [read, out.fileno(), err.fileno()])
            os.close(read)
            threading.Thread(target=_feed, args=(write, (stdin or "").encode())).start()
            talk.sendall(told)
            talk.shutdown(socket.SHUT_WR)
            answer = talk.makefile()
            pid = answer.readline()
            assert pid, "the warm process has ended"
            talk.settimeout(patience)
            try:
                code = int(answer.readline())
            except TimeoutError:
                os.kill(int(pid), signal.SIGKILL)
                raise subprocess.TimeoutExpired(list(arguments), patience) from None
            texts = [_whole(stream.fileno()) for stream in (out, err)]
        return subprocess.CompletedProcess(list(arguments), code, *texts)


@cache
def warm_commands() -> WarmCommands:
    """Gives the warm process of this run of the tests, started when it is first wanted."""
    warm = WarmCommands()
    atexit.register(warm.close)
    return warm


def _feed(descriptor: int, data: bytes) -> None:
    # A command may end without reading all of it.
    with suppress(BrokenPipeError), open(descriptor, "wb") as stream:
        stream.write(data)


def _whole(descriptor: int) -> str:
    with open(descriptor, closefd=False) as stream:
        stream.seek(0)
        return stream.read()


def _wait_for_commands(listening: socket.socket) -> None:
    """Forks for each command, and returns in what was forked; ends the process when its parent has ended."""
    import threatshare

    for module in pkgutil.walk_packages(threatshare.__path__, "threatshare."):
        if not module.name.endswith(".__main__"):
            import_module(module.name)
    assert threading.active_count() == 1, "a thread that an import started is not there in what is forked"
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    parent = sys.stdin.fileno()
    while True:
        ready, _, _ = select.select([listening, parent], [], [])
        if parent in ready:
            os._exit(0)
        talk, _ = listening.accept()
        with talk:
            if os.fork() == 0:
                listening.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                return _become(talk)


def _become(talk: socket.socket) -> None:
    """Forks once more and tells of the command's end; returns in the command alone."""
    _, streams, _, _ = socket.recv_fds(talk, 1, 3)
    with talk.makefile("rb") as asked:
        arguments, environment, folder = json.load(asked)
    pid = os.fork()
    if pid:
        for descriptor in streams:
            os.close(descriptor)
        talk.sendall(b"%d\n" % pid)
        _, status = os.waitpid(pid, 0)
        # Who asked may have lost patience.
        with suppress(BrokenPipeError):
            talk.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
        os._exit(0)
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv[1:] = arguments


if __name__ == "__main__":
    # A command finds modules where the interpreter would look for them.
    sys.path[0] = ""
    _wait_for_commands(socket.socket(fileno=int(sys.argv[1])))
    runpy.run_module("threatshare", run_name="__main__", alter_sys=True)
