"""``threatshare pull``."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from threading import Event
from types import FrameType

import click

from threatshare.cli.authority import process_user
from threatshare.cli.output import emit, safe, say
from threatshare.cli.progress import Advance, shown
from threatshare.errors import ConfigurationError, PartnerError, UsageError
from threatshare.model import FeedReport, Tally
from threatshare.node import Node, opened

_PAUSED = "every feed is paused; `feed resume NAME` ends that, and `pull NAME` pulls one all the same"
_STOPPING = b"stopping behind this page; Ctrl-C again stops at once\n"


@click.command()
@click.argument("feeds", nargs=-1)
@click.option(
    "--believe",
    is_flag=True,
    help="Take what raised an alarm by its size: what shrank or grew tenfold, or holds nothing any more.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a feed, one a line.")
@click.pass_obj
def pull(directory: Path, feeds: tuple[str, ...], believe: bool, as_json: bool) -> None:
    """Bring FEEDS in, or all that are enabled.

    Each goes on where its last run stopped. One failing feed never stops the others; exit code 4 tells, and 3 that the
    settings of one are wrong. A feed that the daemon is pulling right now is left to it; exit code 1. Ctrl-C stops
    behind the page that is being read.
    """
    if believe and not feeds:
        raise UsageError("--believe is about feeds that you have looked at: name them")
    with opened(directory) as node, _interruptible() as stop:
        names = feeds or _enabled(node)
        wrong = {} if feeds else dict(node.feed_files.faults)
        if not names and not wrong:
            raise UsageError(_PAUSED if node.feeds else "there is no feed yet; see `threatshare feed add --help`")
        for name in names:
            node.feed(name)
        reports = []
        for name in (*wrong, *names):
            if stop.is_set():
                break
            reports.append(_pull_if_right(node, name, wrong, process_user()[1] if believe else None, stop))
            if as_json:
                emit(asdict(reports[-1]))
            else:
                _show(reports[-1])
        node.store.checkpoint()
    if stop.is_set():
        raise click.exceptions.Abort
    failed = [one for one in reports if one.status == "failed"]
    if wrong:
        raise ConfigurationError("; ".join(f"{one.feed}: {safe(one.error or '')}" for one in failed))
    if failed:
        raise PartnerError("; ".join(f"{one.feed}: {safe(one.error or '')}" for one in failed))
    if any(one.status == "busy" for one in reports):
        raise click.exceptions.Exit(1)


def _enabled(node: Node) -> tuple[str, ...]:
    """Gives the feeds that are pulled unasked, and says which are not."""
    for name, one in node.feeds.items():
        if not one.enabled:
            say(f"{name}: paused, skipped")
    return tuple(name for name, one in node.feeds.items() if one.enabled)


def _pull_if_right(node: Node, name: str, wrong: dict[str, str], believed_by: str | None, stop: Event) -> FeedReport:
    """Pulls a feed unless its settings cannot be used; ``wrong`` has then, or gets, the reason."""
    if name not in wrong:
        try:
            return _pull_one(node, name, believed_by, stop)
        except ConfigurationError as problem:
            wrong[name] = str(problem)
    return FeedReport(name, "failed", error=wrong[name])


def _pull_one(node: Node, name: str, believed_by: str | None, stop: Event) -> FeedReport:
    with shown(name) as advance:
        report = node.pull_feed(name, partial(_go_on, advance), believed_by, stop.is_set, heard=advance.receiving)
    for text in report.alarms:
        if text != report.error:
            say(f"alarm: {name}: {safe(text)}. See `threatshare feed history {name}`")
    if report.status == "busy":
        say(f"{name}: {report.error}; this run leaves it alone")
    return report


def _go_on(advance: Advance, tally: Tally) -> bool:
    advance(tally.objects, f"{tally.new} new, {tally.rejected} rejected", tally.about)
    return True


@contextmanager
def _interruptible() -> Iterator[Event]:
    """Has the first Ctrl-C ask for a stop, and the second one end everything at once."""
    asked = Event()

    def ask(number: int, frame: FrameType | None) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()
        # Not through a buffer, in the middle of whose writing a signal may have come.
        os.write(2, _STOPPING)

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)


def _show(report: FeedReport) -> None:
    if report.status == "busy":
        return
    click.echo(
        f"{report.feed}: {'stopped' if report.stopped else report.status}, {report.objects} objects:"
        f" {report.new} new, {report.changed} changed, {report.unchanged} unchanged, {report.withdrawn} withdrawn,"
        f" {report.rejected} rejected in {report.seconds} s"
    )
    if report.note:
        say(f"{report.feed}: {safe(report.note)}")
