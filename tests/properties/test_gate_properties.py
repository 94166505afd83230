"""Laws of the gate, for any markings, agreements and facts: nothing above a ceiling, no restriction opens a door."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from ipaddress import ip_network
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace as changed

from gate_builders import BAD as BAD_VALUE
from gate_builders import THEM, TODAY, US, ask, facts, our_indicator, our_sighting, partner
from threatshare.config import OwnAssets, TlpLabel
from threatshare.model import CollectionKind, Kind, Observable, Tlp, Verdict
from threatshare.policy.agreements import Agreement, Inbound, LegalBasis, Outbound
from threatshare.policy.approvals import approval_key
from threatshare.policy.gate import OWN, Audience, Cleared, Facts, clear, decide, policy_of
from threatshare.policy.never_share import NeverShare
from threatshare.stix.objects import written
from threatshare.stix.tlp import TLP_IDS

UNKNOWN_IDS = [f"marking-definition--00000000-0000-4000-8000-00000000000{number}" for number in range(3)]
ORDER = {Verdict.RELEASE: 0, Verdict.HOLD: 1, Verdict.REFUSE: 2}
PLAIN = [Observable(Kind.IPV4, f"45.{net}.77.88") for net in (66, 67, 68)]
BAD = [
    *PLAIN,
    Observable(Kind.URL, "http://evil.ru/our-company.de/?e=jane@corp.net"),
    Observable(Kind.URL, "http://evil.ru/~jdoe/"),
    Observable(Kind.URL, "http://evil.ru/?n=4111111111111111"),
    Observable(Kind.PATTERN, "[ipv4-addr:value = '45.1.1.1' AND url:value LIKE 'http://x/%']"),
]
HELD_BY = ["own-asset", "minimum-score", "privacy-mail", "privacy-user", "privacy-card", "marking-ceiling", "reserved"]
"""Rules that a person may have released an object from, with some that no person can."""

known_ids = st.sampled_from(sorted(TLP_IDS))
some_ids = st.lists(known_ids | st.sampled_from(UNKNOWN_IDS), max_size=4)
low_ids = st.sampled_from(sorted(ref for ref, tlp in TLP_IDS.items() if tlp <= Tlp.GREEN))
mostly_low = st.lists(low_ids, min_size=1, max_size=2) | st.lists(known_ids, min_size=1, max_size=2) | some_ids
days = st.integers(-400, 400).map(lambda number: TODAY + timedelta(number))
approvals: st.SearchStrategy[dict[str, str]] = st.just({}) | st.dictionaries(
    st.sampled_from(HELD_BY), st.just("A. Person on 2026-06-15: looked at it"), max_size=4
)
labels: st.SearchStrategy[TlpLabel] = st.sampled_from(["clear", "green", "amber", "amber+strict", "red"])


@st.composite
def agreements(draw: st.DrawFn, partner: str = "north") -> Agreement:
    lasting = draw(st.sampled_from([True, True, True, False]))
    return Agreement(
        partner,
        date(2026, 1, 1) if lasting else draw(days),
        date(2026, 12, 31) if lasting else draw(days),
        Outbound(
            draw(labels),
            draw(st.sampled_from([("indicator",), ("indicator", "sighting"), ("indicator",), ("sighting",)])),
            draw(st.none() | st.just(("malicious-activity",))),
            draw(st.sampled_from([0, 0, 50])),
            draw(st.sampled_from([None, None, ("to-north",), ("elsewhere",)])),
            draw(st.sampled_from(["may", "must"])),
        ),
        signed_on=date(2026, 1, 1) if lasting else draw(st.none() | days),
        inbound=Inbound(
            sources=tuple(draw(st.lists(st.sampled_from(["feed", "other feed", THEM]), max_size=2))),
            onward_max_tlp=draw(st.sampled_from(["clear", "green", None])),
        ),
        legal_basis=() if lasting else tuple(draw(st.lists(st.builds(LegalBasis, st.just("law"), days), max_size=2))),
    )


@st.composite
def audiences(draw: st.DrawFn) -> Audience:
    kind = draw(st.sampled_from([CollectionKind.PARTNER] * 3 + list(CollectionKind)))
    some = kind is CollectionKind.PARTNER and draw(st.sampled_from([True, True, True, False]))
    return Audience("to-north", kind, draw(agreements()) if some else None)


@st.composite
def objects(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """An object with any markings, and what is known of it here."""
    source = draw(st.sampled_from([OWN, OWN, "feed", "other feed"]))
    value = draw(st.sampled_from(BAD))
    content = our_indicator(value, maker=US if source == OWN else THEM)
    content["object_marking_refs"] = draw(mostly_low)
    parts = draw(st.just([]) | st.just([]) | some_ids) if source != OWN else []
    if parts:
        content["granular_markings"] = [{"marking_ref": ref, "selectors": ["name"]} for ref in parts]
    if draw(st.sampled_from([False, False, False, False, True])):
        del content["object_marking_refs"]
    known = {
        "observables": [value],
        "source": source,
        "origin": draw(st.sampled_from([None, THEM])),
        "score": draw(st.sampled_from([None, 10, 80])),
        "approved": draw(approvals),
    }
    if source != OWN:
        known["default_tlp"] = draw(st.sampled_from([None, *Tlp]))
    return content, known


def ids_of(content: dict[str, Any]) -> list[str]:
    parts = [part["marking_ref"] for part in content.get("granular_markings", [])]
    return [*content.get("object_marking_refs", []), *parts]


given_facts = st.builds(
    facts,
    agreements=st.dictionaries(st.just("hub"), agreements("hub"), max_size=1),
    purpose=st.sampled_from(["live", "demo", "exercise"]),
)
questions = st.tuples(objects(), audiences(), given_facts)
Question = tuple[tuple[dict[str, Any], dict[str, Any]], Audience, Facts]


def verdict(question: Question) -> int:
    (content, known), audience, taken = question
    return ORDER[decide(ask(content, **known), audience, taken).verdict]


@given(questions)
def test_nothing_above_the_ceiling_is_cleared(question: Question) -> None:
    """Whatever ids of whatever family mark an object and its parts: cleared is only what is marked, known and below."""
    (content, known), audience, taken = question
    given_out = clear(ask(content, **known), written(content), audience, taken)
    if isinstance(given_out, Cleared):
        ids = ids_of(content)
        ceiling = Tlp.AMBER_STRICT
        if audience.agreement is not None:
            ceiling = next(tlp for tlp in Tlp if tlp.label == audience.agreement.outbound.max_tlp)
        assert ids
        assert all(one in TLP_IDS and TLP_IDS[one] <= ceiling for one in ids)
        assert known["source"] == OWN or audience.agreement is None or all(TLP_IDS[one] < Tlp.AMBER for one in ids)


@given(st.sampled_from(list(Tlp)), st.sampled_from(list(Tlp)), st.sampled_from(PLAIN))
def test_what_may_leave_does(tlp: Tlp, ceiling: Tlp, value: Observable) -> None:
    """The other half: below the ceiling, under an agreement in force, an object of ours is cleared."""
    one = Agreement("north", TODAY, TODAY, Outbound(ceiling.label), signed_on=TODAY)  # type: ignore[arg-type]
    content = our_indicator(value, tlp)
    given_out = clear(ask(content, [value]), written(content), Audience("n", CollectionKind.PARTNER, one), facts())
    assert isinstance(given_out, Cleared) == (tlp <= ceiling)


@given(questions)
def test_a_decision_follows_from_its_inputs(question: Question) -> None:
    """Asked twice, of values made twice, the gate says the same, reason by reason."""
    (content, known), audience, taken = question
    first = decide(ask(content, **known), audience, taken)
    again = decide(ask(dict(content), **known), replace(audience), replace(taken))
    assert first == again


@given(questions)
def test_each_refusal_and_hold_says_why(question: Question) -> None:
    """The verdict is that of the strictest reason, and anything but a release has one."""
    (content, known), audience, taken = question
    decision = decide(ask(content, **known), audience, taken)
    verdicts = [ORDER[reason.verdict] for reason in decision.reasons]
    assert ORDER[decision.verdict] == max(verdicts)
    assert all(reason.rule and reason.text for reason in decision.reasons)


@given(questions, known_ids | st.sampled_from(UNKNOWN_IDS), st.booleans())
def test_one_more_marking_never_opens(question: Question, more: str, on_a_part: bool) -> None:
    """A further marking of the object or of a part of it never lets more out; one that is above or unknown closes."""
    (content, known), audience, taken = question
    if not ids_of(content):
        return
    marked = dict(content)
    if on_a_part:
        part = {"marking_ref": more, "selectors": ["name"]}
        marked["granular_markings"] = [*content.get("granular_markings", []), part]
    else:
        marked["object_marking_refs"] = [*content.get("object_marking_refs", []), more]
    if "object_marking_refs" not in content and TLP_IDS.keys().isdisjoint(ids_of(content)):
        return  # Its source's default counted until now; a label of its own takes the default's place.
    assert verdict(((marked, known), audience, taken)) >= verdict(question)


@given(questions, st.data())
def test_a_narrower_agreement_never_opens(question: Question, data: st.DataObject) -> None:
    """A lower ceiling, an earlier end, fewer types, a higher minimum or no signature never lets more out."""
    asked, audience, taken = question
    one = audience.agreement
    if one is None:
        return
    lower = data.draw(st.sampled_from([tlp.label for tlp in Tlp if tlp <= one.outbound.ceiling]))
    narrowed = data.draw(
        st.sampled_from(
            [
                changed(one, outbound=changed(one.outbound, max_tlp=lower)),
                changed(one, expires_on=one.expires_on - timedelta(data.draw(st.integers(0, 800)))),
                changed(one, effective_from=one.effective_from + timedelta(data.draw(st.integers(0, 800)))),
                changed(one, signed_on=None),
                changed(one, legal_basis=(LegalBasis("law", TODAY + timedelta(1)),)),
                changed(one, outbound=changed(one.outbound, object_types=())),
                changed(one, outbound=changed(one.outbound, collections=())),
                changed(one, outbound=changed(one.outbound, indicator_types=())),
                changed(one, outbound=changed(one.outbound, attribution="must-not")),
                changed(one, outbound=changed(one.outbound, exercise_only=True)),
                changed(one, outbound=changed(one.outbound, min_score=100)),
                changed(one, inbound=changed(one.inbound, sources=("feed", "other feed"))),
                None,
            ]
        )
    )
    assert verdict((asked, replace(audience, agreement=narrowed), taken)) >= verdict(question)


LISTS = [
    NeverShare(values=frozenset({BAD[0]})),
    NeverShare(networks=(ip_network("45.0.0.0/8"),)),
    NeverShare(domains=frozenset({"evil.ru", "corp.net"})),
]


@given(questions, st.sampled_from(LISTS))
def test_a_never_share_list_never_opens(question: Question, never: NeverShare) -> None:
    """A list of what is never shared lets nothing more out, approved or not, and refuses partners what is on it."""
    (content, known), audience, taken = question
    after = verdict(((content, known), audience, replace(taken, never_share=never)))
    assert after >= verdict(question)
    if never.names(known["observables"][0]) and audience.kind is CollectionKind.PARTNER:
        assert after == ORDER[Verdict.REFUSE]


@given(questions, approvals)
def test_a_release_moves_holds_alone(question: Question, approved: dict[str, str]) -> None:
    """A person's release never closes, never lifts a refusal, and changes no reason but those it names."""
    (content, known), audience, taken = question
    before = decide(ask(content, **(known | {"approved": {}})), audience, taken)
    # A release of private data names what was found beside the rule.
    found = {approval_key(one): approved[one.rule] for one in before.reasons if one.rule in approved}
    approved = approved | found
    after = decide(ask(content, **(known | {"approved": approved})), audience, taken)
    assert ORDER[after.verdict] <= ORDER[before.verdict]
    assert (before.verdict is Verdict.REFUSE) == (after.verdict is Verdict.REFUSE)
    for was, now in zip(before.reasons, after.reasons, strict=True):
        if was.verdict is Verdict.HOLD and approval_key(was) in approved:
            assert (now.verdict, now.text) == (
                Verdict.RELEASE,
                f"{was.text}; released by {approved[approval_key(was)]}",
            )
        else:
            assert now == was


