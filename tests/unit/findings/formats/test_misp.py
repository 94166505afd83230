"""MISP events: only what is marked for detection, in the part that its type gives it, and only if it is ours to say."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threatshare.config import OwnAssets
from threatshare.findings.formats.misp import MAX_EVENT, MispReader
from threatshare.findings.formats.misp_attributes import TYPES
from threatshare.model import Finding, Marking, Reject, Role, Tlp
from threatshare.stix.misp_tags import marking_of_tags, techniques_of_tags

US = OwnAssets(domains=("corp.example",), organisations=frozenset({"our soc"}))
OUT = "198.51.100.7"
MD5 = "0cc175b9c0f1b6a831c399e269772661"
SHA1 = "86f7e437faa5a7fce15d1ddcb9eaeaea377667b8"
SHA256 = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
UUID = "5bbf3c5d-0000-4000-8000-000000000001"


def attribute(type: str = "ip-dst", value: str = OUT, **more: Any) -> dict[str, Any]:
    fields = {"uuid": UUID, "type": type, "value": value, "category": "Network activity", "to_ids": True}
    return {**fields, "timestamp": "1539269665", **more}


def event(*attributes: dict[str, Any], **more: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "info": "a campaign",
        "analysis": "2",
        "threat_level_id": "1",
        "Orgc": {"name": "Our SOC"},
    }
    return {**fields, "date": "2018-10-11", "distribution": "3", "Attribute": list(attributes), **more}


def read(doc: Any, own: OwnAssets = US) -> list[Finding | Reject]:
    return list(MispReader().read(io.BytesIO(json.dumps(doc).encode()), "m.json", own))


def finding(*attributes: dict[str, Any], own: OwnAssets = US, **more: Any) -> Finding:
    (got,) = read({"Event": event(*attributes, **more)}, own)
    assert isinstance(got, Finding)
    return got


def roles(*attributes: dict[str, Any], own: OwnAssets = US, **more: Any) -> dict[str, str]:
    got = read({"Event": event(*attributes, **more)}, own)
    return {
        seen.observable.value: seen.role.value for one in got if isinstance(one, Finding) for seen in one.observations
    }


@pytest.mark.parametrize(
    ("type", "value", "expected"),
    [
        ("ip-src", OUT, {OUT: "attacker"}),
        ("ip-dst", OUT, {OUT: "c2"}),
        ("ip-dst", "2001:db8::7", {"2001:db8::7": "c2"}),
        ("ip-src|port", f"{OUT}|22", {OUT: "attacker"}),
        ("ip-dst|port", f"{OUT}|443", {OUT: "c2"}),
        ("domain", "Evil.example", {"evil.example": "c2"}),
        ("hostname|port", "c2.evil.example|8443", {"c2.evil.example": "c2"}),
        ("domain|ip", f"evil.example|{OUT}", {"evil.example": "c2", OUT: "c2"}),
        ("url", "hxxp://evil[.]example/a", {"http://evil.example/a": "payload"}),
        ("email-src", "Boss@evil.example", {"boss@evil.example": "phish-sender"}),
        ("email-reply-to", "boss@evil.example", {"boss@evil.example": "phish-sender"}),
        ("email", "boss@evil.example", {"boss@evil.example": "unknown"}),
        ("sha256", SHA256.upper(), {SHA256: "payload"}),
        ("filename|sha1", f"a|b.exe|{SHA1}", {SHA1: "payload"}),
        ("malware-sample", f"a.exe|{MD5}", {MD5: "payload"}),
    ],
)
def test_the_type_gives_the_part(type: str, value: str, expected: dict[str, str]) -> None:
    """Each type that is shared gives its values the part of the table, composites part by part."""
    assert roles(attribute(type, value)) == expected


@pytest.mark.parametrize(
    "type",
    "snort yara sigma pattern-in-file filename regkey btc link user-agent stix2-pattern x509-fingerprint-sha1".split(),
)
def test_other_types_are_passed_over(type: str) -> None:
    """Rules, names and wallets yield nothing, though they are marked for detection."""
    assert read(event(attribute(type, SHA1))) == []


def test_only_what_is_marked_for_detection_counts() -> None:
    """to_ids may be true, 1 or "1"; without it, or deleted, an attribute yields nothing."""
    for flag in (True, 1, "1", "true"):
        assert roles(attribute(to_ids=flag)) == {OUT: "c2"}
    for other in (False, 0, "0", None, "", 2.5):
        assert read({"Event": event(attribute(to_ids=other))}) == []
    assert read({"Event": event(attribute(deleted="1"))}) == []
    assert read({"Event": event(Object=[{"name": "file", "deleted": True, "Attribute": [attribute()]}])}) == []


def test_categories_decide_whether_a_mark_counts() -> None:
    """Categories of the attack count; about us, people or authorship never; of those between, a person decides."""
    for category in ("Payload delivery", "Artifacts dropped", "Payload installation", "Persistence mechanism"):
        assert roles(attribute(category=category)) == {OUT: "c2"}
    for category in (
        "Targeting data",
        "Internal reference",
        "Attribution",
        "Person",
        "Support Tool",
        "Financial fraud",
    ):
        assert read({"Event": event(attribute(category=category))}) == []
    for category in ("External analysis", "Other", "", "of a later version"):
        assert roles(attribute(category=category)) == {OUT: "unknown"}


def test_a_mail_is_one_finding_and_its_recipient_no_proposal() -> None:
    """In an object, an address that also received stays home, marked or not; the sender comes out."""
    mail = [
        attribute("email-src", "lure@evil.example", category="Payload delivery"),
        attribute("email-src", "user@partner.example", category="Payload delivery"),
        attribute("email-dst", "user@partner.example", category="Payload delivery", to_ids=False),
    ]
    got = finding(Object=[{"name": "email", "uuid": UUID, "Attribute": mail}])
    assert {seen.observable.value: seen.role.value for seen in got.observations} == {
        "lure@evil.example": "phish-sender",
        "user@partner.example": "victim-asset",
    }
    assert got.place == f"m.json:1 object {UUID}"


def test_victims_alone_yield_nothing() -> None:
    """Recipients, targets and objects that describe victims make no finding."""
    mail = attribute("email-dst", "user@partner.example", category="Payload delivery")
    target = attribute("target-email", "user@partner.example", category="Targeting data")
    victim = {"name": "victim", "Attribute": [attribute("domain", "hit.example"), attribute("hostname", "pc1")]}
    assert read({"Event": event(mail, target, Object=[victim])}) == []


def test_the_source_of_a_connection_may_be_the_victim() -> None:
    """In an object for one connection the source is held, the destination counts; alone a source is an attacker."""
    ends = [attribute("ip-src", "198.51.100.9"), attribute("ip-dst")]
    (got,) = read({"Event": event(Object=[{"name": "network-connection", "Attribute": ends}])})
    assert isinstance(got, Finding)
    assert {one.observable.value: one.role.value for one in got.observations} == {"198.51.100.9": "unknown", OUT: "c2"}
    assert roles(attribute("ip-src", "198.51.100.9")) == {"198.51.100.9": "attacker"}


def test_what_is_ours_stays_ours() -> None:
    """A marked attribute of one of our own names is no indicator."""
    assert roles(attribute("domain", "www.corp.example")) == {"www.corp.example": "victim-asset"}


def test_others_events_go_on_only_if_they_are_public() -> None:
    """Another organisation's event is held unless its TLP is CLEAR or GREEN; ours is known by name or UUID."""
    theirs = {"name": "Their SOC", "uuid": UUID}
    assert roles(attribute(), Orgc=theirs) == {OUT: "unknown"}
    assert roles(attribute(), Orgc=theirs, Tag=[{"name": "tlp:amber"}]) == {OUT: "unknown"}
    assert roles(attribute(), Orgc=theirs, Tag=[{"name": "tlp:green"}]) == {OUT: "c2"}
    assert roles(attribute(), Orgc=theirs, own=OwnAssets(organisations=frozenset({UUID}))) == {OUT: "c2"}


