"""What partners remark on our indicators: sightings move their own word, opinions the odds, nothing else anything."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import permutations, product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import (
    BAD,
    DAY,
    NOW,
    SECOND,
    US,
    feed_source,
    find,
    held_ids,
    indicators,
    let_out,
    make_agreement,
    make_collection,
    make_finding,
    make_indicator_json,
    make_outlet,
    make_store,
    take_findings,
    take_in,
)
from threatshare.model import Collection, CollectionKind, Evidence, Kind, Micros, Opinion, Role
from threatshare.share.views import ids_of
from threatshare.stix.timestamps import write_timestamp
from threatshare.store.accounts import add_account
from threatshare.store.collections import collection_by_alias
from threatshare.store.embedded import Store
from threatshare.store.entries import NewEntry, append_entries
from threatshare.store.lookups import claims_about, known
from threatshare.store.releases import own_changes, queue_length
from threatshare.triage.evidence import OPINIONS, RELIABILITY, odds_factor
from threatshare.triage.score import score

NORTH = "identity--00000000-0000-4000-8000-000000000abc"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store with one indicator of ours, published to a partner and to our own tools."""
    made = make_store(tmp_path)
    find(made)
    to_north = make_outlet(make_collection(made, CollectionKind.PARTNER, "to-north", "north"), make_agreement())
    report = let_out(made, to_north, make_outlet(make_collection(made, CollectionKind.SIEM)))
    assert report.released == {"to-north": 1, "siem": 1}
    yield made
    made.close()


def ours() -> list[str]:
    return ids_of([], US, BAD)


def remark(number: int, kind: str, at: Micros = NOW, **more: Any) -> bytes:
    made = {
        "type": kind,
        "spec_version": "2.1",
        "id": f"{kind}--00000000-0000-4000-8000-{number:012d}",
        "created_by_ref": NORTH,
        "created": write_timestamp(NOW - DAY),
        "modified": write_timestamp(at),
    }
    return json.dumps(made | more).encode()


def seen(number: int = 1, of: str | None = None, **more: Any) -> bytes:
    return remark(number, "sighting", sighting_of_ref=of or ours()[0], **more)


def thought(word: str, number: int = 1, of: str | None = None, **more: Any) -> bytes:
    return remark(number, "opinion", opinion=word, object_refs=[of or ours()[0]], **more)


def score_of(store: Store) -> int:
    """Gives the score as it was written, which must be what it is when reckoned anew, with its explanation."""
    (entry,) = known(store.conn, store.key_of, [BAD]).values()
    said = [one.claim for one in claims_about(store.conn, [entry.number]).get(entry.number, ())]
    anew = score(entry.observable.kind, said, entry.evidence, NOW)
    assert anew.value == entry.score, anew.terms
    return entry.score


def expected(before: int, factor: float) -> int:
    odds = before / (100 - before) * factor
    return round(100 * odds / (1 + odds))


def test_a_sighting_is_a_word_of_its_source(store: Store) -> None:
    """A partner that saw our indicator says so of its value, with its own reliability, and counts once."""
    alone, north = score_of(store), feed_source(store, "north", "B")
    take_in(store, north, seen(1, confidence=80))
    once = score_of(store)
    assert once == round(100 - (100 - alone) * (1 - 0.8 * 0.75))
    take_in(store, north, seen(2, confidence=80), seen(3, confidence=60))
    assert score_of(store) == once
    take_in(store, feed_source(store, "south", "E"), seen(4))
    assert score_of(store) == once, "who cannot be relied on moves nothing"


@pytest.mark.parametrize(
    "raw",
    [
        seen(1, of="indicator--00000000-0000-4000-8000-00000000dead"),
        seen(1, count=0),
        thought("agree", of="indicator--00000000-0000-4000-8000-00000000dead"),
        thought("neutral"),
    ],
)
def test_what_moves_nothing_is_taken_all_the_same(store: Store, raw: bytes) -> None:
    """A remark on what we do not have, or that says nothing, has the same outcome as any: nobody can probe with it."""
    before = score_of(store)
    tally, rejects = take_in(store, feed_source(store, "north", "A"), raw)
    assert (tally.new, rejects) == (1, [])
    assert score_of(store) == before


def test_a_sighting_taken_back_counts_no_longer(store: Store) -> None:
    """What a partner revokes, it has not said."""
    before, north = score_of(store), feed_source(store, "north", "A")
    take_in(store, north, seen(1))
    assert score_of(store) > before
    take_in(store, north, seen(1, at=NOW + SECOND, revoked=True))
    assert score_of(store) == before


@pytest.mark.parametrize(("word", "letter"), list(product(OPINIONS, RELIABILITY)))
def test_an_opinion_acts_on_the_odds(store: Store, word: str, letter: str) -> None:
    """§3.5: the odds are multiplied by the word's factor to the power of its author's reliability."""
    before = score_of(store)
    take_in(store, feed_source(store, "north", letter), thought(word))
    assert abs(score_of(store) - expected(before, OPINIONS[word] ** RELIABILITY[letter])) <= 1


def test_the_latest_word_of_each_source_counts(store: Store) -> None:
    """A source has one opinion of a value, its latest; several sources have several; taken back, none."""
    before, north, south = score_of(store), feed_source(store, "north", "A"), feed_source(store, "south", "A")
    take_in(store, north, thought("strongly-agree"), thought("disagree", 2, at=NOW + SECOND))
    assert score_of(store) == expected(before, 0.5)
    take_in(store, south, thought("disagree"))
    assert score_of(store) == expected(before, 0.25)
    take_in(store, north, thought("disagree", 2, at=NOW + 2 * SECOND, revoked=True))
    assert score_of(store) == expected(before, 0.5)


