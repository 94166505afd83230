"""The schedule: pulls when they are due, publishing, due score changes, and the TAXII server beside it.

Findings are taken as they arrive, and what has changed in the store, whoever changed it, is published at once: a look
at the store's version several times a second costs next to nothing. The interval for publishing remains for what
time alone, or a person's edit of an agreement, changes.

APScheduler with its memory job store is only the tick; what is due lives in our own tables, so that a
restart forgets nothing and a missed run is made up once. The server is a child process: a burst of
requests never delays a pull, nor a large pull a request. A failing feed backs off and stops nobody.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from functools import partial
from random import Random
from threading import Event, Lock, Thread
from time import monotonic
from traceback import format_tb

import structlog
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger

from threatshare.arrivals import Source, attend
from threatshare.errors import ConfigurationError, StoreError, ThreatshareError
from threatshare.exercises import examine, tend
from threatshare.feed_settings import FeedSettings
from threatshare.feeds.schedule import MOST_RUNS, QUICK_SECONDS, admitted, next_run, opening, spread
from threatshare.ingest import IngestReport
from threatshare.model import FeedReport, micros, moment
from threatshare.node import Node
from threatshare.publish import publish
from threatshare.share.anchors import append_anchor
from threatshare.share.push import push
from threatshare.share.push_settings import PushSettings, fingerprint, load_targets, next_push
from threatshare.share.push_target import target_of
from threatshare.store.feed_alarms import GROWN, open_alarms
from threatshare.store.leases import running
from threatshare.store.ledger import head
from threatshare.store.runs import FeedState, feed_state, feed_states, save_job, save_run
from threatshare.store.targets import note_fault, target_states
from threatshare.store.waiting import Waiting, data_version, waiting

_TICK_SECONDS = 1
_SERVER_STOP_SECONDS = 30
_PARALLEL_TARGETS = 4
_BUSY_SECONDS = 30
"""After which a feed is looked at again that somebody else was pulling."""
_LOOK_SECONDS = 0.1
"""How often the store is asked whether anybody has changed it."""
_BREATH_SECONDS = 0.3
"""Between two runs of publishing, at least; and twice as long as the last one took, so that others get to write."""
_RETRY_SECONDS = 5.0
_EXERCISES_SECONDS = 60
_TOLD_EVERY_SECONDS = 60.0
"""What happens often is told in the log at once, then summed up so often."""

log = structlog.get_logger("threatshare.daemon")


class Daemon:
    """Runs a node until it is told to stop."""

    def __init__(self, node: Node, server: Sequence[str] | None, rng: Random) -> None:
        """``server`` is the command of the TAXII server; None: only the schedule."""
        self._node = node
        self._command = server
        self._rng = rng
        self._stop = Event()
        self._asked: list[int] = []
        """Signals that told us to stop."""
        self._passed_on: list[int] = []
        """Signals for the server, which reads its configuration and certificates anew."""
        self._changed = Event()
        """Set where a thread of ours has taken findings: no need to wait for the next look."""
        self._published = _Told("published")
        self._running: dict[str, float] = {}
        """Feeds whose run is under way, with when it began; of those that may be slow, long ago."""
        self._missed: dict[str, datetime] | None = None
        """When feeds may start whose run was missed while nothing ran here; None: nobody has looked yet."""
        self._wrong: dict[str, str] = {}
        """What is wrong with which feed's file, as it was last logged."""
        self._delivering: set[str] = set()
        self._guard = Lock()
        self._scheduler = BackgroundScheduler(
            executors={
                "default": ThreadPoolExecutor(2),
                "feeds": ThreadPoolExecutor(MOST_RUNS),
                "targets": ThreadPoolExecutor(_PARALLEL_TARGETS),
            },
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
            timezone="UTC",
        )

    def run(self) -> int:
        """Runs until SIGTERM or SIGINT; gives the exit code: 0 after a clean stop."""
        for one in (signal.SIGTERM, signal.SIGINT):
            # A handler takes no lock: a second signal in the middle of it would wait for what the first one holds.
            signal.signal(one, lambda number, _: self._asked.append(number))
        signal.signal(signal.SIGHUP, lambda number, _: self._passed_on.append(number))
        watchers = self._watchers()
        server = _start(self._command) if self._command else None
        self._add("feeds", self._start_due_feeds, _TICK_SECONDS)
        self._add("targets", self._start_due_targets, _TICK_SECONDS)
        self._add("publish", self._publish, self._node.settings.daemon.publish_every_seconds)
        self._add("rescore", self._rescore, self._node.settings.daemon.rescore_every_seconds)
        self._add("exercises", self._exercises, _EXERCISES_SECONDS)
        if self._node.settings.daemon.anchor_file is not None:
            self._add("anchor", self._anchor, self._node.settings.daemon.anchor_every_seconds)
        self._scheduler.start()
        for thread in watchers:
            thread.start()
        log.info("started", feeds=len(self._node.feeds), sources=len(watchers) - 1)
        code = self._wait(server)
        self._stop.set()
        for thread in watchers:
            thread.join()
        # What is under way is finished: a pull stops behind its page, publishing behind its run.
        self._scheduler.shutdown(wait=True)
        if server is not None:
            _end(server)
        self._node.store.checkpoint()
        self._published.now()
        log.info("stopped")
        return code

    def _wait(self, server: subprocess.Popen[bytes] | None) -> int:
        while not self._asked:
            self._stop.wait(_LOOK_SECONDS)
            while self._passed_on and server is not None:
                server.send_signal(self._passed_on.pop())
            if server is not None and server.poll() is not None:
                log.error("the TAXII server ended by itself", exit_code=server.returncode)
                return server.returncode or StoreError.exit_code
        return 0

    def _add(self, name: str, work: Callable[[], None], seconds: int) -> None:
        now = self._node.clock()
        self._scheduler.add_job(self._guarded, "interval", [name, work], seconds=seconds, id=name, next_run_time=now)

    def _guarded(self, name: str, work: Callable[[], None]) -> bool:
        """Does one job, and tells whether it went well; a fault is logged and ends only this run of it."""
        if self._stop.is_set():
            return True
        try:
            work()
        except ThreatshareError as problem:
            log.error("job failed", job=name, error=str(problem))
        except Exception as problem:  # noqa: BLE001  at the edge of a job
            # Not the message, which may quote a value of a finding.
            log.error("job failed", job=name, error=type(problem).__name__, at=format_tb(problem.__traceback__))
        else:
            return True
        return False

    def _watchers(self) -> list[Thread]:
        """Gives the threads that wait for something to happen: the publisher, and one for each source of findings."""
        work = {"publisher": self._publish_changes}
        for one in self._node.settings.daemon.source:
            work[f"source {one.path}"] = partial(self._attend, self._node.source(one))
        return [Thread(target=self._until_stopped, args=pair, name=pair[0]) for pair in work.items()]

    def _until_stopped(self, name: str, work: Callable[[], None]) -> None:
        """Does work that should last until the end; begins it again after a fault."""
        while not self._stop.is_set():
            self._guarded(name, work)
            self._stop.wait(_RETRY_SECONDS)

    def _attend(self, source: Source) -> None:
        """Takes findings from a source as they arrive."""
        told = _Told("taken", source=str(source.path))

        def stored(_: Source, report: IngestReport) -> None:
            self._changed.set()
            outcomes = {one: report.number(one) for one in ("new", "updated")}
            told.add({"findings": report.findings, **outcomes, "rejected": report.rejected})

        def failed(_: Source, problem: Exception) -> None:
            log.error("source failed", source=str(source.path), error=str(problem))

        try:
            attend(source, self._stop, stored, failed)
        finally:
            source.close()
            told.now()

    def _publish_changes(self) -> None:
        """Publishes whenever anybody has committed something that is to be published."""
        conn = self._node.open_reader()
        try:
            version = -1
            published: Waiting | None = None
            while not self._stop.is_set():
                last, version = version, data_version(conn)
                if version != last and ((found := waiting(conn)).queued or found != published):
                    began = monotonic()
                    if self._guarded("publish", self._publish):
                        published = replace(found, queued=False)
                        self._stop.wait(max(_BREATH_SECONDS, 2 * (monotonic() - began)))
                    else:
                        version = -1
                        self._stop.wait(_RETRY_SECONDS)
                self._changed.wait(_LOOK_SECONDS)
                self._changed.clear()
        finally:
            conn.close()

    def _start_due_feeds(self) -> None:
        """Starts every feed that is due and not running; feed files are read anew.

        Slow ones never take the places of quick ones, and what was missed while nothing ran starts one after another.
        """
        self._node.forget_files()
        now = self._node.clock()
        states = feed_states(self._node.store.conn)
        ready = self._ready(states, now)
        if self._missed is None:
            self._missed = spread({name: due for name, due in ready.items() if name in states}, now)
        slow = {name for name in ready if _may_be_slow(states.get(name))}
        order = sorted((name for name in ready if self._missed.get(name, now) <= now), key=lambda name: ready[name])
        under_way = [monotonic() - began > QUICK_SECONDS for began in list(self._running.values())]
        for name in admitted([(name, name in slow) for name in order], under_way):
            self._running[name] = -QUICK_SECONDS if name in slow else monotonic()
            work = [f"feed {name}", partial(self._pull, name, self._node.feeds[name])]
            self._scheduler.add_job(self._guarded, args=work, executor="feeds", id=f"feed {name}")

    def _ready(self, states: Mapping[str, FeedState], now: datetime) -> dict[str, datetime]:
        """Gives the feeds that are due and that nobody is pulling, with since when."""
        conn = self._node.store.conn
        elsewhere = running(conn, micros(now))
        held = {one.feed for one in open_alarms(conn) if one.kind == GROWN}
        ready = {}
        for name, settings in self._node.feeds.items():
            if not settings.enabled or name in self._running or name in elsewhere:
                continue
            if settings.kind != "list" and name in held:
                # It has grown beyond belief: a person looks at it first.
                continue
            try:
                due = self.due(settings, states.get(name, FeedState(name)), now)
            except ConfigurationError as problem:
                self._told_once(name, str(problem))
                continue
            if due <= now:
                ready[name] = due
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
            due = next_run(settings, last, state.failures, asked, last, self._rng, _cron_next)
        # Where it is overdue, its window may have closed meanwhile.
        opens, _ = opening(settings, now)
        return due if due > now or opens <= now else opens

    def _start_due_targets(self) -> None:
        """Starts every push target that is due and not running; target files are read anew."""
        states, now = target_states(self._node.store.conn), self._node.clock()
        for name, settings in load_targets(self._node.directory).items():
            if name in self._delivering:
                continue
            mark = fingerprint(settings, self._node.directory)
            due = next_push(settings, states.get(name), mark, _cron_next)
            if due is not None and due <= now:
                self._delivering.add(name)
                work = [f"target {name}", partial(self._deliver, name, settings)]
                self._scheduler.add_job(self._guarded, args=work, executor="targets", id=f"target {name}")

    def _deliver(self, name: str, settings: PushSettings) -> None:
        node, report = self._node, None
        try:
            target = target_of(name, settings, node.directory, node.store.conn, node.outlets(), node.clock)
            report = push(node.store, target, node.now, progress=self._goes_on, sleep=self._stop.wait)
            log.info("pushed", **asdict(report))
        finally:
            if report is None:
                # Its settings cannot be used, or we failed: it backs off like a target whose server failed.
                with node.store.writing() as conn:
                    note_fault(conn, name, node.now())
            self._delivering.discard(name)

    def _told_once(self, name: str, problem: str) -> None:
        """Logs what is wrong with a feed's file, and not at every tick."""
        if self._wrong.get(name) != problem:
            self._wrong[name] = problem
            log.error("feed cannot be scheduled", feed=name, error=problem)

    def _pull(self, name: str, settings: FeedSettings) -> None:
        report = None
        try:
            report = self._node.pull_feed(name, self._goes_on, asked=self._stop.is_set)
            log.info("pulled", **asdict(replace(report, alarms=())))
            for text in report.alarms:
                log.warning("alarm", feed=name, text=text, see=f"threatshare feed history {name}")
        finally:
            if report is None:
                # Its settings cannot be used, or we failed: it backs off like a feed whose server failed.
                self._node.record_run(FeedReport(name, "failed", error="see the daemon's log"), self._node.now())
            try:
                self._plan(name, settings, report)
            finally:
                del self._running[name]

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
                due = next_run(settings, last, state.failures, asked, now, self._rng, _cron_next)
            save_run(conn, replace(state, next_run=micros(due)))

    def _goes_on(self, _: object) -> bool:
        return not self._stop.is_set()

    def _publish(self) -> None:
        with self._guard:
            node = self._node
            outlets = node.outlets()
            # First: it takes something away, and does not wait for what may fail.
            exercises = examine(node.store, node.facts(), node.identity_object, node.now())
            report = publish(node.store, outlets)
        for one in exercises:
            if one.excluded or one.withdrawn:
                log.warning("exercise", **asdict(one))
        told = {"released": report.released, "withdrawn": report.withdrawn}
        told |= {"held": report.held, "refused": report.refused}
        self._published.add(
            {f"to {alias}": count for alias, count in report.released.items()} | {"withdrawn": report.withdrawn}
        )
        self._note("publish", self._node.settings.daemon.publish_every_seconds, told)

    def _rescore(self) -> None:
        with self._guard:
            count = self._node.rescore()
        if count:
            log.info("rescored", observables=count)
        self._note("rescore", self._node.settings.daemon.rescore_every_seconds, {"observables": count})

    def _exercises(self) -> None:
        """Ends exercises whose last day is past, and shares what was detected where that was wanted at once."""
        with self._guard:
            self._node.forget_files()
            done = tend(self._node.store, self._node.facts(), self._node.identity_object, self._node.now())
        if done:
            log.info("exercises", done=done)
            self._note("exercises", _EXERCISES_SECONDS, done)

    def _anchor(self) -> None:
        """Writes the ledger's head down where whoever changes the ledger cannot reach it."""
        settings = self._node.settings.daemon
        told: dict[str, object] = {}
        conn = self._node.open_reader()
        try:
            last = head(conn)
        finally:
            conn.close()
        if last is not None and settings.anchor_file is not None:
            file = self._node.directory / settings.anchor_file
            anchor = append_anchor(file, self._node.settings.node.identity, last, self._node.now())
            told = {"number": anchor.number}
        self._note("anchor", settings.anchor_every_seconds, told)

    def _note(self, job: str, seconds: int, told: dict[str, object]) -> None:
        now = self._node.clock()
        with self._node.store.writing() as conn:
            save_job(conn, job, micros(now), micros(now + timedelta(seconds=seconds)), json.dumps(told))


