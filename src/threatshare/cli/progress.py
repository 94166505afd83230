"""Progress bars: on a terminal only, on stderr; anywhere else nothing is drawn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from threatshare.cli.output import on_terminal

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_SOON_SECONDS = 0.5
"""An answer that comes in faster has no bar of its own."""


class Advance(Protocol):
    """Told how much is done by now, a few words on it, and how much there is, where somebody knows."""

    def __call__(self, done: int, words: str, total: int | None = None) -> None:
        """Shows it."""
        ...

    def receiving(self, received: int, total: int | None) -> None:
        """Shows how many bytes of an answer are here, where that takes a while; ``total``: as far as it is known."""
        ...


@contextmanager
def shown(what: str) -> Iterator[Advance]:
    """Shows how much is done, the rate, the time it has taken and, with a total, what is left, until the block ends."""
    if not on_terminal():
        yield _Nothing()
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
    )

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(20),
        TextColumn("{task.fields[done]}"),
        TaskProgressColumn(text_format_no_percentage=""),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
        TextColumn("{task.fields[words]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield _Bars(progress, what)


class _Bars:
    """A bar for what is done, and one below it for an answer that takes a while."""

    def __init__(self, progress: Progress, what: str) -> None:
        self._progress = progress
        self._what = what
        self._began = monotonic()
        self._task = self._bar(what)
        self._answer: TaskID | None = None
        self._answer_began = self._began
        self._received = 0

    def __call__(self, done: int, words: str, total: int | None = None) -> None:
        self._end_answer()
        rate = done / max(monotonic() - self._began, 0.001)
        # What is known only roughly is never overtaken.
        total = None if total is None else max(total, done)
        self._show(self._task, done, f"{done:,}", total, rate, f"{rate:,.0f}/s", words)

    def receiving(self, received: int, total: int | None) -> None:
        if received < self._received or not self._received:
            self._end_answer()
            self._answer_began = monotonic()
        self._received = received
        seconds = monotonic() - self._answer_began
        if self._answer is None and seconds > _SOON_SECONDS and received != total:
            self._answer = self._bar(f"{self._what}: an answer")
        if self._answer is not None:
            rate = received / seconds
            self._show(self._answer, received, _megabytes(received), total, rate, f"{_megabytes(rate)}/s")
        if received == total:
            self._end_answer()

    def _bar(self, what: str) -> TaskID:
        return self._progress.add_task(what, total=None, done="0", rate="", left="", words="")

    def _show(
        self, task: TaskID, done: int, told: str, total: int | None, rate: float, speed: str, words: str = ""
    ) -> None:
        # The library knows the time that is left only from the second step on, and a feed may have few.
        left = "" if total is None or not rate else f"{timedelta(seconds=round((total - done) / rate))} left"
        self._progress.update(task, completed=done, total=total, done=told, rate=speed, left=left, words=words)

    def _end_answer(self) -> None:
        if self._answer is not None:
            self._progress.remove_task(self._answer)
        self._answer, self._received = None, 0


class _Nothing:
    """Shows nothing."""

    def __call__(self, done: int, words: str, total: int | None = None) -> None:
        pass

    def receiving(self, received: int, total: int | None) -> None:
        pass


def _megabytes(count: float) -> str:
    return f"{count / 1_000_000:.1f} MB"
