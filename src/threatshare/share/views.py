"""Consumer profiles: how the indicators of a collection for our own tools are written.

A view is a fixed function of an indicator, and is applied before the gate sees it: what the gate clears, the
ledger records and the server sends are the same bytes (docs/decisions/0011-views.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid5

import msgspec

from threatshare.model import Collection, CollectionKind, Fields, Form, Observable, TlpIds, View
from threatshare.stix.objects import NAMESPACE, indicator_id, siem_indicator_id, written
from threatshare.stix.observed import observed_data
from threatshare.stix.tlp import TLP1_ID, TLP_IDS
from threatshare.triage.merged import MONITOR_ONLY

FIRST_SIEM = "siem"
"""The collection that every node has; its indicators bear the ids that follow from their values alone."""

_MINIMAL = frozenset(
    {
        "type",
        "spec_version",
        "id",
        "created_by_ref",
        "created",
        "modified",
        "revoked",
        "pattern",
        "pattern_type",
        "valid_from",
        "valid_until",
        "first_observed",
        "last_observed",
        "number_observed",
        "objects",
        "confidence",
        "object_marking_refs",
    }
)


def id_in(collection: Collection, siem_id: str) -> str:
    """Gives the id under which a collection tells of what has some id in the first SIEM collection.

    Each has its own: a consumer that reads two of them never meets one id with two contents. Where the form is
    another, so is the type.
    """
    kind, _, number = siem_id.partition("--")
    if collection.alias != FIRST_SIEM:
        number = str(uuid5(NAMESPACE, f"{siem_id}|{collection.id}"))
    return f"{kind if collection.view.form is Form.INDICATORS else Form.OBSERVED_DATA.value}--{number}"


def seen_through(view: View, indicator: Mapping[str, Any], observable: Observable) -> dict[str, Any]:
    """Writes an indicator of one value as a view has it."""
    told = dict(indicator)
    told["object_marking_refs"] = _marked(view.tlp, told["object_marking_refs"])
    if view.form is Form.OBSERVED_DATA:
        told = observed_data(told, observable)
    if view.fields is Fields.MINIMAL:
        labels = [one for one in told.get("labels", ()) if one == MONITOR_ONLY]
        told = {name: value for name, value in told.items() if name in _MINIMAL}
        if labels:
            # What must not be blocked says so in every form.
            told["labels"] = labels
    return told


def introduced_through(view: View, introduction: bytes) -> bytes:
    """Writes a part of our introduction as a view has it: whole, but marked by the ids that the view's objects bear."""
    if view.tlp is TlpIds.TLP2:
        return introduction
    told = msgspec.json.decode(introduction)
    told["object_marking_refs"] = _marked(view.tlp, told["object_marking_refs"])
    return written(told)


def _marked(ids: TlpIds, refs: list[str]) -> list[str]:
    """Names the same TLP by other ids; what TLP 1 has no id for keeps the one it has, never a laxer one."""
    if ids is TlpIds.TLP2:
        return refs
    old = [TLP1_ID.get(TLP_IDS[ref], ref) for ref in refs]
    return old if ids is TlpIds.TLP1 else list(dict.fromkeys([*refs, *old]))


def ids_of(collections: Sequence[Collection], identity: str, observable: Observable) -> list[str]:
    """Gives every id under which an organisation tells of a value in some collections, its own indicator's first."""
    merged = siem_indicator_id(identity, observable)
    siem = [id_in(one, merged) for one in collections if one.kind is CollectionKind.SIEM]
    return [indicator_id(identity, observable), *siem]
