"""Who said what stays theirs: whatever others send, a partner's own words are held as if it had been alone.

Beside the store that all write to, each partner and we ourselves have one which no other partner writes to. After each
step the common store holds of everyone exactly what their own store holds: every version, its body and its order, and
what it claims, under which marking, revoked or not.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from builders import (
    BEGUN,
    DAY,
    NOW,
    SECOND,
    US,
    FakeFeed,
    feed_source,
    find,
    identity_uuid,
    indicator_uuid,
    ip,
    let_out,
    make_agreement,
    make_collection,
    make_indicator,
    make_outlet,
    make_store,
    served,
    take_in,
)
from threatshare.model import Collection, CollectionKind, Micros, Observable, Tlp
from threatshare.ports import Listed, Listing
from threatshare.pull import pull, pull_list
from threatshare.stix.objects import indicator_id, siem_indicator_id
from threatshare.stix.received import read_object
from threatshare.stix.timestamps import read_timestamp, write_timestamp
from threatshare.store.embedded import Store
from threatshare.store.keys import object_key
from threatshare.store.sources import OWN, Source, sources

NIGHTLY = settings.default is not None and settings.default.max_examples >= 10_000
FEED, INBOX, LIST = "north-feed", "south-inbox", "west-list"
PARTNERS = (FEED, INBOX, LIST)
NUMBERS = range(1, 5)
VALUES = [ip(f"45.0.0.{number}") for number in NUMBERS]
OURS = [*(indicator_id(US, one) for one in VALUES), *(siem_indicator_id(US, one) for one in VALUES), US]
EVERYBODYS = [indicator_uuid(number) for number in NUMBERS]
"""Ids that each partner uses as if they were its own: whose they are, only who sends them tells."""


@dataclass(frozen=True)
class Said:
    """One object as a partner sends it."""

    id: str
    about: Observable
    version: Micros
    by: str | None
    tlp: Tlp | None
    revoked: bool
    confidence: int

    def written(self) -> bytes:
        told = make_indicator(
            1,
            self.about,
            modified=self.version,
            created=min(BEGUN, self.version),
            by=self.by,
            tlp=self.tlp,
            revoked=self.revoked,
            confidence=self.confidence,
        )
        return json.dumps(told | {"id": self.id, "type": self.id.partition("--")[0]}).encode()


def _ours(at: int, kind: Callable[[str, Observable], str], **more: Any) -> Said:
    """Builds an object under the id that we give to a value, or will give."""
    return Said(kind(US, VALUES[at]), VALUES[at], **more)


def _remark(kind: str, number: int, ref: str, version: Micros, by: str | None) -> bytes:
    told: dict[str, Any] = {
        "type": kind,
        "spec_version": "2.1",
        "id": f"{kind}--00000000-0000-4000-8000-{number:012d}",
        "created": write_timestamp(min(BEGUN, version)),
        "modified": write_timestamp(version),
        "created_by_ref": by,
    }
    about: dict[str, dict[str, Any]] = {
        "opinion": {"opinion": "strongly-disagree", "object_refs": [ref]},
        "sighting": {"sighting_of_ref": ref, "count": 1},
        "relationship": {"relationship_type": "duplicate-of", "source_ref": ref, "target_ref": indicator_uuid(number)},
        "note": {"content": "it is harmless", "object_refs": [ref]},
        "marking-definition": {"definition_type": "statement", "definition": {"statement": "public"}},
    }
    told |= about[kind]
    if kind == "marking-definition":
        del told["modified"]
    return json.dumps({name: value for name, value in told.items() if value is not None}).encode()


MAKERS = st.sampled_from([None, identity_uuid(1), identity_uuid(2), US])
VERSIONS = st.one_of(
    st.integers(0, 6).map(lambda days: -days * DAY),
    st.sampled_from([60 * SECOND, 240 * SECOND, 360 * SECOND, 3650 * DAY, 250_000_000_000 * SECOND]),
)
SAYING: dict[str, st.SearchStrategy[Any]] = {
    "version": VERSIONS.map(lambda offset: NOW + offset),
    "by": MAKERS,
    "tlp": st.sampled_from([None, Tlp.CLEAR, Tlp.AMBER, Tlp.RED]),
    "revoked": st.sampled_from([False, False, True]),
    "confidence": st.sampled_from([0, 50, 100]),
}
THEIRS = st.builds(Said, id=st.sampled_from([*EVERYBODYS, US]), about=st.sampled_from(VALUES), **SAYING)
PRETENDED = st.builds(_ours, st.integers(0, 3), st.sampled_from([indicator_id, siem_indicator_id]), **SAYING)
OBJECTS = st.one_of(THEIRS, THEIRS, THEIRS, PRETENDED)
REMARKS = st.builds(
    _remark,
    st.sampled_from(["opinion", "sighting", "relationship", "note", "marking-definition"]),
    st.integers(1, 3),
    st.sampled_from([*EVERYBODYS, *OURS[:-1]]),
    st.integers(0, 3).map(lambda days: NOW - days * DAY),
    MAKERS,
)
BATCHES = st.lists(st.one_of(OBJECTS.map(Said.written), REMARKS), min_size=1, max_size=5)


class _Rows:
    def __init__(self, rows: list[Listed], complete: bool) -> None:
        self._rows = rows
        self._complete = complete

    def listing(self, cursor: str | None, now: Micros) -> Listing | None:
        return Listing(iter(self._rows), "", self._complete, len(self._rows))


class Ownership(RuleBasedStateMachine):
    """Three partners and we ourselves say what we like, about ourselves and about each other."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.now = NOW
        self.common = self._store("common")
        self.alone = {name: self._store(name) for name in (*PARTNERS, OWN)}
        self.sent: set[str] = set()
        """Ids of everything that partners have sent."""
        self.collections: list[Collection] = []

    @initialize()
    def begin(self) -> None:
        """We are known to everybody, and have served something to a partner and to our own tools."""
        for store in (self.common, *self.alone.values()):
            find(store, VALUES[0])
        # Numbers of sources are others than in the stores of one partner alone.
        for name in reversed(PARTNERS):
            feed_source(self.common, name)
        self.collections = [
            make_collection(self.common, CollectionKind.PARTNER, "north", "north"),
            make_collection(self.common, CollectionKind.SIEM),
        ]

    def _store(self, name: str) -> Store:
        folder = Path(self.folder.name) / name
        folder.mkdir()
        return make_store(folder)

    def _both(self, name: str, act: Callable[[Store, Source], object]) -> None:
        told = [act(store, feed_source(store, name)) for store in (self.common, self.alone[name])]
        assert told[0] == told[1], "whether something is taken does not depend on what others have said"

    @rule(batch=BATCHES)
    def feed(self, batch: list[bytes]) -> None:
        """The feed brings a page."""

        def act(store: Store, source: Source) -> object:
            report = pull(store, source, FakeFeed([[], batch]), US, lambda: self.now, lambda _: True)
            with store.writing() as conn:
                conn.execute("UPDATE feed_state SET cursor = NULL")
            return report.new, report.changed, report.withdrawn, report.unchanged, report.rejected

        self._note(batch)
        self._both(FEED, act)

    @rule(batch=BATCHES)
    def inbox(self, batch: list[bytes]) -> None:
        """The partner with an account posts to its inbox."""
        self._note(batch)
        self._both(INBOX, lambda store, source: take_in(store, source, *batch, now=self.now))

    @rule(
        values=st.lists(st.sampled_from(VALUES), max_size=4),
        complete=st.booleans(),
        confidence=st.sampled_from([0, 99]),
    )
    def listed(self, values: list[Observable], complete: bool, confidence: int) -> None:
        """The list names some values, and no others any more."""
        rows = [Listed(one, None, confidence, None) for one in values]

        def act(store: Store, source: Source) -> object:
            report = pull_list(store, source, _Rows(rows, complete), lambda: self.now, lambda _: True)
            return report.new, report.changed, report.withdrawn, report.unchanged

        self._both(LIST, act)

    @rule(value=st.sampled_from(VALUES), tlp=st.sampled_from([Tlp.CLEAR, Tlp.AMBER]))
    def sensor(self, value: Observable, tlp: Tlp) -> None:
        """Our own sensors find a value, and what may leave leaves."""
        for store in (self.common, *self.alone.values()):
            find(store, value, now=self.now, tlp=tlp)

    @rule()
    def publish(self) -> None:
        """We publish to a partner and to our own tools; nothing of a partner goes out as ours."""
        agreement = make_agreement()
        outlets = [
            make_outlet(self.collections[0], agreement, self.now),
            make_outlet(self.collections[1], now=self.now),
        ]
        let_out(self.common, *outlets)
        for collection in self.collections:
            for one in served(self.common, collection):
                assert one.id not in self.sent
                assert one.version <= self.now + SECOND
                if one.body["type"] == "indicator":
                    assert one.body["created_by_ref"] == US
        found = {one.value for one in self._found()}
        for one in served(self.common, self.collections[0]):
            if one.body["type"] == "indicator":
                assert any(f"'{value}'" in one.body["pattern"] for value in found)

    @rule(name=st.sampled_from([FEED, INBOX]), by=st.sampled_from([None, identity_uuid(1)]), pick=st.integers(0, 99))
    def take_over(self, name: str, by: str | None, pick: int) -> None:
        """A partner sends what we have served, changed and as its own, under the very id."""
        known = [one.body for collection in self.collections for one in served(self.common, collection)]
        known = [one for one in known if one["type"] in ("indicator", "identity")]
        if not known:
            return
        body = known[pick % len(known)]
        newer = max(self.now, read_timestamp(body["modified"])) + SECOND
        changed = body | {"created_by_ref": by, "modified": write_timestamp(newer), "revoked": True, "name": "no"}
        if body["type"] == "indicator":
            changed["pattern"] = "[domain-name:value = 'other.example.net']"
        raw = json.dumps({key: value for key, value in changed.items() if value is not None}).encode()
        tally, rejects = take_in(self.common, feed_source(self.common, name), raw, now=self.now)
        assert (tally.rejected, tally.new, tally.changed) == (1, 0, 0), rejects

    @rule(hours=st.integers(1, 48))
    def wait(self, hours: int) -> None:
        self.now += hours * 3600 * SECOND

    def _note(self, batch: list[bytes]) -> None:
        self.sent |= {read_object(one).id for one in batch} - set(OURS)

    def _found(self) -> list[Observable]:
        rows = self.alone[OWN].conn.execute("SELECT DISTINCT value FROM observable")
        return [ip(value) for (value,) in rows]

    @invariant()
    def everybody_is_held_as_if_alone(self) -> None:
        """Whoever spoke last, of each the common store says what its own does."""
        ids = sorted({*self.sent, *OURS})
        for name in (*PARTNERS, OWN):
            held = _words(self.common, name, ids)
            assert held == _words(self.alone[name], name, ids), name
            assert name == OWN or held[0].keys().isdisjoint(OURS), "nobody else's object bears an id of ours"

    def teardown(self) -> None:
        for store in (self.common, *self.alone.values()):
            store.close()
        self.folder.cleanup()


