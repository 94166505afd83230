"""Pulling from a server of TAXII 2.0: bundles by ranges, as the specification has it, and as servers get it wrong."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from clocks import START, FixedClock
from hostile_server import COLLECTION, HostileServer, Talk, envelope, indicators, opener
from threatshare.errors import ConfigurationError, PartnerError
from threatshare.feed_settings import FeedSettings
from threatshare.feeds.clients import client_for
from threatshare.feeds.session import BadStatus
from threatshare.feeds.taxii import DATE_ADDED_LAST, TaxiiFeed
from threatshare.feeds.taxii20 import Taxii20Feed
from threatshare.feeds.taxii_position import MARGIN
from threatshare.model import micros
from threatshare.ports import Page
from threatshare.stix.timestamps import write_timestamp

STIX_20 = "application/vnd.oasis.stix+json; version=2.0"
TAXII_20 = "application/vnd.oasis.taxii+json; version=2.0"
OBJECTS = COLLECTION + "objects/"
IDENTITY = COLLECTION.split("/")[-2]
NOW = micros(START)
RANGE = re.compile(r"items=(\d+)-(\d+)").fullmatch
COLLECTION_20 = {"id": IDENTITY, "title": "Indicators", "can_read": True, "can_write": False, "media_types": [STIX_20]}
RESOURCES = {
    "/taxii/": {"title": "Old server", "default": "/root/", "api_roots": ["/root/"]},
    "/root/": {"title": "Root", "versions": ["taxii-2.0"], "max_content_length": 9_765_625},
    "/root/collections/": {"collections": [COLLECTION_20]},
    COLLECTION: COLLECTION_20,
}


def date(number: int) -> str:
    """Gives the moment at which an object was added, as the server writes it."""
    return f"2026-02-01T00:00:{number:02d}.123456Z"


class Server20:
    """A TAXII 2.0 server with one collection, as CS01 §3.4, §4 and §5 have it, of ``largest`` objects a page at most.

    It answers 206 to ranges, 416 behind the end, and 406 to media types other than those of 2.0.
    """

    def __init__(self, count: int, *, largest: int = 100) -> None:
        self.objects = [(date(number), one) for number, one in enumerate(stix_20(count))]
        self.largest = largest
        self.total = True
        """Whether it tells how many there are."""
        self.dates = True
        self.empty_is_404 = False
        self.range_form = RANGE

    def __call__(self, talk: Talk) -> None:
        """Answers one request."""
        path, page = talk.asked.path, talk.asked.path == OBJECTS
        if (STIX_20 if page else TAXII_20) not in talk.asked.headers["accept"].split(", "):
            talk.answer(b"{}", 406, TAXII_20)
        elif path in RESOURCES:
            talk.answer(json.dumps(RESOURCES[path]).encode(), content_type=TAXII_20)
        elif page:
            self.give(talk)
        else:
            talk.answer(b"", 404, TAXII_20)

    def give(self, talk: Talk) -> None:
        """Answers a request for objects."""
        after = talk.asked.query.get("added_after", "")
        listing = [one for one in self.objects if one[0] > after]
        asked = self.range_form(talk.asked.headers.get("range", ""))
        if not listing and self.empty_is_404:
            talk.answer(b"{}", 404, TAXII_20)
        elif asked is None:
            talk.answer(b"{}", 400, TAXII_20)
        elif int(asked[1]) >= len(listing) > 0:
            talk.answer(b"{}", 416, TAXII_20, {"Content-Range": f"items */{len(listing)}"})
        else:
            first, last = int(asked[1]), min(int(asked[2]), int(asked[1]) + self.largest - 1)
            given = listing[first : last + 1]
            total = len(listing) if self.total else "*"
            # As medallion 1.1.0 says it, of a range without objects too.
            headers = {"Content-Range": f"items {first}-{first + max(0, len(given) - 1)}/{total}"}
            if given and self.dates:
                headers[DATE_ADDED_LAST] = given[-1][0]
            talk.answer(bundle([one for _, one in given]), 206, STIX_20, headers)


def stix_20(count: int) -> list[dict[str, Any]]:
    """Gives numbered indicators of STIX 2.0, which has no spec_version."""
    plain = indicators(0, count)
    for one in plain:
        del one["spec_version"], one["pattern_type"]
        one["labels"] = ["malicious-activity"]
    return plain


def bundle(objects: list[dict[str, Any]]) -> bytes:
    """Gives a bundle of STIX 2.0."""
    number = "00000000-0000-4000-8000-000000000000"
    return json.dumps({"type": "bundle", "id": f"bundle--{number}", "spec_version": "2.0", "objects": objects}).encode()


def _feed(server: HostileServer, path: str = COLLECTION, collection: str | None = None, **choices: Any) -> Taxii20Feed:
    ours: dict[str, Any] = {"page_size": 3, "max_pages": 100}
    ours |= {name: choices.pop(name) for name in ours if name in choices}
    opened = opener(server, path=path, **choices)
    return Taxii20Feed("old", server.url(path), collection, opened, clock=FixedClock(), **ours)


def _ids(pages: list[Page]) -> list[int]:
    return [int(json.loads(one)["id"][-12:]) for page in pages for one in page.objects]


def _ranges(server: HostileServer) -> list[str | None]:
    return [asked.headers.get("range") for asked in server.asked if asked.path == OBJECTS]


def _saved(page: Page) -> dict[str, Any]:
    saved: dict[str, Any] = json.loads(page.cursor)
    return saved


@pytest.mark.parametrize("path", ["", "/taxii/", "/root/", "/root/collections/", COLLECTION, OBJECTS])
def test_whole_listing(path: str) -> None:
    """Every address leads to the collection, whose objects come range by range, byte for byte, in the media types."""
    with HostileServer(Server20(7)) as server:
        pages = list(_feed(server, path, None if path else "Indicators").pages(None, NOW))
    assert [one for page in pages for one in page.objects] == [json.dumps(one).encode() for one in stix_20(7)]
    assert _ranges(server) == ["items=0-2", "items=3-5", "items=6-8"]
    assert [asked.headers["accept"] for asked in server.asked if asked.path == OBJECTS] == [STIX_20] * 3
    assert {asked.headers["accept"] for asked in server.asked if asked.path != OBJECTS} <= {TAXII_20}
    assert [_saved(page).get("next") for page in pages] == ["3/7", "6/7", None]
    assert _saved(pages[-1])["added_after"] == date(6)


def test_following_run_asks_for_what_is_new() -> None:
    """The next run sends the server's own date with every range; what was added since comes, and nothing else."""
    behave = Server20(4)
    with HostileServer(behave) as server:
        first = list(_feed(server).pages(None, NOW))
        assert list(_feed(server).pages(first[-1].cursor, NOW)) == []
        behave.objects = Server20(9).objects
        server.asked.clear()
        assert _ids(list(_feed(server).pages(first[-1].cursor, NOW))) == [4, 5, 6, 7, 8]
    assert [(asked.query, asked.headers["range"]) for asked in server.asked] == [
        ({"added_after": date(3)}, "items=0-2"),
        ({"added_after": date(3)}, "items=3-5"),
    ]


