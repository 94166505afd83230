"""What tells exercise data from live data in STIX: a statement marking, a label, and values that are nobody's.

STIX has no standard marking for exercises. Ours are a statement marking "EXERCISE EXERCISE EXERCISE name" and a
label ``exercise:<name>="<year>"`` (the form of the MISP taxonomy ``exercise``). What others send is read more
freely than what we write: whatever looks like an exercise is one. So ``physical-exercise`` is one too: what is set
aside by mistake is kept and told of, what is taken for real by mistake is blocked by somebody's firewall.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import uuid5

import msgspec
from msgspec import Struct

from threatshare.model import Kind, Micros, Observable, Role, Tlp
from threatshare.stix.lookalikes import AS_SMALL
from threatshare.stix.objects import NAMESPACE, IndicatorFacts, indicator
from threatshare.stix.patterns import pattern_of
from threatshare.stix.received import Received
from threatshare.stix.timestamps import whole_milliseconds, write_timestamp
from threatshare.stix.tlp import TLP2_ID

STATEMENT = "EXERCISE EXERCISE EXERCISE"
"""What the statement of every exercise begins with."""

TAGGED = "tagged as part of an exercise: only a node for exercises should share it; held"
"""Why a finding's value is held that bears the tag of an exercise; on other nodes it is taken no further."""

is_name = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?", re.ASCII).fullmatch
"""Matches what an exercise may be called: it stands in a label, an alias and a title."""

_WORD = "exercise"
_TWINS = {
    ord(case): plain for one, plain in AS_SMALL.items() if plain in _WORD for case in (chr(one), chr(one).upper())
}
"""Look-alikes of the word's letters; those of other letters go, as all that is no letter goes."""
_NO_LETTERS = re.compile("[^a-z]+")
_PARTS = re.compile(r"[:=]")
_WORDS = re.compile(r"[:=\-\s_./,;|\u2010-\u2015\u2212]")
_REMEMBERED = 200
"""Characters of the longest label whose reading is remembered."""
_HASHES_PER_KIND = 1_000
_ALGORITHMS = {Kind.MD5: "md5", Kind.SHA1: "sha1", Kind.SHA256: "sha256", Kind.SHA512: "sha512"}


class _Definition(Struct):
    definition: dict[str, Any] = {}


class _Naming(Struct):
    object_refs: list[str] = []


_read_definition = msgspec.json.Decoder(_Definition).decode
_read_naming = msgspec.json.Decoder(_Naming).decode


def label_of(name: str, year: int) -> str:
    """Gives the label that every object of an exercise bears."""
    return f'exercise:{name}="{year}"'


def is_exercise_label(label: str) -> bool:
    """Tells whether a label or tag says that its bearer is of some exercise, however it is dressed up.

    So it does where the whole of it, or a part of it between colons, equals signs, hyphens and the like, begins with
    the word: ``exercise:lukex``, ``misp:exercise:x``, ``cyber-exercise``.
    """
    return _remembered(label) if len(label) <= _REMEMBERED else _says_exercise(label)


def _says_exercise(label: str) -> bool:
    plain = _twinned(label)
    if _WORD not in _NO_LETTERS.sub("", plain):
        return False
    parts = (plain, *_PARTS.split(plain), *_WORDS.split(plain))
    return any(_NO_LETTERS.sub("", one).startswith(_WORD) for one in parts)


_remembered = lru_cache(maxsize=4096)(_says_exercise)


def is_exercise_statement(text: str) -> bool:
    """Tells whether a statement says that what it marks is of some exercise, wherever and however it says so."""
    return 3 * _WORD in _NO_LETTERS.sub("", _twinned(text))


def _twinned(text: str) -> str:
    """Gives a text in lower case with its letters' plain forms for those that look like them."""
    if text.isascii():
        return text.lower()
    # Twice: some look-alikes have a plain form of their own, and of some only the plain form is one.
    return unicodedata.normalize("NFKD", text.translate(_TWINS)).casefold().translate(_TWINS)


