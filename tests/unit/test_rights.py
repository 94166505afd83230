"""Rights of roles: every command has its entry, what is new is closed, and the table says what was agreed."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest

from threatshare.cli import cli
from threatshare.cli.authority import Guarded
from threatshare.cli.rights import RIGHTS, UNKNOWN, right_to
from threatshare.policy.people import ROLES

PLANNED = {"scan", "report"}
"""Commands of the design that are not there yet; each has its entry already."""


def walk(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Yields every command that does something, as it is typed."""
    if not isinstance(command, click.Group):
        yield " ".join(path), command
        return
    if command.invoke_without_command and path:
        yield " ".join(path), command
    context = click.Context(command)
    for name in command.list_commands(context):
        below = command.get_command(context, name)
        assert below is not None
        yield from walk(below, (*path, name))


COMMANDS = dict(walk(cli))


def test_every_command_has_its_entry() -> None:
    """No command's right is left to chance, and no entry is for a command that does not exist."""
    named = {name.removesuffix(" --dry-run") for name in RIGHTS}
    assert sorted(set(COMMANDS) - named) == []
    assert sorted(named - set(COMMANDS) - PLANNED) == []


def test_every_command_asks() -> None:
    """Every command runs in the context that asks for the right to it: none goes round it."""
    assert [name for name, one in COMMANDS.items() if one.context_class is not Guarded] == []


def test_dry_runs_are_options() -> None:
    """An entry for a dry run is of a command that has that option."""
    for name in RIGHTS:
        if name.endswith(" --dry-run"):
            options = [text for one in COMMANDS[name.removesuffix(" --dry-run")].params for text in one.opts]
            assert "--dry-run" in options


def test_what_is_new_needs_an_operator() -> None:
    """A command that the table does not name is an operator's, and kept."""
    assert right_to("something new") is UNKNOWN
    assert (UNKNOWN.roles, UNKNOWN.kept) == (frozenset({"operator"}), True)
    assert right_to("something new", dry_run=True) is UNKNOWN


def test_an_auditor_only_reads() -> None:
    """No command that an auditor may run is kept as an act: all of them only read."""
    assert [name for name, one in RIGHTS.items() if one.roles and "auditor" in one.roles and one.kept] == []


def test_roles_that_do_not_exist_are_not_named() -> None:
    """The table names no role but those of people.toml."""
    assert {role for one in RIGHTS.values() for role in one.roles or ()} == set(ROLES)


@pytest.mark.parametrize(
    ("command", "roles"),
    [
        ("review approve", {"releaser"}),
        ("publish", {"releaser"}),
        ("push", {"releaser"}),
        ("withdraw", {"releaser"}),
        ("incident withdraw", {"releaser"}),
        ("review assign", {"analyst"}),
        ("review never-share", {"analyst"}),
        ("ingest", {"analyst"}),
        ("sighting", {"analyst"}),
        ("false-positive", {"analyst"}),
        ("account add", {"operator"}),
        ("collection add", {"operator"}),
        ("agreement add", {"operator"}),
        ("agreement confirm", {"operator", "releaser"}),
        ("person add", {"operator"}),
        ("exercise end", {"operator"}),
    ],
)
def test_who_may_do_what(command: str, roles: set[str]) -> None:
    """Analysts say what values are, releasers what leaves, operators who and under which terms; each act is kept."""
    right = right_to(command)
    assert right.roles == frozenset(roles)
    assert right.kept or command == "ingest"
