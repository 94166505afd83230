"""Findings that arrive by themselves: in a log that grows, in a drop folder, pushed by a tool. Each is taken once.

How far a log or folder was taken is saved in the transaction of the findings, at most CHUNK of them at a time: after
a kill at any moment nothing is lost and nothing comes twice. The files themselves are left as they are.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from io import BytesIO
from itertools import islice
from pathlib import Path
from threading import Event
from typing import Any, BinaryIO, Literal, Protocol

import msgspec

from threatshare.errors import ThreatshareError, UsageError
from threatshare.findings.assertions import Own
from threatshare.findings.compression import is_compressed
from threatshare.findings.followed import Batch, Follower, Position, placed
from threatshare.findings.readers import NO_SITE, Site, read_file, reader_named, recognise
from threatshare.findings.records import HEAD
from threatshare.findings.watched import Folder, Identity
from threatshare.ingest import CHUNK, IngestReport, ingest
from threatshare.model import Finding, Micros, Reject
from threatshare.store.connection import Connection, DatabaseError
from threatshare.store.embedded import Store
from threatshare.store.followed import forget, save_state, states
from threatshare.store.posted import answer_to, keep_answer, keep_digest

POLL_SECONDS = 0.1
"""How often a log or folder is looked at."""
_LONGEST_PAUSE = 30.0
_GATHERED: Mapping[str, int] = {"auth-log": 60}
"""Seconds for which lines of a log are gathered, by reader: this one tells from several tries that it is no typo."""
_WHOLE = "whole"


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


class WatchedFolder:
    """A drop folder whose files are taken whole, each once."""

    def __init__(self, intake: Intake, path: Path, format: str | None) -> None:
        self.path = path
        self._intake = intake
        self._format = format
        self._states: dict[str, str] = {}
        self._folder: Folder | None = None
        self._ready: deque[tuple[Path, Identity]] = deque()
        self._under_way: tuple[Path, Identity, Iterator[Finding | Reject], BinaryIO] | None = None
        self._shut: set[Identity] = set()
        """Files that may not be read."""

    def step(self) -> IngestReport | None:
        """Takes the next findings of the file under way, or of the next one that is whole."""
        folder = self._opened()
        if self._under_way is None and not self._begin(folder):
            return None
        assert self._under_way is not None
        path, identity, results, stream = self._under_way
        chunk = list(islice(results, CHUNK))
        item = identity.written()
        before = self._states.get(item)
        after = _WHOLE if len(chunk) < CHUNK else str(int(before or 0) + len(chunk))
        report = self._intake.take(chunk, partial(save_state, path=self.path, item=item, before=before, after=after))
        self._states[item] = after
        if after == _WHOLE:
            folder.done(path, identity)
            self._under_way = None
            stream.close()
        return report

    def close(self) -> None:
        """Closes the file under way."""
        if self._under_way is not None:
            self._under_way[3].close()
        self._under_way = self._folder = None
        self._ready.clear()

    def _opened(self) -> Folder:
        if self._folder is None:
            with self._intake.store.writing() as conn:
                self._states = states(conn, self.path)
            self._folder = Folder(
                self.path, (Identity.read(item) for item, state in self._states.items() if state == _WHOLE)
            )
        return self._folder

    def _begin(self, folder: Folder) -> bool:
        """Opens the next file that is whole, behind what was taken of it before a kill."""
        if not self._ready:
            self._ready.extend(folder.look(self._intake.now() / 1_000_000))
            self._forget(folder)
        while self._ready:
            path, identity = self._ready.popleft()
            stream, results = self._open(path, identity)
            if stream is not None:
                taken = int(self._states.get(identity.written(), 0))
                deque(islice(results, taken), maxlen=0)
                self._under_way = (path, identity, results, stream)
                return True
        return False

    def _forget(self, folder: Folder) -> None:
        gone = [item for one in folder.gone() if (item := one.written()) in self._states]
        if gone:
            with self._intake.store.writing() as conn:
                forget(conn, self.path, gone)
            for item in gone:
                del self._states[item]

    def _open(self, path: Path, identity: Identity) -> tuple[BinaryIO | None, Iterator[Finding | Reject]]:
        try:
            stream = open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb")  # noqa: PTH123, SIM115
        except FileNotFoundError:
            return None, iter(())
        except PermissionError as problem:
            # Whoever put it there may set its rights only now: it is kept aside once, and tried at every look.
            if identity not in self._shut:
                self._shut.add(identity)
                reason = f"cannot be read: {problem.strerror}; it is taken as soon as it can be"
                self._intake.take([Reject(str(path), reason)])
            return None, iter(())
        except OSError as problem:
            return BytesIO(), iter((Reject(str(path), f"cannot be read: {problem.strerror}"),))
        found = os.fstat(stream.fileno())
        if Identity(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns) != identity:
            stream.close()  # it was replaced in this moment: the next look finds what it is now
            return None, iter(())
        return stream, self._intake.read(stream, self._format, str(path))


def source_of(
    intake: Intake, path: Path, kind: Literal["follow", "watch"], format: str | None
) -> FollowedFile | WatchedFolder:
    """Gives what takes findings from a path; raises UsageError where there is no reader of that name."""
    if format is not None:
        reader_named(format, intake.site())
    return (FollowedFile if kind == "follow" else WatchedFolder)(intake, path, format)


def told(report: IngestReport) -> dict[str, Any]:
    """Gives what a run did as scripts rely on it."""
    return {
        "findings": report.findings,
        "indicators": {one: report.number(one) for one in ("new", "updated", "unchanged")},
        "sightings": len(report.sightings),
        "held": len(report.held),
        "refused": len(report.refused),
        "rejected": report.rejected,
    }


def take_posted(intake: Intake, body: bytes, format: str | None, account: str) -> tuple[dict[str, Any], str | None]:
    """Takes what a tool has pushed; gives what came of it, and why nothing could be read, where that is so.

    That names the kind of fault and the line, and no value of the body: the full reason is in the local rejects.
    The same body from the same account changes nothing for a day, and has the same answer. Raises UsageError where
    there is no reader of the name given as ``format``.
    """
    digest = blake2b(body, digest_size=32, key=(format or "").encode()[:64]).digest()
    with intake.store.writing() as conn:
        before = answer_to(conn, account, digest)
    if before:
        answer: tuple[dict[str, Any], str | None] = msgspec.json.decode(before, type=tuple[dict[str, Any], str | None])
        return answer
    place = f"posted by {account}"
    passed = _Passed(intake.read(BytesIO(body), format, place))
    report = IngestReport()
    if before is None:
        with suppress(_AnsweredMeanwhile):
            report = intake.take(passed, partial(_first, account=account, digest=digest, now=intake.now()))
    for _ in passed:
        pass
    report.findings, report.rejected = passed.findings, passed.rejected
    answer = told(report), None if passed.first is None or report.findings else _kind_of(passed.first, place)
    with intake.store.writing() as conn:
        keep_answer(conn, account, digest, msgspec.json.encode(answer))
    return answer


def _first(conn: Connection, account: str, digest: bytes, now: Micros) -> None:
    if not keep_digest(conn, account, digest, now):
        raise _AnsweredMeanwhile


class _AnsweredMeanwhile(Exception):
    """The same was sent twice at once; the other one is being taken."""


_FAULTS = (
    ("no reader recognises this format", "no reader recognises its format; name one with ?format="),
    ("holds another compressed file", "it holds another compressed file or archive, and one layer is opened"),
    ("which is not opened", "it is an archive or compressed file of a kind that is not opened: unpack it first"),
    ("inflates to more than", "it inflates to more than the limit"),
    ("gzip data", "the gzip data is corrupt or cut off"),
    ("zstd data", "the zstd data is corrupt or cut off"),
    ("zip archive", "the zip archive is corrupt, cut off or too large"),
    ("encrypted", "it is encrypted: send it without a password"),
    ("PDF", "a PDF that cannot be read, or not as a whole: send its text"),
    ("no table with a column of indicators", "no table with a column of indicators: name the columns in a header line"),
    ("a quote in this row is not closed", "a quote in this row is not closed"),
    ("none that we share", "a type that is not shared"),
    ("is no ", "a value that is not what it should be: an address, name, URL or hash that cannot be read"),
    ("no JSON object", "no JSON object"),
    ("text between the records", "text between the records"),
    ("the record does not end", "the record does not end: a bracket or quote is not closed"),
    ("nested more than", "the record is nested too deep"),
    ("more than", "larger than the limit"),
    ("not readable", "a record that is not readable: broken, or a member is missing or of a wrong type"),
)
"""What an answer says of a reason, by words that it contains: reasons may quote values, the answer may not."""
_OTHER_FAULT = "a record that is not as its format demands"


def _kind_of(fault: Reject, place: str) -> str:
    """Tells the kind of a fault and its line, in words that are all ours."""
    kind = next((said for words, said in _FAULTS if words in fault.reason), _OTHER_FAULT)
    line = fault.place.removeprefix(f"{place}:")
    return f"{kind} (line {line})" if line.isdecimal() and len(line) < len("1000000000") else kind


class _Passed:
    """Counts results as they pass."""

    def __init__(self, results: Iterator[Finding | Reject]) -> None:
        self._results = results
        self.findings = 0
        self.rejected = 0
        self.first: Reject | None = None
        """The first record that could not be read."""

    def __iter__(self) -> Iterator[Finding | Reject]:
        for one in self._results:
            if isinstance(one, Reject):
                self.first = self.first or one
                self.rejected += 1
            else:
                self.findings += 1
            yield one
