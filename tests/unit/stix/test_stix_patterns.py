"""Patterns: what suffices alone is taken apart, all else is kept whole, nothing is misread."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threatshare.errors import BadValue
from threatshare.model import Kind, Observable
from threatshare.stix.observables import canonical
from threatshare.stix.patterns import pattern_of, read_pattern

MD5, SHA1, SHA256, SHA512 = "a" * 32, "b" * 40, "c" * 64, "d" * 128
ADDRESS = Observable(Kind.IPV4, "198.51.100.7")
OTHER = Observable(Kind.IPV4, "203.0.113.9")
NAME = Observable(Kind.DOMAIN, "example.com")
ONE = "ipv4-addr:value = '198.51.100.7'"
TWO = "ipv4-addr:value = '203.0.113.9'"
DOMAIN = "domain-name:value = 'example.com'"

CANONICAL = {
    Observable(Kind.IPV4, "198.51.100.7"): "[ipv4-addr:value = '198.51.100.7']",
    Observable(Kind.IPV4, "198.51.100.0/24"): "[ipv4-addr:value = '198.51.100.0/24']",
    Observable(Kind.IPV6, "2001:db8::1"): "[ipv6-addr:value = '2001:db8::1']",
    Observable(Kind.DOMAIN, "example.com"): "[domain-name:value = 'example.com']",
    Observable(Kind.URL, "http://example.com/it's"): "[url:value = 'http://example.com/it\\'s']",
    Observable(Kind.EMAIL, "o'brien@example.com"): "[email-addr:value = 'o\\'brien@example.com']",
    Observable(Kind.MAC, "00:00:5e:00:53:01"): "[mac-addr:value = '00:00:5e:00:53:01']",
    Observable(Kind.MD5, MD5): f"[file:hashes.MD5 = '{MD5}']",
    Observable(Kind.SHA1, SHA1): f"[file:hashes.'SHA-1' = '{SHA1}']",
    Observable(Kind.SHA256, SHA256): f"[file:hashes.'SHA-256' = '{SHA256}']",
    Observable(Kind.SHA512, SHA512): f"[file:hashes.'SHA-512' = '{SHA512}']",
    Observable(Kind.PATTERN, "[file:name = 'a']"): "[file:name = 'a']",
}

HASH_NAMES = {
    (Kind.MD5, MD5): ("MD5", "md5", "'MD5'", '"MD5"'),
    (Kind.SHA1, SHA1): ("'SHA-1'", "SHA1", "sha1", "'sha-1'", '"SHA-1"', "SHA-1"),
    (Kind.SHA256, SHA256): ("'SHA-256'", "SHA256", "sha256", "'SHA256'", "'sha-256'", '"SHA-256"', "SHA-256"),
    (Kind.SHA512, SHA512): ("'SHA-512'", "SHA512", "sha512", "'sha512'"),
}

SIMPLE = {
    f"[{ONE}]": [ADDRESS],
    "[ipv4-addr:value='198.51.100.7']": [ADDRESS],
    "[ipv4-addr:value == '198.51.100.7']": [ADDRESS],
    "  [\n ipv4-addr:value\t=\r\n'198.51.100.7' ]\n": [ADDRESS],
    f"[{ONE} /* seen */ ] // twice": [ADDRESS],
    "[ipv4-addr:value = '198.51.100.7/32']": [ADDRESS],
    "[ipv6-addr:value = '::ffff:198.51.100.7']": [ADDRESS],
    "[ipv4-addr:value = '198.51.100.7/24']": [Observable(Kind.IPV4, "198.51.100.0/24")],
    f"[{ONE} OR {TWO}]": [ADDRESS, OTHER],
    f"[{ONE} OR {ONE}]": [ADDRESS],
    f"[{ONE}OR {TWO}]": [ADDRESS, OTHER],
    f"[{ONE} OR {DOMAIN}]": [ADDRESS, NAME],
    f"[{ONE}] OR [{DOMAIN}]": [ADDRESS, NAME],
    f"[{ONE}]OR[{TWO} OR {DOMAIN}]": [ADDRESS, OTHER, NAME],
    "[ipv4-addr:value IN ('198.51.100.7')]": [ADDRESS],
    "[ipv4-addr:value IN('198.51.100.7' ,'203.0.113.9')]": [ADDRESS, OTHER],
    f"[ipv4-addr:value IN ('198.51.100.7','203.0.113.9') OR {DOMAIN}]": [ADDRESS, OTHER, NAME],
    "[url:value IN ('http://example.com/(a)', 'http://example.com/,\\'')]": [
        Observable(Kind.URL, "http://example.com/(a)"),
        Observable(Kind.URL, "http://example.com/,'"),
    ],
    "[url:value = 'http://example.com/?a=] OR [b AND c']": [
        Observable(Kind.URL, "http://example.com/?a=]%20OR%20[b%20AND%20c")
    ],
    "[url:value = 'http://example.com/\\\\']": [Observable(Kind.URL, "http://example.com/%5C")],
    f"[file:hashes.MD5 = '{MD5}' AND file:hashes.'SHA-1' = '{SHA1}' AND file:hashes.'SHA-256' = '{SHA256}']": [
        Observable(Kind.MD5, MD5),
        Observable(Kind.SHA1, SHA1),
        Observable(Kind.SHA256, SHA256),
    ],
    f"[file:hashes.MD5 = '{MD5}' OR file:hashes.MD5 = '{MD5[::-1]}' OR file:hashes.'SHA-1' = '{SHA1}']": [
        Observable(Kind.MD5, MD5),
        Observable(Kind.SHA1, SHA1),
    ],
}

WHOLE = (
    "[ipv4-addr:value != '198.51.100.7']",
    "[ipv4-addr:value <> '198.51.100.7']",
    "[ipv4-addr:value NOT = '198.51.100.7']",
    "[ipv4-addr:value > '198.51.100.7']",
    "[ipv4-addr:value LIKE '198.51.100.%']",
    "[ipv4-addr:value MATCHES '^(a+)+$']",
    "[ipv4-addr:value ISSUBSET '198.51.100.0/24']",
    "[ipv4-addr:value ISSUPERSET '198.51.100.7']",
    "[ipv4-addr:value != '198.51.100.0/24']",
    "[ipv4-addr:value NOT IN ('198.51.100.7')]",
    "[ipv4-addr:value IN ()]",
    "[ipv4-addr:value IN ('198.51.100.7', 5)]",
    "[ipv4-addr:value = 5]",
    "[ipv4-addr:value = h'c6336407']",
    "[ipv4-addr:value = t'2026-01-01T00:00:00Z']",
    "[EXISTS ipv4-addr:value]",
    f"[({ONE})]",
    f"([{ONE}])",
    f"([{ONE}] OR [{TWO}])",
    f"[{ONE} AND {DOMAIN}]",
    f"[{ONE} AND {TWO}]",
    f"[{ONE} OR {TWO} AND {DOMAIN}]",
    f"[{ONE} AND {DOMAIN} OR {TWO}]",
    f"[{ONE} OR file:name = 'a']",
    f"[file:name = 'a' OR {ONE}]",
    f"[{ONE}] AND [{DOMAIN}]",
    f"[{ONE}] FOLLOWEDBY [{DOMAIN}]",
    f"[{ONE}] OR [{DOMAIN} AND {TWO}]",
    f"[{ONE}] WITHIN 5 SECONDS",
    f"[{ONE}] REPEATS 5 TIMES",
    f"[{ONE}] START t'2026-01-01T00:00:00Z' STOP t'2026-01-02T00:00:00Z'",
    f"[{ONE}] REPEATS 5 TIMES OR [{TWO}]",
    f"([{ONE}] OR [{TWO}]) WITHIN 5 SECONDS",
    f"[file:hashes.MD5 = '{MD5}' AND file:name = 'a']",
    f"[file:hashes.MD5 = '{MD5}' AND file:hashes.MD5 = '{MD5[::-1]}b']",
    f"[file:hashes.MD5 = '{MD5}' AND file:hashes.MD5 = '{'b' * 32}']",
    f"[file:hashes.MD5 IN ('{MD5}', '{'b' * 32}') AND file:hashes.'SHA-1' = '{SHA1}']",
    f"[file:hashes.MD5 = '{MD5}' OR file:hashes.MD5 = '{'b' * 32}' AND file:hashes.'SHA-1' = '{SHA1}']",
    f"[file:hashes.MD5 = '{MD5}'] AND [file:hashes.'SHA-1' = '{SHA1}']",
    "[file:hashes.ssdeep = '3:a:b']",
    "[network-traffic:dst_ref.value = '198.51.100.7']",
    "[domain-name:resolves_to_refs[*].value = '198.51.100.7']",
    "[email-message:from_ref.value = 'jane@example.com']",
    "[x-evil:value = '198.51.100.7']",
    "[file:name = 'a  b']",
    "[file:name = '\u202e']",
    "[file:name = '((((((((((((((((((((((((((((((((((((((((']",
    f"[file:name = '{'[=, AND OR ' * 300}']",
)

BROKEN = (
    "",
    "x",
    "[]",
    "]",
    "[a:b = 'x'",
    f"{ONE}",
    f"[{ONE}] [",
    f"[{ONE}] OR",
    f"[{ONE}] OR []",
    f"[{ONE} OR]",
    f"[{ONE} or {TWO}]",
    f"[{ONE} ORipv4-addr:value = '203.0.113.9']",
    f"[{ONE},{TWO}]",
    f"[NOT {ONE}]",
    "[ipv4-addr:value in ('198.51.100.7')]",
    "[ipv4-addr:valueIN ('198.51.100.7')]",
    "[ipv4-addr:value IN ('198.51.100.7',)]",
    "[ipv4-addr:value IN (,'198.51.100.7')]",
    "[ipv4-addr:value IN ('198.51.100.7' '203.0.113.9')]",
    "[ipv4-addr:value IN ('198.51.100.7'",
    "[ipv4-addr:value IN '198.51.100.7']",
    "[url:value = 'http://example.com/'']",
    "[url:value = 'http://example.com/\\']",
    "[url:value = 'http://example.com/\\n']",
    "[url:value IN ('http://example.com/\\n')]",
    "[file:name = 'a\\n' AND file:name = 'b']",
    "[file:hashes['MD5'] = 'x']",
    "[file:hashes.'SHA-256 = 'x']",
    "[file:name = 'a\x00b']",
    "[file:name = 'a\nb']",
    f"[{ONE}]\x00",
    f"[{ONE}] /* no end",
    f"[file:name = t'2026-01-01T00:00:00Z AND {ONE}]",
)

IMPOSSIBLE = (
    "[ipv4-addr:value = '999.1.1.1']",
    "[ipv4-addr:value = '010.0.0.1']",
    "[ipv4-addr:value = 'evil']",
    "[domain-name:value = 'localhost']",
    f"[{ONE} OR domain-name:value = 'localhost']",
    "[ipv4-addr:value IN ('198.51.100.7', '1.2.3')]",
    "[file:hashes.MD5 = 'abc']",
    f"[file:hashes.'SHA-256' = '{MD5}']",
    "[url:value = 'example.com']",
    "[url:value = '']",
)


@pytest.mark.parametrize(("observable", "pattern"), CANONICAL.items())
def test_an_observable_has_one_pattern(observable: Observable, pattern: str) -> None:
    """The pattern of an observable is one comparison in the quoting that consumers read, and reads back as it."""
    assert pattern_of(observable) == pattern
    assert read_pattern(pattern) == (observable,)


@pytest.mark.parametrize(
    ("kind", "value", "name"), [(*one, name) for one, names in HASH_NAMES.items() for name in names]
)
def test_a_hash_is_read_under_each_of_its_names(kind: Kind, value: str, name: str) -> None:
    """Partners spell one algorithm in many ways; all name the same observable."""
    assert read_pattern(f"[file:hashes.{name} = '{value.upper()}']") == (Observable(kind, value),)


@pytest.mark.parametrize(("pattern", "observables"), SIMPLE.items())
def test_what_suffices_alone_is_taken_apart(pattern: str, observables: list[Observable]) -> None:
    """Each part that matches by itself becomes an observable, in order and once."""
    assert read_pattern(pattern) == tuple(observables)


@pytest.mark.parametrize("pattern", WHOLE)
def test_what_says_more_is_kept_whole(pattern: str) -> None:
    """A pattern that says more or less than "one of these values" is never read as if it said that."""
    assert read_pattern(pattern) == (Observable(Kind.PATTERN, pattern),)


@pytest.mark.parametrize("pattern", BROKEN)
def test_what_breaks_the_grammar_is_refused(pattern: str) -> None:
    """A pattern that is none is refused, and no part of it is taken."""
    with pytest.raises(BadValue, match="pattern"):
        read_pattern(pattern)


@pytest.mark.parametrize("pattern", IMPOSSIBLE)
def test_a_value_that_cannot_exist_is_refused(pattern: str) -> None:
    """The grammar takes any text for a value; we do not."""
    with pytest.raises(BadValue):
        read_pattern(pattern)


@pytest.mark.parametrize(
    "pattern",
    ["[domain-name:value = 'localhost' AND file:name = 'a']", "[file:name = 'a' AND domain-name:value = 'localhost']"],
)
def test_what_is_kept_whole_is_not_judged_by_its_values(pattern: str) -> None:
    """Whether a complex pattern is taken does not depend on the order of its parts."""
    assert read_pattern(pattern) == (Observable(Kind.PATTERN, pattern),)


def test_blanks_and_comments_make_no_other_pattern() -> None:
    """Outside strings blanks and comments are all one; within strings each counts."""
    plain = "[file:name = 'a  b' AND file:size = 7]"
    assert read_pattern(" [file:name\n=\t'a  b'  AND /* ' */ file:size  =  7] // end") == read_pattern(plain)
    assert read_pattern("[file:name = 'a b' AND file:size = 7]") != read_pattern(plain)


def test_a_pattern_too_long_to_be_kept_is_known_by_its_digest() -> None:
    """Two long patterns that differ stay two, and the same one twice is one."""
    long = "[file:name = '" + "x" * 20_000 + "{}' AND file:size = 7]"
    first, again, second = (read_pattern(long.format(end)) for end in ("a", "a", "b"))
    assert first == again != second
    assert first[0].kind is Kind.PATTERN
    assert first[0].value.startswith("sha256:")
    assert canonical(*first[0]) == first[0]


PATHS = st.sampled_from(
    ["ipv4-addr:value", "domain-name:value", "url:value", "file:hashes.MD5", "file:hashes.'SHA-256'", "a:b", "", " = '"]
)
TEXTS = st.sampled_from(["192.0.2.1", "a.example", "http://a.example/x y", "0" * 32, "0" * 64, "", "a = 'b"]) | st.text(
    "'\\\\] [=a.", max_size=6
)


def outcome(pattern: str) -> tuple[Observable, ...] | None:
    try:
        return read_pattern(pattern)
    except BadValue:
        return None


@given(PATHS, TEXTS, st.sampled_from(["", "]", " OR [a:b = 'c']"]))
def test_the_usual_spelling_says_what_others_say(path: str, text: str, end: str) -> None:
    """What is told at a glance by how nearly all patterns are written is what the same says with another blank."""
    assert outcome(f"[{path} = '{text}']{end}") == outcome(f"[{path} =\t'{text}']{end}")
