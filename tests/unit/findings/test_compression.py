"""Compressed files: read as what they hold, one layer deep, within limits, and without half a line at a fault."""

from __future__ import annotations

import gzip
import io
import struct
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from threatshare.config import OwnAssets
from threatshare.findings import compression
from threatshare.findings.readers import read_file
from threatshare.model import Finding, Reject

OWN = OwnAssets()


def eve(count: int) -> bytes:
    return b"".join(
        b'{"timestamp":"2026-01-02T03:04:05Z","event_type":"alert","src_ip":"198.51.100.%d",'
        b'"dest_ip":"10.0.0.1","alert":{}}\n' % (number % 250 + 1)
        for number in range(count)
    )


def zipped(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def read(data: bytes, place: str = "x", format: str | None = None) -> list[Finding | Reject]:
    return list(read_file(io.BytesIO(data), format, OWN, place))


def findings(items: list[Finding | Reject]) -> list[Finding]:
    """The findings alone, without their file's name."""
    return [replace(item, place=item.place.rpartition(":")[2]) for item in items if isinstance(item, Finding)]


def reasons(items: list[Finding | Reject]) -> list[str]:
    return [item.reason for item in items if isinstance(item, Reject)]


def values(items: list[Finding | Reject]) -> list[str]:
    return [seen.observable.value for item in items if isinstance(item, Finding) for seen in item.observations]


def inflated(data: bytes) -> tuple[list[str], list[str]]:
    """The lines of everything that a file holds, and why it ended early, without any reader."""
    lines: list[str] = []
    why: list[str] = []
    for part in compression.parts(io.BytesIO(data), "x"):
        if isinstance(part, Reject):
            why.append(part.reason)
            continue
        lines += part.stream.read().decode("latin-1").splitlines()
        if (fault := part.fault()) is not None:
            why.append(fault)
    return lines, why


class Pipe(io.RawIOBase):
    """A stream that cannot seek, and brings its bytes in pieces."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._data.read(min(len(buffer), 1000))
        buffer[: len(data)] = data
        return len(data)


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "gzip of two members": lambda data: gzip.compress(data[:1000]) + gzip.compress(b"") + gzip.compress(data[1000:]),
    "gzip, padded": lambda data: gzip.compress(data) + b"\0" * 700_000,
    "zstd": zstd.compress,
    "zstd of two frames": lambda data: zstd.compress(data[:1000]) + zstd.compress(data[1000:]),
    "zstd behind a skippable frame": lambda data: b"\x50\x2a\x4d\x18\x04\0\0\0abcd" + zstd.compress(data),
    "zip": lambda data: zipped({"logs/": b"", "logs/eve.json": data, "__MACOSX/logs/._eve.json": b"\0\5"}),
}


@pytest.mark.parametrize("pack", PACKERS.values(), ids=PACKERS)
def test_compressed_gives_the_same_as_plain(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    """A compressed file gives the findings of the plain one, from a path and from a pipe, whatever its name."""
    plain, path = eve(4000), tmp_path / "eve"
    path.write_bytes(pack(plain))
    expected = findings(read(plain))
    assert len(expected) == 4000
    for got in (list(read_file(path, None, OWN)), list(read_file(io.BufferedReader(Pipe(pack(plain))), None, OWN))):
        assert findings(got) == expected
        assert reasons(got) == []


def test_places_name_file_and_member() -> None:
    """A finding says where it stands: the line within the compressed file, and the member of a zip."""
    assert read(gzip.compress(eve(1)), "eve.json.gz")[0].place == "eve.json.gz:1"
    got = read(zipped({"a/eve.json": eve(2), "b.csv": b"type,value\nip,198.51.100.9\n"}), "week.zip")
    assert [item.place for item in got] == ["week.zip!a/eve.json:1", "week.zip!a/eve.json:2", "week.zip!b.csv:2"]


def test_names_of_members_cannot_write_to_a_terminal() -> None:
    """Control characters in a member's name stand for nothing in its place, and long names are cut."""
    got = read(zipped({"a\x1b[2J\n.json": eve(1), "b" * 5000: eve(1)}), "x.zip")
    assert [item.place for item in got] == ["x.zip!a\ufffd[2J\ufffd.json:1", f"x.zip!{'b' * 200}:1"]


def test_a_bare_name_counts_without_its_suffix() -> None:
    """What a name says of the format is asked of the name without the compression."""
    column = b"value\n198.51.100.9\n198.51.100.10\n"
    for name in ("list.csv", "list.csv.gz", "LIST.CSV.GZ"):
        data = column if name.endswith("csv") else gzip.compress(column)
        assert {item.sensor for item in read(data, name) if isinstance(item, Finding)} == {"csv"}


def test_a_file_without_times_takes_those_of_the_compressed_file(tmp_path: Path) -> None:
    """A list's findings were seen when its compressed file was written."""
    path = tmp_path / "list.gz"
    path.write_bytes(gzip.compress(b"198.51.100.9\n"))
    (got,) = read_file(path, None, OWN)
    assert isinstance(got, Finding)
    assert got.seen_at.timestamp() == pytest.approx(path.stat().st_mtime)


def test_a_named_reader_reads_what_is_inside() -> None:
    """--format counts for the content, and for each member of a zip."""
    got = read(zipped({"a": b"198.51.100.9\n", "b": b"198.51.100.10\n"}), format="text")
    assert values(got) == ["198.51.100.9", "198.51.100.10"]


ADDRESSES = [f"{number * number % 190}.51.100.{number % 250}" for number in range(30_000)]


@cache
def pack_once(pack: Callable[[bytes], bytes]) -> bytes:
    return pack("\n".join(ADDRESSES).encode())


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress], ids=["gzip", "zstd"])
@given(share=st.floats(0.01, 0.999))
def test_what_is_cut_off_keeps_its_whole_lines(pack: Callable[[bytes], bytes], share: float) -> None:
    """Of a file that was cut off anywhere only whole lines are read, and one reject says that the end is missing."""
    packed = pack_once(pack)
    found, (reason,) = inflated(packed[: max(16, int(len(packed) * share))])
    assert found == ADDRESSES[: len(found)]
    assert len(found) < len(ADDRESSES)
    assert "cut off" in reason


