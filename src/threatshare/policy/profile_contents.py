"""Checks of what objects consist of: markings, types and properties, patterns, and what is ours or somebody's."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from ipaddress import ip_network
from typing import Any, Literal

from msgspec import Struct

from threatshare.config import OwnAssets, TlpLabel
from threatshare.model import Kind, Marking, Observable, Verdict, host_of
from threatshare.policy.candidates import OWN, Candidate
from threatshare.policy.detectors import DETECTORS, ENCODED
from threatshare.policy.mentions import DOMAIN, mentioned
from threatshare.policy.privacy import Hit, hits
from threatshare.policy.profile_bundles import Bundle, Member, NodeFacts, Spot, Unchecked
from threatshare.stix.tlp import TLP1_ID, TLP2_ID, TLP_IDS

Family = Literal["tlp1", "tlp2"]
_FAMILIES: Mapping[Family, frozenset[str]] = {
    "tlp1": frozenset(TLP1_ID.values()),
    "tlp2": frozenset(TLP2_ID.values()),
}
_WRITTEN: Mapping[Family, str] = {"tlp1": "STIX 2.1's own (TLP 1)", "tlp2": "the OASIS TLP 2.0 extension's"}
_DETECTORS = frozenset({ENCODED, *(one.rule for one in DETECTORS)})
_PROPERTY = re.compile(r"(?!.*\d{5})[a-z0-9_]{3,64}", re.ASCII).fullmatch
"""A name as STIX 2.1 §3.1 wants it, and too short of digits to be somebody's number."""
_EXTENSION = re.compile(r"extension-definition--[0-9a-f-]{36}", re.ASCII).fullmatch
_NOT_OURS = "a file"
"""The source of what we did not make, as the gate's detectors know sources."""


class TlpTerms(Struct, frozen=True, forbid_unknown_fields=True):
    """The TLP markings that may stand there."""

    levels: tuple[TlpLabel, ...]
    """Labels; one of them has to be on every object."""
    families: tuple[Family, ...] = ("tlp1", "tlp2")
    """``tlp1``: the ids of STIX 2.1 §7.2.1.4; ``tlp2``: those of the OASIS TLP 2.0 extension."""


class PropertyTerms(Struct, frozen=True, forbid_unknown_fields=True):
    """The allow-list: what is not named may not stand there."""

    common: tuple[str, ...]
    """Properties that every type may have."""
    types: dict[str, tuple[str, ...]]
    """The types that may stand there, each with its other properties."""
    extensions: tuple[str, ...] = ()
    """Ids of extension definitions that may be used."""


class RequiredTerms(Struct, frozen=True, forbid_unknown_fields=True):
    """Properties that must stand there."""

    types: dict[str, tuple[str, ...]]
    """By type."""


class DetectorTerms(Struct, frozen=True, forbid_unknown_fields=True):
    """What every string is searched for."""

    detectors: tuple[str, ...]
    """Rule ids of the gate's privacy detectors."""

    def __post_init__(self) -> None:
        """Refuses the name of a detector that does not exist; raises ValueError with the nearest."""
        for name in self.detectors:
            if name not in _DETECTORS:
                near = get_close_matches(name, _DETECTORS, 1) or sorted(_DETECTORS)
                raise ValueError(f"there is no detector {name!r}; did you mean {near[0]}?")


def tlp_within(bundle: Bundle, terms: TlpTerms, _facts: NodeFacts) -> Iterator[Spot]:
    """Wants every object marked, with allowed labels in allowed ids and nothing else; parts of objects count."""
    allowed = frozenset[str]().union(*(_FAMILIES[one] for one in terms.families))
    listed = ", ".join(f"TLP:{level.upper()}" for level in terms.levels)
    ids = " or ".join(_WRITTEN[one] for one in terms.families)
    for one in bundle.members:
        if one.type == "marking-definition":
            continue
        refs = list(_markings(one.content))
        for pointer, ref in refs:
            tlp = TLP_IDS.get(ref)
            if tlp is None:
                yield Spot(one, pointer, "is no TLP marking", f"mark it with one of {listed} alone")
            elif tlp.label not in terms.levels:
                yield Spot(one, pointer, f"is TLP:{tlp.label.upper()}", f"only {listed} may stand here: leave it out")
            elif ref not in allowed:
                yield Spot(one, pointer, f"is TLP:{tlp.label.upper()} by an id of another family", f"use {ids} id")
        if not any(pointer.startswith("/object_marking_refs") for pointer, _ in refs):
            yield Spot(one, "/object_marking_refs", "carries no TLP marking", f"mark it with one of {listed}")


