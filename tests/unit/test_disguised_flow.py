"""Publishing to a partner who is not told who we are: another identity, other ids, and our own records as ever."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import msgspec
import pytest

from builders import (
    BAD,
    DAY,
    NOW,
    SECOND,
    US,
    Served,
    domain,
    dump,
    feed_source,
    find,
    held_ids,
    identity_uuid,
    indicator_uuid,
    ip,
    let_out,
    make_collection,
    make_indicator,
    make_indicator_json,
    served,
    standing,
    take_in,
    with_terms,
)
from disguise_builders import NODE, node_outlet, profiled, received
from threatshare.config import OwnAssets
from threatshare.model import Collection, CollectionKind, Role, Tlp, Verdict
from threatshare.policy.agreements import Agreement, Inbound
from threatshare.policy.disguise import ANONYMOUS, UNTOLD
from threatshare.review import GateGroup, decide_releases
from threatshare.share.outlets import Outlet
from threatshare.stix.objects import indicator_id
from threatshare.stix.timestamps import read_timestamp
from threatshare.store.decisions import REVIEW, Action, ByWhom
from threatshare.store.disguises import our_ids
from threatshare.store.embedded import Store
from threatshare.store.ledger import What, rows
from threatshare.store.ledger_check import check as check_ledger
from threatshare.store.reach import reach
from threatshare.store.releases import decisions_on
from threatshare.store.targets import unexamined

NAMED = profiled(None, None)
HIDDEN = profiled("ais", "ais-consent-none")
MUST_NOT = profiled(None, None, attribution="must-not")
OURS = indicator_id(US, BAD)


@pytest.fixture
def cisa(store: Store) -> Collection:
    return make_collection(store, CollectionKind.PARTNER, "to-cisa", "cisa")


def traces(entries: list[Served], outlet: Outlet, *ids: str) -> list[str]:
    """Gives every object that bears something of ours."""
    words = [US.rpartition("--")[2], NODE.name.lower(), *outlet.facts.own.domains, *ids]
    texts = [msgspec.json.encode(one.body).decode().lower() for one in entries]
    return [text for text in texts if any(word in text for word in words)]


@pytest.mark.parametrize("terms", [HIDDEN, MUST_NOT], ids=["consent", "attribution"])
def test_nothing_leads_back_to_us(store: Store, cisa: Collection, terms: Agreement) -> None:
    """Every object is of one other identity, under ids, names and days that are not those of our own objects."""
    find(store, BAD, domain("bad.badhost.biz"))
    outlet = node_outlet(cisa, terms)
    assert let_out(store, outlet).released == {"to-cisa": 2}
    entries = served(store, cisa)
    assert outlet.face not in (None, US)
    assert {one.body["created_by_ref"] for one in entries} == {outlet.face}
    assert traces(entries, outlet, OURS.rpartition("--")[2]) == []
    assert {one.body["name"] for one in entries if one.body["type"] == "identity"} == {ANONYMOUS}
    for one in entries:
        for name in ("created", "modified", "valid_from", "valid_until"):
            assert read_timestamp(one.body.get(name, "2020-01-01T00:00:00Z")) % DAY == 0


def test_a_plain_disguise_tells_no_sector(store: Store, cisa: Collection) -> None:
    """Where no profile asks for it, not even the sector is told, nor the place."""
    find(store)
    let_out(store, node_outlet(cisa, MUST_NOT))
    assert [one.body["type"] for one in served(store, cisa)] == ["identity", "indicator"]
    assert "sectors" not in served(store, cisa)[0].body


def test_a_submission_without_consent_passes(store: Store, cisa: Collection) -> None:
    """What AIS gets from a submitter without consent keeps to the profile, AIS-10 with it."""
    find(store)
    outlet = node_outlet(cisa, HIDDEN)
    let_out(store, outlet)
    assert [one.body["type"] for one in served(store, cisa)] == ["identity", "location", "relationship", "indicator"]
    assert served(store, cisa)[0].body["labels"] == ["ais-consent-none"]
    assert received(store, cisa, outlet).faults == ()


def test_our_records_go_by_our_ids(store: Store, cisa: Collection) -> None:
    """Decisions, ledger and reach answer for our own id, and the id that the partner knows leads to it."""
    find(store)
    outlet = node_outlet(cisa, HIDDEN)
    let_out(store, outlet)
    (theirs,) = held_ids(store, cisa)
    assert theirs != OURS
    assert our_ids(store.conn, theirs) == [OURS]
    ((alias, release),) = decisions_on(store.conn, OURS)
    assert (alias, release.served) == ("to-cisa", True)
    assert [one.object_id for one in reach(store.conn, [OURS])] == [theirs]
    assert check_ledger(store.conn).problems == []


def test_always_the_same_for_one_partner_another_for_each(store: Store, cisa: Collection) -> None:
    """One partner always knows the same of us; two who compare what they have cannot tell that it is the same."""
    to_north = make_collection(store, CollectionKind.PARTNER, "to-north", "north")
    north = msgspec.structs.replace(HIDDEN, partner="north")
    find(store)
    let_out(store, node_outlet(cisa, HIDDEN), node_outlet(to_north, north))
    assert standing(store, cisa).keys().isdisjoint(standing(store, to_north))
    find(store, ip("45.0.0.9"))
    let_out(store, node_outlet(cisa, with_terms(HIDDEN, version=2), NOW + DAY))
    assert len({one.body["created_by_ref"] for one in served(store, cisa)}) == 1


def test_a_second_run_changes_nothing(store: Store, cisa: Collection) -> None:
    """Nothing is released or written again where nothing changed, also a day later."""
    find(store, BAD, ip("45.0.0.1"))
    let_out(store, node_outlet(cisa, HIDDEN))
    before = dump(store.conn)
    for now in (NOW, NOW + DAY):
        assert let_out(store, node_outlet(cisa, HIDDEN, now)).released == {"to-cisa": 0}
        assert dump(store.conn) == before


def test_later_versions_of_one_day(store: Store, cisa: Collection) -> None:
    """Several versions of one day follow each other, a millisecond apart, and say no more than the day."""
    for step in range(3):
        find(store, seen=NOW + step * SECOND, now=NOW + (step + 1) * SECOND)
        let_out(store, node_outlet(cisa, HIDDEN, NOW + (step + 1) * SECOND))
    versions = [one for one in served(store, cisa) if one.body["type"] == "indicator"]
    assert len({one.id for one in versions}) == 1
    assert [one.version % DAY for one in versions] == [0, 1_000, 2_000]
    assert [one.current for one in versions] == [False, False, True]
    assert len({one.body["created"] for one in versions}) == 1


def test_withdrawn_and_back_again(store: Store, cisa: Collection) -> None:
    """An ended agreement withdraws what the partner knows, and a renewed one brings it back under another id."""
    find(store)
    let_out(store, node_outlet(cisa, HIDDEN))
    ended = with_terms(HIDDEN, expires_on=date(2026, 2, 28))
    seen = [held_ids(store, cisa)]
    for days in (1, 3):
        assert let_out(store, node_outlet(cisa, ended, NOW + days * DAY)).withdrawn == 1
        assert held_ids(store, cisa) == set()
        assert let_out(store, node_outlet(cisa, HIDDEN, NOW + (days + 1) * DAY)).released == {"to-cisa": 1}
        seen.append(held_ids(store, cisa))
    assert len(set.union(*seen)) == 3
    assert traces(served(store, cisa), node_outlet(cisa, HIDDEN), OURS) == []
    assert {one.object_id for one in reach(store.conn, [OURS])} == set.union(*seen)
    assert check_ledger(store.conn).problems == []


def test_a_person_takes_back_by_our_id(store: Store, cisa: Collection) -> None:
    """`review reject` with our id withdraws what the partner knows by another."""
    find(store)
    outlet = node_outlet(cisa, HIDDEN)
    let_out(store, outlet)
    ((_, release),) = decisions_on(store.conn, OURS)
    group = GateGroup("to-cisa", cisa.number, release.reasons, {OURS: release})
    decide_releases(store, group, [OURS], Action.REJECT, ByWhom("a releaser", "not ours to tell", NOW))
    report = let_out(store, outlet)
    assert (report.withdrawn, held_ids(store, cisa)) == (1, set())
    ((_, after),) = decisions_on(store.conn, OURS)
    assert (after.withdrawn, after.reasons[0].rule) == (True, REVIEW)


@pytest.mark.parametrize(("first", "then"), [(NAMED, HIDDEN), (HIDDEN, NAMED), (MUST_NOT, HIDDEN)])
def test_a_change_of_consent(store: Store, cisa: Collection, first: Agreement, then: Agreement) -> None:
    """What stands under one identity is withdrawn before anything is released under another; never are two mixed."""
    values = [BAD, *(ip(f"45.0.0.{number}") for number in range(30))]
    find(store, *values)
    let_out(store, node_outlet(cisa, first))
    count = len(served(store, cisa))
    before = {one["created_by_ref"] for one in standing(store, cisa).values()}
    outlet = node_outlet(cisa, then, NOW + DAY)
    report = let_out(store, outlet)
    now = {one["created_by_ref"] for one in standing(store, cisa).values()}
    assert now == {outlet.face or US}
    assert len(held_ids(store, cisa)) == len(values)
    if before != now:
        assert (report.released, report.withdrawn) == ({"to-cisa": 31}, 31)
        order = [one.body.get("revoked") is True for one in served(store, cisa) if one.seq > count]
        assert order == sorted(order, reverse=True)
    assert check_ledger(store.conn).problems == []
    assert not unexamined(store.conn, cisa.number, outlet.policy)
    assert let_out(store, outlet).released == {"to-cisa": 0}


def test_back_and_forth(store: Store, cisa: Collection) -> None:
    """Each identity comes back as it was, and is introduced anew; our own is never revoked."""
    find(store)
    for day, terms in enumerate([NAMED, HIDDEN, NAMED, HIDDEN, NAMED]):
        outlet = node_outlet(cisa, terms, NOW + day * DAY)
        let_out(store, outlet)
        stands = standing(store, cisa)
        assert {one["created_by_ref"] for one in stands.values()} == {outlet.face or US}
        assert (outlet.face or US) in stands
    assert not any(one.revoked for one in served(store, cisa) if one.body["type"] == "identity")
    deleted = [row for row in rows(store.conn) if row.told["what"] == What.DELETION]
    assert {row.object_id.partition("--")[0] for row in deleted} == {"identity", "location", "relationship"}
    assert check_ledger(store.conn).problems == []


def test_a_change_that_is_killed_midway(store: Store, cisa: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that ends between two batches of withdrawals is gone on with, and nothing is released before its end."""
    monkeypatch.setattr("threatshare.publish.BATCH", 4)
    find(store, *(ip(f"45.0.0.{number}") for number in range(10)))
    let_out(store, node_outlet(cisa, NAMED))
    from threatshare.publish import _own_batches
    from threatshare.share.outlets import PublishReport

    outlet = node_outlet(cisa, HIDDEN, NOW + DAY)
    report = PublishReport(released={"to-cisa": 0})
    next(_own_batches(store, outlet, report, None))
    assert (report.withdrawn, report.released["to-cisa"]) == (4, 0)
    rest = let_out(store, outlet)
    assert (rest.withdrawn, rest.released) == (6, {"to-cisa": 10})
    assert {one["created_by_ref"] for one in standing(store, cisa).values()} == {outlet.face}


