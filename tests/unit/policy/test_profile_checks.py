"""The checks of profiles: each lets a good submission pass, and says exactly what is wrong with a bad one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from gate_builders import TODAY, US, our_indicator
from profile_builders import FACTS, IN_FORCE, SUBMITTER, bundled, changed, exported, faults, held, submission
from threatshare.config import OwnAssets
from threatshare.exports.bundle import write_bundle
from threatshare.model import Kind, Observable, Tlp
from threatshare.policy.profile_bundles import NodeFacts, Record, Spot, read_bundle
from threatshare.policy.profile_checks import CHECKS
from threatshare.policy.profile_contents import TlpTerms, tlp_within
from threatshare.policy.profiles import check, shipped_profiles
from threatshare.stix.objects import written
from threatshare.stix.tlp import TLP1_ID, TLP2_ID

OTHER = "identity--0f3d8c52-6c1e-4d0a-8f0b-5a1d3b8e7c21"
OPENCTI_STRICT = "marking-definition--826578e1-40ad-459f-bc73-ede076f81f37"
STATEMENT = "marking-definition--11111111-1111-4111-8111-111111111111"


def test_a_whole_submission_passes_ais() -> None:
    """Identity, place, consent, markings and an indicator of ours: nothing is found, one thing is not checkable."""
    report = held(submission())
    assert (report.faults, report.passes) == ((), True)
    assert [one.rule for one in report.not_checked] == ["AIS-11"]


def test_our_export_passes_isac_and_fails_ais_where_it_must() -> None:
    """A plain bundle of ours is what an ISAC wants; for AIS it lacks consent and place, and nothing else."""
    text = b"".join(write_bundle([written(one) for one in exported()], "bundle--" + BID))
    profiles = shipped_profiles()
    assert check(profiles["isac"], read_bundle(text), FACTS).faults == ()
    found = [(one.rule, one.pointer) for one in check(profiles["ais"], read_bundle(text), FACTS).faults]
    assert found == [("AIS-02", "/labels"), ("AIS-04", "")]


BID = "6f1b7f4e-6a8e-4f0b-9c59-1c9f8d1a2b3c"


@pytest.mark.parametrize("name", CHECKS)
def test_every_check_is_used_by_a_shipped_profile(name: str) -> None:
    """No check stands in the table that nobody asks."""
    assert any(rule.check == name for one in shipped_profiles().values() for rule in one.rules)


# --- AIS-01 to AIS-04, who submits -------------------------------------------------------------------


def test_nobody_submits() -> None:
    """Without an Identity in the file each rule about the submitter says so."""
    found = faults([one for one in submission() if one["type"] in ("indicator", "marking-definition")])
    assert found == ["AIS-01 block file", "AIS-02 block file", "AIS-04 block file"]


@pytest.mark.parametrize(("maker", "pointer"), [(None, "/created_by_ref"), (OTHER, "/created_by_ref")])
def test_every_object_names_the_submitter(maker: str | None, pointer: str) -> None:
    """An object without creator, or with another, is told; a TLP definition and an observable have none to name."""
    objects = changed(submission(), "indicator", created_by_ref=maker)
    assert faults(objects) == [f"AIS-01 block indicator {pointer}"]


def test_two_submitters() -> None:
    """Two Identities that both made something are one too many."""
    second = replace(SUBMITTER, identity=OTHER, name="Their Company")
    found = faults([*submission(), *submission(second)])
    assert "AIS-01 block file" in found
    assert "AIS-01 block indicator /created_by_ref" in found


@pytest.mark.parametrize(
    ("properties", "pointer"),
    [
        ({"identity_class": "individual"}, "/identity_class"),
        ({"identity_class": None}, "/identity_class"),
        ({"name": None}, "/name"),
        ({"sectors": None}, "/sectors"),
        ({"sectors": []}, "/sectors"),
        ({"sectors": "technology"}, "/sectors"),
        ({"sectors": ["technology", 7]}, "/sectors"),
        ({"sectors": ["energy", "cyber"]}, "/sectors/1"),
        ({"labels": None}, "/labels"),
        ({"labels": ["ais-consent-none", "ais-consent-usg"]}, "/labels"),
        ({"labels": ["AIS-consent-none"]}, "/labels"),
    ],
)
def test_an_incomplete_identity(properties: dict[str, Any], pointer: str) -> None:
    """Class, name, sectors and consent label of the submitter are each looked at."""
    assert f"AIS-02 block identity {pointer}" in faults(changed(submission(), "identity", **properties))


def test_other_labels_may_stand_beside_the_consent() -> None:
    """Only consent labels are counted."""
    assert faults(changed(submission(), "identity", labels=["ais-consent-none", "something"])) == []


@pytest.mark.parametrize(
    "label", ["cisa-proprietary", "ais-consent-usg-CISA-Proprietary", "ais-consent-none-cisa-proprietary"]
)
def test_proprietary_only_with_everyone(label: str) -> None:
    """CISA-proprietary stands in one label or in none, on whatever object."""
    assert "AIS-03 block indicator /labels/1" in faults(changed(submission(), "indicator", labels=["a", label]))
    good = replace(SUBMITTER, consent="ais-consent-everyone-cisa-proprietary")
    assert faults(submission(good)) == []


@pytest.mark.parametrize(
    ("kind", "properties", "where"),
    [
        ("location", {"country": "us"}, "location /country"),
        ("location", {"country": "UK"}, "location /country"),
        ("location", {"country": 5}, "location /country"),
        ("location", {"administrative_area": "DE-BE"}, "location /administrative_area"),
        ("location", {"administrative_area": None}, "location /administrative_area"),
        ("location", {"administrative_area": "DC"}, "location /administrative_area"),
        ("relationship", {"relationship_type": "related-to"}, "identity"),
        ("relationship", {"source_ref": OTHER}, "identity"),
        ("relationship", {"target_ref": OTHER}, "relationship /target_ref"),
        ("relationship", {"target_ref": ["x"]}, "relationship /target_ref"),
    ],
)
def test_the_place_of_the_submitter(kind: str, properties: dict[str, Any], where: str) -> None:
    """Country, area, its prefix and the way from the Identity to the place are each looked at."""
    assert faults(changed(submission(), kind, **properties)) == [f"AIS-04 block {where}"]


# --- AIS-05, AIS-06: markings, properties ------------------------------------------------------------


@pytest.mark.parametrize("tlp", [Tlp.CLEAR, Tlp.GREEN, Tlp.AMBER])
def test_allowed_markings(tlp: Tlp) -> None:
    """CLEAR, GREEN and AMBER pass by the ids of TLP 1 and of TLP 2.0."""
    for family in (TLP1_ID, TLP2_ID):
        assert faults(changed(submission(), "indicator", object_marking_refs=[family[tlp]])) == []


@pytest.mark.parametrize(
    ("properties", "pointer"),
    [
        ({"object_marking_refs": [TLP2_ID[Tlp.RED]]}, "/object_marking_refs/0"),
        ({"object_marking_refs": [TLP1_ID[Tlp.RED]]}, "/object_marking_refs/0"),
        ({"object_marking_refs": [TLP2_ID[Tlp.GREEN], TLP2_ID[Tlp.AMBER_STRICT]]}, "/object_marking_refs/1"),
        ({"object_marking_refs": [OPENCTI_STRICT]}, "/object_marking_refs/0"),
        ({"object_marking_refs": [TLP2_ID[Tlp.GREEN], STATEMENT]}, "/object_marking_refs/1"),
        ({"object_marking_refs": None}, "/object_marking_refs"),
        ({"granular_markings": [{"marking_ref": TLP2_ID[Tlp.RED], "selectors": ["name"]}]}, "/granular_markings/0"),
        ({"granular_markings": [{"selectors": ["name"]}]}, "/granular_markings/0"),
    ],
)
def test_markings_that_may_not_stand_there(properties: dict[str, Any], pointer: str) -> None:
    """RED, AMBER+STRICT, what is no TLP, and no marking at all are told; markings of parts count."""
    assert faults(changed(submission(), "indicator", **properties)) == [f"AIS-05 block indicator {pointer}"]


def test_a_language_is_no_marking() -> None:
    """What only says the language of a part restricts nothing (STIX 2.1 §7.2.3)."""
    objects = changed(submission(), "indicator", granular_markings=[{"lang": "de", "selectors": ["name"]}])
    assert faults(objects) == []


@pytest.mark.parametrize(
    ("properties", "pointer"),
    [
        ({"x_owner": "somebody"}, "/x_owner"),
        ({"Jane Doe 123456": 1}, "/*"),
        ({"kill_chain_phases": [{"x_note": 1}]}, "/kill_chain_phases/0/x_note"),
        ({"extensions": {STATEMENT: {}}}, "/extensions/*"),
        ({"extensions": {"extension-definition--" + BID: {}}}, "/extensions/extension-definition--" + BID),
        ({"extensions": 5}, "/extensions/*"),
    ],
)
def test_properties_that_may_not_stand_there(properties: dict[str, Any], pointer: str) -> None:
    """Custom properties and extensions are told, also within others, by a name that can be no value."""
    assert f"AIS-06 block indicator {pointer}" in faults(changed(submission(), "indicator", **properties))


def test_types_that_may_not_stand_there() -> None:
    """A type that is not on the list is told once, whatever it consists of; so are additions to the bundle itself."""
    note = our_indicator() | {"type": "x-note", "id": "x-note--" + BID, "x_a": 1}
    assert faults([*submission(), note]) == ["AIS-06 block x-note /type"]
    assert faults(submission(), x_internal="who") == ["AIS-06 block file"]


# --- AIS-07, AIS-08: ours, and people's --------------------------------------------------------------


@pytest.mark.parametrize(
    ("observable", "on_fail"),
    [
        (Observable(Kind.IPV4, "45.10.3.4"), "block"),
        (Observable(Kind.IPV4, "192.168.3.4"), "block"),
        (Observable(Kind.IPV4, "10.0.0.0/8"), "block"),
        (Observable(Kind.IPV6, "2a0a:1::5"), "block"),
        (Observable(Kind.DOMAIN, "vpn.our-company.de"), "block"),
        (Observable(Kind.URL, "http://172.16.3.4/x"), "block"),
        (Observable(Kind.URL, "http://example.net/our-company.de"), "queue"),
        (Observable(Kind.EMAIL, "jane@mail.our-company.de"), "block"),
        (
            Observable(Kind.PATTERN, "[domain-name:value = 'vpn.our-company.de' AND ipv4-addr:value = '1.2.3.4']"),
            "queue",
        ),
    ],
)
def test_values_of_ours(observable: Observable, on_fail: str) -> None:
    """What is ours or internal blocks as a value; a name of ours within another's value is for a person to judge."""
    objects = [*submission(), our_indicator(observable)]
    assert f"AIS-07 {on_fail} indicator /pattern" in faults(objects)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("seen by 45.10.3.4", "AIS-07 block"),
        ("opened by jane@mail.our-company.de", "AIS-07 block"),
        ("C:\\Users\\jdoe\\x.exe", "AIS-07 queue"),
        ("sent to jane@example.com", "AIS-08 queue"),
        ("card 4111 1111 1111 1111", "AIS-08 queue"),
    ],
)
def test_texts_with_what_is_somebodys(text: str, found: str) -> None:
    """Texts are searched by the gate's own detectors, and no fault repeats what was found."""
    objects = changed(submission(), "indicator", description=text)
    assert f"{found} indicator /description" in faults(objects)
    said = " ".join(f"{one.found} {one.mend}" for one in held(objects).faults)
    assert not any(secret in said for secret in ("45.10.3.4", "jane", "jdoe", "4111"))


