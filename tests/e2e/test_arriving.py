"""Findings that arrive by themselves: logs that are rotated, drop folders, tools that push; and kill -9 in between.

What was taken is counted in the store: each line is one observation more, so a line that was lost or came twice shows.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
import requests

from nodes import PATIENCE, NodeAtWork, make_node
from threatshare.store.connection import open_reader

LATER = str((datetime.now(UTC) + timedelta(days=400)).date())
ACCEPT = {"Accept": "application/taxii+json;version=2.1"}


def alert(number: int) -> str:
    """Writes a line of eve.json: a host of ours has connected to a command and control server."""
    ends = {"src_ip": "10.0.0.5", "dest_ip": f"203.0.113.{number % 250}"}
    return json.dumps(
        {
            "timestamp": "2026-11-01T10:00:00.000000+0000",
            "event_type": "alert",
            **ends,
            "src_port": 40000 + number % 1000,
            "dest_port": 443,
            "proto": "TCP",
            "flow": ends,
            "alert": {
                "signature": "TEST MALWARE beacon to command and control",
                "category": "Malware Command and Control Activity Detected",
                "signature_id": 9_000_000,
                "severity": 1,
            },
        }
    )


def observed(node: NodeAtWork) -> int:
    """Counts what the node has seen, each time."""
    conn = open_reader(node.directory / "store.db")
    try:
        return int(conn.execute("SELECT coalesce(sum(count), 0) FROM observation").fetchone()[0])
    finally:
        conn.close()


def until(node: NodeAtWork, wanted: int) -> None:
    """Waits until so much was seen; more is never seen."""
    deadline = time.monotonic() + PATIENCE
    while (seen := observed(node)) < wanted and time.monotonic() < deadline:
        time.sleep(0.05)
    assert seen == wanted


@contextmanager
def arriving(node: NodeAtWork, *options: str) -> Iterator[subprocess.Popen[str]]:
    """Runs ``ingest`` with --follow or --watch; what still runs at the end is killed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "threatshare", "--node", str(node.directory), "ingest", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def node(tmp_path: Path) -> NodeAtWork:
    return make_node(tmp_path / "node")


def rotate(log: Path, copied: bool) -> None:
    """Rotates a log as logrotate does: renamed, or copied and truncated. None is old enough to be deleted."""
    for number in range(200, 0, -1):
        one = log.with_name(f"{log.name}.{number}")
        if one.exists():
            one.rename(log.with_name(f"{log.name}.{number + 1}"))
    if copied:
        shutil.copy2(log, log.with_name(f"{log.name}.1"))
        os.truncate(log, 0)
    else:
        log.rename(log.with_name(f"{log.name}.1"))
        log.touch()


def test_a_rotated_log_is_followed_through_kills(node: NodeAtWork, tmp_path: Path) -> None:
    """However often the follower is killed, and the log rotated meanwhile, every line is counted exactly once."""
    log, random, written = tmp_path / "eve.json", Random(5), 0
    log.touch()
    for round_number in range(8):
        with arriving(node, "--follow", str(log)) as process:
            deadline = time.monotonic() + random.uniform(0.3, 1.6)
            while time.monotonic() < deadline:
                count = random.randrange(1, 60)
                with log.open("a") as file:
                    for number in range(written, written + count):
                        line = alert(number)
                        file.write(line[:50])
                        file.flush()
                        file.write(line[50:] + "\n")
                written += count
                time.sleep(random.uniform(0, 0.05))
                if random.random() < 0.08 and observed(node):
                    rotate(log, copied=random.random() < 0.3)
            if round_number == 0:
                until(node, written)
            process.kill()
        rotate(log, copied=round_number % 3 == 2)
    with log.open("a") as file:
        file.write(alert(written) + "\n")
    with arriving(node, "--follow", str(log), "--json") as process:
        until(node, written + 1)
        time.sleep(0.5)
        assert observed(node) == written + 1
        process.terminate()
        told, talk = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert talk == f"taking what arrives in {log}\n"
    assert json.loads(told)["rejected"] == 0
    assert node.row("status")["rejected"] == {}


