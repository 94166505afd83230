from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clocks import FixedClock
from taxii_node import TaxiiNode, indicator, stix_id
from threatshare.model import Collection, CollectionKind
from threatshare.share.connections import Connections
from threatshare.share.pagecache import PageCache, ReadPage
from threatshare.store import accounts, pages
from threatshare.store.connection import Connection, open_reader, open_writer, transaction
from threatshare.store.entries import delete_entries
from threatshare.store.pages import EntryFilter, Page

OBJECTS = "/api/collections/one/objects/"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[TaxiiNode]:
    with TaxiiNode(tmp_path) as made:
        made.collection("one")
        made.account("soc", read=["one"])
        yield made


class CountingReader:
    """Reads pages and remembers after which entry each began."""

    def __init__(self) -> None:
        self.starts: list[int] = []

    def __call__(self, conn: Connection, collection: Collection, wanted: EntryFilter, limit: int) -> Page[bytes]:
        self.starts.append(wanted.after)
        return pages.page(conn, collection, wanted, limit)


@contextmanager
def cache_of(node: TaxiiNode, most_bytes: int = 1_000_000, read: ReadPage = pages.page) -> Iterator[PageCache]:
    opened = Connections(partial(open_reader, node.file), partial(open_writer, node.file))
    cache = PageCache(opened, bytes(32), most_bytes, read)
    yield cache
    cache.close()
    opened.close()


def delete(node: TaxiiNode, number: int) -> None:
    with transaction(node.writer):
        collection = node.collection("one")
        found = pages.matching(node.writer, collection, EntryFilter(ids=(stix_id(number),), versions=("all",)))
        delete_entries(node.writer, collection, [entry for entry, _ in found])


changes = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, 30), st.integers(1, 9)),
        st.tuples(st.just("delete"), st.integers(0, 30), st.just(0)),
        st.tuples(st.just("ask"), st.integers(0, 30), st.integers(1, 9)),
    ),
    max_size=25,
)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes)
def test_a_kept_page_is_never_stale(node: TaxiiNode, steps: list[tuple[str, int, int]]) -> None:
    """Whatever is added, superseded or deleted between requests, every answer equals one that nothing was kept for."""
    for kind, number, small in steps:
        if kind == "add":
            node.publish("one", indicator(number, f"2026-01-0{small}T00:00:00.000Z"))
        elif kind == "delete":
            delete(node, number)
        fresh = node.make_app()
        for query in ({}, {"limit": str(small)}, {"match[version]": "all", "limit": "5"}):
            assert node.get(OBJECTS, "soc", query) == node.request("GET", OBJECTS, "soc", query, None, fresh)
        fresh.close()


@pytest.mark.parametrize("spec_version", [{}, {"match[spec_version]": "2.1"}])
def test_a_kept_page_of_first_versions_ends_when_an_older_one_comes(
    node: TaxiiNode, spec_version: dict[str, str]
) -> None:
    """A version that is superseded as it comes may be its object's first, and the page that named another goes."""
    node.publish("one", *(indicator(number, "2026-01-05T00:00:00.000Z") for number in range(6)))
    query = {"match[version]": "first", "limit": "3", **spec_version}
    assert len(node.get(OBJECTS, "soc", query).objects) == 3
    node.publish("one", indicator(0, "2026-01-01T00:00:00.000Z"))
    assert node.get(OBJECTS, "soc", query).objects == [
        indicator(number, "2026-01-05T00:00:00.000Z") for number in (1, 2, 3)
    ]


def test_what_is_kept_is_not_read_again(node: TaxiiNode) -> None:
    """A page is read once, whoever asks and whether by `next`, by date or from the start; a kept one never."""
    node.publish("one", *(indicator(number) for number in range(10)))
    reader = CountingReader()
    with cache_of(node, read=reader) as cache:
        collection = node.collection("one")
        dated = EntryFilter(added_after=node.now)
        built = cache.page(collection, dated, 3)
        assert cache.page(collection, EntryFilter(after=built.plain.spans[0][0] - 1), 3) is built
        assert cache.page(collection, dated, 3) is built
    assert len(reader.starts) == 1


