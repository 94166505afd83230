"""Reading STIX bundles from disk and over HTTP."""

from __future__ import annotations

import json
import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hostile_server import HostileServer, Talk, indicators, opener
from threatshare.errors import PartnerError
from threatshare.feeds.bundles import DiskFeed, WebFeed
from threatshare.ports import FeedClient, Page

MEGABYTE = 1024 * 1024
JSON = "application/json"


def _bundle(first: int, count: int, **rest: Any) -> bytes:
    return json.dumps({"type": "bundle", "id": "bundle--1", **rest, "objects": indicators(first, count)}).encode()


def _disk(path: Path, **choices: Any) -> DiskFeed:
    return DiskFeed("drop", path, **{"page_size": 1000, "max_object": MEGABYTE, **choices})


def _web(server: HostileServer, page_size: int = 1000, **choices: Any) -> WebFeed:
    url = server.url("/a.json?key=Canary-7f3a")
    return WebFeed("drop", url, opener(server, path="/a.json", **choices), page_size=page_size)


def _ids(pages: Iterator[Page] | list[Page]) -> list[int]:
    """Gives the numbers of the indicators on pages, in order."""
    return [int(json.loads(one)["id"][-12:]) for page in pages for one in page.objects]


def _until_fault(client: FeedClient, cursor: str | None = None) -> tuple[list[Page], str]:
    """Gives the pages before a fault, and its message."""
    pages: list[Page] = []
    with pytest.raises(PartnerError) as caught:
        pages.extend(client.pages(cursor, 0))
    return pages, str(caught.value)


def test_one_file(tmp_path: Path) -> None:
    """A file of any name is read in pages, and not again while it stays as it is."""
    file = tmp_path / "feed.txt"
    file.write_bytes(_bundle(0, 25, spec_version="2.0"))
    pages = list(_disk(file, page_size=10).pages(None, 0))
    assert [len(page.objects) for page in pages] == [10, 10, 5]
    assert _ids(pages) == list(range(25))
    assert list(_disk(file).pages(pages[-1].cursor, 0)) == []


