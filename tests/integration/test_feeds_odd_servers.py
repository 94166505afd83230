"""Pulling from servers that read the standard in their own way, each as its source or its users say it behaves."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import urllib.request
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import medallion_process
from clocks import START, FixedClock
from hostile_node import Puller
from hostile_server import COLLECTION, TAXII, HostileServer, Talk, envelope, indicators, opener
from nodes import make_node
from threatshare.errors import PartnerError
from threatshare.feed_settings import FeedSettings
from threatshare.feeds.taxii import DATE_ADDED_LAST, TaxiiFeed
from threatshare.model import micros
from threatshare.node import opened
from threatshare.ports import Page
from threatshare.stix.received import reread
from threatshare.stix.timestamps import read_timestamp

NOW = micros(START)
MEDIA_TYPE = "application/stix+json;version=2.1"
IDENTITY = COLLECTION.split("/")[-2]
FRACTIONS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z").fullmatch
ROOT = {"title": "Root", "versions": [TAXII], "max_content_length": 1_000_000}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A node's directory."""
    folder = tmp_path_factory.mktemp("odd") / "node"
    make_node(folder)
    return folder


@pytest.fixture
def puller(made: Path, tmp_path: Path) -> Iterator[Puller]:
    """A fresh node at work."""
    shutil.copytree(made, tmp_path / "node")
    with opened(tmp_path / "node", FixedClock()) as node:
        yield Puller(node)


def _feed(server: HostileServer, path: str = COLLECTION, collection: str | None = None, **ours: Any) -> TaxiiFeed:
    choices: dict[str, Any] = {"page_size": 1_000, "max_pages": 50, **ours}
    return TaxiiFeed("odd", server.url(path), collection, opener(server, path=path), clock=FixedClock(), **choices)


def _numbers(pages: list[Page]) -> list[int]:
    return [int(json.loads(one)["id"][-12:]) for page in pages for one in page.objects]


def _date(number: int) -> str:
    return f"2026-02-01T00:00:{number:02d}.123Z"


def _stored(puller: Puller) -> Counter[str]:
    rows = puller.node.store.conn.execute("SELECT body FROM object JOIN version ON version.number = object.version")
    return Counter(reread(row[0]).type for row in rows)


