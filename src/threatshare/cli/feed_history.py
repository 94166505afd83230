"""``threatshare feed history`` and ``feed acknowledge``: how runs went, what alarms they raised, who looked at them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from threatshare.cli.output import defanged, emit, safe, say, table, when
from threatshare.cli.signature import by_whom, signed
from threatshare.feed_runs import acknowledge_alarms
from threatshare.model import FeedReport, moment
from threatshare.node import opened
from threatshare.store.feed_alarms import OWN, Alarm, alarms_of
from threatshare.store.feed_history import KEPT_RUNS, Totals, history, totals_of
from threatshare.store.sources import sources

_HEADINGS = ("began", "status", "objects", "new", "changed", "unchanged", "withdrawn", "rejected", "bytes", "seconds")


@click.command("history")
@click.argument("name")
@click.option("--limit", type=click.IntRange(1, 1000), default=KEPT_RUNS, show_default=True, help="Runs and alarms.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object with runs, totals and alarms.")
@click.pass_obj
def show_history(directory: Path, name: str, limit: int, as_json: bool) -> None:
    """Show a feed's last runs, the newest first, what all have brought together, and its alarms.

    NAME may be an account that posts: it has no runs, and its alarms are shown.
    """
    with opened(directory) as node:
        conn = node.store.conn
        # An account that posts has no runs, and may have alarms.
        if name not in node.feed_files.faults and name not in sources(conn):
            node.feed(name)
        runs, alarms = history(conn, name, limit), alarms_of(conn, name, limit)
        together = totals_of(conn).get(name, Totals())
    if as_json:
        told = [{"began": moment(one.began), **asdict(one.report)} for one in runs]
        emit({"feed": name, "totals": together._asdict(), "alarms": [_alarm(one) for one in alarms], "runs": told})
        return
    for one in alarms:
        _show_alarm(one)
    click.echo("together  " + "  ".join(f"{count} {what}" for what, count in together._asdict().items()))
    rows = [
        (when(one.began), _outcome(one.report), *(getattr(one.report, what) for what in _HEADINGS[2:])) for one in runs
    ]
    table(_HEADINGS, rows)
    for run in runs:
        for said in filter(None, (run.report.error, run.report.note)):
            click.echo(f"{when(run.began)}  {safe(said)}")


def _outcome(report: FeedReport) -> str:
    return "stopped" if report.stopped else "alarm" if report.doubt else report.status


def _alarm(one: Alarm) -> dict[str, object]:
    times = {what: None if at is None else moment(at) for what, at in _times(one).items()}
    about = {what: said for what, said in one.about.items() if what != "numbers"}
    return {
        "kind": one.kind,
        "text": one.text,
        **about,
        "times": one.times,
        **times,
        "by": one.person,
        "reason": one.reason,
    }


def _times(one: Alarm) -> dict[str, int | None]:
    return {"first": one.first, "last": one.last, "acknowledged": one.acknowledged}


def _show_alarm(one: Alarm) -> None:
    state = "open" if one.acknowledged is None else f"acknowledged {when(one.acknowledged)} by {safe(one.person or '')}"
    times = "once" if one.times == 1 else f"{one.times} times"
    # The text is that of the run's fault, which says first that it is one.
    text = one.text.removeprefix("alarm: ")
    click.echo(f"alarm     {when(one.first)}  {one.kind}, {times}, {state}: {safe(text)}")
    if one.reason:
        click.echo(f"    reason  {safe(one.reason)}")
    if one.kind == OWN:
        for what, shown in (("values", defanged), ("objects", safe), ("said_by", safe)):
            for text in one.about[what]:
                click.echo(f"    {what.replace('_', ' ')}  {shown(text)}")


@click.command("acknowledge")
@click.argument("name")
@signed
@click.pass_obj
def acknowledge(directory: Path, name: str, reason: str, person: str | None, as_json: bool) -> None:
    """Close the open alarms about a feed, or an account that posts, with who looked at them and what was found."""
    with opened(directory) as node:
        by = by_whom(directory, node, person, reason)
        count = acknowledge_alarms(node.store, name, by.person, reason, node.now())
    if as_json:
        emit({"feed": name, "acknowledged": count, "by": by.person})
    else:
        say(f"{count} alarms about {name} are acknowledged by {safe(by.person)}")
