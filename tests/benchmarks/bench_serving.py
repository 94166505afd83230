"""Serving: a TAXII page of 1000 objects beside a bare WSGI app that returns the same bytes from memory.

    python tests/benchmarks/bench_serving.py [--entries 10000,1000000] [--rounds 300] [--medallion 1000]

All servers run at once under the same HTTP server, each in a process of its own, and are asked in turn over one
connection each, so that whatever else the machine does falls on all of them. Pages are taken at random
places. Beside that: other requests, whole drains, and medallion's own memory backend at the size it can bear.
"""

from __future__ import annotations

import argparse
import base64
import json
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import msgspec
from generated import pages

from threatshare.model import CollectionKind, micros
from threatshare.share.app import create_app, utc_now
from threatshare.share.connections import Connections
from threatshare.share.positions import write_position
from threatshare.share.server import Address, serve
from threatshare.share.settings import ServeSettings
from threatshare.stix.received import read_object
from threatshare.store.accounts import add_account
from threatshare.store.collections import add_collection
from threatshare.store.connection import open_reader, open_writer, transaction
from threatshare.store.entries import NewEntry, append_entries
from threatshare.store.pages import EntryFilter
from threatshare.store.settings import NEXT_KEY, read_secret

PAGE = 1_000
OBJECTS = "/api/collections/bench/objects/"
TAXII = "application/taxii+json;version=2.1"


class Bare:
    """The least that a server can do: a ready page."""

    def __init__(self, page: bytes) -> None:
        self._page = page
        self._headers = [("Content-Type", TAXII), ("Content-Length", str(len(page)))]

    def __call__(self, _environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answers every request alike."""
        start_response("200 OK", self._headers)
        return [self._page]

    def close(self) -> None:
        """Has nothing to close."""


def taxii(file: Path) -> Any:
    """Makes our application over a store."""
    opened = Connections(partial(open_reader, file), partial(open_writer, file))
    return create_app(opened, ServeSettings(), lambda *_: [], lambda *_: None)


def medallion(file: Path) -> Any:
    """Makes medallion's own application with its memory backend, filled from a file of objects."""
    from medallion import application_instance, register_blueprints, set_config

    data = json.loads(file.read_text())
    configuration = {
        "backend": {
            "module": "medallion.backends.memory_backend",
            "module_class": "MemoryBackend",
            "filename": str(file),
        },
        "users": {"soc": data["key"]},
        "taxii": {"max_page_size": PAGE},
    }
    for name in configuration:
        set_config(application_instance, name, configuration)
    register_blueprints(application_instance)
    application_instance.close = lambda: None
    return application_instance


class Client:
    """One connection to one server, which is started for it."""

    def __init__(self, kind: str, file: Path, key: str = "") -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--run", kind, str(file)], stderr=subprocess.PIPE, text=True
        )
        assert self._process.stderr is not None
        line = self._process.stderr.readline()
        self.last = b""
        self._connection = HTTPConnection("127.0.0.1", int(line.rpartition(":")[2]))
        credentials = base64.b64encode(f"soc:{key}".encode()).decode()
        self._headers = {"Accept": TAXII, "Authorization": f"Basic {credentials}"}

    def get(self, path: str) -> tuple[float, bytes]:
        """Asks once; gives seconds and the body."""
        began = time.perf_counter()
        self._connection.request("GET", path, headers=self._headers)
        answer = self._connection.getresponse()
        body = self.last = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{path}: {answer.status} {body[:200]!r}")
        return time.perf_counter() - began, body

    def memory(self) -> float:
        """Gives the memory of the worker in MB that is not mapped files."""
        pid = self._process.pid
        child = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0]
        rows = dict(line.split(":", 1) for line in Path(f"/proc/{child}/status").read_text().splitlines())
        return int(rows["RssAnon"].split()[0]) / 1024

    def close(self) -> None:
        """Ends the server."""
        self._connection.close()
        self._process.terminate()
        self._process.wait()


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", default="10000,1000000", help="numbers of entries, separated by commas")
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument(
        "--medallion", type=int, default=1_000, help="objects in medallion's memory backend; 0: without"
    )
    parser.add_argument("--run", nargs=2, help=argparse.SUPPRESS)
    options, _ = parser.parse_known_args()
    if options.run:
        _run(options.run[0], Path(options.run[1]))
        return
    directory = Path(tempfile.mkdtemp(prefix="threatshare-bench-"))
    try:
        sizes = [int(size) for size in options.entries.split(",")]
        _compare(directory, sizes, options.rounds)
        if options.medallion:
            _medallion(directory, options.medallion)
    finally:
        shutil.rmtree(directory)


