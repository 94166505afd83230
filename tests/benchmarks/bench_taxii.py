"""Serving TAXII, side by side in one run: ours, a bare WSGI app with ready bodies, medallion in memory, OpenTAXII.

    python tests/benchmarks/bench_taxii.py [--entries 1000,10000,100000,1000000] [--huge] [--quick] [--json FILE]

All servers of a size run at once, one worker process each, and are asked in turns of a second, so that whatever else
the machine does falls on all of them: read the ratios first. A peer that lets a request wait for longer than
``--patience`` is stopped and not asked again, neither here nor at greater sizes. `--huge` adds 10,000,000 entries,
for us alone; it takes 10 GB of disk. Clients are threads of this process, on the same processors as the servers.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path
from threading import Lock
from typing import Any

import candidates
from candidates import Candidate
from wire import Refused, Times, crowd

from threatshare.store.frames import unframed

PAGE = 1_000
HUGE = 10_000_000
PEER_MOST = {"medallion": 10_000, "opentaxii": 1_000_000}
"""Entries beyond which a peer is not even filled."""
Path_ = Callable[[Candidate], Iterator[str]]


@dataclass(frozen=True, slots=True)
class Request:
    """One kind of request."""

    name: str
    slug: str
    """The bare application's path for it."""
    paths: Path_
    objects: int
    crowded: bool = False
    """Whether many clients ask at once, too."""


def _always(query: str) -> Path_:
    return lambda one: cycle([f"{one.filled.root}{query}"])


def _dated(one: Candidate) -> Iterator[str]:
    return (f"{one.filled.root}objects/?limit={PAGE}&added_after={date}" for date in cycle(one.filled.dates))


def _near_end(one: Candidate) -> Iterator[str]:
    return cycle([f"{one.filled.root}objects/?limit={PAGE}&added_after={one.filled.near_end}"])


def _each(form: str) -> Path_:
    return lambda one: (one.filled.root + form.format(name) for name in cycle(one.filled.ids))


REQUESTS = (
    Request("first page, again and again", "page", _always(f"objects/?limit={PAGE}"), PAGE, True),
    Request("a page anywhere, never asked for", "page", _dated, PAGE, True),
    Request("added_after, 100 before the end", "news", _near_end, 100, True),
    Request("object by id", "one", _each("objects/{}/"), 1, True),
    Request("match[id]", "one", _each("objects/?match[id]={}"), 1),
    Request("manifest of 1000", "manifest", _always(f"manifest/?limit={PAGE}"), PAGE),
)


class Results:
    """What was measured, as a table on stdout and as JSON lines in a file."""

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self._file = file.open("a", encoding="utf-8")
        self._floors: dict[tuple[str, int], float] = {}
        self._title = ""

    def times(self, entries: int, request: Request, clients: int, name: str, times: Times) -> None:
        """Notes requests that were all answered."""
        floor = self._floors.setdefault((f"{entries} {request.name}", clients), times.at(0.5))
        rate = len(times.taken) / times.lasted
        row = {
            "x_bare": round(times.at(0.5) / floor, 2),
            "p50_ms": round(times.at(0.5) * 1e3, 2),
            "p99_ms": round(times.at(0.99) * 1e3, 2),
            "requests_s": round(rate),
            "objects_s": round(rate * request.objects),
        }
        self.row(entries, f"{request.name}, {clients} at once", name, row)

    def row(self, entries: int, what: str, name: str, figures: dict[str, Any]) -> None:
        """Notes anything."""
        if what != self._title:
            print(f"\n{what}  ({entries:,} entries)")
            self._title = what
        print(f"  {name:<12}" + "  ".join(f"{key} {value:,}" if not isinstance(value, str) else value
                                           for key, value in figures.items()), flush=True)  # fmt: skip
        print(json.dumps({"entries": entries, "what": what, "server": name, **figures}), file=self._file, flush=True)

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


