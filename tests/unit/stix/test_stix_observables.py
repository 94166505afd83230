"""Canonical values: one spelling for each value, and what is ambiguous is refused."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from threatshare.errors import BadValue
from threatshare.model import Kind, Observable
from threatshare.stix.observables import MAX_LENGTH, canonical, recognise

Watch = Callable[[], AbstractContextManager[None]]

EMPTY_FILE = "d41d8cd98f00b204e9800998ecf8427e"

CANONICAL = {
    Kind.IPV4: {
        "198.51.100.7": "198.51.100.7",
        "198.51.100.7/32": "198.51.100.7",
        "198.51.100.7/24": "198.51.100.0/24",
        "198.51.100.0/31": "198.51.100.0/31",
        "0.0.0.0/0": "0.0.0.0/0",
    },
    Kind.IPV6: {
        "2001:DB8:0:0:0:0:0:1": "2001:db8::1",
        "2001:db8::1/128": "2001:db8::1",
        "2001:db8::1/64": "2001:db8::/64",
        "[2001:db8::1]": "2001:db8::1",
        "fe80::1%eth0": "fe80::1",
        "fe80::1%25eth0": "fe80::1",
        "fe80::1%eth0/64": "fe80::/64",
        "::ffff:0:0/95": "::fffe:0:0/95",
    },
    Kind.DOMAIN: {
        "Example.COM": "example.com",
        "example.com.": "example.com",
        "_dmarc.Example.com": "_dmarc.example.com",
        "a_b.example.com": "a_b.example.com",
        "-bad.example.com": "-bad.example.com",
        "faß.de": "xn--fa-hia.de",
        "пример.рф": "xn--e1afmkfd.xn--p1ai",
        "_dmarc.пример.рф": "_dmarc.xn--e1afmkfd.xn--p1ai",
        "XN--FA-HIA.de": "xn--fa-hia.de",
        "evil。com": "evil.com",
        "ⓔvil.com": "evil.com",
        "evil．com。": "evil.com",
        "ＥＶＩＬ.com": "evil.com",
        "evil\u200b.com": "evil.com",
        "a.b32.i2p": "a.b32.i2p",
        "x" * 63 + ".com": "x" * 63 + ".com",
    },
    Kind.URL: {
        "HTTP://Example.COM": "http://example.com/",
        "https://example.com?q=1": "https://example.com/?q=1",
        "https://example.com/?": "https://example.com/?",
        "http://example.com:80/": "http://example.com/",
        "http://example.com:080/": "http://example.com/",
        "https://example.com:0443/": "https://example.com/",
        "https://example.com:80/": "https://example.com:80/",
        "ftp://example.com:21/x": "ftp://example.com/x",
        "http://example.com:": "http://example.com/",
        "http://example.com.:8080/x": "http://example.com:8080/x",
        "http://example.com/a#top": "http://example.com/a",
        "http://example.com/#a#b": "http://example.com/",
        "http://jane:secret@example.com/": "http://example.com/",
        "http://good.org@example.com@evil.com/": "http://evil.com/",
        "http://example.com/%7euser/%2F%2f/%c3%A4": "http://example.com/~user/%2F%2F/%C3%A4",
        "http://example.com/?a=%41%20B": "http://example.com/?a=A%20B",
        "http://example.com/100%": "http://example.com/100%25",
        "http://example.com/%zz": "http://example.com/%25zz",
        "http://example.com/%%34%31": "http://example.com/%2541",
        "http://example.com/ä b": "http://example.com/%C3%A4%20b",
        'http://example.com/"<>\\^`{|}': "http://example.com/%22%3C%3E%5C%5E%60%7B%7C%7D",
        "http://example.com/a[]=(b)!$&'*+,;=:@": "http://example.com/a[]=(b)!$&'*+,;=:@",
        "http://example.com/\x00\n\u202e": "http://example.com/%00%0A%E2%80%AE",
        "http://example.com/a/./b/../c": "http://example.com/a/c",
        "http://example.com/../../x": "http://example.com/x",
        "http://example.com/a/..": "http://example.com/",
        "http://example.com/a/.": "http://example.com/a/",
        "http://example.com/%2e%2E/x": "http://example.com/x",
        "http://example.com//..//a": "http://example.com//a",
        "http://example.com/.hidden/...": "http://example.com/.hidden/...",
        "http://example.com/A?Q=B&a=1&b=2": "http://example.com/A?Q=B&a=1&b=2",
        "http://example.com/?x=a/../b": "http://example.com/?x=a/../b",
        "http://198.51.100.7/24": "http://198.51.100.7/24",
        "http://[198.51.100.7]/": "http://198.51.100.7/",
        "http://[2001:DB8::1]:80/x": "http://[2001:db8::1]/x",
        "http://[2001:db8::1]:8080": "http://[2001:db8::1]:8080/",
        "http://[fe80::1%25eth0]/": "http://[fe80::1]/",
        "http://[::ffff:198.51.100.7]:81/x": "http://198.51.100.7:81/x",
        "http://faß.de/ß": "http://xn--fa-hia.de/%C3%9F",
        "http://evil。com/": "http://evil.com/",
        "hxxps://example.com:443/": "https://example.com/",
        "tcp://198.51.100.7:4444": "tcp://198.51.100.7:4444/",
    },
    Kind.EMAIL: {
        "Jane.Doe+x@Example.COM.": "jane.doe+x@example.com",
        "o'brien@example.com": "o'brien@example.com",
        "Jürgen@faß.de": "jürgen@xn--fa-hia.de",
        "A" * 64 + "@example.com": "a" * 64 + "@example.com",
    },
    Kind.MAC: {
        "00-00-5E-00-53-01": "00:00:5e:00:53:01",
        "00:00:5e:00:53:01": "00:00:5e:00:53:01",
    },
    # What an empty file's hash is worth is for triage to say; it is a value like any other.
    Kind.MD5: {EMPTY_FILE.upper(): EMPTY_FILE, f" {EMPTY_FILE}\n": EMPTY_FILE},
    Kind.SHA1: {"AB" * 20: "ab" * 20},
    Kind.SHA256: {"AB" * 32: "ab" * 32},
    Kind.SHA512: {"AB" * 64: "ab" * 64},
    Kind.PATTERN: {
        " [file:name\t=\n'a  b'] ": "[file:name = 'a  b']",
        "[file:name = 'it\\'s  \\\\'  ]": "[file:name = 'it\\'s  \\\\' ]",
        "[file:name /* it's */ = 'a'] // 'b": "[file:name = 'a']",
        "[file:name = '/* kept */ // kept']": "[file:name = '/* kept */ // kept']",
    },
}

REFUSED = {
    Kind.IPV4: (
        "010.0.0.1 127.1 1.2.3 2130706433 0x7f000001 0x7f.0.0.1 1.2.3.256 1.2.3.4.5 1.2.3.4. .1.2.3.4 1..2.3 "
        "1.2.3.4/ 1.2.3.4/33 1.2.3.4/024 1.2.3.4/032 1.2.3.4/-1 1.2.3.4/+24 1.2.3.4/24/1 1.2.3.4/255.255.255.0 "
        "1.2.3.4/0.0.0.255 1.2.3.4%1 1.2.3.4:80 １.2.3.4 1.2.3.4/２４ ::1 example.com"
    ).split()
    + ["", " 1.2.3.4", "1.2.3.4\n", "1.2.3.4\x00", "1.2.3.4/ 24", "1.2.3.4/24\n"],
    Kind.IPV6: (
        "1.2.3.4 : ::: 1::2::3 12345::1 ::g [::1 ::1] [[::1]] ::1/129 ::1/ ::1/0128 ::1/064 ::1/ffff:: ::1/64%eth0 "
        "fe80::1% %::1 fe80::1%a%b ::ffff:1.2.3.256 ::ffff:010.0.0.1 2001:db8::1:80:8:1:2:3"
    ).split()
    + ["", "::1\n", "::1 ", "fe80::1%\x00"],
    Kind.DOMAIN: (
        "com localhost . .. a.. .example.com a..b example.com.. 1.2.3.4 1.2.3 ①.②.③.④ 127.0x1 a.12a a.0x2 "
        "foo._tcp a.-b a.b- example.c *.example.com example.com/x example.com:80 exa!mple.com xn-- a\u200d.com 💩.com"
    ).split()
    + ["", "exa mple.com", "example.com\n", "x" * 64 + ".com", "a." * 127 + "com", "é" * 70 + ".com"],
    Kind.URL: (
        "example.com/x mailto:a@example.com ://example.com http:// http:///x http://@/ http://a@ file:///etc/passwd "
        "http://localhost/ http://127.1/ http://2130706433/ http://0x7f000001/ http://127.0x1/ http://010.0.0.1/ "
        "http://1.2.3.4./ http://999.1.1.1/ http://１.2.3.4/ http://[::1 http://[::1]x/ http://[::1/ http://::1/ "
        "http://]/ http://[example.com]/ http://[1.2.3.4/ "
        "http://example.com:0/ http://example.com:65536/ http://example.com:+80/ "
        "http://example.com:80:80/ http://example.com:８０/ http://example.com:²/ http://ex%61mple.com/ "
        "http://example.com%2f.evil.com/ http://example.com\\@evil.com/ http://example.com\\x 1http://example.com/"
    ).split()
    + ["", "http://ex ample.com/", "http://example.com\t/", "http://example.com:" + "9" * 5000, " http://example.com/"],
    Kind.EMAIL: (
        "a@ @example.com a@b@example.com a@localhost a@1.2.3.4 a@[1.2.3.4] <a@example.com> a,b@example.com "
        "a\u202eb@example.com a\u200bb@example.com a\u00adb@example.com example.com"
    ).split()
    + ["", "a b@example.com", "a\x85b@example.com", "a" * 65 + "@example.com", "İ" * 40 + "@example.com"],
    Kind.MAC: (
        "00:00-5e:00:53:01 00:00:5e:00:53 00005e005301 0000.5e00.5301 0g:00:5e:00:53:01 ０0:00:5e:00:53:01"
    ).split()
    + ["", "00:00:5e:00:53:01\n"],
    Kind.MD5: ["", "a" * 31, "a" * 33, "g" * 32, "ａ" * 32, "0x" + "a" * 30, "a" * 16 + " " + "a" * 15],
    Kind.SHA1: ["a" * 32, "a" * 64],
    Kind.SHA256: ["a" * 32, "a" * 63],
    Kind.SHA512: ["a" * 64, "a" * 127],
    Kind.PATTERN: ["[file:name = 'a\tb']", "[file:name = '\x1b[31m']", "[file:name = 'a\x85b']"],
}

RECOGNISED = {
    "198.51.100.7": Kind.IPV4,
    "198.51.100.0/24": Kind.IPV4,
    "::ffff:198.51.100.7": Kind.IPV4,
    "2001:db8::1": Kind.IPV6,
    "2001:db8::/32": Kind.IPV6,
    "example.com": Kind.DOMAIN,
    "faß.de": Kind.DOMAIN,
    "https://example.com/a@b": Kind.URL,
    "https://198.51.100.7/": Kind.URL,
    "jane@example.com": Kind.EMAIL,
    "00:00:5e:00:53:01": Kind.MAC,
    "00-00-5e-00-53-01": Kind.MAC,
    "A" * 32: Kind.MD5,
    "a" * 40: Kind.SHA1,
    "a" * 64: Kind.SHA256,
    "a" * 128: Kind.SHA512,
}


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [(kind, text, value) for kind, table in CANONICAL.items() for text, value in table.items()],
)
def test_each_value_has_one_spelling(kind: Kind, text: str, value: str) -> None:
    """Every way of writing a value gives the same text, and that text gives itself."""
    assert canonical(kind, text) == Observable(kind, value)
    assert canonical(kind, value) == Observable(kind, value)


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, table in REFUSED.items() for text in table])
def test_what_is_ambiguous_is_refused(kind: Kind, text: str) -> None:
    """What programs read in different ways, or as nothing, is refused and never guessed."""
    with pytest.raises(BadValue):
        canonical(kind, text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("::FFFF:198.51.100.7", "198.51.100.7"),
        ("::ffff:c633:6407", "198.51.100.7"),
        ("[::ffff:198.51.100.7%eth0]", "198.51.100.7"),
        ("::ffff:198.51.100.7/128", "198.51.100.7"),
        ("::ffff:198.51.100.7/120", "198.51.100.0/24"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
    ],
)
def test_a_mapped_address_is_the_ipv4_address(text: str, value: str) -> None:
    """An IPv4-mapped address or network is the IPv4 one, so that it cannot slip past a rule about that."""
    assert canonical(Kind.IPV6, text) == Observable(Kind.IPV4, value)


@pytest.mark.parametrize("kind", [*Kind])
@pytest.mark.parametrize("text", ["\ud800", "http://example.com/\udfff", "a\ud800@example.com", "\ud800.example.com"])
def test_half_a_character_is_refused(kind: Kind, text: str) -> None:
    """Text that no encoding can write never becomes a value, since it could not be stored or served."""
    with pytest.raises(BadValue):
        canonical(kind, text)


@pytest.mark.parametrize(("text", "kind"), RECOGNISED.items())
def test_a_value_is_recognised_by_its_form(text: str, kind: Kind) -> None:
    """The form alone says what a value is."""
    assert recognise(text).kind is kind


@pytest.mark.parametrize(
    "text", ["", "  ", "''", "a" * 31, "1.2.3.4:80", "abc", "evil", "://", "@", "1.2.3", "[.]", "(", "()"]
)
def test_what_is_nothing_is_not_recognised(text: str) -> None:
    """Text that has the form of nothing we know is refused with a reason."""
    with pytest.raises(BadValue, match=r"\w"):
        recognise(text)


@pytest.mark.parametrize("kind", [*Kind])
def test_a_value_that_is_too_long_is_refused(kind: Kind) -> None:
    """Nothing longer than the limit is looked at."""
    with pytest.raises(BadValue, match=f"at most {MAX_LENGTH}"):
        canonical(kind, "a" * (MAX_LENGTH + 1))
    with pytest.raises(BadValue, match=f"at most {MAX_LENGTH}"):
        recognise("a" * 3 * MAX_LENGTH)


def test_a_url_that_escaping_makes_too_long_is_refused() -> None:
    """A canonical value can always be read again: the limit holds for what escaping has made of it too."""
    assert len(canonical(Kind.URL, "http://example.com/" + "ä" * 1000).value) < MAX_LENGTH
    with pytest.raises(BadValue, match="when escaped"):
        canonical(Kind.URL, "http://example.com/" + "ä" * 4000)


ADVERSARIES = (
    " [({])}.:/@%\\'\"-_?#&;,*0aäß\u200b\u3000\u0345İﷺ٣",
    (
        "[.",
        "[ ",
        "( ",
        "[.]",
        "(dot)",
        " [.] ",
        "\\.",
        "h**p",
        "/.",
        "/..",
        "../",
        "%2",
        "%41",
        "%2e",
        "%%",
        "a.",
        "-.",
    ),
    (
        "::",
        "0:",
        "1.",
        "[:]",
        "[@]",
        "://",
        "?#",
        "(at)",
        "[ dot ] ",
        "http://",
        "/a/..",
        "xn--a.",
        "ä.",
        "/*",
        "/*'",
        "//",
    ),
    ("'\\'", "\\'", "/* *", "*/", "' "),
)


@pytest.mark.parametrize("unit", [unit for group in ADVERSARIES for unit in group])
def test_no_text_takes_long(unit: str, quickly: Watch) -> None:
    """Text made to drive a search back and forth is done with in time, wherever in a value it stands."""
    with quickly():
        for start in ("", "http://", "http://example.com/", "a@", "[", "::", "1.2.3.4/", "[file:name = '"):
            text = (start + unit * MAX_LENGTH)[: MAX_LENGTH - 1] + "!"
            for read in (recognise, *(lambda text, kind=kind: canonical(kind, text) for kind in Kind)):
                try:
                    read(text)
                except BadValue:
                    continue
