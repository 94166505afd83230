"""``threatshare account limit``, ``tie``, ``pause`` and ``resume``: how much an account may post, whose it is, rest."""

from __future__ import annotations

from pathlib import Path

import click

from threatshare.cli.output import emit, say
from threatshare.errors import UsageError
from threatshare.node import Node, opened
from threatshare.policy.agreements import read_agreements
from threatshare.policy.senders import NO_TIES, claimants
from threatshare.store import accounts
from threatshare.store.agreements import keep_versions
from threatshare.store.collections import collections
from threatshare.store.quotas import Amount, posted_today, quota_of, set_quota
from threatshare.store.rights import two_partners


@click.command()
@click.argument("name")
@click.option("--objects", type=click.IntRange(min=0), help="Objects that it may post a day (UTC).")
@click.option("--bytes", "size", type=click.IntRange(min=0), help="Bytes that it may post a day (UTC).")
@click.option("--default", "as_all", is_flag=True, help="What all may: serve.daily_objects and serve.daily_bytes.")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def limit(directory: Path, name: str, objects: int | None, size: int | None, as_all: bool, as_json: bool) -> None:
    """Set how much an account may post a day; what is not named is what all may. It holds at once."""
    if as_all == (objects is not None or size is not None):
        raise UsageError("say either --objects or --bytes, or both, or --default")
    with opened(directory) as node, node.store.writing() as conn:
        set_quota(conn, name, objects, size)
        quota = quota_of(conn, name, daily(node))
    if as_json:
        emit({"name": name, "daily_objects": quota.objects, "daily_bytes": quota.bytes})
    else:
        say(f"account {name} may post {quota.objects} objects and {quota.bytes} bytes a day")


@click.command()
@click.argument("name")
@click.argument("partner", required=False)
@click.option("--none", "nobody", is_flag=True, help="Nobody's but by its name or by an agreement that names it.")
@click.pass_obj
def tie(directory: Path, name: str, partner: str | None, nobody: bool) -> None:
    """Make an account a partner's: what it reads ends with the agreement, what it posts is that partner's word."""
    if (partner is None) != nobody:
        raise UsageError("say either the partner or --none")
    with opened(directory) as node:
        known_partner(node, name, partner)
        with node.store.writing() as conn:
            accounts.tie_account(conn, name, partner)
    say(f"account {name} is {partner}'s" if partner else f"account {name} is tied to nobody")


@click.command()
@click.argument("name")
@click.pass_obj
def pause(directory: Path, name: str) -> None:
    """Have an account rest at once: its keys and certificates are no good until `account resume`."""
    with opened(directory) as node, node.store.writing() as conn:
        accounts.pause_account(conn, name, node.now())
    say(f"account {name} is paused")


@click.command()
@click.argument("name")
@click.pass_obj
def resume(directory: Path, name: str) -> None:
    """Have an account that was paused go on."""
    with opened(directory) as node, node.store.writing() as conn:
        accounts.pause_account(conn, name, None)
    say(f"account {name} goes on")


def daily(node: Node) -> Amount:
    """Gives what every account may post a day for which nothing else was set."""
    return Amount(node.settings.serve.daily_objects, node.settings.serve.daily_bytes)


def nearly_used_up(node: Node) -> list[str]:
    """Says which accounts have posted most of what they may today: from then on they are answered 429."""
    conn, found = node.store.conn, []
    for one in accounts.list_accounts(conn):
        quota, posted = quota_of(conn, one.account.name, daily(node)), posted_today(conn, one.account.name, node.now())
        if one.revoked is None and (posted.objects, posted.bytes) != (0, 0) and not quota.holds(posted.times(2)):
            found.append(
                f"account {one.account.name} has posted {posted.objects} of {quota.objects} objects and"
                f" {posted.bytes} of {quota.bytes} bytes of today: pause it, or give it more with"
                " `threatshare account limit`"
            )
    return found


def disputed_accounts(node: Node) -> list[str]:
    """Says which accounts are said to be more than one partner's: by neither agreement anything is theirs."""
    facts = node.facts()
    claims = {one: facts.partners_of_account(one) for one in accounts.account_names(node.store.conn)}
    return [
        f"{two_partners(name, partners)}, so it has the rights of neither, and what it posts goes to nobody: leave one,"
        f" with `threatshare account tie {name} --none` or in inbound.sources"
        for name, partners in claims.items()
        if len(partners) > 1
    ]


def known_partner(node: Node, account: str, partner: str | None) -> None:
    """Checks whose an account is to be, and keeps what is in force with that partner, so that it is good from now on.

    Raises UsageError where neither an agreement nor a collection knows the partner, or the account is another's.
    """
    if partner is None:
        return
    filed, _ = read_agreements(node.directory)
    known = sorted({*filed, *(one.partner for one in collections(node.store.conn) if one.partner)})
    if partner not in known:
        raise UsageError(f"there is no partner {partner!r}; there are: {', '.join(known) or 'none yet'}")
    named = claimants(account, [(other, one.senders) for other, one in filed.items()], NO_TIES, account=True)
    if others := ", ".join(sorted(named - {partner})):
        raise UsageError(
            f"account {account} is {others}'s already, by its name or by inbound.sources of that agreement:"
            " take it out there first, or use another name"
        )
    keep_versions(node.store, node.directory, filed, node.today(), node.now())
