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
from threatshare.errors import PartnerError, UsageError
from threatshare.model import FeedReport, Tally
from threatshare.node import Node, opened

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

    Each goes on where its last run stopped. One failing feed never stops the others; exit code 4 tells. A feed that the
    daemon is pulling right now is left to it; exit code 1. Ctrl-C stops behind the page that is being read.
    """
    if believe and not feeds:
        raise UsageError("--believe is about feeds that you have looked at: name them")
    with opened(directory) as node, _interruptible() as stop:
        names = feeds or tuple(name for name, one in node.feeds.items() if one.enabled)
        if not names:
            raise UsageError("there is no feed yet; see `threatshare feed add --help`")
        for name in names:
            node.feed(name)
        reports = []
        for name in names:
            if stop.is_set():
                break
            reports.append(_pull_one(node, name, process_user()[1] if believe else None, stop))
            if as_json:
                emit(asdict(reports[-1]))
            else:
                _show(reports[-1])
        node.store.checkpoint()
    if stop.is_set():
        raise click.exceptions.Abort
    failed = [one for one in reports if one.status == "failed"]
    if failed:
        raise PartnerError("; ".join(f"{one.feed}: {safe(one.error or '')}" for one in failed))
    if any(one.status == "busy" for one in reports):
        raise click.exceptions.Exit(1)


def _pull_one(node: Node, name: str, believed_by: str | None, stop: Event) -> FeedReport:
    settings = node.feed(name)
    size = _size(node.directory / settings.path) if settings.kind == "stix" and settings.path else None
    with shown(name) as advance:
        report = node.pull_feed(name, partial(_go_on, advance, size), believed_by, stop.is_set)
    for text in report.alarms:
        if text != report.error:
            say(f"alarm: {name}: {safe(text)}. See `threatshare feed history {name}`")
    if report.status == "busy":
        say(f"{name}: {report.error}; this run leaves it alone")
    return report


def _go_on(advance: Advance, size: int | None, tally: Tally) -> bool:
    total = tally.about
    if size is not None and tally.taken:
        # What has been read so far tells how many objects so many bytes are.
        total = round(tally.objects * max(size / tally.taken, 1))
    advance(tally.objects, f"{tally.new} new, {tally.rejected} rejected", total)
    return True


def _size(path: Path) -> int:
    """Gives the bytes of a bundle, or of all files of a directory."""
    return sum(one.stat().st_size for one in (path.rglob("*") if path.is_dir() else [path]) if one.is_file())


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
