"""``threatshare account``: who may use the TAXII server."""

from __future__ import annotations

from pathlib import Path

import click

from threatshare.cli.output import emit, say, table, when
from threatshare.node import opened
from threatshare.store import accounts


@click.group()
def account() -> None:
    """Accounts of the TAXII server."""


@account.command()
@click.argument("name")
@click.option("--read", multiple=True, help="Alias of a collection that it may read; several times.")
@click.option("--write", multiple=True, help="Alias of a collection that it may write to; several times.")
@click.option("--findings", is_flag=True, help="It may push findings of ours to the server (POST /findings).")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def add(
    directory: Path, name: str, read: tuple[str, ...], write: tuple[str, ...], findings: bool, as_json: bool
) -> None:
    """Make an account; its key is shown this once."""
    with opened(directory) as node, node.store.writing() as conn:
        key = accounts.add_account(conn, name, read, write, node.now(), findings)
    _show_key(name, key, as_json)


@account.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def rotate(directory: Path, name: str, as_json: bool) -> None:
    """Give an account a new key; the old one ends at once."""
    with opened(directory) as node, node.store.writing() as conn:
        key = accounts.rotate_account_key(conn, name, node.now())
    _show_key(name, key, as_json)


@account.command()
@click.argument("name")
@click.pass_obj
def revoke(directory: Path, name: str) -> None:
    """End an account at once."""
    with opened(directory) as node, node.store.writing() as conn:
        accounts.revoke_account(conn, name, node.now())
    say(f"account {name} is revoked")


@account.command()
@click.argument("name")
@click.option("--read", multiple=True, help="Alias of a collection.")
@click.option("--write", multiple=True, help="Alias of a collection.")
@click.option("--findings", is_flag=True, help="It may push findings of ours to the server (POST /findings).")
@click.pass_obj
def grant(directory: Path, name: str, read: tuple[str, ...], write: tuple[str, ...], findings: bool) -> None:
    """Give an account more rights."""
    with opened(directory) as node, node.store.writing() as conn:
        accounts.grant(conn, name, read, write, findings)
    say(f"account {name} may do that now")


@account.command("list")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def show(directory: Path, as_json: bool) -> None:
    """List accounts and their rights."""
    with opened(directory) as node:
        listed = accounts.list_accounts(node.store.conn)
    rows = [
        (one.account.name, ", ".join(sorted(one.account.read)), ", ".join(sorted(one.account.write)))
        + ("push" if one.findings else "", when(one.created), when(one.revoked))
        for one in listed
    ]
    headings = ("name", "read", "write", "findings", "created", "revoked")
    if as_json:
        for row in rows:
            emit(dict(zip(headings, row, strict=True)))
    else:
        table(headings, rows)


def _show_key(name: str, key: str, as_json: bool) -> None:
    if as_json:
        emit({"name": name, "key": key})
    else:
        click.echo(f"account  {name}\nkey      {key}")
        say("The key is shown this once. TAXII clients give it as the password, or as a Bearer token.")
