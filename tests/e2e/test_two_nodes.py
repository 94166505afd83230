"""One analyst, one SIEM and one partner: two nodes, two processes, HTTP between them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from nodes import PATIENCE, NodeAtWork, make_node

LATER = str((datetime.now(UTC) + timedelta(days=400)).date())
YESTERDAY = str((datetime.now(UTC) - timedelta(days=1)).date())
ACCEPT = {"Accept": "application/taxii+json;version=2.1"}


@pytest.fixture
def company(tmp_path: Path) -> NodeAtWork:
    """A company that found three values and shares them with its ISAC."""
    node = make_node(tmp_path / "company", "--own-domain", "company.example")
    (tmp_path / "list.csv").write_text(
        "type,value,note\n"
        "ip,203.0.113.45,secret note\n"
        "url,hxxps://login.phish[.]example/m365,secret note\n"
        "sha256," + "ab" * 32 + ",secret note\n"
        "domain,mail.company.example,ours\n"
        "ip,203.0.113.999,no address\n"
    )
    first = node.row("ingest", str(tmp_path / "list.csv"))
    assert first["indicators"] == {"new": 3, "updated": 0, "unchanged": 0}
    assert first["rejected"] == 1
    again = node.row("ingest", str(tmp_path / "list.csv"))
    assert again["indicators"] == {"new": 0, "updated": 0, "unchanged": 3}
    node.row("collection", "add", "to-isac", "--title", "To the ISAC", "--partner", "isac")
    return node


@pytest.fixture
def isac(tmp_path: Path) -> NodeAtWork:
    """The ISAC's node, which knows nothing yet."""
    return make_node(tmp_path / "isac", name="Test ISAC")


def _objects(url: str, node: NodeAtWork, alias: str, user: str, key: str) -> list[dict[str, Any]]:
    collection = next(one["id"] for one in node.rows("collection", "list") if one["alias"] == alias)
    answer = requests.get(f"{url}/api/collections/{collection}/objects/", auth=(user, key), headers=ACCEPT, timeout=10)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["objects"]
    return found


def _address(url: str, node: NodeAtWork, alias: str) -> str:
    collection = next(one["id"] for one in node.rows("collection", "list") if one["alias"] == alias)
    return f"{url}/api/collections/{collection}/"


def test_nothing_leaves_without_an_agreement_and_everything_allowed_leaves_with_one(company: NodeAtWork) -> None:
    """Without an agreement the partner's collection stays empty, with the reason; with one it fills."""
    report = company.row("publish")
    assert report["released"] == {"siem": 3, "to-isac": 0}
    assert report["refused"] == 3
    refusals = {one["rule"] for row in report["reasons"] for one in row["reasons"] if one["verdict"] != "release"}
    assert refusals == {"agreement-in-force", "marking-ceiling", "object-type"}
    company.row("agreement", "add", "isac", "--max-tlp", "green", "--until", LATER)
    dry = company.row("publish", "--dry-run")
    assert dry["released"]["to-isac"] == 3
    assert company.row("publish")["released"] == {"siem": 0, "to-isac": 3}
    assert company.row("publish")["released"] == {"siem": 0, "to-isac": 0}
    why = company.rows("why", "203.0.113.45", "--partner", "isac")
    assert [row["verdict"] for row in why] == ["release"]


def test_the_whole_loop_between_two_nodes(company: NodeAtWork, isac: NodeAtWork, tmp_path: Path) -> None:
    """What the company found reaches the ISAC over TAXII, the ISAC's word reaches the company, and both count."""
    company.row("agreement", "add", "isac", "--max-tlp", "green", "--until", LATER)
    company.row("publish")
    isac_key = company.row("account", "add", "isac", "--read", "to-isac")["key"]
    (tmp_path / "isac.csv").write_text("type,value\nip,203.0.113.45\ncidr,203.0.113.32/27\n")
    isac.row("ingest", str(tmp_path / "isac.csv"))
    isac.row("agreement", "add", "company", "--max-tlp", "amber", "--until", LATER)
    isac.row("collection", "add", "members", "--title", "Members", "--partner", "company")
    isac.row("publish")
    company_key = isac.row("account", "add", "company", "--read", "members")["key"]
    alone = company.row("lookup", "203.0.113.45")
    with company.serving() as url, isac.serving() as isac_url:
        served = _objects(url, company, "to-isac", "isac", isac_key)
        assert sorted(one["type"] for one in served) == ["identity", "indicator", "indicator", "indicator"]
        assert "secret note" not in json.dumps(served)
        isac.secrets["COMPANY_KEY"] = isac_key
        company.secrets["ISAC_KEY"] = company_key
        address = _address(url, company, "to-isac")
        isac.row("feed", "add", "company", address, "--user", "isac", "--password-env", "COMPANY_KEY")
        first = isac.row("pull", "company")
        assert (first["status"], first["objects"], first["new"], first["rejected"]) == ("ok", 4, 4, 0)
        second = isac.row("pull", "company")
        assert (second["objects"], second["new"], second["changed"]) == (0, 0, 0)
        address = _address(isac_url, isac, "members")
        company.row("feed", "add", "isac", address, "--user", "company", "--password-env", "ISAC_KEY")
        assert company.row("pull")["new"] == 3
    both = company.row("lookup", "203.0.113.45")
    assert both["sources"] == ["isac", "own"]
    assert both["score"] > alone["score"]
    assert any("independent origins" in line for line in both["explanation"])
    assert [one["relation"] for one in both["related"]] == ["covering-network"]
    assert company.row("publish")["released"]["to-isac"] == 0, "what came from the ISAC must not go back as ours"


