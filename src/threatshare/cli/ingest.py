"""``threatshare ingest``."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event, Lock
from typing import Any

import click

from threatshare.arrivals import Intake, Source, attend, source_of, told
from threatshare.cli.output import defanged, emit, safe, say
from threatshare.cli.progress import Advance, shown
from threatshare.config import TlpLabel
from threatshare.errors import UsageError
from threatshare.ingest import IngestReport, LeftOut
from threatshare.ingest import ingest as take_in
from threatshare.model import Finding, Reject, Tlp
from threatshare.node import opened
from threatshare.stix.tlp import tlp_named

_PATH = click.Path(path_type=Path)
_LABELS = [tlp.label for tlp in Tlp]


@click.command()
@click.argument("paths", nargs=-1)
@click.option("--follow", multiple=True, type=_PATH, help="Log that grows: take its lines as they come; several times.")
@click.option("--watch", multiple=True, type=_PATH, help="Drop folder: take each file put into it; several times.")
@click.option("--format", "name", help="Reader to use; else the format is recognised from the content.")
@click.option("--tlp", type=click.Choice(_LABELS), help="Marking of what comes of it; else sharing.default_tlp.")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def ingest(
    directory: Path,
    paths: tuple[str, ...],
    follow: tuple[Path, ...],
    watch: tuple[Path, ...],
    name: str | None,
    tlp: TlpLabel | None,
    as_json: bool,
) -> None:
    """Take findings in from PATHS: files, directories, or - for stdin.

    A broken line is kept aside with its reason (see `status`), and the rest goes on. Nothing leaves the
    node before `publish`, or at once while the daemon runs. Exit code 1: nothing could be read.

    With --follow and --watch it runs until it is ended by Ctrl-C or SIGTERM, takes what arrives at once, and goes
    on where it was when it is started again: through rotations of a log, and also after a kill. A file in a drop folder
    is taken when it has stopped growing; names that begin with a dot or end in .tmp or .part are left alone. The daemon
    does the same by itself for what `[[daemon.source]]` names.
    """
    if bool(paths) == bool(follow or watch):
        raise UsageError("name PATHS to take in once, or what to --follow or --watch")
    with opened(directory) as node:
        intake = node.intake
        if tlp is not None:
            marked = replace(node.own, tlp=tlp_named(tlp))
            intake = replace(intake, own=lambda: marked)
        if paths:
            with shown("findings") as advance:
                report = take_in(
                    node.store, intake.own(), _results(intake, paths, name), node.now, partial(_advance, advance)
                )
            _tell(report, as_json)
            return
        sources = [source_of(intake, one.absolute(), "follow", name) for one in dict.fromkeys(follow)]
        sources += [source_of(intake, one.absolute(), "watch", name) for one in dict.fromkeys(watch)]
        totals = _attend(sources)
    if as_json:
        emit(totals)
    else:
        _show_counts(totals)


_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_LOOK_SECONDS = 0.2
"""How long a signal may go unnoticed."""


def _attend(sources: Sequence[Source]) -> dict[str, Any]:
    """Takes what arrives until a signal comes; gives the sums of all batches."""
    totals = told(IngestReport())
    stop, guard = Event(), Lock()
    # A handler takes no lock: a second signal in the middle of it would wait for what the first one holds.
    asked: list[int] = []
    before = {one: signal.signal(one, lambda number, _: asked.append(number)) for one in _SIGNALS}

    def stored(_: Source, report: IngestReport) -> None:
        with guard:
            _add(totals, told(report))
            advance(totals["findings"], f"{totals['indicators']['new']} new indicators")

    def failed(source: Source, problem: Exception) -> None:
        say(f"{safe(str(source.path))}: {safe(str(problem))}; trying again")

    try:
        with shown("findings") as advance, ThreadPoolExecutor(len(sources)) as pool:
            for one in sources:
                say(f"taking what arrives in {safe(str(one.path))}")
            running = [pool.submit(attend, one, stop, stored, failed) for one in sources]
            while not asked and not wait(running, _LOOK_SECONDS, FIRST_EXCEPTION).done:
                pass
            stop.set()
            for done in running:
                done.result()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return totals


def _add(totals: dict[str, Any], more: dict[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, dict):
            _add(totals[key], value)
        else:
            totals[key] += value


def _tell(report: IngestReport, as_json: bool) -> None:
    if as_json:
        emit(told(report))
    else:
        _show(report)
    if report.rejected and not report.findings:
        sys.exit(1)


def _results(intake: Intake, paths: tuple[str, ...], name: str | None) -> Iterator[Finding | Reject]:
    for path in paths:
        if path == "-":
            yield from intake.read(sys.stdin.buffer, name, "stdin")
            continue
        for file in _files(Path(path)):
            yield from intake.read(file, name, str(file))


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(one for one in path.rglob("*") if one.is_file() and not one.name.startswith("."))
    if not path.exists():
        raise UsageError(f"{path} does not exist")
    return [path]


def _advance(advance: Advance, report: IngestReport) -> None:
    advance(report.findings, f"{len(report.outcomes)} indicators")


def _show_counts(counts: dict[str, Any]) -> None:
    indicators = ", ".join(f"{count} {outcome}" for outcome, count in counts["indicators"].items())
    click.echo(f"findings    {counts['findings']}\nindicators  {indicators}\nsightings   {counts['sightings']}")
    click.echo(f"held        {counts['held']}\nrefused     {counts['refused']}\nrejected    {counts['rejected']}")
    left_out = {LeftOut[name.upper()]: count for name, count in counts["left_out"].items() if count}
    if left_out:
        each = ", ".join(f"{count} {what}" for what, count in left_out.items())
        click.echo(f"left out    {sum(left_out.values())}: {each}; see `threatshare why VALUE`")


def _show(report: IngestReport) -> None:
    _show_counts(told(report))
    for observable, reason in sorted(report.refused.items())[:10]:
        say(f"refused: {defanged(observable.value)}: {safe(reason)}")
    if report.held:
        say("Held: the role of these values is unknown. See `threatshare review`.")
    if report.rejected:
        say("Rejected lines are kept with their reasons. See `threatshare status --rejects`.")
