from __future__ import annotations

import gzip
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from clocks import START, FixedClock
from hostile_server import TAXII, HostileServer, Talk, opener
from threatshare.errors import PartnerError
from threatshare.feeds.access import Access
from threatshare.feeds.egress import Limits
from threatshare.feeds.session import Answer, BadStatus, Busy, PartnerSession

BODY = b'{"objects":[]}'
SECRET = "Canary-7f3a"


def _get(server: HostileServer, path: str = "/a", **choices: Any) -> Answer:
    session = opener(server, path="/a", **choices)()
    try:
        return session.get(server.url(path), place="feed isac, page 1", media_types=lambda text: text == TAXII)
    finally:
        session.close()


def _get_at(url: str) -> Answer:
    session = PartnerSession(url, Access(), Limits(2, 2, 1000), clock=FixedClock())
    try:
        return session.get(url, place="feed isac, page 1", media_types=lambda text: text == TAXII)
    finally:
        session.close()


def _fails(behave: Callable[[Talk], None], message: str, **choices: Any) -> PartnerError:
    with HostileServer(behave) as server, pytest.raises(PartnerError, match=message) as caught:
        _get(server, **choices)
    assert "feed isac, page 1" in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        (None, BODY),
        ("identity", BODY),
        ("gzip", gzip.compress(BODY, mtime=0)),
        ("GZIP", gzip.compress(BODY, mtime=0)),
        ("x-gzip", gzip.compress(BODY[:5], mtime=0) + gzip.compress(BODY[5:], mtime=0)),
    ],
)
def test_plain_and_gzip(encoding: str | None, body: bytes) -> None:
    """A body comes as it is or in one layer of gzip, of one member or several."""
    headers = {} if encoding is None else {"Content-Encoding": encoding}
    with HostileServer(lambda talk: talk.answer(body, headers=headers)) as server:
        answer = _get(server)
    assert answer.body == BODY
    assert answer.wire_bytes > len(body)


def _answered(body: bytes, talk: Talk) -> None:
    talk.answer(body)


def test_a_file_that_is_published_compressed() -> None:
    """One layer that no header names is opened within the limits, in whatever pieces it comes; a second is refused."""
    packed = gzip.compress(BODY, mtime=0)

    def piecemeal(talk: Talk) -> None:
        talk.head("Transfer-Encoding: chunked")
        talk.raw(b"".join(b"1\r\n%c\r\n" % byte for byte in packed) + b"0\r\n\r\n")

    for behave in (partial(_answered, packed), piecemeal):
        with HostileServer(behave) as server:
            assert _get(server).body == BODY
    for body, fault in (
        (gzip.compress(packed), "more than once"),
        (packed[:-9], "too early"),
        (packed[:10] + b"\xff" * 40, "broken"),
        (gzip.compress(b"x" * 3_000_000), "larger than"),
    ):
        _fails(partial(_answered, body), fault)


def test_chunked() -> None:
    """A body may come in chunks."""

    def behave(talk: Talk) -> None:
        talk.head("Transfer-Encoding: chunked")
        talk.raw(b"5\r\n" + BODY[:5] + b"\r\n9;x=y\r\n" + BODY[5:] + b"\r\n0\r\n\r\n")

    with HostileServer(behave) as server:
        assert _get(server).body == BODY


def test_redirect_on_the_same_host() -> None:
    """A redirect to the same scheme, host and port is followed, credentials with it."""

    def behave(talk: Talk) -> None:
        if talk.asked.path == "/a":
            talk.answer(b"gone", 302, Location="/b")
        else:
            talk.answer(BODY)

    with HostileServer(behave) as server:
        answer = _get(server, user="me", password=SECRET)
    assert answer.url.endswith("/b")
    assert [asked.headers["authorization"][:6] for asked in server.asked] == ["Basic ", "Basic "]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "to", ["http://localhost:{port}/b", "http://127.0.0.1:1/b", "https://127.0.0.1:{port}/b", "//x/b"]
)
def test_redirect_elsewhere(status: int, to: str) -> None:
    """A redirect to another host, port or scheme is refused, and nothing is sent there."""
    with HostileServer(lambda talk: talk.answer(b"", status, Location=to.format(port=server.port))) as server:
        with pytest.raises(PartnerError, match="which is not on http://127"):
            _get(server, token=SECRET)
        assert len(server.asked) == 1


@pytest.mark.parametrize("host", ["127\u30020\u30020\u30021", "a" * 70 + ".example", "*.example"])
def test_an_address_that_cannot_be_used(host: str) -> None:
    """An address whose host nobody could ask is not blamed on an answer."""
    with HostileServer(lambda talk: talk.answer(BODY)) as server, pytest.raises(PartnerError) as caught:
        _get_at(server.url("/a", host))
    assert "no proper HTTP" not in str(caught.value)


