"""Checks of who submits: one Identity, complete, with place and consent, and not named where it asked not to be.

Each check yields what it found; none raises, whatever stands in the objects.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct

from threatshare.policy.profile_bundles import (
    Bundle,
    Member,
    NodeFacts,
    Spot,
    Unchecked,
    is_tlp_definition,
    texts,
)
from threatshare.stix.location import is_area_of, is_country
from threatshare.stix.objects import sectors

_NO_SUBMITTER = "there is no Identity of the submitter"
_ADD_IDENTITY = "add the Identity to which every object's created_by_ref leads"
_WITHOUT_CREATOR = frozenset(
    """
    artifact autonomous-system directory domain-name email-addr email-message file ipv4-addr ipv6-addr mac-addr mutex
    network-traffic process software url user-account windows-registry-key x509-certificate
    """.split()
)
"""STIX cyber-observable objects, which have no ``created_by_ref`` (STIX 2.1 §3.2)."""

_REFERENCE = frozenset({"source_name", "external_id", "url", "description"})
"""What an external reference says (STIX 2.1 §2.5)."""


class NoParameters(Struct, frozen=True, forbid_unknown_fields=True):
    """The check has nothing to set."""


class IdentityTerms(Struct, frozen=True, forbid_unknown_fields=True):
    """What the submitter's Identity has to say."""

    consent_labels: tuple[str, ...] = ()
    """Exactly one of these is among its labels; empty: none is wanted."""
    sectors_required: bool = True
    """Whether it names at least one sector; any it names is of STIX's industry sectors."""


class LabelTerms(Struct, frozen=True, forbid_unknown_fields=True):
    """A word that may stand in labels only in one form."""

    word: str
    """Looked for in every label, whatever its case."""
    only_as: str
    """The only label that may contain it."""


class LeakTerms(Struct, frozen=True, forbid_unknown_fields=True):
    """Where a submitter must not be named who did not consent to it."""

    consents: tuple[str, ...]
    """Labels under which it must not be; a submitter without any consent label counts as one of these."""
    open_consents: tuple[str, ...]
    """Labels under which it may be named."""
    properties: tuple[str, ...] = ("name", "description", "external_references")
    """Where its name and id are looked for, in every object; the Identity's own name may stay."""


def one_submitter(bundle: Bundle, _terms: NoParameters, _facts: NodeFacts) -> Iterator[Spot]:
    """Wants exactly one submitter's Identity, and every object to name it as its creator."""
    found = dict.fromkeys(one.id for one in bundle.submitters)
    if not found:
        yield Spot(None, "", _NO_SUBMITTER, _ADD_IDENTITY)
    elif len(found) > 1:
        yield Spot(None, "", f"there are {len(found)} submitters", "submit what each of them made in a file of its own")
    submitter = next(iter(found), None)
    for one in bundle.members:
        if one.type in _WITHOUT_CREATOR or is_tlp_definition(one):
            continue
        maker = one.content.get("created_by_ref")
        if maker is None:
            yield Spot(one, "/created_by_ref", "names no creator", "set it to the id of the submitter's Identity")
        elif submitter is not None and maker != submitter:
            yield Spot(one, "/created_by_ref", "names another creator", "leave out what the submitter did not make")


def identity_complete(bundle: Bundle, terms: IdentityTerms, _facts: NodeFacts) -> Iterator[Spot]:
    """Wants the submitter to be an organisation with STIX sectors and one consent label."""
    if not bundle.submitters:
        yield Spot(None, "", _NO_SUBMITTER, _ADD_IDENTITY)
    for one in bundle.submitters:
        if one.content.get("identity_class") != "organization":
            yield Spot(one, "/identity_class", "is not organization", 'set it to "organization"')
        if not one.content.get("name"):
            yield Spot(one, "/name", "has no name", "add the organisation's name")
        named = one.content.get("sectors")
        if (named is None and terms.sectors_required) or named == []:
            yield Spot(one, "/sectors", "has no sectors", "add a word of STIX's industry sectors (STIX 2.1 §10.9)")
        elif named is not None and (not isinstance(named, list) or len(texts(named)) != len(named)):
            yield Spot(one, "/sectors", "is no list of words", "write it as a list of STIX's industry sectors")
        for place, sector in enumerate(texts(named)):
            if sector not in sectors():
                wanted = "use a word of STIX's industry sectors (STIX 2.1 §10.9)"
                yield Spot(one, f"/sectors/{place}", "is no industry sector of STIX", wanted)
        given = [label for label in one.labels if label in terms.consent_labels]
        if terms.consent_labels and len(given) != 1:
            wanted = f"keep exactly one of {', '.join(terms.consent_labels)}"
            yield Spot(one, "/labels", f"has {len(given) or 'no'} consent label{'s' * (len(given) > 1)}", wanted)


