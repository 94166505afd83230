from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threatshare.errors import BadValue
from threatshare.share.positions import Position, read_position, write_position
from threatshare.store.pages import EntryFilter

KEY = bytes(range(32))
words = st.lists(st.text(min_size=1, max_size=8), max_size=3).map(tuple)


@given(st.integers(1, 2**20), st.integers(0, 2**40 - 1), words, words)
def test_a_position_carries_its_filter(collection: int, seq: int, types: tuple[str, ...], ids: tuple[str, ...]) -> None:
    """What was asked for comes back from `next`, as clients drop their filters once they have one (S1)."""
    wanted = EntryFilter(types=types, ids=ids, versions=("first", 5), spec_versions=("2.0",))
    text = write_position(KEY, collection, seq, wanted)
    assert text.replace("-", "").replace("_", "").isalnum()
    assert read_position(KEY, text) == Position(collection, seq, types, ids, ("first", 5), ("2.0",))


def test_a_long_filter_is_not_carried() -> None:
    """A filter of hundreds of ids must be sent again, so that addresses stay within what proxies take."""
    text = write_position(KEY, 1, 5, EntryFilter(ids=tuple(f"indicator--{number:036}" for number in range(500))))
    assert len(text) < 100
    assert not read_position(KEY, text).carried


@given(st.one_of(st.text(max_size=60), st.binary(max_size=60).map(lambda raw: raw.decode("latin-1"))))
def test_nothing_else_is_a_position(text: str) -> None:
    """Text that this node did not sign is refused, never followed."""
    with pytest.raises(BadValue, match="next"):
        read_position(KEY, text)


@given(st.integers(0, 50), st.sampled_from("abcXYZ019-_"))
def test_a_changed_position_is_refused(place: int, letter: str) -> None:
    """Changing any character of a `next` breaks its signature, and another node's key signs nothing here."""
    text = write_position(KEY, 3, 77, EntryFilter())
    place %= len(text)
    changed = text[:place] + letter + text[place + 1 :]
    # The last character of unpadded Base64 has bits that stand for nothing.
    if changed != text and place < len(text) - 1:
        with pytest.raises(BadValue, match="next"):
            read_position(KEY, changed)
    with pytest.raises(BadValue, match="next"):
        read_position(bytes(32), text)
