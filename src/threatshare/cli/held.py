"""What is held, as ``review`` shows it: values of unknown role, and objects that the gate holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import click

from threatshare.cli.output import defanged, emit, safe, when
from threatshare.model import Seen
from threatshare.node import Node
from threatshare.policy.approvals import needs_two
from threatshare.review import GateGroup, Group

BY = ("sensor", "why")
EXAMPLES = 3
"""Values or objects that are named as examples."""


def show_value(seen: Seen, as_json: bool) -> None:
    """Shows one held value."""
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
    ids = [one for group in gated for one in sorted(group.objects)[:EXAMPLES]]
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
    for one in sorted(group.objects)[:EXAMPLES]:
        click.echo(click.style(f"    e.g. {defanged(names.get(one, ''))}  {one}", dim=True))
