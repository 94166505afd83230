"""Letters that look alike: one table, read by those who fold small letters and by those who fold capitals."""

from __future__ import annotations

import pytest

from threatshare.policy.names import likeness
from threatshare.stix.exercise import is_exercise_label
from threatshare.stix.lookalikes import AS_CAPITAL, AS_SMALL, as_read, letters


def test_each_letter_is_read_as_one_small_latin_letter() -> None:
    """What is folded is never a plain letter, and what it is folded to always is, so folding twice changes nothing."""
    for table in (AS_SMALL, AS_CAPITAL):
        assert all(plain in "abcdefghijklmnopqrstuvwxyz" for plain in table.values())
        assert not any(chr(one).isascii() for one in table)
        assert all(chr(one).casefold() == chr(one) for one in table)


@pytest.mark.parametrize(
    ("dressed", "read"),
    [
        ("Ѕоmе Ваnк", "some bank"),
        ("ｆｕｌｌ\u200b ⓦⓘⓓⓣⓗ", "full width"),
        ("ϲеrt", "cert"),
        ("νictim", "victim"),
        ("vi\u0301ctim", "victim"),
        ("bureau 101", "bureau 101"),
    ],
)
def test_texts_are_read_as_people_read_them(dressed: str, read: str) -> None:
    """Letters of other scripts, compatibility forms and what nobody sees do not hide a text; digits stay digits."""
    assert as_read(dressed) == read
    assert letters(dressed) == read.replace(" ", "")


def test_a_letter_whose_capital_is_read_otherwise_is_read_by_its_capital_in_names() -> None:
    """A small nu looks like v and a capital one like N: a text is read as it stands, a name as it may be written."""
    assert as_read("ν") == "v"
    assert likeness("ΑΝΝΑ") == likeness("Anna") == likeness("Αννα")


def test_the_word_is_found_in_letters_of_any_script() -> None:
    """One table serves the word exercise too, in small letters and in capitals."""
    for e in "еє\u0415ҽⱸ":
        assert is_exercise_label(f"{e}x{e}rcis{e}")
    assert is_exercise_label("EXERC\u04c0SE")
