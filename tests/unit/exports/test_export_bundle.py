"""A bundle holds the objects byte for byte, and STIX parsers take it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import stix2
from hypothesis import given
from hypothesis import strategies as st

from threatshare.exports.bundle import write_bundle
from threatshare.exports.formats import FORMATS, ObjectFormat, RowFormat

BUNDLE = "bundle--6f1b7f4e-6a8e-4f0b-9c59-1c9f8d1a2b3c"
INDICATOR = json.dumps(
    {
        "type": "indicator",
        "spec_version": "2.1",
        "id": "indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f",
        "created": "2026-02-01T08:30:00.000Z",
        "modified": "2026-02-01T08:30:00.000Z",
        "pattern": "[ipv4-addr:value = '198.51.100.7']",
        "pattern_type": "stix",
        "valid_from": "2026-02-01T08:30:00.000Z",
    }
).encode()
IDENTITY = json.dumps(
    {
        "type": "identity",
        "spec_version": "2.1",
        "id": "identity--f431f809-377b-45e0-aa1c-6a4751cae5ff",
        "created": "2026-02-01T08:30:00.000Z",
        "modified": "2026-02-01T08:30:00.000Z",
        "name": "Müller Example AG",
    },
    ensure_ascii=False,
).encode()


def test_golden_bundle(root: Path) -> None:
    """The file that importers read stays as it is, byte for byte."""
    golden = (root / "tests/golden/exports/bundle.json").read_bytes()
    assert b"".join(write_bundle([IDENTITY, INDICATOR], BUNDLE)) == golden


def test_stix2_takes_the_bundle() -> None:
    """The reference library parses a bundle of ours and finds every object in it."""
    bundle = stix2.parse(b"".join(write_bundle([IDENTITY, INDICATOR], BUNDLE)).decode())
    assert [found.type for found in bundle.objects] == ["identity", "indicator"]


def test_an_empty_bundle_has_no_objects() -> None:
    """A bundle of nothing leaves the list out, as the standard has it, and still parses."""
    text = b"".join(write_bundle([], BUNDLE))
    assert json.loads(text) == {"type": "bundle", "id": BUNDLE}
    # Left to guess the version, stix2 3.0.2 fails on any empty bundle, with a list or without.
    assert stix2.parse(text.decode(), version="2.1").type == "bundle"


@given(st.lists(st.dictionaries(st.text(), st.text(), min_size=1), max_size=4))
def test_objects_pass_untouched(objects: list[dict[str, str]]) -> None:
    """Every object's bytes stand in the bundle as they were given, each on its own line, in order."""
    raw = [json.dumps(one).encode() for one in objects]
    text = b"".join(write_bundle(raw, BUNDLE))
    assert json.loads(text).get("objects", []) == objects
    assert [line.removesuffix(b",") for line in text.splitlines()[1:-1]] == raw


@pytest.mark.parametrize("bad", ["", "bundle--", BUNDLE.upper(), BUNDLE + '","x":"y', "indicator" + BUNDLE[6:]])
def test_a_bad_id_is_refused_at_once(bad: str) -> None:
    """No id can break out of the bundle's head; the mistake shows before a byte is written."""
    with pytest.raises(ValueError, match="no bundle id"):
        write_bundle([], bad)


def test_every_format_is_one_of_two_shapes() -> None:
    """Formats are written from rows or from objects; each says of itself what it is for."""
    assert {name: type(form) for name, form in FORMATS.items()} == {
        "csv": RowFormat,
        "blocklist": RowFormat,
        "stix": ObjectFormat,
    }
    assert all(form.summary for form in FORMATS.values())
