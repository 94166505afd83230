"""What an object of our own may say: an allow-list of properties by type, each with the only values it may have.

Nothing is searched for in free text, because there is none: a name must be the text that our builder
writes for the value, a description the text that it writes for the labels, and so on. Anything else,
however harmless it looks, is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from threatshare.model import CollectionKind, Observable, Role, Tlp
from threatshare.stix.objects import description_of, name_of, sectors
from threatshare.stix.patterns import pattern_of
from threatshare.stix.tlp import TLP_IDS, marking_definition

_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_IDS = {kind: re.compile(f"{kind}--{_UUID}").fullmatch for kind in ("indicator", "sighting", "identity")}
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z", re.ASCII).fullmatch
_TECHNIQUE = re.compile(r"T\d{4}(?:\.\d{3})?", re.ASCII).fullmatch
_EXERCISE = re.compile(r'exercise:[a-z0-9-]{1,40}="[a-z0-9.-]{1,40}"').fullmatch
_TOKEN = re.compile(r"[a-z0-9][a-z0-9+._-]{0,62}(?::[a-z0-9+._-]{1,62})?").fullmatch
_LINE = re.compile(r"[^\x00-\x1f\x7f-\x9f]{1,200}").fullmatch
_ATTACK = "https://attack.mitre.org/techniques/"

_MARKINGS = frozenset(TLP_IDS)
_ROLES = frozenset(role.value for role in Role if role.is_indicator)
_INDICATOR_TYPES = frozenset(
    {
        "anomalous-activity",
        "anonymization",
        "attribution",
        "benign",
        "compromised",
        "malicious-activity",
        "unknown",
    }
)
"""STIX 2.1 §10.7, indicator-type-ov."""
_MOST_COUNT = 999_999_999
"""STIX 2.1 §5.2, sighting ``count``."""


@dataclass(frozen=True, slots=True)
class Known:
    """What the values of an object are held against."""

    identity: str
    observable: Observable | None
    """The one value of an indicator."""
    audience: CollectionKind
    content: Mapping[str, Any]


Check = Callable[[Any, Known], bool]


def faults(kind: str, known: Known) -> list[str]:
    """Names the properties of an object of ours that may not leave as they are; empty where all may."""
    content = known.content
    if kind == "marking-definition":
        return [] if is_canonical_marking(content) else ["marking-definition"]
    table = _ALLOWED.get(kind)
    if table is None:
        return ["type"]
    wrong = [name for name in _REQUIRED[kind] if name not in content]
    for name, value in content.items():
        check = table.get(name)
        if check is None or not check(value, known):
            wrong.append(name if name in NAMES else "a property of no name that we know")
    return wrong


def is_canonical_marking(content: Mapping[str, Any]) -> bool:
    """Tells whether an object is one of the five TLP 2.0 definitions, to the letter."""
    tlp = TLP_IDS.get(str(content.get("id")))
    return tlp is not None and content == _DEFINITIONS[tlp]


_DEFINITIONS = {tlp: marking_definition(tlp) for tlp in Tlp}


def _is(wanted: object) -> Check:
    return lambda value, _known: type(value) is type(wanted) and value == wanted


def _time(value: Any, _known: Known) -> bool:
    return isinstance(value, str) and _TIME(value) is not None


def _id_of(kind: str) -> Check:
    form = _IDS[kind]
    return lambda value, _known: isinstance(value, str) and form(value) is not None


def _ours(value: Any, known: Known) -> bool:
    return bool(value == known.identity)


def _flag(value: Any, _known: Known) -> bool:
    return isinstance(value, bool)


def _number(most: int) -> Check:
    return lambda value, _known: type(value) is int and 0 <= value <= most


def _name(value: Any, known: Known) -> bool:
    return known.observable is not None and value == name_of(known.observable)


def _pattern(value: Any, known: Known) -> bool:
    return known.observable is not None and value == pattern_of(known.observable)


def _description(value: Any, known: Known) -> bool:
    labels: Any = known.content.get("labels")
    return _labels(labels, known) and value == description_of(labels)


def _labels(value: Any, known: Known) -> bool:
    """Roles and the name of an exercise; inside our own organisation any short token."""
    if not _is_texts(value) or not value:
        return False
    if _ROLES.issuperset(value):
        return True
    free = known.audience is not CollectionKind.PARTNER
    return all(one in _ROLES or _EXERCISE(one) or (free and _TOKEN(one)) for one in value)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _markings(value: Any, _known: Known) -> bool:
    return _is_texts(value) and _MARKINGS.issuperset(value)


def _within(vocabulary: frozenset[str]) -> Check:
    return lambda value, _known: _is_texts(value) and vocabulary.issuperset(value)


def _techniques(value: Any, _known: Known) -> bool:
    return isinstance(value, list) and all(isinstance(one, dict) and _technique(one) for one in value)


def _technique(reference: dict[str, Any]) -> bool:
    """Accepts ATT&CK techniques by id, with the address that follows from it or none."""
    technique = reference.get("external_id")
    if not isinstance(technique, str) or _TECHNIQUE(technique) is None:
        return False
    wanted = {"source_name": "mitre-attack", "external_id": technique}
    return reference == wanted or reference == wanted | {"url": _ATTACK + technique.replace(".", "/")}


def _line(value: Any, _known: Known) -> bool:
    return isinstance(value, str) and _LINE(value) is not None


def _only_us(value: Any, known: Known) -> bool:
    return bool(value == [known.identity])


_EVERY: Mapping[str, Check] = {
    "spec_version": _is("2.1"),
    "created_by_ref": _ours,
    "created": _time,
    "modified": _time,
    "revoked": _flag,
    "object_marking_refs": _markings,
}
_ALLOWED: Mapping[str, Mapping[str, Check]] = {
    "indicator": {
        **_EVERY,
        "type": _is("indicator"),
        "id": _id_of("indicator"),
        "name": _name,
        "description": _description,
        "indicator_types": _within(_INDICATOR_TYPES),
        "pattern": _pattern,
        "pattern_type": _is("stix"),
        "pattern_version": _is("2.1"),
        "valid_from": _time,
        "valid_until": _time,
        "labels": _labels,
        "confidence": _number(100),
        "external_references": _techniques,
    },
    "sighting": {
        **_EVERY,
        "type": _is("sighting"),
        "id": _id_of("sighting"),
        "first_seen": _time,
        "last_seen": _time,
        "count": _number(_MOST_COUNT),
        "sighting_of_ref": _id_of("indicator"),
        "where_sighted_refs": _only_us,
        "confidence": _number(100),
    },
    "identity": {
        **_EVERY,
        "type": _is("identity"),
        "id": _ours,
        "name": _line,
        "identity_class": _is("organization"),
        "sectors": _within(sectors()),
    },
}
_REQUIRED: Mapping[str, tuple[str, ...]] = {
    "indicator": ("id", "created", "modified", "pattern", "pattern_type", "valid_from"),
    "sighting": ("id", "created", "modified", "sighting_of_ref"),
    "identity": ("id", "created", "modified", "name"),
}
NAMES = frozenset(name for table in _ALLOWED.values() for name in table) | {
    "defanged",
    "extensions",
    "granular_markings",
    "kill_chain_phases",
    "lang",
    "observed_data_refs",
    "summary",
}
"""What a reason may repeat: the name of any other property may itself be text of a finding."""
VOCABULARY = (
    NAMES
    | _ROLES
    | _INDICATOR_TYPES
    | sectors()
    | frozenset(_ALLOWED)
    | {"2.1", "stix", "organization", "mitre-attack", "source_name", "external_id"}
    | {description_of(labels) for count in range(1, len(_ROLES) + 1) for labels in combinations(sorted(_ROLES), count)}
)
"""Texts of our builder that are always the same: not worth a search."""
