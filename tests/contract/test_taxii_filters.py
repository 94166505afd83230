from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clocks import FixedClock
from taxii_node import TAXII, TaxiiNode, indicator, stix_id
from threatshare.model import EmptyPage, View
from threatshare.share.bodies import timestamp
from threatshare.store.accounts import grant
from threatshare.store.connection import transaction

OBJECTS = "/api/collections/one/objects/"
MANIFEST = "/api/collections/one/manifest/"


def versions_of(number: int) -> list[dict[str, Any]]:
    return [indicator(number, f"2026-0{month}-01T00:00:00.000Z") for month in (1, 2, 3)]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TaxiiNode]:
    clock = FixedClock()
    with TaxiiNode(tmp_path_factory.mktemp("node"), clock=clock) as made:
        made.collection("one")
        made.account("soc", read=["one"])
        for number in range(5):
            made.publish("one", *versions_of(number))
            clock.advance(seconds=10)
        malware = {**indicator(50), "type": "malware", "id": stix_id(50, "malware")}
        made.publish("one", malware, {"type": "ipv4-addr", "id": stix_id(60, "ipv4-addr"), "value": "198.51.100.1"})
        old = {key: value for key, value in indicator(70).items() if key != "spec_version"}
        made.publish("one", old)
        made.publish("one", {**old, "modified": "2026-02-01T00:00:00.000Z", "spec_version": "2.1"})
        yield made


def ids(node: TaxiiNode, **query: Any) -> list[str]:
    asked = {
        name.replace("match_", "match[") + ("]" if name.startswith("match_") else ""): value
        for name, value in query.items()
    }
    answer = node.get(OBJECTS, "soc", asked)
    assert answer.status == 200, answer
    listed = node.get(MANIFEST, "soc", asked)
    assert [one["id"] for one in listed.objects] == [one["id"] for one in answer.objects]
    return [one["id"] for one in answer.objects]


def modified(node: TaxiiNode, **query: Any) -> list[str]:
    asked = {f"match[{name}]": value for name, value in query.items()}
    return [one["modified"][5:7] for one in node.get(OBJECTS, "soc", asked).objects]


def test_3_4_last_versions_are_the_default(node: TaxiiNode) -> None:
    """§3.4: without a filter each object comes once, in its last version, in the order in which it was added."""
    whole = ids(node)
    assert whole == [stix_id(number) for number in range(5)] + [
        stix_id(50, "malware"),
        stix_id(60, "ipv4-addr"),
        stix_id(70),
    ]
    assert modified(node, id=stix_id(2)) == ["03"]


def test_3_4_1_match_id(node: TaxiiNode) -> None:
    """§3.4.1: match[id] takes one id or several, unknown ones find nothing."""
    assert ids(node, match_id=stix_id(3)) == [stix_id(3)]
    assert ids(node, match_id=f"{stix_id(4)},{stix_id(1)},indicator--x") == [stix_id(1), stix_id(4)]
    assert ids(node, match_id="indicator--x") == []


def test_3_4_1_match_type(node: TaxiiNode) -> None:
    """§3.4.1: match[type] takes one type or several (S15)."""
    assert ids(node, match_type="malware") == [stix_id(50, "malware")]
    assert ids(node, match_type="ipv4-addr,malware") == [stix_id(50, "malware"), stix_id(60, "ipv4-addr")]
    assert ids(node, match_type="campaign") == []
    assert ids(node, match_type="indicator", match_id=stix_id(50, "malware")) == []


def test_3_4_1_match_version(node: TaxiiNode) -> None:
    """§3.4.1: match[version] takes first, last, all, timestamps, and combinations but for all."""
    assert modified(node, id=stix_id(2), version="first") == ["01"]
    assert modified(node, id=stix_id(2), version="last") == ["03"]
    assert modified(node, id=stix_id(2), version="all") == ["01", "02", "03"]
    assert modified(node, id=stix_id(2), version="first,last") == ["01", "03"]
    assert modified(node, id=stix_id(2), version="2026-02-01T00:00:00Z") == ["02"]
    assert modified(node, id=stix_id(2), version="2026-02-01T00:00:00.000000Z,last") == ["02", "03"]
    assert modified(node, version="2026-02-01T00:00:00.000Z") == ["02"] * 6
    assert modified(node, version="2026-02-01T00:00:00.001Z") == []


def test_3_4_1_match_spec_version(node: TaxiiNode) -> None:
    """§3.4.1: match[spec_version] picks by specification version; the last of those asked for comes."""
    assert ids(node, match_spec_version="2.0") == [stix_id(70)]
    assert modified(node, spec_version="2.0") == ["01"]
    assert len(ids(node, match_spec_version="2.0,2.1")) == 8
    assert ids(node, match_spec_version="2.1") == ids(node)
    assert ids(node, match_spec_version="1.9") == []


