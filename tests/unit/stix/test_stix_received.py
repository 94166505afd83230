"""Reading what partners send: within limits, and nothing that means two things."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import msgspec
import pytest

from threatshare.errors import BadValue
from threatshare.stix.received import MAX_DEPTH, MAX_OBJECT, MAX_REFERENCES, read_object
from threatshare.stix.timestamps import read_timestamp

MakeIndicator = Callable[..., bytes]
Watch = Callable[[], AbstractContextManager[None]]

UUID = "8b35c4a1-2f6f-4cbe-9a0e-0d4e7a1c1f10"
RED = "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed"

REFUSED_PROPERTIES: dict[str, dict[str, Any]] = {
    "confidence over 100": {"confidence": 101},
    "confidence under 0": {"confidence": -1},
    "confidence as text": {"confidence": "50"},
    "confidence as truth": {"confidence": True},
    "confidence as fraction": {"confidence": 50.0},
    "confidence as a huge number": {"confidence": 10**30},
    "modified before created": {"modified": "2025-01-01T00:00:00.000Z"},
    "modified before created by half a second": {
        "created": "2026-01-01T00:00:00.5Z",
        "modified": "2026-01-01T00:00:00Z",
    },
    "month 15": {"created": "2025-15-08T00:00:00.000Z"},
    "month 15 twice": {"created": "2025-15-08T00:00:00.000Z", "modified": "2025-15-08T00:00:00.000Z"},
    "30 February": {"created": "2025-02-30T00:00:00.000Z"},
    "no time at all": {"modified": "yesterday"},
    "empty modified": {"modified": ""},
    "offset instead of Z": {"modified": "2026-01-02T00:00:00+00:00"},
    "created as number": {"created": 1767225600},
    "id in upper case": {"id": f"indicator--{UUID.upper()}"},
    "id in braces": {"id": f"indicator--{{{UUID}}}"},
    "id with line end": {"id": f"indicator--{UUID}\n"},
    "id without hyphens": {"id": f"indicator--{UUID.replace('-', '')}"},
    "id of another type": {"id": f"malware--{UUID}"},
    "id with type in upper case": {"type": "Indicator", "id": f"Indicator--{UUID}"},
    "id that climbs": {"type": "../../x", "id": f"../../x--{UUID}"},
    "type with two hyphens": {"type": "x--y", "id": f"x--y--{UUID}"},
    "type that is too long": {"type": "x" * 300, "id": f"{'x' * 300}--{UUID}"},
    "empty id": {"id": ""},
    "id as number": {"id": 5},
    "maker in upper case": {"created_by_ref": f"identity--{UUID.upper()}"},
    "maker that is no id": {"created_by_ref": "Our Company"},
    "maker that is empty": {"created_by_ref": ""},
    "empty pattern": {"pattern": ""},
    "pattern as list": {"pattern": ["[ipv4-addr:value = '198.51.100.7']"]},
    "revoked as text": {"revoked": "true"},
    "revoked as number": {"revoked": 1},
    "revoked as nothing": {"revoked": None},
    "labels as text": {"labels": "benign"},
    "labels as nothing": {"labels": None},
    "markings as text": {"object_marking_refs": RED},
    "marking as number": {"object_marking_refs": [5]},
    "100,000 markings": {"object_marking_refs": ["m"] * 100_000},
    "10,000 granular markings": {"granular_markings": [{"marking_ref": RED, "selectors": ["name"]}] * 10_000},
    "too many labels": {"labels": ["a"] * (MAX_REFERENCES + 1)},
    "granular marking as text": {"granular_markings": [RED]},
}

REFUSED_TEXT = {
    "lone surrogate": rb'"x":"\ud800"',
    "lone surrogate in capitals": rb'"x":"\uD800"',
    "lone surrogate before text": rb'"x":"\ud800abcdefgh"',
    "lone surrogate before an escape": rb'"x":"\ud800\n"',
    "low surrogate": rb'"x":"\udc00"',
    "surrogates in the wrong order": rb'"x":"\udc00\ud800"',
    "high surrogate twice": rb'"x":"\ud800\ud800"',
    "lone surrogate behind a backslash": rb'"x":"\\\ud800"',
    "lone surrogate as a key": rb'"\ud800":1',
    "lone surrogate in a known property": rb'"name":"\udfff"',
    "lone surrogate that is overwritten": rb'"x":"\ud800","x":"fine"',
    "surrogate as bytes": b'"x":"\xed\xa0\x80"',
    "invalid UTF-8": b'"x":"\xff"',
    "overlong UTF-8": b'"x":"\xc0\xaf"',
    "half a character": b'"x":"\xc3"',
    "NUL": rb'"x":"\u0000"',
    "NUL behind a backslash": rb'"x":"\\\u0000"',
    "NUL in a key": rb'"a\u0000":1',
    "NUL as byte": b'"x":"\x00"',
    "line end in a string": b'"x":"\n"',
    "wrong escape": rb'"x":"\q"',
    "half an escape": rb'"x":"\u12"',
    "not a number": b'"x":NaN',
    "infinity": b'"x":-Infinity',
    "leading zero": b'"x":01',
    "a number of 5,000 digits": b'"x":' + b"9" * 5_000,
    "a number of 900,000 digits": b'"x":[-' + b"9" * 900_000 + b"]",
    "a confidence of 5,000 digits": b'"confidence":' + b"9" * 5_000,
    "comma": b'"x":1,',
    "comment": b'"x":1 /* one */',
    "half a word": b'"x":tru',
    "nothing": b'"x":',
    "one level too deep": b'"x":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH,
    "one level too deep, mixed": b'"x":' + b'[{"a":' * 32 + b"1" + b"}]" * 32,
    "one level too deep at the end": b'"x":[' + b"[]," * 1000 + b"[" * 63 + b"]" * 64,
    "very deep": b'"x":' + b"[" * 400_000 + b"]" * 400_000,
    "deep without end": b'"x":' + b"[" * 400_000,
    "deep objects": b'"x":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "a string without end": b'"x":' + b"[" * 70 + b'"' + b'\\"' * 400_000,
    "too large": b'"x":"' + b"x" * MAX_OBJECT + b'"',
}

TAKEN_TEXT = {
    "emoji as escapes": rb'"x":"\ud83d\ude00\uD83D\uDE00"',
    "emoji as bytes": '"x":"\U0001f600"'.encode(),
    "a backslash before u0000": rb'"x":"C:\\u0000"',
    "a backslash before ud800": rb'"x":"C:\\ud800"',
    "terminal control": rb'"x":"\u001b[31m\u009b31m"',
    "text that runs the other way": '"x":"\u202e"'.encode(),
    "a long number": b'"x":' + b"9" * 1000,
    "many digits in a string": b'"x":"' + b"9" * 5_000 + b'"',
    "brackets in strings": b'"x":"' + b"[{" * 5_000 + b'"',
    "as deep as may be": b'"x":' + b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1),
    "wide": b'"x":[' + b"[]," * 300_000 + b"{}]",
    "wide and deep": b'"x":[' + (b"[" * 60 + b"]" * 60 + b",") * 5_000 + b"1]",
    "backslashes": b'"x":"' + rb"\\" * 400_000 + rb'\ud83d\ude00"',
    "escapes": b'"x":"' + rb"\u0041" * 150_000 + b'"',
    "80,000 properties": b",".join(b'"x_%d":1' % number for number in range(80_000)),
    "40,000 references": b'"external_references":[' + b",".join([b'{"source_name":"a"}'] * 40_000) + b"]",
    "an object as large as may be": b'"x":"' + b"x" * (MAX_OBJECT - 1000) + b'"',
}


def added(whole: bytes, text: bytes) -> bytes:
    """Adds JSON text as further properties of an object."""
    return whole[:-1] + b"," + text + b"}"


@pytest.mark.parametrize("changed", REFUSED_PROPERTIES.values(), ids=REFUSED_PROPERTIES)
def test_a_wrong_property_refuses_the_object(
    changed: dict[str, Any], make_indicator: MakeIndicator, quickly: Watch
) -> None:
    """A property that other libraries bend into shape, or take as it is, refuses the object with a reason."""
    with quickly(), pytest.raises(BadValue, match=r"\w"):
        read_object(make_indicator(**changed))


@pytest.mark.parametrize("text", REFUSED_TEXT.values(), ids=REFUSED_TEXT)
def test_text_that_could_not_be_kept_or_served_refuses_the_object(
    text: bytes, make_indicator: MakeIndicator, quickly: Watch
) -> None:
    """What some reader of the same bytes would choke on is refused, also in properties that we do not use."""
    with quickly(), pytest.raises(BadValue, match=r"\w"):
        read_object(added(make_indicator(), text))


@pytest.mark.parametrize("text", TAKEN_TEXT.values(), ids=TAKEN_TEXT)
def test_strange_but_harmless_text_is_taken(text: bytes, make_indicator: MakeIndicator, quickly: Watch) -> None:
    """Text that every reader takes is kept as it came, however large or strange, and costs little."""
    raw = added(make_indicator(), text)
    with quickly():
        assert read_object(raw).confidence == 50
    assert json.loads(raw)
    assert msgspec.json.decode(raw)


@pytest.mark.parametrize("raw", [b"", b"{}", b"[]", b"5", b'"x"', b"null", b"\xef\xbb\xbf{}", b"{", b"\x00", b"<html>"])
def test_what_is_no_object_is_refused(raw: bytes) -> None:
    """Whatever stands among a page's objects, reading it ends in a reason."""
    with pytest.raises(BadValue):
        read_object(raw)


