"""Timestamps: one strict form in, one out, to the microsecond."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime

import pytest

from threatshare.errors import BadValue
from threatshare.model import micros
from threatshare.stix.timestamps import read_loose_time, read_timestamp, whole_milliseconds, write_timestamp

Watch = Callable[[], AbstractContextManager[None]]

NOON = micros(datetime(2026, 1, 2, 12, tzinfo=UTC))

READ = {
    "2026-01-02T12:00:00Z": NOON,
    "2026-01-02T12:00:00.5Z": NOON + 500_000,
    "2026-01-02T12:00:00.123Z": NOON + 123_000,
    "2026-01-02T12:00:00.123456Z": NOON + 123_456,
    "2026-01-02T12:00:00.123456999999Z": NOON + 123_456,
    "1970-01-01T00:00:00Z": 0,
    "1969-12-31T23:59:59.999999Z": -1,
    "2255-06-05T23:47:34.740993Z": 2**53 + 1,
    "9999-12-31T23:59:59.999999Z": micros(datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)),
    "0001-01-01T00:00:00Z": micros(datetime(1, 1, 1, tzinfo=UTC)),
    "2024-02-29T00:00:00Z": micros(datetime(2024, 2, 29, tzinfo=UTC)),
}

REFUSED = (
    "",
    "now",
    "2026-01-02",
    "2026-01-02T12:00Z",
    "2026-01-02 12:00:00Z",
    "2026-01-02t12:00:00z",
    "2026-01-02T12:00:00",
    "2026-01-02T12:00:00+00:00",
    "2026-01-02T12:00:00.Z",
    "2026-01-02T12:00:00,5Z",
    "2026-01-02T12:00:00Z\n",
    " 2026-01-02T12:00:00Z",
    "2026-1-2T12:00:00Z",
    "2026-15-08T00:00:00Z",
    "2026-02-29T00:00:00Z",
    "2026-01-02T24:00:00Z",
    "2026-01-02T12:60:00Z",
    "2026-01-02T12:00:60Z",
    "0000-01-01T00:00:00Z",
    "-2026-01-02T12:00:00Z",
    "12026-01-02T12:00:00Z",
    "２026-01-02T12:00:00Z",
    "20260102T120000Z",
    "2026-W01-5T12:00:00Z",
    "2026-01-02T12:00:00." + "1" * 10_000 + "Z",
)


@pytest.mark.parametrize(("text", "at"), READ.items())
def test_the_standard_form_is_read_exactly(text: str, at: int) -> None:
    """Any number of digits is read, to the microsecond, in any year, and what is written reads back."""
    assert read_timestamp(text) == at
    assert read_timestamp(write_timestamp(at, 6)) == at
    assert read_timestamp(write_timestamp(at)) == whole_milliseconds(at)


@pytest.mark.parametrize("text", REFUSED)
def test_every_other_form_is_refused(text: str) -> None:
    """A time that is not in the standard's form, or that no calendar has, is refused with a short reason."""
    with pytest.raises(BadValue) as refused:
        read_timestamp(text)
    assert len(str(refused.value)) < 200


def test_times_are_written_with_as_many_digits_as_asked() -> None:
    """STIX wants three digits, TAXII six; what does not fit is dropped and never rounded up."""
    at = NOON + 999_999
    assert write_timestamp(at) == "2026-01-02T12:00:00.999Z"
    assert write_timestamp(at, 6) == "2026-01-02T12:00:00.999999Z"
    assert write_timestamp(read_timestamp("0999-01-01T00:00:00Z")) == "0999-01-01T00:00:00.000Z"


@pytest.mark.parametrize("text", ["9" * 1_000_000, "2026-01-02T12:00:00." + "1" * 1_000_000 + "Z"])
def test_a_long_text_is_no_time(text: str, quickly: Watch) -> None:
    """A megabyte where a time should be is refused, and is not remembered."""
    with quickly(), pytest.raises(BadValue):
        read_timestamp(text)


@pytest.mark.parametrize(
    ("text", "at"),
    {
        "2026-01-02T12:00:00": NOON,
        "2026-01-02 12:00:00": NOON,
        "2026-01-02T12:00:00Z": NOON,
        "2026-01-02T14:00:00+02:00": NOON,
        "2026-01-02T12:00:00.123456-0000": NOON + 123_456,
        " 2026-01-02T12:00:00Z\n": NOON,
    }.items(),
)
def test_tools_write_times_in_their_own_ways(text: str, at: int) -> None:
    """The times of findings are read with any offset, and without one as UTC."""
    found = read_loose_time(text)
    assert found is not None
    assert found.tzinfo is UTC
    assert micros(found) == at


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2026-15-08", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "\x00"]
)
def test_what_is_no_time_is_none(text: str) -> None:
    """A finding's time that cannot be read, or lies outside of what dates can hold, is none, and raises nothing."""
    assert read_loose_time(text) is None
