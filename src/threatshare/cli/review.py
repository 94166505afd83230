"""``threatshare review``: what is held, in groups, and the decisions that people take about it."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from threatshare.cli.authority import tell
from threatshare.cli.output import defanged, emit, safe, say, when
from threatshare.cli.signature import by_whom, signed
from threatshare.errors import UsageError
from threatshare.model import Role, Seen
from threatshare.node import Node, opened
from threatshare.policy.approvals import needs_two
from threatshare.review import (
    GROUPINGS,
    Chosen,
    GateGroup,
    Group,
    choose,
    decide_releases,
    decide_roles,
    end_standing,
    gate_groups,
    groups,
    keep_as_own,
    keep_unshared,
    select,
    waiting_for_second,
)
from threatshare.store.decisions import Action, ByWhom, Scope, covered_by, decisions
from threatshare.store.releases import refused

_ROLES = [role.value for role in Role if role is not Role.UNKNOWN]
BY = ("sensor", "why")
_SOME = 3
"""Values or objects that are named as examples."""
_SHOWN = 50
"""Rows of each sort on a terminal, unless --limit says otherwise; scripts get all."""


def _scoped(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options that say which held values are meant."""
    for option in (
        click.option("--kind", help="Only values of this kind, e.g. ipv4-addr or file:SHA-256."),
        click.option("--network", help="Only this network or registrable domain, as `--by network` shows it."),
        click.option("--sensor", help="Only what this sensor reported, e.g. suricata-eve."),
    ):
        command = option(command)
    return command


