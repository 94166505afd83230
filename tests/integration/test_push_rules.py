"""What may leave by push: only what the gate would clear under the rules of this moment."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from builders import (
    DAY,
    NOW,
    dump,
    find,
    ip,
    let_out,
    make_agreement,
    make_indicator,
    make_outlet,
    with_terms,
)
from fake_ais import FakeAis, Scripted
from push_builders import Outbox, revoked
from threatshare.policy.agreements import Outbound
from threatshare.share.push import preview
from threatshare.store.targets import target_state


@pytest.fixture
def ais() -> Iterator[FakeAis]:
    with FakeAis() as server:
        yield server


@pytest.fixture
def outbox(tmp_path: Path, ais: FakeAis) -> Iterator[Outbox]:
    made = Outbox(tmp_path, ais.url)
    yield made
    made.store.close()


def test_nothing_leaves_that_was_cleared_under_other_rules(ais: FakeAis, outbox: Outbox) -> None:
    """Once the agreement is tightened nothing leaves before publishing has looked at all of it again."""
    agreed = make_agreement("north", "green")
    find(outbox.store, ip("45.66.77.1"), ip("45.66.77.2"))
    outbox.agreement = agreed
    let_out(outbox.store, make_outlet(outbox.collection, agreed))
    outbox.change(max_objects=2)
    first = outbox.push(progress=lambda _: False)
    assert (first.sent, first.waiting) == (2, 1)
    outbox.agreement = with_terms(agreed, outbound=Outbound("clear", ("indicator",)))
    report = outbox.push()
    assert (report.status, report.sent, report.waiting) == ("held", 0, 1)
    assert "threatshare publish" in str(report.error)
    dry = preview(outbox.store, outbox.target())
    assert (dry.status, dry.waiting) == ("held", 1)
    assert len(ais.taken) == 2
    state = target_state(outbox.store.conn, "north")
    assert state is not None
    assert (state.failures, state.parked) == (0, None)
    let_out(outbox.store, make_outlet(outbox.collection, outbox.agreement, now=NOW + DAY))
    assert outbox.push().status == "ok"
    sent = [(one["type"], one["id"], one.get("revoked", False)) for one in ais.taken]
    indicators = [one for one in sent if one[0] == "indicator"]
    assert len({name for _, name, _ in indicators}) == 1, "the other indicator never left, nor its withdrawal"
    assert [revoked_now for _, _, revoked_now in indicators] == [False, True]


def test_a_preview_changes_nothing(ais: FakeAis, outbox: Outbox) -> None:
    """A dry run counts what would be sent and passed over, calls nobody and leaves the store as it was."""
    one = make_indicator(1)
    outbox.add(one, make_indicator(2), make_indicator(3))
    outbox.add(revoked(one))
    before = dump(outbox.store.conn)
    dry = preview(outbox.store, outbox.target())
    assert (dry.status, dry.sent, dry.waiting, dry.withheld) == ("dry-run", 0, 2, 2)
    assert (dump(outbox.store.conn), ais.asked) == (before, [])
    ais.script.extend([Scripted(0, hang_up=True)] * 2)
    outbox.push()
    outbox.fill(1, first=4)
    assert preview(outbox.store, outbox.target()).waiting == 3, "what may have been lost is sent again"


def test_rules_that_change_within_a_run(ais: FakeAis, outbox: Outbox) -> None:
    """A run that is under way stops where publishing begins to look at everything under other rules."""
    agreed = make_agreement("north", "green")
    find(outbox.store, ip("45.66.77.1"), ip("45.66.77.2"), ip("45.66.77.3"))
    outbox.agreement = agreed
    let_out(outbox.store, make_outlet(outbox.collection, agreed))
    outbox.change(max_objects=1)
    tightened = with_terms(agreed, outbound=Outbound("clear", ("indicator",)))

    def publish_once(sent: int) -> bool:
        if sent == 2:
            let_out(outbox.store, make_outlet(outbox.collection, tightened, now=NOW + DAY))
        return True

    report = outbox.push(progress=publish_once)
    assert (report.status, report.sent) == ("held", 2)
    outbox.agreement = tightened
    assert outbox.push().status == "ok"
    left = {one["id"] for one in ais.taken if one["type"] == "indicator" and not one.get("revoked")}
    withdrawn = {one["id"] for one in ais.taken if one.get("revoked")}
    assert left == withdrawn
    assert len(left) < 3


def test_no_agreement_no_push(ais: FakeAis, outbox: Outbox) -> None:
    """Where the agreement is gone or over, nothing that it had cleared leaves."""
    agreed = make_agreement("north", "green")
    find(outbox.store, ip("45.66.77.1"))
    let_out(outbox.store, make_outlet(outbox.collection, agreed))
    for gone in (None, with_terms(agreed, expires_on=date(2026, 1, 2))):
        outbox.agreement = gone
        assert outbox.push().status == "held"
    assert ais.posts == []
    outbox.agreement = agreed
    assert outbox.push().sent == 2
