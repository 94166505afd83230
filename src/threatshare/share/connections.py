"""The connections that one worker process serves from: a few readers, lent for one query each, and one writer.

SQLite reads in microseconds under the interpreter's lock, so a handful of readers keeps any number of
request threads busy, and their page caches stay few.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore, Lock

from threatshare.store.connection import Connection, transaction

OpenConnection = Callable[[], Connection]

_READERS = 8
_CACHE = -4_096
"""KiB of each reader: bodies come from blocks, which SQLite reads past its cache."""


class Connections:
    """Opens on first use, so it may be made before a process forks and used after."""

    def __init__(self, open_reader: OpenConnection, open_writer: OpenConnection) -> None:
        self._open_reader = open_reader
        self._open_writer = open_writer
        self._turns = BoundedSemaphore(_READERS)
        self._watcher: Connection | None = None
        self._watching = Lock()
        self._idle: list[Connection] = []
        self._writer: Connection | None = None
        self._writing = Lock()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Lends a reader; results must be fetched whole before it is given back."""
        with self._turns:
            conn = self._idle.pop() if self._idle else self._opened()
            try:
                yield conn
            finally:
                self._idle.append(conn)

    def _opened(self) -> Connection:
        conn = self._open_reader()
        conn.execute(f"PRAGMA cache_size = {_CACHE}")
        return conn

    def check(self) -> None:
        """Opens a reader anew and closes it; raises StoreError or StoreFault where the store cannot be read."""
        conn = self._open_reader()
        try:
            conn.execute("SELECT 1 FROM collection LIMIT 1").fetchone()
        finally:
            conn.close()

    def changes(self) -> int:
        """Gives a number that differs from the last one whenever anybody has committed anything in between."""
        with self._watching:
            if self._watcher is None:
                self._watcher = self._open_reader()
            return int(self._watcher.execute("PRAGMA data_version").fetchone()[0])

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Holds the writer inside a transaction that is committed at the end."""
        with self._writing:
            if self._writer is None:
                self._writer = self._open_writer()
            with transaction(self._writer) as conn:
                yield conn

    def close(self) -> None:
        """Closes what is idle, at the end of the process."""
        with self._writing:
            idle = [*self._idle, self._watcher, self._writer]
            self._idle, self._watcher, self._writer = [], None, None
        for conn in idle:
            if conn is not None:
                conn.close()
