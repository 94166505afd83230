"""Reads on in a file that grows, and through its rotations: where reading stands, and what comes next.

Only whole lines are given out, at most so many at once, each batch with the position behind it; whoever stores the
batch and that position together reads every line exactly once, however often it is killed. How a log is rotated:

- *renamed, and a new one created*: the old file is read to its end, once the new one holds something (until then
  the writer may still write to the old one), then those rotated in between, then the new one;
- *copied and truncated*: what was not read before the truncation is read from the copy;
- *replaced or truncated without a copy*: reading begins anew.

Which file is which is told by device, inode and a digest of bytes at the file's beginning and before the position:
inodes are used again, sizes grow back, but a file with those same bytes at those places is the same content.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path

from threatshare.errors import UsageError
from threatshare.findings.records import HEAD
from threatshare.model import Finding, Reject

BATCH_BYTES = 4 * 1024 * 1024
"""A line that is longer is given out in pieces, which readers refuse."""
_MARKED = 1024
_HEADER = re.compile(rb"[A-Za-z_][\w .:/()-]*").fullmatch
_DELIMITERS = (b"\t", b",", b";", b"|")
_LOOKS = 3
"""A file is given up only after so many looks in which it was not found."""
_ROTATED = re.compile(r"[.-][0-9][0-9T:._-]*").fullmatch
"""What rotation puts at a name's end, or before its suffix: ``.1``, ``-20260314``, ``.2026-03-14T10:00``."""
_LINE = re.compile("([0-9]+)(.*)", re.DOTALL).fullmatch


@dataclass(frozen=True, slots=True)
class Position:
    """How far a file was read."""

    device: int
    inode: int
    offset: int = 0
    """Bytes that were taken."""
    line: int = 0
    """Lines that were taken."""
    modified: int = 0
    """What was last written then, in nanoseconds, has been taken, in this file and those rotated before it."""
    mark: bytes = b""
    """Digest of bytes at the beginning and before the offset; empty at offset 0."""

    def written(self) -> str:
        """Writes it as text, to be kept."""
        numbers = (self.device, self.inode, self.offset, self.line, self.modified)
        return ":".join((*map(str, numbers), self.mark.hex()))

    @classmethod
    def read(cls, text: str) -> Position:
        """Reads what ``written`` wrote."""
        *numbers, mark = text.split(":")
        device, inode, offset, line, modified = map(int, numbers)
        return cls(device, inode, offset, line, modified, bytes.fromhex(mark))


@dataclass(frozen=True, slots=True)
class Batch:
    """What is to be taken next; without data where only the file changed that is read."""

    leading: bytes
    """Lines of the file's beginning without which the rest cannot be read; taken before, and only to be read along."""
    data: bytes
    before: int
    """Lines of the file before the data."""
    after: Position


