"""Delivering a partner's collection to its server: order, bytes, limits, statuses."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders import (
    make_indicator,
    make_store,
)
from clocks import FixedClock
from fake_ais import HOST, INGEST, PUBLIC, TAXII, FakeAis, Scripted, error, make_pki
from push_builders import Outbox, numbers, revoked, versioned
from threatshare.feeds.access import Access
from threatshare.feeds.egress import Limits
from threatshare.feeds.session import PartnerSession
from threatshare.feeds.taxii import TaxiiFeed
from threatshare.share.push_target import PushReport
from threatshare.store.parcels import envelope


@pytest.fixture
def ais() -> Iterator[FakeAis]:
    """The partner's server, in clear text; TLS has tests of its own."""
    with FakeAis() as server:
        yield server


@pytest.fixture
def outbox(tmp_path: Path, ais: FakeAis) -> Iterator[Outbox]:
    """Our side, nothing in it yet."""
    made = Outbox(tmp_path, ais.url)
    yield made
    made.store.close()


def test_entries_leave_in_order_as_they_were_cleared(ais: FakeAis, outbox: Outbox) -> None:
    """Every entry is sent once, in sequence, byte for byte, to the writable collection in whatever root it is."""
    outbox.fill(7)
    outbox.change(max_objects=3)
    report = outbox.push()
    assert (report.status, report.sent, report.accepted, report.waiting) == ("ok", 7, 7, 0)
    assert ais.posts == [envelope(outbox.bodies[start : start + 3]) for start in (0, 3, 6)]
    assert numbers(ais.ids) == [1, 2, 3, 4, 5, 6, 7]
    assert {path for verb, path in ais.asked if verb == "POST"} == {f"/ingest/collections/{INGEST}/objects/"}
    assert ais.headers[0]["content-type"] == ais.headers[0]["accept"] == TAXII
    assert [(one.first_seq, one.last_seq, one.state) for one in outbox.delivered] == [
        (1, 3, "done"),
        (4, 6, "done"),
        (7, 7, "done"),
    ]


def test_only_what_is_new_leaves_later(ais: FakeAis, outbox: Outbox) -> None:
    """A later run sends only what was added since; where there is nothing, nobody is called."""
    outbox.fill(2)
    outbox.push()
    calls = len(ais.asked)
    assert (outbox.push().status, len(ais.asked)) == ("ok", calls)
    outbox.fill(1, first=3)
    assert outbox.push().sent == 1
    assert numbers(ais.ids) == [1, 2, 3]


def test_withdrawals_go_the_same_way(ais: FakeAis, outbox: Outbox) -> None:
    """A revoked version of what the partner has is an entry like any other."""
    one = make_indicator(1)
    outbox.add(one)
    outbox.push()
    outbox.add(revoked(one))
    assert outbox.push().accepted == 1
    assert [thing.get("revoked", False) for thing in ais.taken] == [False, True]


def test_what_was_withdrawn_before_it_was_sent_stays_here(ais: FakeAis, outbox: Outbox) -> None:
    """Neither an object that was taken back in the meantime nor its withdrawal, which would tell it, leaves."""
    one, two = make_indicator(1), make_indicator(2)
    outbox.add(one, two)
    outbox.add(revoked(one))
    report = outbox.push()
    assert (report.sent, report.withheld, report.waiting) == (1, 2, 0)
    assert ais.taken == [two]
    assert [(row.seq, row.kind) for row in outbox.undelivered] == [(1, "withdrawn"), (3, "withdrawn")]


def test_a_withdrawal_follows_what_may_have_arrived(ais: FakeAis, outbox: Outbox) -> None:
    """Where it is not known whether an object arrived, its envelope is sent again, and its withdrawal after it."""
    one = make_indicator(1)
    outbox.add(one)
    # A connection that is closed just as it is used again is tried once more.
    ais.script.extend([Scripted(0, hang_up=True)] * 2)
    assert outbox.push().status == "failed"
    outbox.add(revoked(one))
    assert outbox.push().sent == 2
    assert [thing.get("revoked", False) for thing in ais.taken] == [False, True]


def test_a_withdrawal_follows_what_a_partial_refusal_may_have_left_there(ais: FakeAis, outbox: Outbox) -> None:
    """Servers that refuse an envelope for one object may have kept others of it: their withdrawals go."""
    one, two = make_indicator(1), make_indicator(2)
    outbox.add(one, two)
    ais.script.extend([error(422), error(500)])
    assert outbox.push().status == "failed"
    outbox.add(revoked(two))
    assert outbox.push().status == "ok"
    assert [(numbers([thing["id"]])[0], thing.get("revoked", False)) for thing in ais.taken] == [(1, False), (2, True)]
    assert [(row.seq, row.kind) for row in outbox.undelivered] == [(2, "overtaken")]


