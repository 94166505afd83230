"""What holds of every profile and every file: nothing crashes, nothing bad is outvoted, fewer rules find no more."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate_builders import our_indicator
from profile_builders import FACTS, PROFILES, bundled, exported, submission
from threatshare.model import Kind, Observable, Tlp
from threatshare.policy.profile_bundles import NodeFacts, read_bundle
from threatshare.policy.profile_checks import CHECKS
from threatshare.policy.profile_terms import Profile
from threatshare.policy.profiles import check

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
GOOD = [*submission(), *exported()]
NAMES = sorted(
    {name for one in GOOD for name in one} | {"extensions", "granular_markings", "x_a", "value", "target_ref"}
)
PROFILE = st.sampled_from([*PROFILES.values()])
KNOWN = st.sampled_from([FACTS, NodeFacts()])


@st.composite
def objects(draw: st.DrawFn) -> dict[str, Any]:
    """An object that is good but for some properties, which may be anything."""
    good: dict[str, Any] = draw(st.sampled_from(GOOD))
    return good | draw(st.dictionaries(st.sampled_from(NAMES), JSON, max_size=3))


BAD = st.sampled_from(
    [
        our_indicator(tlp=Tlp.RED),
        our_indicator(Observable(Kind.IPV4, "10.1.2.3")),
        our_indicator() | {"x_owner": "somebody"},
        our_indicator() | {"type": "x-note", "id": "x-note--6f1b7f4e-6a8e-4f0b-9c59-1c9f8d1a2b3c"},
        our_indicator() | {"description": "to jane@example.com"},
        our_indicator() | {"object_marking_refs": []},
        our_indicator() | {"confidence": 500},
        {},
    ]
)
"""Each is bad by itself, under every shipped profile."""


@given(JSON, PROFILE, KNOWN)
def test_nothing_crashes(anything: Any, profile: Profile, known: NodeFacts) -> None:
    """Whatever JSON a file holds, as a whole or as an object of a bundle, the answer is a report."""
    for data in (json.dumps(anything).encode(), bundled([anything])):
        report = check(profile, read_bundle(data), known)
        assert report.passes is not any(one.on_fail != "alert" for one in report.faults)


@given(st.binary(max_size=200), PROFILE)
def test_no_bytes_crash(data: bytes, profile: Profile) -> None:
    """Nor do bytes that are no JSON at all."""
    assert check(profile, read_bundle(data)).profile == profile.name


@given(st.lists(objects(), max_size=4), PROFILE, KNOWN)
def test_nothing_crashes_on_what_is_nearly_right(
    some: list[dict[str, Any]], profile: Profile, known: NodeFacts
) -> None:
    """An object of which any property may be anything is judged or told to be broken; none is lost."""
    bundle = read_bundle(bundled(some))
    assert len(bundle.members) + len(bundle.broken) == len(some)
    check(profile, bundle, known)


@given(st.lists(objects(), max_size=4), BAD, PROFILE, KNOWN, st.integers(0, 4))
def test_what_is_blocked_alone_never_passes_in_company(
    some: list[dict[str, Any]], bad: dict[str, Any], profile: Profile, known: NodeFacts, place: int
) -> None:
    """Adding an object that is bad by itself never makes a file pass, and its own fault stays."""
    alone = check(profile, read_bundle(bundled([bad])), known)
    assert not alone.passes
    both = check(profile, read_bundle(bundled([*some[:place], bad, *some[place:]])), known)
    assert not both.passes
    of_files = {rule.id for rule in profile.rules if CHECKS[rule.check].asked_of != "objects"}
    kept = {(one.rule, one.on_fail, one.pointer, one.found) for one in alone.faults if one.rule not in of_files}
    assert kept <= {(one.rule, one.on_fail, one.pointer, one.found) for one in both.faults}


@given(st.lists(objects(), max_size=4), PROFILE, KNOWN, st.integers(0, 10))
def test_fewer_rules_find_no_more(some: list[dict[str, Any]], profile: Profile, known: NodeFacts, which: int) -> None:
    """Without one rule exactly its faults are gone, and all others stay in their order."""
    gone = profile.rules[which % len(profile.rules)]
    less = replace(profile, rules=tuple(one for one in profile.rules if one is not gone))
    bundle = read_bundle(bundled(some))
    every, fewer = check(profile, bundle, known), check(less, bundle, known)
    assert list(fewer.faults) == [one for one in every.faults if one.rule != gone.id]


CANARY = "canary7743"


@given(st.lists(objects(), min_size=1, max_size=3), st.sampled_from(NAMES), PROFILE)
def test_no_fault_repeats_a_value(some: list[dict[str, Any]], name: str, profile: Profile) -> None:
    """A text that is private stands in no fault, wherever it was put, whatever is wrong with it."""
    secret = f"{CANARY}@example.com"
    if name not in ("type", "id"):
        some[0] = some[0] | {name: secret, f"{CANARY} {secret}": {secret: secret}}
    report = check(profile, read_bundle(bundled(some)), FACTS)
    said = [one.pointer + one.found + one.mend for one in report.faults]
    assert not any(CANARY in text for text in said)


@pytest.mark.parametrize("name", PROFILES)
def test_the_examples_of_bad_are_bad(name: str) -> None:
    """The good examples are good under one of the profiles, so that the bad ones can fail for what they are."""
    good = exported() if name == "isac" else submission()
    assert check(PROFILES[name], read_bundle(bundled(good)), FACTS).passes
