"""Whose word it is: which partner stands behind a feed, an account or an identity.

Agreements name them (their partner, and ``inbound.sources``), and an account may be tied to a partner by hand. Where
these name more than one partner nothing tells whose it is: nobody has a right by it, and it goes back to none of them.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Ties:
    """What the store knows of accounts beside the agreements."""

    accounts: Mapping[str, str] = field(default_factory=dict)
    """Partners of accounts that were tied by hand, the revoked ones too: what they posted stays theirs."""
    posters: Mapping[str, str] = field(default_factory=dict)
    """Accounts by the names of the sources of what they post."""


NO_TIES = Ties()


def claimants(sender: str, named: Iterable[tuple[str, Container[str]]], ties: Ties, account: bool) -> frozenset[str]:
    """Gives the partners that something which sends or reads is said to be of; see ``sole``.

    ``named``: of each partner the names that its agreement brings. ``account``: whether it is an account, else it is
    a source (a feed, what an account posts, or an identity); a feed is nobody's because an account has its name.
    """
    poster = sender if account else ties.posters.get(sender)
    names = {sender, poster}
    found = {partner for partner, senders in named if any(one in senders for one in names if one is not None)}
    tied = ties.accounts.get(poster) if poster is not None else None
    return frozenset(found if tied is None else found | {tied})


def sole(claims: frozenset[str]) -> str | None:
    """Gives the one partner whose it is; None where nothing, or more than one thing, says so."""
    return next(iter(claims)) if len(claims) == 1 else None
