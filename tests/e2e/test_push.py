"""Delivering to a partner's server with real processes: two nodes, and kill -9 with both sides counted."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import groupby, pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
import requests

import fake_ais
from builders import make_indicator, make_outlet, nothing_capped
from clocks import FixedClock
from nodes import PATIENCE, NodeAtWork, make_node
from push_builders import numbers
from threatshare.model import Collection, CollectionKind
from threatshare.share.push import push
from threatshare.share.push_settings import PushSettings
from threatshare.share.push_target import target_of
from threatshare.stix.timestamps import read_timestamp
from threatshare.store.collections import add_collection, collection_by_alias
from threatshare.store.deliveries import deliveries, undelivered
from threatshare.store.embedded import Store
from threatshare.store.entries import NewEntry, append_entries
from threatshare.store.targets import target_state

LATER = str((datetime.now(UTC) + timedelta(days=400)).date())
TAXII = "application/taxii+json;version=2.1"
ROUNDS = int(os.environ.get("THREATSHARE_CRASH_ROUNDS", "20"))
LONGEST = 0.02
"""Seconds from an arrival to the kill at most: about what an envelope takes."""
OBJECTS = 60 * ROUNDS

_fork = multiprocessing.get_context("fork")


# --- two nodes -----------------------------------------------------------------------------------------


@pytest.fixture
def company(tmp_path: Path) -> NodeAtWork:
    """A company with three findings cleared for its ISAC."""
    node = make_node(tmp_path / "company", "--own-domain", "company.example")
    (tmp_path / "list.csv").write_text(
        "type,value\nip,203.0.113.45\nurl,https://login.phish.example/m365\nsha256," + "ab" * 32 + "\n"
    )
    node.row("ingest", str(tmp_path / "list.csv"))
    node.row("collection", "add", "to-isac", "--title", "To the ISAC", "--partner", "isac")
    node.row("agreement", "add", "isac", "--max-tlp", "green", "--until", LATER)
    assert node.row("publish")["released"]["to-isac"] == 3
    return node


@pytest.fixture
def hub(tmp_path: Path) -> NodeAtWork:
    """The ISAC's node with an exchange and an inbox."""
    node = make_node(tmp_path / "isac", name="Test ISAC")
    node.row("collection", "add", "exchange", "--title", "Exchange", "--exchange")
    node.row("collection", "add", "inbox", "--title", "Inbox", "--inbox")
    return node


def _read(url: str, collection: str, key: str) -> list[dict[str, Any]]:
    answer = requests.get(
        f"{url}/api/collections/{collection}/objects/",
        params={"match[version]": "all"},
        auth=("member", key),
        headers={"Accept": TAXII},
        timeout=20,
    )
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["objects"]
    return found


def test_to_the_exchange_of_another_node(company: NodeAtWork, hub: NodeAtWork) -> None:
    """What was cleared for the hub arrives there as it was cleared, once, and so does its withdrawal."""
    company.secrets["KEY"] = hub.row("account", "add", "company", "--read", "exchange", "--write", "exchange")["key"]
    member = hub.row("account", "add", "member", "--read", "exchange")["key"]
    with hub.serving() as url:
        who = ("--user", "company", "--password-env", "KEY")
        added = company.row("target", "add", "isac", "to-isac", f"{url}/taxii2/", "--remote", "Exchange", *who)
        assert added["allow_private_address"] is True
        dry = company.row("push", "isac", "--dry-run")
        assert (dry["status"], dry["sent"], dry["waiting"]) == ("dry-run", 0, 4)
        file = company.directory / "agreements" / "isac.toml"
        agreed = file.read_text()
        file.write_text(agreed.replace('max_tlp = "green"', 'max_tlp = "clear"'))
        held = company.row("push", code=1)
        assert (held["status"], held["sent"], held["waiting"]) == ("held", 0, 4)
        file.write_text(agreed)
        # What was tightened for a moment is a loosening when it is put back, and two persons confirm that.
        for desk in ("First desk", "Second desk"):
            company.row("agreement", "confirm", "isac", "--by", desk, "--reason", "as signed")
        report = company.row("push")
        assert (report["target"], report["status"], report["sent"], report["accepted"]) == ("isac", "ok", 4, 4)
        assert (report["pending"], report["failed"], report["waiting"], report["error"]) == (0, 0, 0, None)
        with company.serving() as own_url:
            reader = company.row("account", "add", "member", "--read", "to-isac")["key"]
            cleared = _read(own_url, "to-isac", reader)
        assert _read(url, "exchange", member) == cleared
        assert company.row("push")["sent"] == 0
        file.write_text(agreed.replace('max_tlp = "green"', 'max_tlp = "clear"'))
        assert company.row("publish", code=1)["withdrawn"] == 3
        assert company.row("push")["accepted"] == 3
        arrived = _read(url, "exchange", member)
    assert sum(one.get("revoked", False) for one in arrived) == 3
    listed = company.row("target", "list")
    assert (listed["target"], listed["waiting"], listed["refused"], listed["parked"]) == ("isac", 0, 0, False)
    assert company.rows("target", "refused", "isac") == []


