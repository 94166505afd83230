"""Logs and folders in which findings arrive, and who waits for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Literal, Protocol

from threatshare.arrivals.followed_file import FollowedFile
from threatshare.arrivals.intake import Intake
from threatshare.arrivals.watched_folder import WatchedFolder
from threatshare.errors import ThreatshareError, UsageError
from threatshare.findings.readers import reader_named
from threatshare.ingest import IngestReport
from threatshare.store.connection import DatabaseError

POLL_SECONDS = 0.1
"""How often a log or folder is looked at."""

_LONGEST_PAUSE = 30.0


class Source(Protocol):
    """Where findings arrive."""

    path: Path

    def step(self) -> IngestReport | None:
        """Takes what has come, up to CHUNK findings; None where nothing has."""
        ...

    def close(self) -> None:
        """Lets go of what is open; the next step goes on from what is stored."""
        ...


Stored = Callable[[Source, IngestReport], None]
Failed = Callable[[Source, Exception], None]


def attend(source: Source, stop: Event, stored: Stored, failed: Failed) -> None:
    """Takes from a source whatever comes, until told to stop.

    A fault that can pass (the disk, the store, rights on a file) is told, and tried again after a pause. What a person
    must change is told once: it is tried again too, for he may change it.
    """
    pause, said = POLL_SECONDS, ""
    while not stop.is_set():
        try:
            report = source.step()
        except (ThreatshareError, OSError, DatabaseError) as problem:
            source.close()
            if not isinstance(problem, UsageError) or str(problem) != said:
                failed(source, problem)
            said = str(problem)
            pause = min(_LONGEST_PAUSE, max(1.0, 2 * pause))
        else:
            pause, said = POLL_SECONDS, ""
            if report is not None:
                stored(source, report)
                continue
        stop.wait(pause)
    source.close()


def source_of(
    intake: Intake, path: Path, kind: Literal["follow", "watch"], format: str | None
) -> FollowedFile | WatchedFolder:
    """Gives what takes findings from a path; raises UsageError where there is no reader of that name."""
    if format is not None:
        reader_named(format, intake.site())
    return (FollowedFile if kind == "follow" else WatchedFolder)(intake, path, format)
