"""Times of cron expressions."""

from __future__ import annotations

from datetime import datetime, timedelta

from apscheduler.triggers.cron import CronTrigger

from threatshare.errors import ConfigurationError


def cron_next(expression: str, after: datetime) -> datetime:
    """Gives the first time after a moment; raises ConfigurationError where the expression is none or never fires."""
    try:
        trigger = CronTrigger.from_crontab(expression, timezone="UTC")
    except ValueError as problem:
        raise ConfigurationError(f"cron = {expression!r}: {problem}") from problem
    found: datetime | None = trigger.get_next_fire_time(None, after + timedelta(seconds=1))
    if found is None:
        raise ConfigurationError(f"cron = {expression!r} never fires")
    return found
