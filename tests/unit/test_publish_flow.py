"""Indicators out: what is released, what is withdrawn, and that every run ends where another would have."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from hashlib import sha256
from ipaddress import ip_network
from pathlib import Path

import pytest

from builders import (
    BAD,
    DAY,
    NOW,
    SECOND,
    US,
    check,
    domain,
    dump,
    feed_source,
    find,
    held_ids,
    indicator_uuid,
    indicators,
    ip,
    let_out,
    make_agreement,
    make_collection,
    make_indicator_json,
    make_outlet,
    make_store,
    served,
    standing,
    take_in,
    with_terms,
)
from threatshare.config import OwnAssets
from threatshare.model import Collection, CollectionKind, Role, Tlp, Verdict
from threatshare.policy.agreements import Agreement, Inbound, Outbound
from threatshare.publish import BATCH, rescore_due
from threatshare.stix.objects import indicator_id, reborn_id, siem_indicator_id
from threatshare.stix.patterns import pattern_of
from threatshare.stix.timestamps import read_timestamp
from threatshare.store.connection import Connection
from threatshare.store.embedded import Store
from threatshare.store.entries import delete_entries
from threatshare.store.lookups import known
from threatshare.store.releases import decisions_on, refused

AGREED = make_agreement()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = make_store(tmp_path)
    yield made
    made.close()


@pytest.fixture
def partner(store: Store) -> Collection:
    return make_collection(store, CollectionKind.PARTNER, "to-north", "north")


@pytest.fixture
def siem(store: Store) -> Collection:
    return make_collection(store, CollectionKind.SIEM)


@pytest.fixture
def internal(store: Store) -> Collection:
    return make_collection(store, CollectionKind.INTERNAL)


def test_what_is_ours_reaches_a_partner(store: Store, partner: Collection) -> None:
    """Our indicators reach a partner with whom there is an agreement, behind our Identity, to the byte as stored."""
    find(store, BAD, ip("45.0.0.1"))
    report = let_out(store, make_outlet(partner, AGREED))
    assert (report.released, report.held, report.refused, report.withdrawn) == ({"to-north": 2}, 0, 0, 0)
    first, *others = check(store, partner)
    assert (first.id, first.body["type"]) == (US, "identity")
    assert {one.id for one in others} == {indicator_id(US, BAD), indicator_id(US, ip("45.0.0.1"))}
    stored = {bytes(row[0]) for row in store.conn.execute("SELECT body FROM version")}
    bodies = [bytes(row[0]) for row in store.conn.execute("SELECT body FROM entry WHERE object_id <> ?", (US,))]
    assert set(bodies) == stored
    for _, release in [one for entry in others for one in decisions_on(store.conn, entry.id)]:
        assert release.digest in {sha256(body).digest() for body in bodies}
        assert release.served


def test_a_second_run_changes_nothing(store: Store, partner: Collection, siem: Collection) -> None:
    """A run after which nothing changed releases nothing and leaves every row as it was, also a day later."""
    find(store, BAD, ip("10.0.0.1"), domain("bad.badhost.biz"))
    find(store, ip("45.0.0.1"), tlp=Tlp.RED)
    take_in(store, feed_source(store), make_indicator_json(1), make_indicator_json(2, ip("192.168.0.1")))
    outlets = make_outlet(partner, AGREED), make_outlet(siem)
    first = let_out(store, *outlets)
    assert first.released == {"to-north": 2, "siem": 2}
    assert first.refused == 2
    before = dump(store.conn)
    for now in (NOW, NOW + DAY):
        again = let_out(store, make_outlet(partner, AGREED, now), make_outlet(siem, now=now))
        assert (again.released, again.refused, again.withdrawn) == ({"to-north": 0, "siem": 0}, 0, 0)
        assert dump(store.conn) == before


def test_a_later_version_follows(store: Store, partner: Collection) -> None:
    """A value seen again goes out as a new version of the same object, and our Identity not again."""
    find(store)
    let_out(store, make_outlet(partner, AGREED))
    find(store, seen=NOW, now=NOW + DAY)
    report = let_out(store, make_outlet(partner, AGREED, NOW + DAY))
    assert report.released == {"to-north": 1}
    entries = check(store, partner)
    assert [one.id for one in entries] == [US, indicator_id(US, BAD), indicator_id(US, BAD)]
    assert [one.current for one in entries] == [True, False, True]
    assert entries[1].body["created"] == entries[2].body["created"]


NONE = None
UNSIGNED = with_terms(AGREED, signed_on=None)
EXPIRED = with_terms(AGREED, expires_on=date(2026, 2, 28))
FUTURE = with_terms(AGREED, effective_from=date(2026, 3, 2))
ELSEWHERE = with_terms(AGREED, outbound=Outbound("amber", collections=("another",)))
FOR_EXERCISES = with_terms(AGREED, outbound=Outbound("amber", exercise_only=True))
NAMELESS = with_terms(AGREED, outbound=Outbound("amber", attribution="must-not"))


@pytest.mark.parametrize("agreement", [NONE, UNSIGNED, EXPIRED, FUTURE, ELSEWHERE, FOR_EXERCISES, NAMELESS])
def test_without_an_agreement_nothing_leaves(store: Store, partner: Collection, agreement: Agreement | None) -> None:
    """Without an agreement that is signed, in force and covers it, nothing is served, and each reason is kept."""
    find(store, BAD, ip("45.0.0.1"))
    report = let_out(store, make_outlet(partner, agreement))
    assert (report.released, report.refused) == ({"to-north": 0}, 2)
    assert served(store, partner) == []
    assert len(report.decisions) == len(refused(store.conn, 9)) == 2
    for _, release in decisions_on(store.conn, indicator_id(US, BAD)):
        assert any(one.verdict is Verdict.REFUSE for one in release.reasons)
        assert not release.served
        assert not release.withdrawn


def test_an_agreement_that_comes_later(store: Store, partner: Collection) -> None:
    """What waited for an agreement leaves with the first run under it, as its first life."""
    find(store)
    let_out(store, make_outlet(partner))
    assert let_out(store, make_outlet(partner, AGREED)).released == {"to-north": 1}
    assert held_ids(store, partner) == {indicator_id(US, BAD)}


@pytest.mark.parametrize("ended", [NONE, EXPIRED, UNSIGNED])
def test_an_agreement_that_ends_takes_everything_back(
    store: Store, partner: Collection, ended: Agreement | None
) -> None:
    """With the end of an agreement everything it let out is withdrawn by one revoked version each, and only once."""
    values = [ip(f"45.0.0.{n}") for n in range(20)]
    find(store, *values)
    let_out(store, make_outlet(partner, AGREED))
    find(store, values[0], seen=NOW, now=NOW + SECOND)
    let_out(store, make_outlet(partner, AGREED, NOW + SECOND))
    report = let_out(store, make_outlet(partner, ended, NOW + DAY))
    assert (report.released, report.withdrawn) == ({"to-north": 0}, 20)
    entries = check(store, partner)
    gone = [one for one in entries if one.revoked]
    assert Counter(one.id for one in gone) == {indicator_id(US, one): 1 for one in values}
    assert held_ids(store, partner) == set()
    for one in gone:
        assert read_timestamp(one.body["valid_until"]) == one.version
        assert one.body["valid_from"] < one.body["valid_until"]
    before = dump(store.conn)
    assert let_out(store, make_outlet(partner, ended, NOW + 2 * DAY)).withdrawn == 0
    assert dump(store.conn) == before


def test_an_agreement_expires_by_itself(store: Store, partner: Collection) -> None:
    """The day after its last day an agreement lets nothing stand, without anybody touching its file."""
    ending = with_terms(AGREED, expires_on=date(2026, 3, 1))
    find(store)
    assert let_out(store, make_outlet(partner, ending)).released == {"to-north": 1}
    assert let_out(store, make_outlet(partner, ending, NOW + DAY)).withdrawn == 1


def test_a_renewed_agreement_lets_out_again_under_new_ids(store: Store, partner: Collection) -> None:
    """What was withdrawn comes back under another id, life after life, since a revoked object gets no new version."""
    find(store, BAD, ip("45.0.0.1"))
    seen: list[set[str]] = []
    for life in range(1, 5):
        at = NOW + life * DAY
        assert let_out(store, make_outlet(partner, AGREED, at)).released == {"to-north": 2}
        seen.append(held_ids(store, partner))
        patterns = sorted(one["pattern"] for one in standing(store, partner).values() if "pattern" in one)
        assert patterns == sorted(map(pattern_of, (BAD, ip("45.0.0.1"))))
        find(store, BAD, seen=at, now=at + SECOND)
        assert let_out(store, make_outlet(partner, AGREED, at + SECOND)).released == {"to-north": 1}
        assert held_ids(store, partner) == seen[-1]
        assert let_out(store, make_outlet(partner, None, at + 2 * SECOND)).withdrawn == 2
        find(store, BAD, seen=at + SECOND, now=at + 3 * SECOND)
        let_out(store, make_outlet(partner, None, at + 3 * SECOND))
        assert held_ids(store, partner) == set()
    assert len(set.union(*seen)) == 8
    entries = check(store, partner)
    assert sum(one.revoked for one in entries) == 8
    assert sum(one.id == US for one in entries) == 1
    assert {release.life for _, release in decisions_on(store.conn, indicator_id(US, BAD))} == {4}


def test_a_lowered_ceiling(store: Store, partner: Collection) -> None:
    """A lowered ceiling withdraws what is marked above it and lets the rest stand as it is."""
    tlps = {tlp: ip(f"45.0.0.{int(tlp)}") for tlp in Tlp}
    for tlp, value in tlps.items():
        find(store, value, tlp=tlp)
    report = let_out(store, make_outlet(partner, AGREED))
    assert (report.released, report.refused) == ({"to-north": 3}, 2)
    before = served(store, partner)
    lower = with_terms(AGREED, outbound=Outbound("clear"))
    report = let_out(store, make_outlet(partner, lower, NOW + DAY))
    assert (report.released, report.withdrawn) == ({"to-north": 0}, 2)
    assert held_ids(store, partner) == {indicator_id(US, tlps[Tlp.CLEAR])}
    entries = check(store, partner)
    assert [(one.id, one.version) for one in entries[:4]] == [(one.id, one.version) for one in before]
    assert len(entries) == len(before) + 2


def test_a_marking_that_is_raised(store: Store, partner: Collection) -> None:
    """A new version that may not leave withdraws the version that did."""
    find(store)
    let_out(store, make_outlet(partner, AGREED))
    find(store, seen=NOW, now=NOW + SECOND, tlp=Tlp.RED)
    report = let_out(store, make_outlet(partner, AGREED, NOW + SECOND))
    assert (report.released, report.withdrawn, report.refused) == ({"to-north": 0}, 1, 1)
    assert held_ids(store, partner) == set()
    check(store, partner)


def test_what_turns_out_to_be_ours(store: Store, partner: Collection, siem: Collection) -> None:
    """A network that is declared ours later takes back what was released of it, from partners and from our SIEM."""
    find(store, BAD, ip("45.0.0.1"))
    take_in(store, feed_source(store), make_indicator_json(1))
    let_out(store, make_outlet(partner, AGREED), make_outlet(siem))
    ours = OwnAssets((ip_network("45.66.0.0/16"),))
    at = NOW + DAY
    report = let_out(store, make_outlet(partner, AGREED, at, own=ours), make_outlet(siem, now=at, own=ours))
    assert (report.released, report.withdrawn) == ({"to-north": 0, "siem": 0}, 2)
    assert held_ids(store, partner) == {indicator_id(US, ip("45.0.0.1"))}
    assert held_ids(store, siem) == {siem_indicator_id(US, ip("45.0.0.1"))}


@pytest.mark.parametrize("minimum", [70, 71])
def test_a_minimum_score(store: Store, partner: Collection, minimum: int) -> None:
    """An indicator under the score that a partner takes is held; at that score it leaves."""
    find(store, seen=NOW)
    choosy = with_terms(AGREED, outbound=Outbound("amber", min_score=minimum))
    report = let_out(store, make_outlet(partner, choosy))
    assert (report.released["to-north"], report.held) == ((1, 0) if minimum == 70 else (0, 1))


def test_a_score_that_rises_and_falls(store: Store, partner: Collection, siem: Collection) -> None:
    """What waits for a higher score leaves when a source confirms it, and is withdrawn when that one takes it back."""
    choosy = with_terms(AGREED, outbound=Outbound("amber", min_score=80))
    find(store, BAD, ip("45.0.0.1"), seen=NOW)
    assert let_out(store, make_outlet(partner, choosy), make_outlet(siem)).held == 2
    said = make_indicator_json(1, confidence=95, modified=NOW)
    taken_back = make_indicator_json(1, modified=NOW + 2, revoked=True)
    for at, raw, held in ((NOW + SECOND, said, True), (NOW + 2 * SECOND, taken_back, False)):
        take_in(store, feed_source(store, "feed-a", "A"), raw, now=at)
        report = let_out(store, make_outlet(partner, choosy, at), make_outlet(siem, now=at))
        assert (report.released["to-north"], report.withdrawn) == ((1, 0) if held else (0, 1))
        assert held_ids(store, partner) == ({indicator_id(US, BAD)} if held else set())


def test_what_a_partner_says_itself(store: Store, partner: Collection, siem: Collection) -> None:
    """What waits for a partner's minimum score does not leave for the partner's own word, but does for another's."""
    choosy = with_terms(AGREED, outbound=Outbound("amber", min_score=80), inbound=Inbound(sources=("north-feed",)))
    find(store, seen=NOW)
    assert let_out(store, make_outlet(partner, choosy), make_outlet(siem)).held == 1
    for n, (name, held) in enumerate((("north-feed", False), ("feed-a", True)), 1):
        at = NOW + n * SECOND
        take_in(store, feed_source(store, name, "A"), make_indicator_json(n, confidence=95, modified=NOW), now=at)
        assert known(store.conn, store.key_of, [BAD])[BAD].score >= 80
        report = let_out(store, make_outlet(partner, choosy, at), make_outlet(siem, now=at))
        assert report.released["to-north"] == held
        assert held_ids(store, partner) == ({indicator_id(US, BAD)} if held else set())
        # Whoever asks anew, for whatever reason, is told why.
        ours = OwnAssets((ip_network("45.80.0.0/16"),))
        let_out(store, make_outlet(partner, choosy, at, own=ours), make_outlet(siem, now=at, own=ours))
        assert held_ids(store, partner) == ({indicator_id(US, BAD)} if held else set())
        (_, said), *_ = decisions_on(store.conn, indicator_id(US, BAD))
        (told,) = [one.text for one in said.reasons if one.rule == "minimum-score"]
        assert held or told.startswith("score 70 without what its own partner says; to-north takes 80")
    # Nor does its own word keep what others have taken back.
    gone = make_indicator_json(2, modified=NOW + 2, revoked=True)
    at = NOW + 3 * SECOND
    take_in(store, feed_source(store, "feed-a", "A"), gone, now=at)
    assert let_out(store, make_outlet(partner, choosy, at), make_outlet(siem, now=at)).withdrawn == 1