def test_a_sighting_of_what_is_ours_elsewhere(store: Store, cisa: Collection) -> None:
    """A sighting of theirs keeps their id; what comes under an id of ours is not taken, so that nothing sights it."""
    terms = profiled("ais", "ais-consent-none")
    terms = msgspec.structs.replace(terms, inbound=Inbound(sources=("feed-a", identity_uuid(7))))
    find(store)
    take_in(store, feed_source(store), make_indicator_json(2, by=identity_uuid(7), tlp=Tlp.GREEN))
    copied = make_indicator_json(4, by=identity_uuid(7), tlp=Tlp.GREEN, id=OURS)
    assert take_in(store, feed_source(store), copied)[0].rejected == 1
    find(store, role=Role.KNOWN_INDICATOR, now=NOW + SECOND)
    outlet = node_outlet(cisa, terms, NOW + SECOND)
    let_out(store, outlet)
    sightings = [one.body for one in served(store, cisa) if one.body["type"] == "sighting"]
    assert {one["sighting_of_ref"] for one in sightings} == {indicator_uuid(2)}
    assert traces(served(store, cisa), outlet, OURS.rpartition("--")[2]) == []


def test_what_comes_back_is_known_as_ours(store: Store, cisa: Collection) -> None:
    """What a partner got from nobody it knows, and gives back, is not taken for somebody else's word."""
    find(store)
    let_out(store, node_outlet(cisa, HIDDEN))
    (entry,) = [one for one in served(store, cisa) if one.body["type"] == "indicator"]
    renamed = {**entry.body, "created_by_ref": identity_uuid(9)}
    for body in (entry.body, renamed):
        tally, rejects = take_in(store, feed_source(store), msgspec.json.encode(body))
        assert (tally.new, len(rejects)) == (0, 1)


