"""Whom an object reached: told from what was sent, version by version, and never guessed."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders import (
    BAD,
    DAY,
    NOW,
    SECOND,
    US,
    find,
    ip,
    let_out,
    make_agreement,
    make_collection,
    make_outlet,
)
from threatshare.model import Collection, CollectionKind, Micros, Tlp
from threatshare.stix.objects import indicator_id, reborn_id
from threatshare.store.accounts import add_account, revoke_account
from threatshare.store.deliveries import REFUSED, Settled, Undelivered, intend, settle
from threatshare.store.embedded import Store
from threatshare.store.entries import SEQ_BITS, NewEntry, append_entries, delete_entries
from threatshare.store.ledger import record_deletions
from threatshare.store.reach import Reached, Recipient, Sent, reach, served_ids
from threatshare.store.reads import HOUR, Read, record_reads
from threatshare.store.targets import enter

AGREED = make_agreement()
OURS = indicator_id(US, BAD)
_NUMBERS = itertools.count()
EARLY, LATE = NOW + HOUR, NOW + 2 * DAY


@pytest.fixture
def partner(store: Store) -> Collection:
    """A partner's collection with our Identity and one indicator, which three accounts may read."""
    made = make_collection(store, CollectionKind.PARTNER, "to-north", "north")
    find(store)
    let_out(store, make_outlet(made, AGREED))
    with store.writing() as conn:
        for name in ("ada", "bob", "eve"):
            add_account(conn, name, ["to-north"], [], NOW)
    return made


def sent(store: Store, account: str, collection: Collection, first: int, last: int, at: Micros) -> None:
    with store.writing() as conn:
        record_reads(conn, [Read(account, collection.number, first, last, 1, at, at)])


def withdraw(store: Store, partner: Collection, at: Micros = NOW + DAY) -> None:
    find(store, tlp=Tlp.RED, seen=at, now=at)
    assert let_out(store, make_outlet(partner, AGREED, at)).withdrawn == 1


def who(one: Reached) -> dict[str, tuple[Sent, bool]]:
    """By account: whether it was sent this, and whether it was sent the withdrawal."""
    return {got.receipt.who: (got.sent, got.told is not None) for got in one.recipients}


def test_accounts_at_different_places_are_told_apart(store: Store, partner: Collection) -> None:
    """Who was sent a version before its withdrawal, who both, who nothing: each stands where it belongs."""
    sent(store, "ada", partner, 1, 2, EARLY)
    sent(store, "bob", partner, 1, 2, EARLY)
    withdraw(store, partner)
    sent(store, "bob", partner, 3, 3, LATE)
    first, gone = reach(store.conn, [OURS])
    assert (first.what, first.seq, first.number, first.withdrawn_at) == ("release", 2, 3, NOW + DAY)
    assert who(first) == {"ada": (Sent.CERTAINLY, False), "bob": (Sent.CERTAINLY, True)}
    assert (first.untold, first.waiting) == (("ada",), ("eve",))
    assert next(one.told.first_at for one in first.recipients if one.told) == LATE
    assert (gone.what, gone.withdrawn_at, gone.untold) == ("withdrawal", None, ())
    assert who(gone) == {"bob": (Sent.CERTAINLY, False)}
    assert gone.waiting == ("ada", "eve")


def test_what_stands_has_no_withdrawal_to_be_sent(store: Store, partner: Collection) -> None:
    """Where nothing was withdrawn, nobody waits for a withdrawal."""
    sent(store, "ada", partner, 1, 2, EARLY)
    (only,) = reach(store.conn, [OURS])
    assert (only.withdrawn_at, only.untold, only.waiting) == (None, (), ("bob", "eve"))
    assert only.recipients[0].receipt.first_at == EARLY


