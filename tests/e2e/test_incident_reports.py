"""A report and an opinion, as people make them on the command line and a partner reads them over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from nodes import NodeAtWork, make_node

LATER = str((datetime.now(UTC) + timedelta(days=400)).date())
ACCEPT = {"Accept": "application/taxii+json;version=2.1"}
TYPES = [part for one in ("indicator", "sighting", "report", "opinion") for part in ("--object-type", one)]
WHY = ("--reason", "read it")
SECRET = "A user of ours clicked; nothing was lost."


@pytest.fixture
def company(tmp_path: Path) -> NodeAtWork:
    """A company with two findings, a collection for its ISAC, and an agreement that takes reports and opinions."""
    node = make_node(tmp_path / "company", "--own-domain", "company.example")
    (tmp_path / "list.csv").write_text("type,value\nip,203.0.113.45\ndomain,login.phish.test\n")
    node.row("ingest", str(tmp_path / "list.csv"))
    node.row("collection", "add", "to-isac", "--title", "To the ISAC", "--partner", "isac")
    node.row("agreement", "add", "isac", "--max-tlp", "green", "--until", LATER, *TYPES)
    node.key = node.row("account", "add", "isac", "--read", "to-isac")["key"]
    return node


def held(node: NodeAtWork, kind: str) -> list[dict[str, Any]]:
    """Gives what the ISAC reads over HTTP, of one type."""
    with node.serving() as url:
        collection = next(one["id"] for one in node.rows("collection", "list") if one["alias"] == "to-isac")
        answer = requests.get(
            f"{url}/api/collections/{collection}/objects/", auth=("isac", node.key), headers=ACCEPT, timeout=10
        )
    assert answer.status_code == 200, answer.text
    return [one for one in answer.json()["objects"] if one["type"] == kind]


def test_a_report_from_desk_to_partner(company: NodeAtWork, tmp_path: Path) -> None:
    """Written from a file, held, read by two persons, released, revised, withdrawn: the partner sees each as it is."""
    (tmp_path / "report.toml").write_text(
        f'title = "A wave of mails"\ndescription = "{SECRET}"\nvalues = ["203.0.113.45", "login[.]phish[.]test"]\n'
        'techniques = ["T1566.002"]\npublished = 2026-06-01\n'
    )
    made = company.row("incident", "write", "--from-toml", str(tmp_path / "report.toml"))
    assert (made["outcome"], made["references"], made["tlp"]) == ("new", 2, "green")
    assert company.row("publish")["held"] == 1
    assert held(company, "report") == []
    for person in ("Releaser One", "Releaser Two"):
        company.row("review", "approve", made["incident"], *WHY, "--by", person)
    assert company.row("publish")["released"]["to-isac"] == 1
    (report,) = held(company, "report")
    assert (report["id"], report["description"]) == (made["incident"], SECRET)
    assert report["published"].startswith("2026-06-01")
    assert {one["id"] for one in held(company, "indicator")} == set(report["object_refs"])
    company.row("incident", "revise", "1", "--title", "A wave of mails, and its end")
    company.rows("publish", code=1)
    assert [one["name"] for one in held(company, "report")] == ["A wave of mails"]
    (listed,) = company.rows("incident", "list")
    assert listed["collections"]["to-isac"]["state"] == "hold, and the version before stands"
    company.row("incident", "withdraw", "1", *WHY, "--by", "Releaser One")
    company.rows("publish", code=1)
    (gone,) = held(company, "report")
    assert gone["revoked"] is True


def test_what_cannot_be_written_is_said(company: NodeAtWork, tmp_path: Path) -> None:
    """A value that is not ours, two descriptions, and a misspelt key of the file are refused with what to do."""
    (tmp_path / "wrong.toml").write_text('titel = "x"\n')
    for arguments, code, said in (
        (("--title", "x", "--value", "203.0.113.99"), 2, "threatshare ingest"),
        (("--title", "x", "--value", "203.0.113.45", "--tlp", "clear"), 2, "mark it green"),
        (("--title", "x", "--description", "a", "--description-file", "-"), 2, "not both"),
        (("--from-toml", str(tmp_path / "wrong.toml")), 3, "did you mean title"),
        (("--title", "x", "--value", "203.0.113.45", "--published", "soon"), 2, "does not match"),
    ):
        done = company.run("incident", "write", *arguments)
        assert (done.returncode, said in done.stderr) == (code, True), done.stderr
    assert company.rows("incident", "list", code=1) == []
    assert company.run("incident", "show", "1").returncode == 2


def test_an_opinion_goes_back_over_http(company: NodeAtWork, tmp_path: Path) -> None:
    """What the ISAC's node serves is pulled; called a false positive, its score falls and the ISAC reads why."""
    isac = make_node(tmp_path / "isac", name="Test ISAC")
    (tmp_path / "theirs.csv").write_text("type,value\ndomain,busy.shop.test\n")
    isac.row("ingest", str(tmp_path / "theirs.csv"))
    isac.row("agreement", "add", "company", "--max-tlp", "green", "--until", LATER)
    isac.row("collection", "add", "members", "--title", "Members", "--partner", "company")
    isac.row("publish")
    company.secrets["KEY"] = isac.row("account", "add", "company", "--read", "members")["key"]
    with isac.serving() as url:
        members = next(one["id"] for one in isac.rows("collection", "list") if one["alias"] == "members")
        address = f"{url}/api/collections/{members}/"
        company.row("feed", "add", "isac", address, "--user", "company", "--password-env", "KEY")
        assert company.row("pull")["status"] == "ok"
    before = company.row("lookup", "busy.shop.test")
    seen = company.row("sighting", "busy.shop.test", "--count", "3", "--by", "Analyst", *WHY)
    assert seen["score"]["after"] > before["score"]
    done = company.row("false-positive", "busy.shop.test", "--because", "shared-service", "--by", "Analyst", *WHY)
    assert done["score"]["after"] < seen["score"]["after"]
    after = company.row("lookup", "busy.shop.test")
    assert after["score"] == done["score"]["after"]
    assert any("false positive" in line for line in after["explanation"])
    company.row("publish")
    (opinion,) = held(company, "opinion")
    assert (opinion["opinion"], opinion["id"]) == ("disagree", done["told"][0])
    assert [one["count"] for one in held(company, "sighting")] == [3]
    back = company.row("false-positive", "busy.shop.test", "--undo", "--by", "Analyst", *WHY)
    assert back["score"]["after"] == seen["score"]["after"]
    company.run("publish")
    assert [one["revoked"] for one in held(company, "opinion")] == [True]


def test_withdraw_on_the_command_line(company: NodeAtWork) -> None:
    """A withdrawn indicator leaves the partner's collection and our own score; a reason and an object are needed."""
    company.row("publish")
    for arguments, said in (
        (("withdraw", "203.0.113.45"), "--reason"),
        (("withdraw", "203.0.113.99", *WHY), "no object of ours"),
        (("sighting", "203.0.113.99", *WHY), "nobody says anything"),
        (("false-positive", "203.0.113.45", "--undo", *WHY), "to take back"),
    ):
        refused = company.run(*arguments)
        assert (refused.returncode, said in refused.stderr) == (2, True), refused.stderr
    done = company.row("withdraw", "203.0.113[.]45", "--by", "Releaser", *WHY)
    assert (done["value"], done["score"]["after"], len(done["withdrawn"])) == ("203.0.113.45", 0, 1)
    assert company.row("publish", code=1)["withdrawn"] == 2
    gone = [one for one in held(company, "indicator") if one.get("revoked")]
    assert [one["id"] for one in gone] == done["withdrawn"]
    (told,) = [one for one in company.rows("review", "decisions") if one["action"] == "reject"]
    assert (told["by"], told["reason"], told["what"]) == ("Releaser", "read it", done["withdrawn"])