def test_own_values_of_observable_objects() -> None:
    """An observable object that holds an internal address is told too."""
    sco = {"type": "ipv4-addr", "spec_version": "2.1", "id": "ipv4-addr--" + BID, "value": "10.1.2.3"}
    assert "AIS-07 block ipv4-addr /value" in faults([*submission(), sco])
    assert "AIS-07 block ipv4-addr /value" not in faults([*submission(), sco | {"value": "1.2.3.x"}])


def test_without_a_node_what_is_ours_is_not_known() -> None:
    """Internal addresses are found anyway; that the rest was not looked for is said."""
    report = held([*submission(), our_indicator(Observable(Kind.IPV4, "10.1.2.3"))], facts=None)
    assert [one.rule for one in report.faults] == ["AIS-07"]
    assert {one.rule for one in report.not_checked} == {"AIS-07", "AIS-09", "AIS-11"}
    nothing = replace(FACTS, own=OwnAssets())
    assert "AIS-07" in {one.rule for one in held(submission(), facts=nothing).not_checked}


# --- AIS-09 to AIS-11 --------------------------------------------------------------------------------

DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("kind", "record", "good"),
    [
        ("legal-basis", Record("law"), True),
        ("legal-basis", Record("law", TODAY, TODAY), True),
        ("legal-basis", Record("law", TODAY - 9 * DAY, TODAY - DAY), False),
        ("legal-basis", Record("law", TODAY + DAY), False),
        ("agreement", Record("tou", None, TODAY), True),
        ("agreement", Record("tou", None, TODAY - DAY), False),
        ("certificate", Record("key", None, TODAY + 14 * DAY), True),
        ("certificate", Record("key", None, TODAY + 13 * DAY), False),
    ],
)
def test_records_cover_today(kind: Any, record: Record, good: bool) -> None:
    """Law and agreement count to their last day; a certificate has to be good for a fortnight yet."""
    facts = replace(FACTS, records={**FACTS.records, kind: (record,)})
    assert faults(submission(), facts=facts) == ([] if good else ["AIS-09 block file"])


