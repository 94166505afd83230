"""Who says what: the sources that we take claims from, and the origins that they name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from threatshare.model import Tlp
from threatshare.store.connection import Connection

OWN = "own"
"""The source of our own indicators."""


@dataclass(frozen=True, slots=True)
class Source:
    """One source: our own sensors, a feed, or a partner's inbox."""

    number: int
    name: str
    kind: str
    """``own``, ``feed`` or ``partner``."""
    reliability: str
    """Admiralty A-F."""
    default_tlp: Tlp
    lineage: str | None = None
    """The aggregate that it copies: whatever it says has that origin."""
    partner: str | None = None
    """Whose it is, where something tells: the sources of one partner are one voice."""
    first: int | None = None
    """The number of that partner's first source."""

    @property
    def voice(self) -> int:
        """A number that sources share which count no more than once together."""
        return self.number if self.first is None else self.first


def register_source(
    conn: Connection, name: str, kind: str, reliability: str, default_tlp: Tlp, lineage: str | None = None
) -> Source:
    """Gives the source of that name, made or brought up to date inside the caller's transaction."""
    conn.execute(
        "INSERT INTO source (name, kind, reliability, default_tlp, lineage) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (name) DO UPDATE SET reliability = excluded.reliability,"
        " default_tlp = excluded.default_tlp, lineage = excluded.lineage",
        (name, kind, reliability, int(default_tlp), lineage),
    )
    return sources(conn)[name]


def sources(conn: Connection) -> dict[str, Source]:
    """Gives every source by name."""
    return {
        row[1]: Source(row[0], row[1], row[2], row[3], Tlp(row[4]), *row[5:])
        for row in conn.execute(
            "SELECT number, name, kind, reliability, default_tlp, lineage, partner,"
            " CASE WHEN partner IS NOT NULL THEN min(number) OVER (PARTITION BY partner) END"
            " FROM source ORDER BY number"
        )
    }


def bind_sources(conn: Connection, partners: Mapping[str, str | None]) -> list[Source]:
    """Notes whose sources are, by name; inside the caller's transaction. Gives those that are another's now."""
    known = sources(conn)
    changed = [name for name, partner in partners.items() if name in known and known[name].partner != partner]
    conn.executemany("UPDATE source SET partner = ? WHERE name = ?", [(partners[name], name) for name in changed])
    bound = sources(conn)
    return [bound[name] for name in changed]


class Origins:
    """Numbers for the names of those who said a thing first; learnt as they come."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn
        self._numbers: dict[str, int] = {}

    def number(self, name: str) -> int:
        """Gives the number of an origin, making it where it is new; inside the caller's transaction."""
        known = self._numbers.get(name)
        if known is None:
            self._conn.execute("INSERT INTO origin (name) VALUES (?) ON CONFLICT DO NOTHING", (name,))
            row = self._conn.execute("SELECT number FROM origin WHERE name = ?", (name,)).fetchone()
            known = self._numbers[name] = int(row[0])
        return known

    def forget(self) -> None:
        """Drops what was learnt, for a transaction that was rolled back."""
        self._numbers.clear()
