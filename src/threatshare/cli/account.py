"""``threatshare account``: who may use the TAXII server."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import click

from threatshare.cli.account_terms import daily, known_partner, limit, pause, resume, tie
from threatshare.cli.days import Day
from threatshare.cli.output import emit, say, table, when
from threatshare.errors import BadValue, UsageError
from threatshare.model import Micros, micros
from threatshare.node import Node, opened
from threatshare.policy.agreements import read_agreements
from threatshare.store import accounts
from threatshare.store.connection import Connection
from threatshare.store.quotas import posted_today, quota_of
from threatshare.store.rights import foreign_readings

_HOUR: Micros = 3_600 * 1_000_000


@click.group()
def account() -> None:
    """Accounts of the TAXII server."""


for command in (limit, tie, pause, resume):
    account.add_command(command)


def _rights(
    read: str = "Alias of a collection.",
    write: str = "Alias of a collection.",
    findings: str = "It may push findings of ours to the server (POST /findings).",
    metrics: str = "It may read the server's metrics (GET /metrics).",
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Adds the options that name rights; the texts are their helps."""

    def with_rights(command: Callable[..., Any]) -> Callable[..., Any]:
        command = click.option("--metrics", is_flag=True, help=metrics)(command)
        command = click.option("--findings", is_flag=True, help=findings)(command)
        command = click.option("--write", multiple=True, help=write)(command)
        return click.option("--read", multiple=True, help=read)(command)

    return with_rights


@account.command()
@click.argument("name")
@_rights(
    "Alias of a collection that it may read; several times.",
    "Alias of a collection that it may write to; several times.",
)
@click.option("--expires", type=Day(), metavar="DAY", help="The first day on which it is good no more, YYYY-MM-DD UTC.")
@click.option("--partner", help="Whose it is: what it reads as that partner's ends with the agreement.")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def add(
    directory: Path,
    name: str,
    read: tuple[str, ...],
    write: tuple[str, ...],
    findings: bool,
    metrics: bool,
    expires: date | None,
    partner: str | None,
    as_json: bool,
) -> None:
    """Make an account; its key is shown this once."""
    with opened(directory) as node:
        known_partner(node, name, partner)
        with node.store.writing() as conn:
            _none_foreign(node, conn, name, read, partner)
            key = accounts.add_account(conn, name, read, write, node.now(), findings, metrics, _start(expires), partner)
    _show_key(name, key, as_json)


@account.command()
@click.argument("name")
@click.option(
    "--overlap-hours",
    type=click.IntRange(0, 24 * 366),
    default=0,
    show_default=True,
    help="How long the old key stays good beside the new one.",
)
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def rotate(directory: Path, name: str, overlap_hours: int, as_json: bool) -> None:
    """Give an account a new key; the old one ends, at once or after an overlap."""
    with opened(directory) as node, node.store.writing() as conn:
        key = accounts.rotate_account_key(conn, name, node.now(), overlap_hours * _HOUR)
    _show_key(name, key, as_json)


@account.command()
@click.argument("name")
@click.option("--on", type=Day(), metavar="DAY", help="The first day on which it is good no more, YYYY-MM-DD UTC.")
@click.option("--never", is_flag=True, help="It does not end by itself.")
@click.pass_obj
def expire(directory: Path, name: str, on: date | None, never: bool) -> None:
    """Set the day on which an account ends by itself, with all its keys and certificates."""
    if (on is None) != never:
        raise UsageError("say either --on DAY or --never")
    with opened(directory) as node, node.store.writing() as conn:
        accounts.expire_account(conn, name, _start(on))
    say(f"account {name} ends on {on:%Y-%m-%d}" if on else f"account {name} does not end by itself")