def _run(kind: str, file: Path) -> None:
    made = {"taxii": lambda: taxii(file), "bare": lambda: Bare(file.read_bytes()), "medallion": lambda: medallion(file)}
    serve(made[kind], Address("127.0.0.1", 0))


def fill(file: Path, count: int) -> str:
    """Makes a store with a collection of so many entries, which account ``soc`` may read and write; gives its key."""
    conn = open_writer(file)
    with transaction(conn):
        collection = add_collection(conn, "bench", "Bench", CollectionKind.EXCHANGE, None, 0)
        key = add_account(conn, "soc", ["bench"], ["bench"], 0)
    for objects in pages(count, min(count, 10_000), 1):
        entries = [_entry(raw) for raw in objects]
        with transaction(conn):
            append_entries(conn, collection, entries, micros(utc_now()))
    conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    conn.close()
    return key


def _entry(raw: bytes) -> NewEntry:
    read = read_object(raw)
    return NewEntry(read.id, read.version, read.type, read.spec_version or "2.1", raw, "")


def _positions(file: Path, count: int) -> list[str]:
    conn = open_reader(file)
    key = read_secret(conn, NEXT_KEY)
    assert key is not None
    rng = random.Random(7)
    places = [rng.randrange(0, max(1, count - PAGE)) for _ in range(1_000)]
    conn.close()
    return [write_position(key, 1, place, EntryFilter()) for place in places]


