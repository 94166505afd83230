"""Where in the store a partner is found, and whom to call there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import NamedTuple

from threatshare.model import CollectionKind, Micros, moment
from threatshare.policy import appointments
from threatshare.policy.agreements import Agreement
from threatshare.policy.senders import claimants, sole
from threatshare.report.register import Called
from threatshare.store import exchanges
from threatshare.store.accounts import account_names
from threatshare.store.collections import collections
from threatshare.store.connection import Connection
from threatshare.store.partners import Checkin, last_checkins, reached
from threatshare.store.rights import senders_kept, ties
from threatshare.store.sources import sources


class Ground(NamedTuple):
    """What of the store is a partner's."""

    collections: tuple[int, ...]
    """Numbers of the collections for it."""
    aliases: tuple[str, ...]
    sources: Mapping[int, str]
    """Names of the feeds and accounts that brought something of it, by source number."""
    accounts: frozenset[str] = frozenset()
    """Its accounts on our server, those too that have never posted."""

    def collected_at(self, conn: Connection) -> datetime | None:
        """Gives when news of its collections was last sent: to an account of its own, where one ever collected."""
        found = exchanges.last_collected(conn, self.collections)
        own = {account: at for account, at in found.items() if account in self.accounts}
        return latest((own or found).values())

    def pushed_at(self, conn: Connection) -> datetime | None:
        """Gives when a delivery to its server last went well."""
        return latest([exchanges.last_pushed(conn, self.collections)])


def ground_of(conn: Connection, name: str, agreement: Agreement | None) -> Ground:
    """Finds a partner; what is said to be another's as well is not counted as its own.

    Without an agreement only its own name, and ties, tell what is its.
    """
    named = dict(senders_kept(conn)[0]) | {name: agreement.senders if agreement else frozenset({name})}
    by_hand = ties(conn)

    def theirs(sender: str, account: bool) -> bool:
        return sole(claimants(sender, named.items(), by_hand, account)) == name

    ours = [one for one in collections(conn) if one.kind is CollectionKind.PARTNER and one.partner == name]
    brought = {one.number: one.name for one in sources(conn).values() if theirs(one.name, account=False)}
    accounts = frozenset(one for one in account_names(conn) if theirs(one, account=True))
    return Ground(tuple(one.number for one in ours), tuple(one.alias for one in ours), brought, accounts)


def called(conn: Connection, agreement: Agreement, today: date) -> tuple[Called, ...]:
    """Gives whom to call there, with the later day of paper and store."""
    known = appointments.as_reached(agreement, reached(conn, agreement.partner))
    late = appointments.overdue(known, today)
    return tuple(
        Called(one.role, one.name, one.channel, one.verified_on, appointments.verification_due(one), one in late)
        for one in known.contacts
    )


def to_see_to(conn: Connection, agreement: Agreement, today: date) -> list[str]:
    """Gives what is due with a partner or past: the agreement's own days, its contacts, the check-in."""
    last = held_on(last_checkins(conn).get(agreement.partner))
    return appointments.to_see_to(agreement, reached(conn, agreement.partner), last, today)


def held_on(last: Checkin | None) -> date | None:
    """Gives the day on which a check-in was recorded."""
    return moment(last.at).date() if last is not None else None


def latest(moments: Iterable[Micros | None]) -> datetime | None:
    """Gives the latest of some moments; None where there is none."""
    found = max((one for one in moments if one is not None), default=None)
    return None if found is None else moment(found)
