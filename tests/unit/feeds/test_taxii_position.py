from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from threatshare.feeds.taxii_position import MARGIN, Position, advance
from threatshare.model import Micros
from threatshare.stix.timestamps import read_timestamp, write_timestamp

TIMES: st.SearchStrategy[Micros] = st.integers(0, 2 * 10**15)
DATES = TIMES.map(lambda at: write_timestamp(at, 6))
BEGAN = "2026-03-01T12:00:00.000000Z"
START = Position(added_after="2026-02-01T00:00:00.123456Z", began=BEGAN, feed="f")


def test_between_pages() -> None:
    """While there is more, the cursor holds the server's next beside the unchanged added_after."""
    after = advance(START, "2026-02-02T00:00:00.5Z", "7", got_objects=True)
    assert (after.added_after, after.next) == (START.added_after, "7")


def test_after_the_last_page() -> None:
    """The cursor becomes what the server said of the last page that had objects, digit for digit."""
    one = advance(START, "2026-02-02T00:00:00.500000Z", "7", got_objects=True)
    two = advance(one, None, None, got_objects=False)
    assert two == Position(added_after="2026-02-02T00:00:00.500000Z", feed="f")


def test_server_without_dates() -> None:
    """Without the server's date the cursor is when the listing began, less a margin: never the present."""
    after = advance(START, None, None, got_objects=True)
    assert after.added_after == write_timestamp(read_timestamp(BEGAN) - MARGIN, 6)


def test_nothing_new() -> None:
    """An empty answer moves nothing."""
    assert advance(START, None, None, got_objects=False).added_after == START.added_after


@given(DATES | st.none(), st.lists(st.tuples(DATES | st.none(), st.booleans()), max_size=6), DATES)
def test_never_backwards_never_beyond(
    added_after: str | None, pages: list[tuple[str | None, bool]], began: str
) -> None:
    """After a listing the cursor is not before what it was, nor after all that the server and our clock have said."""
    at = Position(added_after=added_after, began=began, feed="f")
    for number, (last, got_objects) in enumerate(pages):
        at = advance(at, last if got_objects else None, str(number), got_objects=got_objects)
    done = advance(at, None, None, got_objects=False)
    said = [last for last, got_objects in pages if last and got_objects]
    reached = None if done.added_after is None else read_timestamp(done.added_after)
    if added_after is not None:
        assert reached is not None
        assert reached >= read_timestamp(added_after)
    if reached is not None:
        told = [read_timestamp(text) for text in (*said, *filter(None, [added_after]))]
        assert reached <= max([*told, read_timestamp(began) - MARGIN])
