"""Values that are canonical as they stand: told at a glance, and never otherwise than by the long way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threatshare.errors import BadValue
from threatshare.model import Kind, Observable
from threatshare.stix.observables import canonical, recognise
from threatshare.stix.plain_values import plain

PLAIN = [
    (Kind.IPV4, "198.51.100.7"),
    (Kind.IPV4, "0.0.0.0"),
    (Kind.IPV4, "255.255.255.255"),
    (Kind.DOMAIN, "a.example"),
    (Kind.DOMAIN, "xn--e1afmkfd.example.net"),
    (Kind.DOMAIN, "_dmarc.a-b.example.com"),
    (Kind.URL, "http://a.example/"),
    (Kind.URL, "https://198.51.100.7:8443/a/b.php?x=1&y=/../z"),
    (Kind.URL, "http://a.example:59999/A~b/"),
    (Kind.MD5, "d41d8cd98f00b204e9800998ecf8427e"),
    (Kind.SHA1, "a" * 40),
    (Kind.SHA256, "0" * 64),
    (Kind.SHA512, "f" * 128),
]
OTHERS = [
    "",
    "198.51.100.07",
    "198.51.100.256",
    "198.51.100.7/32",
    "198.51.100.7\n",
    "A.example",
    "a.example.",
    "a..example",
    "a.1b",
    "a." + "b" * 64,
    ".".join(["abcdefgh"] * 30),
    "a.example\n",
    "http://a.example",
    "http://a.example:80/",
    "https://a.example:443/",
    "http://a.example:99999/",
    "http://a.example:08/",
    "http://a.example/./b",
    "http://a.example/%41",
    "http://user@a.example/",
    "http://a.example/#part",
    "http://a.example/x(dot)y",
    "HTTP://a.example/",
    "a" * 33,
    "D41D8CD98F00B204E9800998ECF8427E",
]
TEXTS = (
    st.text("0123456789./", max_size=18)
    | st.from_regex(
        r"(https?://)?[a-cA-C0-9_.-]{1,12}(\.[a-c0-9-]{1,4}){0,2}(:[0-9]{1,5})?(/[a-c%.?#@()/:&=~+é-]*)?\n?"
    )
    | st.text("0123456789abcdefA", min_size=30, max_size=130)
    | st.text(max_size=20)
)


@pytest.mark.parametrize(("kind", "text"), PLAIN)
def test_what_stands_as_it_should(kind: Kind, text: str) -> None:
    """Ordinary values are told at a glance."""
    assert plain(text) == Observable(kind, text) == canonical(kind, text)


@pytest.mark.parametrize("text", OTHERS)
def test_what_does_not(text: str) -> None:
    """What is spelt otherwise, or is nothing at all, is left to those who know."""
    assert plain(text) is None


@given(TEXTS)
def test_the_glance_never_differs(text: str) -> None:
    """Whatever is told at a glance is what both long ways make of it."""
    found = plain(text)
    if found is not None:
        assert found == canonical(found.kind, text) == recognise(text)


@given(st.sampled_from([text for _, text in PLAIN]), st.integers(0, 200), st.text(max_size=2))
def test_a_slip_is_seen(text: str, at: int, slip: str) -> None:
    """A plain value with anything put into it is told as the long way tells it, or not at all."""
    at %= len(text) + 1
    changed = text[:at] + slip + text[at:]
    found = plain(changed)
    if found is None:
        return
    try:
        assert found == recognise(changed) == canonical(found.kind, changed)
    except BadValue as problem:
        raise AssertionError(f"{changed!r} was told for {found.kind}") from problem
