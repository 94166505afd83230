from __future__ import annotations

import os
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest

from builders import make_finding
from threatshare.config import OwnAssets
from threatshare.errors import UsageError
from threatshare.findings.followed import BATCH_BYTES, Batch, Follower, Position, leading_lines, placed
from threatshare.findings.readers import read_file
from threatshare.model import Finding, Reject


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "sensor.log"


def look(follower: Follower, lines: int = 100) -> bytes:
    """Takes all there is."""
    taken = b""
    while (batch := follower.look(lines)) is not None:
        taken += batch.data
        follower.taken(batch)
    return taken


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def test_a_file_that_is_not_there_yet_is_waited_for(log: Path) -> None:
    """Neither the file nor its folder need exist; once it does, it is read from its beginning."""
    follower = Follower(log.parent / "later" / "x.log", None)
    assert follower.look(10) is None
    (log.parent / "later").mkdir()
    append(log.parent / "later" / "x.log", b"one\n")
    assert look(follower) == b"one\n"


def test_a_line_without_its_end_waits(log: Path) -> None:
    """Half a line is no line until its end is there."""
    follower = Follower(log, None)
    append(log, b"one\ntw")
    assert look(follower) == b"one\n"
    assert look(follower) == b""
    append(log, b"o\n")
    assert look(follower) == b"two\n"


def test_at_most_so_many_lines_come_at_once(log: Path) -> None:
    """A batch holds the lines asked for, and the same is given again, also shorter, until it was taken."""
    append(log, b"".join(b"%d\n" % number for number in range(10)))
    follower = Follower(log, None)
    first = follower.look(4)
    assert first is not None
    follower.taken(first)
    assert [one.data if (one := follower.look(lines)) else None for lines in (4, 4, 1)] == [
        b"0\n1\n2\n3\n",
        b"0\n1\n2\n3\n",
        b"0\n",
    ]


def test_a_line_longer_than_a_batch_does_not_stop_anything(log: Path) -> None:
    """It comes in pieces, and what stands behind it comes too."""
    append(log, b"x" * (BATCH_BYTES + 5) + b"\nbehind\n")
    assert look(Follower(log, None)).endswith(b"x\nbehind\n")


def test_the_rest_of_a_renamed_file_comes_before_the_new_one(log: Path) -> None:
    """Also where it was renamed while nobody looked, and where its last line has no end."""
    append(log, b"one\n")
    follower = Follower(log, None)
    assert look(follower) == b"one\n"
    position = follower.position
    assert position is not None
    append(log, b"two\nthree")
    log.rename(log.with_name("sensor.log.1"))
    append(log, b"four\n")
    assert look(Follower(log, Position.read(position.written()))) == b"two\nthreefour\n"
    assert look(follower) == b"two\nthreefour\n"


def test_files_rotated_in_between_are_read_in_order(log: Path) -> None:
    """Whoever was away for several rotations reads every file of them, and none from before."""
    for number, name in enumerate(["sensor.log.4", "sensor.log.3", "sensor.log"]):
        append(log.with_name(name), b"%d\n" % number)
        os.utime(log.with_name(name), (1_000 + number, 1_000 + number))
    follower = Follower(log, None)
    assert look(follower) == b"2\n"
    log.rename(log.with_name("sensor.log.2"))
    for number, name in enumerate(["sensor.log.1", "sensor-notes.log", "sensor.log.2.gz", "sensor.log"], 3):
        append(log.with_name(name), b"%d\n" % number)
        os.utime(log.with_name(name), (1_000 + number, 1_000 + number))
    assert look(follower) == b"3\n6\n"


def test_a_file_that_was_copied_and_truncated_goes_on_in_its_copy(log: Path) -> None:
    """What was not read before the truncation is read from the copy, then what came after it."""
    append(log, b"one\n")
    follower = Follower(log, None)
    look(follower)
    append(log, b"two\n")
    log.with_name("sensor.log.1").write_bytes(log.read_bytes())
    os.truncate(log, 0)
    append(log, b"three, and longer than before\n")
    assert look(follower) == b"two\nthree, and longer than before\n"


