"""Our own SIEM: one merged indicator a value, as long as it stands."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path

from builders import (
    BAD,
    DAY,
    NOW,
    SECOND,
    US,
    check,
    dump,
    feed_source,
    find,
    held_ids,
    indicators,
    ip,
    let_out,
    make_agreement,
    make_collection,
    make_indicator_json,
    make_outlet,
    make_store,
    take_in,
    told,
    with_facts,
)
from threatshare.config import OwnAssets
from threatshare.model import Collection, CollectionKind, Kind, Micros, Observable, Reject, Role
from threatshare.ports import Listed, Listing
from threatshare.publish import BATCH, rescore_due
from threatshare.pull import pull_list
from threatshare.stix.objects import siem_indicator_id
from threatshare.stix.patterns import pattern_of
from threatshare.stix.timestamps import read_timestamp
from threatshare.store.embedded import Store
from threatshare.store.releases import queue_length, verdict_counts

AGREED = make_agreement()


def say(store: Store, *raws: bytes, source: str = "feed-a", now: Micros = NOW) -> None:
    take_in(store, feed_source(store, source, "A"), *raws, now=now)


def test_one_merged_indicator_a_value(store: Store, siem: Collection) -> None:
    """Whatever sources say of one value is one indicator of ours with our score; compound patterns stay out."""
    say(store, make_indicator_json(1, confidence=60, modified=NOW), make_indicator_json(2, "[file:size = 7]"))
    say(store, make_indicator_json(1, confidence=60, modified=NOW), source="feed-b")
    assert let_out(store, make_outlet(siem)).released == {"siem": 1}
    (body,) = indicators(store, siem)
    assert (body["id"], body["pattern"], body["created_by_ref"]) == (siem_indicator_id(US, BAD), pattern_of(BAD), US)
    assert (body["confidence"], body["labels"]) == (84, ["score:high", "source:feed-a", "source:feed-b"])
    assert queue_length(store.conn) == 0


def test_a_new_version_only_with_another_band(store: Store, siem: Collection) -> None:
    """Over its life an indicator gets a version for each band, and is withdrawn at the end; nothing in between."""
    say(store, make_indicator_json(1, confidence=100, modified=NOW))
    bands: list[str] = []
    for hours in range(0, 50 * 24, 6):
        at = NOW + hours * DAY // 24
        rescore_due(store, at)
        let_out(store, make_outlet(siem, now=at))
        bands = ["gone" if one.revoked else one.body["labels"][0] for one in told(store, siem)]
    assert bands == ["score:high", "score:medium", "score:low", "gone"]
    check(store, siem)


def test_it_comes_back_under_another_id(store: Store, siem: Collection) -> None:
    """What was withdrawn and is heard of again comes back as another object, begun then."""
    say(store, make_indicator_json(1, modified=NOW))
    let_out(store, make_outlet(siem))
    say(store, make_indicator_json(1, modified=NOW + 1, revoked=True))
    assert let_out(store, make_outlet(siem, now=NOW + SECOND)).withdrawn == 1
    say(store, make_indicator_json(2, modified=NOW + 2))
    at = NOW + DAY
    assert let_out(store, make_outlet(siem, now=at)).released == {"siem": 1}
    (body,) = indicators(store, siem)
    assert body["id"] != siem_indicator_id(US, BAD)
    assert read_timestamp(body["created"]) == read_timestamp(body["modified"]) == at
    check(store, siem)


def test_another_floor(store: Store, siem: Collection) -> None:
    """A raised floor withdraws what falls under it with the next run, a lowered one lets it back in."""
    say(store, *(make_indicator_json(n, ip(f"45.0.0.{n}"), confidence=n, modified=NOW) for n in (20, 40, 60, 80)))
    for floor, wanted in ((1, {20, 40, 60, 80}), (50, {60, 80}), (70, {80}), (30, {40, 60, 80})):
        let_out(store, make_outlet(siem, now=NOW + floor * SECOND, siem_floor=floor))
        assert {one["confidence"] for one in indicators(store, siem)} == wanted
        check(store, siem)


def test_another_purpose(store: Store, siem: Collection) -> None:
    """A demo node that goes live withdraws documentation values with the next run, though nothing was heard of them."""
    say(store, make_indicator_json(1, ip("203.0.113.7")), make_indicator_json(2))
    assert let_out(store, make_outlet(siem, purpose="demo")).released == {"siem": 2}
    report = let_out(store, make_outlet(siem, now=NOW + SECOND))
    assert (report.withdrawn, report.refused) == (1, 1)
    assert held_ids(store, siem) == {siem_indicator_id(US, BAD)}


def test_agreements_do_not_disturb_our_siem(store: Store, siem: Collection) -> None:
    """A new agreement, or one that ends, is no reason to look at everything in our SIEM again."""
    say(store, make_indicator_json(1))
    let_out(store, make_outlet(siem))
    before = dump(store.conn)
    let_out(store, with_facts(make_outlet(siem, now=NOW + DAY), agreements={"north": AGREED}))
    assert dump(store.conn) == before


def test_a_cap_that_was_a_mistake(tmp_path: Path) -> None:
    """A network that was declared ours by mistake scores again, and is served, once the mistake is mended."""
    capped = {BAD: "own-asset"}
    store = make_store(tmp_path, capped.get)
    siem = make_collection(store, CollectionKind.SIEM)
    say(store, make_indicator_json(1, confidence=80, modified=NOW))
    assert let_out(store, make_outlet(siem, own=OwnAssets((ip_network("45.66.0.0/16"),)))).released == {"siem": 0}
    capped.clear()
    assert let_out(store, make_outlet(siem)).released == {"siem": 1}
    assert store.conn.execute("SELECT score, cap FROM observable").fetchall() == [(80, None)]
    store.close()


def test_only_what_is_due_is_scored_anew(store: Store, siem: Collection) -> None:
    """Scoring anew touches the observables whose moment has come, finds them by the index, and queues just these."""
    raws = [
        make_indicator_json(n, ip(f"45.0.{n // 200}.{n % 200}"), modified=NOW - (n % 40) * DAY, confidence=100)
        for n in range(800)
    ]
    say(store, *raws)
    let_out(store, make_outlet(siem))
    store.conn.execute("CREATE TEMP TABLE touched (number INTEGER)")
    store.conn.execute(
        "CREATE TEMP TRIGGER touching AFTER UPDATE ON main.observable BEGIN"
        " INSERT INTO touched VALUES (new.number); END"
    )
    total = 0
    for day in range(1, 60, 4):
        at = NOW + day * DAY
        due = {row[0] for row in store.conn.execute("SELECT number FROM observable WHERE next_change <= ?", (at,))}
        assert rescore_due(store, at) == len(due)
        assert {row[0] for row in store.conn.execute("SELECT number FROM touched")} == due
        assert {row[0] for row in store.conn.execute("SELECT observable FROM changed_observable")} == due
        store.conn.execute("DELETE FROM touched")
        store.conn.execute("DELETE FROM changed_observable")
        total += len(due)
    assert 800 < total < 3 * 800
    assert rescore_due(store, at) == 0
    plan = " ".join(
        row[3]
        for row in store.conn.execute(
            "EXPLAIN QUERY PLAN SELECT number FROM observable WHERE next_change <= ? ORDER BY next_change LIMIT 9", (0,)
        )
    )
    assert "observable_due" in plan
    assert "SCAN" not in plan


def test_more_than_a_batch_is_due(store: Store) -> None:
    """However many are due at once, all are scored anew in one call, a batch a transaction."""
    say(store, *(make_indicator_json(n, ip(f"45.1.{n // 250}.{n % 250}"), modified=NOW) for n in range(2 * BATCH)))
    assert rescore_due(store, NOW + 50 * DAY) == 2 * BATCH
    assert store.conn.execute("SELECT max(score), count(next_change) FROM observable").fetchone() == (0, 0)


def test_hostile_claims_cannot_hide_a_value(store: Store, siem: Collection) -> None:
    """A partner's claim dated in the year 1 or for ever, or named oddly, keeps no value out of our SIEM."""
    say(store, make_indicator_json(1, confidence=90, modified=NOW))
    odd = make_indicator_json(2, valid_from=-62135596800000000, valid_until=253402300799999999, modified=NOW)
    say(store, odd, source="Größe & 'Söhne' " + "x" * 90)
    report = let_out(store, make_outlet(siem))
    assert (report.released, report.refused) == ({"siem": 1}, 0)


