"""The TAXII collections of this node, and the API roots that they stand under."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from uuid import uuid4

import msgspec

from threatshare.errors import UsageError
from threatshare.model import DEFAULT_ROOT, Collection, CollectionKind, Micros, View
from threatshare.store.connection import Connection

_ALIAS = re.compile(r"[a-z0-9][a-z0-9-]{0,63}", re.ASCII).fullmatch
_COLUMNS = "number, id, alias, title, kind, partner, root, view"
_SELECT = f"SELECT {_COLUMNS} FROM collection"
_NO_ROOTS = frozenset({"taxii2", "findings", "health", "healthz", "live", "livez", "ready", "readyz", "metrics"})
"""Names that the server answers to otherwise."""


def add_collection(
    conn: Connection,
    alias: str,
    title: str,
    kind: CollectionKind,
    partner: str | None,
    now: Micros,
    root: str = DEFAULT_ROOT,
    view: View = View(),  # noqa: B008  frozen
) -> Collection:
    """Makes a collection with an id of its own, inside the caller's transaction.

    Raises UsageError where alias or title is taken or of a form that breaks clients: several of
    them choose a collection by its title, and split their settings at dots or commas. Alias and title
    are taken by one collection of the whole node, so that no root has two of them.
    """
    if _ALIAS(alias) is None:
        raise UsageError(f"{alias!r} cannot be a collection's alias: wanted are lower-case letters, digits and hyphens")
    _check_title(title, "a collection's title")
    _check_root(root)
    check_view(kind, view)
    taken = conn.execute("SELECT alias, title FROM collection WHERE alias = ? OR title = ?", (alias, title)).fetchone()
    if taken is not None:
        raise UsageError(f"there is a collection {taken[0]} with the title {taken[1]!r} already; use another")
    row = conn.execute(
        "INSERT INTO collection (id, alias, title, kind, partner, created, root, view) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        f" RETURNING {_COLUMNS}",
        (str(uuid4()), alias, title, kind.value, partner, now, root, _written(view)),
    ).fetchall()[0]
    return _collection(row)


def set_view(conn: Connection, collection: Collection, view: View) -> None:
    """Changes how a collection's consumers are told, inside the caller's transaction.

    Raises UsageError where the collection holds entries that would have to be written anew: one version of
    an object has one content for good (STIX 2.1 §3.6). How an empty page is written can change at any time.
    """
    check_view(collection.kind, view)
    last_seq = conn.execute("SELECT last_seq FROM collection WHERE number = ?", (collection.number,)).fetchone()[0]
    if last_seq and replace(view, empty_page=collection.view.empty_page) != collection.view:
        raise UsageError(
            f"{collection.alias} has published already, and what was published keeps its form; make another: "
            "`threatshare collection add NAME --title TITLE --siem` with the options wanted"
        )
    conn.execute("UPDATE collection SET view = ? WHERE number = ?", (_written(view), collection.number))


def check_view(kind: CollectionKind, view: View) -> None:
    """Raises UsageError where a collection of some kind has no say in how its objects are written."""
    plain = View(empty_page=view.empty_page)
    if kind is not CollectionKind.SIEM and view != plain:
        raise UsageError(
            "only a collection for our own tools (--siem) can be written otherwise: what is exchanged has one form, "
            "so that nobody meets one version of an object with two contents"
        )


def collections(conn: Connection) -> list[Collection]:
    """Gives all collections in the order in which they were made."""
    return [_collection(row) for row in conn.execute(_SELECT + " ORDER BY number")]


def collection_by_alias(conn: Connection, alias: str) -> Collection | None:
    """Finds a collection by its alias."""
    return _one(conn, _SELECT + " WHERE alias = ?", alias)


def collection_by_id(conn: Connection, collection_id: str) -> Collection | None:
    """Finds a collection by its id, which may be written in any case (RFC 9562 §4)."""
    return _one(conn, _SELECT + " WHERE id = ?", collection_id.lower())


def collection_at(conn: Connection, root: str, name: str) -> Collection | None:
    """Finds a collection under an API root by its id or its alias."""
    found = collection_by_id(conn, name) or collection_by_alias(conn, name)
    return found if found is not None and found.root == root else None


def name_root(conn: Connection, name: str, title: str) -> None:
    """Gives an API root its title, inside the caller's transaction; raises UsageError where another one has it."""
    _check_root(name)
    _check_title(title, "an API root's title")
    taken = conn.execute("SELECT name FROM api_root WHERE title = ? AND name <> ?", (title, name)).fetchone()
    if taken is not None:
        raise UsageError(f"the API root {taken[0]} has the title {title!r} already; use another")
    conn.execute(
        "INSERT INTO api_root (name, title) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET title = excluded.title",
        (name, title),
    )


def title_of_root(conn: Connection, name: str) -> str | None:
    """Gives the title that an API root was given; None where it was given none."""
    row = conn.execute("SELECT title FROM api_root WHERE name = ?", (name,)).fetchone()
    return None if row is None else str(row[0])


def _one(conn: Connection, query: str, value: str) -> Collection | None:
    row = conn.execute(query, (value,)).fetchone()
    return None if row is None else _collection(row)


def _collection(row: tuple[int, str, str, str, str, str | None, str, str]) -> Collection:
    number, collection_id, alias, title, kind, partner, root, view = row
    return Collection(number, collection_id, alias, title, CollectionKind(kind), partner, root, _read(view))


@lru_cache(maxsize=64)
def _read(text: str) -> View:
    return msgspec.json.decode(text, type=View)


def _written(view: View) -> str:
    return msgspec.json.encode(view).decode()


def _check_root(name: str) -> None:
    if _ALIAS(name) is None or name in _NO_ROOTS:
        raise UsageError(
            f"{name!r} cannot be an API root's name: wanted are lower-case letters, digits and hyphens, "
            f"and none of {', '.join(sorted(_NO_ROOTS))}"
        )


def _check_title(title: str, what: str) -> None:
    if not title.strip() or not title.isprintable() or "." in title or "," in title:
        raise UsageError(f"{title!r} cannot be {what}: clients split at dots and commas, so use neither")
