"""``threatshare publish`` and ``why``: what leaves, what does not, and why."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from threatshare.cli.agreement_changes import told_waiting
from threatshare.cli.output import defanged, emit, safe, say, when
from threatshare.errors import BadValue, UsageError
from threatshare.exercises import deserted, examine
from threatshare.findings.third_parties import never_told
from threatshare.model import Decision, Observable, Reason, Role, Verdict
from threatshare.node import Node, opened
from threatshare.publish import publish as let_out
from threatshare.share.exercise_members import Examined
from threatshare.share.outlets import PublishReport
from threatshare.share.views import ids_of
from threatshare.stix.observables import recognise
from threatshare.stix.received import read_object
from threatshare.store.collections import collections
from threatshare.store.disguises import our_ids
from threatshare.store.keys import object_key
from threatshare.store.objects import current
from threatshare.store.observations import seen_of
from threatshare.store.releases import decisions_on
from threatshare.store.sources import OWN, sources


@click.command()
@click.option("--dry-run", is_flag=True, help="Show what would leave, and undo it.")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def publish(directory: Path, dry_run: bool, as_json: bool) -> None:
    """Release to collections what the gate lets out, and withdraw what may no longer stand.

    Exit code 1: something was held or refused, and nothing released.
    """
    with opened(directory) as node:
        if not dry_run:
            node.rescore()
        outlets = node.outlets()
        exercises = examine(node.store, node.facts(), node.identity_object, node.now(), dry_run)
        report = let_out(node.store, outlets, dry_run)
        waiting = [one.waiting for one in node.acting.values() if one.waiting is not None]
    if as_json:
        told = {
            "released": report.released,
            "held": report.held,
            "refused": report.refused,
            "withdrawn": report.withdrawn,
            "reasons": [_told(alias, one, decision) for alias, one, decision in report.decisions],
            "changes": [
                {"change": what, "collection": alias, "object": one, "name": name}
                for what, alias, one, name in report.changes
            ],
        }
        if waiting:
            told["waiting"] = [{"partner": one.partner} | (told_waiting(one) or {}) for one in waiting]
        if exercises:
            told["exercises"] = [asdict(one) for one in exercises]
        emit(told | ({"dry_run": True} if dry_run else {}))
    else:
        _show(report, dry_run)
        _show_exercises(exercises)
    for one in waiting:
        say(f"The former terms act: {safe(one.words)}")
    if (report.held or report.refused) and not any(report.released.values()):
        sys.exit(1)


_SHOWN = 50
"""Changes that a dry run shows."""


def _show(report: PublishReport, dry_run: bool) -> None:
    for alias, count in report.released.items():
        click.echo(f"{'would release' if dry_run else 'released'}  {count:>6}  to {alias}")
    click.echo(f"held      {report.held:>6}\nrefused   {report.refused:>6}\nwithdrawn {report.withdrawn:>6}")
    for what, alias, object_id, name in report.changes[:_SHOWN] if dry_run else []:
        click.echo(f"{alias}: would {what} {defanged(name)}  {object_id}")
    if dry_run and len(report.changes) > _SHOWN:
        say(f"shown are {_SHOWN} changes; --json has up to a thousand")
    for alias, object_id, decision in report.decisions[:20]:
        click.echo(f"{alias}: {object_id}: {decision.verdict}")
        _show_reasons(_against(decision.reasons))
    if len(report.decisions) > 20:
        say(f"... and {len(report.decisions) - 20} more; see `threatshare review --refused`")


def _show_exercises(exercises: Sequence[Examined]) -> None:
    """Says who has lost an exercise with this run, and what was withdrawn from it."""
    for one in exercises:
        for partner, reason in one.excluded:
            say(f"exercise {one.exercise}: closed to {safe(partner) or 'accounts'}: {safe(reason)}")
        if one.withdrawn:
            say(f"exercise {one.exercise}: {one.withdrawn} injects withdrawn")
        if one.deserted:
            say(deserted(one.exercise))


def _against(reasons: tuple[Reason, ...]) -> tuple[Reason, ...]:
    """Picks the reasons that keep an object here; `why` shows all."""
    return tuple(one for one in reasons if one.verdict is not Verdict.RELEASE)


def _show_reasons(reasons: tuple[Reason, ...]) -> None:
    for reason in reasons:
        click.echo(f"    {reason.verdict:<8} {reason.rule}: {safe(reason.text)}")


def _told(alias: str, object_id: str, decision: Decision) -> dict[str, object]:
    return {
        "collection": alias,
        "object": object_id,
        "verdict": decision.verdict,
        "reasons": [{"rule": one.rule, "verdict": one.verdict, "text": one.text} for one in decision.reasons],
    }


@click.command()
@click.argument("subject")
@click.option("--partner", help="Only this partner's collections.")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def why(directory: Path, subject: str, partner: str | None, as_json: bool) -> None:
    """Tell why SUBJECT (an object id of ours, or a value) left, or did not.

    Exit code 1: the gate has not been asked about it.
    """
    with opened(directory) as node:
        found = [
            (alias, release)
            for object_id in _ids_of(node, subject)
            for alias, release in decisions_on(node.store.conn, object_id)
            if partner is None or alias in _aliases_of(node, partner)
        ]
        told = [] if found or "--" in subject else _kept_here(node, recognise(subject))
    for alias, release in found:
        if as_json:
            emit(
                _told(alias, release.object_id, Decision(release.verdict, release.reasons))
                | {"at": when(release.at), "withdrawn": release.withdrawn, "life": release.life}
            )
        else:
            state = "withdrawn" if release.withdrawn else release.verdict
            click.echo(f"{alias}: {release.object_id}: {state}, {when(release.at)}")
            _show_reasons(release.reasons)
    if not found:
        for text in told or ["the gate has not been asked about this; run `threatshare publish` (or with --dry-run)"]:
            say(safe(text))
        sys.exit(1)


def _kept_here(node: Node, observable: Observable) -> list[str]:
    """Says why the gate was never asked about a value."""
    told = []
    never = never_told(observable)
    if node.assets.owns(observable):
        told.append("it is ours (own-assets.toml), so no indicator was made of it")
    elif never is not None:
        told.append(f"it is {never}, so no indicator was made of it")
    kept = node.facts().never_share.names(observable)
    if kept is not None:
        told.append(f"it never leaves: {kept} (never-share.toml)")
    for seen in seen_of(node.store.conn, node.store.key_of, [observable]).get(observable, ()):
        held = "; held: see `threatshare review`" if seen.role is Role.UNKNOWN else ""
        told.append(f"{seen.sensor} saw it as {seen.role}: {seen.why.removesuffix('; held')}{held}")
    return told


def _ids_of(node: Node, subject: str) -> list[str]:
    if "--" in subject:
        known = our_ids(node.store.conn, subject)
        if known:
            return known
        own = sources(node.store.conn).get(OWN)
        body = current(node.store.conn, object_key(node.store.key_of, own.number, subject)) if own else None
        return [read_object(body).id if body else subject]
    try:
        observable = recognise(subject)
    except BadValue as problem:
        raise UsageError(f"{subject!r} is neither an object id nor a value: {problem}") from problem
    return ids_of(collections(node.store.conn), node.settings.node.identity, observable)


def _aliases_of(node: Node, partner: str) -> set[str]:
    return {one.collection.alias for one in node.outlets() if one.collection.partner == partner}
