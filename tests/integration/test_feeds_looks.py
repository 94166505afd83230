"""Feeds recognised by asking real servers and reading real files, and `feed add` with and without a server."""

from __future__ import annotations

import json
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from builders import NOW, make_indicator_json
from clocks import FixedClock
from hostile_server import TAXII, HostileServer, Talk
from nodes import NodeAtWork, make_node
from threatshare.errors import PartnerError
from threatshare.feed_settings import FeedSettings
from threatshare.feeds.looks import Look, WebPage, look_at_path, look_at_url

BUNDLE = (
    b'{"type":"bundle","id":"bundle--1","objects":[' + make_indicator_json(1, "[ipv4-addr:value = '192.0.2.7']") + b"]}"
)
EVENT_ID = "5a1b2c3d-1111-4111-8111-111111111111"
EVENT = json.dumps({"Event": {"uuid": EVENT_ID, "info": "x", "timestamp": "1", "Attribute": []}}).encode()
MANIFEST = json.dumps({EVENT_ID: {"timestamp": "1", "info": "x"}}).encode()
CSV = b"id,ip_address\n1,192.0.2.1\n2,192.0.2.2\n"
HTML = b"<!DOCTYPE html>\n<html><body>Sign in</body></html>"
DISCOVERY = json.dumps({"title": "t", "default": "/api/", "api_roots": ["/api/"]}).encode()


def serving(body: bytes, content_type: str = "text/plain", status: int = 200) -> Callable[[Talk], None]:
    return lambda talk: talk.answer(body, status, content_type)


def look(server: HostileServer, path: str, seconds: float = 5.0) -> Look:
    settings = FeedSettings("stix", url=server.url(path), allow_private_address=True)
    return look_at_url(settings, Path("/"), FixedClock(), seconds=seconds)


@pytest.mark.parametrize(
    ("body", "content_type", "kind"),
    [
        (BUNDLE, "application/octet-stream", "stix"),
        (b"\xef\xbb\xbf  " + BUNDLE, "text/html", "stix"),
        (b"[" + make_indicator_json(1, "[ipv4-addr:value = '192.0.2.7']") + b"]", "text/plain", "stix"),
        (EVENT, "application/json", "misp"),
        (b'{"response":[' + EVENT + b"]}", "application/json", "misp"),
        (MANIFEST, "application/json", "misp"),
        (CSV, "text/csv", "list"),
        (b"192.0.2.1\n192.0.2.2\n", "text/html", "list"),
        (b'{"ip":"192.0.2.1"}\n{"ip":"192.0.2.2"}\n', "application/json", "list"),
    ],
)
def test_what_it_is_the_content_says(body: bytes, content_type: str, kind: str) -> None:
    """Neither the address nor the media type decides, but what comes."""
    with HostileServer(serving(body, content_type)) as server:
        assert look(server, "/download?id=7").kind == kind


@pytest.mark.parametrize(
    ("path", "asked"), [("/", "/taxii2/"), ("/api/", "/api/"), ("/x/collections/1/", "/x/collections/1/")]
)
@pytest.mark.parametrize("version", ["2.1", "2.0"])
def test_taxii(path: str, asked: str, version: str) -> None:
    """TAXII is known by its answer to its own media type, whichever version; a bare host means its discovery."""
    media_type = TAXII if version == "2.1" else "application/vnd.oasis.taxii+json; version=2.0"

    def behave(talk: Talk) -> None:
        wanted = media_type.partition(";")[0] in talk.asked.headers.get("accept", "")
        if wanted and talk.asked.path == asked:
            talk.answer(DISCOVERY, 200, media_type)
        else:
            talk.answer(b"{}", 406, "application/json")

    with HostileServer(behave) as server:
        assert look(server, path).kind == ("taxii" if version == "2.1" else "taxii20")


