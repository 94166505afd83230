"""Taking what arrives: positions are saved with the findings, and a fault of a source passes."""

from __future__ import annotations

import bz2
import gzip
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from backports import zstd

from builders import NOW, SECOND, make_own, make_store
from threatshare.arrivals import (
    FollowedFile,
    Intake,
    Source,
    WatchedFolder,
    attend,
    followed_file,
    source_of,
    watched_folder,
)
from threatshare.errors import StoreError, UsageError
from threatshare.ingest import IngestReport
from threatshare.model import Micros
from threatshare.store.followed import states


@dataclass
class Scene:
    """A store, a clock and a folder."""

    folder: Path
    now: Micros = NOW
    intake: Intake = field(init=False)

    def __post_init__(self) -> None:
        self.intake = Intake(make_store(self.folder), make_own, lambda: self.now)

    def seen(self) -> dict[str, tuple[str, int]]:
        """What was seen: role and count by value."""
        rows = self.intake.store.conn.execute("SELECT value, role, count FROM observation").fetchall()
        return {value: (role, count) for value, role, count in rows}

    def log(self, text: str) -> Path:
        """Appends to a log."""
        file = self.folder / "sensor.log"
        with file.open("a") as log:
            log.write(text)
        return file


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    yield made
    made.intake.store.close()


def steps(source: FollowedFile | WatchedFolder, most: int = 50) -> list[IngestReport]:
    """Steps until nothing comes any more."""
    made: list[IngestReport] = []
    while len(made) < most and (report := source.step()) is not None:
        made.append(report)
    return made


def test_a_log_is_taken_up_again_where_it_was_left(scene: Scene) -> None:
    """Another process goes on behind what the first has stored; a row of headings still holds."""
    log = scene.log("type,value\nip,45.66.77.1\nip,45.66.77.2\n")
    first = FollowedFile(scene.intake, log, None)
    assert sum(one.findings for one in steps(first)) == 2
    first.close()
    scene.log("ip,45.66.77.2\nip,")
    assert sum(one.findings for one in steps(FollowedFile(scene.intake, log, None))) == 1
    assert scene.seen() == {"45.66.77.1": ("c2", 1), "45.66.77.2": ("c2", 2)}


