"""What MISP attributes, categories, objects and tags mean: tables first, then how they are read.

Types and categories are those of the MISP core format (misp-project.org/datamodels), tags those of the repository
MISP/misp-taxonomies. Seen in samples: ip-src, ip-dst, domain, hostname, url, hashes and their composites, and the tags
tlp:white and tlp:clear; the other rows follow the documentation.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

from threatshare.errors import BadValue
from threatshare.findings.documents import Doc, text, value
from threatshare.findings.events import Proposal
from threatshare.findings.formats.columns import value_of
from threatshare.findings.roles import Ruling
from threatshare.model import Kind, Marking, Role, Tlp


class Part(NamedTuple):
    """One part of an attribute's value."""

    kinds: tuple[Kind, ...]
    ruling: Ruling


_IP = (Kind.IPV4, Kind.IPV6)
_MARKED = "marked for detection (to_ids)"
_SOURCE = Part(_IP, Ruling(Role.ATTACKER, f"MISP ip-src, {_MARKED}: where an attack came from"))
_DESTINATION = Part(_IP, Ruling(Role.C2, f"MISP ip-dst, {_MARKED}: where an attack leads to"))
_NAME = Part((Kind.DOMAIN,), Ruling(Role.C2, f"MISP domain or host name, {_MARKED}"))
_NAMED_ADDRESS = Part(_IP, Ruling(Role.C2, f"MISP domain|ip, {_MARKED}: the address behind the name"))
_SENDER = Part((Kind.EMAIL,), Ruling(Role.PHISH_SENDER, f"MISP sender or reply address, {_MARKED}"))
_ADDRESSEE = Part((Kind.EMAIL,), Ruling(Role.VICTIM_ASSET, "MISP recipient of a mail or target"))
_MAIL = Part(
    (Kind.EMAIL,),
    Ruling(Role.UNKNOWN, "MISP email, which says neither sender nor recipient: whose it is would decide; held"),
)


def _hash(kind: Kind) -> Part:
    return Part((kind,), Ruling(Role.PAYLOAD, f"MISP file hash, {_MARKED}"))


_HASHES: Mapping[str, Part] = {
    "md5": _hash(Kind.MD5),
    "sha1": _hash(Kind.SHA1),
    "sha256": _hash(Kind.SHA256),
    "sha512": _hash(Kind.SHA512),
}

TYPES: Mapping[str, tuple[Part | None, ...]] = {
    "ip-src": (_SOURCE,),
    "ip-dst": (_DESTINATION,),
    "ip-src|port": (_SOURCE, None),
    "ip-dst|port": (_DESTINATION, None),
    "domain": (_NAME,),
    "hostname": (_NAME,),
    "hostname|port": (_NAME, None),
    "domain|ip": (_NAME, _NAMED_ADDRESS),
    "url": (Part((Kind.URL,), Ruling(Role.PAYLOAD, f"MISP url, {_MARKED}")),),
    "email": (_MAIL,),
    "email-src": (_SENDER,),
    "email-reply-to": (_SENDER,),
    "email-dst": (_ADDRESSEE,),
    "target-email": (_ADDRESSEE,),
    **{name: (part,) for name, part in _HASHES.items()},
    **{f"filename|{name}": (None, part) for name, part in _HASHES.items()},
    "malware-sample": (None, _HASHES["md5"]),
}
"""A type's parts, divided by ``|``; None: a part that is not shared. All other types (snort, yara, sigma, patterns,
file names, registry keys, wallets, persons ...) are passed over."""

_VICTIM = Ruling(Role.VICTIM_ASSET, "MISP says that it was targeted, or describes it as an asset")
_UNDECIDED = Ruling(
    Role.UNKNOWN, "marked for detection (to_ids), but in a MISP category that may hold bystanders too; held"
)

_ATTACK_CATEGORIES = frozenset(
    {"Payload delivery", "Artifacts dropped", "Payload installation", "Persistence mechanism", "Network activity"}
)
_TARGETS = "Targeting data"
_PASSED_OVER = frozenset(
    {"Internal reference", "Attribution", "Person", "Support Tool", "Financial fraud", "Social network"}
)
"""Never shared, whatever ``to_ids`` says: about us, about people, or about who did it. Others are held."""

OBJECTS_OF_VICTIMS = frozenset("victim target-system corporate-asset employee organization person legal-entity".split())
"""Names of object templates that describe whom an attack met (MISP/misp-objects; seen in samples: corporate-asset)."""
OBJECTS_OF_FLOWS = frozenset("network-connection netflow network-traffic network-socket".split())
"""Names of object templates for one connection (MISP/misp-objects; unverified): who opened it is not said."""
OPENER = Ruling(
    Role.UNKNOWN, "the source of one connection, which may be the victim's end: who opened it would decide; held"
)

_TRUE = frozenset({"1", "true"})
_TLP_LABELS: Mapping[str, Tlp] = {"white": Tlp.CLEAR, **{tlp.label: tlp for tlp in Tlp}}
_AIS_TLP = "ais-marking:tlpmarking="
_HARMLESS = frozenset({"pap:white", "pap:clear", "pap:green", 'ais-marking:cisa_proprietary="false"'})
_HARMLESS_STARTS = ("ais-marking:aisconsent=", 'ais-marking:aismarking="not_proprietary"')
"""Consent says whether the submitter may be named; our indicators name nobody but us."""
_RESTRICTIONS = frozenset(
    "tlp pap ais-marking acs-marking iep iep2-policy iep2-reference cssa de-vs dni-ism euci fr-classif nato "
    "gdpr".split()
)
"""Taxonomies that restrict what may be done: their tags are markings, and those that we cannot read hold."""
_NOT_TO_LEAVE = frozenset({"misp:should-not-sync", 'misp:api="hide"'})

