"""FIRST's Information Exchange Policy 2.0 as a STIX marking: extension definition 762e2e97.

Source: the draft of 19 December 2022 among OASIS' common objects, whose names differ from FIRST's own
(``provider_attribution`` for ``attribution``, ``iep_id`` for ``id``); what the words mean: FIRST IEP framework 2.0.
Unverified: no producer of such markings has been seen. The draft's schema demands ``tlp_ref`` and ``policy_name``
without defining them; its examples have neither, so here both are properties that we do not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from threatshare.errors import BadValue
from threatshare.model import Action, Marking, Micros, Tlp
from threatshare.stix.timestamps import read_timestamp

IEP = "extension-definition--762e2e97-ee51-43e5-a9ea-165fbb862c4a"

# Which actions include blocking is our reading (unverified): a block shows outside, since traffic stops, but it is
# nothing that is done to anybody outside.
_STATEMENTS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "permitted_actions": {
        "none": {"permitted": Action.NONE, "may_block": False},
        "contact-for-instruction": {"permitted": Action.CONTACT_FOR_INSTRUCTION, "may_block": False},
        "internally-visible-actions": {"permitted": Action.INTERNALLY_VISIBLE, "may_block": False},
        "externally-visible-indirect-actions": {"permitted": Action.EXTERNALLY_VISIBLE_INDIRECT},
        "externally-visible-direct-actions": {"permitted": Action.EXTERNALLY_VISIBLE_DIRECT},
    },
    "affected_party_notifications": {"may": {}, "must-not": {"notifications": False}},
    "tlp": {
        "white": {"policy_tlp": Tlp.CLEAR},
        "green": {"policy_tlp": Tlp.GREEN},
        "amber": {"policy_tlp": Tlp.AMBER},
        "red": {"policy_tlp": Tlp.RED},
    },
    "provider_attribution": {"may": {}, "must": {"must_name": True}, "must-not": {"must_not_name": True}},
    "unmodified_resale": {"may": {}, "must-not": {"resale": False}},
    "encrypt_in_transit": {"may": {}, "must": {"encrypted": True}},
}
"""What each word of each statement means; every statement is needed, and no other word is known."""

_DESCRIBING = frozenset({"extension_type", "iep_id", "iep_version", "description"})
_DATES = frozenset({"start_date", "end_date"})


def read_iep(ref: str, told: Mapping[str, Any]) -> Marking | None:
    """Reads the policy of the marking ``ref``; None where a property or word is missing or not known."""
    if not told.keys() <= _STATEMENTS.keys() | _DESCRIBING | _DATES or told.get("iep_version", 2) not in (2, "2.0"):
        return None
    meaning: dict[str, Any] = {}
    for name, words in _STATEMENTS.items():
        word = told.get(name)
        if not isinstance(word, str) or word not in words:
            return None
        meaning |= words[word]
    try:
        begins, ends = _moment(told.get("start_date")), _moment(told.get("end_date"))
    except BadValue:
        return None
    if begins is None:
        return None
    return Marking(None, begins=begins, ends=ends, policies=(ref,), **meaning)


def _moment(told: object) -> Micros | None:
    if told is None:
        return None
    if not isinstance(told, str):
        raise BadValue("no timestamp")
    return read_timestamp(told)