def test_redirect_to_nonsense() -> None:
    """A redirect to an address that cannot be read is a fault of the server."""
    _fails(lambda talk: talk.answer(b"", 302, Location="http://[x/"), "cannot be read")
    _fails(lambda talk: talk.answer(b"", 302, Location="http://127.0.0.1:999999/"), "cannot be read")


def test_redirects_without_end() -> None:
    """A circle of redirects ends."""
    _fails(lambda talk: talk.answer(b"", 302, Location="/a"), "more than 5 redirects")


def test_body_of_a_redirect_is_not_read() -> None:
    """The body of a redirect, which a library would inflate, is left where it is."""

    def redirect(talk: Talk) -> None:
        if talk.asked.path == "/b":
            talk.answer(BODY)
            return
        talk.raw(b"HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Encoding: gzip\r\nContent-Length: 1000000000\r\n\r\n")
        talk.hang()

    with HostileServer(redirect) as server:
        assert _get(server).body == BODY


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry_After": "120"}, 120),
        ({"Retry_After": "9" * 400}, 3600),
        ({"Retry_After": "Sun, 01 Mar 2026 12:10:00 GMT"}, 600),
        ({"Retry_After": "Sun, 01 Mar 2026 11:00:00 GMT"}, 0),
        ({"Retry_After": "Sun, 01 Mar 2099 12:00:00 GMT"}, 3600),
        ({"Retry_After": "Mon, 99 Foo 999999999999999999999 99:99:99 GMT"}, None),
        ({"Retry_After": "soon"}, None),
        ({"Retry_After": "-5"}, None),
        ({"Retry_After": "²"}, None),
        ({}, None),
    ],
)
def test_busy(status: int, headers: dict[str, str], seconds: float | None) -> None:
    """A busy server is told apart, with the time it asks for: seconds or a date, an hour at most."""

    def behave(talk: Talk) -> None:
        lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        text = "\r\n".join([f"HTTP/1.1 {status} Busy", *lines, "Content-Length: 0", "", ""])
        talk.raw(text.encode("latin-1"))

    problem = _fails(behave, f"HTTP {status}")
    assert isinstance(problem, Busy)
    assert problem.retry_after == seconds


def test_busy_by_the_servers_clock() -> None:
    """A date in Retry-After is counted from the server's own date where it sends one."""

    def behave(talk: Talk) -> None:
        talk.raw(
            b"HTTP/1.1 503 Busy\r\nDate: Sun, 01 Mar 2026 18:00:00 GMT\r\n"
            b"Retry-After: Sun, 01 Mar 2026 18:01:00 GMT\r\nContent-Length: 0\r\n\r\n"
        )

    assert START.hour == 12
    problem = _fails(behave, "503")
    assert isinstance(problem, Busy)
    assert problem.retry_after == 60


@pytest.mark.parametrize("status", [201, 204, 206, 304, 400, 401, 403, 404, 406, 500, 502])
def test_no_success(status: int) -> None:
    """Every status but 200 is a fault."""
    problem = _fails(lambda talk: talk.answer(BODY if status not in (204, 304) else b"", status), f"HTTP {status}")
    assert isinstance(problem, BadStatus)
    assert problem.status == status


def test_unconfigured_host() -> None:
    """The session asks nobody but the configured origin, whatever address it is given."""
    with (
        HostileServer(lambda talk: talk.answer(BODY)) as other,
        HostileServer(lambda talk: talk.answer(BODY)) as server,
    ):
        session = opener(server, token=SECRET)()
        with pytest.raises(PartnerError, match="which is not on"):
            session.get(other.url("/a"), place="feed isac", media_types=lambda text: True)
        assert other.asked == []


def test_private_address() -> None:
    """Loopback is refused unless the configuration allows it, and the message says what to set."""
    with HostileServer(lambda talk: talk.answer(BODY)) as server:
        with pytest.raises(PartnerError, match=r"127\.0\.0\.1, no public address; set allow_private_address"):
            _get(server, allow_private_address=False)
        assert server.asked == []


def test_connection_goes_to_the_checked_address() -> None:
    """The name is resolved once for a connection, which goes to the address that was checked."""
    asked = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    with HostileServer(lambda talk: talk.answer(BODY)) as server:
        session = opener(server, host="feed.invalid", resolve=resolve)()
        for _ in range(3):
            session.get(server.url("/a", "feed.invalid"), place="feed", media_types=lambda text: True)
        session.close()
    assert asked == ["feed.invalid"]
    assert server.asked[0].headers["host"] == f"feed.invalid:{server.port}"


