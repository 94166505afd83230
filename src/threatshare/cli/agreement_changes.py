"""``threatshare agreement diff`` and ``confirm``: what changed in the terms, what that would do, who stands for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from threatshare.cli.agreement_views import agreement_with, version_of
from threatshare.cli.authority import tell
from threatshare.cli.output import emit, safe, say
from threatshare.cli.signature import by_whom, signed
from threatshare.config import toml_text
from threatshare.errors import UsageError
from threatshare.model import CollectionKind, Decision, Reason, Verdict
from threatshare.node import Node, opened
from threatshare.policy import agreements
from threatshare.policy.agreement_words import Change, changes
from threatshare.policy.agreements import Agreement
from threatshare.publish import publish
from threatshare.share.outlets import Outlet, PublishReport
from threatshare.store.agreements import Waiting, acting, confirm, history
from threatshare.store.releases import releases_of

_SHOWN = 20
"""Objects that are named with their reasons."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What the next publish would do in one collection."""

    alias: str
    released: int
    withdrawn: int
    held: int
    refused: int
    objects: tuple[tuple[str, Decision], ...]
    """The first that stand there and would be withdrawn, with the gate's decision."""


@click.command()
@click.argument("partner")
@click.option(
    "--against",
    metavar="VERSION|FILE",
    help="A version that was in force, or a file that is to take the present one's place; else the version before.",
)
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def diff(directory: Path, partner: str, against: str | None, as_json: bool) -> None:
    """Show what changed in the terms with PARTNER, and what the next publish would do under the later ones.

    Nothing is changed: the gate decides in a dry run, over every collection for partners.
    """
    with opened(directory) as node:
        before, after = _compared(node, partner, against)
        found = changes(before, after)
        effects = list(_effects(node, after))
        waiting = acting(node.store.conn, {partner: after})[partner].waiting
    if as_json:
        emit(
            {"partner": partner, "from": _told_version(before), "to": _told_version(after)}
            | {"changes": [_told_change(one) for one in found], "effects": [_told_effect(one) for one in effects]}
            | {"waiting": told_waiting(waiting)}
        )
        return
    click.echo(f"{partner}: version {before.version} -> version {after.version}")
    for change in found:
        click.echo(f"    {safe(change.words)}")
    if not found:
        click.echo("    the terms are the same")
    elif before.version == after.version:
        say("The terms differ and the version is the same: raise it.")
    if waiting is not None:
        click.echo(f"    {safe(waiting.words)}")
    for effect in effects:
        _show(effect)


@click.command("confirm")
@click.argument("partner")
@click.option("--digest", "wanted", help="Confirm only if the terms have this digest, or one that begins so.")
@signed
@click.pass_obj
def confirmed(
    directory: Path, partner: str, wanted: str | None, reason: str, person: str | None, as_json: bool
) -> None:
    """Confirm the terms with PARTNER that let more leave than those in force: two different persons have to.

    It is for the terms as they stand in the file now, and for no later change of them. `agreement diff` shows them.
    """
    with opened(directory) as node:
        waiting = _waiting(node, partner)
        if wanted is not None and not waiting.digest.startswith(wanted.lower()):
            raise UsageError(f"the terms in the file have the digest {waiting.digest}, not {wanted}: see what changed")
        by = by_whom(directory, node, person, reason)
        tell("digest", waiting.digest)
        acts = confirm(node.store, waiting, by)
    if as_json:
        told = {"partner": partner, "version": waiting.version, "digest": waiting.digest, "by": by.person}
        emit(told | {"confirmed_by": [*(one.person for one in waiting.signed), by.person], "acts": acts})
    elif acts:
        say(f"two persons have confirmed version {waiting.version}: it acts from the next publish on")
    else:
        say(f"1 of 2, by {safe(by.person)}: version {waiting.version} waits for a second, different person")


def _waiting(node: Node, partner: str) -> Waiting:
    """Gives what waits; raises UsageError where nothing does."""
    filed = agreement_with(node, partner)
    waiting = acting(node.store.conn, {partner: filed})[partner].waiting
    if waiting is None:
        raise UsageError(f"the agreement with {partner} acts as its file has it: nothing waits to be confirmed")
    return waiting


