"""What our own sensors saw: a row an observable, role and sensor, and counts."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

from builders import BAD, DAY, NOW, domain, dump, ip, make_store
from threatshare.model import Observable, Role, Seen
from threatshare.store.embedded import Store
from threatshare.store.observations import forget_held, held, record, seen_of


def a_sight(observable: Observable = BAD, role: Role = Role.ATTACKER, sensor: str = "sensor", **more: Any) -> Seen:
    values: dict[str, Any] = {"why": "a rule", "first_seen": NOW - DAY, "last_seen": NOW, "count": 1}
    return Seen(observable, role, sensor, **(values | more))


def note(store: Store, *seen: Seen) -> set[Observable]:
    with store.writing() as conn:
        return record(conn, store.key_of, seen)


def test_more_of_the_same_counts_up(store: Store) -> None:
    """More of the same widens the times, adds the counts, joins techniques and keeps the highest confidence."""
    note(store, a_sight(count=3, techniques=("T1002",), why="first"))
    note(store, a_sight(count=4, first_seen=NOW - 9 * DAY, last_seen=NOW - DAY, techniques=("T1001",), confidence=40))
    note(store, a_sight(count=5, last_seen=NOW + DAY, confidence=20, why="last"))
    assert seen_of(store.conn, store.key_of, [BAD]) == {
        BAD: [
            a_sight(
                count=12,
                first_seen=NOW - 9 * DAY,
                last_seen=NOW + DAY,
                techniques=("T1001", "T1002"),
                confidence=40,
                why="last",
            )
        ]
    }


def test_order_does_not_matter(tmp_path: Path) -> None:
    """The same sights in any order and any batches give the same record, but for which rule is named."""
    sights = [
        a_sight(first_seen=NOW - n * DAY, last_seen=NOW - n, count=n, confidence=n % 4 or None, techniques=(f"T{n}",))
        for n in range(1, 7)
    ]
    wanted = None
    for seed in range(4):
        folder = tmp_path / str(seed)
        folder.mkdir()
        store = make_store(folder)
        Random(seed).shuffle(sights)
        for one in sights:
            note(store, one)
        found = seen_of(store.conn, store.key_of, [BAD])
        assert wanted in (None, found)
        wanted = found
        store.close()


def test_roles_and_sensors_are_apart(store: Store) -> None:
    """Each role and each sensor has its own record of a value."""
    sights = [a_sight(role=role, sensor=sensor) for role in (Role.C2, Role.UNKNOWN) for sensor in ("one", "two")]
    note(store, *sights)
    note(store, *sights, a_sight(ip("45.0.0.1")))
    found = seen_of(store.conn, store.key_of, [BAD])[BAD]
    assert {(one.role, one.sensor, one.count) for one in found} == {(one.role, one.sensor, 2) for one in sights}


def test_what_waits_for_a_person(store: Store) -> None:
    """Only values of an unknown role wait, those seen most often first; what was decided waits no more."""
    values = [domain(f"{name}.badhost.biz") for name in "abcd"]
    note(store, *(a_sight(one, Role.UNKNOWN, count=n % 3) for n, one in enumerate(values)), a_sight())
    assert [one.observable for one in held(store.conn)] == [values[2], values[1], values[0], values[3]]
    with store.writing() as conn:
        forget_held(conn, store.key_of, [a_sight(values[2], Role.UNKNOWN), a_sight()])
    assert [one.observable for one in held(store.conn)] == [values[1], values[0], values[3]]
    assert seen_of(store.conn, store.key_of, [BAD])


def test_nothing_at_all(store: Store) -> None:
    """Nothing recorded changes nothing, and nothing asked finds nothing."""
    before = dump(store.conn)
    assert note(store) == set()
    assert dump(store.conn) == before
    assert seen_of(store.conn, store.key_of, []) == {}


def test_a_taken_key_is_refused(store: Store) -> None:
    """A value that shares its key with another is refused, in one batch or later, and the other stays as it was."""
    other = ip("45.0.0.1")
    store.key_of = lambda _: 42
    assert note(store, a_sight(BAD, count=3), a_sight(other), a_sight(BAD, Role.C2)) == {other}
    before = dump(store.conn)
    assert note(store, a_sight(other), a_sight(other, Role.C2)) == {other}
    assert dump(store.conn) == before
    assert seen_of(store.conn, store.key_of, [other]).get(other) is None
