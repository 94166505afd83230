"""The gate on incident reports: the rules, the fields, and the second look, each by itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gate_builders import INTERNAL, NOW, SIEM, US, agreement, ask, facts, our_indicator, partner, rules_against
from threatshare.model import Tlp, Verdict
from threatshare.policy.agreements import Outbound
from threatshare.policy.candidates import Candidate
from threatshare.policy.gate import Audience, Cleared, clear, decide
from threatshare.policy.report_rules import as_report, edition_of, text_rule
from threatshare.stix.objects import written
from threatshare.stix.opinions import GROUNDS, OpinionFacts, opinion
from threatshare.stix.reports import ReportFacts, ReportKind, report, report_id

REFUSE, HOLD = Verdict.REFUSE, Verdict.HOLD
NAMED = str(our_indicator()["id"])
STRANGE = "indicator--00000000-0000-4000-8000-000000000001"
NORTH = partner(agreement(outbound=Outbound("amber", ("indicator", "report", "grouping", "opinion"))))
RELEASED = "Releaser One on 2026-06-15: read"


def our_report(kind: ReportKind = ReportKind.REPORT, **changed: Any) -> dict[str, Any]:
    """A report as our builder makes it."""
    about = "threat-report" if kind is ReportKind.REPORT else "unspecified"
    made = ReportFacts(
        report_id(kind, US, "token"), US, NOW, NOW, kind, about, "A title", "A text.\n\nAnother paragraph.", [NAMED],
        Tlp.GREEN, NOW, ["T1566"], ["c2"],
    )  # fmt: skip
    return report(made) | changed


def candidate(content: dict[str, Any], *held: str, approved: bool = False) -> Candidate:
    """The candidate of a report for an audience that holds some objects."""
    by = {text_rule(edition_of(content)): RELEASED} if approved else {}
    return as_report(ask(content, (), approved=by), content, held)


@pytest.mark.parametrize("kind", list(ReportKind))
def test_a_report_that_was_read_and_whose_objects_are_there_leaves(kind: ReportKind) -> None:
    """A report leaves where its audience has all that it names and a person has released this version."""
    content = our_report(kind)
    assert rules_against(candidate(content, NAMED, approved=True), NORTH) == []
    assert isinstance(clear(candidate(content, NAMED, approved=True), written(content), NORTH, facts()), Cleared)
    assert rules_against(candidate(content, NAMED), NORTH) == [(text_rule(edition_of(content)), HOLD)]
    assert rules_against(candidate(content, NAMED), INTERNAL) == []
    assert ("object-type", REFUSE) in rules_against(candidate(content, NAMED), SIEM)


def test_nobody_lifts_what_is_missing() -> None:
    """A report whose objects are not all there is held, whoever has released that rule by name."""
    content = our_report(object_refs=[NAMED, STRANGE])
    one = candidate(content, NAMED, approved=True)
    one = replace(one, approved={**one.approved, "references": RELEASED})
    assert rules_against(one, NORTH) == [("references", HOLD)]
    assert any("1 of the 2" in reason.text for reason in decide(one, NORTH, facts()).reasons)


def test_where_nobody_has_looked_nothing_leaves() -> None:
    """A report of which nobody has said what its audience holds is refused, also inside."""
    content = our_report()
    assert rules_against(ask(content, ()), INTERNAL) == [("references", REFUSE)]


def test_a_release_of_another_version_counts_for_nothing() -> None:
    """What people released of another version is as if it were not there, for every rule."""
    asked = partner(agreement(outbound=Outbound("amber", ("report",), approval="human")))
    released = {text_rule(edition_of(our_report())): RELEASED, "approval": RELEASED}
    same, other = our_report(), our_report(description="New words.")
    assert rules_against(as_report(ask(same, (), approved=released), same, [NAMED]), asked) == []
    found = rules_against(as_report(ask(other, (), approved=released), other, [NAMED]), asked)
    assert found == [(text_rule(edition_of(other)), HOLD), ("approval", HOLD)]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", "two\nlines"),
        ("name", "x" * 201),
        ("description", "x" * 10_001),
        ("description", "a\x00b"),
        ("description", "a\u202eb"),
        ("description", 7),
        ("object_refs", []),
        ("object_refs", [NAMED, NAMED]),
        ("object_refs", ["malware--00000000-0000-4000-8000-000000000001"]),
        ("report_types", ["a word of our own"]),
        ("published", "yesterday"),
        ("external_references", [{"source_name": "a site", "url": "https://intranet.example/"}]),
        ("labels", ["red-team"]),
        ("x_ours", "1"),
        ("lang", "en"),
    ],
)
@pytest.mark.parametrize("audience", [NORTH, INTERNAL])
def test_only_what_our_builder_writes(name: str, value: Any, audience: Audience) -> None:
    """A report has no properties but those of the allow-list, within their limits, for any audience."""
    content = our_report(**{name: value})
    found = rules_against(candidate(content, NAMED, approved=True), audience)
    assert ("allowed-fields", REFUSE) in found


@pytest.mark.parametrize("place", ["description", "name"])
def test_the_second_look_sees_ids_anywhere(place: str) -> None:
    """The bytes that would leave name nothing that the audience does not have, in whatever property."""
    content = our_report() | {place: f"compare {STRANGE}"}
    decided = clear(candidate(content, NAMED, approved=True), written(content), NORTH, facts())
    assert not isinstance(decided, Cleared)
    assert "served-bytes" in {one.rule for one in decided.reasons if one.verdict is REFUSE}


def our_opinion(**changed: Any) -> dict[str, Any]:
    """An opinion as our builder makes it."""
    return opinion(OpinionFacts(STRANGE, US, NOW, NOW, GROUNDS["benign"], False, Tlp.GREEN)) | changed


def test_an_opinion_goes_to_the_maker_alone() -> None:
    """An opinion goes to whom it concerns and into our own organisation, to nobody else, and not on unknown things."""
    assert rules_against(ask(our_opinion(), (), about="north"), NORTH) == []
    assert rules_against(ask(our_opinion(), (), about="south"), INTERNAL) == []
    for about in ("south", "own", None):
        assert rules_against(ask(our_opinion(), (), about=about), NORTH) == [("onward", REFUSE)]


@pytest.mark.parametrize(
    ("name", "value"),
    [("explanation", "my own words"), ("opinion", "agree"), ("object_refs", [STRANGE, NAMED]), ("authors", ["A"])],
)
def test_an_opinion_says_nothing_of_its_own(name: str, value: Any) -> None:
    """An opinion has an explanation from the list, on one indicator, and names no author."""
    found = rules_against(ask(our_opinion(**{name: value}), (), about="north"), NORTH)
    assert ("allowed-fields", REFUSE) in found