@pytest.mark.parametrize("name", ["id", "type", "created", "modified", "pattern"])
def test_an_indicator_needs_what_it_is_known_by(name: str, make_indicator: MakeIndicator, absent: object) -> None:
    """An indicator without id, times or pattern is refused."""
    with pytest.raises(BadValue):
        read_object(make_indicator(**{name: absent}))


@pytest.mark.parametrize("name", ["spec_version", "created_by_ref", "valid_from", "confidence", "pattern_type", "name"])
def test_what_the_standard_leaves_free_may_be_absent(name: str, make_indicator: MakeIndicator, absent: object) -> None:
    """STIX 2.0 objects have no spec_version, and many feeds leave out more; that is no reason to lose them."""
    assert getattr(read_object(make_indicator(**{name: absent})), name) is None


def test_an_observable_has_no_times() -> None:
    """An object without created and modified, as observables are, is version 0."""
    read = read_object(b'{"type":"ipv4-addr","id":"ipv4-addr--%s","value":"198.51.100.7"}' % UUID.encode())
    assert read.version == 0


def test_any_object_with_times_has_them_in_order(make_indicator: MakeIndicator) -> None:
    """The order of created and modified is checked for every type."""
    with pytest.raises(BadValue, match="modified lies before created"):
        read_object(make_indicator(type="malware", id=f"malware--{UUID}", modified="2025-01-01T00:00:00.000Z"))


