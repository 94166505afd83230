"""Builds our incident reports: a STIX Report or Grouping with the objects of ours that it names.

Its title and description are the only free text that we write. They are limited here, and nowhere leave our own
organisation before people have released that very version (``policy.report_rules``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import uuid5

from threatshare.errors import BadValue
from threatshare.model import Micros, Tlp
from threatshare.stix.objects import NAMESPACE
from threatshare.stix.timestamps import write_timestamp
from threatshare.stix.tlp import TLP2_ID

LONGEST_TITLE = 200
LONGEST_DESCRIPTION = 10_000
"""Characters."""
MOST_REFERENCES = 1_000
"""Objects that one report names."""

_TECHNIQUE = re.compile(r"T\d{4}(?:\.\d{3})?", re.ASCII).fullmatch
_BLANKS = re.compile(r"[\t\u00a0]")


class ReportKind(StrEnum):
    """The STIX type of a report: a finished account, or objects that belong together while it is not finished."""

    REPORT = "report"
    GROUPING = "grouping"


VOCABULARIES: Mapping[ReportKind, tuple[str, ...]] = {
    ReportKind.REPORT: (
        "threat-report",
        "attack-pattern",
        "campaign",
        "identity",
        "indicator",
        "intrusion-set",
        "malware",
        "observed-data",
        "threat-actor",
        "tool",
        "vulnerability",
    ),
    ReportKind.GROUPING: ("suspicious-activity", "malware-analysis", "unspecified"),
}
"""What each kind is about, the usual first: report-type-ov and grouping-context-ov (STIX 2.1 §10)."""


@dataclass(frozen=True, slots=True)
class ReportFacts:
    """All that a report of ours says."""

    id: str
    identity: str
    created: Micros
    modified: Micros
    kind: ReportKind
    about: str
    """A word of the kind's vocabulary."""
    title: str
    description: str | None
    references: Sequence[str]
    """Ids of objects of ours; at least one."""
    tlp: Tlp
    published: Micros
    """When it was given out first; a grouping does not say."""
    techniques: Sequence[str] = ()
    """ATT&CK technique ids."""
    labels: Sequence[str] = ()
    """The roles that values play in it."""


def report_id(kind: ReportKind, identity: str, token: str) -> str:
    """Gives the id of an organisation's report; ``token`` is random and its own, the id that of every version."""
    return f"{kind}--{uuid5(NAMESPACE, f'{identity}|incident|{token}')}"


def report(facts: ReportFacts) -> dict[str, Any]:
    """Builds a Report or a Grouping."""
    built: dict[str, Any] = {
        "type": facts.kind.value,
        "spec_version": "2.1",
        "id": facts.id,
        "created_by_ref": facts.identity,
        "created": write_timestamp(facts.created),
        "modified": write_timestamp(facts.modified),
        "name": facts.title,
    }
    if facts.description:
        built["description"] = facts.description
    if facts.kind is ReportKind.REPORT:
        built |= {"report_types": [facts.about], "published": write_timestamp(facts.published)}
    else:
        built["context"] = facts.about
    built["object_refs"] = sorted(set(facts.references))
    if facts.labels:
        built["labels"] = sorted(set(facts.labels))
    if facts.techniques:
        built["external_references"] = [
            {"source_name": "mitre-attack", "external_id": one} for one in sorted(set(facts.techniques))
        ]
    built["object_marking_refs"] = [TLP2_ID[facts.tlp]]
    return built


def is_technique(text: str) -> bool:
    """Tells whether a text is the id of an ATT&CK technique or sub-technique."""
    return _TECHNIQUE(text) is not None


def title_of(text: str) -> str:
    """Gives a title in its one spelling; raises BadValue where it is none: empty, several lines, too long."""
    title = _BLANKS.sub(" ", text).strip()
    if not title:
        raise BadValue("a report needs a title")
    if "\n" in title or "\r" in title:
        raise BadValue("the title is one line; what does not fit goes into the description")
    return _within(title, "title", LONGEST_TITLE)


def description_of(text: str) -> str | None:
    """Gives a description in its one spelling, None for an empty one; raises BadValue where it is too long."""
    lines = _BLANKS.sub(" ", text.replace("\r\n", "\n")).split("\n")
    description = "\n".join(line.rstrip() for line in lines).strip()
    return _within(description, "description", LONGEST_DESCRIPTION) if description else None


def _within(text: str, name: str, most: int) -> str:
    if len(text) > most:
        raise BadValue(f"the {name} has {len(text)} characters; at most {most} are taken")
    # Not printable are control and direction characters, with which a text can look like another one.
    wrong = next((one for one in text if one != "\n" and not one.isprintable()), None)
    if wrong is not None:
        raise BadValue(f"the {name} holds a character that cannot be printed, U+{ord(wrong):04X}: take it out")
    return text
