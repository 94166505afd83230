"""Extraction of values from text: the traps that were met in real reports, one by one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threatshare.findings.extraction import Extracted, extract, has_public_host
from threatshare.model import Kind, Observable
from threatshare.stix.observables import canonical

MD5 = "0cc175b9c0f1b6a831c399e269772661"
SHA1 = "86f7e437faa5a7fce15d1ddcb9eaeaea377667b8"
SHA256 = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"


def values(text: str) -> list[tuple[str, str]]:
    return [(found.observable.kind.value, found.observable.value) for found in extract(text)]


def one(text: str) -> Extracted:
    (found,) = extract(text)
    return found


FOUND = {
    "hxxps[:]//": ("hxxps[:]//evil.example[.]org/a", "url", "https://evil.example.org/a"),
    "hxxp with dots": ("hxxp://evil[.]example[.]org:8080/", "url", "http://evil.example.org:8080/"),
    "http[:]//": ("https[:]//evil.example/x", "url", "https://evil.example/x"),
    "[://]": ("hxxps[://]evil[.]example/x", "url", "https://evil.example/x"),
    "escaped slashes": ("http:\\/\\/evil.example\\/x", "url", "http://evil.example/x"),
    "one dot of an address": ("seen at 192.0.2[.]4 today", "ipv4-addr", "192.0.2.4"),
    "all dots of an address": ("192[.]0[.]2[.]4", "ipv4-addr", "192.0.2.4"),
    "(dot)": ("evil(dot)example", "domain-name", "evil.example"),
    "[dot]": ("evil[dot]example", "domain-name", "evil.example"),
    "blanks around": ("evil [.] example", "domain-name", "evil.example"),
    "half a bracket": ("evil[.example", "domain-name", "evil.example"),
    "mail": ("write to name[@]evil[.]example now", "email-addr", "name@evil.example"),
    "(at)": ("name(at)evil.example", "email-addr", "name@evil.example"),
    "mail with a tag": ("a+b@evil.example", "email-addr", "a+b@evil.example"),
    "asciidoc": ("|`+evil[.]example+` |x", "domain-name", "evil.example"),
    "asciidoc twice": ("- `++http://evil[.]example/index.html++`", "url", "http://evil.example/index.html"),
    "asciidoc label": ("https://evil.example/a/[an article]", "url", "https://evil.example/a/"),
    "markdown link": ("see [this](http://evil.example/c) there", "url", "http://evil.example/c"),
    "brackets around": ("(http://evil.example/c)", "url", "http://evil.example/c"),
    "brackets inside": ("http://evil.example/d(1).php", "url", "http://evil.example/d(1).php"),
    "end of a sentence": ("See http://evil.example/a.", "url", "http://evil.example/a"),
    "placeholder": ("http://evil[.]example/<MAC>/x", "url", "http://evil.example/"),
    "onion": ("vbyrduc537l5po3w.onion", "domain-name", "vbyrduc537l5po3w.onion"),
    "private root, defanged": ("evil[.]bazar", "domain-name", "evil.bazar"),
    "trailing dot": ("evil.example.\t3600 IN A", "domain-name", "evil.example"),
    "umlaut": ("münchen[.]de", "domain-name", "xn--mnchen-3ya.de"),
    "between unspaced scripts": ("ドメインevil.exampleを", "domain-name", "evil.example"),
    "second level only": ("shop.evil.co.za", "domain-name", "shop.evil.co.za"),
    "network": ("block 198.51.100.0/24 now", "ipv4-addr", "198.51.100.0/24"),
    "port": ("198.51.100.7:443", "ipv4-addr", "198.51.100.7"),
    "protocol before": ("tcp/198.51.100.7", "ipv4-addr", "198.51.100.7"),
    "resolver": ("8.8.8.8", "ipv4-addr", "8.8.8.8"),
    "ipv6": ("from 2001:db8::1 on", "ipv6-addr", "2001:db8::1"),
    "ipv6 defanged": ("2001[:]db8[:]0[:]0[:]0[:]0[:]0[:]1", "ipv6-addr", "2001:db8::1"),
    "ipv6 in a url": ("http://[2001:db8::1]:8080/x", "url", "http://[2001:db8::1]:8080/x"),
    "hash in capitals": (f"`{SHA1.upper()}`", "file:SHA-1", SHA1),
    "hash with a label": (f"SHA256: {SHA256}", "file:SHA-256", SHA256),
    "sha512": (SHA256 * 2, "file:SHA-512", SHA256 * 2),
    "name of capitals": ("EVIL.EXAMPLE", "domain-name", "evil.example"),
}


@pytest.mark.parametrize(("text", "kind", "value"), FOUND.values(), ids=FOUND)
def test_finds_the_one_value(text: str, kind: str, value: str) -> None:
    """Each way of writing a value gives that one value and nothing beside it."""
    assert values(text) == [(kind, value)]


NOT_FOUND = {
    "detection name": "Agent.ABC and Win64/Injector.MD, Trojan.Linux.Mirai.ba, Win32/Spy.Grandoreiro.AE",
    "archive": "5d.zip, invoice.zip and xuluw12.cab",
    "macro template": "HjwLX.dot",
    "program": "the file Everyone.com was dropped",
    "path": "C:\\Windows\\evil.com and /var/run/evil.sh",
    "underscore": "vt_ioc_linux_rakos.py",
    "code": "document.write(x); this.name; System.Net.Mail; foo.call(a)",
    "joined sentences": "was downloaded.In addition",
    "object identifiers": "Policy: 1.3.6.1.4.1.6449.1.2.1.3.2 and Policy: 2.23.140.1.4.1",
    "short object identifiers": "1.3.6.1 2.23.140.1",
    "object identifier by its words": "X509v3 extension 2.5.29.17",
    "version": "Chrome/120.0.0.0 Safari, version 1.2.3.4, v10.2.3.4",
    "leading zero": "010.0.0.1",
    "five numbers": "1.2.3.4.5",
    "too large": "300.1.1.1",
    "serial number": "f0:fb:13:90:f5:34:0c:d2:57:24:51:d9:5d:b1:d9:2d",
    "serial number of eight": "7D:81:1E:9B:EC:8B:4C:BD",
    "clock time": "16:49:58 and 2017:03:25 16:49",
    "scope operator": "std::string, dead::beef",
    "import hash": f"imphash: {MD5}",
    "thumbprint": f"| Thumbprint\n| `{SHA1}`",
    "hex of no hash's length": "a" * 33,
    "hash inside a word": f"AppX{MD5}",
    "reverse lookup": "4.3.2.1.in-addr.arpa",
    "public suffix alone": "co.uk",
    "host without a dot": "http://localhost/x",
    "internal host": "http://printer.corp/x and srv1.local",
}


@pytest.mark.parametrize("text", NOT_FOUND.values(), ids=NOT_FOUND)
def test_finds_nothing(text: str) -> None:
    """What only looks like a value is left alone."""
    assert values(text) == []


def test_a_program_beside_its_hash_is_no_host() -> None:
    """On a line "hash  Everyone.com" only the hash is a value."""
    assert values(f"- {SHA256}  everyone.com\n") == [("file:SHA-256", SHA256)]
    assert values(f"Everyone.com  {SHA256}\n") == [("file:SHA-256", SHA256)]


def test_a_hash_in_a_url_belongs_to_the_url() -> None:
    """An MD5 inside a URL's path is not reported on its own."""
    assert values(f"http://evil.example/{MD5}/a") == [("url", f"http://evil.example/{MD5}/a")]


