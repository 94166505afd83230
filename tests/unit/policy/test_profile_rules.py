"""The gate's rule ``profile``: what the agreement's profile blocks is refused, what it queues is held."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from gate_builders import INTERNAL, SIEM, agreement, ask, facts, our_identity, our_indicator, our_sighting, partner
from profile_builders import PROFILES
from threatshare.model import Observable, Tlp, Verdict
from threatshare.policy.agreements import LegalBasis, Outbound
from threatshare.policy.profile_rules import PROFILE, profile, records_of

LAW = (LegalBasis("a law", date(2026, 1, 1), date(2026, 12, 31)),)


def reasons(content: dict[str, Any], name: str | None = "isac", **terms: Any) -> list[tuple[Verdict, str]]:
    """Asks the rule about one object of ours for a partner."""
    outbound = Outbound("amber", profile=name, consent="ais-consent-everyone")
    audience = partner(agreement(legal_basis=terms.pop("legal_basis", LAW), outbound=outbound, **terms))
    observables: tuple[Observable, ...] = ask(content).observables if content["type"] == "indicator" else ()
    said = profile(ask(content, observables), audience, facts(profiles=PROFILES))
    assert {one.rule for one in said} == {PROFILE}
    return [(one.verdict, one.text) for one in said]


@pytest.mark.parametrize("content", [our_indicator(), our_identity(), our_sighting(our_indicator()["id"])])
def test_what_our_builder_makes_keeps_to_isac(content: dict[str, Any]) -> None:
    """Each object of ours passes by itself, and the reason names the profile and its version."""
    assert reasons(content) == [(Verdict.RELEASE, "keeps to isac version 1 as one object")]


def test_what_blocks_refuses() -> None:
    """Nobody releases what the profile blocks; the reason names the rule, the place, and what would mend it."""
    ((verdict, text),) = reasons(our_indicator(tlp=Tlp.RED))
    assert verdict is Verdict.REFUSE
    assert text.startswith("isac ISAC-03: /object_marking_refs/0 is TLP:RED; to mend it: ")


def test_what_queues_holds() -> None:
    """A person may release what the profile only queues."""
    ((verdict, text),) = reasons(our_indicator() | {"description": "to jane@example.com"})
    assert verdict is Verdict.HOLD
    assert "ISAC-08" in text
    assert "jane" not in text
    assert "releases profile by name" in text


def test_our_identity_is_asked_for_its_consent() -> None:
    """Under ais our Identity needs its consent label; indicators are not asked for it."""
    assert [verdict for verdict, _ in reasons(our_identity(), "ais")] == [Verdict.REFUSE]
    ((verdict, text),) = reasons(our_indicator(), "ais")
    assert verdict is Verdict.RELEASE
    assert text.startswith("keeps to ais version 1 as one object; not checked: AIS-09 certificate: ")


def test_the_legal_basis_of_the_agreement_counts() -> None:
    """Under ais an agreement without a legal basis on record releases nothing."""
    ((verdict, text),) = reasons(our_indicator(), "ais", legal_basis=())
    assert verdict is Verdict.REFUSE
    assert "AIS-09" in text


def test_no_profile_no_rule() -> None:
    """Without a profile in the agreement, and inside our own organisation, there is nothing against anything."""
    red = our_indicator(tlp=Tlp.RED)
    assert [verdict for verdict, _ in reasons(red, None)] == [Verdict.RELEASE]
    for audience in (INTERNAL, SIEM):
        said = profile(ask(red), audience, facts(profiles=PROFILES))
        assert [one.verdict for one in said] == [Verdict.RELEASE]


def test_a_profile_that_does_not_exist_refuses() -> None:
    """A profile that was taken away lets nothing out."""
    assert reasons(our_indicator(), "gone") == [
        (
            Verdict.REFUSE,
            "the agreement names the profile gone, which does not exist or cannot be read: see `threatshare doctor`",
        )
    ]


def test_a_draft_is_no_record() -> None:
    """An agreement that is not signed is none, and no agreement at all was not looked up."""
    assert records_of(agreement(signed_on=None))["agreement"] == ()
    assert records_of(None) == {}
