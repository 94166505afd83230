"""Every answer that a partner's server may give to an envelope, each over a real connection."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from builders import make_indicator
from fake_ais import TAXII, FakeAis, Scripted, error
from push_builders import Outbox, numbers, revoked
from threatshare.store.targets import target_state

Json = dict[str, Any]


@pytest.fixture
def ais() -> Iterator[FakeAis]:
    with FakeAis() as server:
        yield server


@pytest.fixture
def outbox(tmp_path: Path, ais: FakeAis) -> Iterator[Outbox]:
    made = Outbox(tmp_path, ais.url)
    yield made
    made.store.close()


def _number(one: Json) -> int:
    return numbers([one["id"]])[0]


def _scripted(status: int, body: Json | None, content_type: str | None = TAXII) -> Scripted:
    return Scripted(status, b"" if body is None else json.dumps(body).encode(), {}, content_type, keep=True)


# --- success, as the standard has it and otherwise -----------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        _scripted(200, {"id": "1", "status": "complete", "success_count": 2, "failure_count": 0, "total_count": 2}),
        _scripted(201, {"id": "1", "status": "complete"}),
        _scripted(202, {"id": 7, "status": "complete", "total_count": "2", "success_count": "2", "failure_count": "0"}),
        _scripted(202, {"id": "x", "status": "COMPLETE", "successes": ["a", "b"], "failures": None}),
        _scripted(202, {"id": "../../../x", "status": "complete"}),
        _scripted(200, {"id": "1", "status": "complete"}, "application/json"),
        _scripted(200, None, None),
        _scripted(204, None, "text/html"),
        _scripted(202, {"message": "thank you"}),
    ],
    ids=str,
)
def test_taken(ais: FakeAis, outbox: Outbox, answer: Scripted) -> None:
    """Any 2xx with a status, however it is written, or with nothing at all, means that the objects were taken."""
    outbox.fill(2)
    ais.script.append(answer)
    report = outbox.push()
    assert (report.status, report.sent, report.accepted, report.failed) == ("ok", 2, 2, 0)
    assert [one.state for one in outbox.delivered] == ["done"]
    assert (outbox.delivered[0].error is not None) == (b"status" not in answer.body)


@pytest.mark.parametrize(
    "answer",
    [
        Scripted(200, b"<html>log in first</html>", {}, "text/html"),
        Scripted(202, b'{"id": "1", "status": "comp', {"Content-Encoding": "br"}),
        Scripted(200, b"ok", {}, "text/plain"),
    ],
    ids=["a proxy's page", "an unknown encoding", "text"],
)
def test_no_receipt(ais: FakeAis, outbox: Outbox, answer: Scripted) -> None:
    """A page that some proxy shows with a 200 is no receipt: the envelope is sent again."""
    outbox.fill(1)
    ais.script.append(answer)
    assert outbox.push().status == "failed"
    assert outbox.delivered[0].state == "sending"
    assert outbox.push().accepted == 1
    assert ais.posts[0] == ais.posts[1]


def test_counts_as_text_and_lists_without_messages(ais: FakeAis, outbox: Outbox) -> None:
    """Counts may be text, details may lack version and message, and ids that we did not send are left out."""
    outbox.fill(3)
    names = [json.loads(body)["id"] for body in outbox.bodies]
    failures: list[Any] = [{"id": names[0]}, names[1], {"id": "indicator--unknown", "message": "?"}, 5, {"version": 1}]
    told = {"id": "1", "status": "complete", "failure_count": "2", "success_count": "1", "failures": failures}
    ais.script.append(_scripted(202, told))
    report = outbox.push()
    assert (report.accepted, report.failed) == (0, 3), "it names three objects as failed, one of them none of ours"
    assert [(row.seq, row.message) for row in outbox.undelivered] == [
        (1, "the server gave no reason"),
        (2, "the server gave no reason"),
    ]


def test_failures_without_a_list(ais: FakeAis, outbox: Outbox) -> None:
    """A server that only counts its failures is believed."""
    outbox.fill(3)
    ais.script.append(_scripted(202, {"id": "1", "status": "complete", "failure_count": 2}))
    report = outbox.push()
    assert (report.accepted, report.failed, outbox.undelivered) == (1, 2, [])


def test_a_status_that_leaves_objects_pending_though_complete(ais: FakeAis, outbox: Outbox) -> None:
    """Objects that a closed status leaves pending are sent once more by a later run, and not for ever."""
    outbox.fill(2)
    names = [json.loads(body)["id"] for body in outbox.bodies]
    told = {"id": "1", "status": "complete", "pending_count": 1, "pendings": [{"id": names[1], "message": "soon"}]}
    ais.script.extend([_scripted(202, told)] * 20)
    reports = [outbox.push() for _ in range(9)]
    assert [report.sent for report in reports] == [2, 1, 1, 1, 1, 0, 0, 0, 0]
    assert [(row.kind, row.message, row.tries) for row in outbox.undelivered] == [("pending", "soon", 5)]


def test_a_pending_status_without_an_id(ais: FakeAis, outbox: Outbox) -> None:
    """A status that cannot be asked for again is settled with what it says, and that is told."""
    outbox.fill(2)
    ais.script.append(_scripted(202, {"status": "pending", "pending_count": 2}))
    report = outbox.push()
    assert (report.status, report.accepted, report.pending) == ("ok", 2, 0)
    assert "no id" in str(outbox.delivered[0].error)


def test_two_versions_in_one_envelope(ais: FakeAis, outbox: Outbox) -> None:
    """A failure counts for the version that it names, however that is written."""
    one = make_indicator(1)
    later = one | {"confidence": 9, "modified": "2026-03-01T12:00:30.500000Z"}
    outbox.add(one, later)
    told = {"id": "1", "status": "complete", "failures": [{"id": one["id"], "version": "2026-03-01T12:00:30.5Z"}]}
    ais.script.append(_scripted(202, told))
    outbox.push()
    assert [row.seq for row in outbox.undelivered] == [2]


# --- refusals ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 307, 308, 401, 403, 404, 405, 406, 407, 409, 410, 415, 418, 451])
def test_refusals_park_the_target(ais: FakeAis, outbox: Outbox, status: int) -> None:
    """What waiting does not mend parks the target with the server's words; nothing counts as delivered."""
    outbox.fill(2)
    answer = error(status, "ask \x07 us", Location=f"{ais.base}/elsewhere/")
    ais.script.append(answer)
    report = outbox.push()
    assert (report.status, report.sent, report.waiting) == ("parked", 0, 2)
    assert f"HTTP {status}; Refused: ask us" in str(report.error)
    state = target_state(outbox.store.conn, "north")
    assert state is not None
    assert state.parked == outbox.target().fingerprint
    assert (outbox.delivered, [path for _, path in ais.asked if "elsewhere" in path]) == ([], [])
    outbox.change(user="me")
    assert state.parked != outbox.target().fingerprint, "a change ends it"
    assert outbox.push().accepted == 2
    state = target_state(outbox.store.conn, "north")
    assert state is not None
    assert (state.parked, state.failures) == (None, 0)


