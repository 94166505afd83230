"""Objects as they came: new, changed and unchanged told apart, versions in their order, each source its own."""

from __future__ import annotations

import json
from itertools import permutations
from random import Random
from typing import Any

import pytest

from builders import (
    BEGUN,
    DAY,
    NOW,
    SECOND,
    dump,
    feed_source,
    indicator_uuid,
    ip,
    make_indicator,
    make_indicator_json,
    read,
    take_in,
)
from threatshare.model import Micros, Tally
from threatshare.store import objects
from threatshare.store.embedded import Store
from threatshare.store.keys import object_key
from threatshare.store.runs import rejects
from threatshare.store.sources import Source


def history(store: Store, source: Source, number: int = 1) -> list[tuple[Micros, bytes]]:
    """Follows an object's chain from its current version back; gives (modified, body), oldest first."""
    key = object_key(store.key_of, source.number, indicator_uuid(number))
    found = []
    at = store.conn.execute("SELECT version FROM object WHERE key = ?", (key,)).fetchone()[0]
    while at is not None:
        at, modified, body = store.conn.execute(
            "SELECT previous, modified, body FROM version WHERE number = ?", (at,)
        ).fetchone()
        found.append((modified, body))
    return found[::-1]


def outcome(tally: Tally) -> dict[str, int]:
    """Gives what of a tally is not zero."""
    values = {name: getattr(tally, name) for name in ("new", "changed", "unchanged", "withdrawn", "rejected")}
    return {name: value for name, value in values.items() if value}


def same_but(body: bytes, **changed: Any) -> bytes:
    """Gives the same object with some properties set anew."""
    return json.dumps(json.loads(body) | changed).encode()


FIRST = make_indicator_json(1, modified=NOW - 3 * DAY)
SECOND_VERSION = make_indicator_json(1, modified=NOW - 2 * DAY, confidence=60)
THIRD = make_indicator_json(1, modified=NOW - DAY, confidence=80)
ORDERS = list(permutations([FIRST, SECOND_VERSION, THIRD]))


def test_new_changed_and_unchanged(store: Store, source: Source) -> None:
    """An object is new once, changed with each later version, and unchanged when it comes again."""
    assert outcome(take_in(store, source, FIRST)[0]) == {"new": 1}
    assert outcome(take_in(store, source, FIRST)[0]) == {"unchanged": 1}
    assert outcome(take_in(store, source, SECOND_VERSION)[0]) == {"changed": 1}
    assert history(store, source) == [(NOW - 3 * DAY, FIRST), (NOW - 2 * DAY, SECOND_VERSION)]


def test_the_same_page_twice_changes_nothing(store: Store, source: Source) -> None:
    """A page that comes a second time, later, leaves every row of every table as it was but what was kept aside."""
    page = [make_indicator_json(100 + number, ip(f"45.0.0.{number}"), confidence=number) for number in range(50)]
    page += [b'{"type": "indicator"}', FIRST, THIRD, SECOND_VERSION, make_indicator_json(99, revoked=True)]
    take_in(store, source, *page)
    before = dump(store.conn, "reject")
    tally, _ = take_in(store, source, *page, now=NOW + DAY)
    assert outcome(tally) == {"unchanged": 54, "rejected": 1}
    assert dump(store.conn, "reject") == before


def test_other_content_under_the_same_version_is_an_alarm(store: Store, source: Source) -> None:
    """Same id and modified with other content keeps the first, and the second is kept aside with an alarm."""
    take_in(store, source, SECOND_VERSION)
    before = dump(store.conn, "reject")
    forged = same_but(SECOND_VERSION, confidence=99)
    tally, kept_aside = take_in(store, source, forged)
    assert outcome(tally) == {"rejected": 1}
    assert kept_aside[0].reason.startswith("alarm")
    assert [one.text for _, _, one, _ in rejects(store.conn, None, 9)] == [forged.decode()]
    assert dump(store.conn, "reject") == before


def test_other_content_under_an_older_version_is_an_alarm(store: Store, source: Source) -> None:
    """So it is where the version that was first is no longer the current one."""
    take_in(store, source, FIRST)
    take_in(store, source, SECOND_VERSION)
    take_in(store, source, THIRD)
    before = dump(store.conn, "reject")
    for forged in (same_but(FIRST, confidence=99), same_but(SECOND_VERSION, confidence=99)):
        tally, kept_aside = take_in(store, source, forged)
        assert outcome(tally) == {"rejected": 1}
        assert kept_aside[0].reason.startswith("alarm")
    assert outcome(take_in(store, source, FIRST, SECOND_VERSION, THIRD)[0]) == {"unchanged": 3}
    assert dump(store.conn, "reject") == before