def test_our_name_under_another_uuid_is_not_us() -> None:
    """Names are public: where the event gives a UUID, it decides; the name counts only where there is none."""
    both = OwnAssets(organisations=frozenset({"our soc", UUID}))
    for own in (US, both):
        assert roles(attribute(), Orgc={"name": "Our SOC", "uuid": UUID[:-1] + "2"}, own=own) == {OUT: "unknown"}
        assert roles(attribute(), Orgc={"name": "Our SOC", "uuid": ""}, own=own) == {OUT: "c2"}
    assert roles(attribute(), Orgc={"name": "A former name", "uuid": UUID.upper()}, own=both) == {OUT: "c2"}


def test_an_event_without_a_creator_is_held_unless_it_is_public() -> None:
    """MISP always names the creator; a converter's event does not, and is nobody's to say until somebody decides."""
    assert roles(attribute(), Orgc=None) == {OUT: "unknown"}
    assert roles(attribute(), Orgc=None, Tag=[{"name": "tlp:clear"}]) == {OUT: "c2"}


def test_the_most_restrictive_tag_of_event_and_attribute_counts() -> None:
    """An attribute's tag may raise the event's TLP, never lower it."""
    red, green = [{"name": "TLP:RED"}], [{"name": "tlp:green"}]
    assert finding(attribute(Tag=red), Tag=green).tlp is Tlp.RED
    assert finding(attribute(Tag=green), Tag=red).tlp is Tlp.RED
    assert finding(attribute()).tlp is None


