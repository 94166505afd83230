"""Every kind of feed obeys a server that asks to be left alone, in seconds or with a date."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from random import Random

import pytest

from builders import US, make_store
from clocks import START, FixedClock
from hostile_server import HostileServer
from threatshare.feed_runs import Run, run_feed
from threatshare.feed_settings import FeedSettings
from threatshare.feeds.clients import client_for
from threatshare.feeds.schedule import next_run
from threatshare.model import Tlp
from threatshare.store.embedded import Store
from threatshare.store.runs import feed_state

PATHS = {
    "taxii": "/api/collections/1/",
    "taxii20": "/api/collections/1/",
    "stix": "/bundle.json",
    "misp": "/feed/manifest.json",
    "list": "/list.txt",
}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = make_store(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("kind", PATHS)
@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after(store: Store, tmp_path: Path, kind: str, status: int, form: str) -> None:
    """429 and 503 end the run, and it is not tried again before the server's time, up to an hour."""
    # The server tells its own time beside it, which is the real one.
    until = datetime.now(UTC) + timedelta(seconds=900)
    told = "900" if form == "seconds" else format_datetime(until, usegmt=True)
    clock = FixedClock()
    with HostileServer(lambda talk: talk.answer(b"busy", status, "text/plain", Retry_After=told)) as server:
        url = server.url(PATHS[kind])
        settings = FeedSettings(kind, url=url, allow_private_address=True, jitter_seconds=0)  # type: ignore[arg-type]
        client = client_for("feed-a", settings, tmp_path, clock=clock)
        source = store.source("feed-a", "feed", "B", Tlp.AMBER)
        report = run_feed(store, Run(settings, source, US, lambda: clock.micros, lambda _: True), client)
        assert len(server.asked) == 1
    assert report.status == "failed"
    assert report.retry_after is not None
    assert 880 < report.retry_after <= 900
    assert feed_state(store.conn, "feed-a").failures == 1
    due = next_run(settings, START, 1, report.retry_after, START, Random(0))
    assert due == START + timedelta(seconds=report.retry_after)