def test_a_drop_folder_is_taken_through_kills(node: NodeAtWork, tmp_path: Path) -> None:
    """Each file once, also one that takes several transactions and is killed in the middle; unfinished ones later."""
    folder = tmp_path / "drop"
    rows = 23_000
    with arriving(node, "--watch", str(folder)):
        time.sleep(0.3)
        folder.mkdir()
        (folder / "first.json").write_text("".join(alert(number) + "\n" for number in range(10)))
        (folder / ".hidden").write_text(alert(1))
        (folder / "big.csv.part").write_text("type,value\n" + "ip,198.51.100.7\n" * rows)
        (folder / "below").mkdir()
        (folder / "below" / "x.json").write_text(alert(1))
        (folder / "link.json").symlink_to(folder / ".hidden")
        until(node, 10)
        (folder / "big.csv.part").rename(folder / "big.csv")
        deadline = time.monotonic() + PATIENCE
        while observed(node) < 5_000 and time.monotonic() < deadline:
            time.sleep(0.005)
    assert 5_000 < observed(node) < rows + 10, "the kill came too late for this test"
    with arriving(node, "--watch", str(folder)) as process:
        until(node, rows + 10)
        (folder / "big.csv").rename(folder / "big-done.csv")
        (folder / "grown.json").write_text(alert(1) + "\n")
        until(node, rows + 11)
        time.sleep(1)
        assert observed(node) == rows + 11
        process.terminate()
        assert process.wait(PATIENCE) == 0
    assert sorted(one.name for one in folder.iterdir()) == sorted(
        [".hidden", "below", "big-done.csv", "first.json", "grown.json", "link.json"]
    )


def test_what_is_wrong_with_a_source_is_said(node: NodeAtWork, tmp_path: Path) -> None:
    """A folder cannot be followed, a misspelt reader is named, and PATHS do not go with --follow."""
    with arriving(node, "--follow", str(tmp_path)) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("taking what arrives")
        assert "--watch" in process.stderr.readline()
    done = node.run("ingest", "--watch", str(tmp_path), "--format", "suricata-ev")
    assert done.returncode == 2
    assert "did you mean suricata-eve" in done.stderr
    assert node.run("ingest", "x.csv", "--watch", str(tmp_path)).returncode == 2
    assert node.run("ingest").returncode == 2
    sources(node, {"path": "x", "kind": "follow", "format": "suricata-ev"})
    done = node.run("daemon", "--no-serve")
    assert done.returncode == 2
    assert "did you mean suricata-eve" in done.stderr


def sources(node: NodeAtWork, *tables: dict[str, str]) -> None:
    """Writes sources into the node file."""
    with (node.directory / "node.toml").open("a") as file:
        for table in tables:
            file.write("\n[[daemon.source]]\n" + "".join(f'{key} = "{value}"\n' for key, value in table.items()))


def partner(node: NodeAtWork) -> str:
    """Makes a partner with an agreement and a collection; gives its key."""
    node.row("agreement", "add", "isac", "--max-tlp", "green", "--until", LATER)
    node.row("collection", "add", "to-isac", "--title", "To the ISAC", "--partner", "isac")
    key: str = node.row("account", "add", "isac", "--read", "to-isac")["key"]
    return key


def served(url: str, key: str) -> set[str]:
    """Gives the patterns that the partner reads."""
    answer = requests.get(f"{url}/api/collections/to-isac/objects/", auth=("isac", key), headers=ACCEPT, timeout=10)
    assert answer.status_code == 200, answer.text
    return {one["pattern"] for one in answer.json().get("objects", ()) if "pattern" in one}


