"""Tells an indicator of ours as Observed Data, for consumers that read no patterns.

The observable stands inside the object, in ``objects``, which STIX 2.1 §4.14 calls deprecated and the
consumers concerned read: so it is one object still, with the version and the withdrawal of the indicator.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid5

import msgspec

from threatshare.model import Kind, Observable

_NAMESPACE = UUID("00abedb4-aa42-466c-9c01-fed23315a9b7")
"""Of the ids that cyber-observables have by their content (STIX 2.1 §2.9)."""
_SAME = (
    "spec_version",
    "created_by_ref",
    "created",
    "modified",
    "revoked",
    "labels",
    "confidence",
    "object_marking_refs",
)

_write = msgspec.json.Encoder(order="sorted").encode


def cyber_observable(observable: Observable) -> dict[str, Any]:
    """Builds the STIX Cyber-observable Object of a value, with the id that its content gives it.

    Raises ValueError for a pattern that is kept whole, which is no value.
    """
    if observable.kind is Kind.PATTERN:
        raise ValueError("a pattern of several comparisons is no cyber-observable")
    algorithm, value = observable.kind.algorithm, observable.value
    content: dict[str, Any] = {"value": value} if algorithm is None else {"hashes": {algorithm: value}}
    kind = observable.kind.stix_type
    # RFC 8785 of the properties that contribute: sorted keys, no blanks, UTF-8.
    number = uuid5(_NAMESPACE, _write(content).decode())
    return {"type": kind, "spec_version": "2.1", "id": f"{kind}--{number}", **content}


def observed_objects(observable: Observable) -> dict[str, Any]:
    """Builds the property ``objects`` that holds one value."""
    return {"0": cyber_observable(observable)}


def observed_data(indicator: Mapping[str, Any], observable: Observable) -> dict[str, Any]:
    """Builds Observed Data from an indicator of one value; what has no place there is left out.

    First and last observed are the begin of the indicator's validity: more it does not say. An indicator
    cannot end by itself here, so its end comes as a withdrawal.
    """
    _, _, number = str(indicator["id"]).partition("--")
    same = {name: indicator[name] for name in _SAME if name in indicator}
    return {
        "type": "observed-data",
        "id": f"observed-data--{number}",
        **same,
        "first_observed": indicator["valid_from"],
        "last_observed": indicator["valid_from"],
        "number_observed": 1,
        "objects": observed_objects(observable),
    }
