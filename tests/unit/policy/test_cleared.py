"""The way out: what `clear` lets through, what the second look catches, and that nobody else makes a Cleared."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from gate_builders import (
    BAD,
    INTERNAL,
    NOW,
    SIEM,
    THEM,
    US,
    agreement,
    ask,
    facts,
    our_identity,
    our_indicator,
    partner,
)
from threatshare.config import OwnAssets
from threatshare.errors import BadValue
from threatshare.model import CollectionKind, Decision, Marking, Tlp, Verdict
from threatshare.policy import gate, rules
from threatshare.policy.agreements import Inbound, Outbound
from threatshare.policy.gate import (
    Audience,
    Candidate,
    Cleared,
    candidate_of,
    clear,
    clear_withdrawal,
    may_exchange,
    policy_of,
)
from threatshare.stix.objects import revoked, written
from threatshare.stix.received import read_object
from threatshare.stix.tlp import TLP1_ID, TLP2_ID, marking_definition

BODY = written(our_indicator())


def cleared(body: bytes = BODY) -> Cleared:
    given = clear(candidate_of(body, [BAD]), body, partner(), facts())
    assert isinstance(given, Cleared)
    return given


def refused_by(given: Cleared | Decision) -> set[str]:
    assert isinstance(given, Decision), "it was cleared"
    assert given.verdict is Verdict.REFUSE
    return {one.rule for one in given.reasons if one.verdict is Verdict.REFUSE}


def test_what_is_released_is_cleared_with_its_bytes() -> None:
    """A release gives the object's bytes as they are, with what the store needs to keep them."""
    given = cleared()
    assert given.body is BODY
    assert given.object_id == our_indicator()["id"]
    assert (given.version, given.type, given.spec_version, given.audience) == (NOW, "indicator", "2.1", "to-north")
    assert given.decision.verdict is Verdict.RELEASE


def test_what_is_not_released_comes_back_as_its_decision() -> None:
    """A hold or a refusal gives the decision and nothing that could be served."""
    low = partner(agreement(outbound=Outbound("amber", min_score=50)))
    held = clear(candidate_of(BODY, [BAD]), BODY, low, facts())
    assert isinstance(held, Decision)
    assert held.verdict is Verdict.HOLD


@pytest.mark.parametrize(
    "attempt",
    [
        lambda one: Cleared(object(), our_indicator(), BODY, "to-north", one.decision),
        lambda one: Cleared(None, our_indicator(), BODY, "to-north", one.decision),
        lambda one: one.__init__(None, our_indicator(), BODY, "to-south", one.decision),
        lambda one: type("Mine", (Cleared,), {}),
        lambda one: setattr(one, "body", b"{}"),
        lambda one: setattr(one, "audience", "to-south"),
        lambda one: delattr(one, "body"),
        lambda one: setattr(one, "anything", 1),
        lambda one: copy.copy(one),
        lambda one: copy.deepcopy(one),
        lambda one: pickle.dumps(one),
        lambda one: one.__reduce__(),
        lambda one: Cleared.__new__(Cleared).body,
    ],
)
def test_only_the_gate_makes_cleared(attempt: Callable[[Any], object]) -> None:
    """It cannot be made elsewhere, derived from, changed, emptied, copied or pickled."""
    one = cleared()
    with pytest.raises((TypeError, AttributeError)):
        attempt(one)
    assert (one.body, one.audience) == (BODY, "to-north")


def test_the_bytes_must_be_what_was_decided_on() -> None:
    """Bytes that say anything else than the candidate are refused, also under the same markings."""
    for other in (written(our_indicator() | {"confidence": 71}), b"{", b"[]", b"{}", BODY + b" "):
        assert refused_by(clear(candidate_of(BODY, [BAD]), other, partner(), facts())) == {"served-bytes"}


def test_a_property_that_stands_twice_is_refused() -> None:
    """Readers differ on which of two equal names counts: such bytes of ours are refused."""
    twice = BODY.replace(b'{"type"', b'{"name":"jane","type"')
    assert refused_by(clear(candidate_of(twice, [BAD]), twice, partner(), facts())) == {"served-bytes"}