def test_to_the_inbox_of_another_node(company: NodeAtWork, hub: NodeAtWork) -> None:
    """What is delivered to an inbox is known there under our name."""
    company.secrets["KEY"] = hub.row("account", "add", "company", "--write", "inbox")["key"]
    with hub.serving() as url:
        company.row("target", "add", "isac", "to-isac", f"{url}/api/collections/inbox/", "--token-env", "KEY")
        assert company.row("push", "isac")["accepted"] == 4
    assert hub.row("lookup", "203.0.113.45")["sources"] == ["company"]


def test_refused_by_another_node(company: NodeAtWork, hub: NodeAtWork) -> None:
    """A wrong key parks the target with a clear message and exit code 4; the right one mends it."""
    company.secrets["KEY"] = "wrong"
    with hub.serving() as url:
        who = ("--user", "company", "--password-env", "KEY")
        company.row("target", "add", "isac", "to-isac", f"{url}/taxii2/", "--remote", "Exchange", *who)
        report = company.row("push", "isac", code=4)
        assert (report["status"], report["sent"], report["waiting"]) == ("parked", 0, 4)
        assert "HTTP 401" in report["error"]
        assert company.row("target", "list")["parked"] is True
        rights = ("--read", "exchange", "--write", "exchange")
        company.secrets["KEY"] = hub.row("account", "add", "company", *rights)["key"]
        assert company.row("push", "isac")["accepted"] == 4
    assert company.run("push", "nobody").returncode == 2
    (company.directory / "push" / "isac.toml").write_text('collection = "siem"\nurl = "https://x.example/"\n')
    done = company.run("push")
    assert (done.returncode, "only what was cleared for a partner" in done.stderr) == (3, True)


# --- killed --------------------------------------------------------------------------------------------


