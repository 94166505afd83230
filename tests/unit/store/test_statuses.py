from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from builders import NOW, make_store
from threatshare.store.embedded import Store
from threatshare.store.statuses import keep_status, status_of


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = make_store(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("objects", [0, 1, 10, 20_000])
def test_a_status_comes_back_as_it_was_and_takes_little_room(store: Store, objects: int) -> None:
    """What is kept of a POST of nonsense is no larger than the POST was, and every outcome of it can be asked for."""
    failures = [
        {"id": f"object {place} of the envelope", "version": "2026-01-01T00:00:00.000000Z", "message": "no object"}
        for place in range(objects)
    ]
    body = msgspec.json.encode({"id": "a", "failures": failures})
    with store.writing() as conn:
        keep_status(conn, "api", "a", "north", body, NOW)
        kept = len(conn.execute("SELECT body FROM taxii_status").fetchone()[0])
    assert status_of(store.conn, "api", "a", "north") == body
    assert kept <= max(2_000, 10 * objects)
    assert kept <= len(body)
