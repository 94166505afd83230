"""Deliveries to partners' servers, when they are due."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial

from threatshare.daemon.cron import cron_next
from threatshare.daemon.jobs import Jobs
from threatshare.daemon.log import log
from threatshare.node import Node
from threatshare.share.push import push
from threatshare.share.push_settings import PushSettings, fingerprint, load_targets, next_push
from threatshare.share.push_target import target_of
from threatshare.store.targets import note_fault, target_states


class Deliveries:
    """Starts a node's push targets, each when it is due and never twice at a time."""

    def __init__(self, node: Node, jobs: Jobs) -> None:
        self._node = node
        self._jobs = jobs
        self._delivering: set[str] = set()

    def start_due(self) -> None:
        """Starts every push target that is due and not running; target files are read anew."""
        states, now = target_states(self._node.store.conn), self._node.clock()
        for name, settings in load_targets(self._node.directory).items():
            if name in self._delivering:
                continue
            mark = fingerprint(settings, self._node.directory)
            due = next_push(settings, states.get(name), mark, cron_next)
            if due is not None and due <= now:
                self._delivering.add(name)
                self._jobs.once(f"target {name}", partial(self._deliver, name, settings), "targets")

    def _deliver(self, name: str, settings: PushSettings) -> None:
        node, report = self._node, None
        try:
            target = target_of(name, settings, node.directory, node.store.conn, node.outlets(), node.clock)
            report = push(node.store, target, node.now, progress=self._jobs.goes_on, sleep=self._jobs.stop.wait)
            log.info("pushed", **asdict(report))
        finally:
            if report is None:
                # Its settings cannot be used, or we failed: it backs off like a target whose server failed.
                with node.store.writing() as conn:
                    note_fault(conn, name, node.now())
            self._delivering.discard(name)
