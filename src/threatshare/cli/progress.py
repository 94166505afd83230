"""Progress bars: on a terminal only, on stderr; anywhere else nothing is drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from threatshare.cli.output import on_terminal

Advance = Callable[[int, str], None]
"""Told how much is done by now, and a few words on it."""


@contextmanager
def shown(what: str) -> Iterator[Advance]:
    """Shows how much is done, the rate and the time it has taken, until the block ends."""
    if not on_terminal():
        yield lambda done, words: None
        return
    # Here, since it takes longer to import than most commands take.
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TaskProgressColumn(text_format_no_percentage="{task.completed:,.0f}", show_speed=True),
        TimeElapsedColumn(),
        TextColumn("{task.fields[words]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None, words="")
        yield lambda done, words: progress.update(task, completed=done, words=words)
