"""The second look: reads the very bytes that would leave, by another way than the rules do.

A mistake in one of the two readings alone lets nothing out.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from threatshare.errors import BadValue
from threatshare.model import Micros, Reason
from threatshare.policy import report_rules, rules
from threatshare.policy.candidates import OWN, Audience, Candidate, read_marking
from threatshare.policy.fields import is_canonical_marking
from threatshare.stix.marking_definitions import PAP_IDS
from threatshare.stix.timestamps import read_timestamp
from threatshare.stix.tlp import TLP_IDS

SERVED_BYTES = "served-bytes"
"""Rule id of the second look, at the bytes that would leave."""

_MARKING_ID = re.compile(rb"marking-definition--[^\"\\\s]*")
_TLP_BY_BYTES = {ref.encode(): tlp for ref, tlp in TLP_IDS.items()}

_read = msgspec.json.Decoder(dict[str, Any]).decode
_write = msgspec.json.Encoder().encode


def version_of(content: dict[str, Any]) -> Micros:
    """Gives the version of an object, ``modified`` or else ``created``; raises BadValue where that is no time."""
    return read_timestamp(str(content.get("modified") or content.get("created")))


def second_look(candidate: Candidate, body: bytes, audience: Audience) -> dict[str, Any] | list[Reason]:
    """Reads the bytes that would leave: gives their content, or why they must not."""
    try:
        content = _read(body)
        version_of(content)
    except (msgspec.DecodeError, RecursionError, BadValue):
        # Why, would quote what could not be read.
        return [rules.refuse(SERVED_BYTES, "what would be served, or its version, cannot be read")]
    named = isinstance(content.get("id"), str) and isinstance(content.get("type"), str)
    # What we made is what our writer writes, to the byte: no property twice, nothing between.
    exact = candidate.source != OWN or _write(content) == body
    if candidate.source != OWN and _says_twice(body):
        return [rules.refuse(SERVED_BYTES, "what would be served says a property twice, and rules saw one")]
    if content != candidate.content or not named or not exact:
        return [rules.refuse(SERVED_BYTES, "what would be served is not what was decided on")]
    if content.get("type") == "marking-definition" and is_canonical_marking(content):
        return content
    # Every id of a marking anywhere in the bytes, also where an escape or a repeated property hides it from a parser.
    found = set(_MARKING_ID.findall(body))
    if b"\\u" in body:
        found |= set(_MARKING_ID.findall(_write(content)))
    marking, read = read_marking(content), _read_otherwise(candidate, audience)
    levels = [_TLP_BY_BYTES.get(ref) for ref in found - read] + [marking.tlp]
    faults = []
    if any(ref.encode() not in read for ref in marking.unknown) or None in levels[:-1]:
        faults.append("what would be served bears a marking that this node cannot read")
    if marking.tlp is None:
        faults.append("what would be served carries no TLP marking")
    ceiling = audience.ceiling
    if ceiling is None or any(level is not None and level > ceiling for level in levels):
        faults.append(f"what would be served is marked above the ceiling of {audience.name}")
    if report_rules.strangers(body, candidate):
        faults.append(f"what would be served names an object that {audience.name} does not have")
    return [rules.refuse(SERVED_BYTES, fault) for fault in faults] or content


def _read_otherwise(candidate: Candidate, audience: Audience) -> frozenset[bytes]:
    """Gives the markings beside TLP that rules have looked at.

    Of ours none, but in an exercise its statement; of others PAP and what is defined.
    """
    if candidate.source == OWN:
        return frozenset() if audience.exercise is None else frozenset({audience.exercise.marking.encode()})
    marking = candidate.marking
    return frozenset(ref.encode() for ref in (*PAP_IDS, *marking.statements, *marking.policies))


def _says_twice(body: bytes) -> bool:
    """Tells whether any object within some JSON text has a property twice, or the text is read by no second parser."""
    try:
        json.loads(body, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        return True
    return False


def _once(members: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(members)
    if len(read) != len(members):
        raise ValueError("a property twice")
    return read
