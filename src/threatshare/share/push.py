"""Push: a partner's collection here -> envelopes -> the collection on the partner's server -> what became of each.

The partner's own collection is the outbox: what the gate has cleared lies there in order and is sent from the last
entry that was dealt with, as it stands. Nothing is sent while anything in it was cleared under other rules than the
present: publishing comes first, and withdraws what may no longer stand.

Each envelope is written down before it is sent and settled by its answer (``store.deliveries``). Killed in
between, the same envelope is sent again: a server that has a version of an object already takes it once more as a
success (TAXII 2.1 §5.5), and here it is recorded once.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, replace

from threatshare.errors import PartnerError, ThreatshareError
from threatshare.feeds.session import BadStatus, Busy, PartnerSession
from threatshare.feeds.taxii_connection import WritableCollection, find_writable
from threatshare.model import Micros
from threatshare.share.push_answers import Ruling, ruling
from threatshare.share.push_courier import MOST_BYTES, Courier, parked
from threatshare.share.push_target import Held, Parked, PushReport, Target
from threatshare.store import deliveries, targets
from threatshare.store.deliveries import PENDING, REFUSED, TOO_LARGE, Delivery
from threatshare.store.embedded import Store
from threatshare.store.parcels import Bounds, next_parcel

MOST_PENDING = 64
"""Envelopes that a server may leave unfinished before no more are sent in a run."""
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0
"""Seconds between two questions for a status within a run; doubled each time."""
_RARELY: Micros = 3_600 * 1_000_000
"""Between runs a status is asked for when it has been waited for twice as long, at least so often."""
_MOST_TRIES = 5
"""Of an object that a server leaves pending for ever."""

Progress = Callable[[int], bool]
"""Told after each envelope how many objects were sent; False ends the run there."""


def push(
    store: Store,
    target: Target,
    now: Callable[[], Micros],
    *,
    retry_failed: bool = False,
    eager: bool = False,
    progress: Progress = lambda _: True,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> PushReport:
    """Delivers what is new to one target and asks what became of the rest; a fault of the partner is in the report.

    ``retry_failed`` sends once more what the partner refused before. ``eager`` asks for every open status, as
    a person who is waiting wants it; else those are asked for ever more rarely. Nobody is called where there is
    nothing to do. Raises ConfigurationError where the target's TLS files or token cannot be used.
    """
    courier = Courier(store, target, now, sleep)
    return _Run(store, target, now, courier, eager, progress, monotonic, sleep).report(retry_failed)


def preview(store: Store, target: Target) -> PushReport:
    """Tells what a run would send and pass over, without calling anybody or writing anything.

    The status is ``dry-run``, or ``held`` where a run would send nothing before publishing.
    """
    bounds = Bounds(target.settings.max_objects, MOST_BYTES, target.settings.max_content_length or MOST_BYTES)
    sent = withheld = 0
    fault: str | None = None
    with store.trying() as conn:
        state = targets.enter(conn, target.name, target.destination, target.collection.number)
        under_way = deliveries.sending(conn, target.name)
        if under_way is not None:
            sent = under_way.objects
            state = replace(state, position=max(state.position, under_way.last_seq))
        while (parcel := next_parcel(conn, state, bounds)).seqs or parcel.skipped:
            if target.submission is not None and fault is None:
                sent_by_then = replace(state, reached=max(state.reached, state.position))
                fault = target.submission.fault(conn, sent_by_then, parcel.bodies)
            sent += len(parcel.seqs)
            withheld += len(parcel.passed)
            past = parcel.seqs[-1] if parcel.seqs else parcel.skipped[-1].seq
            state = replace(state, position=past)
        open_now = sum(one.pending for one in deliveries.pending(conn, target.name))
        held = targets.unexamined(conn, target.collection.number, target.policy)
    error = "the rules have changed since it was published; run `threatshare publish` first" if held else None
    if error is None and fault is not None:
        error = f"the partner's profile blocks what would be sent: {fault}"
    status = "dry-run" if error is None else "held"
    return PushReport(target.name, status, pending=open_now, withheld=withheld, waiting=sent, error=error)


class _Run:
    """One run of one target."""

    def __init__(
        self,
        store: Store,
        target: Target,
        now: Callable[[], Micros],
        courier: Courier,
        eager: bool,
        progress: Progress,
        monotonic: Callable[[], float],
        sleep: Callable[[float], object],
    ) -> None:
        self._store, self._target, self._now, self._courier = store, target, now, courier
        self._eager, self._progress = eager, progress
        self._monotonic, self._sleep = monotonic, sleep
        self._began = monotonic()

    def report(self, retry_failed: bool) -> PushReport:
        """Runs, records how it went, and tells."""
        started = self._now()
        with self._store.writing() as conn:
            state = self._courier.enter(conn)
        if state.not_before is not None and state.not_before > started:
            wait = (state.not_before - started) / 1e6
            said = f"target {self._target.name}: the partner asked to be called again in {wait:.0f} s"
            return self._told("waiting", PartnerError(said), wait)
        status, wait_for = "ok", None
        error: ThreatshareError | None = None
        try:
            self._work(retry_failed)
        except Held as problem:
            status, error = "held", problem
        except PartnerError as problem:
            error = problem
            status = {Busy: "waiting", Parked: "parked"}.get(type(problem), "failed")
            wait_for = problem.retry_after
        report = self._told(status, error, wait_for)
        self._record(report, started)
        return report

    def _told(self, status: str, error: ThreatshareError | None, wait: float | None) -> PushReport:
        courier, name = self._courier, self._target.name
        with self._store.writing() as conn:
            pending = sum(one.pending for one in deliveries.pending(conn, name))
            left = targets.left(conn, name)
        return PushReport(
            name,
            status,
            courier.sent,
            courier.accepted,
            pending,
            courier.failed,
            len(courier.passed_over),
            left,
            round(self._monotonic() - self._began, 3),
            None if error is None else str(error),
            wait,
        )

    def _record(self, report: PushReport, started: Micros) -> None:
        went_well = report.status == "ok"
        # Being held is no fault of the partner's: no longer is waited for it.
        failed = not went_well and report.status != "held"
        wait = None if report.retry_after is None else self._now() + int(report.retry_after * 1e6)
        with self._store.writing() as conn:
            before = self._courier.enter(conn)
            after = replace(
                before,
                last_run=started,
                last_success=started if went_well else before.last_success,
                not_before=wait,
                failures=before.failures + 1 if failed else 0,
                parked=self._target.fingerprint if report.status == "parked" else None,
                report=json.dumps(asdict(report)),
            )
            targets.save_push(conn, after)

    def _work(self, retry_failed: bool) -> None:
        if not self._has_work(retry_failed):
            return
        session = self._target.open_session()
        try:
            there = self._find(session)
            self._courier.limit(there.max_content_length)
            self._ask_all(there)
            self._send_all(there)
            self._wait_for_statuses(there)
        finally:
            session.close()

    def _has_work(self, retry_failed: bool) -> bool:
        """Looks what there is to send, to repeat and to ask for."""
        name, courier = self._target.name, self._courier
        kinds, tries = ((PENDING, REFUSED, TOO_LARGE), None) if retry_failed else ((PENDING,), _MOST_TRIES)
        with self._store.writing() as conn:
            courier.again = deliveries.repeatable(conn, name, kinds, tries)
            courier.watched = {one.number for one in deliveries.pending(conn, name) if self._is_due(one)}
            under_way = deliveries.sending(conn, name)
            left = targets.left(conn, name)
        return bool(courier.again or courier.watched or under_way or left)

    def _is_due(self, one: Delivery) -> bool:
        heard = one.polled or one.at
        return self._eager or self._now() >= heard + min(max(heard - one.at, 0), _RARELY)

    def _find(self, session: PartnerSession) -> WritableCollection:
        settings, name = self._target.settings, self._target.name
        try:
            return find_writable(session, settings.url, settings.remote, f"target {name}")
        except BadStatus as problem:
            if ruling(problem.status) is Ruling.LATER:
                raise
            raise parked(problem) from problem

    def _send_all(self, there: WritableCollection) -> None:
        while self._may_send(there):
            drafted = self._courier.draft()
            if drafted is None:
                return
            self._courier.deliver(there, drafted)
            if not self._progress(self._courier.sent):
                return

    def _may_send(self, there: WritableCollection) -> bool:
        """Tells whether the server keeps up: what it has not finished with is bounded."""
        if self._unfinished() >= MOST_PENDING:
            self._wait_for_statuses(there)
        return self._unfinished() < MOST_PENDING

    def _unfinished(self) -> int:
        with self._store.writing() as conn:
            return len(deliveries.pending(conn, self._target.name))

    def _ask_all(self, there: WritableCollection) -> None:
        for one in self._courier.open():
            self._courier.ask(there, one)

    def _wait_for_statuses(self, there: WritableCollection) -> None:
        """Asks with growing pauses until everything is settled or the deadline comes."""
        ends = self._monotonic() + self._target.settings.status_deadline_seconds
        pause = _FIRST_PAUSE
        while self._courier.open() and self._monotonic() + pause <= ends and self._progress(self._courier.sent):
            self._sleep(pause)
            self._ask_all(there)
            pause = min(2 * pause, _LONGEST_PAUSE)