class Follower:
    """Follows one path. ``look`` gives the same batch until it was ``taken``."""

    def __init__(self, path: Path, position: Position | None) -> None:
        """``position``: behind what was taken before; None: from the beginning."""
        self._path = path
        self.position = position
        """What was taken; behind it the next batch begins."""
        self._fd = -1
        self._idle: tuple[int, int] | None = None
        """Size and time of the file when nothing whole stood behind the position."""
        self._missed = 0
        self.lost = False
        """Whether the file that was read is gone, perhaps with lines that were not; for a word to the operator."""

    def look(self, lines: int) -> Batch | None:
        """Gives the next batch, at most so many lines; None where nothing has come.

        Raises OSError where the file cannot be read, and UsageError where it is none.
        """
        if self.position is None:
            # Kept at once: whatever happens to the file from now on is followed.
            return self._first()
        if self._fd < 0 and not self._find(self.position):
            return None
        found = os.fstat(self._fd)
        if (found.st_size, found.st_mtime_ns) != self._idle:
            data = self._read()
            if data is None:
                return self._begin_again()
            whole = _first_lines(data, lines)
            if whole:
                return self._batch(whole)
            self._idle = (found.st_size, found.st_mtime_ns)
        following = self._following()
        if following is None:
            return None
        # Nobody writes here any more: what came while we looked is here by now, and no line goes on.
        data = self._read()
        if data is None:
            return self._begin_again()
        return self._batch(_first_lines(data, lines) or data) if data else Batch(b"", b"", 0, following)

    def head(self) -> bytes:
        """Gives the beginning of the file that is read, by which its format is recognised."""
        return os.pread(self._fd, HEAD, 0)

    def taken(self, batch: Batch) -> None:
        """Goes on behind a batch that was stored."""
        if self.position is not None and not _same(batch.after, self.position):
            self.close()
        self.position, self._idle, self.lost = batch.after, None, False

    def close(self) -> None:
        """Closes the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd, self._idle = -1, None

    @property
    def _at(self) -> Position:
        assert self.position is not None
        return self.position

    def _batch(self, data: bytes) -> Batch:
        """Makes the batch of some data, unless there is something that was written before."""
        at, end = self._at, self._at.offset + len(data)
        earlier = None if at.offset else self._truncated_unread()
        if earlier is not None:
            return Batch(b"", b"", 0, earlier)
        leading = leading_lines(self.head()[: at.offset])
        count = data.count(b"\n") + (not data.endswith(b"\n"))
        modified = os.fstat(self._fd).st_mtime_ns
        after = replace(at, offset=end, line=at.line + count, modified=modified, mark=_mark(self._fd, end))
        return Batch(leading, data, at.line, after)

    def _read(self) -> bytes | None:
        """Gives what stands behind the position; None where the file is no longer the one that was read."""
        at = self._at
        data = os.pread(self._fd, min(BATCH_BYTES, max(0, os.fstat(self._fd).st_size - at.offset)), at.offset)
        # After the data: had the file been truncated before that was read, it would show here.
        if os.fstat(self._fd).st_size < at.offset + len(data) or _mark(self._fd, at.offset) != at.mark:
            return None
        return data

    def _first(self) -> Batch | None:
        found = _opened(self._path)
        if found is None:
            return None
        os.close(found[0])
        return Batch(b"", b"", 0, found[1])

    def _find(self, at: Position) -> bool:
        """Opens the file that the position speaks of, else the one that comes after it."""
        for path in (self._path, *(one for one, _ in self._siblings())):
            found = _opened(path)
            if found is None:
                continue
            fd, begin = found
            # The path's own file also where it was truncated: look() finds that out.
            if _same(begin, at) and (path == self._path or _mark(fd, at.offset) == at.mark):
                self._fd, self._missed = fd, 0
                return True
            os.close(fd)
        return self._copy_of(at) or self._later(at)

    def _copy_of(self, at: Position) -> bool:
        """Opens a copy of what was read, if one stands beside the path."""
        for path, found in self._siblings() if at.offset else ():
            opened = _opened(path) if found.st_size >= at.offset else None
            if opened is None:
                continue
            fd, begin = opened
            if _mark(fd, at.offset) == at.mark:
                self.close()
                self._fd, self.position = fd, replace(at, device=begin.device, inode=begin.inode)
                return True
            os.close(fd)
        return False

    def _later(self, at: Position) -> bool:
        """Opens what was rotated after a file that is gone; the path's own file at last."""
        self._missed += 1
        # A folder that is listed while files in it are renamed may leave one out.
        if self._missed < _LOOKS or not self._path.exists():
            return False
        for path in (*(one for one, _ in self._rotated_after(at.modified)), self._path):
            found = _opened(path)
            if found is not None:
                self._fd, self.position = found
                self._missed, self.lost = 0, True
                return True
        return False

    def _begin_again(self) -> Batch:
        """Goes on after a truncation: in the copy that was made before it, else at the file's new beginning."""
        own = os.fstat(self._fd)
        if self._copy_of(self._at):
            return Batch(b"", b"", 0, self._at)
        return Batch(b"", b"", 0, _begin(own, self._at.modified))

    def _truncated_unread(self) -> Position | None:
        """Gives a copy that was made of this file before it was truncated, where nothing had been taken by then."""
        at, own = self._at, os.fstat(self._fd)
        for _, found in self._rotated_after(at.modified):
            one = _begin(found)
            # What was rotated after this file was written to after it.
            if not _same(one, at) and (found.st_mtime_ns < own.st_mtime_ns or self._is_current(own)):
                return one
        return None

    def _is_current(self, own: os.stat_result) -> bool:
        """Tells whether a file is the one that the path names now."""
        with suppress(FileNotFoundError):
            return os.path.samestat(self._path.stat(), own)
        return False

    def _following(self) -> Position | None:
        """Tells what is to be read after the file under way: nothing as long as this may still be written to."""
        at, taken = self._at, os.fstat(self._fd).st_mtime_ns
        try:
            now = self._path.stat()
        except FileNotFoundError:
            now = None
        if now is not None and (now.st_dev, now.st_ino) == (at.device, at.inode):
            return None
        others = (_begin(found, taken) for _, found in self._rotated_after(taken))
        between = next((one for one in others if not _same(one, at)), None)
        if between is not None or now is None:
            return between
        return _begin(now, taken) if now.st_size else None

    def _rotated_after(self, modified: int) -> list[tuple[Path, os.stat_result]]:
        """Gives rotated files that were written to after a moment, the oldest first."""
        found = [
            (path, told)
            for path, told in self._siblings()
            if told.st_mtime_ns > modified and _is_rotated(path.name, self._path)
        ]
        return sorted(found, key=lambda one: one[1].st_mtime_ns)

    def _siblings(self) -> list[tuple[Path, os.stat_result]]:
        """Gives the files beside the path that are named like it."""
        found = []
        with suppress(FileNotFoundError), os.scandir(self._path.parent) as entries:
            for entry in entries:
                if entry.name != self._path.name and entry.name.startswith(self._path.stem):
                    with suppress(FileNotFoundError):
                        if entry.is_file():
                            found.append((self._path.with_name(entry.name), entry.stat()))
        return found


