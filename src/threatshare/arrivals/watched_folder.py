"""A drop folder: its files are taken whole, each once."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from functools import partial
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from threatshare.arrivals.intake import Intake
from threatshare.findings.watched import Folder, Identity
from threatshare.ingest import CHUNK, IngestReport
from threatshare.model import Finding, Reject
from threatshare.store.followed import forget, save_state, states

_WHOLE = "whole"


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
