"""Hits on what partners told us: sightings of their indicators, never claims of our own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from builders import (
    DAY,
    NOW,
    US,
    domain,
    dump,
    feed_source,
    indicator_uuid,
    make_finding,
    make_indicator_json,
    make_own,
    take_findings,
    take_in,
)
from threatshare.config import OwnAssets
from threatshare.model import Kind, Observable, Role, Tlp
from threatshare.stix.timestamps import read_timestamp
from threatshare.stix.tlp import TLP2_ID
from threatshare.store.embedded import Store
from threatshare.store.observations import seen_of
from threatshare.store.releases import own_changes

COUNTS = ("observation", "reject")
"""Tables that may differ where the same findings come twice."""


def current(store: Store, kind: str = "indicator") -> list[dict[str, Any]]:
    """Gives the current versions of our own objects of a type."""
    bodies = [json.loads(body) for _, _, body in own_changes(store.conn, 0, 10_000)]
    return [one for one in bodies if one["type"] == kind]


KNOWN = domain("bad.badhost.biz")


def hit(*observables: Observable, **more: Any) -> Any:
    """Builds a finding of a sensor whose own list named the values."""
    return make_finding(*(observables or (KNOWN,)), role=Role.KNOWN_INDICATOR, **more)


def test_a_hit_on_a_partners_indicator_is_a_sighting(store: Store) -> None:
    """Where a sensor's list names a value of which we hold a partner's indicator, that indicator was sighted."""
    take_in(store, feed_source(store), make_indicator_json(7, KNOWN, tlp=Tlp.CLEAR))
    take_findings(store, hit(seen=NOW - 3 * DAY, last=NOW - DAY, count=5))
    assert current(store) == []
    (seen,) = current(store, "sighting")
    assert (seen["sighting_of_ref"], seen["created_by_ref"], seen["count"]) == (indicator_uuid(7), US, 5)
    assert read_timestamp(seen["first_seen"]) == NOW - 3 * DAY
    assert read_timestamp(seen["last_seen"]) == NOW - DAY
    assert seen["object_marking_refs"] == [TLP2_ID[Tlp.GREEN]]


def test_without_an_indicator_only_an_observation(store: Store) -> None:
    """Without a partner's indicator, or with only ours or a withdrawn one, the hit is recorded and no object made."""
    take_findings(store, hit())
    take_in(store, feed_source(store), make_indicator_json(7, KNOWN, revoked=True))
    take_findings(store, make_finding(KNOWN), hit())
    assert current(store, "sighting") == []
    counts = {(one.role, one.count) for one in seen_of(store.conn, store.key_of, [KNOWN])[KNOWN]}
    assert counts == {(Role.KNOWN_INDICATOR, 2), (Role.ATTACKER, 1)}


@pytest.mark.parametrize("tlp", list(Tlp))
def test_a_sighting_is_marked_as_its_indicator(store: Store, tlp: Tlp) -> None:
    """A sighting is marked at least as restrictively as the indicator that it is about, and as our own default."""
    take_in(store, feed_source(store), make_indicator_json(7, KNOWN, tlp=tlp))
    take_findings(store, hit())
    assert current(store, "sighting")[0]["object_marking_refs"] == [TLP2_ID[max(tlp, Tlp.GREEN)]]


def test_a_sighting_is_marked_as_the_strictest_copy(store: Store) -> None:
    """Where several sources hold one indicator under different markings, the strictest counts, in any order."""
    for number, order in enumerate(([Tlp.CLEAR, Tlp.AMBER, Tlp.GREEN], [Tlp.AMBER, Tlp.GREEN, Tlp.CLEAR]), 7):
        value = domain(f"bad{number}.badhost.biz")
        for name, tlp in zip(("feed-a", "feed-b", "feed-c"), order, strict=True):
            take_in(store, feed_source(store, name), make_indicator_json(number, value, tlp=tlp))
        take_findings(store, hit(value))
    markings = [one["object_marking_refs"] for one in current(store, "sighting")]
    assert markings == [[TLP2_ID[Tlp.AMBER]]] * 2


def test_an_unreadable_marking_makes_no_sighting(store: Store) -> None:
    """Of an indicator whose marking nobody here can read, in whatever copy, we say nothing."""
    take_in(store, feed_source(store, "feed-a"), make_indicator_json(7, KNOWN, tlp=Tlp.CLEAR))
    unreadable = make_indicator_json(7, KNOWN, tlp="marking-definition--00000000-0000-4000-8000-000000000009")
    take_in(store, feed_source(store, "feed-b"), unreadable)
    take_findings(store, hit())
    assert current(store, "sighting") == []


def test_an_indicator_of_several_values(store: Store) -> None:
    """One indicator that names several values has one sighting over all of them, whichever is seen when."""
    md5, sha = Observable(Kind.MD5, "ab" * 16), Observable(Kind.SHA256, "cd" * 32)
    pattern = f"[file:hashes.MD5 = '{md5.value}' OR file:hashes.'SHA-256' = '{sha.value}']"
    take_in(store, feed_source(store), make_indicator_json(7, pattern))
    take_findings(store, hit(md5, seen=NOW - 5 * DAY), hit(sha, seen=NOW - 2 * DAY))
    (first,) = current(store, "sighting")
    assert (read_timestamp(first["first_seen"]), read_timestamp(first["last_seen"])) == (NOW - 5 * DAY, NOW - 2 * DAY)
    for again in (hit(md5, seen=NOW - 5 * DAY), hit(sha, seen=NOW - 2 * DAY), hit(md5, seen=NOW - 3 * DAY)):
        take_findings(store, again)
        assert current(store, "sighting") == [first]
    take_findings(store, hit(md5, seen=NOW - DAY))
    (later,) = current(store, "sighting")
    assert (later["id"], read_timestamp(later["last_seen"]), later["count"]) == (first["id"], NOW - DAY, 6)


def test_sightings_of_every_indicator(store: Store) -> None:
    """Each indicator of the value, of whatever source, has its own sighting."""
    for number, name in ((7, "feed-a"), (8, "feed-b"), (9, "feed-b")):
        take_in(store, feed_source(store, name), make_indicator_json(number, KNOWN))
    take_findings(store, hit())
    assert {one["sighting_of_ref"] for one in current(store, "sighting")} == {indicator_uuid(n) for n in (7, 8, 9)}


def test_no_sighting_of_what_is_ours(store: Store) -> None:
    """A partner's indicator about something of ours is no indicator that we confirm."""
    take_in(store, feed_source(store), make_indicator_json(7, KNOWN))
    take_findings(store, hit(), own=make_own(assets=OwnAssets(domains=("badhost.biz",))))
    assert current(store, "sighting") == []


def test_a_hit_is_no_claim(store: Store) -> None:
    """A hit on a partner's indicator adds no claim of ours: their feed never comes back as our corroboration."""
    take_in(store, feed_source(store), make_indicator_json(7, KNOWN))
    before = dump(store.conn, *COUNTS, "version", "object", "own_change", "source")
    take_findings(store, hit())
    assert dump(store.conn, *COUNTS, "version", "object", "own_change", "source") == before
