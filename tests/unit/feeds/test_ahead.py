"""How much of a feed is still to come, as its pages say it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from builders import NOW, ip, make_indicator_json
from threatshare.errors import PartnerError
from threatshare.feeds.bundles import DiskFeed
from threatshare.feeds.misp import DiskEvents, MispFeed
from threatshare.ports import Page


def write(file: Path, first: int, count: int) -> None:
    body = b",".join(make_indicator_json(n, ip(f"192.0.2.{n % 250}")) for n in range(first, first + count))
    file.write_bytes(b'{"type":"bundle","id":"b","objects":[' + body + b"]}")


def event(number: int, values: int) -> bytes:
    attributes = [
        {
            "uuid": f"{number:08}-0000-4000-8000-{n:012}",
            "type": "ip-dst",
            "value": f"192.0.2.{n}",
            "to_ids": True,
            "timestamp": "1767225600",
        }
        for n in range(values)
    ]
    return json.dumps(
        {
            "Event": {
                "uuid": uuid(number),
                "info": "x",
                "date": "2026-01-01",
                "timestamp": "1767225600",
                "Attribute": attributes,
            }
        }
    ).encode()


def uuid(number: int) -> str:
    return f"{number:08}-1111-4111-8111-111111111111"


def check(pages: list[Page], slack: int = 2) -> None:
    """What each page says is to come is what comes, to a tenth or so; behind the last there is nothing."""
    behind = 0
    for page in reversed(pages):
        assert page.left is not None
        assert abs(page.left - behind) <= max(behind / 10, slack), [(len(one.objects), one.left) for one in pages]
        behind += len(page.objects)
    assert len(pages) > 3
    assert pages[-1].left == 0


@pytest.mark.parametrize("in_memory", [1, 1_000_000])
def test_a_folder_of_bundles_says_how_much_is_to_come(tmp_path: Path, in_memory: int) -> None:
    """Of files in memory and streamed ones alike; what was read before, and what was only touched, is not to come."""
    for number in range(4):
        write(tmp_path / f"{number}.json", 100 * number, 100)
    feed = DiskFeed("f", tmp_path, page_size=30, max_object=10_000, in_memory=in_memory)
    pages = list(feed.pages(None, NOW))
    check(pages)
    write(tmp_path / "1.json", 1_000, 200)
    (tmp_path / "0.json").touch()
    check(list(feed.pages(pages[-1].cursor, NOW)))


def test_a_file_that_is_gone_while_it_is_counted_is_told_as_before(tmp_path: Path) -> None:
    """A name that leads nowhere is a fault of that file, not of the count."""
    write(tmp_path / "a.json", 0, 40)
    feed = DiskFeed("f", tmp_path, page_size=30, max_object=10_000)
    feed._files = lambda: [("a.json", tmp_path / "a.json"), ("b.json", tmp_path / "b.json")]  # type: ignore[method-assign]
    pages = feed.pages(None, NOW)
    assert [len(next(pages).objects) for _ in range(2)] == [30, 10]
    with pytest.raises(PartnerError, match=r"b\.json: No such file"):
        next(pages)


def test_a_misp_feed_says_how_much_is_to_come(tmp_path: Path) -> None:
    """From the events that are to be read; those that were read before are not to come."""
    for number in range(30):
        (tmp_path / f"{uuid(number)}.json").write_bytes(event(number, 200))

    def listed(stamps: dict[int, int]) -> None:
        manifest = {uuid(number): {"timestamp": str(stamp)} for number, stamp in stamps.items()}
        (tmp_path / "manifest.json").write_text(json.dumps(manifest))

    feed = MispFeed("f", str(tmp_path), DiskEvents("f", tmp_path, 1_000_000))
    listed(dict.fromkeys(range(30), 1))
    pages = list(feed.pages(None, NOW))
    check(pages)
    listed({number: 1 if number < 10 else 2 for number in range(30)})
    check(list(feed.pages(pages[-1].cursor, NOW)))
