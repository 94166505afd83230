"""Decisions on record, how far publishing has come, and the queue of our SIEM."""

from __future__ import annotations

from dataclasses import replace

import pytest

from builders import NOW, feed_source, ip, make_collection, make_indicator_json, take_in
from threatshare.model import CollectionKind, Reason, Verdict
from threatshare.store import releases
from threatshare.store.embedded import Store
from threatshare.store.releases import Release

REASON = Reason("a-rule", Verdict.RELEASE, "in words: ü")
RELEASED = Release("indicator--a", NOW, b"\x00\xff", Verdict.RELEASE, (REASON,), b"policy", NOW, 1, NOW)


def test_decisions_come_back_as_they_were(store: Store) -> None:
    """A decision is read back as it was saved; a later one on the same object and collection replaces it."""
    one, other = (make_collection(store, CollectionKind.INTERNAL, alias) for alias in ("one", "two"))
    held = replace(RELEASED, verdict=Verdict.HOLD, reasons=(), at=NOW + 1)
    with store.writing() as conn:
        releases.save_releases(conn, one.number, [RELEASED, replace(RELEASED, object_id="indicator--b")])
        releases.save_releases(conn, other.number, [held])
        releases.save_releases(conn, one.number, [replace(RELEASED, object_id="indicator--b", life=2)])
    found = releases.releases_of(store.conn, one.number, ["indicator--a", "indicator--b", "indicator--c"])
    assert found == {"indicator--a": RELEASED, "indicator--b": replace(RELEASED, object_id="indicator--b", life=2)}
    assert releases.decisions_on(store.conn, "indicator--a") == [("one", RELEASED), ("two", held)]
    assert list(releases.on_hold(store.conn)) == [(other.number, "two", held)]
    assert releases.refused(store.conn, 9) == []
    assert releases.verdict_counts(store.conn) == {"one": {"release": 2}, "two": {"hold": 1}}
    assert releases.decision_of(held).verdict is Verdict.HOLD


@pytest.mark.parametrize(
    ("verdict", "digest", "served", "withdrawn"),
    [
        (Verdict.RELEASE, b"x", True, False),
        (Verdict.REFUSE, b"x", False, True),
        (Verdict.HOLD, b"x", False, True),
        (Verdict.REFUSE, b"", False, False),
        (Verdict.HOLD, b"", False, False),
    ],
)
def test_what_the_audience_holds(verdict: Verdict, digest: bytes, served: bool, withdrawn: bool) -> None:
    """What was never served was never withdrawn; what was served and may no longer stand is."""
    one = replace(RELEASED, verdict=verdict, digest=digest)
    assert (one.served, one.withdrawn) == (served, withdrawn)


def test_changes_are_met_once_in_order(store: Store) -> None:
    """A collection reads on from its position and meets each changed object once, in its current version."""
    source = feed_source(store, "own-like")
    take_in(store, source, *(make_indicator_json(n, ip(f"45.0.0.{n}")) for n in range(5)))
    keys = [row[0] for row in store.conn.execute("SELECT object FROM version ORDER BY number")]
    with store.writing() as conn:
        releases.note_own_changes(conn, keys[:3])
        releases.note_own_changes(conn, [keys[1], keys[4], keys[1]])
    changes = releases.own_changes(store.conn, 0, 99)
    assert [key for _, key, _ in changes] == [keys[0], keys[2], keys[4], keys[1]]
    assert [seq for seq, _, _ in changes] == sorted({seq for seq, _, _ in changes})
    assert releases.own_changes(store.conn, changes[1][0], 1) == changes[2:3]
    take_in(store, source, make_indicator_json(4, modified=NOW))
    assert [body for _, key, body in releases.own_changes(store.conn, 0, 99) if key == keys[4]] == [
        make_indicator_json(4, modified=NOW)
    ]


def test_another_policy_begins_anew(store: Store) -> None:
    """A position counts only under the policy that it was reached under."""
    with store.writing() as conn:
        assert releases.position(conn, 1, b"a") == 0
        releases.save_position(conn, 1, 7, b"a")
        releases.save_position(conn, 2, 9, b"b")
    assert [releases.position(store.conn, *one) for one in ((1, b"a"), (2, b"b"), (1, b"b"), (3, b"a"))] == [7, 9, 0, 0]


def test_the_queue(store: Store) -> None:
    """What is queued twice is met once; taking off leaves what came after, whatever was taken before."""
    with store.writing() as conn:
        releases.queue(conn, [5, 6, 5])
        numbers, through = releases.queued_observables(conn, 99)
        assert sorted(numbers) == [5, 6]
        releases.queue(conn, [7, 5])
        assert releases.queue_length(conn) == 5
        releases.take_from_queue(conn, through)
        assert releases.queue_length(conn) == 2
        numbers, through = releases.queued_observables(conn, 1)
        assert numbers == [7]
        releases.take_from_queue(conn, through)
        assert releases.queued_observables(conn, 9)[0] == [5]
        releases.take_from_queue(conn, through + 1)
        assert (releases.queued_observables(conn, 9), releases.queue_length(conn)) == (([], 0), 0)
        releases.queue(conn, [8])
        assert releases.queued_observables(conn, 9)[0] == [8]


def test_everything_is_queued_once(store: Store) -> None:
    """All observables at once replace what was queued."""
    take_in(store, feed_source(store), *(make_indicator_json(n, ip(f"45.0.0.{n}")) for n in range(5)))
    with store.writing() as conn:
        releases.queue_all(conn)
        assert releases.queue_length(conn) == 5
        assert len(releases.queued_observables(conn, 99)[0]) == 5
