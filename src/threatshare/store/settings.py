"""Secrets of this store itself, made on first use; they leave it only with a copy of the whole file."""

from __future__ import annotations

from secrets import token_bytes

from threatshare.store.connection import Connection

ACCOUNT_PEPPER = "account-pepper"
"""Keys the hashes of account keys."""
NEXT_KEY = "taxii-next-key"
"""Signs TAXII's ``next``: one key for all workers and for ever."""

_BYTES = 32


def read_secret(conn: Connection, name: str) -> bytes | None:
    """Gives a secret, or None where it was never made."""
    row = conn.execute("SELECT value FROM setting WHERE name = ?", (name,)).fetchone()
    return None if row is None else bytes(row[0])


def make_secret(conn: Connection, name: str) -> bytes:
    """Gives a secret of 256 bits, made where it is missing; called inside the caller's transaction."""
    known = read_secret(conn, name)
    if known is not None:
        return known
    secret = token_bytes(_BYTES)
    conn.execute("INSERT INTO setting (name, value) VALUES (?, ?)", (name, secret))
    return secret
