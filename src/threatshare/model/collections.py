"""TAXII collections of this node, the forms in which consumers want them, and the accounts that may use them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class CollectionKind(StrEnum):
    """What a TAXII collection is for."""

    SIEM = "siem"
    """Merged and scored, for our own tools."""
    INTERNAL = "internal"
    """Our indicators, for our own organisation."""
    PARTNER = "partner"
    """Our indicators, for one partner under its agreement."""
    INBOX = "inbox"
    """Partners write to it; it goes through the same ingest as feeds."""
    EXCHANGE = "exchange"
    """A hub's collection: what members post, members read."""
    EXERCISE = "exercise"
    """Of one joint exercise: nothing live enters it, and nothing in it counts anywhere else."""


class TlpIds(StrEnum):
    """Which marking definitions say the TLP of what a collection serves."""

    TLP1 = "1"
    """Of TLP 1, the only ones that some consumers know; TLP 2.0's where TLP 1 has none."""
    TLP2 = "2"
    BOTH = "both"


class Form(StrEnum):
    """As what a collection tells of a value."""

    INDICATORS = "indicators"
    OBSERVED_DATA = "observed-data"
    """For consumers that read no patterns."""


class Fields(StrEnum):
    """How much an object says."""

    ALL = "all"
    MINIMAL = "minimal"
    """What the standard demands, and what consumers act on."""


class EmptyPage(StrEnum):
    """How a page without objects is written."""

    OBJECTS = "objects"
    """With an empty list, without which some consumers fail."""
    BARE = "bare"
    """Without a list, as the standard has it."""


@dataclass(frozen=True, slots=True)
class View:
    """How the consumers of a collection want its content (docs/decisions/0011-views.md)."""

    tlp: TlpIds = TlpIds.TLP2
    form: Form = Form.INDICATORS
    fields: Fields = Fields.ALL
    empty_page: EmptyPage = EmptyPage.OBJECTS


DEFAULT_ROOT = "api"
"""The API root that every node has; its name stands in addresses."""


@dataclass(frozen=True, slots=True)
class Collection:
    """A TAXII collection of this node."""

    number: int
    """Row id; the high part of every entry's sequence number."""
    id: str
    """UUID, as in the URL."""
    alias: str
    title: str
    kind: CollectionKind
    partner: str | None = None
    root: str = DEFAULT_ROOT
    """The API root that it stands under."""
    view: View = View()


@dataclass(frozen=True, slots=True)
class Account:
    """Who may use the TAXII server, and for what."""

    name: str
    read: frozenset[str]
    """Aliases of collections that it may read."""
    write: frozenset[str]
    withdrawals: frozenset[str] = frozenset()
    """Aliases of those of which nothing but withdrawals is left to it, since the agreement has ended."""
