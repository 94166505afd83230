"""``threatshare person``: who may do what on this node's command line, and the record of who did what."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from pathlib import Path

import click
import msgspec

from threatshare.cli.authority import presence, tell
from threatshare.cli.days import Day
from threatshare.cli.output import emit, safe, say, table, when
from threatshare.errors import ThreatshareError, UsageError
from threatshare.model import Micros, micros
from threatshare.node import Node, opened
from threatshare.policy.people import (
    FILE,
    ROLES,
    People,
    Person,
    digest_of,
    load_people,
    read_people,
    save_people,
    text_of,
)
from threatshare.store.acts import BEGUN, TAKEN_OVER, ActRow, acts
from threatshare.store.roster import known_people, remember_people

_DAY: Micros = 86_400_000_000
_CHANGES = ("person add", "person remove", "person restore", TAKEN_OVER)
"""Verbs of the acts that change who may do what."""


@click.group()
def person() -> None:
    """People who work with this node: their logins, their roles, their acts."""


@person.command()
@click.argument("name")
@click.option("--login", required=True, help="The operating system's user, by which the command line knows who it is.")
@click.option("--role", "roles", multiple=True, required=True, type=click.Choice(ROLES), help="Several times.")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def add(directory: Path, name: str, login: str, roles: tuple[str, ...], as_json: bool) -> None:
    """Add a person, or give one other roles: the named ones, in place of those held.

    The first one is an operator; from then on everybody may do what their roles say, and nobody changes their own.
    """
    try:
        wanted = msgspec.convert({"name": name, "login": login, "roles": sorted(set(roles), key=ROLES.index)}, Person)
    except msgspec.ValidationError as problem:
        raise UsageError(f"person {name!r}: {problem}; wanted a name and a login on one line") from problem
    with opened(directory) as node:
        people = load_people(node.directory) or People(())
        known = people.named(name)
        if known is not None and known.name.casefold() != wanted.name.casefold():
            raise UsageError(f"{safe(name)!r} looks like {known.name}, who is another person; choose another name")
        if known is not None and known.login != login:
            raise UsageError(f"{known.name} has the login {known.login}; remove that person first")
        _not_oneself(directory, people, wanted.name)
        _save(node, people.without(name).and_also(wanted))
    if as_json:
        emit(msgspec.to_builtins(wanted))
    else:
        click.echo(f"person  {safe(wanted.name)}  {safe(login)}  {', '.join(wanted.roles)}")
    if not people.persons:
        say(f"From now on {node.directory / FILE} says who may do what; `threatshare person add` adds the others.")


@person.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def remove(directory: Path, name: str, as_json: bool) -> None:
    """Take all roles from a person, at once; what they did stays on record. One operator always stays."""
    with opened(directory) as node:
        people = load_people(node.directory) or People(())
        gone = people.named(name)
        if gone is None:
            known = ", ".join(one.name for one in people.persons) or "nobody"
            raise UsageError(f"there is no person {name!r}; known: {known}")
        _not_oneself(directory, people, gone.name)
        _save(node, people.without(name))
    if as_json:
        emit(msgspec.to_builtins(gone))
    else:
        say(f"{gone.name} may do nothing here any more")


@person.command()
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def restore(directory: Path, as_json: bool) -> None:
    """Write people.toml as the store remembers it, where it is gone or was changed by somebody who may not.

    For operators by what the store remembers, and for the account that the node's files belong to.
    """
    with opened(directory) as node:
        text = known_people(node.store.conn)
        if text is None:
            raise UsageError(f"the store remembers no {FILE}: nobody has had roles here")
        _save(node, read_people(text))
    if as_json:
        emit({"file": str(node.directory / FILE), "digest": digest_of(node.directory)})
    else:
        say(f"{node.directory / FILE} is as it was")


@person.command("list")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def show(directory: Path, as_json: bool) -> None:
    """List people with their logins and roles."""
    people = load_people(directory)
    listed = people.persons if people is not None else ()
    if as_json:
        for one in listed:
            emit(msgspec.to_builtins(one))
    elif listed:
        table(("name", "login", "roles"), [(one.name, one.login, ", ".join(one.roles)) for one in listed])
    if people is None:
        say(f"There is no {FILE}: whoever can reach the node does everything. `threatshare person add` begins.")


@person.command("acts")
@click.option("--from", "begin", type=Day(), help="Not before this day, YYYY-MM-DD, UTC.")
@click.option("--to", "end", type=Day(), help="Not after this day.")
@click.option("--who", help="Only this person's, by name or login.")
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=50, show_default=True, help="The newest so many.")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def show_acts(
    directory: Path, begin: date | None, end: date | None, who: str | None, limit: int, as_json: bool
) -> None:
    """Show who did what, newest first: all that changes what leaves, or who may do what, and what was refused.

    An act whose end was not recorded (the process was killed) is shown as begun. Exit code 1: there is none.
    """
    until = None if end is None else _midnight(end) + _DAY
    found: list[ActRow] = []
    ended: set[int] = set()
    with opened(directory) as node:
        # Ends come before their beginnings here, also those behind the last day that was asked for.
        for row in acts(node.store.conn, None if begin is None else _midnight(begin)):
            act = row.act
            if act.get("begun") is not None:
                ended.add(int(act["begun"]))
            told = act.get("outcome") != BEGUN or row.number not in ended
            if told and (until is None or row.at < until) and who in (None, act.get("person"), act.get("login")):
                found.append(row)
                if len(found) == limit:
                    break
    for row in found:
        _show_act(row, as_json)
    if not found:
        say("there is no such act on record")
        sys.exit(1)


def _show_act(row: ActRow, as_json: bool) -> None:
    act = row.act
    if as_json:
        emit({"number": row.number, "at": when(row.at)} | act | {"hash": row.hash})
        return
    who = act.get("person") or "nobody known"
    plain = "  ".join(f"{name}={_words(value)}" for name, value in act.get("plain", {}).items())
    click.echo(f"{row.number}  {when(row.at)}  {safe(str(who))} ({safe(str(act.get('login') or '-'))})")
    click.echo(f"    {safe(str(act.get('verb')))}  {safe(plain)}".rstrip())
    held = act.get("roles")
    roles = "roles were not told apart" if held is None else ", ".join(held) or "no role"
    click.echo(f"    {safe(str(act.get('outcome')))}  [{safe(roles)}]")


def _words(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _save(node: Node, people: People) -> None:
    save_people(node.directory, people)
    with node.store.writing() as conn:
        remember_people(conn, text_of(node.directory) or "")
    tell(FILE, digest_of(node.directory))


def people_problems(node: Node) -> list[str]:
    """Says whether people.toml is what ``threatshare person`` has written last, and whether others may write it."""
    last = next((row for row in _changes(node) if row.act["plain"].get(FILE)), None)
    file, now = node.directory / FILE, digest_of(node.directory)
    found = []
    if last is not None and last.act["verb"] == TAKEN_OVER and not last.act["plain"].get("first"):
        found.append(
            f"{file} was changed otherwise than by `threatshare person`; it holds since {when(last.at)} by an act of"
            f" {last.act.get('login')}, see `threatshare person acts`. The next `threatshare person` ends this warning"
        )
    elif last is not None and last.act["plain"][FILE] != [now]:
        found.append(f"{file} was changed otherwise than by `threatshare person`, so nobody's act is on record for it")
    if now is not None and file.stat().st_mode & 0o022:
        found.append(f"others can write {file}: chmod 644 it")
    return found


def _changes(node: Node) -> Iterator[ActRow]:
    """Yields the ends of changes of people, newest first; rows that cannot be read, `ledger verify` tells."""
    for row in acts(node.store.conn):
        if str(row.act.get("verb")) in _CHANGES and row.act.get("outcome") == "done":
            yield row


def _not_oneself(directory: Path, people: People, name: str) -> None:
    me = presence(directory).person
    if people.persons and me is not None and me.name == name:
        raise ThreatshareError(f"nobody changes their own roles: another operator does that for {name}")


def _midnight(day: date) -> Micros:
    return micros(datetime.combine(day, time(), UTC))
