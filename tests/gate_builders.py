"""Objects, audiences and facts for the gate's tests: each releases unless a test changes something."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from ipaddress import ip_network
from typing import Any

from threatshare.config import OwnAssets
from threatshare.model import CollectionKind, Kind, Observable, Tlp, Verdict
from threatshare.policy.agreements import Agreement, Inbound, Outbound
from threatshare.policy.gate import OWN, Audience, Candidate, Facts, candidate_of, decide
from threatshare.stix.objects import (
    IndicatorFacts,
    SightingFacts,
    identity,
    indicator,
    indicator_id,
    new_identity_id,
    sighting,
    written,
)
from threatshare.stix.timestamps import read_timestamp

CREATED = "2026-01-01T00:00:00.000Z"
NOW = read_timestamp("2026-06-15T12:00:00.000Z")
TODAY = date(2026, 6, 15)
US = new_identity_id("Our Company", CREATED)
THEM = new_identity_id("Their Company", CREATED)
BAD = Observable(Kind.IPV4, "45.66.77.88")

OWN_ASSETS = OwnAssets(
    tuple(ip_network(text) for text in ("45.10.0.0/16", "2a0a:1::/32")), ("our-company.de",), ("mail.our-company.de",)
)


def agreement(
    partner: str = "north", outbound: Outbound | None = None, inbound: Inbound | None = None, **changed: Any
) -> Agreement:
    """An agreement in force with a ceiling of AMBER for indicators and sightings."""
    values: dict[str, Any] = {
        "signed_on": date(2026, 1, 1),
        "effective_from": date(2026, 1, 1),
        "expires_on": date(2026, 12, 31),
        "outbound": outbound or Outbound("amber", ("indicator", "sighting")),
        "inbound": inbound or Inbound(),
    }
    return Agreement(partner, **(values | changed))


def partner(one: Agreement | None = None) -> Audience:
    """A partner's collection."""
    return Audience("to-north", CollectionKind.PARTNER, one or agreement())


INTERNAL = Audience("internal", CollectionKind.INTERNAL)
SIEM = Audience("siem", CollectionKind.SIEM)


def facts(**changed: Any) -> Facts:
    """A live node with own assets."""
    values: dict[str, Any] = {"own": OWN_ASSETS, "purpose": "live", "our_identity": US, "today": TODAY}
    return Facts(**(values | changed))


def our_indicator(observable: Observable = BAD, tlp: Tlp = Tlp.GREEN, maker: str = US) -> dict[str, Any]:
    """An indicator as our builder makes it."""
    return indicator(
        IndicatorFacts(
            indicator_id(maker, observable),
            observable,
            maker,
            NOW,
            NOW,
            NOW,
            NOW + 10**12,
            70,
            tlp,
            ["phish-sender"] if observable.kind is Kind.EMAIL else ["attacker", "c2"],
            ["T1566", "T1071.001"],
        )
    )


def our_sighting(sighted: str, tlp: Tlp = Tlp.GREEN) -> dict[str, Any]:
    """A sighting as our builder makes it."""
    return sighting(SightingFacts(sighted, US, NOW, NOW, NOW, NOW, 3, tlp))


def our_identity() -> dict[str, Any]:
    """Our Identity."""
    return identity(US, "Our Company", "technology", CREATED)


def ask(
    content: Mapping[str, Any], observables: Sequence[Observable] = (BAD,), source: str = OWN, **more: Any
) -> Candidate:
    """Makes a candidate of an object."""
    return candidate_of(written(content), observables, source=source, **more)


def rules_against(candidate: Candidate, audience: Audience, given: Facts | None = None) -> list[tuple[str, Verdict]]:
    """Gives the rules that do not release, with their verdicts, in order."""
    decision = decide(candidate, audience, given or facts())
    return [(one.rule, one.verdict) for one in decision.reasons if one.verdict is not Verdict.RELEASE]
