"""Hostile lists, MISP feeds, listings and names through the whole path, and what they may take of memory and time."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from clocks import FixedClock
from hostile_node import KINDS, MEGABYTE, PATHS, WHOLE, Puller, event, event_uuid, good, rows
from hostile_server import COLLECTION, HostileServer, Talk, envelope
from nodes import make_node
from threatshare.feed_settings import ListSettings
from threatshare.node import opened
from threatshare.store.runs import KEPT_REJECTS

_NUMBERS = count()


@pytest.fixture(scope="module")
def puller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Puller]:
    """A node at work, with feeds of many tests in it."""
    folder = tmp_path_factory.mktemp("hostile") / "node"
    make_node(folder)
    with opened(folder, FixedClock()) as node:
        yield Puller(node)


def _name(kind: str) -> str:
    return f"{kind}-{next(_NUMBERS)}"


# --- lists -------------------------------------------------------------------------------------------


LISTS: dict[str, tuple[bytes, ListSettings | None, int, str | None]] = {
    "one line of 100 MB": (b"x" * 100 * MEGABYTE, None, 0, "no row could be read"),
    "one line of 100 MB among others": (rows(0) + b"x" * 100 * MEGABYTE + b"\n" + rows(WHOLE), None, 2 * WHOLE, None),
    "ten million rows of junk": (b"-\n" * 10_000_000, None, 0, "cannot be read, so this is no such list"),
    "junk behind good rows": (rows(0) + b"-\n" * 3_000_000, None, WHOLE, "cannot be read, so this is no such list"),
    "three million comments": (b"#\n" * 3_000_000, None, 0, None),
    "three million blank lines": (b"\n" * 3_000_000 + rows(0), None, WHOLE, None),
    "binary": (rows(0) + bytes(range(256)) * 2000 + b"\n" + rows(WHOLE), None, 2 * WHOLE, None),
    "an open quote": (b'1,a\n2,b\n3,"c\n' + b"4,d\n" * 500, ListSettings(format="csv"), 0, "no row could be read"),
    "quotes without end": (b'"' * MEGABYTE, ListSettings(format="csv"), 0, "no row could be read"),
    "a field of a megabyte": (rows(0) + b'"' + b"x" * MEGABYTE + b'"\n', ListSettings(format="csv"), WHOLE, None),
    "a header of a megabyte": (
        b"#" + b"x" * MEGABYTE + b"\n" + rows(0),
        ListSettings(format="csv", header="comment", value="ip"),
        0,
        "columns is no row|has no column",
    ),
    "a million columns": (b"," * MEGABYTE + b"\n" + rows(0), ListSettings(format="csv"), WHOLE, None),
    "JSON too deep": (
        b'{"a":' * 10_000 + b"\n" + b'{"ip":"45.9.0.1"}\n',
        ListSettings(format="json-lines", value="ip"),
        1,
        None,
    ),
    "numbers too large": (
        b'{"ip":"45.9.0.1","s":1e999}\n{"ip":%s}\n' % (b"9" * 5000),
        ListSettings(format="json-lines", value="ip", seen="s", seen_format="epoch"),
        0,
        "no row could be read",
    ),
    "half characters": (
        b'{"ip":"\\ud800"}\n{"ip":"45.9.0.1"}\n',
        ListSettings(format="json-lines", value="ip"),
        1,
        None,
    ),
    "a line that a pattern would never end on": (
        b"a" * 60_000 + b"!\n45.9.0.1 x\n",
        ListSettings(pattern=r"(?P<value>[0-9.]+) .*|\w*\w*\w*x"),
        1,
        None,
    ),
    "times of nonsense": (
        b"45.9.0.1,nan\n45.9.0.2,-9e99\n45.9.0.3,1e400\n45.9.0.4,1760000000\n45.9.0.5,99999999999999\n",
        ListSettings(format="csv", seen=2, seen_format="epoch"),
        1,
        None,
    ),
    "NUL in every row": (b"45.9.0.1\0\n" * 100 + rows(0), None, WHOLE, None),
}
"""A body, how it is read, how many values come of it, and what the run's fault must say if it has one."""


