"""Pull: from the JSON bytes of pages to merged, scored and committed; and lookup as a whole process.

    python tests/benchmarks/bench_pull.py [--objects 1000000] [--page 1000]

One feed of generated indicators is pulled into an empty store; the rate is shown for each tenth, so that
growth with what is stored can be seen. Then the last pages are pulled again unchanged, the same pages are
parsed with stix2 (what a user would otherwise take), and lookup is run as a process.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import msgspec
from generated import pages

from threatshare.model import Micros, Tally, Tlp
from threatshare.ports import Page
from threatshare.pull import pull
from threatshare.stix.received import split_envelope
from threatshare.store.embedded import Store
from threatshare.store.keys import key_maker, store_secret
from threatshare.triage.benign import known_benign

US = "identity--00000000-0000-4000-8000-000000000001"


class MadeFeed:
    """A feed that makes its pages as they are asked for; the time that takes is kept apart."""

    def __init__(self, count: int, size: int, seed: int) -> None:
        self._count, self._size, self._seed = count, size, seed
        self.making = 0.0
        self.bytes = 0

    def pages(self, cursor: str | None, now: Micros) -> Iterator[Page]:
        """Yields envelopes split as a TAXII client splits them."""
        made = pages(self._count, self._size, self._seed)
        number = 0
        while True:
            started = time.perf_counter()
            objects = next(made, None)
            if objects is None:
                return
            envelope = b'{"more":true,"next":"x","objects":[' + b",".join(objects) + b"]}"
            self.making += time.perf_counter() - started
            self.bytes += len(envelope)
            number += 1
            yield Page(split_envelope(envelope)[0], str(number), len(envelope))


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=1_000_000)
    parser.add_argument("--page", type=int, default=1_000)
    options = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="threatshare-bench-"))
    try:
        _pull(directory, options.objects, options.page)
        _lookup(directory)
    finally:
        shutil.rmtree(directory)


def _pull(directory: Path, count: int, size: int) -> None:
    store = Store(directory / "store.db", lambda one: known_benign(one, "live"))
    source = store.source("bench", "feed", "B", Tlp.GREEN)
    feed = MadeFeed(count, size, seed=1)
    seen = [(0, time.perf_counter(), 0.0)]
    step = max(1, count // 10)

    def note(tally: Tally) -> bool:
        if tally.objects - seen[-1][0] >= step:
            seen.append((tally.objects, time.perf_counter(), feed.making))
        return True

    report = pull(store, source, feed, US, lambda: time.time_ns() // 1000, note)
    took = report.seconds - feed.making
    print(f"\npull, {count:,} indicators of {feed.bytes // count} bytes in pages of {size}, JSON bytes to committed")
    print(f"{'stored':>12} {'objects/s':>10}")
    for (before, at, made), (after, until, made_until) in pairwise(seen):
        print(f"{after:>12,} {(after - before) / (until - at - (made_until - made)):>10,.0f}")
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"all: {report.new / took:,.0f} objects/s; peak memory {rss} MB; rejected {report.rejected}")
    again = MadeFeed(min(count, 100_000), size, seed=1)
    repeated = pull(store, source, again, US, lambda: time.time_ns() // 1000, lambda _: True)
    rate = repeated.objects / (repeated.seconds - again.making)
    print(f"the same {repeated.objects:,} again: {repeated.unchanged:,} unchanged, {rate:,.0f} objects/s")
    store.checkpoint()
    store.close()
    _stix2(size)


def _stix2(size: int) -> None:
    import stix2

    objects = [one.decode() for one in next(pages(size, size, seed=2))]
    started = time.perf_counter()
    for one in objects:
        stix2.parse(one)
    print(f"stix2.parse alone on such a page: {size / (time.perf_counter() - started):,.0f} objects/s")


def _lookup(directory: Path) -> None:
    from threatshare.stix.patterns import read_pattern
    from threatshare.store.connection import open_reader

    conn = open_reader(directory / "store.db")
    key_maker(store_secret(conn))
    count = conn.execute("SELECT count(*) FROM observable").fetchone()[0]
    conn.close()
    values = [
        read_pattern(msgspec.json.decode(one)["pattern"])[0].value for one in next(pages(1_000, 1_000, seed=1))[:15]
    ]
    command = [sys.executable, "-m", "threatshare", "--node", str(directory), "lookup"]
    times = []
    for value in values:
        started = time.perf_counter()
        done = subprocess.run([*command, value], check=False, capture_output=True)
        times.append((time.perf_counter() - started) * 1000)
        assert done.returncode == 0, (value, done.stderr)
    print(f"\nlookup as a whole process at {count:,} observables, {len(times)} values, milliseconds")
    print(f"min {min(times):.0f}   median {statistics.median(times):.0f}   max {max(times):.0f}")
    bare = []
    for _ in range(5):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import click"], check=True)
        bare.append((time.perf_counter() - started) * 1000)
    print(f"beside it, python with nothing but click imported: median {statistics.median(bare):.0f}")


if __name__ == "__main__":
    main()
