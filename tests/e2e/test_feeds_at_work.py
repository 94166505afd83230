"""Feeds as processes pull them: stopped, killed, side by side, from servers that take their time."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from itertools import pairwise
from pathlib import Path

import pytest

from builders import make_indicator_json
from hostile_server import COLLECTION, HostileServer, Talk
from nodes import PATIENCE, NodeAtWork, make_node
from threatshare.config import STORE_FILE
from threatshare.store.connection import open_reader
from threatshare.store.runs import FeedState, feed_state

PAGE = 10


@pytest.fixture
def node(tmp_path: Path) -> NodeAtWork:
    return make_node(tmp_path / "node")


class Paged:
    """A TAXII collection of many pages; from one page on, an answer takes until it is let go."""

    def __init__(self, pages: int, stuck_at: int | None = None) -> None:
        self.pages = pages
        self.stuck_at = stuck_at
        self.stuck = threading.Event()
        self.go = threading.Event()

    def __call__(self, talk: Talk) -> None:
        number = int(talk.asked.query.get("next", 0))
        if number == self.stuck_at:
            self.stuck.set()
            self.go.wait(20)
        first = number * PAGE
        raws = [make_indicator_json(n, f"[ipv4-addr:value = '192.0.2.{n % 250}']") for n in range(first, first + PAGE)]
        more = number + 1 < self.pages
        after = f'"more":true,"next":"{number + 1}",' if more else ""
        talk.answer(b"{" + after.encode() + b'"objects":[' + b",".join(raws) + b"]}")


def add(node: NodeAtWork, name: str, url: str, *options: str) -> None:
    node.row("feed", "add", name, url, "--no-look", "--kind", "taxii", "--jitter", "0", *options)


@contextmanager
def pulling(node: NodeAtWork, *names: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "threatshare", "--node", str(node.directory), "pull", *names, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | node.secrets,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=PATIENCE)


def state_of(node: NodeAtWork, name: str) -> tuple[FeedState, int]:
    """Gives a feed's state, and how many objects the store holds."""
    with closing(open_reader(node.directory / STORE_FILE)) as conn:
        return feed_state(conn, name), conn.execute("SELECT count(*) FROM object").fetchone()[0]


def eventually(found: Callable[[], bool], what: str) -> None:
    for _ in range(PATIENCE * 20):
        if found():
            return
        time.sleep(0.05)
    raise AssertionError(what)


def test_ctrl_c_stops_behind_the_page(node: NodeAtWork) -> None:
    """SIGINT ends a pull with exit code 130 behind the page that it waits for; the next pull goes on from there."""
    feed = Paged(9, stuck_at=3)
    with HostileServer(feed) as server:
        add(node, "slow", server.url())
        with pulling(node, "slow") as process:
            assert feed.stuck.wait(PATIENCE)
            process.send_signal(signal.SIGINT)
            time.sleep(0.3)
            assert process.poll() is None, "it does not break off in the middle of a page"
            feed.go.set()
            out, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == 130, err
        assert "stopping behind this page" in err
        report = json.loads(out)
        assert (report["status"], report["stopped"], report["objects"]) == ("ok", True, 4 * PAGE)
        state, held = state_of(node, "slow")
        assert held == 4 * PAGE
        assert json.loads(state.cursor or "{}")["next"] == "4"
        asked = len(server.asked)
        assert node.row("pull", "slow")["new"] == 5 * PAGE
        assert server.asked[asked].query["next"] == "4"


def test_a_second_ctrl_c_ends_at_once(node: NodeAtWork) -> None:
    """Whoever does not want to wait for a server that says nothing presses again; nothing half is kept."""
    feed = Paged(9, stuck_at=3)
    with HostileServer(feed) as server:
        add(node, "slow", server.url())
        with pulling(node, "slow") as process:
            assert feed.stuck.wait(PATIENCE)
            for _ in range(2):
                process.send_signal(signal.SIGINT)
                time.sleep(0.3)
            _, err = process.communicate(timeout=10)
        assert process.returncode == 130, err
        feed.go.set()
        assert state_of(node, "slow")[1] == 0
        assert node.row("pull", "slow")["new"] == 9 * PAGE


def test_two_pulls_of_one_feed_never_overlap(node: NodeAtWork) -> None:
    """While one process pulls a feed, another leaves it alone and says so; killed with -9, it blocks nobody."""
    feed = Paged(5, stuck_at=2)
    with HostileServer(feed) as server:
        add(node, "slow", server.url())
        with pulling(node, "slow") as process:
            assert feed.stuck.wait(PATIENCE)
            before = len(server.asked)
            busy = node.row("pull", "slow", code=1)
            assert busy["status"] == "busy"
            assert f"process {process.pid} " in busy["error"]
            assert len(server.asked) == before
            states = {one["feed"]: one["state"] for one in node.row("status")["feeds"]}
            assert states == {"slow": "running"}
            process.kill()
            process.wait(PATIENCE)
        feed.go.set()
        assert node.row("pull", "slow")["new"] == 5 * PAGE


