"""Pulling TAXII collections from servers that behave, each in its own way."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from clocks import START, FixedClock
from hostile_server import COLLECTION, TAXII, HostileServer, Talk, envelope, indicators, opener
from threatshare.errors import PartnerError
from threatshare.feeds.egress import GuardedAdapter
from threatshare.feeds.session import PartnerSession
from threatshare.feeds.taxii import TaxiiFeed
from threatshare.feeds.taxii_position import MARGIN
from threatshare.model import micros
from threatshare.ports import Page
from threatshare.stix.timestamps import write_timestamp

OBJECTS = COLLECTION + "objects/"
LAST = "X-TAXII-Date-Added-Last"
IDENTITY = COLLECTION.split("/")[-2]
NOW = micros(START)
FALLBACK = write_timestamp(NOW - MARGIN, 6)


def _feed(server: HostileServer, path: str = COLLECTION, collection: str | None = None, **choices: Any) -> TaxiiFeed:
    return TaxiiFeed(
        "isac",
        server.url(path),
        collection,
        opener(server, path=path, **choices),
        page_size=3,
        max_pages=100,
        clock=FixedClock(),
    )


class Listing:
    """A server's collection: pages in order, each with its date; ``next`` is the number of a page."""

    def __init__(self, pages: int, *, numbers: bool = False, dates: bool = True) -> None:
        self.pages = pages
        self.numbers = numbers
        self.dates = dates
        self.forgotten = 0
        """How many times it will not know the ``next`` that it gave."""
        self.fails_at: int | None = None

    def __call__(self, talk: Talk) -> None:
        following = talk.asked.query.get("next")
        page = 1 if following is None else int(following)
        if self.fails_at == page:
            talk.answer(b"", 500)
            return
        if self.forgotten and following is not None:
            self.forgotten -= 1
            talk.answer(b"", 400)
            return
        more = {"more": True, "next": page + 1 if self.numbers else f"{page + 1}"} if page < self.pages else {}
        headers = {LAST: date(page)} if self.dates else {}
        talk.answer(envelope(page * 3, 3, **more), headers=headers)


def date(page: int) -> str:
    """Gives the date of a page as the server writes it."""
    return f"2026-02-{page:02d}T00:00:00.123456Z"


def _added_after(cursor: str) -> str | None:
    found: str | None = json.loads(cursor).get("added_after")
    return found


@pytest.mark.parametrize("numbers", [True, False])
def test_whole_listing(numbers: bool) -> None:
    """All pages come in order, exactly as sent, whether the server's next is text or a number (AIS sends numbers)."""
    with HostileServer(Listing(4, numbers=numbers)) as server:
        pages = list(_feed(server).pages(None, NOW))
    assert [one for page in pages for one in page.objects] == [json.dumps(one).encode() for one in indicators(3, 12)]
    assert [asked.query for asked in server.asked] == [
        {"limit": "3"},
        {"limit": "3", "next": "2"},
        {"limit": "3", "next": "3"},
        {"limit": "3", "next": "4"},
    ]
    assert _added_after(pages[-1].cursor) == date(4)
    assert "next" not in json.loads(pages[-1].cursor)
    assert all(asked.headers["accept"] == TAXII for asked in server.asked)


def test_following_run_asks_for_what_is_new() -> None:
    """The next run sends the server's own date, digit for digit, with every page, and next beside it."""
    with HostileServer(Listing(2)) as server:
        first = list(_feed(server).pages(None, NOW))
        server.asked.clear()
        list(_feed(server).pages(first[-1].cursor, NOW))
    assert [asked.query for asked in server.asked] == [
        {"limit": "3", "added_after": date(2)},
        {"limit": "3", "added_after": date(2), "next": "2"},
    ]


def test_nothing_new() -> None:
    """A poll that brings nothing yields nothing, so nothing is saved."""
    with HostileServer(Listing(1)) as server:
        (first,) = _feed(server).pages(None, NOW)
        server.behave = lambda talk: talk.answer(b'{"more":false}')
        assert list(_feed(server).pages(first.cursor, NOW)) == []
        server.behave = lambda talk: talk.answer(b"{}")
        assert list(_feed(server).pages(first.cursor, NOW)) == []
        assert server.asked[-1].query["added_after"] == date(1)


