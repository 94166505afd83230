"""Pulls of a node's feeds, when they are due."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from functools import partial
from random import Random
from time import monotonic

from threatshare.daemon.cron import cron_next
from threatshare.daemon.jobs import Jobs
from threatshare.daemon.log import log
from threatshare.errors import ConfigurationError
from threatshare.feed_settings import FeedFiles, FeedSettings
from threatshare.feeds.schedule import QUICK_SECONDS, admitted, next_run, opening, spread
from threatshare.model import FeedReport, micros, moment
from threatshare.node import Node
from threatshare.store.feed_alarms import GROWN, open_alarms
from threatshare.store.leases import running
from threatshare.store.runs import FeedState, feed_state, feed_states, save_run

_BUSY_SECONDS = 30
"""After which a feed is looked at again that somebody else was pulling."""


class Pulls:
    """Starts a node's feeds, each when it is due and never twice at a time."""

    def __init__(self, node: Node, jobs: Jobs, rng: Random) -> None:
        self._node = node
        self._jobs = jobs
        self._rng = rng
        self.running: dict[str, float] = {}
        """Feeds whose run is under way, with when it began; of those that may be slow, long ago."""
        self.wrong: dict[str, str] = {}
        """What is wrong with which feed's file, as it was last logged."""
        self._missed: dict[str, datetime] | None = None
        """When feeds may start whose run was missed while nothing ran here; None: nobody has looked yet."""

    def start_due(self) -> None:
        """Starts every feed that is due and not running; feed files are read anew.

        Slow ones never take the places of quick ones, and what was missed while nothing ran starts one after another.
        """
        self._node.forget_files()
        now = self._node.clock()
        states = feed_states(self._node.store.conn)
        # Other threads have the files read anew too: one reading for all of this.
        files = self._node.feed_files
        ready = self.ready(files, states, now)
        if self._missed is None:
            self._missed = spread({name: due for name, due in ready.items() if name in states}, now)
        slow = {name for name in ready if _may_be_slow(states.get(name))}
        order = sorted((name for name in ready if self._missed.get(name, now) <= now), key=lambda name: ready[name])
        under_way = [monotonic() - began > QUICK_SECONDS for began in list(self.running.values())]
        for name in admitted([(name, name in slow) for name in order], under_way):
            self.running[name] = -QUICK_SECONDS if name in slow else monotonic()
            self._jobs.once(f"feed {name}", partial(self._pull, name, files.feeds[name]), "feeds")

    def ready(self, files: FeedFiles, states: Mapping[str, FeedState], now: datetime) -> dict[str, datetime]:
        """Gives the feeds that are due and that nobody is pulling, with since when."""
        conn = self._node.store.conn
        elsewhere = running(conn, micros(now))
        held = {one.feed for one in open_alarms(conn) if one.kind == GROWN}
        ready = {}
        wrong = dict(files.faults)
        for name, settings in files.feeds.items():
            if not settings.enabled or name in self.running or name in elsewhere:
                continue
            if settings.kind != "list" and name in held:
                # It has grown beyond belief: a person looks at it first.
                continue
            try:
                due = self.due(settings, states.get(name, FeedState(name)), now)
            except ConfigurationError as problem:
                wrong[name] = str(problem)
                continue
            if due <= now:
                ready[name] = due
        self._tell_wrong(wrong)
        return ready

    def due(self, settings: FeedSettings, state: FeedState, now: datetime) -> datetime:
        """Gives when a feed is due: as planned after its last run here, or as follows from a run by hand."""
        if state.next_run is not None:
            due = moment(state.next_run)
        elif state.last_run is None:
            due = now
        else:
            # Reckoned from that run, not from now: nothing is planned here, so this is asked anew at every tick.
            last = moment(state.last_run)
            asked = json.loads(state.report).get("retry_after") if state.report else None
            due = next_run(settings, last, state.failures, asked, last, self._rng, cron_next)
        # Where it is overdue, its window may have closed meanwhile.
        opens, _ = opening(settings, now)
        return due if due > now or opens <= now else opens

    def _tell_wrong(self, wrong: dict[str, str]) -> None:
        """Logs what is wrong with feeds' files when that changes, and not at every tick."""
        for name, problem in wrong.items():
            if self.wrong.get(name) != problem:
                log.error("feed cannot be scheduled", feed=name, error=problem)
        for name in self.wrong.keys() - wrong.keys() - self.running.keys():
            log.info("feed can be scheduled again", feed=name)
        self.wrong = wrong

    def _pull(self, name: str, settings: FeedSettings) -> None:
        report = None
        try:
            report = self._node.pull_feed(name, self._jobs.goes_on, asked=self._jobs.stop.is_set, settings=settings)
            log.info("pulled", **asdict(replace(report, alarms=())))
            for text in report.alarms:
                log.warning("alarm", feed=name, text=text, see=f"threatshare feed history {name}")
        finally:
            try:
                if report is None:
                    # Its settings cannot be used, or we failed: it backs off like a feed whose server failed.
                    failed = FeedReport(name, "failed", error="see the daemon's log")
                    self._node.record_run(failed, self._node.now(), settings)
                self._plan(name, settings, report)
            finally:
                del self.running[name]

    def _plan(self, name: str, settings: FeedSettings, report: FeedReport | None) -> None:
        """Saves when a feed that has just run is due again."""
        with self._node.store.writing() as conn:
            state, now = feed_state(conn, name), self._node.clock()
            if report is not None and report.status == "busy":
                due = now + timedelta(seconds=_BUSY_SECONDS)
            elif report is not None and report.stopped:
                # There is more of it: when it is asked again, it goes on at once.
                due = now
            else:
                last = moment(state.last_run) if state.last_run else now
                asked = report.retry_after if report else None
                due = next_run(settings, last, state.failures, asked, now, self._rng, cron_next)
            save_run(conn, replace(state, next_run=micros(due)))


def _may_be_slow(state: FeedState | None) -> bool:
    """Tells whether a feed took long the last time, or failed, which the slowest servers end in; or never ran."""
    if state is None or state.report is None:
        return True
    report = json.loads(state.report)
    return bool(report["status"] == "failed" or report["seconds"] > QUICK_SECONDS)
