"""Reading lists from disk and over HTTP."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from builders import NOW, feed_source, make_store
from hostile_server import HostileServer, Talk, opener
from threatshare.errors import PartnerError
from threatshare.feed_settings import ListSettings
from threatshare.feeds.list_presets import settled
from threatshare.feeds.list_rows import RowReader
from threatshare.feeds.lists import DiskList, WebList
from threatshare.model import Reject
from threatshare.ports import ListClient, Listing
from threatshare.pull import pull_list

TEXT = "text/plain; charset=utf-8"


def _terms(**terms: Any) -> ListSettings:
    return settled(msgspec.convert(terms, ListSettings), "feeds/drop.toml")


def _disk(path: Path, **terms: Any) -> DiskList:
    return DiskList("drop", path, _terms(**terms), RowReader(_terms(**terms), "feeds/drop.toml"))


def _web(server: HostileServer, **terms: Any) -> WebList:
    url = server.url("/list.txt?key=Canary-7f3a")
    return WebList("drop", url, opener(server, path="/list.txt"), _terms(**terms), RowReader(_terms(**terms), "drop"))


def _read(client: ListClient, cursor: str | None = None) -> tuple[list[str], Listing]:
    """Gives the values of a list, and where they were refused, ``!`` and the line."""
    listing = client.listing(cursor, 0)
    assert listing is not None
    return [f"!{one.place}" if isinstance(one, Reject) else one.observable.value for one in listing.rows], listing


def test_a_file(tmp_path: Path) -> None:
    """A file is read whole, and not again while it and the settings stay as they are."""
    file = tmp_path / "list.txt"
    file.write_text("192.0.2.1\n192.0.2.2\n")
    found, listing = _read(_disk(file))
    assert (found, listing.about, listing.complete) == (["192.0.2.1", "192.0.2.2"], 2, True)
    assert _disk(file).listing(listing.cursor, 0) is None
    assert _disk(file, confidence=5).listing(listing.cursor, 0) is not None
    os.utime(file, (1, 1))
    assert _disk(file).listing(listing.cursor, 0) is not None


def test_a_directory_is_one_list(tmp_path: Path) -> None:
    """All files of a directory make one list; a bad one does not keep the others from being read, and is told."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "b.csv").write_text("ip\n192.0.2.2\n")
    (tmp_path / "sub" / "a.csv").write_text("ip\nnothing\n192.0.2.1\n")
    (tmp_path / ".hidden").write_text("no list")
    client = _disk(tmp_path, format="csv", header="first", value="ip")
    found, listing = _read(client)
    assert found == ["192.0.2.2", "!a.csv, line 2", "192.0.2.1"]
    assert client.listing(listing.cursor, 0) is None
    (tmp_path / "a.csv").write_text("other\nx\n")
    rows: list[object] = []
    with pytest.raises(PartnerError, match=r"a\.csv: .*no column 'ip'"):
        rows.extend(client.listing(listing.cursor, 0).rows)  # type: ignore[union-attr]
    assert len(rows) == 3


def test_nowhere(tmp_path: Path) -> None:
    """A path that is not there is named."""
    with pytest.raises(PartnerError, match="nowhere is neither a file nor a directory"):
        _disk(tmp_path / "nowhere").listing(None, 0)


def test_what_is_no_text(tmp_path: Path) -> None:
    """Bytes that are no UTF-8 cost the row that they stand in; a byte order mark costs none."""
    file = tmp_path / "list.txt"
    file.write_bytes(b"\xef\xbb\xbf192.0.2.1\n\xff\xfe\n192.0.2.3\r\n\x00\n192.0.2.5")
    assert _read(_disk(file))[0] == ["192.0.2.1", "!line 2", "192.0.2.3", "!line 4", "192.0.2.5"]


def test_an_address() -> None:
    """A list at an address is asked for with what the server said of it, and not read again while it is the same."""

    def behave(talk: Talk) -> None:
        if talk.asked.headers.get("if-none-match") == '"1"':
            talk.answer(b"", 304, content_type=None)
        else:
            talk.answer(b"192.0.2.1\n", content_type=TEXT, ETag='"1"')

    with HostileServer(behave) as server:
        found, listing = _read(_web(server))
        assert (found, listing.about) == (["192.0.2.1"], 1)
        assert listing.wire_bytes > 0
        assert _web(server).listing(listing.cursor, 0) is None
        assert _read(_web(server, confidence=5), listing.cursor)[0] == ["192.0.2.1"]
    assert [one.headers.get("if-none-match") for one in server.asked] == [None, '"1"', None]


def test_the_same_under_another_tag() -> None:
    """Where only the ETag has changed, nothing is read or withdrawn, and the new one is kept."""
    with HostileServer(lambda talk: talk.answer(b"192.0.2.1\n", content_type=TEXT, ETag=f'"{talk.number}"')) as server:
        _, first = _read(_web(server))
        found, second = _read(_web(server), first.cursor)
    assert (found, second.complete) == ([], False)
    assert '\\"2\\"' in second.cursor