@pytest.mark.parametrize("name", LISTS)
def test_list(puller: Puller, name: str) -> None:
    """What can be read of a list is taken, in little memory and time; what is no list at all ends the run."""
    body, terms, taken, fault = LISTS[name]
    feed = _name("list")
    with HostileServer(lambda talk: talk.answer(body, content_type="text/plain")) as server:
        puller.add(feed, "list", server, max_page_bytes=128 * MEGABYTE, list=terms, page_deadline_seconds=20)
        report = puller.pull(feed)
        assert (report.status == "failed") == (fault is not None), report.error
        if fault is not None:
            assert any(one in str(report.error) for one in fault.split("|")), report.error
        assert puller.claims(feed) == taken
        assert (puller.cursor(feed) is None) == (fault is not None)
        assert len(puller.reasons(feed)) <= KEPT_REJECTS
        # The body itself is in memory while it is read.
        assert puller.costs[feed].megabytes - 2.1 * len(body) / MEGABYTE < 100
        assert puller.costs[feed].seconds < 30
        body, terms = rows(0), None
        puller.change(feed, list=None)
        assert puller.pull(feed).status == "ok"
        assert puller.claims(feed) == WHOLE


def test_a_list_on_disk_is_read_line_by_line(puller: Puller, tmp_path: Path) -> None:
    """A file with one line of 200 MB takes no memory of that size."""
    file = tmp_path / "list.txt"
    with file.open("wb") as stream:
        for _ in range(200):
            stream.write(b"x" * MEGABYTE)
        stream.write(b"\n" + rows(0))
    feed = _name("list")
    with HostileServer(lambda talk: None) as server:
        puller.add(feed, "list", server, url=None, path=str(file))
    assert puller.pull(feed).status == "ok"
    assert puller.claims(feed) == WHOLE
    assert puller.costs[feed].megabytes < 50


# --- what a server says of its answer, to be said back to it -------------------------------------------


@pytest.mark.parametrize("kind", ["stix", "list"])
@pytest.mark.parametrize(
    "line",
    [
        'ETag: "a"\r\n b',
        "ETag: " + "x" * 60_000,
        "ETag: a b",
        "Last-Modified: x\r\n\ty",
        "Last-Modified: \xe9" + "y" * 999,
    ],
)
def test_what_cannot_be_said_back(puller: Puller, kind: str, line: str) -> None:
    """A tag or date that no request can carry does not keep the feed from ever being asked again."""

    def behave(talk: Talk) -> None:
        body = rows(0) if kind == "list" else json.dumps([]).encode()
        said = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n{line}\r\nContent-Length: {len(body)}\r\n\r\n"
        talk.raw(said.encode("latin-1") + body)

    feed = _name(kind)
    with HostileServer(behave) as server:
        puller.add(feed, kind, server)
        for _ in range(2):
            report = puller.pull(feed)
            assert report.status == "ok", report.error
        assert len(puller.cursor(feed) or "") < 1000


# --- MISP --------------------------------------------------------------------------------------------


def _misp(manifest: bytes, body: Callable[[str], bytes]) -> Callable[[Talk], None]:
    def behave(talk: Talk) -> None:
        name = talk.asked.path.rpartition("/")[2]
        talk.answer(manifest if name == "manifest.json" else body(name), content_type="application/json")

    return behave


def _one_event(text: bytes) -> Callable[[Talk], None]:
    return _misp(json.dumps({event_uuid(1): {"timestamp": "1"}}).encode(), lambda name: text)


