"""What further terms of an agreement do to what is released: it waits for a person, ages out, ends with an event."""

from __future__ import annotations

from builders import (
    BAD,
    DAY,
    NOW,
    check,
    find,
    held_ids,
    ip,
    let_out,
    make_agreement,
    make_outlet,
)
from threatshare.model import Collection, moment
from threatshare.policy.agreements import Event, Outbound
from threatshare.review import decide_releases, gate_groups
from threatshare.store.decisions import Action, ByWhom
from threatshare.store.embedded import Store
from threatshare.store.releases import decisions_on

HUMAN = make_agreement(outbound=Outbound("amber", ("indicator", "sighting"), approval="human"))
AGEING = make_agreement(outbound=Outbound("amber", ("indicator", "sighting"), max_age_days=10))
BY = ByWhom("Analyst One", "read it", NOW)


def approve(store: Store, *objects: str) -> None:
    """Lets objects go, or all that one rule holds."""
    (group,) = gate_groups(store.conn)
    decide_releases(store, group, objects or group.objects, Action.APPROVE, BY)


def test_each_object_waits_for_a_person(store: Store, partner: Collection) -> None:
    """Under approval = human nothing leaves by itself; what a person named leaves, with the name, and nothing else."""
    find(store, BAD, ip("45.0.0.1"))
    report = let_out(store, make_outlet(partner, HUMAN))
    assert (report.released, report.held) == ({"to-north": 0}, 2)
    (group,) = gate_groups(store.conn)
    assert group.rules == ("approval",)
    named = min(group.objects)
    approve(store, named)
    assert let_out(store, make_outlet(partner, HUMAN)).released == {"to-north": 1}
    assert held_ids(store, partner) == {named}
    ((_, release),) = decisions_on(store.conn, named)
    assert "released by Analyst One on" in next(one.text for one in release.reasons if one.rule == "approval")


def test_approval_that_is_agreed_later_takes_back_what_nobody_approved(store: Store, partner: Collection) -> None:
    """Where an agreement comes to want a person, what had left without one is withdrawn until somebody lets it go."""
    find(store)
    let_out(store, make_outlet(partner, make_agreement()))
    assert let_out(store, make_outlet(partner, HUMAN)).withdrawn == 1
    approve(store)
    assert let_out(store, make_outlet(partner, HUMAN, NOW + DAY)).released == {"to-north": 1}
    check(store, partner)


def test_what_gets_too_old_is_withdrawn(store: Store, partner: Collection) -> None:
    """Nothing stands with the partner longer than agreed; seen again it comes back, as a new object."""
    find(store)
    let_out(store, make_outlet(partner, AGEING))
    (first,) = held_ids(store, partner)
    assert let_out(store, make_outlet(partner, AGEING, NOW + 10 * DAY)).withdrawn == 0
    assert let_out(store, make_outlet(partner, AGEING, NOW + 11 * DAY)).withdrawn == 1
    assert held_ids(store, partner) == set()
    find(store, seen=NOW + 12 * DAY, now=NOW + 12 * DAY)
    assert let_out(store, make_outlet(partner, AGEING, NOW + 12 * DAY)).released == {"to-north": 1}
    assert held_ids(store, partner).isdisjoint({first})
    check(store, partner)


def test_an_event_that_is_over_takes_everything_back(store: Store, partner: Collection) -> None:
    """Before an event nothing leaves, during it what may, and the day after it all of that is withdrawn."""
    find(store)
    games = make_agreement(event=Event("games", moment(NOW + DAY).date(), moment(NOW + 2 * DAY).date()))
    for days, released, withdrawn in ((0, 0, 0), (1, 1, 0), (2, 0, 0), (3, 0, 1), (4, 0, 0)):
        report = let_out(store, make_outlet(partner, games, NOW + days * DAY))
        assert (report.released["to-north"], report.withdrawn) == (released, withdrawn), days
    check(store, partner)
