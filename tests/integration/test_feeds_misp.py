"""MISP feeds from disk and over HTTP: what has changed is fetched, and one bad event costs only itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from hostile_server import HostileServer, Talk, opener
from threatshare.errors import PartnerError
from threatshare.feeds.misp import DiskEvents, MispFeed, WebEvents
from threatshare.ports import Page

JSON = "application/json"


def uuid(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


def event(number: int, at: int = 1_780_000_000) -> bytes:
    """Builds an event of one attribute."""
    attribute = {"uuid": uuid(100 + number), "type": "ip-dst", "value": f"192.0.2.{number}", "to_ids": True}
    told = {"uuid": uuid(number), "info": "x", "timestamp": at, "Attribute": [attribute | {"timestamp": at}]}
    return json.dumps({"Event": told}).encode()


def manifest(stamps: Mapping[int, int]) -> bytes:
    return json.dumps({uuid(number): {"timestamp": str(at), "info": "x"} for number, at in stamps.items()}).encode()


def taken(pages: list[Page]) -> list[str]:
    """Gives the values of the indicators on pages, in order."""
    read = [json.loads(one) for page in pages for one in page.objects]
    return [one["x_misp_attribute"]["value"] for one in read if one["type"] == "indicator"]


class Published:
    """A MISP feed on a server."""

    def __init__(self, stamps: dict[int, int]) -> None:
        self.stamps = stamps
        self.broken: set[int] = set()

    def __call__(self, talk: Talk) -> None:
        name = talk.asked.path.rpartition("/")[2]
        if name == "manifest.json":
            talk.answer(manifest(self.stamps), content_type=JSON)
        else:
            number = int(name[-17:-5])
            body = b"{" if number in self.broken else event(number, self.stamps[number])
            talk.answer(body, content_type=JSON)


def web(server: HostileServer, path: str = "/feed/") -> MispFeed:
    url = server.url(path)
    return MispFeed("drop", url, WebEvents("drop", url, opener(server, path=path)))


def test_only_what_has_changed_is_fetched() -> None:
    """The first run fetches every event, oldest change first; the next one only those changed since."""
    feed = Published({1: 30, 2: 20, 3: 10})
    with HostileServer(feed) as server:
        pages = list(web(server).pages(None, 0))
        assert taken(pages) == ["192.0.2.3", "192.0.2.2", "192.0.2.1"]
        assert list(web(server).pages(pages[-1].cursor, 0)) == []
        feed.stamps |= {3: 40, 4: 35}
        changed = list(web(server).pages(pages[-1].cursor, 0))
        assert taken(changed) == ["192.0.2.4", "192.0.2.3"]
    assert sum(one.path.endswith("manifest.json") for one in server.asked) == 3


class Conditional(Published):
    """The same, and tells when nothing has changed."""

    def __call__(self, talk: Talk) -> None:
        tag = f'"{hash(tuple(self.stamps.items()))}"'
        if talk.asked.path.endswith("manifest.json") and talk.asked.headers.get("if-none-match") == tag:
            talk.answer(b"", 304, JSON, {"ETag": tag})
        elif talk.asked.path.endswith("manifest.json"):
            talk.answer(manifest(self.stamps), 200, JSON, {"ETag": tag})
        else:
            super().__call__(talk)


def test_a_manifest_that_is_the_same_is_not_fetched_again() -> None:
    """The manifest is asked for with its ETag, once all that it names has been read without a fault."""
    feed = Conditional({1: 10, 2: 20})
    feed.broken = {2}
    pages: list[Page] = []
    with HostileServer(feed) as server:
        with pytest.raises(PartnerError):
            pages.extend(web(server).pages(None, 0))
        feed.broken = set()
        server.asked.clear()
        (page,) = web(server).pages(pages[-1].cursor, 0)
        assert taken([page]) == ["192.0.2.2"]
        assert page.wire_bytes > len(manifest(feed.stamps))
        assert list(web(server).pages(page.cursor, 0)) == []
        feed.stamps[1] = 30
        assert taken(list(web(server).pages(page.cursor, 0))) == ["192.0.2.1"]
    asked = [one.headers.get("if-none-match") for one in server.asked if one.path.endswith("manifest.json")]
    assert [one is None for one in asked] == [True, False, False]


def test_small_events_share_a_page_and_the_next_run_goes_on_behind_it() -> None:
    """A page ends behind a whole event; from its cursor the other events are read, oldest change first."""
    with HostileServer(Published({number: number for number in range(1, 151)})) as server:
        pages = list(web(server).pages(None, 0))
        assert [len(taken([page])) for page in pages] == [100, 50]
        assert taken(list(web(server).pages(pages[0].cursor, 0))) == [f"192.0.2.{number}" for number in range(101, 151)]


@pytest.mark.parametrize("path", ["/feed", "/feed/", "/feed/manifest.json"])
def test_the_address_may_be_the_folder_or_the_manifest(path: str) -> None:
    """However the feed is named, the same is asked for."""
    with HostileServer(Published({1: 10})) as server:
        assert taken(list(web(server, path).pages(None, 0))) == ["192.0.2.1"]
    assert [one.path for one in server.asked] == ["/feed/manifest.json", f"/feed/{uuid(1)}.json"]


def test_one_bad_event_costs_only_itself() -> None:
    """An event that cannot be read is named at the end and tried again; the others are taken once."""
    feed = Published({1: 10, 2: 20, 3: 30})
    feed.broken = {2}
    pages: list[Page] = []
    with HostileServer(feed) as server:
        with pytest.raises(PartnerError, match=f"{uuid(2)}: no MISP event"):
            pages.extend(web(server).pages(None, 0))
        assert taken(pages) == ["192.0.2.1", "192.0.2.3"]
        feed.broken = set()
        assert taken(list(web(server).pages(pages[-1].cursor, 0))) == ["192.0.2.2"]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"body": b"gone", "status": 404}, "HTTP 404"),
        ({"body": b"not yours", "status": 403}, "HTTP 403"),
        ({"body": b"<html>Sign in</html>", "content_type": "text/html"}, "unexpected media type"),
        ({"body": b" " * 3 * 1024 * 1024, "content_type": JSON}, "larger than"),
        ({"body": b"x", "content_type": JSON, "headers": {"Content-Encoding": "gzip"}}, "gzip ends too early"),
    ],
)
def test_an_event_that_is_not_given_costs_only_itself(answer: dict[str, Any], said: str) -> None:
    """An event that the server does not give, or not as it should, keeps no newer event from being read."""
    feed = Published({1: 10, 2: 20, 3: 30})
    pages: list[Page] = []

    def behave(talk: Talk) -> None:
        if uuid(2) in talk.asked.path:
            talk.answer(**answer)
        else:
            feed(talk)

    with HostileServer(behave) as server:
        with pytest.raises(PartnerError, match=said):
            pages.extend(web(server).pages(None, 0))
        assert taken(pages) == ["192.0.2.1", "192.0.2.3"]
        server.behave = feed
        assert taken(list(web(server).pages(pages[-1].cursor, 0))) == ["192.0.2.2"]


@pytest.mark.parametrize(("status", "asked"), [(401, 2), (429, 2), (500, 2), (503, 2), (404, 12)])
def test_a_server_that_gives_no_event_is_left_alone(status: int, asked: int) -> None:
    """A server that is down, busy or gives no event at all is not asked for each of a thousand."""
    feed = Published({number: number for number in range(1, 1_000)})

    def behave(talk: Talk) -> None:
        if talk.asked.path.endswith("manifest.json"):
            feed(talk)
        else:
            talk.answer(b"", status)

    with HostileServer(behave) as server, pytest.raises(PartnerError, match=f"HTTP {status}"):
        list(web(server).pages(None, 0))
    assert len(server.asked) == asked


@pytest.mark.parametrize("body", [b"[]", b"{", b'{"../../etc/passwd": {"timestamp": 1}}', b'{"x": 5}', b"<html>"])
def test_what_is_no_manifest(body: bytes) -> None:
    """A manifest of another form, or one that names other files than events, ends the run."""
    with (
        HostileServer(lambda talk: talk.answer(body, content_type=JSON)) as server,
        pytest.raises(PartnerError, match="manifest"),
    ):
        list(web(server).pages(None, 0))
    assert len(server.asked) == 1


def test_a_single_event() -> None:
    """An address of one event is read when its content has changed."""
    bodies = [event(1), event(1), event(1, 1_790_000_000)]
    with HostileServer(lambda talk: talk.answer(bodies[talk.number - 1], content_type=JSON)) as server:
        (page,) = web(server, "/one.json").pages(None, 0)
        assert list(web(server, "/one.json").pages(page.cursor, 0)) == []
        assert len(list(web(server, "/one.json").pages(page.cursor, 0))) == 1


def test_on_disk(tmp_path: Path) -> None:
    """A folder is read by its manifest, without one file by file; what is missing is told."""
    (tmp_path / f"{uuid(1)}.json").write_bytes(event(1))
    (tmp_path / "other.json").write_bytes(event(2))
    disk = MispFeed("drop", str(tmp_path), DiskEvents("drop", tmp_path, 10_000))
    pages = list(disk.pages(None, 0))
    assert taken(pages) == ["192.0.2.1", "192.0.2.2"]
    assert list(disk.pages(pages[-1].cursor, 0)) == []
    (tmp_path / "manifest.json").write_bytes(manifest({1: 10, 5: 20}))
    again: list[Page] = []
    with pytest.raises(PartnerError, match=f"{uuid(5)}.json: No such file"):
        again.extend(disk.pages(None, 0))
    assert taken(again) == ["192.0.2.1"]


def test_the_sample_feed(samples: Path) -> None:
    """A real feed's events come in whole: every attribute that is marked for detection and of a known type."""
    folder = samples / "tweetfeed-misp"
    pages = list(MispFeed("tweets", str(folder), DiskEvents("tweets", folder, 32 * 1024 * 1024)).pages(None, 0))
    assert sum(len(page.rejects) for page in pages) == 0
    assert len(taken(pages)) > 10_000