@pytest.mark.parametrize("digits", [0, 3, 6])
def test_3_4_added_after_is_exclusive(node: TaxiiNode, digits: int) -> None:
    """§3.4, S6: added_after is exclusive, with none, three or six digits, with colons raw or escaped."""
    listed = node.get(MANIFEST, "soc", {"match[version]": "all"}).objects
    dates = [one["date_added"] for one in listed]
    exact = [date for date in dates if set(date[20 + digits : -1]) <= {"0"}]
    assert exact, "no date of the test can be written with so few digits"
    for date in exact:
        cut = date[: 20 + digits].rstrip(".") + "Z"
        for spelling in (quote(cut), cut):
            answer = node.get(MANIFEST, "soc", f"added_after={spelling}&match[version]=all")
            assert [one["date_added"] for one in answer.objects] == dates[dates.index(date) + 1 :]


def test_3_4_added_after_just_before_and_at_an_entry(node: TaxiiNode) -> None:
    """An entry is sent for a date one microsecond before its own, and not for its own."""
    last = node.get(MANIFEST, "soc").objects[-1]
    own = last["date_added"]
    before = own[:-2] + chr(ord(own[-2]) - 1) + "Z" if own[-2] != "0" else timestamp(node.now - 1)
    assert ids(node, added_after=own) == []
    assert last["id"] in ids(node, added_after=before)


@pytest.mark.parametrize(
    "query",
    [
        "added_after=yesterday",
        "added_after=2026-01-01",
        "added_after=2026-13-01T00:00:00Z",
        "added_after=2026-01-01T00:00:00",
        "added_after=2026-01-01T00:00:00.5z",
        "match[version]=garbage",
        "match[version]=all,last",
        "match[version]=all,2026-01-01T00:00:00Z",
        "match[version]=FIRST",
        "match[spec_version]=two",
        "limit=0",
        "limit=-1",
        "limit=ten",
        "limit=1.5",
        "limit=",
        "limit=1_0",
        "limit=%2B5",
        "limit=%205",
        "limit=%D9%A5",
        "next=garbage",
        "next=AAAAAAAAAAAAAAAAAAAA",
        "added_after=2026-01-01T00:00:00Z&added_after=2026-01-01T00:00:00Z",
        "match[type]=a&match[type]=b",
        "limit=1&limit=2",
        "match[type]=" + ",".join(f"t{number}" for number in range(500)),
    ],
)
@pytest.mark.parametrize("path", [OBJECTS, MANIFEST])
def test_3_4_what_is_wrong_is_400(node: TaxiiNode, path: str, query: str) -> None:
    """§3.4: a parameter that is malformed, out of range or given twice is 400, never ignored, never 500."""
    answer = node.get(path, "soc", query)
    assert (answer.status, answer.headers["Content-Type"]) == (400, TAXII), answer


@pytest.mark.parametrize("query", ["match[match[type]]=x", "verbose=1", "added_after=", "match[type]=", "match[id]=,"])
def test_s15_what_is_unknown_or_blank_is_ignored(node: TaxiiNode, query: str) -> None:
    """Unknown keys and blank values change nothing: clients send them (S15)."""
    assert node.get(OBJECTS, "soc", query).body == node.get(OBJECTS, "soc").body


def test_3_4_the_limit_is_a_ceiling(node: TaxiiNode) -> None:
    """§3.4, S16: limit is obeyed, one beyond our own maximum is cut to it and is no error."""
    assert len(node.get(OBJECTS, "soc", {"limit": "3"}).objects) == 3
    assert len(node.get(OBJECTS, "soc", {"limit": "999999999999"}).objects) == 8


def test_3_2_headers_bound_the_dates(node: TaxiiNode) -> None:
    """S7: objects, manifest, an object and its versions carry the first and last date; an empty answer has neither."""
    one = f"{OBJECTS}{stix_id(2)}/"
    for path, query in [(OBJECTS, {}), (MANIFEST, {}), (one, {"match[version]": "all"}), (f"{one}versions/", {})]:
        answer = node.get(path, "soc", query)
        first, last = answer.headers["X-TAXII-Date-Added-First"], answer.headers["X-TAXII-Date-Added-Last"]
        assert len(first) == len(last) == len("2026-01-01T00:00:00.000000Z")
        assert first < last
        empty = node.get(path, "soc", {**query, "added_after": "2040-01-01T00:00:00Z"})
        assert not [name for name in empty.headers if name.startswith("X-TAXII")]
    listed = node.get(MANIFEST, "soc", {"limit": "4"})
    assert listed.headers["X-TAXII-Date-Added-First"] == listed.objects[0]["date_added"]
    assert listed.headers["X-TAXII-Date-Added-Last"] == listed.objects[-1]["date_added"]