def told_waiting(waiting: Waiting | None) -> dict[str, object] | None:
    """Gives what waits for JSON."""
    if waiting is None:
        return None
    told = {"version": waiting.version, "digest": waiting.digest, "loosens": list(waiting.loosens)}
    return told | {"confirmed_by": [one.person for one in waiting.signed], "acting_version": waiting.base_version}


def _compared(node: Node, partner: str, against: str | None) -> tuple[Agreement, Agreement]:
    """Gives the earlier and the later agreement."""
    current = agreement_with(node, partner)
    if against is not None and against.isdecimal():
        return version_of(node, partner, int(against), agreements.digest_of(current)), current
    if against is not None:
        file = Path(against)
        if not file.is_file():
            raise UsageError(f"--against {against}: neither a version number nor a file")
        proposed = agreements.parse_agreement(toml_text(file), str(file))
        if proposed.partner != partner:
            raise UsageError(f"{file}: partner is {proposed.partner!r}, wanted {partner!r}")
        return current, proposed
    digest = agreements.digest_of(current)
    for one in reversed(history(node.store.conn, partner)):
        if one.digest != digest:
            return agreements.parse_agreement(
                one.text, f"version {one.version} of the agreement with {partner}"
            ), current
    raise UsageError(f"no other version of the agreement with {partner} was ever in force; name one with --against")


def _effects(node: Node, after: Agreement) -> Iterator[Effect]:
    """Asks the gate anew, collection by collection; others' too, since its terms say what may go on to them."""
    for outlet in node.outlets():
        if outlet.collection.kind is CollectionKind.PARTNER:
            report = publish(node.store, [_under(node, outlet, after)], dry_run=True)
            effect = _effect(node, outlet, report)
            if outlet.collection.partner == after.partner or effect.released or effect.withdrawn:
                yield effect


def _under(node: Node, outlet: Outlet, agreement: Agreement) -> Outlet:
    """Gives an outlet as it would be under an agreement."""
    known = dict(outlet.facts.agreements) | {agreement.partner: agreement}
    return node.outlet(outlet.collection, node.facts(known), outlet.now)


def _effect(node: Node, outlet: Outlet, report: PublishReport) -> Effect:
    ids = [object_id for _, object_id, _ in report.decisions]
    standing = releases_of(node.store.conn, outlet.collection.number, ids)
    gone = [
        (object_id, decision)
        for _, object_id, decision in report.decisions
        if object_id in standing and standing[object_id].served
    ]
    alias = outlet.collection.alias
    counts = (report.released[alias], report.withdrawn, report.held, report.refused)
    return Effect(alias, *counts, tuple(gone[:_SHOWN]))


def _show(effect: Effect) -> None:
    click.echo(f"{effect.alias}: the next publish would")
    click.echo(f"    release   {effect.released:>6}\n    withdraw  {effect.withdrawn:>6}")
    click.echo(f"    hold      {effect.held:>6}\n    refuse    {effect.refused:>6}")
    for object_id, decision in effect.objects:
        click.echo(f"    withdraw {safe(object_id)}")
        for reason in _against(decision):
            click.echo(f"        {reason.verdict:<8} {reason.rule}: {safe(reason.text)}")
    if effect.withdrawn > len(effect.objects):
        say(f"... and {effect.withdrawn - len(effect.objects)} more would be withdrawn from {effect.alias}")


def _against(decision: Decision) -> list[Reason]:
    return [one for one in decision.reasons if one.verdict is not Verdict.RELEASE]


def _told_version(one: Agreement) -> dict[str, object]:
    return {"version": one.version, "digest": agreements.digest_of(one)}


def _told_change(one: Change) -> dict[str, object]:
    return {"key": one.key, "from": one.before, "to": one.after, "effect": one.effect, "words": one.words}


def _told_effect(one: Effect) -> dict[str, object]:
    counts = {"released": one.released, "withdrawn": one.withdrawn, "held": one.held, "refused": one.refused}
    objects = [
        {"object": object_id, "reasons": [{"rule": each.rule, "text": each.text} for each in _against(decision)]}
        for object_id, decision in one.objects
    ]
    return {"collection": one.alias} | counts | {"objects": objects}
