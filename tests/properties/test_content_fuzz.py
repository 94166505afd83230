"""Whatever bytes come, every reader of content ends with what it found, or with the fault that its docstring names."""

from __future__ import annotations

import json
from contextlib import suppress
from io import BytesIO
from typing import Any

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from builders import NOW, make_indicator_json
from threatshare.errors import BadValue, PartnerError
from threatshare.feed_settings import ListSettings
from threatshare.feeds.content import BadContent, check_number, scan, split
from threatshare.feeds.list_lines import lines_of
from threatshare.feeds.list_presets import settled
from threatshare.feeds.list_rows import RowReader
from threatshare.feeds.taxii_status import complaint, read_status
from threatshare.model import Reject, Tlp
from threatshare.ports import Listed
from threatshare.stix.claims import claim_of
from threatshare.stix.misp import events_of, objects_of
from threatshare.stix.received import read_object, split_envelope

NIGHTLY = settings.default is not None and settings.default.max_examples >= 10_000
EXAMPLES = settings(max_examples=5_000 if NIGHTLY else 200)

KEYS = st.sampled_from(
    [
        "type",
        "id",
        "objects",
        "more",
        "next",
        "Event",
        "Attribute",
        "Object",
        "Tag",
        "uuid",
        "value",
        "timestamp",
        "to_ids",
        "response",
        "name",
        "Orgc",
        "info",
        "modified",
        "created",
        "pattern",
        "labels",
        "object_marking_refs",
        "confidence",
        "granular_markings",
        "revoked",
        "valid_from",
        "spec_version",
        "failures",
        "status",
        "pendings",
        "message",
        "",
    ]
)
WORDS = st.sampled_from(
    [
        "bundle",
        "indicator",
        "indicator--00000000-0000-4000-8000-000000000001",
        "00000000-0000-4000-8000-000000000001",
        "ip-dst",
        "domain|ip",
        "192.0.2.1",
        "192.0.2.1|80",
        "2026-01-01T00:00:00Z",
        "2026-15-01T00:00:00Z",
        "1760000000",
        "[ipv4-addr:value = '45.0.0.1']",
        "[a:b = 1 AND (c:d = 2)]",
        "tlp:red",
        "\0",
        "\u202e",
        "\ud800",
        "é",
        "a" * 300,
        "-1",
        "1e400",
        "99999999999999999999",
        "stix",
        "2.1",
    ]
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), WORDS, st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=6)),
    max_leaves=20,
)
TEXTS = VALUES.map(lambda value: json.dumps(value).encode())
PIECES = st.one_of(
    TEXTS,
    st.sampled_from(
        [b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"\\u0000", b"\\ud800", b"\xff", b"\xef\xbb\xbf"]
    ),
    st.sampled_from(
        [b'"objects"', b'"type":"bundle"', b" ", b"\n", b"1e9999", b"9" * 5000, b"NaN", b"{}", b"//", b"null"]
    ),
    st.just(make_indicator_json()),
    st.binary(max_size=6),
)


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """Builds JSON, JSON with something put in or left out, or pieces of it."""
    if draw(st.booleans()):
        return b"".join(draw(st.lists(PIECES, max_size=8)))
    text = draw(TEXTS)
    at = draw(st.integers(0, len(text)))
    end = draw(st.integers(at, min(len(text), at + 4)))
    return text[:at] + draw(PIECES) + text[end:]


@EXAMPLES
@given(broken())
@example(b'{"objects":[{"a":NaN},{"type":"x"}]}')
def test_bundles(text: bytes) -> None:
    """A text is split into objects, or it is said why not; each object is read, or it is said why not."""
    with suppress(BadContent):
        check_number(text, 100)
        for one in split(text):
            _read(one)
    with suppress(BadContent):
        for one in scan(BytesIO(text), 10_000):
            _read(one)