@pytest.mark.parametrize(
    "tag",
    [
        *("tlp:ex:chr", "TLP:PURPLE", "tlp-amber", "PAP:RED", "pap:amber", 'iep2-policy:tlp="red"', 'euci:EU-R="x"'),
        *("PAP-RED", "pap=red", "PAP RED", "PAPRED", "tlp=red", "TLP RED", "tlp\u2236red", "our:tlp=red"),
        *("Traffic Light Protocol: RED", "traffic-light-protocol:red", "restricted", "Do not share"),
        *('classification:level="Confidential"', "Tlp\u2011red", "", None),
    ],
)
def test_a_restriction_that_cannot_be_read_holds(tag: str | None) -> None:
    """Our own event, marked public besides, is held where a tag restricts it in a way we do not know."""
    (seen,) = finding(attribute(Tag=[{"name": tag}]), Tag=[{"name": "tlp:clear"}]).observations
    assert seen.role is Role.UNKNOWN
    assert "marking" in seen.why


@pytest.mark.parametrize(
    "tag",
    [
        *(
            "t\u200blp:red",
            "tlp\uff1ared",
            "'TLP:RED'",
            '"tlp:red"',
            'tlp:"red"',
            "[TLP:RED]",
            "\uff34\uff2c\uff30:RED",
        ),
        *("\u201ctlp:red\u201d", "tlp:\u00adred", "\ufefftlp:red", "tlp:r\u0301ed", "tlp: red\u00a0"),
    ],
)
def test_a_marking_counts_in_any_dress(tag: str) -> None:
    """Quotes, brackets, invisible and full-width characters change nothing of what a tag says."""
    assert marking_of_tags([tag]) == Marking(Tlp.RED)


@pytest.mark.parametrize("tag", ["PaperBug", "papaya", "Tulip", "osint", "unclassified", 'workflow:state="complete"'])
def test_other_tags_restrict_nothing(tag: str) -> None:
    """Words that merely begin alike are no restrictions."""
    assert marking_of_tags([tag]) == Marking(None)


RED = {"name": "tlp:red"}


@pytest.mark.parametrize("said", [[RED], RED, "tlp:red", ["tlp:red"], [{"Tag": RED}], [{"tag_id": 1, "Tag": [RED]}]])
def test_tags_are_read_in_every_shape(said: Any) -> None:
    """Objects, names, rows that join a tag, one or a list, of event, attribute or object."""
    clear = [{"name": "tlp:clear"}]
    assert finding(attribute(), Tag=said).tlp is Tlp.RED
    assert finding(attribute(), Tag=clear, EventTag=said).tlp is Tlp.RED
    assert finding(attribute(Tag=clear, AttributeTag=said)).tlp is Tlp.RED
    assert finding(Object=[{"name": "file", "ObjectTag": said, "Attribute": [attribute()]}]).tlp is Tlp.RED


def written_twice(doc: Any, first: str) -> list[Finding | Reject]:
    """Reads an event in which ``"CLEAR"`` is replaced by one property that stands before another of its name."""
    text = json.dumps(doc).replace('"CLEAR": 0', f'{first}, "Tag": [{{"name": "tlp:clear"}}]')
    return list(MispReader().read(io.BytesIO(text.encode()), "m.json", US))


@pytest.mark.parametrize("first", ['"Tag": [{"name": "tlp:red"}]', '"T\\u0061g": [{"name": "tlp:red"}]'])
def test_a_property_that_stands_twice_is_refused(first: str) -> None:
    """No marking hides behind another one: an event is refused whole, an attribute or object alone."""
    (whole,) = written_twice({"Event": event(attribute(), CLEAR=0)}, first)
    assert isinstance(whole, Reject)
    assert "twice" in whole.reason
    holder = {"name": "file", "Attribute": [attribute(CLEAR=0)]}
    got = written_twice({"Event": event(attribute(CLEAR=0), attribute(), Object=[holder])}, first)
    assert [type(one) for one in got] == [Reject, Finding, Reject]
    (nested,) = written_twice({"Event": event(attribute(), EventTag=[{"CLEAR": 0}])}, first)
    assert isinstance(nested, Reject)


