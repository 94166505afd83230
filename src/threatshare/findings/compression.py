"""Opens compressed files as they come, in constant memory: gzip, zstd, and the members of a zip one by one.

Recognised by magic bytes, never by name. One layer is opened; what is inside must be plain. What was read before a
fault or a limit stands, but not a line that it cut in two: half an address is another address.

Limits against bombs. Memory is bounded anyway, so they bound time and findings:

- ``MAX_RATIO`` 500 to 1 over the whole file, counted only beyond ``FREE`` (256 MiB, which readers take in seconds). A
  flood of one alert that differs in time and port has 25 to 1 (measured: gzip, zstd), logs of few words 100 to 1; gzip
  of zeros has 1,029 to 1, zstd of zeros 32,000 to 1, and zips with overlapping members millions.
- ``MAX_INFLATED`` 64 GiB a file, which takes readers at 50 MB/s twenty minutes; a busy sensor's day is below.
- ``ZSTD_WINDOW_LOG`` 27 (128 MiB of memory): what zstd itself opens without being asked for more.
- ``MAX_MEMBERS`` 10,000 in a zip, ``MAX_DIRECTORY`` 8 MiB of its directory, which the library holds in memory.
- ``MAX_SPOOLED`` 4 GiB of a zip that comes by a pipe and must first lie in a temporary file.
"""

from __future__ import annotations

import io
import os
import re
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, cast

from threatshare.errors import BadValue
from threatshare.findings.records import HEAD, MAX_RECORD, replay
from threatshare.model import Reject

if TYPE_CHECKING:
    from zipfile import ZipFile, ZipInfo

MAX_RATIO = 500
FREE = 256 * 1024 * 1024
MAX_INFLATED = 64 * 1024**3
ZSTD_WINDOW_LOG = 27
MAX_MEMBERS = 10_000
MAX_DIRECTORY = 8 * 1024 * 1024
MAX_SPOOLED = 4 * 1024**3

_CHUNK = 256 * 1024
"""Bytes that are inflated at once."""
_TAKEN = 64 * 1024
"""Compressed bytes that are fed at once: what lies behind a member is copied, and thousands may lie in so many."""
_NAME = 200
"""Characters of a member's name that stand in its place."""

_ENCRYPTED = 0x1
"""General purpose bit 0 (APPNOTE 4.4.4)."""
_METHODS = frozenset({0, 8})
"""Stored and deflated (APPNOTE 4.4.5): all others are rare, and some ask for memory without a bound."""

_END = b"PK\x05\x06"
_END_64 = b"PK\x06\x06"
_LOCATOR_64 = b"PK\x06\x07"
_END_SIZE, _LOCATOR_SIZE, _END_64_SIZE = 22, 20, 56
"""Bytes of a zip's end records (APPNOTE 4.3.14 to 4.3.16)."""

_Magic = tuple[tuple[str, re.Pattern[bytes]], ...]

