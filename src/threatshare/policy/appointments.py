"""What is due with a partner, day by day: contacts to be tried, check-ins to be held, ends that lie ahead.

An agreement's file says when a contact was verified on paper; the store knows when somebody was reached since. The
later of both counts. Nothing here changes a decision of the gate.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, timedelta

from msgspec.structs import replace

from threatshare.policy.agreements import WARN_DAYS, Agreement, Contact, in_force_until, warnings

Reached = Mapping[tuple[str, str, str], date]
"""The last day on which a contact was reached, by role, name and channel: another number is another contact."""


def as_reached(agreement: Agreement, reached: Reached) -> Agreement:
    """Gives an agreement whose contacts bear the later day of paper and store; its digest is no longer the file's."""
    contacts = tuple(
        replace(one, verified_on=max((day for day in (one.verified_on, _day(one, reached)) if day), default=None))
        for one in agreement.contacts
    )
    return agreement if contacts == agreement.contacts else replace(agreement, contacts=contacts)


def verification_due(contact: Contact) -> date | None:
    """Gives the day by which a contact is to be tried again; None where it never was."""
    return None if contact.verified_on is None else _after(contact.verified_on, contact.verify_every_days)


def overdue(agreement: Agreement, today: date) -> list[Contact]:
    """Gives the contacts that nobody has tried in time."""
    return [one for one in agreement.contacts if (due := verification_due(one)) is None or due < today]


def checkin_due(agreement: Agreement, last: date | None) -> date | None:
    """Gives the day of the next check-in, counted from the last or the agreement's first day; None: none is agreed."""
    every = agreement.checkin.every_days
    return None if every is None else _after(last or agreement.effective_from, every)


def to_see_to(agreement: Agreement, reached: Reached, last_checkin: date | None, today: date) -> list[str]:
    """Gives what a partner manager should see to: the agreement's own warnings, and a check-in that is due."""
    return [*warnings(as_reached(agreement, reached), today), *_checkin(agreement, last_checkin, today)]


def days_ahead(agreement: Agreement, last_checkin: date | None, today: date) -> list[tuple[str, date]]:
    """Gives the days that both sides should know of, the next first; what is past but still to be done too."""
    until = in_force_until(agreement, today)
    known = [
        ("agreement in force until", until or agreement.expires_on),
        ("review of the agreement", agreement.review_due),
        ("next check-in", checkin_due(agreement, last_checkin)),
        ("next joint exercise", agreement.checkin.next_exercise),
    ]
    return sorted(((what, day) for what, day in known if day is not None), key=lambda one: one[1])


def _checkin(agreement: Agreement, last: date | None, today: date) -> Iterator[str]:
    due = checkin_due(agreement, last)
    if due is None or agreement.expires_on < today:
        return
    name = f"check-in with {agreement.partner}"
    before = f"last held on {last}" if last is not None else "none was ever recorded"
    if due < today:
        yield f"{name} was due on {due}, {before}; `threatshare partner checkin {agreement.partner}` writes its page"
    # Who meets every month is not reminded two months ahead.
    elif (due - today).days <= min(WARN_DAYS) and agreement.checkin.every_days is not None:
        yield f"{name} is due on {due}, in {(due - today).days} days; {before}"


def _day(contact: Contact, reached: Reached) -> date | None:
    return reached.get((contact.role, contact.name, contact.channel))


def _after(day: date, days: int) -> date:
    try:
        return day + timedelta(days)
    except OverflowError:
        return date.max