def test_a_version_that_was_replaced_before_it_was_read(store: Store, partner: Collection) -> None:
    """A place that was first read when a later version stood is reported, and that it was hardly sent."""
    sent(store, "ada", partner, 1, 2, EARLY)
    withdraw(store, partner)
    sent(store, "eve", partner, 1, 3, LATE)
    first, _ = reach(store.conn, [OURS])
    assert who(first) == {"ada": (Sent.CERTAINLY, False), "eve": (Sent.HARDLY, True)}


def test_a_version_that_was_replaced_within_the_hour(store: Store, partner: Collection) -> None:
    """What was certainly sent stays so when its withdrawal is sent within the same hour."""
    sent(store, "ada", partner, 1, 2, NOW + SECOND)
    withdraw(store, partner, NOW + 60 * SECOND)
    sent(store, "ada", partner, 3, 3, NOW + 90 * SECOND)
    first, gone = reach(store.conn, [OURS])
    assert who(first) == {"ada": (Sent.CERTAINLY, True)}
    assert (first.recipients[0].receipt.first_at, first.recipients[0].receipt.last_at) == (NOW + SECOND, NOW + SECOND)
    assert (gone.recipients[0].receipt.first_at, gone.recipients[0].receipt.last_at) == (
        NOW + 90 * SECOND,
        NOW + 90 * SECOND,
    )


_STEPS = st.lists(
    st.tuples(st.booleans(), st.integers(0, 3), st.integers(0, 30), st.integers(1, 1200)), min_size=2, max_size=10
)