def test_a_kind_without_records_fails_and_an_unknown_one_is_not_checked() -> None:
    """That there is no record is a fault; that nobody looked is not."""
    none = replace(FACTS, records={"legal-basis": (), "agreement": IN_FORCE})
    report = held(submission(), facts=none)
    assert [one.found for one in report.faults] == ["no legal-basis on record is in force today"]
    assert [one.why for one in report.not_checked if one.rule == "AIS-09"] == ["certificate: no dated record was given"]


@pytest.mark.parametrize("consent", ["ais-consent-none", "ais-consent-usg"])
@pytest.mark.parametrize(
    ("kind", "properties", "where"),
    [
        ("indicator", {"description": "seen at OUR company, twice"}, "indicator /description"),
        ("indicator", {"name": "Our Company's finding"}, "indicator /name"),
        ("identity", {"description": "This is Our Company."}, "identity /description"),
        (
            "indicator",
            {"external_references": [{"source_name": "x", "url": f"https://example.com/{US.partition('--')[2]}"}]},
            "indicator /external_references/0/url",
        ),
    ],
)
def test_a_hidden_submitter_is_not_named(consent: Any, kind: str, properties: dict[str, Any], where: str) -> None:
    """Without consent neither name nor id stands in texts and references; with it they may."""
    assert faults(changed(submission(replace(SUBMITTER, consent=consent)), kind, **properties)) == [
        f"AIS-10 block {where}"
    ]
    told = replace(SUBMITTER, consent="ais-consent-everyone")
    assert faults(changed(submission(told), kind, **properties)) == []


