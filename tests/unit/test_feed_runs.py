"""Runs of feeds: their bounds, their leases, the alarms they raise, and what is kept of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from builders import NOW, SECOND, US, FakeFeed, ip, make_indicator_json, make_store
from threatshare import feed_runs, pull
from threatshare.admission import bounds
from threatshare.admission.bounds import BATCH
from threatshare.errors import StoreError, UsageError
from threatshare.feed_runs import Run, acknowledge_alarms, run_feed
from threatshare.feed_settings import FeedSettings
from threatshare.feeds.bundles import DiskFeed
from threatshare.feeds.misp import DiskEvents, MispFeed
from threatshare.feeds.schedule import interval
from threatshare.model import FeedReport, Kind, Micros, Observable, Tally, Tlp
from threatshare.ports import FeedClient, ListClient, Listed, Listing, Page
from threatshare.store.embedded import Store
from threatshare.store.feed_alarms import open_alarms
from threatshare.store.feed_history import COMPARED, KEPT_RUNS, history, note_run, totals_of
from threatshare.store.leases import Lease, take_lease
from threatshare.store.lookups import OWN_ASSET
from threatshare.store.runs import feed_state, forgive
from threatshare.store.sources import Source
from threatshare.store.standing import measures

SETTINGS = FeedSettings(kind="taxii", url="https://taxii.example/")


def cap(observable: Observable) -> str | None:
    return OWN_ASSET if observable.value.startswith("198.51.100.") else None


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = make_store(tmp_path)
    made._cap_of = cap
    yield made
    made.close()


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Doubts runs of more than thirty objects already."""
    monkeypatch.setattr(feed_runs, "MANY", 30)


def source_of(store: Store) -> Source:
    return store.source("feed-a", "feed", "B", Tlp.AMBER_STRICT)


def go(
    store: Store,
    client: FeedClient | ListClient,
    now: Micros = NOW,
    progress: Callable[[Tally], bool] = lambda _: True,
    by: str | None = None,
    settings: FeedSettings = SETTINGS,
) -> FeedReport:
    run = Run(settings, source_of(store), US, lambda: now, progress, believed_by=by)
    return replace(run_feed(store, run, client), seconds=0.0)


def objects(first: int, count: int, net: str = "192.0.2") -> list[bytes]:
    return [make_indicator_json(n, ip(f"{net}.{n % 250}")) for n in range(first, first + count)]


def kinds(store: Store) -> list[str]:
    return [one.kind for one in open_alarms(store.conn)]


@dataclass
class FakeList:
    values: list[str]

    def listing(self, cursor: str | None, now: Micros) -> Listing | None:
        rows = (Listed(Observable(Kind.IPV4, one), None, None, None) for one in self.values)
        return Listing(rows, str(len(self.values)), True, len(self.values), 7)


# --- what is kept -------------------------------------------------------------------------------------


def test_a_run_is_kept_with_what_it_brought(store: Store) -> None:
    """The history has a run as it was reported, and the totals count it."""
    report = go(store, FakeFeed([objects(0, 4), objects(4, 3)]))
    assert report == FeedReport("feed-a", "ok", objects=7, new=7)
    kept = history(store.conn, "feed-a")
    assert [(one.began, one.first, replace(one.report, seconds=0.0)) for one in kept] == [(NOW, True, report)]
    go(store, FakeFeed([[], []], fails_at=0), NOW + SECOND)
    found = totals_of(store.conn)["feed-a"]
    assert (found.runs, found.objects, found.new) == (2, 7, 7)
    state = feed_state(store.conn, "feed-a")
    assert (state.last_run, state.cursor) == (NOW + SECOND, "2")
    assert store.conn.execute("SELECT count(*) FROM feed_lease").fetchone() == (0,)


def test_history_is_bounded_and_keeps_what_others_are_held_against(store: Store) -> None:
    """A hundred runs are kept, and the last twenty that brought something, however long ago."""
    with store.writing() as conn:
        for number in range(30):
            note_run(conn, number, False, FeedReport("feed-a", "ok", objects=number + 1))
        for number in range(300):
            note_run(conn, 1000 + number, False, FeedReport("feed-a", "ok"))
        note_run(conn, 1, False, FeedReport("feed-b", "ok", objects=1))
    kept = history(store.conn, "feed-a", 10_000)
    assert len(kept) == KEPT_RUNS + COMPARED
    assert [one.report.objects for one in kept if one.report.objects] == list(range(30, 10, -1))
    assert totals_of(store.conn)["feed-a"].runs == 330
    assert len(history(store.conn, "feed-b")) == 1


