"""Opens the embedded store: one file, WAL, every acknowledged commit on disk.

sqlite-utils opens and migrates it; the hot path uses the plain connection. Reading
commands open it without sqlite-utils, which takes a third of a second to import.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from threatshare.errors import StoreError
from threatshare.store.schema import MIGRATIONS

if TYPE_CHECKING:
    import sqlite3 as sqlite
else:
    # Debian's SQLite is older than 3.51.3 and can corrupt a WAL database (sqlite.org/wal.html#walresetbug).
    from pysqlite3 import dbapi2 as sqlite

Connection = sqlite.Connection
IntegrityError = sqlite.IntegrityError
DatabaseError = sqlite.Error
"""Anything that SQLite itself complains about."""

MIGRATION_SET = "threatshare"
_BUSY_MILLISECONDS = 30_000


def open_writer(file: Path) -> Connection:
    """Opens the store for reading and writing, creating or migrating it where needed; nobody else may read it."""
    if not file.exists():
        file.touch(mode=0o600)
    conn = _connect(f"file:{_uri(file)}?mode=rwc")
    _migrate(conn)
    conn.executescript(
        "PRAGMA journal_mode = WAL;"
        "PRAGMA synchronous = FULL;"
        "PRAGMA cache_size = -65536;"
        "PRAGMA journal_size_limit = 67108864;"
    )
    return conn


def open_reader(file: Path) -> Connection:
    """Opens an existing store for reading only; raises StoreError where there is none or it is of another version."""
    if not file.is_file():
        raise StoreError(f"{file} does not exist. Make a node with `threatshare init DIR`.")
    conn = _connect(f"file:{_uri(file)}?mode=ro")
    conn.execute("PRAGMA cache_size = -16384")
    if _applied(conn) != {name for name, _ in MIGRATIONS}:
        raise StoreError(
            f"{file} was made by another version of threatshare; `threatshare status` brings an older one up to date."
        )
    return conn


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


def _applied(conn: Connection) -> set[str]:
    known = conn.execute("SELECT 1 FROM sqlite_master WHERE name = '_sqlite_migrations'").fetchone()
    return {row[0] for row in conn.execute("SELECT name FROM _sqlite_migrations")} if known else set()


def _migrate(conn: Connection) -> None:
    if _applied(conn) == {name for name, _ in MIGRATIONS}:
        return
    from sqlite_utils import Database, Migrations

    migrations = Migrations(MIGRATION_SET)
    for name, script in MIGRATIONS:
        migrations(name=name)(_step(script))
    migrations.apply(Database(conn))


def _step(script: str) -> Callable[[Any], None]:
    def apply(db: Any) -> None:
        for statement in script.split(";"):
            if statement.strip():
                db.execute(statement)

    return apply
