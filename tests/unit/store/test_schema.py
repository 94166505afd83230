"""The store's migrations: files that ship with the package, in the order in which they are applied."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest
from pysqlite3 import dbapi2 as sqlite

import threatshare.store.schema as schema
from threatshare.store.connection import open_reader, open_writer


def test_every_migration_is_a_file_and_every_file_a_migration() -> None:
    """No migration is named without its file, none lies there unnamed, and their numbers rise without repeating."""
    lying = {one.name for one in (files("threatshare.store") / "migrations").iterdir()}
    assert lying == {f"{name}.sql" for name in schema.MIGRATIONS}
    numbers = [int(name.partition("_")[0]) for name in schema.MIGRATIONS]
    assert numbers == sorted(set(numbers))


def test_every_migration_consists_of_whole_statements() -> None:
    """Each statement of each migration is one that SQLite can prepare on the tables that those before it made."""
    conn = sqlite.connect(":memory:")
    for name in schema.MIGRATIONS:
        parts = list(schema.statements(name))
        assert parts
        for part in parts:
            conn.execute(part)


def test_semicolons_within_a_statement_end_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Triggers, texts and comments may hold semicolons; a file that ends within a statement is refused."""
    written = (
        "-- One; with a comment\n"
        "CREATE TABLE a (b TEXT DEFAULT ';');\n"
        "CREATE TRIGGER c AFTER INSERT ON a BEGIN\n"
        "    DELETE FROM a WHERE b = 'x;';\n"
        "    DELETE FROM a WHERE b = 'y';\n"
        "END;\n"
    )
    (tmp_path / "migrations").mkdir()
    (tmp_path / "migrations" / "0001_a.sql").write_text(written)
    (tmp_path / "migrations" / "0002_b.sql").write_text("CREATE TABLE b (c TEXT)\n")
    monkeypatch.setattr("importlib.resources.files", lambda _package: tmp_path)
    conn = sqlite.connect(":memory:")
    for statement in schema.statements("0001_a"):
        conn.execute(statement)
    assert [row[0] for row in conn.execute("SELECT name FROM sqlite_master ORDER BY name")] == ["a", "c"]
    with pytest.raises(ValueError, match=r"0002_b\.sql"):
        list(schema.statements("0002_b"))


def test_a_store_of_any_earlier_version_is_brought_up_to_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that has the first migrations only gets the others, and then has the tables that a new one has."""

    def tables(file: Path) -> list[tuple[str, str]]:
        conn = open_reader(file)
        found = conn.execute("SELECT name, coalesce(sql, '') FROM sqlite_master ORDER BY name").fetchall()
        conn.close()
        return [(str(name), str(sql)) for name, sql in found]

    open_writer(tmp_path / "new.db").close()
    for count in (1, 4, len(schema.MIGRATIONS) - 1):
        file = tmp_path / f"{count}.db"
        with monkeypatch.context() as patch:
            patch.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:count])
            open_writer(file).close()
        open_writer(file).close()
        assert tables(file) == tables(tmp_path / "new.db")
