"""Agreements on a node: checked, told in words, compared, kept, and what a change does to what had left."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from nodes import NodeAtWork, make_node

TODAY = datetime.now(UTC).date()
NEXT_YEAR = TODAY + timedelta(365)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> NodeAtWork:
    """A node that has released two indicators to north."""
    directory = tmp_path_factory.mktemp("agreements")
    made = make_node(directory / "node")
    (directory / "list.csv").write_text("type,value\nip,203.0.113.45\nurl,http://203.0.113.46/x\n")
    made.row("ingest", str(directory / "list.csv"))
    made.row("collection", "add", "to-north", "--title", "North", "--partner", "north")
    made.row("agreement", "add", "north", "--max-tlp", "green", "--until", str(NEXT_YEAR), "--source", "north-feed")
    assert made.row("agreement", "check")["in_force"]
    assert made.row("publish")["released"]["to-north"] == 2
    return made


@pytest.fixture
def file(node: NodeAtWork) -> Iterator[Path]:
    """The agreement with north, put back as it was afterwards."""
    path = node.directory / "agreements" / "north.toml"
    before = path.read_text()
    yield path
    path.write_text(before)


def test_counsel_reads_an_agreement(node: NodeAtWork) -> None:
    """`show` says in words what may leave, until when, and what is missing; with --json also every term."""
    text = node.run("agreement", "show", "north").stdout
    assert "Our indicators and sightings marked TLP:GREEN or less restrictively." in text
    assert f"In force until {NEXT_YEAR}." in text
    assert "Nobody is named." in text
    told = node.row("agreement", "show", "north")
    assert told["in_force"] is True
    assert told["terms"]["inbound"]["sources"] == ["north-feed"]
    assert {"partner", "version", "problems", "warnings", "digest", "words", "terms"} <= set(told)
    done = node.run("agreement", "show", "nroth")
    assert (done.returncode, "known: north" in done.stderr) == (2, True)


def test_a_tightened_agreement_shows_what_it_withdraws(node: NodeAtWork, file: Path) -> None:
    """`diff` names the changed term and each object that the next publish would take back, and changes nothing."""
    proposed = node.directory / "proposed.toml"
    proposed.write_text(
        file.read_text().replace('max_tlp = "green"', 'max_tlp = "clear"').replace("version = 1", "version = 2")
    )
    told = node.row("agreement", "diff", "north", "--against", str(proposed))
    assert [(one["key"], one["effect"]) for one in told["changes"]] == [
        ("outbound.max_tlp", "narrower"),
        ("version", "other"),
    ]
    (effect,) = told["effects"]
    assert (effect["collection"], effect["withdrawn"], effect["released"]) == ("to-north", 2, 0)
    assert len(effect["objects"]) == 2
    assert {reason["rule"] for one in effect["objects"] for reason in one["reasons"]} == {"marking-ceiling"}
    same = node.row("agreement", "diff", "north", "--against", str(file))
    assert (same["changes"], same["effects"][0]["withdrawn"]) == ([], 0)
    assert (
        "outbound.max_tlp: green -> clear (narrower)"
        in node.run("agreement", "diff", "north", "--against", str(proposed)).stdout
    )


def test_versions_are_kept_and_compared(node: NodeAtWork, file: Path) -> None:
    """What was in force stays readable; a change without a new number is warned of; `diff` finds the one before."""
    first = file.read_text()
    file.write_text(first.replace("min_score = 0", "min_score = 10"))
    (warning,) = [text for text in node.row("agreement", "check")["warnings"] if "version" in text]
    assert "raise it" in warning
    kept = node.rows("agreement", "history", "north")
    assert [(one["version"], one["unnumbered"], one["until"] is None) for one in kept] == [
        (1, False, False),
        (1, True, True),
    ]
    assert kept[0]["text"] == first
    told = node.row("agreement", "diff", "north")
    assert [(one["key"], one["from"], one["to"]) for one in told["changes"]] == [("outbound.min_score", 0, 10)]
    assert node.run("agreement", "history", "north", "--text", "1").stdout == file.read_text()
    assert node.run("agreement", "history", "north", "--text", "9").returncode == 2


def test_an_agreement_for_an_event_ends_with_it(node: NodeAtWork, file: Path) -> None:
    """The day after an event nothing leaves, and what had left is withdrawn."""
    over = file.read_text().replace(f"effective_from = {TODAY}", f"effective_from = {TODAY - timedelta(9)}")
    file.write_text(f"{over}\n[event]\nname = 'the games'\nend = {TODAY - timedelta(1)}\n")
    told = node.row("agreement", "check", code=1)
    assert "is for the games only, which ended on" in told["problems"][0]
    report = node.row("publish", "--dry-run", code=1)
    assert (report["withdrawn"], report["released"]["to-north"]) == (2, 0)


def test_every_wrong_file_is_named_beside_the_right_ones(node: NodeAtWork) -> None:
    """`check` says file, key, value and what was wanted for each, shows the others, and ends with exit code 3."""
    wrong = node.directory / "agreements" / "west.toml"
    wrong.write_text(
        f"partner = 'west'\neffective_from = {TODAY}\nexpires_on = {NEXT_YEAR}\n[outbound]\nmax_tlp = 'white'\n"
    )
    done = node.run("agreement", "check")
    wrong.unlink()
    assert done.returncode == 3
    assert f"{wrong}: outbound.max_tlp: 'white' was given." in done.stderr
    assert "wanted amber, amber+strict, clear, green, red" in done.stderr
    assert done.stdout.startswith("north: in force")


def test_a_policy_goes_out_and_comes_in(node: NodeAtWork, tmp_path: Path) -> None:
    """`iep` prints FIRST's JSON, `import` makes a draft of it under which nothing leaves, and never overwrites."""
    done = node.run("agreement", "iep", "north")
    policy = json.loads(done.stdout)
    assert (policy["iep_version"], policy["tlp"]) == (2.0, "red")
    assert "amber would allow more" in done.stderr
    file = tmp_path / "policy.iepj"
    file.write_text(done.stdout)
    made = node.row("agreement", "import", str(file), "--partner", "south")
    assert made["signed"] is None
    assert any("contacts" in text for text in made["unsaid"])
    told = node.row("agreement", "show", "south")
    draft = node.directory / "agreements" / "south.toml"
    assert told["problems"] == ["agreement with south is not signed: it has no signed_on"]
    assert node.run("agreement", "import", str(file), "--partner", "south").returncode == 2
    draft.unlink()
    for arguments in (("--partner", "../up"), ("--partner", "south", "--policy", "other")):
        assert node.run("agreement", "import", str(file), *arguments).returncode == 2


def test_editors_get_the_schema(node: NodeAtWork, root: Path) -> None:
    """`schema` prints what is published, byte for byte."""
    assert node.run("agreement", "schema").stdout == (root / "docs/reference/agreement.schema.json").read_text("utf-8")