def test_directory(tmp_path: Path) -> None:
    """The JSON files of a directory come in the order of their names, from any depth, and share pages."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "b.json").write_bytes(_bundle(0, 2))
    (tmp_path / "c.STIX2").write_bytes(json.dumps(indicators(2, 2)).encode())
    (tmp_path / "sub" / "a.stix").write_bytes(json.dumps(indicators(4, 1)[0]).encode())
    (tmp_path / "README.md").write_text("not this")
    (page,) = _disk(tmp_path).pages(None, 0)
    assert _ids([page]) == [0, 1, 2, 3, 4]


def test_only_what_changed(tmp_path: Path) -> None:
    """Of a directory only new and changed files are read again; a touched file of the same content is not."""
    for name, first in (("a", 0), ("b", 10), ("c", 20)):
        (tmp_path / f"{name}.json").write_bytes(_bundle(first, 1))
    (page,) = _disk(tmp_path).pages(None, 0)
    (tmp_path / "b.json").write_bytes(_bundle(11, 2))
    (tmp_path / "d.json").write_bytes(_bundle(30, 1))
    os.utime(tmp_path / "c.json", (1, 1))
    (changed,) = _disk(tmp_path).pages(page.cursor, 0)
    assert _ids([changed]) == [11, 12, 30]
    assert list(_disk(tmp_path).pages(changed.cursor, 0)) == []


def test_unchanged_files_are_not_opened(tmp_path: Path) -> None:
    """A file of the same size and time is not even read: this one has changed without our noticing."""
    file = tmp_path / "a.json"
    file.write_bytes(_bundle(1, 1))
    (page,) = _disk(tmp_path).pages(None, 0)
    times = file.stat()
    file.write_bytes(_bundle(2, 1))
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert list(_disk(tmp_path).pages(page.cursor, 0)) == []
    os.utime(file, (1, 1))
    assert _ids(list(_disk(tmp_path).pages(page.cursor, 0))) == [2]


def test_changed_file_that_is_interrupted(tmp_path: Path) -> None:
    """A changed file that was not read to its end is read again, whatever its former stamp said."""
    file = tmp_path / "a.json"
    file.write_bytes(_bundle(0, 1))
    (page,) = _disk(tmp_path).pages(None, 0)
    file.write_bytes(_bundle(0, 20))
    part = next(iter(_disk(tmp_path, page_size=5).pages(page.cursor, 0)))
    assert _ids(list(_disk(tmp_path).pages(part.cursor, 0))) == list(range(20))


def test_file_that_is_gone(tmp_path: Path) -> None:
    """A file that is gone leaves the cursor, so that it is read when it comes back."""
    file = tmp_path / "a.json"
    file.write_bytes(_bundle(0, 1))
    (tmp_path / "b.json").write_bytes(_bundle(1, 1))
    (first,) = _disk(tmp_path).pages(None, 0)
    content, times = file.read_bytes(), file.stat()
    file.unlink()
    (gone,) = _disk(tmp_path).pages(first.cursor, 0)
    assert gone.objects == []
    file.write_bytes(content)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    (back,) = _disk(tmp_path).pages(gone.cursor, 0)
    assert _ids([back]) == [0]


def test_interrupted_directory_goes_on(tmp_path: Path) -> None:
    """After an interruption the files whose objects were all given are not read again, the others are."""
    for number in range(4):
        (tmp_path / f"{number}.json").write_bytes(_bundle(number * 10, 10))
    first = next(iter(_disk(tmp_path, page_size=15).pages(None, 0)))
    assert _ids([first]) == list(range(15))
    assert _ids(list(_disk(tmp_path, page_size=100).pages(first.cursor, 0))) == list(range(10, 40))


def test_broken_files_do_not_stop_the_others(tmp_path: Path) -> None:
    """Good files come first, then the faults are named with file and position; broken files are tried again."""
    (tmp_path / "a.json").write_bytes(_bundle(0, 1))
    (tmp_path / "b.json").write_bytes(_bundle(1, 1)[:-5])
    (tmp_path / "c.json").write_bytes(b'{"Event":{}}')
    (tmp_path / "d.json").write_bytes(b"")
    (tmp_path / "e.json").write_bytes(_bundle(4, 1))
    (tmp_path / "gone.json").symlink_to(tmp_path / "nowhere")
    pages, message = _until_fault(_disk(tmp_path))
    assert _ids(pages) == [0, 4]
    for part in ("feed drop", "b.json: Input data was truncated at byte ", "c.json: neither a STIX bundle", "d.json: "):
        assert part in message
    again, _ = _until_fault(_disk(tmp_path), pages[-1].cursor)
    assert again == []
    (tmp_path / "b.json").write_bytes(_bundle(1, 1))
    mended, _ = _until_fault(_disk(tmp_path), pages[-1].cursor)
    assert _ids(mended) == [1]


def test_what_is_no_file(tmp_path: Path) -> None:
    """A pipe that nobody writes to, or a directory named like a file, does not hold the feed up."""
    (tmp_path / "a.json").write_bytes(_bundle(0, 1))
    os.mkfifo(tmp_path / "b.json")
    (tmp_path / "c.json").mkdir()
    (page,) = _disk(tmp_path).pages(None, 0)
    assert _ids([page]) == [0]


def test_nowhere(tmp_path: Path) -> None:
    """A path that is not there is named."""
    _, message = _until_fault(_disk(tmp_path / "nowhere"))
    assert "nowhere is neither a file nor a directory" in message


def test_large_file_is_streamed(tmp_path: Path) -> None:
    """A file over the limit gives the same objects as one under it, in a fraction of its size of memory."""
    file = tmp_path / "large.json"
    objects = indicators(0, 2000)
    for one in objects:
        one["description"] = "x" * 20_000
    file.write_bytes(json.dumps({"type": "bundle", "objects": objects}, indent=1).encode())
    assert file.stat().st_size > 38 * MEGABYTE
    tracemalloc.start()
    seen = 0
    for page in _disk(file, page_size=100, in_memory=MEGABYTE).pages(None, 0):
        assert _ids([page]) == list(range(seen, seen + len(page.objects)))
        seen += len(page.objects)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seen == 2000
    assert peak < 25 * MEGABYTE


def test_large_file_that_breaks_off(tmp_path: Path) -> None:
    """What stands before the fault of a large file is given; the file is not done."""
    file = tmp_path / "large.json"
    file.write_bytes(_bundle(0, 50)[:-100])
    pages, message = _until_fault(_disk(file, page_size=10, in_memory=10))
    assert _ids(pages) == list(range(49))
    assert "large.json: it ends within the object at byte" in message
    assert json.loads(pages[-1].cursor) == {"files": {}}


def test_pages_are_bounded_by_bytes_too(tmp_path: Path) -> None:
    """A page of large objects has fewer of them."""
    file = tmp_path / "a.json"
    file.write_bytes(json.dumps([{"type": "x", "a": "y" * 1_000_000} for _ in range(40)]).encode())
    pages = list(_disk(file).pages(None, 0))
    assert sum(len(page.objects) for page in pages) == 40
    assert max(sum(map(len, page.objects)) for page in pages) < 18 * MEGABYTE


def test_web() -> None:
    """A bundle at an address is read in pages; only the last page's cursor says that it has been read."""
    with HostileServer(lambda talk: talk.answer(_bundle(0, 25), content_type=JSON, ETag='"1"')) as server:
        pages = list(_web(server, 10).pages(None, 0))
        assert _ids(pages) == list(range(25))
        assert json.loads(pages[1].cursor) == {}
        assert pages[0].wire_bytes > 25 * 100
        assert pages[1].wire_bytes == 0
        assert list(_web(server).pages(pages[-1].cursor, 0)) == []
        assert _ids(list(_web(server).pages(pages[0].cursor, 0))) == list(range(25))


