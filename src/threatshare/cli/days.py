"""Days and moments on the command line."""

from __future__ import annotations

from datetime import UTC, date, datetime

import click

from threatshare.model import Micros, micros


class Day(click.DateTime):
    """A day as YYYY-MM-DD."""

    def __init__(self) -> None:
        super().__init__(formats=["%Y-%m-%d"])

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> date:  # type: ignore[override]
        """Drops the time of day."""
        found: datetime = super().convert(value, param, ctx)
        return found.date()


class Moment(click.DateTime):
    """A day or a moment, UTC."""

    def __init__(self) -> None:
        super().__init__(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S"])

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Micros:  # type: ignore[override]
        """Gives it in microseconds."""
        found: datetime = super().convert(value, param, ctx)
        return micros(found.replace(tzinfo=UTC))