def test_cursor_is_not_what_objects_say() -> None:
    """A date within an object, however far ahead, moves no cursor; without the server's date our clock does."""
    behave = Server20(2)
    behave.dates = False
    for _, one in behave.objects:
        one["modified"] = "2031-01-01T00:00:00.000Z"
    with HostileServer(behave) as server:
        (page,) = _feed(server).pages(None, NOW)
    assert _saved(page)["added_after"] == write_timestamp(NOW - MARGIN, 6)


@pytest.mark.parametrize("total", [True, False])
def test_smaller_pages_than_asked_for(total: bool) -> None:
    """A server that gives less than was asked for is gone on with behind what it gave, total or none."""
    behave = Server20(7, largest=2)
    behave.total = total
    with HostileServer(behave) as server:
        assert _ids(list(_feed(server).pages(None, NOW))) == list(range(7))
    assert _ranges(server)[:4] == ["items=0-2", "items=2-4", "items=4-6", "items=6-8"]
    assert len(_ranges(server)) == (4 if total else 5)


@pytest.mark.parametrize("empty_is_404", [True, False])
def test_empty_collection(empty_is_404: bool) -> None:
    """A collection without objects is no fault, be it said with 206 and nothing, or 404 as medallion's elders do."""
    behave = Server20(0)
    behave.empty_is_404 = empty_is_404
    with HostileServer(behave) as server:
        assert list(_feed(server).pages(None, NOW)) == []


def test_collection_that_is_gone() -> None:
    """A 404 of a collection that cannot be seen either is a fault."""
    with HostileServer(lambda talk: talk.answer(b"", 404, TAXII_20)) as server, pytest.raises(BadStatus, match="404"):
        list(_feed(server).pages(None, NOW))


def test_range_as_the_specification_shows_it() -> None:
    """A server that knows only the form without `=` is asked in it, from the second request on."""
    behave = Server20(5)
    behave.range_form = re.compile(r"items (\d+)-(\d+)").fullmatch
    with HostileServer(behave) as server:
        assert _ids(list(_feed(server).pages(None, NOW))) == list(range(5))
    assert _ranges(server) == ["items=0-2", "items 0-2", "items 3-5"]