def _is_rotated(name: str, path: Path) -> bool:
    """Tells whether a name is what rotation makes of a path's."""
    rest = name.removeprefix(path.name if name.startswith(path.name) else path.stem)
    return _ROTATED(rest) is not None or (bool(path.suffix) and _ROTATED(rest.removesuffix(path.suffix)) is not None)


def placed(results: Sequence[Finding | Reject], place: str, batch: Batch) -> list[Finding | Reject]:
    """Gives what a reader made of a batch its lines in the file; what the leading lines say again is left out."""
    leading = batch.leading.count(b"\n")
    if not leading and not batch.before:
        return list(results)
    made: list[Finding | Reject] = []
    of_leading: list[Finding | Reject] = []
    for one in results:
        found = _LINE(one.place.removeprefix(f"{place}:"))
        if found is None:
            made.append(one)
            continue
        line = int(found[1]) - leading
        moved = replace(one, place=f"{place}:{max(line, 1) + batch.before}{found[2]}")
        (made if line > 0 else of_leading).append(moved)
    # A reader that could do nothing with the whole says so at the first line.
    return made or [one for one in of_leading if isinstance(one, Reject)]


def leading_lines(head: bytes) -> bytes:
    """Gives the lines of a beginning without which later ones cannot be read: ``#`` lines and a row of headings."""
    end = 0
    while (newline := head.find(b"\n", end)) >= 0:
        line = head[end : newline + 1]
        if not line.startswith(b"#"):
            return head[: newline + 1] if _is_heading(line) else head[:end]
        end = newline + 1
    return head[:end]


def _is_heading(line: bytes) -> bool:
    """Tells a row of column names, of which none is a value with a digit first or an empty cell."""
    text = line.strip(b"\xef\xbb\xbf\r\n")
    delimiter = max(_DELIMITERS, key=text.count)
    return delimiter in text and all(_HEADER(cell.strip(b' "')) for cell in text.split(delimiter))


def _first_lines(data: bytes, lines: int) -> bytes:
    """Gives so many whole lines; all of it where a whole batch of bytes holds no end of a line."""
    end = data.rfind(b"\n") + 1
    if not end:
        return data if len(data) == BATCH_BYTES else b""
    if data.count(b"\n", 0, end) <= lines:
        return data[:end]
    at = 0
    for _ in range(lines):
        at = data.index(b"\n", at) + 1
    return data[:at]


def _mark(fd: int, offset: int) -> bytes:
    if not offset:
        return b""
    begin = os.pread(fd, min(_MARKED, offset), 0)
    before = max(0, offset - _MARKED)
    return blake2b(begin + os.pread(fd, offset - before, before), digest_size=16).digest()


def _same(one: Position, other: Position) -> bool:
    return (one.device, one.inode) == (other.device, other.inode)


def _opened(path: Path) -> tuple[int, Position] | None:
    """Opens a file at its beginning; None where there is none."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        os.close(fd)
        raise UsageError(f"{path} is no file that can be followed; a folder is for --watch")
    return fd, _begin(found)


def _begin(found: os.stat_result, taken: int = 0) -> Position:
    """Gives a file's beginning; of what is in it, as of all that was written after ``taken``, nothing was taken."""
    return Position(found.st_dev, found.st_ino, modified=max(taken, found.st_mtime_ns - (found.st_size > 0)))