def _markings(content: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for place, ref in enumerate(content.get("object_marking_refs") or ()):
        yield f"/object_marking_refs/{place}", str(ref)
    for place, part in enumerate(content.get("granular_markings") or ()):
        if "marking_ref" in part or "lang" not in part:
            yield f"/granular_markings/{place}", str(part.get("marking_ref"))


def properties_allowed(bundle: Bundle, terms: PropertyTerms, _facts: NodeFacts) -> Iterator[Spot]:
    """Wants nothing but listed types with listed properties, and nothing custom within them."""
    if bundle.foreign:
        found = f"the bundle itself has {bundle.foreign} properties that bundles do not have"
        yield Spot(None, "", found, "leave everything but type, id and objects out")
    for one in bundle.members:
        own = terms.types.get(one.type)
        if own is None:
            listed = ", ".join(sorted(terms.types))
            yield Spot(one, "/type", "is of a type that is not on the list", f"leave it out; on the list are {listed}")
            continue
        for name, value in one.content.items():
            if name == "extensions":
                yield from _extension_faults(one, value, terms)
            elif name not in terms.common and name not in own:
                yield Spot(one, f"/{_shown(name)}", "is not on the list of its type", "leave the property out")
            else:
                yield from _custom(one, value, f"/{name}")


def _extension_faults(one: Member, value: object, terms: PropertyTerms) -> Iterator[Spot]:
    for name in value if isinstance(value, dict) else ["?"]:
        if name not in terms.extensions:
            shown = name if _EXTENSION(name) else "*"
            yield Spot(one, f"/extensions/{shown}", "is an extension that is not on the list", "leave it out")


def _custom(one: Member, value: object, pointer: str) -> Iterator[Spot]:
    if isinstance(value, dict):
        for name, member in value.items():
            if name.startswith("x_"):
                yield Spot(one, f"{pointer}/{_shown(name)}", "is a custom property", "leave the property out")
            else:
                yield from _custom(one, member, f"{pointer}/{_shown(name)}")
    elif isinstance(value, list):
        for place, member in enumerate(value):
            yield from _custom(one, member, f"{pointer}/{place}")


def _shown(name: str) -> str:
    """Gives a property's name where it has the form of one; anything else may itself be what must not be told."""
    return name if _PROPERTY(name) else "*"


def properties_required(bundle: Bundle, terms: RequiredTerms, _facts: NodeFacts) -> Iterator[Spot]:
    """Wants each type to have what it must have."""
    for one in bundle.members:
        for name in terms.types.get(one.type, ()):
            if one.content.get(name) in (None, "", []):
                yield Spot(one, f"/{name}", "is missing", "add it")


def one_comparison(bundle: Bundle, _terms: object, _facts: NodeFacts) -> Iterator[Spot]:
    """Wants every indicator to be one comparison with one value, in STIX patterning."""
    for one in bundle.members:
        if one.type == "indicator" and (len(one.observables) != 1 or one.observables[0].kind is Kind.PATTERN):
            wanted = "write one indicator for each value, such as [ipv4-addr:value = '...']"
            yield Spot(one, "/pattern", "is more than one comparison, or none that can be read", wanted)


def no_own_assets(bundle: Bundle, terms: DetectorTerms, facts: NodeFacts) -> Iterator[Spot | Unchecked]:
    """Wants nothing of ours and nothing internal, as a value or anywhere in a text."""
    if facts.own is None:
        yield Unchecked("what is ours: no node says it (own-assets.toml); internal addresses were looked for")
    elif not facts.own.filled_in:
        yield Unchecked("what is ours: own-assets.toml names nothing")
    own = facts.own or OwnAssets()
    for one in bundle.members:
        for observable in (*one.observables, *_own_values(one)):
            pointer = "/pattern" if observable in one.observables else "/value"
            if own.owns(observable) or _is_inside(observable, own):
                yield Spot(one, pointer, f"the {observable.kind} is ours or internal", "leave the object out")
            elif (said := mentioned(observable, own)) is not None:
                yield Spot(one, pointer, f"mentions {said} of ours", "leave the object out", said == DOMAIN)
    yield from _detected(bundle, terms, facts)


def no_personal_data(bundle: Bundle, terms: DetectorTerms, facts: NodeFacts) -> Iterator[Spot]:
    """Wants nothing in any string that is somebody's: the gate's own detectors, in the same readings."""
    yield from _detected(bundle, terms, facts)


def _own_values(one: Member) -> Iterator[Observable]:
    """Yields the value of an observable object, where it is one that could be ours; it is compared as it stands."""
    value, kind = one.content.get("value"), _VALUE_KINDS.get(one.type)
    if isinstance(value, str) and kind is not None:
        try:
            if kind in (Kind.IPV4, Kind.IPV6):
                ip_network(value, strict=False)
            yield Observable(kind, value.lower())
        except ValueError:
            return


_VALUE_KINDS: Mapping[str, Kind] = {
    "ipv4-addr": Kind.IPV4,
    "ipv6-addr": Kind.IPV6,
    "domain-name": Kind.DOMAIN,
    "email-addr": Kind.EMAIL,
}


def _is_inside(observable: Observable, own: OwnAssets) -> bool:
    value = host_of(observable.value) if observable.kind is Kind.URL else observable.value
    if observable.kind not in (Kind.IPV4, Kind.IPV6, Kind.URL):
        return False
    try:
        return own.inside(ip_network(value, strict=False).network_address)
    except ValueError:
        return False


def _hits(bundle: Bundle, place: int, facts: NodeFacts) -> list[Hit]:
    one = bundle.members[place]
    ours = bool(facts.identity) and facts.identity in (one.id, one.content.get("created_by_ref"))
    # With what is ours beside it, so that nothing else has its id while this stands.
    own, found = bundle.searched.get((place, ours, id(facts.own)), (None, None))
    if found is None or own is not facts.own:
        candidate = Candidate(one.content, one.observables, Marking(None), OWN if ours else _NOT_OURS)
        found = hits(candidate, facts.own or OwnAssets(), b"")
        bundle.searched[place, ours, id(facts.own)] = (facts.own, found)
    return list(found)


def _detected(bundle: Bundle, terms: DetectorTerms, facts: NodeFacts) -> Iterator[Spot]:
    for place, one in enumerate(bundle.members):
        for hit in _hits(bundle, place, facts):
            if hit.detector.rule in terms.detectors:
                mend = "leave it out"
                if hit.detector.verdict is Verdict.HOLD:
                    mend += ", or have a person see whose it is"
                found = f"holds {hit.detector.what} ({hit.detector.rule})"
                yield Spot(one, hit.field, found, mend, hit.detector.verdict is Verdict.HOLD)
