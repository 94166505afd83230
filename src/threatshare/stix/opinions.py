"""Builds our Opinions on partners' indicators: a word from STIX's scale and an explanation from a fixed list.

An explanation is never free text, so that it needs no review before it goes back to whom it concerns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid5

from threatshare.model import Micros, Tlp
from threatshare.stix.objects import NAMESPACE
from threatshare.stix.timestamps import write_timestamp
from threatshare.stix.tlp import TLP2_ID


@dataclass(frozen=True, slots=True)
class Ground:
    """Why we call an indicator a false positive, as we tell its maker."""

    opinion: str
    """A word of opinion-enum (STIX 2.1 §10)."""
    text: str


GROUNDS: Mapping[str, Ground] = {
    "benign": Ground("strongly-disagree", "Examined here and found benign: a false positive."),
    "shared-service": Ground(
        "disagree", "A service that many use for legitimate purposes; matches here were legitimate use."
    ),
    "outdated": Ground("disagree", "No longer used for malicious purposes; matches here were legitimate use."),
    "test": Ground("strongly-disagree", "Part of an authorised test or exercise, not of an attack."),
    "not-reproduced": Ground("disagree", "Examined here; the malicious behaviour could not be reproduced."),
}
"""By the word that names it on the command line."""

ONE_OF_SEVERAL = "Of the values that this indicator names, at least one: "
"""Stands before the text where an indicator names more than the value that is meant."""

EXPLANATIONS = frozenset(text for one in GROUNDS.values() for text in (one.text, ONE_OF_SEVERAL + one.text))
"""Every explanation that our Opinions can bear."""
OPINIONS = frozenset(one.opinion for one in GROUNDS.values())


@dataclass(frozen=True, slots=True)
class OpinionFacts:
    """All that an opinion of ours says."""

    indicator: str
    """Id of the indicator that it is on."""
    identity: str
    created: Micros
    modified: Micros
    ground: Ground
    one_of_several: bool
    tlp: Tlp


def opinion_id(identity: str, indicator: str) -> str:
    """Gives the id of our opinion on one indicator; a change of mind is a new version of it."""
    return f"opinion--{uuid5(NAMESPACE, f'{identity}|opinion|{indicator}')}"


def opinion(facts: OpinionFacts) -> dict[str, Any]:
    """Builds an Opinion; whose it is says ``created_by_ref`` alone."""
    return {
        "type": "opinion",
        "spec_version": "2.1",
        "id": opinion_id(facts.identity, facts.indicator),
        "created_by_ref": facts.identity,
        "created": write_timestamp(facts.created),
        "modified": write_timestamp(facts.modified),
        "explanation": (ONE_OF_SEVERAL if facts.one_of_several else "") + facts.ground.text,
        "opinion": facts.ground.opinion,
        "object_refs": [facts.indicator],
        "object_marking_refs": [TLP2_ID[facts.tlp]],
    }