def test_interrupted_run_goes_on() -> None:
    """After a fault the next run goes on behind the last page that was given, and ends at the listing's last date."""
    listing = Listing(5)
    listing.fails_at = 4
    with HostileServer(listing) as server:
        pages: list[Page] = []
        with pytest.raises(PartnerError, match="HTTP 500"):
            pages.extend(_feed(server).pages(None, NOW))
        assert len(pages) == 3
        listing.fails_at = None
        server.asked.clear()
        rest = list(_feed(server).pages(pages[-1].cursor, NOW + 10**9))
    assert [asked.query.get("next") for asked in server.asked] == ["4", "5"]
    assert _added_after(rest[-1].cursor) == date(5)


@pytest.mark.parametrize("dates", [True, False])
def test_rest_that_is_empty(dates: bool) -> None:
    """A listing whose rest has become empty still ends at the last date that was seen, or when it began."""
    with HostileServer(Listing(3, dates=dates)) as server:
        first = next(iter(_feed(server).pages(None, NOW)))
        server.behave = lambda talk: talk.answer(b'{"more":false}')
        (rest,) = _feed(server).pages(first.cursor, NOW + 10**12)
    assert rest.objects == []
    assert _added_after(rest.cursor) == (date(1) if dates else FALLBACK)


def test_forgotten_next() -> None:
    """A next that the server no longer knows starts the listing again at its added_after, in the same run."""
    listing = Listing(3)
    with HostileServer(listing) as server:
        old = list(_feed(server).pages(None, NOW))
        first = next(iter(_feed(server).pages(old[-1].cursor, NOW)))
        listing.forgotten = 1
        server.asked.clear()
        pages = list(_feed(server).pages(first.cursor, NOW))
    assert [asked.query.get("next") for asked in server.asked] == ["2", None, "2", "3"]
    assert {asked.query["added_after"] for asked in server.asked} == {date(3)}
    assert len(pages) == 3


def test_forgotten_next_of_this_run() -> None:
    """A next that the server does not know right after it gave it is a fault."""
    listing = Listing(3)
    listing.forgotten = 1
    with HostileServer(listing) as server, pytest.raises(PartnerError, match=r"page 2.*HTTP 400"):
        list(_feed(server).pages(None, NOW))


@pytest.mark.parametrize(
    "header", [None, "undefined", "", "2026-02-30T00:00:00Z", "Sun Feb 01 2026", "9999-01-01T00:00:00Z"]
)
def test_unusable_date(header: str | None) -> None:
    """Without a usable date from the server the cursor is when the run began less a margin: never now, never beyond."""
    headers = {} if header is None else {LAST: header}
    with HostileServer(lambda talk: talk.answer(envelope(0, 1), headers=headers)) as server:
        (page,) = _feed(server).pages(None, NOW)
    assert _added_after(page.cursor) == FALLBACK


def test_servers_clock_a_little_ahead() -> None:
    """A date of the server's that is a few minutes ahead of our clock is the server's clock, and believed."""
    ahead = write_timestamp(micros(START + timedelta(minutes=4)), 6)
    with HostileServer(lambda talk: talk.answer(envelope(0, 1), headers={LAST: ahead})) as server:
        (page,) = _feed(server).pages(None, NOW)
    assert _added_after(page.cursor) == ahead


def test_date_that_goes_back() -> None:
    """A date before the one that was asked for does not move the cursor back."""
    with HostileServer(Listing(1)) as server:
        (first,) = _feed(server).pages(None, NOW)
        old = {LAST: "2020-01-01T00:00:00Z"}
        server.behave = lambda talk: talk.answer(envelope(0, 1), headers=old)
        (page,) = _feed(server).pages(first.cursor, NOW)
    assert _added_after(page.cursor) == date(1)


