"""The ledger as an operator, counsel and a partner use it: over HTTP, by the command line, and after kill -9."""

from __future__ import annotations

import json
import multiprocessing
import re
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import pytest
import requests
from pysqlite3 import dbapi2 as sqlite

from builders import (
    NOW,
    SECOND,
    ip,
    let_out,
    make_agreement,
    make_collection,
    make_finding,
    make_outlet,
    nothing_capped,
    take_findings,
)
from clocks import FixedClock
from nodes import PATIENCE, NodeAtWork, make_node
from taxii_node import TaxiiNode, indicator
from threatshare import publish as publishing
from threatshare.model import CollectionKind
from threatshare.store.collections import collections
from threatshare.store.embedded import Store
from threatshare.store.ledger import rows
from threatshare.store.ledger_check import check
from threatshare.store.reads import reads_of

TODAY = datetime.now(UTC).date()
LATER = str(TODAY + timedelta(days=400))
ACCEPT = {"Accept": "application/taxii+json;version=2.1"}
VALUE = "203.0.113.45"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a node that has published two values to its partner."""
    folder = tmp_path_factory.mktemp("ledger")
    made = make_node(folder / "node")
    (folder / "list.csv").write_text(f"type,value\nip,{VALUE}\ndomain,login.phish.example\n")
    made.row("ingest", str(folder / "list.csv"))
    made.row("collection", "add", "to-isac", "--title", "To the ISAC", "--partner", "isac")
    made.row("agreement", "add", "isac", "--max-tlp", "green", "--until", LATER)
    made.row("publish")
    return made.directory


@pytest.fixture
def node(published: Path, tmp_path: Path) -> NodeAtWork:
    """A copy of that node, to do with as a test likes."""
    return NodeAtWork(shutil.copytree(published, tmp_path / "node"))


def read(url: str, node: NodeAtWork, user: str, key: str) -> list[dict[str, Any]]:
    collection = next(one["id"] for one in node.rows("collection", "list") if one["alias"] == "to-isac")
    answer = requests.get(f"{url}/api/collections/{collection}/objects/", auth=(user, key), headers=ACCEPT, timeout=10)
    assert answer.status_code == 200, answer.text
    objects: list[dict[str, Any]] = answer.json().get("objects", [])
    return objects


def test_reach_tells_accounts_apart(node: NodeAtWork) -> None:
    """Of three accounts, reach says over real HTTP who got the object, and who has not been sent its withdrawal."""
    keys = {name: node.row("account", "add", name, "--read", "to-isac")["key"] for name in ("soc", "cert", "lab")}
    with node.serving() as url:
        for name in ("soc", "cert", "soc"):
            assert {one["type"] for one in read(url, node, name, keys[name])} == {"identity", "indicator"}
    file = node.directory / "agreements" / "isac.toml"
    file.write_text(file.read_text().replace('max_tlp = "green"', 'max_tlp = "clear"'))
    assert node.row("publish", code=1)["withdrawn"] == 2
    with node.serving() as url:
        assert any(one.get("revoked") for one in read(url, node, "cert", keys["cert"]))
    released, withdrawn = [one for one in node.rows("ledger", "reach", VALUE) if one["collection"] == "to-isac"]
    assert (released["what"], withdrawn["what"]) == ("release", "withdrawal")
    assert {one["who"]: one["sent"] for one in released["sent_to"]} == {"cert": "certainly", "soc": "certainly"}
    assert [one["who"] for one in released["sent_to"] if one["withdrawal_sent"]] == ["cert"]
    assert (released["not_sent_withdrawal"], released["not_sent"]) == (["soc"], ["lab"])
    assert withdrawn["not_sent"] == ["lab", "soc"]
    assert node.rows("ledger", "reach", released["object"]) == [released, withdrawn]
    shown = node.run("ledger", "reach", VALUE).stdout
    assert re.search(r"soc: pull, certainly sent, first between .*Z and .*Z, withdrawal NOT SENT\n", shown)
    assert node.run("ledger", "reach", "203.0.113.99").returncode == 1


def test_a_page_out_of_the_cache_is_recorded(tmp_path: Path, clock: FixedClock) -> None:
    """Whoever is sent a page is recorded with the time of it, whether it was built for him or for another before."""
    with TaxiiNode(tmp_path, clock=clock) as hub:
        hub.collection("one")
        hub.publish("one", *(indicator(number) for number in range(5)))
        times = {}
        for name in ("ada", "bob", "eve"):
            hub.account(name, ["one"])
            for _ in range(3):
                assert len(hub.get("/api/collections/one/objects/", name).objects) == 5
            assert hub.request("HEAD", "/api/collections/one/objects/", name).status == 200
            times[name] = hub.now
            clock.advance(hours=2)
        hub.app.close()
        found = reads_of(hub.writer, hub.collection("one").number, 3)
        assert {one.account: (one.first_at, one.last_at, one.requests) for one in found} == {
            name: (at, at, 3) for name, at in times.items()
        }


def test_counsel_reads_what_left(node: NodeAtWork) -> None:
    """Show answers what went to a partner, about an object, in a time; without a row its exit code is 1."""
    told = node.rows("ledger", "show", "--partner", "isac")
    assert [one["what"] for one in told] == ["release", "release", "introduction"]
    assert {one["agreement"]["partner"] for one in told} == {"isac"}
    assert all(re.fullmatch("[0-9a-f]{64}", one["agreement"]["sha256"]) for one in told)
    about = node.rows("ledger", "show", "--object", VALUE)
    assert sorted(one["collection"] for one in about) == ["siem", "to-isac"]
    by_id = node.rows("ledger", "show", "--object", about[0]["object"], "--partner", "isac")
    assert len(by_id) == 1
    assert len(node.rows("ledger", "show", "--from", str(TODAY - timedelta(days=1)), "--to", LATER)) == 7
    assert len(node.rows("ledger", "show", "--limit", "2")) == 2
    assert node.rows("ledger", "show", "--to", "2020-01-01", code=1) == []
    assert node.rows("ledger", "show", "--partner", "nobody", code=1) == []
    assert VALUE not in node.run("ledger", "show").stdout


def test_a_changed_ledger_is_told(node: NodeAtWork, tmp_path: Path) -> None:
    """Verify holds; after one digit of one row was changed it names the row, with exit code 1."""
    assert node.row("ledger", "verify")["holds"] is True
    with_hands(node, "UPDATE ledger SET version = version + 1 WHERE number = 4")
    told = node.row("ledger", "verify", code=1)
    assert (told["holds"], told["problems"][0].partition(":")[0]) == (False, "row 4")
    assert node.run("ledger", "verify").stdout.startswith("row 4:")


def test_a_dropped_tail_is_told_by_an_anchor(node: NodeAtWork, tmp_path: Path) -> None:
    """A head that an act or an anchor witnessed is missed where the ledger was cut back; an anchor stays elsewhere."""
    anchors = str(tmp_path / "anchors.jsonl")
    first = node.row("ledger", "anchor", anchors)
    node.row("ledger", "anchor", anchors)
    assert first["number"] == 7
    assert node.row("ledger", "verify", "--anchor", anchors)["anchors"] == 2
    with_hands(
        node,
        "DELETE FROM ledger WHERE number = 7",
        "DELETE FROM entry WHERE id = (SELECT max(id) FROM entry)",
        "UPDATE collection SET last_seq = last_seq - 1 WHERE alias = 'to-isac'",
        "DELETE FROM release",
    )
    (witness,) = node.row("ledger", "verify", code=1)["problems"]
    assert witness.endswith("row 7 of the ledger is missing, which stood when it was recorded")
    with_hands(node, "DELETE FROM act WHERE number = (SELECT max(number) FROM act)")
    assert node.row("ledger", "verify")["holds"] is True
    assert node.row("ledger", "verify", "--anchor", anchors, code=1)["problems"] == [
        "row 7 is missing: an anchor witnessed it, and the ledger ends before it"
    ]
    Path(anchors).write_text("nonsense\n")
    assert f"{anchors}:1" in node.run("ledger", "verify", "--anchor", anchors).stderr


def test_the_daemon_anchors_by_itself(node: NodeAtWork, tmp_path: Path) -> None:
    """A daemon that is told a file writes the ledger's head into it, and verifying holds the ledger against that."""
    file = node.directory / "node.toml"
    text = file.read_text("utf-8").replace("[daemon]\n", f'[daemon]\nanchor_file = "{tmp_path / "anchors"}"\n')
    file.write_text(text, "utf-8")
    with node.serving("daemon"):
        deadline = time.monotonic() + PATIENCE
        while not (tmp_path / "anchors").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert len((tmp_path / "anchors").read_text("utf-8").splitlines()) == 1
    assert node.run("ledger", "verify", "--anchor", str(tmp_path / "anchors")).returncode == 0


