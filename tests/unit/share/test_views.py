"""How tools of our own are told: the form of a collection's indicators, and what must hold in every form."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from itertools import product
from pathlib import Path

import pytest
import stix2

from builders import (
    BAD,
    DAY,
    NOW,
    US,
    check,
    feed_source,
    indicators,
    ip,
    let_out,
    make_collection,
    make_indicator_json,
    make_outlet,
    make_store,
    take_in,
)
from threatshare.errors import UsageError
from threatshare.model import (
    Collection,
    CollectionKind,
    EmptyPage,
    Fields,
    Form,
    Kind,
    Micros,
    Observable,
    Tlp,
    TlpIds,
    View,
)
from threatshare.policy.markings import NOT_DEFINED, marking_of
from threatshare.share.outlets import Outlet
from threatshare.share.views import ids_of, seen_through
from threatshare.stix.objects import IndicatorFacts, indicator, siem_indicator_id
from threatshare.stix.observed import cyber_observable
from threatshare.stix.tlp import TLP1_ID, TLP2_ID
from threatshare.store.collections import add_collection, set_view
from threatshare.store.embedded import Store
from threatshare.store.entries import held_body
from threatshare.store.ledger_check import check as check_ledger
from threatshare.triage.merged import MONITOR_ONLY

VALUES = [
    Observable(Kind.IPV4, "45.66.77.88"),
    Observable(Kind.IPV4, "45.66.77.0/24"),
    Observable(Kind.IPV6, "2001:db8::1"),
    Observable(Kind.DOMAIN, "login.example.net"),
    Observable(Kind.URL, "http://login.example.net/a'b\\c?d=%20é"),
    Observable(Kind.EMAIL, "phish@example.org"),
    Observable(Kind.MAC, "00:00:5e:00:53:01"),
    Observable(Kind.MD5, "d41d8cd98f00b204e9800998ecf8427e"),
    Observable(Kind.SHA1, "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
    Observable(Kind.SHA256, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
]
VIEWS = [View(*parts) for parts in product(TlpIds, Form, Fields)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = make_store(tmp_path)
    yield made
    made.close()


def make_siem(store: Store, alias: str, view: View) -> Collection:
    with store.writing() as conn:
        return add_collection(conn, alias, alias.upper(), CollectionKind.SIEM, None, NOW, view=view)


def facts_of(observable: Observable, tlp: Tlp = Tlp.GREEN, *labels: str) -> IndicatorFacts:
    object_id = siem_indicator_id(US, observable)
    return IndicatorFacts(object_id, observable, US, NOW, NOW, NOW, NOW + DAY, 80, tlp, ["score:high", *labels])


@pytest.mark.parametrize("observable", VALUES, ids=lambda one: str(one.kind))
def test_a_cyber_observable_has_the_id_that_the_standard_gives_it(observable: Observable) -> None:
    """STIX 2.1 §2.9: stix2 makes the same id of the same content."""
    made = cyber_observable(observable)
    without = {name: value for name, value in made.items() if name not in ("id", "spec_version")}
    if "/" not in observable.value or observable.kind is not Kind.IPV4:
        assert json.loads(stix2.parse(without, version="2.1").serialize())["id"] == made["id"]
    assert cyber_observable(observable) == made


@pytest.mark.parametrize("view", VIEWS, ids=str)
def test_every_form_is_stix(view: View) -> None:
    """In every form stix2 reads what is told of a value, and the value is in it."""
    for observable in VALUES:
        told = seen_through(view, indicator(facts_of(observable)), observable)
        read = stix2.parse(json.dumps(told), version="2.1")
        assert read["type"] == ("indicator" if view.form is Form.INDICATORS else "observed-data")
        assert (read["confidence"], read["created_by_ref"]) == (80, US)
        if view.form is Form.OBSERVED_DATA:
            assert told["objects"]["0"] == cyber_observable(observable)


@pytest.mark.parametrize("tlp", [one for one in Tlp if one is not Tlp.RED])
@pytest.mark.parametrize("view", VIEWS, ids=str)
def test_no_form_is_marked_more_laxly(tlp: Tlp, view: View) -> None:
    """Whatever ids name it, the marking is the same; where TLP 1 has no id, TLP 2.0's stays, never the next lower."""
    refs = seen_through(view, indicator(facts_of(BAD, tlp)), BAD)["object_marking_refs"]
    assert marking_of(refs, (), NOT_DEFINED).tlp is tlp
    old = {TLP1_ID[tlp]} if tlp in TLP1_ID else {TLP2_ID[tlp]}
    assert set(refs) == {TlpIds.TLP1: old, TlpIds.TLP2: {TLP2_ID[tlp]}, TlpIds.BOTH: old | {TLP2_ID[tlp]}}[view.tlp]


