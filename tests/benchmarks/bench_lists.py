"""Lists: from a CSV file to merged, scored and committed, at an empty store and at a full one.

    python tests/benchmarks/bench_lists.py [--rows 1000000] [--json FILE]

The rows are as abuse feeds publish them: a time, a value of one of four types, words, a confidence, a link. Lists of
other values fill the store between; the last is read again with one row more, and with a hundredth of its rows gone.
"""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from intake import Clock, Figure, Table, go_on, make_store, now, profile, stored

from threatshare.feed_settings import ListSettings
from threatshare.feeds.list_rows import RowReader
from threatshare.feeds.lists import DiskList
from threatshare.model import Tlp
from threatshare.pull import pull_list
from threatshare.store.embedded import Store

GOAL = 50_000
"""Rows a second."""
_PROFILED = 40_000
_TERMS = ListSettings(format="csv", value=2, seen=1, seen_format="%Y-%m-%d %H:%M:%S", confidence_column=4)
_PLAIN = ListSettings(type="domain-name")


def csv_rows(count: int, seed: int) -> Iterator[str]:
    """Gives lines of CSV, no two of which name the same value."""
    rng = random.Random(seed)
    for number in range(count):
        bits = rng.getrandbits(64)
        value = (
            f"{20 + bits % 70}.{bits >> 8 & 255}.{bits >> 16 & 255}.{bits >> 24 & 255}",
            f"h{bits:x}.net",
            f"http://h{bits:x}.net/path/{bits & 0xFFFF}/index.php",
            f"{bits:064x}",
        )[number % 4]
        seen = f"2026-11-01 {number % 24:02}:{number % 60:02}:00"
        yield f'"{seen}","{value}","malware_download","{rng.randrange(20, 100)}","a,tag","https://bench.test/{number}/"\n'


def plain_rows(count: int, seed: int) -> Iterator[str]:
    """Gives lines that are nothing but a domain."""
    rng = random.Random(seed)
    return (f"h{rng.getrandbits(64):x}.net\n" for _ in range(count))


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path, default=Path("build/bench_lists.jsonl"))
    options, _ = parser.parse_known_args()
    directory = Path(tempfile.mkdtemp(prefix="threatshare-bench-"))
    try:
        store = make_store(directory)
        measure(store, directory, Table(options.json, "rows"), options.rows)
        profile(store, lambda: _profiled(store, directory), lambda: _profiled(store, directory))
        store.close()
    finally:
        shutil.rmtree(directory)


def measure(store: Store, directory: Path, table: Table, count: int) -> None:
    """Fills a store from lists and adds to the table what that took."""
    part = max(100, count // 10)
    file = directory / "list.csv"
    for what, rows, seed in (("CSV, all new", part, 1), ("the rest of the store", count - part, 2)):
        if rows > 0:
            _write(file, csv_rows(rows, seed))
            table.add(_read(store, f"list-{seed}", what, file, _TERMS))
    _write(file, csv_rows(part, 3))
    table.add(_read(store, "list-3", "CSV, all new", file, _TERMS))
    with file.open("a") as more:
        more.writelines(csv_rows(1, 4))
    table.add(_read(store, "list-3", "CSV, one row more", file, _TERMS))
    _write(file, csv_rows(part - part // 100, 3))
    table.add(_read(store, "list-3", "CSV, a hundredth withdrawn", file, _TERMS))
    _write(file, plain_rows(part, 5))
    table.add(_read(store, "plain", "plain list of domains, all new", file, _PLAIN))


def _write(file: Path, rows: Iterator[str]) -> None:
    with file.open("w") as stream:
        stream.writelines(rows)


def _read(store: Store, name: str, what: str, file: Path, terms: ListSettings) -> Figure:
    held, clock = stored(store), Clock()
    source = store.source(name, "feed", "B", Tlp.GREEN)
    report = pull_list(store, source, DiskList(name, file, terms, RowReader(terms, name)), now, go_on)
    seconds, cpu = clock.read()
    assert report.error is None, report.error
    assert report.rejected == 0, report
    return Figure(what, held, report.objects, seconds, cpu, GOAL)


def _profiled(store: Store, directory: Path) -> int:
    file = directory / "profiled.csv"
    seed = stored(store) + 6
    _write(file, csv_rows(_PROFILED, seed))
    return _read(store, f"profiled-{seed}", "", file, _TERMS).count


if __name__ == "__main__":
    main()
