"""What the store remembers of ``people.toml``, asked before any command, and a change by hand that is taken over."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import click

from threatshare.config import STORE_FILE
from threatshare.errors import StoreError
from threatshare.model import micros
from threatshare.policy.people import FILE, Person, digest_of


def remembered(directory: Path) -> str | None:
    """Gives what the store remembers of people.toml; None where there is no store yet, or it remembers none."""
    # Here and below, since commands that need no role need no store.
    from threatshare.store.connection import DatabaseError, open_reader, open_writer
    from threatshare.store.roster import known_people

    file = directory / STORE_FILE
    if not file.is_file():
        return None
    try:
        try:
            conn = open_reader(file)
        except StoreError:
            # One of an earlier version is brought up to date first, as every command that writes does.
            conn = open_writer(file)
        with closing(conn):
            return known_people(conn)
    except DatabaseError as problem:
        raise StoreError(f"{file}: {problem}") from problem


def take_over(directory: Path, text: str, login: str, who: tuple[Person | None, bool], known: str | None) -> None:
    """Remembers a people.toml that was written by hand from now on, and keeps whose act that was.

    ``who``: the person by the version before, and whether people were told apart in it.
    """
    from threatshare.node import system_clock
    from threatshare.store.acts import TAKEN_OVER, Act, record_act
    from threatshare.store.connection import DatabaseError, open_writer, transaction
    from threatshare.store.roster import remember_people

    person, apart = who
    roles = None if not apart else person.roles if person is not None else ()
    plain = {FILE: [digest_of(directory)], "first": known is None}
    act = Act(TAKEN_OVER, "done", person.name if person is not None else None, login, roles, plain)
    try:
        with closing(open_writer(directory / STORE_FILE)) as conn, transaction(conn):
            remember_people(conn, text)
            record_act(conn, act, micros(system_clock()))
    except DatabaseError as problem:
        raise StoreError(f"{directory / STORE_FILE}: {FILE} cannot be taken over: {problem}") from problem
    if known is not None:
        click.echo(f"{directory / FILE} was changed by hand; it holds from now on, as an act of {login}", err=True)
