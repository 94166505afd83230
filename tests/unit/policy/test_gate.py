"""The gate: each rule for itself, and the verdict of all together."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from gate_builders import (
    BAD,
    INTERNAL,
    SIEM,
    THEM,
    TODAY,
    agreement,
    ask,
    facts,
    our_identity,
    our_indicator,
    our_sighting,
    partner,
    rules_against,
)
from threatshare.config import OwnAssets
from threatshare.model import CollectionKind, Kind, Observable, Tlp, Verdict
from threatshare.policy.agreements import Inbound, LegalBasis, Outbound
from threatshare.policy.gate import RULES, Audience, Candidate, decide
from threatshare.stix.objects import revoked
from threatshare.stix.observables import canonical, recognise
from threatshare.stix.tlp import TLP1_ID, TLP2_ID, marking_definition

REFUSE, HOLD = Verdict.REFUSE, Verdict.HOLD
STATEMENT = "marking-definition--00000000-0000-4000-8000-000000000001"


def theirs(tlp: Tlp = Tlp.GREEN, **more: Any) -> dict[str, Any]:
    return our_indicator(tlp=tlp, maker=THEM) | {"name": "their words", "x_theirs": 1} | more


def test_release_shows_that_every_rule_has_spoken() -> None:
    """An object that nothing stands against is released, and every rule says so."""
    decision = decide(ask(our_indicator()), partner(), facts())
    assert decision.verdict is Verdict.RELEASE
    assert [one.rule for one in decision.reasons] == [
        "agreement-in-force",
        "exercise",
        "marking-ceiling",
        "marking-unknown",
        "marking-terms",
        "no-echo",
        "onward",
        "onward-terms",
        "own-assets-not-declared",
        "own-asset",
        "never-share",
        "reserved",
        "allowed-fields",
        "anonymity",
        "privacy",
        "validity",
        "minimum-score",
        "maximum-age",
        "object-type",
        "references",
        "report-text",
        "approval",
        "profile",
    ]
    assert len(RULES) == 23


@pytest.mark.parametrize("audience", [INTERNAL, SIEM])
def test_our_own_organisation_needs_no_agreement(audience: Audience) -> None:
    """The internal and the SIEM collection take up to AMBER+STRICT without any agreement, and never RED."""
    assert rules_against(ask(our_indicator(tlp=Tlp.AMBER_STRICT)), audience) == []
    assert rules_against(ask(our_indicator(tlp=Tlp.RED)), audience) == [("marking-ceiling", REFUSE)]


@pytest.mark.parametrize(
    "one",
    [
        agreement(signed_on=None),
        agreement(expires_on=date(2026, 6, 14)),
        agreement(effective_from=date(2026, 6, 16)),
        agreement(legal_basis=(LegalBasis("law", date(2020, 1, 1), date(2025, 1, 1)),)),
        agreement(outbound=Outbound("amber", collections=("elsewhere",))),
    ],
    ids=["unsigned", "expired", "early", "no legal basis", "other collection"],
)
def test_agreement_in_force(one: Any) -> None:
    """Without an agreement in force that covers the collection nothing leaves."""
    assert ("agreement-in-force", REFUSE) in rules_against(ask(our_indicator()), partner(one))


def test_no_agreement() -> None:
    """A partner's collection without agreement has no ceiling either: both rules refuse."""
    against = rules_against(ask(our_indicator()), Audience("to-north", CollectionKind.PARTNER))
    assert against == [("agreement-in-force", REFUSE), ("marking-ceiling", REFUSE), ("object-type", REFUSE)]


@pytest.mark.parametrize("kind", [CollectionKind.INBOX, CollectionKind.EXCHANGE])
def test_nothing_is_published_into_what_others_write(kind: CollectionKind) -> None:
    """Inboxes and exchanges hold what was posted to them, and nothing of ours, agreement or not."""
    against = rules_against(ask(our_indicator(tlp=Tlp.CLEAR)), Audience("box", kind, agreement()))
    assert ("agreement-in-force", REFUSE) in against
    assert ("marking-ceiling", REFUSE) in against


@pytest.mark.parametrize("ceiling", list(Tlp))
@pytest.mark.parametrize("tlp", list(Tlp))
def test_marking_ceiling(tlp: Tlp, ceiling: Tlp) -> None:
    """What is marked above the agreement's ceiling is refused, and nothing else is."""
    audience = partner(agreement(outbound=Outbound(ceiling.label)))  # type: ignore[arg-type]
    assert rules_against(ask(our_indicator(tlp=tlp)), audience) == [("marking-ceiling", REFUSE)] * (tlp > ceiling)


