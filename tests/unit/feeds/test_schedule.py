from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threatshare.errors import ConfigurationError
from threatshare.feed_settings import FeedSettings
from threatshare.feeds.schedule import (
    MOST_RUNS,
    MOST_SLOW,
    SPREAD_MOST,
    admitted,
    backoff,
    interval,
    next_run,
    opening,
    spread,
)

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
        (0, 9, None, 60),
        (0, 10, None, 360),
        (0, 500, None, 360),
        (359, 10, None, 1),
        (400, 11, None, 0),
        (3, 3, None, 1),
        (0, 1, 600.0, 10),
        (0, 1, 7 * 24 * 3600.0, 60),
        (0, 0, 5.0, 15),
    ],
)
def test_table(last: int | None, failures: int, retry_after: float | None, due: int) -> None:
    """Interval, catching up once, back-off with its cap, the rest after ten failures, and Retry-After, in minutes."""
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
    """Whatever happened, a feed is due from now on, and no later than an hour, or its rest, plus its jitter."""
    settings = FeedSettings(
        kind="stix", url="https://feed.example/a.json", every="1h", rest="1h", jitter_seconds=jitter
    )
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


# --- hours and days at which a run may begin ----------------------------------------------------------

WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MINUTES = st.integers(0, 24 * 60 - 1)
MOMENTS = st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@st.composite
def windows(draw: st.DrawFn) -> str:
    """Draws a window of a minute or more, over midnight too."""
    begins, ends = draw(st.tuples(MINUTES, MINUTES).filter(lambda two: two[0] != two[1]))
    return f"{begins // 60:02}:{begins % 60:02}-{ends // 60:02}:{ends % 60:02}"


TIMED = st.builds(
    lambda window, days, jitter, every: FeedSettings(
        "taxii", window=tuple(window), days=tuple(days), jitter_seconds=jitter, every=every
    ),
    st.lists(windows(), max_size=3),
    st.lists(st.sampled_from(WEEK), max_size=7, unique=True),
    st.integers(0, 7200),
    st.sampled_from(["1m", "45m", "6h", "3d"]),
)


def is_open(settings: FeedSettings, at: datetime) -> bool:
    """Tells minute by minute, as a person would, whether a run may begin."""
    if not settings.window and not settings.days:
        return True
    for window in settings.window or ("00:00-24:00",):
        begins, ends = (int(one[:2]) * 60 + int(one[3:]) for one in window.split("-"))
        minute = at.hour * 60 + at.minute
        over = ends <= begins
        if (begins <= minute or (over and minute < ends)) and (over or minute < ends):
            day = at - timedelta(days=1) if over and minute < ends and not minute >= begins else at
            if WEEK[day.weekday()] in (settings.days or WEEK):
                return True
    return False


@given(TIMED, MOMENTS, MOMENTS, st.integers(0, 20), st.none() | st.floats(0, 1e5), st.integers(0, 99))
def test_never_in_a_closed_window(
    settings: FeedSettings, last: datetime, now: datetime, failures: int, retry_after: float | None, seed: int
) -> None:
    """Whatever happened, the next run lies not before now, within a window, and within a week and its day of that."""
    due = next_run(settings, last, failures, retry_after, now, Random(seed))
    assert due >= now
    assert is_open(settings, due)


@given(TIMED, MOMENTS)
def test_the_first_opening(settings: FeedSettings, at: datetime) -> None:
    """A feed opens at once where it is open, and else at the first minute at which it is; it is shut just before."""
    opens, closes = opening(settings, at)
    assert (opens == at) == is_open(settings, at)
    if opens > at:
        assert is_open(settings, opens)
        assert not is_open(settings, opens - timedelta(seconds=1))
        assert opens - at <= timedelta(days=7)
    assert closes is None or not is_open(settings, closes) or closes - opens >= timedelta(days=7)


@given(TIMED, MOMENTS, st.timedeltas(timedelta(0), timedelta(days=9)), st.integers(0, 12), st.integers(0, 99))
def test_a_later_run_is_followed_by_a_later_one(
    settings: FeedSettings, last: datetime, later: timedelta, failures: int, seed: int
) -> None:
    """The later a run began, the later the next one, whatever windows lie between."""
    first = next_run(settings, last, failures, None, last, Random(seed))
    second = next_run(settings, last + later, failures, None, last + later, Random(seed))
    assert first <= second


