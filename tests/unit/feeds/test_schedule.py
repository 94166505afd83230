from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threatshare.config import FeedSettings
from threatshare.errors import ConfigurationError
from threatshare.feeds.schedule import backoff, interval, next_run

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
EVERY = FeedSettings(kind="taxii", url="https://taxii.example/", every="15m", jitter_seconds=0)
MINUTE = timedelta(minutes=1)


def _due(last: timedelta | None, failures: int = 0, retry_after: float | None = None) -> timedelta:
    last_run = None if last is None else NOW - last
    return next_run(EVERY, last_run, failures, retry_after, NOW, Random(1)) - NOW


@pytest.mark.parametrize(
    ("last", "failures", "retry_after", "due"),
    [
        (None, 0, None, 0),
        (5, 0, None, 10),
        (24 * 60, 0, None, 0),
        (0, 1, None, 1),
        (0, 2, None, 2),
        (0, 4, None, 8),
        (0, 500, None, 60),
        (3, 3, None, 1),
        (0, 1, 600.0, 10),
        (0, 1, 7 * 24 * 3600.0, 60),
        (0, 0, 5.0, 15),
    ],
)
def test_table(last: int | None, failures: int, retry_after: float | None, due: int) -> None:
    """Interval, catching up once, back-off with its cap, and Retry-After with its cap, in minutes."""
    assert _due(None if last is None else last * MINUTE, failures, retry_after) == due * MINUTE


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("15m", 900), ("6h", 21600), ("2d", 172800)])
def test_interval(text: str, seconds: int) -> None:
    """Intervals are read in seconds, minutes, hours and days."""
    assert interval(text) == timedelta(seconds=seconds)


@given(
    st.timedeltas(timedelta(0), timedelta(days=400)) | st.none(),
    st.integers(0, 10_000),
    st.none() | st.floats(0, 1e9),
    st.integers(0, 3600),
)
def test_never_in_the_past_never_silenced(
    ago: timedelta | None, failures: int, retry_after: float | None, jitter: int
) -> None:
    """Whatever happened, a feed is due from now on, and no later than an hour plus its jitter."""
    settings = FeedSettings(kind="stix", url="https://feed.example/a.json", every="1h", jitter_seconds=jitter)
    due = next_run(settings, None if ago is None else NOW - ago, failures, retry_after, NOW, Random(0))
    assert NOW <= due <= NOW + timedelta(hours=1, seconds=jitter)


@given(st.integers(1, 100))
def test_backoff_grows(failures: int) -> None:
    """Each further failure waits as long or longer."""
    assert backoff(failures) <= backoff(failures + 1) <= timedelta(hours=1)


def test_jitter_spreads() -> None:
    """Feeds of one interval do not all start in the same second."""
    settings = FeedSettings(kind="taxii", url="https://taxii.example/", jitter_seconds=30)
    rng = Random(7)
    starts = {next_run(settings, None, 0, None, NOW, rng) for _ in range(50)}
    assert len(starts) > 40
    assert max(starts) - min(starts) > timedelta(seconds=15)


def test_cron() -> None:
    """A cron expression replaces the interval and is counted from the last run, by whoever can evaluate it."""
    settings = FeedSettings(kind="taxii", url="https://taxii.example/", cron="0 6 * * *", jitter_seconds=0)
    asked = []

    def cron_next(expression: str, after: datetime) -> datetime:
        asked.append((expression, after))
        return NOW + timedelta(hours=18)

    last = NOW - timedelta(hours=6)
    assert next_run(settings, last, 0, None, NOW, Random(0), cron_next) == NOW + timedelta(hours=18)
    assert asked == [("0 6 * * *", last)]
    with pytest.raises(ConfigurationError, match="cron"):
        next_run(settings, last, 0, None, NOW, Random(0))
