"""What answers to envelopes mean, without any connection."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threatshare.feeds.taxii_status import MAX_SAID, Outcome, Status, cleaned, complaint, read_status
from threatshare.share.push_answers import Ruling, advice, forgotten, refused_alone, ruling, settled
from threatshare.store.deliveries import PENDING, REFUSED, TOO_LARGE, Undelivered

CONTENTS = [(4, "indicator--a", 10), (5, "indicator--b", 20), (7, "indicator--a", 30)]


@pytest.mark.parametrize(
    ("status", "wanted"),
    [
        (300, Ruling.PARK),
        (308, Ruling.PARK),
        (400, Ruling.APART),
        (401, Ruling.PARK),
        (408, Ruling.LATER),
        (413, Ruling.SMALLER),
        (422, Ruling.APART),
        (425, Ruling.LATER),
        (499, Ruling.PARK),
        (500, Ruling.LATER),
        (599, Ruling.LATER),
    ],
)
def test_rulings(status: int, wanted: Ruling) -> None:
    """Each status has its ruling, those that nobody has heard of too."""
    assert ruling(status) is wanted


def test_advice() -> None:
    """What a person can do about it is said where it is known."""
    assert "redirects" in advice(307)
    assert "certificate" in advice(401)
    assert advice(418) == ""


def test_no_status_means_taken() -> None:
    """A server that says nothing of its objects has taken them, and that it said nothing is kept."""
    said = settled(CONTENTS, None)
    assert (said.state, said.accepted, said.pending, said.failed) == ("done", 3, 0, 0)
    assert said.error is not None


def test_a_failure_counts_for_its_version() -> None:
    """A failure that names a version counts for it alone; one that names none, for all of them."""
    one = Status("1", True, 1, 0, (Outcome("indicator--a", 30, "no"),))
    assert [row.seq for row in settled(CONTENTS, one).remarks] == [7]
    both = Status("1", True, 1, 0, (Outcome("indicator--a", None, "no"),))
    assert [row.seq for row in settled(CONTENTS, both).remarks] == [4, 7]
    unlike = Status("1", True, 1, 0, (Outcome("indicator--a", 99, "no"),))
    assert [row.seq for row in settled(CONTENTS, unlike).remarks] == [4, 7]


def test_failed_and_pending_is_failed() -> None:
    """What is named as failed and as pending has failed."""
    status = Status("1", False, 1, 1, (Outcome("indicator--b", 20, "no"),), (Outcome("indicator--b", 20, "soon"),))
    said = settled(CONTENTS, status)
    assert [(row.seq, row.kind) for row in said.remarks] == [(5, REFUSED)]
    assert (said.state, said.failed, said.pending) == ("pending", 1, 1)


_outcomes = st.lists(
    st.builds(
        Outcome,
        st.sampled_from(["indicator--a", "indicator--b", "indicator--c"]),
        st.sampled_from([None, 10, 20, 30, 99]),
        st.sampled_from(["", "no"]),
    ),
    max_size=5,
).map(tuple)
_counts = st.integers(0, 9)


@given(st.booleans(), st.sampled_from([None, "x"]), _counts, _counts, _outcomes, _outcomes)
def test_counts_add_up(
    complete: bool,
    name: str | None,
    failed: int,
    pending: int,
    failures: tuple[Outcome, ...],
    pendings: tuple[Outcome, ...],
) -> None:
    """Whatever a server says, accepted, pending and failed add up to the envelope, and remarks are of its objects."""
    status = Status(name, complete, max(failed, len(failures)), max(pending, len(pendings)), failures, pendings)
    said = settled(CONTENTS, status)
    assert said.accepted + said.pending + said.failed == len(CONTENTS)
    assert min(said.accepted, said.pending, said.failed) >= 0
    assert (said.state == "pending") == (not complete and name is not None)
    seqs = [row.seq for row in said.remarks]
    assert seqs == sorted(set(seqs))
    assert {(row.seq, row.object_id, row.version) for row in said.remarks} <= set(CONTENTS)
    assert all(row.message for row in said.remarks)


def test_a_forgotten_status_leaves_what_was_said_last() -> None:
    """What was refused stays refused, what was pending stays pending, all else counts as taken."""
    remarks = [Undelivered(4, "indicator--a", 10, REFUSED, "no"), Undelivered(5, "indicator--b", 20, PENDING, "soon")]
    said = forgotten(CONTENTS, remarks)
    assert (said.state, said.accepted, said.pending, said.failed, said.remarks) == ("done", 1, 1, 1, remarks)


def test_refused_alone() -> None:
    """An object that was refused by itself is kept with the reason."""
    said = refused_alone(CONTENTS[:1], TOO_LARGE, "HTTP 413")
    assert (said.state, said.accepted, said.failed) == ("failed", 0, 1)
    assert said.remarks[0].kind == TOO_LARGE


# --- status and error resources ------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{}", b'"x"', b"\xff", b"[" * 100_000, b'{"id": "1"}', b"{"])
def test_no_status_resource(body: bytes) -> None:
    """What is no status resource is none, and no fault."""
    assert read_status(body) is None


@pytest.mark.parametrize(
    ("told", "complete"),
    [
        ({"status": "complete"}, True),
        ({"status": " Complete "}, True),
        ({"status": "pending", "pending_count": 0}, False),
        ({"status": "done", "pending_count": "0"}, True),
        ({"status": "working", "pending_count": "2"}, False),
        ({"failure_count": 0}, True),
    ],
)
def test_completeness(told: dict[str, Any], complete: bool) -> None:
    """The two words of the standard are believed; for any other the counts decide."""
    found = read_status(json.dumps({"id": "1"} | told).encode())
    assert found is not None
    assert found.complete is complete


@pytest.mark.parametrize(
    ("given_id", "kept"),
    [("a-1", "a-1"), (17, "17"), ("", None), ("../x", None), ("a/b", None), ("a?b", None), ("x" * 200, None)],
)
def test_ids_that_lead_elsewhere(given_id: object, kept: str | None) -> None:
    """An id becomes part of an address: what could lead elsewhere is no id."""
    found = read_status(json.dumps({"id": given_id, "status": "pending"}).encode())
    assert found is not None
    assert found.id == kept


def test_messages_are_cleaned() -> None:
    """Control and direction characters do not reach our store, nor do novels."""
    body = {"status": "complete", "failures": [{"id": "a\x1b[2J", "message": "x\u202e\n" * 1_000}]}
    found = read_status(json.dumps(body).encode())
    assert found is not None
    assert found.failures[0].object_id == "a [2J"
    assert len(found.failures[0].message) <= MAX_SAID
    assert found.failures[0].message.isprintable()
    assert cleaned("a\t\r\n b") == "a b"


def test_complaints() -> None:
    """An error resource is told in one line; a page in HTML is not."""
    told = {"title": "Bad", "description": "line 1\nline 2", "error_code": 7, "details": {"deep": []}}
    assert complaint(json.dumps(told).encode()) == "Bad: line 1 line 2 (7)"
    assert complaint(b"<html>") == ""
    assert complaint(b'{"title": ["odd"]}') == ""
