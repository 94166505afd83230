"""What markings mean: by their ids, and for kinds that have no fixed ids by the definition that their source sent.

A definition under an id of TLP or PAP is never looked at: its body may say anything (STIX best practices: ignore
shared TLP objects). Any other definition counts for the objects of the source that sent it and for nobody else's,
and it can only restrict. Whatever is in it that we do not know makes it unreadable as a whole.

Sources: TLP see ``stix.tlp``. PAP: extension definition f8d78575 (OASIS common objects, draft of 28 November 2022).
Statement: STIX 2.1 §7.2.1.3. IEP and ACS see ``stix.iep`` and ``stix.acs``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from threatshare.model import Marking, Pap
from threatshare.stix.acs import ACS, read_acs
from threatshare.stix.exercise import is_exercise_statement
from threatshare.stix.iep import IEP, read_iep
from threatshare.stix.tlp import TLP_IDS

PAP_IDS: Mapping[str, Pap] = {
    "marking-definition--a3bea94c-b469-41dc-9cfe-d6e7daba7730": Pap.CLEAR,
    # Unverified: stands in the draft's folder as an example, but the draft itself and its schema know only "white".
    "marking-definition--ad15a0cd-55b6-4588-a14c-a66105329b92": Pap.CLEAR,
    "marking-definition--c43594d1-4b11-4c59-93ab-1c9b14d53ce9": Pap.GREEN,
    "marking-definition--60f8932b-e51e-4458-b265-a2e8be9a80ab": Pap.AMBER,
    "marking-definition--740d36e5-7714-4c30-961a-3ae632ceee0e": Pap.RED,
}
"""Every id that means a PAP label."""

BLOCKING_UP_TO = Pap.GREEN
"""MISP taxonomy PAP, version 3: GREEN is the first label under which blocking is allowed."""

FIXED: Mapping[str, Marking] = {
    **{ref: Marking(tlp) for ref, tlp in TLP_IDS.items()},
    **{ref: Marking(None, pap=pap, may_block=pap <= BLOCKING_UP_TO) for ref, pap in PAP_IDS.items()},
}
"""What ids mean by themselves."""

MAX_DEFINITION = 16_384
"""Bytes; a longer one is not read."""

_PROPERTIES = frozenset(
    {
        "type",
        "spec_version",
        "id",
        "created_by_ref",
        "created",
        "modified",
        "name",
        "external_references",
        "object_marking_refs",
        "granular_markings",
        "definition_type",
        "definition",
        "extensions",
    }
)
"""STIX 2.1 §7.2.1. The markings of a definition are about itself."""

_EXTENSIONS: Mapping[str, Callable[[str, Mapping[str, Any]], Marking | None]] = {IEP: read_iep, ACS: read_acs}


@lru_cache(maxsize=512)
def read_definition(ref: str, body: bytes) -> Marking:
    """Gives what a marking means according to its source's definition; unknown where that cannot be read.

    ``body`` is a version of an object with the id ``ref``, as it came.
    """
    fixed = FIXED.get(ref)
    if fixed is not None:
        return fixed
    content = _content(body)
    read = _meaning(ref, content) if content is not None else None
    return read if read is not None else unreadable(ref)


def unreadable(ref: str) -> Marking:
    """Gives the meaning of a marking that we cannot read."""
    return Marking(None, (ref,))


def _content(body: bytes) -> dict[str, Any] | None:
    if len(body) > MAX_DEFINITION:
        return None
    try:
        content = json.loads(body, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _once(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuses a property that stands there twice: readers differ on which one counts."""
    read = dict(members)
    if len(read) != len(members):
        raise ValueError("a property twice")
    return read


def _meaning(ref: str, content: dict[str, Any]) -> Marking | None:
    if content.get("type") != "marking-definition" or content.get("id") != ref or not content.keys() <= _PROPERTIES:
        return None
    extensions = content.get("extensions", {})
    if not isinstance(extensions, dict):
        return None
    parts = [_extension(ref, name, told) for name, told in extensions.items()]
    if "definition_type" in content or "definition" in content:
        parts.append(_statement(ref, content))
    whole = Marking(None)
    for part in parts:
        if part is None:
            return None
        whole = whole.joined(part)
    return whole if parts else None


def _extension(ref: str, name: str, told: object) -> Marking | None:
    read = _EXTENSIONS.get(name)
    if read is None or not isinstance(told, dict) or told.get("extension_type") != "property-extension":
        return None
    return read(ref, told)


def _statement(ref: str, content: Mapping[str, Any]) -> Marking | None:
    told = content.get("definition")
    plain = isinstance(told, dict) and told.keys() == {"statement"} and isinstance(told["statement"], str)
    if not plain or not isinstance(told, dict) or content.get("definition_type") != "statement":
        return None
    return Marking(None, statements=(ref,), exercise=is_exercise_statement(told["statement"]))
