"""``threatshare review walk``: one group after another on the screen, one key for each decision."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial

import click

from threatshare.cli.authority import NotAllowed, require
from threatshare.cli.held import BY, names_of, show_gate, show_group
from threatshare.cli.output import defanged, safe, say, when
from threatshare.cli.review_decisions import carry_out
from threatshare.errors import UsageError
from threatshare.model import Role
from threatshare.node import Node
from threatshare.review import Chosen, GateGroup, Group, gate_groups, groups, keep_as_own, keep_unshared, select
from threatshare.store.decisions import Action, ByWhom, Scope

Sign = Callable[[str], ByWhom]
"""Makes a decision's signature of its reason."""

_ROLE_KEYS: Mapping[str, Role] = {
    "a": Role.ATTACKER,
    "c": Role.C2,
    "p": Role.PAYLOAD,
    "f": Role.PHISH_SENDER,
    "k": Role.KNOWN_INDICATOR,
}
_VALUE_HELP = (
    "a attacker  c c2  p payload  f phish sender  k known indicator  |  r reject  o ours  n never share  |  "
    "v values  Enter next  q quit"
)
_SCREENFUL = 40
"""Lines that are printed before a key is waited for."""
_GATE_HELP = "y approve  r reject  |  v objects  Enter next  q quit"


class _Quit(Exception):
    """The person has had enough."""


def walk_through(node: Node, sign: Sign) -> None:
    """Shows every group, waits for a key, and carries out what it says; ends behind the last one or at ``q``."""
    try:
        for group in groups(node.store.conn, BY, Scope()):
            show_group(group, False)
            _ask(_VALUE_HELP, partial(_decide_values, node, group, sign))
        for gate in gate_groups(node.store.conn):
            show_gate(gate, names_of(node, [gate]), False)
            _ask(_GATE_HELP, partial(_decide_objects, node, gate, sign))
    except _Quit:
        return
    say("that was all")


def _ask(help_line: str, act: Callable[[str], bool]) -> None:
    """Waits for keys until one has settled the matter."""
    click.echo(click.style(help_line, dim=True))
    while True:
        key = click.getchar()
        if key in ("q", "\x04"):
            raise _Quit
        if key in ("\r", "\n", " "):
            return
        try:
            if act(key):
                return
        except (UsageError, NotAllowed) as problem:
            say(str(problem))


def _decide_values(node: Node, group: Group, sign: Sign, key: str) -> bool:
    if key == "v":
        seen = select(node.store.conn, group.scope)
        _print(f"{defanged(one.observable.value)}  {one.count} times, last {when(one.last_seen)}" for one in seen)
        say(_VALUE_HELP)
        return False
    role = _ROLE_KEYS.get(key)
    action = {"r": Action.REJECT, "o": Action.OWN, "n": Action.NEVER_SHARE}.get(key, Action.ASSIGN)
    if role is None and action is Action.ASSIGN:
        say(_VALUE_HELP)
        return False
    require(node.directory, f"review {action}")
    reason = _reason(f"{action} {role or ''}".strip(), group.values)
    if reason is None:
        say(_VALUE_HELP)
        return False
    by = sign(reason)
    chosen = Chosen(select(node.store.conn, group.scope), [], group.scope)
    if action is Action.OWN:
        keep_as_own(node.directory, chosen.observables, by)
    elif action is Action.NEVER_SHARE:
        keep_unshared(node.directory, chosen.observables, by)
    settled = role or (Role.VICTIM_ASSET if action is Action.OWN else Role.THIRD_PARTY)
    _tell(carry_out(node, chosen, action, settled, by, False))
    return True


def _decide_objects(node: Node, gate: GateGroup, sign: Sign, key: str) -> bool:
    if key == "v":
        _print(f"{safe(one)}  since {when(release.at)}" for one, release in sorted(gate.objects.items()))
        say(_GATE_HELP)
        return False
    action = {"y": Action.APPROVE, "r": Action.REJECT}.get(key)
    if action is None:
        say(_GATE_HELP)
        return False
    require(node.directory, f"review {action}")
    reason = _reason(action, len(gate.objects))
    if reason is None:
        say(_GATE_HELP)
        return False
    chosen = Chosen([], [(gate, frozenset(gate.objects))], Scope())
    _tell(carry_out(node, chosen, action, None, sign(reason), False))
    return True


def _print(lines: Iterable[str]) -> None:
    """Prints lines a screenful at a time.

    No pager does it: from one, whoever runs this through sudo had a shell as the account that the node belongs to.
    """
    for number, line in enumerate(lines):
        if number and number % _SCREENFUL == 0:
            click.echo(click.style("more? [y/n]", dim=True))
            if click.getchar() not in ("y", " ", "\r", "\n"):
                return
        click.echo(line)


def _reason(what: str, count: int) -> str | None:
    """Asks for a reason; None where the person wants to choose again."""
    text = str(
        click.prompt(f"{safe(what)}, {count} held; reason (empty: choose again)", default="", show_default=False)
    )
    return text.strip() or None


def _tell(told: dict[str, object]) -> None:
    say(", ".join(f"{count} {name}" for name, count in told.items() if count))
