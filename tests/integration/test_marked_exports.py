"""Markings all the way: from a feed's bytes to the files and collections that our own tools read."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from builders import (
    BAD,
    DAY,
    NOW,
    SECOND,
    feed_source,
    ip,
    let_out,
    make_collection,
    make_indicator,
    make_indicator_json,
    make_outlet,
    make_store,
    standing,
    take_in,
)
from marking_builders import a_privilege, a_statement, acs_policy, an_acs, an_iep, as_json, marking_uuid
from nodes import NodeAtWork, make_node
from threatshare.model import Collection, CollectionKind, Pap, Tlp, micros
from threatshare.publish import rescore_due
from threatshare.stix.marking_definitions import PAP_IDS
from threatshare.stix.timestamps import write_timestamp
from threatshare.stix.tlp import TLP2_ID
from threatshare.store.embedded import Store
from threatshare.triage.merged import MONITOR_ONLY

PAP_AMBER = next(ref for ref, pap in PAP_IDS.items() if pap is Pap.AMBER)
IEP, ACS, LATE = marking_uuid(1), marking_uuid(2), marking_uuid(3)
FREE, WATCHED, POLICY, FEDERAL, UNKNOWN, SHARED, THEIRS = (f"203.0.113.{last}" for last in range(11, 18))

DEFINITIONS = [
    an_iep(IEP, permitted_actions="contact-for-instruction"),
    an_acs(
        ACS,
        policy_reference=acs_policy("deny", "deny"),
        access_privilege=[a_privilege("CISAUSES")],
        further_sharing=[{"sharing_scope": ["USA.USG"], "rule_effect": "permit"}],
    ),
]
AGREEMENT = """
partner = "north"
effective_from = 2026-01-01
expires_on = 2036-01-01
signed_on = 2026-01-01

[outbound]
max_tlp = "green"

[inbound]
sources = ["north-feed"]
"""


def bundle(file: Path, *objects: dict[str, Any]) -> Path:
    file.write_text(json.dumps({"type": "bundle", "id": "bundle--" + marking_uuid(9)[-36:], "objects": objects}))
    return file


def about(number: int, value: str, *refs: str) -> dict[str, Any]:
    """An indicator of yesterday's, GREEN, with further markings."""
    now = micros(datetime.now(UTC))
    marked = [TLP2_ID[Tlp.GREEN], *refs]
    return make_indicator(number, ip(value), modified=now - DAY, confidence=80, object_marking_refs=marked)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> NodeAtWork:
    """A node that has pulled an open feed and a partner's, before one definition has come."""
    folder = tmp_path_factory.mktemp("markings")
    made = make_node(folder / "node")
    (made.directory / "agreements").mkdir(exist_ok=True)
    (made.directory / "agreements/north.toml").write_text(AGREEMENT)
    open_feed = bundle(
        folder / "open.json",
        about(1, FREE),
        about(2, WATCHED, PAP_AMBER),
        about(3, POLICY, IEP),
        about(4, FEDERAL, ACS),
        about(5, UNKNOWN, LATE),
        about(6, SHARED),
        *DEFINITIONS,
    )
    theirs = bundle(folder / "north.json", about(7, SHARED, PAP_AMBER), about(8, THEIRS))
    for name, file in (("open-feed", open_feed), ("north-feed", theirs)):
        made.row("feed", "add", name, str(file), "--kind", "stix", "--reliability", "A")
    assert [row["status"] for row in made.rows("pull")] == ["ok", "ok"]
    return made


def blocklist(node: NodeAtWork) -> tuple[set[str], str]:
    done = node.run("export", "blocklist")
    return {line for line in done.stdout.splitlines() if not line.startswith("#")}, done.stderr


def test_only_what_somebody_lets_us_block_is_in_a_blocklist(node: NodeAtWork) -> None:
    """Left out is what its only source forbids, by PAP, IEP or agreement, and stderr says how much and why."""
    values, told = blocklist(node)
    assert values == {FREE, FEDERAL, SHARED}
    assert "left out 2 that its marking (PAP, IEP or ACS) does not let us block" in told
    assert "left out 1 that the agreement with north (inbound) does not let us block" in told