def test_a_web_page_is_refused_but_for_the_manifest_beside_it() -> None:
    """A page for people is no feed; where a MISP manifest stands below the address, that is meant."""

    def behave(talk: Talk) -> None:
        if talk.asked.path == "/feed/manifest.json":
            talk.answer(MANIFEST, 200, "application/json")
        else:
            talk.answer(HTML, 200, "text/html")

    with HostileServer(behave) as server:
        found = look(server, "/feed/")
        assert (found.kind, found.url) == ("misp", server.url("/feed/manifest.json"))
        with pytest.raises(WebPage, match="web page"):
            look(server, "/login.txt")


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
def test_what_does_not_answer_is_not_guessed(status: int) -> None:
    """An error page says nothing about the feed: the caller falls back on the address."""
    with HostileServer(serving(HTML, "text/html", status)) as server, pytest.raises(PartnerError) as raised:
        look(server, "/taxii2/")
    assert not isinstance(raised.value, WebPage)


@pytest.mark.parametrize("fault", ["hang", "drip", "endless", "elsewhere"])
def test_a_hostile_server_is_soon_left(fault: str) -> None:
    """A look ends within its deadline, holds no more than a page, and goes to no other host."""

    def behave(talk: Talk) -> None:
        match fault:
            case "hang":
                talk.hang()
            case "drip":
                talk.head("Content-Length: 1000")
                talk.until_stopped(lambda: b"x", 0.05)
            case "endless":
                talk.head("Transfer-Encoding: chunked")
                talk.until_stopped(lambda: b"10000\r\n" + b"x" * 65536 + b"\r\n")
            case "elsewhere":
                talk.answer(b"", 302, Location="http://192.0.2.1/")

    began = time.monotonic()
    with HostileServer(behave) as server, pytest.raises(PartnerError):
        look(server, "/list.txt", 1.0)
    assert time.monotonic() - began < 5


def test_paths(tmp_path: Path) -> None:
    """A file is known by its content, a directory by its manifest or its first file; an empty one by nothing."""
    for name, body in (("a.json", BUNDLE), ("b.bin", CSV), ("c.json", EVENT)):
        (tmp_path / name).write_bytes(body)
    assert [look_at_path(tmp_path / name, NOW).kind for name in ("a.json", "b.bin", "c.json")] == [
        "stix",
        "list",
        "misp",
    ]
    assert look_at_path(tmp_path, NOW).kind == "stix"
    (tmp_path / "manifest.json").write_bytes(MANIFEST)
    assert look_at_path(tmp_path, NOW).kind == "misp"
    (tmp_path / "empty").mkdir()
    for missing in ("empty", "nothing"):
        with pytest.raises(PartnerError):
            look_at_path(tmp_path / missing, NOW)


# --- the command --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> NodeAtWork:
    return make_node(tmp_path_factory.mktemp("looks") / "node")


def test_feed_add_recognises_and_shows(node: NodeAtWork) -> None:
    """What is added is recognised, shown as it would come in, and written so that it is pulled as shown."""
    with HostileServer(serving(CSV, "application/octet-stream")) as server:
        told = node.row("feed", "add", "odd", server.url("/download"))
        assert (told["kind"], told["list"]) == ("list", {"format": "csv", "header": "first", "value": "ip_address"})
        assert told["preview"]["values"][0] == {"type": "ipv4-addr", "value": "192.0.2.1"}
        assert len(server.asked) == 1, "what the look brought is what is shown"
        file = tomllib.loads((node.directory / "feeds" / "odd.toml").read_text())
        assert (file["kind"], file["list"]["value"]) == ("list", "ip_address")
        assert node.row("pull", "odd")["new"] == 2


