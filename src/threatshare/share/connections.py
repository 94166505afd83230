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
_MAPPED = 1 << 30
"""Bytes of the file read through the system's page cache without copying; address space, not memory."""


class Connections:
    """Opens on first use, so it may be made before a process forks and used after."""

    def __init__(self, open_reader: OpenConnection, open_writer: OpenConnection) -> None:
        self._open_reader = open_reader
        self._open_writer = open_writer
        self._turns = BoundedSemaphore(_READERS)
        self._idle: list[Connection] = []
        self._writer: Connection | None = None
        self._writing = Lock()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Lends a reader; results must be fetched whole before it is given back."""
        with self._turns:
            conn = self._idle.pop() if self._idle else self._reader()
            try:
                yield conn
            finally:
                self._idle.append(conn)

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
            while self._idle:
                self._idle.pop().close()
            if self._writer is not None:
                self._writer.close()
                self._writer = None

    def _reader(self) -> Connection:
        conn = self._open_reader()
        conn.execute(f"PRAGMA mmap_size = {_MAPPED}")
        return conn
