"""Whether a daemon runs on a node: it holds the node's directory as long as it lives, and the kernel lets go for it.

A lock of flock(2) on the directory itself: no file that stays behind, nothing to expire after kill -9. Daemons hold it
together; who asks tries to have it alone. Where the file system has no such locks, as some network ones have not,
nobody is seen.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def holding(directory: Path) -> Iterator[None]:
    """Shows others that a daemon runs on a node, until the end of the block or of the process."""
    held = os.open(directory, os.O_RDONLY)
    try:
        with suppress(OSError):
            # Who asks has it for a moment only.
            fcntl.flock(held, fcntl.LOCK_SH)
        yield
    finally:
        os.close(held)


def daemon_runs(directory: Path) -> bool:
    """Tells whether a daemon runs on a node right now."""
    asked = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(asked, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(asked)
    return False
