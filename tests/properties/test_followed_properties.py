"""Following a log, against a model of a writer, of rotation and of kills: every line exactly once, in order."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from threatshare.findings.followed import Follower, Position

SECOND = 1_000_000_000


class FollowedLog(RuleBasedStateMachine):
    """A writer that appends numbered lines, a rotation that renames or copies, and a reader that may be killed."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="threatshare-followed-"))
        self.path = self.folder / "eve.json"
        self.clock = 1_700_000_000 * SECOND
        self.written: list[bytes] = []
        self.number = 0
        self.part = b""
        """A line under way in the file that is written to."""
        self.old: Path | None = None
        """A renamed file that the writer has still open."""
        self.stored: str | None = None
        self.taken: list[bytes] = []
        self.lines = 0
        self.follower = Follower(self.path, None)

    def teardown(self) -> None:
        self.follower.close()
        shutil.rmtree(self.folder)

    def write(self, path: Path, data: bytes) -> None:
        with path.open("ab") as file:
            file.write(data)
        self.touch(path)

    def touch(self, path: Path) -> None:
        self.clock += SECOND
        os.utime(path, ns=(self.clock, self.clock))

    def next_line(self, length: int) -> bytes:
        self.number += 1
        return f"line {self.number} ".encode() + b"x" * length

    @initialize(begun=st.integers(0, 3))
    def begin(self, begun: int) -> None:
        self.path.touch()
        self.touch(self.path)
        for _ in range(begun):
            self.append(1, 5)
        self.step(2, None)

    @rule(count=st.integers(1, 7), length=st.sampled_from([0, 5, 700]))
    def append(self, count: int, length: int) -> None:
        """The writer ends the line under way and writes more."""
        if self.part:
            self.written.append(self.part)
            self.write(self.path, b"\n")
            self.part = b""
        lines = [self.next_line(length) for _ in range(count)]
        self.old = None
        self.written += lines
        self.write(self.path, b"".join(line + b"\n" for line in lines))

    @precondition(lambda self: self.old is None)
    @rule()
    def append_part(self) -> None:
        """The writer is caught in the middle of a line."""
        more = self.next_line(3) if not self.part else b" and more"
        self.part += more
        self.write(self.path, more)

    @precondition(lambda self: self.old is not None)
    @rule(whole=st.booleans())
    def append_late(self, whole: bool) -> None:
        """The writer has not heard of the rotation yet; it goes on in the renamed file."""
        assert self.old is not None
        if not whole:
            return
        line = self.next_line(2)
        self.written.append(line)
        self.write(self.old, line + b"\n")

    def shift(self) -> Path:
        """Counts up the numbers of rotated files; gives the name that is free then."""
        for number in range(20, 0, -1):
            rotated = self.path.with_name(f"{self.path.name}.{number}")
            if rotated.exists():
                rotated.rename(rotated.with_name(f"{self.path.name}.{number + 1}"))
        return self.path.with_name(self.path.name + ".1")

    def cut(self) -> None:
        """What was under way is a line of its own now."""
        if self.part:
            self.written.append(self.part)
            self.part = b""

    @precondition(lambda self: self.path.stat().st_size and not self.folder.joinpath("eve.json.15").exists())
    @rule()
    def rename(self) -> None:
        self.cut()
        had_part = self.path.read_bytes()[-1:] != b"\n"
        rotated = self.shift()
        self.path.rename(rotated)
        self.path.touch()
        self.touch(self.path)
        self.old = None if had_part else rotated

    @precondition(lambda self: self.path.stat().st_size and not self.folder.joinpath("eve.json.15").exists())
    @rule(keeps_time=st.booleans())
    def copy_and_truncate(self, keeps_time: bool) -> None:
        self.cut()
        self.old = None
        rotated = self.shift()
        shutil.copy2(self.path, rotated)
        if not keeps_time:
            self.touch(rotated)
        os.truncate(self.path, 0)
        self.touch(self.path)

    @rule(lines=st.integers(1, 4), killed=st.sampled_from([None, None, None, "before", "after"]))
    def step(self, lines: int, killed: str | None) -> None:
        """The reader takes a batch, or is killed before or after that is stored."""
        batch = self.follower.look(lines)
        if batch is not None and killed != "before":
            assert len(batch.data.splitlines()) <= lines
            assert not batch.data or batch.after.line - batch.before == len(batch.data.splitlines())
            self.taken += batch.data.splitlines()
            self.stored = batch.after.written()
            if killed is None:
                self.follower.taken(batch)
        if killed is not None:
            self.follower.close()
            self.follower = Follower(self.path, Position.read(self.stored) if self.stored else None)

    @invariant()
    def in_order(self) -> None:
        assert self.taken == self.written[: len(self.taken)]
        assert not self.follower.lost

    @rule()
    def drain(self) -> None:
        """Once something stands in the path's own file, everything that was written is taken."""
        self.append(1, 0)
        idle = 0
        while idle < 5:
            before = len(self.taken), self.stored
            self.step(3, None)
            idle = idle + 1 if before == (len(self.taken), self.stored) else 0
        assert self.taken == self.written


FollowedLog.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestFollowedLog = FollowedLog.TestCase