def test_a_score_that_is_made_to_rise_and_fall(store: Store, partner: Collection, siem: Collection) -> None:
    """What was withdrawn because its score fell comes back after a day at the earliest, however often others say it."""
    choosy = with_terms(AGREED, outbound=Outbound("amber", min_score=80))
    find(store, seen=NOW)
    let_out(store, make_outlet(partner, choosy), make_outlet(siem))
    released = []
    for hour in range(24 * 2 + 4):
        at = NOW + hour * DAY // 24 + SECOND
        number = hour // 2
        # One more indicator is said every second hour, and taken back in the next; the last one stays.
        said = make_indicator_json(number, confidence=95, modified=NOW + hour, revoked=hour % 2 == 1)
        if hour < 24 * 2:
            take_in(store, feed_source(store, "feed-b", "A"), said, now=at)
        elif hour == 24 * 2:
            take_in(store, feed_source(store, "feed-c", "A"), make_indicator_json(99, confidence=95), now=at)
        rescore_due(store, at)
        if let_out(store, make_outlet(partner, choosy, at), make_outlet(siem, now=at)).released["to-north"]:
            released.append(hour)
    assert released[:2] == [0, 26]
    assert len(released) <= 3


def test_what_stays_away_for_a_day(store: Store, partner: Collection, siem: Collection) -> None:
    """What was withdrawn as its score fell comes back a day later where it has risen since, by time alone."""
    choosy = with_terms(AGREED, outbound=Outbound("amber", min_score=80))
    find(store, seen=NOW)
    standing_at = []
    for number, revoked, at in ((1, False, NOW), (1, True, NOW + SECOND), (2, False, NOW + 2 * SECOND)):
        said = make_indicator_json(number, confidence=95, modified=at, revoked=revoked)
        take_in(store, feed_source(store, "feed-a", "A"), said, now=at)
        let_out(store, make_outlet(partner, choosy, at), make_outlet(siem, now=at))
        standing_at.append(len(held_ids(store, partner)))
    for at in (NOW + DAY, NOW + DAY + 2 * SECOND):
        rescore_due(store, at)
        let_out(store, make_outlet(partner, choosy, at), make_outlet(siem, now=at))
        standing_at.append(len(held_ids(store, partner)))
    assert standing_at == [1, 0, 0, 0, 1]