def test_corrupt_data_is_one_reject() -> None:
    """A flipped byte ends the file there, with the reason; so does what follows that is no gzip."""
    packed = bytearray(gzip.compress(eve(5000)))
    packed[-6] ^= 0xFF
    (reason,) = reasons(read(bytes(packed)))
    assert "corrupt" in reason
    got = read(gzip.compress(eve(3)) + b"something else")
    assert len(findings(got)) == 3
    assert len(reasons(got)) == 1
    frame = bytearray(zstd.compress(eve(5000), options={zstd.CompressionParameter.checksum_flag: 1}))
    frame[-2] ^= 0xFF
    (reason,) = reasons(read(bytes(frame)))
    assert "zstd data cannot be opened" in reason


def tar_of(data: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        entry = tarfile.TarInfo("eve.json")
        entry.size = len(data)
        archive.addfile(entry, io.BytesIO(data))
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (tar_of(eve(2)), "a tar archive"),
        (b"BZh91AY&SY" + b"\1" * 50, "bzip2"),
        (b"\xfd7zXZ\0" + b"\1" * 50, "xz"),
        (b"7z\xbc\xaf\x27\x1c" + b"\1" * 50, "7z"),
        (b"Rar!\x1a\x07\x01\x00" + b"\1" * 50, "rar"),
        (gzip.compress(tar_of(eve(2))), "holds another compressed file or archive (tar)"),
        (gzip.compress(gzip.compress(eve(2))), "holds another compressed file or archive (gzip)"),
        (zstd.compress(zipped({"a": eve(2)})), "holds another compressed file or archive (zip)"),
        (zipped({"inner.zip": zipped({"a": eve(2)})}), "holds another compressed file or archive (zip)"),
        (zipped({"[Content_Types].xml": b"<x/>", "word/document.xml": b"198.51.100.9"}), "an Office document"),
    ],
)
def test_one_layer_is_opened(data: bytes, said: str) -> None:
    """Archives that are not opened, and compression within compression, are each one reject that says what to do."""
    (got,) = read(data)
    assert isinstance(got, Reject)
    assert said in got.reason
    assert "unpack" in got.reason or "save what it says" in got.reason