HEAD = b'{"Event":{"uuid":"%s","timestamp":"1760000000","info":"x",' % event_uuid(1).encode()
MANY = 4_000_000
EVENTS: dict[str, tuple[Callable[[Talk], None], str, str | None]] = {
    "names that leave the folder": (
        _misp(b'{"../../../../etc/passwd%00aaaaaaaaaaaaaa":{}}', lambda name: b""),
        "failed",
        None,
    ),
    "names of another host": (_misp(b'{"//evil.example/aaaaaaaaaaaaaaaaaaaaa":{}}', lambda name: b""), "failed", None),
    "millions of events": (
        _misp(b"{" + b",".join(b'"%d":{}' % n for n in range(2_000_000)) + b"}", lambda name: b""),
        "failed",
        "more than",
    ),
    "millions of attributes": (_one_event(HEAD + b'"Attribute":[' + b"{}," * MANY + b"{}]}}"), "ok", "without a uuid"),
    "millions of numbers": (_one_event(HEAD + b'"Attribute":[' + b"1," * MANY + b"1]}}"), "ok", "at most 1048576"),
    "millions of objects": (_one_event(HEAD + b'"Object":[' + b"{}," * MANY + b"{}]}}"), "ok", "more than 200000"),
    "millions of tags": (_one_event(HEAD + b'"Tag":[' + b"{}," * MANY + b"{}]}}"), "failed", "bytes of tags"),
    "millions of events in one": (_one_event(b"[" + b"{}," * MANY + b"{}]"), "failed", "no uuid"),
    "a response of millions": (_one_event(b'{"response":[' + b"{}," * MANY + b"{}]}"), "failed", "no uuid"),
    "an attribute of 4 MB": (
        _one_event(HEAD + b'"Attribute":[{"value":"' + b"x" * 4 * MEGABYTE + b'"}]}}'),
        "ok",
        "at most 1048576",
    ),
    "an attribute that is no UTF-8": (
        _one_event(HEAD + b'"Attribute":[{"value":"\xff"}]}}'),
        "ok",
        "no MISP attribute",
    ),
    "a time of nonsense": (
        _one_event(event(1).replace(b'"timestamp": "1760000000", "Attr', b'"timestamp": "soon", "Attr')),
        "ok",
        "no number",
    ),
}
"""A server, how the run ends, and what the reason of the run or of a reject must say."""


@pytest.mark.parametrize("name", EVENTS)
def test_misp(puller: Puller, name: str) -> None:
    """Whatever stands in a manifest or an event costs little memory, and only itself."""
    behave, status, said = EVENTS[name]
    feed = _name("misp")
    with HostileServer(behave) as server:
        puller.add(feed, "misp", server, max_page_bytes=32 * MEGABYTE, page_deadline_seconds=20)
        report = puller.pull(feed)
        assert report.status == status, report
        if said is not None:
            assert any(said in one for one in [str(report.error), *puller.reasons(feed)]), (
                report,
                puller.reasons(feed)[:3],
            )
        assert all(one.path.startswith("/misp/") for one in server.asked)
    assert puller.costs[feed].megabytes < 100
    assert puller.costs[feed].seconds < 60


def test_thousands_of_empty_events(puller: Puller) -> None:
    """Events that bring nothing do not pile up in memory, though each moves the cursor, which names them all."""
    stamps = {event_uuid(number): {"timestamp": str(number)} for number in range(3000)}
    empty = json.dumps({"Event": {"uuid": event_uuid(1), "timestamp": "1"}}).encode()
    feed = _name("misp")
    with HostileServer(_misp(json.dumps(stamps).encode(), lambda name: empty)) as server:
        puller.add(feed, "misp", server, run_deadline_seconds=60)
        assert puller.pull(feed).status == "ok"
    assert len(json.loads(puller.cursor(feed) or "")["events"]) == 3000
    assert puller.costs[feed].megabytes < 60


# --- TAXII -------------------------------------------------------------------------------------------


def _page(number: int, **rest: object) -> bytes:
    return envelope(number * WHOLE, WHOLE, **rest)


LEADING_ON: dict[str, tuple[Callable[[int], bytes], str, int]] = {
    "more for ever": (lambda n: _page(n, more=True, next=n), "more than 20 pages", 20),
    "the same next": (lambda n: _page(0, more=True, next="again"), "repeats", 1),
    "more without next": (lambda n: _page(n, more=True), "`more` without `next`", 1),
    "a next of 10 MB": (lambda n: _page(n, more=True, next="x" * 10 * MEGABYTE), "10485760 characters", 1),
    "a million tiny objects": (lambda n: b'{"objects":[' + b"{}," * 1_000_000 + b"{}]}", "more than 100000 objects", 0),
}
"""Answers by number of the request, what the reason must say, and how many pages are kept."""


@pytest.mark.parametrize("name", LEADING_ON)
def test_taxii_that_leads_on(puller: Puller, name: str) -> None:
    """A server that never comes to an end is left, and what it gave is kept."""
    body, reason, pages = LEADING_ON[name]
    feed = _name("taxii")
    with HostileServer(lambda talk: talk.answer(body(talk.number))) as server:
        puller.add(feed, "taxii", server, max_page_bytes=16 * MEGABYTE)
        report = puller.pull(feed)
    assert report.status == "failed"
    assert reason in str(report.error)
    assert puller.claims(feed) == pages * WHOLE
    assert len(puller.cursor(feed) or "") < 5000
    assert puller.costs[feed].megabytes < 100