SLOW_FEEDS = 30


def test_slow_feeds_do_not_delay_another(node: NodeAtWork) -> None:
    """While thirty servers say nothing, a feed of another goes on by its schedule; the daemon still stops at once."""
    quick_asked: list[float] = []

    def behave(talk: Talk) -> None:
        if talk.asked.path == COLLECTION + "objects/":
            quick_asked.append(time.monotonic())
            talk.answer(b'{"objects":[]}')
        else:
            talk.hang()

    with HostileServer(behave) as server:
        for number in range(SLOW_FEEDS):
            (node.directory / "feeds").mkdir(exist_ok=True)
            file = node.directory / "feeds" / f"a{number}.toml"
            url = server.url(f"/{number}/collections/1/")
            file.write_text(
                f'kind = "taxii"\nurl = "{url}"\nallow_private_address = true\npage_deadline_seconds = 20\n'
            )
        add(node, "quick", server.url(), "--every", "1s")
        node.row("pull", "quick")
        quick_asked.clear()
        with node.serving("daemon"):
            eventually(lambda: len({one.path for one in server.asked}) > 20, "the slow feeds never began")
            seen = len(quick_asked)
            eventually(lambda: len(quick_asked) >= seen + 4, "the quick feed waits for the slow ones")
            server.stopping.set()
    gaps = [later - earlier for earlier, later in pairwise(quick_asked)]
    assert max(gaps) < 15, "a slow feed keeps its thread for 20 seconds"


def test_the_daemon_leaves_a_feed_to_whoever_pulls_it(node: NodeAtWork) -> None:
    """A feed that is pulled by hand when it is due is not pulled by the daemon too; afterwards it is, by schedule."""
    feed = Paged(3, stuck_at=1)
    with HostileServer(feed) as server:
        add(node, "shared", server.url(), "--every", "1s")
        with pulling(node, "shared") as process:
            assert feed.stuck.wait(PATIENCE)
            with node.serving("daemon"):
                time.sleep(2.5)
                assert len(server.asked) == 2, "the daemon has asked too"
                feed.go.set()
                process.communicate(timeout=PATIENCE)
                assert process.returncode == 0
                eventually(lambda: len(server.asked) > 3, "the daemon never took the feed up")
    assert state_of(node, "shared")[1] == 3 * PAGE


def test_an_alarm_is_told_once_in_the_log_and_kept(node: NodeAtWork, tmp_path: Path) -> None:
    """A feed that names what is ours: one line in the daemon's log, a row in `status`, until it is acknowledged."""
    (node.directory / "own-assets.toml").write_text('domains = ["own.example"]\n')
    bundle = tmp_path / "bundle.json"
    raw = make_indicator_json(1, "[domain-name:value = 'www.own.example']")
    bundle.write_bytes(b'{"type":"bundle","id":"bundle--1","objects":[' + raw + b"]}")
    node.row("feed", "add", "loose", str(bundle), "--every", "1s", "--jitter", "0")
    with node.serving("daemon"):
        eventually(lambda: len(node.row("feed", "history", "loose")["runs"]) >= 3, "it was not pulled")
    log = (node.directory / "daemon.log").read_text()
    lines = [json.loads(line) for line in log.splitlines() if '"event": "alarm"' in line]
    assert len(lines) == 1
    assert "own.example" not in log
    (alarm,) = node.row("status")["alarms"]
    assert (alarm["feed"], alarm["kind"]) == ("loose", "own")
    assert node.row("feed", "history", "loose")["alarms"][0]["values"] == ["domain-name: www.own.example"]
    assert node.row("pull", "loose")["status"] == "ok"
    assert node.row("feed", "acknowledge", "loose", "--by", "desk", "--reason", "told them")["acknowledged"] == 1
    assert node.row("status")["alarms"] == []


def test_a_terminal_sees_how_far_it_is(node: NodeAtWork, tmp_path: Path) -> None:
    """On a terminal a pull shows part, rate and what is left; the data on stdout is the same line as everywhere."""
    values = tmp_path / "values.txt"
    values.write_text("".join(f"h{number}.example.com\n" for number in range(50_000)))
    node.row("feed", "add", "many", str(values))
    ours, theirs = pty.openpty()
    seen = bytearray()

    def read() -> None:
        with suppress(OSError):  # the terminal's other end is closed
            while chunk := os.read(ours, 65_536):
                seen.extend(chunk)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    command = [sys.executable, "-m", "threatshare", "--node", str(node.directory), "pull", "many"]
    environment = os.environ | {"COLUMNS": "120", "TERM": "xterm"}
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=theirs, text=True, timeout=PATIENCE, check=True, env=environment
    )
    os.close(theirs)
    reader.join(10)
    os.close(ours)
    assert re.search(rb"many .*\b40%.* [0-9,]+/s", bytes(seen)), seen[-500:]
    assert re.fullmatch(r"many: ok, 50000 objects: 50000 new, .*\n", done.stdout)
