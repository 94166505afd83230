"""``threatshare sighting``, ``false-positive`` and ``withdraw``: what people say of values, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from threatshare import feedback
from threatshare.cli.authority import tell
from threatshare.cli.days import Moment
from threatshare.cli.output import defanged, emit, say
from threatshare.cli.signature import by_whom, signed
from threatshare.feedback import Outcome
from threatshare.model import Micros
from threatshare.node import Node, opened
from threatshare.stix.opinions import GROUNDS
from threatshare.store.daemons import daemon_runs
from threatshare.store.feedback import Told
from threatshare.store.releases import decisions_on

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
        leaving = _leaving(directory, node, done)
    _tell("sighting", done, undo, by.person, leaving, as_json)


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
        leaving = _leaving(directory, node, done)
    _tell("false-positive", done, undo, by.person, leaving, as_json)


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
        leaving = _leaving(directory, node, done)
    _tell("withdraw", done, undo, by.person, leaving, as_json)


@dataclass(frozen=True, slots=True)
class _Leaving:
    """When what was said reaches the collections."""

    at_once: bool
    """Whether a daemon runs, which publishes without being asked."""
    stood: frozenset[str]
    """Ids of the withdrawn objects that had ever left for a collection."""

    def words(self, object_id: str, what: str) -> str:
        """Says of one object what becomes of it, and when."""
        if object_id not in self.stood:
            return "has not been published, and will not be"
        return self.soon(what)

    def soon(self, what: str) -> str:
        """Says when something happens that publishing does."""
        return f"{what}, {'by the daemon, at once' if self.at_once else 'with the next `threatshare publish`'}"


def _leaving(directory: Path, node: Node, done: Outcome) -> _Leaving:
    # Not whether it is served: a daemon may have taken it out since.
    left = (one for one in done.withdrawn if any(past.digest for _, past in decisions_on(node.store.conn, one)))
    return _Leaving(daemon_runs(directory), frozenset(left))


def _tell(action: str, done: Outcome, undone: bool, person: str, leaving: _Leaving, as_json: bool) -> None:
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
    for one in done.withdrawn:
        say(f"    {one}: {leaving.words(one, 'leaves every collection')}")
    for what, ids in (("comes back", done.restored), ("told to its maker where the agreement takes it", done.told)):
        for one in ids:
            say(f"    {one}: {leaving.soon(what)}")
    if done.stays:
        say(f"    {done.stays}")
