"""The daemon's process: its jobs and threads, the server beside it, and the signals that end it."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from random import Random
from threading import Lock, Thread

from threatshare.daemon.deliveries import Deliveries
from threatshare.daemon.jobs import Jobs
from threatshare.daemon.log import log
from threatshare.daemon.publishing import LOOK_SECONDS, Publisher
from threatshare.daemon.pulls import Pulls
from threatshare.daemon.server import end, start
from threatshare.daemon.sources import attended
from threatshare.daemon.upkeep import EXERCISES_SECONDS, Upkeep
from threatshare.errors import StoreError
from threatshare.node import Node
from threatshare.store.daemons import holding

_TICK_SECONDS = 1


class Daemon:
    """Runs a node until it is told to stop."""

    def __init__(self, node: Node, server: Sequence[str] | None, rng: Random) -> None:
        """``server`` is the command of the TAXII server; None: only the schedule."""
        self._node = node
        self._command = server
        self._asked: list[int] = []
        """Signals that told us to stop."""
        self._passed_on: list[int] = []
        """Signals for the server, which reads its configuration and certificates anew."""
        self._jobs = Jobs(node)
        guard = Lock()
        self.pulls = Pulls(node, self._jobs, rng)
        self._deliveries = Deliveries(node, self._jobs)
        self._publisher = Publisher(node, self._jobs, guard)
        self._upkeep = Upkeep(node, self._jobs, guard)

    def run(self) -> int:
        """Runs until SIGTERM or SIGINT; gives the exit code: 0 after a clean stop.

        Whatever is raised meanwhile is raised once everything that was started has ended.
        """
        with holding(self._node.directory):
            return self._run()

    def _run(self) -> int:
        for one in (signal.SIGTERM, signal.SIGINT):
            # A handler takes no lock: a second signal in the middle of it would wait for what the first one holds.
            signal.signal(one, lambda number, _: self._asked.append(number))
        signal.signal(signal.SIGHUP, lambda number, _: self._passed_on.append(number))
        watchers = self._watchers()
        self._schedule()
        started = {"feeds": len(self._node.feeds), "sources": len(watchers) - 1}
        # What is to be done at the end is done in the opposite order, each whatever became of the others: where this
        # thread fails, no other may go on, since nobody would be left to end it.
        with ExitStack() as ending:
            ending.callback(self._publisher.told.now)
            ending.callback(self._node.store.checkpoint)
            server = start(self._command) if self._command else None
            if server is not None:
                ending.callback(end, server)
            self._jobs.begin()
            ending.callback(self._jobs.finish)
            ending.callback(self._jobs.stop.set)
            for thread in watchers:
                thread.start()
                ending.callback(thread.join)
                ending.callback(self._jobs.stop.set)
            log.info("started", **started)
            code = self._wait(server)
        log.info("stopped")
        return code

    def _schedule(self) -> None:
        every, settings = self._jobs.every, self._node.settings.daemon
        every(_TICK_SECONDS, "feeds", self.pulls.start_due)
        every(_TICK_SECONDS, "targets", self._deliveries.start_due)
        every(settings.publish_every_seconds, "publish", self._publisher.publish)
        every(settings.rescore_every_seconds, "rescore", self._upkeep.rescore)
        every(EXERCISES_SECONDS, "exercises", self._upkeep.exercises)
        if settings.anchor_file is not None:
            every(settings.anchor_every_seconds, "anchor", self._upkeep.anchor)

    def _watchers(self) -> list[Thread]:
        """Gives the threads that wait for something to happen: the publisher, and one for each source of findings."""
        threads = [self._jobs.lasting("publisher", self._publisher.watch)]
        for one in self._node.settings.daemon.source:
            work = partial(attended, self._node.source(one), self._jobs.stop, self._publisher.changed)
            threads.append(self._jobs.lasting(f"source {one.path}", work))
        return threads

    def _wait(self, server: subprocess.Popen[bytes] | None) -> int:
        while not self._asked:
            self._jobs.stop.wait(LOOK_SECONDS)
            while self._passed_on and server is not None:
                server.send_signal(self._passed_on.pop())
            if server is not None and server.poll() is not None:
                log.error("the TAXII server ended by itself", exit_code=server.returncode)
                return server.returncode or StoreError.exit_code
        return 0
