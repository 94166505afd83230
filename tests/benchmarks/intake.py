"""What the benchmarks of taking in share: rates without the time of making what is taken in, a table, profiles.

Rates are of wall time, which holds what a commit waits for the disk. Beside them stands processor time, which other
programs on the machine change less.
"""

from __future__ import annotations

import cProfile
import json
import os
import pstats
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

from threatshare.model import Micros, Tally
from threatshare.store.connection import Connection
from threatshare.store.embedded import Store
from threatshare.triage.benign import known_benign

OUR_IDENTITY = "identity--00000000-0000-4000-8000-000000000001"
_SHOWN = 14
_SELECTS = ("SELECT", "WITH")


@dataclass(slots=True)
class Clock:
    """Wall and processor seconds; what runs under ``aside`` does not count."""

    _wall: float = field(default_factory=time.perf_counter)
    _cpu: float = field(default_factory=time.process_time)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Stops the clock for as long as what is measured is still to be made."""
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            self._wall += time.perf_counter() - wall
            self._cpu += time.process_time() - cpu

    def read(self) -> tuple[float, float]:
        """Gives the wall and processor seconds since it was made."""
        return time.perf_counter() - self._wall, time.process_time() - self._cpu


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table."""

    what: str
    stored: int
    """Observables in the store before."""
    count: int
    """Objects or rows."""
    seconds: float
    cpu: float
    goal: int | None = None
    """Objects or rows a second that are wanted."""

    @property
    def rate(self) -> float:
        """How many a second."""
        return self.count / self.seconds


class Table:
    """Prints figures as they are measured, and writes a JSON line for each."""

    def __init__(self, file: Path, unit: str) -> None:
        """``unit``: what is counted, in the plural."""
        file.parent.mkdir(parents=True, exist_ok=True)
        self._file = file.open("w")
        self._load = os.getloadavg()[0]
        print(f"\nload average {self._load:.1f} on {os.cpu_count()} processors, this one process not counted")
        print(f"{'':<44}{'stored':>10}{unit + '/s':>12}{'CPU µs':>8}{'of goal':>9}{'peak MB':>9}")

    def add(self, figure: Figure) -> None:
        """Prints a line."""
        goal = f"{figure.rate / figure.goal:.2f}" if figure.goal else ""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        each = figure.cpu / figure.count * 1e6
        print(f"{figure.what:<44}{figure.stored:>10,}{figure.rate:>12,.0f}{each:>8.1f}{goal:>9}{peak:>9}", flush=True)
        told = asdict(figure) | {"rate": figure.rate, "peak_mb": peak, "load": self._load}
        print(json.dumps(told), file=self._file, flush=True)


def make_store(directory: Path) -> Store:
    """Makes the store of a live node without networks of its own."""
    return Store(directory / "store.db", lambda one: known_benign(one, "live"))


def now() -> Micros:
    """Gives the time in microseconds."""
    return time.time_ns() // 1000


def stored(store: Store) -> int:
    """Counts observables."""
    return int(store.conn.execute("SELECT count(*) FROM observable").fetchone()[0])


def go_on(tally: Tally) -> bool:
    """Lets a run go on."""
    return True


class _Rows(list[Any]):
    """Rows that are read already."""

    def fetchone(self) -> Any:
        return self[0] if self else None

    def fetchall(self) -> list[Any]:
        return self


class TimedConnection:
    """Passes statements on to a connection and adds up the processor time that each takes, its rows read at once."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn
        self.seconds: dict[str, float] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._conn, name)

    def execute(self, statement: str, *values: Any) -> Any:
        """Runs a statement."""
        return self._timed(self._conn.execute, statement, values)

    def executemany(self, statement: str, *values: Any) -> Any:
        """Runs a statement for each of many rows."""
        return self._timed(self._conn.executemany, statement, values)

    def _timed(self, run: Callable[..., Any], statement: str, values: tuple[Any, ...]) -> Any:
        began = time.process_time()
        done = run(statement, *values)
        if statement.startswith(_SELECTS):
            done = _Rows(done.fetchall())
        what = " ".join(statement.split())
        self.seconds[what] = self.seconds.get(what, 0.0) + time.process_time() - began
        return done


def profile(store: Store, work: Callable[[], int], again: Callable[[], int]) -> None:
    """Runs work that gives how many it took in, and prints what of its processor time went where.

    Functions of Python are slowed by being watched, statements of SQLite are not: the two tables are of two runs,
    ``work`` and ``again``, each of what was never taken in before.
    """
    plain = store.conn
    timed = TimedConnection(plain)
    store.conn = cast(Connection, timed)
    try:
        clock = Clock()
        count = work()
        seconds = clock.read()[1]
    finally:
        store.conn = plain
    print(f"\nstatements, CPU µs each of {seconds / count * 1e6:.1f} in all")
    _lines(sorted(((took / count, what[:90]) for what, took in timed.seconds.items()), reverse=True)[:_SHOWN])
    watch = cProfile.Profile()
    count = watch.runcall(again)
    rows = cast("dict[Any, tuple[int, int, float, float, Any]]", pstats.Stats(watch).stats)  # type: ignore[attr-defined]
    print("\nfunctions under cProfile, own time, µs each")
    found = sorted(((row[2] / count, _place(*at)) for at, row in rows.items()), reverse=True)
    _lines(found[:_SHOWN])


def _place(file: str, line: int, name: str) -> str:
    return name if file == "~" else f"{Path(file).parent.name}/{Path(file).name}:{line} {name}"


def _lines(rows: Sequence[tuple[float, str]]) -> None:
    for seconds, what in rows:
        print(f"{seconds * 1e6:>8.2f}  {what}")
