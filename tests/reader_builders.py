"""What readers of JSON make of a document, as their tests ask it."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any

from threatshare.config import OwnAssets
from threatshare.model import Finding, Reject
from threatshare.ports import Reader


def read_json(reader: Reader, data: Any, place: str, own: OwnAssets) -> list[Finding | Reject]:
    """Reads a document, or bytes as they are."""
    text = data if isinstance(data, bytes) else json.dumps(data).encode()
    return list(reader.read(io.BytesIO(text), place, own))


def only_finding(results: Sequence[Finding | Reject]) -> Finding:
    """Gives the finding where there is nothing else."""
    (got,) = results
    assert isinstance(got, Finding)
    return got