def test_the_version_is_modified_or_else_created(make_indicator: MakeIndicator, absent: object) -> None:
    """Marking definitions have only ``created``."""
    marking = make_indicator(type="marking-definition", id=f"marking-definition--{UUID}", modified=absent)
    assert read_object(marking).version == read_timestamp("2026-01-01T00:00:00Z")
    assert read_object(make_indicator()).version == read_timestamp("2026-01-02T00:00:00Z")


def test_a_property_that_stands_twice_counts_once_for_every_reader(make_indicator: MakeIndicator) -> None:
    """Of two properties of one name the last counts, here and for the readers that look at the bytes later."""
    raw = added(make_indicator(), b'"confidence":7,"object_marking_refs":["%s"]' % RED.encode())
    assert read_object(raw).confidence == json.loads(raw)["confidence"] == msgspec.json.decode(raw)["confidence"] == 7
    assert read_object(raw).marking_refs == [RED]


def test_the_reason_names_the_object_but_not_its_whole_text(make_indicator: MakeIndicator) -> None:
    """A reason is short, whatever was sent, and says which object it is about where that is known."""
    with pytest.raises(BadValue) as refused:
        read_object(make_indicator(created_by_ref="x" * 500_000))
    assert UUID in str(refused.value)
    assert len(str(refused.value)) < 500
    with pytest.raises(BadValue) as refused:
        read_object(make_indicator(id="x" * 500_000))
    assert len(str(refused.value)) < 500


def test_markings_of_parts_count_for_the_whole(make_indicator: MakeIndicator) -> None:
    """Every marking of the object or of a part is named, and a part's marking that cannot be read is not dropped."""
    granular = [{"marking_ref": "marking-definition--a", "selectors": ["name"]}, {"selectors": ["name"]}]
    assert read_object(make_indicator(object_marking_refs=[RED], granular_markings=granular)).marking_refs == [
        RED,
        "marking-definition--a",
        "",
    ]


def test_a_language_is_no_marking(make_indicator: MakeIndicator) -> None:
    """A part whose language is given (STIX 2.1 §7.2.3) is not restricted by that, but by a marking beside it it is."""
    spoken = {"lang": "de", "selectors": ["name"]}
    assert read_object(make_indicator(granular_markings=[spoken])).marking_refs == []
    both = spoken | {"marking_ref": RED}
    assert read_object(make_indicator(granular_markings=[both])).marking_refs == [RED]
