"""Lists of any size, complete or not: what vanishes as a whole, or comes in multitudes, is not believed unasked."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from builders import NOW, feed_source
from threatshare.admission.bounds import DOUBT, FEW
from threatshare.model import FeedReport, Kind, Micros, Observable, Reject
from threatshare.ports import Listed, Listing
from threatshare.pull import pull_list
from threatshare.store.embedded import Store
from threatshare.store.listings import count_listed


class _Named:
    """A list that names so many values, and has rows that cannot be read."""

    def __init__(self, values: int, unreadable: int = 0, complete: bool = True) -> None:
        self._values = values
        self._unreadable = unreadable
        self._complete = complete

    def listing(self, cursor: str | None, now: Micros) -> Listing | None:
        return Listing(self._rows(), "read", self._complete, self._values + self._unreadable)

    def _rows(self) -> Iterator[Listed | Reject]:
        for number in range(self._values):
            yield Listed(Observable(Kind.DOMAIN, f"host-{number}.zone.test"), None, None, None)
        for number in range(self._unreadable):
            yield Reject(f"line {number}", "no value")


def _pull(store: Store, client: _Named, believe: bool = False) -> FeedReport:
    return pull_list(store, feed_source(store), client, lambda: NOW, lambda _: True, believe)


@pytest.mark.parametrize("before", [1, 20, FEW - 1])
@pytest.mark.parametrize("after", [_Named(0), _Named(0, unreadable=1), _Named(0, unreadable=60)])
def test_a_short_list_that_shrinks_to_nothing(store: Store, before: int, after: _Named) -> None:
    """An empty file or a message of the server's in place of a short list withdraws nothing, until it is believed."""
    _pull(store, _Named(before))
    report = _pull(store, after)
    assert (report.status, report.doubt, report.withdrawn) == ("failed", "size", 0)
    assert count_listed(store.conn, feed_source(store)) == before
    assert _pull(store, after, believe=True).withdrawn == before
    assert _pull(store, after).status == "ok"


@pytest.mark.parametrize("complete", [True, False])
def test_a_first_run_that_reads_nothing_is_no_success(store: Store, complete: bool) -> None:
    """A list of which no row can be read at all is told as such until one can be; an empty one is a list."""
    for _ in range(2):
        report = _pull(store, _Named(0, unreadable=3, complete=complete))
        assert (report.status, report.doubt, report.rejected) == ("failed", None, 3)
        assert "no row could be read (3 refused)" in str(report.error)
    assert _pull(store, _Named(1, unreadable=3, complete=complete)).status == "ok"


def test_an_empty_list_is_a_list(store: Store) -> None:
    """What holds no row at all is nothing that could not be read."""
    assert _pull(store, _Named(0)).status == "ok"


def test_a_short_list_changes_as_it_likes(store: Store) -> None:
    """What is left of a short list, be it one value, is believed."""
    _pull(store, _Named(FEW - 1))
    assert _pull(store, _Named(1)).withdrawn == FEW - 2
    assert _pull(store, _Named(FEW * DOUBT)).status == "ok"


@pytest.mark.parametrize("complete", [True, False])
@pytest.mark.parametrize("before", [1, FEW + 50])
def test_a_list_that_grows_beyond_belief(store: Store, before: int, complete: bool) -> None:
    """A list of whatever length that grows tenfold, and to more than a thousand, is not taken until it is believed."""
    _pull(store, _Named(before, complete=complete))
    grown = _Named(max(before, FEW) * DOUBT + 1, complete=complete)
    report = _pull(store, grown)
    assert (report.status, report.doubt, report.objects) == ("failed", "size", 0)
    assert _pull(store, grown, believe=True).status == "ok"


def test_what_an_incomplete_list_leaves_out_is_no_news(store: Store) -> None:
    """A list of the last days may name nothing today: it stands for what it named before all the same."""
    _pull(store, _Named(500, complete=False))
    assert _pull(store, _Named(0, complete=False)).status == "ok"
    assert count_listed(store.conn, feed_source(store)) == 500
