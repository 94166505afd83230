"""A joint exercise over real HTTP: one node runs it, another pulls and answers, and nothing of it is ever live."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from nodes import NodeAtWork, make_node

TAXII = "application/taxii+json;version=2.1"
LATER = str((datetime.now(UTC) + timedelta(days=400)).date())
SOON = str((datetime.now(UTC) + timedelta(days=7)).date())
VALUE = "203.0.113.77"


@pytest.fixture
def host(tmp_path: Path) -> NodeAtWork:
    """The node that runs an exercise with its ISAC."""
    node = make_node(tmp_path / "host", purpose="live")
    node.row("agreement", "add", "isac", "--max-tlp", "green", "--until", LATER)
    node.row("collection", "add", "to-isac", "--title", "To the ISAC", "--partner", "isac")
    node.row("collection", "add", "inbox", "--title", "Inbox", "--inbox")
    return node


@pytest.fixture
def guest(tmp_path: Path) -> NodeAtWork:
    """The ISAC's node, at work as ever."""
    return make_node(tmp_path / "guest", name="Test ISAC", purpose="live")


def _at(node: NodeAtWork, alias: str, url: str) -> str:
    found = next(one["id"] for one in node.rows("collection", "list") if one["alias"] == alias)
    return f"{url}/api/collections/{found}/"


def _post(address: str, key: str, *objects: dict[str, Any]) -> dict[str, Any]:
    body = json.dumps({"objects": objects})
    headers = {"Accept": TAXII, "Content-Type": TAXII}
    answer = requests.post(f"{address}objects/", data=body, auth=("isac", key), headers=headers, timeout=20)
    assert answer.status_code == 202, answer.text
    told: dict[str, Any] = answer.json()
    return told


def _sighting(number: int, sighted: dict[str, Any], **more: Any) -> dict[str, Any]:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return {
        "type": "sighting",
        "spec_version": "2.1",
        "id": f"sighting--00000000-0000-4000-8000-{number:012d}",
        "created": now,
        "modified": now,
        "sighting_of_ref": sighted["id"],
        "labels": [one for one in sighted["labels"] if one.startswith("exercise:")],
        "object_marking_refs": sighted["object_marking_refs"],
        **more,
    }


def test_an_exercise_from_inject_to_report_and_end(host: NodeAtWork, guest: NodeAtWork, tmp_path: Path) -> None:
    """Inject, detection, sharing, receipt and feedback are timed; neither node ever takes any of it for live."""
    key = host.row("account", "add", "isac", "--write", "inbox")["key"]
    rights = ("--partners", "isac", "--until", SOON, "--account", "isac", "--by", "exercise desk")
    started = host.row("exercise", "start", "winter", *rights)
    (tmp_path / "injects.csv").write_text(f"value,offset,techniques\n{VALUE},,T1566.002\nlate.example,2d,\n")
    assert [
        one["value"] for one in host.rows("exercise", "inject", "winter", "--file", str(tmp_path / "injects.csv"))
    ] == [
        VALUE,
        "late.example",
    ]
    (tmp_path / "found.csv").write_text(f"type,value\nip,{VALUE}\n")
    host.row("ingest", str(tmp_path / "found.csv"))
    assert host.row("exercise", "share", "winter")["released"] == 1
    host.run("publish")
    with host.serving() as url:
        address = _at(host, started["collection"], url)
        guest.secrets["HOST_KEY"] = key
        feed = ("--user", "isac", "--password-env", "HOST_KEY", "--reliability", "A")
        guest.row("feed", "add", "host", address, *feed)
        pulled = guest.row("pull", "host")
        assert (pulled["status"], pulled["objects"], pulled["rejected"]) == ("ok", 3, 1)
        held = requests.get(f"{address}objects/", auth=("isac", key), headers={"Accept": TAXII}, timeout=20).json()
        shared = next(one for one in held["objects"] if one["type"] == "indicator")
        assert shared["labels"] == ["attacker", started["label"]]
        status = _post(address, key, _sighting(1, shared, count=4), _sighting(2, shared, labels=[]))
        assert (status["success_count"], status["failure_count"]) == (1, 1)
        assert started["label"] in status["failures"][0]["message"]
        aside = _post(_at(host, "inbox", url), key, _sighting(3, shared))
        assert "kept aside" in aside["failures"][0]["message"]
        own = f"{address}objects/sighting--00000000-0000-4000-8000-000000000001/"
        assert requests.delete(own, auth=("isac", key), headers={"Accept": TAXII}, timeout=20).status_code == 403
    assert host.rows("lookup", VALUE, code=1)[0]["exercise_only"] is True
    answer = guest.rows("lookup", VALUE, code=1)[0]
    assert answer["exercises"] == ["marked as exercise data by host"]
    assert answer["score"] is None
    for node in (host, guest):
        assert node.run("export", "csv", "--min-score", "0").returncode == 1
    told = host.row("exercise", "report", "winter")
    inject = told["injects"][0]
    assert 0 <= inject["seconds_to_detection"] <= inject["seconds_to_sharing"] <= inject["received"][0]["seconds"]
    assert [(one["partner"], one["type"], one["said"]) for one in inject["feedback"]] == [("isac", "sighting", "4")]
    assert told["medians"]["seconds_to_feedback"]["isac"] == inject["feedback"][0]["seconds"]
    assert told["missed"] == {
        "not_detected": [],
        "not_shared": [],
        "not_received": {"isac": []},
        "no_feedback": {"isac": []},
    }
    page = host.run("exercise", "report", "winter").stdout
    assert "203[.]0[.]113[.]77" in page
    assert host.row("exercise", "end", "winter", "--by", "exercise desk")["purged"] == 4
    assert host.row("exercise", "report", "winter")["injects"] == told["injects"]
    assert host.run("ledger", "verify").returncode == 0
    with host.serving() as url:
        gone = requests.get(
            f"{_at(host, started['collection'], url)}objects/",
            auth=("isac", key),
            headers={"Accept": TAXII},
            timeout=20,
        )
        assert gone.status_code == 404