@pytest.mark.parametrize("content_type", ["application/vnd.oasis.stix+json", "application/stix+json;version=2.1"])
def test_range_not_known(content_type: str) -> None:
    """A server without ranges gives everything at once, which is the whole listing, also for a run that goes on."""
    everything = bundle(stix_20(8))
    with HostileServer(Server20(8)) as server:
        feed = _feed(server)
        first = next(iter(feed.pages(None, NOW)))
        server.behave = lambda talk: talk.answer(
            everything, content_type=content_type, headers={DATE_ADDED_LAST: date(7)}
        )
        (page,) = feed.pages(first.cursor, NOW)
    assert len(page.objects) == 8
    assert (_saved(page)["added_after"], _saved(page).get("next")) == (date(7), None)


def test_objects_removed_while_reading() -> None:
    """Where the listing has become shorter, it is read again from as many objects further back: none is missed."""
    behave = Server20(10)

    class Removing(Server20):
        def give(self, talk: Talk) -> None:
            if talk.asked.headers["range"].startswith("items=6-"):
                self.objects = [one for one in self.objects if one[0] not in (date(0), date(4))]
            super().give(talk)

    behave = Removing(10)
    with HostileServer(behave) as server:
        found = _ids(list(_feed(server).pages(None, NOW)))
    assert set(found) == set(range(10))
    assert _ranges(server) == ["items=0-2", "items=3-5", "items=6-8", "items=4-6", "items=7-9"]


@pytest.mark.parametrize("total", [True, False])
def test_listing_cut_between_runs(total: bool) -> None:
    """A run that goes on behind the end of what is left (416) reads the listing again from its added_after."""
    behave = Server20(9)
    behave.total = total
    with HostileServer(behave) as server:
        first = [page for page, _ in zip(_feed(server).pages(None, NOW), range(2), strict=False)]
        behave.objects = behave.objects[5:]
        server.asked.clear()
        pages = list(_feed(server).pages(first[-1].cursor, NOW))
    assert _ids(pages) == [5, 6, 7, 8]
    assert _ranges(server)[:2] == ["items=6-8", "items=0-2"]
    assert _saved(pages[-1])["added_after"] == date(8)


def test_interrupted_run_goes_on() -> None:
    """After a fault the next run goes on behind the last range that was given."""

    class Failing(Server20):
        fails = True

        def give(self, talk: Talk) -> None:
            if self.fails and talk.asked.headers["range"].startswith("items=6-"):
                talk.answer(b"", 500, TAXII_20)
            else:
                super().give(talk)

    behave = Failing(9)
    pages: list[Page] = []
    with HostileServer(behave) as server:
        with pytest.raises(PartnerError, match=r"page 3.*HTTP 500"):
            pages.extend(_feed(server).pages(None, NOW))
        behave.fails = False
        server.asked.clear()
        rest = list(_feed(server).pages(pages[-1].cursor, NOW))
    assert _ids(pages) + _ids(rest) == list(range(9))
    assert _ranges(server) == ["items=6-8"]


def _same_again(talk: Talk) -> None:
    talk.answer(bundle(stix_20(3)), 206, STIX_20)


def _other_range(talk: Talk) -> None:
    talk.answer(bundle(stix_20(3)), 206, STIX_20, {"Content-Range": "items 0-2/9"})


def _empty_ranges(talk: Talk) -> None:
    first = talk.asked.headers["range"].removeprefix("items=").partition("-")[0]
    talk.answer(bundle([]), 206, STIX_20, {"Content-Range": f"items {first}-{int(first) + 2}/99"})


def _endless(talk: Talk) -> None:
    first = int(talk.asked.headers["range"].removeprefix("items=").partition("-")[0])
    headers = {"Content-Range": f"items {first}-{first + 2}/{first + 10}"}
    talk.answer(bundle(indicators(first, 3)), 206, STIX_20, headers)


def _shrinking(talk: Talk) -> None:
    first = int(talk.asked.headers["range"].removeprefix("items=").partition("-")[0])
    headers = {"Content-Range": f"items {first}-{first + 2}/{10_000 - talk.number}"}
    talk.answer(bundle(indicators(talk.number * 3, 3)), 206, STIX_20, headers)


