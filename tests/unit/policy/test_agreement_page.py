"""The pages on agreements, gate and score say what the program does."""

from __future__ import annotations

import json
import re
import tomllib
from datetime import date
from pathlib import Path

import msgspec
import pytest
from msgspec import NODEFAULT, Struct
from msgspec.structs import fields

from gate_builders import TODAY, agreement, ask, facts, our_indicator, partner
from threatshare.config import OwnAssets
from threatshare.model import Evidence, Kind, Tlp, Verdict
from threatshare.policy import gate, rules
from threatshare.policy.agreements import (
    Agreement,
    Breach,
    Checkin,
    Contact,
    Event,
    Exit,
    Feedback,
    IepMetadata,
    Inbound,
    LegalBasis,
    Outbound,
    standing,
)
from threatshare.policy.gate import RULES, decide
from threatshare.stix.observables import recognise
from threatshare.triage.decay import CURVES, DAY, lifetime
from threatshare.triage.score import NO_EVIDENCE, ClaimRow, assess, weight

NOW = 1_790_000_000_000_000


def page(root: Path, name: str) -> str:
    return (root / "docs" / name).read_text("utf-8")


TABLES: dict[str, type[Struct]] = {
    "": Agreement,
    "outbound.": Outbound,
    "inbound.": Inbound,
    "contacts.": Contact,
    "legal_basis.": LegalBasis,
    "event.": Event,
    "breach.": Breach,
    "exit.": Exit,
    "feedback.": Feedback,
    "checkin.": Checkin,
    "iep.": IepMetadata,
}


@pytest.mark.parametrize("table", TABLES)
def test_every_key_has_its_row_with_its_default(root: Path, table: str) -> None:
    """Each key of an agreement file has one row in the reference, which tells its default rightly and what it means."""
    text = page(root, "reference/agreement-file.md")
    rows = {
        match[1]: (match[2], match[3])
        for match in re.finditer(r"^\| `([a-z0-9_.]+)` \| .* \| ([^|]*) \| ([^|]*) \|$", text, re.M)
    }
    for field in fields(TABLES[table]):
        if f"{field.encode_name}." in TABLES:
            continue
        shown, meaning = rows[table + field.encode_name]
        assert meaning.endswith(".")
        if field.required:
            assert shown == "*required*"
        elif field.default in (None, (), NODEFAULT):
            assert shown == "none"
        else:
            assert json.loads(shown.strip("`")) == json.loads(msgspec.json.encode(field.default))


def test_no_row_without_a_key(root: Path) -> None:
    """The reference describes no key that the program does not read."""
    keys = re.findall(r"^\| `([a-z0-9_.]+)` \| .* \| .* \|", page(root, "reference/agreement-file.md"), re.M)
    named = {key for key in keys if "." in key or key in {field.encode_name for field in fields(Agreement)}}
    known = {
        f"{table}{field.encode_name}"
        for table, shape in TABLES.items()
        for field in fields(shape)
        if f"{field.encode_name}." not in TABLES
    }
    assert named == known


def test_the_example_is_an_agreement_in_force(root: Path) -> None:
    """The example of the reference is read as it stands, and is in force within its dates."""
    example = re.search(r"```toml\n(.*?)```", page(root, "reference/agreement-file.md"), re.S)
    assert example
    read = msgspec.convert(tomllib.loads(example[1]), Agreement)
    assert standing(read, date(2026, 6, 1)) == []


def test_every_rule_is_explained(root: Path) -> None:
    """The page on the gate lists exactly the rules that decisions name, in their order."""
    named = re.findall(r"^\| `([a-z-]+)` \|", page(root, "explain/gate.md"), re.M)
    content = our_indicator()
    assert named == [one.rule for one in decide(ask(content), partner(), facts()).reasons]
    assert len(named) == len(RULES)
    for other in (gate.SERVED_BYTES, gate.WITHDRAWAL):
        assert f"`{other}`" in page(root, "explain/gate.md")
    assert rules.OWN_ASSET in named


def test_the_gates_worked_example(root: Path) -> None:
    """The example on the page on the gate is what the gate says."""
    value = recognise("http://login.evil-host.ru/?to=jane%40our-company.example")
    own = OwnAssets(domains=("our-company.example",))
    audience = partner(agreement(outbound=Outbound("green", min_score=60)))
    decision = decide(ask(our_indicator(value, Tlp.AMBER), [value], score=45), audience, facts(own=own, today=TODAY))
    said = [f"    {one.verdict:<8} {one.rule:<17} {one.text}" for one in decision.reasons if one.verdict != "release"]
    assert decision.verdict is Verdict.REFUSE
    assert "\n".join(said) in page(root, "explain/gate.md")


def test_the_scores_worked_example(root: Path) -> None:
    """The figures of the example on the page on the score are those of the rule."""
    rows = [ClaimRow(0, weight(85, "B"), NOW, NOW, None, 0), ClaimRow(1, weight(70, "C"), NOW, NOW, None, 1)]

    def value(evidence: Evidence = NO_EVIDENCE, days: int = 0) -> int:
        return assess(Kind.IPV4, rows, evidence, NOW + days * DAY)[0]

    text = " ".join(page(root, "explain/score.md").split())
    assert f"score {value()}, high" in text
    assert f"the score is {value(days=3)}." in text
    assert f"One false positive makes {value(Evidence(1))} of the {value()}" in text
    assert f"one confirmed sighting makes {value(Evidence(0, 1))} of it" in text


def test_the_scores_table_of_ages(root: Path) -> None:
    """The ages on the page on the score are those of the curves."""
    lines = re.findall(
        r"^\| .* \| (\d+) days \| ([\d.]+) days \| ([\d.]+) days \| ([\d.]+) days \|$",
        page(root, "explain/score.md"),
        re.M,
    )
    for line, kind in zip(lines, (Kind.URL, Kind.DOMAIN, Kind.SHA256, Kind.EMAIL), strict=True):
        ages = [CURVES[kind].tau / DAY] + [lifetime(kind, left) / DAY for left in (0.8, 0.5, 0.2)]
        assert [float(figure) for figure in line] == pytest.approx(ages, rel=0.01)
