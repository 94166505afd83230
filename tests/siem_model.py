"""A SIEM that polls our endpoint, and the plain reckoning of what it should hold.

``Siem`` reads a collection over the real WSGI application as Sentinel and Elastic do, and believes nothing else.
``Knowledge`` keeps what was said to the node and works everything out anew each time it is asked: it scores with
``triage.score`` and knows nothing of the store, its indexes and queues.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from builders import US
from taxii_node import TaxiiNode
from threatshare.model import Claim, Collection, Evidence, Marking, Micros, Observable, Opinion, Tlp, band_of
from threatshare.stix.marking_definitions import PAP_IDS
from threatshare.stix.patterns import read_pattern
from threatshare.stix.timestamps import read_timestamp, whole_milliseconds
from threatshare.stix.tlp import TLP_IDS
from threatshare.triage.decay import lifetime
from threatshare.triage.merged import MONITOR_ONLY
from threatshare.triage.score import score

DAY: Micros = 86_400_000_000
NO_BLOCKING = next(ref for ref, pap in PAP_IDS.items() if pap.name == "RED")
UNREADABLE = "marking-definition--00000000-0000-4000-8000-000000000009"
ONE_COMPARISON = re.compile(r"\[[a-z0-9:.'-]+ = '(?:[^'\\]|\\.)*'\]", re.IGNORECASE).fullmatch


@dataclass(frozen=True, slots=True)
class Told:
    """What our own tools are to know of one value."""

    band: str
    tlp: Tlp
    may_block: bool
    begins: Micros
    ends: Micros
    sources: frozenset[str]


# --- the SIEM ------------------------------------------------------------------------------------------


@dataclass
class Siem:
    """Keeps objects by id, as they come; asks for what was added since the last answer's last date."""

    node: TaxiiNode
    collection: Collection
    account: str
    late: bool = False
    """Whether it may first hear of an object by its withdrawal."""
    held: dict[str, dict[str, Any]] = field(default_factory=dict)
    ids: dict[Observable, list[str]] = field(default_factory=dict)
    """Under which it was told of a value, the latest last."""
    since: str | None = None
    us: dict[str, Any] | None = None
    """Our Identity, once it was told of it."""
    polls: int = 0
    received: int = 0
    """Indicators and their versions."""

    def poll(self, limit: int = 3) -> list[dict[str, Any]]:
        """Asks once and follows the pages; gives the indicators that came, and checks each against what was held."""
        came: list[dict[str, Any]] = []
        query: dict[str, Any] = {"limit": limit} | ({"added_after": self.since} if self.since else {})
        while True:
            answer = self.node.get(f"/api/collections/{self.collection.id}/objects/", self.account, query)
            self.polls += 1
            assert answer.status == 200, answer
            came += answer.objects
            if not answer.objects:
                assert not answer.json["more"]
                break
            self.since = answer.headers["X-TAXII-Date-Added-Last"]
            if not answer.json["more"]:
                break
            # As Elastic does: no filter beside the position.
            query = {"limit": limit, "next": answer.json["next"]}
        if came and self.us is None:
            self.us, *came = came
            assert (self.us["type"], self.us["id"]) == ("identity", US), "who we are comes before what names us"
            assert came, "who we are comes with what names us"
        for one in came:
            self._take(one)
        self.received += len(came)
        return came

    def _take(self, one: dict[str, Any]) -> None:
        assert one["type"] == "indicator"
        assert one["created_by_ref"] == US
        assert ONE_COMPARISON(one["pattern"]), one["pattern"]
        before = self.held.get(one["id"])
        if before is None:
            (value,) = read_pattern(one["pattern"])
            self.ids.setdefault(value, []).append(one["id"])
            assert self.late or not one.get("revoked"), "a withdrawal of what was never told"
        else:
            assert not before.get("revoked"), "a version after the withdrawal"
            assert read_timestamp(before["modified"]) < read_timestamp(one["modified"])
            assert (before["pattern"], before["created"]) == (one["pattern"], one["created"])
            assert one.get("revoked") or _told(one) != _told(before), "a version that says nothing new"
        self.held[one["id"]] = one

    def standing(self, now: Micros) -> dict[Observable, Told]:
        """Gives what it acts on: neither revoked nor past its validity; each value once."""
        found: dict[Observable, Told] = {}
        for value, ids in self.ids.items():
            acted_on = [_told(self.held[one]) for one in ids if not self.held[one].get("revoked")]
            for told in (one for one in acted_on if one.ends > now):
                assert value not in found, "two indicators of one value stand"
                found[value] = told
        return found

    def told_of(self, came: list[dict[str, Any]]) -> set[Observable]:
        """Gives the values of what came."""
        ids = {one["id"] for one in came}
        return {value for value, known in self.ids.items() if not ids.isdisjoint(known)}

    def expires(self, now: Micros) -> Micros | None:
        """Gives when the next of what stands ends by itself."""
        return min((one.ends for one in self.standing(now).values()), default=None)


def _told(one: dict[str, Any]) -> Told:
    (band,) = [label.removeprefix("score:") for label in one["labels"] if label.startswith("score:")]
    sources = frozenset(label.removeprefix("source:") for label in one["labels"] if label.startswith("source:"))
    (tlp,) = [TLP_IDS[ref] for ref in one["object_marking_refs"]]
    begins, ends = read_timestamp(one["valid_from"]), read_timestamp(one["valid_until"])
    return Told(band, tlp, MONITOR_ONLY not in one["labels"], begins, ends, sources)


