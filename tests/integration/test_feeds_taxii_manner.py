"""Pulling from TAXII servers that refuse filters which the standard allows."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from clocks import START, FixedClock
from hostile_server import COLLECTION, HostileServer, Talk, envelope, indicators, opener
from threatshare.errors import PartnerError
from threatshare.feeds.taxii import TaxiiFeed
from threatshare.feeds.taxii20 import Taxii20Feed
from threatshare.model import micros

LAST = "X-TAXII-Date-Added-Last"
NOW = micros(START)
OBJECTS_20 = "application/vnd.oasis.stix+json; version=2.0"


def _feed(server: HostileServer, kind: type[TaxiiFeed] = TaxiiFeed) -> TaxiiFeed:
    return kind("isac", server.url(), None, opener(server), page_size=1_000, max_pages=100, clock=FixedClock())


class Picky:
    """Gives 250 objects by offset, and refuses what it does not like."""

    def __init__(self, refuses: Callable[[dict[str, str]], bool], date: str = "2026-02-01T00:00:00.5Z") -> None:
        self.refuses = refuses
        self.date = date
        self.refused = 0

    def __call__(self, talk: Talk) -> None:
        """Answers one request; a dated one has nothing new."""
        query = talk.asked.query
        if self.refuses(query):
            self.refused += 1
            talk.answer(b'{"title":"bad filter"}', 400)
            return
        if "added_after" in query:
            talk.answer(b'{"more":false}')
            return
        first = int(query.get("next", 0))
        size = min(int(query.get("limit", 250)), 250 - first)
        more: dict[str, Any] = {"more": True, "next": first + size} if first + size < 250 else {"more": False}
        talk.answer(envelope(first, size, **more), headers={LAST: self.date})


@pytest.mark.parametrize(
    ("date", "sent"),
    [
        ("2026-02-01T00:00:00Z", "2026-02-01T00:00:00Z"),
        ("2026-02-01T00:00:00.987654Z", "2026-02-01T00:00:00Z"),
    ],
)
def test_server_that_wants_whole_seconds(date: str, sent: str) -> None:
    """A date whose fraction is refused is sent in whole seconds, rounded down, and from the next run on at once."""
    behave = Picky(lambda query: "." in query.get("added_after", ""), date)
    with HostileServer(behave) as server:
        cursor = list(_feed(server).pages(None, NOW))[-1].cursor
        assert list(_feed(server).pages(cursor, NOW)) == []
        assert server.asked[-1].query["added_after"] == sent
    assert behave.refused == 1


def test_server_that_wants_fractions_gets_them() -> None:
    """Nobody is asked in whole seconds who takes fractions: what was told in between would come twice."""
    behave = Picky(lambda query: "." not in query.get("added_after", "."))
    with HostileServer(behave) as server:
        cursor = list(_feed(server).pages(None, NOW))[-1].cursor
        assert list(_feed(server).pages(cursor, NOW)) == []
    assert behave.refused == 0


@pytest.mark.parametrize(
    ("refuses", "refused", "pages"),
    [
        (lambda query: int(query.get("limit", 0)) > 100, 1, 3),
        (lambda query: "limit" in query, 2, 1),
    ],
)
def test_server_that_refuses_the_limit(refuses: Callable[[dict[str, str]], bool], refused: int, pages: int) -> None:
    """A server that takes no limit, or none so large, is found out once and read to its end, also after a fault."""
    behave = Picky(refuses)
    with HostileServer(behave) as server:
        given = list(_feed(server).pages(None, NOW))
        assert [len(page.objects) for page in given] == ([100, 100, 50] if pages == 3 else [250])
        assert behave.refused == refused
        assert sum(len(page.objects) for page in _feed(server).pages(given[0].cursor, NOW)) == (
            150 if pages == 3 else 0
        )
        assert list(_feed(server).pages(given[-1].cursor, NOW)) == []
    assert behave.refused == refused


def test_server_that_refuses_everything() -> None:
    """Whoever refuses every way of asking is asked a few times only, and the run fails as at the first."""
    good = Picky(lambda query: False)
    with HostileServer(good) as server:
        cursor = list(_feed(server).pages(None, NOW))[-1].cursor
        good.refuses = lambda query: True
        for known, asked in ((None, 3), (cursor, 6)):
            server.asked.clear()
            with pytest.raises(PartnerError, match="HTTP 400"):
                list(_feed(server).pages(known, NOW))
            assert len(server.asked) == asked


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500])
def test_other_refusals_are_not_argued_with(status: int) -> None:
    """Only a question that is refused as such is asked in another way."""
    with HostileServer(lambda talk: talk.answer(b"{}", status)) as server:
        with pytest.raises(PartnerError, match=f"HTTP {status}"):
            list(_feed(server).pages(None, NOW))
        assert len(server.asked) == 1


def test_whole_seconds_in_20() -> None:
    """A server of TAXII 2.0 that refuses fractions is asked in whole seconds too, its unit of ranges left as it was."""

    def behave(talk: Talk) -> None:
        query = talk.asked.query
        if "." in query.get("added_after", "") or not talk.asked.headers["range"].startswith("items="):
            talk.answer(b"{}", 400, "application/vnd.oasis.taxii+json; version=2.0")
            return
        objects = [] if "added_after" in query else indicators(0, 3)
        body = json.dumps({"type": "bundle", "objects": objects}).encode()
        talk.answer(body, 200, OBJECTS_20, headers={LAST: "2026-02-01T00:00:00.5Z"})

    with HostileServer(behave) as server:
        (page,) = _feed(server, Taxii20Feed).pages(None, NOW)
        assert list(_feed(server, Taxii20Feed).pages(page.cursor, NOW)) == []
        assert server.asked[-1].query["added_after"] == "2026-02-01T00:00:00Z"


def test_listing_longer_than_a_run() -> None:
    """A listing whose `next` expires between runs goes on behind the newest date, and so comes to its end some day."""
    dated = [f"2026-02-01T00:00:{number:02d}.5Z" for number in range(9)]
    runs = 0

    def behave(talk: Talk) -> None:
        after = talk.asked.query.get("added_after", "")
        run, _, offset = talk.asked.query.get("next", f"{runs}/0").partition("/")
        if int(run) != runs:
            talk.answer(b"{}", 404)
            return
        left = [number for number, date in enumerate(dated) if date > after][int(offset) :][:2]
        more = left[-1] < 8
        body = {"objects": [indicators(number, 1)[0] for number in left], "more": more}
        talk.answer(
            json.dumps(body | ({"next": f"{runs}/{int(offset) + 2}"} if more else {})).encode(),
            headers={LAST: dated[left[-1]]},
        )

    cursor, found, asked = None, [], 0
    with HostileServer(behave) as server:
        while cursor is None or "next" in json.loads(cursor):
            for count, page in enumerate(_feed(server).pages(cursor, NOW)):
                found += [int(json.loads(one)["id"][-12:]) for one in page.objects]
                cursor = page.cursor
                if count == 1:
                    # So much a run is given time for.
                    break
            runs += 1
            asked = len(server.asked)
            assert asked < 30
    assert sorted(set(found)) == list(range(9))
    assert found == sorted(found)
    assert COLLECTION in server.asked[0].path


@pytest.mark.parametrize("kind", [TaxiiFeed, Taxii20Feed])
@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            b'{"title":"Quota","description":"10,000 objects a day","error_code":"Q1"}',
            "'Quota: 10,000 objects a day (Q1)'",
        ),
        (b'{"title":"\\u001b[31mred"}', "'[31mred'"),
        (b'{"title":"nothing for hunter2"}', "check user, password or token$"),
        (b'{"title":"nothing for aXNhYzpodW50ZXIy"}', "check user, password or token$"),
        (b'{"x":1}', "check user, password or token$"),
        (b"not JSON", "check user, password or token$"),
        (b'{"title":"' + b"x" * 70_000 + b'"}', "check user, password or token$"),
    ],
)
def test_what_the_server_says_is_told(kind: type[TaxiiFeed], body: bytes, said: str) -> None:
    """The words of an error resource stand in the message, cleaned and short, and never with our secrets in them."""
    with HostileServer(lambda talk: talk.answer(body, 401)) as server:
        ours: dict[str, Any] = {"page_size": 10, "max_pages": 9, "clock": FixedClock()}
        feed = kind("isac", server.url(), None, opener(server, user="isac", password="hunter2"), **ours)
        with pytest.raises(PartnerError, match=re.escape(said).replace(re.escape("$"), "$")):
            list(feed.pages(None, NOW))
