"""Pages beside TAXII: health, readiness and metrics, and the access log, none of which tells what it should not."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import trustme

from clocks import FixedClock
from taxii_node import Answer, TaxiiNode, basic, indicator, stix_id
from threatshare.share.app import utc_now
from threatshare.share.measured import route_of
from threatshare.share.settings import ServeSettings
from threatshare.store.accounts import grant, withdraw
from threatshare.store.connection import transaction
from threatshare.store.runs import FeedState, save_job, save_run

OBJECTS = "/api/collections/one/objects/"
SECOND = 1_000_000


@pytest.fixture
def node(tmp_path: Path) -> Iterator[TaxiiNode]:
    with TaxiiNode(tmp_path, ServeSettings(access_log=tmp_path / "access.log")) as made:
        made.collection("one")
        made.account("soc", read=["one"])
        made.account("watcher")
        with transaction(made.writer):
            grant(made.writer, "watcher", metrics=True)
        made.publish("one", *(indicator(number) for number in range(50)))
        yield made


def measured(node: TaxiiNode) -> dict[str, float]:
    answer = node.get("/metrics", "watcher")
    assert answer.status == 200
    lines = [line for line in answer.body.decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_health_says_that_it_answers_and_nothing_else(node: TaxiiNode) -> None:
    """Without credentials, with any Accept, and without a word on what the node holds."""
    for path in ("/health", "/health/"):
        answer = node.get(path, Accept="text/html")
        assert (answer.status, answer.body) == (200, b"ok\n")
        assert answer.headers["Cache-Control"] == "no-store"
    assert node.request("HEAD", "/health").body == b""
    refused = node.request("POST", "/health")
    assert (refused.status, refused.headers["Allow"]) == (405, "GET, HEAD")


def test_ready_only_with_a_store_that_can_be_read(node: TaxiiNode, caplog: pytest.LogCaptureFixture) -> None:
    """Gone, damaged or of another version it is 503 without a reason, which stands in the log once; then 200 again."""
    assert node.get("/ready").body == b"ready\n"
    node.writer.execute(
        "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('threatshare', 'x', '')"
    )
    for _ in range(3):
        answer = node.get("/ready")
        assert (answer.status, answer.body) == (503, b"not ready\n")
    assert len([one for one in caplog.records if "another version" in one.getMessage()]) == 1
    node.writer.execute("DELETE FROM _sqlite_migrations WHERE name = 'x'")
    assert node.get("/ready").status == 200
    kept = node.file.rename(node.file.with_name("moved"))
    assert node.get("/ready").status == 503
    kept.rename(node.file)
    assert node.get("/ready").status == 200


def test_ready_only_with_a_certificate_that_holds(tmp_path: Path) -> None:
    """The day before a certificate begins and the day after it ends the server is not ready."""
    now = utc_now()
    issued = trustme.CA().issue_cert("taxii.example.org", not_before=now, not_after=now + timedelta(days=2))
    file = tmp_path / "server.pem"
    issued.cert_chain_pems[0].write_to_path(str(file))
    for day, status in ((-1, 503), (1, 200), (3, 503)):
        (tmp_path / str(day)).mkdir()
        clock = FixedClock(now + timedelta(days=day))
        with TaxiiNode(tmp_path / str(day), ServeSettings(certificate=file), clock=clock) as node:
            assert node.get("/ready").status == status
            node.account("watcher")
            with transaction(node.writer):
                grant(node.writer, "watcher", metrics=True)
            left = measured(node)["threatshare_certificate_expires_seconds"]
            assert left == pytest.approx((2 - day) * 86_400, abs=2)


def test_metrics_take_an_account_with_that_right(node: TaxiiNode) -> None:
    """401 without an account, 404 for all that were not given the right, and at once when it is taken away."""
    assert node.get("/metrics").status == 401
    assert node.get("/metrics", Authorization=basic("watcher", "wrong")).status == 401
    absent = node.get("/nothing", "soc")
    hidden = node.get("/metrics", "soc")
    assert (hidden.status, hidden.body) == (404, absent.body.replace(b"nothing", b"metrics"))
    assert node.get("/metrics", "watcher").status == 200
    with transaction(node.writer):
        withdraw(node.writer, "watcher", metrics=True)
    assert node.get("/metrics", "watcher").status == 404


def test_metrics_open_on_loopback_alone(tmp_path: Path) -> None:
    """``open_metrics`` opens them to this machine; not to others, and not to what a proxy has passed on."""
    with TaxiiNode(tmp_path, ServeSettings(open_metrics=True)) as node:
        assert node.get("/metrics").status == 200
        assert node.get("/metrics", X_Forwarded_For="127.0.0.1").status == 401
        assert node.get("/metrics", Authorization="Bearer wrong").status == 401
        for peer in ("192.0.2.1", "::ffff:192.0.2.1", ""):
            node.peer = peer
            assert node.get("/metrics").status == 401


def test_what_is_counted(node: TaxiiNode) -> None:
    """Requests by route, method and status, bytes, objects by account and collection, failed logins: exactly."""
    page = node.get(OBJECTS, "soc", {"limit": "20"})
    node.get(OBJECTS, "soc", {"limit": "20"})
    node.get(f"{OBJECTS}{stix_id(1)}/", "soc")
    node.get("/api/", Authorization=basic("soc", "wrong"))
    found = measured(node)
    route = "/{root}/collections/{id}/objects/"
    assert found[f'threatshare_requests_total{{method="GET",route="{route}",status="200"}}'] == 2
    assert found['threatshare_requests_total{method="GET",route="/{root}/",status="401"}'] == 1
    assert found[f'threatshare_response_bytes_total{{route="{route}"}}'] == 2 * len(page.body)
    assert found['threatshare_objects_served_total{account="soc",collection="one"}'] == 41
    assert found["threatshare_failed_logins_total"] == 1
    assert found[f'threatshare_request_seconds_count{{route="{route}"}}'] == 2
    assert 0 < found[f'threatshare_request_seconds_sum{{route="{route}"}}'] < 10


def test_how_the_node_stands(node: TaxiiNode) -> None:
    """Sizes, positions, ages of feeds, failures, and by how much anything is overdue."""
    now = node.now
    with transaction(node.writer):
        save_run(node.writer, FeedState("abuse", None, now, now - 90 * SECOND, now - 5 * SECOND, 3, None))
        save_run(node.writer, FeedState("never", None, now, None, now + 60 * SECOND, 1, None))
        save_job(node.writer, "publish", now, now + SECOND, "{}")
    found = measured(node)
    assert found['threatshare_collection_last_seq{collection="one"}'] == 50
    assert found["threatshare_store_bytes"] == node.file.stat().st_size
    assert found["threatshare_wal_bytes"] == node.file.with_name("store.db-wal").stat().st_size
    assert found['threatshare_feed_age_seconds{feed="abuse"}'] == 90
    assert 'threatshare_feed_age_seconds{feed="never"}' not in found
    assert found['threatshare_feed_failures{feed="abuse"}'] == 3
    assert found['threatshare_overdue_seconds{what="feed abuse"}'] == 5
    assert found['threatshare_overdue_seconds{what="feed never"}'] == 0
    assert found['threatshare_overdue_seconds{what="job publish"}'] == 0
    assert found["threatshare_siem_queue"] == 0


SECRETS = ("198.51.100.77", "77-canary", "guessed-name", stix_id(7), "opaque-next", "2020-02-02")


def ask_for_secrets(node: TaxiiNode) -> list[Answer]:
    return [
        node.get(OBJECTS, "soc", {"match[id]": stix_id(7), "limit": "3"}),
        node.get(OBJECTS, "soc", {"next": "opaque-next"}),
        node.get(OBJECTS, "soc", {"added_after": "2020-02-02T00:00:00Z"}),
        node.get(f"{OBJECTS}{stix_id(7)}/versions/", "soc"),
        node.get("/77-canary/collections/198.51.100.77/objects/", "soc"),
        node.get("/api/collections/77-canary/objects/", "soc"),
        node.get("/77-canary"),
        node.get("/api/", Authorization=basic("guessed-name", "77-canary")),
        node.request("77-CANARY", "/api/", "soc"),
    ]


def test_neither_metrics_nor_log_hold_a_value(node: TaxiiNode, tmp_path: Path) -> None:
    """No id, filter, position, method, path or name of an unknown account comes back in a label or a line."""
    ask_for_secrets(node)
    told = node.get("/metrics", "watcher").body.decode() + (tmp_path / "access.log").read_text()
    for secret in (*SECRETS, *node.keys.values(), *(key[3:11] for key in node.keys.values())):
        assert secret.lower() not in told.lower(), secret


def test_a_line_of_the_access_log(node: TaxiiNode, tmp_path: Path) -> None:
    """Each request is one line of JSON with all that is to be told, whether its page was ready or was built."""
    page = node.get(OBJECTS, "soc", {"limit": "20"})
    node.get(OBJECTS, "soc", {"limit": "20"})
    node.get("/api/")
    node.get("/health")
    lines = [json.loads(line) for line in (tmp_path / "access.log").read_text().splitlines()]
    assert len(lines) == 3
    for line in lines[:2]:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line.pop("at"))
        assert 0 <= line.pop("ms") < 10_000
        assert line == {
            "event": "request",
            "account": "soc",
            "method": "GET",
            "route": "/{root}/collections/{id}/objects/",
            "collection": "one",
            "status": 200,
            "bytes": len(page.body),
            "objects": 20,
        }
    assert (lines[2]["account"], lines[2]["status"], lines[2]["objects"]) == (None, 401, 0)


@pytest.mark.parametrize("what", ["manifest/", "objects/?match[version]=all", "objects/?match[type]=tool"])
def test_the_access_log_names_the_collection(node: TaxiiNode, tmp_path: Path, what: str) -> None:
    """Whatever is asked of a collection, and whether any object is sent, the line names the collection."""
    assert node.get(f"/api/collections/one/{what}", "soc").status == 200
    lines = [json.loads(line) for line in (tmp_path / "access.log").read_text().splitlines()]
    assert [line["collection"] for line in lines] == ["one"]


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/taxii2/", "/taxii2"),
        ("/api", "/{root}/"),
        ("/isac/status/7", "/{root}/status/{id}/"),
        ("/api/collections//one/objects/", "/{root}/collections/{id}/objects/"),
        ("/api/collections/one/objects/x/versions", "/{root}/collections/{id}/objects/{id}/versions/"),
        ("/api/collections/one/objects/x/versions/y", "other"),
        ("/.well-known/security.txt", "/.well-known/security.txt"),
        ("/", "other"),
        ("/a/b/c", "other"),
    ],
)
def test_routes_are_few(path: str, route: str) -> None:
    """An address becomes its pattern, so that labels are few whatever is asked for."""
    assert route_of(path) == route


def test_counting_costs_little(node: TaxiiNode) -> None:
    """A request's account takes some microseconds; the bound is loose, since other work runs beside the tests."""
    from threatshare.share.metrics import Answered, Metrics

    metrics, rounds = Metrics(), 2_000
    costs = []
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(rounds):
            metrics.note(Answered("/{root}/", "GET", "200", 0.001, 1_000, "soc", "one", 20))
        metrics.text([])
        costs.append((time.perf_counter() - began) / rounds)
    assert min(costs) < 100e-6