def test_s10_an_empty_page(node: TaxiiNode) -> None:
    """S10, §3.7: an empty envelope has an empty list, without which Elastic and OpenCTI fail; `bare` leaves it out."""
    none = {"added_after": "2040-01-01T00:00:00Z"}
    one = f"{OBJECTS}{stix_id(2)}/"
    for path in (OBJECTS, one):
        assert node.get(path, "soc", none).json == {"more": False, "objects": []}
    node.collection("bare", view=View(empty_page=EmptyPage.BARE))
    with transaction(node.writer):
        grant(node.writer, "soc", ["bare"])
    for _ in range(2):
        assert node.get("/api/collections/bare/objects/", "soc").json == {"more": False}


def test_5_3_1_an_empty_manifest_has_no_list(node: TaxiiNode) -> None:
    """§5.3.1, §5.8.1: where there are no records or versions the key is left out; the body is never `{}` (S10)."""
    for path in (MANIFEST, f"{OBJECTS}{stix_id(2)}/versions/"):
        assert node.get(path, "soc", {"added_after": "2040-01-01T00:00:00Z"}).json == {"more": False}


def test_5_3_manifest_records(node: TaxiiNode) -> None:
    """§5.3: a record has id, date added with six digits, version and media type of the version it stands for."""
    record = node.get(MANIFEST, "soc", {"match[id]": stix_id(70)}).objects[0]
    assert record["version"] == "2026-02-01T00:00:00.000Z"
    assert record["media_type"] == "application/stix+json;version=2.1"
    old = node.get(MANIFEST, "soc", {"match[spec_version]": "2.0"}).objects[0]
    assert old["media_type"] == "application/stix+json;version=2.0"


def test_5_6_and_5_8_one_object(node: TaxiiNode) -> None:
    """§5.6, §5.8: an object is got by id with the same filters and pages; its versions are listed."""
    one = f"{OBJECTS}{stix_id(2)}/"
    assert [found["modified"][5:7] for found in node.get(one, "soc").objects] == ["03"]
    assert [found["modified"][5:7] for found in node.get(one, "soc", {"match[version]": "all"}).objects] == [
        "01",
        "02",
        "03",
    ]
    listed = node.get(f"{one}versions/", "soc", {"limit": "2"})
    assert listed.json["versions"] == ["2026-01-01T00:00:00.000Z", "2026-02-01T00:00:00.000Z"]
    rest = node.get(f"{one}versions/", "soc", {"limit": "2", "next": listed.json["next"]})
    assert rest.json == {"more": False, "versions": ["2026-03-01T00:00:00.000Z"]}


def test_what_was_published_comes_back(node: TaxiiNode) -> None:
    """The body served is the object that was published, to the byte."""
    body = node.get(OBJECTS, "soc", {"match[id]": stix_id(0)}).body
    assert body == b'{"more":false,"objects":[%b]}' % json.dumps(versions_of(0)[2]).encode()


@settings(max_examples=150)
@given(
    name=st.sampled_from(
        ["added_after", "limit", "next", "match[id]", "match[type]", "match[version]", "match[spec_version]", "x"]
    ),
    value=st.one_of(
        st.text(max_size=40),
        st.binary(max_size=20).map(lambda raw: raw.decode("latin-1")),
        st.sampled_from(
            [
                "' OR 1=1 --",
                "\x00",
                "%",
                "9" * 400,
                "first,first",
                "-0",
                "１２",
                "NaN",
                "2026-01-01T00:00:00.1234567Z",
                "0x10",
            ]
        ),
    ),
    path=st.sampled_from([OBJECTS, MANIFEST, f"{OBJECTS}{stix_id(2)}/", f"{OBJECTS}{stix_id(2)}/versions/"]),
)
def test_no_filter_breaks_the_server(node: TaxiiNode, name: str, value: str, path: str) -> None:
    """Whatever text a filter holds, the answer is a page or an error resource, never a fault, never SQL."""
    answer = node.get(path, "soc", {name: value})
    assert answer.status in (200, 400, 404), answer
    assert answer.headers["Content-Type"] == TAXII
    assert b"sql" not in answer.body.lower()
    assert answer.status == 200 or answer.json["http_status"] == str(answer.status)


@settings(max_examples=100)
@given(st.text(max_size=30))
def test_no_path_breaks_the_server(node: TaxiiNode, text: str) -> None:
    """Whatever a path holds, the answer is a resource or an error resource."""
    for path in (f"/{quote(text)}", f"/api/collections/{quote(text)}/", f"{OBJECTS}{quote(text, safe='')}/"):
        answer = node.get(path, "soc")
        assert answer.status in (200, 404), (path, answer)
        assert answer.headers["Content-Type"] == TAXII
