from __future__ import annotations

from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threatshare.share.mediatypes import accepts_taxii, is_postable

ACCEPTED = [
    None,
    "",
    "application/taxii+json;version=2.1",
    "application/taxii+json; version=2.1",
    "application/taxii+json ; version = 2.1",
    'application/taxii+json;version="2.1"',
    "Application/TAXII+JSON;Version=2.1",
    "application/taxii+json",
    "application/taxii+json;version=2.1;q=0.5",
    "application/taxii+json;q=0.001",
    "text/html, application/taxii+json;version=2.1",
    "application/vnd.oasis.stix+json; version=2.0, application/taxii+json; version=2.1",
    "application/taxii+json;version=2.0, application/taxii+json;version=2.1",
    "*/*",
    "*/*;q=0.1",
    "application/*",
    "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "application/json",
    "application/stix+json;version=2.1",
    'text/html;note="a,b;c", application/taxii+json',
    ", ,application/taxii+json,",
    "application/taxii+json;version=2.1, */*;q=0",
]
REFUSED = [
    "application/taxii+json;version=2.0",
    "application/taxii+json;version=9",
    "application/vnd.oasis.taxii+json; version=2.0",
    "text/html",
    "application/taxii+json;version=2.1;q=0",
    "*/*, application/taxii+json;version=2.1;q=0",
    "application/taxii+json;q=two",
    "nonsense",
    "application/taxii+json" + " " * 5_000,
]


@pytest.mark.parametrize("header", ACCEPTED)
def test_every_spelling_of_our_type_is_accepted(header: str | None) -> None:
    """An Accept header that our type satisfies is met, however it is written (RFC 9110 §12.5.1, S9)."""
    assert accepts_taxii(header)


@pytest.mark.parametrize("header", REFUSED)
def test_what_we_cannot_send_is_refused(header: str) -> None:
    """Another version, another type or a quality of zero is not met."""
    assert not accepts_taxii(header)


@pytest.mark.parametrize(
    ("header", "taken"),
    [
        ("application/taxii+json;version=2.1", True),
        ("application/taxii+json; version=2.1; charset=utf-8", True),
        ("application/taxii+json", True),
        ("application/stix+json; version=2.1", True),
        ('APPLICATION/STIX+JSON;VERSION="2.1"', True),
        ("application/taxii+json;version=2.0", False),
        ("application/stix+json;version=2.0", False),
        ("application/json", False),
        ("text/plain", False),
        ("", False),
        (None, False),
        ("application/taxii+json, application/stix+json", False),
        ("application/taxii+json" + " " * 5_000, False),
    ],
)
def test_objects_come_as_taxii_or_stix(header: str | None, taken: bool) -> None:
    """Objects may be posted as TAXII or STIX 2.1, with or without the version, and as nothing else (S18)."""
    assert is_postable(header) == taken


@given(st.text(max_size=200))
def test_no_header_breaks_the_reader(header: str) -> None:
    """Any text at all is either accepted or refused."""
    assert accepts_taxii(header) in (True, False)
    assert is_postable(header) in (True, False)


@pytest.mark.parametrize(
    "text", ['"' + '\\"' * 2_000, '"' + '\\"' * 2_000 + "\\", '"' * 4_001, "," * 4_000, ";" * 4_000]
)
def test_no_header_keeps_the_reader_busy(text: str) -> None:
    """Quotes that do not end cost no more than any other text: nobody without an account stops a worker by a header."""
    began = process_time()
    for number in range(10):
        assert not accepts_taxii(f"{text}{number}")
        assert not is_postable(f"{text}{number}")
    assert process_time() - began < 0.5
