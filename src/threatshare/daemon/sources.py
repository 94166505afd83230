"""Sources of findings that the daemon attends: logs that grow and folders that fill."""

from __future__ import annotations

from threading import Event

from threatshare.arrivals import Source, attend
from threatshare.daemon.log import Told, log
from threatshare.ingest import IngestReport


def attended(source: Source, stop: Event, changed: Event) -> None:
    """Takes findings from a source as they arrive, until it is told to stop; sets ``changed`` whenever it has."""
    told = Told("taken", source=str(source.path))

    def stored(_: Source, report: IngestReport) -> None:
        changed.set()
        outcomes = {one: report.number(one) for one in ("new", "updated")}
        told.add({"findings": report.findings, **outcomes, "rejected": report.rejected})

    def failed(_: Source, problem: Exception) -> None:
        log.error("source failed", source=str(source.path), error=str(problem))

    try:
        attend(source, stop, stored, failed)
    finally:
        source.close()
        told.now()
