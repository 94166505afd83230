"""What a command may touch that somebody runs through sudo: the node of the account alone, and no file but its streams.

Whoever may run this program as another account chooses its arguments. A path among them would be read or written with
that account's rights, and a node directory of one's own making would have no people in it.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import click

from threatshare.config import NODE_FILE, STORE_FILE
from threatshare.policy.people import FILE

SUDO_VARIABLE = "SUDO_USER"
EXPORTS = "exports"
"""The one folder of a node directory that commands write files into where they are told to."""
_STREAM = "-"
_PATHS = frozenset({("ingest", "paths"), ("agreement diff", "against")})
"""Parameters that name files and are no ``click.Path``, since they may name something else."""
_ANOTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


def sent_by(login: str) -> str | None:
    """Gives the user who runs this through sudo as another, by sudo's word; None: nobody does."""
    by_sudo = os.environ.get(SUDO_VARIABLE)
    return by_sudo if by_sudo and by_sudo != login else None


def misplaced(directory: Path, user: int) -> str | None:
    """Says why a directory, resolved, may be somebody's own making and not the node of an account; None: it is not.

    The directory and its files belong to the account, nobody else may write there, nothing in it is a link, and nobody
    else could put another directory into its place.
    """
    own = [directory, *(directory / name for name in (NODE_FILE, STORE_FILE, FILE))]
    for path in own:
        try:
            found = path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as problem:
            return f"{path} cannot be looked at: {problem.strerror}"
        if stat.S_ISLNK(found.st_mode):
            return f"{path} is a link"
        if found.st_uid != user:
            return f"{path} belongs to another account"
        if found.st_nlink > 1 and stat.S_ISREG(found.st_mode):
            return f"{path} has a second name elsewhere"
        if path == directory and found.st_mode & _ANOTHERS_MAY_WRITE:
            return f"others can write {path}: chmod go-w it"
    for parent in directory.parents:
        found = parent.stat()
        open_to_others = found.st_mode & _ANOTHERS_MAY_WRITE and not found.st_mode & stat.S_ISVTX
        if found.st_uid not in (0, user) or open_to_others:
            return f"others could put another directory into the place of {directory}, since they can write {parent}"
    return None


def unfit_for_init(directory: Path, user: int) -> str | None:
    """Says why nobody may make a node there through sudo; None: the account's owner has made the directory for it."""
    if not directory.is_dir():
        return f"{directory} is not there: make it for the account first (install -d -m 700 -o ACCOUNT)"
    inside = next((one for one in directory.parents if (one / NODE_FILE).exists()), None)
    return misplaced(directory, user) if inside is None else f"{directory} is inside the node {inside}"


def foreign_file(ctx: click.Context, command: str) -> str | None:
    """Says which parameter names a file, where only stdin and stdout may be used; None: none does."""
    for one in ctx.command.params:
        named = ctx.params.get(str(one.name))
        if not isinstance(one.type, click.Path) and (command, one.name) not in _PATHS:
            continue
        several = named if isinstance(named, tuple) else (named,)
        for value in several:
            if value is None or str(value) == _STREAM or (one.name == "against" and str(value).isdecimal()):
                continue
            return (
                f"{_called(one)} {value}: through sudo no file is read or written, since that would be done with the"
                " rights of another account; use - for stdin or leave it out for stdout, and your shell's < and >"
            )
    return None


def into_node(ctx: click.Context, directory: Path) -> str | None:
    """Says which file that a command would write lies among those of the node; None: none does."""
    home = directory.resolve()
    for one in ctx.command.params:
        value = ctx.params.get(str(one.name))
        if value is None or str(value) == _STREAM or not (isinstance(one.type, click.Path) and one.type.writable):
            continue
        file = Path(value).resolve()
        if file == home or (file.is_relative_to(home) and not file.is_relative_to(home / EXPORTS)):
            return (
                f"{_called(one)} {value} lies in the node directory; choose {directory / EXPORTS} or a place elsewhere"
            )
        if any(_same(file, home / name) for name in (NODE_FILE, STORE_FILE, FILE)):
            return f"{_called(one)} {value} is a file of the node under another name"
    return None


def _same(file: Path, other: Path) -> bool:
    return file.exists() and other.exists() and file.samefile(other)


def _called(parameter: click.Parameter) -> str:
    return parameter.opts[0] if parameter.opts[0].startswith("-") else str(parameter.name).upper()