@given(questions, st.sampled_from(HELD_BY))
def test_one_release_less_never_opens(question: Question, rule: str) -> None:
    """Taking a person's release back never lets more out."""
    (content, known), audience, taken = question
    fewer = {name: who for name, who in known["approved"].items() if name != rule}
    assert verdict(((content, known | {"approved": fewer}), audience, taken)) >= verdict(question)


@given(questions, st.binary(max_size=32))
def test_the_key_of_hashes_decides_nothing(question: Question, key: bytes) -> None:
    """The secret under which private values are hashed changes words, never verdicts or rules."""
    (content, known), audience, taken = question
    first = decide(ask(content, **known), audience, taken)
    second = decide(ask(content, **known), audience, replace(taken, privacy_key=key))
    assert first.verdict is second.verdict
    assert [one.rule for one in first.reasons] == [one.rule for one in second.reasons]


@given(questions, st.sampled_from(["45.66.0.0/16", "45.67.77.88/32", "45.0.0.0/8", "0.0.0.0/0"]))
def test_one_more_own_asset_never_opens(question: Question, network: str) -> None:
    """A further network of ours never lets more out, and closes for what lies in it."""
    (content, known), audience, taken = question
    more = replace(taken.own, networks=(*taken.own.networks, ip_network(network)))
    after = verdict(((content, known), audience, replace(taken, own=more)))
    assert after >= verdict(question)
    if more.owns(known["observables"][0]):
        assert after == ORDER[Verdict.REFUSE]


