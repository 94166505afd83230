"""What an account may post a day: counted in the store, the same for every worker and after a restart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from clocks import FixedClock
from taxii_node import Answer, TaxiiNode, indicator
from threatshare.model import CollectionKind
from threatshare.share.settings import ServeSettings
from threatshare.store.connection import transaction
from threatshare.store.quotas import DAY, Amount, charge, posted_today, set_quota

SETTINGS = replace(ServeSettings(), daily=Amount(objects=10, bytes=20_000))


@pytest.fixture
def node(tmp_path: Path) -> Iterator[TaxiiNode]:
    with TaxiiNode(tmp_path, SETTINGS) as made:
        made.collection("hub", CollectionKind.EXCHANGE)
        made.collection("box", CollectionKind.INBOX)
        for name in ("north", "south"):
            made.account(name, read=["hub"], write=["hub", "box"])
        yield made


def post(node: TaxiiNode, numbers: range, account: str = "north", alias: str = "hub", pad: int = 0) -> Answer:
    body = {"objects": [indicator(number, description="x" * pad) for number in numbers]}
    return node.request("POST", f"/api/collections/{alias}/objects/", account, body=body)


@pytest.mark.parametrize("alias", ["hub", "box"])
def test_objects_beyond_the_day_are_429_with_the_time_to_wait(node: TaxiiNode, alias: str) -> None:
    """What no longer fits into the day's quota is refused whole, until midnight; less that fits is still taken."""
    assert post(node, range(8), alias=alias).status == 202
    refused = post(node, range(8, 11), alias=alias)
    now = node.clock()
    midnight = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    left = (midnight - now).total_seconds()
    assert refused.status == 429
    assert refused.headers["Content-Type"].startswith("application/taxii+json")
    assert left <= int(refused.headers["Retry-After"]) <= left + 1
    assert "10 objects" in refused.json["description"]
    assert post(node, range(8, 10), alias=alias).status == 202
    assert post(node, range(1), "south", alias).status == 202, "each account has its own"


def test_bytes_are_counted_too(node: TaxiiNode) -> None:
    """The size of bodies counts, whatever they hold."""
    assert post(node, range(1), pad=15_000).status == 202
    assert post(node, range(1, 2), pad=6_000).status == 429


def test_what_no_day_would_hold_is_413(node: TaxiiNode) -> None:
    """A body that is larger than a whole day's quota can never be taken: 413, so that nobody waits to send it again."""
    assert post(node, range(11)).status == 413
    assert post(node, range(1), pad=20_000).status == 413
    assert posted_today(node.writer, "north", node.now) == Amount(0, 0), "what was refused does not count"


def test_a_new_day_begins_at_midnight(node: TaxiiNode) -> None:
    """After midnight UTC, when Retry-After has passed, the whole quota is there again."""
    assert post(node, range(10)).status == 202
    wait = int(post(node, range(1)).headers["Retry-After"])
    assert isinstance(node.clock, FixedClock)
    node.clock.advance(seconds=wait)
    assert post(node, range(10, 20)).status == 202


def test_a_request_from_before_midnight_does_not_bring_the_day_back(node: TaxiiNode) -> None:
    """What is counted after midnight of a request from before it counts on the new day, whose count goes on."""
    quota, half = Amount(10, 20_000), Amount(5, 5)
    before = (node.now // DAY + 1) * DAY - 1
    with transaction(node.writer) as conn:
        counted = [charge(conn, "north", half, quota, when) for when in (before, before + 2, before, before + 2)]
        assert counted == [True, True, True, False]
        assert posted_today(conn, "north", before + 2) == Amount(10, 10)
        assert charge(conn, "north", half, quota, before - 3 * DAY), "a clock that was days ahead shuts nobody out"


def test_workers_and_restarts_agree(node: TaxiiNode) -> None:
    """Another worker, or the same after a restart, goes on counting where the last one was."""
    assert post(node, range(6)).status == 202
    other = node.make_app()
    try:
        body = {"objects": [indicator(number) for number in range(6, 11)]}
        assert node.request("POST", "/api/collections/hub/objects/", "north", body=body, app=other).status == 429
    finally:
        other.close()


def test_what_is_refused_by_object_counts(node: TaxiiNode) -> None:
    """Objects that are not taken count as well, since each is kept aside with its reason."""
    node.inbox.refuse = lambda _: "no"
    assert post(node, range(10), alias="box").json["failure_count"] == 10
    assert post(node, range(1), alias="box").status == 429


def test_an_account_can_have_its_own(node: TaxiiNode) -> None:
    """A quota set for one account holds at once, more or less than everybody's, and 0 lets it post nothing."""
    with transaction(node.writer):
        set_quota(node.writer, "north", 30, 100_000)
        set_quota(node.writer, "south", 0, None)
    assert post(node, range(25)).status == 202
    assert post(node, range(1), "south").status == 413
    with transaction(node.writer):
        set_quota(node.writer, "south", None, None)
    assert post(node, range(1), "south").status == 202
