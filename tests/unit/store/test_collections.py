from __future__ import annotations

from pathlib import Path

import pytest

from threatshare.errors import UsageError
from threatshare.model import CollectionKind
from threatshare.store.collections import (
    add_collection,
    collection_by_alias,
    collection_by_id,
    collections,
)
from threatshare.store.connection import open_writer, transaction


def test_a_collection_is_found_again(tmp_path: Path) -> None:
    """A collection is found by its alias and by its id in any case, and nothing else is."""
    conn = open_writer(tmp_path / "store.db")
    with transaction(conn):
        made = add_collection(conn, "siem", "Our SIEM", CollectionKind.SIEM, None, 1)
        other = add_collection(conn, "to-isac", "For the ISAC", CollectionKind.PARTNER, "isac", 1)
    assert collection_by_alias(conn, "siem") == made
    assert collection_by_id(conn, made.id.upper()) == made
    assert collection_by_alias(conn, "SIEM") is None
    assert collection_by_id(conn, "siem") is None
    assert collections(conn) == [made, other]
    assert other.partner == "isac"
    conn.close()


@pytest.mark.parametrize("alias", ["", "-a", "A", "a_b", "a b", "ä", "a/b", "a" * 65])
def test_aliases_stand_in_urls(tmp_path: Path, alias: str) -> None:
    """An alias that would need escaping in a URL is refused."""
    conn = open_writer(tmp_path / "store.db")
    with pytest.raises(UsageError, match="alias"):
        add_collection(conn, alias, "Title", CollectionKind.INTERNAL, None, 1)
    conn.close()


@pytest.mark.parametrize("title", ["", " ", "a.b", "a, b", "two\nlines"])
def test_titles_do_not_break_clients(tmp_path: Path, title: str) -> None:
    """A title with a dot, a comma or a control character is refused: clients split at them (S14)."""
    conn = open_writer(tmp_path / "store.db")
    with pytest.raises(UsageError, match="title"):
        add_collection(conn, "one", title, CollectionKind.INTERNAL, None, 1)
    conn.close()


@pytest.mark.parametrize(("alias", "title"), [("one", "Another"), ("another", "One")])
def test_alias_and_title_are_unique(tmp_path: Path, alias: str, title: str) -> None:
    """Neither an alias nor a title is given twice, as clients select by either."""
    conn = open_writer(tmp_path / "store.db")
    add_collection(conn, "one", "One", CollectionKind.INTERNAL, None, 1)
    with pytest.raises(UsageError, match="already"):
        add_collection(conn, alias, title, CollectionKind.INTERNAL, None, 1)
    conn.close()