def test_two_contents_of_one_version_in_one_batch(store: Store, source: Source) -> None:
    """Where both come in one batch, the first in order is kept and makes its claim."""
    tally, kept_aside = take_in(store, source, SECOND_VERSION, same_but(SECOND_VERSION, confidence=99))
    assert outcome(tally) == {"new": 1, "rejected": 1}
    assert kept_aside[0].reason.startswith("alarm")
    assert store.conn.execute("SELECT confidence FROM claim").fetchall() == [(60,)]


def test_an_object_twice_in_a_batch(store: Store, source: Source) -> None:
    """An object that stands twice in one batch, as where pages overlap, is new once and makes its claim."""
    assert outcome(take_in(store, source, FIRST, bytes(FIRST))[0]) == {"new": 1, "unchanged": 1}
    assert store.conn.execute("SELECT count(*) FROM claim").fetchone() == (1,)
    assert len(history(store, source)) == 1


@pytest.mark.parametrize(
    "respelt",
    [
        lambda told: json.dumps(dict(reversed(told.items()))).encode(),
        lambda told: json.dumps(told, indent=4).encode(),
        lambda told: json.dumps(told).replace("Größe", "Gr\\u00f6\\u00DFe").encode(),
        lambda told: json.dumps(told, ensure_ascii=False).encode(),
    ],
)
def test_other_spelling_is_no_change(store: Store, source: Source, respelt: Any) -> None:
    """Keys in another order, blanks and escapes make no other content."""
    told = make_indicator(1, x_note={"b": "Größe", "a": [1, 2.5, None, True]})
    take_in(store, source, json.dumps(told).encode())
    assert outcome(take_in(store, source, respelt(told))[0]) == {"unchanged": 1}


@pytest.mark.parametrize(("one", "other"), [(True, 1), ([1, 2], [2, 1]), ("1", 1), (None, False)])
def test_other_values_are_other_content(store: Store, source: Source, one: Any, other: Any) -> None:
    """Values that only look alike are another content."""
    take_in(store, source, make_indicator_json(1, x_note=[one]))
    assert outcome(take_in(store, source, make_indicator_json(1, x_note=[other]))[0]) == {"rejected": 1}


def test_numbers_beyond_reading_never_end_a_batch(store: Store, source: Source) -> None:
    """An object with a number that no type holds is never compared to death: at worst it alone is kept aside."""
    huge = make_indicator_json(1, x_note=7).replace(b'"x_note": 7', b'"x_note": 1e999')
    assert outcome(take_in(store, source, huge)[0]) == {"new": 1}
    long = make_indicator_json(3, x_note=7).replace(b'"x_note": 7', b'"x_note": ' + b"7" * 10_000)
    tally, _ = take_in(store, source, huge.replace(b"{", b"{ "), long, make_indicator_json(2), huge)
    assert outcome(tally) == {"new": 1, "unchanged": 1, "rejected": 2}


@pytest.mark.parametrize("order", ORDERS)
def test_versions_in_one_batch(store: Store, source: Source, order: tuple[bytes, ...]) -> None:
    """Several versions of one object in one batch, in any order, end with the newest and keep all, in their order."""
    tally, _ = take_in(store, source, *order)
    assert outcome(tally) == {"new": 1, "changed": 2}
    assert [body for _, body in history(store, source)] == [FIRST, SECOND_VERSION, THIRD]
    assert store.conn.execute("SELECT confidence, observed FROM claim").fetchall() == [(80, NOW - DAY)]


@pytest.mark.parametrize("order", ORDERS)
def test_versions_one_by_one(store: Store, source: Source, order: tuple[bytes, ...]) -> None:
    """So they do one by one: an older version that comes late takes its place and changes nothing else."""
    for one in order:
        assert outcome(take_in(store, source, one)[0]) in ({"new": 1}, {"changed": 1}, {"unchanged": 1})
    assert [body for _, body in history(store, source)] == [FIRST, SECOND_VERSION, THIRD]
    assert store.conn.execute("SELECT confidence FROM claim").fetchall() == [(80,)]


def test_versions_around_what_is_held(store: Store, source: Source) -> None:
    """Versions before, at and after the current one in one batch each find their place."""
    versions = {days: make_indicator_json(1, ip(f"45.0.0.{days}"), modified=NOW - days * DAY) for days in range(1, 10)}
    take_in(store, source, versions[5])
    mixed = list(versions.values())
    Random(7).shuffle(mixed)
    assert outcome(take_in(store, source, *mixed)[0]) == {"changed": 4, "unchanged": 5}
    assert [body for _, body in history(store, source)] == [versions[days] for days in range(9, 0, -1)]
    joined = "SELECT value FROM claim JOIN observable ON observable.number = claim.observable"
    values = store.conn.execute(joined).fetchall()
    assert values == [("45.0.0.1",)]


