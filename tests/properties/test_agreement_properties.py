"""Laws of agreements: no restriction opens a door, none that is not in force lets anything out, texts come back."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace as changed

from gate_builders import THEM, TODAY, ask, facts, our_indicator, our_sighting
from threatshare.errors import ConfigurationError
from threatshare.model import CollectionKind, Verdict
from threatshare.policy.agreement_words import changes, in_words
from threatshare.policy.agreements import (
    Agreement,
    Contact,
    Event,
    IepMetadata,
    Inbound,
    LegalBasis,
    Outbound,
    agreement_toml,
    check,
    digest_of,
    in_force_until,
    new_agreement_text,
    parse_agreement,
    standing,
    warnings,
)
from threatshare.policy.gate import Audience, Facts, decide
from threatshare.policy.iep import draft_of, iep_of

ORDER = {Verdict.RELEASE: 0, Verdict.HOLD: 1, Verdict.REFUSE: 2}
DAY = timedelta(1)

days = st.integers(-400, 400).map(lambda number: TODAY + number * DAY)
maybe_days = st.none() | days
texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30)
some_texts = st.lists(texts, max_size=3).map(tuple)
labels: Any = st.sampled_from(["clear", "green", "amber", "amber+strict", "red"])
names = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,20}\Z")

outbounds = st.builds(
    Outbound,
    labels,
    st.sampled_from([(), ("indicator",), ("indicator", "sighting")]),
    st.none() | st.just(("malicious-activity",)),
    st.sampled_from([0, 50]),
    st.none() | st.just(("to-north",)),
    st.sampled_from(["may", "must", "must-not"]),
    st.booleans(),
    st.sampled_from(["auto", "human"]),
    st.none() | st.integers(1, 60),
    st.none() | texts,
)
wide = st.builds(
    Outbound,
    st.sampled_from(["amber", "green"]),
    st.just(("indicator", "sighting")),
    approval=st.sampled_from(["auto", "auto", "human"]),
    max_age_days=st.sampled_from([None, 1, 10, 30]),
)
"""Under which most objects leave."""
inbounds = st.builds(
    Inbound,
    labels,
    sources=some_texts,
    onward_max_tlp=st.sampled_from(["clear", "green", None]),
    onward_partners=st.none() | st.lists(names, max_size=2).map(tuple),
    onward_attribution=st.sampled_from(["may", "must", "must-not"]),
    permitted_actions=st.sampled_from(["none", "contact-for-instruction", "externally-visible-direct-actions"]),
    encrypt_in_transit=st.sampled_from(["may", "must"]),
    unmodified_resale=st.sampled_from(["may", "must-not"]),
    affected_party_notifications=st.sampled_from(["may", "must-not"]),
    may_block=st.booleans(),
    retention_days=st.none() | st.integers(1, 10**9),
)


@st.composite
def whole(draw: st.DrawFn) -> Agreement:
    """Any agreement that a file could hold."""
    first, length = draw(days), draw(st.integers(0, 400))
    last = first + length * DAY
    inside = st.none() | st.integers(0, length).map(lambda number: first + number * DAY)
    start, end = draw(inside), draw(inside)
    basis = draw(days)
    return Agreement(
        draw(names),
        first,
        last,
        draw(outbounds),
        draw(maybe_days),
        version=draw(st.integers(1, 10**6)),
        mou_id=draw(st.none() | texts),
        owner=draw(st.none() | texts),
        signatories=draw(some_texts),
        inbound=draw(inbounds),
        event=Event(draw(st.none() | texts), start, max(end, start or first) if end is not None else None),
        contacts=tuple(
            draw(
                st.lists(
                    st.builds(Contact, st.just("legal"), texts, texts, maybe_days, pgp=st.none() | texts), max_size=2
                )
            )
        ),
        legal_basis=draw(
            st.sampled_from([(), (LegalBasis("law", basis),), (LegalBasis("law", basis, basis + 30 * DAY),)])
        ),
        iep=draw(st.builds(IepMetadata, name=st.none() | texts, external_references=some_texts)),
    )


@st.composite
def in_force(draw: st.DrawFn, partner: str = "north") -> Agreement:
    """An agreement in force with any terms."""
    return Agreement(
        partner,
        TODAY - 30 * DAY,
        TODAY + 30 * DAY,
        draw(wide | outbounds),
        TODAY - 30 * DAY,
        inbound=Inbound(
            sources=("feed", THEM) if partner == "hub" else (),
            onward_max_tlp=draw(st.sampled_from(["green", "green", "clear", None])),
            onward_partners=draw(st.sampled_from([None, None, ("north",), ("elsewhere",)])),
            onward_attribution=draw(st.sampled_from(["may", "may", "must", "must-not"])),
        ),
        event=draw(st.sampled_from([Event(), Event("games", TODAY, TODAY + DAY)])),
    )


@st.composite
def questions(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any], Audience, Facts]:
    """An object, what is known of it, an audience with an agreement in force, facts with one source's agreement."""
    kind = draw(st.sampled_from(["own", "own", "theirs", "about theirs"]))
    approved = draw(st.sampled_from([{}, {"approval": "A. Person on 2026-06-15: read it"}]))
    known: dict[str, Any] = {"score": draw(st.sampled_from([None, 80])), "approved": approved}
    content = our_indicator()
    if kind == "theirs":
        content, known["source"] = our_indicator(maker=THEM), "feed"
    if kind == "about theirs":
        content, known["about"] = our_sighting(our_indicator(maker=THEM)["id"]), "feed"
        known["observables"] = ()
    audience = Audience("to-north", CollectionKind.PARTNER, draw(in_force()))
    today = TODAY + draw(st.integers(0, 20)) * DAY
    purpose = draw(st.sampled_from(["live", "exercise"]))
    return content, known, audience, facts(agreements={"hub": draw(in_force("hub"))}, today=today, purpose=purpose)


