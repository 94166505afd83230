"""The directory in which the workers of one server count, and those that servers left behind that were killed.

Each holds a file that the server and its workers keep locked: as long as any of them lives nobody else gets the lock,
whatever process ids say.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_ISDIR, S_ISREG

PREFIX = "threatshare-"
MARKER = "in-use-by-a-server"


@contextmanager
def scratch() -> Iterator[str]:
    """Makes a directory that is gone at the end of the block; sweeps away first what dead servers left."""
    sweep(Path(tempfile.gettempdir()))
    with tempfile.TemporaryDirectory(prefix=PREFIX) as made:
        # Locked before it has the name by which others know it.
        unnamed = Path(made) / f"{MARKER}.new"
        held = os.open(unnamed, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        try:
            fcntl.flock(held, fcntl.LOCK_EX)
            unnamed.rename(Path(made) / MARKER)
            yield made
        finally:
            os.close(held)


def sweep(folder: Path) -> list[Path]:
    """Removes directories of our own user's servers of which no process is left; gives which."""
    swept = []
    for one in folder.glob(f"{PREFIX}*"):
        with suppress(OSError):  # another server was faster, or it is none of ours
            held = _lock(one)
            if held is None:
                continue
            try:
                shutil.rmtree(one)
                swept.append(one)
            finally:
                os.close(held)
    return swept


def _lock(directory: Path) -> int | None:
    """Gives the locked marker of a directory that no server uses; None where it is in use, not ours, or none."""
    told = directory.lstat()
    if not S_ISDIR(told.st_mode) or told.st_uid != os.geteuid():
        return None
    held = os.open(directory / MARKER, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    marker = os.fstat(held)
    if S_ISREG(marker.st_mode) and marker.st_uid == os.geteuid():
        with suppress(BlockingIOError):
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return held
    os.close(held)
    return None
