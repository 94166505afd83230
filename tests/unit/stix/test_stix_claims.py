"""Claims: what a received indicator says, about what, and under which restriction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from threatshare.errors import BadValue
from threatshare.model import Kind, Observable, Tlp
from threatshare.stix.claims import MAX_AHEAD, UNKNOWN_MARKING, NewClaim, claim_of
from threatshare.stix.received import read_object
from threatshare.stix.timestamps import read_timestamp, write_timestamp
from threatshare.stix.tlp import TLP1_ID, TLP2_ID, TLP_IDS

MakeIndicator = Callable[..., bytes]

MODIFIED = read_timestamp("2026-01-02T00:00:00.000Z")
STATEMENT = "marking-definition--0b6d8c1e-5f0e-4c39-8c6f-1a2b3c4d5e6f"


def claimed(raw: bytes, default: Tlp = Tlp.AMBER_STRICT, now: int = MODIFIED) -> NewClaim | None:
    read = read_object(raw)
    return claim_of(read, read.version, default, now)


def the_claim(raw: bytes, default: Tlp = Tlp.AMBER_STRICT) -> NewClaim:
    claim = claimed(raw, default)
    assert claim is not None
    return claim


def test_an_indicator_claims_its_observables(make_indicator: MakeIndicator) -> None:
    """All that the score needs is read: values, maker, confidence, times, restriction."""
    claim = the_claim(make_indicator(valid_until="2026-02-01T00:00:00Z"))
    assert claim.observables == (Observable(Kind.IPV4, "198.51.100.7"),)
    assert claim.origin == "identity--0f3d8c52-6c1e-4d0a-8f0b-5a1d3b8e7c21"
    assert claim.confidence == 50
    assert claim.observed == MODIFIED
    assert claim.valid_from == read_timestamp("2026-01-01T00:00:00Z")
    assert claim.valid_until == read_timestamp("2026-02-01T00:00:00Z")
    assert (claim.tlp, claim.revoked, claim.benign) == (Tlp.AMBER_STRICT, False, False)


def test_what_is_not_said_stays_unsaid(make_indicator: MakeIndicator, absent: object) -> None:
    """No confidence is not confidence zero, and no maker is not the source."""
    claim = the_claim(make_indicator(confidence=absent, created_by_ref=absent, pattern_type=absent))
    assert (claim.confidence, claim.origin, claim.valid_until) == (None, None, None)
    assert the_claim(make_indicator(confidence=0)).confidence == 0


@pytest.mark.parametrize("kind", ["malware", "sighting", "ipv4-addr", "x-indicator", "marking-definition"])
def test_only_indicators_claim_anything(kind: str, make_indicator: MakeIndicator) -> None:
    """Observed data and observables alone say nothing bad about a value."""
    assert claimed(make_indicator(type=kind, id=f"{kind}--8b35c4a1-2f6f-4cbe-9a0e-0d4e7a1c1f10")) is None


@pytest.mark.parametrize("language", ["snort", "suricata", "yara", "sigma", "pcre", "STIX", "x"])
def test_other_pattern_languages_claim_nothing(language: str, make_indicator: MakeIndicator) -> None:
    """A rule in another language is kept, but never read as a STIX pattern."""
    assert claimed(make_indicator(pattern_type=language)) is None


@pytest.mark.parametrize("ref", TLP_IDS)
@pytest.mark.parametrize("where", ["object", "part", "both"])
def test_a_marking_restricts_wherever_it_stands(ref: str, where: str, make_indicator: MakeIndicator) -> None:
    """An id of any family restricts the whole object, be it on the object or on one property."""
    part = [{"marking_ref": ref, "selectors": ["name"]}]
    places: dict[str, dict[str, Any]] = {
        "object": {"object_marking_refs": [ref]},
        "part": {"granular_markings": part},
        "both": {"object_marking_refs": [TLP2_ID[Tlp.CLEAR]], "granular_markings": part},
    }
    assert the_claim(make_indicator(**places[where])).tlp == TLP_IDS[ref]


def test_the_strictest_marking_wins(make_indicator: MakeIndicator) -> None:
    """Several markings restrict together, in any order."""
    refs = [TLP2_ID[Tlp.GREEN], TLP1_ID[Tlp.RED], TLP2_ID[Tlp.CLEAR]]
    assert the_claim(make_indicator(object_marking_refs=refs)).tlp == Tlp.RED
    assert the_claim(make_indicator(object_marking_refs=refs[::-1])).tlp == Tlp.RED


@pytest.mark.parametrize(
    "changed",
    [
        {"object_marking_refs": [STATEMENT]},
        {"object_marking_refs": [TLP2_ID[Tlp.CLEAR], STATEMENT]},
        {"object_marking_refs": [TLP2_ID[Tlp.RED].upper()]},
        {"object_marking_refs": [""]},
        {"granular_markings": [{"marking_ref": STATEMENT, "selectors": ["name"]}]},
        {"granular_markings": [{"selectors": ["name"]}]},
        {"granular_markings": [{"marking_ref": "", "selectors": ["name"]}]},
    ],
)
def test_an_unknown_marking_is_stricter_than_red(changed: dict[str, Any], make_indicator: MakeIndicator) -> None:
    """What we cannot read may forbid anything."""
    assert the_claim(make_indicator(**changed)).tlp == UNKNOWN_MARKING > Tlp.RED


@pytest.mark.parametrize("default", [*Tlp])
@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"object_marking_refs": [], "granular_markings": []},
        {"granular_markings": [{"lang": "de", "selectors": ["name"]}]},
    ],
)
def test_an_unmarked_object_has_its_sources_default(
    default: Tlp, changed: dict[str, Any], make_indicator: MakeIndicator
) -> None:
    """Without a marking the default of the source counts; a language is no marking."""
    assert the_claim(make_indicator(**changed), default).tlp == default


def test_a_version_from_the_future_is_refused(make_indicator: MakeIndicator) -> None:
    """An object dated ahead would stay the latest for ever; a clock that is a little ahead is borne."""
    for ahead in (0, MAX_AHEAD):
        assert claimed(make_indicator(modified=write_timestamp(MODIFIED + ahead))) is not None
    for changed in ({}, {"revoked": True}, {"type": "malware", "id": "malware--8b35c4a1-2f6f-4cbe-9a0e-0d4e7a1c1f10"}):
        late = make_indicator(modified=write_timestamp(MODIFIED + MAX_AHEAD + 1000), **changed)
        with pytest.raises(BadValue, match="future"):
            claimed(late)


@pytest.mark.parametrize(
    "changed",
    [
        {"valid_until": "2026-01-01T00:00:00Z"},
        {"valid_until": "2025-12-31T23:59:59.999Z"},
        {"valid_until": "2026-15-08T00:00:00Z"},
        {"valid_until": ""},
        {"valid_from": "2026-15-08T00:00:00Z"},
        {"valid_from": "2026-01-01"},
        {"pattern": "[ipv4-addr:value = '999.1.1.1']"},
        {"pattern": "[ipv4-addr:value ="},
        {"pattern": "alert tcp any any"},
    ],
)
def test_what_cannot_hold_is_refused(changed: dict[str, Any], make_indicator: MakeIndicator) -> None:
    """A validity that never was, or a pattern that matches nothing, is refused with the object's id."""
    with pytest.raises(BadValue, match=r"^indicator--8b35c4a1"):
        claimed(make_indicator(**changed))


