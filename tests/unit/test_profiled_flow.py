"""Publishing to a partner whose agreement names a profile: who we are goes first, and nothing leaves that breaks it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from builders import (
    BAD,
    DAY,
    NOW,
    US,
    domain,
    find,
    held_ids,
    ip,
    let_out,
    make_collection,
    served,
    standing,
)
from disguise_builders import LAW, NODE, node_outlet, profiled, received
from threatshare.model import Collection, CollectionKind, Tlp, Verdict
from threatshare.policy.agreements import Agreement
from threatshare.policy.profile_terms import Profile
from threatshare.policy.profiles import shipped_profiles
from threatshare.share.outlets import PublishReport
from threatshare.stix.objects import indicator_id
from threatshare.store.embedded import Store
from threatshare.store.ledger import What, rows
from threatshare.store.releases import decisions_on
from threatshare.store.targets import unexamined

SET = ["identity", "location", "relationship"]


@pytest.fixture
def cisa(store: Store) -> Collection:
    return make_collection(store, CollectionKind.PARTNER, "to-cisa", "cisa")


def types(store: Store, cisa: Collection) -> list[str]:
    """Gives the types of a collection's entries in order."""
    return [one.body["type"] for one in served(store, cisa)]


def test_the_whole_submission_keeps_to_the_profile(store: Store, cisa: Collection) -> None:
    """Identity with consent, Location and located-at go first, and what the partner holds passes `profile check`."""
    find(store, BAD, domain("bad.badhost.biz"))
    outlet = node_outlet(cisa, profiled())
    assert let_out(store, outlet).released == {"to-cisa": 2}
    assert types(store, cisa) == [*SET, "indicator", "indicator"]
    identity = served(store, cisa)[0].body
    assert (identity["id"], identity["labels"], identity["sectors"]) == (US, ["ais-consent-everyone"], ["technology"])
    report = received(store, cisa, outlet)
    assert (report.faults, report.objects) == ((), 5)
    assert [one.why for one in report.not_checked if one.rule == "AIS-09"] == ["certificate: no dated record was given"]


def test_who_we_are_is_an_introduction(store: Store, cisa: Collection) -> None:
    """The ledger records the three as introductions, and they count as no release."""
    find(store)
    let_out(store, node_outlet(cisa, profiled()))
    whats = [row.told["what"] for row in rows(store.conn)]
    assert whats == [What.OPENING, *3 * [What.INTRODUCTION], What.RELEASE]


def test_a_second_run_says_nothing_again(store: Store, cisa: Collection) -> None:
    """What is the same is not sent again, on another day neither."""
    find(store)
    let_out(store, node_outlet(cisa, profiled()))
    assert let_out(store, node_outlet(cisa, profiled(), NOW + DAY)).released == {"to-cisa": 0}
    assert types(store, cisa) == [*SET, "indicator"]


@pytest.mark.parametrize("change", ["consent", "sector"])
def test_a_change_of_who_we_are_is_a_new_version(store: Store, cisa: Collection, change: str) -> None:
    """Another consent or sector goes out by itself as a new version of the same Identity, and nothing else does."""
    find(store)
    let_out(store, node_outlet(cisa, profiled()))
    node = replace_identity(sector="energy") if change == "sector" else NODE
    terms = profiled(consent="ais-consent-usg") if change == "consent" else profiled()
    later = node_outlet(cisa, terms, NOW + DAY, node)
    report = let_out(store, later)
    assert (report.released, report.withdrawn) == ({"to-cisa": 0}, 0)
    added = served(store, cisa)[4:]
    assert [(one.id, one.version) for one in added] == [(US, NOW + DAY)]
    assert received(store, cisa, later).faults == ()
    assert let_out(store, later).released == {"to-cisa": 0}
    assert len(served(store, cisa)) == 5


def replace_identity(**changed: Any) -> Any:
    """Gives our own settings with something changed."""
    return msgspec.structs.replace(NODE, **changed)


def test_who_moves_says_so(store: Store, cisa: Collection) -> None:
    """Another place is a new Location and Relationship, and that we are at the former one is withdrawn; also back."""
    find(store)
    let_out(store, node_outlet(cisa, profiled()))
    for days, area in ((1, "US-TX"), (2, "US-DC"), (3, "US-TX")):
        outlet = node_outlet(cisa, profiled(), NOW + days * DAY, replace_identity(administrative_area=area))
        let_out(store, outlet)
        links = [one for one in standing(store, cisa).values() if one["type"] == "relationship"]
        assert [standing(store, cisa)[one["target_ref"]]["administrative_area"] for one in links] == [area]
        assert received(store, cisa, outlet).faults == ()
        assert not unexamined(store.conn, cisa.number, outlet.policy)


def test_without_consent_nothing_leaves(store: Store, cisa: Collection) -> None:
    """Where the profile wants a consent label and the agreement states none, nothing leaves, and the reasons say so."""
    find(store)
    report = let_out(store, node_outlet(cisa, profiled(consent=None)))
    assert (report.released, report.refused, served(store, cisa)) == ({"to-cisa": 0}, 1, [])
    ((_, release),) = decisions_on(store.conn, indicator_id(US, BAD))
    assert any("AIS-02" in one.text and "consent label" in one.text for one in release.reasons)


