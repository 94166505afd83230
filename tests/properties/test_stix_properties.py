"""Laws of values and patterns, for any text: one spelling, no surprise, and what is written is read again."""

from __future__ import annotations

import json
import string
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

import msgspec
from hypothesis import assume, example, given
from hypothesis import strategies as st

from threatshare.errors import BadValue
from threatshare.model import Kind, Observable, micros
from threatshare.stix.observables import MAX_LENGTH, canonical, recognise, refang
from threatshare.stix.patterns import pattern_of, read_pattern
from threatshare.stix.received import read_object, split_envelope
from threatshare.stix.timestamps import read_loose_time, read_timestamp, write_timestamp

PIECES = (
    [
        "http://",
        "https://",
        "hxxp",
        "hxxps[:]//",
        "://",
        ":",
        "/",
        "?",
        "#",
        "@",
        ".",
        "..",
        "\\",
        "%",
        "%41",
        "%2e",
        "%C3",
        "%zz",
    ]
    + [
        "[",
        "]",
        "(",
        ")",
        "{",
        "}",
        "[.]",
        "(dot)",
        "[@]",
        "[:]",
        " ",
        "\t",
        "\n",
        "\x00",
        "'",
        '"',
        "<",
        ">",
        "*",
        "-",
        "_",
    ]
    + [
        "example.com",
        "evil",
        "xn--",
        "xn--fa-hia",
        "1.2.3.4",
        "0x7f",
        "010",
        "::1",
        "::ffff:1.2.3.4",
        "fe80::1",
        "%eth0",
    ]
    + [
        "/24",
        "/032",
        "/128",
        ":80",
        ":443",
        ":0",
        ":099999",
        "a" * 32,
        "B" * 64,
        "aa:bb:cc:dd:ee:ff",
        "aa-bb-cc-dd-ee-ff",
    ]
    + [
        "ß",
        "。",
        "ⓔ",
        "İ",
        "Σ",
        "ς",
        "\u200b",
        "\u202e",
        "\u0345",
        "\ud800",
        "٣",
        "²",
        "\xa0",
        "💩",
        "e\u0301",
        "ﷺ",
        "\u2028",
    ]
    + [
        "[ipv4-addr:value = '1.2.3.4']",
        "file:name",
        " = ",
        " OR ",
        " AND ",
        " IN (",
        "'x'",
        "\\'",
        "/*",
        "*/",
        "//",
        "t'",
        "h'",
    ]
)
"""What addresses, names, patterns and their disguises are made of."""

texts = st.one_of(
    st.text(max_size=40),
    st.text(st.characters(), max_size=40),
    st.lists(st.sampled_from(PIECES), max_size=10).map("".join),
    st.tuples(st.sampled_from(["http://", "http://example.com/", "a@", "a."]), st.text(max_size=30)).map("".join),
)
kinds = st.sampled_from(list(Kind))

labels = st.text(string.ascii_letters + string.digits + "-_", min_size=1, max_size=12)
names = st.builds("{}.{}.{}".format, labels, labels, st.sampled_from(["com", "Example", "xn--p1ai", "рф", "de."]))
addresses = st.ip_addresses(v=4).map(str)
paths = st.text(string.ascii_letters + string.digits + "/.-_~!$&'*+,;=:@%?", max_size=30)
values = st.one_of(
    st.tuples(st.just(Kind.IPV4), addresses),
    st.tuples(st.just(Kind.IPV4), st.builds("{}/{}".format, addresses, st.integers(0, 32))),
    st.tuples(st.just(Kind.IPV6), st.ip_addresses(v=6).map(str)),
    st.tuples(st.just(Kind.IPV6), st.builds("{}/{}".format, st.ip_addresses(v=6), st.integers(0, 128))),
    st.tuples(st.just(Kind.IPV6), addresses.map("::ffff:{}".format)),
    st.tuples(st.just(Kind.DOMAIN), names),
    st.tuples(
        st.just(Kind.URL), st.builds("{}://{}/{}".format, st.sampled_from(["http", "HTTPS", "ftp"]), names, paths)
    ),
    st.tuples(st.just(Kind.URL), st.builds("http://{}:{}{}".format, addresses, st.integers(1, 65535), st.just("/a"))),
    st.tuples(st.just(Kind.URL), st.builds("http://{}/{}".format, names, st.text(max_size=20))),
    st.tuples(st.just(Kind.EMAIL), st.builds("{}@{}".format, st.text(min_size=1, max_size=10), names)),
    st.tuples(
        st.just(Kind.MAC),
        st.text(string.hexdigits, min_size=12, max_size=12).map(
            lambda t: ":".join(t[i : i + 2] for i in range(0, 12, 2))
        ),
    ),
    st.tuples(st.just(Kind.MD5), st.text(string.hexdigits, min_size=32, max_size=32)),
    st.tuples(st.just(Kind.SHA256), st.text(string.hexdigits, min_size=64, max_size=64)),
)
"""Texts that mostly are values, with their kinds."""


