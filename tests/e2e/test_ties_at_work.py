"""An account that was tied to a partner by hand is that partner's, whatever it posts and wherever that is asked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from nodes import NodeAtWork, make_node

LATER = (datetime.now(UTC) + timedelta(days=400)).date().isoformat()
TAXII = "application/taxii+json;version=2.1"
VALUE = "203.0.113.99"
THEIRS = {
    "type": "indicator",
    "spec_version": "2.1",
    "id": "indicator--00000000-0000-4000-8000-000000000001",
    "created_by_ref": "identity--7d1f0c8e-51f2-4b39-8a5f-0c1d2e3f4a5b",
    "created": "2026-11-01T00:00:00.000Z",
    "modified": "2026-11-01T00:00:00.000Z",
    "pattern": f"[ipv4-addr:value = '{VALUE}']",
    "pattern_type": "stix",
    "valid_from": "2026-11-01T00:00:00Z",
    "confidence": 80,
    "object_marking_refs": ["marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb"],
}
"""TLP:GREEN."""


@pytest.fixture
def node(tmp_path: Path) -> NodeAtWork:
    """A node with partners north and south, a collection for each, an inbox, and north's account, tied by hand."""
    made = make_node(tmp_path / "hub", name="Hub")
    made.row("collection", "add", "inbox", "--title", "Inbox", "--inbox")
    for name in ("north", "south"):
        made.row("agreement", "add", name, "--max-tlp", "green", "--until", LATER)
        made.row("collection", "add", f"to-{name}", "--title", f"To {name}", "--partner", name)
    return made


def post(node: NodeAtWork, url: str, key: str) -> None:
    answer = requests.post(
        f"{url}/api/collections/inbox/objects/",
        json={"objects": [THEIRS]},
        auth=("desk-7", key),
        headers={"Content-Type": TAXII, "Accept": TAXII},
        timeout=20,
    )
    assert answer.json()["success_count"] == 1, answer.text


def holds(url: str, alias: str, who: tuple[str, str]) -> list[dict[str, Any]]:
    address = f"{url}/api/collections/{alias}/objects/"
    answer = requests.get(address, auth=who, headers={"Accept": TAXII}, timeout=20)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json().get("objects", [])
    return found


def _onward(node: NodeAtWork, limit: str) -> None:
    """Has the agreement with north let what came from it go on, as an operator would write it."""
    file = node.directory / "agreements" / "north.toml"
    told = file.read_text()
    assert "\n[inbound]\n" in told
    file.write_text(told.replace("\n[inbound]\n", f'\n[inbound]\nonward_max_tlp = "{limit}"\n'))


@pytest.mark.parametrize("onward", [None, "green"])
def test_what_a_tied_account_posts_is_its_partners(node: NodeAtWork, onward: str | None) -> None:
    """What an account that is north's by hand posts does not come back to north; that we saw it north is told, and
    others only where the agreement with north lets it go on. The register counts it as north's."""
    if onward is not None:
        _onward(node, onward)
    key = node.row("account", "add", "desk-7", "--write", "inbox", "--partner", "north")["key"]
    readers = {one: (one, node.row("account", "add", one, "--read", f"to-{one}")["key"]) for one in ("north", "south")}
    with node.serving() as url:
        post(node, url, key)
        node.row("sighting", VALUE, "--by", "Analyst", "--reason", "our own logs")
        node.row("publish")
        found = {name: holds(url, f"to-{name}", who) for name, who in readers.items()}
    told = {name: [one for one in objects if one["type"] == "sighting"] for name, objects in found.items()}
    assert [one["sighting_of_ref"] for one in told["north"]] == [THEIRS["id"]]
    assert len(told["south"]) == (0 if onward is None else 1)
    assert all(one["id"] != THEIRS["id"] for objects in found.values() for one in objects)
    (sent,) = node.rows("ledger", "reach", told["north"][0]["id"])[:1]
    assert {one["who"]: one["partner"] for one in sent["sent_to"]} == {"north": "north"}
    assert "desk-7" in node.run("partner", "show", "north").stdout
    assert "desk-7" not in node.run("partner", "show", "south").stdout


def test_who_is_said_to_be_two_partners_reads_of_neither(node: NodeAtWork) -> None:
    """An account that is tied to one partner while the agreement with another names it reads neither's collection, nor
    what they share among themselves, and `doctor` says so; once it is tied to nobody, it is that other's."""
    key = node.row("account", "add", "desk-8", "--read", "to-north", "--partner", "north")["key"]
    node.row("collection", "add", "exchange", "--title", "Exchange", "--exchange")
    node.run("account", "grant", "desk-8", "--read", "exchange")
    with node.serving() as url:
        assert holds(url, "to-north", ("desk-8", key)) == []
        node.row("agreement", "add", "west", "--max-tlp", "green", "--until", LATER, "--source", "desk-8")
        node.run("agreement", "check")
        for alias in ("to-north", "exchange"):
            address = f"{url}/api/collections/{alias}/objects/"
            assert requests.get(address, auth=("desk-8", key), headers={"Accept": TAXII}, timeout=20).status_code == 404
        problems = [one["problem"] for one in node.rows("doctor", code=1)]
        assert any("desk-8 is said to be north's and west's" in one for one in problems)
        refused = node.run("account", "tie", "desk-8", "north")
        assert (refused.returncode, "desk-8 is west's already" in refused.stderr) == (2, True)
        node.run("account", "tie", "desk-8", "--none")
        assert holds(url, "exchange", ("desk-8", key)) == []


@pytest.mark.parametrize(
    "command",
    [
        ("export", "csv", "--output"),
        ("ledger", "export"),
        ("ledger", "anchor"),
        ("partner", "checkin", "north", "--out"),
    ],
)
def test_a_file_in_a_folder_that_is_not_there_is_a_message(
    node: NodeAtWork, tmp_path: Path, command: tuple[str, ...]
) -> None:
    """A file to be written whose folder is not there, or is none, is one line that names it, and no traceback."""
    (tmp_path / "list.csv").write_text(f"type,value,note\nip,{VALUE},x\n")
    node.row("ingest", str(tmp_path / "list.csv"))
    node.row("publish")
    (tmp_path / "plain").write_text("x")
    for place, why in (
        ("exports/deep/x", f"there is no folder {tmp_path / 'exports'}"),
        ("plain/x", "Not a directory"),
    ):
        done = node.run(*command, str(tmp_path / place))
        assert (done.returncode, "Traceback" in done.stderr) == (2, False), done.stderr
        assert f"{tmp_path / place} cannot be written: {why}" in done.stderr
