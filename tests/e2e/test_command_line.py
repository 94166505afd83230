"""What scripts may rely on: fields, exit codes, and messages that say what to do next."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from nodes import NodeAtWork, make_node
from threatshare.cli import VERBS


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> NodeAtWork:
    """A node that knows four values, of which the SIEM collection holds three."""
    directory = tmp_path_factory.mktemp("command-line")
    made = make_node(directory / "node")
    (directory / "list.csv").write_text(
        "type,value\nip,203.0.113.45\nurl,http://203.0.113.46/x\nemail,a@phish.example\nmd5," + "cd" * 16 + "\n"
    )
    made.row("ingest", str(directory / "list.csv"))
    made.row("publish")
    return made


def test_lookup_tells_known_from_unknown_by_its_exit_code(node: NodeAtWork) -> None:
    """Exit code 0 where a value is known, 1 where none is, and a line of JSON a value either way."""
    known, unknown = node.rows("lookup", "203.0.113[.]45", "198.51.100.1")
    assert (known["known"], known["type"], known["sources"]) == (True, "ipv4-addr", ["own"])
    assert {"value", "type", "known", "score", "sources", "explanation", "related"} <= set(known)
    assert (unknown["known"], unknown["score"]) == (False, None)
    assert node.rows("lookup", "198.51.100.1", code=1)[0]["known"] is False


def test_lookup_reads_a_list_from_stdin_and_goes_on_behind_garbage(node: NodeAtWork) -> None:
    """``-`` reads a value a line; what is no value is answered with the reason."""
    answers = node.rows("lookup", "-", stdin="203.0.113.45\n\nnot a value\n" + "CD" * 16 + "\n")
    assert [one["known"] for one in answers] == [True, False, True]
    assert "problem" in answers[1]
    assert (answers[2]["type"], answers[2]["hash"]) == ("file", "MD5")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("lokup", "x"), 2, "did you mean lookup"),
        (("ingest", "/nowhere/at-all.json"), 2, "does not exist"),
        (("pull",), 2, "there is no feed yet"),
        (("pull", "isac"), 2, "there is no feed 'isac'"),
        (("collection", "add", "siem", "--title", "Another"), 2, "siem"),
        (("account", "add", "new", "--read", "nowhere"), 2, "nowhere"),
        (("agreement", "add", "p", "--max-tlp", "pink", "--until", "2030-01-01"), 2, "pink"),
        (("why", "203.0.113.99"), 1, "threatshare publish"),
    ],
)
def test_a_mistake_is_answered_with_what_is_wrong(
    node: NodeAtWork, arguments: tuple[str, ...], code: int, said: str
) -> None:
    """Every refusal has its exit code and names what was wrong; none is a traceback."""
    done = node.run(*arguments)
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_directory_that_is_no_node_is_a_configuration_error(tmp_path: Path) -> None:
    """Exit code 3, and the way out."""
    done = NodeAtWork(tmp_path).run("publish")
    assert done.returncode == 3
    assert "threatshare init" in done.stderr


def test_a_misspelt_setting_names_the_nearest_known_one(tmp_path: Path) -> None:
    """The configuration is closed: the message names file, key and the nearest known key."""
    made = make_node(tmp_path / "node")
    file = made.directory / "node.toml"
    file.write_text(file.read_text().replace("default_tlp", "defualt_tlp"))
    done = made.run("status")
    assert done.returncode == 3
    assert "sharing.defualt_tlp" in done.stderr
    assert "did you mean default_tlp" in done.stderr


def test_nothing_is_published_before_own_assets_are_said(tmp_path: Path) -> None:
    """A node without own assets that are filled in, or declared empty, publishes nothing at all."""
    made = NodeAtWork(tmp_path / "node")
    who = ("--name", "N", "--sector", "energy", "--country", "US", "--area", "US-DC", "--purpose", "demo")
    made.row("init", str(made.directory), *who)
    (tmp_path / "one.csv").write_text("type,value\nip,203.0.113.45\n")
    made.row("ingest", str(tmp_path / "one.csv"))
    report = made.row("publish", code=1)
    assert not any(report["released"].values())
    rules = {one["rule"] for row in report["reasons"] for one in row["reasons"] if one["verdict"] != "release"}
    assert "own-assets-not-declared" in rules


def test_documentation_values_leave_no_live_node(tmp_path: Path) -> None:
    """Only demo and exercise nodes let documentation ranges through."""
    made = make_node(tmp_path / "node", purpose="live")
    (tmp_path / "one.csv").write_text("type,value\nip,203.0.113.45\n")
    made.row("ingest", str(tmp_path / "one.csv"))
    report = made.row("publish", code=1)
    assert not any(report["released"].values())
    rules = {one["rule"] for row in report["reasons"] for one in row["reasons"] if one["verdict"] != "release"}
    assert rules == {"reserved"}


def test_export_writes_what_stands_for_each_format(node: NodeAtWork, tmp_path: Path) -> None:
    """A blocklist has values alone, the CSV parses, the bundle is STIX; all hold the same observables."""
    blocklist = node.run("export", "blocklist", "--type", "ipv4-addr").stdout.splitlines()
    assert [line for line in blocklist if not line.startswith("#")] == ["203.0.113.45"]
    rows = list(csv.DictReader(io.StringIO(node.run("export", "csv").stdout)))
    assert {row["value"] for row in rows} == {
        "203.0.113.45",
        "http://203.0.113.46/x",
        "a@phish.example",
        "cd" * 16,
    }
    node.run("export", "stix", "--output", str(tmp_path / "bundle.json"))
    bundle = json.loads((tmp_path / "bundle.json").read_text())
    assert bundle["type"] == "bundle"
    assert len(bundle["objects"]) == len(rows)
    assert node.run("export", "csv", "--min-score", "99").returncode == 1


def test_every_verb_explains_itself(node: NodeAtWork) -> None:
    """``--help`` works for every verb that the command line lists."""
    listed = node.run("--help").stdout
    for verb in VERBS:
        assert verb in listed
    assert "VALUE" in node.run("lookup", "--help").stdout


def test_what_a_partner_wrote_cannot_act_on_the_terminal(node: NodeAtWork) -> None:
    """Escape sequences in what is asked, or was stored, never reach the terminal."""
    done = node.run("lookup", "\x1b[31mevil\x1b]0;title\x07.example")
    assert "\x1b" not in done.stdout + done.stderr


@pytest.mark.parametrize("arguments", [("lookup", "203.0.113.45"), ("status",), ("publish",)])
def test_a_store_that_cannot_be_read_is_exit_code_5(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """A store that is no database is named, whatever the verb; none ends in a traceback."""
    made = make_node(tmp_path / "node")
    for leftover in made.directory.glob("store.db*"):
        leftover.unlink()
    (made.directory / "store.db").write_bytes(b"this is no database, " * 1000)
    done = made.run(*arguments)
    assert done.returncode == 5, done.stderr
    assert "store.db" in done.stderr
    assert "Traceback" not in done.stderr
