"""The HTML tokeniser: what browsers see, in linear time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threatshare.findings.formats.markup import Tag, Text, declared_charset, plain, text_of, tokens


def seen(html: str) -> list[object]:
    return [(one.name, dict(one.attributes)) if isinstance(one, Tag) else one.text for one in tokens(html)]


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("a<B>c</b >d", ["a", ("b", {}), "c", ("b", {}), "d"]),
        ("<a HREF='x>y' b=\"1\" c=2 d>", [("a", {"href": "x>y", "b": "1", "c": "2", "d": ""})]),
        ("<a href = http://x/?a&amp;b=c>", [("a", {"href": "http://x/?a&b=c"})]),
        ("<a href=1 href=2>", [("a", {"href": "1"})]),
        ("<a/href=1/>", [("a", {"href": "1/"})]),
        ("a<!-- <b> -->c<!DOCTYPE html>d<?xml?>e</ f>g", ["a", "c", "d", "e", "g"]),
        ("<!-->a<!--->b", ["a", "b"]),
        ("a<!-- never closed <b>", ["a"]),
        ("<script>if (a<b) '<i>'</SCRIPT>x", [("script", {}), ("script", {}), "x"]),
        ("<style>never closed <b>", [("style", {})]),
        ("<textarea><b>&lt;</textarea>", [("textarea", {}), "<b><", ("textarea", {})]),
        ("1 < 2 & 3 > 2", ["1 < 2 & 3 > 2"]),
        ("a<b", ["a"]),
        ("a<b c='>d", ["a", ("b", {"c": ""}), "d"]),
    ],
)
def test_tags_and_texts(html: str, expected: list[object]) -> None:
    """Quotes, missing ends, comments and raw text are read as the HTML standard says."""
    assert seen(html) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("&#104;&#x74;tp", "http"),
        ("&#0000000000104;", "h"),
        ("&#" + "9" * 5000 + ";", "\ufffd"),
        ("&#x" + "f" * 5000 + ";", "\ufffd"),
        ("&#" + "0" * 5000 + "104;", "h"),
        ("a&b", "a&b"),
    ],
)
def test_character_references(text: str, expected: str) -> None:
    """Leading zeros and endless numbers, which Python refuses to convert, are no trouble."""
    assert plain(text) == expected


@pytest.mark.parametrize(
    ("data", "charset", "expected"),
    [
        ("ä".encode(), None, "ä"),
        ("ä".encode("cp1252"), None, "ä"),
        ("ä".encode("cp1252"), "utf-8", "\ufffd"),
        ("ä".encode(), "ascii", "ä"),
        ("я".encode("koi8-r"), "KOI8-R", "я"),
        (b"a", "rot13", "a"),
        (b"a", "no-such-code\0", "a"),
        (b"\xff\xfea\0", "ascii", "a"),
        (b"\xef\xbb\xbfa", "cp1252", "a"),
        (b"a", "unicode_escape", "a"),
    ],
)
def test_encodings(data: bytes, charset: str | None, expected: str) -> None:
    """A byte order mark outranks the declared encoding; an unknown one, or one that is none of text, is passed over."""
    assert text_of(data, charset) == expected


def test_a_page_names_its_encoding() -> None:
    """In either form of its meta tag, within the first bytes."""
    assert declared_charset(b'<html><meta charset="koi8-r">') == "koi8-r"
    assert declared_charset(b'<META http-equiv=x content="text/html; charset=utf-8">') == "utf-8"
    assert declared_charset(b"<html>") is None
    # Its declaration could not be read if that were true (HTML §13.2.3.2).
    assert declared_charset(b"<meta charset=utf-16le>") == "utf-8"


@pytest.mark.parametrize(
    "piece", ["<a ", "<a/", "<", "</", "<!--", "<!", "<a x='", "<a x='>'", "&#", "<script>", "=", "<a ="]
)
def test_hostile_markup_comes_to_an_end(piece: str) -> None:
    """A million repetitions of what makes other tokenisers quadratic are one pass."""
    assert sum(len(one.text) for one in tokens(piece * 1_000_000) if isinstance(one, Text)) <= 4_000_000


@given(st.text(alphabet="<>/!-='\" abscript&#x;\n", max_size=80))
def test_any_text_has_tokens_in_order(html: str) -> None:
    """Whatever stands in a text, tokens come in order and lie within it."""
    places = [one.at for one in tokens(html)]
    assert places == sorted(places)
    assert all(0 <= at < len(html) for at in places)