@pytest.mark.parametrize(
    ("value", "verdict"),
    [("our-company.de.evil.biz", Verdict.REFUSE), ("ourcompany-login.biz", Verdict.HOLD)],
)
def test_a_value_that_names_us_stays(store: Store, cisa: Collection, value: str, verdict: Verdict) -> None:
    """A phisher's host that poses as ours may go to partners who know us, and never to one who does not."""
    find(store, domain(value))
    assert let_out(store, node_outlet(cisa, NAMED)).released == {"to-cisa": 1}
    report = let_out(store, node_outlet(cisa, HIDDEN, NOW + DAY))
    assert report.released == {"to-cisa": 0}
    ((_, _, decision),) = report.decisions
    assert {one.verdict for one in decision.reasons if one.rule == "anonymity"} == {verdict}
    assert value not in str([one.text for one in decision.reasons])


def test_our_own_name_is_no_disguise(store: Store, cisa: Collection) -> None:
    """Where the agreement would have us appear under our own name, nothing leaves."""
    find(store)
    report = let_out(store, node_outlet(cisa, profiled("ais", "ais-consent-none", anonymise_as="Not our company!")))
    assert (report.released, served(store, cisa)) == ({"to-cisa": 0}, [])
    ((_, _, decision),) = report.decisions
    assert any(one.rule == "anonymity" and one.verdict is Verdict.REFUSE for one in decision.reasons)


