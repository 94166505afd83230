"""Moments, as the store and the hot paths count them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

Micros = int
"""Microseconds since 1970-01-01T00:00:00Z."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def micros(at: datetime) -> Micros:
    """Converts an aware datetime, exactly."""
    return (at - _EPOCH) // _MICROSECOND


def moment(at: Micros) -> datetime:
    """Converts back, exactly."""
    return _EPOCH + timedelta(microseconds=at)
