"""Claims on observables: what every source says of a value is merged and scored as it comes in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders import (
    BAD,
    BEGUN,
    DAY,
    NOW,
    SECOND,
    US,
    domain,
    dump,
    feed_source,
    identity_uuid,
    ip,
    make_indicator,
    make_indicator_json,
    make_store,
    nothing_capped,
    take_in,
)
from threatshare.model import Claim, Evidence, Kind, Micros, Observable, Tlp
from threatshare.stix.claims import UNKNOWN_MARKING
from threatshare.store.embedded import Store
from threatshare.store.lookups import OWN_ASSET, claims_about, known
from threatshare.store.sources import Source
from threatshare.triage.score import score


def scores(store: Store) -> dict[str, int]:
    """Gives the stored score of every value."""
    return dict(store.conn.execute("SELECT value, score FROM observable"))


def claimed(store: Store) -> dict[str, list[tuple[str, int]]]:
    """Gives by value (source, flags) of every claim."""
    found: dict[str, list[tuple[str, int]]] = {}
    for value, source, flags in store.conn.execute(
        "SELECT value, source.name, flags FROM claim JOIN observable ON observable.number = claim.observable"
        " JOIN source ON source.number = claim.source ORDER BY value, source.name, flags"
    ):
        found.setdefault(value, []).append((source, flags))
    return found


def held(store: Store, observable: Observable) -> list[Claim]:
    """Gives the claims about a value as the store holds them."""
    keys = [one.number for one in known(store.conn, store.key_of, [observable]).values()]
    return [one.claim for key in keys for one in claims_about(store.conn, keys)[key]]


def test_a_claim_says_what_its_object_says(store: Store) -> None:
    """A claim carries origin, confidence, times, marking and flags of the current version of its object."""
    source = feed_source(store, "feed-a", "C", Tlp.AMBER)
    raw = make_indicator_json(
        1, by=identity_uuid(5), confidence=40, valid_until=NOW + DAY, tlp=Tlp.RED, indicator_types=["benign"]
    )
    take_in(store, source, raw, make_indicator_json(2))
    first, second = sorted(held(store, BAD), key=lambda one: one.origin, reverse=True)
    assert (first.source, first.origin, first.reliability) == ("feed-a", identity_uuid(5), "C")
    assert (first.confidence, first.observed, first.valid_from) == (40, NOW - DAY, BEGUN)
    assert (first.valid_until, first.marking.tlp, first.revoked, first.benign) == (NOW + DAY, Tlp.RED, False, True)
    assert (second.origin, second.confidence, second.valid_until) == ("feed-a", None, None)
    assert (second.marking.tlp, second.benign) == (Tlp.AMBER, False)


def test_an_unknown_marking_is_above_every_ceiling(store: Store, source: Source) -> None:
    """An object that bears a marking nobody here can read has no TLP, and says so."""
    take_in(store, source, make_indicator_json(1, tlp="marking-definition--00000000-0000-4000-8000-000000000009"))
    assert store.conn.execute("SELECT tlp FROM claim").fetchall() == [(UNKNOWN_MARKING,)]
    assert held(store, BAD)[0].marking.tlp is None
    assert held(store, BAD)[0].marking.unknown


@pytest.mark.parametrize(
    ("pattern", "values"),
    [
        ("[ipv4-addr:value = '45.0.0.1' OR ipv4-addr:value = '45.0.0.2']", ["45.0.0.1", "45.0.0.2"]),
        ("[domain-name:value IN ('A.Example.Net', 'b.example.net')]", ["a.example.net", "b.example.net"]),
        ("[file:name = 'a'  AND file:size = 7]", ["[file:name = 'a' AND file:size = 7]"]),
    ],
)
def test_one_claim_an_observable(store: Store, source: Source, pattern: str, values: list[str]) -> None:
    """A pattern of alternatives is one claim about each; any other is one claim about itself."""
    take_in(store, source, make_indicator_json(1, pattern))
    assert claimed(store) == {value: [("feed-a", 0)] for value in values}


def test_a_revoked_version_withdraws_the_claim(store: Store, source: Source) -> None:
    """A revoked version leaves a claim that weighs nothing; the score falls to zero at once."""
    take_in(store, source, make_indicator_json(1, confidence=90))
    assert scores(store)[BAD.value] > 0
    tally, _ = take_in(store, source, make_indicator_json(1, modified=NOW, revoked=True))
    assert (tally.withdrawn, tally.changed, tally.new) == (1, 0, 0)
    assert claimed(store) == {BAD.value: [("feed-a", 1)]}
    assert store.conn.execute("SELECT score, next_change FROM observable").fetchall() == [(0, None)]


def test_revoked_without_validity(store: Store, source: Source) -> None:
    """A withdrawal counts also where it ends the validity before its beginning, as some producers write it."""
    take_in(store, source, make_indicator_json(1, valid_from=NOW + 9 * DAY))
    raw = make_indicator_json(1, modified=NOW, valid_from=NOW + 9 * DAY, valid_until=NOW, revoked=True)
    tally, _ = take_in(store, source, raw)
    assert (tally.withdrawn, tally.rejected) == (1, 0)
    assert held(store, BAD)[0].revoked


def test_what_was_revoked_stays_revoked(store: Store, source: Source) -> None:
    """A revoked object gets no new version: a later one is kept, and claims nothing, wherever it goes (§3.2)."""
    take_in(store, source, make_indicator_json(1, confidence=90))
    take_in(store, source, make_indicator_json(1, modified=NOW - 3 * SECOND, revoked=True))
    for number, about in enumerate((BAD, ip("45.0.0.1"), ip("45.0.0.1"), BAD)):
        tally, _ = take_in(store, source, make_indicator_json(1, about, modified=NOW - 2 * SECOND + number))
        assert tally.changed == 1
        assert claimed(store) == {about.value: [("feed-a", 1)]}
        assert set(scores(store).values()) == {0}
    take_in(store, feed_source(store, "feed-b"), make_indicator_json(1, confidence=90))
    assert claimed(store) == {BAD.value: [("feed-a", 1), ("feed-b", 0)]}


def test_a_changed_pattern_moves_the_claim(store: Store, source: Source) -> None:
    """A version with another pattern takes its claim from the old observable and brings it to the new one."""
    take_in(store, source, make_indicator_json(1, ip("45.0.0.1"), confidence=80))
    before = scores(store)["45.0.0.1"]
    take_in(store, source, make_indicator_json(1, ip("45.0.0.2"), modified=NOW, confidence=80))
    assert claimed(store) == {"45.0.0.2": [("feed-a", 0)]}
    assert scores(store)["45.0.0.1"] == 0 < before <= scores(store)["45.0.0.2"]


def test_a_pattern_that_moves_twice_in_one_batch(store: Store, source: Source) -> None:
    """Versions in between, that come in one batch with the last, leave no claim behind."""
    take_in(store, source, make_indicator_json(1, ip("45.0.0.1")))
    moved = [make_indicator_json(1, ip(f"45.0.0.{n}"), modified=NOW + n) for n in (2, 3, 4)]
    take_in(store, source, *moved)
    assert claimed(store) == {"45.0.0.4": [("feed-a", 0)]}
    assert {value for value, one in scores(store).items() if one} == {"45.0.0.4"}


def test_a_pattern_that_loses_one_of_its_values(store: Store, source: Source) -> None:
    """Of several values, only those that a new version still names keep the claim."""
    either = "[ipv4-addr:value = '45.0.0.1' OR ipv4-addr:value = '45.0.0.2']"
    take_in(store, source, make_indicator_json(1, either), make_indicator_json(2, ip("45.0.0.1")))
    take_in(store, source, make_indicator_json(1, ip("45.0.0.2"), modified=NOW))
    assert claimed(store) == {"45.0.0.1": [("feed-a", 0)], "45.0.0.2": [("feed-a", 0)]}
    take_in(store, source, make_indicator_json(1, "[file:size = 7]", modified=NOW + 1))
    assert claimed(store) == {"45.0.0.1": [("feed-a", 0)], "[file:size = 7]": [("feed-a", 0)]}


def test_another_pattern_language_takes_the_claim_away(store: Store, source: Source) -> None:
    """A version in a pattern language that we do not read claims nothing, and one before it leaves nothing behind."""
    told = make_indicator(1, modified=NOW)
    take_in(store, source, make_indicator_json(1))
    take_in(store, source, json.dumps(told | {"pattern_type": "sigma"}).encode())
    assert claimed(store) == {}
    assert scores(store) == {BAD.value: 0}


def test_a_foreign_language_that_reads_like_ours_makes_no_observable(store: Store, source: Source) -> None:
    """What a version in another language says is never taken for a claim, nor for one to take back."""
    told = make_indicator(1, ip("45.0.0.9"), pattern_type="pcre")
    take_in(store, source, json.dumps(told).encode())
    take_in(store, source, make_indicator_json(1, ip("45.0.0.2"), modified=NOW))
    assert scores(store).keys() == {"45.0.0.2"}


def test_other_objects_claim_nothing(store: Store, source: Source) -> None:
    """Objects that are no indicators are kept and claim nothing; revoked ones are counted as withdrawn."""
    malware = {"type": "malware", "id": "malware--00000000-0000-4000-8000-000000000001", "is_family": False}
    malware |= {"spec_version": "2.1", "created": "2026-01-01T00:00:00Z", "modified": "2026-01-01T00:00:00Z"}
    tally, _ = take_in(store, source, json.dumps(malware).encode())
    assert (tally.new, claimed(store)) == (1, {})
    gone = malware | {"modified": "2026-01-02T00:00:00Z", "revoked": True}
    assert take_in(store, source, json.dumps(gone).encode())[0].withdrawn == 1


def test_what_pretends_to_be_ours_is_refused(store: Store, source: Source) -> None:
    """An object that names us as its creator, and our Identity itself, are never taken from outside."""
    identity = {"type": "identity", "id": US, "created": "2026-01-01T00:00:00Z", "modified": "2026-01-01T00:00:00Z"}
    tally, rejects = take_in(store, source, make_indicator_json(1, by=US), json.dumps(identity).encode())
    assert (tally.rejected, tally.new) == (2, 0)
    assert all("our own" in one.reason for one in rejects)
    assert store.conn.execute("SELECT count(*) FROM version").fetchone() == (0,)


@pytest.mark.parametrize(("ahead", "taken"), [(300, 1), (301, 0), (10**9, 0)])
def test_objects_from_the_future(store: Store, source: Source, ahead: int, taken: int) -> None:
    """An object modified more than five minutes ahead of our clock is refused, so that none is the latest for ever."""
    tally, rejects = take_in(store, source, make_indicator_json(1, modified=NOW + ahead * SECOND))
    assert (tally.new, tally.rejected) == (taken, 1 - taken)
    assert all("future" in one.reason for one in rejects)


@pytest.mark.parametrize(
    "broken",
    [
        b"\xff\xfe",
        b"[" * 500,
        b'{"type":"indicator","id":"indicator--00000000-0000-4000-8000-000000000500"}',
        make_indicator_json(500).replace(b"500", b"50G"),
        make_indicator_json(500, "[nonsense"),
        make_indicator_json(500, "[ipv4-addr:value = '45.0.0.999']"),
        make_indicator_json(500, confidence=101),
        make_indicator_json(500, modified=BEGUN - 1),
        make_indicator_json(500, valid_until=BEGUN),
        make_indicator_json(500).replace(b"2026-02-28", b"2026-02-30"),
        make_indicator_json(500, name="a\0b"),
        make_indicator_json(500, name="x").replace(b'"x"', b'"\\ud800"'),
        make_indicator_json(500, modified=NOW + DAY),
        make_indicator_json(500, by=US),
        make_indicator_json(500, "[" + "(" * 300 + "a:b = 'c'" + ")" * 300 + "]"),
    ],
    ids=lambda raw: raw[:40].decode("latin-1") if isinstance(raw, bytes) else "",
)
def test_one_bad_object_of_a_thousand(store: Store, source: Source, broken: bytes) -> None:
    """One bad object in a thousand is kept aside with its reason, and the other 999 are stored."""
    good = [make_indicator_json(number, ip(f"45.0.{number // 250}.{number % 250}")) for number in range(999)]
    good[500:500] = [broken.replace(b"000000000500", b"000000009999")]
    tally, rejects = take_in(store, source, *good)
    assert (tally.objects, tally.new, tally.rejected) == (1000, 999, 1)
    assert rejects[0].reason
    kept = store.conn.execute("SELECT place, reason, text FROM reject").fetchall()
    assert kept == [(rejects[0].place, rejects[0].reason.removeprefix(f"{rejects[0].place}: "), rejects[0].text)]
    assert kept[0][2].encode()[:20] in (broken[:20], broken[:20].decode(errors="replace").encode()[:20])
    assert store.conn.execute("SELECT count(*) FROM version").fetchone() == (999,)
    assert store.conn.execute("SELECT count(*) FROM claim").fetchone() == (999,)


def test_copies_of_one_origin_count_once(store: Store) -> None:
    """What two sources copied from one creator scores as the better of the two; other creators add to it."""
    of = {name: feed_source(store, name, letter) for name, letter in (("feed-a", "B"), ("feed-b", "C"))}
    take_in(store, of["feed-a"], make_indicator_json(1, by=identity_uuid(1), confidence=85, modified=NOW))
    alone = scores(store)[BAD.value]
    take_in(store, of["feed-b"], make_indicator_json(1, by=identity_uuid(1), confidence=70, modified=NOW))
    take_in(store, of["feed-b"], make_indicator_json(2, by=identity_uuid(1), confidence=70, modified=NOW))
    assert scores(store)[BAD.value] == alone == 64
    take_in(store, of["feed-b"], make_indicator_json(3, by=identity_uuid(2), confidence=70, modified=NOW))
    assert scores(store)[BAD.value] == 76


def test_feeds_of_one_lineage_count_once(store: Store) -> None:
    """Whatever feeds of one lineage say counts once, whoever they name as creators."""
    one, other = (feed_source(store, name, "B", lineage="an aggregate") for name in ("feed-a", "feed-b"))
    take_in(store, one, make_indicator_json(1, by=identity_uuid(1), confidence=85, modified=NOW))
    take_in(store, other, make_indicator_json(2, by=identity_uuid(2), confidence=85, modified=NOW))
    assert scores(store)[BAD.value] == 64


def test_a_source_without_a_named_creator_is_its_own_origin(store: Store) -> None:
    """Objects that name no creator corroborate each other only across sources."""
    one, other = feed_source(store, "feed-a", "C"), feed_source(store, "feed-b", "C")
    take_in(store, one, *(make_indicator_json(n, confidence=70, modified=NOW) for n in range(3)))
    assert scores(store)[BAD.value] == 35
    take_in(store, other, make_indicator_json(1, confidence=70, modified=NOW))
    assert scores(store)[BAD.value] == 58


@pytest.mark.parametrize(("cap", "wanted"), [(None, 95), ("a list", 20), (OWN_ASSET, 0)])
def test_caps(tmp_path: Path, cap: str | None, wanted: int) -> None:
    """What is ours scores nothing and what is known benign little, from the first claim on and with every later one."""
    store = make_store(tmp_path, lambda one: cap if one == BAD else None)
    source = feed_source(store, "feed-a", "A")
    for number in (1, 2):
        take_in(store, source, make_indicator_json(number, confidence=100, modified=NOW))
        take_in(store, source, make_indicator_json(10 + number, ip("45.0.0.1"), confidence=100, modified=NOW))
        assert scores(store) == {BAD.value: wanted, "45.0.0.1": 95}
    store.close()


def test_the_stored_score_is_the_score(store: Store, source: Source) -> None:
    """Score and next change are those of ``triage.score`` over all claims at the time of the last write."""
    at: Micros = NOW
    for number in range(6):
        at += DAY
        raw = make_indicator_json(
            number % 4,
            BAD if number % 2 else domain("bad.example.net"),
            modified=at - number * SECOND,
            confidence=30 + 10 * number,
            by=identity_uuid(number % 3),
            valid_until=None if number % 2 else at + 9 * DAY,
        )
        take_in(store, source, raw, now=at)
        for observable in (BAD, domain("bad.example.net")):
            row = store.conn.execute(
                "SELECT score, next_change FROM observable WHERE value = ?", (observable.value,)
            ).fetchone()
            if row is not None and (number % 2 == 0) == (observable.kind is Kind.DOMAIN):
                wanted = score(observable.kind, held(store, observable), Evidence(), at)
                assert row == (wanted.value, wanted.next_change)


def test_reliability_of_every_source_counts(store: Store) -> None:
    """A score takes each claim with the reliability that its own source has now."""
    poor, good = feed_source(store, "feed-a", "E"), feed_source(store, "feed-b", "A")
    take_in(store, poor, make_indicator_json(1, confidence=90, modified=NOW))
    assert scores(store)[BAD.value] == 0
    take_in(store, good, make_indicator_json(1, confidence=60, modified=NOW))
    assert scores(store)[BAD.value] == 60
    feed_source(store, "feed-a", "A")
    take_in(store, good, make_indicator_json(1, confidence=60, modified=NOW + 1))
    assert scores(store)[BAD.value] == 96


# --- two values of one key ---------------------------------------------------------------------------

A, B, C = ip("45.0.0.1"), ip("45.0.0.2"), ip("45.0.0.3")


@pytest.fixture
def narrow(tmp_path: Path) -> Iterator[Store]:
    """A store in which A and B share a key."""
    made = make_store(tmp_path, nothing_capped)
    real, texts = made.key_of, {f"{one.kind}|{one.value}".encode() for one in (A, B)}
    made.key_of = lambda text: 42 if text in texts else real(text)
    yield made
    made.close()


def either(*values: Observable) -> str:
    return "[" + " OR ".join(f"ipv4-addr:value = '{one.value}'" for one in values) + "]"


def test_a_taken_key_in_a_later_batch(narrow: Store) -> None:
    """A value whose key another holds is refused with its reason; its object, and the other value, are untouched."""
    source = feed_source(narrow)
    take_in(narrow, source, make_indicator_json(1, A, confidence=80))
    before = dump(narrow.conn, "reject", "version", "object")
    tally, rejects = take_in(narrow, source, make_indicator_json(2, B, confidence=80))
    assert (tally.new, tally.rejected) == (1, 1)
    assert (rejects[0].place, "key" in rejects[0].reason) == (B.value, True)
    assert dump(narrow.conn, "reject", "version", "object") == before
    assert known(narrow.conn, narrow.key_of, [A, B]).keys() == {A}


def test_a_taken_key_within_a_batch(narrow: Store) -> None:
    """Of two values of one key in one batch the first is taken and the second refused."""
    source = feed_source(narrow)
    batch = [make_indicator_json(1, A), make_indicator_json(2, B), make_indicator_json(3, C)]
    tally, rejects = take_in(narrow, source, *batch)
    assert (tally.new, [one.place for one in rejects]) == (3, [B.value])
    assert claimed(narrow) == {A.value: [("feed-a", 0)], C.value: [("feed-a", 0)]}


@pytest.mark.parametrize("first", [A, B])
def test_a_pattern_of_both(narrow: Store, first: Observable) -> None:
    """A pattern that names both claims the one that the store knows, whatever becomes of it later."""
    source = feed_source(narrow)
    second = B if first == A else A
    take_in(narrow, source, make_indicator_json(9, first))
    tally, rejects = take_in(narrow, source, make_indicator_json(1, either(A, B, C)))
    assert (tally.new, [one.place for one in rejects]) == (1, [second.value])
    both = {first.value: [("feed-a", 0)] * 2, C.value: [("feed-a", 0)]}
    assert claimed(narrow) == both
    steps: list[tuple[tuple[Observable, ...], dict[str, list[tuple[str, int]]]]] = [
        ((first, C), both),
        ((second, first, C), both),
        ((second, C), {first.value: [("feed-a", 0)], C.value: [("feed-a", 0)]}),
        ((C,), {first.value: [("feed-a", 0)], C.value: [("feed-a", 0)]}),
        ((first,), {first.value: [("feed-a", 0)] * 2}),
        ((second,), {first.value: [("feed-a", 0)]}),
    ]
    for number, (values, wanted) in enumerate(steps):
        take_in(narrow, source, make_indicator_json(1, either(*values), modified=NOW + number))
        assert claimed(narrow) == wanted
        assert narrow.conn.execute("SELECT value FROM observable WHERE key = 42").fetchall() == [(first.value,)]


def test_a_claim_that_moves_onto_a_taken_key(narrow: Store) -> None:
    """A claim that moves from one value to another of the same key leaves the first and is refused at the second."""
    source = feed_source(narrow)
    take_in(narrow, source, make_indicator_json(1, A, confidence=80))
    tally, rejects = take_in(narrow, source, make_indicator_json(1, B, modified=NOW, confidence=80))
    assert (tally.changed, [one.place for one in rejects]) == (1, [B.value])
    assert claimed(narrow) == {}
    assert scores(narrow) == {A.value: 0}