@pytest.mark.parametrize("view", VIEWS, ids=str)
def test_what_must_not_be_blocked_says_so_in_every_form(view: View) -> None:
    """The label `action:monitor-only` is in every form, also where all other labels are left out."""
    told = seen_through(view, indicator(facts_of(BAD, Tlp.GREEN, MONITOR_ONLY)), BAD)
    assert MONITOR_ONLY in told["labels"]
    assert ("score:high" in told["labels"]) == (view.fields is Fields.ALL)


def test_each_tool_is_told_the_same_in_its_own_form(store: Store) -> None:
    """Of one value each collection has one object under an id of its own, from its first version to its withdrawal.

    The bytes are those of which the ledger has the digest.
    """
    siem = make_collection(store, CollectionKind.SIEM)
    made = [make_siem(store, f"tool-{number}", view) for number, view in enumerate(VIEWS)]
    everywhere = [siem, *made]
    source = feed_source(store, "feed-a", "A")
    take_in(store, source, make_indicator_json(1, confidence=80, modified=NOW), now=NOW)
    report = let_out(store, *map(make_outlet, everywhere))
    assert set(report.released.values()) == {1}
    first = [[body["id"] for body in indicators(store, one)] for one in everywhere]
    assert len({tuple(one) for one in first}) == len(everywhere)
    assert [one for (one,) in first] == ids_of(everywhere, US, BAD)[1:]
    take_in(store, source, make_indicator_json(1, confidence=40, modified=NOW + DAY), now=NOW + DAY)
    let_out(store, *(make_outlet(one, now=NOW + DAY) for one in everywhere))
    for one in everywhere:
        assert [body["confidence"] for body in indicators(store, one)] == [score_of_the_value(store)]
    gone = make_indicator_json(1, confidence=40, modified=NOW + 2 * DAY, revoked=True)
    take_in(store, source, gone, now=NOW + 2 * DAY)
    assert let_out(store, *(make_outlet(one, now=NOW + 2 * DAY) for one in everywhere)).withdrawn == len(everywhere)
    for one, (object_id,) in zip(everywhere, first, strict=True):
        assert indicators(store, one) == []
        assert {entry.id for entry in check(store, one) if entry.body["type"] != "identity"} == {object_id}
    assert check_ledger(store.conn).problems == []


def score_of_the_value(store: Store) -> int:
    return int(store.conn.execute("SELECT score FROM observable").fetchone()[0])


def test_a_collection_that_is_added_later_has_everything(store: Store) -> None:
    """A new collection for a tool gets what was published before; nothing is published twice into the others."""
    siem = make_collection(store, CollectionKind.SIEM)
    take_in(store, feed_source(store, "feed-a", "A"), make_indicator_json(1, modified=NOW), now=NOW)
    let_out(store, make_outlet(siem))
    late = make_siem(store, "late", View(form=Form.OBSERVED_DATA))
    report = let_out(store, make_outlet(siem), make_outlet(late))
    assert report.released == {"siem": 0, "late": 1}
    assert len(check(store, siem)) == len(check(store, late)) == 2
    assert len(indicators(store, siem)) == len(indicators(store, late)) == 1


def test_what_was_published_keeps_its_form(store: Store) -> None:
    """Before its first entry a collection's form can be changed, afterwards only how its empty pages are written."""
    siem = make_collection(store, CollectionKind.SIEM)
    with store.writing() as conn:
        set_view(conn, siem, View(tlp=TlpIds.TLP1))
    take_in(store, feed_source(store, "feed-a", "A"), make_indicator_json(1, modified=NOW), now=NOW)
    siem = replace(siem, view=View(tlp=TlpIds.TLP1))
    let_out(store, make_outlet(siem))
    with pytest.raises(UsageError, match="keeps its form"), store.writing() as conn:
        set_view(conn, siem, View())
    with store.writing() as conn:
        set_view(conn, siem, replace(siem.view, empty_page=EmptyPage.BARE))


@pytest.mark.parametrize("kind", [one for one in CollectionKind if one is not CollectionKind.SIEM])
def test_what_is_exchanged_has_one_form(store: Store, kind: CollectionKind) -> None:
    """No collection that partners read, or that holds what they wrote, has a form of its own."""
    with pytest.raises(UsageError, match="one form"), store.writing() as conn:
        add_collection(conn, "x", "X", kind, None, NOW, view=View(tlp=TlpIds.TLP1))
    with store.writing() as conn:
        assert add_collection(conn, "y", "Y", kind, None, NOW, view=View(empty_page=EmptyPage.BARE))


def test_the_ledger_has_the_digest_of_what_is_served(store: Store) -> None:
    """In every form the ledger's digest is that of the bytes in the collection."""
    made = [make_siem(store, f"tool-{number}", view) for number, view in enumerate(VIEWS)]
    take_in(store, feed_source(store, "feed-a", "A"), make_indicator_json(1, modified=NOW), now=NOW)
    let_out(store, *map(make_outlet, made))
    digests = [row[0] for row in store.conn.execute("SELECT digest FROM ledger WHERE entry ORDER BY number")]
    bodies = [
        held_body(store.conn, one, object_id, version)
        for one in made
        for object_id, version in [(entry.id, entry.version) for entry in check(store, one)]
    ]
    assert len(bodies) == 2 * len(made)
    assert [sha256(body or b"").digest() for body in bodies] == digests


