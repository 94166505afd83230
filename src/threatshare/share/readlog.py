"""Which entries each account was sent, gathered in memory and written every few seconds."""

from __future__ import annotations

import logging
from threading import Event, Lock, Thread

from threatshare.model import Collection, Micros
from threatshare.share.access import ACCESS
from threatshare.share.connections import Connections
from threatshare.store.faults import StoreFault
from threatshare.store.reads import Read, joined_reads, record_reads

_log = logging.getLogger(__name__)
_PERIOD = 2.0
"""Seconds; what was sent in the last of them is lost if the process is killed, never if it ends."""
_MOST_WAITING = 1_000
"""Ranges gathered before they are joined for the first time."""


class ReadLog:
    """Gathers reads of one worker process."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._waiting: list[Read] = []
        self._joined_at = _MOST_WAITING
        self._lock = Lock()
        self._flushing = Lock()
        self._closed = Event()
        self._thread = Thread(target=self._run, name="taxii-read-log", daemon=True)
        self._thread.start()

    def note(self, account: str, collection: Collection, spans: tuple[tuple[int, int], ...], now: Micros) -> None:
        """Notes that an account was sent ranges of a collection's entries."""
        ACCESS.account, ACCESS.collection = account, collection.alias
        if not spans:
            return
        ACCESS.objects += sum(last - first + 1 for first, last in spans)
        with self._lock:
            self._waiting += [Read(account, collection.number, first, last, 1, now, now) for first, last in spans]
            if len(self._waiting) > self._joined_at:
                self._waiting = joined_reads(self._waiting)
                # Reads of single objects join into little: without this each further one would sort them all again.
                self._joined_at = max(_MOST_WAITING, 2 * len(self._waiting))

    def flush(self) -> None:
        """Writes what was gathered; keeps it for the next time where the store cannot be written."""
        with self._flushing:
            with self._lock:
                reads, self._waiting = self._waiting, []
                self._joined_at = _MOST_WAITING
            if not reads:
                return
            try:
                with self._connections.writing() as conn:
                    record_reads(conn, reads)
            except StoreFault as problem:
                _log.warning("reads are not recorded yet, the store cannot be written: %s", problem)
                with self._lock:
                    self._waiting = joined_reads([*reads, *self._waiting])

    def close(self) -> None:
        """Writes the rest and ends."""
        self._closed.set()
        self._thread.join()
        self.flush()

    def _run(self) -> None:
        while not self._closed.wait(_PERIOD):
            self.flush()
