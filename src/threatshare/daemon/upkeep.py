"""What time alone brings: due changes of score, ends of exercises, and the ledger's head written down elsewhere."""

from __future__ import annotations

from threading import Lock

from threatshare.daemon.jobs import Jobs
from threatshare.daemon.log import log
from threatshare.exercises import tend
from threatshare.node import Node
from threatshare.share.anchors import append_anchor
from threatshare.store.ledger import head

EXERCISES_SECONDS = 60


class Upkeep:
    """Does what is due in a node by time alone."""

    def __init__(self, node: Node, jobs: Jobs, guard: Lock) -> None:
        """``guard`` is held by whoever changes what is published."""
        self._node = node
        self._jobs = jobs
        self._guard = guard

    def rescore(self) -> None:
        """Scores the values anew whose score is due to change."""
        with self._guard:
            count = self._node.rescore()
        if count:
            log.info("rescored", observables=count)
        self._jobs.note("rescore", self._node.settings.daemon.rescore_every_seconds, {"observables": count})

    def exercises(self) -> None:
        """Ends exercises whose last day is past, and shares what was detected where that was wanted at once."""
        with self._guard:
            self._node.forget_files()
            done = tend(self._node.store, self._node.facts(), self._node.identity_object, self._node.now())
        if done:
            log.info("exercises", done=done)
            self._jobs.note("exercises", EXERCISES_SECONDS, done)

    def anchor(self) -> None:
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
        self._jobs.note("anchor", settings.anchor_every_seconds, told)