def taken(kind: Kind, text: str) -> Observable:
    """Reads a value; skips the example where it is none."""
    try:
        return canonical(kind, text)
    except BadValue:
        assume(False)
        raise


def check(found: Observable) -> None:
    """Checks what must hold of every observable, wherever it came from."""
    assert isinstance(found.kind, Kind)
    assert 0 < len(found.value) <= MAX_LENGTH
    assert not any(unicodedata.category(char) in {"Cc", "Cs"} for char in found.value)
    assert canonical(found.kind, found.value) == found
    if found.kind is not Kind.PATTERN:
        assert read_pattern(pattern_of(found)) == (found,)
    if found.kind is not Kind.PATTERN and refang(found.value) == found.value:
        assert recognise(found.value) == found


@given(kinds, texts)
@example(Kind.URL, "http://example.com/%%34%31")
@example(Kind.URL, "http://example.com:080/")
@example(Kind.URL, "http://example.com:" + "9" * 5000)
@example(Kind.URL, "http://[::ffff:1.2.3.4]/")
@example(Kind.IPV6, "::1/0128")
@example(Kind.EMAIL, "İ" * 40 + "@example.com")
@example(Kind.PATTERN, "[a:b = 'x  y']")
def test_any_text_is_a_value_in_its_one_spelling_or_is_refused(kind: Kind, text: str) -> None:
    """Reading any text as any kind gives an observable that keeps every promise, or BadValue and nothing else."""
    try:
        found = canonical(kind, text)
    except BadValue:
        return
    if found.value:
        check(found)


@given(texts)
@example("hxxp://[.]")
@example("[" * 100)
def test_any_text_is_recognised_or_refused(text: str) -> None:
    """Recognising any text gives an observable that keeps every promise, or BadValue and nothing else."""
    try:
        found = recognise(text)
    except BadValue:
        return
    check(found)


@given(values)
def test_what_looks_like_a_value_keeps_every_promise(pair: tuple[Kind, str]) -> None:
    """Real values of every kind have one spelling, which their pattern and their own text give again."""
    check(taken(*pair))


@given(values, st.booleans())
def test_case_is_one_where_the_standard_says_so(pair: tuple[Kind, str], upper: bool) -> None:
    """Addresses, names, hashes and mail addresses are the same in either case; URLs are not."""
    kind, text = pair
    assume(kind is not Kind.URL and text.isascii())
    assert taken(kind, text) == canonical(kind, text.upper() if upper else text.lower())


_DOTS: tuple[Callable[[str], str], ...] = (
    lambda text: text.replace(".", "[.]"),
    lambda text: text.replace(".", "(.)"),
    lambda text: text.replace(".", "{.}"),
    lambda text: text.replace(".", "[dot]"),
    lambda text: text.replace(".", "(DOT)"),
    lambda text: text.replace(".", " [.] "),
    lambda text: text.replace(".", "\\."),
    lambda text: "[.]".join(text.rsplit(".", 1)),
    lambda text: text.replace(":", "[:]"),
    lambda text: text.replace("://", "[://]"),
    lambda text: text.replace("@", "[@]"),
    lambda text: text.replace("@", "(at)"),
    lambda text: text,
)
_SCHEMES: tuple[Callable[[str], str], ...] = (
    lambda text: text.replace("http", "hxxp", 1) if text.startswith(("http:", "https:")) else text,
    lambda text: text.replace("http", "hXXp", 1) if text.startswith(("http:", "https:")) else text,
    lambda text: text.replace("http", "h**p", 1) if text.startswith(("http:", "https:")) else text,
    lambda text: text.replace("ftp", "fxp", 1) if text.startswith("ftp:") else text,
    lambda text: text,
)
_WRAPS = ("{}", " {} ", "<{}>", "'{}'", '"{}"', "`{}`", "({})", "[{}]", "“{}”", "\u200b{}\xa0")


@given(values, st.sampled_from(_SCHEMES), st.sampled_from(_DOTS), st.sampled_from(_WRAPS))
@example((Kind.IPV6, "::"), _SCHEMES[-1], _DOTS[8], "{}")
def test_defanging_can_be_undone(
    pair: tuple[Kind, str], scheme: Callable[[str], str], dots: Callable[[str], str], wrap: str
) -> None:
    """Whatever usual way a value was defanged in, it is recognised as what it was."""
    found = taken(*pair)
    assume(refang(found.value) == found.value)
    # A wrapping mark that the value itself begins or ends with cannot be told from it.
    assume(refang(f"'{found.value}'") == found.value)
    assume(wrap[0] not in "([" or not set("()[]") & set(found.value))
    assert recognise(wrap.format(dots(scheme(found.value)))) == found


