"""``threatshare ingest``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import click

from threatshare.cli.output import defanged, emit, safe, say
from threatshare.cli.progress import Advance, shown
from threatshare.config import TlpLabel
from threatshare.errors import UsageError
from threatshare.findings.readers import read_file
from threatshare.ingest import IngestReport
from threatshare.ingest import ingest as take_in
from threatshare.model import Finding, Reject, Tlp
from threatshare.node import Node, opened
from threatshare.stix.tlp import tlp_named

_LABELS = [tlp.label for tlp in Tlp]


@click.command()
@click.argument("paths", nargs=-1, required=True)
@click.option("--format", "name", help="Reader to use; else the format is recognised from the content.")
@click.option("--tlp", type=click.Choice(_LABELS), help="Marking of what comes of it; else sharing.default_tlp.")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def ingest(directory: Path, paths: tuple[str, ...], name: str | None, tlp: TlpLabel | None, as_json: bool) -> None:
    """Take findings in from PATHS: files, directories, or - for stdin.

    A broken line is kept aside with its reason (see `status`), and the rest goes on. Nothing leaves the
    node before `publish`. Exit code 1: nothing could be read.
    """
    with opened(directory) as node, shown("findings") as advance:
        own = node.own if tlp is None else replace(node.own, tlp=tlp_named(tlp))
        report = take_in(node.store, own, _results(node, paths, name), node.now, partial(_advance, advance))
    if as_json:
        emit(_as_json(report))
    else:
        _show(report)
    if report.rejected and not report.findings:
        sys.exit(1)


def _results(node: Node, paths: tuple[str, ...], name: str | None) -> Iterator[Finding | Reject]:
    for path in paths:
        if path == "-":
            yield from read_file(sys.stdin.buffer, name, node.assets, "stdin")
            continue
        for file in _files(Path(path)):
            yield from read_file(file, name, node.assets)


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(one for one in path.rglob("*") if one.is_file() and not one.name.startswith("."))
    if not path.exists():
        raise UsageError(f"{path} does not exist")
    return [path]


def _advance(advance: Advance, report: IngestReport) -> None:
    advance(report.findings, f"{len(report.outcomes)} indicators")


def _as_json(report: IngestReport) -> dict[str, object]:
    return {
        "findings": report.findings,
        "indicators": {one: report.number(one) for one in ("new", "updated", "unchanged")},
        "sightings": len(report.sightings),
        "held": len(report.held),
        "refused": len(report.refused),
        "rejected": report.rejected,
    }


def _show(report: IngestReport) -> None:
    counts = ", ".join(f"{report.number(one)} {one}" for one in ("new", "updated", "unchanged"))
    click.echo(f"findings    {report.findings}\nindicators  {counts}\nsightings   {len(report.sightings)}")
    click.echo(f"held        {len(report.held)}\nrefused     {len(report.refused)}\nrejected    {report.rejected}")
    for observable, reason in sorted(report.refused.items())[:10]:
        say(f"refused: {defanged(observable.value)}: {safe(reason)}")
    if report.held:
        say("Held: the role of these values is unknown. See `threatshare review`.")
    if report.rejected:
        say("Rejected lines are kept with their reasons. See `threatshare status --rejects`.")
