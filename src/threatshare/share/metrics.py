"""``/metrics`` in Prometheus' text format: what all workers have served, and how the node stands.

Labels are routes, methods, statuses, accounts, collections, feeds and jobs: never a value that somebody asked for, and
no name that was not let in. What is counted lies in files that the workers share, one set for each that runs at a time,
and a worker takes over where one that ended left off; so sums never fall. A worker notes its answers and counts them
together each second, off the way of the next request; one that is killed takes that second with it. How the node
stands is read from the store when somebody asks.
"""

from __future__ import annotations

import fcntl
import os
from collections import Counter as Tally
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import count
from pathlib import Path
from threading import Event, Lock, Thread
from typing import IO, TYPE_CHECKING, NamedTuple

from threatshare.errors import ConfigurationError
from threatshare.model import Micros, micros
from threatshare.ports import Clock
from threatshare.share.accounts import Gatekeeper
from threatshare.share.certificates import validity
from threatshare.share.clients import FORWARDED
from threatshare.share.connections import Connections
from threatshare.share.negotiation import Environ
from threatshare.share.settings import LOOPBACK, ServeSettings
from threatshare.share.sidepages import Reply, unauthorized
from threatshare.store import standing
from threatshare.store.accounts import may_read_metrics

if TYPE_CHECKING:
    from prometheus_client import Counter, Histogram
    from prometheus_client.core import GaugeMetricFamily

DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
"""Where workers share what they count: the library's own variable, set by whoever starts them."""
_CONTENT = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
_SECOND: Micros = 1_000_000
_MOST_CHILDREN = 4_096
_PERIOD = 1.0
"""Seconds between two countings."""


class Answered(NamedTuple):
    """A request, as it is counted."""

    route: str
    method: str
    status: str
    seconds: float
    size: int
    account: str
    collection: str
    objects: int


