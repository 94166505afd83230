"""The benchmark's own plumbing; what it measures is nobody's test."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from threading import Thread

import pytest
from bench_taxii import DRAINS, REQUESTS, Plan, Results, _size
from wire import Refused, Times, Wire, crowd


class Echo(BaseHTTPRequestHandler):
    """Answers with the path; slowly, wrongly or for the last time where that says so."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        time.sleep(1 if self.path == "/slow" else 0)
        body = self.path.encode() * 3_000
        self.send_response(404 if self.path == "/missing" else 200)
        self.send_header("Content-Length", str(len(body)))
        if self.path == "/last":
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(202)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def echo() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_a_client_reads_whole_bodies_and_connects_anew() -> None:
    """Bodies of any size come whole, over one connection or a new one; an error or a long wait is told."""
    with echo() as port:
        wire = Wire(port, {"Accept": "text/plain"}, 0.3)
        for path in ("/one", "/last", "/three" * 200):
            assert wire.get(path) == path.encode() * 3_000
        assert wire.post("/", b"x" * 200_000) == b"x" * 200_000
        with pytest.raises(Refused, match="404"):
            wire.get("/missing")
        with pytest.raises(TimeoutError):
            wire.get("/slow")
        wire.close()


def test_a_crowd_asks_at_once_and_tells_its_failures() -> None:
    """Each client asks as often as it may; what one of them meets is raised."""
    with echo() as port:
        paths = [(f"/{one}/{number}" for number in count()) for one in range(4)]
        times = crowd(lambda: Wire(port, {}, 5), paths, 5, 10)
        assert len(times.taken) == 20
        assert 0 < times.at(0.5) <= times.at(0.99) <= times.lasted
        with pytest.raises(TimeoutError):
            crowd(lambda: Wire(port, {}, 0.1), [iter(["/slow"])], 1, 1)


def test_results_are_ratios_to_what_was_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every row says how much slower it is than the bare application, on the screen and as JSON."""
    results = Results(tmp_path / "deep" / "rows.jsonl")
    results.times(10, REQUESTS[0], 1, "bare", Times([0.002] * 3, 0.01))
    results.times(10, REQUESTS[0], 1, "ours", Times([0.003] * 3, 0.01))
    results.close()
    rows = [json.loads(line) for line in (tmp_path / "deep" / "rows.jsonl").read_text().splitlines()]
    assert [(row["server"], row["x_bare"], row["objects_s"]) for row in rows] == [
        ("bare", 1.0, 300_000),
        ("ours", 1.5, 300_000),
    ]
    assert "x_bare 1.5" in capsys.readouterr().out


def test_everything_is_measured_at_one_size(tmp_path: Path) -> None:
    """A node and the bare application are run, asked, drained and posted to, and each gives its rows."""
    results = Results(tmp_path / "rows.jsonl")
    _size(tmp_path, 300, Plan(1, 0.01, 30, 300, 1, crowds=(1, 2)), {}, results)
    results.close()
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    asked = {row["what"] for row in rows if "x_bare" in row and row["server"] == "ours"}
    assert len(asked) == sum(1 + request.crowded for request in REQUESTS)
    drained = {row["what"]: row["objects"] for row in rows if row["what"].startswith("drain")}
    assert drained == {f"drain, {label}": 300 for label, _, _ in DRAINS}
    posted = [row for row in rows if row["what"].startswith("POST")]
    assert [(row["objects"], row.get("why")) for row in posted] == [(1_000, None), (1_000, None)]
