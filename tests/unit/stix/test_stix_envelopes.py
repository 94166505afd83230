"""Pages come apart into the very bytes of their objects."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from threatshare.errors import BadValue
from threatshare.stix.received import read_object, split_envelope

Watch = Callable[[], AbstractContextManager[None]]

PAGES: dict[bytes, tuple[list[bytes], bool, str | int | None]] = {
    b"{}": ([], False, None),
    b'{"more":false}': ([], False, None),
    b'{"more":false,"objects":[]}': ([], False, None),
    b'{"more":false,"objects":null}': ([], False, None),
    b'{"more":true,"next":5,"objects":[{}]}': ([b"{}"], True, 5),
    b'{"more":true,"next":"a b","objects":[{}]}': ([b"{}"], True, "a b"),
    b'{"next":null,"more":true}': ([], True, None),
    b'{"more":true,"more":false}': ([], False, None),
    b'{"objects":[{"a":1}],"objects":[{"b":2}]}': ([b'{"b":2}'], False, None),
    b'{"type":"bundle","id":"bundle--x","spec_version":"2.0","objects":[{"a":1},{"b":2}]}': (
        [b'{"a":1}', b'{"b":2}'],
        False,
        None,
    ),
    b'{"type":"bundle","id":"bundle--x","objects":[{"a":1}],"x_more":"yes"}': ([b'{"a":1}'], False, None),
    b'{"objects":[ {"b" : 1,\n"a":\t[2.0] } ,5,"x",[]]}': (
        [b'{"b" : 1,\n"a":\t[2.0] }', b"5", b'"x"', b"[]"],
        False,
        None,
    ),
}

BAD_OBJECTS = {
    "invalid UTF-8": b'{"a":"\xff"}',
    "lone surrogate": rb'{"a":"\ud800"}',
    "lone surrogate and brackets": rb'{"a":"]}\"\ud800{["}',
    "low surrogate": rb'{"objects":["\udc00"]}',
    "not a number": b'{"a":NaN}',
    "control character": b'{"a":"\x01"}',
    "half a word": b'{"a":tru}',
    "deep": b'{"a":' + b"[" * 5_000 + b"]" * 5_000 + b"}",
    "deep objects": b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
    "a huge number": b'{"a":' + b"9" * 100_000 + b"}",
}

NO_PAGES = {
    "nothing": b"",
    "blank": b" \n",
    "null": b"null",
    "array": b"[]",
    "array of objects": b'[{"type":"indicator"}]',
    "number": b"5",
    "markup": b"<html></html>",
    "garbage": b"\xff\xfe{",
    "half": b'{"objects":[{}',
    "two": b"{}{}",
    "more as any text": b'{"more":"yes","objects":[]}',
    "more as any number": b'{"more":2}',
    "next as fraction": b'{"next":1.5}',
    "next as truth": b'{"next":true}',
    "next as object": b'{"next":{}}',
    "next of 5,000 digits": b'{"next":' + b"9" * 5_000 + b"}",
    "objects as object": b'{"objects":{}}',
    "objects as text": b'{"objects":"x"}',
    "half a string": b'{"objects":[{"a":"' + b'\\"' * 500_000,
    "no comma": b'{"objects":[{"a":NaN}{"b":1}]}',
    "two commas": b'{"objects":[{"a":NaN},,{"b":1}]}',
    "comma at the end": b'{"objects":[{"a":NaN},]}',
    "text between": b'{"objects":[{"a":NaN} and {"b":1}]}',
    "a bad object twice": b'{"objects":[{"a":NaN}],"objects":[{"b":1}]}',
    "a bad object, and bad beside it": b'{"objects":[{"a":NaN}],"more":"yes"}',
    "a bad object elsewhere": b'{"x":{"a":NaN},"objects":[{}]}',
    "a bad array": b'{"objects":[[NaN]]}',
    "brackets that do not fit": b'{"objects":[{"a":[}]}',
    "deep": b'{"objects":[' + b"[" * 1_000_000,
    "deep and closed": b'{"objects":[' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"]}",
}


@pytest.mark.parametrize(
    ("more", "meant"),
    [("true", True), ('"true"', True), ('"True"', True), ("1", True)]
    + [("false", False), ('"false"', False), ('"False"', False), ("0", False), ("null", False)],
)
def test_more_in_other_words(more: str, meant: bool) -> None:
    """Whether there is more is read from text, numbers and null as from truth, beside objects that are good or not."""
    for one in (b'{"a":1}', b'{"a":NaN}'):
        page = b'{"more":%s,"next":"x","objects":[%s]}' % (more.encode(), one)
        assert split_envelope(page) == ([one], meant, "x")


@pytest.mark.parametrize(("page", "parts"), PAGES.items())
def test_a_page_comes_apart(page: bytes, parts: tuple[list[bytes], bool, str | int | None]) -> None:
    """Envelopes and bundles of both versions give their objects to the byte."""
    assert split_envelope(page) == parts


@pytest.mark.parametrize("bad", BAD_OBJECTS.values(), ids=BAD_OBJECTS)
def test_a_bad_object_does_not_spoil_its_page(bad: bytes, quickly: Watch) -> None:
    """An object that nobody can read is refused alone: the other 999 of the page come out to the byte."""
    good = [b'{"n":%d, "x":"\\ud83d\\ude00 \\\\ud800 ]}"}' % number for number in range(999)]
    objects = [*good[:500], bad, *good[500:]]
    page = b'{"x":[{}],"more":true,"objects": [\n' + b" ,\n".join(objects) + b' ] ,"next":"n"}'
    with quickly():
        assert split_envelope(page) == (objects, True, "n")
    with pytest.raises(BadValue):
        read_object(bad)


@pytest.mark.parametrize("page", NO_PAGES.values(), ids=NO_PAGES)
def test_what_is_no_page_is_refused(page: bytes, quickly: Watch) -> None:
    """Whatever a server answers, splitting it ends in parts or in a reason."""
    with quickly(), pytest.raises(BadValue, match="TAXII envelope"):
        split_envelope(page)