def test_feed_add_without_a_server(node: NodeAtWork, refusing_port: int) -> None:
    """A server that is down keeps nobody from adding a feed: the address tells, and a warning says so."""
    address = f"http://127.0.0.1:{refusing_port}/lists/bad.csv"
    done = node.run("feed", "add", "down", address, "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["kind"] == "list"
    assert "could not be looked at" in done.stderr
    assert node.row("feed", "add", "unasked", address, "--no-look")["kind"] == "list"


def test_feed_add_refuses_a_web_page(node: NodeAtWork) -> None:
    """A web page is no feed, exit code 4, and nothing is written; --no-look adds it all the same."""
    with HostileServer(serving(HTML, "text/html")) as server:
        done = node.run("feed", "add", "page", server.url("/index.txt"))
        assert done.returncode == 4
        assert "web page" in done.stderr
        assert not (node.directory / "feeds" / "page.toml").exists()
        assert node.run("feed", "add", "page", server.url("/index.txt"), "--no-look").returncode == 0
        assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("status", "where", "words"),
    [
        (404, None, "HTTP 404; check the address. Nothing was added: there is nothing at that address"),
        (410, None, "HTTP 410"),
        (302, "http://198.51.100.9/list.txt", "points to http://198.51.100.9/list.txt"),
        (401, None, "--token-env"),
        (403, None, "--password-env"),
    ],
)
def test_feed_add_refuses_what_is_answered_so_each_time(
    node: NodeAtWork, status: int, where: str | None, words: str
) -> None:
    """What is not there, is elsewhere or wants a secret that was not given is not added; --no-look adds it."""
    file = node.directory / "feeds" / f"no-{status}.toml"
    headers = {} if where is None else {"Location": where}
    with HostileServer(lambda talk: talk.answer(b"", status, "text/plain", headers)) as server:
        said = ("feed", "add", file.stem, server.url("/list.txt"))
        done = node.run(*said)
        assert (done.returncode, file.exists()) == (4, False)
        assert words in done.stderr
        assert node.run(*said, "--no-look").returncode == 0
        assert file.exists()


def test_feed_add_with_a_secret_that_is_refused(node: NodeAtWork, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret may be wrong here and right where the daemon runs: the feed is added with a warning."""
    monkeypatch.setitem(node.secrets, "TOKEN_FOR_LOOKS", "x" * 20)
    with HostileServer(serving(b"", status=401)) as server:
        done = node.run("feed", "add", "secret", server.url("/list.txt"), "--token-env", "TOKEN_FOR_LOOKS")
        assert done.returncode == 0
        assert "HTTP 401" in done.stderr


def test_feed_add_takes_objects_a_line(node: NodeAtWork) -> None:
    """STIX as newline-delimited JSON is recognised, shown and pulled; no message names a file that was only ours."""
    lines = [make_indicator_json(n, f"[ipv4-addr:value = '192.0.2.{n}']") for n in range(3)]
    with HostileServer(serving(b"\n".join(lines), "application/x-ndjson")) as server:
        told = node.row("feed", "add", "lines", server.url("/x.ndjson"))
        assert (told["kind"], told["preview"]["looked_at"]) == ("stix", 3)
        assert node.row("pull", "lines")["new"] == 3
    with HostileServer(serving(BUNDLE[:-2], "application/json")) as server:
        done = node.run("feed", "add", "cut", server.url("/cut.json"))
        assert "could not be read yet" in done.stderr
        assert server.url("/cut.json") in done.stderr
        assert "look.json" not in done.stderr


@pytest.mark.parametrize(
    ("host", "allowed"),
    [("127.0.0.1", True), ("localhost", True), ("10.0.0.1", True), ("[fd00::1]", True)]
    + [(host, False) for host in ("169.254.169.254", "[fd00:ec2::254]", "[fe80::1]", "169.254.1.1", "100.64.0.1")],
)
def test_feed_add_allows_only_what_is_plainly_inside(node: NodeAtWork, host: str, allowed: bool) -> None:
    """A typed address is allowed by itself where it is loopback or of a site's own network, and nowhere else."""
    told = node.row("feed", "add", f"at{abs(hash(host))}", f"http://{host}/list.txt", "--no-look")
    assert told.get("allow_private_address", False) == allowed


def test_pull_where_every_feed_is_paused(tmp_path: Path) -> None:
    """`pull` says that there are feeds and that they are paused, and how that ends."""
    node = make_node(tmp_path / "node")
    (tmp_path / "list.txt").write_text("192.0.2.1\n")
    node.row("feed", "add", "one", str(tmp_path / "list.txt"))
    node.run("feed", "pause", "one")
    done = node.run("pull")
    assert done.returncode == 2
    assert "every feed is paused" in done.stderr


def test_feed_add_does_not_need_the_secret(node: NodeAtWork) -> None:
    """Whoever adds a feed need not know its password: it is added as said, and nothing is asked without it."""
    with HostileServer(serving(BUNDLE)) as server:
        told = node.run("feed", "add", "locked", server.url("/x.json"), "--token-env", "NOT_SET_ANYWHERE")
        assert told.returncode == 0
        assert "NOT_SET_ANYWHERE" in told.stderr
        assert server.asked == []
