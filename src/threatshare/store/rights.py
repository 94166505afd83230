"""What an account may read at this moment: what it was granted, as long as the agreement behind it is in force.

An account is a partner's that it was tied to, that has its name, or whose agreement names it (``inbound.sources``);
where that is more than one partner, it reads nothing that depends on whose it is.
What was last seen in force is in the store, and a day ends an agreement at midnight, whoever has looked since.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date
from functools import lru_cache
from typing import NamedTuple

from threatshare.model import Account, CollectionKind, Micros, Verdict, moment
from threatshare.policy.agreements import Agreement, parse_agreement, standing
from threatshare.policy.senders import NO_TIES, Ties, claimants, sole
from threatshare.store.collections import collections
from threatshare.store.connection import Connection

_OURS = (CollectionKind.SIEM, CollectionKind.INTERNAL)
"""Collections for our own tools: they hold what agreements let leave for nobody."""
_SENDERS: dict[str, frozenset[str]] = {}
"""What agreements name, by their digests."""
_MOST_KNOWN = 1_000
INBOX = " (inbox)"
"""Ends the name of the source of what an account posts, where a feed has its name."""
_AMONG_PARTNERS = (CollectionKind.EXCHANGE, CollectionKind.EXERCISE)
_BOUND = (*_OURS, CollectionKind.PARTNER, *_AMONG_PARTNERS)
"""Collections whose reading depends on whose account it is, or on an agreement."""


class Right(NamedTuple):
    """What an account was granted."""

    alias: str
    verb: str
    kind: str
    partner: str | None
    """Of the collection."""


def ties(conn: Connection) -> Ties:
    """Gives what is known here of whose accounts are, and which sources are what they posted."""
    tied = dict(conn.execute("SELECT name, partner FROM account WHERE partner IS NOT NULL").fetchall())
    posted = conn.execute("SELECT name FROM source WHERE kind = 'partner'").fetchall()
    return Ties(tied, {name: name.removesuffix(INBOX) for (name,) in posted})


def partners_of(conn: Connection, account: str) -> frozenset[str]:
    """Gives the partners that an account is said to be of, as was last seen in force; more than one: nobody's."""
    row = conn.execute("SELECT partner FROM account WHERE name = ?", (account,)).fetchone()
    tied = Ties({account: row[0]}) if row is not None and row[0] is not None else NO_TIES
    standing, ended = senders_kept(conn)
    # What has ended says something only where nothing else does: its names may be another's by now.
    return claimants(account, standing, tied, account=True) or claimants(account, ended, NO_TIES, account=True)


def senders_kept(conn: Connection) -> tuple[list[tuple[str, frozenset[str]]], list[tuple[str, frozenset[str]]]]:
    """Gives the names that agreements bring, by partner: of those that were last seen in force, and of the others."""
    # Without their texts, which are long: they are read once. One max() only: the digest is of its row.
    latest = conn.execute(
        "SELECT partner, digest, max(number), sum(until IS NULL) FROM agreement_version GROUP BY partner"
    ).fetchall()
    found: tuple[list[tuple[str, frozenset[str]]], list[tuple[str, frozenset[str]]]] = ([], [])
    for partner, digest, number, stands in latest:
        found[0 if stands else 1].append((partner, _senders(conn, digest, number)))
    return found


def account_at(conn: Connection, name: str, now: Micros) -> Account:
    """Gives an account with the rights that it has at this moment.

    One that is a partner's reads that partner's alone, whatever it was granted, of collections that the gate fills.
    What the end of an agreement leaves of them is withdrawals; what partners share among themselves it ends.
    """
    rights = granted(conn, name)
    account = account_with(name, rights)
    bound = [one for one in rights if one.verb == "read" and one.kind in _BOUND]
    if not bound:
        return account
    today = moment(now).date()
    claims = partners_of(conn, name)
    if len(claims) > 1:
        return replace(account, read=account.read - {one.alias for one in bound})
    partner = sole(claims)
    named = conn.execute("SELECT 1 FROM collection WHERE partner = ?", (name,)).fetchone()
    whose = partner or (name if named else None)
    ended = partner is not None and not in_force(conn, partner, today)
    lost, withdrawals = set(), set()
    for one in bound:
        if one.kind in _AMONG_PARTNERS:
            lost |= {one.alias} if ended else set()
        elif whose is not None and one.partner != whose:
            lost.add(one.alias)
        elif one.partner is not None and not in_force(conn, one.partner, today):
            withdrawals.add(one.alias)
    return replace(account, read=account.read - lost - withdrawals, withdrawals=frozenset(withdrawals))


def granted(conn: Connection, name: str) -> list[Right]:
    """Gives what an account was granted, whether it may use it now or not."""
    return [
        Right(*row)
        for row in conn.execute(
            "SELECT c.alias, r.verb, c.kind, c.partner FROM account_right AS r"
            " JOIN collection AS c ON c.number = r.collection WHERE r.account = ?",
            (name,),
        ).fetchall()
    ]


