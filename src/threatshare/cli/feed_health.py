"""How each feed stands, for ``status``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from random import Random

from msgspec import structs

from threatshare.cli.output import when
from threatshare.errors import ConfigurationError
from threatshare.feed_settings import FeedSettings
from threatshare.feeds.schedule import next_run
from threatshare.model import Micros, micros, moment
from threatshare.node import Node
from threatshare.store.daemons import daemon_runs
from threatshare.store.feed_alarms import GROWN, open_alarms
from threatshare.store.feed_history import Totals, totals_of
from threatshare.store.leases import Holder, running
from threatshare.store.runs import FeedState
from threatshare.store.senders import shared_name

_SECOND: Micros = 1_000_000


def feeds_at_work(node: Node, states: Mapping[str, FeedState]) -> list[dict[str, object]]:
    """Gives for each feed its state and last runs; ``lag`` is the seconds since its last success."""
    conn, now = node.store.conn, node.now()
    at_work, together = running(conn, now), totals_of(conn)
    doubted = {one.feed for one in open_alarms(conn) if one.kind == GROWN}
    awake = daemon_runs(node.directory)
    found = []
    for name, settings in node.feeds.items():
        state = states.get(name, FeedState(name))
        waits = name in doubted and settings.kind != "list"
        found.append(
            _feed(state, now)
            | {"next_run": _due(settings, state, awake, node.clock())}
            | {"state": _state(settings, state, at_work.get(name), waits, now)}
            | {"totals": together.get(name, Totals())._asdict()}
        )
    for name, fault in node.feed_files.faults.items():
        # Its last report would be taken for how it stands now.
        told = _feed(states.get(name, FeedState(name)), now) | {"next_run": "-", "told": fault}
        found.append(told | {"state": "is wrong", "totals": together.get(name, Totals())._asdict()})
    return found


def feed_problems(node: Node) -> list[str]:
    """Says which feeds cannot be pulled as their files have it; whether secrets are there, only who pulls can tell."""
    found = [f"feed {name}: {fault}" for name, fault in node.feed_files.faults.items()]
    facts = node.facts()
    for name in (*node.feeds, *node.feed_files.faults):
        shared = shared_name(node.store.conn, name, facts.agreement_of(name))
        found += [] if shared is None else [shared]
    for name, settings in node.feeds.items():
        bare = structs.replace(settings, user=None, password_env=None, password_file=None, token_env=None)
        try:
            node.client_of(name, bare)
        except ConfigurationError as problem:
            found.append(f"feed {name}: {problem}")
    return found


def _due(settings: FeedSettings, state: FeedState, awake: bool, now: datetime) -> str:
    """Says when a feed is pulled next: as the daemon has planned it, or will after a run by hand; a dash for never."""
    if not settings.enabled:
        return "-"
    if state.next_run is not None or not awake:
        return when(state.next_run)
    last = moment(state.last_run) if state.last_run is not None else None
    asked = json.loads(state.report).get("retry_after") if state.report else None
    # The earliest: by how much it may be later, the daemon draws.
    planned = structs.replace(settings, jitter_seconds=0)
    try:
        due = next_run(planned, last, state.failures, asked, last or now, Random(0), _cron_next)  # noqa: S311  unused
    except ConfigurationError:
        return "-"
    return when(max(micros(due), micros(now)))


def _cron_next(expression: str, after: datetime) -> datetime:
    # Here, since APScheduler takes longer to import than the rest of `status`.
    from threatshare.daemon.cron import cron_next

    return cron_next(expression, after)


def _state(settings: FeedSettings, state: FeedState, holder: Holder | None, waits: bool, now: Micros) -> str:
    if holder is not None:
        return "running"
    if waits:
        return "waits for a person"
    if not settings.enabled:
        return "paused"
    if state.rests_until is not None:
        return f"rests until {when(state.rests_until)}" if now < state.rests_until else "is tried again"
    if state.failures:
        return "fails"
    if state.report is not None and json.loads(state.report).get("stopped"):
        return "was stopped"
    return "ok" if state.last_run else "new"


def _feed(state: FeedState, now: Micros) -> dict[str, object]:
    report = json.loads(state.report) if state.report else None
    told = "-"
    if report:
        outcome = "stopped" if report.get("stopped") else report["status"]
        told = f"{outcome}: {report['objects']} objects, {report['new']} new, {report['rejected']} rejected"
        told += f" ({report['error']})" if report["error"] else ""
    return {
        "feed": state.feed,
        "last_run": when(state.last_run),
        "last_success": when(state.last_success) if state.last_success else None,
        "lag": None if state.last_success is None else max(0, now - state.last_success) // _SECOND,
        "next_run": when(state.next_run),
        "failures": state.failures,
        "rests_until": when(state.rests_until) if state.rests_until else None,
        "report": report,
        "told": told,
    }
