"""Defanged text is put right, and only that."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from threatshare.errors import BadValue
from threatshare.model import Kind, Observable
from threatshare.stix.observables import recognise, refang

Watch = Callable[[], AbstractContextManager[None]]

URL = "http://www.example.com/a.b"
SECURE = "https://www.example.com/a.b"

DEFANGED = {
    "hxxp://www.example.com/a.b": URL,
    "hXXp://www.example.com/a.b": URL,
    "HXXPS://www.example.com/a.b": SECURE,
    "h**p://www.example.com/a.b": URL,
    "htxp://www.example.com/a.b": URL,
    "http[:]//www.example.com/a.b": URL,
    "hxxps[:]//www[.]example[.]com/a[.]b": SECURE,
    "hxxp(:)//www(.)example(.)com/a.b": URL,
    "hxxp{:}//www{.}example{.}com/a.b": URL,
    "hxxp[://]www.example.com/a.b": URL,
    "hxxp[:/]/www.example.com/a.b": URL,
    "hxxp:[//]www.example.com/a.b": URL,
    "http://www.example.com[/]a.b": URL,
    "http://www[dot]example(dot)com/a.b": URL,
    "http://www[DOT]example{Dot}com/a.b": URL,
    "http://www [.] example [.] com/a.b": URL,
    "http://www\\.example\\.com/a\\.b": URL,
    "http://www[.example.]com/a.b": URL,
    "<hxxp://www[.]example[.]com/a.b>": URL,
    "[hxxp://www.example.com/a.b]": URL,
    "`hxxp://www.example.com/a.b`": URL,
    "“hxxp://www.example.com/a.b”": URL,
    "\u200bhxxp://www.example.com/a.b\xa0": URL,
    "fxp://www.example.com/": "ftp://www.example.com/",
    "198.51.100[.]7": "198.51.100.7",
    "198[.]51[.]100[.]7": "198.51.100.7",
    "198.51.100.7,": "198.51.100.7",
    "(198.51.100.7)": "198.51.100.7",
    "[198.51.100.7]": "198.51.100.7",
    "'198.51.100.7';": "198.51.100.7",
    "2001[:]db8[:]:1": "2001:db8::1",
    "[:][:]1": "::1",
    "[:][:]": "::",
    "[198[.]51[.]100[.]7]": "198.51.100.7",
    "[2001:db8::1]": "2001:db8::1",
    "evil[.]example[.]com;": "evil.example.com",
    "jane[@]example[.]com": "jane@example.com",
    "jane[at]example[dot]com": "jane@example.com",
    "jane(AT)example.com": "jane@example.com",
    "jane [at] example [.] com": "jane@example.com",
}

LIVE = (
    URL,
    SECURE,
    "198.51.100.0/24",
    "2001:db8::1",
    "http://[2001:db8::1]:8080/x",
    "example.com",
    "dot.example.com",
    "at.example.com",
    "hxxp.example.com",
    "http://example.com/a(b)c,d;",
    "http://example.com/?a[]=1&b[0]=2",
    "jane.doe@example.com",
    "a" * 32,
)


@pytest.mark.parametrize(("text", "plain"), DEFANGED.items())
def test_defanged_text_is_put_right(text: str, plain: str) -> None:
    """Every usual way of defanging is undone, and the value is recognised as if it had never been."""
    assert recognise(text) == recognise(plain)


@pytest.mark.parametrize("text", LIVE)
def test_live_text_stays_as_it_is(text: str) -> None:
    """What was not defanged is not touched, even where it looks a little like it."""
    assert refang(text) == text


@pytest.mark.parametrize(
    "text", ["evil dot com", "evil . com", "evil,com", "evil[,]com", "evil[.]", "[.]com", "h..p://[.]/"]
)
def test_what_could_be_prose_is_not_put_right(text: str) -> None:
    """What is no usual way of defanging is refused and not guessed."""
    with pytest.raises(BadValue):
        recognise(text)


def test_a_comma_may_end_a_url() -> None:
    """Only where it cannot be part of the value is punctuation at its end dropped."""
    assert recognise("http://example.com/a,") == Observable(Kind.URL, "http://example.com/a,")
    assert recognise("example.com,") == Observable(Kind.DOMAIN, "example.com")


@pytest.mark.parametrize("unit", [" ", "[", "( ", "[ ", " [", "[.", "\\", "h**p", "[ dot", "'"])
def test_refanging_takes_time_with_the_length_alone(unit: str, quickly: Watch) -> None:
    """Refanging has no limit of its own, since whole cells and lines pass through it: it is linear."""
    with quickly():
        refang("x" + unit * (200_000 // len(unit)) + "x")