# --- leases -------------------------------------------------------------------------------------------


def test_a_feed_that_runs_already_is_left_alone(store: Store) -> None:
    """Where another run holds the lease nothing is asked, nothing recorded, and the report says who is at it."""
    with store.writing() as conn:
        assert isinstance(take_lease(conn, "feed-a", NOW, 100 * SECOND), Lease)
    feed = FakeFeed([objects(0, 3)])
    report = go(store, feed, NOW + SECOND)
    assert report.status == "busy"
    assert "process" in (report.error or "")
    assert feed.asked == []
    assert history(store.conn, "feed-a") == []


def test_a_run_that_was_killed_is_told_by_the_next(store: Store) -> None:
    """A lease that nobody gave back leaves a line in the history: when that run began, and that it did not end."""
    with store.writing() as conn:
        assert isinstance(take_lease(conn, "feed-a", NOW, SECOND), Lease)
    assert go(store, FakeFeed([objects(0, 3)]), NOW + 2 * SECOND).status == "ok"
    last, killed = history(store.conn, "feed-a")
    assert (last.began, killed.began, killed.report.status) == (NOW + 2 * SECOND, NOW, "failed")
    assert "did not end" in (killed.report.error or "")


def test_a_run_that_was_overtaken_writes_nothing_more(store: Store) -> None:
    """Where another run has taken over, the next page of this one is undone as a whole, and the cursor stays."""
    pages = [objects(0, BATCH), objects(BATCH, 5)]

    def overtaken(_: Tally) -> bool:
        with store.writing() as conn:
            conn.execute("UPDATE feed_lease SET owner = 'somebody else'")
        return True

    with pytest.raises(StoreError, match="taken over"):
        go(store, FakeFeed(pages), progress=overtaken)
    assert feed_state(store.conn, "feed-a").cursor == "1"
    assert store.conn.execute("SELECT count(*) FROM object").fetchone() == (BATCH,)
    assert store.conn.execute("SELECT owner FROM feed_lease").fetchone() == ("somebody else",)


