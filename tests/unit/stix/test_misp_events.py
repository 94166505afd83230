"""MISP events as STIX objects: what becomes an indicator, what is kept beside, and how far it may go."""

from __future__ import annotations

import json
from typing import Any

import pytest

from threatshare.errors import BadValue
from threatshare.model import Reject, Tlp
from threatshare.stix.claims import UNKNOWN_MARKING, claim_of
from threatshare.stix.misp import PARTS, events_of, objects_of
from threatshare.stix.received import read_object

NOW = 1_790_000_000_000_000
AT = 1_780_000_000


def uuid(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


def attribute(number: int = 1, value: str = "bad.example", kind: str = "domain", **more: Any) -> dict[str, Any]:
    """Builds an attribute that is marked for detection."""
    told = {"uuid": uuid(number), "type": kind, "value": value, "to_ids": True, "timestamp": str(AT)}
    return told | more


def event(*attributes: Any, **more: Any) -> bytes:
    """Builds an event."""
    orgc = {"name": "Example CERT", "uuid": uuid(900)}
    told = {"uuid": uuid(800), "info": "A campaign", "timestamp": str(AT), "Orgc": orgc, "Attribute": list(attributes)}
    return json.dumps({"Event": told | more}).encode()


def made(text: bytes) -> list[dict[str, Any]]:
    """Gives the objects of an event; each can be read as everything that comes in is."""
    found = []
    for one in events_of(text):
        for raw in objects_of(one):
            assert isinstance(raw, bytes), raw
            read_object(raw)
            found.append(json.loads(raw))
    return found


def claimed(text: bytes) -> list[tuple[str, int, bool]]:
    """Gives (value, TLP rank, revoked) of every claim that an event makes."""
    found = []
    for one in made(text):
        read = read_object(json.dumps(one).encode())
        claim = claim_of(read, read.version, Tlp.AMBER, NOW)
        if claim is not None:
            found += [(value.value, claim.tlp, claim.revoked) for value in claim.observables]
    return found


def tag(*names: str) -> list[dict[str, str]]:
    return [{"name": name} for name in names]


def test_an_event_is_a_report_of_its_indicators() -> None:
    """An attribute becomes an indicator under its own UUID, made by the event's organisation, named in a report."""
    maker, indicator, report = made(event(attribute()))
    assert (maker["id"], maker["name"]) == (f"identity--{uuid(900)}", "Example CERT")
    assert indicator["id"] == f"indicator--{uuid(1)}"
    assert indicator["created_by_ref"] == maker["id"]
    assert indicator["pattern"] == "[domain-name:value = 'bad.example']"
    assert (report["name"], report["object_refs"]) == ("A campaign", [indicator["id"]])


@pytest.mark.parametrize("kind", sorted(PARTS))
def test_types(kind: str) -> None:
    """Every type that we know gives the values of its parts; recipients and targets give none."""
    samples = {"ip": "192.0.2.1", "domain": "bad.example", "hostname": "www.bad.example", "url": "http://bad.example/x"}
    samples |= {"md5": "ab" * 16, "sha1": "ab" * 20, "sha256": "ab" * 32, "sha512": "ab" * 64, "port": "443"}
    samples |= {
        "filename": "a|b.exe",
        "email": "a@bad.example",
        "target": "a@bad.example",
        "malware": "a.exe|" + "ab" * 16,
    }
    parts = ["malware"] if kind == "malware-sample" else kind.split("|")
    value = "|".join(samples[part if part in samples else part.partition("-")[0]] for part in parts)
    wanted = 0 if kind in ("email-dst", "target-email") else 2 if kind == "domain|ip" else 1
    assert len(claimed(event(attribute(1, value, kind)))) == wanted


def test_what_is_not_marked_for_detection_claims_nothing() -> None:
    """Context, unknown types and what is not marked are kept as they came, and claim nothing."""
    rest = [attribute(1, to_ids=False), attribute(2, "alert tcp any", "snort"), attribute(3, to_ids="0")]
    found = made(event(*rest))
    assert [one["type"] for one in found] == ["identity", *["x-misp-attribute"] * 3, "report"]
    assert [one["x_misp_attribute"] for one in found[1:4]] == rest
    assert found[4]["object_refs"] == [one["id"] for one in found[1:4]]


def test_attributes_of_objects_count() -> None:
    """An object's attributes are attributes; a deleted object's are not."""
    objects = [{"name": "file", "Attribute": [attribute(1)]}, {"deleted": True, "Attribute": [attribute(2)]}]
    assert [one["id"] for one in made(event(Object=objects)) if one["type"] == "indicator"] == [f"indicator--{uuid(1)}"]


def test_a_deleted_attribute_is_withdrawn() -> None:
    """What MISP marks as deleted is revoked."""
    assert claimed(event(attribute(deleted=True))) == [("bad.example", int(Tlp.AMBER), True)]


def test_the_most_restrictive_tag_counts() -> None:
    """Tags of the event and of the attribute mark it together; what we cannot read is an unknown marking."""
    for tags, own, wanted in (
        (["tlp:green"], ["tlp:amber"], int(Tlp.AMBER)),
        (["tlp:red"], ["tlp:clear"], int(Tlp.RED)),
        (["type:OSINT"], [], int(Tlp.AMBER)),
        (["tlp:ex:chr"], ["tlp:clear"], UNKNOWN_MARKING),
        ([], ["TLP : Green"], int(Tlp.GREEN)),
    ):
        ((_, rank, _),) = claimed(event(attribute(Tag=tag(*own)), Tag=tag(*tags)))
        assert rank == wanted, (tags, own)


def test_a_stricter_marking_is_a_later_version() -> None:
    """An event that is tagged more strictly without touching its attributes gives later versions of them."""
    versions = []
    for tags in ([], ["tlp:clear"], ["tlp:green"], ["tlp:amber"], ["tlp:red"], ["tlp:ex:chr"], ["tlp:red", "pap:odd"]):
        (one,) = [each for each in made(event(attribute(), Tag=tag(*tags))) if each["type"] == "indicator"]
        versions.append(one["modified"])
    assert versions == sorted(set(versions))


def test_confidence_and_techniques() -> None:
    """Tags of the taxonomies for confidence and ATT&CK are read; all tags stay as labels."""
    tags = ['misp:confidence-level="usually-confident"', 'misp-galaxy:mitre-attack-pattern="Phishing - T1566"']
    (one,) = [each for each in made(event(attribute(Tag=tag(*tags)))) if each["type"] == "indicator"]
    assert one["confidence"] == 75
    assert [each["external_id"] for each in one["external_references"]] == ["T1566"]
    assert one["labels"] == tags


@pytest.mark.parametrize(
    "bad",
    [
        attribute(1, "no domain at all"),
        attribute(1, "x", "domain|ip"),
        attribute(1, timestamp="yesterday"),
        attribute(1, timestamp=None),
        attribute(1, timestamp=True),
        attribute(1, uuid="x"),
        {"uuid": 5},
        5,
        attribute(1, Tag=tag(*[str(n) for n in range(200)])),
    ],
)
def test_one_bad_attribute_costs_only_itself(bad: Any) -> None:
    """An attribute that cannot be read is kept aside with its reason, and the others are taken."""
    (one,) = events_of(event(attribute(5), bad, attribute(6, "other.example")))
    found = list(objects_of(one))
    assert [type(each) for each in found] == [bytes, bytes, Reject, bytes, bytes]


def test_the_ways_in_which_misp_wraps_events() -> None:
    """An event comes alone, under its name, in an array, or as the answer of a search."""
    inner = json.loads(event(attribute()))
    bare = inner["Event"]
    for text in (bare, inner, [inner], [bare], {"response": [inner]}, {"response": [bare, inner]}):
        assert {one.info for one in events_of(json.dumps(text).encode())} == {"A campaign"}


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"{}", b'"x"', b'{"Event": {"info": "x"}}', b"\xff", b"[" * 100_000]
)
def test_what_is_no_event(text: bytes) -> None:
    """Anything else is refused with a reason."""
    with pytest.raises(BadValue, match="no MISP event"):
        events_of(text)