def test_versions_between_are_not_sent_once_the_object_is_withdrawn(ais: FakeAis, outbox: Outbox) -> None:
    """A version that the partner never had and that is withdrawn stays here; the withdrawal of what it had goes."""
    one = make_indicator(1)
    outbox.add(one)
    outbox.push()
    outbox.add(versioned(one))
    outbox.add(revoked(one))
    outbox.push()
    assert [thing.get("revoked", False) for thing in ais.taken] == [False, True]
    assert [(row.seq, row.kind) for row in outbox.undelivered] == [(2, "withdrawn")]


def test_envelopes_keep_both_limits(ais: FakeAis, outbox: Outbox) -> None:
    """No envelope is larger than the smaller of our limit and the root's, to the byte."""
    outbox.fill(10)
    one = len(outbox.bodies[0])
    ais.max_content_length = len(b'{"objects":[]}') + 3 * one + 2
    outbox.push()
    assert [len(json.loads(body)["objects"]) for body in ais.posts] == [3, 3, 3, 1]
    assert max(map(len, ais.posts)) == ais.max_content_length
    outbox.change(max_content_length=ais.max_content_length - 1)
    outbox.fill(4, first=11)
    outbox.push()
    assert [len(json.loads(body)["objects"]) for body in ais.posts[4:]] == [2, 2]


def test_an_object_that_no_envelope_holds_is_kept_and_passed_over(ais: FakeAis, outbox: Outbox) -> None:
    """An entry over the limit by itself stops nothing; it is kept with its reason, and goes when it fits."""
    ais.max_content_length = 2_000
    outbox.add(make_indicator(1), make_indicator(2, description="x" * 3_000), make_indicator(3))
    report = outbox.push()
    assert (report.status, report.sent, report.withheld) == ("ok", 2, 1)
    assert numbers(ais.ids) == [1, 3]
    (row,) = outbox.undelivered
    assert (row.seq, row.kind) == (2, "too-large")
    assert "an envelope may have 2000" in row.message
    ais.max_content_length = 10_000
    assert outbox.push().sent == 0
    assert outbox.push(retry_failed=True).accepted == 1
    assert (numbers(ais.ids), outbox.undelivered) == ([1, 3, 2], [])


@pytest.mark.parametrize("stated", [None, "1000000", 0, "much"])
def test_a_root_that_states_no_proper_limit(ais: FakeAis, outbox: Outbox, stated: object) -> None:
    """A missing or odd max_content_length stops nothing."""
    outbox.fill(1)
    root = ais.max_content_length
    ais.max_content_length = stated
    ais.script.append(Scripted(200, b""))
    assert outbox.push().status == "ok"
    ais.max_content_length = root


def test_failures_are_kept_per_object_and_not_repeated(ais: FakeAis, outbox: Outbox) -> None:
    """An object that the server refuses is kept with the server's words, cleaned; only a person sends it again."""
    ais.refuse = lambda one: "no\x1b[2J\u202e good " + "x" * 900 if numbers([one["id"]]) == [2] else None
    outbox.fill(3)
    report = outbox.push()
    assert (report.status, report.sent, report.accepted, report.failed) == ("ok", 3, 2, 1)
    (row,) = outbox.undelivered
    assert (row.seq, row.kind, row.tries) == (2, "refused", 1)
    assert row.message.startswith("no [2J good xxx")
    assert len(row.message) == 300
    assert outbox.push().sent == 0
    assert (outbox.push(retry_failed=True).failed, outbox.undelivered[0].tries) == (1, 2)
    ais.refuse = lambda one: None
    assert outbox.push(retry_failed=True).accepted == 1
    assert (outbox.undelivered, numbers(ais.ids)) == ([], [1, 2, 3, 2, 2])


def test_a_repetition_never_follows_a_later_version(ais: FakeAis, outbox: Outbox) -> None:
    """What was refused is not sent again once a later version has been sent."""
    one = make_indicator(1)
    ais.refuse = lambda thing: None if thing.get("confidence") else "no"
    outbox.add(one)
    outbox.push()
    outbox.add(versioned(one))
    outbox.push()
    assert outbox.push(retry_failed=True).sent == 0
    assert [thing.get("confidence") for thing in ais.taken] == [None, 99]
    assert [(row.seq, row.kind) for row in outbox.undelivered] == [(1, "overtaken")]