def test_a_file_that_was_replaced_is_read_anew(log: Path) -> None:
    """The same inode, or the same size, with another content is another file."""
    append(log, b"one\n")
    follower = Follower(log, None)
    look(follower)
    log.write_bytes(b"two\n")
    os.utime(log, (5_000, 5_000))
    assert look(follower) == b"two\n"


def test_a_file_that_is_gone_is_told(log: Path) -> None:
    """Where a restart does not find what it read, it goes on with the new file and says so."""
    append(log, b"one\n")
    follower = Follower(log, None)
    look(follower)
    position = follower.position
    assert position is not None
    follower.close()
    other = log.with_name("other")
    append(other, b"another file\n")
    other.replace(log)
    again = Follower(log, replace(position, inode=position.inode + 1_000_000))
    assert [again.look(5) for _ in range(2)] == [None, None], "it may be under way to its new name"
    batch = again.look(5)
    assert batch is not None
    assert batch.data == b"another file\n"
    assert again.lost


def test_a_folder_cannot_be_followed(tmp_path: Path) -> None:
    """The message says what is for folders."""
    with pytest.raises(UsageError, match="--watch"):
        Follower(tmp_path, None).look(1)


@pytest.mark.parametrize(
    ("head", "leading"),
    [
        (b'{"event_type": "alert"}\n{"event_type": "flow"}\n', b""),
        (b"#separator \\x09\n#fields\tts\n1.5\tx\n#close\n", b"#separator \\x09\n#fields\tts\n"),
        (b"type,value,note\nip,192.0.2.1,x\n", b"type,value,note\n"),
        (b"# a list\ntype;value\nip;192.0.2.1\n", b"# a list\ntype;value\n"),
        (b"ip,192.0.2.1\n", b""),
        (b"Nov 22 10:00:00 host sshd[1]: Failed password for root from 192.0.2.1 port 22\n", b""),
        (b"2026-11-22 10:00:00,123 fail2ban.actions [1]: NOTICE [sshd] Ban 192.0.2.1\n", b""),
        (b"no end", b""),
        (b"", b""),
    ],
)
def test_what_later_lines_need_is_told_from_the_beginning(head: bytes, leading: bytes) -> None:
    """Lines with a # and a row of headings are read along; lines of a log are not."""
    assert leading_lines(head) == leading


def test_places_are_those_of_the_file(log: Path) -> None:
    """A row of a table is read by its headings in every batch, once, and named by its line in the file."""
    append(log, b"type,value\nip,198.51.100.1\nip,nonsense\n")
    follower = Follower(log, None)
    seen: list[Finding | Reject] = []
    for more in (b"", b"ip,198.51.100.2\nnonsense,x\n", b"ip,198.51.100.3\n"):
        append(log, more)
        while (batch := follower.look(2)) is not None:
            stream = BytesIO(batch.leading + batch.data)
            seen += placed(list(read_file(stream, "csv", OwnAssets(), str(log))), str(log), batch)
            follower.taken(batch)
    assert [(one.place.rpartition(":")[2], type(one)) for one in seen] == [
        ("2", Finding),
        ("3", Reject),
        ("4", Finding),
        ("5", Reject),
        ("6", Finding),
    ]
    values = [one.observations[0].observable.value for one in seen if isinstance(one, Finding)]
    assert values == ["198.51.100.1", "198.51.100.2", "198.51.100.3"]


def test_what_a_reader_says_of_the_whole_is_not_lost() -> None:
    """A refusal at the first line stays, where it is all that came; beside others it was said before."""
    batch = Batch(b"# head\n", b"x\ny\n", 7, Position(1, 1))
    refusal = Reject("f:1", "no table")
    assert placed([refusal], "f", batch) == [Reject("f:8", "no table")]
    finding = replace(make_finding(), place="f:2")
    assert [one.place for one in placed([refusal, finding, Reject("f", "whole")], "f", batch)] == ["f:8", "f"]
    assert [one.place for one in placed([replace(finding, place="f:3")], "f", batch)] == ["f:9"]


def test_a_position_is_kept_as_text() -> None:
    """What is written is read back."""
    position = Position(2**64 - 1, 2**63, 5, 6, 7, b"\x00\xff")
    assert Position.read(position.written()) == position
    assert Position.read(Position(1, 2).written()) == Position(1, 2)
