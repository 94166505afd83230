"""What the store knows, held against plain dictionaries: any objects of any sources, in any order and any batches."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from builders import (
    BEGUN,
    DAY,
    NOW,
    SECOND,
    US,
    domain,
    dump,
    feed_source,
    identity_uuid,
    indicator_uuid,
    ip,
    make_indicator,
    make_store,
    take_in,
)
from threatshare.model import Claim, Evidence, Kind, Micros, Observable, Tally, Tlp
from threatshare.store.embedded import Store
from threatshare.store.keys import CODE_KIND, object_key
from threatshare.store.sources import Source
from threatshare.triage.score import score

SOURCES = {"feed-a": "A", "feed-b": "C", "feed-c": "F"}
"""Names and reliabilities."""

A, B, C, D = ip("45.0.0.1"), ip("45.0.0.2"), domain("bad.example.net"), Observable(Kind.SHA256, "ab" * 32)
WHOLE = Observable(Kind.PATTERN, "[file:name = 'x' AND file:size = 7]")
PATTERNS: tuple[tuple[str, tuple[Observable, ...]], ...] = (
    ("[ipv4-addr:value = '45.0.0.1']", (A,)),
    ("[ ipv4-addr:value='45.0.0.1/32' ]", (A,)),
    ("[ipv4-addr:value = '45.0.0.2']", (B,)),
    ("[domain-name:value = 'BAD.example.net.']", (C,)),
    ("[ipv4-addr:value = '45.0.0.1' OR domain-name:value = 'bad.example.net']", (A, C)),
    ("[ipv4-addr:value IN ('45.0.0.1', '45.0.0.2')]", (A, B)),
    (f"[file:hashes.'SHA-256' = '{'AB' * 32}']", (D,)),
    ("[file:name = 'x'   AND file:size = 7]", (WHOLE,)),
)
FOREIGN = len(PATTERNS)
"""In place of a pattern's number: one in a language that is not read here."""


@dataclass(frozen=True)
class Said:
    """One version of one indicator."""

    number: int
    version: Micros
    pattern: int
    confidence: int | None
    by: str | None
    revoked: bool
    benign: bool
    tlp: Tlp | None
    until: Micros | None

    @property
    def about(self) -> tuple[Observable, ...]:
        return PATTERNS[self.pattern][1] if self.pattern < FOREIGN else ()

    @property
    def broken(self) -> bool:
        """Whether its claim cannot be read."""
        return self.pattern < FOREIGN and not self.revoked and self.until is not None and self.until <= BEGUN

    def told(self) -> dict[str, Any]:
        more: dict[str, Any] = {"pattern_type": "sigma"} if self.pattern == FOREIGN else {}
        more |= {"indicator_types": ["benign"]} if self.benign else {}
        return make_indicator(
            self.number,
            PATTERNS[self.pattern % FOREIGN][0],
            modified=self.version,
            confidence=self.confidence,
            by=self.by,
            revoked=self.revoked,
            tlp=self.tlp,
            valid_until=self.until,
            **more,
        )

    def written(self, random: Random) -> bytes:
        """Writes it in one of many spellings."""
        items = list(self.told().items())
        random.shuffle(items)
        return json.dumps(dict(items), indent=random.choice([None, 2])).encode()


said = st.builds(
    Said,
    number=st.integers(1, 4),
    version=st.one_of(
        st.integers(0, 5).map(lambda days: NOW - days * DAY),
        st.just(NOW + 2 * DAY),
    ),
    pattern=st.integers(0, FOREIGN),
    confidence=st.sampled_from([None, 0, 40, 90]),
    by=st.sampled_from([None, None, identity_uuid(1), identity_uuid(2), US]),
    revoked=st.sampled_from([False, False, False, False, True]),
    benign=st.sampled_from([False, False, False, True]),
    tlp=st.sampled_from([None, Tlp.CLEAR, Tlp.RED]),
    until=st.sampled_from([None, None, NOW + DAY, NOW + 9 * DAY, BEGUN]),
)

Key = tuple[str, int]
"""Source and number of an object."""


@dataclass
class Model:
    """What the store should hold, object by object."""

    versions: dict[Key, dict[Micros, Said]] = field(default_factory=dict)
    void: set[Key] = field(default_factory=set)
    """Objects that were revoked once."""
    scored: dict[Observable, Micros] = field(default_factory=dict)
    """When each observable was last touched."""

    def take(self, source: str, batch: list[Said], now: Micros) -> Tally:
        tally = Tally(len(batch))
        # Versions of one object are taken oldest first; of equals, the first to come.
        for one in sorted(batch, key=lambda one: one.version):
            if one.by == US:
                tally.rejected += 1
                continue
            outcome = self._take(source, one, now)
            setattr(tally, outcome, getattr(tally, outcome) + 1)
        return tally

    def _take(self, source: str, one: Said, now: Micros) -> str:
        key = (source, one.number)
        held = self.versions.setdefault(key, {})
        head = held[max(held)] if held else None
        if one.version in held:
            return "unchanged" if held[one.version] == one else "rejected"
        if one.broken or one.version > now + 300 * SECOND:
            return "rejected"
        if head is not None and one.version < head.version:
            held[one.version] = one
            # What was revoked before counts for nothing, in whatever order that is learnt.
            if one.revoked and head.about and not head.revoked:
                self.void.add(key)
                self.scored |= dict.fromkeys(head.about, now)
            return "unchanged"
        held[one.version] = one
        for observable in {*(head.about if head else ()), *one.about}:
            self.scored[observable] = now
        # Revocation lasts as long as claims follow each other: a version in a language that is not read makes none.
        if head is not None and not head.about:
            self.void.discard(key)
        if one.revoked and one.about:
            self.void.add(key)
        return "new" if head is None else "withdrawn" if one.revoked else "changed"

    def heads(self) -> Iterator[tuple[Key, Said]]:
        for key, held in self.versions.items():
            if held:
                yield key, held[max(held)]

    def claims(self) -> dict[tuple[Observable, Key], Claim]:
        found = {}
        for key, one in self.heads():
            source, number = key
            for observable in one.about:
                found[observable, key] = Claim(
                    source,
                    indicator_uuid(number),
                    one.by or source,
                    SOURCES[source],
                    one.confidence,
                    one.version,
                    BEGUN,
                    None if one.revoked and one.until == BEGUN else one.until,
                    one.revoked or key in self.void,
                    one.benign,
                )
        return found

    def tlp_of(self, key: Key) -> Tlp:
        held = self.versions[key]
        tlp = held[max(held)].tlp
        return Tlp.GREEN if tlp is None else tlp


