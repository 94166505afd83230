"""Reading JSON whose shape nobody promised: what is not there is empty, and times are times in every spelling."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threatshare.findings.documents import inner, inners, moment, number, text, texts, value

AT = datetime(2021, 1, 30, 12, 50, 12, tzinfo=UTC)

anything = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
    lambda some: st.lists(some, max_size=3) | st.dictionaries(st.text(max_size=3), some, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    "said",
    [
        "2021-01-30T12:50:12Z",
        "2021-01-30 13:50:12+01:00",
        1612011012,
        1612011012.0,
        "1612011012",
        1612011012000,
        "1612011012000",
        1612011012000000,
    ],
)
def test_times_in_every_spelling(said: object) -> None:
    """Text with an offset, and seconds, milliseconds or microseconds since 1970 as numbers or text, are one moment."""
    assert moment({"a": {"b": said}}, "a", "b") == AT


def test_milliseconds_as_text_are_no_date() -> None:
    """Thirteen digits that would pass for a date without hyphens are milliseconds."""
    found = moment({"at": "1612011012123"}, "at")
    assert found is not None
    assert found.year == 2021


@given(st.dictionaries(st.sampled_from(("a", "b")), anything))
def test_nothing_breaks_it(doc: dict[str, Any]) -> None:
    """Whatever stands at a path, every question about it has an answer of the promised type."""
    for path in (("a",), ("a", "b"), ("a", "b", "c")):
        assert isinstance(inner(doc, *path), dict)
        assert all(isinstance(one, dict) for one in inners(doc, *path))
        assert isinstance(text(doc, *path), str)
        assert all(texts(doc, *path))
        assert number(doc, *path) is None or isinstance(number(doc, *path), int)
        assert moment(doc, *path) is None or isinstance(moment(doc, *path), datetime)


def test_one_stands_for_a_list_of_one() -> None:
    """Tools that write one element without a list around it are read all the same."""
    doc = {"a": {"b": "x"}, "n": " 12 ", "t": " y "}
    assert inners(doc, "a") == [{"b": "x"}]
    assert texts(doc, "t") == ["y"]
    assert (number(doc, "n"), value(doc, "a", "b"), value(doc, "n", "b")) == (12, "x", None)