def test_a_partner_verifies_an_export_with_python_alone(node: NodeAtWork, tmp_path: Path) -> None:
    """The verifier that goes with an export runs on a bare Python, and sees a changed row and a dropped one."""
    export, anchors, folder = tmp_path / "ledger.jsonl", tmp_path / "anchors.jsonl", tmp_path / "for-counsel"
    node.row("ledger", "anchor", str(anchors))
    told = node.row("ledger", "export", str(export), "--with-verifier", str(folder))
    lines = export.read_text().splitlines(keepends=True)
    assert told["rows"] == len(lines) == 7
    assert node.run("ledger", "export", "-").stdout == export.read_text()

    def bare(*files: Path) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-I", "-S", folder / "verify_ledger.py", *files],
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
            cwd=folder,
        )
        return done.returncode, done.stdout

    assert len((folder / "verify_ledger.py").read_text().splitlines()) < 80
    head = told["head"]["hash"]
    assert bare(export) == (0, f"the chain holds: 7 rows, head {head}, 0 anchors met\n")
    assert bare(export, anchors) == (0, f"the chain holds: 7 rows, head {head}, 1 anchors met\n")
    export.write_text("".join(lines[:-1]))
    assert bare(export)[0] == 0
    assert bare(export, anchors) == (1, "BROKEN: row 7 was anchored, and the ledger ends at row 6\n")
    export.write_text("".join([*lines[:2], *lines[3:]]))
    assert bare(export)[1].startswith("BROKEN: row 3 is missing")
    export.write_text("".join(lines).replace('"alias":"to-isac"', '"alias":"to-nobody"'))
    assert bare(export) == (1, "BROKEN: row 5 does not give its hash\n")
    assert bare()[0] == 2


