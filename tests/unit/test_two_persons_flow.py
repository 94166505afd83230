"""What two persons have to release: one is not enough, each is for what was found, and both stand in the ledger."""

from __future__ import annotations

from dataclasses import replace

import pytest

from builders import (
    BAD,
    DAY,
    NOW,
    SECOND,
    find,
    held_ids,
    let_out,
    make_agreement,
    make_collection,
    make_outlet,
    with_facts,
)
from threatshare.errors import UsageError
from threatshare.model import Collection, CollectionKind, Role
from threatshare.policy.agreements import Agreement, Outbound
from threatshare.review import GateGroup, choose, decide_releases, gate_groups, waiting_for_second
from threatshare.stix.observables import recognise
from threatshare.store.decisions import Action, ByWhom, Scope, approvals, covered_by, decisions, two_persons
from threatshare.store.embedded import Store
from threatshare.store.ledger import rows
from threatshare.store.roster import remember_people

AGREED = make_agreement()
FIRST = ByWhom("First desk", "the shop is the phisher's; and by Ada on 2026-01-01: x", NOW)
SECOND_ONE = ByWhom("Second desk", "seen too", NOW + DAY)
URL = recognise("http://bad.example-bad.com/x?e=billing@bad.example-bad.com")
OTHER = recognise("http://bad.example-bad.com/y?e=orders@bad.example-bad.com")


@pytest.fixture
def north(store: Store) -> Collection:
    return make_collection(store, CollectionKind.PARTNER, "to-north", "north")


def release(store: Store, north: Collection, key: bytes = b"key") -> int:
    return let_out(store, with_facts(make_outlet(north, AGREED), privacy_key=key)).released["to-north"]


def held(store: Store) -> GateGroup:
    (group,) = gate_groups(store.conn)
    return group


@pytest.fixture
def found(store: Store, north: Collection) -> str:
    """The id of an object that a privacy rule holds."""
    find(store, URL, role=Role.PAYLOAD)
    assert release(store, north) == 0
    group = held(store)
    assert group.rules == ("privacy-mail",)
    (one,) = group.objects
    return one


def approve(store: Store, by: ByWhom) -> int:
    group = held(store)
    return decide_releases(store, group, group.objects, Action.APPROVE, by)


def test_one_person_is_not_enough(store: Store, north: Collection, found: str) -> None:
    """After one approval it is held as before, shown as 1 of 2 with the name; after another's it goes out."""
    assert approve(store, FIRST) == 1
    assert held(store).halfway == {found: "First desk"}
    assert waiting_for_second(store.conn, held(store), [found]) == 1
    assert release(store, north) == 0
    assert approve(store, SECOND_ONE) == 1
    assert waiting_for_second(store.conn, held(store), [found]) == 0
    assert release(store, north) == 1
    assert gate_groups(store.conn) == []


def test_both_names_stand_in_the_ledger(store: Store, north: Collection, found: str) -> None:
    """The row of the release has the rule with each of the two persons, and nothing that either wrote."""
    approve(store, FIRST)
    approve(store, SECOND_ONE)
    release(store, north)
    row = list(rows(store.conn))[-1]
    assert row.told["approved"] == [["privacy-mail", "First desk"], ["privacy-mail", "Second desk"]]
    assert "Ada" not in row.exported


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (FIRST, replace(FIRST, at=NOW + DAY)),
        (FIRST, replace(FIRST, person="  FIRST   desk ")),
        (FIRST, replace(FIRST, person="Fіrst dеsk")),
        (replace(FIRST, login="night"), replace(SECOND_ONE, login="night")),
        (replace(FIRST, login="night"), replace(FIRST, login=None)),
    ],
)
def test_the_same_person_does_not_count_twice(
    store: Store, north: Collection, found: str, first: ByWhom, second: ByWhom
) -> None:
    """A second approval by the same login, or the same name where one has no login, is refused and changes nothing."""
    approve(store, first)
    with pytest.raises(UsageError, match="a second, different person"):
        approve(store, second)
    assert release(store, north) == 0
    assert len(decisions(store.conn, 9)) == 1


def test_two_logins_are_two_persons(store: Store, north: Collection, found: str) -> None:
    """Where both have logins these tell them apart, whatever they are called."""
    approve(store, replace(FIRST, login="a"))
    approve(store, replace(FIRST, login="b"))
    assert release(store, north) == 1


