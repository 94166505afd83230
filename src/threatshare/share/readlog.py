"""Which entries each account was sent, gathered in memory and written every few seconds."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from threading import Event, Lock, Thread

from threatshare.model import Collection, Micros
from threatshare.share.access import ACCESS
from threatshare.share.connections import Connections
from threatshare.store.faults import StoreFault
from threatshare.store.reads import Read, joined_reads, record_reads

_log = logging.getLogger(__name__)
_PERIOD = 2.0
"""Seconds; what was sent in the last of them is lost if the process is killed, never if it ends."""
_MOST_NOTED = 1_000
"""Answers noted before their reads are joined for the first time."""

Noted = tuple[str, int, tuple[tuple[int, int], ...], Micros]
"""An answer: account, number of the collection, ranges of its entries, when."""


class ReadLog:
    """Gathers reads of one worker process."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._noted: list[Noted] = []
        self._joined: list[Read] = []
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
        ACCESS.objects += sum([last - first + 1 for first, last in spans])
        with self._lock:
            self._noted.append((account, collection.number, spans, now))
            # Reads of single objects join into little: without the second bound each would sort them all again.
            if len(self._noted) > _MOST_NOTED and len(self._noted) > len(self._joined):
                self._join()

    def flush(self) -> None:
        """Writes what was gathered; keeps it for the next time where the store cannot be written."""
        with self._flushing:
            with self._lock:
                self._join()
                reads, self._joined = self._joined, []
            if not reads:
                return
            try:
                with self._connections.writing() as conn:
                    record_reads(conn, reads)
            except StoreFault as problem:
                _log.warning("reads are not recorded yet, the store cannot be written: %s", problem)
                with self._lock:
                    self._joined += reads

    def _join(self) -> None:
        if self._noted:
            self._joined = joined_reads([*self._joined, *_reads(self._noted)])
            self._noted.clear()

    def close(self) -> None:
        """Writes the rest and ends."""
        self._closed.set()
        self._thread.join()
        self.flush()

    def _run(self) -> None:
        while not self._closed.wait(_PERIOD):
            self.flush()


def _reads(noted: list[Noted]) -> Iterator[Read]:
    for account, collection, spans, now in noted:
        for first, last in spans:
            yield Read(account, collection, first, last, 1, now, now)