def test_granular_markings_count_for_the_whole() -> None:
    """A part marked above the ceiling keeps the whole object here."""
    content = theirs() | {"granular_markings": [{"marking_ref": TLP1_ID[Tlp.RED], "selectors": ["name"]}]}
    assert ("marking-ceiling", REFUSE) in rules_against(ask(content, source="south"), INTERNAL)
    language = theirs() | {"granular_markings": [{"lang": "de", "selectors": ["name"]}]}
    assert rules_against(ask(language, source="south"), INTERNAL) == []


def test_unmarked_never_leaves() -> None:
    """An object of ours without marking is refused: we always mark."""
    content = our_indicator()
    del content["object_marking_refs"]
    assert rules_against(ask(content), partner()) == [("marking-ceiling", REFUSE)]


@pytest.mark.parametrize(
    "refs", [[TLP2_ID[Tlp.CLEAR], STATEMENT], [TLP2_ID[Tlp.CLEAR], 5], "TLP:CLEAR", {"a": 1}], ids=str
)
def test_unknown_marking(refs: object) -> None:
    """A marking that this node cannot read refuses, whatever stands beside it."""
    against = rules_against(ask(theirs() | {"object_marking_refs": refs}, source="south"), INTERNAL)
    assert ("marking-unknown", REFUSE) in against


def test_own_asset() -> None:
    """Our addresses, names, mail addresses and networks around them never leave, not even inside our organisation."""
    for text in (
        "45.10.1.1",
        "45.0.0.0/8",
        "2a0a:1::7",
        "our-company.de",
        "vpn.our-company.de",
        "http://www.our-company.de/x",
        "http://45.10.3.4/x",
        "jane@mail.our-company.de",
    ):
        value = recognise(text) if ":1::" not in text else canonical(Kind.IPV6, text)
        for audience in (partner(), INTERNAL, SIEM):
            assert ("own-asset", REFUSE) in rules_against(ask(our_indicator(value), [value]), audience), text


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("http://evil.ru/?to=jane@our-company.de", REFUSE),
        ("http://evil.ru/?to=jane%40mail.our-company.de&x=1", REFUSE),
        ("http://evil.ru/?to=jane@any.name.of.our-company.de", REFUSE),
        ("http://evil.ru/r?u=http%253A%252F%252Fx%252F%253Fm%253Djane%252540our-company.de", REFUSE),
        ("http://evil.ru/?q=amFuZUBvdXItY29tcGFueS5kZQ", REFUSE),
        ("http://evil.ru/x/6a616e65406f75722d636f6d70616e792e6465", REFUSE),
        ("http://evil.ru/scan?ip=45.10.2.3", REFUSE),
        ("http://evil.ru/scan?ip=2a0a:1::77", REFUSE),
        ("http://evil.ru/scan?ip=NDUuMTAuMi4z", REFUSE),
        ("http://evil.ru/our-company.de/login", HOLD),
        ("http://our-company.de.evil.ru/login", None),
        ("http://evil.ru/not-our-company.de/", None),
        ("http://evil.ru/our-company.debt", None),
        ("jane=our-company.de@evil.ru", REFUSE),
        ("our-company.de@evil.ru", HOLD),
    ],
)
def test_own_names_inside_others_values(text: str, verdict: Verdict | None) -> None:
    """A mail address or address of ours inside a value refuses it, encoded or not; our domain makes a person decide."""
    value = recognise(text)
    against = [one for one in rules_against(ask(our_indicator(value), [value]), partner()) if one[0] == "own-asset"]
    assert against == ([] if verdict is None else [("own-asset", verdict)])


def test_what_cannot_be_checked_is_held_or_refused() -> None:
    """A compound pattern is held, since nobody looks inside it; an indicator without value is refused."""
    value = Observable(Kind.PATTERN, "[ipv4-addr:value = '45.10.1.1' AND ipv4-addr:value = '45.66.1.1']")
    assert ("own-asset", HOLD) in rules_against(ask(theirs(), [value], source="south"), INTERNAL)
    assert ("own-asset", REFUSE) in rules_against(ask(our_indicator(), []), partner())


def test_own_assets_must_be_declared() -> None:
    """A node that has not said what is its own publishes nothing; one that says it has nothing does."""
    unknown, none = facts(own=OwnAssets()), facts(own=OwnAssets(declared_empty=True))
    for audience in (partner(), INTERNAL, SIEM):
        assert rules_against(ask(our_indicator()), audience, unknown) == [("own-assets-not-declared", REFUSE)]
        assert rules_against(ask(our_indicator()), audience, none) == []