@pytest.mark.parametrize("confidence", [70, 60])
def test_a_score_that_falls_by_time_alone(store: Store, partner: Collection, siem: Collection, confidence: int) -> None:
    """What has decayed below the score that a partner takes is withdrawn then, though its band is still the same."""
    choosy = with_terms(AGREED, outbound=Outbound("amber", min_score=50))
    find(store, seen=NOW, confidence=confidence)
    let_out(store, make_outlet(partner, choosy), make_outlet(siem))
    for hour in range(24 * 40):
        at = NOW + hour * DAY // 24
        rescore_due(store, at)
        if let_out(store, make_outlet(partner, choosy, at), make_outlet(siem, now=at)).withdrawn:
            break
    assert held_ids(store, partner) == set()
    assert held_ids(store, siem) == {siem_indicator_id(US, BAD)}
    assert known(store.conn, store.key_of, [BAD])[BAD].score == 49


def test_sightings_go_back_to_who_told_us(store: Store, partner: Collection, internal: Collection) -> None:
    """A sighting goes to the partner whose indicator it is about, and to others only where passing on is agreed."""
    other = make_collection(store, CollectionKind.PARTNER, "to-south", "south")
    take_in(store, feed_source(store, "north-feed"), make_indicator_json(7, tlp=Tlp.GREEN))
    find(store, role=Role.KNOWN_INDICATOR)
    north = with_terms(AGREED, inbound=Inbound(sources=("north-feed",)))
    south = make_agreement("south")
    both = {"north": north, "south": south}
    outlets = [make_outlet(partner, north, agreements=both), make_outlet(other, south, agreements=both)]
    report = let_out(store, *outlets, make_outlet(internal))
    assert report.released == {"to-north": 1, "to-south": 0, "internal": 1}
    (seen,) = held_ids(store, partner, "sighting")
    assert standing(store, partner)[seen]["sighting_of_ref"] == indicator_uuid(7)
    generous = {**both, "north": with_terms(north, inbound=Inbound(sources=("north-feed",), onward_max_tlp="green"))}
    report = let_out(store, make_outlet(other, south, agreements=generous))
    assert report.released == {"to-south": 1}