@given(TIMED, MOMENTS, st.timedeltas(timedelta(hours=1), timedelta(days=60)))
def test_downtime_is_made_up_once(settings: FeedSettings, last: datetime, down: timedelta) -> None:
    """After any downtime there is one run, and the next is a whole interval after it."""
    up = last + down
    due = next_run(settings, last, 0, None, up, Random(0))
    following = next_run(settings, due, 0, None, due, Random(0))
    assert following - due >= interval(settings.every)


@pytest.mark.parametrize(
    ("window", "days", "at", "opens"),
    [
        (["22:00-06:00"], [], "2026-03-01 12:00", "2026-03-01 22:00"),
        (["22:00-06:00"], [], "2026-03-01 05:59", "2026-03-01 05:59"),
        (["22:00-06:00"], ["sat"], "2026-03-01 05:59", "2026-03-01 05:59"),
        (["22:00-06:00"], ["sun"], "2026-03-01 05:59", "2026-03-01 22:00"),
        ([], ["mon"], "2026-03-01 12:00", "2026-03-02 00:00"),
        (["09:00-10:00", "08:00-08:30"], [], "2026-03-01 08:30", "2026-03-01 09:00"),
        (["09:00-24:00"], ["mon"], "2026-03-03 00:00", "2026-03-09 09:00"),
    ],
)
def test_windows(window: list[str], days: list[str], at: str, opens: str) -> None:
    """A window over midnight is of the day on which it begins; 2026-03-01 is a Sunday."""
    settings = FeedSettings("taxii", window=tuple(window), days=tuple(days))  # type: ignore[arg-type]
    found, _ = opening(settings, datetime.fromisoformat(f"{at}+00:00"))
    assert found == datetime.fromisoformat(f"{opens}+00:00")


# --- many feeds at a time -----------------------------------------------------------------------------


@given(st.dictionaries(st.text(max_size=5), MOMENTS, max_size=300))
def test_what_was_missed_is_spread(overdue: dict[str, datetime]) -> None:
    """After downtime feeds start one after another, the longest due first and at once, all within five minutes."""
    starts = spread(overdue, NOW)
    assert starts.keys() == overdue.keys()
    assert len(set(starts.values())) == len(overdue)
    assert all(NOW <= at <= NOW + SPREAD_MOST for at in starts.values())
    assert not starts or min(starts.values()) == NOW
    order = sorted(starts, key=lambda name: starts[name])
    assert [overdue[name] for name in order] == sorted(overdue.values())


@given(st.lists(st.booleans(), max_size=100), st.lists(st.booleans(), max_size=MOST_RUNS))
def test_slow_feeds_leave_places(due: list[bool], running: list[bool]) -> None:
    """There are never too many runs, never more slow ones started than may be, and places are not left empty."""
    asked = [(f"{number}", slow) for number, slow in enumerate(due)]
    chosen = admitted(asked, running)
    slow = [one for one in chosen if due[int(one)]]
    assert len(running) + len(chosen) <= MOST_RUNS
    assert sum(running) + len(slow) <= max(MOST_SLOW, sum(running))
    assert chosen == sorted(chosen, key=int)
    quick_left = [name for name, is_slow in asked if not is_slow and name not in chosen]
    assert not quick_left or len(running) + len(chosen) == MOST_RUNS


def test_a_quick_feed_finds_a_place_beside_all_that_are_slow() -> None:
    """However many slow feeds are due, the quick one starts."""
    due = [(f"slow {number}", True) for number in range(100)] + [("quick", False)]
    chosen = admitted(due, [])
    assert "quick" in chosen
    assert len(chosen) == MOST_SLOW + 1
    assert admitted([("slow", True), ("quick", False)], [True] * MOST_SLOW) == ["quick"]


def test_jitter_stays_within_the_window() -> None:
    """A jitter that is longer than the window has open spreads over what is left of it."""
    settings = FeedSettings("taxii", window=("12:00-12:30",), jitter_seconds=7200)
    starts = [next_run(settings, NOW, 0, None, NOW + timedelta(minutes=20), Random(seed)) for seed in range(200)]
    assert all(is_open(settings, at) for at in starts)
    assert len(set(starts)) > 150


def test_a_window_that_goes_on_is_one() -> None:
    """Midnight closes nothing that is open again at once: jitter may lead over it."""
    settings = FeedSettings("taxii", days=("sat", "sun"), jitter_seconds=7200)
    opens, closes = opening(settings, datetime(2026, 2, 28, 23, 50, tzinfo=UTC))
    assert closes == datetime(2026, 3, 2, tzinfo=UTC)
    assert opens == datetime(2026, 2, 28, 23, 50, tzinfo=UTC)
