"""One run of a feed at a time, whoever starts it and however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from builders import NOW, SECOND
from threatshare.errors import StoreError
from threatshare.store import leases
from threatshare.store.embedded import Store
from threatshare.store.leases import Holder, Lease, give_back, hold, running, take_lease

LENGTH = 60 * SECOND


def take(store: Store, now: int = NOW, feed: str = "feed-a") -> Lease | Holder:
    with store.writing() as conn:
        return take_lease(conn, feed, now, LENGTH)


def test_a_feed_has_one_lease(store: Store) -> None:
    """Who comes second is told who holds the lease; another feed's is free; given back, it can be taken again."""
    first = take(store)
    assert isinstance(first, Lease)
    second = take(store, NOW + 5)
    assert isinstance(second, Holder)
    assert f"process {os.getpid()} " in second.words
    assert isinstance(take(store, feed="feed-b"), Lease)
    assert running(store.conn, NOW).keys() == {"feed-a", "feed-b"}
    with store.writing() as conn:
        give_back(conn, first)
    assert isinstance(take(store, NOW + 6), Lease)


def test_an_expired_lease_is_taken_over_and_its_holder_finds_out(store: Store) -> None:
    """Whoever held a lease that has expired may write no more, and cannot give away what is another's."""
    late = take(store)
    assert isinstance(late, Lease)
    assert running(store.conn, NOW + LENGTH) == {}
    fresh = take(store, NOW + LENGTH)
    assert isinstance(fresh, Lease)
    with pytest.raises(StoreError, match="another run has taken over"), store.writing() as conn:
        hold(conn, late)
    with store.writing() as conn:
        give_back(conn, late)
        hold(conn, fresh)


def test_a_process_that_was_killed_holds_nothing(store: Store) -> None:
    """After kill -9 the feed is free at once, and as long as the process lives it is not."""
    file = store.conn.execute("PRAGMA database_list").fetchone()[2]
    script = (
        "import sys, time; from pathlib import Path\n"
        "from threatshare.store.connection import open_writer, transaction\n"
        "from threatshare.store.leases import take_lease\n"
        f"conn = open_writer(Path({file!r}))\n"
        f"with transaction(conn): take_lease(conn, 'feed-a', {NOW}, {LENGTH})\n"
        "print('taken', flush=True); time.sleep(60)"
    )
    other = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "taken\n"
        found = take(store, NOW + 1)
        assert isinstance(found, Holder)
        assert found.process.split(" ")[0] == str(other.pid)
        other.send_signal(signal.SIGKILL)
        # Not waited for: nobody may have, and what is left of it in the kernel holds nothing either.
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
        assert running(store.conn, NOW + 1) == {}
        assert isinstance(take(store, NOW + 2), Lease)
    finally:
        other.kill()
        other.wait(10)


def test_another_process_of_the_same_number_holds_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers of processes come back: the moment at which one began tells it from the next."""
    take(store)
    with store.writing() as conn:
        conn.execute("UPDATE feed_lease SET process = replace(process, ' ', ' 1')")
    assert isinstance(take(store, NOW + 1), Holder), "of another machine: only time tells"
    with store.writing() as conn:
        process = f"{os.getpid()} 1 {leases._space()}"
        conn.execute("UPDATE feed_lease SET process = ?", (process,))
    assert isinstance(take(store, NOW + 1), Lease)


def test_a_clock_that_was_set_back_does_not_lock_a_feed(store: Store) -> None:
    """A lease from a future in which the clock was wrong is worth nothing."""
    take(store, NOW + 1000 * LENGTH)
    assert isinstance(take(store, NOW), Lease)