@given(questions)
def test_less_known_never_opens(question: Question) -> None:
    """Without own assets, without agreements with sources, on a live node: never more than before."""
    asked, audience, taken = question
    for less in (
        replace(taken, own=OwnAssets()),
        replace(taken, agreements={}),
        replace(taken, siem_floor=100),
        replace(taken, purpose="live"),
    ):
        assert verdict((asked, audience, less)) >= verdict(question)


@given(questions, st.integers(0, 400))
def test_same_policy_same_verdict(question: Question, later: int) -> None:
    """While the policy's digest stays the same, days change no decision but on what ends by its own validity."""
    (content, known), audience, taken = question
    then = replace(taken, today=taken.today + timedelta(later))
    ends = str(content.get("valid_until", ""))[:10]
    if taken.today.isoformat() <= ends < then.today.isoformat():
        return
    if policy_of(audience, taken) == policy_of(audience, then):
        assert verdict(((content, known), audience, then)) == verdict(question)


@given(st.sampled_from(["indicator", "sighting"]), st.integers(0, 2**64), st.data())
def test_no_planted_text_leaves(kind: str, number: int, data: st.DataObject) -> None:
    """A canary planted in any property of an object of ours, added to it or as a property of its own, keeps it here."""
    canary = f"jane-{number:x}"
    content = our_indicator() if kind == "indicator" else our_sighting(our_indicator(maker=THEM)["id"])
    name = data.draw(st.sampled_from(sorted(content)) | st.sampled_from(["x_note", "lang", "summary", canary]))
    value = content.get(name)
    planted: list[Any] = [canary, [canary], {canary: 1}, {"note": canary}]
    if isinstance(value, str):
        planted += [f"{value} {canary}", f"{canary}{value}"]
    if isinstance(value, list):
        planted += [[*value, canary], [*value, {"description": canary}]]
    content[name] = data.draw(st.sampled_from(planted))
    body = written(content)
    assert canary.encode() in body
    candidate = ask(content, [BAD_VALUE] if kind == "indicator" else [], about="own")
    decision = clear(candidate, body, partner(), facts())
    assert not isinstance(decision, Cleared)
    assert all(canary not in reason.text for reason in decision.reasons)