def test_a_dry_run_changes_nothing(store: Store, partner: Collection, siem: Collection) -> None:
    """A dry run says what a run would do, to the letter, and leaves every row of every table as it was."""
    values = [ip(f"45.1.{n // 250}.{n % 250}") for n in range(BATCH + 5)]
    find(store, *values)
    take_in(store, feed_source(store), make_indicator_json(1, ip("10.0.0.1")), make_indicator_json(2))
    for agreement, at in ((AGREED, NOW), (None, NOW + DAY)):
        outlets = make_outlet(partner, agreement, at), make_outlet(siem, now=at)
        before = dump(store.conn)
        told = let_out(store, *outlets, dry_run=True)
        assert dump(store.conn) == before
        assert told == let_out(store, *outlets)
        assert dump(store.conn) != before


# --- what goes wrong on the way ----------------------------------------------------------------------


class Stumbling(Store):
    """A store whose transactions fail at a chosen one: before anything is written, or just before the commit."""

    fail_at: int = -1
    late: bool = False

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        self.fail_at -= 1
        if self.fail_at == 0 and not self.late:
            raise ZeroDivisionError
        with super().writing() as conn:
            yield conn
            if self.fail_at == 0:
                raise ZeroDivisionError


@pytest.mark.parametrize("late", [False, True])
def test_a_run_that_breaks_off_is_continued(tmp_path: Path, late: bool) -> None:
    """Wherever a run breaks off, the next goes on behind the last whole batch, and in the end nothing stands twice."""
    values = [ip(f"45.1.{n // 250}.{n % 250}") for n in range(BATCH + 5)]
    store = make_store(tmp_path, shape=Stumbling)
    assert isinstance(store, Stumbling)
    partner = make_collection(store, CollectionKind.PARTNER, "to-north", "north")
    siem = make_collection(store, CollectionKind.SIEM)
    find(store, *values)
    store.late = late
    released = withdrawn = 0
    for agreement, at in ((AGREED, NOW), (None, NOW + DAY), (AGREED, NOW + 2 * DAY)):
        for attempt in range(1, 6):
            store.fail_at = attempt
            try:
                report = let_out(store, make_outlet(partner, agreement, at), make_outlet(siem, now=at))
            except ZeroDivisionError:
                check_lightly(store, partner)
                check_lightly(store, siem)
            else:
                released += report.released["to-north"]
                withdrawn += report.withdrawn
        store.fail_at = -1
        let_out(store, make_outlet(partner, agreement, at), make_outlet(siem, now=at))
        check_lightly(store, partner)
    assert {one["pattern"] for one in indicators(store, siem)} == set(map(pattern_of, values))
    entries = served(store, partner)
    assert len(entries) == 1 + 3 * len(values)
    assert sum(one.revoked for one in entries) == len(values)
    assert len(served(store, siem)) == 1 + len(values)
    store.close()


