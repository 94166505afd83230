"""Real feeds come in whole: every object that is in the files, and none that is not."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from clocks import START, FixedClock
from hostile_server import COLLECTION, HostileServer, Talk, opener
from threatshare.errors import PartnerError
from threatshare.feeds.bundles import DiskFeed
from threatshare.feeds.content import scan, split
from threatshare.feeds.taxii import DATE_ADDED_LAST, TaxiiFeed
from threatshare.model import micros
from threatshare.ports import Page

BUNDLES = {"stix-mvt": ".stix2", "stix-unit42": ".json"}


def _folder(samples: Path, name: str) -> Path:
    folder = samples / name
    if not folder.is_dir():
        pytest.skip(f"needs the samples' folder {name}, which this machine does not have")
    return folder


@pytest.mark.parametrize("name", BUNDLES)
@pytest.mark.parametrize("in_memory", [10**9, 0])
def test_every_object_of_a_vendors_bundles(samples: Path, name: str, in_memory: int) -> None:
    """A vendor's bundles give each of their objects once, unchanged, read whole or streamed."""
    folder = _folder(samples, name)
    expected = Counter(
        json.dumps(one, sort_keys=True)
        for file in folder.glob(f"*{BUNDLES[name]}")
        for one in json.loads(file.read_bytes())["objects"]
    )
    feed = DiskFeed("vendor", folder, page_size=1000, max_object=10**7, in_memory=in_memory)
    pages = list(feed.pages(None, 0))
    found = Counter(json.dumps(json.loads(one), sort_keys=True) for page in pages for one in page.objects)
    assert found == expected
    assert sum(expected.values()) > 2000
    assert list(feed.pages(pages[-1].cursor, 0)) == []


def test_every_json_file_is_read_or_refused_alike(samples: Path) -> None:
    """Whatever JSON lies among the samples, reading it whole and streaming it give the same objects."""
    files = sorted(file for file in samples.glob("*/*.json") if file.stat().st_size < 3_000_000)[:400]
    if not files:
        pytest.skip("needs JSON files among the samples")
    taken = 0
    for file in files:
        try:
            whole = list(split(file.read_bytes()))
        except ValueError:
            continue
        taken += 1
        with file.open("rb") as stream:
            try:
                assert list(scan(stream, 10**7)) == whole, file
            except ValueError:
                assert len(whole) < 2, file
    assert taken > 20


def test_static_tree_with_pages_missing(samples: Path) -> None:
    """A feed of static pages is pulled page by page; one that is not there ends the run behind those before it."""
    tree = _folder(samples, "tweetfeed-taxii") / "taxii"
    pages = [page for page in json.loads((tree / "index.json").read_bytes())["pages"] if page["count"]]
    there = [(tree / "pages" / f"{page['key']}.json").is_file() for page in pages]
    if all(there):
        pytest.skip("needs a static tree with a page missing")

    def behave(talk: Talk) -> None:
        number = int(talk.asked.query.get("next", 0))
        file = tree / "pages" / f"{pages[number]['key']}.json"
        if not file.is_file():
            talk.answer(b"", 404)
            return
        more = {"more": True, "next": f"{number + 1}"} if number + 1 < len(pages) else {}
        body = json.dumps(more)[:-1].encode() + (b"," if more else b"") + b'"objects":' + file.read_bytes() + b"}"
        talk.answer(body, headers={DATE_ADDED_LAST: pages[number]["last"]})

    whole = there.index(False)
    with HostileServer(behave) as server:
        feed = TaxiiFeed(
            "tweetfeed", server.url(), None, opener(server), page_size=1000, max_pages=100, clock=FixedClock()
        )
        found: list[Page] = []
        with pytest.raises(PartnerError, match=f"page {whole + 1}: .*{COLLECTION}.*HTTP 404"):
            found.extend(feed.pages(None, micros(START)))
        assert [len(page.objects) for page in found] == [page["count"] for page in pages[:whole]]