def test_joined_urls_are_taken_apart() -> None:
    """A comma or semicolon between two URLs ends the first; other commas stay."""
    text = "http://a.example/x?y=1,2,http://b.example/z;hxxp://c[.]example/"
    assert [value for _, value in values(text)] == [
        "http://a.example/x?y=1,2",
        "http://b.example/z",
        "http://c.example/",
    ]


def test_a_line_of_a_table_gives_its_url_and_its_hash() -> None:
    """The columns of a comma-separated line do not stick to the URL before them."""
    assert values(f"hxxp://evil[.]example/,2017-07-27 06:20:28,{SHA256}") == [
        ("url", "http://evil.example/"),
        ("file:SHA-256", SHA256),
    ]


def test_a_range_gives_both_ends() -> None:
    """Two addresses joined by a hyphen are two addresses."""
    assert [value for _, value in values("198.51.100.1-198.51.100.9")] == ["198.51.100.1", "198.51.100.9"]


def test_tells_what_was_defanged() -> None:
    """Whether the author had made a value harmless is part of the result."""
    assert one("hxxp://evil.example/").defanged
    assert one("evil[.]example").defanged
    assert not one("http://evil.example/").defanged
    assert not one("evil.example").defanged


def test_a_name_that_is_a_file_suffix_counts_where_it_is_defanged() -> None:
    """Nobody defangs a file name."""
    assert values("evil[.]zip") == [("domain-name", "evil.zip")]


PIECES = st.sampled_from(
    [*(text for text, _, _ in FOUND.values()), *NOT_FOUND.values(), "\n", " ", ", ", "and then ", "[", ")", "é", "|"]
)


@given(st.lists(PIECES, max_size=8).map(" ".join) | st.text(max_size=200))
def test_places_are_exact_and_in_order(text: str) -> None:
    """Every result is the text at its place, none overlap, and its value is canonical."""
    end = 0
    for found in extract(text):
        assert text[found.start : found.end] == found.original
        assert found.start >= end
        end = found.end
        assert canonical(found.observable.kind, found.observable.value) == found.observable


def test_a_hostile_line_costs_no_more_than_its_length() -> None:
    """A million characters that begin like values all the way through are searched once, not squared."""
    for piece in ("a-", "a--", "a.", "a@", "a%", "2001:", "a[", "a [.] ", "http://a.b/("):
        assert sum(1 for _ in extract(piece * (300_000 // len(piece)))) <= 30_000


@pytest.mark.parametrize(
    ("kind", "value", "public"),
    [
        (Kind.DOMAIN, "evil.example", True),
        (Kind.DOMAIN, "nancy.mee.seeks", False),
        (Kind.URL, "http://198.51.100.7/", True),
        (Kind.URL, "http://printer.corp/", False),
        (Kind.EMAIL, "a@evil.example", True),
        (Kind.MD5, MD5, True),
    ],
)
def test_tells_hosts_that_could_be_looked_up(kind: Kind, value: str, public: bool) -> None:
    """Made-up and internal names are told from public ones."""
    assert has_public_host(Observable(kind, value)) is public
