"""Reading what is known, by key and by number, and what is due."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from builders import BAD, DAY, NOW, domain, feed_source, ip, make_indicator_json, make_store, take_in
from threatshare.model import Evidence, Kind, Observable
from threatshare.store import lookups
from threatshare.store.embedded import Store
from threatshare.store.keys import KIND_CODE


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = make_store(tmp_path)
    source = feed_source(made, "feed-a", "A")
    values: list[Observable | str] = [BAD, domain("bad.badhost.biz"), ip("45.0.0.0/24"), "[file:size = 7]"]
    raws = [make_indicator_json(n, one, confidence=20 * n + 20, modified=NOW) for n, one in enumerate(values)]
    take_in(made, source, *raws, make_indicator_json(9, BAD, confidence=0))
    yield made
    made.close()


def test_known_and_unknown(store: Store) -> None:
    """Those of some values that are known are found, with row, score, cap and when they were first heard of."""
    found = lookups.known(store.conn, store.key_of, [BAD, ip("45.0.0.1"), Observable(Kind.URL, "bad.badhost.biz"), BAD])
    assert found.keys() == {BAD}
    one = found[BAD]
    assert (one.observable, one.score, one.first_seen, one.cap) == (BAD, 20, NOW, None)
    assert list(lookups.known_by_number(store.conn, [one.number, one.number, 99_999])) == [one]
    assert lookups.known(store.conn, store.key_of, []) == {}


def test_claims_and_their_objects(store: Store) -> None:
    """Claims are found by the observable's row, and the object of each by its key."""
    numbers = [one.number for one in lookups.known(store.conn, store.key_of, [BAD, ip("45.0.0.0/24")]).values()]
    claims = lookups.claims_about(store.conn, numbers)
    assert sorted(len(one) for one in claims.values()) == [1, 2]
    held = [one for found in claims.values() for one in found]
    bodies = lookups.current_bodies(store.conn, [one.object for one in held])
    assert sorted(bodies) == sorted(one.object for one in held)
    assert all(body.startswith(b'{"type": "indicator"') for body in bodies.values())
    assert lookups.claims_about(store.conn, [99_999]) == {}


def test_ranked(store: Store) -> None:
    """Observables of some kinds from a score up are listed in the order of their rows."""

    def ranked(kinds: list[Kind], least: int) -> set[str]:
        numbers = list(lookups.ranked(store.conn, [KIND_CODE[one] for one in kinds], least))
        assert numbers == sorted(set(numbers))
        return {one.observable.value for one in lookups.known_by_number(store.conn, numbers)}

    assert ranked([Kind.IPV4], 1) == {BAD.value, "45.0.0.0/24"}
    assert ranked([Kind.IPV4, Kind.DOMAIN], 40) == {"bad.badhost.biz", "45.0.0.0/24"}
    assert ranked([Kind.URL], 0) == set()
    assert len(ranked(list(Kind), 0)) == 4


def test_what_is_due(store: Store) -> None:
    """What is due by a moment comes earliest first; brought forward it is due earlier, never later."""
    assert lookups.due_observables(store.conn, NOW, 99) == []
    every = lookups.due_observables(store.conn, NOW + 500 * DAY, 99)
    assert len(every) == 4
    last, moment = every[-1], NOW + 5
    with store.writing() as conn:
        lookups.bring_forward(conn, [(last, moment), (last, NOW + 400 * DAY)])
        assert lookups.due_observables(conn, moment - 1, 99) == []
        assert lookups.due_observables(conn, moment, 99) == [last]
        lookups.save_scores(conn, [(last, 7, None)])
        assert lookups.due_observables(conn, NOW + 500 * DAY, 99) == every[:-1]
        lookups.bring_forward(conn, [(last, moment)])
        assert lookups.due_observables(conn, NOW + 500 * DAY, 2) == [last, every[0]]
    assert [one.score for one in lookups.known_by_number(store.conn, [last])] == [7]


def test_what_a_cap_means() -> None:
    """Ours, a list's name, or nothing."""
    assert lookups.evidence_of(lookups.OWN_ASSET) == Evidence(own_asset=True)
    assert lookups.evidence_of("a list") == Evidence(known_benign="a list")
    assert lookups.evidence_of(None) == Evidence()
