"""kill -9 at random moments of pulling and publishing: nothing acknowledged is lost, nothing is there twice.

What was acknowledged is written to a log outside of the process that is killed. After each kill the store is
held against what a run without kills would hold behind the same page. The ordinary run makes 20 rounds of
each; THREATSHARE_CRASH_ROUNDS asks for more.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import count, pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest

from builders import (
    DAY,
    NOW,
    SECOND,
    US,
    FakeFeed,
    Served,
    feed_source,
    identity_uuid,
    ip,
    let_out,
    make_agreement,
    make_collection,
    make_finding,
    make_indicator,
    make_outlet,
    nothing_capped,
    served,
    take_findings,
)
from threatshare import publish as publishing
from threatshare import pull as pulling
from threatshare.admission import bounds
from threatshare.admission import objects as admitted
from threatshare.model import Collection, CollectionKind, Evidence, Finding, Kind, Micros
from threatshare.stix.objects import indicator_id, reborn_id
from threatshare.stix.patterns import read_pattern
from threatshare.stix.timestamps import read_timestamp
from threatshare.store.collections import collections
from threatshare.store.embedded import Store
from threatshare.store.lookups import claims_about, known
from threatshare.store.runs import feed_state
from threatshare.triage.score import score

ROUNDS = int(os.environ.get("THREATSHARE_CRASH_ROUNDS", "20"))
LONGEST = 0.15
"""Seconds after which a round's process is killed at the latest."""

_fork = multiprocessing.get_context("fork")


def run(work: Callable[[], None], kill_after: float | None = None) -> None:
    """Runs something in a child process, and kills that with SIGKILL after so many seconds."""
    child = _fork.Process(target=work)
    child.start()
    if kill_after is not None:
        time.sleep(kill_after)
        child.kill()
    child.join()
    assert kill_after is not None or child.exitcode == 0
    child.close()


def acknowledge(log: Path, *told: object) -> None:
    """Writes a line to the log: with one call, so that it is there as a whole or not at all."""
    with log.open("ab", buffering=0) as file:
        file.write(json.dumps(told).encode() + b"\n")


def acknowledged(log: Path) -> list[Any]:
    return [json.loads(line) for line in log.read_bytes().splitlines()] if log.exists() else []


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "store.db"
    Store(made, nothing_capped).close()
    return made


# --- pulling -----------------------------------------------------------------------------------------

PAGES = 30 * ROUNDS
PAGE = 20
OBJECTS = PAGES * PAGE // 3
"""So many ids: each comes in several versions, pages apart."""


def page(number: int) -> list[bytes]:
    """Builds a page, always the same: new objects, later and earlier versions, moves, withdrawals, copies, nonsense."""
    random = Random(number)
    raws = []
    for _ in range(PAGE):
        told = make_indicator(
            random.randrange(OBJECTS),
            ip(f"45.0.{random.randrange(8)}.{random.randrange(256)}"),
            modified=NOW - random.randrange(28) * DAY,
            confidence=random.choice([None, 30, 90]),
            by=random.choice([None, identity_uuid(1), identity_uuid(2)]),
            revoked=random.random() < 0.1,
        )
        raws.append(json.dumps(told).encode())
    raws.append(raws[0])
    if number % 7 == 0:
        raws.append(b'{"type": "nonsense"}')
    return raws


def pull_pages(file: Path, log: Path, many: int = admitted.MANY) -> None:
    """Pulls what is left of the feed, a page a transaction, and acknowledges each.

    Where a page has ``many`` objects or more, a thread brings it from the log into the file meanwhile.
    """
    bounds.BATCH, admitted.MANY = 1, many
    store = Store(file, nothing_capped)
    feed = FakeFeed(Pages())

    def commit_seen(_: object) -> bool:
        acknowledge(log, feed_state(store.conn, "feed-a").cursor)
        return True

    pulling.pull(store, feed_source(store), feed, US, lambda: NOW, commit_seen)
    store.close()


class Pages(Sequence[list[bytes]]):
    """All pages of the feed, built when they are asked for."""

    def __len__(self) -> int:
        return PAGES

    def __getitem__(self, number: Any) -> Any:
        return page(number)