def test_the_bundle_id_does_not_give_the_submitter_away() -> None:
    """The bundle's id is not made of the submitter's."""
    assert faults(submission(), bundle_id="bundle--" + US.partition("--")[2]) == ["AIS-10 block file /id"]


def test_part_of_a_word_is_no_name() -> None:
    """A name counts as a word of its own."""
    assert faults(changed(submission(), "indicator", description="Your Company, our companyish")) == []


def test_who_submits_is_known_from_the_node_too() -> None:
    """Where the file has another submitter who is hidden, our own name is looked for as well."""
    hidden = replace(SUBMITTER, identity=OTHER, name="Submitter 7")
    objects = changed(submission(hidden), "indicator", description="by Our Company")
    assert faults(objects) == ["AIS-10 block indicator /description"]
    assert [one.rule for one in held([], facts=NodeFacts()).not_checked if one.rule == "AIS-10"] == ["AIS-10"]


# --- what only isac asks -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["valid_until", "indicator_types", "confidence", "name"])
def test_minimum_properties(name: str) -> None:
    """An indicator for the ISAC says what, how sure and until when."""
    found = faults(changed(exported(), "indicator", **{name: None}), "isac")
    assert set(found) == {f"ISAC-05 block indicator /{name}"}


@pytest.mark.parametrize(
    "properties",
    [
        {"pattern": "[ipv4-addr:value = '45.66.77.88'] OR [ipv4-addr:value = '45.66.77.89']"},
        {"pattern": "[file:name = 'a' AND file:size = 7]"},
        {"pattern": "not a pattern"},
        {"pattern": "rule a { condition: true }", "pattern_type": "yara"},
    ],
)
def test_one_comparison(properties: dict[str, Any]) -> None:
    """Several values, compound patterns, other languages and what cannot be read are told alike."""
    assert set(faults(changed(exported(), "indicator", **properties), "isac")) == {"ISAC-06 block indicator /pattern"}


