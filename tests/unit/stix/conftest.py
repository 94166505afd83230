"""Objects as partners send them, and a watch on the processor's time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from time import process_time
from typing import Any

import pytest

MakeIndicator = Callable[..., bytes]
Watch = Callable[[], AbstractContextManager[None]]

ABSENT = object()
"""Given as a property's value to leave it out."""
SECONDS = 1.0
"""Of processor time: a hundred times what any input here needs, and far below what a quadratic search takes."""


def _indicator(**changed: Any) -> bytes:
    properties: dict[str, Any] = {
        "type": "indicator",
        "spec_version": "2.1",
        "id": "indicator--8b35c4a1-2f6f-4cbe-9a0e-0d4e7a1c1f10",
        "created_by_ref": "identity--0f3d8c52-6c1e-4d0a-8f0b-5a1d3b8e7c21",
        "created": "2026-01-01T00:00:00.000Z",
        "modified": "2026-01-02T00:00:00.000Z",
        "name": "an indicator",
        "indicator_types": ["malicious-activity"],
        "pattern": "[ipv4-addr:value = '198.51.100.7']",
        "pattern_type": "stix",
        "valid_from": "2026-01-01T00:00:00Z",
        "confidence": 50,
    }
    return json.dumps({name: value for name, value in (properties | changed).items() if value is not ABSENT}).encode()


@contextmanager
def _quickly() -> Iterator[None]:
    began = process_time()
    yield
    assert process_time() - began < SECONDS


@pytest.fixture
def make_indicator() -> MakeIndicator:
    """Makes the JSON text of an indicator that is fine but for what a test changes."""
    return _indicator


@pytest.fixture
def absent() -> object:
    """Given to ``make_indicator`` to leave a property out."""
    return ABSENT


@pytest.fixture
def quickly() -> Watch:
    """Fails what takes a second of processor time: so long does nothing here take that is linear."""
    return _quickly