@given(_STEPS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_later_answer_never_contradicts_an_earlier_one(store: Store, steps: list[tuple[bool, int, int, int]]) -> None:
    """However posts and polls follow each other: what was certain, or hardly so, stays; moments only move apart."""
    made = make_collection(store, CollectionKind.EXCHANGE, f"hub-{next(_NUMBERS)}")
    now, count = NOW, 0
    told: dict[int, Recipient] = {}
    for posts, which, reach_back, later in steps:
        now += later * SECOND
        if posts or not count:
            entry = NewEntry(f"indicator--{which}", now, "indicator", "2.1", b"{}", "ada")
            with store.writing() as conn:
                append_entries(conn, made, [entry], now)
            count += 1
        else:
            sent(store, "ada", made, max(1, count - reach_back), count, now)
        found = reach(store.conn, [f"indicator--{one}" for one in range(4)])
        after = {one.seq: one.recipients[0] for one in found if one.alias == made.alias and one.recipients}
        for seq, before in told.items():
            assert after[seq].receipt.first_at <= before.receipt.first_at
            assert after[seq].receipt.last_at <= before.receipt.last_at or _same_hour(after[seq], before)
            assert after[seq].sent is before.sent
        told = after


def _same_hour(one: Recipient, other: Recipient) -> bool:
    return one.receipt.last_at // HOUR == other.receipt.last_at // HOUR


def test_who_may_not_read_any_more(store: Store, partner: Collection) -> None:
    """An account that was ended still counts as a recipient, and is marked: it will not fetch a withdrawal itself."""
    sent(store, "ada", partner, 1, 2, EARLY)
    with store.writing() as conn:
        revoke_account(conn, "ada", LATE)
    withdraw(store, partner)
    first, gone = reach(store.conn, [OURS])
    assert first.untold == ("ada",)
    assert [one.may_read for one in first.recipients] == [False]
    assert gone.waiting == ("bob", "eve")


def test_every_life_is_followed(store: Store, partner: Collection) -> None:
    """What came back under another id is found by the first, and each life has its own withdrawal."""
    for life in (1, 2):
        let_out(store, make_outlet(partner, None, NOW + (2 * life - 1) * DAY))
        let_out(store, make_outlet(partner, AGREED, NOW + 2 * life * DAY))
    assert served_ids(store.conn, [OURS]) == [reborn_id(OURS, life) for life in (1, 2, 3)]
    found = reach(store.conn, [OURS])
    assert [(one.object_id, one.what, one.withdrawn_at is not None) for one in found] == [
        (OURS, "release", True),
        (OURS, "withdrawal", False),
        (reborn_id(OURS, 2), "release", True),
        (reborn_id(OURS, 2), "withdrawal", False),
        (reborn_id(OURS, 3), "release", False),
    ]


def test_what_was_pushed_is_told(store: Store, partner: Collection) -> None:
    """A target has got what its envelopes held, answered or not yet, and not what its server refused."""
    withdraw(store, partner)
    with store.writing() as conn:
        for name in ("taken", "refused", "silent", "down"):
            target = enter(conn, name, b"there", partner.number)
            first = intend(conn, target, [1, 2], [], again=False, now=EARLY)
            if name == "silent":
                continue
            remarks = [Undelivered(2, OURS, NOW, REFUSED, "no")] if name == "refused" else []
            settle(conn, first, Settled("failed" if name == "down" else "done", 2, 0, 0, remarks), EARLY + SECOND)
            if name == "taken":
                settle(conn, intend(conn, target, [3], [], again=False, now=LATE), Settled("done", 1, 0, 0), LATE)
    first_version, gone = reach(store.conn, [OURS])
    assert who(first_version) == {"taken": (Sent.CERTAINLY, True), "silent": (Sent.CERTAINLY, False)}
    assert {one.receipt.way for one in first_version.recipients} == {"push"}
    assert first_version.untold == ("silent",)
    assert who(gone) == {"taken": (Sent.CERTAINLY, False)}


def test_each_collection_has_its_own_readers(store: Store, partner: Collection) -> None:
    """The same object in two collections reached each one's readers."""
    internal = make_collection(store, CollectionKind.INTERNAL)
    let_out(store, make_outlet(internal))
    sent(store, "soc", internal, 1, 2, EARLY)
    sent(store, "ada", partner, 1, 2, EARLY)
    assert [(one.alias, list(who(one))) for one in reach(store.conn, [OURS])] == [
        ("to-north", ["ada"]),
        ("internal", ["soc"]),
    ]


def test_what_was_deleted_is_still_told(store: Store, partner: Collection) -> None:
    """An entry that was deleted has still reached whoever had read it."""
    sent(store, "ada", partner, 1, 2, EARLY)
    entry = partner.number << SEQ_BITS | 2
    with store.writing() as conn:
        record_deletions(conn, US, [entry], "exercise-end", None, NOW + DAY)
        delete_entries(conn, partner, [entry])
    (only,) = reach(store.conn, [OURS])
    assert (only.deleted, who(only)) == (True, {"ada": (Sent.CERTAINLY, False)})


def test_what_members_posted_is_told_too(store: Store) -> None:
    """What a member posted to an exchange has no row in the ledger, and its readers are known all the same."""
    hub = make_collection(store, CollectionKind.EXCHANGE)
    with store.writing() as conn:
        bodies = [b'{"id":"indicator--x"}', b'{"id":"indicator--x","revoked":true}']
        entries = [NewEntry("indicator--x", at, "indicator", "2.1", body, "ada") for at, body in enumerate(bodies, 1)]
        append_entries(conn, hub, entries[:1], NOW)
        append_entries(conn, hub, entries[1:], NOW + DAY)
    sent(store, "bob", hub, 1, 1, EARLY)
    posted, gone = reach(store.conn, ["indicator--x"])
    assert (posted.what, posted.number, gone.what) == ("post", None, "withdrawal")
    assert posted.untold == ("bob",)


def test_nothing_is_told_of_what_never_left(store: Store, partner: Collection) -> None:
    """Neither an unknown object nor one that the gate kept here has reached anybody."""
    find(store, ip("45.0.0.9"), tlp=Tlp.RED)
    let_out(store, make_outlet(partner, AGREED, NOW + SECOND))
    assert reach(store.conn, [indicator_id(US, ip("45.0.0.9")), "indicator--unknown"]) == []
    assert reach(store.conn, []) == []