def defines_exercise(raw: bytes, read: Received) -> bool:
    """Tells whether an object defines a statement marking of an exercise."""
    if read.type != "marking-definition":
        return False
    try:
        told = _read_definition(raw).definition.get("statement")
    except (msgspec.DecodeError, RecursionError):
        return False
    return isinstance(told, str) and is_exercise_statement(told)


def named_by(raw: bytes, read: Received) -> list[str]:
    """Gives the ids of the objects that a sighting, an opinion, a note or a report is about."""
    named = [read.sighting_of_ref] if read.sighting_of_ref else []
    if read.type in _ABOUT_OTHERS:
        try:
            named += _read_naming(raw).object_refs
        except (msgspec.DecodeError, RecursionError):
            return named
    return named


_ABOUT_OTHERS = frozenset({"opinion", "note", "report", "grouping"})


def marking_id(identity: str, name: str) -> str:
    """Gives the id of the statement marking of an organisation's exercise, always the same."""
    return f"marking-definition--{uuid5(NAMESPACE, f'{identity}|exercise|{name}')}"


def definition(identity: str, name: str, created: Micros) -> dict[str, Any]:
    """Builds the statement marking of an exercise; it is itself TLP:CLEAR, since it says nothing but the name."""
    return {
        "type": "marking-definition",
        "spec_version": "2.1",
        "id": marking_id(identity, name),
        "created_by_ref": identity,
        "created": write_timestamp(whole_milliseconds(created)),
        "definition_type": "statement",
        "definition": {"statement": f"{STATEMENT} {name}"},
        "object_marking_refs": [TLP2_ID[Tlp.CLEAR]],
    }


@dataclass(frozen=True, slots=True)
class InjectFacts:
    """All that the indicator of an inject says."""

    observable: Observable
    identity: str
    exercise: str
    year: int
    created: Micros
    valid_from: Micros
    valid_until: Micros
    tlp: Tlp
    techniques: Sequence[str] = ()


def inject_id(identity: str, exercise: str, observable: Observable) -> str:
    """Gives the id of an inject's indicator; never that of a live one for the same value."""
    return f"indicator--{uuid5(NAMESPACE, f'{identity}|exercise|{exercise}|{pattern_of(observable)}')}"


def inject_indicator(facts: InjectFacts) -> dict[str, Any]:
    """Builds the indicator of an inject: as our live ones, with the label and the statement of the exercise."""
    built = indicator(
        IndicatorFacts(
            inject_id(facts.identity, facts.exercise, facts.observable),
            facts.observable,
            facts.identity,
            facts.created,
            facts.created,
            whole_milliseconds(facts.valid_from),
            whole_milliseconds(max(facts.valid_until, facts.valid_from + 1_000_000)),
            100,
            facts.tlp,
            [_role_of(facts.observable).value, label_of(facts.exercise, facts.year)],
            facts.techniques,
        )
    )
    built["object_marking_refs"].append(marking_id(facts.identity, facts.exercise))
    return built


def _role_of(observable: Observable) -> Role:
    if observable.kind is Kind.EMAIL:
        return Role.PHISH_SENDER
    return Role.PAYLOAD if observable.kind.algorithm is not None else Role.ATTACKER


def practice_hash(name: str, kind: Kind, number: int) -> Observable:
    """Gives one of the hashes that stand for files of an exercise: of its name and a number, so of no real file."""
    text = f"{STATEMENT} {name} {number}".encode()
    # The hash names no secret and guards nothing: any algorithm that files are known by will do.
    return Observable(kind, hashlib.new(_ALGORITHMS[kind], text, usedforsecurity=False).hexdigest())


@lru_cache(maxsize=16)
def practice_hashes(name: str) -> frozenset[Observable]:
    """Gives every hash that an exercise may use: a thousand of each algorithm."""
    return frozenset(practice_hash(name, kind, number) for kind in _ALGORITHMS for number in range(_HASHES_PER_KIND))


def bears_label(labels: Iterable[str]) -> bool:
    """Tells whether any of some labels is one of an exercise."""
    return any(is_exercise_label(one) for one in labels)