def test_one_empty_page_is_let_pass() -> None:
    """A page that is empty only because the server filtered it after paging is passed over."""

    def behave(talk: Talk) -> None:
        if talk.number == 2:
            talk.answer(b'{"more":true,"next":"3"}')
        else:
            talk.answer(envelope(talk.number, 1, more=talk.number < 3, next=f"{talk.number + 1}"))

    with HostileServer(behave) as server:
        pages = list(_feed(server).pages(None, NOW))
    assert [len(page.objects) for page in pages] == [1, 0, 1]


def test_next_without_more_is_the_end() -> None:
    """A next that comes without more is not followed."""
    with HostileServer(lambda talk: talk.answer(envelope(0, 1, more=False, next="x"))) as server:
        assert len(list(_feed(server).pages(None, NOW))) == 1


def test_cursor_of_another_collection() -> None:
    """A cursor is not used for another address or collection, nor is one that cannot be read."""
    with HostileServer(Listing(1)) as server:
        (page,) = _feed(server).pages(None, NOW)
        other = COLLECTION.replace("91a7b528", "00000000")
        for cursor in (page.cursor, "nonsense", "[]", "{}", '{"added_after":7}'):
            list(_feed(server, other).pages(cursor, NOW))
            assert "added_after" not in server.asked[-1].query


@pytest.mark.parametrize("fails_at", [None, 2])
def test_connection_is_closed(fails_at: int | None) -> None:
    """A run that ends early, by its reader or by a fault, leaves no connection behind."""
    sessions: list[PartnerSession] = []
    listing = Listing(5)
    listing.fails_at = fails_at
    with HostileServer(listing) as server:

        def open_session() -> PartnerSession:
            sessions.append(opener(server)())
            return sessions[-1]

        feed = TaxiiFeed("isac", server.url(), None, open_session, page_size=3, max_pages=9, clock=FixedClock())
        pages = feed.pages(None, NOW)
        next(pages)
        adapter = sessions[0].http.get_adapter("http://")
        assert isinstance(adapter, GuardedAdapter)
        assert len(adapter.poolmanager.pools) == 1
        if fails_at is None:
            pages.close()  # type: ignore[attr-defined]  # a generator, as every client's pages
        else:
            with pytest.raises(PartnerError):
                list(pages)
        assert len(adapter.poolmanager.pools) == 0


def _collection(number: int, **rest: Any) -> dict[str, Any]:
    return {
        "id": IDENTITY.replace("91a7b528", f"0000000{number}"),
        "title": f"Collection {number}",
        "can_read": True,
        "can_write": False,
        **rest,
    }


class Site:
    """A whole TAXII server: discovery, roots, collections."""

    def __init__(self, discovery: dict[str, Any], roots: dict[str, list[dict[str, Any]]]) -> None:
        self.discovery = discovery
        self.roots = roots

    def __call__(self, talk: Talk) -> None:
        path = talk.asked.path
        if path == "/taxii2/":
            talk.answer(json.dumps(self.discovery).encode())
        elif path in self.roots:
            root = {"title": "Root", "versions": [TAXII], "max_content_length": 1}
            talk.answer(json.dumps(root).encode())
        elif path.endswith("/collections/") and path.removesuffix("collections/") in self.roots:
            found = self.roots[path.removesuffix("collections/")]
            talk.answer(json.dumps({"collections": found}).encode())
        elif path.endswith("/objects/"):
            talk.answer(envelope(0, 1))
        else:
            talk.answer(b"", 404)


ONE = {"/root/": [_collection(1)]}
MANY = {
    "/root/": [_collection(1), _collection(2, alias="daily"), _collection(3, can_read=False)],
    "/other/": [_collection(4)],
}


def _pulled(site: Site, path: str, collection: str | None = None) -> str:
    """Gives the path of the objects that were pulled."""
    with HostileServer(site) as server:
        (page,) = _feed(server, path, collection).pages(None, NOW)
    assert len(page.objects) == 1
    return server.asked[-1].path


@pytest.mark.parametrize("address", ["", "/", "/taxii2", "/taxii2/", "/root/", "/root", "/root/collections/"])
def test_addresses(address: str) -> None:
    """A host, a discovery address, an API root and its list of collections all lead to the only collection."""
    site = Site({"title": "T", "default": "/root/", "api_roots": ["/root/"]}, ONE)
    assert _pulled(site, address) == f"/root/collections/{_collection(1)['id']}/objects/"


