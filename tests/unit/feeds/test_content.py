from __future__ import annotations

import io
import json
import tracemalloc
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from threatshare.feeds import content
from threatshare.feeds.content import BadContent, check_number, scan, split

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.sampled_from(["objects", '"}]', "\\", "bundle"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.lists(st.dictionaries(st.text(max_size=5) | st.just("objects"), VALUES, max_size=4), max_size=6)


def _scanned(text: bytes, chunk: int = 4 * 1024 * 1024, most: int = 1_000_000) -> list[bytes]:
    class Drops(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(chunk)

    return list(scan(Drops(text), most))


@given(
    OBJECTS, st.sampled_from(["bundle", "array", "late"]), st.sampled_from([None, 2]), st.booleans(), st.integers(1, 9)
)
def test_both_ways_give_what_json_gives(
    objects: list[dict[str, Any]], form: str, indent: int | None, ascii_only: bool, chunk: int
) -> None:
    """However an array of objects is written and cut into chunks, both ways find every object and its exact text."""
    whole: dict[str, Any] | list[Any] = {"type": "bundle", "id": '"objects":[', "objects": objects}
    if form == "array":
        whole = objects
    elif form == "late":
        whole = {"x": {"objects": [1]}, "y": [[], {}], "objects": objects, "type": "bundle"}
    text = json.dumps(whole, indent=indent, ensure_ascii=ascii_only).encode()
    found = list(split(text))
    assert [json.loads(one) for one in found] == objects
    assert all(one in text for one in found)
    assert _scanned(text, chunk) == found


def test_bundles_within_bundles() -> None:
    """Objects of a bundle inside a bundle come in their place, an object that only mentions bundles stays one."""
    a, b, c = ({"type": "x", "id": name, "about": "bundle"} for name in "abc")
    inner = {"type": "bundle", "objects": [b, {"type": "bundle", "objects": []}, {"type": "bundle"}]}
    text = json.dumps({"type": "bundle", "objects": [a, inner, c]}).encode()
    assert [json.loads(one) for one in split(text)] == [a, b, c]
    assert [json.loads(one) for one in _scanned(text, 7)] == [a, b, c]


@given(OBJECTS, st.sampled_from([b"\n", b"\r\n", b" \n\n "]), st.booleans(), st.integers(1, 9))
def test_objects_a_line(objects: list[dict[str, Any]], between: bytes, ended: bool, chunk: int) -> None:
    """Objects that stand a line each, as newline-delimited JSON has them, come as those of an array."""
    lines = [{"type": "first"}, {"type": "second"}, *objects]
    text = between.join(json.dumps(one).encode() for one in lines) + between * ended
    assert [json.loads(one) for one in split(text)] == lines
    assert [json.loads(one) for one in _scanned(text, max(chunk, 50))] == lines


def test_a_line_that_is_no_object_spoils_no_other() -> None:
    """Of objects a line each one that is broken is given as it stands, and a bundle on a line gives its objects."""
    text = b'\xef\xbb\xbf{"type":"a"}\n{"type":"b"\n\n{"type":"bundle","objects":[{"c":1},{"d":1}]}\n{"type":"e"}'
    wanted = [b'{"type":"a"}', b'{"type":"b"', b'{"c":1}', b'{"d":1}', b'{"type":"e"}']
    assert list(split(text)) == _scanned(text) == wanted


def test_a_long_line_before_others() -> None:
    """A bundle on the first line hides none of the lines behind it, however long it is."""
    first = b'{"type":"bundle","objects":[' + b'{"type":"a"},' * 100_000 + b'{"type":"b"}]}'
    assert [*split(first + b'\n{"type":"c"}\n')][-2:] == [b'{"type":"b"}', b'{"type":"c"}']


def test_a_line_without_end_is_not_held() -> None:
    """Of a stream of lines no more than one object's bytes are held."""
    with pytest.raises(BadContent, match="more than 5000 bytes"):
        list(scan(io.BytesIO(b'{"a":1}\n{"b":"' + b"x" * 3_000_000), 5000))


def test_object_that_is_no_utf8() -> None:
    """An object that mentions bundles and is no UTF-8 comes through as it is, for its reader to refuse."""
    text = b'{"type":"bundle","objects":[{"type":"\xff","x":"bundle"}]}'
    assert list(split(text)) == _scanned(text) == [b'{"type":"\xff","x":"bundle"}']


def test_no_end_of_bundles() -> None:
    """Bundles nested without end are refused, not followed."""
    text = b'{"type":"bundle","objects":[' * 50 + b"]}" * 50
    with pytest.raises(BadContent, match="nested"):
        list(split(text))


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (b'{"type":"indicator","id":"indicator--1"}', 1),
        (b' \n{"type":"bundle","id":"bundle--1"}', 0),
        (b"[]", 0),
        (b'\xef\xbb\xbf{"objects":[{}]}', 1),
        (b'\xef\xbb\xbf [{"a":1}]', 1),
    ],
)
def test_forms(text: bytes, count: int) -> None:
    """A single object, an empty bundle, an empty array and a byte order mark are all taken."""
    assert len(list(split(text))) == count


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"null",
        b'"text"',
        b'{"Event":{}}',
        b'{"objects":[{}',
        b'{"objects":[{},{]}',
        b'{"objects":{}}',
        b"<html>",
        b'{"type":"bundle","objects":[' + b"[" * 50_000,
        b'[{"a":' * 50_000,
        b"\xff\xfe{\x00}\x00",
        b'{"type":"\xff"}',
    ],
)
def test_no_stix(text: bytes) -> None:
    """What is no JSON, or no STIX, is refused as such, however deep it nests."""
    with pytest.raises(BadContent):
        list(split(text))