def test_what_was_refused_as_a_whole_may_be_withdrawn_before_it_is_sent(ais: FakeAis, outbox: Outbox) -> None:
    """A refused envelope is nowhere: what is withdrawn before the next try never leaves."""
    one = make_indicator(1)
    outbox.add(one)
    ais.script.append(error(403))
    outbox.push()
    outbox.add(revoked(one))
    assert outbox.push().withheld == 2
    assert ais.taken == []


@pytest.mark.parametrize("status", [413, 400, 422])
def test_too_much_at_once_is_halved(ais: FakeAis, outbox: Outbox, status: int) -> None:
    """An envelope that is refused whole is halved until it is taken, in order, and nothing is lost."""
    outbox.fill(8)
    ais.script.extend([error(status), error(status)])
    report = outbox.push()
    assert (report.status, report.accepted, report.failed) == ("ok", 8, 0)
    tried = [len(json.loads(body)["objects"]) for body in ais.posts][:3]
    assert tried == ([8, 4, 2] if status != 413 else [8, 3, 1]), "by number, or by bytes"
    assert numbers(ais.ids) == list(range(1, 9))
    ends = [(one.first_seq, one.last_seq) for one in outbox.delivered]
    assert [first for first, _ in ends] == [1, *(last + 1 for _, last in ends[:-1])]


@pytest.mark.parametrize("status", [400, 422])
def test_one_bad_object_is_found(ais: FakeAis, outbox: Outbox, status: int) -> None:
    """Where one object makes a server refuse all, it is found, kept with the reason, and the others arrive in order."""

    class Picky(list[Scripted]):
        """Refuses every envelope that holds the fifth object."""

        def __bool__(self) -> bool:
            return any(_number(one) == 5 for one in json.loads(ais.posts[-1])["objects"])

        def popleft(self) -> Scripted:
            return error(status, "indicator 5 is bad")

    ais.script = Picky()  # type: ignore[assignment]
    outbox.fill(9)
    report = outbox.push()
    assert (report.status, report.accepted, report.failed, report.waiting) == ("ok", 8, 1, 0)
    assert numbers(ais.ids) == [1, 2, 3, 4, 6, 7, 8, 9]
    assert [(row.seq, row.kind, row.message) for row in outbox.undelivered] == [
        (5, "refused", f"HTTP {status}: Refused: indicator 5 is bad")
    ]
    assert len(ais.posts) < 16


