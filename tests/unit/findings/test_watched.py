from __future__ import annotations

import os
from pathlib import Path

import pytest

from threatshare.errors import UsageError
from threatshare.findings.watched import QUIET_SECONDS, Folder, Identity

NOW = 1_700_000_000.0


@pytest.fixture
def drop(tmp_path: Path) -> Path:
    made = tmp_path / "drop"
    made.mkdir()
    return made


def put(folder: Path, name: str, text: str = "x", at: float = NOW) -> Path:
    """Writes a file at a moment; the folder's time is that moment then."""
    file = folder / name
    file.write_text(text)
    os.utime(file, (at, at))
    os.utime(folder, (at, at))
    return file


def names(folder: Folder, now: float) -> list[str]:
    return [path.name for path, _ in folder.look(now)]


def take(folder: Folder, now: float) -> list[str]:
    """Takes all that is whole."""
    ready = folder.look(now)
    for path, identity in ready:
        folder.done(path, identity)
    return [path.name for path, _ in ready]


def test_a_file_is_given_once_it_has_stopped_growing(drop: Path) -> None:
    """As long as size or time change it is left alone; then it is given until it was taken, and never again."""
    folder = Folder(drop, ())
    put(drop, "a.json", "half")
    assert names(folder, NOW) == []
    put(drop, "a.json", "half and half", NOW + 0.2)
    assert names(folder, NOW + 0.4) == []
    assert names(folder, NOW + 0.4 + QUIET_SECONDS / 2) == []
    assert take(folder, NOW + 0.5 + QUIET_SECONDS) == ["a.json"]
    assert names(folder, NOW + 100) == []


def test_a_file_that_was_moved_here_is_given_at_once(drop: Path) -> None:
    """What was last written a while ago is whole; the oldest comes first."""
    put(drop, "b", at=NOW - 60)
    put(drop, "a", at=NOW - 50)
    assert take(Folder(drop, ()), NOW) == ["b", "a"]


def test_unfinished_hidden_and_special_files_are_left_alone(drop: Path) -> None:
    """Until they have their name; links, pipes and folders for ever, and so is an empty file until it is filled."""
    for name in (".a.json", "a.json.part", "a.tmp", "empty"):
        put(drop, name, "" if name == "empty" else "x")
    (drop / "link").symlink_to(drop / "a.tmp")
    (drop / "below").mkdir()
    os.mkfifo(drop / "pipe")
    folder = Folder(drop, ())
    assert names(folder, NOW) == []
    assert names(folder, NOW + 5) == []
    (drop / "a.json.part").rename(drop / "a.json")
    os.utime(drop, (NOW + 6, NOW + 6))
    assert take(folder, NOW + 6) == ["a.json"]
    put(drop, "empty", "full", NOW + 7)
    assert names(folder, NOW + 8) == []
    assert take(folder, NOW + 9) == ["empty"]


def test_what_was_taken_before_a_restart_is_not_given_again(drop: Path) -> None:
    """Also not where it was renamed meanwhile; where its content is another, it is."""
    put(drop, "a", at=NOW - 60)
    put(drop, "b", at=NOW - 60)
    folder = Folder(drop, ())
    ready = folder.look(NOW)
    assert len(ready) == 2
    done = [Identity.read(one.written()) for _, one in ready]
    (drop / "a").rename(drop / "c")
    assert names(Folder(drop, done), NOW) == []
    put(drop, "b", "another", NOW - 30)
    assert names(Folder(drop, done), NOW) == ["b"]


def test_a_file_replaced_under_its_name_is_another(drop: Path) -> None:
    """Moved over the old one it is seen at once, changed in place within ten seconds in a small folder."""
    put(drop, "a", at=NOW - 60)
    folder = Folder(drop, ())
    assert take(folder, NOW) == ["a"]
    put(drop.parent, "a", "new", NOW - 60).replace(drop / "a")
    os.utime(drop, (NOW + 1, NOW + 1))
    assert take(folder, NOW + 3) == ["a"]
    put(drop, "a", "written over", NOW + 3)
    os.utime(drop, (NOW + 1, NOW + 1))
    assert take(folder, NOW + 20) == ["a"]


def test_a_quiet_folder_is_not_listed(drop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However much lies there, a look at a folder in which nothing changed asks for its time only."""
    for number in range(50):
        put(drop, f"{number}", at=NOW - 60)
    folder = Folder(drop, ())
    assert len(take(folder, NOW)) == 50
    listed: list[Path] = []
    scandir = os.scandir

    def noted(path: Path) -> object:
        listed.append(path)
        return scandir(path)

    monkeypatch.setattr("os.scandir", noted)
    for tenth in range(90):
        assert names(folder, NOW + tenth / 10) == []
    assert listed == []
    put(drop, "new", at=NOW + 9)
    names(folder, NOW + 9.1)
    assert len(listed) == 1


def test_what_is_gone_is_forgotten(drop: Path) -> None:
    """It is told once, so that what is kept of it can be dropped; a folder of another device forgets nothing."""
    file = put(drop, "a", at=NOW - 60)
    folder = Folder(drop, [Identity(1, 2, 3, 4)])
    assert take(folder, NOW) == ["a"]
    assert folder.gone() == []
    identity = Identity(drop.stat().st_dev, file.stat().st_ino, 1, file.stat().st_mtime_ns)
    file.unlink()
    os.utime(drop, (NOW, NOW))
    names(folder, NOW + 30)
    assert folder.gone() == [identity]
    assert folder.gone() == []


def test_a_folder_is_waited_for(tmp_path: Path) -> None:
    """One that is not there is empty; what is no folder is refused."""
    folder = Folder(tmp_path / "later", ())
    assert names(folder, NOW) == []
    (tmp_path / "later").mkdir()
    put(tmp_path / "later", "a", at=NOW - 60)
    assert names(folder, NOW) == ["a"]
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="--follow"):
        Folder(tmp_path / "file", ()).look(NOW)
