"""Bodies of POSTs, read within limits: a sender who dawdles holds a thread, so only so many may at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from threading import Lock
from typing import Any

from flask import Request, current_app
from werkzeug.exceptions import RequestEntityTooLarge

from threatshare.share.accounts import current_account
from threatshare.share.errors import Refused

_EXTENSION = "threatshare_uploads"
_RETRY_SECONDS = 5


class Uploads:
    """Counts the bodies that one worker is reading."""

    def __init__(self, most: int, most_of_account: int) -> None:
        self._most = most
        self._most_of_account = most_of_account
        self._running: Counter[str] = Counter()
        self._lock = Lock()

    @contextmanager
    def slot(self, account: str) -> Iterator[None]:
        """Holds one of the slots; raises Refused (503) where none is free."""
        with self._lock:
            free = self._running.total() < self._most and self._running[account] < self._most_of_account
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


class TaxiiRequest(Request):
    """A request whose body is read in a slot."""

    def get_data(self, *args: Any, **kwargs: Any) -> Any:
        """Reads the body, and refuses one whose length was not declared and reaches MAX_CONTENT_LENGTH."""
        uploads: Uploads = current_app.extensions[_EXTENSION]
        with uploads.slot(current_account().name):
            body = super().get_data(*args, **kwargs)
        # Werkzeug reads no further than that and says nothing of what was left.
        if self.max_content_length is not None and len(body) >= self.max_content_length:
            raise RequestEntityTooLarge
        return body
