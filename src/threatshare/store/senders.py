"""Whose word it is where a feed and an account that posts have one name.

Whoever stands behind a source versions and withdraws all that came from it. So a feed and an account are one source
only where an agreement names them as one partner's (its name, or ``inbound.sources``); else they are kept apart:

    the feed was there first       what the account posts is the source ``NAME (inbox)``
    the account was there first    the feed is not pulled until it is called otherwise
"""

from __future__ import annotations

from collections.abc import Callable

from threatshare.errors import ConfigurationError
from threatshare.policy.agreements import Agreement
from threatshare.store.connection import Connection
from threatshare.store.rights import INBOX
from threatshare.store.sources import sources

_NAME_IT = "name it in inbound.sources of the agreement if both are one partner's, else rename the feed's file"


def inbox_source(conn: Connection, account: str, has_feed: bool, agreement: Agreement | None) -> str:
    """Gives the name of the source of what an account posts.

    ``has_feed``: whether there is a feed of its name; ``agreement``: that with the account's partner.
    """
    known = sources(conn).get(account)
    apart = has_feed if known is None else known.kind == "feed"
    return f"{account}{INBOX}" if apart and not _one_partner(account, agreement) else account


def check_feed_source(conn: Connection, feed: str, agreement: Callable[[], Agreement | None]) -> None:
    """Raises ConfigurationError for a feed that would change what an account has posted that is not its partner's."""
    known = sources(conn).get(feed)
    # Agreements are not even read where nobody posts: one that is wrong stops no feed.
    if known is not None and known.kind == "partner" and not _one_partner(feed, agreement()):
        raise ConfigurationError(f"feed {feed}: what the account {feed} has posted is kept under that name; {_NAME_IT}")


def shared_name(conn: Connection, feed: str, agreement: Agreement | None) -> str | None:
    """Says that an account has a feed's name, where it is not known that both are one partner's; None: all is clear."""
    posts = conn.execute("SELECT 1 FROM account WHERE name = ? AND revoked IS NULL", (feed,)).fetchone() is not None
    if not posts or _one_partner(feed, agreement):
        return None
    return f"feed {feed} has the name of an account, and what each brings is kept apart: {_NAME_IT}"


def _one_partner(name: str, agreement: Agreement | None) -> bool:
    return agreement is not None and name in agreement.senders