class OpenCti:
    """OpenCTI as a source: a relative root, display_name, pages of 100, dates "undefined", observables as well."""

    collections = (
        {"id": IDENTITY, "display_name": "Feed", "can_read": True, "can_write": False, "media_types": [TAXII]},
        {"id": IDENTITY.replace("9", "0", 1), "display_name": "Inbox", "can_read": False, "can_write": True},
    )

    def __init__(self, count: int) -> None:
        scos: list[dict[str, Any]] = [
            {
                "type": "url",
                "id": f"url--00000000-0000-5000-8000-{number:012d}",
                "value": f"https://example.com/{number}",
            }
            for number in range(count // 2)
        ]
        self.objects = indicators(0, count - len(scos)) + scos

    def __call__(self, talk: Talk) -> None:
        """Answers one request."""
        if talk.asked.path == "/taxii2/":
            talk.answer(b'{"title":"OpenCTI","default":"/root","api_roots":["/root"]}')
        elif talk.asked.path == "/root/":
            talk.answer(json.dumps(ROOT | {"title": None, "display_name": "OpenCTI"}).encode())
        elif talk.asked.path == "/root/collections/":
            talk.answer(json.dumps({"collections": self.collections}).encode())
        elif talk.asked.path == COLLECTION + "objects/":
            first = int(talk.asked.query.get("next", 0))
            given = self.objects[first : first + min(100, int(talk.asked.query["limit"]))]
            more = first + 100 < len(self.objects)
            body = {"more": more, "next": f"{first + 100}" if more else None, "objects": given}
            headers = {"X-TAXII-Date-Added-First": "undefined", DATE_ADDED_LAST: "undefined"}
            talk.answer(json.dumps(body).encode(), headers=headers)
        else:
            talk.answer(b"<html>dashboard</html>", 404, "text/html")


def test_opencti(puller: Puller) -> None:
    """OpenCTI's collection is found by its display name, read to its end, and its observables are kept as objects."""
    with HostileServer(OpenCti(250)) as server:
        puller.add("cti", "taxii", server, "/taxii2/", collection="Feed", page_size=1_000)
        report = puller.pull("cti")
    assert (report.status, report.objects, report.rejected) == ("ok", 250, 0), report
    assert [asked.query.get("next") for asked in server.asked if asked.path.endswith("/objects/")] == [
        None,
        "100",
        "200",
    ]
    assert _stored(puller) == {"indicator": 125, "url": 125}
    assert puller.claims("cti") == 125
    saved = json.loads(puller.cursor("cti") or "")
    assert saved["added_after"] == "2026-03-01T11:55:00.000000Z", "our clock less a margin, never the word undefined"


def test_collection_that_may_only_be_written() -> None:
    """OpenCTI's writeable collections cannot be read: the message says that the right is what is missing."""
    with HostileServer(OpenCti(2)) as server, pytest.raises(PartnerError, match="does not let this account read"):
        list(_feed(server, "/taxii2/", "Inbox").pages(None, NOW))


class ByDate:
    """A server that names no ``next``: who wants more asks again by added_after (TAXII 2.1 §3.5)."""

    def __init__(self, count: int, size: int) -> None:
        self.objects = [(_date(number), one) for number, one in enumerate(indicators(0, count))]
        self.size = size

    def __call__(self, talk: Talk) -> None:
        """Answers one request, only if it is written as OpenTAXII wants it."""
        after = talk.asked.query.get("added_after")
        if talk.asked.headers["accept"] != TAXII or (after is not None and FRACTIONS(after) is None):
            talk.answer(b"{}", 406 if after is None else 400)
            return
        left = [one for one in self.objects if after is None or one[0] > after]
        given = left[: self.size]
        headers = {DATE_ADDED_LAST: given[-1][0]} if given else {}
        body = {"objects": [one for _, one in given], "more": len(left) > self.size}
        talk.answer(json.dumps(body).encode(), headers=headers)


def test_more_without_next() -> None:
    """Where there is more and no next, the listing goes on behind the page's date, in this run and after a fault."""
    behave = ByDate(7, 3)
    with HostileServer(behave) as server:
        pages = list(_feed(server).pages(None, NOW))
        assert _numbers(pages) == list(range(7))
        assert [asked.query.get("added_after") for asked in server.asked] == [None, _date(2), _date(5)]
        rest = list(_feed(server).pages(pages[0].cursor, NOW))
    assert _numbers(rest) == [3, 4, 5, 6]


@pytest.mark.parametrize(
    ("last", "given"),
    [(None, 1), ("undefined", 1), ("9999-01-01T00:00:00Z", 1), ("2026-02-01T00:00:00Z", 2)],
)
def test_more_that_leads_nowhere(last: str | None, given: int) -> None:
    """More without next and without a date that moves on is a fault, as OpenTAXII's manifest leads round for ever."""
    headers = {} if last is None else {DATE_ADDED_LAST: last}
    pages: list[Page] = []
    body = envelope(0, 2, more=True, next="")
    fault = pytest.raises(PartnerError, match="`more` without `next`")
    with HostileServer(lambda talk: talk.answer(body, headers=headers)) as server, fault:
        pages.extend(_feed(server).pages(None, NOW))
    assert (len(pages), len(server.asked)) == (given, given)


def test_dates_are_sent_with_a_fraction() -> None:
    """A date that a server gave in whole seconds is sent with a fraction, which some (`%f`) demand and all take."""
    with HostileServer(
        lambda talk: talk.answer(envelope(0, 1), headers={DATE_ADDED_LAST: "2026-02-01T00:00:00Z"})
    ) as server:
        (page,) = _feed(server).pages(None, NOW)
        list(_feed(server).pages(page.cursor, NOW))
    assert server.asked[-1].query["added_after"] == "2026-02-01T00:00:00.000000Z"


def test_limit_is_always_sent_and_may_be_passed_over() -> None:
    """OpenTAXII gives all to who names no limit: one is always named; a server that looks past it is taken whole."""
    with HostileServer(lambda talk: talk.answer(envelope(0, 5_000, more=False))) as server:
        pages = list(_feed(server, page_size=100).pages(None, NOW))
    assert len(_numbers(pages)) == 5_000
    assert [asked.query["limit"] for asked in server.asked] == ["100"]


class Xsoar:
    """XSOAR's server: next is an offset, a number; added_after is inclusive; Accept is compared letter by letter."""

    def __init__(self, count: int) -> None:
        self.objects = [(_date(number // 2), one) for number, one in enumerate(indicators(0, count))]

    def __call__(self, talk: Talk) -> None:
        """Answers one request."""
        if talk.asked.headers["accept"].replace(" ", "") != TAXII:
            talk.answer(b"{}", 406)
            return
        left = [one for one in self.objects if one[0] >= talk.asked.query.get("added_after", "")]
        first = int(talk.asked.query.get("next", 0))
        given = left[first : first + 4]
        more = first + 4 < len(left)
        body = {"objects": [one for _, one in given], "more": more, "next": first + 4}
        talk.answer(json.dumps(body).encode(), headers={DATE_ADDED_LAST: given[-1][0]} if given else {})


def test_xsoar(puller: Puller) -> None:
    """Boundary objects that come with every poll change nothing, and what is added beside them is taken."""
    behave = Xsoar(10)
    with HostileServer(behave) as server:
        puller.add("xsoar", "taxii", server)
        assert puller.pull("xsoar").new == 10
        cursor = puller.cursor("xsoar")
        for _ in range(3):
            report = puller.pull("xsoar")
            assert (report.status, report.new, report.changed, report.unchanged) == ("ok", 0, 0, 2)
            assert puller.cursor("xsoar") == cursor
        behave.objects = Xsoar(13).objects
        assert (puller.pull("xsoar").new, puller.claims("xsoar")) == (3, 13)


def _medallion(tmp_path: Path) -> Iterator[str]:
    objects = indicators(0, 35)
    manifest = [
        {"id": one["id"], "date_added": _date(number), "version": one["modified"], "media_type": MEDIA_TYPE}
        for number, one in enumerate(objects)
    ]
    listed = {"id": IDENTITY, "title": "Shared", "can_read": True, "can_write": False, "media_types": []}
    content = {
        "/discovery": {"title": "medallion", "default": "/root/", "api_roots": ["/root/"]},
        "root": {
            "information": ROOT,
            "status": [],
            "collections": [listed | {"objects": objects, "manifest": manifest}],
        },
    }
    file = tmp_path / "content.json"
    file.write_text(json.dumps(content))
    process = subprocess.Popen(
        [sys.executable, medallion_process.__file__, str(file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    process.communicate(timeout=30)


medallion = pytest.fixture(_medallion)


def _of_medallion(puller: Puller, address: str) -> TaxiiFeed:
    ours: dict[str, Any] = {"user": "us", "password_env": "MEDALLION_KEY", "page_size": 10}
    settings = FeedSettings("taxii", url=address + COLLECTION, allow_private_address=True, **ours)
    client = puller.node.client_of("ref", settings)
    assert isinstance(client, TaxiiFeed)
    return client


def test_medallion_counts_with_one_next(medallion: str, puller: Puller, monkeypatch: pytest.MonkeyPatch) -> None:
    """medallion's next is the same with every page: it is followed to the end, and a run cut off begins again."""
    monkeypatch.setenv("MEDALLION_KEY", "key")
    client = _of_medallion(puller, medallion)
    pages = list(client.pages(None, NOW))
    assert [len(page.objects) for page in pages] == [10, 10, 10, 5]
    assert _numbers(pages) == list(range(35))
    assert ["next" in json.loads(page.cursor) for page in pages] == [True, False, False, False]
    assert _numbers(list(client.pages(pages[1].cursor, NOW))) == list(range(35))
    assert list(client.pages(pages[-1].cursor, NOW)) == []


def test_medallion_forgets_its_next(medallion: str, puller: Puller, monkeypatch: pytest.MonkeyPatch) -> None:
    """medallion's next is used up at the end of its listing, or after half a minute: what follows is asked by date."""
    monkeypatch.setenv("MEDALLION_KEY", "key")
    client = _of_medallion(puller, medallion)
    first = next(iter(client.pages(None, NOW)))
    for _ in range(3):
        _ask(f"{medallion}{COLLECTION}objects/?limit=10&next={json.loads(first.cursor)['next']}")
    # The last object of the page before comes again: what its server cut off the date is not known.
    assert _numbers(list(client.pages(first.cursor, NOW))) == list(range(9, 35))


def _ask(url: str) -> None:
    login = b64encode(b"us:key").decode()
    asked = urllib.request.Request(url, headers={"Accept": TAXII, "Authorization": f"Basic {login}"})
    with urllib.request.urlopen(asked, timeout=10) as answer:
        assert answer.status == 200


@pytest.mark.parametrize("seconds", [40, 5])
def test_next_that_expires_while_reading(seconds: int) -> None:
    """A listing longer than its next lives goes on behind the newest date, and loses nothing of that very moment."""
    clock = FixedClock()
    # Pairs of objects were added at one moment, and pages of three part them.
    dated = [(_date(number // 2), one) for number, one in enumerate(indicators(0, 12))]
    forgotten: list[bool] = []

    def behave(talk: Talk) -> None:
        clock.advance(seconds=seconds)
        if talk.asked.query.get("next") == "3" and not forgotten:
            forgotten.append(True)
            talk.answer(b"{}", 400)
            return
        after = read_timestamp(talk.asked.query.get("added_after", "1970-01-01T00:00:00Z"))
        left = [one for one in dated if read_timestamp(one[0]) > after]
        first = int(talk.asked.query.get("next", 0))
        more = first + 3 < len(left)
        given = left[first : first + 3]
        body = {"objects": [one for _, one in given], "more": more, "next": f"{first + 3}" if more else None}
        talk.answer(json.dumps(body).encode(), headers={DATE_ADDED_LAST: given[-1][0]})

    with HostileServer(behave) as server:
        feed = TaxiiFeed("odd", server.url(), None, opener(server), page_size=3, max_pages=50, clock=clock)
        if seconds < 20:
            with pytest.raises(PartnerError, match=r"page 2.*HTTP 400"):
                list(feed.pages(None, NOW))
            return
        pages = list(feed.pages(None, NOW))
    assert _numbers(pages) == [0, 1, 2, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]
    assert json.loads(pages[-1].cursor)["added_after"] == _date(5)


ODD_ENVELOPES: dict[str, tuple[bytes, int]] = {
    "more as text": (envelope(0, 2).replace(b"{", b'{"more":"true","next":"1",', 1), 4),
    "more as a number": (envelope(0, 2).replace(b"{", b'{"more":1,"next":1,', 1), 4),
    "more as text, false": (envelope(0, 2).replace(b"{", b'{"more":"False",', 1), 2),
    "more and next are null": (envelope(0, 2).replace(b"{", b'{"more":null,"next":null,', 1), 2),
    "more is missing": (envelope(0, 2).replace(b"{", b'{"next":"1",', 1), 2),
    "objects null": (b'{"objects":null}', 0),
    "objects missing": (b'{"more":false}', 0),
    "an empty envelope": (b"{}", 0),
    "a bundle": (envelope(0, 2).replace(b"{", b'{"type":"bundle","id":"bundle--1",', 1), 2),
}


@pytest.mark.parametrize("name", ODD_ENVELOPES)
def test_odd_envelopes(name: str) -> None:
    """Envelopes that say `more` in text or numbers, or leave out what they have not, are taken as they are meant."""
    body, count = ODD_ENVELOPES[name]

    def behave(talk: Talk) -> None:
        talk.answer(body if "next" not in talk.asked.query else envelope(2, 2))

    with HostileServer(behave) as server:
        assert _numbers(list(_feed(server).pages(None, NOW))) == list(range(count))


def test_odd_ids(puller: Puller) -> None:
    """Ids of other UUID versions are taken; what is no UUID is kept aside with its reason, and the rest comes."""
    ids = [
        "00000000-0000-1000-8000-000000000000",
        "ce15b377-0e35-50c6-a978-29a3409df198",
        "0" * 8 + "-0000" * 3 + "-" + "0" * 12,
    ]
    odd = ["evil.example", "CE15B377-0E35-50C6-A978-29A3409DF198", "1", ""]
    given = indicators(0, len(ids + odd))
    for one, number in zip(given, ids + odd, strict=True):
        one["id"] = f"indicator--{number}"
    with HostileServer(lambda talk: talk.answer(json.dumps({"objects": given}).encode())) as server:
        puller.add("ids", "taxii", server)
        report = puller.pull("ids")
    assert (report.status, report.new, report.rejected) == ("ok", len(ids), len(odd))
    assert len(puller.reasons("ids")) == len(odd)
    assert all("is not of the form type--uuid" in reason for reason in puller.reasons("ids"))


@pytest.mark.parametrize(
    "listed",
    [
        {"id": IDENTITY, "title": None, "can_read": None, "can_write": None},
        {"id": IDENTITY, "title": "", "display_name": None, "alias": None},
        {"id": IDENTITY, "title": "Titled", "media_types": None, "can_read": True},
    ],
)
def test_odd_collections(listed: dict[str, Any]) -> None:
    """A collection whose title or rights are null is found by its id, and read: the server says no by itself."""

    def behave(talk: Talk) -> None:
        if talk.asked.path.endswith("/objects/"):
            talk.answer(envelope(0, 1))
        elif talk.asked.path.endswith("/collections/"):
            talk.answer(json.dumps({"collections": [listed]}).encode())
        else:
            talk.answer(json.dumps(ROOT | {"title": None}).encode())

    with HostileServer(behave) as server:
        assert _numbers(list(_feed(server, "/root/", IDENTITY).pages(None, NOW))) == [0]


@pytest.mark.parametrize("media_type", ["application/stix+json;version=2.1", "application/json; charset=utf-8"])
def test_objects_that_are_not_called_taxii(media_type: str) -> None:
    """A page that comes as STIX or as plain JSON is taken where it names its objects; else it may be anything."""
    said = [envelope(0, 2), b'{"more": false}', b'{"error": "invalid key"}']

    def behave(talk: Talk) -> None:
        if talk.asked.path.endswith("/objects/"):
            talk.answer(said[0], content_type=media_type)
        else:
            talk.answer(json.dumps({"id": IDENTITY, "title": "T", "can_read": True, "can_write": False}).encode())

    with HostileServer(behave) as server:
        assert _numbers(list(_feed(server).pages(None, NOW))) == [0, 1]
        said.pop(0)
        if "stix" in media_type:
            assert _numbers(list(_feed(server).pages(None, NOW))) == []
            said.pop(0)
        with pytest.raises(PartnerError, match=r"unexpected media type .* no objects; check"):
            list(_feed(server).pages(None, NOW))


class StaticTree:
    """A tree of page files: ``next`` is a file's name, and some files are not there."""

    def __init__(self, there: Callable[[int], bool]) -> None:
        self.there = there

    def __call__(self, talk: Talk) -> None:
        """Answers one request; every page has its date."""
        number = int(talk.asked.query.get("next", 0))
        if self.there(number):
            talk.answer(
                envelope(number * 2, 2, more=number < 5, next=f"{number + 1}"), headers={DATE_ADDED_LAST: _date(number)}
            )
        else:
            talk.answer(b"<html>not found</html>", 404, "text/html")


def test_static_tree_with_a_page_missing(puller: Puller) -> None:
    """Up to the page that is missing everything is taken, each run says so, and once it is there the rest follows."""
    tree = StaticTree(lambda number: number != 3)
    with HostileServer(tree) as server:
        puller.add("tree", "taxii", server)
        for run in range(3):
            report = puller.pull("tree")
            assert report.status == "failed"
            assert "HTTP 404" in str(report.error)
            assert (report.new, puller.claims("tree")) == (0 if run else 6, 6)
        tree.there = lambda number: True
        report = puller.pull("tree")
    assert (report.status, report.new, puller.claims("tree")) == ("ok", 6, 12)