# --- what was said -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Voice:
    """A source as it is configured now."""

    reliability: str = "B"
    tlp: Tlp = Tlp.GREEN
    lineage: str | None = None


@dataclass(frozen=True)
class Said:
    """The current version of one object of a source."""

    about: tuple[Observable, ...]
    confidence: int | None
    modified: Micros
    begins: Micros
    ends: Micros | None
    marks: tuple[Tlp | str, ...]
    revoked: bool
    benign: bool
    by: str | None


@dataclass(frozen=True)
class Listed:
    """A value as a list names it."""

    since: Micros
    said: Micros
    confidence: int | None


@dataclass
class Found:
    """What our own sensors saw of a value."""

    first: Micros
    last: Micros
    confidence: int
    void: bool = False
    """People have withdrawn our indicator."""


@dataclass(frozen=True)
class Feedback:
    """What one person told of a value."""

    told: str
    value: Observable
    person: str
    day: int


@dataclass
class Knowledge:
    """All that the node was told, and nothing of what it made of it."""

    floor: int = 1
    ours: frozenset[Observable] = frozenset()
    benign: frozenset[Observable] = frozenset()
    voices: dict[str, Voice] = field(default_factory=dict)
    said: dict[tuple[str, int], Said] = field(default_factory=dict)
    listed: dict[str, dict[Observable, Listed]] = field(default_factory=dict)
    found: dict[Observable, Found] = field(default_factory=dict)
    feedback: list[Feedback] = field(default_factory=list)
    opinions: dict[Observable, dict[str, str]] = field(default_factory=dict)

    def told(self, now: Micros) -> dict[Observable, Told]:
        """Works out what our own tools should know at a moment, of every value from scratch."""
        claims: dict[Observable, list[Claim]] = {}
        for value, claim in self._claims():
            claims.setdefault(value, []).append(claim)
        return {value: one for value, about in claims.items() if (one := self._view(value, about, now)) is not None}

    def names(self, value: Observable) -> bool:
        """Tells whether anybody says anything of a value, were it that it no longer stands."""
        return any(named == value for named, _ in self._claims())

    def _view(self, value: Observable, claims: list[Claim], now: Micros) -> Told | None:
        visible = [one for one in claims if one.marking.tlp is not None and one.marking.tlp < Tlp.RED]
        rated = score(value.kind, visible, self._evidence(value), now).value
        standing = [one for one in visible if _counts(one, value, now)]
        if rated < self.floor or not standing or value in self.ours:
            return None
        ends = whole_milliseconds(max(_told_end(one, value) for one in standing))
        return Told(
            band_of(rated),
            max(one.marking.tlp or Tlp.CLEAR for one in standing),
            any(one.marking.may_block for one in standing),
            whole_milliseconds(min(*(one.valid_from for one in standing), ends - 1000)),
            ends,
            frozenset(one.source for one in standing),
        )

    def _evidence(self, value: Observable) -> Evidence:
        about = [one for one in self.feedback if one.value == value]
        return Evidence(
            len({one.person for one in about if one.told == "false-positive"}),
            len({(one.person, one.day) for one in about if one.told == "sighting"}),
            value in self.ours,
            "a list" if value in self.benign else None,
            tuple(
                sorted(
                    Opinion(source, word, self.voices[source].reliability)
                    for source, word in self.opinions.get(value, {}).items()
                )
            ),
        )

    def _claims(self) -> Iterator[tuple[Observable, Claim]]:
        for (source, _), one in self.said.items():
            voice = self.voices[source]
            origin, times = voice.lineage or one.by or source, (one.modified, one.begins, one.ends)
            marking = _marking(one.marks, voice.tlp)
            for value in one.about:
                yield (
                    value,
                    Claim(
                        source, "", origin, voice.reliability, one.confidence, *times, one.revoked, one.benign, marking
                    ),
                )
        for source, rows in self.listed.items():
            voice = self.voices[source]
            origin = voice.lineage or source
            for value, row in rows.items():
                times = (row.said, row.since, None)
                marking = Marking(voice.tlp)
                yield value, Claim(source, "", origin, voice.reliability, row.confidence, *times, marking=marking)
        for value, seen in self.found.items():
            ends = whole_milliseconds(seen.last + lifetime(value.kind))
            times = (ends - lifetime(value.kind), whole_milliseconds(seen.first), ends)
            yield value, Claim("own", "", US, "A", seen.confidence, *times, seen.void, marking=Marking(Tlp.GREEN))


def _marking(marks: tuple[Tlp | str, ...], default: Tlp) -> Marking:
    if UNREADABLE in marks:
        return Marking(None, (UNREADABLE,))
    stated = [one for one in marks if isinstance(one, Tlp)]
    return Marking(max(stated, default=default), may_block=NO_BLOCKING not in marks)


def _counts(claim: Claim, value: Observable, now: Micros) -> bool:
    return not claim.revoked and not claim.benign and claim.valid_from <= now < _end(claim, value)


def _end(claim: Claim, value: Observable) -> Micros:
    gone = claim.observed + lifetime(value.kind, 0.0)
    return gone if claim.valid_until is None else min(gone, claim.valid_until)


def _told_end(claim: Claim, value: Observable) -> Micros:
    weeks = -(-(claim.observed + lifetime(value.kind, 0.0)) // (7 * DAY))
    return weeks * 7 * DAY if claim.valid_until is None else min(weeks * 7 * DAY, claim.valid_until)
