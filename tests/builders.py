"""Builders with defaults for the store's and the flows' tests: objects as partners send them, findings, stores, feeds.

Everything happens around NOW. A store is a copy of one that was migrated once, and does not wait for the
disk: what a kill leaves behind is the crash tests' business.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec

from clocks import START
from threatshare.admission.objects import take
from threatshare.config import OwnAssets
from threatshare.errors import PartnerError
from threatshare.findings.assertions import Own
from threatshare.ingest import IngestReport, ingest
from threatshare.model import (
    Collection,
    CollectionKind,
    Finding,
    Kind,
    Micros,
    Observable,
    Observation,
    Reject,
    Role,
    Tally,
    Tlp,
    micros,
    moment,
)
from threatshare.policy.agreements import Agreement, Outbound
from threatshare.policy.gate import Audience, Facts
from threatshare.ports import Page
from threatshare.publish import publish
from threatshare.share.outlets import Outlet, PublishReport
from threatshare.stix.objects import identity, new_identity_id, written
from threatshare.stix.patterns import pattern_of
from threatshare.stix.received import Received, read_object
from threatshare.stix.timestamps import read_timestamp, write_timestamp
from threatshare.stix.tlp import TLP2_ID
from threatshare.store.collections import add_collection
from threatshare.store.connection import Connection, open_writer
from threatshare.store.embedded import Store
from threatshare.store.sources import Source

NOW: Micros = micros(START)
SECOND: Micros = 1_000_000
DAY: Micros = 86_400 * SECOND
CREATED = "2026-01-01T00:00:00.000Z"
US = new_identity_id("Our Company", CREATED)
BEGUN: Micros = read_timestamp("2026-02-01T00:00:00.000Z")
"""When the partners' objects were created, unless a test says otherwise."""


# --- objects as partners send them -------------------------------------------------------------------


def indicator_uuid(number: int) -> str:
    """Gives the id of a partner's indicator by number."""
    return f"indicator--00000000-0000-4000-8000-{number:012d}"


def identity_uuid(number: int) -> str:
    """Gives the id of a partner's identity by number."""
    return f"identity--00000000-0000-4000-8000-{number:012d}"


def ip(text: str = "45.66.77.88") -> Observable:
    """Gives an address as an observable."""
    return Observable(Kind.IPV4, text)


def domain(text: str) -> Observable:
    """Gives a name as an observable."""
    return Observable(Kind.DOMAIN, text)


BAD = ip()
"""What an object or a finding is about, unless a test says otherwise."""


def make_indicator(
    number: int = 1,
    about: Observable | str = BAD,
    *,
    modified: Micros = NOW - DAY,
    created: Micros = BEGUN,
    valid_from: Micros = BEGUN,
    valid_until: Micros | None = None,
    by: str | None = None,
    confidence: int | None = None,
    tlp: Tlp | str | None = None,
    revoked: bool = False,
    **more: Any,
) -> dict[str, Any]:
    """Builds an indicator of somebody else; ``about`` is an observable or a whole pattern."""
    told: dict[str, Any] = {
        "type": "indicator",
        "spec_version": "2.1",
        "id": indicator_uuid(number),
        "created": write_timestamp(created, 6),
        "modified": write_timestamp(modified, 6),
        "pattern": about if isinstance(about, str) else pattern_of(about),
        "pattern_type": "stix",
        "valid_from": write_timestamp(valid_from, 6),
        "valid_until": None if valid_until is None else write_timestamp(valid_until, 6),
        "created_by_ref": by,
        "confidence": confidence,
        "object_marking_refs": None if tlp is None else [TLP2_ID[tlp] if isinstance(tlp, Tlp) else tlp],
        "revoked": revoked or None,
        **more,
    }
    return {name: value for name, value in told.items() if value is not None}


def make_indicator_json(number: int = 1, about: Observable | str = BAD, **more: Any) -> bytes:
    """Builds an indicator of somebody else as the bytes that come in; arguments of ``make_indicator``."""
    return json.dumps(make_indicator(number, about, **more)).encode()


def read(*raws: bytes) -> list[tuple[bytes, Received]]:
    """Pairs bytes with what is read of them, as the store takes them."""
    return [(raw, read_object(raw)) for raw in raws]


# --- findings of our own sensors ---------------------------------------------------------------------


