"""Partners at the command line: the register, contacts that were tried, and check-ins."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import copytree

import pytest
from click.testing import CliRunner

from nodes import NodeAtWork, make_node
from threatshare.cli import cli
from threatshare.errors import ThreatshareError

TODAY = datetime.now(UTC).date()
NEXT_YEAR = TODAY + timedelta(365)

TERMS = """
[[contacts]]
role = "duty24x7"
name = "Watch desk <b>24x7</b>"
channel = "+1 555 0100"

[[contacts]]
role = "legal"
name = "Counsel"
channel = "counsel@north.example"

[[contacts]]
role = "legal"
name = "Deputy"
channel = "deputy@north.example"

[feedback]
sightings_back = true

[checkin]
every_days = 30
"""
BUNDLE = {
    "type": "bundle",
    "id": "bundle--00000000-0000-4000-8000-000000000001",
    "objects": [
        {
            "type": "indicator",
            "spec_version": "2.1",
            "id": f"indicator--00000000-0000-4000-8000-{number:012d}",
            "created": "2026-01-01T00:00:00Z",
            "modified": "2026-01-01T00:00:00Z",
            "pattern": f"[ipv4-addr:value = '198.51.100.{number}']",
            "pattern_type": "stix",
            "valid_from": "2026-01-01T00:00:00Z",
        }
        for number in (1, 2, 3)
    ],
}


class NodeInProcess(NodeAtWork):
    """A node whose commands run in this process: a tenth of the time."""

    def run(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Runs a command, whatever its exit code; errors are told as ``main`` tells them."""
        line = ["--node", str(self.directory), *arguments]
        done = CliRunner().invoke(cli, line, input=stdin)
        code, said = done.exit_code, done.stderr
        if isinstance(done.exception, ThreatshareError):
            code, said = done.exception.exit_code, f"{said}threatshare: {done.exception}\n"
        elif done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return subprocess.CompletedProcess(line, code, done.stdout, said)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> NodeAtWork:
    """A node that has released two indicators to north, and pulled three of its."""
    folder = tmp_path_factory.mktemp("partners")
    made = NodeInProcess(make_node(folder / "node", name="Example Energy").directory)
    (folder / "list.csv").write_text("type,value\nip,203.0.113.45\nurl,http://203.0.113.46/x\n")
    (folder / "feed.json").write_text(json.dumps(BUNDLE))
    made.row("ingest", str(folder / "list.csv"))
    made.row("agreement", "add", "north", "--max-tlp", "green", "--until", str(NEXT_YEAR), "--source", "north-feed")
    file = made.directory / "agreements" / "north.toml"
    file.write_text(file.read_text().replace('# partner_type = "peer"', 'partner_type = "isac"') + TERMS)
    made.row("collection", "add", "to-north", "--title", "North", "--partner", "north")
    made.row("publish")
    made.row("feed", "add", "north-feed", str(folder / "feed.json"), "--kind", "stix")
    made.row("pull")
    return made


@pytest.fixture
def node(template: NodeAtWork, tmp_path: Path) -> NodeAtWork:
    """A copy of it."""
    return NodeInProcess(Path(copytree(template.directory, tmp_path / "node")))


def test_the_register(node: NodeAtWork) -> None:
    """`list` has a line a partner, `show` all that is known of one, and an unknown partner is a usage error."""
    (entry,) = node.rows("partner", "list")
    assert (entry["partner"], entry["type"], entry["in_force_until"]) == ("north", "isac", str(NEXT_YEAR))
    assert (entry["claims"], entry["unique_share"], entry["released"]) == (3, 1.0, 2)
    assert (entry["overdue_contacts"], entry["next_checkin"]) == (3, str(TODAY + timedelta(30)))
    assert node.row("partner", "show", "north") == entry
    shown = node.run("partner", "show", "north").stdout
    assert "comes by: north-feed" in shown
    assert "Watch desk <b>24x7</b>" in shown
    listed = node.run("partner", "list").stdout.splitlines()
    assert listed[1].split()[:5] == ["north", "isac", "until", str(NEXT_YEAR), "3"]
    done = node.run("partner", "show", "south")
    assert (done.returncode, "known: north" in done.stderr) == (2, True)


