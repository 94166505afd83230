"""What a member's object in an exercise may say: an allow-list of properties by type, each with the values it may have.

As of our own objects: no free text, since nobody can tell an exercise's story from a real one. Only an Identity has a
name. Whatever is left is searched for values that may be somebody's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from threatshare.model import Observable, Role
from threatshare.policy.fields import NAMES
from threatshare.policy.practice import somebodys
from threatshare.stix.exercise import is_exercise_label
from threatshare.stix.objects import description_of, name_of, sectors
from threatshare.stix.opinions import EXPLANATIONS

_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_MOST_REFERENCES = 100
_LINE = re.compile(r"[^\x00-\x1f\x7f-\x9f]{1,100}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z", re.ASCII)
_ID = re.compile(rf"[a-z][a-z0-9-]{{0,60}}--{_UUID}", re.ASCII)
_TECHNIQUE = re.compile(r"T\d{4}(?:\.\d{3})?", re.ASCII).fullmatch
_TECHNIQUES = "https://attack.mitre.org/techniques/"
_QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'", re.DOTALL)
_ROLES = frozenset(role.value for role in Role if role.is_indicator)
_OPINIONS = frozenset({"strongly-disagree", "disagree", "neutral", "agree", "strongly-agree"})
"""STIX 2.1 §10.17, opinion-enum."""
_CLASSES = frozenset({"individual", "group", "system", "organization", "class", "unknown"})
"""STIX 2.1 §10.10, identity-class-ov."""
_INDICATOR_TYPES = frozenset(
    "anomalous-activity anonymization attribution benign compromised malicious-activity unknown".split()
)
"""STIX 2.1 §10.7, indicator-type-ov."""
_FORMAL = frozenset({"name", "description", "external_references", "explanation"})
"""Held against what our builder writes, so that nothing is left to search; of an Identity the name is free."""

Check = Callable[[Any], bool]


def _form(form: re.Pattern[str]) -> Check:
    return lambda value: isinstance(value, str) and form.fullmatch(value) is not None


def _id_of(kind: str) -> Check:
    return _form(re.compile(rf"{kind}--{_UUID}", re.ASCII))


def _among(words: frozenset[str]) -> Check:
    return lambda value: isinstance(value, str) and value in words


def _each(check: Check) -> Check:
    return lambda value: isinstance(value, list) and len(value) <= _MOST_REFERENCES and all(map(check, value))


def _number(most: int) -> Check:
    return lambda value: type(value) is int and 0 <= value <= most


def _label(value: Any) -> bool:
    return isinstance(value, str) and (value in _ROLES or is_exercise_label(value))


def _technique(value: Any) -> bool:
    technique = value.get("external_id") if isinstance(value, dict) else None
    if not isinstance(technique, str) or _TECHNIQUE(technique) is None:
        return False
    wanted = {"source_name": "mitre-attack", "external_id": technique}
    return bool(value in (wanted, wanted | {"url": _TECHNIQUES + technique.replace(".", "/")}))


def _pattern(value: Any) -> bool:
    # Outside the quoted values there is nothing but grammar, where there is no comment.
    return isinstance(value, str) and "/" not in _QUOTED.sub("", value)


_EVERY: Mapping[str, Check] = {
    "type": lambda value: isinstance(value, str),
    "spec_version": _among(frozenset({"2.1"})),
    "id": _form(_ID),
    "created_by_ref": _id_of("identity"),
    "created": _form(_TIME),
    "modified": _form(_TIME),
    "revoked": lambda value: isinstance(value, bool),
    "labels": _each(_label),
    "confidence": _number(100),
    "lang": _form(re.compile(r"[a-z]{2,3}(?:-[A-Za-z]{2,4})?")),
    "object_marking_refs": _each(_id_of("marking-definition")),
}
_ALLOWED: Mapping[str, Mapping[str, Check]] = {
    "indicator": {
        "indicator_types": _each(_among(_INDICATOR_TYPES)),
        "pattern": _pattern,
        "pattern_type": _among(frozenset({"stix"})),
        "pattern_version": _among(frozenset({"2.1"})),
        "valid_from": _form(_TIME),
        "valid_until": _form(_TIME),
        "external_references": _each(_technique),
    },
    "sighting": {
        "first_seen": _form(_TIME),
        "last_seen": _form(_TIME),
        "count": _number(999_999_999),
        "sighting_of_ref": _form(_ID),
        "where_sighted_refs": _each(_id_of("identity")),
    },
    "opinion": {
        "opinion": _among(_OPINIONS),
        "explanation": _among(EXPLANATIONS),
        "object_refs": _each(_form(_ID)),
    },
    "identity": {
        "name": _form(_LINE),
        "identity_class": _among(_CLASSES),
        "sectors": _each(_among(sectors())),
    },
}
POSTED_TYPES = frozenset(_ALLOWED)
"""What members post: what they saw, what they think of it, what they make of it, and who they are."""


def not_allowed(content: Mapping[str, Any], observables: tuple[Observable, ...], exercise: str) -> list[str]:
    """Gives every reason for which what a member posts says more than a member may; ``exercise`` is its name."""
    kind = str(content.get("type"))
    table = {**_EVERY, **_ALLOWED.get(kind, {})}
    if kind == "indicator":
        generated = _generated(content, observables)
        table |= {name: _among(texts) for name, texts in generated.items()}
    wrong = sorted(
        {
            # The name of a property may itself be what must not be told.
            name if name in NAMES else "a property of no name that we know"
            for name, value in content.items()
            if name not in table or not table[name](value)
        }
    )
    faults = [f"says more than a member's {kind} may, or not in its form: {', '.join(wrong)}"] if wrong else []
    return faults + sorted({f"its {field} names {found}" for field, found in _found(content, kind, exercise)})


def _generated(content: Mapping[str, Any], observables: tuple[Observable, ...]) -> dict[str, frozenset[str]]:
    """Gives the texts that may stand in an indicator's name and description: of the values, and as our builder's."""
    names = frozenset(text for one in observables for text in (name_of(one), one.value))
    labels = content.get("labels")
    told = [one for one in labels if isinstance(one, str)] if isinstance(labels, list) else []
    return {"name": names, "description": frozenset({description_of(told)})}


def _found(content: Mapping[str, Any], kind: str, exercise: str) -> Iterator[tuple[str, str]]:
    for name, value in content.items():
        texts = value if isinstance(value, list) else [value]
        if name in _FORMAL and (name, kind) != ("name", "identity"):
            continue
        for text in texts:
            if isinstance(text, str) and _ID.fullmatch(text) is None and _TIME.fullmatch(text) is None:
                found = somebodys(text, exercise)
                if found is not None:
                    yield name if name in NAMES else "property", found
