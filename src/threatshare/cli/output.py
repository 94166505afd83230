"""What is printed: data as JSON or text on stdout, talk on stderr, nothing untrusted in its raw form on a terminal."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import click

from threatshare.model import Micros, moment

_UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


def emit(data: Any) -> None:
    """Prints one JSON object on one line; escapes all but ASCII, so that no terminal acts on it."""
    click.echo(json.dumps(data, default=_plain))


def say(text: str) -> None:
    """Talks to the person, on stderr."""
    click.echo(text, err=True)


def safe(text: str) -> str:
    """Strips control and direction characters from text that came from outside."""
    return _UNSAFE.sub("?", text)


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


def on_terminal() -> bool:
    """Tells whether a person is watching stderr."""
    return sys.stderr.isatty()


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    return str(value)