def test_isac_takes_no_location() -> None:
    """What AIS wants beyond, the plain exchange does not take."""
    assert set(faults(submission(), "isac")) == {
        "ISAC-04 block location /type",
        "ISAC-04 block relationship /type",
    }


# --- corners -----------------------------------------------------------------------------------------


def test_a_family_of_ids_may_be_demanded() -> None:
    """Where only the TLP 2.0 ids may stand, the older id of the same label is told, with the family that is wanted."""
    bundle = read_bundle(bundled(changed(submission(), "indicator", object_marking_refs=[TLP1_ID[Tlp.GREEN]])))
    (spot,) = tlp_within(bundle, TlpTerms(("green", "amber"), ("tlp2",)), FACTS)
    assert isinstance(spot, Spot)
    assert (spot.pointer, spot.mend) == ("/object_marking_refs/0", "use the OASIS TLP 2.0 extension's id")


def test_a_mail_address_of_ours_must_be_the_phishers_own() -> None:
    """Our own indicator of a mail address needs that role; what others indicate is their indicator."""
    mail = our_indicator(Observable(Kind.EMAIL, "phisher@example.net"))
    assert faults([*submission(), mail]) == []
    assert faults([*submission(), mail | {"labels": ["c2"]}]) == ["AIS-08 queue indicator /pattern"]
    theirs = mail | {"labels": ["c2"], "created_by_ref": OTHER}
    assert faults([*submission(), theirs]) == ["AIS-01 block indicator /created_by_ref"]


@pytest.mark.parametrize("kind", ["stix", "sigma"])
def test_a_pattern_that_cannot_be_read_is_searched_as_text(kind: str) -> None:
    """What is ours is found in it all the same."""
    objects = changed(submission(), "indicator", pattern="[oops = 'vpn.our-company.de", pattern_type=kind)
    assert faults(objects) == ["AIS-07 queue indicator /pattern"]


def test_silence_is_no_consent() -> None:
    """A submitter without any consent label is not to be named either."""
    objects = changed(changed(submission(), "identity", labels=None), "indicator", description="Our Company")
    assert faults(objects) == ["AIS-02 block identity /labels", "AIS-10 block indicator /description"]


def test_what_blocks_stands_before_what_queues() -> None:
    """A rule that comes later stands first where it is more severe."""
    objects = changed(submission(), "indicator", description="Our Company told jane@example.com")
    assert faults(objects) == ["AIS-10 block indicator /description", "AIS-08 queue indicator /description"]
