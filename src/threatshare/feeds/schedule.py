"""When a feed is due next: pure functions of its settings and its history.

    never run                at once
    last run went well       `every` after it began, or the next moment of `cron` after it
    due while we were down   once, and one after another (``spread``)
    n failures in a row      a minute, doubled each time, at most an hour, after the last attempt
    n = failures_until_rest  it rests for `rest`, then one run is tried; it rests again if that fails
    Retry-After              never before it
    window, days             the next moment at which one is open; a run that began may go on behind its end
    jitter                   up to `jitter_seconds` later, so that feeds do not all start together

Cron expressions are evaluated by whoever has the library for it: the daemon passes ``cron_next``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, time, timedelta
from random import Random

from threatshare.errors import ConfigurationError
from threatshare.feed_settings import DAYS, FeedSettings

CronNext = Callable[[str, datetime], datetime]
"""Gives the first moment after another at which a cron expression of five fields fires; both aware."""

FIRST_DELAY = timedelta(minutes=1)
MAX_DELAY = timedelta(hours=1)
_DAY = timedelta(days=1)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_MOST = timedelta(days=3_650)
"""What a longer interval is taken for, so that no moment lies behind the end of the calendar."""

SPREAD_GAP = timedelta(seconds=2)
SPREAD_MOST = timedelta(minutes=5)


def next_run(
    settings: FeedSettings,
    last_run: datetime | None,
    failures: int,
    retry_after: float | None,
    now: datetime,
    rng: Random,
    cron_next: CronNext | None = None,
) -> datetime:
    """Gives when a feed is to be pulled next, never before ``now`` and never in a closed window.

    ``last_run`` is when the last attempt began, ``failures`` how many attempts have failed since the last
    good one, ``retry_after`` the seconds that the server asked for (at most an hour is granted).
    Raises ConfigurationError for a cron expression where ``cron_next`` is missing.
    """
    if last_run is None:
        due = now
    elif failures > 0:
        due = last_run + max(backoff(failures), rest_after(settings, failures))
    elif settings.cron is not None:
        if cron_next is None:
            raise ConfigurationError(f"cron = {settings.cron!r} needs the daemon; use every = ... instead")
        due = cron_next(settings.cron, last_run)
    else:
        due = last_run + interval(settings.every)
    if retry_after is not None:
        due = max(due, now + min(timedelta(seconds=retry_after), MAX_DELAY))
    opens, closes = opening(settings, max(due, now))
    jitter = timedelta(seconds=settings.jitter_seconds)
    return opens + rng.random() * (jitter if closes is None else min(jitter, closes - opens))


def backoff(failures: int) -> timedelta:
    """Gives how long to wait after a number of failures in a row: 1, 2, 4 ... minutes, at most an hour."""
    # Bounded before it is raised: a feed may fail for months.
    return min(FIRST_DELAY * (1 << min(failures - 1, 10)), MAX_DELAY)


def rest_after(settings: FeedSettings, failures: int) -> timedelta:
    """Gives how long a feed rests after a number of failures in a row; nothing: it does not rest yet."""
    return interval(settings.rest) if failures >= settings.failures_until_rest else timedelta(0)


def interval(every: str) -> timedelta:
    """Reads ``every``, e.g. ``15m`` (checked when the settings were read)."""
    # Bounded before it is multiplied: a number of nine digits is more days than there are.
    count = min(int(every[:-1]), int(_MOST / timedelta(**{_UNITS[every[-1]]: 1})))
    return timedelta(**{_UNITS[every[-1]]: count})


def opening(settings: FeedSettings, at: datetime) -> tuple[datetime, datetime | None]:
    """Gives the first moment from ``at`` on at which a run may begin, and when that window closes; None: never."""
    if not settings.window and not settings.days:
        return at, None
    days = settings.days or DAYS
    midnight = datetime.combine(at.date(), time(), at.tzinfo)
    found = []
    # From the day before, whose last window may still be open, to the same day of the next week.
    for day in (midnight + _DAY * number for number in range(-1, 8)):
        if DAYS[day.weekday()] in days:
            found += [(day + begins, day + ends) for begins, ends in _hours(settings.window)]
    opens, closes = min((max(begins, at), ends) for begins, ends in found if ends > at)
    return opens, _joined(closes, found)


def _joined(closes: datetime, windows: Sequence[tuple[datetime, datetime]]) -> datetime:
    """Gives the end of a window with those that go on where it ends: midnight closes nothing that is open again."""
    while (later := max((ends for begins, ends in windows if begins <= closes), default=closes)) > closes:
        closes = later
    return closes


def _hours(windows: Sequence[str]) -> list[tuple[timedelta, timedelta]]:
    """Reads windows into begin and end since midnight of the day on which they begin; none: the whole day."""
    read = []
    for text in windows or ("00:00-24:00",):
        begins, ends = (
            timedelta(hours=int(hour), minutes=int(minute))
            for hour, _, minute in (one.partition(":") for one in text.split("-"))
        )
        read.append((begins, ends if ends > begins else ends + _DAY))
    return read


def spread(overdue: Mapping[str, datetime], now: datetime) -> dict[str, datetime]:
    """Gives when each feed may start whose run was missed while nothing ran: one after another, the longest due first.

    A few seconds lie between two, less where there are many, so that all have started within five minutes.
    """
    gap = min(SPREAD_GAP, SPREAD_MOST / max(len(overdue), 1))
    order = sorted(overdue, key=lambda name: (overdue[name], name))
    return {name: now + gap * place for place, name in enumerate(order)}


QUICK_SECONDS = 30.0
"""Whoever takes longer is slow."""
MOST_RUNS = 32
"""Runs at the same time; each is a thread that mostly waits for its server."""
MOST_SLOW = 24
"""Slow ones among them: the other places stay free for feeds that are quick."""


def admitted(due: Sequence[tuple[str, bool]], running: Sequence[bool]) -> list[str]:
    """Gives which of the feeds that are due may start now, in their order, so that slow ones never keep quick ones out.

    Each is given with whether it may be slow, ``running`` says which of the runs under way are.
    """
    places, slow = MOST_RUNS - len(running), MOST_SLOW - sum(running)
    chosen = []
    for name, is_slow in due:
        if places <= 0:
            break
        if is_slow and slow <= 0:
            continue
        chosen.append(name)
        places -= 1
        slow -= is_slow
    return chosen