_OPENED: _Magic = (
    ("gzip", re.compile(rb"\x1f\x8b\x08")),
    ("zstd", re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18")),
    ("zip", re.compile(rb"PK(?:\x03\x04|\x05\x06|\x07\x08)")),
)
"""RFC 1952 §2.3.1; RFC 8878 §3.1.1 and, for skippable frames, §3.1.2; APPNOTE 4.3.7, 4.3.16 and 8.5.3."""

_NOT_OPENED: _Magic = (
    ("tar", re.compile(rb"(?s:.{257})ustar[\x00 ]")),
    ("bzip2", re.compile(rb"BZh[1-9]1AY&SY")),
    ("xz", re.compile(rb"\xfd7zXZ\x00")),
    ("lz4", re.compile(rb"\x04\x22\x4d\x18")),
    ("compress", re.compile(rb"\x1f\x9d[\x80-\x9f]")),
    ("7z", re.compile(rb"7z\xbc\xaf\x27\x1c")),
    ("rar", re.compile(rb"Rar!\x1a\x07")),
)
"""Told apart only to say so: without it, they would be "a format that nobody recognises"."""

_DOCUMENTS = {
    "[Content_Types].xml": "an Office document",
    "META-INF/MANIFEST.MF": "a Java archive",
    "mimetype": "an OpenDocument or e-book",
    "AndroidManifest.xml": "an Android package",
}
"""Members by which a zip shows itself to be one document or program, not a folder of findings."""


@dataclass(frozen=True, slots=True)
class Part:
    """A plain stream: a file that is not compressed, or what is in one that is."""

    place: str
    """The file, or ``file.zip!member``."""
    filename: str
    """As it would be named without the compression."""
    head: bytes
    """Its first 64 KiB, which the stream gives again."""
    stream: BinaryIO
    fault: Callable[[], str | None]
    """Asked once the stream has been read: why it ended too early, or None."""


def parts(stream: BinaryIO, place: str) -> Iterator[Part | Reject]:
    """Yields the plain streams that a file holds, in turn; each must be read before the next is asked for.

    A file that is not compressed is one as it stands. What cannot be opened is a Reject.
    """
    head = _head(stream)
    packed = _packed(head, _OPENED)
    if packed == "zip":
        yield from _zip_parts(head, stream, place)
    elif packed is not None:
        source = _Counted(replay(head, stream))
        chunks = _gunzipped(source) if packed == "gzip" else _unzstd(source)
        filename = re.sub(r"(?i)\.(?:gz|gzip|zst|zstd)\Z", "", place)
        yield _inner(place, filename, _Budget(lambda: source.taken).within(chunks), stream)
    elif (other := _packed(head, _NOT_OPENED)) is not None:
        yield Reject(place, f"a {other} archive or compressed file, which is not opened: unpack it first")
    else:
        yield Part(place, place, head, replay(head, stream), lambda: None)


def inflates_beyond(stream: BinaryIO, most: int) -> bool:
    """Tells whether more than ``most`` bytes come out of a compressed file; of one that is not compressed, none does.

    No more than that is inflated to find out.
    """
    head = _head(stream)
    if _packed(head, _OPENED) is None:
        return False
    stream.seek(0)
    inflated = 0
    for part in parts(stream, "-"):
        while isinstance(part, Part) and (data := part.stream.read(_CHUNK)):
            inflated += len(data)
            if inflated > most:
                return True
    return False


def is_compressed(head: bytes) -> bool:
    """Tells by a file's first 64 KiB whether it is compressed or an archive, also where it cannot be opened here."""
    return _packed(head, _OPENED + _NOT_OPENED) is not None


def _inner(place: str, filename: str, chunks: Iterator[bytes], origin: BinaryIO) -> Part | Reject:
    """Gives one plain stream of a compressed file; a Reject where it is compressed once more."""
    inflated = _Inflated(chunks, origin)
    stream = cast(BinaryIO, io.BufferedReader(inflated, _CHUNK))
    head = _head(stream)
    packed = _packed(head, _OPENED + _NOT_OPENED)
    if packed is not None:
        return Reject(place, f"holds another compressed file or archive ({packed}), and one layer is opened: unpack it")
    return Part(place, filename, head, replay(head, stream), lambda: inflated.fault)


def _head(stream: BinaryIO) -> bytes:
    """Reads the first 64 KiB; a pipe may bring them in pieces."""
    head = io.BytesIO()
    while head.tell() < HEAD and (data := stream.read(HEAD - head.tell())):
        head.write(data)
    return head.getvalue()


def _packed(head: bytes, among: _Magic) -> str | None:
    return next((name for name, magic in among if magic.match(head)), None)


class _Counted:
    """A stream that knows how many bytes were taken from it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.taken = 0

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self.taken += len(data)
        return data


@dataclass(slots=True)
class _Budget:
    """What may still come out of one file, however many members it has."""

    packed: Callable[[], int]
    """Bytes of the compressed file that brought what came out so far."""
    inflated: int = field(default=0, init=False)
    spent: bool = field(default=False, init=False)

    def within(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Passes on what the limits allow; raises BadValue at the first byte beyond them."""
        for chunk in chunks:
            self.inflated += len(chunk)
            self.spent = self.inflated > MAX_INFLATED
            if self.spent:
                raise BadValue(f"inflates to more than {MAX_INFLATED // 1024**3} GiB, the limit: split it")
            self.spent = self.inflated > max(FREE, MAX_RATIO * self.packed())
            if self.spent:
                raise BadValue(f"inflates to more than {MAX_RATIO} times its size: if it is no bomb, unpack it first")
            yield chunk


class _Inflated(io.RawIOBase):
    """Inflated bytes as a stream; at a fault it ends behind the last whole line, and keeps the reason."""

    def __init__(self, chunks: Iterator[bytes], origin: BinaryIO) -> None:
        super().__init__()
        self._chunks = chunks
        self._origin = origin
        self._ready = memoryview(b"")
        self._held = b""
        """The line that has not ended yet."""
        self._ended = False
        self.fault: str | None = None

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        """Gives the compressed file's own, whose time counts for formats that state none."""
        return self._origin.fileno()

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._ready and not self._ended:
            self._fill()
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def _fill(self) -> None:
        try:
            chunk = next(self._chunks, None)
        except BadValue as problem:
            self.fault = str(problem)
            self._ended = True
            return
        if chunk is None:
            self._ended = True
            self._ready = memoryview(self._held)
            return
        whole = self._held + chunk
        # A line longer than any record may be is refused as such by whoever reads it, or is JSON, whose end shows.
        cut = len(whole) if len(whole) > MAX_RECORD + _CHUNK else whole.rfind(b"\n") + 1
        self._ready, self._held = memoryview(whole)[:cut], whole[cut:]


def _gunzipped(source: _Counted) -> Iterator[bytes]:
    """Yields what a gzip file holds, all its members one after the other (RFC 1952 §2.2)."""
    data = source.read(_TAKEN)
    while data:
        member = zlib.decompressobj(zlib.MAX_WBITS | 16)
        while not member.eof:
            try:
                out = member.decompress(data, _CHUNK)
            except zlib.error as problem:
                raise BadValue(f"the gzip data is corrupt: {problem}") from problem
            if out:
                yield out
            data = member.unconsumed_tail or (b"" if member.eof else source.read(_TAKEN))
            if not data and not out and not member.eof:
                raise BadValue("the gzip data is cut off: its end is missing")
        # Tapes and block devices pad with zeros, which gzip itself passes over.
        data = member.unused_data.lstrip(b"\0")
        while not data and (more := source.read(_TAKEN)):
            data = more.lstrip(b"\0")


def _unzstd(source: _Counted) -> Iterator[bytes]:
    """Yields what a zstd file holds, all its frames one after the other (RFC 8878 §3.1)."""
    if sys.version_info >= (3, 14):
        from compression.zstd import DecompressionParameter, ZstdDecompressor, ZstdError
    else:
        from backports.zstd import DecompressionParameter, ZstdDecompressor, ZstdError

    options: dict[int, int] = {DecompressionParameter.window_log_max: ZSTD_WINDOW_LOG}
    data = source.read(_TAKEN)
    while data:
        frame = ZstdDecompressor(options=options)
        while not frame.eof:
            try:
                out = frame.decompress(data, _CHUNK)
            except ZstdError as problem:
                raise BadValue(f"the zstd data cannot be opened: {problem}") from problem
            if out:
                yield out
            data = source.read(_TAKEN) if frame.needs_input and not frame.eof else b""
            if not data and not out and not frame.eof:
                raise BadValue("the zstd data is cut off: its end is missing")
        data = frame.unused_data or source.read(_TAKEN)


def _zip_parts(head: bytes, stream: BinaryIO, place: str) -> Iterator[Part | Reject]:
    from zipfile import BadZipFile, ZipFile

    with ExitStack() as opened:
        try:
            file = stream if stream.seekable() else opened.enter_context(_spooled(replay(head, stream)))
            size = file.seek(0, os.SEEK_END)
            _check_directory(file, size)
            archive = opened.enter_context(ZipFile(file))
        except BadValue as problem:
            yield Reject(place, str(problem))
        except OSError as problem:
            yield Reject(place, f"the zip archive cannot be read: {problem.strerror}")
        except (BadZipFile, NotImplementedError, OverflowError, ValueError) as problem:
            yield Reject(place, f"the zip archive is corrupt or cut off: {problem}")
        else:
            yield from _members(archive, size, place, stream)


def _spooled(stream: BinaryIO) -> BinaryIO:
    """Copies a zip that comes by a pipe to a temporary file, for its directory stands at its end."""
    import tempfile

    with ExitStack() as unless_whole:
        spool = unless_whole.enter_context(tempfile.TemporaryFile())
        size = 0
        while data := stream.read(_CHUNK):
            size += len(data)
            if size > MAX_SPOOLED:
                raise BadValue(f"a zip archive of more than {MAX_SPOOLED // 1024**3} GiB by a pipe: give it as a file")
            spool.write(data)
        unless_whole.pop_all()
    return cast(BinaryIO, spool)


def _check_directory(file: BinaryIO, size: int) -> None:
    """Raises BadValue where a zip's directory is larger than what may be held in memory; its own end records say so."""
    tail_size = min(size, 65_535 + _END_SIZE + _LOCATOR_SIZE + _END_64_SIZE)
    file.seek(size - tail_size)
    tail = file.read(tail_size)
    # In the order in which zipfile looks: an end record without a comment, then the last that has one.
    end = len(tail) - _END_SIZE
    if end < 0 or not tail.startswith(_END, end) or not tail.endswith(b"\0\0"):
        end = tail.rfind(_END)
    if end < 0 or len(tail) < end + _END_SIZE:
        raise BadValue("the zip archive is corrupt or cut off: it has no directory at its end")
    count, directory = (int.from_bytes(tail[end + at : end + to], "little") for at, to in ((10, 12), (12, 16)))
    end_64 = end - _LOCATOR_SIZE - _END_64_SIZE
    if end_64 >= 0 and tail.startswith(_LOCATOR_64, end - _LOCATOR_SIZE) and tail.startswith(_END_64, end_64):
        count, directory = (
            int.from_bytes(tail[end_64 + at : end_64 + to], "little") for at, to in ((32, 40), (40, 48))
        )
    if directory > MAX_DIRECTORY or count > MAX_MEMBERS:
        raise BadValue(f"a zip archive of more than {MAX_MEMBERS} members: unpack it and give the directory")


def _members(archive: ZipFile, size: int, place: str, origin: BinaryIO) -> Iterator[Part | Reject]:
    listed = archive.infolist()
    document = next((_DOCUMENTS[one.filename] for one in listed if one.filename in _DOCUMENTS), None)
    if document is not None:
        yield Reject(place, f"{document}, which is not read: save what it says as text, HTML or PDF")
        return
    if len(listed) > MAX_MEMBERS:
        yield Reject(place, f"a zip archive of more than {MAX_MEMBERS} members: unpack it and give the directory")
        return
    budget = _Budget(lambda: size)
    for member in listed:
        # A directory; and the shadow of each file that Finder writes, with its icon and labels. Not is_dir(), which
        # fails for a member without a name.
        if member.filename.endswith("/") or member.filename.startswith("__MACOSX/"):
            continue
        name = "".join(sign if sign.isprintable() else "\ufffd" for sign in member.filename[:_NAME])
        where = f"{place}!{name}"
        if member.flag_bits & _ENCRYPTED:
            yield Reject(where, "encrypted: unpack it first, with its password")
        elif member.compress_type not in _METHODS:
            yield Reject(where, f"compressed by method {member.compress_type}, and only stored and deflated are opened")
        else:
            yield _inner(where, member.filename, budget.within(_extracted(archive, member)), origin)
            if budget.spent:
                return


def _extracted(archive: ZipFile, member: ZipInfo) -> Iterator[bytes]:
    from zipfile import BadZipFile

    try:
        with closing(archive.open(member)) as data:
            while chunk := data.read(_CHUNK):
                yield chunk
    except (BadZipFile, EOFError, NotImplementedError, OSError, OverflowError, ValueError, zlib.error) as problem:
        raise BadValue(f"this member of the zip archive is corrupt or cut off: {problem}") from problem
