"""What a lookup tells of relationships that end at an indicator, or at the value itself."""

from __future__ import annotations

import json
from typing import Any

import pytest

from builders import BAD, NOW, SECOND, feed_source, indicator_uuid, make_indicator_json, take_in
from threatshare.lookup import lookup
from threatshare.model import Micros
from threatshare.stix.observed import cyber_observable
from threatshare.stix.timestamps import write_timestamp
from threatshare.store.context import MOST
from threatshare.store.embedded import Store


def thing(kind: str, number: int, modified: Micros = NOW - SECOND, **more: Any) -> bytes:
    """Builds an object of any type."""
    at = write_timestamp(modified, 6)
    told = {"type": kind, "spec_version": "2.1", "id": uuid(kind, number), "created": at, "modified": at, **more}
    return json.dumps(told).encode()


def uuid(kind: str, number: int) -> str:
    return f"{kind}--00000000-0000-4000-8000-{number:012d}"


def tie(number: int, source: str, relation: str, target: str, **more: Any) -> bytes:
    refs: dict[str, Any] = {"source_ref": source, "relationship_type": relation, "target_ref": target}
    return thing("relationship", number, **refs, **more)


VALUE_ID = str(cyber_observable(BAD)["id"])
VALUE = json.dumps(cyber_observable(BAD)).encode()
BLOCK = thing("course-of-action", 5, name="Block it")
BLOCKS = tie(1, uuid("course-of-action", 5), "mitigates", indicator_uuid(1))


def told(store: Store) -> list[tuple[str, str, str, str]]:
    """Gives (source, what is tied, relation, name) of what is said about BAD."""
    (answer,) = lookup(store.conn, [BAD.value], NOW)
    return sorted((one.source, one.of, one.relation, one.name or one.id) for one in answer.context)


def test_what_has_the_indicator_as_its_target(store: Store) -> None:
    """A course of action, and an indicator derived from it, are told with who says so, in whatever order they come."""
    a, b = feed_source(store, "feed-a"), feed_source(store, "feed-b")
    derived = make_indicator_json(2, "[domain-name:value = 'other.example']", name="Derived")
    for raw in (BLOCKS, tie(2, indicator_uuid(2), "derived-from", indicator_uuid(1)), derived, BLOCK):
        take_in(store, a, raw)
    take_in(store, a, make_indicator_json(1))
    take_in(store, b, make_indicator_json(1), tie(1, uuid("tool", 6), "related-to", indicator_uuid(1)))
    take_in(store, b, thing("tool", 6, name="Scanner"))
    assert told(store) == [
        ("feed-a", "", "target of derived-from", "Derived"),
        ("feed-a", "", "target of mitigates", "Block it"),
        ("feed-b", "", "target of related-to", "Scanner"),
    ]


def test_what_has_the_value_as_its_target(store: Store) -> None:
    """Malware that communicates with an address, by the id that its content gives it, is told of the address itself."""
    source = feed_source(store)
    report = thing("report", 7, name="Weekly", published="2026-01-01T00:00:00Z", object_refs=[VALUE_ID])
    malware = thing("malware", 8, name="Bad loader", is_family=True)
    take_in(store, source, VALUE, report, malware, tie(1, uuid("malware", 8), "communicates-with", VALUE_ID))
    assert told(store) == [
        ("feed-a", "the value", "reported in", "Weekly"),
        ("feed-a", "the value", "target of communicates-with", "Bad loader"),
    ]


def test_nobody_points_at_what_another_said(store: Store) -> None:
    """A relationship to an object that its source has not sent itself says nothing of another's object of that id."""
    take_in(store, feed_source(store, "feed-a"), make_indicator_json(1))
    take_in(store, feed_source(store, "feed-b"), BLOCK, BLOCKS)
    assert told(store) == []


@pytest.mark.parametrize(
    "withdrawn",
    [
        tie(1, uuid("course-of-action", 5), "mitigates", indicator_uuid(1), revoked=True),
        thing("course-of-action", 5, NOW, name="Block it", revoked=True),
        tie(1, uuid("course-of-action", 5), "mitigates", indicator_uuid(3)),
    ],
    ids=["relationship", "object", "other target"],
)
def test_what_is_withdrawn_is_not_told(store: Store, withdrawn: bytes) -> None:
    """A relationship that was revoked or leads elsewhere now, and one from a revoked object, are no longer told."""
    source = feed_source(store)
    take_in(store, source, make_indicator_json(1), BLOCK, BLOCKS)
    assert len(told(store)) == 1
    newer = json.loads(withdrawn) | {"modified": write_timestamp(NOW, 6)}
    take_in(store, source, json.dumps(newer).encode())
    assert told(store) == []


def test_there_are_no_more_than_a_person_can_read(store: Store) -> None:
    """Of very many relationships a hundred are told."""
    made = [thing("tool", n, name=f"Tool {n}") for n in range(MOST + 20)]
    ties = [tie(n, uuid("tool", n), "related-to", indicator_uuid(1)) for n in range(MOST + 20)]
    take_in(store, feed_source(store), make_indicator_json(1), *made, *ties)
    assert len(told(store)) == MOST