def test_encrypted_members_are_rejects_and_the_rest_is_read() -> None:
    """A member that asks for a password, or is packed by a rare method, is a reject of its own."""
    data = bytearray(zipped({"a.json": eve(1), "b.json": eve(2), "c.json": eve(1)}))
    directory = [at for at in range(len(data)) if data.startswith(b"PK\1\2", at)]
    data[directory[0] + 8] |= 1
    data[directory[2] + 10] = 12
    got = read(bytes(data), "x.zip")
    assert [item.place for item in got] == ["x.zip!a.json", "x.zip!b.json:1", "x.zip!b.json:2", "x.zip!c.json"]
    assert "encrypted" in reasons(got)[0]
    assert "method 12" in reasons(got)[1]


def test_a_corrupt_member_costs_itself_only() -> None:
    """Behind a member whose data are damaged the next is read."""
    data = bytearray(zipped({"a.json": eve(3000), "b.json": eve(2)}))
    at = data.index(b"a.json") + len("a.json")
    data[at : at + 20] = b"\xff" * 20
    got = read(bytes(data), "x.zip")
    assert [item.place for item in got] == ["x.zip!a.json", "x.zip!b.json:1", "x.zip!b.json:2"]
    assert "corrupt" in reasons(got)[0]


def test_an_empty_archive_is_nothing() -> None:
    """An archive, and a member, of nothing gives nothing, as an empty file does."""
    assert read(zipped({})) == []
    assert read(zipped({"a": b"", "b/": b""})) == []
    assert read(gzip.compress(b"")) == []


@given(at=st.integers(0, 2000), junk=st.binary(min_size=1, max_size=9))
def test_no_damage_ends_the_batch(at: int, junk: bytes) -> None:
    """Whatever bytes of an archive are overwritten, reading it raises nothing."""
    for packed in TO_DAMAGE:
        where = at % len(packed)
        inflated(packed[:where] + junk + packed[where + len(junk) :])


TO_DAMAGE = [
    zipped({"a.json": eve(20), "b.txt": b"198.51.100.9\n"}),
    gzip.compress(eve(20)),
    zstd.compress(eve(20)),
]


def test_an_address_behind_the_end_is_damage() -> None:
    """Zip64 records whose offsets lie beyond any file are a reject, not an overflow."""
    end = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, 46, 2**63)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, 2**64 - 1, 1)
    short = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    (got,) = read(b"PK\3\4" + b"\0" * 60 + end + locator + short)
    assert isinstance(got, Reject)
    assert "zip archive" in got.reason


# --- limits -----------------------------------------------------------------------------------------------------


def test_a_bomb_stops_at_the_ratio(monkeypatch: pytest.MonkeyPatch) -> None:
    """What inflates beyond the ratio stops there: the whole lines before it stand, and one reject says why."""
    monkeypatch.setattr(compression, "FREE", 1024 * 1024)
    bomb = b"198.51.100.9\n" + b"#\n" * 10_000_000
    for pack in (gzip.compress, zstd.compress, lambda data: zipped({"a": data, "b": data})):
        lines, (reason,) = inflated(pack(bomb))
        assert lines[0] == "198.51.100.9"
        assert 500_000 < len(lines) < 10_000_000
        assert "500 times" in reason


def test_small_files_may_have_any_ratio() -> None:
    """The ratio counts only beyond what a reader takes in seconds: a repetitive log of a day is no bomb."""
    log = eve(1) * 20_000
    packed = zstd.compress(log)
    assert len(log) > 500 * len(packed)
    lines, why = inflated(packed)
    assert (len(lines), why) == (20_000, [])