def test_a_contact_that_was_reached_is_not_overdue(node: NodeAtWork) -> None:
    """`verify` ends the warning of one contact in `status`, `doctor`, `agreement check` and `agreement show`."""

    def warned(name: str) -> list[bool]:
        return [
            any(name in text for text in node.row("status")["warnings"]),
            any(name in one["problem"] for one in node.rows("doctor", code=1)),
            any(name in text for text in node.row("agreement", "check")["warnings"]),
            any(name in text for text in node.row("agreement", "show", "north")["warnings"]),
        ]

    assert warned("Watch desk") == [True] * 4
    digest = node.row("agreement", "check")["digest"]
    told = node.row("partner", "verify", "north", "duty24x7", "--by", "duty analyst", "--note", "answered at once")
    assert (told["name"], told["on"], told["by"]) == ("Watch desk <b>24x7</b>", str(TODAY), "duty analyst")
    assert warned("Watch desk") == [False] * 4
    assert warned("Counsel") == [True] * 4
    assert node.row("agreement", "check")["digest"] == digest
    assert f"verified on {TODAY}" in node.run("agreement", "show", "north").stdout


def test_which_contact_is_meant(node: NodeAtWork) -> None:
    """A role that several have, nobody at all, and a day to come are usage errors that say what there is."""
    for arguments, said in (
        (("legal",), "Counsel"),
        ((), "a ROLE, or --name"),
        (("privacy",), "there is no such contact"),
        (("legal", "--name", "Counsel", "--on", str(TODAY + timedelta(1))), "lies ahead"),
        (("duty24x7", "--note", "two\nlines"), "one line"),
    ):
        done = node.run("partner", "verify", "north", *arguments)
        assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    assert node.row("partner", "verify", "north", "--name", "Counsel")["role"] == "legal"


def test_a_check_in(node: NodeAtWork, tmp_path: Path) -> None:
    """The page goes to stdout or a file, in Markdown or HTML; recording it begins the next period."""
    page = node.run("partner", "checkin", "north").stdout
    assert "# Check-in: Example Energy and north" in page
    assert "- new: 2 (1 ipv4-addr, 1 url)" in page
    assert "- new: 3 (3 ipv4-addr)" in page
    assert "Watch desk \\<b\\>24x7\\</b\\>" in page
    assert page.count("**TLP:GREEN**") == 2
    out = tmp_path / "page.html"
    done = node.run("partner", "checkin", "north", "--format", "html", "--out", str(out), "--tlp", "clear")
    assert (done.returncode, done.stdout) == (0, "")
    assert "TLP:CLEAR" in out.read_text()
    assert "Watch desk &lt;b&gt;24x7&lt;/b&gt;" in out.read_text()
    assert node.run("partner", "checkin", "north", "--tlp", "amber").returncode == 2
    told = node.row("partner", "checkin", "north", "--record", "--by", "duty analyst", "--note", "all is well")
    assert told["blocks"][0]["facts"]["new"].startswith("2 ")
    again = node.row("partner", "checkin", "north")
    assert again["blocks"][0]["facts"]["new"] == "0"
    ours = node.run("partner", "checkin", "north", "--internal").stdout
    assert "all is well" in ours
    assert "not to be handed over" in ours
    assert node.row("partner", "show", "north")["last_checkin"] == str(TODAY)
    assert "all is well" not in node.run("partner", "checkin", "north").stdout


def test_no_page_without_an_agreement_in_force(node: NodeAtWork) -> None:
    """Under a draft nothing is handed over (exit code 1), and the internal page says why."""
    file = node.directory / "agreements" / "north.toml"
    file.write_text("\n".join(line for line in file.read_text().splitlines() if not line.startswith("signed_on")))
    done = node.run("partner", "checkin", "north")
    assert (done.returncode, done.stdout) == (1, "")
    assert "is not signed" in done.stderr
    assert "is not signed" in node.run("partner", "checkin", "north", "--internal").stdout


def test_a_check_in_that_is_overdue(node: NodeAtWork) -> None:
    """`status` says since when a check-in is due, until one is recorded."""
    begin = str(TODAY - timedelta(60))
    node.row("agreement", "add", "south", "--max-tlp", "green", "--from", begin, "--until", str(NEXT_YEAR))
    file = node.directory / "agreements" / "south.toml"
    file.write_text(file.read_text() + "[checkin]\nevery_days = 30\n")
    due = f"check-in with south was due on {TODAY - timedelta(30)}"
    assert any(due in text for text in node.row("status")["warnings"])
    node.row("partner", "checkin", "south", "--record")
    assert not any("check-in" in text for text in node.row("status")["warnings"])
