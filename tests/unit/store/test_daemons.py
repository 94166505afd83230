"""Whether a daemon runs on a node, as the commands beside it see it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from threatshare.store.daemons import daemon_runs, holding

HOLD = "import sys, time, pathlib; from threatshare.store.daemons import holding\n"
HOLD += "with holding(pathlib.Path(sys.argv[1])): print(flush=True); time.sleep(60)"


def test_daemons_are_seen_as_long_as_one_lives(tmp_path: Path) -> None:
    """Nobody runs, then one, then two: only the end of the last one ends it, and nothing is left in the directory."""
    assert not daemon_runs(tmp_path)
    with holding(tmp_path):
        with holding(tmp_path):
            assert daemon_runs(tmp_path)
        assert daemon_runs(tmp_path)
    assert not daemon_runs(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_killed_daemon_is_gone(tmp_path: Path) -> None:
    """After kill -9 no daemon is seen."""
    held = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE)
    assert held.stdout is not None
    held.stdout.readline()
    assert daemon_runs(tmp_path)
    os.kill(held.pid, signal.SIGKILL)
    held.wait()
    held.stdout.close()
    assert not daemon_runs(tmp_path)
