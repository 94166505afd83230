"""Agreements in plain words: what counsel reads is what the gate does, and every difference is told."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from msgspec.structs import replace

from gate_builders import TODAY, agreement
from threatshare.policy.agreement_words import changes, in_words
from threatshare.policy.agreements import (
    Agreement,
    Breach,
    Contact,
    Event,
    Exit,
    Feedback,
    Inbound,
    LegalBasis,
    Outbound,
)

FULL = agreement(
    outbound=Outbound(
        "green",
        ("indicator", "sighting"),
        ("malicious-activity",),
        40,
        ("to-north",),
        "must-not",
        exercise_only=True,
        approval="human",
        max_age_days=90,
        anonymise_as="a utility",
        consent="ais-consent-none",
    ),
    inbound=Inbound(
        sources=("north-feed",),
        onward_max_tlp="green",
        onward_partners=("south",),
        retention_days=365,
        pap_default="green",
        on_expiry="purge",
    ),
    mou_id="MOU-7",
    version=3,
    signatories=("Our counsel", "Their counsel"),
    document_sha256="ab" * 32,
    owner="partner desk",
    review_due=date(2026, 12, 1),
    event=Event("the games", date(2026, 6, 1), date(2026, 6, 30)),
    legal_basis=(LegalBasis("sharing act", date(2026, 1, 1)),),
    contacts=(Contact("legal", "counsel", "+00 1", date(2026, 6, 1), pgp="0A0B"),),
    breach=Breach(24, "security desk"),
    exit=Exit(30, certificate_required=True),
    feedback=Feedback(72, sightings_back=True),
)


def words(one: Agreement) -> dict[str, str]:
    return {section.heading: "\n".join(section.lines) for section in in_words(one, TODAY)}


@pytest.mark.parametrize(
    ("heading", "wanted"),
    [
        ("The agreement", "Memorandum of understanding MOU-7 with north, version 3."),
        ("The agreement", "Signed on 2026-01-01 by Our counsel; Their counsel."),
        ("The agreement", "abababab"),
        ("In force", "In force until 2026-06-30."),
        ("In force", "Only for the games, from 2026-06-01 to 2026-06-30."),
        ("In force", "Rests on sharing act, from 2026-01-01 with no end."),
        ("What may leave", "Our indicators and sightings marked TLP:GREEN or less restrictively."),
        ("What may leave", "score of 40 or more"),
        ("What may leave", "changed in the last 90 days"),
        ("What may leave", "the collections to-north"),
        ("What may leave", "only after a person here has approved it by name"),
        ("What may not leave", "Anything that names us; we appear as a utility."),
        ("What may not leave", "Live data: the agreement is for exercises only."),
        ("What comes from it", "Up to TLP:GREEN it may go on to south."),
        ("What comes from it", "It may be kept for 365 days."),
        ("What comes from it", "When the agreement ends it is deleted."),
        ("What is owed", "A breach is told to security desk within 24 hours."),
        ("What is owed", "destroyed within 30 days."),
        ("What is owed", "The destruction is confirmed in writing."),
        ("Whom to call", "legal: counsel, +00 1 (verified on 2026-06-01; OpenPGP 0A0B)"),
        ("To see to", "the games ends within 30 days"),
    ],
)
def test_each_term_is_said(heading: str, wanted: str) -> None:
    """Each term that an agreement states is said in a sentence under the heading where one looks for it."""
    assert wanted in words(FULL)[heading]


def test_what_is_not_agreed_is_said_too() -> None:
    """An agreement that says little is told to say little: no legal basis, no contact, nothing that goes on."""
    said = words(agreement(outbound=Outbound("clear", ()), signed_on=None))
    assert said["What may leave"] == "Nothing: no type of object is agreed."
    assert "Not in force: agreement with north is not signed" in said["In force"]
    assert "In force until" not in said["In force"]
    assert "Names no legal basis." in said["In force"]
    assert "Nothing of it goes on to other partners." in said["What comes from it"]
    assert said["Whom to call"] == "Nobody is named."


@pytest.mark.parametrize(
    ("after", "key", "effect"),
    [
        (replace(FULL, outbound=replace(FULL.outbound, max_tlp="amber")), "outbound.max_tlp", "wider"),
        (replace(FULL, outbound=replace(FULL.outbound, max_tlp="clear")), "outbound.max_tlp", "narrower"),
        (replace(FULL, outbound=replace(FULL.outbound, min_score=0)), "outbound.min_score", "wider"),
        (replace(FULL, outbound=replace(FULL.outbound, approval="auto")), "outbound.approval", "wider"),
        (replace(FULL, outbound=replace(FULL.outbound, max_age_days=None)), "outbound.max_age_days", "wider"),
        (replace(FULL, outbound=replace(FULL.outbound, max_age_days=9)), "outbound.max_age_days", "narrower"),
        (replace(FULL, outbound=replace(FULL.outbound, collections=None)), "outbound.collections", "wider"),
        (replace(FULL, outbound=replace(FULL.outbound, object_types=())), "outbound.object_types", "narrower"),
        (replace(FULL, outbound=replace(FULL.outbound, attribution="may")), "outbound.attribution", "other"),
        (replace(FULL, inbound=replace(FULL.inbound, onward_partners=("x",))), "inbound.onward_partners", "other"),
        (replace(FULL, inbound=replace(FULL.inbound, onward_max_tlp=None)), "inbound.onward_max_tlp", "narrower"),
        (replace(FULL, expires_on=FULL.expires_on + timedelta(1)), "expires_on", "wider"),
        (replace(FULL, effective_from=FULL.effective_from + timedelta(1)), "effective_from", "narrower"),
        (replace(FULL, signed_on=None), "signed_on", "narrower"),
        (replace(FULL, event=replace(FULL.event, end=None)), "event.end", "wider"),
        (replace(FULL, event=replace(FULL.event, start=None)), "event.start", "wider"),
        (replace(FULL, contacts=()), "contacts", "other"),
    ],
)
def test_each_difference_is_told(after: Agreement, key: str, effect: str) -> None:
    """One term that differs is one change, with its key, both values, and whether it allows more or less."""
    (change,) = changes(FULL, after)
    assert (change.key, change.effect) == (key, effect)
    (back,) = changes(after, FULL)
    assert (back.before, back.after) == (change.after, change.before)
    assert {back.effect, change.effect} in ({"other"}, {"wider", "narrower"})


def test_a_change_in_words() -> None:
    """A change is one line: key, what was, what is, and its effect."""
    (change,) = changes(FULL, replace(FULL, outbound=replace(FULL.outbound, indicator_types=None)))
    assert change.words == "outbound.indicator_types: [malicious-activity] -> nothing (wider)"
    assert changes(FULL, FULL) == []
