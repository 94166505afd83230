"""Push: from a partner's collection in our store to what the partner's server has taken, acknowledged and recorded.

    python tests/benchmarks/bench_push.py [--objects 100000] [--envelope 1000]

A server of ours with two exchange collections runs in a process of its own. One collection is filled by push,
the other by a bare loop that posts the same envelopes, ready made, with requests and records nothing: what the
two differ by is what order, limits, records and checks cost; what both take is the server's.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from functools import partial
from itertools import pairwise
from pathlib import Path

import msgspec
import requests
from generated import pages

from threatshare.config import OwnAssets
from threatshare.model import Collection, CollectionKind, Micros, micros, moment
from threatshare.policy.gate import Audience, Facts
from threatshare.share.app import TaxiiApp, create_app, utc_now
from threatshare.share.connections import Connections
from threatshare.share.outlets import Outlet
from threatshare.share.push import push
from threatshare.share.push_settings import PushSettings
from threatshare.share.push_target import Target, target_of
from threatshare.share.server import Address, serve
from threatshare.share.settings import ServeSettings
from threatshare.stix.received import read_object
from threatshare.store.accounts import add_account
from threatshare.store.collections import add_collection
from threatshare.store.connection import open_reader, open_writer, transaction
from threatshare.store.embedded import Store
from threatshare.store.entries import NewEntry, append_entries
from threatshare.store.parcels import envelope

TAXII = "application/taxii+json;version=2.1"


def taxii(file: Path) -> TaxiiApp:
    """Makes the partner's application, whose members may pass everything on."""
    opened = Connections(partial(open_reader, file), partial(open_writer, file))
    return create_app(opened, ServeSettings(), lambda *_: [], lambda _raw, _received: None)


def main() -> None:
    """Prints the table, or is the partner's server."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=100_000)
    parser.add_argument("--envelope", type=int, default=1_000)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve is not None:
        serve(partial(taxii, options.serve), Address("127.0.0.1", 0, None), 1)
        return
    directory = Path(tempfile.mkdtemp(prefix="threatshare-bench-"))
    try:
        _measure(directory, options.objects, options.envelope)
    finally:
        shutil.rmtree(directory)


def _measure(directory: Path, count: int, size: int) -> None:
    now = micros(utc_now())
    os.environ["BENCH_KEY"] = _partner(directory / "partner.db", now)
    store = Store(directory / "store.db", lambda _: None)
    collection, length = _fill(store, count, now)
    server = subprocess.Popen(
        [sys.executable, __file__, "--serve", str(directory / "partner.db")], stderr=subprocess.PIPE, text=True
    )
    try:
        assert server.stderr is not None
        url = server.stderr.readline().split()[-1]
        settings = PushSettings(
            *(collection.alias, f"{url}/taxii2/", "Pushed"),
            user="bench",
            password_env="BENCH_KEY",
            allow_private_address=True,
            max_objects=size,
        )
        target = target_of("bench", settings, directory, store.conn, [_outlet(collection, now)], utc_now)
        print(f"\npush to an exchange collection on loopback, {count:,} indicators of {length} bytes in {size}s")
        _pushed(store, target, count)
        _bare(store, collection, f"{url}/api/collections/bare/objects/", count, size)
    finally:
        server.terminate()
        server.wait(30)
        store.close()


def _partner(file: Path, now: Micros) -> str:
    conn = open_writer(file)
    with transaction(conn):
        for alias, title in (("pushed", "Pushed"), ("bare", "Bare")):
            add_collection(conn, alias, title, CollectionKind.EXCHANGE, None, now)
        key = add_account(conn, "bench", ["pushed", "bare"], ["pushed", "bare"], now)
    conn.close()
    return key


def _fill(store: Store, count: int, now: Micros) -> tuple[Collection, int]:
    with store.writing() as conn:
        collection = add_collection(conn, "to-partner", "To the partner", CollectionKind.PARTNER, "partner", now)
    length = 0
    for page in pages(count, 1_000, seed=1):
        read = [(raw, read_object(raw)) for raw in page]
        length += sum(map(len, page))
        entries = [NewEntry(one.id, one.version, one.type, "2.1", raw, "") for raw, one in read]
        with store.writing() as conn:
            append_entries(conn, collection, entries, now)
    return collection, length // count


def _outlet(collection: Collection, now: Micros) -> Outlet:
    """Gives whom the collection is for; there is no agreement, since the entries did not come through the gate."""
    facts = Facts(OwnAssets(), "demo", "identity--00000000-0000-4000-8000-000000000001", moment(now).date(), {}, 1)
    return Outlet(collection, Audience(collection.alias, collection.kind, None), facts, b"", now)


def _pushed(store: Store, target: Target, count: int) -> None:
    seen = [(0, time.perf_counter(), _resident())]
    step = max(1, count // 5)

    def note(sent: int) -> bool:
        if sent - seen[-1][0] >= step:
            seen.append((sent, time.perf_counter(), _resident()))
        return True

    started, worked = time.perf_counter(), time.process_time()
    report = push(store, target, lambda: micros(utc_now()), progress=note)
    took, own = time.perf_counter() - started, time.process_time() - worked
    assert (report.status, report.accepted) == ("ok", count), report
    print(f"{'sent':>12} {'objects/s':>10} {'memory MB':>10}")
    for (before, at, _), (after, until, memory) in pairwise(seen):
        print(f"{after:>12,} {(after - before) / (until - at):>10,.0f} {memory:>10}")
    print(f"push: {count / took:,.0f} objects/s; of {took:.1f} s, {own:.1f} s were its own work, the rest the server's")
    again = time.perf_counter()
    push(store, target, lambda: micros(utc_now()))
    print(f"a run with nothing to deliver: {(time.perf_counter() - again) * 1000:.1f} ms")


def _bare(store: Store, collection: Collection, url: str, count: int, size: int) -> None:
    rows = store.conn.execute("SELECT body FROM entry WHERE id >> 40 = ? ORDER BY id", (collection.number,)).fetchall()
    bodies = [bytes(row[0]) for row in rows]
    ready = [envelope(bodies[start : start + size]) for start in range(0, count, size)]
    session = requests.Session()
    session.auth = ("bench", os.environ["BENCH_KEY"])
    started = time.perf_counter()
    for body in ready:
        answer = session.post(url, data=body, headers={"Accept": TAXII, "Content-Type": TAXII}, timeout=60)
        assert answer.status_code == 202, answer.text
        assert msgspec.json.decode(answer.content)["failure_count"] == 0
    print(f"a bare loop with the envelopes ready: {count / (time.perf_counter() - started):,.0f} objects/s")


def _resident() -> int:
    """Gives the memory that this process holds now, in MB."""
    pages_held = int(Path("/proc/self/statm").read_text().split()[1])
    return pages_held * os.sysconf("SC_PAGE_SIZE") // 1024 // 1024


if __name__ == "__main__":
    main()
