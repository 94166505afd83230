"""What happens in 90 days of a node: partners, lists, sensors and people, told to the node and to the model alike.

Each is drawn from a random source, happens within the minute before a turn, and says whether anything came of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from random import Random

from builders import NOW, find, indicator_uuid, make_own, take_in
from incident_builders import by
from siem_model import DAY, NO_BLOCKING, UNREADABLE, Feedback, Found, Listed, Said
from siem_world import BENIGN, FEEDS, LISTS, MINUTE, OURS, World
from threatshare import feedback
from threatshare.errors import UsageError
from threatshare.model import Micros, Observable, Reject, Tlp
from threatshare.ports import Listed as ListedRow
from threatshare.ports import Listing
from threatshare.pull import pull_list
from threatshare.stix.timestamps import whole_milliseconds, write_timestamp
from threatshare.store.feedback import Told as Word

MAKERS = ("identity--00000000-0000-4000-8000-000000000001", "identity--00000000-0000-4000-8000-000000000002")
PEOPLE = ("one", "two")
WORDS = ("strongly-disagree", "disagree", "neutral", "agree", "strongly-agree")


@dataclass(frozen=True)
class List:
    """A ``ListClient`` over rows in memory."""

    rows: tuple[ListedRow | Reject, ...]
    cursor: str

    def listing(self, cursor: str | None, now: Micros) -> Listing | None:
        """Gives the list, which is never the one of the last time."""
        return Listing(iter(self.rows), self.cursor, True, len(self.rows))


def go_through(world: World, rng: Random, minutes: Iterable[int], until: int) -> None:
    """Lives to a minute; something happens before some minutes, and a few things before a few of them."""
    world.turn(world.minute)
    for minute in sorted(minutes):
        world.live(minute, rng)
        happen(world, rng, minute, rng.choice((1, 1, 3)))
        world.turn(minute)
    world.live(until, rng)
    world.turn(until)


def happen(world: World, rng: Random, minute: int, count: int = 1) -> None:
    """Lets things happen within the minute before a turn, one after the other."""
    for at in sorted(rng.sample(range(MINUTE), count)):
        what = rng.choices(list(EVENTS), [weight for _, weight in EVENTS.values()])[0]
        world.happened[what] += EVENTS[what][0](world, rng, NOW + (minute - 1) * MINUTE + at)


def say(world: World, rng: Random, at: Micros) -> bool:
    """A feed brings an object, or a new version of one, perhaps revoked."""
    source, number = rng.choice(FEEDS), rng.randrange(1, 7)
    before = world.knows.said.get((source, number))
    modified = at - rng.choice((0, 0, rng.randrange(20 * DAY)))
    if before is not None:
        modified = max(modified, before.modified + 1)
    begins = modified + rng.randrange(-30, 15) * DAY + rng.randrange(DAY)
    ends = rng.choice((None, begins + rng.randrange(1, 60) * DAY + rng.randrange(DAY)))
    tlp = rng.choice((None, None, Tlp.CLEAR, Tlp.AMBER, Tlp.AMBER_STRICT, Tlp.RED))
    marks = tuple(one for one in (tlp, rng.choice((None, None, None, NO_BLOCKING, UNREADABLE))) if one is not None)
    said = Said(
        tuple(rng.sample(world.values, rng.choice((1, 1, 2)))),
        rng.choice((None, 20, 60, 100)),
        modified,
        begins,
        ends,
        marks,
        rng.random() < 0.15,
        rng.random() < 0.05,
        rng.choice((None, *MAKERS)),
    )
    world.tell(source, number, said, at)
    return True


def revoke(world: World, rng: Random, at: Micros) -> bool:
    """A feed revokes an object of its own."""
    standing = sorted(key for key, one in world.knows.said.items() if not one.revoked)
    if not standing:
        return False
    key = rng.choice(standing)
    said = replace(world.knows.said[key], revoked=True, modified=max(at, world.knows.said[key].modified + 1))
    world.tell(*key, said, at)
    return True


def list_read(world: World, rng: Random, at: Micros) -> bool:
    """A list is read: values have come, gone and stayed."""
    source = rng.choice(LISTS)
    held = world.knows.listed.setdefault(source, {})
    named = [one for one in world.values if rng.random() < (0.9 if one in held else 0.1)]
    rows = {one: rng.choice((held[one].confidence if one in held else None, None, 40, 90)) for one in named}
    client = List(tuple(ListedRow(one, None, said, None) for one, said in rows.items()), f"at {at}")
    report = pull_list(world.store, world.source(source), client, lambda: at, lambda _: True)
    assert report.status == "ok"
    world.knows.listed[source] = {one: _row(held.get(one), said, at) for one, said in rows.items()}
    return True


def detect(world: World, rng: Random, at: Micros) -> bool:
    """A sensor of ours reports a value."""
    value = rng.choice([one for one in world.values if one not in (OURS, BENIGN)])
    seen = at - rng.choice((0, rng.randrange(10 * DAY)))
    find(world.store, value, now=at, seen=seen)
    last = min(seen, whole_milliseconds(at))
    found = world.knows.found.setdefault(value, Found(last, last, make_own().confidence))
    found.first, found.last = min(found.first, last), max(found.last, last)
    return True


def sighting(world: World, rng: Random, at: Micros) -> bool:
    """Somebody confirms that a value was seen in an attack."""
    value, person = rng.choice(world.values), rng.choice(PEOPLE)
    if not _told_of(world, lambda: feedback.sighting(world.store, make_own(), value.value, by(person, at)), value):
        return False
    last = whole_milliseconds(at)
    world.knows.feedback.append(Feedback("sighting", value, person, last // DAY))
    found = world.knows.found.get(value)
    if found is not None and not found.void:
        found.last = max(found.last, last)
    return True


def false_positive(world: World, rng: Random, at: Micros) -> bool:
    """Somebody disputes a value."""
    value, person = rng.choice(world.values), rng.choice(PEOPLE)
    done = _told_of(
        world, lambda: feedback.false_positive(world.store, make_own(), value.value, by(person, at), "benign"), value
    )
    if done:
        world.knows.feedback.append(Feedback("false-positive", value, person, 0))
        if value in world.knows.found:
            world.knows.found[value].void = True
    return done


def _told_of(world: World, tell: Callable[[], object], value: Observable) -> bool:
    """Gives feedback, which is taken where anybody says anything of the value."""
    try:
        tell()
    except UsageError:
        assert not world.knows.names(value)
        return False
    assert world.knows.names(value)
    return True


def undo(world: World, rng: Random, at: Micros) -> bool:
    """Somebody takes the latest false positive, or sighting, of a value back."""
    if not world.knows.feedback:
        return False
    one = rng.choice(world.knows.feedback)
    latest = max(place for place, other in enumerate(world.knows.feedback) if _alike(one, other))
    feedback.undo(world.store, make_own(), Word(one.told), one.value.value, by("three", at))
    del world.knows.feedback[latest]
    doubted = any(_alike(replace(one, told="false-positive"), other) for other in world.knows.feedback)
    if one.told == "false-positive" and not doubted and one.value in world.knows.found:
        world.knows.found[one.value].void = False
    return True


def opine(world: World, rng: Random, at: Micros) -> bool:
    """A partner, which reads the collection too, agrees or disagrees with what it was told of a value."""
    value = rng.choice(world.values)
    ids = world.siem.ids.get(value)
    if not ids:
        return False
    word = rng.choice(WORDS)
    told = {
        "type": "opinion",
        "spec_version": "2.1",
        "id": f"opinion--{indicator_uuid(500 + world.values.index(value)).partition('--')[2]}",
        "created": write_timestamp(NOW - DAY, 6),
        "modified": write_timestamp(at, 6),
        "created_by_ref": MAKERS[0],
        "opinion": word,
        "object_refs": [rng.choice(ids)],
    }
    _, rejects = take_in(world.store, world.source("north"), json.dumps(told).encode(), now=at)
    assert rejects == []
    world.knows.opinions.setdefault(value, {})["north"] = word
    return True


def rate(world: World, rng: Random, at: Micros) -> bool:
    """Somebody rates a source anew, or says whose word it passes on, or how what it does not mark is marked."""
    name = rng.choice((*FEEDS, *LISTS, "north"))
    changes = (
        {"reliability": rng.choice("ABCDEF")},
        {"lineage": rng.choice((None, "aggregate", *MAKERS))},
        {"tlp": rng.choice((Tlp.CLEAR, Tlp.AMBER, Tlp.RED))},
    )
    world.configure(name, replace(world.knows.voices[name], **rng.choice(changes)))
    return True


def set_floor(world: World, rng: Random, at: Micros) -> bool:
    """Somebody moves the floor."""
    world.knows.floor = rng.choice((0, 1, 15, 30, 45, 70))
    return True


def own(world: World, rng: Random, at: Micros) -> bool:
    """Somebody declares an address ours, or takes that back."""
    world.knows.ours = frozenset() if world.knows.ours else frozenset({OURS})
    return True


EVENTS: dict[str, tuple[Callable[[World, Random, Micros], bool], int]] = {
    "a feed says": (say, 40),
    "a feed revokes": (revoke, 6),
    "a list is read": (list_read, 16),
    "a sensor finds": (detect, 8),
    "a sighting": (sighting, 5),
    "a false positive": (false_positive, 5),
    "taken back": (undo, 5),
    "an opinion": (opine, 5),
    "a rating": (rate, 4),
    "another floor": (set_floor, 3),
    "own assets": (own, 3),
}


def _row(before: Listed | None, confidence: int | None, at: Micros) -> Listed:
    if before is None:
        return Listed(at, at, confidence)
    if before.confidence == confidence and at - before.said < DAY:
        return before
    return Listed(before.since, at, confidence)


def _alike(one: Feedback, other: Feedback) -> bool:
    return (one.told, one.value) == (other.told, other.value)