def test_other_exports_hold_it(node: NodeAtWork) -> None:
    """What may not be blocked may be known: the table has it, and the bundle says that it is only to be watched."""
    rows = {row["value"]: row for row in csv.DictReader(io.StringIO(node.run("export", "csv").stdout))}
    assert rows.keys() == {FREE, WATCHED, POLICY, FEDERAL, SHARED, THEIRS}
    assert rows[FEDERAL]["tlp"] == "amber+strict"
    done = node.run("export", "stix")
    assert "left out" not in done.stderr
    watched = {one["name"] for one in json.loads(done.stdout)["objects"] if MONITOR_ONLY in one["labels"]}
    assert len(watched) == 2
    assert all(any(value in name for name in watched) for value in (WATCHED, POLICY))


def test_a_late_definition_counts_at_once(node: NodeAtWork) -> None:
    """As soon as its definition has come, what was unknown stands in every export that the definition allows."""
    file = bundle(node.directory.parent / "open.json", a_statement(ref=LATE))
    assert file.exists()
    node.rows("pull", "open-feed")
    assert UNKNOWN in blocklist(node)[0]


def test_an_agreement_that_allows_it_counts_at_once(node: NodeAtWork) -> None:
    """Where the partner lets us block, its values are in the next list; what PAP forbids stays out."""
    file = node.directory / "agreements/north.toml"
    file.write_text(f"{AGREEMENT}may_block = true\n")
    try:
        values, told = blocklist(node)
    finally:
        file.write_text(AGREEMENT)
    assert THEIRS in values
    assert WATCHED not in values
    assert "agreement" not in told


# --- the SIEM collection -----------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = make_store(tmp_path)
    yield made
    made.close()


@pytest.fixture
def siem(store: Store) -> Collection:
    return make_collection(store, CollectionKind.SIEM)


def labels(store: Store, siem: Collection, now: int = NOW) -> list[list[str]]:
    """Publishes, and gives the labels of what stands then."""
    rescore_due(store, now)
    let_out(store, make_outlet(siem, now=now))
    held = [body for body in standing(store, siem).values() if body["type"] == "indicator"]
    return [body["labels"] for body in held]


def test_the_siem_is_told_what_to_watch_only(store: Store, siem: Collection) -> None:
    """The label comes with the only claim that forbids blocking, and goes with one that allows it."""
    source = feed_source(store)
    take_in(store, source, make_indicator_json(1, BAD, object_marking_refs=[PAP_AMBER]))
    assert [MONITOR_ONLY in one for one in labels(store, siem)] == [True]
    take_in(store, feed_source(store, "feed-b"), make_indicator_json(1, BAD))
    assert [MONITOR_ONLY in one for one in labels(store, siem, NOW + SECOND)] == [False]


def test_the_siem_looks_again_for_a_definition(store: Store, siem: Collection) -> None:
    """A value whose marking was unknown enters the collection within a day after its definition has come."""
    source = feed_source(store)
    take_in(store, source, make_indicator_json(1, BAD, tlp=LATE))
    assert labels(store, siem) == []
    take_in(store, source, as_json(a_statement(ref=LATE)), now=NOW + SECOND)
    assert len(labels(store, siem, NOW + DAY)) == 1


def test_the_siem_sees_a_policy_end(store: Store, siem: Collection) -> None:
    """When a policy that let us block has ended, the value is to be watched only, with no new word from its source."""
    policy = an_iep(IEP, end_date=write_timestamp(NOW + 60 * SECOND))
    take_in(store, feed_source(store), as_json(policy), make_indicator_json(1, BAD, tlp=IEP))
    assert [MONITOR_ONLY in one for one in labels(store, siem)] == [False]
    assert [MONITOR_ONLY in one for one in labels(store, siem, NOW + 120 * SECOND)] == [True]