def test_a_bad_newest_version_leaves_the_one_before(store: Store, source: Source) -> None:
    """Where the newest version of a batch cannot be taken, the one before it makes its claim."""
    broken = same_but(THIRD, pattern="[nonsense")
    tally, _ = take_in(store, source, broken, SECOND_VERSION, FIRST)
    assert outcome(tally) == {"new": 1, "changed": 1, "rejected": 1}
    assert [body for _, body in history(store, source)] == [FIRST, SECOND_VERSION]
    assert store.conn.execute("SELECT confidence FROM claim").fetchall() == [(60,)]


def test_many_versions_of_one_object(store: Store, source: Source) -> None:
    """Hundreds of versions of one object in a batch are all kept, and again unchanged when they come again."""
    many = [make_indicator_json(1, modified=BEGUN + number * SECOND, confidence=number % 100) for number in range(300)]
    Random(1).shuffle(many)
    assert outcome(take_in(store, source, *many)[0]) == {"new": 1, "changed": 299}
    before = dump(store.conn)
    Random(2).shuffle(many)
    assert outcome(take_in(store, source, *many)[0]) == {"unchanged": 300}
    assert dump(store.conn) == before


def test_objects_without_modified(store: Store, source: Source) -> None:
    """Marking definitions are versioned by created; observables, which have neither, are what they first were."""
    marking = b'{"type":"marking-definition","id":"marking-definition--00000000-0000-4000-8000-000000000001",'
    marking += b'"created":"2026-01-01T00:00:00Z","definition_type":"statement"}'
    address = b'{"type":"ipv4-addr","id":"ipv4-addr--00000000-0000-4000-8000-000000000001","value":"45.0.0.1"}'
    assert outcome(take_in(store, source, marking, address)[0]) == {"new": 2}
    assert outcome(take_in(store, source, marking, address)[0]) == {"unchanged": 2}
    assert outcome(take_in(store, source, address.replace(b"45.0.0.1", b"45.0.0.2"))[0]) == {"rejected": 1}
    assert store.conn.execute("SELECT count(*) FROM observable").fetchone() == (0,)


def test_a_copy_in_another_source_is_another_object(store: Store, source: Source) -> None:
    """Partner A's copy of B's object, newer and revoked, neither versions nor revokes B's."""
    other = feed_source(store, "feed-b")
    take_in(store, source, FIRST)
    before = history(store, source)
    copy = make_indicator_json(1, modified=NOW, revoked=True, confidence=1)
    assert outcome(take_in(store, other, copy)[0]) == {"new": 1}
    assert history(store, source) == before
    assert history(store, other) == [(NOW, copy)]
    flags = dict(store.conn.execute("SELECT source, flags FROM claim"))
    assert flags == {source.number: 0, other.number: 1}


def test_sorting_out_stores_nothing_new(store: Store, source: Source) -> None:
    """What is new is told apart, and stored only once it is kept."""
    with store.writing():
        seen = store.sort_out(source, read(FIRST, make_indicator_json(2)), NOW)
    assert [(one.version, one.previous, one.before) for one in seen.fresh] == [(NOW - 3 * DAY, None, None)] + [
        (NOW - DAY, None, None)
    ]
    assert store.conn.execute("SELECT count(*) FROM version").fetchone() == (0,)
    with store.writing() as conn:
        objects.keep(conn, seen.fresh, NOW)
    assert objects.current(store.conn, seen.fresh[0].key) == FIRST
    assert objects.bodies(store.conn, [seen.fresh[1].number]) == {seen.fresh[1].number: make_indicator_json(2)}
    assert objects.held_keys(store.conn, [seen.fresh[0].key, 1]) == [seen.fresh[0].key]


def test_two_objects_of_one_key(store: Store, source: Source) -> None:
    """Two ids that share a key, whether in one batch or later, are told apart: the second is kept aside."""
    store.key_of = lambda text: 7 if text.startswith(b"object|") else hash(text) & 0xFFFFFF
    one, other = make_indicator_json(1), make_indicator_json(2)
    tally, kept_aside = take_in(store, source, one, other, make_indicator_json(2, modified=NOW))
    assert outcome(tally) == {"new": 1, "rejected": 2}
    assert {reject.place for reject in kept_aside} == {indicator_uuid(2)}
    before = dump(store.conn, "reject")
    newer, older = make_indicator_json(2, modified=NOW), make_indicator_json(2, modified=BEGUN)
    for batch in ((newer,), (older,), (other,), (other, newer, older)):
        tally, kept_aside = take_in(store, source, *batch)
        assert outcome(tally) == {"rejected": len(batch)}
        assert "key" in kept_aside[0].reason
    assert dump(store.conn, "reject") == before
    assert outcome(take_in(store, source, make_indicator_json(1, modified=NOW))[0]) == {"changed": 1}
