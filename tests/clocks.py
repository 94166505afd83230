"""Clocks that stand still until a test moves them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from threatshare.model import Micros, micros

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class FixedClock:
    """A ``ports.Clock`` that shows the same moment until it is moved."""

    def __init__(self, at: datetime = START) -> None:
        self.at = at

    def __call__(self) -> datetime:
        """Shows the present moment."""
        return self.at

    @property
    def micros(self) -> Micros:
        """The present moment as the store counts it."""
        return micros(self.at)

    def advance(self, **units: float) -> datetime:
        """Moves on by the units of a timedelta, e.g. ``advance(minutes=5)``; backwards where negative."""
        self.at += timedelta(**units)
        return self.at
