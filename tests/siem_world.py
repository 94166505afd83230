"""A node as time goes by: it publishes each minute, a SIEM polls it, and both are compared with what was said.

A quiet minute is one in which nothing is said and nothing is due. It is skipped, after it has been shown on the
minutes at both ends of a quiet stretch, and on one between, that all the node does in it is to look: nothing is
written, so that the minute after finds what this one found.
"""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from pathlib import Path
from random import Random
from types import TracebackType

from builders import (
    NOW,
    domain,
    feed_source,
    ip,
    make_collection,
    make_indicator_json,
    make_outlet,
    make_store,
    served,
    take_in,
    with_facts,
)
from clocks import FixedClock
from siem_model import DAY, Knowledge, Said, Siem, Told, Voice
from taxii_node import TaxiiNode
from threatshare.config import OwnAssets
from threatshare.model import CollectionKind, Kind, Micros, Observable, Tlp, moment
from threatshare.publish import publish, rescore_due
from threatshare.share.outlets import Outlet
from threatshare.stix.patterns import pattern_of
from threatshare.stix.timestamps import whole_milliseconds
from threatshare.stix.tlp import TLP2_ID
from threatshare.store.lookups import OWN_ASSET
from threatshare.store.sources import Source

MINUTE: Micros = 60_000_000
OURS = ip("192.0.2.7")
BENIGN = domain("popular.example.org")
VALUES = (
    ip("198.51.100.1"),
    ip("198.51.100.2"),
    OURS,
    ip("203.0.113.0/28"),
    Observable(Kind.IPV6, "2001:db8::7"),
    domain("bad.example.net"),
    BENIGN,
    Observable(Kind.URL, "http://login.example.net/it's"),
    Observable(Kind.EMAIL, "phish@example.org"),
    Observable(Kind.SHA256, "ab" * 32),
)
FEEDS = ("feed-a", "feed-b", "feed-e", "copy-1", "copy-2")
LISTS = ("list-a", "list-b")


