"""One collection's way out: what a batch of decisions puts into it, takes back from it, and leaves on record.

Nothing enters a collection of ours except as ``Cleared``, which only the gate makes. Entries, the decisions
on them and their rows in the ledger are written in the caller's transaction.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256

import msgspec

from threatshare.model import Collection, CollectionKind, Decision, Micros, Reason, Verdict
from threatshare.policy import agreements
from threatshare.policy.disguise import day_of
from threatshare.policy.gate import WITHDRAWAL, Audience, Cleared, Facts, clear_withdrawal, policy_of
from threatshare.stix import objects
from threatshare.store.connection import Connection
from threatshare.store.disguises import ServedAs, note_served_as, served_as
from threatshare.store.entries import SEQ_BITS, NewEntry, append_entries, held_body
from threatshare.store.ledger import Agreed, Line, Terms, What, record
from threatshare.store.releases import Release, save_releases

_SHOWN = 1_000
"""Decisions that a report carries at most."""
_LIFTED = "; released by "
_DAY = r"\d{4}-\d{2}-\d{2}"
_PERSONS = re.compile(rf"{_LIFTED}(.+?) on {_DAY}(?: and by (.+?) on {_DAY})?: ").search
"""Who lifted a hold, as the gate's reason names one or two; what they wrote beside it stays out of the ledger."""


@dataclass(slots=True)
class PublishReport:
    """What one run of publish did."""

    released: dict[str, int] = field(default_factory=dict)
    """By collection alias: versions that went out."""
    held: int = 0
    refused: int = 0
    withdrawn: int = 0
    changes: list[tuple[str, str, str, str]] = field(default_factory=list)
    """(``release`` or ``withdraw``, collection alias, object id, name) of what changes, the first thousand."""
    decisions: list[tuple[str, str, Decision]] = field(default_factory=list)
    """(collection alias, object id, decision) of what was examined, the first thousand."""

    def change(self, what: str, alias: str, cleared: Cleared) -> None:
        """Keeps what goes out for showing."""
        if len(self.changes) < _SHOWN:
            content = msgspec.json.decode(cleared.body)
            name = str(content.get("name") or content.get("sighting_of_ref") or cleared.type)
            self.changes.append((what, alias, cleared.object_id, name))

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
    """Our Identity object, as this audience knows it; it goes along with what names us."""
    now: Micros
    place: tuple[bytes, ...] = ()
    """Our Location and the Relationship to it, where the audience's profile wants them."""

    @property
    def introduction(self) -> tuple[bytes, ...]:
        """All that says who we are, in the order in which it goes out."""
        return (self.identity, *self.place)

    @property
    def face(self) -> str | None:
        """The id of the Identity that this audience knows instead of ours; None where it is told who we are."""
        return None if self.audience.disguise is None else self.audience.disguise.identity

    def known_ids(self, ours: Iterable[str]) -> list[str]:
        """Gives ids of ours as this audience knows them."""
        disguise = self.audience.disguise
        return list(ours) if disguise is None else [disguise.object_id(one) for one in ours]

    @property
    def shown_now(self) -> Micros:
        """The present, as this audience is told it."""
        return self.now if self.audience.disguise is None else day_of(self.now)

    @cached_property
    def policy(self) -> bytes:
        """Digest of all that decisions depend on beside the objects; inside our organisation no agreement counts."""
        inside = self.collection.kind in (CollectionKind.SIEM, CollectionKind.INTERNAL)
        asked = policy_of(self.audience, replace(self.facts, agreements={}) if inside else self.facts)
        # A change of who we are is told by the next run, whatever else has changed.
        return asked if inside else sha256(asked + b"".join(self.introduction)).digest()

    @cached_property
    def agreed(self) -> Agreed | None:
        """What its objects leave under; None for our own organisation, and for a partner whose agreement is gone."""
        one = self.audience.agreement
        return None if one is None else Agreed(one.partner, one.version, agreements.digest_of(one))


