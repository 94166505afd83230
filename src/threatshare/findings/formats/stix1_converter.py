"""Runs misp-stix, which turns STIX 1.x packages into MISP events, in a process of its own.

Old libraries stand behind it (cybox, stix, maec, mixbox), and it parses XML of any size and depth: so it gets an empty
folder, no environment (secrets of the node stand there), no network, and limits of time, memory and size. Its command
line would send what it reads to the server that ``MISP_URL`` names; its function, called here, does not.

``python -m threatshare.findings.formats.stix1_converter PACKAGE EVENT`` is the child's side: it writes the MISP event
to a file, and what the converter said of it to the standard output, as JSON.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
from msgspec import Struct

from threatshare.errors import BadValue
from threatshare.findings.records import SHOWN

MAX_SECONDS = 60.0
"""About 14 MB of plain indicators, as measured on one core."""
MAX_OUTPUT = 32 * 1024 * 1024
"""Bytes of each file that the converter writes."""
MAX_MEMORY = 2 * 1024 * 1024 * 1024
"""Bytes of its address space, where the system can limit it."""

_INHERITED = ("PATH", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LANG", "LC_ALL")
"""Of the environment, what a Python needs to start."""
_NETWORK = frozenset(
    {
        *("socket.connect", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo", "socket.getnameinfo"),
        *("socket.gethostbyname", "socket.gethostbyaddr"),
    }
)
"""Audit events of Python's table of them by which a process leaves the machine or asks for a name."""
_TAIL = 4096
"""Bytes of the standard error that are looked at."""


class Report(Struct):
    """What the converter said."""

    converted: bool
    complaints: list[str]
    """The first line of each record that it could not convert, or why it converted nothing."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """What became of a package."""

    event: bytes
    """JSON of one MISP event."""
    complaints: tuple[str, ...]
    """One for each record of the package that is not in it."""


@dataclass(frozen=True, slots=True)
class Converter:
    """A command that takes the names of a package and of the event's file, and how long it may run."""

    command: tuple[str, ...]
    seconds: float = MAX_SECONDS

    def converted(self, package: bytes) -> Conversion:
        """Converts a package; raises BadValue with the reason where that does not work."""
        try:
            with TemporaryDirectory(prefix="threatshare-stix1-") as folder:
                return self._converted_in(Path(folder), package)
        except OSError as problem:
            raise BadValue(f"misp-stix could not be run: {problem.strerror}") from problem

    def _converted_in(self, folder: Path, package: bytes) -> Conversion:
        source, target = folder / "package.xml", folder / "event.json"
        source.write_bytes(package)
        report = self._run(folder, source, target)
        if not report.converted:
            # It puts the file's name first, which is ours and says nothing.
            reason = _first(report.complaints).removeprefix(f"{source.name} - ")
            raise BadValue(f"misp-stix made nothing of it: {reason or 'it does not say why'}")
        with target.open("rb") as file:
            event = file.read(MAX_OUTPUT + 1)
        if len(event) > MAX_OUTPUT:
            raise BadValue(f"misp-stix wrote more than {MAX_OUTPUT} bytes")
        return Conversion(event, tuple(report.complaints))

    def _run(self, folder: Path, source: Path, target: Path) -> Report:
        said, faults = folder / "said", folder / "faults"
        with said.open("wb") as out, faults.open("wb") as err:
            process = subprocess.Popen(  # noqa: S603  our own command, and names of our own making
                (*self.command, str(source), str(target)),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=folder,
                env={**{key: os.environ[key] for key in _INHERITED if key in os.environ}, "TMPDIR": str(folder)},
                start_new_session=True,
            )
            try:
                code = process.wait(self.seconds)
            except subprocess.TimeoutExpired:
                raise BadValue(f"misp-stix did not finish within {self.seconds:g} seconds") from None
            finally:
                _end(process)
        if code != 0:
            raise BadValue(f"misp-stix failed: {_last_line(faults) or _ended(code)}")
        return _report(said)


def installed() -> Converter | None:
    """Gives misp-stix as a child process; None where it is not installed."""
    if find_spec("misp_stix_converter") is None:
        return None
    # -P: what lies in the current folder is never imported.
    return Converter((sys.executable, "-P", "-W", "ignore", "-m", __name__))


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends a child that still runs, and its own children."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _report(file: Path) -> Report:
    with file.open("rb") as said:
        text = said.read(MAX_OUTPUT)
    try:
        return msgspec.json.decode(text, type=Report)
    except msgspec.MsgspecError as problem:
        raise BadValue(f"misp-stix gave an answer that cannot be read: {problem}") from problem


def _last_line(file: Path) -> str:
    """Gives the last line of what a child said went wrong, which is the error without its traceback."""
    with file.open("rb") as said:
        said.seek(max(0, file.stat().st_size - _TAIL))
        lines = said.read(_TAIL).decode("utf-8", "replace").split("\n")
    return _first([line for line in reversed(lines) if line.strip()])


def _ended(code: int) -> str:
    return f"ended by signal {-code}" if code < 0 else f"exit code {code}"


def _first(complaints: list[str]) -> str:
    """Gives the first line of the first complaint, without characters that steer a terminal."""
    line = next(iter(complaints), "").strip().partition("\n")[0]
    return "".join(one if one.isprintable() else " " for one in line)[:SHOWN]


def _convert(source: Path, target: Path) -> None:
    """Converts in the child."""
    confine()
    from misp_stix_converter import stix_1_to_misp

    with redirect_stdout(sys.stderr):
        # Distribution 3, all communities: 0, the default, would look like a restriction, which no package states.
        told = stix_1_to_misp(source, debug=True, distribution=3, output_name=target)
    report = Report(bool(told.get("success")), _complaints(told.get("errors")))
    sys.stdout.write(msgspec.json.encode(report).decode())


def _complaints(errors: Any) -> list[str]:
    """Gives each complaint's first line; they come as a list, or as lists by the package's id."""
    listed = errors.values() if isinstance(errors, dict) else [errors or ()]
    return [str(one).strip().partition("\n")[0] for some in listed for one in some]


def confine() -> None:
    """Limits this process for good: time, memory, what it writes, and no network. No wall against machine code."""
    import resource

    limits = {
        resource.RLIMIT_FSIZE: MAX_OUTPUT,
        # Ends the child also where the node that waits for it was killed.
        resource.RLIMIT_CPU: int(MAX_SECONDS),
    }
    if sys.platform == "linux":
        limits[resource.RLIMIT_AS] = MAX_MEMORY
    for what, most in limits.items():
        hard = resource.getrlimit(what)[1]
        # A lower limit of the system's may not be raised.
        limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (limit, limit))
    sys.addaudithook(_stay_home)


def _stay_home(event: str, args: tuple[object, ...]) -> None:
    if event in _NETWORK:
        # No exception: the converter could catch it and go on.
        sys.stderr.write(f"\nthe converter wanted to reach the network ({event})\n")
        sys.stderr.flush()
        os._exit(1)


if __name__ == "__main__":
    _convert(Path(sys.argv[1]), Path(sys.argv[2]))
