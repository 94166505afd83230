"""What is due with a partner: contacts, check-ins, and the days ahead."""

from __future__ import annotations

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from gate_builders import TODAY, agreement
from threatshare.policy.agreements import Checkin, Contact, digest_of, warnings
from threatshare.policy.appointments import (
    as_reached,
    checkin_due,
    days_ahead,
    overdue,
    to_see_to,
    verification_due,
)

DESK = Contact("legal", "Counsel", "counsel@north.example", date(2026, 1, 1), 90)
KEY = (DESK.role, DESK.name, DESK.channel)

days = st.dates(date(2020, 1, 1), date(2030, 1, 1))


def test_a_contact_reached_since_is_not_overdue() -> None:
    """A contact that the file calls verified long ago counts from the day on which it was reached since."""
    one = agreement(contacts=(DESK,))
    assert overdue(one, TODAY) == [DESK]
    assert overdue(as_reached(one, {KEY: TODAY}), TODAY) == []
    assert warnings(as_reached(one, {KEY: TODAY}), TODAY) == []


@given(st.none() | days, st.none() | days)
def test_the_later_day_counts(paper: date | None, store: date | None) -> None:
    """Of the file's day and the store's the later one counts, whichever of both is missing."""
    contact = Contact("legal", "Counsel", "counsel@north.example", paper)
    known = as_reached(agreement(contacts=(contact,)), {KEY: store} if store else {}).contacts[0]
    assert known.verified_on == max((one for one in (paper, store) if one), default=None)


def test_only_the_same_contact_counts() -> None:
    """Somebody of another role, name or channel was not reached by reaching this one."""
    one = agreement(contacts=(DESK,))
    for other in (("privacy", *KEY[1:]), (KEY[0], "Somebody else", KEY[2]), (*KEY[:2], "+1 555 0100")):
        assert as_reached(one, {other: TODAY}) == one


def test_the_terms_stay_the_papers() -> None:
    """Nothing that was reached changes the agreement itself, whose digest stands in the ledger."""
    one = agreement(contacts=(DESK,))
    before = digest_of(one)
    as_reached(one, {KEY: TODAY})
    assert digest_of(one) == before


def test_a_check_in_is_counted_from_the_last() -> None:
    """Without a rhythm none is due; with one it is due from the agreement's first day, then from the last held."""
    assert checkin_due(agreement(), None) is None
    one = agreement(checkin=Checkin(every_days=90))
    assert checkin_due(one, None) == date(2026, 4, 1)
    assert checkin_due(one, date(2026, 6, 1)) == date(2026, 8, 30)
    assert checkin_due(agreement(checkin=Checkin(every_days=36_500), expires_on=date.max), date.max) == date.max


def test_a_check_in_is_warned_of_a_week_ahead_until_the_end() -> None:
    """Eight days before nothing is said, then how many days are left, then since when; after the agreement nothing."""
    one = agreement(checkin=Checkin(every_days=90))
    due = TODAY
    last = due - timedelta(90)
    assert to_see_to(one, {}, last, due - timedelta(8)) == []
    assert "in 7 days" in to_see_to(one, {}, last, due - timedelta(7))[0]
    assert "in 0 days" in to_see_to(one, {}, last, due)[0]
    assert f"was due on {due}, last held on {last}" in to_see_to(one, {}, last, due + timedelta(1))[0]
    assert not any("check-in" in text for text in to_see_to(one, {}, last, date(2027, 1, 1)))


def test_the_days_ahead_are_in_order() -> None:
    """Both sides see what comes next first: end, review, check-in, exercise."""
    one = agreement(
        review_due=date(2026, 9, 1), checkin=Checkin(every_days=30, next_exercise=date(2026, 7, 1)), contacts=(DESK,)
    )
    assert days_ahead(one, TODAY, TODAY) == [
        ("next joint exercise", date(2026, 7, 1)),
        ("next check-in", TODAY + timedelta(30)),
        ("review of the agreement", date(2026, 9, 1)),
        ("agreement in force until", date(2026, 12, 31)),
    ]


def test_a_verification_is_due_by_the_contacts_own_rhythm() -> None:
    """A contact is due again after as many days as the agreement says; one that was never tried has no day."""
    assert verification_due(DESK) == date(2026, 4, 1)
    assert verification_due(Contact("legal", "Counsel", "room 1")) is None
    assert verification_due(Contact("legal", "Counsel", "room 1", date.max, 10**12)) == date.max
