"""The decisions of ``threatshare review``: assign, reject, approve, own, never-share, end."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from threatshare.cli.authority import tell
from threatshare.cli.output import emit, say
from threatshare.cli.signature import by_whom, signed
from threatshare.errors import UsageError
from threatshare.model import Role
from threatshare.node import Node, opened
from threatshare.policy.approvals import needs_two
from threatshare.review import (
    Chosen,
    choose,
    decide_releases,
    decide_roles,
    end_standing,
    keep_as_own,
    keep_unshared,
    waiting_for_second,
)
from threatshare.store.decisions import Action, ByWhom, Scope, decisions

_ROLES = [role.value for role in Role if role is not Role.UNKNOWN]


def scoped(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options that say which held values are meant, and passes them on as ``scope``."""

    @wraps(command)
    def with_scope(*args: Any, sensor: str | None, network: str | None, kind: str | None, **others: Any) -> Any:
        return command(*args, scope=Scope(sensor, network, kind), **others)

    for option in (
        click.option("--kind", help="Only values of this kind, e.g. ipv4-addr or file:SHA-256."),
        click.option("--network", help="Only this network or registrable domain, as `--by network` shows it."),
        click.option("--sensor", help="Only what this sensor reported, e.g. suricata-eve."),
    ):
        with_scope = option(with_scope)
    return with_scope


@click.command()
@click.argument("what", nargs=-1)
@click.option("--role", type=click.Choice(_ROLES), required=True, help="The part that the values play.")
@scoped
@click.option("--standing", is_flag=True, help="It holds for what comes later too.")
@signed
@click.pass_obj
def assign(
    directory: Path,
    what: tuple[str, ...],
    role: str,
    scope: Scope,
    standing: bool,
    reason: str,
    person: str | None,
    as_json: bool,
) -> None:
    """Give held values a role: WHAT names groups or values, the options narrow them.

    attacker, c2, payload and phish-sender make indicators of them.
    """
    with opened(directory) as node:
        chosen, by = choose(node.store.conn, what, scope), by_whom(directory, node, person, reason)
        told = carry_out(node, chosen, Action.ASSIGN, Role(role), by, standing)
    _tell(Action.ASSIGN, by, told, as_json)


@click.command()
@click.argument("what", nargs=-1)
@scoped
@click.option("--standing", is_flag=True, help="It holds for what comes later too.")
@signed
@click.pass_obj
def reject(
    directory: Path,
    what: tuple[str, ...],
    scope: Scope,
    standing: bool,
    reason: str,
    person: str | None,
    as_json: bool,
) -> None:
    """Say that held values are no indicators, or that held objects shall not go out."""
    with opened(directory) as node:
        chosen, by = choose(node.store.conn, what, scope), by_whom(directory, node, person, reason)
        told = carry_out(node, chosen, Action.REJECT, Role.THIRD_PARTY, by, standing)
    _tell(Action.REJECT, by, told, as_json)


@click.command()
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


@click.command()
@click.argument("what", nargs=-1)
@scoped
@click.option("--whole-network", is_flag=True, help="Add the network or domain of --network, not each value.")
@signed
@click.pass_obj
def own(
    directory: Path,
    what: tuple[str, ...],
    scope: Scope,
    whole_network: bool,
    reason: str,
    person: str | None,
    as_json: bool,
) -> None:
    """Say that held values are ours: they are added to own-assets.toml."""
    if whole_network and scope.network is None:
        raise click.UsageError("--whole-network needs --network")
    with opened(directory) as node:
        chosen = choose(node.store.conn, what, scope, unheld=True)
        by = by_whom(directory, node, person, reason)
        keep_as_own(directory, chosen.observables, by, scope.network if whole_network else None)
        told = carry_out(node, chosen, Action.OWN, Role.VICTIM_ASSET, by, False)
    _tell(Action.OWN, by, told, as_json)


@click.command("never-share")
@click.argument("what", nargs=-1)
@scoped
@signed
@click.pass_obj
def never_share(
    directory: Path,
    what: tuple[str, ...],
    scope: Scope,
    reason: str,
    person: str | None,
    as_json: bool,
) -> None:
    """Say that held values never leave: they are added to never-share.toml."""
    with opened(directory) as node:
        chosen = choose(node.store.conn, what, scope, unheld=True)
        by = by_whom(directory, node, person, reason)
        keep_unshared(directory, chosen.observables, by)
        told = carry_out(node, chosen, Action.NEVER_SHARE, Role.THIRD_PARTY, by, False)
    _tell(Action.NEVER_SHARE, by, told, as_json)


@click.command()
@click.argument("number", type=int)
@signed
@click.pass_obj
def end(directory: Path, number: int, reason: str, person: str | None, as_json: bool) -> None:
    """End a standing decision: what it has decided stays, what comes is held again."""
    with opened(directory) as node:
        by = by_whom(directory, node, person, reason)
        end_standing(node.store, number, by)
    _tell(Action.END, by, {"decision": number}, as_json)


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