@click.group(invoke_without_command=True)
@click.option(
    "--by", multiple=True, type=click.Choice(GROUPINGS), help="What to group by, several times.  [default: sensor, why]"
)
@_scoped
@click.option("--values", is_flag=True, help="List every held value instead of groups.")
@click.option("--refused", "show_refused", is_flag=True, help="List what the gate refuses, too: nobody can approve it.")
@click.option("--limit", type=click.IntRange(1), help="Rows of each sort.  [default: 50, with --json all]")
@click.option("--json", "as_json", is_flag=True)
@click.pass_context
def review(
    ctx: click.Context,
    by: tuple[str, ...],
    sensor: str | None,
    network: str | None,
    kind: str | None,
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
    scope = Scope(sensor, network, kind)
    most = limit or (sys.maxsize if as_json else _SHOWN)
    with opened(ctx.obj) as node:
        found = groups(node.store.conn, by or BY, scope)
        listed = select(node.store.conn, scope)[:most] if values else []
        # What narrows values by where they were seen says nothing of objects.
        gated = gate_groups(node.store.conn) if scope.is_open else []
        names = names_of(node, gated[:most])
        kept_back = refused(node.store.conn, most) if show_refused else []
    for seen in listed:
        _show_value(seen, as_json)
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


def _show_value(seen: Seen, as_json: bool) -> None:
    if as_json:
        emit(
            {"held": "role", "type": seen.observable.kind.stix_type, "value": seen.observable.value}
            | {"sensor": seen.sensor, "count": seen.count, "last": when(seen.last_seen), "why": seen.why}
        )
    else:
        click.echo(f"{seen.observable.kind}  {defanged(seen.observable.value)}  {seen.count} times, {seen.sensor}")
        click.echo(f"    last {when(seen.last_seen)}: {safe(seen.why)}")


def show_group(group: Group, as_json: bool) -> None:
    """Shows held values that one decision can answer."""
    if as_json:
        emit(_told(group))
        return
    scope = group.scope
    heads = [one for one in (scope.sensor, scope.kind, scope.network) if one]
    click.echo(
        f"{click.style(group.id, bold=True)}  {safe('  '.join(heads)) or 'all'}  "
        f"{group.values} values, {group.events} events, last {when(group.last)}"
    )
    if scope.why:
        click.echo(f"    {safe(scope.why)}")
    examples = ", ".join(defanged(one.observable.value) for one in group.examples[:3])
    click.echo(click.style(f"    e.g. {examples}", dim=True))


def _told(group: Group) -> dict[str, object]:
    scope = group.scope
    return {
        "held": "role",
        "group": group.id,
        "sensor": scope.sensor,
        "kind": scope.kind,
        "network": scope.network,
        "why": scope.why,
        "values": group.values,
        "events": group.events,
        "first": when(group.first),
        "last": when(group.last),
        "examples": [one.observable.value for one in group.examples],
    }


def names_of(node: Node, gated: list[GateGroup]) -> dict[str, str]:
    """Gives what some of the held objects are about, by id."""
    ids = [one for group in gated for one in sorted(group.objects)[:_SOME]]
    return {one: name for one in ids if (name := node.name_of(one)) is not None}


def show_gate(group: GateGroup, names: Mapping[str, str], as_json: bool) -> None:
    """Shows objects that the gate holds for the same reasons."""
    reasons = [f"{one.rule}: {one.text}" for one in group.reasons]
    if as_json:
        emit(
            {"held": "gate", "group": group.id, "collection": group.alias, "rules": group.rules}
            | {"objects": sorted(group.objects), "names": names, "reasons": reasons}
            | {"persons": 2 if any(map(needs_two, group.rules)) else 1, "approved_by_one": group.halfway}
        )
        return
    click.echo(f"{click.style(group.id, bold=True)}  {group.alias}  {len(group.objects)} objects")
    for text in reasons:
        click.echo(f"    {safe(text)}")
    for name, count in Counter(group.halfway.values()).items():
        click.echo(f"    1 of 2, by {safe(name)}: {count} waiting for a second person")
    for one in sorted(group.objects)[:_SOME]:
        click.echo(click.style(f"    e.g. {defanged(names.get(one, ''))}  {one}", dim=True))


# --- decisions ----------------------------------------------------------------------------------------------------


@review.command()
@click.argument("what", nargs=-1)
@click.option("--role", type=click.Choice(_ROLES), required=True, help="The part that the values play.")
@_scoped
@click.option("--standing", is_flag=True, help="It holds for what comes later too.")
@signed
@click.pass_obj
def assign(
    directory: Path,
    what: tuple[str, ...],
    role: str,
    sensor: str | None,
    network: str | None,
    kind: str | None,
    standing: bool,
    reason: str,
    person: str | None,
    as_json: bool,
) -> None:
    """Give held values a role: WHAT names groups or values, the options narrow them.

    attacker, c2, payload and phish-sender make indicators of them.
    """
    with opened(directory) as node:
        chosen, by = (
            choose(node.store.conn, what, Scope(sensor, network, kind)),
            by_whom(directory, node, person, reason),
        )
        told = carry_out(node, chosen, Action.ASSIGN, Role(role), by, standing)
    _tell(Action.ASSIGN, by, told, as_json)


@review.command()
@click.argument("what", nargs=-1)
@_scoped
@click.option("--standing", is_flag=True, help="It holds for what comes later too.")
@signed
@click.pass_obj
def reject(
    directory: Path,
    what: tuple[str, ...],
    sensor: str | None,
    network: str | None,
    kind: str | None,
    standing: bool,
    reason: str,
    person: str | None,
    as_json: bool,
) -> None:
    """Say that held values are no indicators, or that held objects shall not go out."""
    with opened(directory) as node:
        chosen, by = (
            choose(node.store.conn, what, Scope(sensor, network, kind)),
            by_whom(directory, node, person, reason),
        )
        told = carry_out(node, chosen, Action.REJECT, Role.THIRD_PARTY, by, standing)
    _tell(Action.REJECT, by, told, as_json)


@review.command()
@click.argument("what", nargs=-1, required=True)
@signed
@click.pass_obj
def approve(directory: Path, what: tuple[str, ...], reason: str, person: str | None, as_json: bool) -> None:
    """Let held objects out: WHAT names groups or objects. What a rule refuses, nobody can approve.

    What is held because it may be somebody's private data, or is free text, waits until a second, different person
    has approved it as well.
    """
    with opened(directory) as node:
        chosen, by = choose(node.store.conn, what, Scope()), by_whom(directory, node, person, reason)
        told = carry_out(node, chosen, Action.APPROVE, None, by, False)
    _tell(Action.APPROVE, by, told, as_json)


@review.command()
@click.argument("what", nargs=-1)
@_scoped
@click.option("--whole-network", is_flag=True, help="Add the network or domain of --network, not each value.")
@signed
@click.pass_obj
def own(
    directory: Path,
    what: tuple[str, ...],
    sensor: str | None,
    network: str | None,
    kind: str | None,
    whole_network: bool,
    reason: str,
    person: str | None,
    as_json: bool,
) -> None:
    """Say that held values are ours: they are added to own-assets.toml."""
    if whole_network and network is None:
        raise click.UsageError("--whole-network needs --network")
    with opened(directory) as node:
        chosen = choose(node.store.conn, what, Scope(sensor, network, kind), unheld=True)
        by = by_whom(directory, node, person, reason)
        keep_as_own(directory, chosen.observables, by, network if whole_network else None)
        told = carry_out(node, chosen, Action.OWN, Role.VICTIM_ASSET, by, False)
    _tell(Action.OWN, by, told, as_json)


@review.command("never-share")
@click.argument("what", nargs=-1)
@_scoped
@signed
@click.pass_obj
def never_share(
    directory: Path,
    what: tuple[str, ...],
    sensor: str | None,
    network: str | None,
    kind: str | None,
    reason: str,
    person: str | None,
    as_json: bool,
) -> None:
    """Say that held values never leave: they are added to never-share.toml."""
    with opened(directory) as node:
        chosen = choose(node.store.conn, what, Scope(sensor, network, kind), unheld=True)
        by = by_whom(directory, node, person, reason)
        keep_unshared(directory, chosen.observables, by)
        told = carry_out(node, chosen, Action.NEVER_SHARE, Role.THIRD_PARTY, by, False)
    _tell(Action.NEVER_SHARE, by, told, as_json)


@review.command()
@click.argument("number", type=int)
@signed
@click.pass_obj
def end(directory: Path, number: int, reason: str, person: str | None, as_json: bool) -> None:
    """End a standing decision: what it has decided stays, what comes is held again."""
    with opened(directory) as node:
        by = by_whom(directory, node, person, reason)
        end_standing(node.store, number, by)
    _tell(Action.END, by, {"decision": number}, as_json)


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
            (one, covered_by(node.store.conn, one.number, sys.maxsize if as_json else _SOME))
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
                click.echo(f"    {', '.join(defanged(text) for text in what)}{' ...' if one.covered > _SOME else ''}")
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


def carry_out(
    node: Node, chosen: Chosen, action: Action, role: Role | None, by: ByWhom, standing: bool
) -> dict[str, object]:
    """Carries a decision out; gives what came of it, for telling."""
    if chosen.objects and action not in (Action.APPROVE, Action.REJECT):
        raise UsageError("objects that the gate holds are approved or rejected, nothing else")
    if chosen.values and action is Action.APPROVE:
        raise UsageError("values of unknown role are not approved: `review assign --role` says what they are")
    before = max((one.number for one in decisions(node.store.conn, 1)), default=0)
    told: dict[str, object] = {
        "values": len(chosen.observables),
        "objects": len({one for _, ids in chosen.objects for one in ids}),
    }
    if chosen.values and role is not None:
        report = decide_roles(node.store, node.own, chosen.values, action, role, by, chosen.scope, standing)
        told |= {one: report.number(one) for one in ("new", "updated", "unchanged")}
        told |= {"sightings": len(report.sightings), "refused": len(report.refused)}
    waiting = 0
    for group, ids in chosen.objects:
        decide_releases(node.store, group, ids, action, by)
        waiting += waiting_for_second(node.store.conn, group, ids) if action is Action.APPROVE else 0
    if any(needs_two(rule) for group, _ in chosen.objects for rule in group.rules):
        told["waiting"] = waiting
    for one in decisions(node.store.conn, 1 + len(chosen.objects)):
        if one.number > before:
            tell("decisions", one.number)
    return told


def _tell(action: Action, by: ByWhom, told: dict[str, object], as_json: bool) -> None:
    if as_json:
        emit({"action": action, "by": by.person} | told)
    else:
        say(f"{action} by {by.person}: " + ", ".join(f"{count} {name}" for name, count in told.items() if count))
        if told.get("waiting"):
            say("1 of 2: what is waiting goes out once a second, different person has approved it as well")
