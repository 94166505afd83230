"""Cutting streams into records: every shape of JSON, broken records, limits, constant memory."""

from __future__ import annotations

import io
import json
import tracemalloc
from typing import Any, BinaryIO, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from threatshare.findings.records import (
    MAX_DEPTH,
    MAX_RECORD,
    Record,
    decoded,
    file_time,
    json_records,
    replay,
    text_lines,
)
from threatshare.model import Reject

ANY = msgspec.json.Decoder(dict[str, Any])


def read(data: bytes) -> list[Record | Reject]:
    return list(json_records(io.BytesIO(data), "f"))


def objects(data: bytes) -> list[Any]:
    return [json.loads(item.text) for item in read(data) if isinstance(item, Record)]


def rejects(data: bytes) -> list[Reject]:
    return [item for item in read(data) if isinstance(item, Reject)]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.lists(st.dictionaries(st.text(max_size=5), VALUES, min_size=1, max_size=4), min_size=1, max_size=6)


@given(OBJECTS, st.sampled_from([None, 1, 2, "\t"]), st.booleans())
def test_every_shape_gives_the_same_objects(items: list[dict[str, Any]], indent: int | None, ascii_only: bool) -> None:
    """An array, a line an object, and objects one after another hold the same records, strings of brackets and all."""
    dumped = [json.dumps(item, indent=indent, ensure_ascii=ascii_only) for item in items]
    array = json.dumps(items, indent=indent, ensure_ascii=ascii_only)
    assert objects(array.encode()) == items
    assert objects("\n".join(dumped).encode()) == items
    assert objects("".join(dumped).encode()) == items
    assert objects(b"\xef\xbb\xbf" + array.encode()) == items
    lines = "\n".join(json.dumps(item, ensure_ascii=ascii_only) for item in items)
    assert objects(lines.encode()) == items


def test_places_are_lines() -> None:
    """A record's line is that of its opening brace, in each shape."""
    assert [r.line for r in read(b'{"a":1}\n\n{"a":2}\n') if isinstance(r, Record)] == [1, 3]
    assert [r.line for r in read(b'[\n  {\n    "a": 1\n  },\n  {"a": 2}\n]') if isinstance(r, Record)] == [2, 5]


class Pieces(io.RawIOBase):
    """A pipe that brings a few bytes at a time."""

    def __init__(self, data: bytes, size: int) -> None:
        super().__init__()
        self._data, self._size = data, size

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        size = min(self._size, size)
        taken, self._data = self._data[:size], self._data[size:]
        return taken


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_chunks_do_not_matter(size: int) -> None:
    """Records that are cut by the pipe, inside strings and escapes too, come out whole."""
    items = [{"a": '\\"}{' * 5, "b": [1, {"c": "é"}]}] * 20
    stream = cast(BinaryIO, Pieces(json.dumps(items, indent=2).encode(), size))
    assert [json.loads(r.text) for r in json_records(stream, "f") if isinstance(r, Record)] == items


def test_a_broken_line_is_kept_aside() -> None:
    """One broken line is a reject with place, reason and its beginning; the lines around it are read."""
    data = b'{"a":1}\n{"a":\nnonsense\n{"a":2}\n'
    got = list(decoded(io.BytesIO(data), "eve.json", ANY))
    assert [item for item in got if not isinstance(item, Reject)] == [
        ("eve.json:1", {"a": 1}),
        ("eve.json:4", {"a": 2}),
    ]
    broken = [item for item in got if isinstance(item, Reject)]
    assert [item.place for item in broken] == ["eve.json:2", "eve.json:3"]
    assert broken[0].text == '{"a":'
    assert broken[0].reason.startswith("not readable")
    assert broken[1].reason == "no JSON object"


def test_a_broken_first_line_does_not_hide_the_rest() -> None:
    """A log that was rotated in the middle of a line is still read line by line."""
    got = list(decoded(io.BytesIO(b'{"a": {"b": \n{"a":2}\n{"a":3}\n'), "f", ANY))
    assert [item for item in got if not isinstance(item, Reject)] == [("f:2", {"a": 2}), ("f:3", {"a": 3})]


def test_a_record_that_does_not_end_costs_only_itself() -> None:
    """In an array, reading begins again at the next object of the same column."""
    good = '  {\n    "a": 1\n  }'
    open_brace = '  {\n    "a": {"b": 1\n  }'
    open_quote = '  {\n    "a": "x\n  }'
    for broken in (open_brace, open_quote):
        data = f"[\n{good},\n{broken},\n{good},\n{good}\n]".encode()
        got = list(decoded(io.BytesIO(data), "f", ANY))
        assert [item[1] for item in got if not isinstance(item, Reject)] == [{"a": 1}] * 3
        (kept,) = (item for item in got if isinstance(item, Reject))
        assert kept.place == "f:5"


