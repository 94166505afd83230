"""From an event to the published entry, over HTTP, and what waiting for events costs.

    python tests/benchmarks/bench_latency.py [--events 40] [--idle 10]

A daemon with a followed log, a drop folder and the webhook runs as an operator runs it. Each event brings a value that
was never seen, at a random moment; a partner's client asks for the newest entries without a pause until that value's
indicator is there. So the figures hold the sensor's write, the look at the log, ingest, the gate, the collection and
the answer. Then nothing happens, and the processor time of the daemon and of its TAXII server is read.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests

ACCEPT = {"Accept": "application/taxii+json;version=2.1"}
_TICKS = os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=40)
    parser.add_argument("--idle", type=float, default=10.0)
    options, _ = parser.parse_known_args()
    folder = Path(tempfile.mkdtemp(prefix="threatshare-bench-"))
    try:
        _run(folder, options.events, options.idle)
    finally:
        shutil.rmtree(folder)


def _run(folder: Path, events: int, idle: float) -> None:
    node, log, drop = folder / "node", folder / "eve.json", folder / "drop"
    key, pusher = _made(node, log, drop)
    process = subprocess.Popen(
        [*_command(node), "daemon", "--port", "0"], stderr=(folder / "daemon.log").open("wb"), text=True
    )
    try:
        url = _address(process, folder / "daemon.log")
        session = requests.Session()
        session.auth, session.headers["Accept"] = ("partner", key), ACCEPT["Accept"]
        ways: dict[str, Callable[[str], None]] = {
            "followed log": lambda value: _append(log, value),
            "pushed to the webhook": lambda value: _push(url, pusher, value),
            "file in a drop folder": lambda value: _drop(drop, value),
        }
        print(f"\nfrom event to the entry served to a partner, {events} events each, milliseconds")
        print(f"{'':<24}{'min':>6}{'median':>8}{'p95':>6}{'max':>6}")
        for number, (name, send) in enumerate(ways.items()):
            took = sorted(_measured(session, url, send, f"{number + 20}.77", events))
            at95 = took[int(0.95 * (len(took) - 1))]
            print(f"{name:<24}{took[0]:>6.0f}{statistics.median(took):>8.0f}{at95:>6.0f}{took[-1]:>6.0f}")
        time.sleep(2)
        _idle(process.pid, idle)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def _command(node: Path) -> list[str]:
    return [sys.executable, "-m", "threatshare", "--node", str(node)]


def _made(node: Path, log: Path, drop: Path) -> tuple[str, str]:
    """Makes a node with a partner; gives the keys of the partner and of a tool that pushes."""

    def run(*arguments: str) -> Any:
        done = subprocess.run([*_command(node), *arguments, "--json"], check=True, capture_output=True, text=True)
        return json.loads(done.stdout)

    who = ("--name", "Bench", "--sector", "energy", "--country", "US", "--area", "US-DC", "--purpose", "demo")
    run("init", str(node), *who, "--no-own-assets")
    run("agreement", "add", "partner", "--max-tlp", "green", "--until", f"{datetime.now(UTC).year + 2}-01-01")
    run("collection", "add", "to-partner", "--title", "To the partner", "--partner", "partner")
    log.touch()
    drop.mkdir()
    with (node / "node.toml").open("a") as file:
        for kind, path in (("follow", log), ("watch", drop)):
            file.write(f'\n[[daemon.source]]\npath = "{path}"\nkind = "{kind}"\n')
    key: str = run("account", "add", "partner", "--read", "to-partner")["key"]
    return key, run("account", "add", "edr", "--findings")["key"]


def _address(process: subprocess.Popen[str], log: Path) -> str:
    while process.poll() is None:
        for line in log.read_text().splitlines():
            if line.startswith("listening on "):
                time.sleep(1)
                return line.split()[-1]
        time.sleep(0.05)
    raise AssertionError(log.read_text())


def _alert(value: str) -> str:
    ends = {"src_ip": "10.0.0.5", "dest_ip": value}
    alert = {"signature": "BENCH MALWARE beacon", "category": "Malware Command and Control Activity Detected"}
    event = {"timestamp": datetime.now(UTC).isoformat(), "event_type": "alert", **ends, "flow": ends, "alert": alert}
    return json.dumps(event | {"src_port": 50_000, "dest_port": 443, "proto": "TCP"}) + "\n"


def _append(log: Path, value: str) -> None:
    with log.open("a") as file:
        file.write(_alert(value))


def _push(url: str, key: str, value: str) -> None:
    requests.post(f"{url}/findings", auth=("edr", key), data=_alert(value), timeout=10).raise_for_status()


def _drop(folder: Path, value: str) -> None:
    (folder / f"{value}.json").write_text(_alert(value))


def _measured(
    session: requests.Session, url: str, send: Callable[[str], None], prefix: str, events: int
) -> list[float]:
    rng = random.Random(1)
    took = []
    after = ""
    for number in range(events):
        value = f"{prefix}.{number // 250}.{number % 250}"
        time.sleep(rng.uniform(0.4, 1.2))
        began = time.perf_counter()
        send(value)
        while True:
            query = {"match[type]": "indicator"} | ({"added_after": after} if after else {})
            answer = session.get(f"{url}/api/collections/to-partner/objects/", params=query, timeout=10)
            after = answer.headers.get("X-TAXII-Date-Added-Last", after)
            if f"'{value}'" in answer.text:
                break
            time.sleep(0.002)
        took.append((time.perf_counter() - began) * 1000)
    return took


def _idle(pid: int, seconds: float) -> None:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    processes = {"daemon": [pid], "TAXII server": [*map(int, children)]}
    for child in children:
        workers = Path(f"/proc/{child}/task/{child}/children").read_text().split()
        processes["TAXII server"] += map(int, workers)
    before = {name: sum(map(_ticks, ids)) for name, ids in processes.items()}
    time.sleep(seconds)
    print(f"\nidle for {seconds:.0f} s: processor time, per cent of one processor; resident MB")
    for name, ids in processes.items():
        share = (sum(map(_ticks, ids)) - before[name]) / _TICKS / seconds
        print(f"{name:<24}{100 * share:>6.2f}{sum(map(_resident, ids)):>6.0f}")


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def _resident(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1_000_000


if __name__ == "__main__":
    main()