def test_an_exercise_needs_agreements_and_takes_no_real_value(host: NodeAtWork, tmp_path: Path) -> None:
    """Without an agreement, above a ceiling or with a real value there is no exercise, each with its reason."""
    nobody = host.run("exercise", "start", "winter", "--partners", "isac,nobody", "--until", SOON, "--tlp", "amber")
    assert nobody.returncode == 1
    assert "nobody: there is no agreement" in nobody.stderr
    assert "isac: the exercise's TLP, amber, is above its ceiling, green" in nobody.stderr
    host.row("exercise", "start", "winter", "--partners", "isac", "--until", SOON)
    (tmp_path / "real.txt").write_text("45.66.77.88\n" + "ab" * 32 + "\nevil.de\nmail.example.com\n")
    rows = host.rows("exercise", "inject", "winter", "--file", str(tmp_path / "real.txt"), code=1)
    assert [one.get("value", one.get("refused")) for one in rows] == [
        "mail.example.com",
        "45.66.77.88",
        "ab" * 32,
        "evil.de",
    ]
    assert len(host.rows("exercise", "inject", "winter", "--generate", "20", "--seed", "1")) == 20
    noted = host.rows("exercise", "detect", "winter", "mail[.]example[.]com", "evil.de", code=1)
    assert [one["outcome"] for one in noted] == ["detected", "none"]
    listed = host.row("exercise", "list", "--partner", "isac")
    assert (listed["name"], listed["state"], listed["injects"]) == ("winter", "running", 21)


def test_a_partner_whose_agreement_goes_reads_nothing_more(host: NodeAtWork) -> None:
    """A run of publishing closes the exercise to it, on the server that runs, until somebody invites it again."""
    key = host.row("account", "add", "isac")["key"]
    started = host.row("exercise", "start", "winter", "--partners", "isac", "--until", SOON, "--account", "isac")
    host.rows("exercise", "inject", "winter", "--generate", "1")
    host.row("exercise", "share", "winter", "--all")
    file = host.directory / "agreements" / "isac.toml"
    signed = file.read_text()
    with host.serving() as url:
        address = f"{_at(host, started['collection'], url)}objects/"

        def read() -> int:
            return requests.get(address, auth=("isac", key), headers={"Accept": TAXII}, timeout=20).status_code

        assert read() == 200
        file.unlink()
        assert host.row("publish")["exercises"][0]["excluded"][0][0] == "isac"
        assert read() == 404
        assert any("winter is closed to isac" in one for one in host.row("status")["warnings"])
        file.write_text(signed)
        host.run("publish")
        assert read() == 404
        assert host.row("exercise", "invite", "winter", "isac")["present"] == ["isac"]
        assert read() == 200
