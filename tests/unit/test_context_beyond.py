"""What a lookup tells of what stands behind that which indicators indicate, and of what MISP's tags name."""

from __future__ import annotations

import json
from typing import Any

from builders import BAD, NOW, SECOND, feed_source, indicator_uuid, make_indicator_json, take_in
from threatshare.lookup import lookup
from threatshare.stix.timestamps import write_timestamp
from threatshare.store.context import MOST, Context
from threatshare.store.embedded import Store

CVE = {"name": "CVE-2026-0001"}
TECHNIQUE: dict[str, Any] = {"external_references": [{"source_name": "mitre-attack", "external_id": "T1566.001"}]}


def uuid(kind: str, number: int) -> str:
    return f"{kind}--00000000-0000-4000-8000-{number:012d}"


def thing(kind: str, number: int, **more: Any) -> bytes:
    """Builds an object of any type."""
    at = write_timestamp(NOW - SECOND, 6)
    told = {"type": kind, "spec_version": "2.1", "id": uuid(kind, number), "created": at, "modified": at, **more}
    return json.dumps(told).encode()


def tie(number: int, source: str, relation: str, target: str, **more: Any) -> bytes:
    """Builds a relationship."""
    refs = {"source_ref": source, "relationship_type": relation, "target_ref": target}
    return thing("relationship", number, **{**refs, **more})


INDICATES = tie(1, indicator_uuid(1), "indicates", uuid("malware", 5))
RAT = thing("malware", 5, name="Example RAT", is_family=True)


def context(store: Store) -> tuple[Context, ...]:
    (answer,) = lookup(store.conn, [BAD.value], NOW)
    return answer.context


def told(store: Store) -> list[tuple[str, str, str, str]]:
    """Gives (of, relation, type, name) of what is said about BAD."""
    return [(one.of, one.relation, one.type, one.name) for one in context(store)]


def test_malware_leads_on(store: Store) -> None:
    """Techniques of malware, its campaign, and who is behind that are told, whatever the order in which they come."""
    objects = [
        tie(4, uuid("campaign", 7), "attributed-to", uuid("intrusion-set", 8)),
        tie(3, uuid("malware", 5), "attributed-to", uuid("campaign", 7)),
        tie(2, uuid("malware", 5), "uses", uuid("attack-pattern", 6)),
        INDICATES,
        make_indicator_json(1),
        RAT,
        thing("attack-pattern", 6, name="Spearphishing attachment", **TECHNIQUE),
        thing("campaign", 7, name="Example operation"),
        thing("intrusion-set", 8, name="Example group"),
    ]
    for raw in objects:
        take_in(store, feed_source(store), raw)
    assert sorted(told(store)) == [
        ("", "indicates", "malware", "Example RAT"),
        ("campaign Example operation", "attributed-to", "intrusion-set", "Example group"),
        ("malware Example RAT", "attributed-to", "campaign", "Example operation"),
        ("malware Example RAT", "uses", "attack-pattern", "Spearphishing attachment"),
    ]
    assert [one.techniques for one in context(store) if one.type == "attack-pattern"] == [("T1566.001",)]


def test_only_what_says_who_and_how_leads_on(store: Store) -> None:
    """Other ties of malware are not told with every value that it stands for, nor what reports name beside."""
    take_in(
        store,
        feed_source(store),
        *(make_indicator_json(1), INDICATES, RAT, thing("tool", 6, name="Tool"), thing("malware", 9, name="Other")),
        tie(2, uuid("malware", 5), "related-to", uuid("tool", 6)),
        thing("report", 7, name="Weekly", published="2026-01-01T00:00:00Z", object_refs=[indicator_uuid(1)]),
        tie(3, uuid("report", 7), "uses", uuid("malware", 9)),
    )
    assert {one[2:] for one in told(store)} == {("malware", "Example RAT"), ("report", "Weekly")}


def test_nobody_leads_on_for_another(store: Store) -> None:
    """What one source says of malware is not told of another source's indicator."""
    take_in(store, feed_source(store, "feed-a"), make_indicator_json(1), INDICATES, RAT)
    b = feed_source(store, "feed-b")
    take_in(store, b, tie(2, uuid("malware", 5), "attributed-to", uuid("intrusion-set", 8)))
    take_in(store, b, thing("intrusion-set", 8, name="Framed"), RAT)
    assert told(store) == [("", "indicates", "malware", "Example RAT")]


def test_what_is_withdrawn_leads_nowhere(store: Store) -> None:
    """Behind revoked malware, and behind a revoked relationship, nothing is told."""
    source = feed_source(store)
    uses = tie(2, uuid("malware", 5), "uses", uuid("attack-pattern", 6))
    take_in(store, source, make_indicator_json(1), INDICATES, RAT, uses, thing("attack-pattern", 6, name="Phishing"))
    assert len(told(store)) == 2
    take_in(store, source, thing("malware", 5, name="Example RAT", revoked=True, modified=write_timestamp(NOW, 6)))
    assert told(store) == []


def test_circles_end(store: Store) -> None:
    """Objects that lead to each other are each told once."""
    one, other = uuid("malware", 5), uuid("malware", 6)
    take_in(
        store,
        feed_source(store),
        *(make_indicator_json(1), INDICATES, RAT, thing("malware", 6, name="Variant")),
        *(tie(2, one, "variant-of", other), tie(3, other, "variant-of", one), tie(4, one, "variant-of", one)),
    )
    assert [name for _, _, _, name in told(store)] == ["Example RAT", "Variant"]


def test_malware_of_many_techniques_is_answered(store: Store) -> None:
    """What is told of one value is bounded, however much a source ties to what it indicates."""
    ties = [tie(10 + n, uuid("malware", 5), "uses", uuid("vulnerability", n)) for n in range(MOST + 50)]
    found = [thing("vulnerability", n, **CVE) for n in range(MOST + 50)]
    take_in(store, feed_source(store), make_indicator_json(1), INDICATES, RAT, *ties, *found)
    assert len(told(store)) == 1 + MOST


def test_galaxies_of_misp(store: Store) -> None:
    """Malware and threat actors that MISP names by tags are told, and other tags are not taken for such."""
    labels = [
        'misp-galaxy:threat-actor="Example Bear"',
        'misp-galaxy:malpedia="Example Loader"',
        'misp-galaxy:malpedia="Example Loader"',
        'misp-galaxy:target-information="Exampleland"',
        "misp-galaxy:ransomware",
        'ransomware="none"',
        "tlp:green",
    ]
    take_in(store, feed_source(store), make_indicator_json(1, labels=labels))
    assert told(store) == [
        ("", "names", "threat-actor", "Example Bear"),
        ("", "names", "malware", "Example Loader"),
    ]
    assert context(store)[0].id == labels[0]
