"""Publishing: at once when something has changed in the store, and now and then for what time alone changes."""

from __future__ import annotations

from dataclasses import asdict, replace
from threading import Event, Lock
from time import monotonic

from threatshare.daemon.jobs import RETRY_SECONDS, Jobs
from threatshare.daemon.log import Told, log
from threatshare.exercises import examine
from threatshare.node import Node
from threatshare.publish import publish
from threatshare.store.waiting import Waiting, data_version, waiting

LOOK_SECONDS = 0.1
"""How often the store is asked whether anybody has changed it."""
_BREATH_SECONDS = 0.3
"""Between two runs of publishing, at least; and twice as long as the last one took, so that others get to write."""


class Publisher:
    """Publishes what a node has to tell."""

    def __init__(self, node: Node, jobs: Jobs, guard: Lock) -> None:
        """``guard`` is held by whoever changes what is published."""
        self._node = node
        self._jobs = jobs
        self._guard = guard
        self.changed = Event()
        """Set where a thread of ours has taken findings: no need to wait for the next look."""
        self.told = Told("published")

    def watch(self) -> None:
        """Publishes whenever anybody has committed something that is to be published."""
        conn = self._node.open_reader()
        stop = self._jobs.stop
        try:
            version = -1
            published: Waiting | None = None
            while not stop.is_set():
                last, version = version, data_version(conn)
                if version != last and ((found := waiting(conn)).queued or found != published):
                    began = monotonic()
                    if self._jobs.guarded("publish", self.publish):
                        published = replace(found, queued=False)
                        stop.wait(max(_BREATH_SECONDS, 2 * (monotonic() - began)))
                    else:
                        version = -1
                        stop.wait(RETRY_SECONDS)
                self.changed.wait(LOOK_SECONDS)
                self.changed.clear()
        finally:
            conn.close()

    def publish(self) -> None:
        """Publishes once."""
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
        self.told.add(
            {f"to {alias}": count for alias, count in report.released.items()} | {"withdrawn": report.withdrawn}
        )
        self._jobs.note("publish", self._node.settings.daemon.publish_every_seconds, told)