@pytest.mark.parametrize(
    ("text", "message", "before"),
    [
        (b"", "too early", 0),
        (b'[{"a":1},{"b":', "within the object at byte 9", 1),
        (b'[{"a":1},{"b":"]}', "within the object at byte 9", 1),
        (b'[{"a":1} {"b":2}]', "comma .* at byte 9", 1),
        (b'[{"a":1},]', "object was expected at byte 9", 1),
        (b'[{"a":1},7]', "object was expected at byte 9", 1),
        (b'[{"a":1},{"b":2},7,{"c":3},{}]', "object was expected at byte 17", 2),
        (b'[{"a":1},', "too early, at byte 9", 1),
        (b'{"x":[{}]}', "no array", 0),
        (b'{"objects":{"x":[{}]}}', "no array", 0),
        (b'{"x":"', "no array", 0),
        (b"7", "bundle or an array", 0),
    ],
)
def test_faults_of_a_stream(text: bytes, message: str, before: int) -> None:
    """A fault in a stream is named with its byte, after the objects before it have been given."""
    found: list[bytes] = []
    with pytest.raises(BadContent, match=message):
        found.extend(scan(io.BytesIO(text), 1000))
    assert len(found) == before


@given(OBJECTS)
def test_many_parts(objects: list[dict[str, Any]]) -> None:
    """A text of very many parts gives the same objects as any other."""
    text = json.dumps({"type": "bundle", "objects": objects}).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(content, "_MANY", -1)
        assert [json.loads(one) for one in split(text)] == objects


def test_many_parts_are_not_made_at_once() -> None:
    """Of a text of millions of parts only what is asked for is made."""
    text = b"[" + b",".join([b"{}"] * 3_000_000) + b"]"
    tracemalloc.start()
    first = next(split(text))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert first == b"{}"
    assert peak < 60_000_000


def test_number_of_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    """A text of more objects than allowed is refused, one of as many is not, however many commas they have."""
    monkeypatch.setattr(content, "_MANY", 0)
    text = json.dumps({"objects": [{"a": [1, 2, 3]}] * 10}).encode()
    check_number(text, 10)
    with pytest.raises(BadContent, match="more than 9 objects"):
        check_number(text, 9)


def test_parser_is_tried_a_bounded_number_of_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Objects that look as if they ended where they do not cost a few attempts a chunk, not a few for each object."""
    attempts = []

    class Counting:
        def decode(self, text: bytes) -> list[Raw]:
            attempts.append(len(text))
            return msgspec.json.decode(text, type=list[Raw])

    monkeypatch.setattr(content, "_array", Counting())
    misleading = b'{"a":[' + b"{}," * 100 + b"{}]}"
    text = b"[" + b",".join([b'{"b":1}'] * 1000 + [misleading]) + b"]"
    assert len(list(scan(io.BytesIO(text), 10**6))) == 1001
    assert 0 < len(attempts) < 20


def test_an_object_without_end_is_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """An object over the limit ends the stream before much more than the limit has been read."""
    monkeypatch.setattr(content, "_CHUNK", 1000)
    stream = io.BytesIO(b'[{"a":"' + b"x" * 1_000_000)
    with pytest.raises(BadContent, match="more than 5000 bytes at byte 1"):
        list(scan(stream, 5000))
    assert stream.tell() < 25_000