@dataclass
class Dispatch:
    """The entries and decisions of one batch on their way into one collection."""

    conn: Connection
    outlet: Outlet
    before: Mapping[str, Release]
    cleared: list[Cleared] = field(default_factory=list)
    decided: list[Release] = field(default_factory=list)
    uncounted: int = 0
    """Cleared objects that are no release of their own: withdrawals, our introduction."""
    introduced: set[str] = field(default_factory=set)
    """Ids of those that say who we are."""
    _worn: list[ServedAs] = field(default_factory=list)
    """What goes out under another id than ours."""
    _causes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """By the id of what is withdrawn: the rules for which it may no longer stand."""
    _terms: dict[object, str] = field(default_factory=dict)

    def decide(
        self, object_id: str, decided: Cleared | Decision, life: int, digest: bytes, report: PublishReport
    ) -> None:
        """Acts on the gate's word: releases what is news, withdraws what may no longer stand, notes the rest."""
        past = self.before.get(object_id)
        if isinstance(decided, Cleared):
            if past is None or not past.served or past.digest != digest:
                self.cleared.append(decided)
                report.change("release", self.outlet.collection.alias, decided)
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
        known = self._known.get((past.object_id, past.life))
        served_id = known.served_id if known else objects.reborn_id(past.object_id, past.life)
        held = held_body(self.conn, self.outlet.collection, served_id, past.version)
        if held is None:
            # Deleted from the collection by somebody: there is nothing left to withdraw.
            self.decided.append(replace(past, verdict=decision.verdict, reasons=decision.reasons))
            return
        modified = max(day_of(self.outlet.now) if known else self.outlet.shown_now, past.version + 1000)
        gone = objects.written(objects.revoked(msgspec.json.decode(held), modified))
        identity = known.identity if known else None
        cleared = clear_withdrawal(gone, held, self.outlet.audience, self.outlet.facts, identity)
        if isinstance(cleared, Cleared):
            self.cleared.append(cleared)
            self._causes[served_id] = tuple(one.rule for one in decision.reasons if one.verdict is not Verdict.RELEASE)
            self.uncounted += 1
            report.withdrawn += 1
            report.change("withdraw", self.outlet.collection.alias, cleared)
            self.decided.append(
                self._release(past.object_id, cleared.version, sha256(gone).digest(), decision, past.life, past.created)
            )
        else:
            # It stands for one more run, and the next one tries again.
            report.note(self.outlet.collection.alias, served_id, cleared)

    @cached_property
    def _known(self) -> Mapping[tuple[str, int], ServedAs]:
        """How the audience knows what was decided before, where it was not told who we are."""
        if self.outlet.collection.kind is not CollectionKind.PARTNER:
            return {}
        return served_as(self.conn, self.outlet.collection.number, list(self.before))

    def record(self, object_id: str, cleared: Cleared, decision: Decision, life: int, digest: bytes) -> None:
        """Notes what goes out."""
        past = self.before.get(object_id)
        created = past.created if past is not None and past.served else self.outlet.now
        disguise = self.outlet.audience.disguise
        if disguise is not None and cleared.object_id not in self.introduced:
            self._worn.append(ServedAs(object_id, life, cleared.object_id, disguise.identity))
        self.decided.append(self._release(object_id, cleared.version, digest, decision, life, created))

    def commit(self, report: PublishReport) -> None:
        """Writes entries, the ledger's rows of them, and decisions."""
        entries = [
            NewEntry(one.object_id, one.version, one.type, one.spec_version, one.body, "") for one in self.cleared
        ]
        added = append_entries(self.conn, self.outlet.collection, entries, self.outlet.now)
        lines = [self._line(entry, one) for entry, one in self._added(added)]
        record(self.conn, self._us, lines, self.outlet.now)
        save_releases(self.conn, self.outlet.collection.number, self.decided)
        note_served_as(self.conn, self.outlet.collection.number, self._worn)
        report.released[self.outlet.collection.alias] += len(self.cleared) - self.uncounted

    def _added(self, count: int) -> Sequence[tuple[int, Cleared]]:
        """Gives what became an entry, with the entry's id; the collection held the rest already."""
        number = self.outlet.collection.number
        last = int(self.conn.execute("SELECT last_seq FROM collection WHERE number = ?", (number,)).fetchone()[0])
        first = (number << SEQ_BITS) + last - count + 1
        if count == len(self.cleared):
            return list(enumerate(self.cleared, first))
        cleared = {(one.object_id, one.version): one for one in reversed(self.cleared)}
        rows = self.conn.execute(
            "SELECT id, object_id, version FROM entry WHERE id >= ? AND id < ? ORDER BY id", (first, first + count)
        )
        return [(entry, cleared[object_id, version]) for entry, object_id, version in rows.fetchall()]

    def _line(self, entry: int, one: Cleared) -> Line:
        """Gives the ledger's row of an entry."""
        # Most objects of a batch leave on the same terms: these are put into words once.
        asked = tuple([reason.rule for reason in one.decision.reasons])
        approved = tuple(
            dict.fromkeys(
                (reason.rule, person)
                for reason in one.decision.reasons
                if _LIFTED in reason.text and (lifted := _PERSONS(reason.text))
                for person in lifted.groups()
                if person is not None
            )
        )
        same = (one.type, asked, approved, self._causes.get(one.object_id), one.object_id in self.introduced)
        text = self._terms.get(same)
        if text is None:
            text = self._terms[same] = self._written(one, asked, approved)
        return Line(entry, one.type, one.object_id, one.version, sha256(one.body).digest(), text)

    def _written(self, one: Cleared, asked: tuple[str, ...], approved: tuple[tuple[str, str], ...]) -> str:
        to = self.outlet.collection
        what = What.INTRODUCTION if one.object_id in self.introduced else What.RELEASE
        if WITHDRAWAL in asked:
            what = What.WITHDRAWAL
        rules = tuple(dict.fromkeys(asked + self._causes.get(one.object_id, ())))
        agreed = self.outlet.agreed
        return Terms(what, one.type, to.number, to.alias, to.kind.value, to.partner, agreed, rules, approved).text

    @property
    def _us(self) -> str:
        return self.outlet.facts.our_identity

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
