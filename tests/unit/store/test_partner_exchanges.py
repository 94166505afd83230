"""What passed in a period is found by its own time, whatever the clock did, and without reading what is older."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import DAY, NOW, feed_source, ip, make_indicator_json, make_store, take_in
from threatshare.store.embedded import Store
from threatshare.store.exchanges import arrivals, causes, rejected
from threatshare.store.partners import (
    Checkin,
    Verification,
    checkins,
    last_checkins,
    last_exercises,
    reached,
    record_checkin,
    record_verification,
)
from threatshare.store.reads import HOUR


def receive(store: Store, number: int, at: int) -> None:
    """Takes one indicator in at a moment."""
    take_in(store, feed_source(store), make_indicator_json(number, ip(f"45.66.{number // 250}.{number % 250}")), now=at)


def test_an_empty_store_has_nothing(store: Store) -> None:
    """Where nothing ever came, nothing is found, and nothing fails."""
    assert list(arrivals(store.conn, 0, NOW)) == []
    assert rejected(store.conn, ["feed-a"], 0, NOW) == {}
    assert causes(store.conn, [], 0) == {}
    assert causes(store.conn, [1 << 40 | 1], 0) == {}


def test_a_period_is_found_by_halving(store: Store) -> None:
    """Each hour of a month gives exactly what came in it, wherever rows were deleted between."""
    for number in range(60):
        receive(store, number, NOW + number * 2 * HOUR)
    store.conn.execute("DELETE FROM version WHERE number % 7 = 0")
    left = {row[0] for row in store.conn.execute("SELECT received FROM version")}
    for number in range(60):
        at = NOW + number * 2 * HOUR
        found = [one.received for one in arrivals(store.conn, at, at + HOUR)]
        assert found == ([at] if at in left else [])


def test_a_clock_put_back_hides_nothing(store: Store) -> None:
    """What came while the clock was up to an hour behind is found in the period of its own time."""
    minute = HOUR // 60
    for number, minutes in enumerate((0, 10, -30, -20, -10, 20)):
        receive(store, number, NOW + minutes * minute)
    assert len(list(arrivals(store.conn, NOW + 5 * minute, NOW + HOUR))) == 2
    assert len(list(arrivals(store.conn, NOW - 15 * minute, NOW + 5 * minute))) == 2


def test_words_choose_quickly_and_leave_nothing_out(store: Store) -> None:
    """With words, only bodies that hold one are given."""
    receive(store, 1, NOW)
    assert list(arrivals(store.conn, 0, NOW + DAY, ["sighting", "opinion"])) == []
    assert len(list(arrivals(store.conn, 0, NOW + DAY, ["sighting", "indicator"]))) == 1


@given(st.lists(st.tuples(st.sampled_from(("north", "south")), st.dates(), st.sampled_from("ab")), max_size=6))
@settings(max_examples=25)
def test_the_last_day_of_each_contact_is_kept(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, date, str]]
) -> None:
    """Whatever the order in which verifications were recorded, each contact has its latest day."""
    made = make_store(tmp_path_factory.mktemp("store"))
    conn = made.conn
    for partner, day, name in rows:
        record_verification(conn, partner, Verification("legal", name, "room 1", day, "analyst", "", NOW))
    for partner in ("north", "south"):
        known = {(one[1], one[2]) for one in rows if one[0] == partner}
        wanted = {name: max(day for day, other in known if other == name) for _, name in known}
        assert reached(conn, partner) == {("legal", name, "room 1"): day for name, day in wanted.items()}
    made.close()


def test_the_last_check_in_of_each_partner_is_known(store: Store) -> None:
    """A partner's check-ins are kept in the order in which they were recorded, and the last is found at once."""
    for partner, end in (("north", NOW), ("south", NOW), ("north", NOW + DAY)):
        with store.writing() as conn:
            record_checkin(conn, Checkin(partner, 0, end, end, "analyst", "a note"))
    assert [one.ends for one in checkins(store.conn, "north")] == [NOW, NOW + DAY]
    assert {name: one.ends for name, one in last_checkins(store.conn).items()} == {"north": NOW + DAY, "south": NOW}


def test_the_last_exercise_with_a_partner_is_known(store: Store) -> None:
    """Of several joint exercises the one that began last counts, for each partner that took part."""
    assert last_exercises(store.conn) == {}
    with store.writing() as conn:
        for number, (name, partners) in enumerate({"spring": ("north", "south"), "autumn": ("north",)}.items()):
            conn.execute(
                "INSERT INTO exercise (name, year, marking, tlp, collection, until, share_at_once, started, started_by)"
                " VALUES (?, 2026, ?, 1, ?, '2026-12-31', 0, ?, 'analyst')",
                (name, f"marking-definition--{number}", number, NOW + number),
            )
            conn.executemany(
                "INSERT INTO exercise_partner VALUES (?, ?, 1, '')", [(name, partner) for partner in partners]
            )
    assert {partner: one.name for partner, one in last_exercises(store.conn).items()} == {
        "north": "autumn",
        "south": "spring",
    }
