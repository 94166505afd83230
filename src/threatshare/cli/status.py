"""``threatshare status`` and ``doctor``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from threatshare.cli.account_terms import disputed_accounts, nearly_used_up
from threatshare.cli.feed_health import feed_problems, feeds_at_work
from threatshare.cli.output import defanged, emit, safe, say, table, when
from threatshare.cli.person import people_problems
from threatshare.config import ASSETS_FILE, STORE_FILE
from threatshare.errors import ConfigurationError
from threatshare.model import CollectionKind, moment
from threatshare.node import Node, opened
from threatshare.partners.ground import to_see_to
from threatshare.policy.agreements import standing
from threatshare.policy.disguise import wants_disguise
from threatshare.policy.introduction import problems
from threatshare.policy.people import load_people
from threatshare.policy.profiles import read_profiles
from threatshare.share.exposure import exposures
from threatshare.share.introductions import hindrance
from threatshare.share.push_settings import load_targets
from threatshare.share.security_txt import faults
from threatshare.stix.lookalikes import as_read
from threatshare.store.accounts import readers_of
from threatshare.store.collections import collections
from threatshare.store.entries import entries_held
from threatshare.store.exclusions import exclusions
from threatshare.store.exercises import running_exercises
from threatshare.store.feed_alarms import open_alarms
from threatshare.store.releases import queue_length, verdict_counts
from threatshare.store.removals import removals
from threatshare.store.rights import foreign_readings, untied_readings
from threatshare.store.runs import feed_states, jobs, reject_counts, rejects
from threatshare.store.sources import sources
from threatshare.store.targets import target_states
from threatshare.store.totals import sqlite_version, totals


@click.command()
@click.option("--rejects", "show_rejects", is_flag=True, help="Show what was rejected and why, what came last first.")
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
        ("feed", "state", "last run", "last success", "next run", "failures", "last report"),
        [
            (one["feed"], one["state"], one["last_run"], one["last_success"] or "-")
            + (one["next_run"], one["failures"], one["told"])
            for one in told["feeds"]
        ],
    )
    for alarm in told["alarms"]:
        see = f"see `threatshare feed history {alarm['feed']}`"
        click.echo(f"alarm     {alarm['of']} {alarm['feed']}: {safe(alarm['text'])}; {see}")
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
    counts, states, known = verdict_counts(conn), feed_states(conn), sources(conn)
    posting = {name for name, one in known.items() if one.kind == "partner"}
    return {
        "node": node.settings.node.name,
        "identity": node.settings.node.identity,
        "purpose": node.settings.node.purpose,
        "store": totals(conn) | {"waiting for the siem collection": queue_length(conn)},
        "feeds": feeds_at_work(node, states),
        "alarms": [
            {"feed": one.feed, "kind": one.kind, "text": one.text, "first": when(one.first), "last": when(one.last)}
            | {"of": "account" if one.feed in posting else "feed"}
            for one in open_alarms(conn)
        ],
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
    return entries_held(node.store.conn, number)


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
        found += [reason.text for reason in standing(agreement, node.today())]
        found += to_see_to(node.store.conn, agreement, node.today())
    found += [one.waiting.words for one in node.acting.values() if one.waiting is not None]
    for one in collections(node.store.conn):
        if one.partner and one.partner not in node.agreements:
            found.append(f"collection {one.alias}: no agreement with {one.partner}, nothing leaves for it")
    found += _foreign(node) + _unfit(node) + _blocked(node) + _named(node)
    found += exposures(node.settings.serve, node.directory, node.store.conn, node.now())
    found += [
        f"exercise {one.name} was until {one.until} and is over: `threatshare exercise end {one.name}` purges it"
        for one in running_exercises(node.store.conn)
        if one.until < node.today()
    ]
    return found + _lost(node)


def _lost(node: Node) -> list[str]:
    """Says who lost a running exercise, and in which no partner remains."""
    found = []
    for one in running_exercises(node.store.conn):
        for out in exclusions(node.store.conn, one.name, True):
            who = out.partner or "accounts of no partner"
            again = f"; `threatshare exercise invite {one.name} {who}` lets it in again" if out.partner else ""
            found.append(f"exercise {one.name} is closed to {who}: {out.reason}{again}")
        found += [] if one.present else [f"exercise {one.name}: no partner remains in it"]
    return found


def _foreign(node: Node) -> list[str]:
    """Says which accounts of partners were granted to read what is not theirs, and how to take it from them."""
    filed = {partner: one.filed for partner, one in node.acting.items()}
    return [
        f"{text}: take it away with `threatshare account withdraw`, or revoke the account"
        for text in foreign_readings(node.store.conn, filed)
    ]


def _unfit(node: Node) -> list[str]:
    """Says where what a partner wants of a submission keeps everything here, and which profiles cannot be read."""
    profiles, found = read_profiles(node.directory)
    for agreement in node.agreements.values():
        found += problems(agreement, node.settings.node, profiles)
    facts, now = node.facts(), node.now()
    for one in collections(node.store.conn):
        if one.kind is CollectionKind.PARTNER:
            kept = hindrance(node.outlet(one, facts, now))
            reasons = kept.reasons if kept is not None else ()
            found += [f"collection {one.alias}: nothing leaves for it: {why.text}" for why in reasons]
    return found


def _named(node: Node) -> list[str]:
    """Says which accounts of partners that are not told who we are read our name as the title of our server."""
    title = node.settings.serve.title or node.settings.node.name
    if as_read(node.settings.node.name) not in as_read(title):
        return []
    hidden = {name for name, one in node.agreements.items() if wants_disguise(one.outbound)}
    return [
        f"account {account} of {one.partner}, which is not told who we are, reads {title!r} as the server's title: set "
        "serve.title in node.toml, and mind the server's address and security.txt"
        for one in collections(node.store.conn)
        if one.partner in hidden
        for account in readers_of(node.store.conn, one)
    ]


def _blocked(node: Node) -> list[str]:
    """Says which targets had to hold back in their last run what was ready to go."""
    found = []
    for name, state in target_states(node.store.conn).items():
        report = json.loads(state.report) if state.report else {}
        if report.get("status") == "held":
            found.append(f"push {name}: {report['error']}")
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
    for at, origin, one, times in rejects(node.store.conn, None, limit):
        if as_json:
            told = {"at": moment(at), "from": origin, "place": one.place, "reason": one.reason, "text": one.text}
            emit(told | {"times": times})
        else:
            again = f" ({times} times, last then)" if times > 1 else ""
            click.echo(f"{when(at)}  {safe(origin)}  {safe(one.place)}: {safe(one.reason)}{again}")
            if one.text:
                click.echo(f"    {defanged(one.text[:160])}")


@click.command()
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def doctor(directory: Path, as_json: bool) -> None:
    """Show what is misconfigured and how to mend it. Exit code 1: something is."""
    with opened(directory) as node:
        found = [*_warnings(node), *people_problems(node)]
        version = sqlite_version(node.store.conn)
        if version < (3, 51, 3):
            found.append(f"SQLite {version} can corrupt a WAL database: install pysqlite3 0.6.1 or later")
        mode = (node.directory / STORE_FILE).stat().st_mode
        if mode & 0o077:
            found.append(f"others can read {node.directory / STORE_FILE}: chmod 600 it")
        if node.settings.serve.public_url is None and node.settings.serve.host not in ("127.0.0.1", "::1"):
            found.append("serve.public_url is not set: discovery tells clients the address they came by")
        found += faults(node.settings.contact, node.today())
        found += feed_problems(node)
        found += [
            f"{text}: say so with `threatshare account tie`, or by an agreement that names it, so that its reading ends"
            " with that agreement"
            for text in untied_readings(node.store.conn)
        ]
        found += disputed_accounts(node)
        found += nearly_used_up(node)
        for name, one in node.feeds.items():
            if one.url and one.url.startswith("http://") and not one.allow_private_address:
                found.append(f"feed {name}: http:// shows everything to the network; use https://")
    for text in found:
        if as_json:
            emit({"problem": text})
        else:
            click.echo(safe(text))
    if load_people(directory) is None:
        say(
            "Note: there is no people.toml, so whoever can reach the node does everything, and a second person is only"
            " a second name, which proves nothing. See `threatshare person add --help`."
        )
    if found:
        sys.exit(1)
    say("nothing is wrong")
