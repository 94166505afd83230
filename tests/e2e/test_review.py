"""Review as an analyst does it: lists for scripts, decisions by flags, and key by key on a terminal."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import termios
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from nodes import PATIENCE, NodeAtWork, make_node

UNKNOWN = "type,value,role\nip,203.0.113.45,odd\nip,203.0.113.46,odd\ndomain,bad.example,strange\nip,198.51.100.7,odd\n"
WHY = ("--reason", "seen in the flow log", "--by", "Analyst One")


@pytest.fixture
def node(tmp_path: Path) -> NodeAtWork:
    """A node with four values of unknown role."""
    made = make_node(tmp_path / "node")
    (tmp_path / "odd.csv").write_text(UNKNOWN, "utf-8")
    assert made.row("ingest", str(tmp_path / "odd.csv"))["held"] == 4
    return made


def test_scripts_decide_by_flags(node: NodeAtWork) -> None:
    """Groups are listed as JSON; one decision by network makes indicators, another by group id rejects the rest."""
    listed = node.rows("review", "--by", "network")
    assert {(one["network"], one["values"]) for one in listed} == {
        ("203.0.113.0/24", 2),
        ("bad.example", 1),
        ("198.51.100.0/24", 1),
    }
    made = node.row("review", "assign", "--role", "c2", "--network", "203.0.113.0/24", *WHY)
    assert (made["action"], made["values"], made["new"]) == ("assign", 2, 2)
    (rest,) = node.rows("review", "--by", "sensor")
    assert node.row("review", "reject", rest["group"], *WHY)["values"] == 2
    assert node.rows("review") == []
    first, second = node.rows("review", "decisions")
    assert (second["by"], second["reason"], second["role"]) == ("Analyst One", "seen in the flow log", "c2")
    assert first["action"] == "reject"
    assert node.rows("lookup", "203.0.113.45")[0]["known"] is True


def test_ours_and_never_share_become_files(node: NodeAtWork) -> None:
    """What is ours stands in own-assets.toml afterwards, what must never leave in never-share.toml, with a name."""
    node.row("review", "own", "--network", "198.51.100.0/24", "--whole-network", *WHY)
    node.row("review", "never-share", "bad.example", *WHY)
    assets = (node.directory / "own-assets.toml").read_text("utf-8")
    assert tomllib.loads(assets)["networks"] == ["198.51.100.0/24"]
    assert "Analyst One" in assets
    never = (node.directory / "never-share.toml").read_text("utf-8")
    assert tomllib.loads(never)["values"] == ["bad.example"]
    assert {one["value"] for one in node.rows("review", "--values")} == {"203.0.113.45", "203.0.113.46"}


def test_a_decision_needs_a_reason_and_something_held(node: NodeAtWork) -> None:
    """Without a reason, a role or something that is held, nothing is decided, and the message says what is missing."""
    for arguments, said in (
        (("review", "reject", "203.0.113.45"), "--reason"),
        (("review", "assign", "203.0.113.45", *WHY), "--role"),
        (("review", "reject", "203.0.113.99", *WHY), "nothing that is held"),
        (("review", "reject", *WHY), "narrow by"),
        (("review", "approve", "203.0.113.45", *WHY), "review assign"),
        (("review", "walk"), "needs a terminal"),
    ):
        done = node.run(*arguments)
        assert done.returncode == 2
        assert said in done.stderr
    assert node.rows("review", "decisions") == []


def test_walking_through_on_a_terminal(node: NodeAtWork) -> None:
    """On a terminal each group waits for a key: c makes c2 of it once a reason is typed, Enter goes on, q leaves."""
    talk = Terminal([sys.executable, "-m", "threatshare", "--node", str(node.directory), "review", "walk"])
    talk.until("q quit")
    talk.press("x")
    talk.until("q quit")
    talk.press("c")
    talk.until("reason")
    talk.type("looked at the flows")
    talk.until("new")
    talk.press("q")
    assert talk.end() == 0
    (made,) = node.rows("review", "decisions")
    assert (made["role"], made["reason"], made["covered"]) == ("c2", "looked at the flows", 3)


class Terminal:
    """A command on a terminal of its own, with what it has printed."""

    def __init__(self, command: list[str]) -> None:
        self._here, there = pty.openpty()
        self._process = subprocess.Popen(
            command, stdin=there, stdout=there, stderr=there, env=os.environ | {"TERM": "xterm"}, close_fds=True
        )
        os.close(there)
        self._printed = ""

    def until(self, text: str) -> None:
        """Reads on until a text is printed, and forgets what was printed up to it."""
        deadline = time.monotonic() + PATIENCE
        while text not in self._printed:
            ready, _, _ = select.select([self._here], [], [], 0.2)
            assert time.monotonic() < deadline, self._printed
            if ready:
                self._printed += os.read(self._here, 65_536).decode("utf-8", "replace")
        self._printed = self._printed.partition(text)[2]

    def press(self, key: str) -> None:
        """Presses a key as soon as the command waits for single keys: what is typed before, the terminal drops."""
        self._wait(lambda: not self._by_line())
        os.write(self._here, key.encode())

    def type(self, line: str) -> None:
        """Types a line as soon as the command waits for one."""
        self._wait(self._by_line)
        os.write(self._here, line.encode() + b"\n")

    def _by_line(self) -> bool:
        return bool(termios.tcgetattr(self._here)[3] & termios.ICANON)

    def _wait(self, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not ready():
            assert time.monotonic() < deadline, self._printed
            time.sleep(0.02)

    def end(self) -> int:
        """Waits for the command's end; gives its exit code."""
        code = self._process.wait(PATIENCE)
        os.close(self._here)
        return code
