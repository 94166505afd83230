"""A log that grows: its lines are taken as they come."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from io import BytesIO
from pathlib import Path

from threatshare.arrivals.intake import Intake
from threatshare.errors import UsageError
from threatshare.findings.compression import is_compressed
from threatshare.findings.followed import Batch, Follower, Position, placed
from threatshare.findings.readers import recognise
from threatshare.findings.records import HEAD
from threatshare.ingest import CHUNK, IngestReport
from threatshare.model import Finding, Micros, Reject
from threatshare.store.followed import save_state, states

_GATHERED: Mapping[str, int] = {"auth-log": 60}
"""Seconds for which lines of a log are gathered, by reader: this one tells from several tries that it is no typo."""


class FollowedFile:
    """A log whose lines are taken as they come, also through its rotations."""

    def __init__(self, intake: Intake, path: Path, format: str | None) -> None:
        self.path = path
        self._intake = intake
        self._format = format
        self._state: str | None = None
        self._follower: Follower | None = None
        self._known: tuple[tuple[int, int] | None, str | None] = (None, None)
        """The reader of the file under way, once enough of it is there to be sure."""
        self._due: Micros | None = None
        """When lines are taken that are gathered now."""

    def step(self) -> IngestReport | None:
        """Takes the next lines."""
        if self._due is not None and self._intake.now() < self._due:
            return None
        follower = self._opened()
        lines = CHUNK
        if follower.position is None or not follower.position.offset:
            self._refuse_compressed()
        batch = follower.look(lines)
        if batch is None or (batch.data and self._gathers(batch, follower)):
            return None
        while len(results := self._read(batch, follower)) > CHUNK and lines > 1:
            # More findings than lines: only so many as are stored in one transaction.
            lines //= 2
            batch = follower.look(lines) or batch
        after = batch.after.written()
        report = self._intake.take(
            results, partial(save_state, path=self.path, item="", before=self._state, after=after)
        )
        if follower.lost:
            place = str(self.path)
            self._intake.take([Reject(place, "the file read before is gone; lines that it still held were not read")])
        self._state = after
        follower.taken(batch)
        return report

    def close(self) -> None:
        """Closes the file."""
        if self._follower is not None:
            self._follower.close()
            self._follower = None

    def _opened(self) -> Follower:
        if self._follower is None:
            if self.path.is_dir():
                raise UsageError("a folder cannot be followed line by line: use --watch")
            with self._intake.store.writing() as conn:
                self._state = states(conn, self.path).get("")
            self._follower = Follower(self.path, Position.read(self._state) if self._state else None)
        return self._follower

    def _refuse_compressed(self) -> None:
        """Raises UsageError where the path is a compressed file."""
        if self.path.is_file():
            with self.path.open("rb") as file:
                head = file.read(HEAD)
            if is_compressed(head):
                raise UsageError(
                    "a compressed file does not grow line by line; put it into a folder for --watch, or ingest it"
                )

    def _gathers(self, batch: Batch, follower: Follower) -> bool:
        """Tells whether more lines are waited for, since the reader judges lines by what else it reads with them."""
        seconds = _GATHERED.get(self._reader(batch, follower) or "", 0)
        if not seconds or self._due is not None or batch.after.line - batch.before >= CHUNK:
            return False
        self._due = self._intake.now() + seconds * 1_000_000
        return True

    def _read(self, batch: Batch, follower: Follower) -> list[Finding | Reject]:
        self._due = None
        if not batch.data:
            return []
        place, format = str(self.path), self._reader(batch, follower)
        stream = BytesIO(batch.leading + batch.data)
        return placed(list(self._intake.read(stream, format, place)), place, batch)

    def _reader(self, batch: Batch, follower: Follower) -> str | None:
        """Names the reader, by the file's beginning: a few lines from its middle may look like anything."""
        if self._format is not None:
            return self._format
        file = (batch.after.device, batch.after.inode)
        if self._known[0] != file:
            head = follower.head()
            reader = recognise(head, self.path.name, self._intake.site())
            sure = reader is not None and len(head) == HEAD
            self._known = (file if sure else None, None if reader is None else reader.name)
        return self._known[1]