def test_a_name_from_before_there_were_logins_is_no_second_person(store: Store, north: Collection, found: str) -> None:
    """Once people have logins, an approval that only bears a name counts no more, and two logins are asked for."""
    approve(store, FIRST)
    with store.writing() as conn:
        remember_people(conn, "people")
    assert held(store).halfway == {}
    approve(store, replace(SECOND_ONE, login="b"))
    assert held(store).halfway == {found: "Second desk"}
    assert release(store, north) == 0
    approve(store, replace(FIRST, login="a"))
    assert release(store, north) == 1


def test_an_approval_is_for_what_was_found(store: Store, north: Collection, found: str) -> None:
    """Where something else is found in what the first approved, the second's approval is the first of that."""
    approve(store, FIRST)
    release(store, north, b"another key, so other hashes: as if something else had been found")
    decide_releases(store, replace_text(held(store)), [found], Action.APPROVE, SECOND_ONE)
    assert release(store, north) == 0
    assert held(store).halfway == {found: "First desk"}


def replace_text(group: GateGroup) -> GateGroup:
    """Gives a group whose objects were held for something else."""
    for one, past in group.objects.items():
        other = tuple(replace(reason, text=reason.text + " elsewhere") for reason in past.reasons)
        group.objects[one] = replace(past, reasons=other)
    return group


def test_a_new_find_is_held_anew(store: Store, north: Collection, found: str) -> None:
    """What both approved stays out while the same is found in it; once another thing is found, it is taken back."""
    approve(store, FIRST)
    approve(store, SECOND_ONE)
    assert release(store, north) == 1
    find(store, URL, role=Role.PAYLOAD, seen=NOW + DAY, now=NOW + DAY)
    later = make_outlet(north, AGREED, NOW + DAY)
    assert let_out(store, with_facts(later, privacy_key=b"key")).released["to-north"] == 1
    report = let_out(store, with_facts(make_outlet(north, with_floor(), NOW + 2 * DAY), privacy_key=b"another"))
    assert report.withdrawn == 1
    assert held_ids(store, north) == set()


def with_floor() -> Agreement:
    """An agreement with another term, so that everything is looked at again."""
    return make_agreement(outbound=Outbound("amber", ("indicator", "sighting"), min_score=1))


def test_a_group_may_hold_both(store: Store, north: Collection, found: str) -> None:
    """Of a group of which the first approved one, the second's approval of all lets that one out, and waits for one."""
    approve(store, FIRST)
    find(store, OTHER, role=Role.PAYLOAD)
    release(store, north)
    assert len(held(store).objects) == 2
    approve(store, SECOND_ONE)
    assert set(held(store).halfway.values()) == {"Second desk"}
    assert release(store, north) == 1
    assert held_ids(store, north) == {found}
    assert approve(store, FIRST) == 1
    assert release(store, north) == 1


def test_a_rejection_takes_approvals_back(store: Store, north: Collection, found: str) -> None:
    """Once rejected it stays in; let go of again, it is held as if nobody had approved it, and two have to again."""
    approve(store, FIRST)
    decide_releases(store, held(store), [found], Action.REJECT, SECOND_ONE)
    release(store, north)
    assert gate_groups(store.conn) == []
    ((group, ids),) = choose(store.conn, [found], Scope()).objects
    decide_releases(store, group, ids, Action.APPROVE, SECOND_ONE)
    assert release(store, north) == 0
    assert held(store).halfway == {}
    assert approvals(store.conn, north.number, [found]) == {}
    approve(store, SECOND_ONE)
    assert release(store, north) == 0
    approve(store, FIRST)
    assert release(store, north) == 1


def test_decisions_say_what_they_approved(store: Store, north: Collection, found: str) -> None:
    """Each approval is a decision of its own that names the object, with name, login, time and reason."""
    approve(store, replace(FIRST, login="a"))
    (made,) = decisions(store.conn, 9)
    assert (made.by, made.action, made.covered) == (replace(FIRST, login="a"), Action.APPROVE, 1)
    assert covered_by(store.conn, made.number, 9) == [found]


def test_terms_of_an_agreement_need_one(store: Store, north: Collection) -> None:
    """What only a term of the agreement holds goes out by one person's word, as it did."""
    choosy = make_agreement(outbound=Outbound("amber", ("indicator",), min_score=99))
    find(store, BAD)
    assert let_out(store, make_outlet(north, choosy)).held == 1
    approve(store, FIRST)
    assert let_out(store, make_outlet(north, choosy, NOW + SECOND)).released["to-north"] == 1


def test_who_signs_is_told_apart() -> None:
    """Of several signatures the first two of different people count, and no number of one person's does."""
    again = replace(FIRST, reason="again")
    assert two_persons([FIRST]) is None
    assert two_persons([FIRST, again, again]) is None
    assert two_persons([FIRST, again, SECOND_ONE]) == (FIRST, SECOND_ONE)
