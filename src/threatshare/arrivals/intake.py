"""What takes findings in, whatever way they arrive, and how a run of it is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from threatshare.findings.assertions import Own
from threatshare.findings.readers import NO_SITE, Site, read_file
from threatshare.ingest import IngestReport, LeftOut, ingest
from threatshare.model import Finding, Micros, Reject
from threatshare.store.connection import Connection
from threatshare.store.embedded import Store


@dataclass(frozen=True, slots=True)
class Intake:
    """What taking findings in needs of a node."""

    store: Store
    own: Callable[[], Own]
    """Who we are and what is ours, which people change while we run."""
    now: Callable[[], Micros]
    site: Callable[[], Site] = field(default=lambda: NO_SITE)
    """Gives the site's own readers."""

    def read(self, stream: Path | BinaryIO, format: str | None, place: str) -> Iterator[Finding | Reject]:
        """Reads a file or stream as ``readers.read_file`` does."""
        return read_file(stream, format, self.own().assets, place, self.site())

    def take(
        self, results: Iterable[Finding | Reject], position: Callable[[Connection], None] | None = None
    ) -> IngestReport:
        """Takes findings in; ``position`` as in ``ingest``."""
        return ingest(self.store, self.own(), results, self.now, lambda _: None, position)


def told(report: IngestReport) -> dict[str, Any]:
    """Gives what a run did as scripts rely on it."""
    number = Counter(report.left_out.values())
    return {
        "findings": report.findings,
        "indicators": {one: report.number(one) for one in ("new", "updated", "unchanged")},
        "sightings": len(report.sightings),
        "held": len(report.held),
        "refused": len(report.refused),
        "left_out": {one.name.lower(): number.get(one, 0) for one in LeftOut},
        "rejected": report.rejected,
    }
