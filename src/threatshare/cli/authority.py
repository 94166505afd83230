"""Who is at the command line, what they may do, and the record of what they did.

Who is there, the operating system says: the user that the process belongs to. Sudo's word on who started it counts in
two places, where whoever could forge it could change the node's files as well: for root, and for the service user that
``people.toml`` names. Every command passes ``Guarded.invoke`` before anything of it runs.
"""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from threatshare.cli.confinement import foreign_file, into_node, misplaced, sent_by, unfit_for_init
from threatshare.cli.rights import Right, right_to
from threatshare.cli.roster import remembered, take_over
from threatshare.config import NODE_FILE, STORE_FILE
from threatshare.errors import StoreError, ThreatshareError, UsageError
from threatshare.model import micros
from threatshare.policy.people import ADMINISTRATOR, FILE, People, Person, load_people, read_people, text_of

PERSON_VARIABLE = "THREATSHARE_PERSON"
_TOLD = "threatshare.authority.told"
"""Where a command leaves what its act shall say besides."""
_ID = re.compile(r"[0-9a-f]{12}|[a-z][a-z0-9-]{1,40}--[0-9a-f-]{36}").fullmatch
"""Ids of groups and objects; anything else that a command is about may be a value of a finding."""
_PLAIN = frozenset(
    {"name", "alias", "partner", "partners", "collection", "target", "targets", "login", "read", "write"}
)
"""Parameters with free text that hold neither secrets nor values; numbers, days and choices never do."""
_NO_NAME = re.compile(r"[:;]| on \d{4}-").search
"""What the words of a release put behind a name, and so no name may hold."""


class NotAllowed(ThreatshareError):
    """Whoever is there has not the role that a command needs; exit code 1."""


@dataclass(frozen=True, slots=True)
class Presence:
    """Who is at the command line."""

    login: str
    """The operating system's user."""
    brought: bool
    """Whether sudo says so, and the process belongs to another user."""
    people: People | None
    """Everybody who works here; None: nobody is told apart."""

    @property
    def person(self) -> Person | None:
        """Whose login it is; None: nobody's, or nobody is told apart."""
        return None if self.people is None else self.people.at(self.login)

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles that the person holds."""
        return () if self.person is None else self.person.roles

    def signature(self, named: str | None) -> tuple[str, str | None]:
        """Gives the name that a decision bears and, where people have logins, the login.

        ``named`` is what ``--by`` says; else THREATSHARE_PERSON or the system's user. Where people have logins, both
        may only name who is there: raises UsageError otherwise.
        """
        said = named or os.environ.get(PERSON_VARIABLE)
        if self.people is None:
            return _fit(said or self.login), None
        if self.person is None:
            raise UsageError(f"the login {self.login} is nobody's in people.toml, so it signs nothing")
        own = (self.person.name.casefold(), self.login)
        if said is not None and said.strip().casefold() != own[0] and said.strip() != own[1]:
            where = "--by" if named else PERSON_VARIABLE
            raise UsageError(f"{where} says {said!r}, and you are {self.person.name}: nobody signs for somebody else")
        return self.person.name, self.login


def process_user() -> tuple[int, str]:
    """Gives the real user that this process belongs to, number and name; no variable of the environment counts."""
    number = os.getuid()
    try:
        return number, pwd.getpwuid(number).pw_name
    except KeyError:
        return number, f"uid-{number}"


def presence(directory: Path) -> Presence:
    """Tells who is there; raises ConfigurationError where people.toml cannot be read."""
    return _among(load_people(directory))


def _among(people: People | None) -> Presence:
    number, login = process_user()
    by_sudo = sent_by(login)
    believed = number == 0 or (people is not None and login == people.through_sudo)
    if by_sudo is not None and believed:
        return Presence(by_sudo, True, people)
    return Presence(login, False, people)


def require(directory: Path, command: str, dry_run: bool = False) -> Presence:
    """Gives who is there; raises NotAllowed where they may not run a command."""
    there = presence(directory)
    problem = _against(there, right_to(command, dry_run), command, directory)
    if problem is not None:
        raise NotAllowed(problem)
    return there


def tell(what: str, fact: object) -> None:
    """Has the running command's act say one thing more, in a list; neither secrets nor values of findings."""
    click.get_current_context().meta.setdefault(_TOLD, {}).setdefault(what, []).append(fact)


