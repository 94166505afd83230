from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clocks import FixedClock
from taxii_node import Answer, TaxiiNode, indicator, stix_id
from threatshare.model import CollectionKind
from threatshare.stix.received import Received

HUB = "/api/collections/hub/objects/"
BOX = "/api/collections/box/objects/"
RED = "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1"


# What JSON can say and the standard allows: no NUL, no lone surrogates.
texts = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


def no_red(_raw: bytes, received: Received) -> str | None:
    return "marked TLP:RED" if RED in received.object_marking_refs else None


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def node(tmp_path: Path, clock: FixedClock) -> Iterator[TaxiiNode]:
    with TaxiiNode(tmp_path, may_exchange=no_red, clock=clock) as made:
        made.collection("hub", CollectionKind.EXCHANGE)
        made.collection("box", CollectionKind.INBOX)
        for member in ("alpha", "beta"):
            made.account(member, read=["hub"], write=["hub", "box"])
        yield made


def post(node: TaxiiNode, account: str, *objects: Any, path: str = HUB) -> dict[str, Any]:
    answer = node.request("POST", path, account, body={"objects": list(objects)})
    assert answer.status == 202, answer
    status: dict[str, Any] = answer.json
    return status


def messages(status: dict[str, Any]) -> dict[str, str]:
    return {one["id"]: one["message"] for one in status.get("failures", [])}


def test_5_5_outcomes_object_by_object(node: TaxiiNode, clock: FixedClock) -> None:
    """§5.5, §4.3: a status names each object with its version as success or failure, and can be asked for again."""
    good, marked = indicator(1), indicator(2, object_marking_refs=[RED])
    nameless = {"type": "indicator", "modified": "2026-01-01T00:00:00.000Z"}
    late = indicator(3, "2026-03-01T12:00:00.001Z")
    status = post(node, "alpha", good, marked, 17, nameless, late, {"type": "tool", "id": stix_id(9)})
    assert (status["status"], status["total_count"]) == ("complete", 6)
    assert (status["success_count"], status["failure_count"], status["pending_count"]) == (1, 5, 0)
    assert status["successes"] == [{"id": stix_id(1), "version": "2026-01-01T00:00:00.000Z"}]
    failed = messages(status)
    assert failed[stix_id(2)] == "marked TLP:RED"
    assert failed[stix_id(3)] == "modified lies in the future"
    assert "does not belong to type" in failed[stix_id(9)]
    assert {"object 3 of the envelope", "object 4 of the envelope"} <= set(failed)
    assert all(one["version"] for one in status["failures"])
    clock.advance(days=20)
    again = node.get(f"/api/status/{status['id']}/", "alpha")
    assert (again.status, again.json) == (200, status)


def test_4_3_a_status_is_its_makers(node: TaxiiNode) -> None:
    """§4.3: another account is told that there is no such status."""
    status = post(node, "alpha", indicator(1))
    assert node.get(f"/api/status/{status['id']}/", "beta").status == 404


def test_statuses_do_not_pile_up(node: TaxiiNode, clock: FixedClock) -> None:
    """Statuses older than thirty days go as new ones come."""
    for day in range(100):
        post(node, "alpha", indicator(day))
        clock.advance(days=1)
    assert node.writer.execute("SELECT count(*) FROM taxii_status").fetchone()[0] <= 31


def test_5_5_the_same_object_again_is_a_success(node: TaxiiNode) -> None:
    """§5.5: an object that is held already is a success and is served once, also from another member."""
    for account in ("alpha", "alpha", "beta"):
        assert post(node, account, indicator(1), indicator(1))["failure_count"] == 0
    assert len(node.get(HUB, "beta", {"match[version]": "all"}).objects) == 1


def test_the_same_version_with_other_content_is_refused(node: TaxiiNode) -> None:
    """The first content of a version stays; whoever sends another under the same version is told so."""
    post(node, "alpha", indicator(1))
    reordered = dict(reversed(indicator(1).items()))
    assert post(node, "alpha", reordered)["failure_count"] == 0
    status = post(node, "alpha", indicator(1, name="another"))
    assert "other content" in messages(status)[stix_id(1)]
    assert node.get(HUB, "alpha").objects == [indicator(1)]


def test_s18_a_bundle_is_taken_too(node: TaxiiNode) -> None:
    """S18: OpenCTI posts a bundle as STIX; it is taken like an envelope."""
    bundle = {"type": "bundle", "id": "bundle--x", "objects": [indicator(1)]}
    answer = node.request("POST", HUB, "alpha", body=bundle, Content_Type="application/stix+json; version=2.1")
    assert answer.json["success_count"] == 1
    assert [one["id"] for one in node.get(HUB, "beta").objects] == [stix_id(1)]


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(extra=st.dictionaries(st.sampled_from(["x_a", "x_b", "x_c"]), values, max_size=3), number=st.integers(0, 2**40))
def test_what_a_member_posts_members_read(node: TaxiiNode, extra: dict[str, Any], number: int) -> None:
    """What is posted to an exchange comes out equal as JSON, whatever properties it has."""
    thing = indicator(number, **extra)
    status = post(node, "alpha", thing)
    if status["failure_count"]:
        assert "other content" in messages(status)[stix_id(number)]
    else:
        assert node.get(f"{HUB}{stix_id(number)}/", "beta").objects == [thing]


