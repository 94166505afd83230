"""``threatshare collection``: the TAXII collections of this node."""

from __future__ import annotations

from pathlib import Path

import click

from threatshare.cli.output import emit, say, table
from threatshare.errors import UsageError
from threatshare.model import Collection, CollectionKind
from threatshare.node import Node, opened
from threatshare.store import collections


@click.group()
def collection() -> None:
    """TAXII collections of this node."""


@collection.command()
@click.argument("alias")
@click.option("--title", required=True, help="What clients show; unique, without . and ,")
@click.option("--partner", help="Our indicators for this partner, under its agreement.")
@click.option("--inbox", is_flag=True, help="Partners write to it; taken in like a feed.")
@click.option("--exchange", is_flag=True, help="What members post, members read.")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def add(
    directory: Path, alias: str, title: str, partner: str | None, inbox: bool, exchange: bool, as_json: bool
) -> None:
    """Make a collection; without --partner, --inbox or --exchange it is for our own organisation."""
    if sum((partner is not None, inbox, exchange)) > 1:
        raise UsageError("a collection is for a --partner, or an --inbox, or an --exchange")
    kind = CollectionKind.INTERNAL
    if partner is not None:
        kind = CollectionKind.PARTNER
    elif inbox or exchange:
        kind = CollectionKind.INBOX if inbox else CollectionKind.EXCHANGE
    with opened(directory) as node:
        with node.store.writing() as conn:
            made = collections.add_collection(conn, alias, title, kind, partner, node.now())
        if partner is not None and partner not in node.agreements:
            say(f"There is no agreement with {partner} yet: nothing leaves before `agreement add {partner}`.")
        if as_json:
            emit(_told(node, made))
        else:
            click.echo(f"collection  {made.alias}\nid          {made.id}\nurl         {_url(node, made)}")


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
                ("alias", "kind", "partner", "title", "url"),
                [(one.alias, one.kind, one.partner or "-", one.title, _url(node, one)) for one in listed],
            )


def _told(node: Node, one: Collection) -> dict[str, object]:
    return {
        "id": one.id,
        "alias": one.alias,
        "url": _url(node, one),
        "title": one.title,
        "kind": one.kind,
        "partner": one.partner,
    }


def _url(node: Node, one: Collection) -> str:
    serve = node.settings.serve
    base = serve.public_url or f"http://{serve.host}:{serve.port}"
    return f"{base.rstrip('/')}/api/collections/{one.id}/"