@dataclass
class World:
    """A node, its TAXII server, a SIEM that polls it and the model; use as a context manager."""

    folder: Path
    values: tuple[Observable, ...] = VALUES
    minute: int = 0
    happened: Counter[str] = field(default_factory=Counter)
    compared: int = 0
    quiet: int = 0

    def __enter__(self) -> World:
        self._open = ExitStack()
        self.clock = FixedClock()
        self.node = self._open.enter_context(TaxiiNode(self.folder, clock=self.clock))
        self.store = make_store(self.folder, self._cap)
        self._open.callback(lambda: self.store.close())
        self.collection = make_collection(self.store, CollectionKind.SIEM)
        self.partner = make_collection(self.store, CollectionKind.PARTNER, "to-nobody", "nobody")
        self.node.account("sentinel", read=["siem"])
        self.node.account("north", read=["siem"])
        self.siem = Siem(self.node, self.collection, "sentinel")
        self.knows = Knowledge(benign=frozenset({BENIGN}))
        for name, letter in zip(FEEDS, "ABEBB", strict=True):
            self.configure(name, Voice(letter, Tlp.GREEN, "aggregate" if name.startswith("copy") else None))
        for name, tlp in zip(LISTS, (Tlp.GREEN, Tlp.AMBER), strict=True):
            self.configure(name, Voice("B", tlp))
        self.configure("north", Voice("C"))
        self.before: dict[Observable, Told] = {}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    # --- time ---------------------------------------------------------------------------------------

    @property
    def now(self) -> Micros:
        """The present, at the turn of a minute."""
        return NOW + self.minute * MINUTE

    def live(self, until: int, rng: Random) -> None:
        """Lives through quiet minutes, and those in which something is due, up to the one before a minute."""
        while True:
            due = min(self._next_due(), until)
            for quiet in sorted({rng.randrange(self.minute, due), due - 1} - {self.minute}):
                self.turn(quiet, is_quiet=True)
            if due == until:
                return
            self.turn(due)

    def turn(self, minute: int, is_quiet: bool = False) -> None:
        """Does what the node does each minute, has the SIEM poll, and compares it with the model."""
        self.minute = minute
        self.clock.at = moment(self.now)
        written = self.store.conn.total_changes
        due = rescore_due(self.store, self.now)
        report = publish(self.store, self.outlets())
        came = self.siem.poll()
        told = self.knows.told(self.now)
        if is_quiet:
            self.quiet += 1
            assert (due, came) == (0, [])
            assert self.store.conn.total_changes == written, "a quiet minute writes nothing"
            assert told == self.before, "something changed unseen"
        assert self.siem.standing(self.now) == told, f"minute {minute}: what the SIEM holds against what was said"
        changed = {one for one in told.keys() | self.before.keys() if told.get(one) != self.before.get(one)}
        assert self.siem.told_of(came) == changed
        assert report.released["siem"] + report.withdrawn == len(came) == len(changed)
        self.compared += 1
        self.before = told

    def _next_due(self) -> int:
        """Gives the next minute in which something changes by itself, by the store's index or the SIEM's own dates."""
        moments = [row[0] for row in self.store.conn.execute("SELECT min(next_change) FROM observable") if row[0]]
        moments += [one for one in (self.siem.expires(self.now),) if one is not None]
        ahead = min(moments, default=self.now + 400 * DAY) - NOW
        return max(self.minute + 1, -(-ahead // MINUTE))

    def outlets(self) -> list[Outlet]:
        """Gives the ways out, as configured now: to our own tools, and to a partner without an agreement."""
        own = OwnAssets((ip_network(f"{OURS.value}/32"),) if self.knows.ours else (), declared_empty=True)
        at = whole_milliseconds(self.now)
        made = [make_outlet(one, now=at, own=own, purpose="demo") for one in (self.collection, self.partner)]
        return [with_facts(one, siem_floor=self.knows.floor) for one in made]

    def restart(self) -> None:
        """Ends the process that writes, and begins it anew."""
        self.store.close()
        self.store = make_store(self.folder, self._cap)

    def _cap(self, value: Observable) -> str | None:
        if value in self.knows.ours:
            return OWN_ASSET
        return "a list" if value in self.knows.benign else None

    # --- what it is told ----------------------------------------------------------------------------

    def configure(self, name: str, voice: Voice) -> None:
        """Configures a source."""
        self.knows.voices[name] = voice
        self.source(name)

    def tell(self, source: str, number: int, said: Said, at: Micros) -> None:
        """Has a feed bring a version of an object."""
        self._take(source, number, said, at)
        before = self.knows.said.get((source, number))
        # What was revoked stays revoked (STIX 2.1 §3.2).
        ever = before is not None and before.revoked
        self.knows.said[source, number] = replace(said, revoked=said.revoked or ever)

    def _take(self, source: str, number: int, said: Said, at: Micros) -> None:
        refs = [TLP2_ID[one] if isinstance(one, Tlp) else one for one in said.marks]
        raw = make_indicator_json(
            number,
            " OR ".join(map(pattern_of, said.about)),
            created=NOW - 500 * DAY,
            modified=said.modified,
            valid_from=said.begins,
            valid_until=said.ends,
            confidence=said.confidence,
            revoked=said.revoked,
            by=said.by,
            **({"object_marking_refs": refs} if refs else {}),
            **({"indicator_types": ["benign"]} if said.benign else {}),
        )
        tally, rejects = take_in(self.store, self.source(source), raw, now=at)
        assert (tally.unchanged, rejects) == (0, [])

    def source(self, name: str) -> Source:
        """Gives a source as it is configured now."""
        voice = self.knows.voices[name]
        return feed_source(self.store, name, voice.reliability, voice.tlp, lineage=voice.lineage)

    def check_end(self) -> None:
        """Checks what must hold at the end: each entry was read once, and a partner without an agreement got none."""
        assert served(self.store, self.partner) == []
        entries = served(self.store, self.collection)
        assert len(entries) == self.siem.received + (self.siem.us is not None)
        assert len({(one.id, one.version) for one in entries}) == len(entries)
