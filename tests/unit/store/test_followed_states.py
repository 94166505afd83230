from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from threatshare.errors import UsageError
from threatshare.store.connection import Connection, open_writer
from threatshare.store.followed import forget, save_state, states
from threatshare.store.posted import KEPT, answer_to, keep_answer, keep_digest

PATH = Path("/var/log/eve.json")


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[Connection]:
    opened = open_writer(tmp_path / "store.db")
    yield opened
    opened.close()


def test_a_state_follows_on_the_one_that_was_read(conn: Connection) -> None:
    """Whoever saves on another state than the one that is there takes from the same path: the second is refused."""
    save_state(conn, PATH, "", None, "1")
    save_state(conn, PATH, "", "1", "2")
    for before in (None, "1"):
        with pytest.raises(UsageError, match="another process"):
            save_state(conn, PATH, "", before, "3")
    assert states(conn, PATH) == {"": "2"}


def test_paths_and_items_are_apart(conn: Connection) -> None:
    """Also names that are no Unicode; what is forgotten may begin again."""
    odd = Path("/var/\udcff")
    save_state(conn, PATH, "a", None, "1")
    save_state(conn, PATH, "b", None, "2")
    save_state(conn, odd, "a", None, "3")
    forget(conn, PATH, ["a", "c"])
    assert (states(conn, PATH), states(conn, odd)) == ({"b": "2"}, {"a": "3"})
    save_state(conn, PATH, "a", None, "1")


def test_what_was_posted_is_known_for_a_day(conn: Connection) -> None:
    """By account and digest, first without an answer, then with it; and it makes room after a day."""
    assert answer_to(conn, "edr", b"1") is None
    assert keep_digest(conn, "edr", b"1", 5)
    assert answer_to(conn, "edr", b"1") == b""
    assert not keep_digest(conn, "edr", b"1", 6)
    keep_answer(conn, "edr", b"1", b"told")
    assert answer_to(conn, "edr", b"1") == b"told"
    assert answer_to(conn, "other", b"1") is None
    assert keep_digest(conn, "edr", b"2", 6 + KEPT)
    assert answer_to(conn, "edr", b"1") is None
