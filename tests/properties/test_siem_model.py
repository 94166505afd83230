"""What a SIEM holds that polls every minute is what was said, at every step; and a change costs what it costs.

The model, ``siem_model.Knowledge``, reckons from what was said alone, the SIEM, ``siem_model.Siem``, from what it
was sent alone. The long run is in ``tests/e2e/test_siem_ninety_days.py``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders import (
    DAY,
    NOW,
    feed_source,
    ip,
    let_out,
    make_collection,
    make_indicator_json,
    make_outlet,
    make_store,
    take_in,
)
from siem_events import go_through
from siem_model import Said, Siem
from siem_world import MINUTE, World
from threatshare.model import Collection, CollectionKind, Micros
from threatshare.publish import rescore_due
from threatshare.store.blocks import add_blocks
from threatshare.store.embedded import Store

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
MINUTES = 90 * 24 * 60


@settings(max_examples=1_000 if NIGHTLY else 15, suppress_health_check=[HealthCheck.too_slow])
@given(st.sets(st.integers(1, MINUTES - 1), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_the_siem_holds_what_was_said(minutes: set[int], rng: Random) -> None:
    """Whatever is said, disputed and configured in 90 days, at every step the SIEM holds what follows from it."""
    with TemporaryDirectory() as folder, World(Path(folder)) as world:
        go_through(world, rng, minutes, MINUTES)
        world.check_end()


def test_a_siem_that_begins_late_holds_the_same(tmp_path: Path) -> None:
    """Who reads the collection from its beginning, in pages of any size, ends with what the one holds that polled."""
    rng = Random(7)
    with World(tmp_path) as world:
        go_through(world, rng, rng.sample(range(1, MINUTES), 25), MINUTES)
        assert world.before
        for limit in (1, 7, 1000):
            late = Siem(world.node, world.collection, "sentinel", late=True)
            late.poll(limit)
            assert (late.us, late.held) == (world.siem.us, world.siem.held)


def test_every_single_minute(tmp_path: Path) -> None:
    """Told of a value when it is first heard of, when another confirms it, when the first ends and when all has ended:

    in that very minute, and in no other.
    """
    hour = 60 * MINUTE
    value = ip("198.51.100.1")
    first = Said((value,), 100, NOW, NOW, NOW + hour, (), False, False, None)
    second = Said((value,), 60, NOW, NOW + hour // 2, NOW + 2 * hour, (), False, False, None)
    with World(tmp_path) as world:
        world.tell("feed-a", 1, first, NOW)
        world.tell("feed-b", 1, second, NOW)
        told = []
        for minute in range(180):
            before = world.siem.received
            world.turn(minute)
            told += [minute] * (world.siem.received - before)
        assert told == [0, 30, 60, 120]
        assert world.siem.standing(world.now) == {}


# --- what a change costs -------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = make_store(tmp_path)
    yield made
    made.close()


def test_a_run_costs_what_has_changed(store: Store) -> None:
    """With 100,000 values stored and served, each run takes the same steps and writes the same rows as with 1,000."""
    siem = make_collection(store, CollectionKind.SIEM)
    say(store, *range(1_000))
    let_out(store, make_outlet(siem))
    # What happens once in a store, as its terms' being put into the ledger, happens here.
    costs(store, siem, NOW + DAY)
    few = costs(store, siem, NOW + 2 * DAY)
    multiply(store, siem, 100)
    assert store.conn.execute("SELECT count(*) FROM observable").fetchone() == (100_000,)
    assert store.conn.execute("SELECT count(*) FROM entry WHERE superseded = 0").fetchone() == (100_001,)
    many = costs(store, siem, NOW + 3 * DAY)
    assert {what: rows for what, (_, rows) in few.items()} == {what: rows for what, (_, rows) in many.items()}
    for what, (steps, _) in few.items():
        assert abs(many[what][0] - steps) <= 50, what
    assert few["nothing to publish"][1] == few["nothing due"][1] == 0
    assert 0 < few["one change"][1] <= 10


def costs(store: Store, siem: Collection, start: Micros) -> dict[str, tuple[int, int]]:
    """Measures runs of publishing and of scoring anew."""
    one = 7
    found: dict[str, tuple[int, int]] = {}

    def run(what: str, work: Callable[[], object]) -> None:
        found[what] = cost(store, work)

    def publish_at(now: Micros) -> Callable[[], object]:
        return lambda: let_out(store, make_outlet(siem, now=now))

    run("nothing to publish", publish_at(start))
    run("nothing due", lambda: rescore_due(store, start))
    say(store, one, now=start)
    run("one change", publish_at(start))
    store.conn.execute("UPDATE observable SET next_change = ? WHERE number = ?", (start, one + 1))
    run("one due", lambda: rescore_due(store, start))
    run("one that says the same", publish_at(start))
    return found


def cost(store: Store, work: Callable[[], object]) -> tuple[int, int]:
    """Counts what SQLite does: steps at which its machine goes on to another row or statement, and rows written."""
    steps = 0

    def step() -> int:
        nonlocal steps
        steps += 1
        return 0

    written = store.conn.total_changes
    store.conn.set_progress_handler(step, 1)
    try:
        work()
    finally:
        store.conn.set_progress_handler(None, 1)
    return steps, store.conn.total_changes - written


def say(store: Store, *numbers: int, now: Micros = NOW) -> None:
    """Has a feed say of values that they are bad, as of now."""
    raws = [make_indicator_json(one, ip(f"45.1.{one // 250}.{one % 250}"), modified=now) for one in numbers]
    take_in(store, feed_source(store, "feed-a", "A"), *raws, now=now)


def multiply(store: Store, siem: Collection, times: int) -> None:
    """Copies all that is known and served but our Identity, which is faster than to say it: same rows, other ids."""
    with store.writing() as conn:
        (most,) = conn.execute("SELECT max(number) FROM observable").fetchone()
        (entries,) = conn.execute("SELECT last_seq FROM collection WHERE number = ?", (siem.number,)).fetchone()
        conn.execute("CREATE TEMP TABLE nth (n INTEGER PRIMARY KEY)")
        conn.executemany("INSERT INTO nth VALUES (?)", [(n,) for n in range(1, times)])
        copies = {
            "observable": f"number + n * {most}, key + n, kind, value || n, score, next_change, first_seen, cap",
            "claim": f"observable + n * {most}, object + n, source, origin, confidence, observed, valid_from,"
            " valid_until, tlp, flags",
            "release": "collection, object_id || n, version, digest, verdict, reasons, policy, at, life, created",
            "entry": f"id + n * {entries}, added + n, object_id || n, version, type, spec_version, owner, superseded,"
            " body",
        }
        kept = dict.fromkeys(("release", "entry"), " WHERE object_id NOT LIKE 'identity--%'")
        for table, columns in copies.items():
            conn.execute(f"INSERT INTO {table} SELECT {columns} FROM {table}, nth{kept.get(table, '')}")
        conn.execute("UPDATE collection SET last_seq = last_seq * ? WHERE number = ?", (times, siem.number))
        add_blocks(conn, siem, entries + 1, entries * times)
