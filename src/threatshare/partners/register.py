"""The register: every partner with its agreement, its contacts, what came in and went out, what is owed and next."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from threatshare.model import Micros, micros, moment
from threatshare.partners.checkin import period, unanswered
from threatshare.partners.ground import Ground, called, ground_of, held_on, latest, to_see_to
from threatshare.partners.intake import feedback_in
from threatshare.policy import appointments
from threatshare.policy.agreements import Agreement, in_force_until, standing
from threatshare.report.register import Entry, Owed, Traffic
from threatshare.store import exchanges, overlaps
from threatshare.store.collections import collections
from threatshare.store.connection import Connection
from threatshare.store.embedded import Store
from threatshare.store.partners import last_checkins, last_exercises
from threatshare.store.runs import feed_states


def register(store: Store, agreements: Mapping[str, Agreement], today: date, now: Micros) -> list[Entry]:
    """Gives an entry for every partner with an agreement or a collection, by name."""
    conn = store.conn
    names = sorted({*agreements, *(one.partner for one in collections(conn) if one.partner)})
    grounds = {name: ground_of(conn, name, agreements.get(name)) for name in names}
    owners = {number: name for name, ground in grounds.items() for number in ground.sources}
    worth = overlaps.worth_of(conn, owners)
    found = []
    for name, ground in grounds.items():
        traffic = _traffic(conn, ground, worth.get(name, overlaps.Worth()))
        agreement = agreements.get(name)
        if agreement is None:
            problems = tuple(reason.text for reason in standing(None, today))
            found.append(Entry(name, problems, traffic))
        else:
            found.append(_entry(store, agreement, ground, traffic, today, now))
    return found


def _entry(store: Store, agreement: Agreement, ground: Ground, traffic: Traffic, today: date, now: Micros) -> Entry:
    conn, name = store.conn, agreement.partner
    last = held_on(last_checkins(conn).get(name))
    event = agreement.event
    exercise = last_exercises(conn).get(name)
    return Entry(
        name,
        tuple(reason.text for reason in standing(agreement, today)),
        traffic,
        agreement.partner_type,
        agreement.kind,
        in_force_until(agreement, today),
        agreement.signed_on,
        ", ".join(str(one) for one in (event.name, event.start, event.end) if one) or None,
        called(conn, agreement, today),
        _owed(store, agreement, ground, now),
        agreement.review_due,
        last,
        appointments.checkin_due(agreement, last),
        f"{exercise.name}, {moment(exercise.started):%Y-%m-%d}" if exercise is not None else None,
        agreement.checkin.next_exercise,
        tuple(to_see_to(conn, agreement, today)),
    )


def _traffic(conn: Connection, ground: Ground, worth: overlaps.Worth) -> Traffic:
    states = feed_states(conn)
    counts = exchanges.standing_of(conn, ground.collections)
    return Traffic(
        ground.aliases,
        tuple(sorted(ground.sources.values())),
        latest(states[one].last_success for one in ground.sources.values() if one in states),
        latest([exchanges.last_posted(conn, ground.accounts)]),
        ground.collected_at(conn),
        ground.pushed_at(conn),
        worth.claims,
        worth.unique / worth.claims if worth.claims else None,
        worth.wrong / worth.claims if worth.claims else None,
        counts.released,
        counts.withdrawn,
        counts.held,
    )


def _owed(store: Store, agreement: Agreement, ground: Ground, now: Micros) -> Owed:
    last = last_checkins(store.conn).get(agreement.partner)
    answers, disputed = feedback_in(store, ground, period(agreement, last, None, None, now))
    waiting = unanswered(store.conn, ground, agreement, disputed, last)
    late = sum(one.due is not None and micros(one.due) < now for one in waiting)
    back = len(set(answers.seen_untold)) if agreement.feedback.sightings_back else 0
    return Owed(len(waiting), late, back)