def test_the_next_page_is_ready_for_who_follows(node: TaxiiNode) -> None:
    """Once a client follows `next`, the page after is built while it reads; a first page alone builds nothing ahead."""
    node.publish("one", *(indicator(number) for number in range(40)))
    reader = CountingReader()
    with cache_of(node, read=reader) as cache:
        for after in (0, 5, 10):
            cache.page(node.collection("one"), EntryFilter(after=after), 5)
        until = time.monotonic() + 60
        while 15 not in reader.starts:
            assert time.monotonic() < until, "nothing was built ahead"
            time.sleep(0.01)
    single = CountingReader()
    with cache_of(node, read=single) as cache:
        cache.page(node.collection("one"), EntryFilter(), 5)
    assert single.starts == [0]


def test_pages_kept_are_bounded(node: TaxiiNode) -> None:
    """Of more pages than may be kept those asked for longest ago go, and one that is too large is not kept."""
    node.publish("one", *(indicator(number) for number in range(100)))
    reader = CountingReader()

    def is_kept(limit: int) -> bool:
        before = len(reader.starts)
        cache.page(one, EntryFilter(), limit)
        return len(reader.starts) == before

    with cache_of(node, most_bytes=20_000, read=reader) as cache:
        # Other limits from one start: no page follows another, so none is built ahead.
        one, limits = node.collection("one"), range(1, 14)
        sizes = [len(cache.page(one, EntryFilter(), limit).plain.body) for limit in limits]
        kept = [is_kept(limit) for limit in reversed(limits)]
        assert kept == sorted(kept, reverse=True)
        assert not all(kept)
        assert 0 < sum(size for size, held in zip(reversed(sizes), kept, strict=True) if held) <= 20_000
        assert [is_kept(90), is_kept(90)] == [False, False]


def test_a_ready_page_goes_only_to_who_may_read_it(node: TaxiiNode) -> None:
    """Once a page is ready, other accounts that may read it get it, and the rest are refused as before."""
    node.publish("one", *(indicator(number) for number in range(10)))
    node.account("isac", read=["one"])
    node.account("none")
    first = node.get(OBJECTS, "soc", {"limit": "4"})
    for account in ("soc", "isac", "soc"):
        assert node.get(OBJECTS, account, {"limit": "4"}) == first
    assert node.get(OBJECTS, "none", {"limit": "4"}).status == 404
    assert node.get(OBJECTS, None, {"limit": "4"}).status == 401
    assert node.get(OBJECTS, "soc", {"limit": "4"}, Accept="application/taxii+json;version=2.0").status == 406
    head = node.request("HEAD", OBJECTS, "soc", {"limit": "4"})
    assert (head.status, head.body, head.headers) == (200, b"", first.headers)


def test_a_key_that_expires_is_refused_although_pages_are_kept(tmp_path: Path) -> None:
    """A kept answer does not outlast the key it was given for, nor a right that is taken away."""
    clock = FixedClock()
    with TaxiiNode(tmp_path, clock=clock) as node:
        node.collection("one", CollectionKind.INTERNAL)
        node.account("soc", read=["one"])
        node.publish("one", indicator(1))
        with transaction(node.writer):
            accounts.rotate_account_key(node.writer, "soc", node.now, overlap=5_000_000)
        assert [node.get(OBJECTS, "soc").status for _ in range(3)] == [200] * 3
        clock.advance(seconds=6)
        assert node.get(OBJECTS, "soc").status == 401


def test_an_object_by_id_is_what_the_application_would_say(node: TaxiiNode) -> None:
    """By id comes every version asked for, without medallion or with it; what is not there is 404 as ever."""
    node.publish("one", *(indicator(1, f"2026-01-0{day}T00:00:00.000Z") for day in (1, 2, 3)), indicator(2))
    path = f"{OBJECTS}{stix_id(1)}/"
    for versions, limit in (("last", 5), ("all", 5), ("first", 5), ("all", 2)):
        fast = node.get(path, "soc", {"match[version]": versions, "limit": f"{limit}"})
        # A spelling that only the application reads.
        slow = node.get(path, "soc", {"match[version]": versions, "limit": f"0{limit}"})
        assert (fast.status, fast.body, fast.headers) == (slow.status, slow.body, slow.headers)
        assert all(one["id"] == stix_id(1) for one in fast.objects)
    assert len(node.get(path, "soc", {"match[version]": "all"}).objects) == 3
    assert node.get(path, "soc", {"match[type]": "malware"}).objects == node.get(path, "soc").objects
    assert node.get(f"{OBJECTS}{stix_id(3)}/", "soc").status == 404
    assert node.get(path, None).status == 401
    delete(node, 1)
    assert node.get(path, "soc").status == 404
