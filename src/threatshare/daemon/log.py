"""The daemon's log, and how what happens often is told in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from threading import Lock
from time import monotonic

import structlog

_TOLD_EVERY_SECONDS = 60.0
"""What happens often is told in the log at once, then summed up so often."""

log = structlog.get_logger("threatshare.daemon")


class Told:
    """Tells in the log what happens often: the first time at once, then summed up."""

    def __init__(self, event: str, **where: str) -> None:
        self._event = event
        self._where = where
        self._sums: Counter[str] = Counter()
        self._since = -_TOLD_EVERY_SECONDS
        self._guard = Lock()

    def add(self, counts: Mapping[str, int]) -> None:
        """Counts; nothing is told where nothing happened."""
        with self._guard:
            self._sums.update(counts)
        if monotonic() - self._since >= _TOLD_EVERY_SECONDS:
            self.now()

    def now(self) -> None:
        """Tells what was not told yet."""
        with self._guard:
            sums, self._sums = self._sums, Counter()
            if any(sums.values()):
                self._since = monotonic()
                log.info(self._event, **self._where, counts=dict(sums))
