"""What a lookup tells beside the score: what indicators indicate, in which reports they stand, and who made them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from builders import (
    BAD,
    NOW,
    SECOND,
    feed_source,
    identity_uuid,
    indicator_uuid,
    make_indicator_json,
    take_in,
)
from threatshare.lookup import lookup
from threatshare.model import Micros
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


def tie(number: int, target: str, relation: str = "indicates", **more: Any) -> bytes:
    """Builds a relationship from indicator 1."""
    refs = {"source_ref": indicator_uuid(1), "relationship_type": relation, "target_ref": target}
    return thing("relationship", number, **{**refs, **more})


def told(store: Store) -> list[tuple[str, str, str]]:
    """Gives (source, relation, name) of what is said about BAD."""
    (answer,) = lookup(store.conn, [BAD.value], NOW)
    return sorted((one.source, one.relation, one.name or one.id) for one in answer.context)


def test_what_an_indicator_indicates(store: Store) -> None:
    """Malware, campaigns and techniques are named, with their ATT&CK ids, whatever the order in which they come."""
    technique: dict[str, Any] = {"external_references": [{"source_name": "mitre-attack", "external_id": "T1566.002"}]}
    objects = [
        tie(1, uuid("malware", 5)),
        tie(2, uuid("attack-pattern", 6)),
        make_indicator_json(1, by=identity_uuid(3)),
        thing("malware", 5, name="Bad loader", is_family=True),
        thing("attack-pattern", 6, name="Spearphishing link", **technique),
        thing("identity", 3, name="Example CERT", identity_class="organization"),
        thing("report", 7, name="Weekly", published="2026-01-01T00:00:00Z", object_refs=[indicator_uuid(1)]),
    ]
    for number, raw in enumerate(objects):
        _, rejected = take_in(store, feed_source(store), raw, now=NOW + number)
        assert rejected == []
    assert told(store) == [
        ("feed-a", "indicates", "Bad loader"),
        ("feed-a", "indicates", "Spearphishing link"),
        ("feed-a", "made by", "Example CERT"),
        ("feed-a", "reported in", "Weekly"),
    ]
    (answer,) = lookup(store.conn, [BAD.value], NOW)
    assert [one.techniques for one in answer.context if one.type == "attack-pattern"] == [("T1566.002",)]


def test_techniques_that_the_indicator_itself_names(store: Store) -> None:
    """An ATT&CK id among an indicator's references is told even where nobody sent the technique."""
    references = [{"source_name": "mitre-attack", "external_id": "T1071"}, {"source_name": "x", "external_id": "y"}]
    take_in(store, feed_source(store), make_indicator_json(1, external_references=references))
    assert told(store) == [("feed-a", "names", "T1071")]


def test_what_is_told_of_one_object_is_bounded(store: Store) -> None:
    """Of what stands for an ATT&CK id only what has its form counts, and no more than twenty of them."""
    texts = ["T" + "9" * 500_000, "T1071\nforged", *(f"T{number}" for number in range(1000, 1100))]
    references = [{"source_name": "mitre-attack", "external_id": one} for one in texts]
    take_in(store, feed_source(store), make_indicator_json(1, external_references=references))
    assert told(store) == [("feed-a", "names", f"T{number}") for number in range(1000, 1020)]


def test_nobody_speaks_for_another(store: Store) -> None:
    """A relationship of one source ties only that source's own copies together."""
    a, b = feed_source(store, "feed-a"), feed_source(store, "feed-b")
    take_in(store, a, make_indicator_json(1), thing("malware", 5, name="From a"))
    take_in(store, b, tie(1, uuid("malware", 5)), thing("malware", 5, name="From b"))
    assert told(store) == []
    take_in(store, b, make_indicator_json(1))
    assert told(store) == [("feed-b", "indicates", "From b")]


def test_what_is_withdrawn_is_not_told(store: Store) -> None:
    """A revoked relationship, and a revoked object at its other end, are no longer context; a new version counts."""
    source = feed_source(store)
    take_in(store, source, make_indicator_json(1), tie(1, uuid("malware", 5)), thing("malware", 5, name="Five"))
    take_in(store, source, thing("malware", 6, name="Six"))
    take_in(store, source, tie(1, uuid("malware", 6), modified=NOW))
    assert told(store) == [("feed-a", "indicates", "Six")]
    take_in(store, source, thing("malware", 6, NOW, name="Six", revoked=True))
    assert told(store) == []
    take_in(store, source, tie(2, uuid("malware", 5)))
    assert told(store) == [("feed-a", "indicates", "Five")]
    take_in(store, source, tie(2, uuid("malware", 5), modified=NOW, revoked=True))
    assert told(store) == []


@pytest.mark.parametrize(
    "more",
    [
        {"target_ref": 5},
        {"target_ref": None},
        {"relationship_type": ["x"]},
        {"source_ref": {}},
        {"relationship_type": ""},
    ],
)
def test_what_cannot_be_read_ties_nothing(store: Store, more: dict[str, Any]) -> None:
    """A relationship of another form than STIX has is kept as it came, and is no context."""
    take_in(store, feed_source(store), make_indicator_json(1), tie(1, uuid("malware", 5), **more))
    take_in(store, feed_source(store), thing("malware", 5, name="Five"))
    assert told(store) == []
    assert store.conn.execute("SELECT count(*) FROM object").fetchone() == (3,)


def test_a_value_in_thousands_of_reports_is_answered(store: Store) -> None:
    """The context of one value is bounded, however much there is."""
    reports = [thing("report", n, name=f"r{n}", object_refs=[indicator_uuid(1)]) for n in range(MOST + 50)]
    take_in(store, feed_source(store), make_indicator_json(1), *reports)
    assert len(told(store)) == MOST