def test_an_empty_ledger(tmp_path: Path) -> None:
    """Before anything was published there is nothing to show or anchor, and nothing wrong."""
    node = make_node(tmp_path / "node")
    assert node.row("ledger", "verify")["rows"] == 0
    assert node.rows("ledger", "show", code=1) == []
    assert node.run("ledger", "anchor", str(tmp_path / "anchors")).returncode == 1
    assert not (tmp_path / "anchors").exists()


def with_hands(node: NodeAtWork, *statements: str) -> None:
    """Changes the store behind the program's back, the guards taken away first."""
    conn = sqlite.connect(node.directory / "store.db")
    for (name,) in conn.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        conn.execute(f"DROP TRIGGER {name}")
    for statement in statements:
        conn.execute(statement)
    conn.commit()
    conn.close()


# --- kill -9 -----------------------------------------------------------------------------------------

ROUNDS = 10
VALUES = [ip(f"45.1.{number // 250}.{number % 250}") for number in range(300)]
_fork = multiprocessing.get_context("fork")


def publish_for_ever(file: Path, log: Path, first: int) -> None:
    """Takes findings in and publishes them, step by step, in small batches; says in a log which step is done."""
    publishing.BATCH = 7
    store = Store(file, nothing_capped)
    partner, siem = collections(store.conn)
    for step in count(first):
        at = NOW + step * SECOND
        random = Random(step)
        take_findings(store, *(make_finding(random.choice(VALUES), seen=at - SECOND) for _ in range(50)), now=at)
        agreement = None if step % 4 == 3 else make_agreement()
        let_out(store, make_outlet(partner, agreement, at), make_outlet(siem, now=at))
        with log.open("ab", buffering=0) as out:
            out.write(json.dumps(step).encode() + b"\n")


def wait_for(log: Path, steps: int) -> None:
    """Waits until a log has more steps than so many: on a busy machine no round may end before it began."""
    patience = time.monotonic() + 60
    while len(log.read_bytes().split()) <= steps:
        assert time.monotonic() < patience, "it never published"
        time.sleep(0.005)


def test_killed_while_publishing_ledger_and_entries_agree(tmp_path: Path) -> None:
    """However often publishing is killed, the ledger verifies, and keeps every row that was there before."""
    file, log = tmp_path / "store.db", tmp_path / "log"
    store = Store(file, nothing_capped)
    make_collection(store, CollectionKind.PARTNER, "to-north", "north")
    make_collection(store, CollectionKind.SIEM)
    store.close()
    log.touch()
    anchors: dict[int, list[str]] = {}
    sizes = []
    for seed in range(ROUNDS):
        done = log.read_bytes().split()
        child = _fork.Process(target=publish_for_ever, args=(file, log, int(done[-1]) + 1 if done else 0))
        child.start()
        wait_for(log, len(done))
        time.sleep(Random(seed).uniform(0, 0.1))
        child.kill()
        child.join()
        store = Store(file, nothing_capped)
        found = check(store.conn, anchors)
        assert (found.problems, found.anchors) == ([], len(anchors))
        entries = store.conn.execute("SELECT count(*) FROM entry").fetchone()[0]
        assert found.rows == (entries + 1 if entries else 0)
        anchors |= {row.number: [row.hash] for row in rows(store.conn)}
        sizes.append(found.rows)
        store.close()
    assert sizes == sorted(set(sizes))