@pytest.mark.parametrize(
    ("behave", "message", "given"),
    [
        (_same_again, "the same objects again", 6),
        (_other_range, "asked for objects from number 3 on, it gave those from 0", 6),
        (_empty_ranges, "two ranges without objects", 0),
        (_endless, "more than 20 pages", 60),
        (_shrinking, "more than 20 pages", 60),
        (lambda talk: talk.answer(b"{}", 416, TAXII_20), None, 0),
        (lambda talk: talk.answer(b"{", 206, STIX_20), "envelope or STIX bundle", 0),
        (lambda talk: talk.answer(b"<html>", 200, "text/html"), "unexpected media type", 0),
    ],
)
def test_faults(behave: Any, message: str | None, given: int) -> None:
    """Ranges that are passed over, lead nowhere or never end are left with what came, and the listing stays open."""
    pages: list[Page] = []
    with HostileServer(behave) as server:
        feed = _feed(server, max_pages=20)
        if message is None:
            assert list(feed.pages(None, NOW)) == []
        else:
            with pytest.raises(PartnerError, match=message):
                pages.extend(feed.pages(None, NOW))
    assert len(_ids(pages)) == given
    assert all("added_after" not in _saved(page) for page in pages)
    assert len(server.asked) <= 20


@pytest.mark.parametrize("said", ["items 0-999999999/7", "items 5-2/9", "items x", "bytes 0-2/7", "items */7"])
def test_odd_content_ranges(said: str) -> None:
    """A Content-Range that says too much or nothing skips no object: what came is what counts."""
    objects = stix_20(7)

    def behave(talk: Talk) -> None:
        first = int(talk.asked.headers["range"].removeprefix("items=").partition("-")[0])
        if first >= 7:
            talk.answer(b"{}", 416, TAXII_20)
        else:
            shown = said if not first else f"items {first}-{first + 2}/7"
            talk.answer(bundle(objects[first : first + 3]), 206, STIX_20, {"Content-Range": shown})

    with HostileServer(behave) as server:
        pages = list(_feed(server).pages(None, NOW))
    assert sorted(set(_ids(pages))) == list(range(7))


@pytest.mark.parametrize("path", ["/root/", COLLECTION, ""])
def test_kind_taxii_names_what_it_met(path: str) -> None:
    """A feed of 2.1 that meets a server of 2.0 says so, names the kind that is needed, and pulls nothing unasked."""
    with HostileServer(Server20(3)) as server:
        opened = opener(server, path=path)
        feed = TaxiiFeed("old", server.url(path), None, opened, page_size=3, max_pages=9, clock=FixedClock())
        with pytest.raises(PartnerError, match=r'it speaks TAXII 2\.0, not 2\.1.*kind = "taxii20"'):
            list(feed.pages(None, NOW))
    assert len(server.asked) == 2


def test_server_that_answers_in_the_older_type() -> None:
    """A server that does not look at Accept and answers in the media type of 2.0 is told the same way."""
    with HostileServer(lambda talk: talk.answer(b"{}", content_type=STIX_20)) as server:
        feed = TaxiiFeed("old", server.url(), None, opener(server), page_size=3, max_pages=9, clock=FixedClock())
        with pytest.raises(PartnerError, match='kind = "taxii20"'):
            list(feed.pages(None, NOW))


def test_part_that_nobody_asked_for() -> None:
    """206 without a range in the request is no success: 2.1 knows no ranges, and a part would pass for the whole."""
    body = envelope(0, 2)
    with HostileServer(lambda talk: talk.answer(body, 206)) as server:
        feed = TaxiiFeed("new", server.url(), None, opener(server), page_size=3, max_pages=9, clock=FixedClock())
        with pytest.raises(BadStatus, match="HTTP 206"):
            list(feed.pages(None, NOW))


def test_kind_of_the_settings(tmp_path: Path) -> None:
    """`kind = "taxii20"` makes this client, with what every TAXII address is held to."""
    address = FeedSettings("taxii20", url="https://old.example/taxii/")
    assert type(client_for("old", address, tmp_path, clock=FixedClock())) is Taxii20Feed
    for wrong in (FeedSettings("taxii20", url="https://old.example/?key=1"), FeedSettings("taxii20", path="drop")):
        with pytest.raises(ConfigurationError, match=r"TAXII|taxii"):
            client_for("old", wrong, tmp_path, clock=FixedClock())


def test_cursors_of_the_two_versions() -> None:
    """What 2.1 saved for an address is of no use for 2.0, and the other way round: the places mean different things."""
    with HostileServer(Server20(7)) as server:
        first = next(iter(_feed(server).pages(None, NOW)))
        newer = TaxiiFeed("old", server.url(), None, opener(server), page_size=3, max_pages=9, clock=FixedClock())
        with pytest.raises(PartnerError):
            list(newer.pages(first.cursor, NOW))
        assert "next" not in server.asked[-2].query
