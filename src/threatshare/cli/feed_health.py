"""How each feed stands, for ``status``."""

from __future__ import annotations

import json
from collections.abc import Mapping

from threatshare.cli.output import when
from threatshare.feed_settings import FeedSettings
from threatshare.model import Micros
from threatshare.node import Node
from threatshare.store.feed_alarms import GROWN, open_alarms
from threatshare.store.feed_history import Totals, totals_of
from threatshare.store.leases import Holder, running
from threatshare.store.runs import FeedState

_SECOND: Micros = 1_000_000


def feeds_at_work(node: Node, states: Mapping[str, FeedState]) -> list[dict[str, object]]:
    """Gives for each feed its state and last runs; ``lag`` is the seconds since its last success."""
    conn, now = node.store.conn, node.now()
    at_work, together = running(conn, now), totals_of(conn)
    doubted = {one.feed for one in open_alarms(conn) if one.kind == GROWN}
    found = []
    for name, settings in node.feeds.items():
        state = states.get(name, FeedState(name))
        waits = name in doubted and settings.kind != "list"
        found.append(
            _feed(state, now)
            | {"state": _state(settings, state, at_work.get(name), waits, now)}
            | {"totals": together.get(name, Totals())._asdict()}
        )
    return found


def _state(settings: FeedSettings, state: FeedState, holder: Holder | None, waits: bool, now: Micros) -> str:
    if holder is not None:
        return "running"
    if waits:
        return "waits for a person"
    if not settings.enabled:
        return "paused"
    if state.rests_until is not None:
        return f"rests until {when(state.rests_until)}" if now < state.rests_until else "is tried again"
    return "fails" if state.failures else "ok" if state.last_run else "new"


def _feed(state: FeedState, now: Micros) -> dict[str, object]:
    report = json.loads(state.report) if state.report else None
    told = "-"
    if report:
        told = f"{report['status']}: {report['objects']} objects, {report['new']} new, {report['rejected']} rejected"
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