def test_reserved_values_never_leave() -> None:
    """Reserved ranges and hard known-benign values are refused on every node."""
    for text in ("10.1.2.3", "224.0.0.1", "co.uk", "http://printer.local/", "d41d8cd98f00b204e9800998ecf8427e"):
        value = recognise(text)
        for purpose in ("live", "demo", "exercise"):
            against = rules_against(ask(our_indicator(value), [value]), partner(), facts(purpose=purpose))
            assert against == [("reserved", REFUSE)]


@pytest.mark.parametrize("text", ["203.0.113.7", "evil.example.com", "http://c2.test/x"])
def test_documentation_values_leave_demo_and_exercise_nodes_only(text: str) -> None:
    """Documentation ranges and names pass where the node is for demos or exercises, and nowhere else."""
    value = recognise(text)
    candidate = ask(our_indicator(value), [value])
    assert rules_against(candidate, partner(), facts(purpose="live")) == [("reserved", REFUSE)]
    assert rules_against(candidate, partner(), facts(purpose="demo")) == []
    assert rules_against(candidate, partner(), facts(purpose="exercise")) == []


def test_exercise_data_stays_on_exercise_nodes() -> None:
    """What is labelled as an exercise leaves no live or demo node, and an agreement for exercises serves no other."""
    labelled = our_indicator()
    labelled["labels"] = ['exercise:generic="comcheck"', "c2"]
    labelled["description"] = 'Reported as c2, exercise:generic="comcheck".'
    only = partner(agreement(outbound=Outbound("amber", exercise_only=True)))
    for purpose, against in (("live", [("exercise", REFUSE)]), ("demo", [("exercise", REFUSE)]), ("exercise", [])):
        assert rules_against(ask(labelled), partner(), facts(purpose=purpose)) == against
        assert rules_against(ask(our_indicator()), only, facts(purpose=purpose)) == against


@pytest.mark.parametrize(("score", "against"), [(None, True), (0, True), (59, True), (60, False), (100, False)])
def test_minimum_score(score: int | None, against: bool) -> None:
    """An indicator under the agreed score waits; the SIEM's floor works alike."""
    wanted = [("minimum-score", HOLD)] * against
    audience = partner(agreement(outbound=Outbound("amber", min_score=60)))
    assert rules_against(ask(our_indicator(), score=score), audience) == wanted
    assert rules_against(ask(our_indicator(), score=score), SIEM, facts(siem_floor=60)) == wanted
    gone = revoked(our_indicator(), 1_790_000_000_000_000)
    assert rules_against(ask(gone, score=score), audience) == []


@pytest.mark.parametrize(("ends", "against"), [("2026-06-14", True), ("2026-06-15", False), ("2026-06-16", False)])
def test_validity(ends: str, against: bool) -> None:
    """What ended before today is no news to a partner; our own tools and withdrawals do not mind."""
    old = our_indicator() | {"valid_from": "2026-01-01T00:00:00.000Z", "valid_until": f"{ends}T12:00:00.000Z"}
    assert rules_against(ask(old), partner()) == [("validity", REFUSE)] * against
    assert rules_against(ask(old), INTERNAL) == []
    assert rules_against(ask(old | {"revoked": True}), partner()) == []


def test_object_type() -> None:
    """Types and indicator types that the agreement does not name stay; our identity goes along."""
    sighting = ask(our_sighting(our_indicator()["id"]), [], about="own")
    indicators_only = partner(agreement(outbound=Outbound("amber")))
    assert rules_against(sighting, indicators_only) == [("object-type", REFUSE)]
    assert rules_against(sighting, partner()) == rules_against(sighting, INTERNAL) == []
    assert rules_against(sighting, SIEM) == [("object-type", REFUSE)]
    assert rules_against(ask(our_identity(), []), indicators_only) == []
    typed = partner(agreement(outbound=Outbound("amber", indicator_types=("anonymization",))))
    assert rules_against(ask(our_indicator()), typed) == [("object-type", REFUSE)]


@pytest.mark.parametrize("tlp", list(Tlp))
def test_tlp_definitions_go_along_to_the_letter(tlp: Tlp) -> None:
    """The canonical definition of a label may go to anybody; anything else under its id may not."""
    definition = marking_definition(tlp)
    assert rules_against(ask(definition, []), partner()) == []
    forged = definition | {"name": "TLP:CLEAR, share freely"}
    assert ("allowed-fields", REFUSE) in rules_against(ask(forged, []), partner())


def onward_inbound(limit: Any = "green") -> Inbound:
    return Inbound(sources=("south-feed", THEM), onward_max_tlp=limit)


