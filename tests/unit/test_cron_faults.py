"""Cron expressions are judged where settings are read, as the scheduler judges them when it is too late."""

from __future__ import annotations

from pathlib import Path

import pytest
from apscheduler.triggers.cron import CronTrigger
from hypothesis import given
from hypothesis import strategies as st

from threatshare.errors import ConfigurationError
from threatshare.feed_settings import cron_fault, load_feed

NUMBERS = st.integers(0, 70).map(str)
NAMES = st.sampled_from(["mon", "FRI", "sun", "jan", "Dec", "x", "", "last"])
STEPS = st.sampled_from(["", "", "/0", "/2", "/59", "/99", "/"])
PARTS = st.one_of(
    st.builds(lambda step: f"*{step}", STEPS),
    st.builds(lambda one, step: f"{one}{step}", NUMBERS, STEPS),
    st.builds(lambda one, other, step: f"{one}-{other}{step}", NUMBERS, NUMBERS, STEPS),
    st.builds(lambda one, other: f"{one}-{other}", NAMES, NAMES),
    NAMES,
)
FIELDS = st.lists(PARTS, min_size=1, max_size=3).map(",".join)


@given(st.lists(st.one_of(st.just("*"), FIELDS), min_size=4, max_size=6).map(" ".join))
def test_what_is_let_through_can_be_scheduled(expression: str) -> None:
    """No expression passes that the scheduler cannot read."""
    if cron_fault(expression) is None:
        CronTrigger.from_crontab(expression, timezone="UTC")


@pytest.mark.parametrize(
    "expression",
    ["* * * * *", "*/5 * * * *", "0 6 * * mon-fri", "0,30 8-18/2 1,15 jan,JUL 0", "5/10 0 31 12 sat", "  0  6 * * *  "],
)
def test_usual_ones(expression: str) -> None:
    """What people write passes, and the scheduler reads it."""
    assert cron_fault(expression) is None
    CronTrigger.from_crontab(expression, timezone="UTC")


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("99 * * * *", "'99' is no minute"),
        ("0 24 * * *", "'24' is no hour"),
        ("* * * *", "it has 4 fields"),
        ("@daily", "it has 1 fields"),
        ("0 6 * * 7", "'7' is no day of the week"),
        ("0 6 * * fri-mon", "'fri-mon' is no day of the week"),
        ("*/0 * * * *", r"'\*/0' is no minute"),
        ("٣ * * * *", "is no minute"),
    ],
)
def test_a_feed_that_would_never_run(tmp_path: Path, expression: str, said: str) -> None:
    """A feed whose expression is none is refused with field, file and line."""
    file = tmp_path / "isac.toml"
    file.write_text(f'kind = "taxii"\nurl = "https://taxii.example/"\ncron = "{expression}"\n', encoding="utf-8")
    with pytest.raises(ConfigurationError, match=f"isac.toml: cron .*{said}.*line 3"):
        load_feed(file)
