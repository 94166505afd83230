"""A submission to AIS with the command line and real HTTP: what arrives keeps to profile and agreement."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fake_ais import FakeAis, make_pki
from nodes import NodeAtWork, make_node

TODAY = datetime.now(UTC).date()
TERMS = """
partner = "cisa"
signed_on = {today}
effective_from = {today}
expires_on = {later}
[outbound]
max_tlp = "amber"
profile = "ais"
consent = "{consent}"
[[legal_basis]]
name = "a law"
from = {today}
"""


@pytest.fixture
def ais() -> Iterator[FakeAis]:
    with FakeAis() as server:
        yield server


@pytest.fixture
def company(tmp_path: Path, ais: FakeAis) -> NodeAtWork:
    """A company with two findings and a client certificate, about to submit."""
    node = make_node(tmp_path / "company", "--own-domain", "company.example")
    (tmp_path / "list.csv").write_text("type,value\nip,203.0.113.45\nurl,https://login.phish.example/m365\n")
    node.row("ingest", str(tmp_path / "list.csv"))
    node.row("collection", "add", "to-cisa", "--title", "To AIS", "--partner", "cisa")
    certificate = make_pki(tmp_path).client_cert
    node.row("target", "add", "ais", "to-cisa", f"{ais.base}/ingest/", "--client-cert", str(certificate))
    return node


def agree(node: NodeAtWork, consent: str) -> None:
    """Writes the agreement."""
    text = TERMS.format(today=TODAY, later=TODAY + timedelta(days=400), consent=consent)
    (node.directory / "agreements" / "cisa.toml").write_text(text)


def standing(ais: FakeAis) -> list[dict[str, Any]]:
    """What the server holds: the latest version of everything that is not withdrawn."""
    latest = {one["id"]: one for one in ais.taken}
    return [one for one in latest.values() if not one.get("revoked")]


def checked(node: NodeAtWork, ais: FakeAis, folder: Path) -> dict[str, Any]:
    """Has `profile check` look at what arrived."""
    file = folder / "arrived.json"
    bundle = {"type": "bundle", "id": "bundle--6f1b7f4e-6a8e-4f0b-9c59-1c9f8d1a2b3c", "objects": standing(ais)}
    file.write_text(json.dumps(bundle))
    return node.row("profile", "check", str(file), "--profile", "ais", "--partner", "cisa")


def test_a_submission_without_consent(company: NodeAtWork, ais: FakeAis, tmp_path: Path) -> None:
    """What arrives passes `profile check`, no byte leads back to us, and our own ids still answer for all of it.

    A rejection by our own id reaches the server as a withdrawal of the id that it knows.
    """
    agree(company, "ais-consent-none")
    assert company.row("agreement", "check")["problems"] == []
    assert company.row("publish")["released"]["to-cisa"] == 2
    told = company.row("push", "ais")
    assert (told["status"], told["accepted"], told["waiting"]) == ("ok", 5, 0)
    assert [one["type"] for one in ais.taken] == ["identity", "location", "relationship", "indicator", "indicator"]
    report = checked(company, ais, tmp_path)
    assert (report["block"], report["queue"], report["passes"]) == (0, 0, True)
    assert [one["rule"] for one in report["not_checked"]] == ["AIS-11"]
    sent = b"".join(ais.posts).decode().lower()
    us = company.row("status")["identity"]
    public = [one["object"] for one in company.rows("why", "203.0.113.45")]
    for trace in (
        us.partition("--")[2],
        "test company",
        "company.example",
        *(one.partition("--")[2] for one in public),
    ):
        assert trace not in sent
    (ours,) = [one["object"] for one in company.rows("why", "203.0.113.45", "--partner", "cisa")]
    (theirs,) = [one["id"] for one in ais.taken if "203.0.113.45" in one.get("name", "")]
    assert theirs in json.dumps(company.rows("ledger", "reach", "203.0.113.45"))
    assert [one["object"] for one in company.rows("why", theirs)] == [ours]
    company.rows("review", "reject", ours, "--by", "a releaser", "--reason", "not ours to tell")
    assert company.row("publish", code=1)["withdrawn"] == 1
    assert company.row("push", "ais")["accepted"] == 1
    assert (ais.taken[-1]["id"], ais.taken[-1]["revoked"]) == (theirs, True)


def test_consent_that_is_taken_back(company: NodeAtWork, ais: FakeAis, tmp_path: Path) -> None:
    """With the consent gone, all that names us is withdrawn before the same comes from nobody known."""
    agree(company, "ais-consent-everyone")
    company.row("publish")
    company.row("push", "ais")
    us = company.row("status")["identity"]
    assert {one["created_by_ref"] for one in ais.taken} == {us}
    agree(company, "ais-consent-none")
    told = company.row("publish")
    assert (told["withdrawn"], told["released"]["to-cisa"]) == (2, 2)
    assert company.row("push", "ais")["status"] == "ok"
    withdrawn = [one.get("revoked", False) for one in ais.taken[5:]]
    assert withdrawn == [True, True, False, False, False, False, False]
    stands = {one["created_by_ref"] for one in standing(ais) if one["type"] == "indicator"}
    assert len(stands) == 1
    assert us not in stands


def test_a_submission_in_part_stops(company: NodeAtWork, ais: FakeAis, tmp_path: Path) -> None:
    """Where the server has not taken who we are, nothing more is sent, and `push` and `status` say why."""
    agree(company, "ais-consent-usg")
    ais.refuse = lambda one: "no places here" if one["type"] == "relationship" else None
    company.row("publish")
    company.row("push", "ais")
    (tmp_path / "more.csv").write_text("type,value\nip,203.0.113.46\n")
    company.row("ingest", str(tmp_path / "more.csv"))
    company.row("publish")
    posts = len(ais.posts)
    done = company.run("push", "ais", "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["status"], len(ais.posts)) == (1, "held", posts)
    assert "AIS-04" in told["error"]
    assert any("AIS-04" in one for one in company.row("status")["warnings"])
    ais.refuse = lambda _: None
    assert company.row("push", "ais", "--retry-failed")["status"] == "ok"
    assert company.row("push", "ais")["waiting"] == 0


def test_a_profile_that_is_gone(company: NodeAtWork) -> None:
    """A profile that does not exist keeps everything here; `agreement check`, `doctor` and `status` say so."""
    agree(company, "ais-consent-none")
    file = company.directory / "agreements" / "cisa.toml"
    file.write_text(file.read_text().replace('profile = "ais"', 'profile = "north"'))
    assert company.row("publish", code=0)["released"]["to-cisa"] == 0
    (checked,) = company.rows("agreement", "check", code=1)
    assert "north" in checked["problems"][0]
    assert any("north" in one["problem"] for one in company.rows("doctor", code=1))
    assert any("north" in one for one in company.row("status")["warnings"])
    (company.directory / "profiles").mkdir()
    (company.directory / "profiles" / "north.toml").write_text("name = 7")
    assert any("north.toml" in one["problem"] for one in company.rows("doctor", code=1))
    assert company.row("publish")["released"]["to-cisa"] == 0
