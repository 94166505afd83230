"""When a feed is due next: pure functions of its settings and its history.

    never run                at once
    last run went well       `every` after it began, or the next moment of `cron` after it
    due while we were down   at once, and once
    n failures in a row      a minute, doubled each time, at most an hour, after the last attempt
    Retry-After              never before it
    jitter                   up to `jitter_seconds` later, so that feeds do not all start together

Cron expressions are evaluated by whoever has the library for it: the daemon passes ``cron_next``.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from random import Random

from threatshare.config import FeedSettings
from threatshare.errors import ConfigurationError

CronNext = Callable[[str, datetime], datetime]
"""Gives the first moment after another at which a cron expression of five fields fires; both aware."""

FIRST_DELAY = timedelta(minutes=1)
MAX_DELAY = timedelta(hours=1)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def next_run(
    settings: FeedSettings,
    last_run: datetime | None,
    failures: int,
    retry_after: float | None,
    now: datetime,
    rng: Random,
    cron_next: CronNext | None = None,
) -> datetime:
    """Gives when a feed is to be pulled next, never before ``now``.

    ``last_run`` is when the last attempt began, ``failures`` how many attempts have failed since the last
    good one, ``retry_after`` the seconds that the server asked for (at most an hour is granted).
    Raises ConfigurationError for a cron expression where ``cron_next`` is missing.
    """
    if last_run is None:
        due = now
    elif failures > 0:
        due = last_run + backoff(failures)
    elif settings.cron is not None:
        if cron_next is None:
            raise ConfigurationError(f"cron = {settings.cron!r} needs the daemon; use every = ... instead")
        due = cron_next(settings.cron, last_run)
    else:
        due = last_run + interval(settings.every)
    if retry_after is not None:
        due = max(due, now + min(timedelta(seconds=retry_after), MAX_DELAY))
    return max(due, now) + timedelta(seconds=rng.uniform(0, settings.jitter_seconds))


def backoff(failures: int) -> timedelta:
    """Gives how long to wait after a number of failures in a row: 1, 2, 4 ... minutes, at most an hour."""
    # Bounded before it is raised: a feed may fail for months.
    return min(FIRST_DELAY * (1 << min(failures - 1, 10)), MAX_DELAY)


def interval(every: str) -> timedelta:
    """Reads ``every``, e.g. ``15m`` (checked when the settings were read)."""
    return timedelta(**{_UNITS[every[-1]]: int(every[:-1])})
