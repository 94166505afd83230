"""What came in from a partner in a period, and what each side said of the other's indicators.

One pass over what was kept in the period, whoever sent it: whose a version is, the key of its object tells.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

import msgspec

from threatshare.errors import BadValue
from threatshare.model import Micros
from threatshare.partners.ground import Ground
from threatshare.report.checkin import Answers, Received, Said, disputes
from threatshare.stix.patterns import read_pattern
from threatshare.store import exchanges, overlaps
from threatshare.store.connection import Connection
from threatshare.store.embedded import Store
from threatshare.store.keys import object_key, observable_key
from threatshare.store.objects import held_keys
from threatshare.store.sources import OWN, sources

DAY: Micros = 86_400_000_000
MOST_VALUES = 100_000
"""New values of one period that are compared with what others say; beyond them a share is that of these."""
_FEEDBACK = ("sighting", "opinion")


class Dispute(NamedTuple):
    """An opinion of the partner's that disagrees with an indicator of ours."""

    object_id: str
    received: Micros


class Intake(NamedTuple):
    """What a pass finds."""

    received: Received
    answers: Answers
    disputed: tuple[Dispute, ...]


class _Glance(msgspec.Struct, gc=False):
    """What is looked at of each version; others' objects may hold anything anywhere."""

    id: str
    type: str = ""
    revoked: Any = False
    pattern: Any = None
    pattern_type: Any = None
    sighting_of_ref: Any = None
    object_refs: Any = None
    opinion: Any = None

    @property
    def about(self) -> list[str]:
        """Ids of what it was seen of, or is an opinion on."""
        refs = [self.sighting_of_ref] if self.type == "sighting" else self.object_refs
        return [one for one in refs if isinstance(one, str)] if isinstance(refs, list) else []

    @property
    def opines(self) -> bool:
        """Whether it says something of an indicator, and has not been taken back."""
        return self.revoked is not True and (self.type == "sighting" or isinstance(self.opinion, str))


_glance = msgspec.json.Decoder(_Glance).decode


def came_in(store: Store, ground: Ground, when: range) -> Intake:
    """Counts what the partner's sources brought in a period, and compares its values with what others say."""
    received, feedback = Received(), _Feedback()
    values: dict[int, Micros] = {}
    for arrival, read, by_us in _of_both(store, ground, when):
        feedback.note(read, arrival.received, by_us)
        if by_us:
            continue
        _count(received, arrival, read)
        if arrival.new and len(values) < MOST_VALUES:
            values |= dict.fromkeys(_keys(store, read), arrival.received)
    received.rejected = exchanges.rejected(store.conn, ground.sources.values(), when.start, when.stop)
    _compare(store.conn, received, ground, values)
    return Intake(received, *feedback.sorted(store, ground))


def feedback_in(store: Store, ground: Ground, when: range) -> tuple[Answers, tuple[Dispute, ...]]:
    """Gives of a period only what each side said of the other's indicators; all else is passed over."""
    feedback = _Feedback()
    for arrival, read, by_us in _of_both(store, ground, when, _FEEDBACK):
        feedback.note(read, arrival.received, by_us)
    return feedback.sorted(store, ground)


def kind_of(kind: str, pattern: object) -> str:
    """Gives what an object is called in a count: of an indicator of one comparison what it is about."""
    if kind != "indicator" or not isinstance(pattern, str) or not pattern.startswith("["):
        return kind
    return pattern.lstrip("[( ").partition(":")[0][:40]


