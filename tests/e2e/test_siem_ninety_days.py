"""Ninety days of a node with a SIEM that polls it each minute, over the TAXII application and a store on disk.

Drawn from a seed, so each run is the same. What the SIEM holds is compared with ``siem_model.Knowledge`` at every
step; ``siem_events`` says what happens, ``siem_world`` why the minutes in which nothing does may be skipped.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random

from builders import domain, ip
from siem_events import go_through, happen
from siem_world import VALUES, World

DAY = 24 * 60
DAYS = 90
MORE = (
    *(ip(f"198.51.100.{number}") for number in range(10, 14)),
    *(domain(f"host-{number}.example.com") for number in range(4)),
)


def test_ninety_days(tmp_path: Path) -> None:
    """At every step of 90 days the SIEM holds what was said; a node that is begun anew each month goes on as it was."""
    rng = Random(1)
    with World(tmp_path, VALUES + MORE) as world:
        for month in range(3):
            minutes = range(month * 30 * DAY + 1, (month + 1) * 30 * DAY)
            go_through(world, rng, rng.sample(minutes, 40), minutes.stop)
            world.restart()
        world.check_end()
        assert world.minute == DAYS * DAY
        assert all(world.happened.values()), world.happened
        assert world.siem.polls >= world.compared > world.quiet > 500
        assert world.siem.received > 200


def test_a_day_minute_by_minute(tmp_path: Path) -> None:
    """Where no minute of a busy day's last hours is skipped, the same holds, and nothing comes in a quiet minute."""
    rng = Random(3)
    with World(tmp_path) as world:
        go_through(world, rng, rng.sample(range(1, 40 * DAY), 40), 40 * DAY)
        told: Counter[int] = Counter()
        for minute in range(40 * DAY + 1, 40 * DAY + 361):
            if minute % 30 == 0:
                happen(world, rng, minute)
            before = world.siem.received
            world.turn(minute)
            told[minute] = world.siem.received - before
        world.check_end()
        assert 0 < sum(one > 0 for one in told.values()) < 60
