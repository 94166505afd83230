"""What partners post: to an inbox, where it is taken in like a feed, and to an exchange, where members read it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import requests

from nodes import NodeAtWork, make_node

TAXII = "application/taxii+json;version=2.1"
PARTNER = "identity--7d1f0c8e-51f2-4b39-8a5f-0c1d2e3f4a5b"


def _indicator(number: int, value: str, **more: Any) -> dict[str, Any]:
    made = {
        "type": "indicator",
        "spec_version": "2.1",
        "id": f"indicator--00000000-0000-4000-8000-{number:012d}",
        "created_by_ref": PARTNER,
        "created": "2026-11-01T00:00:00.000Z",
        "modified": "2026-11-01T00:00:00.000Z",
        "pattern": f"[ipv4-addr:value = '{value}']",
        "pattern_type": "stix",
        "valid_from": "2026-11-01T00:00:00Z",
        "confidence": 80,
    }
    return made | more


def _collection(node: NodeAtWork, url: str, alias: str) -> str:
    found = next(one["id"] for one in node.rows("collection", "list") if one["alias"] == alias)
    return f"{url}/api/collections/{found}/objects/"


def _post(address: str, user: str, key: str, objects: list[dict[str, Any]]) -> dict[str, Any]:
    answer = requests.post(
        address,
        data=json.dumps({"objects": objects}),
        auth=(user, key),
        headers={"Accept": TAXII, "Content-Type": TAXII},
        timeout=20,
    )
    assert answer.status_code == 202, answer.text
    told: dict[str, Any] = answer.json()
    return told


@pytest.fixture
def node(tmp_path: Path) -> NodeAtWork:
    """A hub with an inbox and an exchange."""
    made = make_node(tmp_path / "hub", name="Hub")
    made.row("collection", "add", "inbox", "--title", "Inbox", "--inbox")
    made.row("collection", "add", "exchange", "--title", "Exchange", "--exchange")
    return made


def test_what_a_partner_posts_to_an_inbox_is_known_at_once(node: NodeAtWork) -> None:
    """Each object has its outcome; what is good is merged under the partner's name; nobody can post as us."""
    key = node.row("account", "add", "partner", "--write", "inbox")["key"]
    us = node.row("status")["identity"]
    objects = [
        _indicator(1, "203.0.113.7"),
        _indicator(2, "999.1.1.1"),
        _indicator(3, "203.0.113.8", created_by_ref=us),
    ]
    with node.serving() as url:
        address = _collection(node, url, "inbox")
        status = _post(address, "partner", key, objects)
        assert (status["success_count"], status["failure_count"]) == (1, 2)
        assert {one["id"] for one in status["failures"]} == {objects[1]["id"], objects[2]["id"]}
        again = _post(address, "partner", key, objects[:1])
        assert again["failure_count"] == 0
        assert requests.get(address, auth=("partner", key), headers={"Accept": TAXII}, timeout=20).status_code == 403
    known = node.row("lookup", "203.0.113.7")
    assert known["sources"] == ["partner"]
    assert known["claims"][0]["tlp"] == "amber+strict", "unmarked objects get the strictest that may be used"
    node.rows("lookup", "203.0.113.8", code=1)


def test_members_of_an_exchange_read_what_was_posted_and_change_only_their_own(node: NodeAtWork) -> None:
    """Members get each other's objects equal as JSON; another's object is neither versioned nor deleted."""
    rights = ("--read", "exchange", "--write", "exchange")
    one, two = (node.row("account", "add", name, *rights)["key"] for name in ("one", "two"))
    posted = _indicator(1, "203.0.113.7", x_custom={"kept": [1.5, "as it came"]})
    headers = {"Accept": TAXII}
    with node.serving() as url:
        address = _collection(node, url, "exchange")
        assert _post(address, "one", one, [posted])["success_count"] == 1
        got = requests.get(address, auth=("two", two), headers=headers, timeout=20).json()["objects"]
        assert got == [posted]
        forged = posted | {"modified": "2026-11-02T00:00:00.000Z", "revoked": True}
        failed = _post(address, "two", two, [forged])
        assert failed["failure_count"] == 1
        assert "another member" in failed["failures"][0]["message"]
        gone = requests.delete(address + posted["id"] + "/", auth=("two", two), headers=headers, timeout=20)
        assert gone.status_code == 403
        assert _post(address, "one", one, [forged])["success_count"] == 1
        got = requests.get(address, auth=("two", two), headers=headers, timeout=20).json()["objects"]
        assert got == [forged]
        red = _indicator(
            9, "203.0.113.9", object_marking_refs=["marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1"]
        )
        assert _post(address, "one", one, [red])["failure_count"] == 1


def test_an_exchange_keeps_within_its_agreements(node: NodeAtWork) -> None:
    """What is marked above what any member has agreed to is refused; a member whose agreement ended posts nothing."""
    amber, green = (
        f"marking-definition--{one}"
        for one in ("55d920b0-5e8b-4f79-9ee9-91f868d9b421", "bab4a63c-aed9-4cf5-a766-dfca5abac2bb")
    )
    rights = ("--read", "exchange", "--write", "exchange")
    keys = {name: node.row("account", "add", name, *rights)["key"] for name in ("one", "two")}
    node.run("agreement", "add", "two", "--max-tlp", "green", "--until", "2099-12-31")
    file = node.directory / "agreements" / "two.toml"
    with node.serving() as url:
        address = _collection(node, url, "exchange")
        status = _post(
            address,
            "one",
            keys["one"],
            [
                _indicator(1, "203.0.113.7", object_marking_refs=[amber]),
                _indicator(2, "203.0.113.8", object_marking_refs=[green]),
            ],
        )
        assert (status["success_count"], status["failure_count"]) == (1, 1)
        assert "above TLP:GREEN" in status["failures"][0]["message"]
        ended = re.sub(r"(signed_on|effective_from) = [0-9-]+", r"\1 = 2020-01-01", file.read_text())
        file.write_text(ended.replace("2099-12-31", "2020-12-31"))
        status = _post(address, "two", keys["two"], [_indicator(3, "203.0.113.9")])
        assert status["failures"][0]["message"] == "the agreement with your organisation is not in force"
