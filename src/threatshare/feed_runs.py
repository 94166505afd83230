"""One run of one feed, from its lease to its record: lease -> bounds -> pull -> alarms and record -> lease given back.

No two runs of a feed overlap, whoever starts them. How a run went, what it raised and when the feed may be asked again
are saved in one transaction.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from threatshare.admission.bounds import DOUBT, Bounds
from threatshare.errors import UsageError
from threatshare.feed_settings import FeedSettings
from threatshare.feeds.schedule import rest_after
from threatshare.model import FeedReport, Micros
from threatshare.ports import FeedClient, ListClient
from threatshare.pull import Progress, pull, pull_list
from threatshare.store.connection import Connection
from threatshare.store.embedded import Store
from threatshare.store.feed_alarms import GROWN, OWN, acknowledge, open_alarms, raise_alarm, watch_own
from threatshare.store.feed_history import history, largest_run, note_run
from threatshare.store.leases import Holder, Lease, give_back, hold, left_behind, take_lease
from threatshare.store.runs import FeedState, feed_state, save_run
from threatshare.store.sources import Source, sources

MANY = 10_000
"""Objects of a run that is never doubted for its size."""
_SECOND: Micros = 1_000_000
_SLACK_SECONDS = 300
"""What a run may need behind its deadline, to commit its last page."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of a feed is asked to do."""

    settings: FeedSettings
    source: Source
    our_identity: str
    now: Callable[[], Micros]
    progress: Progress
    exercises: bool = False
    asked: Callable[[], bool] = lambda: False
    """Tells whether it is to stop behind the page that it is at."""
    believed_by: str | None = None
    """Who takes what raises an alarm by its size all the same; None: nobody."""


_KILLED = "this run did not end: it was killed, or took too long; what it had brought by then is kept"


def run_feed(store: Store, run: Run, client: FeedClient | ListClient) -> FeedReport:
    """Runs a feed once and records how it went; where it runs already, nothing happens, and the report says so."""
    name, started = run.source.name, run.now()
    length = (run.settings.run_deadline_seconds + run.settings.page_deadline_seconds + _SLACK_SECONDS) * _SECOND
    with store.writing() as conn:
        before = left_behind(conn, name)
        lease = take_lease(conn, name, started, length)
        if before is not None and isinstance(lease, Lease):
            note_run(conn, before, reads_from_beginning(conn, name), FeedReport(name, "failed", error=_KILLED))
    if isinstance(lease, Holder):
        return FeedReport(name, "busy", error=f"it is being pulled: {lease.words}")
    try:
        refused = _held_back(store.conn, run, client)
        if refused is not None:
            return refused
        first = reads_from_beginning(store.conn, name)
        report = _pulled(store, run, client, lease, first)
        with store.writing() as conn:
            hold(conn, lease)
            return record(conn, report, started, run.settings, first, run.believed_by)
    finally:
        with store.writing() as conn:
            give_back(conn, lease)


def _held_back(conn: Connection, run: Run, client: FeedClient | ListClient) -> FeedReport | None:
    """Says why a feed of objects is not asked: else it would be believed bit by bit."""
    if run.believed_by is not None or isinstance(client, ListClient):
        return None
    name = run.source.name
    if not any(one.kind == GROWN for one in open_alarms(conn, name)):
        return None
    text = f"it has grown beyond belief; `pull {name} --believe` goes on, `feed acknowledge {name}` has it watched anew"
    return FeedReport(name, "failed", error=text, doubt=GROWN)


def _pulled(store: Store, run: Run, client: FeedClient | ListClient, lease: Lease, first: bool) -> FeedReport:
    largest = None if first else largest_run(store.conn, run.source.name)
    believe = run.believed_by is not None
    bounds = Bounds(
        believe=believe,
        most=None if largest is None else max(largest * DOUBT, MANY),
        seconds=run.settings.run_deadline_seconds,
        asked=run.asked,
        hold=lambda conn: hold(conn, lease),
    )
    if isinstance(client, ListClient):
        return pull_list(store, run.source, client, run.now, run.progress, believe, bounds)
    return pull(store, run.source, client, run.our_identity, run.now, run.progress, run.exercises, bounds)


def reads_from_beginning(conn: Connection, feed: str) -> bool:
    """Tells whether a feed's next run reads it from its beginning, or goes on with a run that did and was cut short."""
    if feed_state(conn, feed).cursor is None:
        return True
    last = next(iter(history(conn, feed, 1)), None)
    if last is None or not last.first or last.report.doubt is not None:
        return False
    return last.report.stopped or not _good(last.report)


def record(
    conn: Connection,
    report: FeedReport,
    started: Micros,
    settings: FeedSettings,
    first: bool = False,
    believed_by: str | None = None,
) -> FeedReport:
    """Records how a run went, inside the caller's transaction; gives the report with the alarms that are new.

    When the feed is due next, the daemon decides.
    """
    name = report.feed
    if believed_by is not None and _good(report):
        for one in open_alarms(conn, name):
            if one.kind != OWN:
                acknowledge(conn, name, believed_by, "believed: `pull --believe`", started, one.kind)
    told: list[str] = []
    if report.doubt is not None and report.error is not None:
        about = {"count": report.objects}
        if raise_alarm(conn, name, report.doubt, report.error, about, started):
            told.append(report.error)
    source = sources(conn).get(name)
    own = watch_own(conn, source, started) if source is not None else None
    report = replace(report, alarms=(*told, *([own] if own else [])))
    save_run(conn, after_run(feed_state(conn, name), report, started, settings))
    note_run(conn, started, first, report)
    return report


def after_run(before: FeedState, report: FeedReport, started: Micros, settings: FeedSettings) -> FeedState:
    """Gives a feed's state after a run; one that was told to stop is neither a success nor a failure."""
    before = replace(before, last_run=started, next_run=None, report=json.dumps(asdict(report)))
    if report.stopped:
        return before
    ok = _good(report)
    failures = 0 if ok else before.failures + 1
    rest = rest_after(settings, failures)
    return replace(
        before,
        last_success=started if ok else before.last_success,
        failures=failures,
        rests_until=started + int(rest.total_seconds()) * _SECOND if rest else None,
    )


def _good(report: FeedReport) -> bool:
    return report.status == "ok"


def acknowledge_alarms(store: Store, feed: str, person: str, reason: str, now: Micros) -> int:
    """Closes a feed's open alarms; gives how many. Raises UsageError where there are none, or no reason is given."""
    with store.writing() as conn:
        count = acknowledge(conn, feed, person, reason, now)
    if not count:
        raise UsageError(f"there is no open alarm about {feed!r}; see `threatshare feed history {feed}`")
    return count