def label_only_with(bundle: Bundle, terms: LabelTerms, _facts: NodeFacts) -> Iterator[Spot]:
    """Wants a word to stand in no label but one."""
    word = terms.word.casefold()
    for one in bundle.members:
        for place, label in enumerate(one.labels):
            if word in label.casefold() and label != terms.only_as:
                found = f"says {terms.word} otherwise than as {terms.only_as}"
                yield Spot(one, f"/labels/{place}", found, f"use {terms.only_as}, or leave {terms.word} out")


def location_of_identity(bundle: Bundle, _terms: NoParameters, _facts: NodeFacts) -> Iterator[Spot]:
    """Wants each submitter to be ``located-at`` a Location with ISO country and area."""
    if not bundle.submitters:
        yield Spot(None, "", _NO_SUBMITTER, _ADD_IDENTITY)
    places: dict[str, list[Member]] = {}
    links: dict[str, list[Member]] = {}
    for one in bundle.members:
        if one.type == "location":
            places.setdefault(one.id, []).append(one)
        elif one.type == "relationship" and one.content.get("relationship_type") == "located-at":
            links.setdefault(str(one.content.get("source_ref")), []).append(one)
    for one in bundle.submitters:
        if one.id not in links:
            yield Spot(one, "", "is located at no Location", "add a Location and a located-at Relationship to it")
        for link in links.get(one.id, ()):
            found = places.get(str(link.content.get("target_ref")), [])
            if not found:
                yield Spot(link, "/target_ref", "leads to no Location of this file", "add the Location to the file")
            for place in found:
                yield from _place_faults(place)


def _place_faults(place: Member) -> Iterator[Spot]:
    country = place.content.get("country")
    if not is_country(country):
        yield Spot(place, "/country", "is no ISO 3166-1 alpha-2 code", "use two upper-case letters, such as US")
    elif not is_area_of(place.content.get("administrative_area"), country):
        wanted = f"use an ISO 3166-2 code that begins with {country}-"
        yield Spot(place, "/administrative_area", "is no ISO 3166-2 code of the country", wanted)


def identity_not_leaked(bundle: Bundle, terms: LeakTerms, facts: NodeFacts) -> Iterator[Spot | Unchecked]:
    """Wants a submitter without consent not to be named in what is passed on."""
    hidden = {one.id: str(one.content.get("name") or "") for one in bundle.submitters if _is_hidden(one.labels, terms)}
    open_ = [one for one in bundle.submitters if one.id not in hidden]
    if facts.identity and not open_ and (bundle.submitters or _is_hidden([facts.consent], terms)):
        hidden.setdefault(facts.identity, facts.name)
    if not hidden and not open_ and not facts.identity:
        yield Unchecked("neither the file nor a node says who submits")
    names = [re.compile(rf"(?<!\w){re.escape(name)}(?!\w)", re.I).search for name in hidden.values() if name]
    numbers = [one.rpartition("--")[2] for one in hidden]
    own_name = {one.id for one in bundle.submitters}
    for one in bundle.members:
        for name in terms.properties:
            if name == "name" and one.id in own_name:
                continue
            for pointer, text in strings(one.content.get(name), f"/{name}"):
                if any(find(text) for find in names) or any(number in text.lower() for number in numbers):
                    found = "names the submitter, who did not consent to it"
                    yield Spot(one, pointer, found, "leave the submitter's name and id out")
    if any(number in bundle.id.lower() for number in numbers):
        yield Spot(None, "/id", "the bundle's id contains the submitter's", "give the bundle an id of its own")


def _is_hidden(labels: list[str], terms: LeakTerms) -> bool:
    """Tells whether labels leave the submitter anonymous: any that asks for it does, and so does silence."""
    return any(one in terms.consents for one in labels) or not any(one in terms.open_consents for one in labels)


def strings(value: object, pointer: str) -> Iterator[tuple[str, str]]:
    """Yields every string in a value with its JSON pointer; names that STIX does not know are written ``*``."""
    if isinstance(value, str):
        yield pointer, value
    elif isinstance(value, dict):
        for name, member in value.items():
            yield from strings(member, f"{pointer}/{name if name in _REFERENCE else '*'}")
    elif isinstance(value, list):
        for place, member in enumerate(value):
            yield from strings(member, f"{pointer}/{place}")
