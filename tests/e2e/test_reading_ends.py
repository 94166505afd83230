"""An agreement that ends, or an account that is paused, ends reading at the running server, at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from nodes import NodeAtWork, make_node
from threatshare.model import micros
from threatshare.node import opened
from threatshare.store.rights import account_at

TODAY = datetime.now(UTC)
LATER, YESTERDAY = ((TODAY + timedelta(days=days)).date().isoformat() for days in (400, -1))
TAXII = "application/taxii+json;version=2.1"


@pytest.fixture
def node(tmp_path: Path) -> NodeAtWork:
    """A node that shares one value with north, and has an exchange with north, south and somebody else."""
    made = make_node(tmp_path / "hub", name="Hub")
    (tmp_path / "list.csv").write_text("type,value,note\nip,203.0.113.45,x\n")
    made.row("ingest", str(tmp_path / "list.csv"))
    made.row("collection", "add", "to-north", "--title", "To north", "--partner", "north")
    made.row("collection", "add", "exchange", "--title", "Exchange", "--exchange")
    for partner in ("north", "south"):
        made.row("agreement", "add", partner, "--max-tlp", "green", "--until", LATER, "--source", f"{partner}-soc")
    made.row("publish")
    return made


def member(node: NodeAtWork, name: str, *more: str) -> tuple[str, str]:
    return name, node.row("account", "add", name, *more)["key"]


def end(node: NodeAtWork, partner: str) -> None:
    """Lets an agreement have expired yesterday, as an operator would, and has that noticed."""
    file = node.directory / "agreements" / f"{partner}.toml"
    began = f"effective_from = {TODAY.date() - timedelta(days=30)}"
    told = file.read_text().replace(f"expires_on = {LATER}", f"expires_on = {YESTERDAY}")
    file.write_text(told.replace(f"effective_from = {TODAY.date()}", began))
    node.run("agreement", "check")


def get(url: str, path: str, who: tuple[str, str]) -> requests.Response:
    return requests.get(f"{url}/api/collections/{path}", auth=who, headers={"Accept": TAXII}, timeout=20)


def indicators(answer: requests.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    return [one for one in answer.json()["objects"] if one["type"] == "indicator"]


def test_the_end_of_an_agreement_ends_what_it_let_read(node: NodeAtWork) -> None:
    """From the end of an agreement on its collection gives nothing, by no address and to no account, but withdrawals
    once they are published; versions of before stay closed."""
    north = member(node, "north", "--read", "to-north")
    desk = member(node, "desk-7", "--read", "to-north", "--partner", "north")
    with node.serving() as url:
        first = {who: indicators(get(url, "to-north/objects/", who)) for who in (north, desk)}
        assert [len(found) for found in first.values()] == [1, 1]
        value = f"to-north/objects/{first[north][0]['id']}/"
        end(node, "north")
        for who in (north, desk):
            for path in ("to-north/objects/", "to-north/manifest/", value, f"{value}versions/"):
                answer = get(url, path, who)
                assert (answer.status_code, answer.headers["Content-Type"]) == (403, TAXII), path
                assert "not in force" in answer.json()["description"]
                assert "203.0.113.45" not in answer.text
        node.row("publish", code=1)
        for who in (north, desk):
            (withdrawn,) = indicators(get(url, "to-north/objects/", who))
            assert withdrawn["revoked"] is True
            for query in ("match[version]=all", "match[version]=first", f"match[version]={first[who][0]['modified']}"):
                assert get(url, f"to-north/objects/?{query}", who).status_code == 403, query
            assert get(url, f"{value}versions/", who).status_code == 403


def test_a_day_ends_an_agreement_whoever_looks(node: NodeAtWork) -> None:
    """At the midnight behind its last day, without any run of ours, an agreement lets nothing be read any more."""
    member(node, "north", "--read", "to-north", "--read", "exchange")
    last = datetime.fromisoformat(LATER).replace(tzinfo=UTC)
    with opened(node.directory) as made:
        before = account_at(made.store.conn, "north", micros(last + timedelta(hours=23, minutes=59)))
        after = account_at(made.store.conn, "north", micros(last + timedelta(days=1)))
    assert (set(before.read), set(before.withdrawals)) == ({"to-north", "exchange"}, set())
    assert (set(after.read), set(after.withdrawals)) == (set(), {"to-north"})


def test_an_exchange_closes_to_whose_agreement_ends(node: NodeAtWork) -> None:
    """A member reads an exchange as long as the agreement with its organisation is in force: by its own name, by the
    agreement that names it, or because it was tied; others read on. `doctor` names whom nothing ties."""
    rights = ("--read", "exchange", "--write", "exchange")
    north, south, soc, tied, loose = (
        member(node, name, *rights) for name in ("north", "south", "south-soc", "desk-9", "somebody")
    )
    problems = [one["problem"] for one in node.rows("doctor", code=1)]
    assert [one.split()[1] for one in problems if "nothing says whose" in one] == ["desk-9", "somebody"]
    assert node.run("account", "tie", "desk-9", "nowhere").returncode == 2
    assert node.run("account", "tie", "desk-9", "south").returncode == 0
    with node.serving() as url:
        members = (north, south, soc, tied, loose)
        assert [get(url, "exchange/objects/", who).status_code for who in members] == [200] * 5
        end(node, "south")
        assert [get(url, "exchange/objects/", who).status_code for who in members] == [200, 403, 403, 403, 200]


def test_a_paused_account_rests_at_once(node: NodeAtWork) -> None:
    """Pausing an account ends what it may do with the next request, and resuming lets it go on with the same key."""
    north = member(node, "north", "--read", "to-north")
    with node.serving() as url:
        assert len(indicators(get(url, "to-north/objects/", north))) == 1
        node.run("account", "pause", "north")
        assert get(url, "to-north/objects/", north).status_code == 401
        listed = {one["name"]: one for one in node.rows("account", "list")}
        assert listed["north"]["paused"] != "-"
        node.run("account", "resume", "north")
        assert len(indicators(get(url, "to-north/objects/", north))) == 1


def test_a_quota_from_the_command_line(node: NodeAtWork) -> None:
    """`account limit` holds at the running server at once; `account list` and `doctor` show what is used."""
    north = member(node, "north", "--read", "exchange", "--write", "exchange")
    limit = node.row("account", "limit", "north", "--objects", "3")
    assert (limit["daily_objects"], limit["daily_bytes"]) == (3, 4_294_967_296)
    with node.serving() as url:
        assert [_post(url, north, number).status_code for number in (1, 2)] == [202, 202]
        listed = next(one for one in node.rows("account", "list") if one["name"] == "north")
        assert (listed["posted_objects"], listed["daily_objects"]) == (2, 3)
        assert listed["posted_bytes"] > 100
        assert any("posted 2 of 3 objects" in one["problem"] for one in node.rows("doctor", code=1))
        refused = [_post(url, north, number) for number in (3, 4)][-1]
        assert refused.status_code == 429
        assert int(refused.headers["Retry-After"]) <= 24 * 3600
        node.row("account", "limit", "north", "--default")
        assert _post(url, north, 4).status_code == 202


def _post(url: str, who: tuple[str, str], number: int) -> requests.Response:
    made = {
        "type": "identity",
        "spec_version": "2.1",
        "id": f"identity--00000000-0000-4000-8000-{number:012d}",
        "created": "2026-01-01T00:00:00.000Z",
        "modified": "2026-01-01T00:00:00.000Z",
        "name": "a member",
    }
    return requests.post(
        f"{url}/api/collections/exchange/objects/",
        json={"objects": [made]},
        auth=who,
        headers={"Content-Type": TAXII, "Accept": TAXII},
        timeout=20,
    )
