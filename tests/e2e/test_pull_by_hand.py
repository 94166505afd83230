"""A person at a terminal pulls feeds of every kind: sees how far it is, and stops in the middle."""

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
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest

from builders import make_indicator_json
from hostile_server import HostileServer, Talk
from nodes import PATIENCE, NodeAtWork, make_node
from threatshare.config import STORE_FILE
from threatshare.store.connection import open_reader
from threatshare.store.runs import feed_state

COUNT = 2_500
EVENTS = 5


def uuid(number: int) -> str:
    return f"{number:08}-1111-4111-8111-111111111111"


def bundle() -> bytes:
    raws = (make_indicator_json(n, f"[ipv4-addr:value = '198.18.{n // 250}.{n % 250}']") for n in range(COUNT))
    return b'{"type":"bundle","id":"bundle--1","objects":[' + b",".join(raws) + b"]}"


def event(number: int) -> bytes:
    attributes = [
        {"uuid": f"{number:08}-0000-4000-8000-{n:012}", "type": "ip-dst", "value": f"198.18.{number}.{n % 250}"}
        | {"to_ids": True, "timestamp": "1767225600"}
        for n in range(COUNT // EVENTS)
    ]
    told = {"uuid": uuid(number), "info": "x", "date": "2026-01-01", "timestamp": "1767225600"}
    return json.dumps({"Event": told | {"Attribute": attributes}}).encode()


class Slow:
    """A server that stops in the middle of one answer until it is let go, or sends it in pieces."""

    def __init__(self, pause: float | None = None) -> None:
        self.pause = pause
        self.stuck = threading.Event()
        self.go = threading.Event()

    def __call__(self, talk: Talk) -> None:
        path = talk.asked.path
        if path.endswith("/manifest.json"):
            talk.answer(json.dumps({uuid(n): {"timestamp": "1"} for n in range(EVENTS)}).encode(), content_type=None)
        elif path.endswith(".json") and "bundle" not in path:
            number = int(path.rpartition("/")[2][:8])
            self.halved(talk, event(number)) if number == 2 else talk.answer(event(number), content_type=None)
        elif path.endswith(".txt"):
            self.halved(talk, b"".join(b"h%d.example.com\n" % n for n in range(COUNT)))
        else:
            self.halved(talk, bundle())

    def halved(self, talk: Talk, body: bytes) -> None:
        if self.go.is_set():
            talk.answer(body, content_type=None)
            return
        talk.raw(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode())
        pieces = 2 if self.pause is None else 8
        step = len(body) // pieces + 1
        for at in range(0, len(body), step):
            talk.raw(body[at : at + step])
            if self.pause is not None:
                time.sleep(self.pause)
            elif not at:
                self.stuck.set()
                self.go.wait(PATIENCE)


def add(node: NodeAtWork, kind: str, url: str) -> None:
    (node.directory / "feeds" / "slow.toml").write_text(
        f'kind = "{kind}"\nurl = "{url}"\nallow_private_address = true\n'
    )


def command(node: NodeAtWork) -> list[str]:
    return [sys.executable, "-m", "threatshare", "--node", str(node.directory), "pull", "slow"]


def cursor(node: NodeAtWork) -> dict[str, object]:
    with closing(open_reader(node.directory / STORE_FILE)) as conn:
        return dict(json.loads(feed_state(conn, "slow").cursor or "{}"))


@pytest.mark.parametrize(
    ("kind", "path", "taken", "stands"),
    [
        ("stix", "/bundle.json", 1_000, lambda found: "digest" not in found),
        ("list", "/list.txt", COUNT, lambda found: not found),
        ("misp", "/m/manifest.json", 2_000, lambda found: len(found["events"]) == 3),
    ],
)
def test_ctrl_c_in_the_middle_of_an_answer(
    tmp_path: Path, kind: str, path: str, taken: int, stands: Callable[[dict[str, object]], bool]
) -> None:
    """Exit code 130 behind the page; the cursor stands at the last whole one, and the next pull brings what is missing.

    A bundle and a list come whole and are read anew: what of them is here changes nothing.
    """
    node, feed = make_node(tmp_path / "node"), Slow()
    with HostileServer(feed) as server:
        add(node, kind, server.url(path))
        process = subprocess.Popen(
            [*command(node), "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        try:
            assert feed.stuck.wait(PATIENCE)
            process.send_signal(signal.SIGINT)
            time.sleep(0.3)
            assert process.poll() is None, "it does not break off in the middle of an answer"
            feed.go.set()
            out, err = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
        assert process.returncode == 130, err
        report = json.loads(out)
        whole = COUNT + (EVENTS if kind == "misp" else 0)
        assert (report["stopped"], report["objects"]) == (True, taken), report
        assert stands(cursor(node))
        again = node.row("pull", "slow")
        assert again["new"] == whole - taken
        assert again["withdrawn"] == 0


def test_a_terminal_sees_an_answer_come_in(tmp_path: Path) -> None:
    """A bundle of known length that takes a while shows megabytes, their rate and the time left, then its objects."""
    node = make_node(tmp_path / "node")
    seen = bytearray()
    ours, theirs = pty.openpty()

    def read() -> None:
        with suppress(OSError):  # the terminal's other end is closed
            while chunk := os.read(ours, 65_536):
                seen.extend(chunk)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    with HostileServer(Slow(pause=0.25)) as server:
        add(node, "stix", server.url("/bundle.json"))
        environment = os.environ | {"COLUMNS": "120", "TERM": "xterm"}
        done = subprocess.run(
            command(node),
            stdout=subprocess.PIPE,
            stderr=theirs,
            text=True,
            timeout=PATIENCE,
            check=True,
            env=environment,
        )
    os.close(theirs)
    reader.join(10)
    os.close(ours)
    drawn = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", bytes(seen))
    assert re.search(rb"slow: an answer .* 0\.\d MB +\d\d% 0\.\d MB/s \d:\d\d:\d\d 0:00:0\d left", drawn), drawn[-2000:]
    assert re.search(rb"slow .* 2,500 100% [0-9,]+/s 0:00:\d\d 0:00:00 left 2500 new", drawn), drawn[-2000:]
    assert re.fullmatch(r"slow: ok, 2500 objects: 2500 new, .*\n", done.stdout)


def test_what_is_refused_again_and_again_is_one_line(tmp_path: Path) -> None:
    """`status --rejects` tells how often an object was refused and when last, once."""
    node, file = make_node(tmp_path / "node"), tmp_path / "bundle.json"
    (node.directory / "feeds" / "slow.toml").write_text(f'kind = "stix"\npath = "{file}"\n')
    for number in range(3):
        raw = make_indicator_json(number, "[ipv4-addr:value = '198.18.0.1']")
        bad = make_indicator_json(9, "[ipv4-addr:value = 'nowhere']")
        file.write_bytes(b'{"type":"bundle","id":"bundle--1","objects":[' + bad + b"," + raw + b"]}")
        assert node.row("pull", "slow")["rejected"] == 1
    told = node.row("status", "--rejects")
    assert (told["from"], told["times"]) == ("slow", 3)
    (line, _) = node.run("status", "--rejects").stdout.splitlines()
    assert line.endswith(" (3 times, last then)")
    assert line.startswith(told["at"][:10])