def account_with(name: str, rights: Iterable[Right]) -> Account:
    """Gives an account with rights as they were granted."""
    by_verb: dict[str, set[str]] = {"read": set(), "write": set()}
    for one in rights:
        by_verb[one.verb].add(one.alias)
    return Account(name, frozenset(by_verb["read"]), frozenset(by_verb["write"]))


def foreign_readings(
    conn: Connection,
    agreements: Mapping[str, Agreement],
    name: str | None = None,
    read: Iterable[str] | None = None,
    tied: str | None = None,
) -> list[str]:
    """Says which accounts of partners may read what is our own, or another partner's, and why that is not theirs.

    An account is a partner's that was tied to it, that an agreement names (its partner, or one of
    ``inbound.sources``), or a collection for partners; one that is more than one partner's reads nothing that depends
    on it. ``name`` and ``read``: only of this account, and as if it could read just these collections, by alias;
    ``tied``: as if it were tied to that one.
    """
    known = {one.alias: one for one in collections(conn)}
    partners = {one.partner for one in known.values() if one.partner is not None}
    by_hand = ties(conn)
    if name is not None and tied is not None:
        by_hand = Ties({**by_hand.accounts, name: tied})
    named = [(partner, one.senders) for partner, one in agreements.items()]
    wanted = read if name is not None and read is not None else None
    found = []
    for account, alias in [(str(name), alias) for alias in wanted] if wanted is not None else _readings(conn, name):
        claims, one = claimants(account, named, by_hand, account=True), known.get(alias)
        partner = sole(claims) or (account if account in partners and not claims else None)
        if one is not None and len(claims) > 1 and one.kind in _BOUND:
            found.append(f"{two_partners(account, claims)}: the collection {alias} is not for it")
        if partner is None or one is None:
            continue
        if one.kind in _OURS:
            whose = "our own tools"
        elif one.kind is CollectionKind.PARTNER and one.partner != partner:
            whose = f"{one.partner}"
        else:
            continue
        found.append(f"account {account} is {partner}'s, and the collection {alias} is for {whose}")
    return found


def untied_readings(conn: Connection) -> list[str]:
    """Says which accounts read what is shared under agreements, and of which nothing says whose they are."""
    wanted = {one.alias for one in collections(conn) if one.kind in (CollectionKind.PARTNER, *_AMONG_PARTNERS)}
    partners = {one.partner for one in collections(conn)}
    return [
        f"account {account} reads the collection {alias}, and nothing says whose account it is"
        for account, alias in _readings(conn, None)
        if alias in wanted and account not in partners and not partners_of(conn, account)
    ]


def in_force(conn: Connection, partner: str, today: date) -> bool:
    """Tells whether an agreement with a partner was last seen in force, and its own dates still allow that."""
    row = conn.execute("SELECT text FROM agreement_version WHERE partner = ? AND until IS NULL", (partner,)).fetchone()
    return row is not None and not standing(_read(row[0]), today)


def all_withdrawn(conn: Connection, collection: int) -> bool:
    """Tells whether nothing in a collection stands any more but who we are: its readers were told to drop the rest."""
    row = conn.execute(
        "SELECT 1 FROM release WHERE collection = ? AND verdict = ?"
        " AND substr(object_id, 1, instr(object_id, '--') - 1) NOT IN ('identity', 'location', 'relationship') LIMIT 1",
        (collection, Verdict.RELEASE.value),
    ).fetchone()
    return row is None


def _senders(conn: Connection, digest: str, number: int) -> frozenset[str]:
    """Gives the names that an agreement brings; its digest stands for all that it says."""
    known = _SENDERS.get(digest)
    if known is None:
        (text,) = conn.execute("SELECT text FROM agreement_version WHERE number = ?", (number,)).fetchone()
        if len(_SENDERS) >= _MOST_KNOWN:
            _SENDERS.clear()
        known = _SENDERS[digest] = _read(text).senders
    return known


def two_partners(account: str, claims: Iterable[str]) -> str:
    """Says that nothing tells whose an account is, since more than one partner is named for it."""
    both = "'s and ".join(sorted(claims))
    return f"account {account} is said to be {both}'s"


@lru_cache(maxsize=256)
def _read(text: str) -> Agreement:
    return parse_agreement(text, "an agreement that was in force")


def _readings(conn: Connection, name: str | None) -> list[tuple[str, str]]:
    return conn.execute(
        "SELECT r.account, c.alias FROM account_right AS r JOIN collection AS c ON c.number = r.collection"
        " JOIN account AS a ON a.name = r.account WHERE r.verb = 'read' AND a.revoked IS NULL"
        " AND r.account = coalesce(?, r.account) ORDER BY r.account, c.alias",
        (name,),
    ).fetchall()
