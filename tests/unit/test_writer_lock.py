"""A partner's costly patterns cost its own run, and nobody who waits to write meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import NOW, SECOND, US, make_indicator_json, make_store
from threatshare.admission.objects import take
from threatshare.errors import BadValue
from threatshare.model import Observable, Tally, Tlp
from threatshare.stix import patterns
from threatshare.stix.patterns import ReadAhead, read_ahead, read_pattern
from threatshare.store.connection import Connection
from threatshare.store.embedded import Store


def costly(number: int, end: str = "") -> str:
    """Writes a pattern that only the parser can tell from what is none: its paths hold a word of the grammar."""
    return "[" + " AND ".join(f"x-like:p{number} = {part}" for part in range(4)) + f"{end}]"


class Watched(Store):
    """A store that counts how often the parser is asked while its lock is held."""

    asked_within = 0

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Holds the store, and counts."""
        with super().writing() as conn:
            before = asked()
            yield conn
            self.asked_within += asked() - before


def asked() -> int:
    info = patterns._fault.cache_info()
    return info.hits + info.misses


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Watched]:
    made = make_store(tmp_path, shape=Watched)
    assert isinstance(made, Watched)
    yield made
    made.close()


def go(store: Store, raws: list[bytes], now: int) -> Tally:
    tally = Tally()
    take(store, store.source("feed-a", "feed", "B", Tlp.AMBER), raws, US, now, tally, lambda: None)
    return tally


def test_patterns_are_read_before_the_store_is_held(store: Watched) -> None:
    """Good and bad ones, new objects and versions before and behind the current one: the lock is held for none."""
    before = asked()
    first = [make_indicator_json(n, costly(n)) for n in range(3)] + [make_indicator_json(9, costly(9, " AND"))]
    assert (go(store, first, NOW).new, store.asked_within) == (3, 0)
    newer = [make_indicator_json(n, costly(n + 50), modified=NOW + SECOND) for n in range(3)]
    assert (go(store, newer, NOW + SECOND).changed, store.asked_within) == (3, 0)
    older = [make_indicator_json(n, costly(n + 80), modified=NOW - SECOND) for n in range(3)]
    assert (go(store, older, NOW + SECOND).unchanged, store.asked_within) == (3, 0)
    assert asked() > before
    named = {row[0] for row in store.conn.execute("SELECT value FROM observable JOIN claim ON observable = number")}
    assert named == {costly(n + 50) for n in range(3)}


def outcome(pattern: str) -> tuple[Observable, ...] | str:
    try:
        return read_pattern(pattern)
    except BadValue as problem:
        return str(problem)


@given(
    st.one_of(
        st.text("[]:='ab \\()ANDORINipv4-addr.value1", max_size=40),
        st.builds(costly, st.integers(0, 9), st.sampled_from(["", " AND", "'"])),
        st.sampled_from(["[ipv4-addr:value = '192.0.2.1']", "[ipv4-addr:value = 'x']", "[a:b = 1] OR [a:b = 2]"]),
    )
)
def test_what_was_read_ahead_is_what_is_read(pattern: str) -> None:
    """The same observables, or the same words on why there are none, again and again; the text stays the text."""
    ahead = read_ahead(pattern)
    assert ahead == pattern
    assert outcome(ahead) == outcome(ahead) == outcome(pattern)


@given(
    st.builds(costly, st.integers(0, 9))
    | st.sampled_from(["[a:b = 'x' AND a:c = 1]", "[url:value = 'http://a.example/']"])
)
def test_a_held_pattern_is_read_as_it_came(pattern: str) -> None:
    """Whether the grammar is asked or not, what was taken names the same."""
    assert read_pattern(pattern, held=True) == read_pattern(pattern)


def test_what_is_simple_is_not_read_ahead() -> None:
    """Nearly all patterns are one comparison, and are not kept twice."""
    assert not isinstance(read_ahead("[ipv4-addr:value = '192.0.2.1']"), ReadAhead)
