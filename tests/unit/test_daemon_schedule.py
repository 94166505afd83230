"""When the daemon thinks that a feed is due."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from random import Random

import pytest

from clocks import START
from nodes import make_node
from threatshare.config import FeedSettings
from threatshare.daemon import Daemon
from threatshare.model import micros
from threatshare.node import build_node
from threatshare.store.runs import FeedState

SETTINGS = FeedSettings(kind="stix", path="x.json", every="15m", jitter_seconds=30)
RUN = FeedState("feed", last_run=micros(START), last_success=micros(START))


@pytest.fixture
def daemon(tmp_path: Path) -> Daemon:
    """A daemon that was not started."""
    make_node(tmp_path / "node")
    return Daemon(build_node(tmp_path / "node"), None, Random(7))


def test_a_feed_pulled_by_hand_becomes_due_again(daemon: Daemon) -> None:
    """What was run by hand has no plan: it is due once its interval and the longest jitter have passed, not before."""
    early, late = START + timedelta(minutes=14), START + timedelta(minutes=15, seconds=31)
    assert not any(daemon.due(SETTINGS, RUN, early) <= early for _ in range(100))
    assert all(daemon.due(SETTINGS, RUN, late) <= late for _ in range(100))


def test_a_feed_that_never_ran_is_due_at_once(daemon: Daemon) -> None:
    """Nothing is waited for before the first run."""
    assert daemon.due(SETTINGS, FeedState("feed"), START) == START
