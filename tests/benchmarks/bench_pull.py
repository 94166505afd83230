"""Pull: from the JSON bytes of pages to merged, scored and committed; and lookup as a whole process.

    python tests/benchmarks/bench_pull.py [--objects 1000000] [--page 1000] [--json FILE]

A feed of generated indicators is pulled into an empty store, which then holds as many as are asked for; another one
is pulled at the end, and the first pages once more unchanged. Then MISP events, a profile, and the same pages parsed
with stix2 and pymisp, which a user would otherwise take. Time spent on making pages does not count. Peak memory is
that of this process, before it imports either of the two.
"""

from __future__ import annotations

import argparse
import itertools
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import msgspec
from generated import pages
from intake import OUR_IDENTITY, Clock, Figure, Table, go_on, make_store, now, profile, stored

from threatshare.model import FeedReport, Micros, Reject, Tlp
from threatshare.ports import Page
from threatshare.pull import pull
from threatshare.stix.misp import events_of, objects_of
from threatshare.stix.patterns import read_pattern
from threatshare.stix.received import split_envelope
from threatshare.store.embedded import Store
from threatshare.store.sources import Source

GOAL = 20_000
"""Objects a second."""
_PROFILED = 40_000
_LOOKED_UP = 15


class MadeFeed:
    """A feed that makes envelopes as they are asked for, off the clock, and splits them as a TAXII client does."""

    def __init__(self, clock: Clock, count: int, size: int, seed: int) -> None:
        self._clock, self._count, self._size, self._seed = clock, count, size, seed
        self.bytes = 0

    def pages(self, cursor: str | None, at: Micros) -> Iterator[Page]:
        """Yields pages; the cursor is the page's number."""
        made = pages(self._count, self._size, self._seed)
        number = 0
        while True:
            with self._clock.aside():
                objects = next(made, None)
                envelope = b'{"more":true,"next":"x","objects":[' + b",".join(objects or ()) + b"]}"
            if objects is None:
                return
            number += 1
            self.bytes += len(envelope)
            yield Page(split_envelope(envelope)[0], str(number), len(envelope))


class MadeEvents:
    """A MISP feed that makes events as they are asked for, off the clock, and converts them as the client does."""

    def __init__(self, clock: Clock, count: int, size: int, seed: int) -> None:
        self._clock, self._count, self._size, self._seed = clock, count, size, seed

    def pages(self, cursor: str | None, at: Micros) -> Iterator[Page]:
        """Yields a page an event."""
        rng = random.Random(self._seed)
        for number in range(self._count // self._size):
            with self._clock.aside():
                text = misp_event(rng, self._size)
            made = [one for event in events_of(text) for one in objects_of(event)]
            rejects = [one for one in made if isinstance(one, Reject)]
            yield Page([one for one in made if not isinstance(one, Reject)], str(number), len(text), rejects)


def misp_event(rng: random.Random, size: int) -> bytes:
    """Gives a MISP event of as many attributes, as a feed publishes it."""

    def attribute() -> dict[str, object]:
        number = rng.getrandbits(64)
        kind, value = rng.choice(
            (
                ("ip-dst", ".".join(str(part) for part in (20 + number % 70, *(number >> 8).to_bytes(7)[:3]))),
                ("domain", f"h{number:x}.net"),
                ("url", f"http://h{number:x}.net/path/{number & 0xFFFF}/index.php"),
                ("sha256", f"{number:064x}"),
            )
        )
        told = {"uuid": str(UUID(int=rng.getrandbits(128), version=4)), "type": kind, "value": value, "to_ids": True}
        return told | {"category": "Network activity", "timestamp": "1793491200", "comment": "", "distribution": "5"}

    maker = {"name": "Benchmark", "uuid": str(UUID(int=7, version=4))}
    event = {"uuid": str(UUID(int=rng.getrandbits(128), version=4)), "info": "An event", "timestamp": "1793491200"}
    event |= {"date": "2026-11-01", "threat_level_id": "4", "analysis": "0", "distribution": "0"}
    told = event | {"Orgc": maker, "Tag": [{"name": "tlp:green"}], "Attribute": [attribute() for _ in range(size)]}
    return msgspec.json.encode({"Event": told})


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=1_000_000)
    parser.add_argument("--page", type=int, default=1_000)
    parser.add_argument("--json", type=Path, default=Path("build/bench_pull.jsonl"))
    options, _ = parser.parse_known_args()
    directory = Path(tempfile.mkdtemp(prefix="threatshare-bench-"))
    try:
        table = Table(options.json, "objects")
        store = make_store(directory)
        measure(store, table, options.objects, options.page)
        profile(store, ready(store, options.page, _PROFILED), ready(store, options.page, _PROFILED))
        store.checkpoint()
        store.close()
        peers(options.page)
        _lookup(directory)
    finally:
        shutil.rmtree(directory)


