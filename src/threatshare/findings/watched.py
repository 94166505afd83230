"""Finds what was put into a drop folder: each file once, when it has stopped growing.

A look costs a stat of the folder and of each file that is still growing, however much lies there; the folder is listed
where its own time has changed. Files that were changed in place, which leaves the folder's time alone, are found
by listings so rare that all listings together take no more than a hundredth of the time.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from threatshare.errors import UsageError

QUIET_SECONDS = 0.3
"""A file that has not changed for so long is whole."""
_SETTLED_SECONDS = 2.0
"""A file last written so long ago is whole at first sight: it was moved here. The coarsest clock of a file system."""
_ANEW_SECONDS = 10.0
_SHARE = 100
_SHARE_OF_RECENT = 4
"""While the folder's time is too fresh to be relied on, listings take a fifth of the time at most."""
_UNFINISHED = (".tmp", ".part")


@dataclass(frozen=True, slots=True)
class Identity:
    """A file's content, as far as it can be told without reading: also under another name it is the same."""

    device: int
    inode: int
    size: int
    modified: int
    """Nanoseconds."""

    def written(self) -> str:
        """Writes it as text, to be kept."""
        return f"{self.device}:{self.inode}:{self.size}:{self.modified}"

    @classmethod
    def read(cls, text: str) -> Identity:
        """Reads what ``written`` wrote."""
        return cls(*map(int, text.split(":")))


class Folder:
    """Watches one folder, not those below it. Symbolic links, hidden and unfinished files are passed over."""

    def __init__(self, path: Path, done: Iterable[Identity]) -> None:
        self._path = path
        self._done = set(done)
        self._inodes: dict[str, int] = {}
        """Of files in the folder that are done, so that a listing need not look at each."""
        self._growing: dict[str, tuple[Identity, float]] = {}
        """Files with what they were, and since when they are that."""
        self._gone: list[Identity] = []
        self._seen: tuple[int, int, int] | None = None
        self._list_after = 0.0
        self._list_all_after = 0.0

    def look(self, now: float) -> list[tuple[Path, Identity]]:
        """Gives files that are whole and not done, those written first before others.

        ``now``: seconds since 1970. A folder that does not exist is empty. Raises UsageError where it is none.
        """
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return []
        if not stat.S_ISDIR(found.st_mode):
            raise UsageError(f"{self._path} is no folder; a file is for --follow")
        seen = (found.st_dev, found.st_ino, found.st_mtime_ns)
        fresh = now - found.st_mtime < _SETTLED_SECONDS
        everything = self._seen is None or now >= self._list_all_after
        if everything or ((seen != self._seen or fresh) and now >= self._list_after):
            self._list(found.st_dev, everything, now)
            # A file system's clock is coarse: what comes later may leave the folder's time as it is.
            self._seen = seen
        ready = [(self._path / name, one) for name in list(self._growing) if (one := self._grown(name, now))]
        return sorted(ready, key=lambda pair: (pair[1].modified, pair[0].name))

    def done(self, path: Path, identity: Identity) -> None:
        """Remembers a file that was taken."""
        self._done.add(identity)
        self._growing.pop(path.name, None)
        self._inodes[path.name] = identity.inode

    def gone(self) -> list[Identity]:
        """Gives, once, what was taken and is no longer in the folder; it is forgotten."""
        gone, self._gone = self._gone, []
        self._done.difference_update(gone)
        return gone

    def _list(self, device: int, everything: bool, now: float) -> None:
        began = perf_counter()
        names: set[str] = set()
        present: set[Identity] = set()
        with os.scandir(self._path) as entries:
            for entry in entries:
                names.add(entry.name)
                if everything or self._inodes.get(entry.name) != entry.inode():
                    present.update(self._meet(entry, now))
        for name in self._inodes.keys() - names:
            del self._inodes[name]
        took = perf_counter() - began
        self._list_after = now + _SHARE_OF_RECENT * took
        if everything:
            self._list_all_after = now + max(_ANEW_SECONDS, _SHARE * took)
            # Of another device: the folder is not mounted at the moment.
            self._gone = [one for one in self._done if one.device == device and one not in present]

    def _meet(self, entry: os.DirEntry[str], now: float) -> Iterator[Identity]:
        """Looks at a file, and yields what it is."""
        try:
            found = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            return
        if not stat.S_ISREG(found.st_mode):
            return
        identity = _identity(found)
        yield identity
        if identity in self._done:
            self._inodes[entry.name] = identity.inode
        elif not _is_unfinished(entry.name) and entry.name not in self._growing:
            self._growing[entry.name] = (identity, now)

    def _grown(self, name: str, now: float) -> Identity | None:
        """Gives what a file is where it has stopped growing."""
        before, since = self._growing[name]
        try:
            found = (self._path / name).lstat()
        except FileNotFoundError:
            del self._growing[name]
            return None
        identity = _identity(found)
        if identity != before:
            self._growing[name] = (identity, now)
            return None
        whole = now - since >= QUIET_SECONDS or now - found.st_mtime >= _SETTLED_SECONDS
        return identity if whole and found.st_size else None


def _is_unfinished(name: str) -> bool:
    return name.startswith(".") or name.endswith(_UNFINISHED)


def _identity(found: os.stat_result) -> Identity:
    return Identity(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
