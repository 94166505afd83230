"""Commands that are forked from a warm process are what commands are: else the tests would test something else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from warm_commands import warm_commands


@pytest.mark.parametrize(
    ("arguments", "stdin"),
    [
        (["--version"], None),
        (["lokup"], None),
        (["--node", "/nowhere", "lookup", "-"], "198.51.100.7\n"),
        (["profile", "check", "--profile", "ais", "-"], '{"type": "bundle", "objects": []}'),
    ],
)
def test_it_says_and_ends_as_a_new_python_does(arguments: list[str], stdin: str | None) -> None:
    """Exit code and streams are those of ``python -m threatshare`` with the same environment and input."""
    environment = os.environ | {"COLUMNS": "70"}
    command = [sys.executable, "-m", "threatshare", *arguments]
    new = subprocess.run(command, input=stdin or "", capture_output=True, text=True, check=False, env=environment)
    warm = warm_commands().run(arguments, stdin, environment, 60)
    assert (warm.returncode, warm.stdout, warm.stderr) == (new.returncode, new.stdout, new.stderr)
    assert warm.stdout + warm.stderr


def test_no_command_has_anything_of_another() -> None:
    """Each has its own environment and process, and what it is asked is all that it knows of the one before."""
    node = {"THREATSHARE_NODE": "/nowhere"}
    first = warm_commands().run(["status"], None, os.environ | node, 60)
    second = warm_commands().run(["status"], None, os.environ | {"THREATSHARE_NODE": "/elsewhere"}, 60)
    assert first.returncode == second.returncode == 3
    assert ("/nowhere" in first.stderr, "/nowhere" in second.stderr) == (True, False)


def test_who_takes_too_long_is_killed(tmp_path: Path) -> None:
    """After the time that it is given a command ends by force, and the next one runs."""
    os.mkfifo(tmp_path / "nobody-writes.json")
    warm = warm_commands()
    with pytest.raises(subprocess.TimeoutExpired):
        warm.run(["profile", "check", str(tmp_path / "nobody-writes.json"), "--profile", "ais"], None, os.environ, 0.5)
    assert warm.run(["--version"], None, os.environ, 60).returncode == 0
