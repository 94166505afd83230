"""A source that is configured otherwise: all that it ever said counts as it is configured now."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from builders import (
    BAD,
    NOW,
    SECOND,
    dump,
    feed_source,
    identity_uuid,
    indicator_uuid,
    indicators,
    ip,
    let_out,
    make_collection,
    make_indicator_json,
    make_outlet,
    make_store,
    take_in,
)
from threatshare.model import CollectionKind, Micros, Observable, Tlp
from threatshare.ports import Listed, Listing
from threatshare.publish import BATCH, rescore_due
from threatshare.pull import pull_list
from threatshare.stix.objects import siem_indicator_id
from threatshare.stix.timestamps import write_timestamp
from threatshare.stix.tlp import TLP_IDS
from threatshare.store.accounts import add_account
from threatshare.store.embedded import Store
from threatshare.store.lookups import claims_about, known
from threatshare.store.releases import queue_length


@dataclass(frozen=True)
class OneRow:
    """A list that names one value."""

    value: Observable

    def listing(self, cursor: str | None, now: Micros) -> Listing:
        return Listing(iter([Listed(self.value, None, None, None)]), "read", True, 1)


def scores(store: Store) -> dict[str, int]:
    return {one.value: entry.score for one, entry in known(store.conn, store.key_of, VALUES).items()}


def markings(store: Store, value: Observable) -> list[Tlp | None]:
    number = known(store.conn, store.key_of, [value])[value].number
    return [one.claim.marking.tlp for one in claims_about(store.conn, [number])[number]]


VALUES = [ip(f"45.0.0.{number}") for number in range(1, 10)]
FIRST, SECOND_VALUE, THIRD = VALUES[:3]


def test_another_reliability_scores_anew_and_is_told(store: Store) -> None:
    """What a source said before it was rated anew is scored by the new rating, and told; others' values are let be."""
    siem = make_collection(store, CollectionKind.SIEM)
    for name, value in (("feed-a", FIRST), ("feed-b", SECOND_VALUE)):
        take_in(store, feed_source(store, name, "A"), make_indicator_json(1, value, confidence=80, modified=NOW))
    let_out(store, make_outlet(siem))
    feed_source(store, "feed-a", "C")
    assert rescore_due(store, NOW) == queue_length(store.conn) == 1
    assert scores(store) == {FIRST.value: 40, SECOND_VALUE.value: 80}
    assert let_out(store, make_outlet(siem, now=NOW + SECOND)).released == {"siem": 1}
    assert {one["confidence"] for one in indicators(store, siem)} == {40, 80}
    before = dump(store.conn)
    feed_source(store, "feed-a", "C")
    assert rescore_due(store, NOW) == 0
    assert dump(store.conn) == before


def test_another_lineage(store: Store) -> None:
    """Sources of which one is found to copy the other count once from then on, and twice again where that was wrong."""
    for name, maker in (("feed-a", identity_uuid(1)), ("feed-b", None)):
        take_in(store, feed_source(store, name, "A"), make_indicator_json(1, FIRST, by=maker, modified=NOW))
    pull_list(store, feed_source(store, "list", "A"), OneRow(FIRST), lambda: NOW, lambda _: True)
    seen: list[int] = []
    for lineage in ("aggregate", None):
        for name in ("feed-a", "feed-b", "list"):
            feed_source(store, name, "A", lineage=lineage)
        rescore_due(store, NOW)
        seen += scores(store).values()
        origins = {row[0] for row in store.conn.execute("SELECT o.name FROM claim JOIN origin o ON number = origin")}
        assert origins == ({"aggregate"} if lineage else {identity_uuid(1), "feed-b", "list"})
    assert seen == [50, 88]


def test_another_marking_of_what_bears_none(store: Store) -> None:
    """What a source does not mark is marked as is said now, its list's rows too; what it marks stays as it is."""
    source = feed_source(store, "feed-a", "A", Tlp.GREEN)
    take_in(store, source, make_indicator_json(1, FIRST), make_indicator_json(2, SECOND_VALUE, tlp=Tlp.CLEAR))
    pull_list(store, feed_source(store, "list", "A", Tlp.GREEN), OneRow(THIRD), lambda: NOW, lambda _: True)
    siem = make_collection(store, CollectionKind.SIEM)
    let_out(store, make_outlet(siem))
    for name in ("feed-a", "list"):
        feed_source(store, name, "A", Tlp.AMBER)
    rescore_due(store, NOW)
    assert [markings(store, value) for value in VALUES[:3]] == [[Tlp.AMBER], [Tlp.CLEAR], [Tlp.AMBER]]
    let_out(store, make_outlet(siem, now=NOW + SECOND))
    told = [TLP_IDS[one["object_marking_refs"][0]] for one in indicators(store, siem)]
    assert sorted(told) == [Tlp.CLEAR, Tlp.AMBER, Tlp.AMBER]


def test_an_opinion_weighs_as_its_author_is_rated(store: Store) -> None:
    """Whoever is rated anew and only thinks something of a value moves its score too."""
    siem = make_collection(store, CollectionKind.SIEM)
    with store.writing() as conn:
        add_account(conn, "north", ["siem"], [], NOW)
    take_in(store, feed_source(store, "feed-a", "A"), make_indicator_json(1, BAD, confidence=80, modified=NOW))
    let_out(store, make_outlet(siem))
    opinion = {
        "type": "opinion",
        "spec_version": "2.1",
        "id": f"opinion--{indicator_uuid(9).partition('--')[2]}",
        "created": write_timestamp(NOW, 6),
        "modified": write_timestamp(NOW, 6),
        "opinion": "strongly-disagree",
        "object_refs": [siem_indicator_id(make_outlet(siem).facts.our_identity, BAD)],
    }
    take_in(store, feed_source(store, "north", "E"), json.dumps(opinion).encode())
    assert known(store.conn, store.key_of, [BAD])[BAD].score == 80
    feed_source(store, "north", "A")
    assert rescore_due(store, NOW) == 1
    assert known(store.conn, store.key_of, [BAD])[BAD].score == 44


def test_it_goes_on_where_it_was_ended(store: Store, tmp_path: Path) -> None:
    """Batch for batch every value is met once, also where the process ends between two of them."""
    source = feed_source(store, "feed-a", "A")
    take_in(store, source, *(make_indicator_json(number, value) for number, value in enumerate(VALUES)))
    feed_source(store, "feed-a", "B", Tlp.AMBER, lineage="aggregate")
    with store.writing():
        met = store.restate(4)
    again = make_store(tmp_path)
    while True:
        with again.writing():
            found = again.restate(4)
        if not found:
            break
        met += found
    assert met == list(range(1, len(VALUES) + 1))
    assert again.conn.execute("SELECT count(*) FROM restatement").fetchone() == (0,)
    assert {one for value in VALUES for one in markings(again, value)} == {Tlp.AMBER}
    again.close()


def test_more_than_a_batch(store: Store) -> None:
    """However much a source has said, all of it is scored anew in one call, and nothing twice."""
    raws = [make_indicator_json(n, ip(f"45.{n // 62_500 + 1}.{n // 250 % 250}.{n % 250}")) for n in range(BATCH + 1)]
    take_in(store, feed_source(store, "feed-a", "A"), *raws)
    feed_source(store, "feed-a", "E")
    assert rescore_due(store, NOW) == BATCH + 1
    assert store.conn.execute("SELECT max(score) FROM observable").fetchone() == (0,)
