"""Who decides and why, as options that every decision takes, and as what is kept of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from threatshare.cli.authority import presence
from threatshare.errors import UsageError
from threatshare.node import Node
from threatshare.store.decisions import ByWhom


def signed(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options that every decision needs."""
    for option in (
        click.option("--json", "as_json", is_flag=True),
        click.option("--by", "person", help="Who decides; or THREATSHARE_PERSON; else the system's user."),
        click.option("--reason", required=True, help="Why; kept with the decision, and told to nobody outside."),
    ):
        command = option(command)
    return command


def by_whom(directory: Path, node: Node, person: str | None, reason: str) -> ByWhom:
    """Gives who decides, why and when; raises UsageError where a name or reason cannot stand in a record."""
    name, login = presence(directory).signature(person)
    if not reason.strip():
        raise UsageError("a decision needs a reason")
    if not reason.isprintable():
        raise UsageError("the reason holds characters that cannot be printed; write it on one line")
    return ByWhom(name, reason.strip(), node.now(), login)
