"""Partners for the check-in's tests: two that send and receive over one store, and what they say of indicators."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from builders import (
    BEGUN,
    DAY,
    NOW,
    feed_source,
    let_out,
    make_agreement,
    make_collection,
    make_finding,
    make_outlet,
    take_findings,
    take_in,
    with_terms,
)
from threatshare.config import OwnContact
from threatshare.model import Collection, CollectionKind, Micros, Observable, Role, moment
from threatshare.partners.checkin import Parties, digest
from threatshare.policy.agreements import Agreement, Contact, Feedback, Inbound
from threatshare.report.checkin import Digest
from threatshare.share.outlets import PublishReport
from threatshare.stix.timestamps import write_timestamp
from threatshare.store.embedded import Store

DESK = Contact("duty24x7", "Watch desk", "+1 555 0100")
CONTACT = OwnContact(("mailto:security@our-company.example",), team="Our desk", email="desk@our-company.example")


def agreed(partner: str = "north", **changed: Any) -> Agreement:
    """Builds an agreement whose partner sends by the feed ``PARTNER-feed``."""
    values: dict[str, Any] = {"inbound": Inbound(sources=(f"{partner}-feed",)), "contacts": (DESK,)}
    return make_agreement(partner, **(values | changed))


class Exchange:
    """A store in which some partners have a collection each."""

    def __init__(self, store: Store, *agreements: Agreement) -> None:
        self.store = store
        self.agreements = {one.partner: one for one in agreements or (agreed(),)}
        self.collections = {one: _collection(store, one) for one in self.agreements}
        self.given: dict[str, list[Any]] = {one: [] for one in self.agreements}
        """What each partner sent, taken or not."""

    def publish(self, now: Micros = NOW, **facts: Any) -> PublishReport:
        """Publishes what is ours to every partner."""
        return let_out(
            self.store,
            *(
                make_outlet(self.collections[name], one, now, agreements=self.agreements, **facts)
                for name, one in self.agreements.items()
            ),
        )

    def receive(self, partner: str, *objects: dict[str, Any] | bytes, now: Micros = NOW) -> list[str]:
        """Takes objects in from a partner's feed; gives the reasons for what was not taken."""
        self.given[partner] += [one for one in objects if not isinstance(one, bytes)]
        raws = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in objects]
        return [
            one.reason for one in take_in(self.store, feed_source(self.store, f"{partner}-feed"), *raws, now=now)[1]
        ]

    def hit(self, *values: Observable, now: Micros = NOW) -> None:
        """Has a sensor of ours see values that its list had named."""
        take_findings(self.store, make_finding(*values, role=Role.KNOWN_INDICATOR, seen=now), now=now)

    def digest(self, partner: str = "north", begin: Micros = 0, end: Micros = NOW + DAY) -> Digest:
        """Gives what a check-in is about."""
        parties = Parties("Our Company", CONTACT, self.agreements[partner])
        return digest(self.store, parties, range(begin, end), moment(end).date())

    def served_ids(self, partner: str, kind: str = "indicator") -> list[str]:
        """Gives the ids of what a partner's collection ever held, of one type."""
        rows = self.store.conn.execute(
            "SELECT DISTINCT object_id FROM entry WHERE id >> 40 = ? AND type = ? ORDER BY id",
            (self.collections[partner].number, kind),
        )
        return [row[0] for row in rows]


def _collection(store: Store, partner: str) -> Collection:
    return make_collection(store, CollectionKind.PARTNER, f"to-{partner}", partner)


def said(kind: str, number: int, about: Sequence[str], modified: Micros = NOW - DAY, **more: Any) -> dict[str, Any]:
    """Builds a sighting or an opinion of somebody else on some objects."""
    refs: dict[str, Any] = {"sighting_of_ref": about[0]} if kind == "sighting" else {"object_refs": list(about)}
    return {
        "type": kind,
        "spec_version": "2.1",
        "id": f"{kind}--00000000-0000-4000-8000-{number:012d}",
        "created": write_timestamp(BEGUN),
        "modified": write_timestamp(modified),
        **refs,
        **more,
    }


def with_feedback(one: Agreement, **duties: Any) -> Agreement:
    """Gives an agreement with feedback duties."""
    return with_terms(one, feedback=Feedback(**duties))
