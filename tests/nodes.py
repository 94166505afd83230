"""Nodes as their users have them: directories, and the command line as processes."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from warm_commands import warm_commands

PATIENCE = 60
"""Seconds that any one command or server may take."""
NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"


@dataclass
class NodeAtWork:
    """A node directory, and commands run on it."""

    directory: Path
    secrets: dict[str, str] = field(default_factory=dict)
    key: str = ""

    def run(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Runs a command, whatever its exit code; as a new Python under the nightly profile, else warm."""
        told = ["--node", str(self.directory), *arguments]
        environment = os.environ | self.secrets
        if not NIGHTLY:
            return warm_commands().run(told, stdin, environment, PATIENCE)
        return subprocess.run(
            [sys.executable, "-m", "threatshare", *told],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
            env=environment,
        )

    def rows(self, *arguments: str, code: int = 0, stdin: str | None = None) -> list[dict[str, Any]]:
        """Runs a command with --json and gives its lines; the exit code must be as said."""
        done = self.run(*arguments, "--json", stdin=stdin)
        assert done.returncode == code, f"{arguments}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return [json.loads(line) for line in done.stdout.splitlines()]

    def row(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        """Runs a command with --json and gives its one line."""
        rows = self.rows(*arguments, code=code)
        assert len(rows) == 1, rows
        return rows[0]

    @contextmanager
    def serving(self, verb: str = "serve") -> Iterator[str]:
        """Runs server or daemon, and checks that SIGTERM ends it with exit code 0."""
        with (self.directory / f"{verb}.log").open("w+") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "threatshare", "--node", str(self.directory), verb, "--port", "0"],
                stderr=log,
                env=os.environ | self.secrets,
            )
            try:
                yield self.listening(process, Path(log.name))
            finally:
                process.send_signal(signal.SIGTERM)
                try:
                    code = process.wait(PATIENCE)
                except subprocess.TimeoutExpired:
                    process.kill()
                    raise
            assert code == 0, Path(log.name).read_text()

    def listening(self, process: subprocess.Popen[bytes], log: Path) -> str:
        """Waits until a server says in its log that it accepts requests; gives its address."""
        for _ in range(PATIENCE * 20):
            found = re.search(r"^listening on (http\S+)$", log.read_text(), re.MULTILINE)
            if found:
                return found[1]
            assert process.poll() is None, log.read_text()
            try:
                process.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
        raise AssertionError(f"it never listened: {log.read_text()}")


def make_node(directory: Path, *options: str, name: str = "Test Company", purpose: str = "demo") -> NodeAtWork:
    """Makes a node with the command line; own assets are declared empty unless options say otherwise."""
    node = NodeAtWork(directory)
    assets = options or ("--no-own-assets",)
    who = ("--name", name, "--sector", "energy", "--country", "US", "--area", "US-DC", "--purpose", purpose)
    made = node.row("init", str(directory), *who, *assets)
    assert set(made) == {"node", "identity", "account"}
    assert made["account"]["name"] == "siem"
    node.key = made["account"]["key"]
    return node


def free_port() -> int:
    """Gives a port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