def test_wrong_inside_right_brackets_is_found_by_the_decoder() -> None:
    """A record whose brackets match but whose text is no JSON is a reject of its own."""
    got = list(decoded(io.BytesIO(b'[{"a": }, {"a": 2}]'), "f", ANY))
    assert isinstance(got[0], Reject)
    assert got[1] == ("f:1", {"a": 2})


def test_text_between_records_is_reported() -> None:
    """What stands between the objects is not passed over in silence."""
    assert [item.reason for item in rejects(b'[{"a": 1}, oops, {"a": 2}]')] == ["text between the records"]


def test_limits() -> None:
    """A record over 1 MiB or 64 levels is refused in every shape, and its neighbours are read."""
    large = json.dumps({"a": "x" * MAX_RECORD})
    deep = '{"a":' * (MAX_DEPTH + 1) + "1" + "}" * (MAX_DEPTH + 1)
    for bad, reason in ((large, "more than 1048576 bytes"), (deep, "nested more than 64")):
        for data in (f'{{"a":1}}\n{bad}\n{{"a":2}}\n', f'[\n{{"a":1}},\n{bad},\n{{"a":2}}\n]'):
            assert objects(data.encode()) == [{"a": 1}, {"a": 2}]
            (kept,) = rejects(data.encode())
            assert reason in kept.reason
            assert len(kept.text) <= 200


class Endless(io.RawIOBase):
    """Gives one piece over and over, then ends."""

    def __init__(self, piece: bytes, times: int) -> None:
        super().__init__()
        self._left, self._piece, self._times = b"", piece, times

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if not self._left and self._times:
            self._times -= 1
            self._left = self._piece
        taken, self._left = self._left[:size], self._left[size:]
        return taken


PAD = b" " * 2_000
PIECES = {
    "records": b'{"a":1' + PAD + b"}\n",
    "objects over lines": b'{\n"a":1' + PAD + b"\n}\n",
    "arrays": b"[\n" + (b'{"a":1' + PAD + b"},\n") * 20,
    "one line": b"x" * 60_000,
    "brackets that never close": b"[" + PAD,
    "strings of brackets": b'["' + PAD,
    "objects that never close": b'{"a":' + PAD + b"\n",
    "nested objects that never close": b'[{"a":' + PAD + b"\n ",
    "blanks": PAD,
}


@pytest.mark.parametrize("piece", PIECES.values(), ids=PIECES)
def test_memory_does_not_grow_with_the_stream(piece: bytes) -> None:
    """Four megabytes of anything take no more memory than a few records: good ones, endless ones, hostile ones."""
    tracemalloc.start()
    try:
        for _ in json_records(cast(BinaryIO, Endless(piece, 4_000_000 // len(piece))), "f"):
            pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * MAX_RECORD


def test_text_in_every_encoding() -> None:
    """UTF-8 with and without a mark, UTF-16 by its mark, and bad bytes, are all read as lines."""
    for data in ("a\nbé\n".encode(), "a\nbé".encode("utf-8-sig"), "a\r\nbé\r\n".encode("utf-16")):
        assert list(text_lines(io.BytesIO(data), "f")) == [(1, "a"), (2, "bé")]
    assert list(text_lines(io.BytesIO(b"a\xff\n"), "f")) == [(1, "a\ufffd")]


def test_an_endless_line_of_text_is_refused_once() -> None:
    """A line over the limit is one reject, and the next line has its right number."""
    got = list(text_lines(io.BytesIO(b"a\n" + b"x" * (3 * MAX_RECORD) + b"\nb\n"), "f"))
    assert [item for item in got if not isinstance(item, Reject)] == [(1, "a"), (3, "b")]
    assert sum(isinstance(item, Reject) for item in got) == 1


def test_replay_begins_with_what_was_read() -> None:
    """A stream that was looked into is read from its beginning, and the original stays open."""
    stream = io.BytesIO(b"head and tail")
    assert replay(stream.read(4), stream).read() == b"head and tail"
    assert not stream.closed


def test_file_time_is_never_ahead_of_now(tmp_path: Any) -> None:
    """The time of a file that states none is the file's own; a stream without a file is read now."""
    path = tmp_path / "report.txt"
    path.write_text("x")
    with path.open("rb") as stream:
        assert abs(file_time(stream).timestamp() - path.stat().st_mtime) < 1
    assert file_time(io.BytesIO()).tzinfo is not None
