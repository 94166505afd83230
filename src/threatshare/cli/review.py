"""``threatshare review``: what is held, in groups, and the decisions that people take about it."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from threatshare.cli.held import BY, EXAMPLES, names_of, show_gate, show_group, show_value
from threatshare.cli.output import defanged, emit, safe, say, when
from threatshare.cli.review_decisions import approve, assign, end, never_share, own, reject, scoped
from threatshare.cli.signature import by_whom
from threatshare.errors import UsageError
from threatshare.node import opened
from threatshare.review import GROUPINGS, gate_groups, groups, select
from threatshare.store.decisions import Scope, covered_by, decisions
from threatshare.store.releases import refused

_SHOWN = 50
"""Rows of each sort on a terminal, unless --limit says otherwise; scripts get all."""


@click.group(invoke_without_command=True)
@click.option(
    "--by", multiple=True, type=click.Choice(GROUPINGS), help="What to group by, several times.  [default: sensor, why]"
)
@scoped
@click.option("--values", is_flag=True, help="List every held value instead of groups.")
@click.option("--refused", "show_refused", is_flag=True, help="List what the gate refuses, too: nobody can approve it.")
@click.option("--limit", type=click.IntRange(1), help="Rows of each sort.  [default: 50, with --json all]")
@click.option("--json", "as_json", is_flag=True)
@click.pass_context
def review(
    ctx: click.Context,
    by: tuple[str, ...],
    scope: Scope,
    values: bool,
    show_refused: bool,
    limit: int | None,
    as_json: bool,
) -> None:
    """Show what is held: values of unknown role, and objects that the gate holds.

    They are listed in groups. A decision names groups by their ids, or values, or objects. On a terminal, `review walk`
    goes through the groups key by key.
    """
    if ctx.invoked_subcommand is not None:
        return
    most = limit or (sys.maxsize if as_json else _SHOWN)
    with opened(ctx.obj) as node:
        found = groups(node.store.conn, by or BY, scope)
        listed = select(node.store.conn, scope)[:most] if values else []
        # What narrows values by where they were seen says nothing of objects.
        gated = gate_groups(node.store.conn) if scope.is_open else []
        names = names_of(node, gated[:most])
        kept_back = refused(node.store.conn, most) if show_refused else []
    for seen in listed:
        show_value(seen, as_json)
    for group in [] if values else found[:most]:
        show_group(group, as_json)
    for gate in gated[:most]:
        show_gate(gate, names, as_json)
    for alias, release in kept_back:
        told = [f"{one.rule}: {one.text}" for one in release.reasons if one.verdict != "release"]
        if as_json:
            emit({"refused": alias, "object": release.object_id, "reasons": told})
        else:
            click.echo(f"refused   {alias}  {release.object_id}\n    {safe('; '.join(told))}")
    _sum_up(len(found), len(gated), most)


def _sum_up(found: int, gated: int, limit: int) -> None:
    if not found and not gated:
        say("nothing is held")
    elif max(found, gated) > limit:
        say(f"{found} groups of values and {gated} of objects are held; shown are {limit} of each (--limit)")


@review.command("decisions")
@click.option("--standing", is_flag=True, help="Only those that hold for what comes later.")
@click.option(
    "--limit", type=click.IntRange(1, 1_000_000), default=50, show_default=True, help="How many, newest first."
)
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def show_decisions(directory: Path, standing: bool, limit: int, as_json: bool) -> None:
    """List who decided what, when and why."""
    with opened(directory) as node:
        made = [
            (one, covered_by(node.store.conn, one.number, sys.maxsize if as_json else EXAMPLES))
            for one in decisions(node.store.conn, limit, standing)
        ]
    for one, what in made:
        scope = {name: getattr(one.scope, name) for name in GROUPINGS if getattr(one.scope, name) is not None}
        if as_json:
            emit(
                {"decision": one.number, "at": when(one.by.at), "by": one.by.person, "reason": one.by.reason}
                | {"login": one.by.login, "action": one.action, "role": one.role, "scope": scope}
                | {"standing": one.standing, "covered": one.covered, "what": what}
            )
        else:
            role = f" {one.role}" if one.role else ""
            click.echo(
                f"{one.number}  {when(one.by.at)}  {safe(one.by.person)}  {one.action}{role}, {one.covered} held"
            )
            told = [safe(f"{name} {text}") for name, text in scope.items()]
            click.echo("    " + "; ".join([*told, *(["standing"] if one.standing else []), safe(one.by.reason)]))
            if what:
                click.echo(
                    f"    {', '.join(defanged(text) for text in what)}{' ...' if one.covered > EXAMPLES else ''}"
                )
    if not made:
        say("nothing has been decided yet")


@review.command()
@click.option("--by", "person", help="Who decides; or THREATSHARE_PERSON; else the system's user.")
@click.pass_obj
def walk(directory: Path, person: str | None) -> None:
    """Go through what is held, key by key; needs a terminal."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError(
            "`review walk` needs a terminal; scripts use `review assign`, `reject`, `approve` and the like"
        )
    from threatshare.cli.review_walk import walk_through

    with opened(directory) as node:
        walk_through(node, lambda reason: by_whom(directory, node, person, reason))


for command in (assign, reject, approve, own, never_share, end):
    review.add_command(command)