def measure(store: Store, table: Table, count: int, size: int) -> None:
    """Fills a store and adds to the table what that took, at its beginning, at its end, again, and from MISP."""
    source = store.source("bench", "feed", "B", Tlp.GREEN)
    part = max(size, count // 10 // size * size)
    table.add(_pulled(store, source, "TAXII pages, all new", part, size, seed=1))
    if count > part:
        table.add(_pulled(store, source, "the rest of the store", count - part, size, seed=2))
    table.add(_pulled(store, source, "TAXII pages, all new", part, size, seed=3))
    before = store.conn.total_changes
    table.add(_pulled(store, source, "the same again, unchanged", part, size, seed=3))
    print(f"{'':<44}rows written by that: {store.conn.total_changes - before}")
    clock = Clock()
    held = stored(store)
    misp = store.source("misp", "feed", "B", Tlp.GREEN)
    report = pull(store, misp, MadeEvents(clock, part, size, seed=4), OUR_IDENTITY, now, go_on)
    table.add(_figure("MISP events, an object an attribute", held, report, clock))


def _pulled(store: Store, source: Source, what: str, count: int, size: int, seed: int) -> Figure:
    held, clock = stored(store), Clock()
    report = pull(store, source, MadeFeed(clock, count, size, seed), OUR_IDENTITY, now, go_on)
    # What the last batch left in the log, its thread brings into the file: that is part of the work.
    store.checkpoint()
    return _figure(what, held, report, clock)


def _figure(what: str, held: int, report: FeedReport, clock: Clock) -> Figure:
    seconds, cpu = clock.read()
    assert report.error is None
    assert report.rejected == 0, report
    return Figure(what, held, report.objects, seconds, cpu, GOAL)


def ready(store: Store, size: int, count: int) -> Callable[[], int]:
    """Makes pages that were never pulled before; gives what pulls them and gives how many objects that was."""
    seed = next(_SEEDS)
    made = [b'{"objects":[' + b",".join(objects) + b"]}" for objects in pages(count, size, seed)]
    source = store.source("bench", "feed", "B", Tlp.GREEN)
    return lambda: pull(store, source, _Ready(made, seed), OUR_IDENTITY, now, go_on).objects


_SEEDS = itertools.count(5)


class _Ready:
    """A feed whose envelopes are made already, and split as they are asked for."""

    def __init__(self, made: list[bytes], seed: int) -> None:
        self._made, self._seed = made, seed

    def pages(self, cursor: str | None, at: Micros) -> Iterator[Page]:
        """Yields them."""
        for number, envelope in enumerate(self._made):
            yield Page(split_envelope(envelope)[0], f"{self._seed}-{number}", len(envelope))


def peers(size: int) -> None:
    """Parses one page with the libraries that a user would otherwise take: parsed only, nothing merged or stored."""
    print(f"\nbeside it, parsing alone of {size} objects in the process")
    objects = next(pages(size, size, seed=2))
    envelope = b'{"objects":[' + b",".join(objects) + b"]}"
    began = time.process_time()
    split_envelope(envelope)
    print(f"{'this node: split into objects':<44}{size / (time.process_time() - began):>12,.0f} objects/s")
    try:
        import stix2
    except ImportError as problem:
        print(f"stix2: skipped, {problem}")
    else:
        began = time.process_time()
        for one in msgspec.json.decode(envelope)["objects"]:
            stix2.parse(one)
        print(f"{'stix2.parse':<44}{size / (time.process_time() - began):>12,.0f} objects/s")
    event = misp_event(random.Random(2), size)
    began = time.process_time()
    made = [one for some in events_of(event) for one in objects_of(some)]
    print(f"{'this node: MISP event to STIX':<44}{len(made) / (time.process_time() - began):>12,.0f} objects/s")
    try:
        from pymisp import MISPEvent
    except ImportError as problem:
        print(f"pymisp: skipped, {problem}; it comes with the development tools (misp-stix)")
        return
    began = time.process_time()
    read = MISPEvent()
    read.load(event)
    print(f"{'pymisp, MISPEvent.load':<44}{len(read.attributes) / (time.process_time() - began):>12,.0f} objects/s")


def _lookup(directory: Path) -> None:
    objects = next(pages(1_000, 1_000, seed=1))[:_LOOKED_UP]
    values = [read_pattern(msgspec.json.decode(one)["pattern"])[0].value for one in objects]
    command = [sys.executable, "-m", "threatshare", "--node", str(directory), "lookup"]
    times = []
    for value in values:
        began = time.perf_counter()
        done = subprocess.run([*command, value], check=False, capture_output=True)
        times.append((time.perf_counter() - began) * 1000)
        assert done.returncode == 0, (value, done.stderr)
    print(f"\nlookup as a whole process, {len(times)} values, milliseconds")
    print(f"min {min(times):.0f}   median {statistics.median(times):.0f}   max {max(times):.0f}")
    bare = []
    for _ in range(5):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import click"], check=True)
        bare.append((time.perf_counter() - began) * 1000)
    print(f"beside it, python with nothing but click imported: median {statistics.median(bare):.0f}")


if __name__ == "__main__":
    main()