Question = tuple[dict[str, Any], dict[str, Any], Audience, Facts]


def verdict(question: Question) -> int:
    content, known, audience, taken = question
    return ORDER[decide(ask(content, **known), audience, taken).verdict]


@given(questions(), st.data())
def test_a_further_restriction_never_opens(question: Question, data: st.DataObject) -> None:
    """Approval by a person, a lower age and a narrower event let out no more; each closes for what it is about."""
    content, known, audience, taken = question
    one = audience.agreement
    assert one is not None
    age = data.draw(st.integers(1, one.outbound.max_age_days or 60))
    start = data.draw(st.integers(0, 30)) * DAY + (one.event.start or one.effective_from)
    end = (one.event.end or one.expires_on) - data.draw(st.integers(0, 60)) * DAY
    for narrowed in (
        changed(one, outbound=changed(one.outbound, approval="human")),
        changed(one, outbound=changed(one.outbound, max_age_days=age)),
        changed(one, outbound=changed(one.outbound, anonymise_as="a utility", consent="ais-consent-none")),
        changed(one, event=changed(one.event, start=start)),
        changed(one, event=changed(one.event, end=end)),
        changed(one, legal_basis=(LegalBasis("law", TODAY - DAY, TODAY + 5 * DAY),)),
    ):
        after = verdict((content, known, replace(audience, agreement=narrowed), taken))
        assert after >= verdict(question)
        if narrowed.outbound.approval == "human" and not known["approved"]:
            assert after >= ORDER[Verdict.HOLD]
        if not (narrowed.event.start or TODAY) <= taken.today <= (narrowed.event.end or taken.today):
            assert after == ORDER[Verdict.REFUSE]


@given(questions(), st.data())
def test_a_source_that_restricts_never_opens(question: Question, data: st.DataObject) -> None:
    """A source that names fewer partners, or minds being named, lets no more go on."""
    content, known, audience, taken = question
    hub = taken.agreements["hub"]
    told = hub.inbound.onward_partners or ("north", "elsewhere")
    fewer = tuple(data.draw(st.lists(st.sampled_from(sorted(told)), unique=True)))
    narrowed = [changed(hub, inbound=changed(hub.inbound, onward_partners=fewer))]
    if hub.inbound.onward_attribution == "may":
        narrowed += [changed(hub, inbound=changed(hub.inbound, onward_attribution=one)) for one in ("must", "must-not")]
    for other in narrowed:
        assert verdict((content, known, audience, replace(taken, agreements={"hub": other}))) >= verdict(question)


@given(questions(), st.integers(1, 40))
def test_what_is_not_in_force_releases_nothing(question: Question, number: int) -> None:
    """Expired, unsigned, before its start, outside its event, without legal basis in force: nothing leaves, ever."""
    content, known, audience, taken = question
    one, today = audience.agreement, taken.today
    assert one is not None
    for dead in (
        changed(one, expires_on=today - number * DAY),
        changed(one, signed_on=None),
        changed(one, signed_on=today + number * DAY),
        changed(one, effective_from=today + number * DAY),
        changed(one, event=Event(start=today + number * DAY)),
        changed(one, event=Event(end=today - number * DAY)),
        changed(one, legal_basis=(LegalBasis("law", today + number * DAY),)),
        changed(one, legal_basis=(LegalBasis("law", date(2020, 1, 1), today - number * DAY),)),
        None,
    ):
        assert verdict((content, known, replace(audience, agreement=dead), taken)) == ORDER[Verdict.REFUSE]


