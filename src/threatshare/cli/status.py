"""``threatshare status`` and ``doctor``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from threatshare.cli.output import defanged, emit, safe, say, table, when
from threatshare.config import ASSETS_FILE, STORE_FILE
from threatshare.errors import ConfigurationError
from threatshare.model import moment
from threatshare.node import Node, opened
from threatshare.policy.agreements import standing, warnings
from threatshare.share.push_settings import load_targets
from threatshare.store.collections import collections
from threatshare.store.releases import queue_length, verdict_counts
from threatshare.store.removals import removals
from threatshare.store.runs import FeedState, feed_states, jobs, reject_counts, rejects
from threatshare.store.totals import sqlite_version, totals


@click.command()
@click.option("--rejects", "show_rejects", is_flag=True, help="Show what was rejected, newest first, with reasons.")
@click.option(
    "--removals", "show_removals", is_flag=True, help="Show what private parts were cut out of findings: rule and hash."
)
@click.option("--limit", type=click.IntRange(1, 100_000), default=20, show_default=True, help="Rejects or removals.")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def status(directory: Path, show_rejects: bool, show_removals: bool, limit: int, as_json: bool) -> None:
    """Show the last and next run of everything, what is served, held and rejected."""
    with opened(directory) as node:
        if show_rejects:
            _show_rejects(node, limit, as_json)
            return
        if show_removals:
            _show_removals(node, limit, as_json)
            return
        told = _state(node)
    if as_json:
        emit(told)
        return
    click.echo(f"{told['node']}  {told['identity']}  {told['purpose']}")
    click.echo("  ".join(f"{count} {name}" for name, count in told["store"].items()))
    table(
        ("feed", "last run", "last success", "next run", "failures", "last report"),
        [
            (one["feed"], one["last_run"], one["last_success"], one["next_run"], one["failures"], one["told"])
            for one in told["feeds"]
        ],
    )
    table(("job", "last run", "next run", "report"), [tuple(one.values()) for one in told["jobs"]])
    table(
        ("collection", "kind", "partner", "entries", "release", "hold", "refuse"),
        [tuple(one.values()) for one in told["collections"]],
    )
    for name, count in told["rejected"].items():
        click.echo(f"rejected  {name}: {count} kept aside; see `threatshare status --rejects`")
    for text in told["warnings"]:
        click.echo(f"warning   {safe(text)}")


def _state(node: Node) -> dict[str, Any]:
    conn = node.store.conn
    counts, states = verdict_counts(conn), feed_states(conn)
    return {
        "node": node.settings.node.name,
        "identity": node.settings.node.identity,
        "purpose": node.settings.node.purpose,
        "store": totals(conn) | {"waiting for the siem collection": queue_length(conn)},
        "feeds": [_feed(name, states.get(name, FeedState(name))) for name in node.feeds],
        "jobs": [
            {"job": name, "last_run": when(last), "next_run": when(following), "report": report}
            for name, last, following, report in jobs(conn)
        ],
        "collections": [
            {
                "alias": one.alias,
                "kind": str(one.kind),
                "partner": one.partner or "-",
                "entries": _entries(node, one.number),
                **{verdict: counts.get(one.alias, {}).get(verdict, 0) for verdict in ("release", "hold", "refuse")},
            }
            for one in collections(conn)
        ],
        "rejected": reject_counts(conn),
        "warnings": _warnings(node),
    }


def _entries(node: Node, number: int) -> int:
    row = node.store.conn.execute("SELECT last_seq FROM collection WHERE number = ?", (number,)).fetchone()
    return int(row[0])


def _feed(name: str, state: FeedState) -> dict[str, object]:
    report = json.loads(state.report) if state.report else None
    told = "-"
    if report:
        told = f"{report['status']}: {report['objects']} objects, {report['new']} new, {report['rejected']} rejected"
        told += f" ({report['error']})" if report["error"] else ""
    return {
        "feed": name,
        "last_run": when(state.last_run),
        "last_success": when(state.last_success) if state.last_success else None,
        "next_run": when(state.next_run),
        "failures": state.failures,
        "report": report,
        "told": told,
    }


def _unreadable(node: Node) -> list[str]:
    """Says what is wrong with files that are read only when they are needed."""
    wrong = []
    for read in (lambda: node.readers, lambda: load_targets(node.directory)):
        try:
            read()
        except ConfigurationError as problem:
            wrong.append(str(problem))
    return wrong


def _missing_sources(node: Node) -> list[str]:
    """Names logs and folders that findings should arrive in and that are not there."""
    paths = [node.directory / one.path for one in node.settings.daemon.source]
    return [f"{path} is not there: daemon.source waits for it" for path in paths if not path.exists()]


def _warnings(node: Node) -> list[str]:
    found = [*_unreadable(node), *_missing_sources(node)]
    if not node.assets.filled_in:
        found.append(f"{node.directory / ASSETS_FILE} is empty and not declared so: nothing can be published")
    for agreement in node.agreements.values():
        found += [reason.text for reason in standing(agreement, node.today())] + warnings(agreement, node.today())
    for one in collections(node.store.conn):
        if one.partner and one.partner not in node.agreements:
            found.append(f"collection {one.alias}: no agreement with {one.partner}, nothing leaves for it")
    return found


def _show_removals(node: Node, limit: int, as_json: bool) -> None:
    found = removals(node.store.conn, limit)
    rows = [(when(one.at), one.rule, one.part, one.place, one.digest) for one in found]
    headings = ("at", "rule", "part", "place", "digest")
    if as_json:
        for row in rows:
            emit(dict(zip(headings, row, strict=True)))
    else:
        table(headings, rows)


def _show_rejects(node: Node, limit: int, as_json: bool) -> None:
    for at, origin, one in rejects(node.store.conn, None, limit):
        if as_json:
            emit({"at": moment(at), "from": origin, "place": one.place, "reason": one.reason, "text": one.text})
        else:
            click.echo(f"{when(at)}  {safe(origin)}  {safe(one.place)}: {safe(one.reason)}")
            if one.text:
                click.echo(f"    {defanged(one.text[:160])}")


@click.command()
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def doctor(directory: Path, as_json: bool) -> None:
    """Show what is misconfigured and how to mend it. Exit code 1: something is."""
    with opened(directory) as node:
        found = _warnings(node)
        version = sqlite_version(node.store.conn)
        if version < (3, 51, 3):
            found.append(f"SQLite {version} can corrupt a WAL database: install pysqlite3 0.6.1 or later")
        mode = (node.directory / STORE_FILE).stat().st_mode
        if mode & 0o077:
            found.append(f"others can read {node.directory / STORE_FILE}: chmod 600 it")
        if node.settings.serve.public_url is None and node.settings.serve.host not in ("127.0.0.1", "::1"):
            found.append("serve.public_url is not set: discovery tells clients the address they came by")
        for name, one in node.feeds.items():
            if one.url and one.url.startswith("http://") and not one.allow_private_address:
                found.append(f"feed {name}: http:// shows everything to the network; use https://")
    for text in found:
        if as_json:
            emit({"problem": text})
        else:
            click.echo(safe(text))
    if found:
        sys.exit(1)
    say("nothing is wrong")
