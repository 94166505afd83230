"""Delivering under any schedule of answers, failures and kills: nothing is lost, nothing is recorded twice."""

from __future__ import annotations

import json
import tempfile
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import make_indicator
from fake_ais import FakeAis, Scripted, error
from push_builders import Outbox, numbers, revoked, versioned
from threatshare.stix.received import split_envelope
from threatshare.store.connection import Connection
from threatshare.store.embedded import Store
from threatshare.store.targets import TargetState, enter

NIGHTLY = settings.default is not None and settings.default.max_examples >= 10_000


class Killed(BaseException):
    """Ends a run as SIGKILL would: no code of ours sees it."""


class MortalStore(Store):
    """A store whose process dies at a chosen moment: before a transaction begins, or after it is on disk."""

    fuse: int | None = None

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Holds the store for one transaction, if it lives to see it."""
        self._burn()
        with super().writing() as conn:
            yield conn
        self._burn()

    def _burn(self) -> None:
        if self.fuse is not None:
            if self.fuse == 0:
                raise Killed
            self.fuse -= 1


ANSWERS: dict[str, list[Scripted]] = {
    "lost": [Scripted(0, hang_up=True)] * 2,
    "fault": [error(500)],
    "kept, and a fault": [Scripted(502, b"", keep=True)],
    "kept, without a word": [Scripted(200, b"", keep=True)],
    "busy": [error(503, Retry_After="300")],
    "busy for a moment": [error(429, Retry_After="2")],
    "forbidden": [error(403)],
    "too large": [error(413)],
    "unreadable": [error(422)],
    "a proxy's page": [Scripted(200, b"<html>", content_type="text/html")],
}


@dataclass(frozen=True)
class Step:
    """What happens next: objects come, change or are withdrawn; then one run, in which things go wrong."""

    new: int
    changed: tuple[int, ...]
    withdrawn: tuple[int, ...]
    answers: tuple[str | None, ...]
    refused: frozenset[int]
    slow: int
    killed_after: int | None
    retry_failed: bool
    seconds: int


_pick = st.integers(1, 6)
_steps = st.lists(
    st.builds(
        Step,
        new=st.integers(0, 4),
        changed=st.lists(_pick, max_size=2).map(tuple),
        withdrawn=st.lists(_pick, max_size=2).map(tuple),
        answers=st.lists(st.none() | st.sampled_from(sorted(ANSWERS)), max_size=4).map(tuple),
        refused=st.frozensets(_pick, max_size=2),
        slow=st.sampled_from([0, 0, 1, 3, 50]),
        killed_after=st.none() | st.integers(0, 45),
        retry_failed=st.booleans(),
        seconds=st.sampled_from([0, 60, 4_000]),
    ),
    min_size=1,
    max_size=7,
)

Version = tuple[str, str]
"""Object id and ``modified``."""


def _version(one: dict[str, Any]) -> Version:
    return one["id"], one["modified"]


class World:
    """Our side, the partner's, and what must hold between them."""

    def __init__(self, folder: Path, ais: FakeAis) -> None:
        ais.script, ais.refuse, ais.slow = deque(), lambda _: None, 0
        ais.posts.clear()
        ais.taken.clear()
        ais.jobs.clear()
        self.ais = ais
        self.outbox = Outbox(folder, ais.url, MortalStore, max_objects=3, status_deadline_seconds=4)
        self.living: dict[int, dict[str, Any]] = {}
        self.moments = 0

    def add(self, step: Step) -> None:
        """Publishes what a step says; what is withdrawn stays so."""
        fresh = [make_indicator(len(self.living) + number + 1) for number in range(step.new)]
        for one in fresh:
            self.living[numbers([one["id"]])[0]] = one
        self.outbox.add(*fresh)
        for number in (*step.changed, *step.withdrawn):
            current = self.living.get(number)
            if current is not None and not current.get("revoked"):
                self.moments += 1
                change = revoked if number in step.withdrawn else versioned
                self.living[number] = change(current, self.moments)
                self.outbox.add(self.living[number])

    def run(self, step: Step) -> None:
        """Runs the target once as a step says, and checks what must hold at any time."""
        store = self.outbox.store
        assert isinstance(store, MortalStore)
        self.ais.script = deque(one for name in step.answers for one in (ANSWERS[name] if name else [Scripted(0)]))
        # A scripted nothing lets one POST through.
        self.ais.script = deque(one for one in self.ais.script if one.status or one.hang_up)
        self.ais.slow = step.slow
        self.ais.refuse = lambda one: "no" if numbers([one["id"]])[0] in step.refused else None
        withdrawn = {one["id"] for one in self.living.values() if one.get("revoked")}
        reached, sent_before = self.state().reached, len(self.ais.posts)
        self.outbox.clock.advance(seconds=step.seconds)
        store.fuse = step.killed_after
        try:
            self.outbox.push(retry_failed=step.retry_failed)
        except Killed:
            pass
        finally:
            store.fuse = None
        self.check()
        places = {body: place for place, body in enumerate(self.outbox.bodies, 1)}
        for body in self.ais.posts[sent_before:]:
            for raw in split_envelope(body)[0]:
                one = json.loads(raw)
                if one["id"] in withdrawn and not one.get("revoked"):
                    assert places[raw] <= reached, "what was withdrawn left for the first time"

    def state(self) -> TargetState:
        """Gives the target's state."""
        target = self.outbox.target()
        with self.outbox.store.writing() as conn:
            return enter(conn, "north", target.destination, self.outbox.collection.number)

    def check(self) -> None:
        """Checks what must hold at any time."""
        outbox, state = self.outbox, self.state()
        bodies = outbox.bodies
        known = set(bodies)
        for body in self.ais.posts:
            objects = split_envelope(body)[0]
            assert 0 < len(objects) <= 3
            assert set(objects) <= known, "something that is no entry of the collection was sent"
        covered = Counter(
            seq
            for one in outbox.delivered
            if not one.again and one.state != "sending"
            for seq in range(one.first_seq, one.last_seq + 1)
        )
        skipped = {row.seq for row in outbox.undelivered if row.delivery is None}
        assert max(covered.values(), default=1) == 1, "an entry was recorded twice"
        assert covered.keys() | {seq for seq in skipped if seq <= state.position} == set(range(1, state.position + 1))
        for one in outbox.delivered:
            if one.state in ("done", "pending"):
                assert one.accepted + one.pending + one.failed <= one.objects
        self._in_order(bodies)

    def _in_order(self, bodies: list[bytes]) -> None:
        places = {_version(json.loads(body)): place for place, body in enumerate(bodies, 1)}
        newest: dict[str, int] = {}
        seen: set[Version] = set()
        for one in self.ais.taken:
            place = places[_version(one)]
            if _version(one) not in seen:
                assert place > newest.get(one["id"], 0), "an earlier version arrived for the first time after a later"
                newest[one["id"]] = place
            seen.add(_version(one))

    def finish(self) -> None:
        """Lets everything go well until nothing is left, and holds both sides against each other."""
        self.ais.script, self.ais.refuse, self.ais.slow = deque(), lambda _: None, 0
        for job in self.ais.jobs.values():
            job.polls_left = 0
        for _ in range(12):
            self.outbox.clock.advance(hours=2)
            report = self.outbox.push(retry_failed=True)
            self.check()
            quiet = (report.status, report.waiting, report.pending, report.sent, report.failed) == ("ok", 0, 0, 0, 0)
            if quiet:
                break
        else:
            pytest.fail(f"it never came to rest: {report}")
        taken = {_version(one) for one in self.ais.taken}
        left = {row.seq: row.kind for row in self.outbox.undelivered}
        assert set(left.values()) <= {"withdrawn", "overtaken"}
        had = {object_id for object_id, _ in taken}
        for place, body in enumerate(self.outbox.bodies, 1):
            one = json.loads(body)
            assert _version(one) in taken or place in left, "an entry was lost"
            if one.get("revoked") and one["id"] in had:
                assert _version(one) in taken, "the partner has it and never heard of its withdrawal"
            if place not in left:
                assert _version(one) in taken, "recorded as delivered, and was not"


@pytest.fixture(scope="module")
def ais() -> Iterator[FakeAis]:
    with FakeAis() as server:
        yield server


@settings(max_examples=2_000 if NIGHTLY else 40)
@given(steps=_steps)
def test_nothing_is_lost_doubled_or_sent_that_should_not(ais: FakeAis, steps: list[Step]) -> None:
    """Whatever goes wrong, every entry that still stands arrives, in order, and is recorded exactly once."""
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), ais)
        for step in steps:
            world.add(step)
            world.run(step)
        world.finish()
        world.outbox.store.close()


def test_the_schedule_kills_and_fails(ais: FakeAis, tmp_path: Path) -> None:
    """The property can fail: a kill right after an answer leaves an envelope that is sent twice, recorded once."""
    world = World(tmp_path, ais)
    step = Step(3, (), (), (), frozenset(), 0, None, False, 0)
    world.add(step)
    for fuse in range(40):
        world.run(Step(1, (), (), (), frozenset(), 0, fuse, False, 60))
    assert len(world.ais.posts) > 1, "no kill came between the answer and its record"
    assert len(set(world.ais.posts)) < len(world.ais.posts)
    world.finish()
    world.outbox.store.close()
