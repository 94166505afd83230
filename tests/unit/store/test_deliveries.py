"""What is recorded of deliveries: once, whole, and as it went."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from builders import NOW, make_indicator
from push_builders import Outbox, revoked, versioned
from threatshare.store import deliveries, targets
from threatshare.store.connection import Connection, IntegrityError
from threatshare.store.deliveries import Settled, Undelivered
from threatshare.store.parcels import Bounds, envelope, next_parcel, repeated_parcel
from threatshare.store.targets import TargetState

WIDE = Bounds(1_000, 1_000_000, 1_000_000)
HERE = b"here"


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    made = Outbox(tmp_path, "https://x.example/")
    yield made
    made.store.close()


def _enter(outbox: Outbox, conn: Connection, destination: bytes = HERE) -> TargetState:
    return targets.enter(conn, "north", destination, outbox.collection.number)


def _row(seq: int, kind: str = deliveries.REFUSED) -> Undelivered:
    return Undelivered(seq, f"indicator--{seq}", seq, kind, "no")


def test_an_answer_is_recorded_once(outbox: Outbox) -> None:
    """A second answer to the same envelope changes nothing and says so."""
    outbox.fill(3)
    with outbox.store.writing() as conn:
        sent = deliveries.intend(conn, _enter(outbox, conn), [1, 2, 3], (), False, NOW)
        assert deliveries.sending(conn, "north") == sent
        assert deliveries.settle(conn, sent, Settled("done", 3, 0, 0), NOW)
        assert not deliveries.settle(conn, sent, Settled("done", 0, 0, 3), NOW)
        assert not deliveries.abandon(conn, sent, 0)
        (kept,) = deliveries.deliveries(conn, "north", 9)
        assert (kept.state, kept.accepted, kept.failed) == ("done", 3, 0)
        assert deliveries.sending(conn, "north") is None
        assert _enter(outbox, conn).position == 3


def test_one_envelope_is_under_way(outbox: Outbox) -> None:
    """The store itself refuses a second envelope of a target before the first is answered."""
    outbox.fill(2)
    with outbox.store.writing() as conn:
        state = _enter(outbox, conn)
        deliveries.intend(conn, state, [1], (), False, NOW)
        with pytest.raises(IntegrityError):
            deliveries.intend(conn, state, [2], (), False, NOW)


def test_what_is_abandoned_is_as_if_it_had_never_been(outbox: Outbox) -> None:
    """An intent that is taken back leaves position and reach where they were."""
    outbox.fill(3)
    with outbox.store.writing() as conn:
        before = _enter(outbox, conn)
        sent = deliveries.intend(conn, before, [1, 3], (_row(2, deliveries.WITHDRAWN),), False, NOW)
        assert _enter(outbox, conn).reached == 3
        assert deliveries.abandon(conn, sent, before.reached)
        assert _enter(outbox, conn) == before
        assert deliveries.deliveries(conn, "north", 9) == []


def test_contents_are_what_was_sent(outbox: Outbox) -> None:
    """The contents of an open envelope are told again exactly, without what was passed over, and later remarks in."""
    outbox.fill(5)
    with outbox.store.writing() as conn:
        skipped = (_row(2, deliveries.TOO_LARGE),)
        sent = deliveries.intend(conn, _enter(outbox, conn), [1, 3, 4], skipped, False, NOW)
        assert [seq for seq, _, _ in deliveries.contents(conn, sent)] == [1, 3, 4]
        assert envelope(deliveries.bodies(conn, sent)) == envelope([outbox.bodies[place] for place in (0, 2, 3)])
        deliveries.settle(conn, sent, Settled("pending", 0, 3, 0, [_row(3, deliveries.PENDING)], "id"), NOW)
        (open_now,) = deliveries.pending(conn, "north")
        assert [seq for seq, _, _ in deliveries.contents(conn, open_now)] == [1, 3, 4]
        deliveries.settle(conn, open_now, Settled("done", 2, 0, 1, [_row(4)]), NOW)
        assert [(row.seq, row.kind) for row in deliveries.undelivered(conn, "north")] == [
            (2, "too-large"),
            (4, "refused"),
        ]
        assert deliveries.counts(conn, "north") == {"too-large": 1, "refused": 1}
        assert [row.seq for row in deliveries.remarks(conn, open_now)] == [4]
        assert targets.left(conn, "north") == 1


def test_repetitions(outbox: Outbox) -> None:
    """What is repeated belongs to its new envelope, counts its tries, and is gone once it is taken."""
    outbox.fill(4)
    with outbox.store.writing() as conn:
        first = deliveries.intend(conn, _enter(outbox, conn), [1, 2, 3, 4], (), False, NOW)
        deliveries.settle(conn, first, Settled("done", 2, 0, 2, [_row(1), _row(3)]), NOW)
        assert deliveries.repeatable(conn, "north", (deliveries.REFUSED,), None) == [1, 3]
        assert deliveries.repeatable(conn, "north", (deliveries.PENDING,), None) == []
        assert deliveries.repeatable(conn, "north", (deliveries.REFUSED,), 1) == []
        again = deliveries.intend(conn, _enter(outbox, conn), [1, 3], (), True, NOW)
        assert deliveries.repeatable(conn, "north", (deliveries.REFUSED,), None) == [], "it is under way"
        assert [seq for seq, _, _ in deliveries.contents(conn, again)] == [1, 3]
        deliveries.settle(conn, again, Settled("done", 1, 0, 1, [_row(3)]), NOW)
        assert [(row.seq, row.tries) for row in deliveries.undelivered(conn, "north")] == [(3, 2)]
        assert _enter(outbox, conn).position == 4


def test_another_destination(outbox: Outbox) -> None:
    """A target that leads elsewhere begins anew; what was open is closed, what was done stays on record."""
    outbox.fill(4)
    with outbox.store.writing() as conn:
        state = _enter(outbox, conn)
        for seqs, said in (([1], Settled("done", 1, 0, 0)), ([2], Settled("pending", 0, 1, 0, (), "id"))):
            deliveries.settle(conn, deliveries.intend(conn, state, seqs, (), False, NOW), said, NOW)
        deliveries.intend(conn, state, [3], (), False, NOW)
        assert _enter(outbox, conn, b"there") == TargetState("north", b"there", outbox.collection.number)
        assert [one.state for one in deliveries.deliveries(conn, "north", 9)] == ["failed", "failed", "done"]
        assert targets.left(conn, "north") == 4


def test_who_got_an_entry(outbox: Outbox) -> None:
    """The envelopes that may hold an entry are found by its sequence number."""
    outbox.fill(4)
    with outbox.store.writing() as conn:
        sent = deliveries.intend(conn, _enter(outbox, conn), [1, 2], (), False, NOW)
        number = outbox.collection.number
        assert [one.number for one in deliveries.deliveries_of(conn, number, 2)] == [sent.number]
        assert deliveries.deliveries_of(conn, number, 3) == []
        assert deliveries.deliveries_of(conn, number + 1, 2) == []


def test_attempts_are_counted(outbox: Outbox) -> None:
    """An attempt without an answer is counted and keeps its reason; the envelope stays under way."""
    outbox.fill(1)
    with outbox.store.writing() as conn:
        sent = deliveries.intend(conn, _enter(outbox, conn), [1], (), False, NOW)
        deliveries.note_attempt(conn, sent, "HTTP 500")
        assert deliveries.sending(conn, "north") == replace(sent, tries=1, error="HTTP 500")


def test_how_a_run_went(outbox: Outbox) -> None:
    """How a run went is saved beside the position, which is left as it is."""
    with outbox.store.writing() as conn:
        state = _enter(outbox, conn)
        targets.advance(conn, "north", 7)
        targets.save_push(conn, replace(state, last_run=NOW, failures=2, parked=b"x", not_before=9, report="{}"))
        kept = targets.target_states(conn)["north"]
    assert (kept.position, kept.reached, kept.failures, kept.parked, kept.not_before) == (7, 7, 2, b"x", 9)


def test_a_run_that_could_not_begin(outbox: Outbox) -> None:
    """A fault of ours is counted like a failed run, of a target that never ran too, and changes nothing else."""
    outbox.fill(2)
    with outbox.store.writing() as conn:
        targets.note_fault(conn, "north", NOW)
        assert targets.target_states(conn)["north"].failures == 1
        assert targets.left(conn, "north") == 0
        targets.advance(conn, "north", 0)
        fresh = _enter(outbox, conn)
        assert (fresh.position, fresh.failures) == (0, 0)
        targets.advance(conn, "north", 1)
        targets.note_fault(conn, "north", NOW + 5)
        targets.note_fault(conn, "north", NOW + 6)
        kept = _enter(outbox, conn)
    assert (kept.position, kept.failures, kept.last_run) == (1, 2, NOW + 6)


# --- parcels -------------------------------------------------------------------------------------------


def test_parcels_keep_their_bounds(outbox: Outbox) -> None:
    """A parcel ends at either bound, to the byte; one object alone may fill what the server takes."""
    outbox.fill(5)
    sizes = [len(body) for body in outbox.bodies]
    with outbox.store.writing() as conn:
        state = _enter(outbox, conn)
        assert next_parcel(conn, state, Bounds(2, 10_000, 10_000)).seqs == [1, 2]
        two = len(envelope(outbox.bodies[:2]))
        assert next_parcel(conn, state, Bounds(9, two, 10_000)).seqs == [1, 2]
        assert next_parcel(conn, state, Bounds(9, two, 10_000)).size == two
        assert next_parcel(conn, state, Bounds(9, two - 1, 10_000)).seqs == [1]
        assert next_parcel(conn, state, Bounds(9, 1, 14 + sizes[0])).seqs == [1]
        none = next_parcel(conn, state, Bounds(9, 1, 14 + sizes[0] - 1))
        assert (none.seqs, [row.kind for row in none.skipped]) == ([], ["too-large"] * 5)


def test_another_collections_entries_are_not_taken(outbox: Outbox) -> None:
    """A parcel ends where its collection does."""
    outbox.fill(2)
    with outbox.store.writing() as conn:
        elsewhere = replace(_enter(outbox, conn), collection=outbox.collection.number + 1)
        assert next_parcel(conn, elsewhere, WIDE).seqs == []
        before = replace(_enter(outbox, conn), collection=outbox.collection.number - 1)
        assert next_parcel(conn, before, WIDE).seqs == []


def test_what_is_passed_over_behind_the_last_object_is_left_for_the_next(outbox: Outbox) -> None:
    """Only what lies between the objects of an envelope is written down with it."""
    one, two, three = (make_indicator(number) for number in (1, 2, 3))
    outbox.add(one, two, three, revoked(two))
    with outbox.store.writing() as conn:
        state = _enter(outbox, conn)
        whole = next_parcel(conn, state, WIDE)
        assert (whole.seqs, [row.seq for row in whole.passed]) == ([1, 3], [2])
        assert [row.seq for row in whole.skipped] == [2, 4]
        short = next_parcel(conn, state, Bounds(1, 10_000, 10_000))
        assert (short.seqs, [row.seq for row in short.passed]) == ([1], [])


def test_repeated_parcels_leave_out_what_is_gone_or_overtaken(outbox: Outbox) -> None:
    """Of what is to be repeated, entries that are gone or have been overtaken are not sent."""
    one, two = make_indicator(1), make_indicator(2)
    outbox.add(one, two, versioned(one))
    with outbox.store.writing() as conn:
        state = replace(_enter(outbox, conn), position=3, reached=3)
        parcel, dealt = repeated_parcel(conn, state, [1, 2, 99], WIDE)
        assert (parcel.seqs, [(row.seq, row.kind) for row in parcel.skipped], dealt) == ([2], [(1, "overtaken")], 3)
        parcel, dealt = repeated_parcel(conn, replace(state, reached=2), [1, 2], Bounds(1, 10_000, 10_000))
        assert (parcel.seqs, dealt) == ([1], 1)