class Guarded(click.Context):
    """The context of every verb: asks for the right to the command, runs it, and records it as an act."""

    def invoke(self, callback: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Runs a command's function, where whoever is there may; a group's, only where no command of it follows."""
        if callback is not self.command.callback or self.invoked_subcommand is not None:
            return super().invoke(callback, *args, **kwargs)
        command, dry_run = _typed(self), bool(self.params.get("dry_run"))
        right = right_to(command, dry_run)
        directory = self.obj = _confined(self, Path(self.obj), command, right)
        if right.roles is None:
            return super().invoke(callback, *args, **kwargs)
        there = _settled(directory, command, right)
        problem = _against(there, right, command, directory)
        keeps = right.kept and (directory / NODE_FILE).is_file()
        if problem is not None:
            # Whoever may not even write the store leaves no row, and is refused all the same.
            with suppress(StoreError):
                if keeps and (directory / STORE_FILE).is_file():
                    _keep(directory, self, there, f"refused: {problem}")
            raise NotAllowed(problem)
        if there.people is not None:
            kwargs |= _signed(self, there)
        if not keeps:
            return super().invoke(callback, *args, **kwargs)
        with _kept(directory, self, there):
            return super().invoke(callback, *args, **kwargs)


def guarded(command: click.Command) -> click.Command:
    """Has a verb and every command below it ask for the right to run."""
    command.context_class = Guarded
    for below in command.commands.values() if isinstance(command, click.Group) else ():
        guarded(below)
    return command


def _typed(ctx: click.Context) -> str:
    """Gives a command as it is typed, without the program's name."""
    names: list[str] = []
    at: click.Context | None = ctx
    while at is not None and at.parent is not None:
        names.insert(0, str(at.info_name))
        at = at.parent
    return " ".join(names)


def _against(there: Presence, right: Right, command: str, directory: Path) -> str | None:
    """Says why somebody may not run a command, and who may; None where they may."""
    if there.people is None or right.roles is None or not right.roles.isdisjoint(there.roles):
        return None
    if right.by_owner and _owns(directory):
        return None
    who = ", ".join(there.people.holding(right.roles)) or "nobody; an operator gives it with `threatshare person add`"
    wanted = " or ".join(sorted(right.roles))
    you = f"the login {there.login} is nobody's in people.toml"
    if there.person is not None:
        you = f"{there.person.name} is {', '.join(there.roles)}"
    return f"`{command}` needs the role {wanted}, and {you}; has it: {who}"


def _owns(directory: Path) -> bool:
    """Tells whether the node's files belong to the process's user, and nobody runs it as that user through sudo."""
    number, login = process_user()
    try:
        return sent_by(login) is None and (directory / NODE_FILE).stat().st_uid == number
    except OSError:
        return False


def _confined(ctx: click.Context, directory: Path, command: str, right: Right) -> Path:
    """Gives the node directory, under sudo the one that cannot be swapped; raises NotAllowed where it is none.

    Raises UsageError where a command would write among the node's files, or through sudo any file at all.
    """
    number, login = process_user()
    # Root of a node on which nobody is told apart has nothing to be kept from.
    if sent_by(login) is not None and (number or (right.roles is not None and _told_apart(directory))):
        directory = directory.resolve()
        if command == "init":
            place = Path(ctx.params["directory"]).resolve()
            problem, named = unfit_for_init(place, number), None
        else:
            problem = misplaced(directory, number) if right.roles is not None else None
            named = foreign_file(ctx, command) if right.roles is None or _told_apart(directory) else None
        if problem is not None:
            raise NotAllowed(f"through sudo only a node of the account {login} is used: {problem}")
        if named is not None:
            raise UsageError(named)
    problem = into_node(ctx, directory) if (directory / NODE_FILE).exists() else None
    if problem is not None:
        raise UsageError(problem)
    return directory


def _told_apart(directory: Path) -> bool:
    return text_of(directory) is not None or remembered(directory) is not None


def _settled(directory: Path, command: str, right: Right) -> Presence:
    """Tells who is there, by the ``people.toml`` that an operator has left or takes over now.

    The store remembers that file. Where it is gone, or was changed otherwise than by ``threatshare person``, nobody
    goes on: but an operator of the version before, or the owner of the file, takes a change over by any command. Raises
    NotAllowed that says how to put the file back.
    """
    now, known = text_of(directory), remembered(directory)
    if command == "person restore" and known is not None:
        return _among(read_people(known))
    there = presence(directory)
    if now == known or (right.by_owner and _owns(directory)):
        return there
    if now is None:
        raise NotAllowed(
            f"people have roles on this node, and {directory / FILE} is gone: `threatshare person restore`, by one who"
            " was an operator, puts it back as it was"
        )
    before = there if known is None else _among(read_people(known))
    operators = ", ".join(before.people.holding({ADMINISTRATOR})) if before.people is not None else ""
    if ADMINISTRATOR in before.roles or _owns_file(directory / FILE):
        if (directory / STORE_FILE).is_file():
            take_over(directory, now, before.login, (before.person, before.people is not None), known)
    elif known is not None:
        raise NotAllowed(
            f"{directory / FILE} was changed otherwise than by `threatshare person`, and holds once somebody who was an"
            f" operator before has run any command: {operators}; `threatshare person restore` puts it back as it was"
        )
    return there


def _owns_file(file: Path) -> bool:
    number, login = process_user()
    return sent_by(login) is None and file.stat().st_uid == number


def _signed(ctx: click.Context, there: Presence) -> dict[str, str]:
    """Gives what ``--by`` says as the name of who is there; raises UsageError where it says another."""
    signed = {name: there.signature(ctx.params.get(name))[0] for name in _signers(ctx)}
    return {name: who for name, who in signed.items() if ctx.params.get(name) is not None}


@contextmanager
def _kept(directory: Path, ctx: click.Context, there: Presence) -> Iterator[None]:
    """Records a command before it runs, so that a kill loses no act, and how it ended behind it."""
    begun, outcome = _keep(directory, ctx, there, None), "failed"
    try:
        yield
        outcome = "done"
    except SystemExit as end:
        outcome = "done" if end.code in (None, 0, 1) else f"failed: exit code {end.code}"
        raise
    except BaseException as problem:
        # Its words may quote a value.
        outcome = f"failed: {type(problem).__name__}"
        raise
    finally:
        _keep(directory, ctx, there, outcome, begun)


def _keep(directory: Path, ctx: click.Context, there: Presence, outcome: str | None, begun: int | None = None) -> int:
    # Here, since commands that only ask need no store that can be written.
    from threatshare.node import system_clock
    from threatshare.store.acts import BEGUN, Act, record_act
    from threatshare.store.connection import DatabaseError, open_writer, transaction

    person = there.person.name if there.person is not None else None
    if there.people is None:
        person = there.signature(next((ctx.params.get(name) for name in _signers(ctx)), None))[0]
    roles = None if there.people is None else there.roles
    plain = {**_plain(ctx), **ctx.meta.get(_TOLD, {})}
    act = Act(_typed(ctx), outcome or BEGUN, person, there.login, roles, plain, begun)
    try:
        with closing(open_writer(directory / STORE_FILE)) as conn, transaction(conn):
            return record_act(conn, act, micros(system_clock()))
    except DatabaseError as problem:
        raise StoreError(f"{directory / STORE_FILE}: the act cannot be recorded: {problem}") from problem


def _signers(ctx: click.Context) -> list[str]:
    """Gives the parameters that say who decides; where ``--by`` may stand several times, it groups a list."""
    named = [one for one in ctx.command.params if "--by" in one.opts and not getattr(one, "multiple", False)]
    return [one.name for one in named if one.name is not None]


def _plain(ctx: click.Context) -> dict[str, object]:
    """Gives the parameters that may be kept: numbers, days, choices, names of our own; of other words the ids alone."""
    kept: dict[str, object] = {}
    for one in ctx.command.params:
        value = ctx.params.get(str(one.name))
        if value in (None, (), False, "") or one.name in (None, "as_json"):
            continue
        if isinstance(value, (bool, int)) or isinstance(one.type, click.Choice) or one.name in _PLAIN:
            kept[str(one.name)] = list(value) if isinstance(value, tuple) else value
        elif hasattr(value, "isoformat"):
            kept[str(one.name)] = str(value)
        elif one.name == "what":
            ids = [text for text in value if _ID(text)]
            kept |= {"what": ids} if ids else {}
            kept |= {"values": len(value) - len(ids)} if len(value) > len(ids) else {}
    return kept


def _fit(name: str) -> str:
    """Gives a name that decisions and the ledger can bear; raises UsageError where it is none."""
    text = name.strip()
    if not text or not text.isprintable() or _NO_NAME(text):
        raise UsageError(f"{name!r} is no name that can stand in the ledger: wanted one line without : and ;")
    return text