def test_a_place_that_is_none_keeps_everything_here(store: Store, cisa: Collection) -> None:
    """A country that ISO has not assigned makes no Location, so AIS-04 keeps everything here."""
    find(store)
    outlet = node_outlet(cisa, profiled(), node=replace_identity(country="XX", administrative_area="XX-A"))
    report = let_out(store, outlet)
    assert (report.released, served(store, cisa)) == ({"to-cisa": 0}, [])
    assert any("AIS-04" in reason.text for _, _, decision in report.decisions for reason in decision.reasons)


def test_without_the_profile_nothing_leaves(store: Store, cisa: Collection) -> None:
    """A profile that was taken away, or cannot be read, takes back what was released under it."""
    find(store)
    let_out(store, node_outlet(cisa, profiled()))
    report = let_out(store, node_outlet(cisa, profiled(), NOW + DAY, profiles={}))
    assert (report.released, report.withdrawn) == ({"to-cisa": 0}, 1)
    assert held_ids(store, cisa) == set()


def stricter(profile: Profile) -> Profile:
    """The profile with TLP:CLEAR alone."""
    rules = [
        replace(one, parameters=msgspec.structs.replace(one.parameters, levels=("clear", "amber")))
        if one.check == "tlp-within"
        else one
        for one in profile.rules
    ]
    return replace(profile, rules=tuple(rules))


def test_a_changed_profile_examines_everything_anew(store: Store, cisa: Collection) -> None:
    """What stands under a profile that gets stricter is withdrawn by the next run, whatever its version says."""
    find(store, BAD)
    find(store, ip("45.0.0.1"), tlp=Tlp.CLEAR)
    let_out(store, node_outlet(cisa, profiled()))
    profiles = shipped_profiles() | {"ais": stricter(shipped_profiles()["ais"])}
    assert let_out(store, node_outlet(cisa, profiled(), NOW + DAY, profiles=profiles)).withdrawn == 1
    assert held_ids(store, cisa) == {indicator_id(US, ip("45.0.0.1"))}


def test_the_day_on_which_the_legal_basis_ends(store: Store, cisa: Collection) -> None:
    """AIS-09: what the profile wants on record is asked every day, without anybody touching a file."""
    find(store)
    short = (msgspec.structs.replace(LAW[0], ends=None), LAW[0])
    terms = msgspec.structs.replace(profiled(), legal_basis=short[1:], expires_on=short[1].ends)
    let_out(store, node_outlet(cisa, terms))
    assert held_ids(store, cisa)
    after = node_outlet(cisa, terms, NOW + 400 * DAY)
    assert let_out(store, after).withdrawn == 1


def broken(store: Store, cisa: Collection, terms: Agreement, **more: Any) -> PublishReport:
    """Publishes one finding."""
    find(store)
    return let_out(store, node_outlet(cisa, terms, **more))


def test_a_plain_profile_gets_a_plain_identity(store: Store, cisa: Collection) -> None:
    """A profile that does not ask for the set gets our Identity without label and place; data decides, not a name."""
    outlet = node_outlet(cisa, profiled("isac", consent="ais-consent-everyone"))
    find(store)
    let_out(store, outlet)
    assert types(store, cisa) == ["identity", "indicator"]
    assert "labels" not in served(store, cisa)[0].body
    assert received(store, cisa, outlet).faults == ()


def test_a_site_asks_for_the_set_under_any_name(store: Store, cisa: Collection) -> None:
    """A site's own profile that asks for the set gets it."""
    ours = replace(shipped_profiles()["isac"], name="north", rules=(), introduction="identity-set")
    broken(store, cisa, profiled("north"), profiles={"north": ours})
    assert types(store, cisa) == [*SET, "indicator"]


def test_a_low_ceiling_marks_the_set_lower(store: Store, cisa: Collection) -> None:
    """Under a ceiling of GREEN the set is GREEN, so that it can go."""
    broken(store, cisa, profiled(max_tlp="green"))
    assert types(store, cisa) == [*SET, "indicator"]


def test_a_certificate_that_ends_soon(store: Store, cisa: Collection) -> None:
    """AIS-09: a client certificate whose last days have come keeps everything here; a good one is checked."""
    from threatshare.policy.profile_bundles import Record

    today = node_outlet(cisa, profiled()).facts.today
    good, ending = Record("a", None, today.replace(year=today.year + 1)), Record("b", None, today)
    report = broken(store, cisa, profiled(), certificates={"cisa": (ending,)})
    assert (report.released, report.refused) == ({"to-cisa": 0}, 1)
    assert any("AIS-09" in one.text for one in report.decisions[0][2].reasons if one.verdict is Verdict.REFUSE)
    assert let_out(store, node_outlet(cisa, profiled(), certificates={"cisa": (good,)})).released == {"to-cisa": 1}
    ((_, release),) = decisions_on(store.conn, indicator_id(US, BAD))
    assert not any("not checked" in one.text for one in release.reasons)