def test_rebinding() -> None:
    """A name that has moved to a metadata service by the time of the next connection is refused there."""
    answers = [["127.0.0.1"], ["169.254.169.254"]]

    def behave(talk: Talk) -> None:
        talk.answer(BODY, Connection="close")
        talk.hang_up()

    with HostileServer(behave) as server:
        session = opener(server, host="feed.invalid", resolve=lambda host, port: answers.pop(0))()
        url = server.url("/a", "feed.invalid")
        session.get(url, place="feed", media_types=lambda text: True)
        with pytest.raises(PartnerError, match="cloud metadata"):
            session.get(url, place="feed", media_types=lambda text: True)
        session.close()


def test_second_address_is_tried() -> None:
    """Where the first address does not answer, the next one is tried."""
    with HostileServer(lambda talk: talk.answer(BODY)) as server:
        session = opener(server, host="feed.invalid", resolve=lambda host, port: ["::1", "127.0.0.1"])()
        answer = session.get(server.url("/a", "feed.invalid"), place="feed", media_types=lambda text: True)
    assert answer.body == BODY


def test_connection_closed_between_pages() -> None:
    """A kept connection that the server closes just as it is used again costs a second attempt, not the run."""

    def behave(talk: Talk) -> None:
        if talk.number == 2:
            talk.hang_up()
        else:
            talk.answer(BODY)

    with HostileServer(behave) as server:
        session = opener(server)()
        for _ in range(2):
            assert session.get(server.url("/a"), place="feed", media_types=lambda text: True).body == BODY
        session.close()
    assert len(server.asked) == 3


def test_new_connection_closed_at_once() -> None:
    """A server that closes new connections without an answer is not asked again and again."""
    with HostileServer(lambda talk: talk.hang_up()) as server:
        with pytest.raises(PartnerError, match="feed isac"):
            _get(server)
        assert len(server.asked) == 1


def test_nobody_there() -> None:
    """A refused connection is named as such."""
    with HostileServer(lambda talk: talk.answer(BODY)) as server:
        pass
    with pytest.raises(PartnerError, match="Connection refused") as caught:
        _get(server, f"/a?key={SECRET}")
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_cookies_are_not_kept() -> None:
    """A server cannot mark us with cookies."""
    with HostileServer(lambda talk: talk.answer(BODY, Set_Cookie="a=b; Path=/")) as server:
        session = opener(server)()
        for _ in range(2):
            session.get(server.url("/a"), place="feed", media_types=lambda text: True)
        session.close()
    assert "cookie" not in server.asked[1].headers


def test_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Proxies and .netrc of the account that runs the node have no part in it."""
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine 127.0.0.1 login me password {SECRET}")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with HostileServer(lambda talk: talk.answer(BODY)) as server:
        assert _get(server).body == BODY
    assert "authorization" not in server.asked[0].headers


@pytest.mark.parametrize(
    ("access", "header"),
    [
        ({"user": "me", "password": "pä:ss"}, "Basic bWU6cMOkOnNz"),
        ({"user": "me"}, "Basic bWU6"),
        ({"token": "abc"}, "Bearer abc"),
    ],
)
def test_credentials(access: dict[str, str], header: str) -> None:
    """Basic and Bearer credentials are sent as their standards say, in UTF-8."""
    with HostileServer(lambda talk: talk.answer(BODY)) as server:
        _get(server, **access)
    assert server.asked[0].headers["authorization"] == header


@pytest.mark.parametrize(
    "behave",
    [
        lambda talk: talk.answer(b"", 401),
        lambda talk: talk.answer(b"", 429),
        lambda talk: talk.answer(b"", 302, Location=f"http://me:{SECRET}@x/?key={SECRET}"),
        lambda talk: talk.hang_up(),
        lambda talk: talk.raw(b"nonsense\r\n\r\n"),
        lambda talk: talk.head("Content-Length: 500"),
        lambda talk: talk.answer(b"x", content_type="text/html"),
        lambda talk: talk.answer(b"x", Content_Encoding="gzip"),
    ],
)
def test_secrets_are_in_no_message(behave: Callable[[Talk], None]) -> None:
    """Whatever fails, no message or traceback holds a password, token, userinfo or key of the query."""
    with HostileServer(behave) as server, pytest.raises(PartnerError) as caught:
        _get(server, f"/a?key={SECRET}", user="me", password=SECRET, page_seconds=0.4)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_library_session_is_guarded_too() -> None:
    """What a library sends over requests' session underneath is under the same guard: no redirect, no free wait."""
    with HostileServer(lambda talk: talk.answer(b"", 302, Location="http://localhost/")) as server:
        session = opener(server)()
        assert session.http.get(server.url("/a")).status_code == 302
        session.close()
