"""What an export takes of the store: the kinds asked for, and the best where there is no room for all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from export_rows import SAMPLER, a_row, rows
from threatshare.exports.rows import ExportRow, select
from threatshare.model import Kind


def test_only_the_kinds_asked_for() -> None:
    """A list for a resolver holds names, whatever else was found."""
    assert [row.observable.value for row in select(SAMPLER, kinds={Kind.DOMAIN})] == ["login.example.net"]
    assert list(select(SAMPLER, kinds=())) == []


@given(st.lists(rows, max_size=12), st.integers(0, 12))
def test_the_cap_keeps_the_best(offered: list[ExportRow], cap: int) -> None:
    """A capped export holds the highest scores, best first, and drops none that is better than what it holds."""
    kept = list(select(offered, cap=cap))
    dropped = list(offered)
    for row in kept:
        dropped.remove(row)
    scores = [row.score for row in kept]
    assert len(kept) == min(cap, len(offered))
    assert scores == sorted(scores, reverse=True)
    assert all(row.score <= scores[-1] for row in dropped if scores)


@given(st.lists(rows, max_size=8, unique_by=lambda row: row.observable), st.integers(0, 8), st.integers())
def test_the_order_of_the_store_does_not_matter(offered: list[ExportRow], cap: int, seed: int) -> None:
    """The same observables in any order give the same capped export."""
    shuffled = list(offered)
    Random(seed).shuffle(shuffled)
    assert list(select(shuffled, cap=cap)) == list(select(offered, cap=cap))


def test_the_latest_observation_breaks_a_tie() -> None:
    """Of two values of one score the one seen last stays."""
    old = a_row(value="192.0.2.1")
    new = replace(a_row(value="192.0.2.2"), last_observed=old.last_observed + timedelta(microseconds=1))
    assert list(select([old, new], cap=1)) == [new]


def test_without_a_cap_rows_stream() -> None:
    """Nothing is gathered where no cap is set: a row is out before the next is asked for."""
    asked: list[ExportRow] = []

    def endless() -> Iterator[ExportRow]:
        while True:
            asked.append(a_row())
            yield asked[-1]

    assert next(select(endless())) is asked[0]
    assert len(asked) == 1
