"""Days on the command line."""

from __future__ import annotations

from datetime import date, datetime

import click


class Day(click.DateTime):
    """A day as YYYY-MM-DD."""

    def __init__(self) -> None:
        super().__init__(formats=["%Y-%m-%d"])

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> date:  # type: ignore[override]
        """Drops the time of day."""
        found: datetime = super().convert(value, param, ctx)
        return found.date()
