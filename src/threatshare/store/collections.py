"""The TAXII collections of this node."""

from __future__ import annotations

import re
from uuid import uuid4

from threatshare.errors import UsageError
from threatshare.model import Collection, CollectionKind, Micros
from threatshare.store.connection import Connection

_ALIAS = re.compile(r"[a-z0-9][a-z0-9-]{0,63}", re.ASCII).fullmatch
_SELECT = "SELECT number, id, alias, title, kind, partner FROM collection"


def add_collection(
    conn: Connection, alias: str, title: str, kind: CollectionKind, partner: str | None, now: Micros
) -> Collection:
    """Makes a collection with an id of its own, inside the caller's transaction.

    Raises UsageError where alias or title is taken or of a form that breaks clients: several of
    them choose a collection by its title, and split their settings at dots or commas.
    """
    if _ALIAS(alias) is None:
        raise UsageError(f"{alias!r} cannot be a collection's alias: wanted are lower-case letters, digits and hyphens")
    if not title.strip() or not title.isprintable() or "." in title or "," in title:
        raise UsageError(f"{title!r} cannot be a collection's title: clients split at dots and commas, so use neither")
    taken = conn.execute("SELECT alias, title FROM collection WHERE alias = ? OR title = ?", (alias, title)).fetchone()
    if taken is not None:
        raise UsageError(f"there is a collection {taken[0]} with the title {taken[1]!r} already; use another")
    row = conn.execute(
        "INSERT INTO collection (id, alias, title, kind, partner, created) VALUES (?, ?, ?, ?, ?, ?)"
        " RETURNING number, id, alias, title, kind, partner",
        (str(uuid4()), alias, title, kind.value, partner, now),
    ).fetchall()[0]
    return _collection(row)


def collections(conn: Connection) -> list[Collection]:
    """Gives all collections in the order in which they were made."""
    return [_collection(row) for row in conn.execute(_SELECT + " ORDER BY number")]


def collection_by_alias(conn: Connection, alias: str) -> Collection | None:
    """Finds a collection by its alias."""
    return _one(conn, _SELECT + " WHERE alias = ?", alias)


def collection_by_id(conn: Connection, collection_id: str) -> Collection | None:
    """Finds a collection by its id, which may be written in any case (RFC 9562 §4)."""
    return _one(conn, _SELECT + " WHERE id = ?", collection_id.lower())


def _one(conn: Connection, query: str, value: str) -> Collection | None:
    row = conn.execute(query, (value,)).fetchone()
    return None if row is None else _collection(row)


def _collection(row: tuple[int, str, str, str, str, str | None]) -> Collection:
    number, collection_id, alias, title, kind, partner = row
    return Collection(number, collection_id, alias, title, CollectionKind(kind), partner)