def test_a_siem_reads_its_collection_and_nothing_else(company: NodeAtWork) -> None:
    """The SIEM's account sees the merged collection; the partner's collection does not exist for it."""
    company.row("publish")
    with company.serving() as url:
        us, *found = _objects(url, company, "siem", "siem", company.key)
        assert us["type"] == "identity"
        assert {one["created_by_ref"] for one in found} == {us["id"]}
        assert {one["pattern"] for one in found} == {
            "[ipv4-addr:value = '203.0.113.45']",
            "[url:value = 'https://login.phish.example/m365']",
            f"[file:hashes.'SHA-256' = '{'ab' * 32}']",
        }
        hidden = _address(url, company, "to-isac") + "objects/"
        answer = requests.get(hidden, auth=("siem", company.key), headers=ACCEPT, timeout=10)
        assert answer.status_code == 404
        assert requests.get(hidden, headers=ACCEPT, timeout=10).status_code == 401


def test_an_agreement_that_ends_withdraws_what_it_let_out(company: NodeAtWork) -> None:
    """Once the agreement has expired, the partner is told to drop everything it was given."""
    company.row("agreement", "add", "isac", "--max-tlp", "green", "--until", LATER)
    assert company.row("publish")["released"]["to-isac"] == 3
    file = company.directory / "agreements" / "isac.toml"
    told = file.read_text().replace(f"expires_on = {LATER}", f"expires_on = {YESTERDAY}")
    began = str((datetime.now(UTC) - timedelta(days=30)).date())
    file.write_text(told.replace(f"effective_from = {datetime.now(UTC).date()}", f"effective_from = {began}"))
    report = company.row("publish", code=1)
    assert report["withdrawn"] == 3
    key = company.row("account", "add", "isac", "--read", "to-isac")["key"]
    with company.serving() as url:
        served = _objects(url, company, "to-isac", "isac", key)
    indicators = [one for one in served if one["type"] == "indicator"]
    assert len(indicators) == 3
    assert all(one["revoked"] for one in indicators)


def test_the_daemon_pulls_on_schedule_and_a_failing_feed_stops_nobody(
    company: NodeAtWork, isac: NodeAtWork, refusing_port: int
) -> None:
    """The daemon pulls at once, publishes to the SIEM, backs off from a dead feed, and SIGTERM ends it with 0."""
    company.row("agreement", "add", "isac", "--max-tlp", "green", "--until", LATER)
    company.row("publish")
    isac.secrets["KEY"] = company.row("account", "add", "isac", "--read", "to-isac")["key"]
    isac.row("feed", "add", "dead", f"http://127.0.0.1:{refusing_port}/api/", "--collection", "x", "--jitter", "0")
    with company.serving() as url:
        address = _address(url, company, "to-isac")
        isac.row("feed", "add", "company", address, "--user", "isac", "--password-env", "KEY", "--jitter", "0")
        with isac.serving("daemon") as isac_url:
            deadline = time.monotonic() + PATIENCE
            while time.monotonic() < deadline:
                held = _objects(isac_url, isac, "siem", "siem", isac.key)
                found = [one for one in held if one["type"] == "indicator"]
                feeds = {one["feed"]: one for one in isac.row("status")["feeds"]}
                if len(found) == 3 and feeds["dead"]["failures"]:
                    break
                time.sleep(0.2)
    assert len(found) == 3
    assert feeds["company"]["failures"] == 0
    assert feeds["dead"]["failures"] == 1, "it must be tried again only after a minute"
    assert feeds["dead"]["report"]["status"] == "failed"


def test_a_feed_that_cannot_be_used_backs_off_in_the_daemon(isac: NodeAtWork, refusing_port: int) -> None:
    """A feed whose password is not there fails once and waits, instead of filling the log every second."""
    address = f"http://127.0.0.1:{refusing_port}/api/collections/x/"
    isac.row("feed", "add", "locked", address, "--user", "us", "--password-env", "NOT_SET_ANYWHERE", "--jitter", "0")
    with isac.serving("daemon"):
        deadline = time.monotonic() + PATIENCE
        feed: dict[str, Any] = {}
        while time.monotonic() < deadline and not feed.get("failures"):
            feed = isac.row("status")["feeds"][0]
        time.sleep(3)
        feed = isac.row("status")["feeds"][0]
    assert feed["failures"] == 1
    assert "NOT_SET_ANYWHERE" in (isac.directory / "daemon.log").read_text()


def test_a_daemon_that_is_killed_leaves_no_server_behind(isac: NodeAtWork) -> None:
    """After kill -9 of the daemon its TAXII server ends too, so that the next daemon finds the port free."""
    with (isac.directory / "killed.log").open("w+") as log:
        command = [sys.executable, "-m", "threatshare", "--node", str(isac.directory), "daemon", "--port", "0"]
        process = subprocess.Popen(command, stderr=log)
        url = isac.listening(process, Path(log.name))
        process.kill()
        process.wait()
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            requests.get(f"{url}/taxii2/", headers=ACCEPT, timeout=5)
        except requests.ConnectionError:
            return
        time.sleep(0.2)
    raise AssertionError("the server goes on without its daemon")
