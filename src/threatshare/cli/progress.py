"""Progress bars: on a terminal only, on stderr; anywhere else nothing is drawn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Protocol

from threatshare.cli.output import on_terminal

_ROUGHLY = 0.1
"""By what part an estimate of the total may be off before another takes its place."""


class Advance(Protocol):
    """Told how much is done by now, a few words on it, and how much there is, where somebody knows."""

    def __call__(self, done: int, words: str, total: int | None = None) -> None:
        """Shows it."""
        ...


@contextmanager
def shown(what: str) -> Iterator[Advance]:
    """Shows how much is done, the rate, the time it has taken and, with a total, what is left, until the block ends."""
    if not on_terminal():
        yield _nothing
        return
    # Here, since it takes longer to import than most commands take.
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        SpinnerColumn,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(20),
        TextColumn("{task.completed:,.0f}"),
        TaskProgressColumn(text_format_no_percentage=""),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[words]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None, words="", rate="")
        began = monotonic()
        known: int | None = None

        def advance(done: int, words: str, total: int | None = None) -> None:
            nonlocal known
            if total is not None and (known is None or abs(total - known) > _ROUGHLY * known or done > known):
                # Another total makes the library forget how fast it goes, so an estimate has to be off by much. What
                # is known only roughly is never overtaken.
                known = max(total, done)
            rate = f"{done / max(monotonic() - began, 0.001):,.0f}/s"
            progress.update(task, completed=done, words=words, rate=rate, total=known)

        yield advance


def _nothing(done: int, words: str, total: int | None = None) -> None:
    pass
