"""Carries one target's envelopes: writes each down, sends it, records the answer, and asks for what is not settled.

Nothing is sent that is not written down and committed, and no answer is recorded twice: an envelope that another
process has settled in the meantime ends the run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from threatshare.errors import PartnerError
from threatshare.feeds.session import BadStatus, Busy
from threatshare.feeds.taxii_connection import WritableCollection, ask_status, post_envelope
from threatshare.feeds.taxii_status import Status, complaint
from threatshare.model import Micros
from threatshare.share.push_answers import FORGETS, Ruling, advice, forgotten, refused_alone, ruling, settled
from threatshare.share.push_target import Held, Parked, Target
from threatshare.store import deliveries, targets
from threatshare.store.connection import Connection
from threatshare.store.deliveries import REFUSED, TOO_LARGE, Delivery, Settled, Undelivered
from threatshare.store.embedded import Store
from threatshare.store.parcels import Bounds, envelope, next_parcel, repeated_parcel
from threatshare.store.targets import TargetState

MOST_BYTES = 32 * 1024 * 1024
"""Of an envelope, whatever a server would take: one is held in memory."""
_SHORT_WAIT = 30.0
"""Seconds of Retry-After that are waited for within a run."""
_SHORT_WAITS = 5
_REFUSED_IN_A_ROW = 10
"""Single objects after which a server is taken to refuse everything."""

Drafted = tuple[Delivery, bytes, int | None]
"""What is sent next, its envelope, and what ``reached`` was before it; None where it was sent before, perhaps."""


class Courier:
    """Works for one run of one target."""

    def __init__(
        self, store: Store, target: Target, now: Callable[[], Micros], sleep: Callable[[float], object]
    ) -> None:
        self._store, self._target, self._now, self._sleep = store, target, now, sleep
        self._name, self._place = target.name, f"target {target.name}"
        self.again: list[int] = []
        """Entries that are to be sent once more in this run."""
        self.watched: set[int] = set()
        """Deliveries whose status this run asks for."""
        self.sent = self.accepted = self.failed = 0
        """Objects of envelopes that were answered, and what the answers said."""
        self.passed_over: set[int] = set()
        self._most_objects = target.settings.max_objects
        self._most_bytes = self._limit = target.settings.max_content_length or MOST_BYTES
        self._in_a_row = 0
        self._examined = False

    def limit(self, max_content_length: int) -> None:
        """Heeds what the server says it takes."""
        self._most_bytes = self._limit = min(self._limit, max_content_length, MOST_BYTES)

    def enter(self, conn: Connection) -> TargetState:
        """Gives the target's state."""
        return targets.enter(conn, self._name, self._target.destination, self._target.collection.number)

    def draft(self) -> Drafted | None:
        """Writes down what is sent next: what may have been lost, what is repeated, what is new; None for nothing.

        Raises Held where the gate has not looked at everything under the present rules: an agreement may have
        ended, or been tightened, since these entries were cleared.
        """
        # Under the store's lock from reading to writing: nothing is sent that is not committed.
        with self._store.writing() as conn:
            self._check_policy(conn)
            state = self.enter(conn)
            drafted = self._unanswered(conn) or self._repeated(conn) or self._new(conn)
            if drafted is not None:
                self._check_profile(conn, state, drafted[0])
            return drafted

    def deliver(self, there: WritableCollection, drafted: Drafted) -> None:
        """Sends one envelope and acts on the answer; raises PartnerError where no more should be sent now."""
        delivery, body, reached = drafted
        try:
            status = self._post(there, body)
        except Busy:
            self._abandon(delivery, reached)
            raise
        except BadStatus as problem:
            self._refused(drafted, problem)
        except PartnerError as problem:
            with self._store.writing() as conn:
                deliveries.note_attempt(conn, delivery, str(problem))
            raise
        else:
            said = self._settle(delivery, lambda conn: settled(deliveries.contents(conn, delivery), status))
            self._most_objects = min(self._most_objects * 2, self._target.settings.max_objects)
            self._in_a_row = 0
            if said.state == "pending":
                self.watched.add(delivery.number)

    def open(self) -> list[Delivery]:
        """Gives the envelopes that this run asks for and the server has not finished with."""
        with self._store.writing() as conn:
            return [one for one in deliveries.pending(conn, self._name) if one.number in self.watched]

    def ask(self, there: WritableCollection, delivery: Delivery) -> None:
        """Asks what became of an envelope, and records it."""
        try:
            status = ask_status(there, self._place, delivery.status_id or "")
        except BadStatus as problem:
            if problem.status in FORGETS:
                self._settle(delivery, lambda conn: self._as_last_heard(conn, delivery))
                return
            if ruling(problem.status) is Ruling.LATER:
                raise
            raise parked(problem) from problem
        # Its id is the one that it was asked for by, whatever the answer says.
        named = replace(status, id=delivery.status_id)
        self._settle(delivery, lambda conn: settled(deliveries.contents(conn, delivery), named))

    def _check_policy(self, conn: Connection) -> None:
        """Raises Held; all releases are looked at once a run, since a change of policy shows in the collection's."""
        collection, policy = self._target.collection, self._target.policy
        changed = targets.published_otherwise if self._examined else targets.unexamined
        if changed(conn, collection.number, policy):
            raise Held(
                f"{self._place}: the rules have changed since {collection.alias} was published; run"
                " `threatshare publish`, which withdraws what may no longer stand, and push again"
            )
        self._examined = True

    def _check_profile(self, conn: Connection, state: TargetState, delivery: Delivery) -> None:
        """Raises Held where the partner's profile blocks what would be sent; what was written down of it is undone."""
        submission = self._target.submission
        fault = submission.fault(conn, state, deliveries.bodies(conn, delivery)) if submission is not None else None
        if fault is not None:
            raise Held(f"{self._place}: the partner's profile blocks what would be sent next: {fault}")

    def _unanswered(self, conn: Connection) -> Drafted | None:
        found = deliveries.sending(conn, self._name)
        if found is None:
            return None
        bodies = deliveries.bodies(conn, found)
        if bodies:
            return found, envelope(bodies), None
        deliveries.settle(conn, found, Settled("failed", 0, 0, 0, error="its entries were deleted here"), self._now())
        return None

    def _repeated(self, conn: Connection) -> Drafted | None:
        while self.again:
            state = self.enter(conn)
            parcel, dealt = repeated_parcel(conn, state, self.again, self._bounds)
            self._pass_over(conn, parcel.skipped)
            del self.again[:dealt]
            if parcel.seqs:
                delivery = deliveries.intend(conn, state, parcel.seqs, (), True, self._now())
                return delivery, envelope(parcel.bodies), state.reached
        return None

    def _new(self, conn: Connection) -> Drafted | None:
        while True:
            state = self.enter(conn)
            parcel = next_parcel(conn, state, self._bounds)
            if parcel.seqs:
                self.passed_over |= {one.seq for one in parcel.passed}
                delivery = deliveries.intend(conn, state, parcel.seqs, parcel.passed, False, self._now())
                return delivery, envelope(parcel.bodies), state.reached
            if not parcel.skipped:
                return None
            self._pass_over(conn, parcel.skipped)
            targets.advance(conn, self._name, parcel.skipped[-1].seq)

    @property
    def _bounds(self) -> Bounds:
        return Bounds(self._most_objects, self._most_bytes, self._limit)

    def _pass_over(self, conn: Connection, skipped: list[Undelivered]) -> None:
        deliveries.note_undelivered(conn, self._name, skipped, self._now())
        self.passed_over |= {one.seq for one in skipped}

    def _post(self, there: WritableCollection, body: bytes) -> Status | None:
        for _ in range(_SHORT_WAITS):
            try:
                return post_envelope(there, self._place, body)
            except Busy as busy:
                if busy.retry_after is None or busy.retry_after > _SHORT_WAIT:
                    raise
                self._sleep(busy.retry_after)
        return post_envelope(there, self._place, body)

    def _refused(self, drafted: Drafted, problem: BadStatus) -> None:
        """Acts on a status that is no success."""
        delivery, body, reached = drafted
        verdict, said = ruling(problem.status), complaint(problem.body)
        if verdict is Ruling.LATER:
            with self._store.writing() as conn:
                deliveries.note_attempt(conn, delivery, f"{problem} {said}".strip())
            raise problem
        if verdict is Ruling.PARK:
            self._abandon(delivery, reached)
            raise parked(problem) from problem
        if delivery.objects > 1:
            if verdict is Ruling.SMALLER:
                self._most_bytes = len(body) // 2
            else:
                # medallion keeps what stood before the bad object, so that some of it has arrived.
                self._most_objects, reached = delivery.objects // 2, None
            self.again = self._abandon(delivery, reached) + self.again
            return
        kind = TOO_LARGE if verdict is Ruling.SMALLER else REFUSED
        message = f"HTTP {problem.status}" + (f": {said}" if said else "")
        self._settle(delivery, lambda conn: refused_alone(deliveries.contents(conn, delivery), kind, message))
        self._in_a_row += 1
        if self._in_a_row >= _REFUSED_IN_A_ROW:
            raise Parked(f"{problem}: {said}; {self._in_a_row} objects in a row were refused, so it is left at that")

    def _abandon(self, delivery: Delivery, reached: int | None) -> list[int]:
        """Takes an intent back; gives the entries that are to be repeated still."""
        with self._store.writing() as conn:
            held = [seq for seq, _, _ in deliveries.contents(conn, delivery)] if delivery.again else []
            if not deliveries.abandon(conn, delivery, reached):
                raise self._elsewhere()
        return held

    def _settle(self, delivery: Delivery, judge: Callable[[Connection], Settled]) -> Settled:
        with self._store.writing() as conn:
            said = judge(conn)
            if not deliveries.settle(conn, delivery, said, self._now()):
                raise self._elsewhere()
        if delivery.state == "sending":
            self.sent += delivery.objects
        self.accepted += said.accepted - delivery.accepted
        self.failed += said.failed - delivery.failed
        return said

    def _as_last_heard(self, conn: Connection, delivery: Delivery) -> Settled:
        return forgotten(deliveries.contents(conn, delivery), deliveries.remarks(conn, delivery))

    def _elsewhere(self) -> PartnerError:
        return PartnerError(f"{self._place}: another process is delivering to it at this moment")


def parked(problem: BadStatus) -> Parked:
    """Says why the partner refused us, in its words and ours."""
    said = [str(problem), complaint(problem.body), advice(problem.status)]
    return Parked("; ".join(filter(None, said)))