def make_finding(
    *observables: Observable,
    role: Role = Role.ATTACKER,
    sensor: str = "sensor",
    seen: Micros = NOW - DAY,
    last: Micros | None = None,
    **more: Any,
) -> Finding:
    """Builds a finding with some observables in one role."""
    values: dict[str, Any] = {"title": "a title", "place": "alerts.json:1"}
    return Finding(
        sensor=sensor,
        seen_at=moment(seen),
        last_seen_at=moment(seen if last is None else last),
        observations=tuple(
            Observation(one, role, "a rule said so", f"original of {one.value}") for one in observables or (BAD,)
        ),
        **(values | more),
    )


def make_own(**changed: Any) -> Own:
    """Says who we are: nothing is ours, GREEN, confidence 70."""
    values: dict[str, Any] = {
        "identity": US,
        "assets": OwnAssets(declared_empty=True),
        "tlp": Tlp.GREEN,
        "confidence": 70,
    }
    return Own(**(values | changed))


def take_findings(store: Store, *results: Finding | Reject, now: Micros = NOW, own: Own | None = None) -> IngestReport:
    """Runs ingest over some findings."""
    return ingest(store, own or make_own(), results, lambda: now, lambda _: None)


def find(store: Store, *observables: Observable, now: Micros = NOW, tlp: Tlp = Tlp.GREEN, **more: Any) -> None:
    """Has our sensors find some values, a finding each."""
    own = make_own(tlp=tlp)
    take_findings(store, *(make_finding(one, **more) for one in observables or (BAD,)), now=now, own=own)


# --- stores ------------------------------------------------------------------------------------------


@cache
def _migrated() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "store.db"
        conn = open_writer(file)
        conn.execute("PRAGMA journal_mode = DELETE")
        conn.close()
        return file.read_bytes()


def nothing_capped(_: Observable) -> str | None:
    """A ``CapOf`` for which nothing is ours or benign."""
    return None


def make_store(
    folder: Path, cap_of: Callable[[Observable], str | None] = nothing_capped, shape: type[Store] = Store
) -> Store:
    """Makes an empty store that does not wait for the disk; opens it again where the folder has one."""
    file = folder / "store.db"
    if not file.exists():
        file.write_bytes(_migrated())
    store = shape(file, cap_of)
    store.conn.execute("PRAGMA synchronous = OFF")
    return store


def feed_source(
    store: Store, name: str = "feed-a", reliability: str = "B", tlp: Tlp = Tlp.GREEN, **more: Any
) -> Source:
    """Registers a feed as a source."""
    return store.source(name, "feed", reliability, tlp, **more)


def take_in(store: Store, source: Source, *raws: bytes, now: Micros = NOW) -> tuple[Tally, list[Reject]]:
    """Takes objects in as one batch; gives the tally and what was kept aside."""
    tally = Tally()
    return tally, take(store, source, raws, US, now, tally, lambda: None)


def dump(conn: Connection, *without: str) -> dict[str, list[tuple[Any, ...]]]:
    """Gives every row of every table but some, to compare two states of a store."""
    tables = [
        row[0]
        for row in conn.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
        if row[0] not in without and not row[0].startswith("sqlite_")
    ]
    return {table: conn.execute(f"SELECT * FROM {table}").fetchall() for table in tables}


# --- feeds -------------------------------------------------------------------------------------------


@dataclass
class FakeFeed:
    """A ``FeedClient`` over pages in memory; its cursor is the number of the next page."""

    given: Sequence[Sequence[bytes]]
    fails_at: int | None = None
    """Number of the page in whose place it raises PartnerError."""
    asked: list[str | None] = field(default_factory=list)
    """Cursors that it was asked to go on from."""

    def pages(self, cursor: str | None, now: Micros) -> Iterator[Page]:
        """Yields what comes after a cursor."""
        self.asked.append(cursor)
        for number in range(int(cursor or 0), len(self.given)):
            if number == self.fails_at:
                raise PartnerError(f"page {number} cannot be had")
            yield Page(list(self.given[number]), str(number + 1))


# --- collections and whom they are for ---------------------------------------------------------------


def make_collection(
    store: Store, kind: CollectionKind, alias: str | None = None, partner: str | None = None
) -> Collection:
    """Makes a collection."""
    alias = alias or kind.value
    with store.writing() as conn:
        return add_collection(conn, alias, f"title of {alias}", kind, partner, NOW)