# --- how a run ends -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "tick"), [("objects", 30), ("list", 200)])
def test_no_run_outlasts_its_deadline(store: Store, kind: str, tick: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of any kind ends behind a page once its time is over, says so, and keeps what it has."""
    ticks = iter(range(0, 10_000_000, tick))
    for clocked in (pull, bounds):
        monkeypatch.setattr(clocked, "perf_counter", lambda: float(next(ticks)))
    settings = FeedSettings("taxii", url="https://taxii.example/", run_deadline_seconds=100)
    pages, rows = FakeFeed([objects(n * 3, 3) for n in range(50)]), FakeList([f"192.0.2.{n}" for n in range(250)])
    report = go(store, pages if kind == "objects" else rows, settings=settings)
    assert report.status == "failed"
    assert "longer than 100 s" in (report.error or "")
    if kind == "objects":
        assert 0 < report.objects < 150
        assert feed_state(store.conn, "feed-a").cursor == str(report.objects // 3)
    else:
        assert report.objects == 250
        assert feed_state(store.conn, "feed-a").cursor is None


def test_it_stops_behind_the_page_it_is_at(store: Store) -> None:
    """Who asks a run to stop waits for one page, not for a whole transaction of pages; the next run goes on there."""
    feed = FakeFeed([objects(n * 3, 3) for n in range(50)])
    run = Run(SETTINGS, source_of(store), US, lambda: NOW, lambda _: True, asked=lambda: True)
    report = run_feed(store, run, feed)
    assert (report.status, report.stopped, report.objects) == ("ok", True, 3)
    assert feed_state(store.conn, "feed-a").cursor == "1"
    assert go(store, feed).objects == 147


def test_what_comes_slowly_is_committed_as_it_comes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that takes its time shows what it has brought after two seconds, however little that is."""
    clock = iter(range(1_000))
    for clocked in (pull, bounds):
        monkeypatch.setattr(clocked, "perf_counter", lambda: float(next(clock)))
    shown: list[int] = []

    def progress(tally: Tally) -> bool:
        shown.append(tally.objects)
        return True

    go(store, FakeFeed([objects(n * 3, 3) for n in range(10)]), progress=progress)
    assert shown == [6, 12, 18, 24, 30]


def test_a_run_that_is_stopped_is_no_success(store: Store) -> None:
    """What was stopped has not come to its end: neither the last success nor the failures before it change."""
    feed = FakeFeed([objects(n * 3, 3) for n in range(5)])
    go(store, FakeFeed([[]], fails_at=0))
    assert go(store, feed, NOW + SECOND, progress=lambda _: False).stopped
    state = feed_state(store.conn, "feed-a")
    assert (state.last_run, state.last_success, state.failures) == (NOW + SECOND, None, 1)
    assert not go(store, feed, NOW + 2 * SECOND).stopped
    state = feed_state(store.conn, "feed-a")
    assert (state.last_success, state.failures) == (NOW + 2 * SECOND, 0)


def test_ten_failures_rest_and_one_success_ends_it(store: Store) -> None:
    """From the tenth failure in a row on the feed rests; a run that goes well, or a person, ends that."""
    for number in range(9):
        go(store, FakeFeed([[]], fails_at=0), NOW + number)
    assert feed_state(store.conn, "feed-a").rests_until is None
    go(store, FakeFeed([[]], fails_at=0), NOW + 9)
    rest = int(interval("6h").total_seconds()) * SECOND
    assert feed_state(store.conn, "feed-a").rests_until == NOW + 9 + rest
    go(store, FakeFeed([[]], fails_at=0), NOW + 10)
    assert feed_state(store.conn, "feed-a").rests_until == NOW + 10 + rest
    with store.writing() as conn:
        forgive(conn, "feed-a", NOW + 11)
    state = feed_state(store.conn, "feed-a")
    assert (state.failures, state.rests_until, state.next_run) == (0, None, NOW + 11)
    go(store, FakeFeed([objects(0, 1)]))
    assert feed_state(store.conn, "feed-a").rests_until is None


# --- alarms -------------------------------------------------------------------------------------------


def test_a_feed_that_names_what_is_ours_raises_an_alarm_once(store: Store) -> None:
    """The alarm says how many values, which objects and who made them; it is raised anew only for another value."""
    told = [*objects(0, 3), by_maker(3, "198.51.100.7"), by_maker(4, "198.51.100.7")]
    report = go(store, FakeFeed([told]))
    assert (report.status, report.objects) == ("ok", 5)
    assert len(report.alarms) == 1
    (alarm,) = open_alarms(store.conn)
    assert (alarm.feed, alarm.kind, alarm.about["count"]) == ("feed-a", "own", 1)
    assert alarm.about["values"] == ["ipv4-addr: 198.51.100.7"]
    assert len(alarm.about["objects"]) == 2
    assert alarm.about["said_by"] == [MAKER]
    assert go(store, FakeFeed([])).alarms == ()
    acknowledge_alarms(store, "feed-a", "desk", "a test of theirs", NOW)
    assert go(store, FakeFeed([])).alarms == ()
    assert kinds(store) == []
    again = FakeFeed([told, [by_maker(5, "198.51.100.8")]])
    assert len(go(store, again).alarms) == 1
    assert kinds(store) == ["own"]


MAKER = "identity--11111111-1111-4111-8111-111111111111"


def by_maker(number: int, value: str) -> bytes:
    made = json.loads(make_indicator_json(number, ip(value)))
    return json.dumps(made | {"created_by_ref": MAKER}).encode()


def test_a_list_that_names_what_is_ours_raises_an_alarm_too(store: Store) -> None:
    """What a list says of us is told as its row, and is gone from the alarm's ground once the list drops it."""
    assert len(go(store, FakeList(["192.0.2.1", "198.51.100.9"])).alarms) == 1
    assert open_alarms(store.conn)[0].about["said_by"] == ["the feed feed-a"]
    acknowledge_alarms(store, "feed-a", "desk", "told them", NOW)
    go(store, FakeList(["192.0.2.1"]), NOW + SECOND)
    assert go(store, FakeList(["192.0.2.1", "198.51.100.9"]), NOW + 2 * SECOND).alarms == ()


@pytest.mark.usefixtures("few")
def test_a_feed_that_grows_tenfold_is_stopped_until_somebody_looks(store: Store) -> None:
    """It stops at a page's end with what it has; nothing more is asked until a person believes it or acknowledges."""
    feed = FakeFeed([objects(0, 4)])
    assert go(store, feed).status == "ok"
    feed.given = [*feed.given, *(objects(100 + 10 * n, 10) for n in range(20))]
    stopped = go(store, feed, NOW + SECOND)
    assert (stopped.status, stopped.doubt, stopped.objects) == ("failed", "grown", 50)
    assert stopped.alarms == (stopped.error,)
    assert feed_state(store.conn, "feed-a").cursor == "6"
    asked = len(feed.asked)
    refused = go(store, feed, NOW + 2 * SECOND)
    assert (refused.status, refused.objects, len(feed.asked)) == ("failed", 0, asked)
    believed = go(store, feed, NOW + 3 * SECOND, by="desk")
    assert (believed.status, believed.objects) == ("ok", 150)
    assert kinds(store) == []
    # What was believed is the measure from now on.
    feed.given = [*feed.given, objects(900, 100)]
    assert go(store, feed, NOW + 4 * SECOND).status == "ok"


@pytest.mark.usefixtures("few")
def test_what_was_doubted_is_no_measure(store: Store) -> None:
    """After an acknowledgement the next run is held against what was usual before, not against the flood."""
    feed = FakeFeed([objects(0, 4), *(objects(100 + 10 * n, 10) for n in range(20))])
    go(store, FakeFeed(feed.given[:1]))
    assert go(store, feed).doubt == "grown"
    acknowledge_alarms(store, "feed-a", "desk", "looked at it", NOW)
    assert (again := go(store, feed)).doubt == "grown"
    assert again.objects == 50


@pytest.mark.usefixtures("few")
def test_the_first_reading_is_free(store: Store) -> None:
    """However large a feed is when it is first read, also where that takes several runs, it raises no alarm."""
    feed = FakeFeed([objects(10 * n, 10) for n in range(20)], fails_at=2)
    assert go(store, feed).objects == 20
    feed.fails_at = None
    assert (report := go(store, feed)).status == "ok"
    assert report.objects == 180


def test_a_bundle_that_is_emptied_is_not_believed(store: Store, tmp_path: Path) -> None:
    """A file that holds nothing any more raises an alarm and is read again, until a person believes it."""
    file = tmp_path / "bundle.json"

    def write(*raws: bytes) -> None:
        file.write_bytes(b'{"type":"bundle","id":"b","objects":[' + b",".join(raws) + b"]}")

    write(*objects(0, 3))
    feed = DiskFeed("feed-a", file, page_size=10, max_object=10_000)
    assert go(store, feed).objects == 3
    write()
    for _ in range(2):
        assert (report := go(store, feed)).doubt == "emptied"
        assert report.status == "failed"
    assert kinds(store) == ["emptied"]
    assert open_alarms(store.conn)[0].times == 2
    assert go(store, feed, by="desk").status == "ok"
    assert kinds(store) == []
    assert go(store, feed).status == "ok"


def test_a_directory_of_which_a_file_goes_is_no_alarm(store: Store, tmp_path: Path) -> None:
    """Only where nothing is left of what was there is a directory doubted."""
    folder = tmp_path / "bundles"
    folder.mkdir()
    for number in range(2):
        body = b",".join(objects(number * 3, 3))
        (folder / f"{number}.json").write_bytes(b'{"type":"bundle","id":"b","objects":[' + body + b"]}")
    feed = DiskFeed("feed-a", folder, page_size=10, max_object=10_000)
    assert go(store, feed).objects == 6
    (folder / "0.json").unlink()
    assert go(store, feed).status == "ok"
    (folder / "1.json").unlink()
    assert go(store, feed).doubt == "emptied"


class FakeMisp:
    """A MISP feed of events by name, of which one may have a value."""

    def __init__(self, folder: Path, events: int) -> None:
        self.folder = folder
        self.feed = MispFeed("feed-a", str(folder), DiskEvents("feed-a", folder, 1_000_000))
        folder.mkdir()
        self.names = range(events)

    @property
    def names(self) -> range:
        return self._names

    @names.setter
    def names(self, names: range) -> None:
        self._names = names
        told = {f"{one:08}-1111-4111-8111-111111111111": one for one in names}
        for name, one in told.items():
            value = {"uuid": f"{one:08}-2222-4111-8111-111111111111", "type": "ip-dst", "value": "192.0.2.1"}
            attribute = value | {"to_ids": True, "timestamp": "1767225600"}
            event = {"uuid": name, "info": "x", "timestamp": "1767225600", "Attribute": [attribute]}
            (self.folder / f"{name}.json").write_text(json.dumps({"Event": event}))
        (self.folder / "manifest.json").write_text(json.dumps({name: {"timestamp": "1"} for name in told}))


@pytest.mark.parametrize(("left", "kind"), [(range(0), "emptied"), (range(5), "size"), (range(500, 600), "size")])
def test_a_misp_feed_that_shrinks_is_not_believed(store: Store, tmp_path: Path, left: range, kind: str) -> None:
    """A manifest that names less than a tenth of its events, whatever others, raises an alarm; its cursor stays."""
    misp = FakeMisp(tmp_path / "misp", 120)
    assert go(store, misp.feed).new > 0
    cursor = feed_state(store.conn, "feed-a").cursor
    misp.names = left
    for _ in range(2):
        assert (report := go(store, misp.feed)).doubt == kind
        assert (report.status, report.objects) == ("failed", 0)
    assert (kinds(store), open_alarms(store.conn)[0].times) == ([kind], 2)
    assert feed_state(store.conn, "feed-a").cursor == cursor
    assert go(store, misp.feed, by="desk").status == "ok"
    assert kinds(store) == []
    assert go(store, misp.feed).status == "ok"


def test_a_misp_feed_that_is_cut_to_the_last_months_is_believed(store: Store, tmp_path: Path) -> None:
    """What is usual raises no alarm: a tenth of the events stays, or there were few of them."""
    misp = FakeMisp(tmp_path / "misp", 120)
    go(store, misp.feed)
    misp.names = range(108, 130)
    assert go(store, misp.feed).status == "ok"
    misp.names = range(129, 130)
    assert go(store, misp.feed).status == "ok"
    assert kinds(store) == []
    # What it no longer names is forgotten, also where nothing else has changed.
    assert feed_state(store.conn, "feed-a").cursor.count("-1111-") == 1  # type: ignore[union-attr]


def test_a_folder_of_misp_events_that_is_emptied_is_not_believed(store: Store, tmp_path: Path) -> None:
    """Also where it was a single event, and no manifest."""
    misp = FakeMisp(tmp_path / "misp", 1)
    (misp.folder / "manifest.json").unlink()
    assert go(store, misp.feed).new > 0
    next(misp.folder.glob("*.json")).unlink()
    assert go(store, misp.feed).doubt == "emptied"


def test_a_list_that_shrinks_is_kept_as_an_alarm(store: Store) -> None:
    """The doubt about a list stands in the alarms, once, and ends when a person believes the list."""
    go(store, FakeList([f"192.0.2.{n}" for n in range(200)]))
    short = FakeList(["192.0.2.1"])
    assert len(go(store, short).alarms) == 1
    assert go(store, short).alarms == ()
    assert kinds(store) == ["size"]
    assert go(store, short, by="desk").withdrawn == 199
    assert kinds(store) == []


def test_acknowledging_needs_an_alarm_and_a_reason(store: Store) -> None:
    """Nothing is acknowledged that was not raised, or without a word on why."""
    with pytest.raises(UsageError, match="no open alarm"):
        acknowledge_alarms(store, "feed-a", "desk", "why", NOW)
    go(store, FakeFeed([[by_maker(3, "198.51.100.7")]]))
    with pytest.raises(UsageError, match="reason"):
        acknowledge_alarms(store, "feed-a", "desk", " ", NOW)


class Metered:
    """Pages that say how many bytes they were."""

    def pages(self, cursor: str | None, now: Micros) -> Iterator[Page]:
        yield Page(objects(0, 2), "1", 700)
        yield Page(objects(2, 2), "2", 41)


def test_bytes_are_counted(store: Store) -> None:
    """What came over the network stands in the report, of objects and of lists."""
    assert go(store, Metered()).bytes == 741
    assert go(store, FakeList(["192.0.2.1"])).bytes == 7


def test_whoever_watches_the_node_sees_how_feeds_stand(store: Store) -> None:
    """The metrics have what a feed brought in all, whether it rests, and its open alarms; no value of anything."""
    go(store, FakeFeed([[*objects(0, 3), by_maker(3, "198.51.100.7")]]))
    for number in range(10):
        go(store, FakeFeed([[]] * 3, fails_at=1), NOW + number)
    found = {one.name: one.values for one in measures(store.conn, NOW + 60 * SECOND)}
    wanted = {"runs": 11, "failed_runs": 10, "objects": 4, "new": 4, "rests": 1, "alarms": 1, "failures": 10}
    assert {what: found[f"feed_{what}"]["feed-a"] for what in wanted} == wanted
    assert found["feed_age_seconds"] == {"feed-a": 60.0}
    assert "198.51.100.7" not in repr(found)
