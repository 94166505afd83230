"""What a person wants a report to say, and what was made of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from threatshare.model import Micros, Tlp
from threatshare.stix.reports import ReportKind


@dataclass(frozen=True, slots=True)
class Draft:
    """What a person wants a report to say; in a revision what is None stays as it was."""

    title: str | None = None
    description: str | None = None
    kind: ReportKind | None = None
    about: str | None = None
    values: Sequence[str] | None = None
    """Values of ours, as they are typed."""
    objects: Sequence[str] | None = None
    """Ids of indicators and sightings of ours."""
    techniques: Sequence[str] | None = None
    tlp: Tlp | None = None
    """None: as strict as what it names, and as what is found now."""
    published: Micros | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """A report as it was written."""

    id: str
    number: int
    outcome: str
    """``new``, ``updated`` or ``unchanged``."""
    edition: str
    """What tells this version from every other (``report_rules.edition_of``)."""
    tlp: Tlp
    references: int
    private: tuple[str, ...] = ()
    """What a person should look at in the text: rule and field, never the text."""