@account.command()
@click.argument("name")
@click.option("--fingerprint", metavar="SHA256", help="SHA-256 of the certificate, in hexadecimal digits.")
@click.option("--pem", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="The certificate itself.")
@click.option("--remove", is_flag=True, help="It stands for the account no more.")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def certificate(
    directory: Path, name: str, fingerprint: str | None, pem: Path | None, remove: bool, as_json: bool
) -> None:
    """Let a client certificate stand for an account, where a proxy checks certificates (serve.certificate_header)."""
    from threatshare.share.certificates import pem_fingerprint, read_fingerprint

    if (fingerprint is None) == (pem is None):
        raise UsageError("name the certificate by either --fingerprint or --pem")
    try:
        digest = pem_fingerprint(pem.read_text("ascii", "replace")) if pem else read_fingerprint(fingerprint or "")
    except BadValue as problem:
        raise UsageError(f"{pem or '--fingerprint'}: {problem}") from problem
    with opened(directory) as node, node.store.writing() as conn:
        if remove:
            accounts.remove_certificate(conn, name, digest)
        else:
            accounts.add_certificate(conn, name, digest, node.now())
    if as_json:
        emit({"name": name, "certificate": digest.hex(), "stands": not remove})
    else:
        say(f"certificate {digest.hex()} stands for {name}{' no more' if remove else ''}")


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
@_rights()
@click.pass_obj
def grant(
    directory: Path, name: str, read: tuple[str, ...], write: tuple[str, ...], findings: bool, metrics: bool
) -> None:
    """Give an account more rights."""
    with opened(directory) as node, node.store.writing() as conn:
        _none_foreign(node, conn, name, read)
        accounts.grant(conn, name, read, write, findings, metrics)
    say(f"account {name} may do that now")


@account.command()
@click.argument("name")
@_rights(findings="It may push findings no more.", metrics="It may read the server's metrics no more.")
@click.pass_obj
def withdraw(
    directory: Path, name: str, read: tuple[str, ...], write: tuple[str, ...], findings: bool, metrics: bool
) -> None:
    """Take rights from an account, at once."""
    with opened(directory) as node, node.store.writing() as conn:
        accounts.withdraw(conn, name, read, write, findings, metrics)
    say(f"account {name} may do that no more")


@account.command("list")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def show(directory: Path, as_json: bool) -> None:
    """List accounts, their rights, keys and certificates, and what each posted today; of a key its public part only."""
    with opened(directory) as node:
        listed = accounts.list_accounts(node.store.conn)
        now, names = node.now(), [one.account.name for one in listed]
        quotas = [quota_of(node.store.conn, name, daily(node)) for name in names]
        posted = [posted_today(node.store.conn, name, now) for name in names]
    rows = [
        (one.account.name, ", ".join(sorted(one.account.read)), ", ".join(sorted(one.account.write)))
        + ("push" if one.findings else "", "read" if one.metrics else "")
        + (when(one.created), when(one.expires), when(one.revoked), one.partner or "-", when(one.paused))
        for one in listed
    ]
    headings = ("name", "read", "write", "findings", "metrics", "created", "expires", "revoked", "partner", "paused")
    if as_json:
        for row, one, quota, amount in zip(rows, listed, quotas, posted, strict=True):
            keys = [
                {"prefix": key.prefix, "created": when(key.created), "expires": when(key.expires)} for key in one.keys
            ]
            told: dict[str, object] = {"keys": keys, "certificates": one.certificates}
            told |= {"daily_objects": quota.objects, "daily_bytes": quota.bytes}
            told |= {"posted_objects": amount.objects, "posted_bytes": amount.bytes}
            emit(dict(zip(headings, row, strict=True)) | told)
    else:
        table(
            (*headings, "keys", "certificates", "objects today", "bytes today"),
            [
                (*row, sum(key.expires is None or key.expires > now for key in one.keys), len(one.certificates))
                + (f"{amount.objects} of {quota.objects}", f"{amount.bytes} of {quota.bytes}")
                for row, one, quota, amount in zip(rows, listed, quotas, posted, strict=True)
            ],
        )


def _none_foreign(node: Node, conn: Connection, name: str, read: tuple[str, ...], partner: str | None = None) -> None:
    """Raises UsageError where a partner's account would read what is our own, or another partner's."""
    agreements, _ = read_agreements(node.directory)
    for text in foreign_readings(conn, agreements, name, read, partner):
        raise UsageError(
            f"{text}: what is in it was let out for nobody else; our own tools need an account of their own"
        )


def _start(day: date | None) -> Micros | None:
    """Gives the moment at which a day begins."""
    return None if day is None else micros(datetime(day.year, day.month, day.day, tzinfo=UTC))


def _show_key(name: str, key: str, as_json: bool) -> None:
    if as_json:
        emit({"name": name, "key": key})
    else:
        click.echo(f"account  {name}\nkey      {key}")
        say("The key is shown this once. TAXII clients give it as the password, or as a Bearer token.")