def test_what_others_gave_us_stays_unless_allowed() -> None:
    """Without an agreement with its source nothing received goes on to a partner; inside it stays usable."""
    received = ask(theirs(Tlp.CLEAR), source="south-feed")
    assert rules_against(received, partner()) == [("onward", REFUSE)]
    assert rules_against(received, INTERNAL) == []


@pytest.mark.parametrize(
    ("limit", "tlp", "goes"),
    [
        ("green", Tlp.CLEAR, True),
        ("green", Tlp.GREEN, True),
        ("clear", Tlp.CLEAR, True),
        ("clear", Tlp.GREEN, False),
        ("green", Tlp.AMBER, False),
        (None, Tlp.CLEAR, False),
    ],
)
def test_onward_limit(limit: Any, tlp: Tlp, goes: bool) -> None:
    """What was received goes on up to the limit of its source's agreement, and from AMBER on never."""
    south = agreement("south", inbound=onward_inbound(limit))
    given = facts(agreements={"south": south, "north": agreement()})
    against = rules_against(ask(theirs(tlp), source="south-feed"), partner(), given)
    assert bool(against) is not goes
    assert {rule for rule, _ in against} <= {"onward"}


def test_onward_needs_the_sources_agreement_in_force() -> None:
    """An expired agreement with the source gives no right to pass anything on."""
    south = agreement("south", inbound=onward_inbound(), expires_on=date(2026, 6, 14))
    given = facts(agreements={"south": south})
    assert rules_against(ask(theirs(), source="south-feed"), partner(), given) == [("onward", REFUSE)]


def test_the_first_source_has_its_say_too() -> None:
    """What a hub brought counts also under the agreement with whoever said it first."""
    hub = agreement("hub", inbound=Inbound(onward_max_tlp="green"))
    strict = agreement("south", inbound=onward_inbound(None))
    given = facts(agreements={"hub": hub, "south": strict})
    assert rules_against(ask(theirs(), source="hub", origin="somebody"), partner(), given) == []
    assert rules_against(ask(theirs(), source="hub", origin=THEM), partner(), given) == [("onward", REFUSE)]


def test_no_echo() -> None:
    """A partner is not sent its own intelligence, by whatever feed or identity it came."""
    north = agreement(inbound=Inbound(sources=("north-feed", THEM), onward_max_tlp="green"))
    hub = agreement("hub", inbound=Inbound(onward_max_tlp="green"))
    given = facts(agreements={"north": north, "hub": hub})
    for source, origin in (("north", None), ("north-feed", None), ("hub", THEM)):
        received = ask(theirs(), source=source, origin=origin)
        assert ("no-echo", REFUSE) in rules_against(received, partner(north), given)


def test_what_comes_back_under_our_name_does_not_go_out_again() -> None:
    """An object that names us but came from elsewhere is refused everywhere."""
    for audience in (partner(), INTERNAL):
        assert ("no-echo", REFUSE) in rules_against(ask(our_indicator(), source="south"), audience)


def test_sightings_go_back_to_the_source_and_not_around_it() -> None:
    """A sighting of what a partner gave us may go back to it, and on to others no further than the thing itself."""
    sighted = our_indicator(maker=THEM)["id"]
    about_north = ask(our_sighting(sighted, Tlp.AMBER), [], about="north-feed")
    north = agreement(inbound=Inbound(sources=("north-feed",)), outbound=Outbound("amber", ("indicator", "sighting")))
    south = agreement("south", outbound=Outbound("amber", ("indicator", "sighting")))
    given = facts(agreements={"north": north, "south": south})
    assert rules_against(about_north, partner(north), given) == []
    assert set(rules_against(about_north, Audience("to-south", CollectionKind.PARTNER, south), given)) == {
        ("onward", REFUSE)
    }
    unknown = ask(our_sighting(sighted), [])
    assert rules_against(unknown, partner(north), given) == [("onward", REFUSE)]


def test_attribution() -> None:
    """Where the agreement forbids to name us, nothing that does leaves; where it demands it, nothing that does not."""
    nameless = our_indicator()
    del nameless["created_by_ref"]
    forbidden = partner(agreement(outbound=Outbound("amber", attribution="must-not")))
    demanded = partner(agreement(outbound=Outbound("amber", attribution="must")))
    for content, observables in ((our_indicator(), [BAD]), (our_identity(), [])):
        assert rules_against(ask(content, observables), forbidden) == [
            ("allowed-fields", REFUSE),
            ("anonymity", REFUSE),
        ]
        assert rules_against(ask(content, observables), demanded) == []
    assert rules_against(ask(nameless), forbidden) == [("anonymity", REFUSE)]
    assert rules_against(ask(nameless), demanded) == [("allowed-fields", REFUSE)]


