"""The store's tables, as numbered migrations: a file of statements each, in ``migrations/``.

Three groups of tables:

*Knowledge* (what everybody says): ``source``, ``origin``, ``object``, ``version``, ``observable``, ``claim``.
Keys named ``key`` are 63-bit keyed hashes (``store.keys``), short where ids and URLs are long; what they
were made of is stored beside them and compared, since keys of that size may collide. Observables and their
claims lie in the order in which the observables were first heard of, so that a large feed is written in
sequence. ``version`` keeps every object as it came, append-only; each points to the version before it.

*Served entries*: ``collection``, ``entry``. ``entry.id`` is ``collection.number << 40 | seq``: a page is
one range of the table. The body is what goes over the wire.

*The node's own*: findings, accounts, feed state, rejects, releases.

Times are integers of microseconds UTC.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlite3 import Connection

MIGRATION_SET = "threatshare"
MIGRATIONS = (
    "0001_knowledge",
    "0002_entries",
    "0003_own",
    "0004_ledger",
    "0005_push",
    "0006_agreements",
    "0007_partners",
    "0008_exercises",
    "0009_people",
    "0010_accounts",
    "0011_incidents",
    "0012_collections",
    "0013_pages",
    "0014_listings",
    "0015_disguises",
    "0016_links",
    "0017_feeds",
    "0020_restatements",
    "0021_repeated_rejects",
    "0022_exercise_exclusions",
    "0023_exchange_past",
    "0024_accounts",
    "0025_link_targets",
    "0026_source_partners",
)
"""Every migration in the order in which they are applied: ``migrations/NAME.sql``.

The names stand here so that a store can be opened without looking for files. What has been released is never edited:
a change of the tables is a new file, and its name a new line.
"""


def is_current(conn: Connection) -> bool:
    """Tells whether exactly these migrations have been applied to a store."""
    known = conn.execute("SELECT 1 FROM sqlite_master WHERE name = '_sqlite_migrations'").fetchone()
    applied = {row[0] for row in conn.execute("SELECT name FROM _sqlite_migrations")} if known else set()
    return applied == set(MIGRATIONS)


def migrate(conn: Connection) -> None:
    """Applies what has not been applied yet, each migration whole or not at all."""
    if is_current(conn):
        return
    # A third of a second to import, which a store that is current is spared.
    from sqlite_utils import Database, Migrations

    migrations = Migrations(MIGRATION_SET)
    for name in MIGRATIONS:
        migrations(name=name)(_step(name))
    migrations.apply(Database(conn))


def statements(name: str) -> Iterator[str]:
    """Yields the statements of a migration; each ends with a line, so semicolons in triggers, texts, comments end none.

    Raises ValueError where the file ends within one.
    """
    from importlib.resources import files

    from pysqlite3 import dbapi2 as sqlite

    script = (files("threatshare.store") / "migrations" / f"{name}.sql").read_text(encoding="utf-8")
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite.complete_statement(statement):
            yield statement.strip()
            statement = ""
    if statement.strip():
        raise ValueError(f"{name}.sql ends within a statement: {statement.strip()[:60]}")


def _step(name: str) -> Callable[[Any], None]:
    def apply(db: Any) -> None:
        for statement in statements(name):
            db.execute(statement)

    return apply