def test_who_we_are_comes_first_marked_as_the_view_marks(store: Store) -> None:
    """Before its first object a collection has our Identity, once, whole, and marked by the ids its objects bear.

    Where the marking has other ids, so has the version another date: nobody meets two contents of one version.
    """
    made = [make_siem(store, f"tool-{number}", view) for number, view in enumerate(VIEWS)]
    source = feed_source(store, "feed-a", "A")
    assert let_out(store, *map(make_outlet, made)).released == {one.alias: 0 for one in made}
    assert [check(store, one) for one in made] == [[] for _ in made]
    versions: dict[int, set[str]] = {}
    for day in range(3):
        take_in(
            store,
            source,
            make_indicator_json(day, ip(f"45.66.78.{day}"), modified=NOW + day * DAY),
            now=NOW + day * DAY,
        )
        report = let_out(store, *(make_outlet(one, now=NOW + day * DAY) for one in made))
        assert report.released == {one.alias: 1 for one in made}
    for one in made:
        first, *others = check(store, one)
        assert {"identity"}.isdisjoint(entry.body["type"] for entry in others)
        assert {entry.body["created_by_ref"] for entry in others} == {first.id} == {US}
        old, new = TLP1_ID[Tlp.CLEAR], TLP2_ID[Tlp.CLEAR]
        marked = {TlpIds.TLP1: [old], TlpIds.TLP2: [new], TlpIds.BOTH: [new, old]}[one.view.tlp]
        assert first.body["object_marking_refs"] == marked
        assert (first.body["name"], first.body["sectors"]) == ("Our Company", ["technology"])
        versions.setdefault(first.version, set()).add(json.dumps(first.body))
    assert [len(contents) for contents in versions.values()] == [1, 1, 1]
    assert check_ledger(store.conn).problems == []


def test_another_name_is_a_new_version_of_us(store: Store) -> None:
    """A changed name goes out once, before the next news, dated anew; without news nothing is said."""
    made = [make_siem(store, f"tool-{tlp}", View(tlp=tlp)) for tlp in TlpIds]
    source = feed_source(store, "feed-a", "A")
    take_in(store, source, make_indicator_json(1, modified=NOW), now=NOW)
    let_out(store, *map(make_outlet, made))

    def renamed(now: Micros) -> list[Outlet]:
        outlets = [make_outlet(one, now=now) for one in made]
        return [replace(one, identity=one.identity.replace(b"Our Company", b"Our Firm")) for one in outlets]

    let_out(store, *renamed(NOW + DAY))
    assert [len(check(store, one)) for one in made] == [2, 2, 2]
    for number in (2, 3):
        at = NOW + number * DAY
        take_in(store, source, make_indicator_json(number, ip(f"45.66.78.{number}"), modified=at), now=at)
        assert let_out(store, *renamed(at)).released == {one.alias: 1 for one in made}
    versions = set()
    for one in made:
        entries = check(store, one)
        assert [entry.body["type"] for entry in entries] == ["identity", "indicator", "identity", *["indicator"] * 2]
        assert [entries[place].body["name"] for place in (0, 2)] == ["Our Company", "Our Firm"]
        versions.add(entries[2].version)
    assert len(versions) == len(made)


def test_one_version_of_us_has_one_content(store: Store) -> None:
    """Whoever is told of us, when, and by which name: each version says one thing, and none is from the future."""
    source = feed_source(store, "feed-a", "A")
    made: list[Collection] = []
    names = (b"Our Company", b"Our Firm", b"Our Firm", b"Our Company")
    for day, name in enumerate(names):
        made += [make_siem(store, f"tool-{day}-{tlp}", View(tlp=tlp)) for tlp in TlpIds]
        at = NOW + day * DAY
        take_in(store, source, make_indicator_json(day, ip(f"45.66.78.{day}"), modified=at), now=at)
        outlets = [make_outlet(one, now=at) for one in made]
        let_out(store, *(replace(one, identity=one.identity.replace(b"Our Company", name)) for one in outlets))
    contents: dict[int, set[str]] = {}
    for one in made:
        told = [entry for entry in check(store, one) if entry.id == US]
        assert told[-1].body["name"] == "Our Company"
        assert all(entry.version <= entry.added for entry in told)
        assert [entry.version for entry in told] == sorted({entry.version for entry in told})
        for entry in told:
            contents.setdefault(entry.version, set()).add(json.dumps(entry.body, sort_keys=True))
    assert {len(found) for found in contents.values()} == {1}
    assert len(contents) == 9, "three wordings under the first name, under the second, and again under the first"
