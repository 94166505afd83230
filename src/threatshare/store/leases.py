"""Who runs a feed right now: one lease a feed, so that no two runs of it ever overlap, whoever starts them.

A lease is a row with the process that holds it and the moment at which it ends in any case. It outlives kill -9; the
next run takes it over as soon as the process is gone, where that can be told, and else when it has expired. Whoever
held it until then finds out inside the transaction of the next page (``hold``), before anything of that is kept.

Processes are told apart within one PID namespace of one boot; of others, on a shared disk or in a container beside,
nobody here can say whether they still run.
"""

from __future__ import annotations

import os
import socket
from functools import cache
from pathlib import Path
from typing import NamedTuple

from threatshare.errors import StoreError
from threatshare.model import Micros, moment
from threatshare.store.connection import Connection


class Lease(NamedTuple):
    """The right to run a feed."""

    feed: str
    owner: str
    """Made anew for each run."""


class Holder(NamedTuple):
    """Who holds a feed's lease."""

    process: str
    taken: Micros
    expires: Micros

    @property
    def words(self) -> str:
        """Says so to a person."""
        return f"process {self.process.split(' ')[0]} has been at it since {moment(self.taken):%Y-%m-%d %H:%M:%S}Z"


def take_lease(conn: Connection, feed: str, now: Micros, length: Micros) -> Lease | Holder:
    """Takes a feed's lease, inside the caller's transaction; gives who holds it where it is not to be had."""
    row = conn.execute("SELECT process, taken, expires FROM feed_lease WHERE feed = ?", (feed,)).fetchone()
    if row is not None:
        holder = Holder(*row)
        # Taken ahead of our clock by more than it lasts: the clock was set back, and the lease counts for nothing.
        if now < holder.expires <= now + 2 * max(length, holder.expires - holder.taken) and not _gone(holder.process):
            return holder
    lease = Lease(feed, os.urandom(8).hex())
    conn.execute(
        "INSERT OR REPLACE INTO feed_lease (feed, owner, process, taken, expires) VALUES (?, ?, ?, ?, ?)",
        (feed, lease.owner, _process(os.getpid()), now, now + length),
    )
    return lease


def left_behind(conn: Connection, feed: str) -> Micros | None:
    """Gives when the run began that holds a feed's lease, or has left it behind; None: the last one gave it back."""
    row = conn.execute("SELECT taken FROM feed_lease WHERE feed = ?", (feed,)).fetchone()
    return None if row is None else int(row[0])


def hold(conn: Connection, lease: Lease) -> None:
    """Makes sure that a lease still is what it was, inside a page's transaction; raises StoreError where it is not."""
    row = conn.execute("SELECT owner FROM feed_lease WHERE feed = ?", (lease.feed,)).fetchone()
    if row is None or row[0] != lease.owner:
        raise StoreError(f"feed {lease.feed}: another run has taken over, since this one took too long; it ends here")


def give_back(conn: Connection, lease: Lease) -> None:
    """Gives a lease back, inside the caller's transaction; one that another run has taken over stays with that."""
    conn.execute("DELETE FROM feed_lease WHERE feed = ? AND owner = ?", lease)


def running(conn: Connection, now: Micros) -> dict[str, Holder]:
    """Gives who runs which feed right now."""
    found = {row[0]: Holder(*row[1:]) for row in conn.execute("SELECT feed, process, taken, expires FROM feed_lease")}
    return {feed: one for feed, one in found.items() if now < one.expires and not _gone(one.process)}


def _process(pid: int) -> str:
    """Names a process of this machine: its number, when it began, and where numbers mean that."""
    return f"{pid} {_began(pid)} {_space()}"


def _gone(process: str) -> bool:
    """Tells whether a process is known to be gone; one of another machine or namespace never is."""
    number, began, space = process.split(" ", 2)
    return space == _space() and _began(int(number)) != began


def _began(pid: int) -> str:
    """Gives when a process began, in the kernel's count; ``gone``: there is none, ``runs``: more cannot be told."""
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            # The name, in parentheses, may hold blanks and parentheses itself (proc(5)).
            fields = stat.read_text(errors="replace").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return "gone"
        return "gone" if fields[0] in "ZX" else fields[19]
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return "gone"
    except PermissionError:
        return "runs"
    return "runs"


@cache
def _space() -> str:
    """Names where numbers of processes mean the same as here: this boot of this machine, this namespace."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    try:
        return f"{boot.read_text().strip()} {Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return socket.gethostname()
