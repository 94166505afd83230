"""A blocklist holds values and nothing else."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from export_rows import SAMPLER, a_row, observables
from threatshare.exports.blocklist import COMMENT, write_blocklist
from threatshare.exports.rows import select
from threatshare.model import Kind, Observable
from threatshare.stix.observables import canonical

VALUES = observables.filter(lambda seen: seen.kind is not Kind.PATTERN)


def test_golden_blocklist(root: Path) -> None:
    """The file that devices read stays as it is, byte for byte."""
    golden = (root / "tests/golden/exports/blocklist.txt").read_bytes()
    lines = write_blocklist(select(SAMPLER, cap=len(SAMPLER)), ["Made by threatshare", "9 observables"])
    assert "".join(lines).encode() == golden


@given(st.lists(VALUES, max_size=8), st.text())
def test_every_line_is_the_observable(seen: list[Observable], heading: str) -> None:
    """Every line that is no comment parses back to the observable that was exported, in order."""
    text = "".join(write_blocklist([a_row(one.kind, one.value) for one in seen], [heading]))
    read = [line for line in text.split("\n")[:-1] if not f"{line} ".startswith(COMMENT)]
    assert [canonical(one.kind, line) for one, line in zip(seen, read, strict=True)] == seen


def test_a_mail_address_with_a_hash_is_no_comment() -> None:
    """A value that begins with a hash is told from a comment by the blank that it lacks."""
    assert list(write_blocklist([a_row(Kind.EMAIL, "#a@mail.example")], ["A"])) == ["# A\n", "#a@mail.example\n"]


def test_patterns_stay_out() -> None:
    """A pattern is no value that a device could block, so it is left out."""
    assert list(write_blocklist([a_row(Kind.PATTERN, "[a:b = 1 AND a:c = 2]")])) == []


def test_a_heading_cannot_smuggle_a_value_in() -> None:
    """A line break within the heading begins another comment, never a line that is blocked."""
    assert list(write_blocklist([], ["one\n192.0.2.1\r\u2028192.0.2.2"])) == [
        "# one\n",
        "# 192.0.2.1\n",
        "#\n",
        "# 192.0.2.2\n",
    ]