@dataclass(frozen=True, slots=True)
class Plan:
    """How long is measured."""

    turns: int
    seconds: float
    """Of a turn."""
    patience: float
    drain: int
    """Objects that a drain reads at most."""
    posts: int
    crowds: tuple[int, ...] = (1, 8, 32)


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", default="1000,10000,100000,1000000", help="sizes, separated by commas")
    parser.add_argument("--huge", action="store_true", help=f"adds {HUGE:,} entries")
    parser.add_argument("--quick", action="store_true", help="short turns, to see that it runs")
    parser.add_argument("--patience", type=float, default=30.0, help="seconds that one answer may take")
    parser.add_argument("--without", default="", help="peers to leave out, separated by commas")
    parser.add_argument("--json", type=Path, default=Path("build/bench_taxii.jsonl"))
    options, _ = parser.parse_known_args()
    sizes = [int(size) for size in options.entries.split(",")] + ([HUGE] if options.huge else [])
    plan = Plan(1, 0.2, options.patience, 20_000, 2) if options.quick else Plan(3, 1.0, options.patience, 1_000_000, 20)
    results = Results(options.json)
    # Whoever stops it stops the servers, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    folder = Path(tempfile.mkdtemp(prefix="threatshare-bench-"))
    try:
        print(
            f"{platform.platform()}, {os.cpu_count()} CPUs, Python {platform.python_version()}; load {os.getloadavg()}"
        )
        peers = _peers(folder, set(filter(None, options.without.split(","))), results)
        for size in sizes:
            place = folder / str(size)
            place.mkdir()
            _size(place, size, plan, peers, results)
            shutil.rmtree(place)
    finally:
        results.close()
        shutil.rmtree(folder)


def _peers(folder: Path, without: set[str], results: Results) -> dict[str, Callable[..., Candidate]]:
    """Gives the peers that can be had; the rest are skipped with a word."""
    peers: dict[str, Callable[..., Candidate]] = {"medallion": candidates.medallion}
    if "opentaxii" not in without:
        try:
            peers["opentaxii"] = partial(candidates.opentaxii, python=candidates.opentaxii_python(folder))
        except (OSError, subprocess.SubprocessError) as problem:
            said = getattr(problem, "stderr", "") or str(problem)
            results.row(0, "skipped", "opentaxii", {"why": f"cannot be installed: {str(said).strip()[-300:]}"})
    return {name: make for name, make in peers.items() if name not in without}


def _size(folder: Path, size: int, plan: Plan, peers: dict[str, Callable[..., Candidate]], results: Results) -> None:
    """Measures everything at one size."""
    with ExitStack() as stack:
        began = time.perf_counter()
        ours = candidates.ours(folder, size, plan.patience)
        stack.callback(ours.close)
        filled = {
            "filled_s": round(time.perf_counter() - began, 1),
            "store_mb": _megabytes(folder / "node" / "store.db"),
        }
        results.row(size, "a node", "ours", {**filled, **_memory(ours)})
        results.row(size, "its first page", "ours", {"ms": round(_first_page(ours) * 1e3, 2), **_memory(ours)})
        floor = candidates.bare(folder, _bodies(ours), plan.patience)
        stack.callback(floor.close)
        running = [floor, ours]
        for name in list(peers):
            if size > PEER_MOST[name]:
                continue
            peer_folder = folder / name
            peer_folder.mkdir()
            running.append(peers[name](peer_folder, size, plan.patience))
            stack.callback(running[-1].close)
        for one in running[1:]:
            _drains(one, size, plan, results)
        for request in REQUESTS:
            for clients in plan.crowds if request.crowded else (1,):
                _measure(request, clients, size, running, plan, results)
        for one in running[1:]:
            _posts(one, size, plan, results)
        for one in running:
            if one.given_up:
                peers.pop(one.name, None)
            elif one.process.poll() is None:
                results.row(size, "memory of the worker at the end", one.name, _memory(one))


def _measure(
    request: Request, clients: int, size: int, running: Sequence[Candidate], plan: Plan, results: Results
) -> None:
    times: dict[str, list[Times]] = {}
    for _ in range(plan.turns):
        for one in running:
            if one.given_up:
                continue
            asked = one.begun.setdefault(request.name, (Lock(), _paths(request, one)))
            try:
                got = crowd(one.wire, [_shared(asked) for _ in range(clients)], 100_000, plan.seconds)
            except (OSError, Refused) as problem:
                _give_up(one, size, f"{request.name}, {clients} at once", problem, results)
                continue
            times.setdefault(one.name, []).append(got)
    for name, turns in times.items():
        whole = Times([one for turn in turns for one in turn.taken], sum(turn.lasted for turn in turns))
        results.times(size, request, clients, name, whole)


def _paths(request: Request, one: Candidate) -> Iterator[str]:
    return cycle([f"/{request.slug}"]) if one.name == "bare" else request.paths(one)


