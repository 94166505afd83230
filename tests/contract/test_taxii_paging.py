from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import pytest

from clocks import FixedClock
from taxii_node import TaxiiNode, entry, indicator, stix_id
from threatshare.model import micros
from threatshare.share.app import utc_now
from threatshare.store.connection import open_writer, transaction
from threatshare.store.entries import append_entries

OBJECTS = "/api/collections/one/objects/"
DATE_LAST = "X-TAXII-Date-Added-Last"


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def node(tmp_path: Path, clock: FixedClock) -> Iterator[TaxiiNode]:
    with TaxiiNode(tmp_path, clock=clock) as made:
        made.collection("one")
        made.collection("two")
        made.account("soc", read=["one", "two"])
        made.account("isac", read=["one"])
        yield made


def numbers(pages: list[list[dict[str, str]]]) -> list[str]:
    return [one["id"] for page in pages for one in page]


def test_3_5_every_object_once_and_in_order(node: TaxiiNode) -> None:
    """§3.5: following next to the end gives every object once, in the order added, for any page size and filter."""
    node.publish("one", *(indicator(number) for number in range(30)))
    expected = [stix_id(number) for number in range(30)]
    for limit in (1, 7, 29, 30, 31):
        for query in (
            {},
            {"match[type]": "indicator,malware"},
            {"match[version]": "all"},
            {"match[id]": ",".join(expected)},
        ):
            pages = node.drain("one", "soc", {**query, "limit": limit})
            assert numbers(pages) == expected
            assert {len(page) for page in pages[:-1]} <= {limit}
            assert numbers(node.drain("one", "soc", {**query, "limit": limit}, "manifest")) == expected


def test_s1_next_alone_is_enough(node: TaxiiNode) -> None:
    """S1: a client that drops its filters once it has a `next` (Elastic, OpenCTI) still gets what it asked for."""
    node.publish("one", *(indicator(number) for number in range(10)))
    node.publish(
        "one", *(dict(indicator(number), type="malware", id=stix_id(number, "malware")) for number in range(10))
    )
    asked = {"match[type]": "malware", "added_after": "2026-03-01T12:00:00.002Z", "limit": "4"}
    answer = node.get(OBJECTS, "soc", asked)
    found = list(answer.objects)
    while answer.json["more"]:
        answer = node.get(OBJECTS, "soc", {"next": answer.json["next"], "limit": "4"})
        found += answer.objects
    assert [one["id"] for one in found] == [stix_id(number, "malware") for number in range(10)]


def test_s2_next_is_valid_for_ever_and_anywhere(node: TaxiiNode, clock: FixedClock) -> None:
    """S2: a `next` works again, a year later, on another worker, after others were read, for another account."""
    node.publish("one", *(indicator(number) for number in range(10)))
    token = node.get(OBJECTS, "soc", {"limit": "4"}).json["next"]
    first = node.get(OBJECTS, "soc", {"limit": "4", "next": token})
    clock.advance(days=365)
    other = node.make_app()
    again = node.request("GET", OBJECTS, "isac", {"limit": "4", "next": token}, None, other)
    other.close()
    assert again.body == first.body
    assert [one["id"] for one in again.objects] == [stix_id(number) for number in (4, 5, 6, 7)]


def test_s3_a_stale_next_with_a_newer_added_after(node: TaxiiNode, clock: FixedClock) -> None:
    """S3: the later of `next` and `added_after` counts, so a client that mixes them up gets correct data."""
    node.publish("one", *(indicator(number) for number in range(10)))
    stale = node.get(OBJECTS, "soc", {"limit": "4"}).json["next"]
    last = node.get(OBJECTS, "soc").headers[DATE_LAST]
    clock.advance(hours=1)
    node.publish("one", indicator(10))
    newer = node.get(OBJECTS, "soc", {"next": stale, "added_after": last})
    assert [one["id"] for one in newer.objects] == [stix_id(10)]
    older = node.get(OBJECTS, "soc", {"next": stale, "added_after": "2020-01-01T00:00:00Z"})
    assert [one["id"] for one in older.objects] == [stix_id(number) for number in range(4, 11)]


def test_s3_a_next_of_another_collection(node: TaxiiNode) -> None:
    """S2, S3: sent to the next collection, which OpenCTI's connector does, a `next` loses nothing there."""
    node.publish("one", *(indicator(number) for number in range(10)))
    node.publish("two", *(indicator(number) for number in range(5)))
    foreign = node.get(OBJECTS, "soc", {"limit": "8"}).json["next"]
    answer = node.get("/api/collections/two/objects/", "soc", {"next": foreign, "limit": "3"})
    assert [one["id"] for one in answer.objects] == [stix_id(number) for number in range(3)]
    rest = node.get("/api/collections/two/objects/", "soc", {"next": answer.json["next"]})
    assert [one["id"] for one in rest.objects] == [stix_id(3), stix_id(4)]


