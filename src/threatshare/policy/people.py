"""People and what each may do: ``people.toml`` of the node directory, closed and typed.

Each person has a login, which the operating system knows, and roles. Without the file one operator does everything;
with it the command line does for a login only what the roles of that login's person allow (``cli.rights``).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta, Struct

from threatshare.config import load_toml, parse_toml, settings_bytes
from threatshare.errors import ConfigurationError
from threatshare.policy.names import likeness

FILE = "people.toml"

PersonRole = Literal["analyst", "releaser", "operator", "auditor"]
ROLES: tuple[PersonRole, ...] = get_args(PersonRole)
ADMINISTRATOR: PersonRole = "operator"
"""The role that says who has which."""

_Name = Annotated[str, Meta(pattern=r"^\w[\w .'@-]{0,59}$")]
_Login = Annotated[str, Meta(pattern=r"^[\w][\w.@\\-]{0,63}$")]
_DATED = re.compile(r" on \d{4}-").search
"""What stands behind a name in the words of a release; no name may hold it, or two people could be read out of one."""
_HEADING = "# Who may do what here. Written by `threatshare person`; comments other than this one are not kept.\n"


class Person(Struct, frozen=True, forbid_unknown_fields=True):
    """``[[person]]``: somebody who works with this node."""

    name: _Name
    """The name that decisions, approvals and the ledger bear."""
    login: _Login
    """The operating system's user; each belongs to one person."""
    roles: tuple[PersonRole, ...]
    """``analyst``, ``releaser``, ``operator``, ``auditor``: at least one."""


class PeopleFile(Struct, frozen=True, forbid_unknown_fields=True):
    """``people.toml``: who may do what on this node's command line."""

    person: tuple[Person, ...] = ()
    """One table each; at least one of them is an operator."""
    through_sudo: _Login | None = None
    """A service user whose processes people start only by sudo: there sudo's word on who they are is believed."""


@dataclass(frozen=True, slots=True)
class People:
    """Everybody who works with this node."""

    persons: tuple[Person, ...]
    through_sudo: str | None = None

    def at(self, login: str) -> Person | None:
        """Gives whose login it is; None: nobody's."""
        return next((one for one in self.persons if one.login == login), None)

    def named(self, name: str) -> Person | None:
        """Gives the person of a name, or of one that looks like it (``policy.names``); None: there is none."""
        return next((one for one in self.persons if likeness(one.name) == likeness(name)), None)

    def holding(self, roles: Collection[str]) -> list[str]:
        """Gives the names of those who hold one of some roles."""
        return [one.name for one in self.persons if not set(one.roles).isdisjoint(roles)]

    def without(self, name: str) -> People:
        """Gives everybody but the person of a name."""
        gone = self.named(name)
        return People(tuple(one for one in self.persons if one != gone), self.through_sudo)

    def and_also(self, person: Person) -> People:
        """Gives everybody and one more."""
        return People((*self.persons, person), self.through_sudo)


def load_people(directory: Path) -> People | None:
    """Reads ``people.toml``; None where there is none, so that one operator does everything.

    Raises ConfigurationError naming file, key and what was wanted: roles that cannot be read are not passed over.
    """
    file = directory / FILE
    if not _is_there(file):
        return None
    read = load_toml(file, PeopleFile)
    people = People(read.person, read.through_sudo)
    for message in impossible(people):
        raise ConfigurationError(f"{file}: {message}")
    return people


def read_people(text: str) -> People:
    """Reads the text of a ``people.toml`` that was in use already; raises ConfigurationError where it cannot be."""
    place = f"what the store remembers of {FILE}"
    try:
        read = msgspec.convert(parse_toml(text, place), PeopleFile)
    except msgspec.ValidationError as problem:
        raise ConfigurationError(f"{place} cannot be read: {problem}") from problem
    return People(read.person, read.through_sudo)


def text_of(directory: Path) -> str | None:
    """Gives ``people.toml`` as it stands; None where there is none. Raises ConfigurationError as ``load_people``."""
    file = directory / FILE
    return settings_bytes(file).decode("utf-8", "surrogateescape") if _is_there(file) else None


def _is_there(file: Path) -> bool:
    try:
        file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as problem:
        raise ConfigurationError(f"{file} cannot be read: {problem.strerror}") from problem
    return True


def save_people(directory: Path, people: People) -> None:
    """Writes ``people.toml`` in one step; raises ConfigurationError where it says something impossible."""
    file = directory / FILE
    for message in impossible(people):
        raise ConfigurationError(f"{file} is left as it is: {message}")
    fresh = directory / f".{FILE}.new"
    try:
        fresh.write_text(people_text(people), encoding="utf-8")
        fresh.chmod(0o644)
        os.replace(fresh, file)  # noqa: PTH105  the word for it
    except OSError as problem:
        raise ConfigurationError(f"{file} cannot be written: {problem.strerror}") from problem
    finally:
        fresh.unlink(missing_ok=True)


def digest_of(directory: Path) -> str | None:
    """Gives the SHA-256 of ``people.toml`` in hexadecimal digits; None where there is none."""
    file = directory / FILE
    return sha256(settings_bytes(file)).hexdigest() if file.exists() else None


def people_text(people: People) -> str:
    """Writes everybody as TOML that ``load_people`` reads back."""
    sudo = f"through_sudo = {_quoted(people.through_sudo)}\n" if people.through_sudo is not None else ""
    tables = [
        f"\n[[person]]\nname = {_quoted(one.name)}\nlogin = {_quoted(one.login)}\n"
        f"roles = [{', '.join(map(_quoted, one.roles))}]\n"
        for one in people.persons
    ]
    return _HEADING + sudo + "".join(tables)


def impossible(people: People) -> Iterable[str]:
    """Says what is wrong with some people together: a name or login twice, nobody who could change anything."""
    names: set[str] = set()
    logins: set[str] = set()
    for place, one in enumerate(people.persons):
        if likeness(one.name) in names:
            yield f"person[{place}].name: {one.name!r} is another's already, wanted one name each that none looks like"
        if one.login in logins:
            yield f"person[{place}].login: {one.login!r} is another's already, wanted one login each"
        if _DATED(one.name):
            yield f"person[{place}].name: {one.name!r} cannot be told from a name and a day"
        if not one.roles:
            yield f"person[{place}].roles: is empty, wanted some of {', '.join(ROLES)}"
        names.add(likeness(one.name))
        logins.add(one.login)
    if people.through_sudo is not None and people.through_sudo in logins:
        yield f"through_sudo: {people.through_sudo!r} is a person's login, wanted one that is nobody's own"
    if not people.holding({ADMINISTRATOR}):
        yield f"nobody is {ADMINISTRATOR}, so nobody could change this any more; wanted at least one"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