def _shared(asked: tuple[Lock, Iterator[str]]) -> Iterator[str]:
    """Lets threads take turns at a generator, so that no two ask for the same."""
    lock, paths = asked
    while True:
        with lock:
            path = next(paths)
        yield path


def _give_up(one: Candidate, size: int, what: str, problem: Exception, results: Results) -> None:
    slow = isinstance(problem, TimeoutError)
    one.given_up = f"did not finish in {one.patience:.0f} s" if slow else f"failed: {problem}"
    results.row(size, what, one.name, {"why": one.given_up})
    one.close()


def _first_page(one: Candidate) -> float:
    wire = one.wire()
    began = time.perf_counter()
    wire.get(f"{one.filled.root}objects/?limit={PAGE}")
    taken = time.perf_counter() - began
    wire.close()
    return taken


def _bodies(ours: Candidate) -> dict[str, bytes]:
    """Asks us once for each kind of body that the bare application is to have ready."""
    wire = ours.wire()
    bodies = {request.slug: wire.get(next(request.paths(ours))) for request in REQUESTS}
    wire.close()
    return bodies


DRAINS: tuple[tuple[str, str, Callable[[bytes], object]], ...] = (
    ("bytes", "identity", len),
    ("json.loads", "identity", json.loads),
    ("gzip and json.loads", "gzip", json.loads),
    ("zstd and json.loads", "zstd", json.loads),
)
"""What a client asks for and does with a page; peers compress nothing."""


def _drains(one: Candidate, size: int, plan: Plan, results: Results) -> None:
    """Reads a collection from its beginning, within a minute: bytes alone, and as a client that parses them."""
    for label, coding, read in DRAINS:
        if one.given_up or (coding != "identity" and one.name != "ours"):
            continue
        try:
            results.row(size, f"drain, {label}", one.name, _drained(one, coding, read, plan.drain))
        except (OSError, Refused) as problem:
            _give_up(one, size, f"drain, {label}", problem, results)
            return
        results.row(size, f"memory after the drain, {label}", one.name, _memory(one))


def _drained(one: Candidate, coding: str, read: Callable[[bytes], object], most: int) -> dict[str, Any]:
    wire, count, received, reading, after = one.wire(Accept_Encoding=coding), 0, 0, 0.0, ""
    opened = {"gzip": gzip.decompress, "zstd": unframed}.get(coding, bytes)
    began = time.perf_counter()
    try:
        while count < most and time.perf_counter() - began < 60:
            body = wire.get(f"{one.filled.root}objects/?limit={PAGE}{after}")
            received += len(body)
            at = time.perf_counter()
            body = opened(body)
            read(body)
            reading += time.perf_counter() - at
            count += body.count(b'"pattern_type"')
            token = re.search(rb'"next": ?"([^"]+)"', body)
            if token is None:
                break
            after = f"&next={token[1].decode()}"
    finally:
        wire.close()
    lasted = time.perf_counter() - began
    rates = {"objects_s": round(count / lasted), "reading_share": round(reading / lasted, 2)}
    return {"objects": count, **rates, "received_mb": round(received / 1e6, 1)}


def _posts(one: Candidate, size: int, plan: Plan, results: Results) -> None:
    """Posts envelopes of 1000 objects, within a minute or so; all of them must be taken."""
    for label, path in (("", f"{one.filled.root}objects/"), (" to an inbox", one.filled.inbox)):
        if one.given_up or not path:
            continue
        wire, taken = one.wire(), 0
        bodies = candidates.envelopes(plan.posts * PAGE, PAGE, 2 + len(label))
        began = time.perf_counter()
        try:
            for body in bodies:
                status = json.loads(wire.post(path, body))
                taken += status["success_count"]
                if time.perf_counter() - began > plan.patience:
                    break
        except (OSError, Refused) as problem:
            _give_up(one, size, f"POST{label}", problem, results)
            return
        finally:
            wire.close()
        figures: dict[str, Any] = {"objects": taken, "objects_s": round(taken / (time.perf_counter() - began))}
        if status["failure_count"]:
            figures["why"] = str(status["failures"][0]["message"])
        results.row(size, f"POST of {PAGE}{label}, with validation", one.name, figures)


def _memory(one: Candidate) -> dict[str, int]:
    peak, uss = one.memory()
    return {"peak_rss_mb": round(peak), "uss_mb": round(uss)}


def _megabytes(file: Path) -> int:
    return round(file.stat().st_size / 1e6)


if __name__ == "__main__":
    main()