@pytest.mark.parametrize("address", [COLLECTION, COLLECTION.rstrip("/"), OBJECTS, OBJECTS.rstrip("/")])
def test_collection_addresses(address: str) -> None:
    """A collection's own address needs no other request."""
    with HostileServer(lambda talk: talk.answer(envelope(0, 1))) as server:
        assert len(list(_feed(server, address).pages(None, NOW))) == 1
    assert [asked.path for asked in server.asked] == [OBJECTS]


@pytest.mark.parametrize(
    "discovery",
    [
        {"title": "T", "default": "/root", "api_roots": ["/root"]},
        {"title": "T", "default": "/root/", "api_roots": []},
        {"title": "T", "api_roots": ["../root/", "/gone/"]},
        {"title": "T", "default": None, "api_roots": ["/root/"]},
        {"display_name": "OpenCTI", "default": "/root/", "api_roots": ["/root/"]},
        {"default": "/root/"},
        {"title": "T", "default": "/root/", "api_roots": ["/root/"], "self": 1, "x_more": {}},
    ],
)
def test_odd_discoveries(discovery: dict[str, Any]) -> None:
    """Relative roots, a missing default, a missing title and unknown properties do not keep us from the collection."""
    assert _pulled(Site(discovery, ONE), "/taxii2/") == f"/root/collections/{_collection(1)['id']}/objects/"


@pytest.mark.parametrize(
    "odd",
    [
        {"can_read": None, "can_write": None},
        {"title": None, "display_name": "Collection 1"},
        {"media_types": None, "description": None, "x": [1]},
    ],
)
def test_odd_collections(odd: dict[str, Any]) -> None:
    """Null rights, a display_name for a title and null lists are taken as they are meant."""
    site = Site({"api_roots": ["/root/"]}, {"/root/": [_collection(1, **odd)]})
    assert _pulled(site, "/taxii2/", "Collection 1").endswith(f"{_collection(1)['id']}/objects/")


@pytest.mark.parametrize(
    ("wanted", "root", "number"),
    [
        (_collection(2)["id"], "/root/", 2),
        ("daily", "/root/", 2),
        ("Collection 1", "/root/", 1),
        ("Collection 4", "/other/", 4),
    ],
)
def test_collection_by_name(wanted: str, root: str, number: int) -> None:
    """A collection is found by id, alias or title, also in another API root than the default."""
    site = Site({"default": "/root/", "api_roots": ["/root/", "/gone/", "/other/"]}, MANY)
    assert _pulled(site, "/taxii2/", wanted) == f"{root}collections/{_collection(number)['id']}/objects/"


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (None, "several collections.*'Collection 1'"),
        ("nothing", "no collection 'nothing'.*'Collection 2' 00000002"),
        ("Collection 3", "does not let this account read"),
    ],
)
def test_collection_not_found(wanted: str | None, message: str) -> None:
    """Where the collection cannot be told, the message names those that there are."""
    site = Site({"default": "/root/", "api_roots": ["/root/", "/other/"]}, MANY)
    with HostileServer(site) as server, pytest.raises(PartnerError, match=message):
        list(_feed(server, "/taxii2/", wanted).pages(None, NOW))


def test_root_that_is_gone() -> None:
    """A default root that answers 404 is a fault."""
    with HostileServer(Site({"api_roots": ["/gone/"]}, ONE)) as server, pytest.raises(PartnerError, match="404"):
        list(_feed(server, "/taxii2/").pages(None, NOW))


def test_root_elsewhere_gets_no_credentials() -> None:
    """A discovery that points to another host does not get our credentials sent there."""
    with HostileServer(Site({}, {})) as other:
        site = Site({"default": other.url("/root/")}, ONE)
        with HostileServer(site) as server, pytest.raises(PartnerError, match="name that address in the feed's url"):
            list(_feed(server, "/taxii2/", user="me", password="secret").pages(None, NOW))
        assert other.asked == []