def make_agreement(partner: str = "north", max_tlp: str = "amber", **changed: Any) -> Agreement:
    """Builds an agreement in force throughout the year of NOW, for indicators and sightings."""
    values: dict[str, Any] = {
        "signed_on": date(2026, 1, 1),
        "effective_from": date(2026, 1, 1),
        "expires_on": date(2026, 12, 31),
        "outbound": Outbound(max_tlp, ("indicator", "sighting")),  # type: ignore[arg-type]
    }
    return Agreement(partner, **(values | changed))


def make_outlet(collection: Collection, agreement: Agreement | None = None, now: Micros = NOW, **facts: Any) -> Outlet:
    """Builds an outlet into a collection, on the day of ``now``."""
    values: dict[str, Any] = {
        "own": OwnAssets(declared_empty=True),
        "purpose": "live",
        "our_identity": US,
        "today": moment(now).date(),
        "agreements": {agreement.partner: agreement} if agreement else {},
        "siem_floor": 1,
    }
    audience = Audience(collection.alias, collection.kind, agreement)
    us = written(identity(US, "Our Company", "technology", CREATED))
    return Outlet(collection, audience, Facts(**(values | facts)), us, now)


def let_out(store: Store, *outlets: Outlet, dry_run: bool = False) -> PublishReport:
    """Publishes into some outlets."""
    return publish(store, outlets, dry_run)


@dataclass(frozen=True, slots=True)
class Served:
    """An entry of a collection."""

    seq: int
    added: Micros
    id: str
    version: Micros
    current: bool
    body: dict[str, Any]

    @property
    def revoked(self) -> bool:
        """Whether it withdraws its object."""
        return self.body.get("revoked") is True


def served(store: Store, collection: Collection) -> list[Served]:
    """Gives a collection's entries in order."""
    return [
        Served(entry & (1 << 40) - 1, added, object_id, version, not superseded, json.loads(body))
        for entry, added, object_id, version, superseded, body in store.conn.execute(
            "SELECT id, added, object_id, version, superseded, body FROM entry WHERE id >> 40 = ? ORDER BY id",
            (collection.number,),
        )
    ]


def standing(store: Store, collection: Collection) -> dict[str, dict[str, Any]]:
    """Gives by id what a client holds that has read the whole collection: current, not revoked."""
    return {one.id: one.body for one in served(store, collection) if one.current and not one.revoked}


def indicators(store: Store, collection: Collection) -> list[dict[str, Any]]:
    """Gives what stands in a collection for our own tools: all but our Identity, which comes before it and once."""
    known = [one.body for one in served(store, collection) if one.body["type"] == "identity"]
    entries = served(store, collection)
    assert not entries or entries[0].body["type"] == "identity", "who we are comes before what names us"
    assert len(known) == min(1, len(entries)), "who we are, and once"
    return [one for one in standing(store, collection).values() if one["type"] != "identity"]


def told(store: Store, collection: Collection) -> list[Served]:
    """Gives the entries of a collection for our own tools but our Identity."""
    return [one for one in served(store, collection) if one.body["type"] != "identity"]


def held_ids(store: Store, collection: Collection, kind: str = "indicator") -> set[str]:
    """Gives the ids of what stands in a collection, of one type."""
    return {one for one, body in standing(store, collection).items() if body["type"] == kind}


def check(store: Store, collection: Collection) -> list[Served]:
    """Checks what must hold of every collection at any time; gives its entries."""
    entries = served(store, collection)
    assert [one.seq for one in entries] == list(range(1, len(entries) + 1))
    assert all(before.added < after.added for before, after in pairwise(entries))
    assert max(Counter((one.id, one.version) for one in entries).values(), default=1) == 1
    for one in entries:
        assert read_timestamp(one.body["modified"]) == one.version
        assert one.current == (one.version == max(other.version for other in entries if other.id == one.id))
        later = [other for other in entries if other.id == one.id and other.version > one.version]
        assert not (one.revoked and later)
    last = store.conn.execute("SELECT last_seq FROM collection WHERE number = ?", (collection.number,)).fetchone()
    assert last == (len(entries),)
    return entries


def with_terms(one: Agreement, **changed: Any) -> Agreement:
    """Gives an agreement with other terms."""
    return msgspec.structs.replace(one, **changed)


def with_facts(outlet: Outlet, **changed: Any) -> Outlet:
    """Gives an outlet with other facts."""
    return replace(outlet, facts=replace(outlet.facts, **changed))
