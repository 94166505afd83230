"""Bodies of POSTs, read within limits: a sender who dawdles holds a thread, so only so many may at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from threading import Lock
from time import monotonic
from typing import Any, Protocol

from flask import Request, current_app
from werkzeug.exceptions import RequestEntityTooLarge

from threatshare.share.accounts import current_account
from threatshare.share.errors import Refused

VISIT = "threatshare.visit"
"""Where the environ of a request holds what is known of it while it is in our hands."""
_EXTENSION = "threatshare_uploads"
_RETRY_SECONDS = 5
_FEW = 4
"""Slots of an account that may be of those that are kept from whoever holds more."""
_BODY_SECONDS = 60.0
_PIECE = 256
"""Bytes read at once: the server gives back nothing before that many have come, and no clock is looked at meanwhile."""


@dataclass(slots=True)
class Visit:
    """A request in the hands of the application."""

    address: str
    """Of the other end of its connection."""
    began: float
    """On the clock that never goes back."""
    reading: bool = False
    """Whether its body is waited for."""


class Uploads:
    """Counts the bodies that one worker is reading."""

    def __init__(self, most: int, most_of_account: int, kept: int = 0) -> None:
        """Of ``most`` slots ``kept`` are for accounts that hold fewer than a few."""
        self._most = most
        self._kept = kept
        self._most_of_account = most_of_account
        self._running: Counter[str] = Counter()
        self._lock = Lock()

    @contextmanager
    def slot(self, account: str) -> Iterator[None]:
        """Holds one of the slots; raises Refused (503) where none is free."""
        with self._lock:
            own = self._running[account]
            most = self._most if own < _FEW else self._most - self._kept
            free = self._running.total() < most and own < self._most_of_account
            if not free:
                raise Refused(
                    HTTPStatus.SERVICE_UNAVAILABLE,
                    "Too many bodies are being sent at once. Try again later.",
                    {"Retry-After": str(_RETRY_SECONDS)},
                )
            self._running[account] += 1
        try:
            yield
        finally:
            with self._lock:
                self._running[account] -= 1
                if not self._running[account]:
                    del self._running[account]


def register_uploads(app_extensions: dict[str, object], uploads: Uploads) -> None:
    """Makes an application count its uploads here."""
    app_extensions[_EXTENSION] = uploads


class Source(Protocol):
    """Where a body is read from."""

    def read(self, size: int = -1, /) -> bytes:
        """Gives up to so many bytes, none at the end; -1: all."""


class TimelyBody:
    """A body that must be there in time."""

    def __init__(self, source: Source, seconds: float = _BODY_SECONDS) -> None:
        self._source = source
        self._until = monotonic() + seconds

    def read(self, size: int = -1, /) -> bytes:
        """Gives up to so many bytes, none at the end; -1: all. Raises Refused (408) once the time is over."""
        body = bytearray()
        while size < 0 or len(body) < size:
            piece = self._source.read(_PIECE if size < 0 else min(_PIECE, size - len(body)))
            if not piece:
                break
            body += piece
            if monotonic() > self._until:
                raise Refused(HTTPStatus.REQUEST_TIMEOUT, "The body comes too slowly. Send less at once.")
        return bytes(body)


class TaxiiRequest(Request):
    """A request whose body is read in a slot."""

    def get_data(self, *args: Any, **kwargs: Any) -> Any:
        """Reads the body, and refuses one whose length was not declared and reaches MAX_CONTENT_LENGTH."""
        uploads: Uploads = current_app.extensions[_EXTENSION]
        with uploads.slot(current_account().name), _waited_for(self.environ):
            self.environ["wsgi.input"] = TimelyBody(self.environ["wsgi.input"])
            body = super().get_data(*args, **kwargs)
        # Werkzeug reads no further than that and says nothing of what was left.
        if self.max_content_length is not None and len(body) >= self.max_content_length:
            raise RequestEntityTooLarge
        return body


@contextmanager
def _waited_for(environ: Mapping[str, Any]) -> Iterator[None]:
    """Tells whoever watches for bodies that never come that this one is waited for."""
    visit = environ.get(VISIT)
    if not isinstance(visit, Visit):
        yield
        return
    visit.reading = True
    try:
        yield
    finally:
        visit.reading = False