@given(whole())
def test_what_is_written_is_read_back(one: Agreement) -> None:
    """The TOML of any agreement, whatever its texts hold, is read back as the same, with the same digest."""
    read = parse_agreement(agreement_toml(one, ["a note\nof [two] lines\x1b", ""]), "file")
    assert read == one
    assert digest_of(read) == digest_of(one)
    assert changes(read, one) == []


@given(whole(), days)
def test_any_agreement_can_be_judged_and_told(one: Agreement, today: date) -> None:
    """Standing, warnings and words are there for every agreement that can be read, on any day."""
    reasons = standing(one, today)
    assert all(reason.verdict is Verdict.REFUSE and reason.text for reason in reasons)
    assert all(warnings(one, today))
    until = in_force_until(one, today)
    assert (until is None) == bool(reasons)
    assert until is None or (not standing(one, until) and standing(one, until + DAY) and until >= today)
    assert ("In force until" in str(in_words(one, today))) == (not reasons)


@given(names, labels, days, st.integers(0, 500), st.lists(texts, max_size=3), st.integers(0, 100))
def test_what_add_writes_is_read_back(
    partner: str, label: str, begins: date, length: int, sources: list[str], score: int
) -> None:
    """The file of a new agreement holds what was asked for, whatever the sources are called."""
    text = new_agreement_text(partner, label, begins + length * DAY, begins, begins, (), score, "B", sources)
    read = parse_agreement(text, "file")
    wanted = Agreement(
        partner,
        begins,
        begins + length * DAY,
        Outbound(label, (), min_score=score),  # type: ignore[arg-type]
        begins,
        inbound=Inbound(reliability="B", sources=tuple(sources)),
    )
    assert read == wanted


@given(whole())
def test_a_policy_out_and_in_allows_no_more(one: Agreement) -> None:
    """An agreement's IEP policy makes a draft that says the same of what IEP can say, and nothing of the rest."""
    draft, _ = draft_of(iep_of(one), "south", None, None, TODAY)
    for key in ("permitted_actions", "encrypt_in_transit", "unmodified_resale", "onward_attribution"):
        assert getattr(draft.inbound, key) == getattr(one.inbound, key)
    assert ["clear", "green", "amber", "amber+strict", "red"].index(draft.inbound.default_tlp) >= (
        ["clear", "green", "amber", "amber+strict", "red"].index(one.inbound.default_tlp)
    )
    assert (draft.effective_from, draft.expires_on) == (one.effective_from, one.expires_on)
    assert draft.inbound.onward_max_tlp is None
    assert standing(draft, one.expires_on)
    assert parse_agreement(agreement_toml(draft), "file") == draft


pieces = st.sampled_from(
    [
        'partner = "north"\n',
        "effective_from = 2026-01-01\n",
        "expires_on = 2026-12-31\n",
        "expires_on = 2026-12-31T00:00:00Z\n",
        "[outbound]\n",
        'max_tlp = "green"\n',
        "[[contacts]]\n",
        "[contacts]\n",
        "[event]\n",
        "start = 0001-01-01\n",
        "verify_every_days = 99999999999999999999999\n",
        "verified_on = 9999-12-31\n",
        "version = -1\n",
        "inbound = [1, 2]\n",
        "a = 1e999\n",
    ]
)


@given(st.lists(st.one_of(st.binary(max_size=40), pieces.map(str.encode)), max_size=12).map(b"".join))
def test_check_never_raises(text: bytes) -> None:
    """Whatever stands in an agreement file, check says what is wrong, and nothing of what can be used."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "agreements" / "north.toml"
        file.parent.mkdir()
        file.write_bytes(text)
        wrong = check(Path(folder))
        assert all(message.startswith(str(file)) for message in wrong)
        try:
            read = parse_agreement(text.decode(), "file")
        except (ConfigurationError, UnicodeDecodeError):
            assert wrong
        else:
            assert bool(wrong) == (read.partner != "north")
            assert isinstance(warnings(read, TODAY), list)
