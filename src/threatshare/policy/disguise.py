"""How an audience sees us that is not told who we are: another identity, other ids, another name, times by the day.

Ids of ours follow from our public identity, and times to the millisecond are as good as a name to whoever holds the
same object from elsewhere. So each object is rebuilt for the identity that the audience knows. All of it follows from a
secret of the node and from the partner: always the same for one partner, and another for each, since a partner who
reads our own server would know for all others who is behind an identity that they share.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid5

from threatshare.model import Micros
from threatshare.policy.agreement_terms import Outbound
from threatshare.stix.ais import Consent, Submitter, anonymous
from threatshare.stix.objects import NAMESPACE
from threatshare.stix.timestamps import read_timestamp, write_timestamp

ANONYMOUS = "Anonymous organisation"
"""Our name where the agreement does not say another (``outbound.anonymise_as``)."""
SINCE = "2020-01-01T00:00:00.000Z"
"""When every disguise of every node says that it was made: our own identity's moment is public."""
_NOT_NAMED: Consent = "ais-consent-none"
_DAY: Micros = 86_400 * 1_000_000
_MILLISECOND: Micros = 1_000
_BEGINS = ("created", "first_seen", "last_seen", "valid_from", "published")
_ENDS = ("valid_until",)


@dataclass(frozen=True, slots=True)
class Disguise:
    """Who we are for one partner, instead of who we are."""

    identity: str
    """The id of the Identity that it knows."""
    name: str
    hides: str
    """The id of our own Identity."""
    hidden_name: str
    """Our own name."""
    key: bytes = field(repr=False)
    """A secret for this partner: who has it can tell which objects are which of ours."""

    def object_id(self, ours: str) -> str:
        """Gives the id under which an object of ours appears, always the same."""
        digest = hmac.digest(self.key, f"object|{ours}".encode(), "sha256").hex()
        return f"{ours.partition('--')[0]}--{uuid5(NAMESPACE, f'disguise|{digest}')}"

    def worn(self, content: Mapping[str, Any], is_ours: Callable[[str], bool], modified: Micros) -> dict[str, Any]:
        """Gives an object of ours as it appears, at a version of its own (``version_after``).

        ``is_ours`` tells which of the ids that it refers to are ours.
        """
        worn = dict(content)
        worn["id"] = self.object_id(str(content["id"]))
        for name, value in content.items():
            if name.endswith("_ref") and isinstance(value, str):
                worn[name] = self._ref(value, is_ours)
            elif name.endswith("_refs") and name != "object_marking_refs" and isinstance(value, list):
                worn[name] = [self._ref(str(one), is_ours) for one in value]
        for name in _BEGINS:
            if name in content:
                worn[name] = write_timestamp(day_of(read_timestamp(content[name])))
        for name in _ENDS:
            if name in content:
                worn[name] = write_timestamp(day_of(read_timestamp(content[name]) + _DAY - 1))
        worn["modified"] = write_timestamp(modified)
        return worn

    def _ref(self, ref: str, is_ours: Callable[[str], bool]) -> str:
        if ref == self.hides:
            return self.identity
        return self.object_id(ref) if is_ours(ref) else ref


def day_of(at: Micros) -> Micros:
    """Gives the beginning of a moment's day, UTC."""
    return at - at % _DAY


def version_after(content: Mapping[str, Any], held: Micros | None) -> Micros:
    """Gives the version at which an object of ours appears: its day.

    ``held`` is the version that the audience has of it; a later one of the same day is a millisecond later.
    """
    modified = day_of(read_timestamp(content["modified"]))
    return modified if held is None else max(modified, held + _MILLISECOND)


UNTOLD = "ours, under an id or identity that its sender cannot be told is ours: kept aside, and not answered"
"""Why an object is not taken although its sender is told that it was: who tries ids would learn whose they are."""


def wants_disguise(outbound: Outbound) -> bool:
    """Tells whether an agreement wants the partner not to be told who we are."""
    return outbound.attribution == "must-not" or outbound.consent == _NOT_NAMED


def consent_of(outbound: Outbound) -> Consent | None:
    """Gives the consent label of our Identity for a partner; who is not told who we are has no consent."""
    return _NOT_NAMED if wants_disguise(outbound) else outbound.consent


def disguise_for(partner: str, outbound: Outbound, identity: str, name: str, secret: bytes) -> Disguise:
    """Makes the disguise for a partner; ``identity`` and ``name`` are our own, ``secret`` is the node's.

    Raises ValueError where the name that the agreement gives us contains our own.
    """
    key = hmac.digest(secret, f"disguise|{partner}".encode(), "sha256")
    us = Submitter(identity, name, "", "", "", "")
    hidden = anonymous(us, outbound.anonymise_as or ANONYMOUS, SINCE, key)
    return Disguise(hidden.identity, hidden.name, identity, name, key)