class Metrics:
    """Counts what one worker serves, and gives what all have."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Histogram, values

        directory = os.environ.get(DIRECTORY)
        self._slot: IO[bytes] | None = None
        if directory is not None:
            self._directory: Path | None = Path(directory)
            self._slot, number = _free_slot(self._directory)
            values.ValueClass = values.MultiProcessValue(lambda: number)  # type: ignore[no-untyped-call]
        else:
            self._directory = None
        own = self._own = CollectorRegistry()
        self._requests = Counter(
            "threatshare_requests", "Requests answered.", ["route", "method", "status"], registry=own
        )
        self._seconds = Histogram(
            "threatshare_request_seconds", "Time to an answer.", ["route"], registry=own, buckets=_SECONDS
        )
        self._bytes = Counter("threatshare_response_bytes", "Bytes of bodies sent.", ["route"], registry=own)
        self._objects = Counter("threatshare_objects_served", "Objects sent.", ["account", "collection"], registry=own)
        self._failed = Counter("threatshare_failed_logins", "Logins that failed.", registry=own)
        # Finding a labelled value costs more than counting it.
        self._answered = lru_cache(_MOST_CHILDREN)(self._answer_of)
        self._served = lru_cache(_MOST_CHILDREN)(self._objects.labels)
        self._noted: deque[Answered] = deque()
        self.note: Callable[[Answered], None] = self._noted.append
        """Notes a request that was answered."""
        self._counting = Lock()
        self._closed = Event()
        self._thread = Thread(target=self._run, name="metrics", daemon=True)
        self._thread.start()

    def failed_login(self) -> None:
        """Counts a failed login."""
        self._failed.inc()

    def text(self, gauges: Iterable[GaugeMetricFamily]) -> bytes:
        """Gives what all workers have counted, with how the node stands."""
        from prometheus_client import CollectorRegistry, generate_latest
        from prometheus_client.multiprocess import MultiProcessCollector

        self._count()
        counted = self._own
        if self._directory is not None:
            counted = CollectorRegistry()
            MultiProcessCollector(counted, str(self._directory))  # type: ignore[no-untyped-call]
        now = CollectorRegistry()
        now.register(_Fixed(list(gauges)))
        return generate_latest(counted) + generate_latest(now)

    def close(self) -> None:
        """Counts the rest and gives the slot back for the next worker."""
        self._closed.set()
        self._thread.join()
        self._count()
        if self._slot is not None:
            self._slot.close()

    def _run(self) -> None:
        while not self._closed.wait(_PERIOD):
            self._count()

    def _count(self) -> None:
        """Counts what was noted: a value that many requests share is written once."""
        requests: Tally[tuple[str, str, str]] = Tally()
        sizes: Tally[tuple[str, str, str]] = Tally()
        objects: Tally[tuple[str, str]] = Tally()
        with self._counting:
            for _ in range(len(self._noted)):
                one = self._noted.popleft()
                kind = one[:3]
                requests[kind] += 1
                sizes[kind] += one.size
                if one.objects:
                    objects[one.account, one.collection] += one.objects
                self._answered(*kind)[1].observe(one.seconds)
            for kind, times in requests.items():
                counted, _, size = self._answered(*kind)
                counted.inc(times)
                size.inc(sizes[kind])
            for whose, sent in objects.items():
                self._served(*whose).inc(sent)

    def _answer_of(self, route: str, method: str, status: str) -> tuple[Counter, Histogram, Counter]:
        labels = self._requests.labels(route, method, status)
        return labels, self._seconds.labels(route), self._bytes.labels(route)


class MetricsPage:
    """Answers ``/metrics`` for whoever may read it; for all other accounts there is nothing."""

    def __init__(
        self,
        metrics: Metrics,
        connections: Connections,
        settings: ServeSettings,
        gatekeeper: Gatekeeper,
        clock: Clock,
    ) -> None:
        self._metrics = metrics
        self._connections = connections
        self._settings = settings
        self._gatekeeper = gatekeeper
        self._clock = clock

    def __call__(self, environ: Environ) -> Reply | None:
        """Gives the text; None where an account may not read it. Raises Refused (401) where there is none."""
        header, address = environ.get("HTTP_AUTHORIZATION"), environ.get("REMOTE_ADDR", "")
        if header is not None or not self._open_to(environ, address):
            account = self._gatekeeper.admitted(header, address)
            if account is None:
                raise unauthorized()
            with self._connections.reading() as conn:
                allowed = may_read_metrics(conn, account.name)
            if not allowed:
                return None
        return Reply(self._metrics.text(self._gauges()), content_type=_CONTENT)

    def _open_to(self, environ: Environ, address: str) -> bool:
        return self._settings.open_metrics and FORWARDED not in environ and _is_loopback(address)

    def _gauges(self) -> Iterator[GaugeMetricFamily]:
        from prometheus_client.core import GaugeMetricFamily

        with self._connections.reading() as conn:
            found = standing.measures(conn, micros(self._clock()))
        for name, text, label, values in found:
            family = GaugeMetricFamily(f"threatshare_{name}", text, labels=[label] if label else None)
            for of, value in values.items():
                family.add_metric([of] if label else [], value)
            yield family
        if self._settings.certificate is not None:
            yield _certificate(self._settings.certificate, micros(self._clock()), GaugeMetricFamily)


class _Fixed:
    """Gives a registry what is known already."""

    def __init__(self, families: list[GaugeMetricFamily]) -> None:
        self._families = families

    def collect(self) -> list[GaugeMetricFamily]:
        return self._families


def _certificate(file: Path, now: Micros, family: Callable[..., GaugeMetricFamily]) -> GaugeMetricFamily:
    try:
        left = (validity(file).ends - now) / _SECOND
    except ConfigurationError:
        left = float("nan")
    return family("threatshare_certificate_expires_seconds", "Until the certificate on disk expires.", value=left)


def _free_slot(directory: Path) -> tuple[IO[bytes], int]:
    """Takes the lowest number that no running worker holds; the lock goes with the process, however it ends."""
    for number in count():
        file = (directory / f"{number}.lock").open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            continue
        return file, number
    raise AssertionError("count() does not end")


@lru_cache(256)
def _is_loopback(address: str) -> bool:
    from ipaddress import ip_address, ip_network

    try:
        peer = ip_address(address)
    except ValueError:
        return False
    return any(peer.version == one.version and peer in one for one in map(ip_network, LOOPBACK))
