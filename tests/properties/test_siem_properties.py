"""The SIEM collection over a year and more: it holds what stands at or above the floor, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from builders import (
    DAY,
    NOW,
    domain,
    feed_source,
    identity_uuid,
    indicators,
    ip,
    let_out,
    make_collection,
    make_indicator_json,
    make_outlet,
    make_store,
    take_in,
    told,
    with_facts,
)
from threatshare.config import OwnAssets
from threatshare.model import Claim, CollectionKind, Kind, Micros, Observable, Tlp, band_of
from threatshare.publish import rescore_due
from threatshare.stix.patterns import pattern_of
from threatshare.stix.timestamps import read_timestamp, whole_milliseconds
from threatshare.stix.tlp import TLP_IDS
from threatshare.store.embedded import Store
from threatshare.store.lookups import OWN_ASSET, claims_about, evidence_of, known
from threatshare.triage.decay import lifetime
from threatshare.triage.score import score

OURS = ip("45.0.0.1")
VALUES = (OURS, domain("bad.example.net"), Observable(Kind.SHA256, "ab" * 32), ip("45.0.0.0/24"))
"""Of three decay curves, one of them ours at times."""
END = 400 * DAY
UNREADABLE = "marking-definition--00000000-0000-4000-8000-000000000009"


@dataclass(frozen=True)
class Says:
    """A source says something of one or two values; all times are counted from when it says so."""

    source: str
    number: int
    about: tuple[Observable, ...]
    confidence: int | None
    tlp: Tlp | str | None
    age: Micros
    begins: Micros
    lasts: Micros | None
    revoked: bool
    by: str | None

    def written(self, now: Micros) -> bytes:
        starts = now + self.begins
        pattern = " OR ".join(pattern_of(one) for one in self.about)
        return make_indicator_json(
            self.number,
            pattern,
            created=now - 500 * DAY,
            modified=now - self.age,
            valid_from=starts,
            valid_until=None if self.lasts is None else starts + self.lasts,
            confidence=self.confidence,
            tlp=self.tlp,
            revoked=self.revoked,
            by=self.by,
        )


@dataclass(frozen=True)
class Waits:
    """Nothing happens for a while."""

    time: Micros


@dataclass(frozen=True)
class Configures:
    """Somebody changes the floor, or what is ours."""

    floor: int
    ours: bool


FEEDS = {"feed-a": "A", "feed-b": "B", "feed-e": "E"}

says = st.builds(
    Says,
    source=st.sampled_from(list(FEEDS)),
    number=st.integers(1, 5),
    about=st.lists(st.sampled_from(VALUES), min_size=1, max_size=2, unique=True).map(tuple),
    confidence=st.sampled_from([None, 20, 60, 100]),
    tlp=st.sampled_from([None, Tlp.CLEAR, Tlp.AMBER_STRICT, Tlp.RED, UNREADABLE]),
    age=st.integers(0, 60).map(lambda days: days * DAY // 2),
    begins=st.integers(-100, 40).map(lambda days: days * DAY // 3),
    lasts=st.none() | st.integers(1, 100).map(lambda days: days * DAY),
    revoked=st.sampled_from([False, False, False, True]),
    by=st.sampled_from([None, identity_uuid(1), identity_uuid(2)]),
)
waits = st.builds(Waits, st.integers(1, 60 * 24).map(lambda hours: hours * DAY // 24))
configures = st.builds(Configures, st.sampled_from([0, 1, 30, 45, 70]), st.booleans())
events = st.lists(st.one_of(says, says, waits, configures), min_size=1, max_size=14)


class Walk:
    """One store with a SIEM collection, as time goes by."""

    def __init__(self, folder: str, floor: int) -> None:
        self.ours = False
        self.floor = floor
        self.now = NOW
        self.store: Store = make_store(Path(folder), lambda one: OWN_ASSET if self.owns(one) else None)
        self.collection = make_collection(self.store, CollectionKind.SIEM)

    def owns(self, observable: Observable) -> bool:
        return self.assets.owns(observable)

    @property
    def assets(self) -> OwnAssets:
        return OwnAssets((ip_network("45.0.0.1/32"),) if self.ours else (), declared_empty=True)

    def do(self, event: Says | Waits | Configures) -> None:
        if isinstance(event, Waits):
            self.now += event.time
        elif isinstance(event, Configures):
            self.floor, self.ours = event.floor, event.ours
        else:
            take_in(
                self.store,
                feed_source(self.store, event.source, FEEDS[event.source], Tlp.GREEN),
                event.written(self.now),
                now=self.now,
            )

    def publish(self) -> None:
        rescore_due(self.store, self.now)
        outlet = make_outlet(self.collection, now=whole_milliseconds(self.now), own=self.assets, purpose="demo")
        let_out(self.store, with_facts(outlet, siem_floor=self.floor))

    def wanted(self) -> dict[str, tuple[str, Micros, Tlp]]:
        """Works out by pattern what should stand: band, when the last claim ends, and marking."""
        found = {}
        known_values = known(self.store.conn, self.store.key_of, VALUES)
        for observable, entry in known_values.items():
            claims = [one.claim for one in claims_about(self.store.conn, [entry.number]).get(entry.number, [])]
            visible = [one for one in claims if one.marking.tlp is not None and one.marking.tlp < Tlp.RED]
            result = score(
                observable.kind, visible, evidence_of(OWN_ASSET if self.owns(observable) else None), self.now
            )
            counting = [one for one in visible if self.counts(observable.kind, one)]
            if counting and result.value >= self.floor and not self.owns(observable):
                found[pattern_of(observable)] = (
                    band_of(result.value),
                    whole_milliseconds(max(self.end(observable.kind, one) for one in counting)),
                    max(one.marking.tlp or Tlp.CLEAR for one in counting),
                )
        return found

    def counts(self, kind: Kind, claim: Claim) -> bool:
        return not claim.revoked and claim.valid_from <= self.now < self.end(kind, claim)

    def end(self, kind: Kind, claim: Claim) -> Micros:
        decayed = claim.observed + lifetime(kind, 0.0)
        return decayed if claim.valid_until is None else min(decayed, claim.valid_until)

    def compare(self) -> None:
        held = {one["pattern"]: one for one in indicators(self.store, self.collection)}
        wanted = self.wanted()
        assert held.keys() == wanted.keys()
        for pattern, (band, ends, tlp) in wanted.items():
            body = held[pattern]
            assert f"score:{band}" in body["labels"]
            # To the week, where it is decay that ends it.
            assert ends <= read_timestamp(body["valid_until"]) < ends + 7 * DAY
            assert TLP_IDS[body["object_marking_refs"][0]] is tlp
        stored = self.store.conn.execute("SELECT count(*) FROM changed_observable").fetchone()
        assert stored == (0,)

    def check_history(self) -> None:
        """No version says what the one before it said, none follows a withdrawal, and each is later."""
        last: dict[str, tuple[Micros, bool, object]] = {}
        for one in told(self.store, self.collection):
            says = {name: one.body[name] for name in ("labels", "valid_from", "valid_until", "object_marking_refs")}
            if one.id in last:
                version, revoked, before = last[one.id]
                assert version < one.version
                assert not revoked
                assert one.revoked or says != before
            else:
                assert not one.revoked
            last[one.id] = (one.version, one.revoked, says)


@given(events, st.sampled_from([0, 1, 30, 45, 70]))
def test_the_collection_is_what_stands(happening: list[Says | Waits | Configures], floor: int) -> None:
    """Whatever sources say and people configure, at every moment of 400 days the collection is what the model says."""
    with TemporaryDirectory() as folder:
        walk = Walk(folder, floor)
        for event in happening:
            walk.do(event)
            walk.publish()
            walk.compare()
        while walk.now < NOW + END:
            walk.do(Waits(23 * DAY + 7_000_001))
            walk.publish()
            walk.compare()
        walk.check_history()
        walk.store.close()
