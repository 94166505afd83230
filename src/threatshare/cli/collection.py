"""``threatshare collection``: the TAXII collections of this node."""

from __future__ import annotations

from dataclasses import asdict, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from threatshare.cli.output import emit, safe, say, table
from threatshare.errors import UsageError
from threatshare.model import (
    DEFAULT_ROOT,
    Collection,
    CollectionKind,
    EmptyPage,
    Fields,
    Form,
    TlpIds,
    View,
)
from threatshare.node import Node, opened
from threatshare.store import collections
from threatshare.store.daemons import daemon_runs

_Command = TypeVar("_Command", bound=Any)
_VIEW: tuple[tuple[str, type[StrEnum], str], ...] = (
    ("tlp", TlpIds, "Name the TLP by the ids of TLP 2.0, of TLP 1, or by both."),
    ("form", Form, "Tell values as indicators, or as observed data for tools that read no patterns."),
    ("fields", Fields, "Everything, or what the standard demands and tools act on."),
    ("empty_page", EmptyPage, "Write a page without objects with an empty list, or bare."),
)


def _view_options(command: _Command) -> _Command:
    """Adds an option for each part of a view; --view is the form."""
    for name, words, text in reversed(_VIEW):
        flag = "--view" if name == "form" else f"--{name.replace('_', '-')}"
        command = click.option(flag, name, type=click.Choice([word.value for word in words]), help=text)(command)
    return command


@click.group()
def collection() -> None:
    """TAXII collections of this node."""


@collection.command()
@click.argument("alias")
@click.option("--title", required=True, help="What clients show; unique, without . and ,")
@click.option("--partner", help="Our indicators for this partner, under its agreement.")
@click.option("--siem", is_flag=True, help="Merged and scored, for one more tool of our own.")
@click.option("--inbox", is_flag=True, help="Partners write to it; taken in like a feed.")
@click.option("--exchange", is_flag=True, help="What members post, members read.")
@click.option("--root", default=DEFAULT_ROOT, show_default=True, help="API root that it stands under.")
@_view_options
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def add(
    directory: Path,
    /,
    alias: str,
    title: str,
    partner: str | None,
    siem: bool,
    inbox: bool,
    exchange: bool,
    root: str,
    as_json: bool,
    **wanted: str | None,
) -> None:
    """Make a collection; without --partner, --siem, --inbox or --exchange it is for our own organisation.

    --tlp, --view and --fields are for --siem: how one tool wants its indicators.
    """
    kinds = {
        CollectionKind.PARTNER: partner is not None,
        CollectionKind.SIEM: siem,
        CollectionKind.INBOX: inbox,
        CollectionKind.EXCHANGE: exchange,
    }
    if sum(kinds.values()) > 1:
        raise UsageError("a collection is for a --partner, or a --siem, or an --inbox, or an --exchange")
    kind = next((one for one, chosen in kinds.items() if chosen), CollectionKind.INTERNAL)
    view = _changed(View(), wanted)
    with opened(directory) as node:
        with node.store.writing() as conn:
            made = collections.add_collection(conn, alias, title, kind, partner, node.now(), root, view)
        if partner is not None and partner not in node.agreements:
            say(f"There is no agreement with {partner} yet: nothing leaves before `agreement add {partner}`.")
        if partner is not None and daemon_runs(directory):
            say(
                f"The daemon is running: what the gate allows leaves for {safe(partner)} at once. To look first at what"
                " would leave, end the daemon before, and see `threatshare publish --dry-run`."
            )
        if as_json:
            emit(_told(node, made))
        else:
            click.echo(f"collection  {made.alias}\nid          {made.id}\nurl         {_url(node, made)}")


@collection.command("set")
@click.argument("alias")
@_view_options
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def change(directory: Path, /, alias: str, as_json: bool, **wanted: str | None) -> None:
    """Say how a collection's consumers want it; how indicators are written, only before the first is published."""
    with opened(directory) as node:
        with node.store.writing() as conn:
            before = _wanted(node, alias)
            after = replace(before, view=_changed(before.view, wanted))
            collections.set_view(conn, before, after.view)
        if as_json:
            emit(_told(node, after))
        else:
            click.echo(f"collection  {after.alias}\nview        {_in_words(after.view)}")


@collection.command()
@click.argument("name")
@click.option("--title", required=True, help="What clients show; unique, without . and ,")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def root(directory: Path, name: str, title: str, as_json: bool) -> None:
    """Give an API root its title; a root is there as soon as a collection stands under it."""
    with opened(directory) as node:
        with node.store.writing() as conn:
            collections.name_root(conn, name, title)
        if as_json:
            emit({"root": name, "title": title})
        else:
            click.echo(f"root        {name}\ntitle       {title}")


@collection.command("list")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def show(directory: Path, as_json: bool) -> None:
    """List collections with their addresses."""
    with opened(directory) as node:
        listed = collections.collections(node.store.conn)
        if as_json:
            for one in listed:
                emit(_told(node, one))
        else:
            table(
                ("alias", "kind", "partner", "title", "view", "url"),
                [
                    (one.alias, one.kind, one.partner or "-", one.title, _in_words(one.view), _url(node, one))
                    for one in listed
                ],
            )


def _changed(view: View, wanted: dict[str, str | None]) -> View:
    given = {name: value for name, value in wanted.items() if value is not None}
    return msgspec.convert(asdict(view) | given, View)


def _wanted(node: Node, alias: str) -> Collection:
    found = collections.collection_by_alias(node.store.conn, alias)
    if found is None:
        known = ", ".join(one.alias for one in collections.collections(node.store.conn)) or "none yet"
        raise UsageError(f"there is no collection {alias!r}; there are: {known}")
    return found


def _in_words(view: View) -> str:
    """Tells in what a view differs from the plain one."""
    plain = asdict(View())
    return " ".join(f"{name}={value}" for name, value in asdict(view).items() if value != plain[name]) or "-"


def _told(node: Node, one: Collection) -> dict[str, object]:
    return {
        "id": one.id,
        "alias": one.alias,
        "url": _url(node, one),
        "title": one.title,
        "kind": one.kind,
        "partner": one.partner,
        "root": one.root,
        "view": asdict(one.view),
    }


def _url(node: Node, one: Collection) -> str:
    serve = node.settings.serve
    base = serve.public_url or f"http://{serve.host}:{serve.port}"
    return f"{base.rstrip('/')}/{one.root}/collections/{one.id}/"