class Model:
    """What the store should hold behind a page: every version by (id, modified), the first content of each."""

    def __init__(self) -> None:
        self.pages = 0
        self.versions: dict[tuple[str, Micros], dict[str, Any]] = {}
        self.newest: dict[str, Micros] = {}
        self.withdrawn: set[str] = set()

    def advance(self, pages: int) -> None:
        while self.pages < pages:
            self._take([json.loads(raw) for raw in page(self.pages)])
            self.pages += 1

    def _take(self, objects: list[dict[str, Any]]) -> None:
        objects = [one for one in objects if one["type"] == "indicator"]
        for one in sorted(objects, key=lambda one: read_timestamp(one["modified"])):
            at = read_timestamp(one["modified"])
            if (one["id"], at) in self.versions:
                continue
            self.versions[one["id"], at] = one
            if at > self.newest.get(one["id"], at - 1):
                self.newest[one["id"]] = at
            if one.get("revoked"):
                self.withdrawn.add(one["id"])

    def claims(self) -> dict[tuple[str, str], bool]:
        """By value and indicator id, whether the claim is withdrawn."""
        found = {}
        for stix_id, at in self.newest.items():
            for observable in read_pattern(self.versions[stix_id, at]["pattern"]):
                found[observable.value, stix_id] = stix_id in self.withdrawn
        return found


def check_pull(file: Path, log: Path, model: Model) -> int:
    """Holds a store against the model behind the page that its cursor names; gives that page's number."""
    store = Store(file, nothing_capped)
    conn = store.conn
    assert conn.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    cursor = int(feed_state(conn, "feed-a").cursor or 0)
    acks = [int(one[0]) for one in acknowledged(log)]
    assert acks == list(range(1, len(acks) + 1))
    # One page may be committed and not yet acknowledged.
    assert len(acks) <= cursor <= len(acks) + 1
    if cursor > len(acks):
        acknowledge(log, cursor)
    model.advance(cursor)
    rows = conn.execute("SELECT object, modified, body FROM version").fetchall()
    assert len({row[:2] for row in rows}) == len(rows)
    assert {(told["id"], modified): told for _, modified, told in ((*row[:2], json.loads(row[2])) for row in rows)} == (
        model.versions
    )
    held = conn.execute(
        "SELECT body FROM object JOIN version ON version.number = object.version AND version.object = object.key"
    ).fetchall()
    heads = [json.loads(body) for (body,) in held]
    assert {one["id"]: read_timestamp(one["modified"]) for one in heads} == model.newest
    assert len(heads) == conn.execute("SELECT count(*) FROM object").fetchone()[0]
    claims = conn.execute(
        "SELECT value, body, flags FROM claim JOIN observable ON observable.number = claim.observable"
        " JOIN object ON object.key = claim.object JOIN version ON version.number = object.version"
    ).fetchall()
    assert {(value, json.loads(body)["id"]): bool(flags & 1) for value, body, flags in claims} == model.claims()
    assert len(claims) == conn.execute("SELECT count(*) FROM claim").fetchone()[0]
    check_scores(store)
    store.close()
    return cursor


def check_scores(store: Store) -> None:
    """Checks that every stored score is that of all claims, whenever it was written: all at the same moment here."""
    stored = dict(store.conn.execute("SELECT number, score FROM observable"))
    claims = claims_about(store.conn, list(stored))
    for number, value in stored.items():
        assert value == score(Kind.IPV4, [one.claim for one in claims.get(number, [])], Evidence(), NOW).value


def longest(done: Sequence[object]) -> float:
    """Gives how long a round may go on: longer, the more often the last ones were killed before they got anywhere."""
    idle = sum(one == other for one, other in pairwise(done))
    return float(LONGEST * (1 + idle))


def test_killed_while_pulling(file: Path, tmp_path: Path) -> None:
    """However often a pull is killed, the store holds whole pages, all that were acknowledged, each once."""
    log, model = tmp_path / "acknowledged", Model()
    passed: list[int] = []
    for seed in range(ROUNDS):
        run(partial(pull_pages, file, log, 1 if seed % 2 else admitted.MANY), Random(seed).uniform(0, longest(passed)))
        passed.append(check_pull(file, log, model))
    assert passed == sorted(passed)
    assert len(set(passed)) > ROUNDS // 4, "the kills came before anything was done"
    run(partial(pull_pages, file, log))
    assert check_pull(file, log, model) == PAGES


# --- publishing --------------------------------------------------------------------------------------

VALUES = [ip(f"45.1.{number // 250}.{number % 250}") for number in range(400)]
STEP = 100


def findings(step: int) -> Iterator[Finding]:
    """Gives what our sensors find at a step: a hundred values, seen later than ever before."""
    random = Random(step)
    for _ in range(STEP):
        yield make_finding(random.choice(VALUES), seen=NOW - 20 * DAY + step * SECOND)


