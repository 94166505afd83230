"""What is printed: data as JSON or text on stdout, talk on stderr, nothing untrusted in its raw form on a terminal."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from unicodedata import category

import click

from threatshare.errors import UsageError
from threatshare.model import Micros, moment


def emit(data: Any) -> None:
    """Prints one JSON object on one line; escapes all but ASCII, so that no terminal acts on it."""
    click.echo(json.dumps(data, default=_plain))


def say(text: str) -> None:
    """Talks to the person, on stderr."""
    click.echo(text, err=True)


def safe(text: str) -> str:
    """Writes text that came from outside on one line: without ends of lines, tabs, and whatever a terminal acts on."""
    return text if text.isprintable() else "".join(one if _is_shown(one) else "?" for one in text)


def safe_lines(text: str) -> str:
    """Writes text of several lines, each as ``safe`` does."""
    return "\n".join(map(safe, text.split("\n")))


def defanged(text: str) -> str:
    """Writes a value so that no terminal or mail program makes a link of it."""
    plain = safe(text)
    return re.sub(r"\.(?=[^.]*$)|(?<=\w)\.(?=\w)", "[.]", plain).replace("http", "hxxp", 1).replace("@", "[@]")


def when(at: Micros | None) -> str:
    """Writes a moment for a person, UTC to the second; a dash for none."""
    return "-" if at is None else f"{moment(at):%Y-%m-%d %H:%M:%S}Z"


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Prints a table on stdout, as wide as its text."""
    cells = [[safe(str(cell)) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in [list(headings), *cells]) for column in range(len(headings))]
    for row in [list(headings), *cells]:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@contextmanager
def written_to(path: Path) -> Iterator[None]:
    """Says of a file or folder that cannot be made what is wrong with its place; raises UsageError then."""
    try:
        yield
    except OSError as problem:
        missing = None
        if isinstance(problem, FileNotFoundError):
            missing = next((one for one in reversed(path.parents) if not one.exists()), None)
        why = problem.strerror if missing is None else f"there is no folder {missing}; make it first"
        raise UsageError(f"{path} cannot be written: {why}") from problem


def on_terminal() -> bool:
    """Tells whether a person is watching stderr."""
    return sys.stderr.isatty()


def _is_shown(character: str) -> bool:
    # Blanks of other widths than the usual one are not printable to Python.
    return character.isprintable() or category(character) == "Zs"


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    return str(value)
