"""What is printed of text that came from outside: nothing that a terminal acts on, and no line of its own."""

from __future__ import annotations

from unicodedata import category

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threatshare.cli.output import safe, safe_lines, table


@given(st.text())
def test_no_text_makes_a_line(text: str) -> None:
    """Whatever a partner writes stays on its line, as long as it was, with no control or format character in it."""
    shown = safe(text)
    assert len(shown) == len(text)
    assert not shown or shown.splitlines() == [shown]
    assert not {category(one) for one in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"}


def test_what_people_write_is_shown_as_it_is() -> None:
    """Letters of any script, signs, pictures and wide blanks are left alone."""
    text = "Müller\u00a0& 日本\u3000テスト – “рус” \N{SNOWMAN}"
    assert safe(text) == text
    assert safe_lines(f"{text}\n\n\ttwo") == f"{text}\n\n?two"


def test_a_cell_is_no_row(capsys: pytest.CaptureFixture[str]) -> None:
    """A name with an end of line in it does not make a row of a table."""
    table(["name", "state"], [["good\nforged  ok", "wrong"]])
    assert capsys.readouterr().out.splitlines()[1:] == ["good?forged  ok  wrong"]