def find_and_publish(file: Path, log: Path, first: int) -> None:
    """Takes findings in and publishes them to a partner and our SIEM, step by step, in small batches."""
    publishing.BATCH = 7
    store = Store(file, nothing_capped)
    partner, siem = collections_of(store)
    for step in count(first):
        at = NOW + step * SECOND
        take_findings(store, *findings(step), now=at)
        # Every fifth step there is no agreement: everything is withdrawn, and comes back with the next.
        agreement = None if step % 5 == 4 else make_agreement()
        let_out(store, make_outlet(partner, agreement, at), make_outlet(siem, now=at))
        acknowledge(log, step)


def collections_of(store: Store) -> tuple[Collection, Collection]:
    """Gives the partner's collection and our SIEM's."""
    found = {one.kind: one for one in collections(store.conn)}
    return found[CollectionKind.PARTNER], found[CollectionKind.SIEM]


def check_published(store: Store, collection: Collection) -> list[Served]:
    """Checks what must hold of a collection at any moment: no gap, nothing twice, decisions that match."""
    entries = served(store, collection)
    assert [one.seq for one in entries] == list(range(1, len(entries) + 1))
    assert [one.added for one in entries] == sorted({one.added for one in entries})
    assert len({(one.id, one.version) for one in entries}) == len(entries)
    last = {one.id: one for one in sorted(entries, key=lambda one: one.version)}
    assert {one.id for one in entries if one.current} == set(last)
    assert all(one.current == (last[one.id] is one) for one in entries)
    decided = store.conn.execute(
        "SELECT object_id, version, verdict, life FROM release WHERE collection = ? AND version > 0",
        (collection.number,),
    ).fetchall()
    told = {
        reborn_id(object_id, life): (version, verdict != "release") for object_id, version, verdict, life in decided
    }
    assert told.items() <= {one.id: (one.version, one.revoked) for one in last.values()}.items()
    # What no decision speaks of any more belongs to a life that is over.
    assert all(last[one].revoked for one in last.keys() - told.keys())
    return entries


def test_killed_while_publishing(file: Path, tmp_path: Path) -> None:
    """However often it is killed, collections have no gap and nothing twice, and the next run completes them."""
    log = tmp_path / "acknowledged"
    store = Store(file, nothing_capped)
    make_collection(store, CollectionKind.PARTNER, "to-north", "north")
    make_collection(store, CollectionKind.SIEM)
    store.close()
    sizes: list[int] = []
    for seed in range(ROUNDS):
        steps = [one[0] for one in acknowledged(log)]
        work = partial(find_and_publish, file, log, steps[-1] + 1 if steps else 0)
        run(work, Random(seed).uniform(0, longest(sizes)))
        store = Store(file, nothing_capped)
        assert store.conn.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        sizes.append(sum(len(check_published(store, one)) for one in collections_of(store)))
        store.close()
    assert sizes == sorted(sizes)
    assert len(set(sizes)) > ROUNDS // 4, "the kills came before anything was done"
    complete(file, NOW + DAY)


def complete(file: Path, at: Micros) -> None:
    """Publishes what is left, and holds both collections against what our sensors found."""
    store = Store(file, nothing_capped)
    partner, siem = collections_of(store)
    let_out(store, make_outlet(partner, make_agreement(), at), make_outlet(siem, now=at))
    found = known(store.conn, store.key_of, VALUES)
    assert len(found) > len(VALUES) // 2
    stands = {one.id: one for one in check_published(store, partner) if one.current and not one.revoked}
    lives = dict(store.conn.execute("SELECT object_id, life FROM release WHERE collection = ?", (partner.number,)))
    wanted = {reborn_id(name, lives[name]) for name in (indicator_id(US, one) for one in found)}
    assert stands.keys() == wanted | {US}
    us, *others = check_published(store, siem)
    assert (us.id, us.current) == (US, True)
    patterns = [one.body["pattern"] for one in others if one.current and not one.revoked]
    assert len(patterns) == len(set(patterns)) == len(found)
    again = let_out(store, make_outlet(partner, make_agreement(), at), make_outlet(siem, now=at))
    assert (again.released, again.withdrawn) == ({"to-north": 0, "siem": 0}, 0)
    store.close()


def test_the_feed_is_what_it_should_be() -> None:
    """The pages of this test hold what it is about: several versions of an object, withdrawals and nonsense."""
    model = Model()
    model.advance(60)
    assert len(model.versions) > len(model.newest) > 100
    assert model.withdrawn
    assert any(b"nonsense" in raw for number in range(9) for raw in page(number))
    assert page(3) == page(3) != page(4)