def test_what_is_not_stored_is_read_again(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault while storing leaves neither findings nor position behind, and the next step takes both."""
    log = scene.log("ip,45.66.77.1\n")
    source = FollowedFile(scene.intake, log, "csv")
    source.step()

    def full(*_: object, **__: object) -> None:
        raise StoreError("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(followed_file, "save_state", full)
        with pytest.raises(StoreError):
            source.step()
    assert scene.seen() == {}
    assert sum(one.findings for one in steps(source)) == 1
    assert scene.seen() == {"45.66.77.1": ("c2", 1)}


def test_two_processes_cannot_take_from_one_log(scene: Scene) -> None:
    """The second learns it, nothing is counted twice, and once the first has ended it goes on by itself."""
    log = scene.log("ip,45.66.77.1\n")
    one, two = (FollowedFile(scene.intake, log, "csv") for _ in range(2))
    steps(one)
    steps(two)
    scene.log("ip,45.66.77.2\n")
    steps(one)
    with pytest.raises(UsageError, match="another process"):
        two.step()
    two.close()
    scene.log("ip,45.66.77.3\n")
    steps(two)
    assert [count for _, count in scene.seen().values()] == [1, 1, 1]


def test_no_transaction_holds_more_than_a_chunk(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a line is more than one finding, so that the position is always stored with what it counts."""
    monkeypatch.setattr(followed_file, "CHUNK", 4)
    header = "src_ip,domain,url\n"
    log = scene.log(header + "".join(f"x{number},y,z\n" for number in range(4)))
    reports = steps(FollowedFile(scene.intake, log, "csv"))
    assert sum(one.rejected for one in reports) > 4
    assert max(one.rejected for one in reports) <= 4


def test_lines_of_a_login_log_are_judged_together(scene: Scene) -> None:
    """Tries that come seconds apart count as several, which one by one would be typos; they wait a minute for that."""
    log = scene.log("")
    source = FollowedFile(scene.intake, log, None)
    for second in range(5):
        scene.log(
            f"Nov 22 10:00:0{second} host sshd[1]: Failed password for root from 45.66.77.8{second % 2}"
            " port 40000 ssh2\n" * 2
        )
        assert sum(one.findings for one in steps(source)) == 0
        scene.now += 10 * SECOND
    assert scene.seen() == {}
    scene.now += 11 * SECOND
    steps(source)
    assert {role for role, _ in scene.seen().values()} == {"attacker"}


def test_a_large_file_is_gone_on_with_in_its_middle(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each transaction stores how many findings of the file were taken, and a restart passes over so many."""
    monkeypatch.setattr(watched_folder, "CHUNK", 3)
    drop = scene.folder / "drop"
    drop.mkdir()
    (drop / "list.csv").write_text("type,value\n" + "ip,45.66.77.1\n" * 10)
    scene.now = 2 * NOW
    first = WatchedFolder(scene.intake, drop, None)
    assert [one.findings for one in steps(first, 2)] == [3, 3]
    first.close()
    second = WatchedFolder(scene.intake, drop, None)
    assert [one.findings for one in steps(second)] == [3, 1]
    assert scene.seen() == {"45.66.77.1": ("c2", 10)}
    assert steps(WatchedFolder(scene.intake, drop, None)) == []
    (drop / "list.csv").unlink()
    scene.now *= 2
    steps(second)
    assert states(scene.intake.store.conn, drop) == {}


def test_a_file_that_cannot_be_read_is_kept_aside(scene: Scene) -> None:
    """It is a reject with its reason, and the files beside it are taken."""
    drop = scene.folder / "drop"
    drop.mkdir()
    (drop / "a.bin").write_bytes(bytes(100))
    (drop / "b.csv").write_text("type,value\nip,45.66.77.1\n")
    scene.now = 2 * NOW
    reports = steps(WatchedFolder(scene.intake, drop, None))
    assert sorted((one.findings, one.rejected) for one in reports) == [(0, 1), (1, 0)]


def test_a_source_is_attended_through_faults() -> None:
    """A fault is told and tried again; what comes is told; the end closes the source."""
    stop = Event()

    class Faulty:
        path = Path("x")
        done = 0
        closed = 0

        def step(self) -> IngestReport | None:
            self.done += 1
            if self.done == 1:
                raise OSError("no right to read")
            return IngestReport(findings=self.done)

        def close(self) -> None:
            self.closed += 1

    source, told = Faulty(), list[Any]()

    def stored(_: Source, report: IngestReport) -> None:
        told.append(report.findings)
        stop.set()

    attend(source, stop, stored, lambda _, problem: told.append(str(problem)))
    assert told == ["no right to read", 2]
    assert source.closed == 2


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress, bz2.compress])
def test_a_compressed_file_is_not_followed(scene: Scene, pack: Callable[[bytes], bytes]) -> None:
    """Its lines are no lines of the log, and its end would be lost: it is refused, and a log in its place is taken."""
    log = scene.folder / "sensor.log"
    for format, text in ((None, b"type,value\nip,45.66.77.1\n" * 2000), ("csv", b"ip,45.66.77.1\n")):
        log.write_bytes(pack(text))
        source = FollowedFile(scene.intake, log, format)
        for _ in range(2):
            with pytest.raises(UsageError, match="--watch, or ingest it"):
                steps(source)
            source.close()
    log.unlink()
    scene.log("ip,45.66.77.2\n")
    steps(FollowedFile(scene.intake, log, "csv"))
    assert scene.seen() == {"45.66.77.2": ("c2", 1)}


def test_a_folder_is_not_followed(scene: Scene) -> None:
    """It is told once what to do instead, without the path that whoever tells it names; then it may become a log."""
    log, told = scene.folder / "sensor.log", list[str]()
    log.mkdir()
    source = FollowedFile(scene.intake, log, None)
    tries = 0

    class Watch:
        path = log

        def step(self) -> IngestReport | None:
            nonlocal tries
            tries += 1
            if tries == 3:
                log.rmdir()
                scene.log("type,value\nip,45.66.77.1\n")
            return source.step()

        def close(self) -> None:
            source.close()

    def stored(_: Source, report: IngestReport) -> None:
        if report.findings:
            stop.set()

    class Hasty(Event):
        def wait(self, timeout: float | None = None) -> bool:
            return super().wait(0)

    stop = Hasty()
    attend(Watch(), stop, stored, lambda _, problem: told.append(str(problem)))
    assert told == ["a folder cannot be followed line by line: use --watch"]


def test_a_reader_that_is_not_there_is_named_at_once(scene: Scene) -> None:
    """Before anything is waited for."""
    with pytest.raises(UsageError, match="no reader named 'cvs'"):
        source_of(scene.intake, scene.folder, "watch", "cvs")