def test_every_reason_is_given() -> None:
    """An object with several faults hears of all of them, and one refusal outweighs holds."""
    value = recognise("10.0.0.1")
    content = our_indicator(value, Tlp.RED) | {"x_note": "seen at jane's desk"}
    audience = partner(agreement(signed_on=None, outbound=Outbound("green", min_score=50)))
    decision = decide(ask(content, [value], score=10), audience, facts(own=OwnAssets()))
    assert decision.verdict is REFUSE
    assert [one.rule for one in decision.reasons if one.verdict is not Verdict.RELEASE] == [
        "agreement-in-force",
        "marking-ceiling",
        "own-assets-not-declared",
        "reserved",
        "allowed-fields",
        "minimum-score",
    ]


def test_a_hold_alone_holds() -> None:
    """Where nothing refuses, one hold is the verdict."""
    audience = partner(agreement(outbound=Outbound("amber", min_score=50)))
    assert decide(ask(our_indicator(), score=10), audience, facts()).verdict is HOLD


def test_reasons_never_name_the_value() -> None:
    """No reason against a value repeats it: reasons are logged and shown to people who may not see it."""
    for text in ("45.10.1.1", "http://evil.ru/?to=jane@our-company.de", "192.168.77.88", "jane.doe@our-company.de"):
        value = recognise(text)
        content = our_indicator(value) | {"description": "jane"}
        for reason in decide(ask(content, [value]), partner(), facts()).reasons:
            assert value.value not in reason.text
            assert "jane" not in reason.text


def test_the_day_decides() -> None:
    """The same object under the same agreement leaves on its last day and not on the next."""
    one = agreement(expires_on=TODAY)
    assert rules_against(ask(our_indicator()), partner(one)) == []
    tomorrow = replace(facts(), today=date(2026, 6, 16))
    assert rules_against(ask(our_indicator()), partner(one), tomorrow) == [("agreement-in-force", REFUSE)]


def held(score: int = 10) -> tuple[Candidate, Audience]:
    """An indicator that a minimum score holds."""
    audience = partner(agreement(outbound=Outbound("amber", min_score=50)))
    return ask(our_indicator(), score=score), audience


def test_a_person_releases_what_is_held() -> None:
    """A hold whose rule a person has released becomes a release that names the person; its words stay."""
    candidate, audience = held()
    before = decide(candidate, audience, facts())
    released = replace(candidate, approved={"minimum-score": "A. Person on 2026-06-15: known to be bad"})
    after = decide(released, audience, facts())
    assert (before.verdict, after.verdict) == (HOLD, Verdict.RELEASE)
    (why,) = [one.text for one in after.reasons if one.rule == "minimum-score"]
    (was,) = [one.text for one in before.reasons if one.rule == "minimum-score"]
    assert why == f"{was}; released by A. Person on 2026-06-15: known to be bad"


def test_a_release_is_for_one_rule() -> None:
    """A person's release of one rule moves no other rule's hold."""
    candidate, audience = held()
    released = replace(candidate, approved={"own-asset": "A. Person on 2026-06-15: looked at it"})
    assert decide(released, audience, facts()).verdict is HOLD


@pytest.mark.parametrize("rule", ["own-asset", "reserved", "marking-ceiling", "privacy-card", "allowed-fields"])
def test_no_person_overrules_a_refusal(rule: str) -> None:
    """What a rule refuses stays here, whoever has released that rule."""
    value = recognise("http://evil.ru/?n=4111-1111-1111-1111&to=jane@our-company.de")
    content = our_indicator(value, tlp=Tlp.RED) | {"x_note": "more"}
    approved = {rule: "A. Person on 2026-06-15: I want it"}
    before = decide(ask(content, [value]), partner(), facts())
    assert decide(ask(content, [value], approved=approved), partner(), facts()) == before


def test_every_hold_says_what_releases_it() -> None:
    """The text of a hold names what would let the object go."""
    compound = canonical(Kind.PATTERN, "[ipv4-addr:value = '45.1.2.3' AND url:value = 'http://evil.ru/']")
    mail = recognise("http://evil.ru/our-company.de/?to=jane@elsewhere.net&phone=+12025550123&user=jdoe")
    audience = partner(agreement(outbound=Outbound("amber", min_score=50)))
    for value in (compound, mail):
        decision = decide(ask(our_indicator(value), [value], score=10), audience, facts())
        holds = [one for one in decision.reasons if one.verdict is HOLD]
        assert len(holds) > 1
        assert all("; held: " in one.text and one.rule in one.text for one in holds)