def _compare(directory: Path, sizes: Sequence[int], rounds: int) -> None:
    with ExitStack() as stack:
        stores: dict[str, Client] = {}
        anywhere: dict[str, list[str]] = {}
        for size in sizes:
            file, name = directory / f"{size}.db", f"{size:,} entries"
            stores[name] = Client("taxii", file, fill(file, size))
            stack.callback(stores[name].close)
            anywhere[name] = [f"{OBJECTS}?limit={PAGE}&next={token}" for token in _positions(file, size)]
        page = next(iter(stores.values())).get(f"{OBJECTS}?limit={PAGE}")[1]
        ready = directory / "page.json"
        ready.write_bytes(page)
        bare = Client("bare", ready)
        stack.callback(bare.close)
        print(f"{len(page) // PAGE} bytes an object, pages of {PAGE} ({len(page):,} bytes), {rounds} rounds in turn\n")
        again = {name: [f"{OBJECTS}?limit={PAGE}"] for name in stores}
        print(f"{'page of 1000':<50}{'p50 ms':>9}{'p99 ms':>9}{'x bare':>8}")
        _pages_table("the same page", stores, again, bare, rounds)
        _pages_table("the next page", stores, {}, bare, rounds)
        _pages_table("a page anywhere, never asked for", stores, anywhere, bare, rounds)
        print("memory, MB: " + ", ".join(f"{name} {client.memory():.0f}" for name, client in stores.items()) + "\n")
        _requests_table(stores, rounds // 3)
        for name, client in stores.items():
            _drain(name, client)


def _pages_table(label: str, stores: dict[str, Client], paths: dict[str, list[str]], bare: Client, rounds: int) -> None:
    """Prints what a page takes; without paths each store is read on from page to page, over and over."""
    asked = {name: iter(_cycle(paths[name]) if paths else _following(client)) for name, client in stores.items()}
    asked["bare app"] = iter(_cycle(["/"]))
    times = _in_turn({"bare app": bare, **stores}, asked, rounds)
    floor = statistics.median(times["bare app"])
    for name, taken in times.items():
        middle, late = statistics.median(taken), sorted(taken)[int(len(taken) * 0.99)]
        row = f"{label}, {name}"
        print(f"{row:<50}{middle * 1e3:>9.2f}{late * 1e3:>9.2f}{middle / floor:>8.2f}")


def _cycle(paths: Sequence[str]) -> Iterator[str]:
    while True:
        yield from paths


def _following(client: Client) -> Iterator[str]:
    while True:
        path = f"{OBJECTS}?limit={PAGE}"
        yield path
        while (token := _next(client.last)) is not None:
            yield f"{path}&next={token}"


def _next(body: bytes) -> str | None:
    found = re.match(rb'\{"more":true,"next":"([^"]+)"', body)
    return None if found is None else found[1].decode()


def _in_turn(clients: dict[str, Client], paths: dict[str, Iterator[str]], rounds: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in clients}
    for number in range(-20, rounds):
        for name, client in clients.items():
            taken, _ = client.get(next(paths[name]))
            if number >= 0:
                times[name].append(taken)
    return times


def _requests_table(ours: dict[str, Client], rounds: int) -> None:
    firsts = {name: client.get(f"{OBJECTS}?limit={PAGE}")[1] for name, client in ours.items()}
    ids = {name: [one["id"] for one in json.loads(first)["objects"]] for name, first in firsts.items()}
    requests: dict[str, Callable[[str], str]] = {
        "first page of 100": lambda _: f"{OBJECTS}?limit=100",
        "page of 10,000": lambda _: f"{OBJECTS}?limit=10000",
        "one by id": lambda name: f"{OBJECTS}{random.choice(ids[name])}/",
        "match[id]": lambda name: f"{OBJECTS}?match[id]={random.choice(ids[name])}",
        "match[type] of none": lambda _: f"{OBJECTS}?match[type]=malware",
        "all versions": lambda _: f"{OBJECTS}?match[version]=all&limit={PAGE}",
        "manifest of 1000": lambda _: f"{OBJECTS.replace('objects', 'manifest')}?limit={PAGE}",
        "nothing new": lambda _: f"{OBJECTS}?added_after=2090-01-01T00:00:00Z",
    }
    print(f"{'p50 ms':<22}" + "".join(f"{name:>20}" for name in ours))
    for label, path in requests.items():
        times = _in_turn(ours, {name: iter(_cycle([path(name)])) for name in ours}, rounds)
        print(f"{label:<22}" + "".join(f"{statistics.median(taken) * 1e3:>20.2f}" for taken in times.values()))
    print()


def _drain(name: str, client: Client) -> None:
    for label, read in (("bytes only", len), ("with msgspec", msgspec.json.decode), ("with json", json.loads)):
        began, count, after = time.perf_counter(), 0, ""
        while True:
            body = client.get(f"{OBJECTS}?limit={PAGE}{after}")[1]
            read(body)
            count += PAGE
            token = _next(body)
            if token is None or count >= 200_000:
                break
            after = f"&next={token}"
        print(f"drain of {count:,} of {name}, {label}: {count / (time.perf_counter() - began):,.0f} objects/s")
    print()


def _medallion(directory: Path, count: int) -> None:
    objects = [json.loads(raw) for page in pages(count, count, 1) for raw in page]
    added = [{**one, "_date_added": f"2026-11-01T00:00:{place / 1e6:09.6f}Z"} for place, one in enumerate(objects)]
    collection = {"id": "bench", "title": "Bench", "can_read": True, "can_write": False, "media_types": [TAXII]}
    root = {
        "information": {"title": "x", "versions": [TAXII], "max_content_length": 1 << 20},
        "status": [],
        "collections": [{**collection, "objects": added, "manifest": [_record(one) for one in added]}],
    }
    file = directory / "medallion.json"
    file.write_text(json.dumps({"key": "k", "/discovery": {"title": "x", "api_roots": []}, "api": root}))
    client = Client("medallion", file, "k")
    times = [client.get(f"{OBJECTS}?limit={PAGE}")[0] for _ in range(3)]
    client.close()
    print(f"medallion's memory backend at {count:,} objects, page of {PAGE}: {statistics.median(times) * 1e3:,.0f} ms")


def _record(one: dict[str, Any]) -> dict[str, Any]:
    media_type = "application/stix+json;version=2.1"
    return {"id": one["id"], "date_added": one["_date_added"], "version": one["modified"], "media_type": media_type}


if __name__ == "__main__":
    main()
