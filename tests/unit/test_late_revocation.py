"""What was revoked counts for nothing, in whatever order its versions come (decision 15)."""

from __future__ import annotations

from itertools import permutations

import pytest

from builders import BAD, DAY, NOW, feed_source, ip, make_indicator_json, take_in
from threatshare.lookup import lookup
from threatshare.model import Observable
from threatshare.store.embedded import Store

OTHER = ip("192.0.2.77")
FIRST = make_indicator_json(1, modified=NOW - 4 * DAY)
REVOKED = make_indicator_json(1, modified=NOW - 3 * DAY, revoked=True)
LATER = make_indicator_json(1, modified=NOW - 2 * DAY, confidence=90)
ELSEWHERE = make_indicator_json(1, OTHER, modified=NOW - DAY)


def weighs(store: Store, observable: Observable) -> list[bool]:
    """Gives of each claim about a value whether it counts."""
    (answer,) = lookup(store.conn, [observable.value], NOW)
    return [not one.revoked for one in answer.claims]


@pytest.mark.parametrize("order", list(permutations([FIRST, REVOKED, LATER])), ids=str)
@pytest.mark.parametrize("together", [False, True])
def test_the_order_does_not_matter(store: Store, order: tuple[bytes, ...], together: bool) -> None:
    """One by one or in one page, with the revocation first, between or last: the claim is there and weighs nothing."""
    source = feed_source(store)
    for batch in [order] if together else [(one,) for one in order]:
        _, rejected = take_in(store, source, *batch)
        assert rejected == []
    assert weighs(store, BAD) == [False]
    assert store.conn.execute("SELECT score FROM observable").fetchone() == (0,)
    assert store.conn.execute("SELECT count(*) FROM version").fetchone() == (3,)


def test_it_lasts_for_what_comes_after_it(store: Store) -> None:
    """A newer version about another value claims that, and counts for nothing either."""
    source = feed_source(store)
    take_in(store, source, LATER)
    take_in(store, source, REVOKED)
    take_in(store, source, ELSEWHERE)
    assert (weighs(store, BAD), weighs(store, OTHER)) == ([], [False])


def test_it_is_nobody_elses(store: Store) -> None:
    """Another source's copy of the object counts as ever."""
    take_in(store, feed_source(store, "feed-a"), LATER)
    take_in(store, feed_source(store, "feed-b"), LATER)
    take_in(store, feed_source(store, "feed-a"), REVOKED)
    assert sorted(weighs(store, BAD)) == [False, True]


def test_a_late_version_that_revokes_nothing_changes_nothing(store: Store) -> None:
    """Only a revocation ends what counts."""
    source = feed_source(store)
    take_in(store, source, LATER)
    tally, _ = take_in(store, source, FIRST)
    assert (tally.unchanged, weighs(store, BAD)) == (1, [True])
