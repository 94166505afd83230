"""What may stand in an exercise: the terms of one, which values are fit to practise with, and what members may post.

Both ways are closed: what is of an exercise goes nowhere else, and nothing goes into one that is not of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from threatshare.errors import BadValue
from threatshare.model import Kind, Marking, Observable, Tlp, host_of
from threatshare.policy.markings import NOT_DEFINED, marking_of
from threatshare.policy.posts import POSTED_TYPES, not_allowed
from threatshare.policy.practice import names_address, somebodys
from threatshare.stix.exercise import is_exercise_label, practice_hashes
from threatshare.stix.patterns import read_pattern
from threatshare.stix.received import Received
from threatshare.triage.benign import documentation

_INVALID = "invalid"
"""RFC 2606: the one reserved name beside those of documentation that can be nobody's."""


@dataclass(frozen=True)
class ExerciseTerms:
    """What an exercise demands of everything in it."""

    name: str
    label: str
    marking: str
    """Id of its statement marking."""
    definition: Mapping[str, Any]
    """The marking-definition itself."""
    tlp: Tlp
    """Ceiling of all that stands in it."""
    until: date
    """Last day."""

    @property
    def defined(self) -> dict[str, Marking]:
        """What its marking means, for reading our own objects."""
        return {self.marking: Marking(None, exercise=True)}

    def over(self, today: date) -> str | None:
        """Says that the exercise is over; None where it is not."""
        return f"exercise {self.name} was until {self.until} and is over" if today > self.until else None


def unfit(observable: Observable, name: str) -> str | None:
    """Gives the reason for which a value must not be practised with; None for what is nobody's."""
    kind = observable.kind
    if kind is Kind.PATTERN:
        return "a pattern of several comparisons is no value to practise with"
    if kind.algorithm is not None:
        if observable in practice_hashes(name):
            return None
        return "no hash of this exercise: hashes are generated from its name (`exercise inject NAME --generate`)"
    if documentation(observable) is not None or _is_invalid(observable):
        return _within(observable, name)
    return (
        "neither of a documentation range (192.0.2.0/24, 198.51.100.0/24, 203.0.113.0/24, 2001:db8::/32)"
        " nor of a reserved name (example.com, example.net, example.org, .example, .test, .invalid)"
    )


def _within(observable: Observable, name: str) -> str | None:
    """Says what a value that is nobody's holds besides: a query, a path or a local part may name somebody's."""
    found = None
    if observable.kind is Kind.URL or observable.kind is Kind.EMAIL:
        found = somebodys(observable.value, name)
    elif observable.kind is Kind.DOMAIN and names_address(observable.value):
        found = "an address of no documentation range"
    return f"nobody's, but holds {found}" if found is not None else None


def _is_invalid(observable: Observable) -> bool:
    host = observable.value
    if observable.kind is Kind.EMAIL:
        host = host.rpartition("@")[2]
    elif observable.kind is Kind.URL:
        host = host_of(host)
    elif observable.kind is not Kind.DOMAIN:
        return False
    return host.endswith("." + _INVALID)


def not_of(content: Mapping[str, Any], observables: tuple[Observable, ...], terms: ExerciseTerms) -> list[str]:
    """Gives every reason for which an object, whoever made it, does not belong into an exercise."""
    faults = []
    labels, refs = content.get("labels"), content.get("object_marking_refs")
    if not isinstance(labels, list) or terms.label not in labels:
        faults.append(f"does not bear the label {terms.label} of this exercise")
    elif any(isinstance(one, str) and one != terms.label and is_exercise_label(one) for one in labels):
        faults.append("bears the label of another exercise too")
    if not isinstance(refs, list) or terms.marking not in refs:
        faults.append(f"does not bear the marking {terms.marking} of this exercise")
    faults += [f"its {one.kind} is {reason}" for one in observables if (reason := unfit(one, terms.name)) is not None]
    return faults


def may_enter(raw: bytes, received: Received, terms: ExerciseTerms, our_identity: str, today: date) -> str | None:
    """Gives the reason for which what a member posts may not stand in an exercise; None where it may.

    It has to be of this exercise by label and marking, about values that are nobody's, marked no more
    restrictively than the exercise, without a word that our own builder would not write, and not in our name. A
    property that stands there twice is refused: readers differ on which one counts.
    """
    over = terms.over(today)
    if over is not None:
        return over
    if our_identity in (received.created_by_ref, received.id):
        return f"{received.id} says that we made it: our own objects are never taken from outside"
    if received.type not in POSTED_TYPES:
        return f"{received.id}: an exercise takes {', '.join(sorted(POSTED_TYPES))}"
    try:
        content = json.loads(raw, object_pairs_hook=_once)
        observables = read_pattern(received.pattern or "") if received.type == "indicator" else ()
    except (ValueError, RecursionError, BadValue) as problem:
        return f"{received.id}: {problem}"
    faults = not_of(content, observables, terms) + _marked_wrong(received, terms)
    faults += not_allowed(content, observables, terms.name)
    return f"{received.id} {'; '.join(faults)}" if faults else None


def _marked_wrong(received: Received, terms: ExerciseTerms) -> list[str]:
    marking = marking_of([one for one in received.marking_refs if one != terms.marking], (), NOT_DEFINED)
    if marking.unknown:
        return ["bears a marking that this node cannot read"]
    if marking.tlp is None:
        return ["carries no TLP marking"]
    if marking.tlp > terms.tlp:
        return [f"is TLP:{marking.tlp.label.upper()}, above the exercise's TLP:{terms.tlp.label.upper()}"]
    return []


def _once(members: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(members)
    if len(read) != len(members):
        raise ValueError("a property stands there twice")
    return read