def _until_closed(*bodies: bytes, head: str = "") -> HostileServer:
    """Serves one body after another as HTTP/1.0 does, the last for good: each ends where the connection does."""

    def behave(talk: Talk) -> None:
        body = bodies[min(talk.number, len(bodies)) - 1]
        talk.raw(f'HTTP/1.0 200 OK\r\nContent-Type: {TEXT}\r\nETag: "1"\r\n{head}\r\n'.encode() + body)
        talk.hang_up()

    return HostileServer(behave)


def test_a_list_that_may_be_cut_off(tmp_path: Path) -> None:
    """A list that ends with its connection withdraws nothing, nor reads a line without end, until it has come twice."""
    whole = b"".join(b"198.51.100.%d\n" % number for number in range(100, 150))
    cut = whole[:403]
    assert cut.splitlines()[-1] == b"198.51.100.12", "an address too, and another one"
    store = make_store(tmp_path)
    source = feed_source(store, "drop")
    with HostileServer(lambda talk: talk.answer(whole, content_type=TEXT)) as server:
        assert pull_list(store, source, _web(server), lambda: NOW, lambda _: True).note is None
    seen = []
    with _until_closed(cut, cut, cut, whole[:30]) as server:
        for _ in range(5):
            report = pull_list(store, source, _web(server), lambda: NOW, lambda _: True)
            assert report.error is None
            seen.append((report.objects, report.new, report.withdrawn, "cut off" in (report.note or "")))
    assert seen == [(26, 0, 0, True), (27, 1, 24, False), (0, 0, 0, False), (2, 0, 0, True), (2, 0, 25, False)]
    store.close()


def test_a_gzip_that_may_be_cut_between_its_members(tmp_path: Path) -> None:
    """A list in several members that ends with its connection behind one of them is not taken for whole either."""
    lines = [b"198.51.100.%d\n" % number for number in range(20)]
    first, second = (gzip.compress(b"".join(part)) for part in (lines[:10], lines[10:]))
    head = "Content-Encoding: gzip\r\n"
    store = make_store(tmp_path)
    source = feed_source(store, "drop")
    seen = []
    with _until_closed(first + second, first + second, first, first + second, head=head) as server:
        for _ in range(4):
            report = pull_list(store, source, _web(server), lambda: NOW, lambda _: True)
            seen.append((report.objects, report.withdrawn, "cut off" in (report.note or "")))
    assert seen == [(20, 0, True), (20, 0, False), (10, 0, True), (20, 0, True)]
    store.close()


def test_an_empty_list_names_nothing() -> None:
    """Lines are told as there are, with an end to the last or without; of an empty list none."""
    for body, lines in ((b"", 0), (b"192.0.2.1", 1), (b"192.0.2.1\n", 1), (b"192.0.2.1\n192.0.2.2", 2)):
        with _until_closed(body, head=f"Content-Length: {len(body)}\r\n") as server:
            assert _read(_web(server))[1].about == lines


@pytest.mark.parametrize(
    ("head", "terms"),
    [("Content-Length: 10\r\n", {}), ("", {"ends_by_closing": True}), ("Transfer-Encoding: chunked\r\n", {})],
)
def test_a_list_that_is_known_to_be_whole(head: str, terms: dict[str, Any]) -> None:
    """Where the server says where its answer ends, or the settings that it closes there, it is believed."""
    body = b"a\r\n192.0.2.1\n\r\n0\r\n\r\n" if "chunked" in head else b"192.0.2.1\n"
    with _until_closed(body, head=head) as server:
        found, listing = _read(_web(server, **terms))
    assert (found, listing.complete, listing.note) == (["192.0.2.1"], True, None)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [(b"<html>sign in</html>", "text/html"), (b"\n <!DOCTYPE html>\n192.0.2.1\n", TEXT), (b"<?xml ?>", TEXT)],
)
def test_a_web_page_is_no_list(body: bytes, content_type: str) -> None:
    """A login or error page is refused as a whole, whatever the server calls it; the key of its address is not told."""
    with (
        HostileServer(lambda talk: talk.answer(body, content_type=content_type)) as server,
        pytest.raises(PartnerError) as caught,
    ):
        _web(server).listing(None, 0)
    assert "Canary" not in str(caught.value)


def test_a_list_that_is_too_large_is_not_taken() -> None:
    """More bytes than a page may have end the run."""
    with (
        HostileServer(lambda talk: talk.answer(b"192.0.2.1\n" * 300_000, content_type=TEXT)) as server,
        pytest.raises(PartnerError, match="larger than"),
    ):
        _web(server).listing(None, 0)