def test_a_slow_status_is_polled_to_its_end(ais: FakeAis, outbox: Outbox) -> None:
    """A pending status is asked for with growing pauses until it is complete, and its failures are kept then."""
    ais.slow = 4
    ais.refuse = lambda one: "no" if numbers([one["id"]]) == [2] else None
    outbox.fill(3)
    report = outbox.push()
    assert (report.status, report.sent, report.accepted, report.failed, report.pending) == ("ok", 3, 2, 1, 0)
    assert outbox.pause.slept == [1.0, 2.0, 4.0, 8.0]
    assert [(row.seq, row.kind) for row in outbox.undelivered] == [(2, "refused")]
    assert len(ais.posts) == 1


def test_a_status_may_stay_pending_for_hours(ais: FakeAis, outbox: Outbox) -> None:
    """What is pending at the deadline is kept, asked for by later runs ever more rarely, and never sent again."""
    ais.slow = 30
    outbox.fill(2)
    outbox.change(status_deadline_seconds=5)
    report = outbox.push()
    assert (report.status, report.sent, report.accepted, report.pending) == ("ok", 2, 0, 2)
    assert {row.kind for row in outbox.undelivered} == {"pending"}
    runs = asked = 0
    while outbox.push().pending:
        runs += 1
        asked = sum("status" in path for _, path in ais.asked)
    assert len(ais.posts) == 1
    assert runs > asked > 10, "every run asked, or none did"
    assert outbox.undelivered == []
    assert (outbox.delivered[0].state, outbox.delivered[0].accepted) == ("done", 2)


def test_new_entries_leave_while_others_are_pending(ais: FakeAis, outbox: Outbox) -> None:
    """A status that stays pending holds nothing up."""
    ais.slow = 1_000
    outbox.change(status_deadline_seconds=0)
    for first in (1, 3, 5):
        outbox.fill(2, first)
        outbox.push()
    assert numbers(ais.ids) == [1, 2, 3, 4, 5, 6]
    assert [one.state for one in outbox.delivered] == ["pending"] * 3


def test_a_server_that_finishes_nothing_is_not_flooded(ais: FakeAis, outbox: Outbox) -> None:
    """No more than a bounded number of envelopes is left with a server that finishes none."""
    ais.slow = 1_000_000
    outbox.fill(100)
    outbox.change(max_objects=1, status_deadline_seconds=0)
    report = outbox.push()
    assert (report.status, report.pending, report.waiting) == ("ok", 64, 36)


def test_a_forgotten_status_settles_what_it_was_about(ais: FakeAis, outbox: Outbox) -> None:
    """A server may forget a status; what it never told the end of is sent once more, which changes nothing there."""
    ais.slow = 1_000
    outbox.fill(2)
    outbox.change(status_deadline_seconds=0)
    outbox.push()
    ais.jobs.clear()
    ais.slow = 0
    report = outbox.push(eager=True)
    assert (report.status, report.pending) == ("ok", 0)
    assert outbox.delivered[0].error is not None
    assert outbox.push().accepted == 2
    assert numbers(ais.ids) == [1, 2, 1, 2]
    assert outbox.undelivered == []


def test_another_destination_begins_anew(ais: FakeAis, outbox: Outbox) -> None:
    """What was delivered to another address is not there: with a new one, everything is delivered."""
    outbox.fill(2)
    outbox.push()
    outbox.change(url=f"{ais.base}/ingest/")
    assert outbox.push().sent == 2
    outbox.change(url=f"{ais.base}/ingest/collections/{INGEST}/")
    assert outbox.push().sent == 2


@pytest.mark.parametrize(
    ("remote", "message"),
    [
        (PUBLIC, "does not let this account write to it"),
        ("nothing", "has no collection 'nothing'"),
    ],
)
def test_a_collection_that_cannot_be_written(ais: FakeAis, outbox: Outbox, remote: str, message: str) -> None:
    """What may not be written to, or is not there, is told with what there is; nothing is sent."""
    outbox.fill(1)
    outbox.change(remote=remote)
    report = outbox.push()
    assert report.status == "failed"
    assert message in str(report.error)
    assert "AIS ingest" in str(report.error)
    assert (ais.posts, outbox.delivered, report.waiting) == ([], [], 1)