def test_an_indicator_without_valid_from_is_refused(make_indicator: MakeIndicator, absent: object) -> None:
    """The standard demands it, and guessing it would guess when the claim begins to decay."""
    with pytest.raises(BadValue, match="valid_from"):
        claimed(make_indicator(valid_from=absent))


@pytest.mark.parametrize(
    ("changed", "observables"),
    [
        ({}, 1),
        ({"valid_until": "2026-01-01T00:00:00Z"}, 1),
        ({"valid_until": "2025-01-01T00:00:00Z"}, 1),
        ({"valid_until": "never"}, 0),
        ({"valid_from": "never"}, 0),
        ({"pattern": "withdrawn"}, 0),
        ({"pattern": "[ipv4-addr:value = '0']"}, 0),
    ],
)
def test_a_withdrawal_is_obeyed(changed: dict[str, Any], observables: int, make_indicator: MakeIndicator) -> None:
    """A revoked version is taken whatever else is wrong with it: refused, it would leave the old claim standing."""
    claim = the_claim(make_indicator(revoked=True, **changed))
    assert claim.revoked
    assert len(claim.observables) == observables


@pytest.mark.parametrize(
    ("changed", "benign"),
    [
        ({"indicator_types": ["benign"]}, True),
        ({"indicator_types": ["benign", "anomalous-activity"]}, True),
        ({"indicator_types": ["benign", "malicious-activity"]}, False),
        ({"indicator_types": ["unknown"]}, False),
        ({"indicator_types": []}, False),
        ({"indicator_types": [], "labels": ["benign"]}, False),
        ({"indicator_types": [], "labels": ["benign"], "spec_version": "2.0"}, True),
    ],
)
def test_benign_is_what_says_so_alone(changed: dict[str, Any], benign: bool, make_indicator: MakeIndicator) -> None:
    """Only where every type of an indicator says benign or anomalous is it no evidence of malice."""
    assert the_claim(make_indicator(**changed)).benign is benign


def test_stix_2_0_says_its_types_in_labels(make_indicator: MakeIndicator, absent: object) -> None:
    """An indicator of STIX 2.0 has no version of the standard and no types, but labels (STIX 2.0 part 2 §2.5)."""
    old = {"spec_version": absent, "indicator_types": absent, "pattern_type": absent}
    assert the_claim(make_indicator(labels=["benign"], **old)).benign
    assert not the_claim(make_indicator(labels=["malicious-activity", "benign"], **old)).benign