@pytest.mark.parametrize("tlp", [Tlp.AMBER_STRICT, Tlp.RED])
def test_the_second_look_does_not_need_the_ceiling_rule(tlp: Tlp, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were the ceiling rule lost, the second look at the bytes would still refuse what is above the ceiling."""
    monkeypatch.setattr(gate, "RULES", tuple(one for one in gate.RULES if one is not rules.marking_ceiling))
    body = written(our_indicator(tlp=tlp))
    assert refused_by(clear(candidate_of(body, [BAD]), body, partner(), facts())) == {"served-bytes"}
    assert isinstance(clear(candidate_of(BODY, [BAD]), BODY, partner(), facts()), Cleared)


def test_the_second_look_does_not_need_any_marking_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were every rule lost, unmarked bytes and unknown markings would still be refused."""
    monkeypatch.setattr(gate, "RULES", ())
    statement = {"object_marking_refs": ["marking-definition--00000000-0000-4000-8000-000000000001"]}
    for content in (our_indicator() | {"object_marking_refs": []}, our_indicator() | statement):
        candidate = ask(content)
        assert refused_by(clear(candidate, written(content), partner(), facts())) == {"served-bytes"}


def test_the_second_look_does_not_believe_the_candidate() -> None:
    """A candidate that calls itself GREEN while its bytes say RED is refused by the bytes."""
    body = written(our_indicator(tlp=Tlp.RED))
    liar = Candidate(candidate_of(body, [BAD]).content, (BAD,), Marking(Tlp.GREEN))
    assert refused_by(clear(liar, body, partner(), facts())) == {"served-bytes"}


@pytest.mark.parametrize(
    "hidden",
    [
        b'"x_more":{"object_marking_refs":["%s"]}',
        b'"x_more":["\\u006darking-definition--%s"]',
        b'"object_marking_refs":["%s"],"object_marking_refs":["GREEN"]',
        b'"granular_markings":[{"lang":"de","marking_ref":"%s"}]',
    ],
)
def test_no_place_hides_a_marking(hidden: bytes) -> None:
    """A marking above the ceiling is found where it is nested, escaped, repeated or beside a language."""
    red, green = TLP2_ID[Tlp.RED].encode(), TLP2_ID[Tlp.GREEN].encode()
    shown = red.removeprefix(b"marking-definition--") if b"006d" in hidden else red
    body = BODY.replace(b'"spec_version"', hidden.replace(b"GREEN", green) % shown + b',"spec_version"')
    body = body.replace(US.encode(), THEM.encode())
    south = agreement("south", inbound=Inbound(onward_max_tlp="green"))
    given = clear(candidate_of(body, [BAD], source="south"), body, partner(), facts(agreements={"south": south}))
    assert refused_by(given) & {"served-bytes", "marking-ceiling"}


def test_an_unmarked_object_of_others_is_not_passed_on_as_clear() -> None:
    """What came without marking and counts as GREEN here would be unmarked there: it is refused."""
    content = our_indicator(maker=THEM)
    del content["object_marking_refs"]
    south = agreement("south", inbound=Inbound(onward_max_tlp="green"))
    candidate = ask(content, source="south", default_tlp=Tlp.GREEN)
    given = clear(candidate, written(content), partner(), facts(agreements={"south": south}))
    assert refused_by(given) == {"served-bytes"}


def test_others_objects_go_on_byte_for_byte() -> None:
    """What may go on goes on exactly as its creator wrote it, blanks and all."""
    body = written(our_indicator(maker=THEM) | {"description": "their words"}).replace(b'":', b'": ')
    south = agreement("south", inbound=Inbound(onward_max_tlp="green"))
    given = clear(candidate_of(body, [BAD], source="south"), body, partner(), facts(agreements={"south": south}))
    assert isinstance(given, Cleared)
    assert given.body is body


@pytest.mark.parametrize("content", [our_identity(), marking_definition(Tlp.RED)], ids=["identity", "definition"])
def test_companions_are_cleared(content: dict[str, Any]) -> None:
    """Our identity, and the definition of a label whatever the label, go along."""
    body = written(content)
    given = clear(candidate_of(body, []), body, partner(), facts())
    assert isinstance(given, Cleared)
    assert given.object_id == content["id"]


@pytest.mark.parametrize("body", [b"[]", b"{", b"", b'{"a":' * 5000, b"\xff"])
def test_no_candidate_of_what_is_no_object(body: bytes) -> None:
    """What is no JSON object is refused with a reason before the gate."""
    with pytest.raises(BadValue):
        candidate_of(body, [])


THEIRS = our_indicator(maker=THEM)
GONE = written(revoked(our_indicator(), NOW + 1_000_000))


@pytest.mark.parametrize(
    ("audience", "given"),
    [
        (partner(agreement(expires_on=date(2026, 2, 1))), facts()),
        (partner(agreement(outbound=Outbound("clear", min_score=100))), facts()),
        (INTERNAL, facts(own=OwnAssets())),
        (SIEM, facts()),
        (Audience("to-north", CollectionKind.PARTNER), facts()),
    ],
)
def test_a_withdrawal_always_gets_out(audience: Audience, given: Any) -> None:
    """What was released can be withdrawn under an expired or narrowed agreement, or where own assets are missing."""
    withdrawn = clear_withdrawal(GONE, BODY, audience, given)
    assert isinstance(withdrawn, Cleared)
    assert (withdrawn.body, withdrawn.version) == (GONE, NOW + 1_000_000)
    assert [one.rule for one in withdrawn.decision.reasons] == ["withdrawal"]


@pytest.mark.parametrize(
    ("body", "released", "wanted"),
    [
        (written(our_indicator()), BODY, "is not revoked"),
        (GONE, GONE, "not modified later"),
        (GONE, written(our_indicator() | {"confidence": 1}), "in confidence"),
        (written(revoked(our_indicator() | {"x_note": "jane"}, NOW + 1_000_000)), BODY, "in x_note"),
        (
            written(revoked(our_indicator(maker=THEM), NOW + 1_000_000)),
            written(our_indicator(maker=THEM)),
            "is not ours",
        ),
        (GONE.replace(b'{"type"', b'{"name":"jane","type"'), BODY, "not written as"),
        (written(revoked(our_indicator(), NOW + 1_000_000) | {"valid_until": "jane"}), BODY, "cannot be read"),
        (b"{", BODY, "cannot be read"),
    ],
)
def test_a_withdrawal_says_nothing_new(body: bytes, released: bytes, wanted: str) -> None:
    """A withdrawal is later, revoked, ours, and otherwise what was released; anything else is refused."""
    given = clear_withdrawal(body, released, partner(), facts())
    assert refused_by(given) == {"withdrawal"}
    assert isinstance(given, Decision)
    assert wanted in " ".join(one.text for one in given.reasons)


def post(**changed: Any) -> str | None:
    raw = written(our_indicator(maker=THEM) | changed)
    return may_exchange(raw, read_object(raw))


def test_an_exchange_takes_all_but_red_and_unknown() -> None:
    """Members may post up to AMBER+STRICT and unmarked; RED and markings that we cannot read may not stand there."""
    for tlp in (Tlp.CLEAR, Tlp.GREEN, Tlp.AMBER, Tlp.AMBER_STRICT):
        assert post(object_marking_refs=[TLP2_ID[tlp]]) is None
    assert post(object_marking_refs=[]) is None
    for red in (TLP1_ID[Tlp.RED], TLP2_ID[Tlp.RED]):
        assert "TLP:RED" in str(post(object_marking_refs=[red]))
        assert "TLP:RED" in str(post(granular_markings=[{"marking_ref": red, "selectors": ["name"]}]))
    statement = "marking-definition--00000000-0000-4000-8000-000000000001"
    assert statement in str(post(object_marking_refs=[TLP2_ID[Tlp.CLEAR], statement]))


def test_an_exchange_finds_red_in_the_bytes() -> None:
    """RED in a property that stands twice is found; the definition of RED itself says nothing secret."""
    raw = written(our_indicator(maker=THEM))
    twice = raw.replace(b'{"type"', b'{"object_marking_refs":["%s"],"type"' % TLP2_ID[Tlp.RED].encode())
    assert "TLP:RED" in str(may_exchange(twice, read_object(twice)))
    definition = written(marking_definition(Tlp.RED))
    assert may_exchange(definition, read_object(definition)) is None


def test_an_exchange_takes_no_property_twice() -> None:
    """What is one object to one reader and another to the next does not stand there, however the name is written."""
    raw = written(our_indicator(maker=THEM))
    for name in (b"id", b"\\u0069d", b"revoked", b"modified"):
        more = b'{"%s":"indicator--00000000-0000-4000-8000-00000000000f",' % name
        twice = more + (b'"revoked":false,' if name == b"revoked" else b"") + raw[1:]
        assert "twice" in str(may_exchange(twice, read_object(raw)))


def test_policy_changes_with_what_decides() -> None:
    """The policy's digest follows agreement, dates, assets, purpose and floors, and nothing that decides nothing."""
    others = {"south": agreement("south")}
    opened = {"south": agreement("south", inbound=Inbound(onward_max_tlp="clear"))}
    green = agreement(outbound=Outbound("green", ("indicator", "sighting")))
    base = policy_of(partner(), facts(agreements=others))
    same = [
        policy_of(partner(agreement(owner="somebody")), facts(agreements=others)),
        policy_of(partner(), facts(agreements=others, today=date(2026, 6, 16))),
    ]
    other = [
        policy_of(partner(green), facts(agreements=others)),
        policy_of(partner(agreement(signed_on=None)), facts(agreements=others)),
        policy_of(partner(), facts(agreements=others, today=date(2027, 1, 1))),
        policy_of(partner(), facts(agreements=others, own=OwnAssets(declared_empty=True))),
        policy_of(partner(), facts(agreements=others, purpose="demo")),
        policy_of(partner(), facts(agreements=others, siem_floor=1)),
        policy_of(partner(), facts(agreements=others, our_identity=THEM)),
        policy_of(partner(), facts(agreements=opened)),
        policy_of(INTERNAL, facts(agreements=others)),
        policy_of(SIEM, facts(agreements=others)),
    ]
    assert set(same) == {base}
    assert len({base, *other}) == len(other) + 1
