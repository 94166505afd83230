"""The texts of reports in their one spelling, and the vocabularies of reports and opinions as STIX has them."""

from __future__ import annotations

import pytest
from stix2.v21 import vocab

from threatshare.errors import BadValue
from threatshare.stix.opinions import OPINIONS
from threatshare.stix.reports import VOCABULARIES, ReportKind, description_of, is_technique, report_id, title_of


def test_the_vocabularies_are_stix() -> None:
    """The words that reports, groupings and opinions can bear are those of STIX 2.1, all of them for reports."""
    assert set(VOCABULARIES[ReportKind.REPORT]) == set(vocab.REPORT_TYPE)
    assert set(VOCABULARIES[ReportKind.GROUPING]) == set(vocab.GROUPING_CONTEXT)
    assert set(vocab.OPINION) >= OPINIONS


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("  A title\t", "A title"),
        ("A\u00a0title", "A title"),
        ("Ünïcode – fine", "Ünïcode – fine"),
        ("x" * 200, "x" * 200),
    ],
)
def test_titles(typed: str, kept: str) -> None:
    """A title is one line without blanks around it; its spelling is stable."""
    assert title_of(typed) == kept
    assert title_of(kept) == kept


@pytest.mark.parametrize("typed", ["", "  ", "a\nb", "a\rb", "x" * 201, "a\x07b", "a\u200bb", "a\u2028b"])
def test_what_is_no_title(typed: str) -> None:
    """Empty, longer, several lines, or with characters that cannot be printed, it is refused."""
    with pytest.raises(BadValue):
        title_of(typed)


def test_descriptions() -> None:
    """A description keeps its paragraphs, whatever the ends of lines; its spelling is stable, an empty one is none."""
    kept = description_of("\r\nOne.  \r\n\r\n\tTwo.\n")
    assert kept == "One.\n\n Two."
    assert description_of(kept) == kept
    assert description_of(" \n ") is None
    for wrong in ("x" * 10_001, "a\x00", "a\u2066b", "a\ud800b", "bare\rreturn"):
        with pytest.raises(BadValue):
            description_of(wrong)


def test_techniques_and_ids() -> None:
    """Technique ids are ATT&CK's; a report's id follows from us and its token, and says its kind."""
    assert [one for one in ("T1566", "T1566.002", "t1566", "T15666", "T1566.02", "T1566\n") if is_technique(one)] == [
        "T1566",
        "T1566.002",
    ]
    assert report_id(ReportKind.REPORT, "us", "a") != report_id(ReportKind.REPORT, "us", "b")
    assert report_id(ReportKind.GROUPING, "us", "a").startswith("grouping--")