def test_a_member_versions_only_its_own(node: TaxiiNode) -> None:
    """Another member's object is neither versioned nor revoked nor deleted, and its owner still can."""
    post(node, "alpha", indicator(1))
    newer = indicator(1, "2026-02-01T00:00:00.000Z", revoked=True)
    assert messages(post(node, "beta", newer)) == {stix_id(1): "belongs to another member"}
    refused = node.request("DELETE", f"{HUB}{stix_id(1)}/", "beta")
    assert refused.status == 403
    assert node.get(HUB, "beta").objects == [indicator(1)]
    assert post(node, "alpha", newer)["failure_count"] == 0
    assert node.get(HUB, "beta").objects == [newer]


def test_one_failure_does_not_stop_the_rest(node: TaxiiNode) -> None:
    """Objects around one that fails are taken, also where they are versions of one object."""
    post(node, "beta", indicator(2))
    mine = [indicator(1, f"2026-02-0{day}T00:00:00.000Z") for day in (3, 1, 2)]
    status = post(node, "alpha", mine[0], indicator(2, "2026-02-01T00:00:00.000Z"), mine[1], mine[2], indicator(3))
    assert list(messages(status)) == [stix_id(2)]
    assert node.get(HUB, "alpha", {"match[id]": stix_id(1)}).objects == [mine[0]]
    assert node.get(f"{HUB}{stix_id(1)}/", "alpha", {"match[version]": "all"}).objects == mine


def test_5_7_delete_takes_every_version(node: TaxiiNode) -> None:
    """§5.7: after a DELETE the object is 404, whatever versions there were."""
    for month in (1, 2, 3):
        post(node, "alpha", indicator(1, f"2026-0{month}-01T00:00:00.000Z"))
    path = f"{HUB}{stix_id(1)}/"
    deleted = node.request("DELETE", path, "alpha")
    assert (deleted.status, deleted.body) == (200, b"")
    assert [node.get(one, "alpha").status for one in (path, f"{path}versions/")] == [404, 404]
    assert node.get(HUB, "alpha").objects == []
    assert node.request("DELETE", path, "alpha").status == 404


def test_what_was_deleted_stays_its_owners(node: TaxiiNode) -> None:
    """Deleting frees neither an id for another member nor a version for other content; the same may come again."""
    post(node, "alpha", indicator(1))
    assert node.request("DELETE", f"{HUB}{stix_id(1)}/", "alpha").status == 200
    later = indicator(1, "2026-02-01T00:00:00.000Z")
    assert messages(post(node, "beta", indicator(1), later)) == {stix_id(1): "belongs to another member"}
    assert "other content" in messages(post(node, "alpha", indicator(1, name="not what it was")))[stix_id(1)]
    again = dict(reversed(indicator(1).items()))
    assert post(node, "alpha", again, later)["failure_count"] == 0
    assert node.get(f"{HUB}{stix_id(1)}/", "beta", {"match[version]": "all"}).objects == [again, later]


def test_5_7_delete_of_named_versions(node: TaxiiNode) -> None:
    """§5.7: match[version] says which versions go; the latest that is left is current again."""
    for month in (1, 2, 3):
        post(node, "alpha", indicator(1, f"2026-0{month}-01T00:00:00.000Z"))
    path = f"{HUB}{stix_id(1)}/"
    assert node.request("DELETE", path, "alpha", {"match[version]": "last,2026-01-01T00:00:00Z"}).status == 200
    assert node.get(f"{path}versions/", "alpha").json["versions"] == ["2026-02-01T00:00:00.000Z"]
    assert [one["modified"] for one in node.get(HUB, "alpha").objects] == ["2026-02-01T00:00:00.000Z"]
    assert node.request("DELETE", path, "alpha", {"match[version]": "2020-01-01T00:00:00Z"}).status == 404


def test_an_inbox_hands_over_and_keeps_nothing(node: TaxiiNode) -> None:
    """An inbox passes what it took, byte for byte with its sender, reports what was refused, and shows nothing."""
    node.inbox.refuse = lambda received: "not wanted" if received.id == stix_id(2) else None
    status = post(node, "beta", indicator(1), indicator(2), path=BOX)
    assert messages(status) == {stix_id(2): "not wanted"}
    assert [(alias, account, json.loads(raw)) for alias, account, raw in node.inbox.taken] == [
        ("box", "beta", indicator(1))
    ]
    assert node.get(BOX, "beta").status == 403
    assert node.writer.execute("SELECT count(*) FROM entry").fetchone() == (0,)


def test_s19_an_object_from_the_future_stalls_nobody(node: TaxiiNode, clock: FixedClock) -> None:
    """S19: no entry is ever dated before its object's `modified`, which XSOAR takes for its next added_after."""
    post(node, "alpha", indicator(1, "2026-03-01T12:00:00.000Z"), indicator(2, "2030-01-01T00:00:00.000Z"))
    listed = node.get("/api/collections/hub/manifest/", "alpha").objects
    assert [one["id"] for one in listed] == [stix_id(1)]
    assert all(one["version"][:-1] <= one["date_added"][:-1] for one in listed)


def too_much(count: int) -> bytes:
    return b'{"objects":[' + b",".join([b"{}"] * count) + b"]}"


def test_a_body_of_tiny_objects_is_refused(node: TaxiiNode) -> None:
    """A body of more objects than a status can name is 413, before each of them gets an outcome."""
    answer: Answer = node.request("POST", HUB, "alpha", body=too_much(60_000))
    assert answer.status == 413
    assert node.request("POST", HUB, "alpha", body=too_much(3_000_000)).status == 413