def test_the_total_is_limited_over_all_members(monkeypatch: pytest.MonkeyPatch) -> None:
    """Members of a zip share one limit; the first beyond it ends the file."""
    monkeypatch.setattr(compression, "MAX_INFLATED", 1024**2)
    lines, why = inflated(zipped({name: f"{name}\n".encode() + b"0123456789abcdef\n" * 40_000 for name in "abcd"}))
    assert [line for line in lines if len(line) == 1] == ["a", "b"]
    assert why == ["inflates to more than 0 GiB, the limit: split it"]


def test_the_directory_of_a_zip_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive of too many members is refused before its directory is read."""
    monkeypatch.setattr(compression, "MAX_MEMBERS", 3)
    (got,) = read(zipped({str(number): b"198.51.100.9\n" for number in range(4)}))
    assert isinstance(got, Reject)
    assert "more than 3 members" in got.reason
    monkeypatch.setattr(compression, "MAX_DIRECTORY", 90)
    (got,) = read(zipped({str(number): b"198.51.100.9\n" for number in range(2)}))
    assert isinstance(got, Reject)


def test_it_is_told_whether_a_file_inflates_beyond_a_size() -> None:
    """To the byte, over all members together, and never of what is not compressed."""
    data = eve(3)
    packed = (gzip.compress(data), zstd.compress(data), zipped({"a": data[:100], "b": data[100:]}))
    for one in packed:
        assert not compression.inflates_beyond(io.BytesIO(one), len(data))
        assert compression.inflates_beyond(io.BytesIO(one), len(data) - 1)
    assert not compression.inflates_beyond(io.BytesIO(data), 1)
    assert not compression.inflates_beyond(io.BytesIO(packed[0][:40]), len(data))


@pytest.mark.parametrize(
    "data", [gzip.compress(b"x", mtime=0), zstd.compress(b"x"), zipped({}), tar_of(b"x"), b"7z\xbc\xaf\x27\x1c"]
)
def test_it_is_told_whether_a_file_is_compressed(data: bytes) -> None:
    """By its beginning, also where it is of a kind that is not opened."""
    assert compression.is_compressed(data)
    assert not compression.is_compressed(b"x" + data)


def test_a_zip_by_a_pipe_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """What must lie in a temporary file may not fill the disk."""
    monkeypatch.setattr(compression, "MAX_SPOOLED", 1000)
    (got,) = read_file(io.BufferedReader(Pipe(zipped({str(one): b"x" for one in range(20)}))), None, OWN)
    assert isinstance(got, Reject)
    assert "by a pipe" in got.reason


def test_a_window_that_needs_too_much_memory_is_refused() -> None:
    """A zstd frame that asks for 2 GiB of memory is a reject."""
    compressor = zstd.ZstdCompressor()
    packed = compressor.compress(b"198.51.100.9\n" * 9) + compressor.flush()
    # Magic number, a descriptor without a single segment, then the window: an exponent of 10 + 21 (RFC 8878 §3.1.1.1).
    assert packed[4] & 0x20 == 0
    crafted = packed[:5] + bytes([21 << 3]) + packed[6:]
    assert inflated(packed) == (["198.51.100.9"] * 9, [])
    lines, (reason,) = inflated(crafted)
    assert lines == []
    assert "zstd data cannot be opened" in reason


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """120 MB in half a MB of gzip are inflated in the memory that 12 MB need."""
    code = (
        "import resource, sys; from threatshare.findings.compression import parts;"
        "(part,) = parts(open(sys.argv[1], 'rb'), 'x');"
        "print(sum(1 for _ in part.stream), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    peaks = []
    for count in (30_000, 300_000):
        path = tmp_path / f"{count}.gz"
        path.write_bytes(gzip.compress((b"x" * 399 + b"\n") * count))
        done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
        found, peak = map(int, done.stdout.split())
        assert found == count
        peaks.append(peak)
    assert peaks[1] < peaks[0] + 8_000 * (1024 if sys.platform == "darwin" else 1)