def test_agreement_by_ais_is_no_confirmation(store: Store) -> None:
    """AIS says `agree` of what nobody has confirmed; its other words count as anybody's."""
    before, ais = score_of(store), feed_source(store, "cisa", "A", lineage="ais")
    take_in(store, ais, thought("agree"))
    assert score_of(store) == before
    take_in(store, ais, thought("strongly-agree", at=NOW + SECOND))
    assert score_of(store) == expected(before, 3)


def test_our_tools_are_told_of_a_new_score(store: Store) -> None:
    """An opinion that moves the band makes a new version in the collection of our own tools."""
    siem = make_collection(store, CollectionKind.SIEM, "late")
    let_out(store, make_outlet(siem))
    (before,) = indicators(store, siem)
    for number, name in enumerate(("north", "south", "east", "west")):
        take_in(store, feed_source(store, name, "A"), thought("strongly-disagree", number))
    assert queue_length(store.conn)
    let_out(store, make_outlet(siem, now=NOW + DAY))
    assert [one["confidence"] for one in indicators(store, siem)] != [before["confidence"]]


@pytest.mark.parametrize("raw", [thought("perhaps"), remark(1, "opinion", opinion="agree"), remark(1, "sighting")])
def test_a_remark_that_cannot_be_read_is_kept_aside(store: Store, raw: bytes) -> None:
    """An opinion outside the scale, or without what it is on, is refused with its reason."""
    before = score_of(store)
    tally, (reject,) = take_in(store, feed_source(store, "north", "A"), raw)
    assert (tally.new, reject.place) == (0, json.loads(raw)["id"])
    assert score_of(store) == before


def test_nobody_argues_with_what_it_was_not_told(store: Store) -> None:
    """What only our own tools are told is remarked on by accounts that may read it; an id that is guessed is none."""
    (inside,) = held_ids(store, collection_of(store, "siem"))
    before, north = score_of(store), feed_source(store, "north", "A")
    take_in(store, north, thought("disagree", of=inside), seen(2, of=inside))
    assert score_of(store) == before
    with store.writing() as conn:
        add_account(conn, "north", ["siem"], [], NOW)
    take_in(store, north, thought("disagree", 3, of=inside))
    assert score_of(store) == expected(before, 0.5)


def collection_of(store: Store, alias: str) -> Collection:
    found = collection_by_alias(store.conn, alias)
    assert found is not None
    return found


@pytest.mark.parametrize("kind", [CollectionKind.EXCHANGE, CollectionKind.EXERCISE])
def test_nobody_remarks_on_what_others_put_in(store: Store, kind: CollectionKind) -> None:
    """What members post to an exchange, or what belongs to an exercise, is none of ours to be remarked on."""
    planted = json.loads(make_indicator_json(7, BAD))
    collection = make_collection(store, kind)
    owner = "member" if kind is CollectionKind.EXCHANGE else ""
    with store.writing() as conn:
        body = json.dumps(planted).encode()
        append_entries(conn, collection, [NewEntry(planted["id"], NOW, "indicator", "2.1", body, owner)], NOW)
    before = score_of(store)
    take_in(store, feed_source(store, "north", "A"), seen(1, of=planted["id"]), thought("agree", of=planted["id"]))
    assert score_of(store) == before


@given(
    st.lists(st.builds(Opinion, st.text(), st.sampled_from(list(OPINIONS)), st.sampled_from("ABCDEF"), st.booleans()))
)
def test_no_order_of_opinions_matters(opinions: list[Opinion]) -> None:
    """However they came, opinions have the same effect, within what each can do at most."""
    orders = [odds_factor(Evidence(opinions=tuple(one))) for one in list(permutations(opinions[:4]))[:24]]
    assert max(orders) - min(orders) <= 1e-9 * max(orders)
    assert 0.2 ** len(opinions[:4]) * 0.999 <= orders[0] <= 3 ** len(opinions[:4]) * 1.001


def test_the_explanation_names_who_thinks_what(store: Store) -> None:
    """Each opinion has its line, with its author's reliability and what it did."""
    take_in(store, feed_source(store, "north", "B"), thought("strongly-disagree"))
    (entry,) = known(store.conn, store.key_of, [BAD]).values()
    told = score(Kind.IPV4, [], entry.evidence, NOW).terms
    assert "north says strongly-disagree, reliability B: x 0.3 on the odds" in told


def test_a_source_is_whoever_posts(store: Store) -> None:
    """The name in an opinion counts for nothing: one source that names many makers has one word."""
    before, north = score_of(store), feed_source(store, "north", "A")
    many = [thought("agree", n, created_by_ref=NORTH[:-3] + f"{n:03d}", at=NOW + n * SECOND) for n in range(1, 9)]
    take_in(store, north, *many)
    assert score_of(store) == expected(before, 1.5)


def test_a_hit_on_what_a_partner_has_sighted_is_no_sighting_of_a_sighting(store: Store) -> None:
    """A sensor's list that names a value which a partner has sighted is taken in: only indicators can be sighted."""
    take_in(store, feed_source(store, "north"), seen())
    report = take_findings(store, make_finding(BAD, role=Role.KNOWN_INDICATOR))
    made = [json.loads(body)["type"] for _, _, body in own_changes(store.conn, 0, 100)]
    assert (report.findings, made) == (1, ["indicator"])
