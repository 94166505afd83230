"""What killed servers left in the temporary directory is swept away, and nothing else is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from threatshare.share.scratch import MARKER, PREFIX, scratch, sweep

OWNER = """
import os, sys, time
from threatshare.share.scratch import scratch
with scratch() as made:
    worker = os.fork() if sys.argv[1] == "both" else 0
    if worker or sys.argv[1] == "alone":
        os.write(1, f"{made} {worker}\\n".encode())
    time.sleep(60)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def test_what_a_killed_server_left_is_swept(folder: Path) -> None:
    """While its owner lives a directory stays; after kill -9 the next server sweeps it away, with all that is in it."""
    with subprocess.Popen([sys.executable, "-c", OWNER, "alone"], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        made = Path(owner.stdout.readline().split()[0])
        (made / "counter_1.db").write_bytes(b"x")
        assert sweep(folder) == []
        assert made.is_dir()
        owner.send_signal(signal.SIGKILL)
        owner.wait(10)
        with scratch() as mine:
            assert not made.exists()
            assert Path(mine).is_dir()
    assert list(folder.iterdir()) == []


def test_a_worker_that_lives_on_keeps_it(folder: Path) -> None:
    """As long as a worker of a killed server counts in it, the directory stays."""
    with subprocess.Popen([sys.executable, "-c", OWNER, "both"], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        told, number = owner.stdout.readline().split()
        made, worker = Path(told), int(number)
        try:
            owner.send_signal(signal.SIGKILL)
            owner.wait(10)
            assert sweep(folder) == []
            assert made.is_dir()
        finally:
            os.kill(worker, signal.SIGKILL)


def test_nothing_else_is_touched(folder: Path) -> None:
    """Directories without the marker, of other names, files, links, and markers that are links stay as they are."""
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / MARKER).touch()
    unmarked = folder / f"{PREFIX}unmarked"
    unmarked.mkdir()
    (unmarked / "kept").touch()
    (folder / f"{PREFIX}link").symlink_to(elsewhere)
    (folder / f"{PREFIX}file").touch()
    linked = folder / f"{PREFIX}linked"
    linked.mkdir()
    (linked / MARKER).symlink_to(elsewhere / MARKER)
    before = sorted(folder.rglob("*"))
    assert sweep(folder) == []
    assert sorted(folder.rglob("*")) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_directories_of_other_users_stay(folder: Path) -> None:
    """What belongs to another user is none of ours, whatever stands in it."""
    other = folder / f"{PREFIX}other"
    other.mkdir()
    (other / MARKER).touch()
    os.chown(other, 12_345, 12_345)
    assert sweep(folder) == []
    os.chown(other, 0, 0)
    os.chown(other / MARKER, 12_345, 12_345)
    assert sweep(folder) == []
    os.chown(other / MARKER, 0, 0)
    assert sweep(folder) == [other]
