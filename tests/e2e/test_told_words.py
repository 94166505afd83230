"""What commands say of what happens beside them, and of what does not happen, so that nobody has to guess."""

from __future__ import annotations

import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from nodes import NodeAtWork, make_node
from threatshare.store.daemons import holding

NEXT_YEAR = str(datetime.now(UTC).date() + timedelta(365))
LIST = "type,value\nip,203.0.113.45\nip,8.8.8.8\nip,127.0.0.1\ndomain,google.com\n"


@pytest.fixture
def node(tmp_path: Path) -> NodeAtWork:
    return make_node(tmp_path / "node")


def taken(node: NodeAtWork) -> str:
    file = node.directory.parent / "list.csv"
    file.write_text(LIST)
    return node.run("ingest", str(file)).stdout


def test_what_is_left_out_is_told(node: NodeAtWork) -> None:
    """`ingest` counts the values of which nothing is kept, by what they are; `why` and `lookup` say it of each."""
    assert "left out    3: 2 known benign, 1 ours; see `threatshare why VALUE`" in taken(node)
    (answer,) = node.rows("lookup", "8.8.8.8", code=1)
    assert (answer["known"], answer["never"]) == (False, "known benign (Google Public DNS)")
    assert node.run("lookup", "8.8.8.8").stdout.rstrip().endswith("known benign (Google Public DNS)")
    assert node.rows("lookup", "203.0.113.45")[0]["never"] is None
    said = node.run("why", "8.8.8.8").stderr
    assert said == "it is known benign (Google Public DNS), so no indicator was made of it\n"


def test_a_running_daemon_is_told_of(node: NodeAtWork) -> None:
    """A partner's collection that is made while the daemon runs is filled at once, and its maker is told so."""
    add = ("collection", "add", "one", "--title", "One", "--partner", "north")
    assert "daemon" not in node.run(*add).stderr
    with holding(node.directory):
        assert "leaves for north at once" in node.run(*add[:2], "two", "--title", "Two", *add[5:]).stderr
        assert "at once" not in node.run("collection", "add", "ours", "--title", "Ours").stderr


def test_a_withdrawal_says_when_it_acts(node: NodeAtWork) -> None:
    """What was published leaves with the next publish, or by the daemon; what never was is not said to leave."""
    taken(node)
    subject = ("withdraw", "203.0.113.45", "--reason", "test")
    assert "has not been published, and will not be" in node.run(*subject).stderr
    assert "comes back, with the next `threatshare publish`" in node.run(*subject, "--undo").stderr
    node.row("collection", "add", "ours", "--title", "Ours")
    node.row("publish")
    assert "leaves every collection, with the next `threatshare publish`" in node.run(*subject).stderr
    node.run(*subject, "--undo")
    with holding(node.directory):
        assert "leaves every collection, by the daemon, at once" in node.run(*subject).stderr


def test_terms_that_wait_are_told_with_every_publish(node: NodeAtWork) -> None:
    """`publish`, dry or not, says whose terms wait and that the former act; the command that it names works."""
    node.row("agreement", "add", "north", "--max-tlp", "green", "--until", NEXT_YEAR)
    assert "waiting" not in node.row("publish")
    file = node.directory / "agreements" / "north.toml"
    file.write_text(file.read_text().replace('"green"', '"amber"').replace("version = 1", "version = 2"))
    (waiting,) = node.row("publish", "--dry-run")["waiting"]
    assert (waiting["partner"], waiting["version"], waiting["acting_version"]) == ("north", 2, 1)
    said = node.run("publish").stderr
    assert "The former terms act: agreement with north: its file (version 2) lets more leave" in said
    assert 'threatshare agreement confirm north --reason "..."' in said
    assert node.run("agreement", "show", "north").stdout.startswith("Version 1 acts, with what version 2 tightens")
    assert node.row("agreement", "confirm", "north", "--reason", "...")["acts"] is False


def test_a_paused_feed_is_named(node: NodeAtWork) -> None:
    """`pull` says which feeds it leaves out since they are paused, and `feed list` and `status` show which they are."""
    for name in ("one", "two"):
        file = node.directory.parent / f"{name}.txt"
        file.write_text("203.0.113.7\n")
        node.run("feed", "add", name, str(file), "--kind", "list")
    node.run("feed", "pause", "two")
    done = node.run("pull")
    assert (done.returncode, "two: paused, skipped" in done.stderr, "two" in done.stdout) == (0, True, False)
    assert {one["feed"]: one["state"] for one in node.rows("feed", "list")} == {"one": "pulled", "two": "paused"}
    assert {one["next_run"] for one in node.row("status")["feeds"]} == {"-"}
    with holding(node.directory):
        due = {one["feed"]: one["next_run"] for one in node.row("status")["feeds"]}
    assert due["two"] == "-"
    assert due["one"] > f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}Z"


def test_a_reload_names_what_it_cannot_take_up(node: NodeAtWork) -> None:
    """At SIGHUP a changed port needs a new start, and the server says so; one given on the command line is none."""
    command = [sys.executable, "-m", "threatshare", "--node", str(node.directory), "serve", "--port", "0"]
    settings = node.directory / "node.toml"
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        try:
            assert server.stderr.readline().startswith("listening on ")
            text = settings.read_text()
            assert ("port = 9000" in text, "workers = 1" in text) == (True, True), text
            settings.write_text(text.replace("port = 9000", "port = 9001").replace("workers = 1", "workers = 2"))
            server.send_signal(signal.SIGHUP)
            told = [server.stderr.readline() for _ in range(2)]
        finally:
            server.terminate()
    assert told == ["serve.workers: changed in node.toml; takes effect when this is started again\n", "reloaded\n"]


def test_the_schedule_warns_of_no_overlap() -> None:
    """That a run takes longer than the time to the next is no line in the daemon's log each second; errors are."""
    log = "logging.getLogger('apscheduler.scheduler')"
    code = (
        f"import logging; from threatshare.cli import serve; serve._configure_logs(); {log}.warning('skipped: maximum')"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; {log}.error('bad')"], capture_output=True, text=True, check=True
    )
    assert done.stderr == "ERROR apscheduler.scheduler bad\n"


def test_a_revoked_account_is_named_so(node: NodeAtWork) -> None:
    """Who changes a revoked account reads that it is revoked, and that another name is needed."""
    node.row("account", "add", "guest")
    node.run("account", "revoke", "guest")
    for verb in (("rotate", "guest"), ("expire", "guest", "--never"), ("resume", "guest")):
        done = node.run("account", *verb)
        assert (done.returncode, "account guest is revoked" in done.stderr) == (2, True), done.stderr
    old, new = node.row("account", "add", "rotated"), node.row("account", "rotate", "rotated")
    assert old["key"] != new["key"]
    table = node.run("account", "list").stdout.splitlines()
    at = table[0].index("keys")
    assert next(line for line in table if line.startswith("rotated"))[at:].split()[0] == "1"
    assert "there is no account" in node.run("account", "rotate", "nobody").stderr