def test_a_filter_too_long_to_carry_is_sent_again(node: TaxiiNode) -> None:
    """A page of hundreds of named ids goes on if the ids are sent again, and says so if they are not."""
    node.publish("one", *(indicator(number) for number in range(100)))
    named = {"match[id]": ",".join(stix_id(number) for number in range(100)), "limit": "60"}
    token = node.get(OBJECTS, "soc", named).json["next"]
    assert len(node.get(OBJECTS, "soc", {**named, "next": token}).objects) == 40
    refused = node.get(OBJECTS, "soc", {"next": token})
    assert refused.status == 400
    assert "send its match parameters again" in refused.json["description"]


def test_3_5_added_after_alone_is_a_cursor(node: TaxiiNode, clock: FixedClock) -> None:
    """§3.5: paging by the last date alone loses and repeats nothing, even with the clock set back meanwhile."""
    found: list[str] = []
    after = "2020-01-01T00:00:00Z"
    published = 0
    for step in (0, -3_600, 5, -7_200, 86_400):
        clock.advance(seconds=step)
        node.publish("one", *(indicator(number) for number in range(published, published + 300)))
        published += 300
        while True:
            answer = node.get(OBJECTS, "soc", {"added_after": after, "limit": "70"})
            if not answer.objects:
                break
            found += [one["id"] for one in answer.objects]
            after = answer.headers[DATE_LAST]
    assert found == [stix_id(number) for number in range(published)]


def test_s5_dates_cut_to_milliseconds(node: TaxiiNode, clock: FixedClock) -> None:
    """S5: a client that keeps only milliseconds of the last date (OpenCTI) comes to an end and misses nothing."""
    for step in range(20):
        node.publish("one", *(indicator(step * 10 + number) for number in range(10)))
        clock.advance(microseconds=step * 37)
    found: list[str] = []
    after = "2020-01-01T00:00:00.000Z"
    for _ in range(40):
        answer = node.get(OBJECTS, "soc", {"added_after": after, "limit": "7"})
        if not answer.objects:
            break
        found += [one["id"] for one in answer.objects]
        after = answer.headers[DATE_LAST][:23] + "Z"
    assert found == [stix_id(number) for number in range(200)]


@pytest.mark.parametrize("cursor", ["next", "added_after"])
def test_3_5_paging_while_others_write(tmp_path: Path, cursor: str) -> None:
    """A client that reads while another connection appends gets every object once, whichever cursor it keeps."""
    with TaxiiNode(tmp_path, clock=utc_now) as node:
        collection = node.collection("one")
        node.account("soc", read=["one"])
        done = Event()

        def write() -> None:
            conn = open_writer(node.file)
            for batch in range(60):
                with transaction(conn):
                    # Dated before the batch is written, as a flow that takes its time does.
                    entries = [entry(indicator(batch * 20 + number)) for number in range(20)]
                    append_entries(conn, collection, entries, micros(utc_now()) - (batch % 7) * 1_000_000)
            conn.close()
            done.set()

        writer = Thread(target=write)
        writer.start()
        found = _follow(node, cursor, done)
        writer.join()
    assert len(found) == 1_200
    assert Counter(found).most_common(1)[0][1] == 1
    assert found == [stix_id(number) for number in range(1_200)]


def _follow(node: TaxiiNode, cursor: str, done: Event) -> list[str]:
    found: list[str] = []
    after, token = "2020-01-01T00:00:00Z", ""
    while True:
        finished = done.is_set()
        answer = node.get(OBJECTS, "soc", {"limit": "7", "added_after": after} | ({"next": token} if token else {}))
        found += [one["id"] for one in answer.objects]
        if answer.objects:
            after = answer.headers[DATE_LAST]
        token = answer.json.get("next", "") if cursor == "next" else ""
        if not answer.objects and finished:
            return found


def test_versions_that_come_while_a_client_pages(node: TaxiiNode, clock: FixedClock) -> None:
    """An object that changes behind or ahead of a client comes to it in its new version before the end."""
    node.publish("one", *(indicator(number) for number in range(20)))
    answer = node.get(OBJECTS, "soc", {"limit": "10"})
    clock.advance(seconds=1)
    node.publish("one", *(indicator(number, "2026-02-01T00:00:00.000Z") for number in (3, 15)))
    held = {one["id"]: one["modified"] for one in answer.objects}
    while answer.json["more"]:
        answer = node.get(OBJECTS, "soc", {"limit": "10", "next": answer.json["next"]})
        held |= {one["id"]: one["modified"] for one in answer.objects}
    assert len(held) == 20
    assert {one for one, modified in held.items() if modified > "2026-01-15"} == {stix_id(3), stix_id(15)}