def test_named_and_not_named_at_once_is_nothing(store: Store, cisa: Collection) -> None:
    """An agreement that demands our name and gives no consent to it lets nothing out."""
    find(store)
    report = let_out(store, node_outlet(cisa, profiled("ais", "ais-consent-none", attribution="must")))
    assert (report.released, report.refused) == ({"to-cisa": 0}, 1)


def test_a_name_of_ours_in_the_disguise(store: Store, cisa: Collection) -> None:
    """A name with a domain of ours in it introduces nobody; under a profile, which wants to know, nothing leaves."""
    find(store)
    terms: dict[str, Any] = {"anonymise_as": "SOC of our-company.de"}
    assert let_out(store, node_outlet(cisa, profiled("ais", "ais-consent-none", **terms))).released == {"to-cisa": 0}
    assert served(store, cisa) == []
    let_out(store, node_outlet(cisa, profiled(None, "ais-consent-none", **terms)))
    assert [one.body["type"] for one in served(store, cisa)] == ["indicator"]


def test_organisations_of_ours_are_names(store: Store, cisa: Collection) -> None:
    """What own-assets.toml lists as organisations counts as our name."""
    find(store, domain("acme-energy.badhost.biz"))
    own = OwnAssets(declared_empty=True, organisations=frozenset({"acme-energy"}))
    assert let_out(store, node_outlet(cisa, HIDDEN, own=own)).released == {"to-cisa": 0}


def test_whose_an_id_is_nobody_learns_by_trying(store: Store, cisa: Collection) -> None:
    """What comes back under an id or identity that only one partner knows is kept aside, in words for us alone."""
    find(store)
    outlet = node_outlet(cisa, HIDDEN)
    let_out(store, outlet)
    (theirs,) = held_ids(store, cisa)
    tried = [
        json.dumps({**make_indicator(1), "id": theirs}).encode(),
        make_indicator_json(2, by=outlet.face),
        json.dumps({**make_indicator(3), "id": OURS}).encode(),
    ]
    for raw in tried:
        tally, rejects = take_in(store, feed_source(store, "stranger"), raw)
        assert (tally.new, [one.reason for one in rejects]) == (0, [UNTOLD])


def test_a_strangers_word_on_an_id_that_it_was_not_given(store: Store, cisa: Collection) -> None:
    """An opinion or sighting counts by a disguised id only from the partner whose id it is."""
    find(store)
    let_out(store, node_outlet(cisa, HIDDEN))
    (theirs,) = held_ids(store, cisa)
    at = {"created": "2026-01-01T00:00:00Z", "modified": "2026-01-01T00:00:00Z", "spec_version": "2.1"}
    opinion = {"type": "opinion", "id": "opinion--00000000-0000-4000-8000-000000000001", "opinion": "strongly-disagree"}
    raw = json.dumps({**opinion, **at, "object_refs": [theirs]}).encode()
    for source, words in (("stranger", 0), ("cisa", 1)):
        take_in(store, feed_source(store, source), raw)
        assert store.conn.execute("SELECT count(*) FROM opinion").fetchone() == (words,), source
