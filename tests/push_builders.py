"""Builders for the tests of push: a partner's collection with entries, and a target that delivers it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from builders import NOW, SECOND, make_agreement, make_collection, make_indicator, make_outlet, make_store
from clocks import START, FixedClock
from threatshare.model import Collection, CollectionKind, Micros
from threatshare.policy.agreements import Agreement
from threatshare.share.push import push
from threatshare.share.push_settings import PushSettings
from threatshare.share.push_target import PushReport, Target, target_of
from threatshare.stix.timestamps import read_timestamp
from threatshare.store.deliveries import Delivery, Undelivered, deliveries, undelivered
from threatshare.store.embedded import Store
from threatshare.store.entries import NewEntry, append_entries


@dataclass
class Pause:
    """Sleeps without waiting: moves a clock on instead."""

    clock: FixedClock
    slept: list[float] = field(default_factory=list)

    def __call__(self, seconds: float) -> None:
        """Passes the time."""
        self.slept.append(seconds)
        self.clock.advance(seconds=seconds)

    def monotonic(self) -> float:
        """Shows the time that has passed."""
        return (self.clock() - START).total_seconds()


class Outbox:
    """A store with a partner's collection, and a target for it."""

    def __init__(self, folder: Path, url: str, shape: type[Store] = Store, **settings: Any) -> None:
        self.folder = folder
        self.clock = FixedClock()
        self.pause = Pause(self.clock)
        self.store = make_store(folder, shape=shape)
        self.collection: Collection = make_collection(self.store, CollectionKind.PARTNER, "to-north", "north")
        self.agreement: Agreement | None = make_agreement("north")
        self.settings = PushSettings("to-north", url, allow_private_address=True, **settings)

    def add(self, *objects: dict[str, Any], now: Micros | None = None) -> None:
        """Puts objects into the collection, as publishing does."""
        entries = [
            NewEntry(one["id"], read_timestamp(one["modified"]), one["type"], "2.1", json.dumps(one).encode(), "")
            for one in objects
        ]
        with self.store.writing() as conn:
            append_entries(conn, self.collection, entries, now or self.clock.micros)

    def fill(self, count: int, first: int = 1) -> None:
        """Puts numbered indicators in."""
        self.add(*(make_indicator(number) for number in range(first, first + count)))

    def change(self, **settings: Any) -> None:
        """Changes the target's file."""
        self.settings = msgspec.structs.replace(self.settings, **settings)

    def target(self, resolve: Callable[[str, int], Sequence[str]] = lambda host, port: ["127.0.0.1"]) -> Target:
        """Reads the target anew."""
        outlets = [make_outlet(self.collection, self.agreement)]
        return target_of("north", self.settings, self.folder, self.store.conn, outlets, self.clock, resolve=resolve)

    def push(self, **choices: Any) -> PushReport:
        """Runs the target once, a minute after whatever was before."""
        self.clock.advance(minutes=1)
        told: dict[str, Any] = {"monotonic": self.pause.monotonic, "sleep": self.pause} | choices
        return push(self.store, self.target(), lambda: self.clock.micros, **told)

    @property
    def delivered(self) -> list[Delivery]:
        """Every envelope, the oldest first."""
        return deliveries(self.store.conn, "north", 10_000)[::-1]

    @property
    def undelivered(self) -> list[Undelivered]:
        """Every entry that was not delivered."""
        return undelivered(self.store.conn, "north")

    @property
    def bodies(self) -> list[bytes]:
        """The collection's entries in order."""
        rows = self.store.conn.execute(
            "SELECT body FROM entry WHERE id >> 40 = ? ORDER BY id", (self.collection.number,)
        ).fetchall()
        return [bytes(row[0]) for row in rows]


def revoked(thing: dict[str, Any], seconds: int = 60) -> dict[str, Any]:
    """Gives the withdrawal of an object."""
    return thing | {"revoked": True, "modified": make_indicator(modified=NOW + seconds * SECOND)["modified"]}


def versioned(thing: dict[str, Any], seconds: int = 30) -> dict[str, Any]:
    """Gives a later version of an object."""
    return thing | {"confidence": 99, "modified": make_indicator(modified=NOW + seconds * SECOND)["modified"]}


def numbers(ids: Sequence[str]) -> list[int]:
    """Gives the numbers of numbered indicators."""
    return [int(one[-12:]) for one in ids]