_CONFIDENCES: Mapping[str, int] = {
    'misp:confidence-level="completely-confident"': 100,
    'misp:confidence-level="usually-confident"': 75,
    'misp:confidence-level="fairly-confident"': 50,
    'misp:confidence-level="rarely-confident"': 25,
    'misp:confidence-level="unconfident"': 0,
}
"""The taxonomy's own numbers; "cannot be evaluated" is no statement."""

_EXERCISE = Ruling(Role.UNKNOWN, "tagged as part of an exercise: only a node for exercises should share it; held")
_FALSE_POSITIVE = Ruling(Role.THIRD_PARTY, "tagged as a confirmed false positive")

_TECHNIQUE = re.compile(r'^(?:misp-galaxy:)?mitre-[a-z-]*attack-pattern="[^"]*\b(T\d{4}(?:\.\d{3})?)"$').match


def says(doc: Doc, key: str) -> bool:
    """Tells whether a flag is set, which MISP writes as true, 1 or "1"."""
    found = value(doc, key)
    return found is True or (found == 1 and isinstance(found, int)) or text(doc, key).lower() in _TRUE


def proposals_of(attribute: Doc, of_victim: bool) -> list[Proposal]:
    """Gives the values of one attribute with their parts; raises BadValue where a value to be shared is none.

    ``of_victim``: it belongs to an object that describes a victim. Recipients and targets are given whether marked or
    not, so that they outrank the same value in another part.
    """
    parts = TYPES.get(text(attribute, "type"), ())
    category = text(attribute, "category")
    if says(attribute, "deleted") or not parts or category in _PASSED_OVER:
        return []
    marked, victim = says(attribute, "to_ids"), of_victim or category == _TARGETS
    if not (marked or victim or _ADDRESSEE in parts):
        return []
    try:
        divided = zip(parts, _divided(text(attribute, "value"), len(parts)), strict=True)
        return [_proposal(part, said, category, victim) for part, said in divided if part is not None]
    except BadValue:
        if marked and not victim:
            raise
        return []


def _proposal(part: Part, said: str, category: str, victim: bool) -> Proposal:
    ruling = part.ruling
    if victim:
        ruling = _VICTIM
    elif category not in _ATTACK_CATEGORIES and ruling.role is not Role.VICTIM_ASSET:
        ruling = _UNDECIDED
    observable = value_of(said, part.kinds)
    return Proposal(observable.kind, observable.value, ruling)


def _divided(said: str, count: int) -> tuple[str, ...]:
    if count == 1:
        return (said,)
    # A file name may hold a bar, a hash or port never does.
    first, bar, last = said.rpartition("|")
    if not bar:
        raise BadValue(f"{said[:60]!r} has no two parts divided by |")
    return first, last


class Said(NamedTuple):
    """What the tags of an event or attribute say together."""

    marking: Marking
    verdict: Ruling | None
    """What they make of the values themselves: an exercise, a false positive."""
    confidence: int | None
    techniques: tuple[str, ...]


@lru_cache(maxsize=4096)
def said_by(tags: tuple[str, ...]) -> Said:
    """Reads tags; remembered, because an event's attributes bear few sets of them."""
    return Said(marking_of_tags(tags), verdict_of_tags(tags), confidence_of_tags(tags), techniques_of_tags(tags))


def marking_of_tags(tags: Iterable[str]) -> Marking:
    """Reads what tags say of sharing: the most restrictive TLP, and every restriction that we cannot read, sorted."""
    tlps: list[Tlp] = []
    unknown: set[str] = set()
    for tag in tags:
        folded = "".join(tag.lower().split())
        namespace, _, label = folded.partition(":")
        if folded.startswith(_AIS_TLP):
            namespace, label = "tlp", folded.removeprefix(_AIS_TLP).strip('"')
        if namespace == "tlp" and label in _TLP_LABELS:
            tlps.append(_TLP_LABELS[label])
        elif folded in _HARMLESS or folded.startswith(_HARMLESS_STARTS):
            continue
        elif namespace in _RESTRICTIONS or folded.startswith("tlp") or folded in _NOT_TO_LEAVE:
            unknown.add(tag.strip())
    return Marking(max(tlps, default=None), tuple(sorted(unknown)))


def verdict_of_tags(tags: Iterable[str]) -> Ruling | None:
    """Says what tags make of the values themselves: an exercise, a false positive; None: nothing."""
    for tag in tags:
        namespace, _, rest = tag.strip().lower().partition(":")
        if namespace == "exercise":
            return _EXERCISE
        if namespace == "false-positive" and rest.startswith("confirmed") and not rest.endswith('"false"'):
            return _FALSE_POSITIVE
    return None


def confidence_of_tags(tags: Iterable[str]) -> int | None:
    """Gives the lowest confidence that is tagged; None: none is."""
    return min((_CONFIDENCES[tag] for tag in tags if tag in _CONFIDENCES), default=None)


def techniques_of_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Gives the ATT&CK techniques of galaxy tags, e.g. of ``misp-galaxy:mitre-attack-pattern="... - T1543.004"``."""
    found = (_TECHNIQUE(tag.strip()) for tag in tags)
    return tuple(dict.fromkeys(one[1] for one in found if one is not None))
