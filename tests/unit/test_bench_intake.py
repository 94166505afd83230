"""The plumbing of the benchmarks of taking in, at a size that takes no time."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import bench_lists
import bench_pull
import pytest
from intake import Clock, Table, make_store, profile, stored

from threatshare.store.embedded import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = make_store(tmp_path)
    made.conn.execute("PRAGMA synchronous = OFF")
    yield made
    made.close()


def lines(file: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_clock_leaves_out_what_is_aside() -> None:
    """Making what is measured does not count, neither in wall nor in processor time."""
    clock = Clock()
    with clock.aside():
        time.sleep(0.2)
    assert clock.read()[0] < 0.1


def test_pulls_are_measured_with_what_was_stored_before_each(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line each for the empty store, the full one, the repetition, which writes nothing, and MISP events."""
    table = Table(tmp_path / "made" / "figures.jsonl", "objects")
    bench_pull.measure(store, table, 100, 10)
    told = lines(tmp_path / "made" / "figures.jsonl")
    assert [(one["stored"], one["count"]) for one in told[:4]] == [(0, 10), (10, 90), (100, 10), (110, 10)]
    # With the identity of the organisation and the report of the event.
    assert (told[4]["stored"], told[4]["count"]) == (110, 12)
    printed = capsys.readouterr().out
    assert "rows written by that: 0\n" in printed
    assert "of goal" in printed
    assert stored(store) == 120


def test_lists_are_measured_with_what_was_stored_before_each(store: Store, tmp_path: Path) -> None:
    """A line each for the empty store, the full one, one row more, rows withdrawn and a list without columns."""
    table = Table(tmp_path / "figures.jsonl", "rows")
    bench_lists.measure(store, tmp_path, table, 1_000)
    told = [(one["stored"], one["count"]) for one in lines(tmp_path / "figures.jsonl")]
    assert told == [(0, 100), (100, 900), (1_000, 100), (1_100, 101), (1_101, 99), (1_101, 100)]


def test_a_profile_names_statements_and_functions(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """And leaves the store's own connection in place."""
    conn = store.conn
    profile(store, bench_pull.ready(store, 10, 20), bench_pull.ready(store, 10, 20))
    printed = capsys.readouterr().out
    assert "INTO observable" in printed
    assert "knowledge.py" in printed
    assert store.conn is conn


def test_the_peers_parse_the_same_page(capsys: pytest.CaptureFixture[str]) -> None:
    """Each is named with its rate, or with why it was skipped."""
    bench_pull.peers(10)
    printed = capsys.readouterr().out
    assert "stix2" in printed
    assert "pymisp" in printed
    assert printed.count("objects/s") + printed.count("skipped") == 4
