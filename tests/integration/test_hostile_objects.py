"""Hostile objects through the whole path: one is kept aside with its reason, and the other 999 are taken."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from clocks import FixedClock
from hostile_node import MEGABYTE, TYPES, Puller
from hostile_server import HostileServer, indicators
from nodes import make_node
from threatshare.errors import BadValue
from threatshare.model import Tlp
from threatshare.node import opened
from threatshare.stix.claims import claim_of
from threatshare.stix.received import read_object

OTHERS = 999
US = "the node's own identity"
_NUMBERS = count()


@pytest.fixture(scope="module")
def puller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Puller]:
    """A node at work, with feeds of many tests in it."""
    folder = tmp_path_factory.mktemp("hostile") / "node"
    make_node(folder)
    with opened(folder, FixedClock()) as node:
        yield Puller(node)


def told(**changed: Any) -> bytes:
    """Builds an indicator like the others, but for some properties."""
    (one,) = indicators(OTHERS, 1)
    return json.dumps({name: value for name, value in {**one, **changed}.items() if value is not None}).encode()


def patterned(pattern: str) -> bytes:
    """Builds an indicator of a pattern."""
    return told(pattern=pattern)


def _nested(levels: int) -> bytes:
    return told(x_deep=0)[:-2] + b'{"a":' * levels + b"0" + b"}" * levels + b"}"


UUID = "00000000-0000-4000-8000-000000000999"
MARKING = f"marking-definition--{UUID}"

REFUSED: dict[str, tuple[bytes, str]] = {
    "a megabyte": (told(description="x" * MEGABYTE), "at most 1048576 are taken"),
    "depth": (_nested(100), "nested deeper than 64"),
    "depth beyond every parser": (_nested(100_000), "nested deeper than 64"),
    "number of 5000 digits": (told(x_n="#").replace(b'"#"', b"9" * 5000), "unreadable object"),
    "exponent": (told(confidence="#").replace(b'"#"', b"1e999999"), "unreadable object"),
    "NaN": (told(x_n="#").replace(b'"#"', b"NaN"), "unreadable object"),
    "NUL": (told(name="a\0b"), "NUL"),
    "lone surrogate": (told(name="#").replace(b"#", b"\\ud800"), "surrogate"),
    "half a pair in a key": (told(x_n=1).replace(b"x_n", b"\\udc00"), "unreadable object"),
    "no UTF-8": (told(name="#").replace(b"#", b"\xff\xfe"), "not valid UTF-8"),
    "overlong UTF-8": (told(name="#").replace(b"#", b"\xc0\xaf"), "not valid UTF-8"),
    "id of 10 kB": (told(id="indicator--" + "0" * 10_000), "not of the form"),
    "type of 10 kB": (told(type="x" * 10_000, id="x" * 10_000 + f"--{UUID}"), "not of the form"),
    "id of another type": (told(type="malware"), "does not belong to type"),
    "id in upper case": (told(id=f"indicator--{UUID[:-12]}00000000099A"), "in lower case"),
    "id with a path": (told(id=f"../../etc--{UUID}", type="../../etc"), "not of the form"),
    "id with a line end": (told(id=f"indicator--{UUID}\n"), "not of the form"),
    "id of a number": (told(id=5), "unreadable object"),
    "no id": (told(id=None), "unreadable object"),
    "month 15": (told(modified="2026-15-01T00:00:00.000Z"), "2026-15-01"),
    "February 30": (told(created="2026-02-30T00:00:00.000Z"), "2026-02-30"),
    "year 0": (told(created="0000-01-01T00:00:00.000Z"), "0000-01-01"),
    "year 10000": (told(modified="10000-01-01T00:00:00.000Z"), "not of the form"),
    "modified before created": (told(modified="2025-01-01T00:00:00.000Z"), "before created"),
    "modified in six minutes": (told(modified="2026-03-01T12:06:00.000Z"), "in the future"),
    "modified in the year 9999": (told(modified="9999-12-31T23:59:59.999Z"), "in the future"),
    "valid until before it began": (told(valid_until="2025-01-01T00:00:00.000Z"), "after valid_from"),
    "spec_version of a number": (told(spec_version=2.1), "unreadable object"),
    "confidence 101": (told(confidence=101), "0-100"),
    "confidence of text": (told(confidence="50"), "unreadable object"),
    "confidence true": (told(confidence=True), "unreadable object"),
    "revoked of text": (told(revoked="false"), "unreadable object"),
    "10,000 labels": (told(labels=["x"] * 10_000), "more than 100"),
    "10,000 markings": (told(object_marking_refs=[MARKING] * 10_000), "more than 100"),
    "100,000 granular markings": (told(granular_markings=[{"selectors": ["name"]}] * 100_000), "at most|more than"),
    "10,000 granular markings": (told(granular_markings=[{"selectors": ["name"]}] * 10_000), "more than 100"),
    "markings of a number": (told(object_marking_refs=[5]), "unreadable object"),
    "pattern of 70 kB": (patterned(f"[file:name = '{'x' * 70_000}']"), "at most 65536"),
    "pattern of 1000 ORs": (patterned("[" + " OR ".join(["a:b = 1"] * 1000) + "]"), "more than"),
    "pattern of 1000 ANDs": (patterned("[" + " AND ".join(["a:b = 1"] * 1000) + "]"), "more than"),
    "pattern of 1000 observations": (patterned(" FOLLOWEDBY ".join(["[a:b = 1]"] * 1000)), "more than"),
    "pattern of 300 parentheses": (patterned("[" + "(" * 300 + "a:b = 1" + ")" * 300 + "]"), "deeper"),
    "pattern of 1000 open ones": (patterned("[" + "(" * 1000), "deeper|grammar"),
    "pattern of 1000 qualifiers": (patterned("[a:b = 1]" + " REPEATS 2 TIMES" * 1000), "more than"),
    "pattern of 1000 steps": (patterned("[a:b" + ".c" * 3000 + " = 1]"), "more than"),
    "pattern of 10,000 values": (patterned(f"[ipv4-addr:value IN ({', '.join(['1'] * 10_000)})]"), "more than"),
    "pattern of quotes": (patterned("'" * 60_000), "more than|grammar"),
    "pattern of backslashes": (patterned("[a:b = '" + "\\" * 60_000), "grammar"),
    "pattern that is none": (patterned("drop table observable"), "grammar"),
    "no pattern": (told(pattern=None), "without a pattern"),
    "ours": (told(created_by_ref=US), "says that we made it"),
    "not even an object of STIX": (b"{}", "unreadable object"),
}
"""One object each, and what the reason must say."""

TAKEN: dict[str, bytes] = {
    "regular expression that never ends": patterned("[file:name MATCHES '^(a+)+$']"),
    "text of control and direction": told(name="\x1b[31m\u202egnp.exe\u2066", description="\r\n" * 100),
    "key twice": told().replace(b'"type": "indicator"', b'"type": "malware", "type": "indicator"'),
    "no spec_version": told(spec_version=None),
    "unknown spec_version": told(spec_version="7.5"),
    "the first moment": told(created="0001-01-01T00:00:00.000Z", modified="0001-01-01T00:00:00.000Z"),
    "modified in four minutes": told(modified="2026-03-01T12:04:00.000Z"),
    "a name of 500 kB": told(description="x" * 500_000),
    "many properties": told(**{f"x_{n}": n for n in range(20_000)}),
    "exactly 64 levels": _nested(63),
    "100 labels": told(labels=[f"l{n}" for n in range(100)]),
    "a pattern at every limit": patterned("[" + " OR ".join(f"a:b{n} = {n}" for n in range(250)) + "]"),
    "a pattern of brackets at their limit": patterned(
        "(" * 10 + " AND ".join(f"([a:b{n} = 1 OR (c:d = 2 AND e:f = 3)])" for n in range(80)) + ")" * 10
    ),
}
"""Odd, and still what the standard allows."""


def _served(kind: str, extra: bytes) -> bytes:
    others = b",".join(json.dumps(one).encode() for one in indicators(0, OTHERS))
    start = b'{"objects":[' if kind == "taxii" else b'{"type":"bundle","objects":['
    return start + extra + b"," + others + b"]}"


@pytest.mark.parametrize("kind", ["taxii", "stix"])
@pytest.mark.parametrize("name", [*REFUSED, *TAKEN])
def test_one_object_among_a_thousand(puller: Puller, kind: str, name: str) -> None:
    """A bad object is kept aside with its reason, an odd one is taken; in either case the other 999 are."""
    raw, reason = REFUSED[name] if name in REFUSED else (TAKEN[name], None)
    raw = raw.replace(US.encode(), puller.node.settings.node.identity.encode())
    feed = f"{kind}-{next(_NUMBERS)}"
    with HostileServer(lambda talk: talk.answer(_served(kind, raw), content_type=TYPES[kind])) as server:
        puller.add(feed, kind, server, max_page_bytes=16 * MEGABYTE)
        report = puller.pull(feed)
    assert (report.status, report.new) == ("ok", OTHERS + (reason is None)), report
    assert report.rejected == (reason is not None)
    if reason is not None:
        (said,) = puller.reasons(feed)
        assert any(one in said for one in reason.split("|")), said
        assert len(said) < 1000
    assert puller.costs[feed].megabytes < 100


@pytest.mark.parametrize("name", [*REFUSED, *TAKEN])
def test_no_object_takes_long(name: str) -> None:
    """To judge one object takes a twentieth of a second at most, however it is made."""
    raw = REFUSED[name][0] if name in REFUSED else TAKEN[name]
    # The first pattern that takes the grammar loads its parser.
    _judge(patterned("[a:b = 1 AND c:d = 2 OR (e:f = 3)]"))
    took = []
    for _ in range(3):
        began = time.process_time()
        _judge(raw)
        took.append(time.process_time() - began)
    assert min(took) < 0.05


def _judge(raw: bytes) -> None:
    try:
        read = read_object(raw)
        claim_of(read, read.version, Tlp.GREEN, FixedClock().micros)
    except BadValue:
        pass
