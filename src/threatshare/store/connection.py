"""Opens the embedded store: one file, WAL, every acknowledged commit on disk.

sqlite-utils opens and migrates it; the hot path uses the plain connection. Reading
commands open it without sqlite-utils, which takes a third of a second to import.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from threatshare.errors import StoreError
from threatshare.store.schema import is_current, migrate

if TYPE_CHECKING:
    import sqlite3 as sqlite
else:
    # Debian's SQLite is older than 3.51.3 and can corrupt a WAL database (sqlite.org/wal.html#walresetbug).
    from pysqlite3 import dbapi2 as sqlite

Connection = sqlite.Connection
IntegrityError = sqlite.IntegrityError
DatabaseError = sqlite.Error
"""Anything that SQLite itself complains about."""

_BUSY_MILLISECONDS = 30_000


def open_writer(file: Path) -> Connection:
    """Opens the store for reading and writing, creating or migrating it where needed; nobody else may read it."""
    if not file.exists():
        file.touch(mode=0o600)
    conn = _connect(f"file:{_uri(file)}?mode=rwc")
    migrate(conn)
    conn.executescript(
        "PRAGMA journal_mode = WAL;"
        "PRAGMA synchronous = FULL;"
        "PRAGMA cache_size = -98304;"
        "PRAGMA journal_size_limit = 67108864;"
    )
    return conn


def open_reader(file: Path) -> Connection:
    """Opens an existing store for reading only; raises StoreError where there is none or it is of another version."""
    if not file.is_file():
        raise StoreError(f"{file} does not exist. Make a node with `threatshare init DIR`.")
    conn = _connect(f"file:{_uri(file)}?mode=ro")
    conn.execute("PRAGMA cache_size = -16384")
    if not is_current(conn):
        raise StoreError(
            f"{file} was made by another version of threatshare; `threatshare status` brings an older one up to date."
        )
    return conn


def copy_log(file: Path) -> None:
    """Brings what is committed from the log into the file, as far as no reader is in the way; on its own connection.

    Where that fails the log stays as it is, and is brought in later: SQLite keeps silent about it just so.
    """
    with suppress(DatabaseError, StoreError), closing(_connect(f"file:{_uri(file)}?mode=rw")) as conn:
        conn.execute("PRAGMA wal_checkpoint(PASSIVE)")


@contextmanager
def transaction(conn: Connection) -> Iterator[Connection]:
    """Holds the write lock from the first statement on; commits at the end, rolls back on any error.

    BEGIN IMMEDIATE, never deferred: a transaction that reads first and writes later fails at
    once with SQLITE_BUSY_SNAPSHOT where another process has committed in between.
    """
    conn.execute("BEGIN IMMEDIATE")
    try:
        yield conn
        conn.execute("COMMIT")
    except BaseException:
        # Where the disk is full, SQLite has rolled back by itself, and that error is the one to show.
        if conn.in_transaction:
            conn.execute("ROLLBACK")
        raise


_ROWS_AT_ONCE = 40


def insert(conn: Connection, into: str, rows: Sequence[tuple[Any, ...]], otherwise: str = "") -> None:
    """Writes many rows of one table, forty with a statement: to begin one costs as much as a row.

    ``into`` is what stands before VALUES, ``otherwise`` what stands behind the rows.
    """
    if not rows:
        return
    row = f"({', '.join('?' * len(rows[0]))})"
    whole = len(rows) - len(rows) % _ROWS_AT_ONCE
    conn.executemany(
        f"{into} VALUES {', '.join([row] * _ROWS_AT_ONCE)}{otherwise}",
        (tuple(chain.from_iterable(rows[at : at + _ROWS_AT_ONCE])) for at in range(0, whole, _ROWS_AT_ONCE)),
    )
    conn.executemany(f"{into} VALUES {row}{otherwise}", rows[whole:])


def _uri(file: Path) -> str:
    from urllib.parse import quote

    return quote(str(file.absolute()))


def _connect(uri: str) -> Connection:
    # For a type without an adapter the driver looks for one in vain with each value, and knows of itself only numbers
    # and texts: 1 microsecond a None or bytes, where a row has three of them and is written in two.
    sqlite.register_adapter(type(None), _as_it_is)
    sqlite.register_adapter(bytes, bytes)
    try:
        conn = sqlite.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
        conn.execute(f"PRAGMA busy_timeout = {_BUSY_MILLISECONDS}")
    except sqlite.OperationalError as problem:
        raise StoreError(f"the store cannot be opened: {problem}") from problem
    return conn


def _as_it_is(value: None) -> None:
    return value