def test_markings_of_tags() -> None:
    """White is clear, AIS markings count, Permissible Actions that allow blocking restrict nothing."""
    assert marking_of_tags(["tlp:white"]) == Marking(Tlp.CLEAR)
    assert marking_of_tags(["TLP: AMBER+STRICT ", "type:OSINT"]) == Marking(Tlp.AMBER_STRICT)
    ais = ['ais-marking:TLPMarking="GREEN"', 'ais-marking:AISConsent="NONE"', 'ais-marking:CISA_Proprietary="false"']
    assert marking_of_tags([*ais, "PAP:GREEN"]) == Marking(Tlp.GREEN)
    assert marking_of_tags(['ais-marking:CISA_Proprietary="true"']).unknown


@given(st.lists(st.sampled_from([f"tlp:{tlp.label}" for tlp in Tlp]), min_size=1, max_size=5))
def test_the_order_of_tags_does_not_matter(tags: list[str]) -> None:
    """Whatever the order, the most restrictive label is the marking."""
    expected = max(Tlp[tag[4:].upper().replace("+", "_")] for tag in tags)
    assert marking_of_tags(tags).tlp is marking_of_tags(reversed(tags)).tlp is expected


def test_distribution_holds_what_no_tlp_releases() -> None:
    """What MISP keeps to one organisation or a sharing group is held, unless a TLP tag says how far it may go."""
    assert roles(attribute(), distribution="0") == {OUT: "unknown"}
    assert roles(attribute(distribution=4)) == {OUT: "unknown"}
    assert roles(attribute(distribution="5")) == {OUT: "c2"}
    assert roles(attribute(), distribution="0", Tag=[{"name": "tlp:amber"}]) == {OUT: "c2"}


def test_exercises_are_held_and_false_positives_are_bystanders() -> None:
    """Tags about the values themselves count before anything else."""
    assert roles(attribute(), Tag=[{"name": 'exercise:cyber-europe="2018"'}]) == {OUT: "unknown"}
    assert roles(attribute(Tag=[{"name": "false-positive:confirmed"}])) == {OUT: "third-party"}
    assert roles(attribute(Tag=[{"name": 'false-positive:confirmed="false"'}])) == {OUT: "c2"}


def test_techniques_and_confidence_come_from_tags() -> None:
    """Galaxy tags name techniques; the attribute's own confidence counts before its event's."""
    tags = ['misp-galaxy:mitre-attack-pattern="Launch Daemon - T1543.004"', 'misp-galaxy:tool="T1059"']
    got = finding(
        attribute(Tag=[{"name": 'misp:confidence-level="rarely-confident"'}]),
        Tag=[{"name": tag} for tag in (*tags, 'misp:confidence-level="completely-confident"')],
    )
    assert got.techniques == ("T1543.004",)
    assert got.confidence == 25
    assert techniques_of_tags(['mitre-enterprise-attack-attack-pattern="x - T1566"']) == ("T1566",)


def test_times() -> None:
    """What is stated as seen counts, of an attribute before its object; else when the attribute was last edited."""
    day = datetime(2018, 10, 1, tzinfo=UTC)
    got = finding(attribute(first_seen="2018-10-01T00:00:00+00:00", last_seen="2018-10-02T00:00:00+00:00"))
    assert (got.seen_at, got.last_seen_at) == (day, datetime(2018, 10, 2, tzinfo=UTC))
    assert finding(attribute(first_seen=None)).seen_at == datetime(2018, 10, 11, 14, 54, 25, tzinfo=UTC)
    holder = {"name": "file", "first_seen": "2018-10-01T00:00:00+00:00", "Attribute": [attribute()]}
    assert finding(Object=[holder]).seen_at == day
    assert finding(attribute(timestamp=None)).seen_at == datetime(2018, 10, 11, tzinfo=UTC)
    assert finding(attribute()).place == f"m.json:1 attribute {UUID}"


@pytest.mark.parametrize(
    "wrap", [lambda one: {"Event": one}, lambda one: one, lambda one: {"response": [{"Event": one}]}]
)
def test_every_shape_of_an_export_is_read(wrap: Any) -> None:
    """One event, bare or not, a list of them, a response, compact or indented, one a line."""
    doc = wrap(event(attribute()))
    reader = MispReader()
    for text in (json.dumps(doc), json.dumps(doc, indent=4), json.dumps(doc) + "\n" + json.dumps(doc)):
        assert reader.recognises(text.encode(), "m.json")
        got = list(reader.read(io.BytesIO(text.encode()), "m.json", US))
        assert got
        assert all(isinstance(one, Finding) for one in got)
    assert len(read([{"Event": event(attribute())}] * 3)) == 3
    assert len(read({"response": [{"Event": event(attribute())}] * 3})) == 3


