"""Files are read in every form in which objects come, and what is broken is told instead of raised."""

from __future__ import annotations

import json

import pytest

from gate_builders import our_indicator
from profile_builders import BUNDLE, bundled, read_as, submission
from threatshare.policy import profile_bundles
from threatshare.policy.profile_bundles import read_bundle


@pytest.mark.parametrize("form", ["bundle", "envelope", "array", "lines"])
def test_every_form(form: str) -> None:
    """A bundle, an envelope, an array and lines hold the same objects."""
    found = read_as(submission(), form)
    assert [one.content for one in found.members] == submission()
    assert (found.broken, found.foreign) == ((), 0)
    assert found.members[1].place == ("line 2" if form == "lines" else "/1" if form == "array" else "/objects/1")
    assert found.id == (BUNDLE if form == "bundle" else "")


def test_one_object_alone() -> None:
    """One object is a file too, on one line or on many."""
    for indent in (None, 1):
        found = read_bundle(json.dumps(our_indicator(), indent=indent).encode())
        assert [one.content for one in found.members] == [our_indicator()]


def test_a_bundle_without_objects() -> None:
    """An empty bundle is no broken object."""
    assert read_bundle(json.dumps({"type": "bundle", "id": BUNDLE}).encode()).broken == ()


SECRET = "jane@example.com"


@pytest.mark.parametrize(
    "broken",
    [
        5,
        None,
        "text",
        [],
        {},
        {"type": "indicator"},
        our_indicator() | {"id": SECRET},
        our_indicator() | {"id": f'it\'s "{SECRET}"'},
        our_indicator() | {"created_by_ref": SECRET},
        our_indicator() | {"created": SECRET},
        our_indicator() | {"labels": SECRET},
        our_indicator() | {"confidence": 101},
        our_indicator() | {"name": "\x00"},
        our_indicator() | {"name": json.loads("[" * 70 + "]" * 70)},
    ],
)
def test_a_broken_object_does_not_spoil_the_file(broken: object) -> None:
    """It is told by its place, with a reason that repeats nothing of it; the others are read."""
    found = read_bundle(bundled([our_indicator(), broken]))
    assert len(found.members) == 1
    ((place, reason),) = found.broken
    assert place == "/objects/1"
    assert reason
    assert SECRET not in reason


def test_a_property_that_stands_twice() -> None:
    """Readers differ on which of two counts, so that one could hide what the other shows."""
    text = json.dumps(our_indicator()).replace('"name":', '"name": "another", "name":', 1)
    ((_, reason),) = read_bundle(text.encode()).broken
    assert "twice" in reason
    inner = json.dumps(our_indicator()).replace('"source_name":', '"source_name": "a", "source_name":', 1)
    assert read_bundle(inner.encode()).broken


@pytest.mark.parametrize("data", [b"", b"   ", b"{", b"not json", b'"text"', b"\xff\xfe", b"[1, 2", b"[" * 10_000])
def test_what_is_no_file_of_objects(data: bytes) -> None:
    """Anything else is one broken thing, the file itself."""
    found = read_bundle(data)
    assert found.members == ()
    assert [place for place, _ in found.broken] == [""]


def test_a_broken_line_does_not_spoil_the_others() -> None:
    """Of one object a line, the lines that can be read are."""
    line = json.dumps(our_indicator()).encode()
    found = read_bundle(line + b"\n{oops\n\n" + line)
    assert [one.place for one in found.members] == ["line 1", "line 4"]
    assert [place for place, _ in found.broken] == ["line 2"]


def test_a_lone_surrogate_spoils_one_object() -> None:
    """An object that no decoder takes leaves the rest of its bundle readable."""
    text = bundled([our_indicator(), our_indicator() | {"name": "S"}]).replace(b'"name": "S"', b'"name": "\\ud800"')
    found = read_bundle(text)
    assert (len(found.members), [place for place, _ in found.broken]) == (1, ["/objects/1"])


def test_a_file_has_a_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is larger than can be held in memory is said to be."""
    monkeypatch.setattr(profile_bundles, "MAX_FILE", 10)
    ((place, reason),) = read_bundle(bundled([])).broken
    assert place == ""
    assert "10 bytes" in reason
