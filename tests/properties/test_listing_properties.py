"""Lists held against a dictionary: whatever lists come in whatever order, the store says what they now name."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from builders import DAY, NOW, dump, feed_source, ip, make_store
from threatshare.lookup import lookup
from threatshare.model import Micros
from threatshare.ports import Listed, Listing
from threatshare.pull import pull_list

NUMBERS = st.integers(1, 6)
ROWS = st.lists(
    st.builds(
        lambda number, age, confidence, text: Listed(
            ip(f"45.0.0.{number}"), None if age is None else NOW - age * DAY, confidence, text
        ),
        NUMBERS,
        st.none() | st.integers(0, 3),
        st.none() | st.just(70),
        st.none() | st.just("row"),
    ),
    max_size=8,
)
NIGHTLY = settings.default is not None and settings.default.max_examples >= 10_000
READINGS = st.lists(st.tuples(st.sampled_from(["one", "two"]), st.booleans(), ROWS), max_size=8)


class _Rows:
    def __init__(self, rows: list[Listed], complete: bool) -> None:
        self._rows = rows
        self._complete = complete

    def listing(self, cursor: str | None, now: Micros) -> Listing | None:
        return Listing(iter(self._rows), "", self._complete, len(self._rows))


def _latest(rows: list[Listed]) -> dict[str, Listed]:
    """Gives of each value the row that was seen last, the first of several."""
    found: dict[str, Listed] = {}
    for row in rows:
        known = found.get(row.observable.value)
        if known is None or (row.seen or 0) > (known.seen or 0):
            found[row.observable.value] = row
    return found


@settings(max_examples=1_000 if NIGHTLY else 25)
@given(READINGS)
def test_the_store_says_what_lists_now_name(readings: list[tuple[str, bool, list[Listed]]]) -> None:
    """After each reading a value is claimed by exactly the lists that name it; a second reading writes nothing."""
    with TemporaryDirectory() as folder:
        store = make_store(Path(folder))
        named: dict[str, set[str]] = {"one": set(), "two": set()}
        sources = {name: feed_source(store, name) for name in named}
        for name, complete, rows in readings:
            report = pull_list(store, sources[name], _Rows(rows, complete), lambda: NOW, lambda _: True, believe=True)
            assert report.status == "ok"
            now_named = set(_latest(rows))
            named[name] = now_named if complete else named[name] | now_named
            for answer in lookup(store.conn, [f"45.0.0.{number}" for number in range(1, 7)], NOW):
                wanted = {one for one in named if answer.value in named[one]}
                assert {one.source for one in answer.claims} == wanted
                assert {feed for feed, _ in answer.lists} == wanted
            before = dump(store.conn, "feed_state")
            again = pull_list(store, sources[name], _Rows(rows, complete), lambda: NOW, lambda _: True, believe=True)
            assert (again.new, again.changed, again.withdrawn) == (0, 0, 0)
            assert dump(store.conn, "feed_state") == before
        store.close()


@settings(max_examples=1_000 if NIGHTLY else 25)
@given(ROWS)
def test_the_order_of_timed_rows_does_not_matter(rows: list[Listed]) -> None:
    """Rows with times of their own say the same in any order: the latest about a value counts."""
    timed = [row for row in rows if row.seen is not None]
    backwards = timed[::-1]
    seen = []
    for one in (timed, backwards):
        with TemporaryDirectory() as folder:
            store = make_store(Path(folder))
            pull_list(store, feed_source(store), _Rows(one, True), lambda: NOW, lambda _: True)
            found = lookup(store.conn, sorted(_latest(timed)), NOW)
            seen.append([(answer.value, answer.claims[0].observed) for answer in found])
            store.close()
    assert seen[0] == seen[1]