def check_lightly(store: Store, collection: Collection) -> None:
    """Checks that entries are gapless and no two alike, and that every release has its entry."""
    rows = store.conn.execute(
        "SELECT id, object_id, version FROM entry WHERE id >> 40 = ? ORDER BY id", (collection.number,)
    ).fetchall()
    assert [row[0] & (1 << 40) - 1 for row in rows] == list(range(1, len(rows) + 1))
    assert len({row[1:] for row in rows}) == len(rows)
    held = {row[1:] for row in rows}
    for object_id, version, life in store.conn.execute(
        "SELECT object_id, version, life FROM release WHERE collection = ? AND version > 0", (collection.number,)
    ):
        assert (reborn_id(object_id, life), version) in held


def test_a_clock_that_was_put_back(store: Store, partner: Collection, siem: Collection) -> None:
    """Where our clock was put back between two runs, withdrawals still come later than what they withdraw."""
    find(store, seen=NOW - 9 * DAY)
    let_out(store, make_outlet(partner, AGREED), make_outlet(siem))
    before = NOW - 5 * DAY
    for agreement, floor, wanted in ((None, 90, 2), (AGREED, 1, 0), (None, 90, 2)):
        at = before + wanted
        report = let_out(store, make_outlet(partner, agreement, at), make_outlet(siem, now=at, siem_floor=floor))
        assert report.withdrawn == wanted
        check(store, partner)
        check(store, siem)


def test_what_somebody_deleted_is_not_withdrawn(store: Store, partner: Collection) -> None:
    """Where the entries are gone there is nothing to withdraw: the decision is kept, and nothing fails for ever."""
    find(store)
    let_out(store, make_outlet(partner, AGREED))
    with store.writing() as conn:
        delete_entries(conn, partner, [row[0] for row in conn.execute("SELECT id FROM entry")])
    report = let_out(store, make_outlet(partner, None))
    assert (report.withdrawn, report.refused) == (0, 1)
    ((_, release),) = decisions_on(store.conn, indicator_id(US, BAD))
    assert not release.served
    assert let_out(store, make_outlet(partner, AGREED, NOW + DAY)).released == {"to-north": 1}
    assert held_ids(store, partner) != {indicator_id(US, BAD)}


def test_only_cleared_objects_get_in() -> None:
    """Entries are made in three places only: of what the gate cleared, and of posts to an exchange or an exercise."""
    source = Path(__file__).parents[2] / "src" / "threatshare"
    makers = set()
    for file in source.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "NewEntry":
                makers.add(str(file.relative_to(source)))
    assert makers == {"share/outlets.py", "share/exchange.py", "share/exercise_posts.py"}