@given(texts)
def test_refanging_raises_nothing(text: str) -> None:
    """Refanging takes any text."""
    refang(text)


@given(st.one_of(texts, st.lists(st.sampled_from(PIECES), max_size=12).map(lambda parts: f"[{''.join(parts)}]")))
@example("[ipv4-addr:value IN ()]")
@example("[ipv4-addr:value IN ('1.2.3.4',)]")
@example("[file:name = '\\")
@example("[a:b = 'x' /* ' */ AND c:d = 'y']")
def test_any_text_is_a_pattern_or_is_refused(text: str) -> None:
    """Reading any text as a pattern gives observables that their patterns give again, or BadValue and nothing else."""
    try:
        found = read_pattern(text)
    except BadValue:
        return
    assert found
    for one in found:
        check(one)
        assert read_pattern(pattern_of(one)) == (one,)


@given(st.lists(values, min_size=1, max_size=6), st.sampled_from(["in", "between", "both"]))
def test_alternatives_are_the_observables_that_they_name(pairs: list[tuple[Kind, str]], where: str) -> None:
    """However values are joined by OR, exactly those values come out."""
    found = [taken(*pair) for pair in pairs]
    terms = [pattern_of(one)[1:-1] for one in found]
    pattern = {
        "in": f"[{' OR '.join(terms)}]",
        "between": " OR ".join(f"[{term}]" for term in terms),
        "both": f"[{terms[0]}] OR [{' OR '.join(terms)}]",
    }[where]
    assert read_pattern(pattern) == tuple(dict.fromkeys(found))


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=60))
def test_any_string_is_kept_as_it_is(text: str) -> None:
    """What a complex pattern quotes is not touched: blanks, quotes, brackets and words in it count as text."""
    quoted = text.replace("\\", "\\\\").replace("'", "\\'")
    pattern = f"[file:name = '{quoted}' AND file:size = 7]"
    assert read_pattern(pattern) == (Observable(Kind.PATTERN, pattern),)


_LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(st.characters())
)
_KEYS = st.one_of(
    st.sampled_from(
        ["type", "id", "created", "modified", "pattern", "confidence", "revoked", "labels", "created_by_ref"]
    ),
    st.text(max_size=5),
)
_JSON = st.recursive(
    _LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4), max_leaves=10
)
_GOOD = {
    "type": "indicator",
    "id": "indicator--8b35c4a1-2f6f-4cbe-9a0e-0d4e7a1c1f10",
    "created": "2026-01-01T00:00:00.000Z",
    "modified": "2026-01-01T00:00:00.000Z",
    "pattern": "[ipv4-addr:value = '198.51.100.7']",
}


@given(st.dictionaries(_KEYS, _JSON, max_size=4), st.booleans())
def test_any_object_is_read_or_refused(changed: dict[str, object], ascii_only: bool) -> None:
    """Whatever a partner's object holds, it is read or refused, and what is read every reader of ours can read."""
    raw = json.dumps(_GOOD | changed, ensure_ascii=ascii_only).encode(errors="surrogatepass")
    try:
        read = read_object(raw)
    except BadValue:
        return
    held = msgspec.json.decode(raw)
    assert json.loads(raw) == held
    assert (held["id"], held["type"]) == (read.id, read.type)
    assert read.version >= 0


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    """Bytes that are no JSON at all are refused as objects and as pages."""
    with suppress(BadValue):
        read_object(raw)
    with suppress(BadValue):
        split_envelope(raw)


@given(st.lists(st.dictionaries(st.text(max_size=5), _JSON, max_size=3), max_size=5), st.integers(0, 3))
def test_a_page_gives_its_objects_to_the_byte(held: list[dict[str, object]], indent: int) -> None:
    """However a page is written, each of its objects comes out as it stands there, lone surrogates and all."""
    objects = [json.dumps(one, indent=indent or None).encode() for one in held]
    page = b'{"more": false, "objects": [' + b" ,\n ".join(objects) + b"]}"
    assert split_envelope(page) == (objects, False, None)


@given(st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999_999), timezones=st.just(UTC)))  # noqa: DTZ001
def test_every_moment_is_written_and_read_again(at: datetime) -> None:
    """Timestamps lose nothing at six digits, and less than a millisecond at three."""
    exact = micros(at)
    assert read_timestamp(write_timestamp(exact, 6)) == exact
    assert 0 <= exact - read_timestamp(write_timestamp(exact)) < 1000


@given(st.text(max_size=40))
def test_any_text_is_a_time_or_none(text: str) -> None:
    """Times are read or refused, and nothing else happens."""
    read_loose_time(text)
    with suppress(BadValue):
        read_timestamp(text)
