"""The ledger: what recording costs publishing, what a row costs on disk, how fast it is verified; and read records.

    python tests/benchmarks/bench_ledger.py [--objects 100000] [--rounds 5] [--siem 100000]

Indicators of ours are published into a partner's collection, once as the node does it and once with the ledger
taken out, in turn, each time from a copy of the same store. Then the whole ledger is verified, against anchors,
entries and releases. Then a client polls each minute of a year, on a store of its own. All times are processor
time, so that what else runs on the machine counts less.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, date, datetime
from pathlib import Path
from random import Random
from unittest.mock import patch

from threatshare.config import OwnAssets
from threatshare.findings.assertions import Own
from threatshare.ingest import ingest
from threatshare.model import CollectionKind, Finding, Kind, Micros, Observable, Observation, Role, Tlp, micros
from threatshare.policy.agreements import Agreement, Outbound
from threatshare.policy.gate import Audience, Facts
from threatshare.publish import publish
from threatshare.share import outlets
from threatshare.share.outlets import Outlet
from threatshare.stix.objects import identity, new_identity_id, written
from threatshare.store.collections import add_collection, collections
from threatshare.store.connection import Connection, open_writer, transaction
from threatshare.store.embedded import Store
from threatshare.store.ledger import rows
from threatshare.store.ledger_check import check
from threatshare.store.reach import reach
from threatshare.store.reads import HOUR, Read, reads_of, record_reads

CREATED = "2026-01-01T00:00:00.000Z"
US = new_identity_id("Bench", CREATED)
NOW: Micros = micros(datetime(2026, 3, 1, tzinfo=UTC))
MINUTE = HOUR // 60
ASSETS = OwnAssets(declared_empty=True)
AGREED = Agreement("north", date(2026, 1, 1), date(2026, 12, 31), Outbound("amber"), date(2026, 1, 1))


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=100_000)
    parser.add_argument("--siem", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    options, _ = parser.parse_known_args()
    folder = Path(tempfile.mkdtemp(prefix="threatshare-bench-"))
    try:
        _publishing(folder, "partner", options.objects, options.rounds)
        _publishing(folder, "siem", options.siem, 1 if options.siem > 500_000 else 3)
        _polling(folder)
    finally:
        shutil.rmtree(folder)


def _publishing(folder: Path, alias: str, count: int, rounds: int) -> None:
    file = _filled(folder / f"{alias}.db", alias, count)
    took: dict[bool, list[float]] = {True: [], False: []}
    kept = folder / "kept.db"
    for _ in range(rounds):
        for with_ledger in (False, True):
            copy = folder / "copy.db"
            shutil.copyfile(file, copy)
            took[with_ledger].append(_published(copy, alias, with_ledger))
            if with_ledger:
                copy.replace(kept)
            copy.unlink(missing_ok=True)
    without, with_it = statistics.median(took[False]), statistics.median(took[True])
    print(f"\npublishing {count:,} indicators to {alias}, median of {rounds}")
    print(f"  without ledger  {without:7.2f} s  {count / without:9,.0f}/s   {_list(took[False])}")
    print(f"  with ledger     {with_it:7.2f} s  {count / with_it:9,.0f}/s   {_list(took[True])}")
    print(f"  the ledger adds {100 * (with_it / without - 1):.1f} %, {1e6 * (with_it - without) / count:.1f} µs a row")
    conn = open_writer(kept)
    _verified(conn)
    _sizes(conn, ("ledger ledger_terms", "entry", "release"), count)
    conn.close()


def _filled(file: Path, alias: str, count: int) -> Path:
    store = Store(file, lambda _: None)
    own = Own(identity=US, assets=ASSETS, tlp=Tlp.GREEN, confidence=70)
    found = (_finding(Observable(Kind.IPV4, f"45.{n >> 16}.{n >> 8 & 255}.{n & 255}")) for n in range(count))
    ingest(store, own, found, lambda: NOW, lambda _: None)
    kind = CollectionKind.PARTNER if alias == "partner" else CollectionKind.SIEM
    with store.writing() as conn:
        add_collection(conn, alias, alias, kind, "north" if alias == "partner" else None, NOW)
    store.checkpoint()
    store.close()
    return file


def _finding(one: Observable) -> Finding:
    seen = datetime(2026, 2, 28, tzinfo=UTC)
    told = Observation(one, Role.ATTACKER, "a rule said so", one.value)
    return Finding("sensor", "a title", seen, seen, (told,), "alerts.json:1")


def _published(file: Path, alias: str, with_ledger: bool) -> float:
    store = Store(file, lambda _: None)
    (collection,) = collections(store.conn)
    agreement = AGREED if alias == "partner" else None
    facts = Facts(ASSETS, "live", US, date(2026, 3, 1), {"north": AGREED} if agreement else {}, 1)
    us = written(identity(US, "Bench", "technology", CREATED))
    outlet = Outlet(collection, Audience(alias, collection.kind, agreement), facts, us, NOW)
    with ExitStack() as stack:
        if not with_ledger:
            stack.enter_context(patch.object(outlets, "record", lambda *_: None))
            stack.enter_context(patch.object(outlets.Dispatch, "_added", lambda *_: ()))
        began = time.process_time()
        report = publish(store, [outlet])
        took = time.process_time() - began
    assert report.released[alias] > 0
    store.checkpoint()
    store.close()
    return took


def _sizes(conn: Connection, tables: Sequence[str], count: int) -> None:
    """Tells what tables take, by what the file shrinks without them."""
    for names in tables:
        before = _size(conn)
        for table in names.split():
            conn.execute(f"DROP TABLE {table}")
        freed = before - _size(conn)
        print(f"  {names:<20}{freed:>14,} bytes, {freed / count:7.1f} a row")


def _size(conn: Connection) -> int:
    conn.execute("VACUUM")
    return int(conn.execute("PRAGMA page_count").fetchone()[0] * conn.execute("PRAGMA page_size").fetchone()[0])


def _verified(conn: Connection) -> None:
    began = time.process_time()
    found = check(conn)
    took = time.process_time() - began
    assert found.problems == []
    print(f"  verified {found.rows:,} rows with entries and releases in {took:.2f} s, {found.rows / took:,.0f}/s")
    print(f"  exported in {_timed(lambda: sum(len(row.exported) for row in rows(conn))):.2f} s")
    some = conn.execute("SELECT object_id FROM entry WHERE type = 'indicator' LIMIT 1 OFFSET 500").fetchone()[0]
    print(f"  reach of one object in {1000 * _timed(lambda: reach(conn, [some])):.0f} ms")


def _timed(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _polling(folder: Path) -> None:
    """Polls each minute of a year; news comes in nine of ten minutes, and each page is asked for once more."""
    conn = open_writer(folder / "polls.db")
    random, seq, spent, polls = Random(1), 0, 0.0, 366 * 24 * 60
    for day in range(366):
        batch = []
        for minute in range(24 * 60):
            at = NOW + (day * 24 * 60 + minute) * MINUTE
            news = random.randrange(1, 60) if random.random() < 0.9 else 0
            if news:
                batch.append(Read("siem", 1, seq + 1, seq + news, 1, at, at))
                seq += news
        began = time.process_time()
        with transaction(conn):
            for one in batch:
                record_reads(conn, [one])
                record_reads(conn, [one])
        spent += time.process_time() - began
    count = conn.execute("SELECT count(*) FROM taxii_read").fetchone()[0]
    print(f"\na year of polls each minute, {polls:,}, {seq:,} entries sent, each page twice")
    print(f"  {spent:.1f} s in all, {1e6 * spent / polls:.0f} µs a poll; {count:,} rows")
    print(f"  who was sent an entry: {1000 * _timed(lambda: reads_of(conn, 1, seq // 2)):.2f} ms")
    _sizes(conn, ("taxii_read",), count)


def _list(took: Sequence[float]) -> str:
    return " ".join(f"{one:.2f}" for one in took)


if __name__ == "__main__":
    main()
