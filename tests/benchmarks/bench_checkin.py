"""The page of a check-in: what it costs beside what the store holds, for a quiet period, a busy one, and all there is.

    python tests/benchmarks/bench_checkin.py [--objects 100000] [--news 5000]

A partner and another feed bring indicators, of which all but the news came before the period. The page must cost
the same in a store of any size; only the register goes through all claims once. All times are processor time.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

from generated import pages

from threatshare.admission.objects import take
from threatshare.config import OwnContact
from threatshare.model import Micros, Tally, Tlp, micros
from threatshare.partners.checkin import Parties, digest
from threatshare.partners.register import register
from threatshare.policy.agreements import Agreement, Inbound, Outbound
from threatshare.report.checkin import handover
from threatshare.report.sheet import markdown, page
from threatshare.stix.objects import new_identity_id
from threatshare.store.embedded import Store

US = new_identity_id("Bench", "2026-01-01T00:00:00.000Z")
DAY: Micros = 86_400_000_000
BEFORE = micros(datetime(2026, 11, 2, tzinfo=UTC))
NEWS = micros(datetime(2027, 1, 15, tzinfo=UTC))
TODAY = date(2027, 2, 1)
AGREED = Agreement(
    "north",
    date(2026, 1, 1),
    date(2027, 12, 31),
    Outbound("amber"),
    date(2026, 1, 1),
    inbound=Inbound(sources=("north-feed",)),
)
PARTIES = Parties("Bench", OwnContact(), AGREED)
_PAGE = 1_000


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=100_000)
    parser.add_argument("--news", type=int, default=5_000)
    options, _ = parser.parse_known_args()
    for objects in (options.objects // 10, options.objects):
        folder = Path(tempfile.mkdtemp(prefix="threatshare-bench-"))
        try:
            _measure(folder, objects, min(options.news, objects // 2))
        finally:
            shutil.rmtree(folder)


def _measure(folder: Path, objects: int, news: int) -> None:
    store = Store(folder / "store.db", lambda _: None)
    half = (objects - news) // 2
    _take(store, "other-feed", half, 1, BEFORE)
    _take(store, "north-feed", half, 2, BEFORE)
    _take(store, "north-feed", news, 3, NEWS)
    print(f"\n{objects:,} observables, of which {news:,} came from the partner in the period")
    for name, when in (
        ("nothing in it", range(NEWS + DAY, NEWS + 8 * DAY)),
        ("the news in it", range(NEWS - DAY, NEWS + DAY)),
        ("everything in it", range(NEWS + DAY)),
    ):
        print(f"  page of a period with {name:18} {_best(lambda when=when: _page(store, when)):9.1f} ms")  # type: ignore[misc]
    took = _best(lambda: register(store, {"north": AGREED}, TODAY, NEWS + DAY))
    print(f"  register                                 {took:9.1f} ms")
    store.close()


def _take(store: Store, name: str, count: int, seed: int, now: Micros) -> None:
    source = store.source(name, "feed", "B", Tlp.GREEN)
    for raws in pages(count, min(_PAGE, count), seed):
        take(store, source, raws, US, now, Tally(), lambda: None)


def _page(store: Store, when: range) -> None:
    made = handover(digest(store, PARTIES, when, TODAY))
    markdown(made)
    page(made)


def _best(act: Callable[[], object]) -> float:
    """Gives the least processor time of three runs, in milliseconds."""
    took = []
    for _ in range(3):
        began = time.process_time()
        act()
        took.append(time.process_time() - began)
    return min(took) * 1_000


if __name__ == "__main__":
    main()