def test_a_collection_that_takes_no_stix_21(ais: FakeAis, outbox: Outbox) -> None:
    """A collection of other media types is sent nothing."""
    ais.media_types = ["application/stix+json;version=2.0"]
    outbox.fill(1)
    assert "takes no STIX 2.1" in str(outbox.push().error)
    ais.media_types = ["application/stix+json;version=2.1"]
    assert outbox.push().status == "ok"


def test_a_run_can_be_stopped(ais: FakeAis, outbox: Outbox) -> None:
    """Progress is told after each envelope, and ends the run where it says so; the next goes on."""
    outbox.fill(5)
    outbox.change(max_objects=2)
    told: list[int] = []

    def stop(sent: int) -> bool:
        told.append(sent)
        return False

    report = outbox.push(progress=stop)
    assert (told, report.sent, report.waiting) == ([2], 2, 3)
    assert outbox.push().sent == 3


def test_the_certificate_is_mandatory(tmp_path: Path) -> None:
    """Over TLS both sides show certificates: with ours everything is delivered, without it nothing leaves."""
    pki = make_pki(tmp_path)
    with FakeAis(pki.server) as ais:
        outbox = Outbox(tmp_path, ais.url, ca_file="ca.pem", remote="AIS ingest")
        outbox.fill(3)
        report = outbox.push()
        assert report.status == "failed"
        assert (ais.posts, outbox.delivered) == ([], [])
        outbox.change(client_cert="client.pem")
        assert outbox.push().accepted == 3
        assert "our node" in str(ais.certificates[0]["subject"])
        assert ais.base == f"https://{HOST}:{ais.port}"
        outbox.store.close()


def test_error_answers_do_not_hide_what_was_taken(ais: FakeAis, outbox: Outbox) -> None:
    """After an answer that leaves it open, the same envelope is sent again, byte for byte, whatever came since."""
    outbox.fill(2)
    ais.script.append(Scripted(502, b"<html>", content_type="text/html", keep=True))
    assert outbox.push().status == "failed"
    (row,) = outbox.delivered
    assert (row.state, row.tries) == ("sending", 1)
    outbox.fill(1, first=3)
    report = outbox.push()
    assert (report.status, report.sent) == ("ok", 3)
    assert ais.posts[0] == ais.posts[1] != ais.posts[2]
    assert [(one.first_seq, one.last_seq, one.state) for one in outbox.delivered] == [(1, 2, "done"), (3, 3, "done")]


def test_error_scripts_are_errors() -> None:
    """The fake's error resources are as the standard writes them."""
    assert json.loads(error(422, "why", Retry_After="3").body)["description"] == "why"
    assert error(429, Retry_After="3").headers == {"Retry-After": "3"}


def test_two_processes_at_once(tmp_path: Path, ais: FakeAis, outbox: Outbox) -> None:
    """Where the daemon and a person deliver at the same moment, every entry arrives and is recorded once."""
    outbox.fill(120)
    outbox.change(max_objects=2)
    other = Outbox.__new__(Outbox)
    other.__dict__.update(outbox.__dict__, store=make_store(tmp_path))
    reports: list[PushReport] = []
    threads = [threading.Thread(target=lambda one=one: reports.append(one.push())) for one in (outbox, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    other.store.close()
    assert {report.status for report in reports} <= {"ok", "failed"}
    assert all("another process" in (report.error or "") for report in reports if report.status == "failed")
    assert outbox.push().waiting == 0
    assert [one.state for one in outbox.delivered] == ["done"] * 60
    assert sorted(one.first_seq for one in outbox.delivered) == list(range(1, 121, 2))
    assert set(numbers(ais.ids)) == set(range(1, 121))


def test_what_ais_publishes_can_be_pulled(tmp_path: Path) -> None:
    """The same server is read by a feed, with its certificate and an integer ``next``."""
    pki = make_pki(tmp_path)
    with FakeAis(pki.server) as ais:
        ais.published = [make_indicator(number) for number in range(5)]
        access = Access(client_cert=pki.client_cert, ca_file=pki.ca_file, allow_private_address=True)
        limits = Limits(5.0, 10.0, 1_000_000)

        def open_session() -> PartnerSession:
            return PartnerSession(ais.url, access, limits, clock=FixedClock(), resolve=lambda host, port: ["127.0.0.1"])

        feed = TaxiiFeed("ais", ais.url, PUBLIC, open_session, page_size=2, max_pages=9, clock=FixedClock())
        assert [len(page.objects) for page in feed.pages(None, 0)] == [2, 2, 1]
