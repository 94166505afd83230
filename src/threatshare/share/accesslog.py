"""The server's access log: a file of JSON lines that all workers append to, or stderr."""

from __future__ import annotations

import os
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from threatshare.errors import ConfigurationError

STDERR = Path("/dev/stderr")
"""Names the service's own stderr, however it was opened."""

AccessLog = Callable[..., Any]
"""Writes one line; the keywords are its fields."""


def check_access_log(file: Path) -> None:
    """Opens a log and closes it again, before workers that would all fail at it; raises ConfigurationError."""
    os.close(_opened(file))


def access_log(file: Path) -> AccessLog:
    """Opens a log for appending; each line is one write, so that workers share the file. Raises ConfigurationError."""
    import msgspec
    import structlog

    number = _opened(file)

    def line(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> bytes:
        return msgspec.json.encode(event)

    log = structlog.wrap_logger(
        _OneWrite(number),
        processors=[structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"), line],
        wrapper_class=structlog.BoundLogger,
    )

    def write(**fields: Any) -> None:
        log.info("request", **fields)

    return write


def _opened(file: Path) -> int:
    try:
        # The journal's end of stderr is a socket, which cannot be opened by name.
        return os.dup(2) if file == STDERR else os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    except OSError as problem:
        raise ConfigurationError(
            f"serve.access_log: {file} cannot be written: {problem.strerror}. Make its folder, give it to the user of "
            'the server, or log to "/dev/stderr"'
        ) from problem


class _OneWrite:
    """A structlog target that writes a line at once: buffered ones flush apart from the line's end."""

    def __init__(self, number: int) -> None:
        self._number = number

    def info(self, text: bytes) -> None:
        with suppress(OSError):  # a full disk must not end requests
            os.write(self._number, text + b"\n")
