"""How far the files and folders were taken that findings arrive in; saved in the transaction of the findings.

A followed file is one item, a folder has one for each file in it. A state is text that only whoever reads the path
understands. It must follow on the state that was read: where two processes take from one path, the second is refused
instead of taking everything twice. Functions that write are called inside the caller's transaction.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from threatshare.errors import UsageError
from threatshare.store.connection import Connection


def states(conn: Connection, path: Path) -> dict[str, str]:
    """Gives the state of every item of a path."""
    return dict(conn.execute("SELECT item, state FROM followed WHERE path = ?", (os.fsencode(path),)))


def save_state(conn: Connection, path: Path, item: str, before: str | None, after: str) -> None:
    """Saves the state of an item; ``before`` is the one that it had, None where it had none.

    Raises UsageError where it has another one by now.
    """
    key = (os.fsencode(path), item)
    if before is None:
        done = conn.execute("INSERT INTO followed VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (*key, after))
    else:
        done = conn.execute(
            "UPDATE followed SET state = ? WHERE path = ? AND item = ? AND state = ?", (after, *key, before)
        )
    if done.rowcount != 1:
        raise UsageError(f"{path} is taken in by another process too; end one of the two")


def forget(conn: Connection, path: Path, items: Iterable[str]) -> None:
    """Forgets items that are gone."""
    conn.executemany("DELETE FROM followed WHERE path = ? AND item = ?", [(os.fsencode(path), one) for one in items])
