"""What the store remembers of ``people.toml``: its text as an operator last left it.

A node directory without that file, or with another one, is so told from one in which nobody was ever told apart. Once
it is known here, signatures without a login count no more.
"""

from __future__ import annotations

from threatshare.store.connection import Connection

_PEOPLE = "people"
ROLES_IN_FORCE = f"EXISTS (SELECT 1 FROM setting WHERE name = '{_PEOPLE}')"
"""The condition, in SQL, that people are told apart by logins here."""


def known_people(conn: Connection) -> str | None:
    """Gives the text of ``people.toml`` as it was known last; None: there was none yet."""
    row = conn.execute("SELECT value FROM setting WHERE name = ?", (_PEOPLE,)).fetchone()
    return None if row is None else bytes(row[0]).decode("utf-8", "replace")


def remember_people(conn: Connection, text: str) -> None:
    """Keeps what ``people.toml`` says from now on, in the caller's transaction."""
    conn.execute(
        "INSERT INTO setting (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (_PEOPLE, text.encode("utf-8", "surrogateescape")),
    )
