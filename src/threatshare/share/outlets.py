"""One collection's way out: what a batch of decisions puts into it, takes back from it, and leaves on record.

Nothing enters a collection of ours except as ``Cleared``, which only the gate makes. Entries and the
decisions on them are written in the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256

import msgspec

from threatshare.model import Collection, CollectionKind, Decision, Micros, Reason, Verdict
from threatshare.policy.gate import Audience, Cleared, Facts, clear_withdrawal, policy_of
from threatshare.stix import objects
from threatshare.store.connection import Connection
from threatshare.store.entries import NewEntry, append_entries, held_body
from threatshare.store.releases import Release, save_releases

_SHOWN = 1_000
"""Decisions that a report carries at most."""


@dataclass(slots=True)
class PublishReport:
    """What one run of publish did."""

    released: dict[str, int] = field(default_factory=dict)
    """By collection alias: versions that went out."""
    held: int = 0
    refused: int = 0
    withdrawn: int = 0
    decisions: list[tuple[str, str, Decision]] = field(default_factory=list)
    """(collection alias, object id, decision) of what was examined, the first thousand."""

    def note(self, alias: str, object_id: str, decision: Decision) -> None:
        """Counts a decision that lets nothing out, and keeps it for showing."""
        self.held += decision.verdict is Verdict.HOLD
        self.refused += decision.verdict is Verdict.REFUSE
        if len(self.decisions) < _SHOWN:
            self.decisions.append((alias, object_id, decision))


@dataclass(frozen=True)
class Outlet:
    """One collection with its audience, and all that decisions for it depend on."""

    collection: Collection
    audience: Audience
    facts: Facts
    identity: bytes
    """Our Identity object, which goes along with what names us."""
    now: Micros

    @cached_property
    def policy(self) -> bytes:
        """Digest of all that decisions depend on beside the objects; inside our organisation no agreement counts."""
        inside = self.collection.kind in (CollectionKind.SIEM, CollectionKind.INTERNAL)
        return policy_of(self.audience, replace(self.facts, agreements={}) if inside else self.facts)


@dataclass
class Dispatch:
    """The entries and decisions of one batch on their way into one collection."""

    conn: Connection
    outlet: Outlet
    before: Mapping[str, Release]
    cleared: list[Cleared] = field(default_factory=list)
    decided: list[Release] = field(default_factory=list)
    uncounted: int = 0
    """Cleared objects that are no release of their own: withdrawals, our Identity."""

    def decide(
        self, object_id: str, decided: Cleared | Decision, life: int, digest: bytes, report: PublishReport
    ) -> None:
        """Acts on the gate's word: releases what is news, withdraws what may no longer stand, notes the rest."""
        past = self.before.get(object_id)
        if isinstance(decided, Cleared):
            if past is None or not past.served or past.digest != digest:
                self.cleared.append(decided)
                self.record(object_id, decided, decided.decision, life, digest)
            elif past.policy != self.outlet.policy:
                self.decided.append(replace(past, reasons=self._reasons(decided.decision), policy=self.outlet.policy))
            return
        report.note(self.outlet.collection.alias, object_id, decided)
        if past is not None and past.served:
            self.withdraw(past, decided, report)
        elif past is None:
            self.decided.append(self._release(object_id, 0, b"", decided, 1, 0))
        else:
            # What the audience once held stays on record, so that a later release is another life.
            self.decided.append(
                replace(past, verdict=decided.verdict, reasons=decided.reasons, policy=self.outlet.policy)
            )

    def withdraw(self, past: Release, decision: Decision, report: PublishReport) -> None:
        """Sends a revoked version of what the audience holds."""
        served_id = objects.reborn_id(past.object_id, past.life)
        held = held_body(self.conn, self.outlet.collection, served_id, past.version)
        if held is None:
            # Deleted from the collection by somebody: there is nothing left to withdraw.
            self.decided.append(replace(past, verdict=decision.verdict, reasons=decision.reasons))
            return
        modified = max(self.outlet.now, past.version + 1000)
        gone = objects.written(objects.revoked(msgspec.json.decode(held), modified))
        cleared = clear_withdrawal(gone, held, self.outlet.audience, self.outlet.facts)
        if isinstance(cleared, Cleared):
            self.cleared.append(cleared)
            self.uncounted += 1
            report.withdrawn += 1
            self.decided.append(
                self._release(past.object_id, cleared.version, sha256(gone).digest(), decision, past.life, past.created)
            )
        else:
            # It stands for one more run, and the next one tries again.
            report.note(self.outlet.collection.alias, served_id, cleared)

    def record(self, object_id: str, cleared: Cleared, decision: Decision, life: int, digest: bytes) -> None:
        """Notes what goes out."""
        past = self.before.get(object_id)
        created = past.created if past is not None and past.served else self.outlet.now
        self.decided.append(self._release(object_id, cleared.version, digest, decision, life, created))

    def commit(self, report: PublishReport) -> None:
        """Writes entries and decisions."""
        entries = [
            NewEntry(one.object_id, one.version, one.type, one.spec_version, one.body, "") for one in self.cleared
        ]
        append_entries(self.conn, self.outlet.collection, entries, self.outlet.now)
        save_releases(self.conn, self.outlet.collection.number, self.decided)
        report.released[self.outlet.collection.alias] += len(self.cleared) - self.uncounted

    def _release(
        self, object_id: str, version: Micros, digest: bytes, decision: Decision, life: int, created: Micros
    ) -> Release:
        return Release(
            object_id,
            version,
            digest,
            decision.verdict,
            self._reasons(decision),
            self.outlet.policy,
            self.outlet.now,
            life,
            created,
        )

    def _reasons(self, decision: Decision) -> tuple[Reason, ...]:
        # Of a million merged indicators that are released for the same reasons, the reasons are not kept.
        merged = self.outlet.collection.kind is CollectionKind.SIEM and decision.verdict is Verdict.RELEASE
        return () if merged else decision.reasons