def test_every_kind_is_served(store: Store, siem: Collection, partner: Collection) -> None:
    """Values of every kind reach SIEM and partner, quotes and backslashes included."""
    values = [
        Observable(Kind.URL, "https://bad.badhost.biz/it's"),
        Observable(Kind.EMAIL, "o'neill@badhost.biz"),
        Observable(Kind.IPV6, "2a0a:1::1"),
        Observable(Kind.MAC, "02:11:22:33:44:55"),
        *(Observable(kind, "ab" * size) for kind, size in ((Kind.MD5, 16), (Kind.SHA1, 20), (Kind.SHA512, 64))),
    ]
    find(store, *values, role=Role.PHISH_SENDER)
    report = let_out(store, make_outlet(siem), make_outlet(partner, AGREED))
    assert (report.released, report.refused) == ({"siem": len(values), "to-north": len(values)}, 0)


def test_verdicts_are_counted(store: Store, partner: Collection) -> None:
    """What stands decided is counted by collection and verdict."""
    find(store, BAD, ip("203.0.113.1"))
    let_out(store, make_outlet(partner, AGREED))
    # Our Identity is released too.
    assert verdict_counts(store.conn) == {"to-north": {"release": 2, "refuse": 1}}


def test_a_list_that_is_read_every_day(store: Store, siem: Collection) -> None:
    """What a list names for three months is told anew once a week, not each day that it is said anew."""
    source = feed_source(store, "list", "A")
    rows: list[Listed | Reject] = [Listed(ip(f"45.0.0.{number}"), None, None, None) for number in range(1, 4)]

    def read_on(at: Micros) -> None:
        pull_list(store, source, ListOf(rows, str(at)), lambda: at, lambda _: True)
        rescore_due(store, at)
        let_out(store, make_outlet(siem, now=at))

    for day in range(90):
        read_on(NOW + day * DAY)
    assert len(indicators(store, siem)) == 3
    assert 12 * 3 <= len(told(store, siem)) <= 14 * 3


@dataclass(frozen=True)
class ListOf:
    """A ``ListClient`` over rows in memory."""

    rows: list[Listed | Reject]
    cursor: str

    def listing(self, cursor: str | None, now: Micros) -> Listing | None:
        return Listing(iter(self.rows), self.cursor, True, len(self.rows))
