"""Figures about the store as a whole, for `status` and `doctor`."""

from __future__ import annotations

from threatshare.store.connection import Connection


def totals(conn: Connection) -> dict[str, int]:
    """Counts what is stored; the versions by their highest number, which costs nothing at any size."""
    versions = conn.execute("SELECT coalesce(max(number), 0) FROM version").fetchone()[0]
    return {
        "observables": _rows(conn, "observable"),
        "claims": _rows(conn, "claim"),
        "object versions": int(versions),
    }


def sqlite_version(conn: Connection) -> tuple[int, ...]:
    """Gives the version of SQLite in use."""
    return tuple(int(part) for part in conn.execute("SELECT sqlite_version()").fetchone()[0].split("."))


def _rows(conn: Connection, table: str) -> int:
    return int(conn.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
