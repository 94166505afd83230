"""``/health`` and ``/ready``: whether this process answers, and whether it can do its work.

Both say nothing else, neither counts nor reasons: they answer without credentials. Why it is not ready stands in the
log, once until it is ready again.
"""

from __future__ import annotations

import logging
from http import HTTPStatus
from pathlib import Path
from threading import Lock

from threatshare.errors import StoreError
from threatshare.model import Micros, micros
from threatshare.ports import Clock
from threatshare.share.certificates import Validity, validity
from threatshare.share.connections import Connections
from threatshare.share.negotiation import Environ
from threatshare.share.sidepages import Reply
from threatshare.store.faults import StoreFault

_log = logging.getLogger(__name__)


def health(_environ: Environ) -> Reply:
    """Answers that the process answers."""
    return Reply(b"ok\n")


class Readiness:
    """Answers whether the store can be read, is of this version, and the TLS certificate holds."""

    def __init__(self, connections: Connections, certificate: Path | None, clock: Clock) -> None:
        self._connections = connections
        self._clock = clock
        # As it was when this worker began to serve with it, whatever the file says since.
        self._validity: Validity | None = validity(certificate) if certificate else None
        self._told: str | None = None
        self._lock = Lock()

    def __call__(self, _environ: Environ) -> Reply:
        """Gives 200, or 503 without a reason."""
        problem = self._problem(micros(self._clock()))
        with self._lock:
            news, self._told = problem != self._told, problem
        if news and problem is not None:
            _log.error("not ready: %s", problem)
        if problem is not None:
            return Reply(b"not ready\n", HTTPStatus.SERVICE_UNAVAILABLE)
        return Reply(b"ready\n")

    def _problem(self, now: Micros) -> str | None:
        if self._validity is not None and not self._validity.holds_at(now):
            return "the TLS certificate is not valid now"
        try:
            self._connections.check()
        except (StoreFault, StoreError) as problem:
            return str(problem)
        return None
