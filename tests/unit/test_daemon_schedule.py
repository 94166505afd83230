"""When the daemon thinks that a feed is due."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from random import Random

import msgspec
import pytest
from structlog.testing import capture_logs

from clocks import START, FixedClock
from nodes import make_node
from threatshare.daemon import Daemon
from threatshare.daemon.jobs import Jobs
from threatshare.daemon.pulls import Pulls
from threatshare.errors import ConfigurationError
from threatshare.feed_settings import FeedSettings
from threatshare.model import FeedReport, micros
from threatshare.node import build_node
from threatshare.store.runs import FeedState, save_run

SETTINGS = FeedSettings(kind="stix", path="x.json", every="15m", jitter_seconds=30)
RUN = FeedState("feed", last_run=micros(START), last_success=micros(START))


@pytest.fixture
def pulls(tmp_path: Path) -> Pulls:
    """The pulls of a daemon that was not started."""
    make_node(tmp_path / "node")
    return Daemon(build_node(tmp_path / "node"), None, Random(7)).pulls


def test_a_feed_pulled_by_hand_becomes_due_again(pulls: Pulls) -> None:
    """What was run by hand has no plan: it is due once its interval and the longest jitter have passed, not before."""
    early, late = START + timedelta(minutes=14), START + timedelta(minutes=15, seconds=31)
    assert not any(pulls.due(SETTINGS, RUN, early) <= early for _ in range(100))
    assert all(pulls.due(SETTINGS, RUN, late) <= late for _ in range(100))


def test_a_feed_that_never_ran_is_due_at_once(pulls: Pulls) -> None:
    """Nothing is waited for before the first run."""
    assert pulls.due(SETTINGS, FeedState("feed"), START) == START


def test_what_the_server_asked_for_counts_after_a_run_by_hand(pulls: Pulls) -> None:
    """Retry-After is obeyed by the schedule also where a person made the run that was told so."""
    report = json.dumps(asdict(FeedReport("feed", "failed", error="busy", retry_after=1800.0)))
    state = replace(RUN, failures=1, report=report)
    assert pulls.due(SETTINGS, state, START + timedelta(minutes=29)) > START + timedelta(minutes=29)
    assert pulls.due(SETTINGS, state, START + timedelta(minutes=31)) <= START + timedelta(minutes=31)


def test_a_feed_that_was_missed_waits_for_its_window(pulls: Pulls) -> None:
    """Overdue or new, a feed is not started while its window is closed; START is at noon."""
    settings = msgspec.structs.replace(SETTINGS, window=("22:00-23:00",))
    opens = START + timedelta(hours=10)
    for state in (replace(RUN, next_run=micros(START - timedelta(days=3))), FeedState("feed")):
        assert pulls.due(settings, state, START) == opens
        assert pulls.due(settings, state, opens + timedelta(minutes=1)) <= opens + timedelta(minutes=1)


def test_a_feed_that_rests_is_tried_once_when_that_is_over(pulls: Pulls) -> None:
    """After ten failures it is due six hours after the last attempt, and not before."""
    state = replace(RUN, failures=10)
    assert pulls.due(SETTINGS, state, START + timedelta(hours=5, minutes=59)) > START + timedelta(hours=5, minutes=59)
    assert pulls.due(SETTINGS, state, START + timedelta(hours=6, minutes=1)) <= START + timedelta(hours=6, minutes=1)


def test_what_was_missed_starts_one_after_another(tmp_path: Path) -> None:
    """After downtime each feed runs once, seconds apart, the longest due first; what is new need not wait."""
    made = make_node(tmp_path / "node")
    clock = FixedClock()
    node = build_node(made.directory, clock)
    for number in range(4):
        (made.directory / "feeds" / f"old{number}.toml").write_text(f'kind = "stix"\npath = "{number}.json"\n')
        with node.store.writing() as conn:
            save_run(conn, FeedState(f"old{number}", last_run=micros(START), next_run=micros(START) + number))
    (made.directory / "feeds" / "new.toml").write_text('kind = "stix"\npath = "new.json"\n')
    clock.advance(days=3)
    pulls = Daemon(node, None, Random(7)).pulls
    started = []
    for _ in range(8):
        pulls.start_due()
        started.append(sorted(pulls.running))
        clock.advance(seconds=1)
    olds = [[name for name in one if name != "new"] for one in started]
    assert started[0] == ["new", "old0"]
    assert [len(one) for one in olds] == [1, 1, 2, 2, 3, 3, 4, 4]
    node.close()


def test_a_fault_that_lasts_is_told_once(tmp_path: Path) -> None:
    """Own assets that cannot be read stop pulls and publishing, told once for each fault, and they begin again."""
    made = make_node(tmp_path / "node")
    node = build_node(made.directory, FixedClock())
    (made.directory / "feeds" / "b.toml").write_text('kind = "stix"\npath = "b.json"\n')
    daemon = Daemon(node, None, Random(7))
    jobs, file = Jobs(node), made.directory / "own-assets.toml"
    sound = file.read_text()

    def ticks() -> list[tuple[str, str]]:
        with capture_logs() as told:
            for _ in range(3):
                jobs.guarded("feeds", daemon.pulls.start_due)
        return [(one["event"], one["log_level"]) for one in told]

    for broken in ("networks = [", "netz = 1"):
        file.write_text(broken)
        assert ticks() == [("job failed", "error")]
        assert ticks() == []
        assert not daemon.pulls.running
        with pytest.raises(ConfigurationError, match=r"own-assets\.toml"):
            node.outlets()
    file.write_text(sound)
    assert ticks() == [("job goes well again", "info")]
    assert list(daemon.pulls.running) == ["b"]
    node.close()


def test_a_feed_with_an_impossible_time_keeps_no_other_from_running(tmp_path: Path) -> None:
    """A cron expression that nobody can read is told once, and the other feeds go on."""
    made = make_node(tmp_path / "node")
    node = build_node(made.directory, FixedClock())
    (made.directory / "feeds" / "a.toml").write_text('kind = "stix"\npath = "a.json"\ncron = "every morning"\n')
    (made.directory / "feeds" / "b.toml").write_text('kind = "stix"\npath = "b.json"\n')
    with node.store.writing() as conn:
        save_run(conn, FeedState("a", last_run=micros(START) - 1))
    pulls = Daemon(node, None, Random(7)).pulls
    pulls.start_due()
    assert list(pulls.running) == ["b"]
    assert "every morning" in pulls.wrong["a"]
    node.close()
