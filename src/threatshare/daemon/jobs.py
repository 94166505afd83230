"""Jobs of the daemon: what runs every so often, once in a thread, or until the end; a fault ends only one run."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from threading import Event, Thread
from traceback import format_tb
from typing import Literal

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from threatshare.daemon.log import log
from threatshare.errors import ThreatshareError
from threatshare.feeds.schedule import MOST_RUNS
from threatshare.model import micros
from threatshare.node import Node
from threatshare.store.runs import save_job

RETRY_SECONDS = 5.0
"""After a fault, before work that should last begins again."""
_PARALLEL_TARGETS = 4


class Jobs:
    """Does the jobs of one node until it is told to stop."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.stop = Event()
        """Set when everything is to end."""
        self._faults: dict[str, tuple[str, list[str]]] = {}
        """What jobs failed of the last time, and where, by name."""
        self._scheduler = BackgroundScheduler(
            executors={
                "default": ThreadPoolExecutor(2),
                "feeds": ThreadPoolExecutor(MOST_RUNS),
                "targets": ThreadPoolExecutor(_PARALLEL_TARGETS),
            },
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
            timezone="UTC",
        )

    def begin(self) -> None:
        """Begins with what was asked for so far."""
        self._scheduler.start()

    def finish(self) -> None:
        """Waits for what is under way: a pull stops behind its page, publishing behind its run."""
        # First: what is due would be handed to executors that take nothing more, which is logged for each job.
        self._scheduler.remove_all_jobs()
        self._scheduler.shutdown(wait=True)

    def every(self, seconds: int, name: str, work: Callable[[], None]) -> None:
        """Has work done now and then every so often, never twice at a time."""
        now = self._node.clock()
        self._scheduler.add_job(self.guarded, "interval", [name, work], seconds=seconds, id=name, next_run_time=now)

    def once(self, name: str, work: Callable[[], None], executor: Literal["feeds", "targets"]) -> None:
        """Has work done as soon as one of the threads for its like is free."""
        self._scheduler.add_job(self.guarded, args=[name, work], executor=executor, id=name)

    def lasting(self, name: str, work: Callable[[], None]) -> Thread:
        """Gives a thread, not yet started, for work that should last until the end; after a fault it begins again."""

        def until_stopped() -> None:
            while not self.stop.is_set():
                self.guarded(name, work)
                self.stop.wait(RETRY_SECONDS)

        return Thread(target=until_stopped, name=name)

    def guarded(self, name: str, work: Callable[[], None]) -> bool:
        """Does one job, and tells whether it went well; a fault ends only this run of it.

        It is logged when it is another than the last time: some jobs are tried every second.
        """
        if self.stop.is_set():
            return True
        try:
            work()
        except ThreatshareError as problem:
            self._failed(name, str(problem), [])
        except Exception as problem:  # noqa: BLE001  at the edge of a job
            # Not the message, which may quote a value of a finding.
            self._failed(name, type(problem).__name__, format_tb(problem.__traceback__))
        else:
            if self._faults.pop(name, None) is not None:
                log.info("job goes well again", job=name)
            return True
        return False

    def _failed(self, name: str, error: str, at: list[str]) -> None:
        if self._faults.get(name) != (error, at):
            self._faults[name] = error, at
            log.error("job failed", job=name, error=error, **({"at": at} if at else {}))

    def goes_on(self, _: object) -> bool:
        """Tells whether work that reports its progress should go on."""
        return not self.stop.is_set()

    def note(self, job: str, seconds: int, told: object) -> None:
        """Keeps what a job did, and when it is due again."""
        now = self._node.clock()
        with self._node.store.writing() as conn:
            save_job(conn, job, micros(now), micros(now + timedelta(seconds=seconds)), json.dumps(told))