def _words(store: Store, name: str, ids: list[str]) -> tuple[dict[str, Any], list[Any]]:
    """Gives all that the store holds of a source: its objects' versions in order, and what its indicators claim."""
    source = sources(store.conn).get(name)
    if source is None:
        return {}, []
    keys = {object_key(store.key_of, source.number, one): one for one in ids}
    bodies: dict[str, list[tuple[Micros, bytes]]] = {}
    for key, modified, body in store.conn.execute(
        "SELECT version.object, version.modified, body FROM version"
        " WHERE object IN (SELECT value FROM json_each(?)) ORDER BY version.object, version.modified",
        (json.dumps(list(keys)),),
    ):
        bodies.setdefault(keys[key], []).append((modified, bytes(body)))
    claims = store.conn.execute(
        "SELECT value, object, origin.name, confidence, observed, valid_from, valid_until, tlp, flags FROM claim"
        " JOIN observable ON observable.number = claim.observable JOIN origin ON origin.number = claim.origin"
        " WHERE claim.source = ? ORDER BY value, object",
        (source.number,),
    ).fetchall()
    # A sighting's claim is about what somebody else's object names: it depends on that by its nature.
    own = [(value, keys.get(key, "list"), *rest) for value, key, *rest in claims]
    return bodies, sorted(one for one in own if not one[1].startswith("sighting--"))


Ownership.TestCase.settings = settings(
    max_examples=300 if NIGHTLY else 12, stateful_step_count=40 if NIGHTLY else 20, deadline=None
)
TestOwnership = Ownership.TestCase
"""Three partners, any words of any of them: each is held as if it were alone."""
