"""The formats of exports: what each is for."""

from __future__ import annotations

import pytest

from export_rows import SAMPLER
from threatshare.exports.formats import FORMATS, RowFormat
from threatshare.model import Kind


def test_what_devices_block_is_told_from_what_people_read() -> None:
    """The list of bare values is for devices that act unasked; table and bundle carry what says how to act."""
    assert {name for name, form in FORMATS.items() if form.blocking} == {"blocklist"}


@pytest.mark.parametrize("form", [form for form in FORMATS.values() if isinstance(form, RowFormat)])
def test_a_blocking_format_holds_nothing_but_values(form: RowFormat) -> None:
    """Where a file says how to act, it is no blocking one; where it is, it holds values alone."""
    values = {row.observable.value for row in SAMPLER if row.observable.kind is not Kind.PATTERN}
    bare = {line.rstrip("\n") for line in form.write(SAMPLER)} == values
    assert form.blocking == bare