def soon(said: Callable[[], bool]) -> None:
    """Waits until something is so."""
    deadline = time.monotonic() + PATIENCE
    while not said():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_daemon_publishes_what_arrives(node: NodeAtWork, tmp_path: Path) -> None:
    """Lines of a log, files in a folder and pushed findings are served to the partner without a word from anybody."""
    key = partner(node)
    pusher = node.row("account", "add", "edr", "--findings")["key"]
    log, folder = tmp_path / "eve.json", node.directory / "drop"
    sources(
        node,
        {"path": str(tmp_path), "kind": "follow"},
        {"path": str(log), "kind": "follow", "format": "suricata-eve"},
        {"path": "drop", "kind": "watch"},
    )
    with node.serving("daemon") as url:
        assert served(url, key) == set()
        log.write_text(alert(1) + "\n")
        soon(lambda: "[ipv4-addr:value = '203.0.113.1']" in served(url, key))
        folder.mkdir()
        (folder / "list.csv").write_text("type,value\nip,203.0.113.2\n")
        soon(lambda: "[ipv4-addr:value = '203.0.113.2']" in served(url, key))
        answer = requests.post(f"{url}/findings", auth=("edr", pusher), data=alert(3), timeout=10)
        assert answer.status_code == 200, answer.text
        soon(lambda: "[ipv4-addr:value = '203.0.113.3']" in served(url, key))
        time.sleep(1)
        before = published(node)
        time.sleep(1.5)
        assert published(node) == before, "publishing goes on and on"
    log_lines = [
        json.loads(line) for line in (node.directory / "daemon.log").read_text().splitlines() if line[0] == "{"
    ]
    told = [(one["event"], one.get("source")) for one in log_lines]
    assert ("taken", str(log)) in told
    assert ("source failed", str(tmp_path)) in told, "a source that cannot work stops nobody else, and says why"
    assert ("published", None) in told


def published(node: NodeAtWork) -> str:
    """Tells when the daemon published last."""
    at: str = next(one["last_run"] for one in node.row("status")["jobs"] if one["job"] == "publish")
    return at


def test_findings_are_pushed_to_a_real_server(node: NodeAtWork) -> None:
    """curl's ways of sending all work; the counts are exact, and a repeated body changes nothing."""
    key = node.row("account", "add", "edr", "--findings")["key"]
    body = "".join(alert(number) + "\n" for number in range(20)) + "{broken\n"
    other = alert(1) + "\n" + alert(21) + "\n"

    def chunks() -> Iterator[bytes]:
        yield other[:100].encode()
        yield other[100:].encode()

    def push(data: Any, path: str = "/findings", **headers: str) -> requests.Response:
        return requests.post(url + path, auth=("edr", key), data=data, headers=headers, timeout=20)

    with node.serving() as url:
        first = push(body)
        assert first.status_code == 200, first.text
        assert first.headers["Content-Type"] == "application/json"
        assert first.json() == {
            "findings": 20,
            "indicators": {"new": 20, "updated": 0, "unchanged": 0},
            "sightings": 0,
            "held": 0,
            "refused": 0,
            "left_out": {"known_benign": 0, "ours": 1, "reserved": 0, "bystander": 0},
            "rejected": 1,
        }
        assert push(body).json() == first.json()
        assert observed(node) == 20
        chunked = push(chunks(), "/findings/?format=suricata-eve")
        assert chunked.json()["indicators"] == {"new": 1, "updated": 0, "unchanged": 1}, chunked.text
        assert observed(node) == 22
        assert push(gzip.compress(b"type,value\nip,203.0.113.99\n")).json()["findings"] == 1
        assert push(b"x" * 11_000_000).status_code == 413
        assert push(iter([b"x" * 6_000_000, b"x" * 6_000_000])).status_code == 413
        bearer = requests.post(
            f"{url}/findings", data=alert(30), headers={"Authorization": f"Bearer {key}"}, timeout=20
        )
        assert bearer.status_code == 200
    assert observed(node) == 24
    assert {one["name"]: one["findings"] for one in node.rows("account", "list")} == {"edr": "push", "siem": ""}
    assert node.row("status")["rejected"] == {"own": 1}
