"""What an object of our own may say: an allow-list of properties by type, each with the only values it may have.

Nothing is searched for in free text, because there is none: a name must be the text that our builder
writes for the value, a description the text that it writes for the labels, and so on. Anything else,
however harmless it looks, is refused. Only the title and description of an incident report are free within
limits; a person reads them before they leave (``policy.report_rules``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from threatshare.errors import BadValue
from threatshare.model import CollectionKind, Observable, Role, Tlp
from threatshare.stix.ais import CONSENTS
from threatshare.stix.location import located_at, location
from threatshare.stix.objects import description_of, name_of, sectors
from threatshare.stix.observed import observed_objects
from threatshare.stix.opinions import EXPLANATIONS, OPINIONS
from threatshare.stix.patterns import pattern_of
from threatshare.stix.reports import MOST_REFERENCES, VOCABULARIES, ReportKind, title_of
from threatshare.stix.reports import description_of as account_of
from threatshare.stix.tlp import TLP_IDS, marking_definition

_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_KINDS = (
    *("observed-data", "indicator", "sighting", "identity", "report", "grouping", "opinion"),
    *("location", "relationship"),
)
_IDS = {kind: re.compile(f"{kind}--{_UUID}").fullmatch for kind in _KINDS}
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
    exercise: Mapping[str, Any] = field(default_factory=dict)
    """The definition of the statement marking of the exercise that the audience is in; empty where it is in none."""
    consent: str | None = None
    """The label that our Identity bears, where the audience's profile wants one."""
    place: tuple[str, str] | None = None
    """Country and area of ours, where the audience's profile wants them."""


Check = Callable[[Any, Known], bool]


def faults(kind: str, known: Known) -> list[str]:
    """Names the properties of an object of ours that may not leave as they are; empty where all may."""
    content = known.content
    if kind == "marking-definition":
        return [] if is_canonical_marking(content) or content == known.exercise else ["marking-definition"]
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


def _observed(value: Any, known: Known) -> bool:
    return known.observable is not None and value == observed_objects(known.observable)


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


def _markings(value: Any, known: Known) -> bool:
    return _is_texts(value) and _MARKINGS.issuperset(one for one in value if one != known.exercise.get("id"))


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


def _title(value: Any, _known: Known) -> bool:
    return _in_its_spelling(value, title_of)


def _account(value: Any, _known: Known) -> bool:
    return _in_its_spelling(value, account_of)


def _in_its_spelling(value: Any, spelling: Callable[[str], str | None]) -> bool:
    try:
        return isinstance(value, str) and spelling(value) == value
    except BadValue:
        return False


def _references(value: Any, _known: Known) -> bool:
    """Indicators and sightings, each once."""
    return (
        _is_texts(value)
        and 0 < len(value) <= MOST_REFERENCES
        and len(set(value)) == len(value)
        and all(_IDS["indicator"](one) or _IDS["sighting"](one) for one in value)
    )


def _one_indicator(value: Any, _known: Known) -> bool:
    return _is_texts(value) and len(value) == 1 and _IDS["indicator"](value[0]) is not None


def _roles(value: Any, _known: Known) -> bool:
    return _is_texts(value) and bool(value) and _ROLES.issuperset(value)


def _word(vocabulary: Iterable[str]) -> Check:
    words = frozenset(vocabulary)
    return lambda value, _known: isinstance(value, str) and value in words


def _only_us(value: Any, known: Known) -> bool:
    return bool(value == [known.identity])


def _consent(value: Any, known: Known) -> bool:
    """The one consent that the agreement gives, and where no profile wants one, none."""
    return known.consent in CONSENTS and value == [known.consent]


def _of_place(name: str) -> Check:
    """Wants what our builder writes for our place, and where no profile wants to know it, nothing."""

    def check(value: Any, known: Known) -> bool:
        if known.place is None:
            return False
        built = location(known.identity, *known.place, "", Tlp.CLEAR)
        if known.content.get("type") == "relationship":
            built = located_at(known.identity, built["id"], "", Tlp.CLEAR)
        return bool(value == built[name])

    return check


_EVERY: Mapping[str, Check] = {
    "spec_version": _is("2.1"),
    "created_by_ref": _ours,
    "created": _time,
    "modified": _time,
    "revoked": _flag,
    "object_marking_refs": _markings,
}
_REPORT: Mapping[str, Check] = {
    "name": _title,
    "description": _account,
    "object_refs": _references,
    "labels": _roles,
    "confidence": _number(100),
    "external_references": _techniques,
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
    "report": {
        **_EVERY,
        **_REPORT,
        "type": _is("report"),
        "id": _id_of("report"),
        "report_types": _within(frozenset(VOCABULARIES[ReportKind.REPORT])),
        "published": _time,
    },
    "grouping": {
        **_EVERY,
        **_REPORT,
        "type": _is("grouping"),
        "id": _id_of("grouping"),
        "context": _word(VOCABULARIES[ReportKind.GROUPING]),
    },
    "opinion": {
        **_EVERY,
        "type": _is("opinion"),
        "id": _id_of("opinion"),
        "explanation": _word(EXPLANATIONS),
        "opinion": _word(OPINIONS),
        "object_refs": _one_indicator,
    },
    "observed-data": {
        **_EVERY,
        "type": _is("observed-data"),
        "id": _id_of("observed-data"),
        "labels": _labels,
        "confidence": _number(100),
        "first_observed": _time,
        "last_observed": _time,
        "number_observed": _is(1),
        "objects": _observed,
    },
    "identity": {
        **_EVERY,
        "type": _is("identity"),
        "id": _ours,
        "name": _line,
        "identity_class": _is("organization"),
        "sectors": _within(sectors()),
        "labels": _consent,
    },
    "location": {
        **_EVERY,
        "type": _is("location"),
        "id": _of_place("id"),
        "country": _of_place("country"),
        "administrative_area": _of_place("administrative_area"),
    },
    "relationship": {
        **_EVERY,
        "type": _is("relationship"),
        "id": _id_of("relationship"),
        "relationship_type": _of_place("relationship_type"),
        "source_ref": _of_place("source_ref"),
        "target_ref": _of_place("target_ref"),
    },
}
_REQUIRED: Mapping[str, tuple[str, ...]] = {
    "indicator": ("id", "created", "modified", "pattern", "pattern_type", "valid_from"),
    "sighting": ("id", "created", "modified", "sighting_of_ref"),
    "report": ("id", "created", "modified", "name", "published", "object_refs"),
    "grouping": ("id", "created", "modified", "name", "context", "object_refs"),
    "opinion": ("id", "created", "modified", "opinion", "object_refs"),
    "observed-data": ("id", "created", "modified", "first_observed", "last_observed", "number_observed", "objects"),
    "identity": ("id", "created", "modified", "name"),
    "location": ("id", "created", "modified", "country", "administrative_area"),
    "relationship": ("id", "created", "modified", "relationship_type", "source_ref", "target_ref"),
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
    | frozenset(word for words in VOCABULARIES.values() for word in words)
    | EXPLANATIONS
    | OPINIONS
    | {"2.1", "stix", "organization", "mitre-attack", "source_name", "external_id", "located-at", *CONSENTS}
    | {description_of(labels) for count in range(1, len(_ROLES) + 1) for labels in combinations(sorted(_ROLES), count)}
)
"""Texts of our builder that are always the same: not worth a search."""