@pytest.mark.parametrize(
    "head",
    [
        b'{"Event": {"System": {"EventID": 1}, "EventData": {}}}',
        b'{"type": "bundle", "id": "bundle--5bbf3c5d-0000-4000-8000-000000000001", "objects": []}',
        b'{"class_uid": 2004, "finding_info": {"title": "x"}, "metadata": {}}',
        b'{"event_type": "alert", "src_ip": "192.0.2.1"}',
        b'{"message": "a note of \\"info\\", \\"analysis\\" and \\"Attribute\\""}',
        b"info, analysis, Attribute",
        b"",
    ],
)
def test_other_formats_are_left_alone(head: bytes) -> None:
    """Windows events, bundles, alerts and prose are not taken."""
    assert not MispReader().recognises(head, "x.json")


def test_what_is_broken_is_kept_aside_alone() -> None:
    """A bad value, attribute or event is a Reject with its place; what stands beside it is read."""
    doc = event(attribute(value="not an address"), attribute("domain|ip", "evil.example"), attribute())
    doc["Attribute"].append(["no", "object"])
    got = read({"Event": doc})
    assert [type(one) for one in got] == [Reject, Reject, Finding, Reject]
    assert got[0].place == f"m.json:1 attribute {UUID}"
    (gone,) = read({"Event": {"info": 7}})
    assert isinstance(gone, Reject)
    (cut,) = MispReader().read(io.BytesIO(json.dumps({"Event": event(attribute())}).encode()[:-9]), "m.json", US)
    assert isinstance(cut, Reject)
    assert isinstance(read({"response": {"Attribute": [attribute()]}})[0], Reject)


def test_an_event_beyond_the_limit_is_refused() -> None:
    """An event of more than 32 MiB is a Reject, and the next one is read."""
    small = json.dumps({"Event": event(attribute(comment="A" * 100_000))}).encode()
    one = json.dumps(attribute(comment="A" * 100_000)).encode()
    big = small.replace(one, b",".join([one] * (MAX_EVENT // len(one) + 1)))
    got = list(MispReader().read(io.BytesIO(big + b"\n" + small + b"\n"), "m.json", US))
    assert [type(one) for one in got] == [Reject, Finding]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_FIELDS = st.sampled_from("info Tag Orgc Attribute Object distribution date timestamp Event".split())
_OF_ATTRIBUTE = st.sampled_from("type value category to_ids Tag uuid first_seen timestamp deleted distribution".split())


@given(st.dictionaries(_FIELDS, _JSON), st.dictionaries(_OF_ATTRIBUTE, _JSON))
def test_no_shape_ends_the_reading(fields: dict[str, Any], of_attribute: dict[str, Any]) -> None:
    """Whatever stands in the fields of event and attribute, the result is findings and rejects."""
    doc = {"Event": {**event(attribute(**of_attribute)), **fields}}
    assert all(isinstance(one, Finding | Reject) for one in read(doc))


_VICTIM_SPOTS = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["email-dst", "target-email", "email-src", "email"]),
        "category": st.sampled_from(["Targeting data", "Payload delivery", "Network activity", "Other"]),
        "to_ids": st.booleans(),
    }
)


@given(st.lists(_VICTIM_SPOTS, min_size=1, max_size=4), st.sampled_from(["email", "victim", "file"]), st.booleans())
def test_a_victim_never_comes_out_of_its_object(spots: list[dict[str, Any]], name: str, marked: bool) -> None:
    """Whoever received or was targeted stays a victim, wherever else in the object the same address stands."""
    victim = "canary@partner.example"
    held = [attribute(value=victim, **spot) for spot in spots]
    held.append(attribute("email-dst", victim, category="Payload delivery", to_ids=marked))
    held.append(attribute("ip-src", OUT, category="Payload delivery"))
    found = roles(Object=[{"name": name, "Attribute": held}])
    assert found.get(victim, "victim-asset") == "victim-asset"
    assert found.get(OUT) == (None if name == "victim" else "attacker")


@given(st.sampled_from(sorted(TYPES)), st.text(max_size=30))
def test_unmarked_values_never_come_out(type: str, value: str) -> None:
    """Without the mark, no text in any type becomes an indicator, is held as one, or is kept aside as broken."""
    assert read({"Event": event(attribute(type, value, to_ids=False))}) == []
