"""A feed's file that is wrong, as whoever works with the node meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from builders import make_indicator_json
from nodes import NodeAtWork, make_node
from threatshare.feed_settings import load_feed


@pytest.fixture
def node(tmp_path: Path) -> NodeAtWork:
    """A node with a good feed, and one whose reliability is misspelt."""
    made = make_node(tmp_path / "node")
    bundle = tmp_path / "bundle.json"
    raw = make_indicator_json(1, "[ipv4-addr:value = '192.0.2.1']")
    bundle.write_bytes(b'{"type":"bundle","id":"bundle--1","objects":[' + raw + b"]}")
    for name in ("good", "isac"):
        (made.directory / "feeds" / f"{name}.toml").write_text(f'kind = "stix"\npath = "{bundle}"\n')
    made.rows("pull")
    with (made.directory / "feeds" / "isac.toml").open("a") as file:
        file.write("relability = 'A'\n")
    return made


FAULT = "unknown key relability; did you mean reliability? (at line "


def test_pull_brings_the_others_and_says_so(node: NodeAtWork) -> None:
    """`pull` takes what can be taken and ends with 3; naming the wrong one is a wrong call, with the reason."""
    rows = {one["feed"]: one for one in node.rows("pull", code=3)}
    assert {name: one["status"] for name, one in rows.items()} == {"good": "ok", "isac": "failed"}
    assert FAULT in rows["isac"]["error"]
    done = node.run("pull", "isac")
    assert (done.returncode, done.stdout) == (2, "")
    assert FAULT in done.stderr


def test_a_missing_secret_stops_no_other_feed(node: NodeAtWork) -> None:
    """What cannot be used for another reason than its text is told in its line too, and the rest is pulled."""
    feeds = node.directory / "feeds"
    (feeds / "isac.toml").unlink()
    text = 'kind = "taxii"\nurl = "https://taxii.example/"\nuser = "us"\npassword_env = "NOT_SET_HERE"\n'
    (feeds / "a-first.toml").write_text(text)
    rows = {one["feed"]: one for one in node.rows("pull", code=3)}
    assert {name: one["status"] for name, one in rows.items()} == {"a-first": "failed", "good": "ok"}
    assert "NOT_SET_HERE is not set" in rows["a-first"]["error"]


def test_status_doctor_and_list_show_the_fault(node: NodeAtWork) -> None:
    """Wherever feeds are shown, the wrong one is shown with file and line; what it said before is still there."""
    states = {one["feed"]: one for one in node.row("status")["feeds"]}
    assert (states["good"]["state"], states["isac"]["state"]) == ("ok", "is wrong")
    assert FAULT in states["isac"]["told"]
    assert FAULT in node.run("status").stdout
    assert any(FAULT in one["problem"] for one in node.rows("doctor", code=1))
    listed = {one["feed"]: one["fault"] for one in node.rows("feed", "list")}
    assert listed["good"] is None
    assert FAULT in listed["isac"]
    assert FAULT in node.run("feed", "list").stdout
    assert node.row("lookup", "192.0.2.1")["sources"] == ["good", "isac"]
    assert len(node.row("feed", "history", "isac")["runs"]) == 1


def test_its_name_is_not_free(node: NodeAtWork, tmp_path: Path) -> None:
    """No other feed can be added under the name of a wrong one; it can be removed, and it can be mended."""
    taken = node.run("feed", "add", "isac", str(tmp_path / "bundle.json"))
    assert (taken.returncode, "exists" in taken.stderr) == (2, True)
    for change in ("pause", "reset"):
        done = node.run("feed", change, "isac")
        assert (done.returncode, FAULT in done.stderr) == (2, True), change
    file = node.directory / "feeds" / "isac.toml"
    file.write_text(file.read_text().replace("relability = 'A'\n", ""))
    assert node.row("pull", "isac")["status"] == "ok"
    file.write_text("kind")
    assert node.run("feed", "remove", "isac").returncode == 0
    assert [one["feed"] for one in node.rows("feed", "list")] == ["good"]


def test_doctor_finds_what_can_be_read_and_not_used(node: NodeAtWork) -> None:
    """A preset that nobody knows is found before a pull fails with it; a secret that is elsewhere is no fault."""
    (node.directory / "feeds" / "isac.toml").unlink()
    text = 'kind = "list"\nurl = "https://lists.example/bad.txt"\npassword_env = "NOT_SET_HERE"\nuser = "us"\n'
    (node.directory / "feeds" / "drop.toml").write_text(text)
    assert not [one for one in map(json.loads, node.run("doctor", "--json").stdout.splitlines()) if "drop" in str(one)]
    (node.directory / "feeds" / "drop.toml").write_text(text + '[list]\npreset = "no-such"\n')
    assert any("no-such" in one["problem"] for one in node.rows("doctor", code=1))


def test_hours_and_days_are_added_with_the_feed(tmp_path: Path) -> None:
    """`--window` and `--days` stand in the feed's file; what could not stand there is a wrong call."""
    node = make_node(tmp_path / "node")
    add = ("feed", "add", "isac", str(tmp_path / "bundle.json"), "--no-look", "--kind", "stix")
    for wrong, said in (("25:00-26:00", "--window ('25:00-26:00',)"), ("07:00-07:00", "begins when it ends")):
        done = node.run(*add, "--window", wrong)
        assert (done.returncode, said in done.stderr, "regex" in done.stderr) == (2, True, False), done.stderr
    assert node.run(*add, "--every", "5x").returncode == 2
    strange = node.run("feed", "add", "isac", "htp://lists.example/x.txt")
    assert (strange.returncode, "isac.toml" in strange.stderr) == (2, False), strange.stderr
    refused = node.run("feed", "add", "isac", "http://127.0.0.1:9/x.txt", "--window", "25:00-26:00")
    assert (refused.returncode, "allow_private_address" in refused.stderr) == (2, False), refused.stderr
    told = node.row(*add, "--window", "22:00-06:00", "--window", "12:00-13:00", "--days", "sat", "--days", "sun")
    assert (told["window"], told["days"]) == (["22:00-06:00", "12:00-13:00"], ["sat", "sun"])
    settings = load_feed(node.directory / "feeds" / "isac.toml")
    assert (settings.window, settings.days) == (("22:00-06:00", "12:00-13:00"), ("sat", "sun"))