class _Feedback:
    """Sightings and opinions of both sides; of each the latest version counts."""

    def __init__(self) -> None:
        self._theirs: dict[str, tuple[_Glance, Micros]] = {}
        self._ours: dict[str, _Glance] = {}

    def note(self, read: _Glance, at: Micros, by_us: bool) -> None:
        """Keeps a version where it is feedback."""
        if read.type not in _FEEDBACK:
            return
        if by_us:
            self._ours[read.id] = read
        else:
            self._theirs[read.id] = (read, at)

    def sorted(self, store: Store, ground: Ground) -> tuple[Answers, tuple[Dispute, ...]]:
        """Tells whose indicators they are about; what is about neither's is left out."""
        answers = Answers()
        disputed = tuple(self._of_ours(store.conn, ground, answers))
        self._of_theirs(store, ground, answers)
        return answers, disputed

    def _of_ours(self, conn: Connection, ground: Ground, answers: Answers) -> Iterator[Dispute]:
        theirs = [(read, at) for read, at in self._theirs.values() if read.opines]
        sent = exchanges.held_by(conn, ground.collections, {ref for read, _ in theirs for ref in read.about})
        for read, at in theirs:
            for ref in sent.keys() & set(read.about):
                if read.type == "sighting":
                    answers.seen_by_them.append(ref)
                    continue
                said = Said(ref, read.opinion)
                answers.by_them.append(said)
                yield from (Dispute(one.object_id, at) for one in disputes([said]))

    def _of_theirs(self, store: Store, ground: Ground, answers: Answers) -> None:
        ours = [read for read in self._ours.values() if read.opines]
        told = exchanges.released(store.conn, ground.collections, {read.id for read in ours})
        held = _brought(store, ground, {ref for read in ours for ref in read.about})
        for read in ours:
            for ref in held & set(read.about):
                if read.type == "sighting":
                    (answers.seen_by_us if read.id in told else answers.seen_untold).append(ref)
                else:
                    (answers.by_us if read.id in told else answers.by_us_untold).append(Said(ref, read.opinion))


def _brought(store: Store, ground: Ground, ids: Iterable[str]) -> set[str]:
    """Gives those of some ids that the partner's sources brought."""
    keys = {object_key(store.key_of, number, one): one for one in ids for number in ground.sources}
    return {keys[key] for key in held_keys(store.conn, keys)}


def _of_both(
    store: Store, ground: Ground, when: range, only: Sequence[str] = ()
) -> Iterator[tuple[exchanges.Arrival, _Glance, bool]]:
    """Yields what the partner's sources brought, and our own sightings and opinions; True stands for ours."""
    own = sources(store.conn).get(OWN)
    key_of, theirs = store.key_of, tuple(ground.sources)
    for arrival in exchanges.arrivals(store.conn, when.start, when.stop, only):
        try:
            read = _glance(arrival.body)
        except (msgspec.DecodeError, RecursionError):
            # An original that the fast reader cannot even tell the id of.
            continue
        if any(object_key(key_of, number, read.id) == arrival.object for number in theirs):
            yield arrival, read, False
        elif read.type in _FEEDBACK and own and object_key(key_of, own.number, read.id) == arrival.object:
            yield arrival, read, True


def _count(received: Received, arrival: exchanges.Arrival, read: _Glance) -> None:
    if read.revoked is True:
        received.revoked += 1
    elif arrival.new:
        received.new += 1
        received.kinds[kind_of(read.type, read.pattern)] += 1
    else:
        received.changed += 1


def _keys(store: Store, read: _Glance) -> list[int]:
    """Gives the keys of the observables that an indicator names; nothing where it cannot be read."""
    if read.type != "indicator" or read.pattern_type not in (None, "stix") or not isinstance(read.pattern, str):
        return []
    try:
        return [observable_key(store.key_of, one) for one in read_pattern(read.pattern)]
    except BadValue:
        return []


def _compare(conn: Connection, received: Received, ground: Ground, values: Mapping[int, Micros]) -> None:
    """Counts which of the new values others told us too, and who was first."""
    known = overlaps.beside(conn, values, ground.sources)
    began = overlaps.first_received(conn, {other for one in known.values() for other in one.others})
    ahead: list[Micros] = []
    behind: list[Micros] = []
    for key, one in known.items():
        received.values += 1
        received.unique += not one.others
        if one.first_seen < values[key]:
            behind.append(values[key] - one.first_seen)
            continue
        received.first += 1
        followed = [began[other] for other in one.others if other in began]
        if followed:
            ahead.append(min(followed) - values[key])
    received.ahead_days = median(ahead) / DAY if ahead else None
    received.behind_days = median(behind) / DAY if behind else None
