"""Rows that are read together say what each says alone, and lines are cut as a text file's are."""

from __future__ import annotations

from io import BytesIO, TextIOWrapper
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from threatshare.feed_settings import ListSettings
from threatshare.feeds.list_lines import MOST_ROW, lines_of
from threatshare.feeds.list_rows import RowReader
from threatshare.model import Reject
from threatshare.ports import Listed

NOW = 1_790_000_000_000_000
CELLS = st.sampled_from(
    [
        "198.51.100.7",
        "198.51.100.07",
        "a.example",
        "A.example",
        "hxxp://a.example/x",
        "http://a.example/x",
        "a" * 32,
        "",
    ]
    + ["2026-01-01 00:00:00", "2026-1-1 0:0:0", "2026-01-01", "50", "101", "x", "a b", "online", "ip", "#1", "né"]
)
TERMS: list[dict[str, Any]] = [
    {},
    {"value": 2, "delimiter": ","},
    {"type": "domain-name"},
    {"format": "csv", "value": 2, "seen": 1, "confidence_column": 3},
    {"format": "csv", "value": 2, "seen": 1, "seen_format": "%Y-%m-%d %H:%M:%S"},
    {"format": "csv", "type_column": 2, "types": {"ip": "ipv4-addr", "x": "skip", "": "auto"}},
    {"format": "csv", "keep": {"2": ["online", "50"]}},
    {"pattern": "(?P<value>[^,]*),(?P<seen>.*)", "seen": "seen"},
]
QUOTED = st.tuples(CELLS, st.booleans()).map(lambda one: f'"{one[0]}"' if one[1] else one[0])
LINES = st.lists(QUOTED, min_size=1, max_size=4).map(",".join)


def _said(found: list[Listed | Reject]) -> list[Listed | tuple[str, str]]:
    return [(one.reason, one.text) if isinstance(one, Reject) else one for one in found]


@settings(deadline=None)
@given(st.sampled_from(TERMS), st.lists(LINES, max_size=12), st.integers(1, 60))
def test_a_row_says_the_same_among_others(terms: dict[str, Any], lines: list[str], times: int) -> None:
    """What each row says, and why it is refused, does not depend on the rows around it; nor does its line."""
    reader = RowReader(msgspec.convert(terms, ListSettings), "here")
    alone = [list(reader.read([line], NOW)) for line in lines]
    together = list(reader.read(lines * times, NOW))
    assert _said(together) == _said([one for found in alone for one in found] * times)
    refused = [number for number, found in enumerate(alone * times, 1) if found and isinstance(found[0], Reject)]
    assert [one.place for one in together if isinstance(one, Reject)] == [f"line {number}" for number in refused]


@settings(deadline=None)
@given(st.lists(LINES, max_size=6), st.integers(0, 400), st.integers(2, 4))
def test_a_row_of_several_lines_among_others(lines: list[str], before: int, height: int) -> None:
    """A cell with ends of lines in it is read as one, wherever it stands, and so are the rows around it."""
    reader = RowReader(ListSettings(format="csv", header="none"), "here")
    tall = '198.51.100.9,"' + "\n".join(["cell"] * height) + '"'
    rows = ["198.51.100.8,x"] * before + [tall, *lines]
    found = list(reader.read("\n".join(rows).split("\n"), NOW))
    wanted = [one for row in rows for one in reader.read(row.split("\n"), NOW)]
    assert _said(found) == _said(wanted)
    first = found[before]
    assert isinstance(first, Listed)
    assert first.text == tall


@given(
    st.lists(st.sampled_from([b"a", b"bc\n", b"\r\n", b"\r", b"\xff", "é".encode(), b"x" * 40_000, b"\n"]), max_size=12)
)
def test_lines(pieces: list[bytes]) -> None:
    """Lines end where a text file's do, whatever they hold; of one that is too long the beginning is given."""
    whole = b"".join(pieces)
    wanted = TextIOWrapper(BytesIO(whole), encoding="utf-8-sig", errors="backslashreplace").read().split("\n")
    wanted = wanted if wanted[-1] else wanted[:-1]
    assert list(lines_of(BytesIO(whole))) == [one[: MOST_ROW + 2] for one in wanted]


def test_one_long_row_among_others() -> None:
    """A row that is too long is refused, and the rows that were read with it are taken."""
    rows = ["198.51.100.7"] * 300 + ["x" * (MOST_ROW + 1)] + ["198.51.100.8"] * 300
    found = list(RowReader(ListSettings(), "here").read(rows, NOW))
    (refused,) = [one for one in found if isinstance(one, Reject)]
    assert (len(found), refused.place, refused.reason) == (601, "line 301", f"row of more than {MOST_ROW} characters")
