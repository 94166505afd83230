"""Readings of a text: what stands in it escaped, in base64 and in hexadecimal, within each other."""

from __future__ import annotations

import base64
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threatshare.policy.decoding import LAYERS, UNQUOTINGS, plain, views

SECRET = "jane.doe@corp.example"
WAYS: dict[str, Callable[[str], str]] = {
    "percent": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64url": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "hex": lambda text: text.encode().hex(),
    "HEX": lambda text: text.encode().hex().upper(),
}


def says(text: str, secret: str = SECRET) -> bool:
    return any(secret in one for one in views(text)[0])


@pytest.mark.parametrize(
    "text",
    [
        "jane.doe＠corp.example",
        "jane\u200b.doe@cor\u00adp.example",
        "jane.doe&#64;corp&period;example",
        "jane.doe&commat;corp.example",
        "jane.doe\\x40corp.example",
        "jane.doe\\u0040corp.example",
        "jane.doe%u0040corp.example",
        "jane.doe=40corp=2Eexample",
        "jane.doe@cor=\r\np.example",
        SECRET.encode().hex(":"),
        SECRET.encode().hex("-"),
        SECRET.encode().hex(";"),
        SECRET.encode().hex(".", 4),
        base64.b64encode(SECRET.encode("utf-16-le")).decode(),
        base64.b64encode(SECRET.encode("utf-16")).decode(),
        base64.b64encode(b"id=" + SECRET.encode("utf-16-be")).decode(),
        base64.b32encode(SECRET.encode()).decode(),
        base64.b32encode(SECRET.encode()).decode().rstrip("=").lower(),
        "\r\n".join(("amFuZS5", "kb2VAY29", "ycC5leGFtcGxl")),
        "amFuZS5.kb2VAY29.ycC5leGFtcGxl",
        "amFuZS5+kb2VAY29+ycC5leGFtcGxl",
    ],
)
def test_other_spellings_are_undone(text: str) -> None:
    """Escapes of HTML, programs and mail, wide and invisible letters, separators, UTF-16 and base32 are read."""
    assert says(f"http://evil.example/?q={text}")


@pytest.mark.parametrize("first", WAYS)
@pytest.mark.parametrize("second", WAYS)
def test_two_encodings_are_undone(first: str, second: str) -> None:
    """Whatever is encoded one way and then another comes to light, and nothing is left over."""
    text = f"http://evil.example/a?q={WAYS[second](WAYS[first](SECRET))}&x=1"
    assert says(text)
    assert not views(text)[1]


@pytest.mark.parametrize("before", ["", "/", "x", "xy", "xyz", "token-", "a=b&", "AAAA"])
@pytest.mark.parametrize("way", ["base64", "base64url", "hex"])
def test_a_token_may_begin_within_another(way: str, before: str) -> None:
    """A token is read wherever in a longer run of characters it begins."""
    assert says(f"http://evil.example/{before}{WAYS[way](SECRET)}")


@given(
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=6, max_size=40), st.sampled_from([*WAYS])
)
def test_printable_text_is_found_in_any_encoding(secret: str, way: str) -> None:
    """Any printable text of six characters and more is among the readings of its encoding."""
    found, _ = views(WAYS[way](secret))
    assert any(secret in one for one in found) or (way == "percent" and "%" in secret)


@given(st.text(max_size=60))
def test_a_text_is_its_own_first_reading(text: str) -> None:
    """Whatever the text, it is searched as it stands, and reading it never fails."""
    assert views(text)[0][0] == text


def test_what_is_nested_deeper_is_left_and_told() -> None:
    """Encodings within each other beyond the limit, and endless escapes, are reported as unread."""
    text = SECRET
    for _ in range(LAYERS + 2):
        text = WAYS["base64"](text)
    assert views(text)[1]
    escaped = "%"
    for _ in range(UNQUOTINGS + 2):
        escaped = quote(escaped, safe="")
    assert plain(escaped)[1]
    assert views(escaped)[1]


def test_plain_text_has_one_reading() -> None:
    """Ordinary values are not taken for encoded ones."""
    for text in ("evil.example", "http://evil.example/wp-admin/index.php?id=7", "45.66.77.88"):
        assert views(text) == ((text,), False)
