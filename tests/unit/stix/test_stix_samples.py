"""Real indicators of four corpora: what is read, what is kept whole, and what is refused, with its reason."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from threatshare.errors import BadValue
from threatshare.feeds.content import split
from threatshare.model import Kind, Tlp
from threatshare.stix.claims import claim_of
from threatshare.stix.patterns import pattern_of, read_pattern
from threatshare.stix.received import read_object

LATER = 1_790_000_000_000_000
"""September 2026: after everything in the samples but what says it is of the year 9999."""

EXPECTED = {
    "stix-mvt": {"read": 1342, "whole": 97, "refused": 2, "other": 1452},
    "stix-unit42": {"read": 746, "whole": 9, "refused": 6, "other": 1711},
    "tweetfeed-taxii": {"read": 11027, "refused": 4, "other": 2},
    "stix21-idioms": {"read": 20, "whole": 12, "refused": 10, "other": 269},
}

REASONS = {
    "stix-mvt": {"is no domain name": 2},
    "stix-unit42": {"is no URL with scheme and host": 5, "blank, control character or backslash in the host": 1},
    "tweetfeed-taxii": {"is no domain name": 4},
    "stix21-idioms": {
        "is no URL with scheme and host": 1,
        "modified lies more than 5 minutes in the future": 8,
        "pattern breaks the STIX grammar": 1,
    },
}


def objects(folder: Path) -> Iterator[bytes]:
    for file in sorted(folder.rglob("*.json*")) + sorted(folder.rglob("*.stix2")):
        if file.parent.name not in {"manifest", "byid"} and file.name != "index.json":
            yield from split(file.read_bytes())


def outcome(raw: bytes) -> str:
    """Says what becomes of an object, or why nothing does; checks that what is read can be written and read again."""
    try:
        read = read_object(raw)
        claim = claim_of(read, read.version, Tlp.AMBER_STRICT, LATER)
    except BadValue as problem:
        return str(problem)
    if claim is None:
        return "other"
    for observable in claim.observables:
        assert read_pattern(pattern_of(observable)) == (observable,)
    return "whole" if claim.observables[0].kind is Kind.PATTERN else "read"


@pytest.mark.parametrize("corpus", EXPECTED)
def test_every_object_of_a_corpus_is_read_or_refused_for_a_reason(corpus: str, samples: Path) -> None:
    """Nothing of a real feed is lost without a reason, and what is refused is broken by anybody's measure."""
    found: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for raw in objects(samples / corpus):
        said = outcome(raw)
        if said in {"read", "whole", "other"}:
            found[said] += 1
            continue
        found["refused"] += 1
        known = [reason for reason in REASONS[corpus] if reason in said]
        assert len(known) == 1, said
        assert re.match(r"[a-z-]+--[0-9a-f-]{36}: ", said)
        reasons[known[0]] += 1
    assert dict(found) == EXPECTED[corpus]
    assert dict(reasons) == REASONS[corpus]


@pytest.mark.parametrize("corpus", ["stix-mvt", "stix-unit42", "stix21-idioms"])
def test_simple_patterns_are_taken_apart_completely(corpus: str, samples: Path) -> None:
    """Every value that a simple pattern quotes becomes an observable: none is overlooked."""
    for raw in objects(samples / corpus):
        pattern = json.loads(raw).get("pattern") if b'"pattern"' in raw else None
        if pattern is None:
            continue
        try:
            found = read_pattern(pattern)
        except BadValue:
            continue
        if found[0].kind is not Kind.PATTERN:
            quoted = re.findall(r"(?:=|\(|,)\s*'((?:[^'\\]|\\.)*)'", pattern)
            assert len(found) == len({one.lower() for one in quoted})