class Partner:
    """The partner's server in a process of its own, and what it has written down."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "arrived"
        self.process = subprocess.Popen(
            [sys.executable, fake_ais.__file__, str(self.log)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()

    @property
    def envelopes(self) -> list[list[dict[str, Any]]]:
        """What was taken, envelope by envelope."""
        return [json.loads(line) for line in self.log.read_bytes().splitlines()] if self.log.exists() else []

    def close(self) -> None:
        """Ends the process."""
        self.process.communicate(timeout=PATIENCE)


@pytest.fixture
def partner(tmp_path: Path) -> Iterator[Partner]:
    made = Partner(tmp_path)
    yield made
    made.close()


def _fill(store: Store, count: int) -> Collection:
    """Clears numbered indicators for a partner."""
    made = [make_indicator(number) for number in range(1, count + 1)]
    at = read_timestamp(made[0]["modified"])
    entries = [NewEntry(one["id"], at, "indicator", "2.1", json.dumps(one).encode(), "") for one in made]
    with store.writing() as conn:
        found = collection_by_alias(conn, "to-north")
        collection = found or add_collection(conn, "to-north", "To North", CollectionKind.PARTNER, "north", at)
        append_entries(conn, collection, entries, at)
    return collection


def _run(work: Callable[[], None], kill_when: Callable[[], bool] | None = None) -> None:
    """Runs something in a child process, and kills that with SIGKILL at a moment."""
    child = _fork.Process(target=work)
    child.start()
    if kill_when is not None:
        ends = time.monotonic() + PATIENCE
        while child.is_alive() and time.monotonic() < ends and not kill_when():
            time.sleep(0.001)
        child.kill()
    child.join()
    assert kill_when is not None or child.exitcode == 0
    child.close()


def _push(folder: Path, url: str) -> None:
    store = Store(folder / "store.db", nothing_capped)
    settings = PushSettings("to-north", url, allow_private_address=True, max_objects=7)
    clock = FixedClock()
    collection = collection_by_alias(store.conn, "to-north")
    assert collection is not None
    target = target_of("north", settings, folder, store.conn, [make_outlet(collection)], clock)
    report = push(store, target, lambda: clock.micros)
    assert (report.status, report.error) == ("ok", None)
    store.close()


def _account(store: Store, partner: Partner) -> tuple[int, int]:
    """Holds what we have recorded against what has arrived; gives how many objects each side counts."""
    assert store.conn.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    state = target_state(store.conn, "north")
    position = state.position if state else 0
    recorded = deliveries(store.conn, "north", 100_000)[::-1]
    done = [one for one in recorded if one.state == "done"]
    open_now = [one for one in recorded if one.state != "done"]
    assert [one.state for one in open_now] in ([], ["sending"])
    ends = [(one.first_seq, one.last_seq) for one in done]
    assert all(after[0] == before[1] + 1 for before, after in pairwise(ends)), "a gap, or something twice"
    assert (ends[-1][1] if ends else 0) == position
    assert sum(one.accepted for one in done) == position
    assert undelivered(store.conn, "north") == []
    envelopes = partner.envelopes
    arrived = Counter(number for one in envelopes for number in numbers([thing["id"] for thing in one]))
    assert set(arrived) >= set(range(1, position + 1)), "recorded, and never arrived"
    ahead = set(arrived) - set(range(1, position + 1))
    assert ahead <= {seq for one in open_now for seq in range(one.first_seq, one.last_seq + 1)}
    runs = [text for text, _ in groupby(json.dumps(one) for one in envelopes)]
    assert len(set(runs)) == len(runs), "an envelope came again after another had been sent"
    return position, sum(arrived.values())


def _moment(partner: Partner, random: Random) -> Callable[[], bool]:
    """Gives when to kill: some milliseconds after something has arrived, so that it does not depend on the machine."""
    before = partner.log.stat().st_size if partner.log.exists() else 0
    wanted, delay = random.randrange(4), random.uniform(0, LONGEST)
    due: list[float] = []

    def now() -> bool:
        grown = partner.log.exists() and partner.log.stat().st_size > before + wanted * 2_000
        if grown and not due:
            due.append(time.monotonic() + delay)
        return bool(due) and time.monotonic() >= due[0]

    return now


def test_killed_while_pushing(tmp_path: Path, partner: Partner) -> None:
    """However often it is killed, what is recorded has arrived, only the envelope under way may come twice."""
    store = Store(tmp_path / "store.db", nothing_capped)
    _fill(store, OBJECTS)
    store.close()
    passed = []
    for seed in range(ROUNDS):
        _run(partial(_push, tmp_path, partner.url), _moment(partner, Random(seed)))
        store = Store(tmp_path / "store.db", nothing_capped)
        passed.append(_account(store, partner)[0])
        store.close()
    assert passed == sorted(passed)
    assert len(set(passed)) > ROUNDS // 4, "the kills came before anything was done"
    _run(partial(_push, tmp_path, partner.url))
    store = Store(tmp_path / "store.db", nothing_capped)
    position, arrivals = _account(store, partner)
    store.close()
    assert position == OBJECTS
    assert OBJECTS <= arrivals <= OBJECTS + 7 * ROUNDS
    firsts = list(dict.fromkeys(number for one in partner.envelopes for number in numbers([x["id"] for x in one])))
    assert firsts == list(range(1, OBJECTS + 1)), "out of order"


def test_the_command_killed(tmp_path: Path, partner: Partner) -> None:
    """The command itself, killed in the middle, goes on where it was, and both sides agree in the end."""
    node = make_node(tmp_path / "node")
    store = Store(node.directory / "store.db", nothing_capped)
    node.row("collection", "add", "to-north", "--title", "To North", "--partner", "north")
    _fill(store, 1_000)
    node.row("target", "add", "north", "to-north", partner.url, "--max-objects", "7")
    command = [sys.executable, "-m", "threatshare", "--node", str(node.directory), "push"]
    for _ in range(3):
        before = len(partner.envelopes)
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        ends = time.monotonic() + PATIENCE
        while len(partner.envelopes) < before + 20 and process.poll() is None and time.monotonic() < ends:
            time.sleep(0.005)
        process.kill()
        process.wait()
        position, _ = _account(store, partner)
        assert 0 < position < 1_000
    assert node.row("push")["waiting"] == 0
    assert _account(store, partner)[0] == 1_000
    store.close()