def test_a_bundle_of_very_many_tiny_objects(puller: Puller) -> None:
    """Each is refused, what is the same of all is kept aside once, and the one good among them is taken."""
    body = b'{"objects":[' + b"{}," * 550_000 + json.dumps(json.loads(envelope(0, 1))["objects"][0]).encode() + b"]}"
    feed = _name("stix")
    with HostileServer(lambda talk: talk.answer(body, content_type="application/json")) as server:
        puller.add(feed, "stix", server, max_page_bytes=16 * MEGABYTE, page_size=1000, run_deadline_seconds=300)
        report = puller.pull(feed)
    assert (report.status, report.new, report.rejected) == ("ok", 1, 550_000)
    assert len(puller.reasons(feed)) == 1
    assert puller.costs[feed].megabytes < 100


# --- names and addresses -----------------------------------------------------------------------------


def _as_written(host: str, port: int) -> list[str]:
    """Reads a host as the C library does: decimal, octal and short forms too."""
    return [socket.inet_ntoa(socket.inet_aton(host))]


FORBIDDEN = [
    ("2130706433", _as_written),
    ("0177.0.0.1", _as_written),
    ("0x7f.1", _as_written),
    ("127.1", _as_written),
    ("0xa9fea9fe", _as_written),
    ("169.254.169.254", _as_written),
    ("10.0.0.1", _as_written),
    ("0", _as_written),
    *(
        ("feed.example", lambda host, port, address=address: [address])
        for address in (
            "127.0.0.1", "::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "fe80::1",
            "fd00::1", "169.254.169.254", "fd00:ec2::254", "192.168.1.1", "172.16.0.1", "100.64.0.1", "100.100.100.200",
            "0.0.0.0", "::", "224.0.0.1", "255.255.255.255", "2002:7f00:1::", "168.63.129.16",
        )
    ),
]  # fmt: skip
"""A host as it stands in the address, and what it resolves to."""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("at", range(len(FORBIDDEN)))
def test_forbidden_address(puller: Puller, kind: str, at: int) -> None:
    """An address inside, link-local or of a metadata service is refused after resolution, however it is written."""
    host, resolve = FORBIDDEN[at]
    feed = _name(kind)
    with HostileServer(lambda talk: good(kind, talk)) as server:
        puller.add(feed, kind, server, url=server.url(PATHS[kind], host), allow_private_address=False)
        report = puller.pull(feed, resolve)
        assert report.status == "failed"
        assert any(one in str(report.error) for one in ("no public", "metadata", "single host", "reserved")), (
            report.error
        )
        assert server.asked == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("address", ["169.254.169.254", "::ffff:169.254.169.254", "fd00:ec2::254", "168.63.129.16"])
def test_metadata_is_refused_even_inside(puller: Puller, kind: str, address: str) -> None:
    """A feed that may be inside our network is still no metadata service."""
    feed = _name(kind)
    with HostileServer(lambda talk: good(kind, talk)) as server:
        puller.add(feed, kind, server, url=server.url(PATHS[kind], "feed.example"))
        report = puller.pull(feed, lambda host, port: [address])
    assert "metadata" in str(report.error)


@pytest.mark.parametrize("kind", ["taxii", "misp"])
def test_a_name_that_moves_between_pages(puller: Puller, kind: str) -> None:
    """A name that leads elsewhere by the time of the second page is refused there; the first page stays."""
    answers = [["127.0.0.1"], ["169.254.169.254"]]

    def behave(talk: Talk) -> None:
        good(kind, talk)
        if talk.number == (1 if kind == "taxii" else 2):
            talk.hang_up()

    feed = _name(kind)
    with HostileServer(behave) as server:
        puller.add(feed, kind, server, url=server.url(PATHS[kind], "feed.example"))
        report = puller.pull(feed, lambda host, port: answers.pop(0))
    assert "cloud metadata" in str(report.error)
    assert puller.claims(feed) == WHOLE
    assert puller.cursor(feed) is not None


def test_a_name_that_moves_is_asked_once(puller: Puller) -> None:
    """The connection goes to the address that was checked: what the name means a moment later is not asked."""
    asked: list[str] = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

    with HostileServer(lambda talk: good("taxii", talk)) as server:
        feed = _name("taxii")
        puller.add(feed, "taxii", server, url=server.url(COLLECTION, "feed.example"))
        assert puller.pull(feed, resolve).status == "ok"
    assert asked == ["feed.example"]