class Knowledge(RuleBasedStateMachine):
    """Three sources send whatever they like; after every batch the store says what the model says."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.store: Store = make_store(Path(self.folder.name))
        self.sources: dict[str, Source] = {}
        self.model = Model()
        self.now = NOW
        self.last: tuple[str, list[bytes]] | None = None

    @initialize()
    def register(self) -> None:
        self.sources = {name: feed_source(self.store, name, letter) for name, letter in SOURCES.items()}

    @rule(name=st.sampled_from(list(SOURCES)), batch=st.lists(said, max_size=6), random=st.randoms())
    def send(self, name: str, batch: list[Said], random: Random) -> None:
        raws = [one.written(random) for one in batch]
        wanted = self.model.take(name, batch, self.now)
        tally, rejects = take_in(self.store, self.sources[name], *raws, now=self.now)
        assert tally == wanted
        assert len(rejects) == wanted.rejected
        self.last = (name, raws)
        self.compare()

    @precondition(lambda self: self.last is not None)
    @rule()
    def send_again(self) -> None:
        """The last page a second time changes no row, but for what it holds that is kept aside each time."""
        assert self.last is not None
        name, raws = self.last
        before = dump(self.store.conn, "reject")
        tally, _ = take_in(self.store, self.sources[name], *raws, now=self.now)
        assert tally.unchanged + tally.rejected == len(raws)
        assert dump(self.store.conn, "reject") == before

    @rule(days=st.integers(1, 3))
    def wait(self, days: int) -> None:
        self.now += days * DAY
        self.last = None

    def compare(self) -> None:
        self.compare_versions()
        self.compare_claims()
        self.compare_scores()

    def compare_versions(self) -> None:
        """Every version is held once, chained from the newest to the oldest."""
        conn = self.store.conn
        held = {(name, number): versions for (name, number), versions in self.model.versions.items() if versions}
        rows = conn.execute("SELECT number, object, previous, modified, body FROM version").fetchall()
        by_number = {number: (obj, previous, modified, body) for number, obj, previous, modified, body in rows}
        assert len(rows) == sum(len(one) for one in held.values())
        heads = dict(conn.execute("SELECT key, version FROM object").fetchall())
        assert len(heads) == len(held)
        for (name, number), versions in held.items():
            key = object_key(self.store.key_of, self.sources[name].number, indicator_uuid(number))
            at = heads[key]
            for wanted in sorted(versions, reverse=True):
                obj, previous, modified, body = by_number[at]
                assert (obj, modified) == (key, wanted)
                assert json.loads(body) == versions[wanted].told()
                at = previous
            assert at is None

    def compare_claims(self) -> None:
        """The claims are those of the current versions, each source's its own."""
        names = {object_key(self.store.key_of, source.number, indicator_uuid(number)): (name, number)
                 for name, source in self.sources.items() for number in range(1, 5)}  # fmt: skip
        rows = self.store.conn.execute(
            "SELECT observable.kind, value, object, source.name, origin.name, confidence, observed, valid_from,"
            " valid_until, tlp, flags FROM claim JOIN observable ON observable.number = claim.observable"
            " JOIN source ON source.number = claim.source JOIN origin ON origin.number = claim.origin"
        ).fetchall()
        found = {(Observable(CODE_KIND[row[0]], row[1]), names[row[2]]): row[3:] for row in rows}
        wanted = {
            (observable, key): (
                (one.source, one.origin, one.confidence, one.observed, one.valid_from, one.valid_until)
                + (self.model.tlp_of(key), one.revoked + 2 * one.benign)
            )
            for (observable, key), one in self.model.claims().items()
        }
        assert len(rows) == len(found)
        assert found == wanted

    def compare_scores(self) -> None:
        """Every stored score and next change is that of all claims at the time of its last write."""
        about: dict[Observable, list[Claim]] = {one: [] for one in self.model.scored}
        for (observable, _), claim in self.model.claims().items():
            about[observable].append(claim)
        wanted = {}
        for observable, claims in about.items():
            result = score(observable.kind, claims, Evidence(), self.model.scored[observable])
            wanted[observable] = (result.value, result.next_change)
        rows = self.store.conn.execute("SELECT kind, value, score, next_change FROM observable").fetchall()
        assert {Observable(CODE_KIND[kind], value): (points, change) for kind, value, points, change in rows} == wanted

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()


Knowledge.TestCase.settings = settings(stateful_step_count=35, deadline=None)
TestKnowledge = Knowledge.TestCase
"""Three sources, any batches: versions, claims and scores are those of the model after each."""