def test_conditional_request() -> None:
    """What the server said of a version is sent back, and a 304 costs nothing."""
    versions = {"ETag": '"v1"', "Last-Modified": "Sun, 01 Mar 2026 12:00:00 GMT"}

    def behave(talk: Talk) -> None:
        if talk.asked.headers.get("if-none-match") == '"v1"':
            talk.answer(b"", 304, content_type=None)
        else:
            talk.answer(_bundle(0, 1), content_type="application/stix+json;version=2.1", headers=versions)

    with HostileServer(behave) as server:
        (page,) = _web(server).pages(None, 0)
        assert list(_web(server).pages(page.cursor, 0)) == []
    assert server.asked[1].headers["if-modified-since"] == versions["Last-Modified"]
    assert "if-none-match" not in server.asked[0].headers


def test_same_content_of_another_version() -> None:
    """Where only the ETag has changed, nothing is read again, and the new one is kept."""
    with HostileServer(lambda talk: talk.answer(_bundle(0, 1), content_type=JSON, ETag=f'"{talk.number}"')) as server:
        (first,) = _web(server).pages(None, 0)
        (second,) = _web(server).pages(first.cursor, 0)
    assert second.objects == []
    assert json.loads(second.cursor)["etag"] == '"2"'


def test_other_address_is_read_anew() -> None:
    """A cursor is not used for another address."""
    with HostileServer(lambda talk: talk.answer(_bundle(0, 1), content_type=JSON, ETag='"1"')) as server:
        (first,) = _web(server).pages(None, 0)
        other = WebFeed("drop", server.url("/b.json"), opener(server), page_size=10)
        assert len(list(other.pages(first.cursor, 0))) == 1
    assert "if-none-match" not in server.asked[1].headers


@pytest.mark.parametrize("content_type", [JSON, "text/plain; charset=utf-8", "application/octet-stream", None])
def test_media_types(content_type: str | None) -> None:
    """What web servers say of a JSON file is taken."""
    with HostileServer(lambda talk: talk.answer(_bundle(0, 1), content_type=content_type)) as server:
        assert len(list(_web(server).pages(None, 0))) == 1


@pytest.mark.parametrize(
    ("body", "content_type", "message"),
    [
        (b"<html>", "text/html", "unexpected media type"),
        (b"<html>", JSON, "malformed"),
        (_bundle(0, 3)[:-7], JSON, "feed drop"),
        (b'{"Event":{}}', JSON, "neither a STIX bundle"),
        (b'{"objects":[' + b'{"a":' * 50_000, JSON, "feed drop"),
        (b" " * 3 * MEGABYTE, JSON, "larger than"),
    ],
)
def test_faults_of_an_address(body: bytes, content_type: str, message: str) -> None:
    """A fault names feed and address, without the key in its query, and moves nothing."""
    with HostileServer(lambda talk: talk.answer(body, content_type=content_type)) as server:
        pages, said = _until_fault(_web(server))
    assert pages == []
    assert message in said
    assert f"{server.url('/a.json')}: " in said
    assert "Canary" not in said