class _Told:
    """Tells in the log what happens often: the first time at once, then summed up."""

    def __init__(self, event: str, **where: str) -> None:
        self._event = event
        self._where = where
        self._sums: Counter[str] = Counter()
        self._since = -_TOLD_EVERY_SECONDS
        self._guard = Lock()

    def add(self, counts: Mapping[str, int]) -> None:
        """Counts; nothing is told where nothing happened."""
        with self._guard:
            self._sums.update(counts)
        if monotonic() - self._since >= _TOLD_EVERY_SECONDS:
            self.now()

    def now(self) -> None:
        """Tells what was not told yet."""
        with self._guard:
            sums, self._sums = self._sums, Counter()
            if any(sums.values()):
                self._since = monotonic()
                log.info(self._event, **self._where, counts=dict(sums))


def _may_be_slow(state: FeedState | None) -> bool:
    """Tells whether a feed took long the last time, or failed, which the slowest servers end in; or never ran."""
    if state is None or state.report is None:
        return True
    report = json.loads(state.report)
    return bool(report["status"] == "failed" or report["seconds"] > QUICK_SECONDS)


def _cron_next(expression: str, after: datetime) -> datetime:
    try:
        trigger = CronTrigger.from_crontab(expression, timezone="UTC")
    except ValueError as problem:
        raise ConfigurationError(f"cron = {expression!r}: {problem}") from problem
    found: datetime | None = trigger.get_next_fire_time(None, after + timedelta(seconds=1))
    if found is None:
        raise ConfigurationError(f"cron = {expression!r} never fires")
    return found


def _start(command: Sequence[str]) -> subprocess.Popen[bytes]:
    """Starts the server; a SIGHUP that comes before it listens for one waits, where it would be its end."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        return subprocess.Popen(command)  # noqa: S603  our own command
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})


def _end(server: subprocess.Popen[bytes]) -> None:
    """Ends the server, which finishes the requests under way."""
    if server.poll() is None:
        server.terminate()
        try:
            server.wait(_SERVER_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            log.error("the TAXII server did not stop in time; ended", pid=server.pid)
            server.kill()
            server.wait()


def server_command(directory: str, options: Sequence[str]) -> list[str]:
    """Gives the command that serves a node in a process of its own."""
    return [sys.executable, "-m", "threatshare", "--node", directory, "serve", "--with-parent", *options]
