"""What a change of an agreement opens: every term is judged, what is new is open, and the stricter of both acts."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from msgspec.structs import replace as changed

from gate_builders import TODAY, agreement
from threatshare.policy.agreement_bounds import loosened, narrowed
from threatshare.policy.agreement_words import keys_of
from threatshare.policy.agreements import Agreement, Event, Inbound, LegalBasis, Outbound, standing

BASE = agreement(
    outbound=Outbound(
        "green",
        ("indicator",),
        ("malicious-activity",),
        50,
        ("to-north",),
        "must-not",
        True,
        "human",
        30,
        "a utility",
        "ais-consent-usg",
    ),
    inbound=Inbound("green", onward_max_tlp="clear", onward_partners=("south",), onward_attribution="must"),
    event=Event("games", date(2026, 6, 1), date(2026, 6, 30)),
    legal_basis=(LegalBasis("law", date(2026, 1, 1), date(2026, 9, 30)),),
)


def outbound(**terms: Any) -> Agreement:
    return changed(BASE, outbound=changed(BASE.outbound, **terms))


def inbound(**terms: Any) -> Agreement:
    return changed(BASE, inbound=changed(BASE.inbound, **terms))


LOOSER = {
    "effective_from": changed(BASE, effective_from=date(2025, 1, 1)),
    "expires_on": changed(BASE, expires_on=date(2027, 1, 1)),
    "signed_on": changed(BASE, signed_on=date(2025, 12, 1)),
    "event.start": changed(BASE, event=changed(BASE.event, start=None)),
    "event.end": changed(BASE, event=changed(BASE.event, end=date(2026, 7, 1))),
    "legal_basis": changed(BASE, legal_basis=()),
    "outbound.max_tlp": outbound(max_tlp="amber"),
    "outbound.object_types": outbound(object_types=("indicator", "sighting")),
    "outbound.indicator_types": outbound(indicator_types=None),
    "outbound.min_score": outbound(min_score=49),
    "outbound.collections": outbound(collections=("to-north", "more")),
    "outbound.attribution": outbound(attribution="may"),
    "outbound.exercise_only": outbound(exercise_only=False),
    "outbound.approval": outbound(approval="auto"),
    "outbound.max_age_days": outbound(max_age_days=None),
    "outbound.anonymise_as": outbound(anonymise_as="our name"),
    "outbound.consent": outbound(consent="ais-consent-everyone"),
    "outbound.profile": outbound(profile="ais"),
    "inbound.default_tlp": inbound(default_tlp="clear"),
    "inbound.sources": inbound(sources=("feed",)),
    "inbound.onward_max_tlp": inbound(onward_max_tlp="green"),
    "inbound.onward_partners": inbound(onward_partners=None),
    "inbound.onward_attribution": inbound(onward_attribution="may"),
    "inbound.reliability": inbound(reliability="B"),
    "feedback.sightings_back": changed(BASE, feedback=changed(BASE.feedback, sightings_back=True)),
}
"""By key a version under which more may leave by that term alone."""


@pytest.mark.parametrize("key", LOOSER)
def test_each_term_that_opens_is_named(key: str) -> None:
    """A raised ceiling, and every other term that lets more leave, is a loosening, named by its key."""
    assert loosened(BASE, LOOSER[key]) == (key,)
    assert narrowed(BASE, LOOSER[key]) == BASE


@pytest.mark.parametrize(
    "key",
    sorted(set(LOOSER) - {"outbound.attribution", "outbound.anonymise_as", "outbound.profile", "inbound.sources"}),
)
def test_the_way_back_acts_at_once(key: str) -> None:
    """What takes such a term back is no loosening, and acts by itself."""
    assert loosened(LOOSER[key], BASE) == ()
    assert narrowed(LOOSER[key], BASE) == BASE


def test_every_term_is_judged() -> None:
    """Each key of an agreement is for the record, or opens where it changes: one that is added later opens too."""
    record = {key for key in keys_of(BASE) if key not in LOOSER}
    assert record == {
        *("partner", "kind", "version", "review_due", "owner", "signatories", "document_sha256", "contacts"),
        *("mou_id", "event.name", "partner_type"),
        *("inbound.permitted_actions", "inbound.may_block", "inbound.retention_days"),
        *("inbound.pap_default", "inbound.on_expiry", "inbound.commercial_use", "inbound.unmodified_resale"),
        *("inbound.affected_party_notifications", "inbound.encrypt_in_transit", "inbound.encrypt_at_rest"),
        *("breach.notify_within_hours", "breach.contact", "exit.destroy_within_days", "exit.certificate_required"),
        *("feedback.fp_sla_hours", "checkin.every_days", "checkin.next_exercise"),
        *("iep.id", "iep.name", "iep.description", "iep.start_date", "iep.external_references"),
    }


def test_a_new_ending_acts_at_once() -> None:
    """A file that raises the ceiling and ends sooner ends sooner now, and raises nothing yet."""
    after = changed(outbound(max_tlp="red", min_score=60), expires_on=date(2026, 6, 20), version=2)
    acts = narrowed(BASE, after)
    assert loosened(BASE, after) == ("outbound.max_tlp",)
    assert (acts.outbound.max_tlp, acts.outbound.min_score, acts.version) == ("green", 60, 1)
    assert acts.expires_on == acts.event.end == date(2026, 6, 20)
    ended = changed(after, expires_on=date(2026, 6, 10), event=Event())
    assert standing(narrowed(BASE, ended), TODAY)


def test_lists_meet_in_what_both_allow() -> None:
    """Of a list that loses one and gains another, what both have is allowed meanwhile."""
    one = outbound(collections=("a", "b"))
    other = outbound(collections=("b", "c"))
    assert loosened(one, other) == ("outbound.collections",)
    assert narrowed(one, other).outbound.collections == ("b",)
    assert narrowed(outbound(collections=None), other).outbound.collections == ("b", "c")


def test_legal_bases_meet_in_the_days_of_both() -> None:
    """Meanwhile both the old and the new legal basis must be in force; where they never are, nothing leaves."""
    later = changed(BASE, legal_basis=(LegalBasis("contract", date(2026, 6, 10)),))
    assert loosened(BASE, later) == ("legal_basis",)
    both = narrowed(BASE, later)
    assert both.legal_basis == (LegalBasis("contract", date(2026, 6, 10), date(2026, 9, 30)),)
    assert not standing(both, TODAY)
    never = narrowed(BASE, changed(BASE, legal_basis=(LegalBasis("contract", date(2027, 1, 1)),)))
    assert standing(never, TODAY)
    split = (LegalBasis("law", date(2026, 1, 1), date(2026, 3, 1)), LegalBasis("law", date(2026, 3, 2)))
    whole = (LegalBasis("law", date(2026, 1, 1)),)
    assert loosened(changed(BASE, legal_basis=split), changed(BASE, legal_basis=whole)) == ()


def test_words_for_the_record_wait_for_nobody() -> None:
    """Contacts, owner, version and the like act at once by themselves."""
    after = changed(BASE, version=2, owner="partner desk", mou_id="4711")
    assert loosened(BASE, after) == ()
