"""What a check-in is about: shared, received, confirmed, disputed, withdrawn in a period, what is owed, whom to call.

What it costs follows what was kept in the period and what went to the partner, not what the store holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import msgspec

from threatshare.config import OwnContact
from threatshare.model import Micros, band_of, moment
from threatshare.partners.ground import Ground, called, ground_of, held_on, to_see_to
from threatshare.partners.intake import DAY, Dispute, came_in, kind_of
from threatshare.policy import appointments
from threatshare.policy.agreements import Agreement, standing
from threatshare.policy.disguise import wants_disguise
from threatshare.report.checkin import PASSED, Digest, Shared, Unanswered
from threatshare.store import exchanges
from threatshare.store.connection import Connection
from threatshare.store.embedded import Store
from threatshare.store.partners import Checkin, last_checkins

_ATTACK = "mitre-attack"
"""How references to ATT&CK name their source."""
_COMPANIONS = frozenset({"identity", "marking-definition"})
"""Types that go along with what names them, and are nothing shared of their own."""
_UNNAMED = "the sender"
"""Stands where we are not to be named, and the agreement has no other name for us."""


@dataclass(frozen=True, slots=True)
class Parties:
    """Who checks in with whom."""

    us: str
    contact: OwnContact
    agreement: Agreement


class _Glance(msgspec.Struct, gc=False):
    """What is looked at of each version that we published."""

    revoked: Any = False
    pattern: Any = None
    confidence: Any = None
    external_references: Any = None

    @property
    def techniques(self) -> list[str]:
        """Ids of ATT&CK techniques that it names."""
        named = self.external_references if isinstance(self.external_references, list) else []
        named = [one for one in named if isinstance(one, dict) and one.get("source_name") == _ATTACK]
        return [str(one.get("external_id")) for one in named]


_glance = msgspec.json.Decoder(_Glance).decode


def period(agreement: Agreement, last: Checkin | None, first: date | None, final: date | None, now: Micros) -> range:
    """Gives the microseconds that a digest is about: from the last check-in, else the agreement's first day, to now.

    ``first`` and ``final`` are whole days that take their places.
    """
    begin = last.ends if last is not None else _midnight(agreement.effective_from)
    end = now if final is None else min(now, _midnight(final) + DAY)
    return range(begin if first is None else _midnight(first), end)


def digest(store: Store, parties: Parties, when: range, today: date) -> Digest:
    """Gives what was shared, received, confirmed, disputed and withdrawn in a period, and whom to call.

    Where the agreement forbids naming us, neither our name nor our contacts are in it.
    """
    conn, agreement = store.conn, parties.agreement
    ground = ground_of(conn, agreement.partner, agreement)
    last = last_checkins(conn).get(agreement.partner)
    intake = came_in(store, ground, when)
    hidden = wants_disguise(agreement.outbound)
    return Digest(
        agreement.partner,
        (agreement.outbound.anonymise_as or _UNNAMED) if hidden else parties.us,
        agreement.outbound.max_tlp,
        moment(when.start),
        moment(when.stop),
        _went_out(conn, ground, when),
        intake.received,
        intake.answers,
        unanswered(conn, ground, agreement, intake.disputed, last),
        agreement.feedback.sightings_back,
        tuple(appointments.days_ahead(agreement, held_on(last), today)),
        called(conn, agreement, today),
        () if hidden else ways_to_reach(parties.contact),
        tuple(reason.text for reason in standing(agreement, today)),
        tuple(to_see_to(conn, agreement, today)),
        last.note if last is not None else "",
    )


def ways_to_reach(contact: OwnContact) -> tuple[tuple[str, str], ...]:
    """Gives how to reach us: by what, and where."""
    known = (
        ("who", contact.team),
        ("mail", contact.email),
        ("telephone", contact.telephone),
        ("at what hours", contact.customer_contact),
        ("time zone", contact.time_zone),
        ("keys", contact.keys),
    )
    return (*((what, said) for what, said in known if said), *(("security reports", one) for one in contact.contact))


def unanswered(
    conn: Connection, ground: Ground, agreement: Agreement, disputed: Sequence[Dispute], last: Checkin | None
) -> tuple[Unanswered, ...]:
    """Gives the disputes after which the object was neither changed nor withdrawn, nor any check-in held."""
    changed = exchanges.held_by(conn, ground.collections, {one.object_id for one in disputed})
    hours = agreement.feedback.fp_sla_hours
    return tuple(
        Unanswered(one.object_id, moment(one.received), None if hours is None else _later(one.received, hours))
        for one in disputed
        if changed[one.object_id] <= one.received and (last is None or last.ends <= one.received)
    )


def _went_out(conn: Connection, ground: Ground, when: range) -> Shared:
    """Counts what was put into the partner's collections, and why what was withdrawn was."""
    shared = Shared(held=exchanges.waiting_for_people(conn, ground.collections))
    gone: list[int] = []
    for one in exchanges.sent(conn, ground.collections, when.start, when.stop):
        if one.type in _COMPANIONS:
            continue
        read = _glance(one.body)
        if read.revoked is True:
            gone.append(one.entry)
        elif one.first:
            _count(shared, one.type, read)
        else:
            shared.changed += 1
    shared.withdrawn = len(gone)
    for rules in exchanges.causes(conn, gone, when.start).values():
        shared.causes.update(set(rules) - PASSED)
    shared.collected_at = ground.collected_at(conn)
    shared.pushed_at = ground.pushed_at(conn)
    return shared


def _count(shared: Shared, kind: str, read: _Glance) -> None:
    shared.new += 1
    shared.kinds[kind_of(kind, read.pattern)] += 1
    if isinstance(read.confidence, int):
        shared.bands[band_of(read.confidence)] += 1
    shared.techniques.update(read.techniques)


def _later(at: Micros, hours: int) -> datetime | None:
    try:
        return moment(at) + timedelta(hours=hours)
    except OverflowError:
        return None


def _midnight(day: date) -> Micros:
    return (day.toordinal() - date(1970, 1, 1).toordinal()) * DAY