def test_a_server_that_refuses_everything_is_left_alone(ais: FakeAis, outbox: Outbox) -> None:
    """After ten single objects in a row that were refused, no more are tried."""
    outbox.fill(100)
    ais.script.extend([error(422)] * 200)
    report = outbox.push()
    assert (report.status, report.failed, report.waiting) == ("parked", 10, 90)
    assert len(ais.posts) < 20
    ais.script.clear()
    report = outbox.push(retry_failed=True)
    assert (report.status, report.accepted) == ("ok", 100)
    assert sorted(numbers(ais.ids)) == list(range(1, 101))


def test_a_single_object_that_is_too_large_for_the_server(ais: FakeAis, outbox: Outbox) -> None:
    """A 413 for an object alone keeps it with its reason and goes on."""
    outbox.fill(2)
    outbox.change(max_objects=1)
    ais.script.append(error(413))
    report = outbox.push()
    assert (report.status, report.accepted, report.failed) == ("ok", 1, 1)
    assert [(row.seq, row.kind) for row in outbox.undelivered] == [(1, "too-large")]


def test_halving_a_repetition_loses_nothing(ais: FakeAis, outbox: Outbox) -> None:
    """Repeated objects whose envelope is too much at once are repeated in parts."""
    ais.refuse = lambda one: "no"
    outbox.fill(4)
    outbox.push()
    ais.refuse = lambda one: None
    ais.script.append(error(413))
    assert outbox.push(retry_failed=True).accepted == 4
    assert (numbers(ais.ids), outbox.undelivered) == ([1, 2, 3, 4] * 2, [])


# --- not now -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("as_date", [False, True])
def test_retry_after_is_obeyed(ais: FakeAis, outbox: Outbox, status: int, as_date: bool) -> None:
    """A server that asks to be called later is not called before, whether it says seconds or a date."""
    outbox.fill(1)
    # The server tells the real date beside it, by which its date is read: our clock may show anything.
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=600), usegmt=True)
    ais.script.append(error(status, Retry_After=until if as_date else "600"))
    report = outbox.push()
    assert (report.status, report.waiting) == ("waiting", 1)
    calls = len(ais.asked)
    waited = 0
    while (again := outbox.push()).status == "waiting":
        assert len(ais.asked) == calls
        waited += 1
    assert (again.status, again.accepted) == ("ok", 1)
    assert waited in (9, 10)


def test_a_short_wait_is_waited_for(ais: FakeAis, outbox: Outbox) -> None:
    """A wait of seconds is waited for within the run, a few times."""
    outbox.fill(1)
    ais.script.extend([error(429, Retry_After="3")] * 2)
    assert outbox.push().accepted == 1
    assert outbox.pause.slept == [3.0, 3.0]
    outbox.fill(1, first=2)
    ais.script.extend([error(429, Retry_After="3")] * 50)
    assert outbox.push().status == "waiting"
    assert len(ais.posts) == 3 + 6


@pytest.mark.parametrize("status", [500, 502, 504, 507, 408, 425])
def test_faults_of_the_server_are_tried_again(ais: FakeAis, outbox: Outbox, status: int) -> None:
    """After a fault of the server the run ends, and the next sends the same envelope."""
    outbox.fill(1)
    ais.script.append(error(status))
    report = outbox.push()
    assert (report.status, report.waiting) == ("failed", 1)
    state = target_state(outbox.store.conn, "north")
    assert state is not None
    assert (state.failures, state.parked) == (1, None)
    assert outbox.delivered[0].error is not None
    assert outbox.push().accepted == 1


@pytest.mark.parametrize(("status", "what"), [(500, "failed"), (401, "parked"), (503, "waiting"), (404, "ok")])
def test_answers_to_a_question_for_a_status(ais: FakeAis, outbox: Outbox, status: int, what: str) -> None:
    """What goes wrong while a status is asked for is told, and the envelope is never sent again for it."""
    ais.slow = 3
    outbox.fill(1)
    real = ais._get
    ais._get = lambda target: (status, {"title": "no"}) if "/status/" in target else real(target)  # type: ignore[method-assign]
    report = outbox.push()
    assert (report.status, report.sent) == (what, 1)
    assert len(ais.posts) == 1


def test_a_server_that_is_away(tmp_path: Path) -> None:
    """Where nobody listens, nothing is written down as sent."""
    with FakeAis() as gone:
        url = gone.url
    outbox = Outbox(tmp_path, url)
    outbox.fill(1)
    report = outbox.push()
    assert (report.status, report.waiting, outbox.delivered) == ("failed", 1, [])
    outbox.store.close()