@EXAMPLES
@given(broken())
def test_envelopes(text: bytes) -> None:
    """A page is split, or it is said why not."""
    try:
        objects, more, _ = split_envelope(text)
    except BadValue:
        return
    assert isinstance(more, bool)
    for one in objects:
        _read(one)


def _read(raw: bytes) -> None:
    with suppress(BadValue):
        read = read_object(raw)
        claim_of(read, read.version, Tlp.GREEN, NOW)


@EXAMPLES
@given(broken())
@example(b'{"uuid":"00000000-0000-4000-8000-000000000001","Attribute":[{"value":"\xff"}, 5, [], {}]}')
@example(b'{"uuid":"00000000-0000-4000-8000-000000000001","Tag":[{"name":5}],"Object":[7,{"Attribute":5}]}')
def test_events(text: bytes) -> None:
    """An event becomes objects that can be read, or it is said why not."""
    try:
        events = events_of(text)
    except BadValue:
        return
    for one in events:
        for made in objects_of(one):
            if isinstance(made, Reject):
                made.text.encode()
            else:
                _read(made)


@EXAMPLES
@given(broken())
def test_statuses(text: bytes) -> None:
    """What a server says of a delivery is read, or it is none."""
    read_status(text)
    assert complaint(text).isprintable()


TERMS: list[dict[str, Any]] = [
    {},
    {"format": "csv"},
    {"format": "csv", "header": "first", "value": "ip"},
    {"format": "csv", "header": "comment", "value": "ip"},
    {"format": "csv", "delimiter": "||", "seen": 2, "seen_format": "epoch", "confidence_column": 3},
    {"format": "lines", "delimiter": "::", "header": "comment", "value": "ip"},
    {"format": "lines", "seen": 2, "type": "file"},
    {"format": "json-lines", "value": "ip.a", "seen": "s", "confidence_column": "c"},
    {"pattern": r"(?P<value>\S+)\s*(?P<s>.*)", "seen": "s", "seen_format": "%Y-%m-%d"},
    {"format": "csv", "type_column": 2, "types": {"ip": "ip:port", "x": "auto"}, "keep": {"3": ("yes",)}},
]
CELLS = st.one_of(
    st.sampled_from(
        [
            "192.0.2.1",
            "192.0.2.1:80",
            "hxxp://a[.]example",
            "ip",
            "x",
            "yes",
            '"',
            '""',
            "#",
            "# ip",
            "::",
            "||",
            "nan",
            "1e400",
            "2026-01-01",
            "1760000000",
            "-1",
            "999999999999999",
            "50",
            "{",
            '{"ip":{"a":"192.0.2.1"},"s":1}',
            '{"c":1e999}',
            "\0",
            "\r",
            "0001-01-01T00:00:00+14:00",
            "٣",
            "ß.example",
            "a" * 70_000,
            "None",
        ]
    ),
    st.text(max_size=6),
)
ROWS = st.lists(
    st.tuples(st.lists(CELLS, max_size=4), st.sampled_from([",", " ", "::", "||", "\t", ""])).map(
        lambda row: row[1].join(row[0])
    ),
    max_size=6,
)


@EXAMPLES
@given(
    st.sampled_from(TERMS),
    st.one_of(ROWS.map(lambda rows: "\n".join(rows).encode(errors="surrogatepass")), st.binary(max_size=80)),
)
@example({"format": "csv", "header": "comment", "value": "ip"}, b"#" + b"x" * 200_000 + b"\n1\n")
@example({"format": "lines", "delimiter": "::", "header": "comment", "value": "ip"}, b"# ip\n192.0.2.1\n")
def test_rows(terms: dict[str, Any], text: bytes) -> None:
    """A list gives values and what was kept aside, or its header is refused."""
    reader = RowReader(settled(msgspec.convert(terms, ListSettings), "feeds/drop.toml"), "feeds/drop.toml")
    with suppress(PartnerError):
        for one in reader.read(lines_of(BytesIO(text)), NOW):
            assert isinstance(one, Listed | Reject)
