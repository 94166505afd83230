"""``threatshare profile``: works with and without a node, and its exit code says whether anything blocks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gate_builders import CREATED, US
from profile_builders import PROFILES, bundled, exported, submission
from threatshare.cli import cli
from threatshare.errors import ConfigurationError, UsageError

NODE = f"""
[node]
name = "Our Company"
sector = "technology"
country = "US"
administrative_area = "US-DC"
identity = "{US}"
created = "{CREATED}"
"""


def run(*arguments: str, stdin: bytes | None = None) -> Result:
    """Calls the command line."""
    return CliRunner().invoke(cli, arguments, input=stdin)


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is no node."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("THREATSHARE_NODE", raising=False)
    return tmp_path


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """A node's own files, without a store."""
    folder = tmp_path / "node"
    folder.mkdir()
    (folder / "node.toml").write_text(NODE)
    (folder / "own-assets.toml").write_text('networks = ["45.66.0.0/16"]')
    return folder


def put(folder: Path, data: bytes) -> str:
    """Writes a file and gives its path."""
    file = folder / "bundle.json"
    file.write_bytes(data)
    return str(file)


def test_a_good_file_passes_without_a_node(outside: Path) -> None:
    """Exit code 0; what could not be checked is said, and that nobody's acceptance follows."""
    result = run("profile", "check", put(outside, bundled(submission())), "--profile", "ais")
    assert result.exit_code == 0, result.output
    assert "nothing blocks or queues" in result.stdout
    assert "not checked  AIS-07" in result.stdout
    assert "does not mean that anybody accepts" in result.stderr


def test_what_blocks_and_what_queues_is_exit_code_1(outside: Path) -> None:
    """Both keep the file from going; each fault says rule, object, place and what would mend it."""
    blocked = run("profile", "check", put(outside, bundled(exported())), "--profile", "ais")
    assert blocked.exit_code == 1
    assert f"block  AIS-02  {US} (/objects/0) /labels: has no consent label; to mend it: keep" in blocked.stdout
    objects = exported()
    objects[3]["description"] = "to jane@example.com"
    queued = run("profile", "check", put(outside, bundled(objects)), "--profile", "isac")
    assert queued.exit_code == 1
    assert "queue  ISAC-08" in queued.stdout
    assert "jane" not in queued.output


def test_json_is_an_object_a_file(outside: Path) -> None:
    """Each file gives one line with its counts and all faults; stdin is a file too."""
    path = put(outside, bundled(submission()))
    result = run("profile", "check", path, "-", "--profile", "ais", "--json", stdin=b"{oops")
    good, bad = map(json.loads, result.stdout.splitlines())
    assert (good["file"], good["passes"], good["faults"], good["objects"]) == (path, True, [], 6)
    assert (bad["file"], bad["passes"], bad["faults"][0]["rule"]) == ("-", False, "readable")
    assert result.exit_code == 1


def test_a_node_says_what_is_ours(node: Path) -> None:
    """With a node, its own assets are looked for; the shipped profile comes from the program all the same."""
    path = put(node, bundled(submission()))
    result = run("--node", str(node), "profile", "check", path, "--profile", "ais", "--json")
    told = json.loads(result.stdout)
    assert [one["rule"] for one in told["faults"]] == ["AIS-07"]
    assert "AIS-07" not in {one["rule"] for one in told["not_checked"]}


def test_an_agreement_gives_the_records(node: Path) -> None:
    """With a partner's agreement its dates are checked; a partner without one is an error."""
    (node / "agreements").mkdir()
    (node / "agreements" / "cisa.toml").write_text(
        'partner = "cisa"\neffective_from = 2020-01-01\nexpires_on = 2020-12-31\nsigned_on = 2020-01-01\n'
        '[outbound]\nmax_tlp = "amber"\n'
    )
    asked = ("--node", str(node), "profile", "check", put(node, bundled(submission())), "--profile", "ais", "--json")
    told = json.loads(run(*asked, "--partner", "cisa").stdout)
    assert [one["found"] for one in told["faults"] if one["rule"] == "AIS-09"] == [
        "no legal-basis on record is in force today",
        "no agreement on record is in force today",
    ]
    assert isinstance(run(*asked, "--partner", "north").exception, UsageError)


def test_a_partner_needs_a_node(outside: Path) -> None:
    """Without a node there is no agreement to look into."""
    path = put(outside, bundled(submission()))
    assert isinstance(run("profile", "check", path, "--profile", "ais", "--partner", "x").exception, UsageError)


def test_a_node_that_is_none_is_said(outside: Path) -> None:
    """Whoever names a node that does not exist is not answered as if none were named."""
    result = run("--node", str(outside / "nowhere"), "profile", "list")
    assert isinstance(result.exception, ConfigurationError)


def test_list(outside: Path) -> None:
    """Both shipped profiles are listed with how much of them is verified."""
    told = [json.loads(line) for line in run("profile", "list", "--json").stdout.splitlines()]
    assert [(one["name"], one["rules"], one["verified"], one["from"]) for one in told] == [
        ("ais", 11, 0, "program"),
        ("isac", 8, 0, "program"),
    ]
    assert "A submission to CISA" in run("profile", "list").stdout


@pytest.mark.parametrize("name", PROFILES)
def test_show(outside: Path, name: str) -> None:
    """Every rule is shown with what it wants, whether it is verified, and where it comes from."""
    shown = run("profile", "show", name).stdout
    for rule in PROFILES[name].rules:
        assert f"\n{rule.id}  {rule.title}\n" in shown
        assert f"not verified: {rule.source}" in shown
    told = json.loads(run("profile", "show", name, "--json").stdout)
    assert [one["id"] for one in told["rules"]] == [one.id for one in PROFILES[name].rules]
