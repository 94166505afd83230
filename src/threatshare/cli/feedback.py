"""``threatshare sighting``, ``false-positive`` and ``withdraw``: what people say of values, and what comes of it."""

from __future__ import annotations

from pathlib import Path

import click

from threatshare import feedback
from threatshare.cli.authority import tell
from threatshare.cli.days import Moment
from threatshare.cli.output import defanged, emit, say
from threatshare.cli.signature import by_whom, signed
from threatshare.feedback import Outcome
from threatshare.model import Micros
from threatshare.node import opened
from threatshare.stix.opinions import GROUNDS
from threatshare.store.feedback import Told

_UNDO = click.option("--undo", is_flag=True, help="Take the latest one back.")


@click.command()
@click.argument("subject", metavar="VALUE")
@click.option("--count", type=click.IntRange(1, 999_999_999), default=1, show_default=True, help="How often.")
@click.option("--first", type=Moment(), help="When first, UTC.  [default: as --last]")
@click.option("--last", type=Moment(), help="When last, UTC.  [default: now]")
@_UNDO
@signed
@click.pass_obj
def sighting(
    directory: Path,
    subject: str,
    count: int,
    first: Micros | None,
    last: Micros | None,
    undo: bool,
    reason: str,
    person: str | None,
    as_json: bool,
) -> None:
    """Say that VALUE was seen in an attack here: its score rises, and whoever told us of it gets a Sighting.

    A person counts once a value and day, however often it is said.
    """
    with opened(directory) as node:
        by = by_whom(directory, node, person, reason)
        if undo:
            done = feedback.undo(node.store, node.own, Told.SIGHTING, subject, by)
        else:
            done = feedback.sighting(node.store, node.own, subject, by, count, first, last)
    _tell("sighting", done, undo, by.person, as_json)


@click.command("false-positive")
@click.argument("subject", metavar="VALUE")
@click.option(
    "--because",
    type=click.Choice(list(GROUNDS)),
    default="benign",
    show_default=True,
    help="What is told to those who gave us the value; your reason is not.",
)
@_UNDO
@signed
@click.pass_obj
def false_positive(
    directory: Path, subject: str, because: str, undo: bool, reason: str, person: str | None, as_json: bool
) -> None:
    """Say that VALUE is no evidence of an attack: its score falls, and our own indicator of it is withdrawn.

    Whoever gave us an indicator of it gets an Opinion, where the agreement takes opinions.
    """
    with opened(directory) as node:
        by = by_whom(directory, node, person, reason)
        if undo:
            done = feedback.undo(node.store, node.own, Told.FALSE_POSITIVE, subject, by)
        else:
            done = feedback.false_positive(node.store, node.own, subject, by, because)
    _tell("false-positive", done, undo, by.person, as_json)


@click.command()
@click.argument("subject", metavar="VALUE|ID")
@_UNDO
@signed
@click.pass_obj
def withdraw(directory: Path, subject: str, undo: bool, reason: str, person: str | None, as_json: bool) -> None:
    """Withdraw our indicator of a value, or any object of ours by its id, from every collection.

    It stays withdrawn when sensors see the value again, until that is undone.
    """
    with opened(directory) as node:
        by = by_whom(directory, node, person, reason)
        if undo:
            done = feedback.undo(node.store, node.own, Told.WITHDRAWAL, subject, by)
        else:
            done = feedback.withdraw(node.store, node.own, subject, by)
    _tell("withdraw", done, undo, by.person, as_json)


def _tell(action: str, done: Outcome, undone: bool, person: str, as_json: bool) -> None:
    for object_id in (*done.withdrawn, *done.restored, *done.told):
        tell("objects", object_id)
    if as_json:
        emit(
            {"action": action, "undone": undone, "number": done.number, "value": done.value, "by": person}
            | {"score": {"before": done.before, "after": done.after}}
            | {"withdrawn": done.withdrawn, "restored": done.restored, "told": done.told}
            | ({"stays": done.stays} if done.stays else {})
        )
        return
    score = f", score {done.before} -> {done.after}" if done.after is not None else ""
    say(f"{action}{' taken back' if undone else ''} by {person}: {defanged(done.value)}{score}")
    for what, ids in (
        ("leaves every collection", done.withdrawn),
        ("comes back", done.restored),
        ("told to its maker where the agreement takes it", done.told),
    ):
        for one in ids:
            say(f"    {one}: {what}, with the next `threatshare publish`")
    if done.stays:
        say(f"    {done.stays}")
