"""What sources assert of an observable: claims and opinions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from threatshare.model.markings import Marking
from threatshare.model.times import Micros

_UNMARKED = Marking(None)


@dataclass(frozen=True, slots=True)
class Claim:
    """One source's assertion about one observable, as far as the score needs it."""

    source: str
    indicator_id: str
    origin: str
    """Who said it first (``created_by_ref``, feed lineage, else the source): copies of one origin count once."""
    reliability: str
    """Admiralty A-F of the source."""
    confidence: int | None
    """The producer's claim 0-100; None is "unspecified", never zero."""
    observed: Micros
    """When that source last said so."""
    valid_from: Micros
    valid_until: Micros | None
    revoked: bool = False
    benign: bool = False
    """Its indicator types say benign or anomalous only: it is no evidence of malice."""
    marking: Marking = _UNMARKED
    partner: str | None = None
    """Whose source it is, where something tells; the sources of one partner are one voice."""

    @property
    def voice(self) -> tuple[str, bool]:
        """Who counts no more than once: the partner whose source it is, else the source."""
        return (self.source, False) if self.partner is None else (self.partner, True)


class Opinion(NamedTuple):
    """What one source thinks of an indicator of ours; its latest word."""

    source: str
    word: str
    """Of opinion-enum (STIX 2.1 §10.24), e.g. ``strongly-agree``."""
    reliability: str
    """Admiralty A-F of the source."""
    of_ais: bool = False
    """CISA's, whose scale means less by ``agree`` than others'."""
