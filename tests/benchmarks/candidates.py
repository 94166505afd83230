"""The servers that are compared, each filled with the same objects and run in a process of its own.

*ours*: a node as `threatshare init` makes it, run by `threatshare serve`. *bare*: the least that a WSGI application can
do under the same server, a ready body for each path. *medallion* 3.0.0 with its memory backend, under the same server.
*opentaxii* 0.10 on SQLite under granian, in a virtual environment that is made for the occasion.
"""

from __future__ import annotations

import base64
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from generated import pages
from wire import Wire

from threatshare.model import micros
from threatshare.share.app import utc_now
from threatshare.share.bodies import timestamp
from threatshare.share.server import Address, serve
from threatshare.stix.received import read_object
from threatshare.store.collections import collection_by_alias
from threatshare.store.connection import open_writer, transaction
from threatshare.store.entries import SEQ_BITS, NewEntry, append_entries

TAXII = "application/taxii+json;version=2.1"
OPENTAXII = "opentaxii==0.10.0b1"
BEGAN = datetime(2026, 11, 1, tzinfo=UTC)
SEED = 1
_PLACES = 2_000
_NEAR_END = 100


@dataclass(frozen=True, slots=True)
class Filled:
    """What a server holds and where it is asked for."""

    root: str
    """Path of the collection, with a slash at its end."""
    headers: dict[str, str]
    ids: list[str]
    """Of objects at random places."""
    dates: list[str]
    """For ``added_after``, at random places a page or more before the end."""
    near_end: str
    inbox: str = ""
    """Path of a collection that is only written to."""


@dataclass
class Candidate:
    """A running server."""

    name: str
    filled: Filled
    process: subprocess.Popen[str]
    port: int
    patience: float
    given_up: str = ""
    """Why it is asked no more."""
    begun: dict[str, Any] = field(default_factory=dict)
    """Iterators over paths, so that what was asked for once is not asked for again."""

    def wire(self, **headers: str) -> Wire:
        """Gives a client, which sends these headers, too; names are written with underscores."""
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        return Wire(self.port, {**self.filled.headers, **more}, self.patience)

    def memory(self) -> tuple[float, float]:
        """Gives peak RSS and present USS of its largest worker, in MB."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split() or [str(pid)]
        peaks = [_kilobytes(Path(f"/proc/{child}/status"), "VmHWM") for child in children]
        private = ("Private_Clean", "Private_Dirty")
        uss = [sum(_kilobytes(Path(f"/proc/{child}/smaps_rollup"), one) for one in private) for child in children]
        return max(peaks) / 1024, max(uss) / 1024

    def close(self) -> None:
        """Ends it."""
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Bare:
    """Answers each path with a ready body, and anything that is posted with one."""

    def __init__(self, folder: Path) -> None:
        self._bodies = {f"/{file.name}": file.read_bytes() for file in folder.iterdir()}

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Looks at the path and nothing else."""
        if environ["REQUEST_METHOD"] == "POST":
            environ["wsgi.input"].read()
        body = self._bodies[environ["PATH_INFO"]]
        start_response("200 OK", [("Content-Type", TAXII), ("Content-Length", str(len(body)))])
        return [body]

    def close(self) -> None:
        """Has nothing to close."""


def ours(folder: Path, count: int, patience: float) -> Candidate:
    """Makes a node with an exchange collection of so many entries, and serves it."""
    filled = filled_node(folder / "node", count)
    return _started("ours", filled, serving(folder / "node"), patience)


def filled_node(node: Path, count: int) -> Filled:
    """Makes a node with an exchange collection of so many entries, which account ``soc`` may read and write."""
    threatshare("init", str(node), "--name", "Bench", "--sector", "technology", "--country", "US", "--area", "US-CA",
                "--no-own-assets", "--json")  # fmt: skip
    on_it = partial(threatshare, "--node", str(node))
    on_it("collection", "add", "bench", "--title", "Bench", "--exchange", "--json")
    on_it("collection", "add", "inbox", "--title", "Inbox", "--inbox", "--json")
    rights = ("--read", "bench", "--write", "bench", "--write", "inbox")
    key = json.loads(on_it("account", "add", "soc", *rights, "--json"))["key"]
    ids, dates, near_end = fill(node / "store.db", count)
    root = "/api/collections/bench/"
    return Filled(root, _headers(f"Bearer {key}"), ids, dates, near_end, "/api/collections/inbox/objects/")


def serving(node: Path) -> list[str]:
    """Gives the command that serves a node, at a free port."""
    return [sys.executable, "-m", "threatshare", "--node", str(node), "serve", "--port", "0"]


def threatshare(*arguments: str) -> str:
    """Runs a verb and gives what it prints."""
    return subprocess.run(
        [sys.executable, "-m", "threatshare", *arguments], check=True, capture_output=True, text=True
    ).stdout


def fill(file: Path, count: int) -> tuple[list[str], list[str], str]:
    """Appends entries to a node's collection ``bench``; gives some ids, some dates, and a date near the end."""
    conn = open_writer(file)
    collection = collection_by_alias(conn, "bench")
    assert collection is not None
    ids: list[str] = []
    rng = random.Random(7)
    for objects in pages(count, min(count, 10_000), SEED):
        entries = [_entry(raw) for raw in objects]
        ids += (entry.object_id for entry in rng.sample(entries, min(len(entries), _PLACES)))
        with transaction(conn):
            append_entries(conn, collection, entries, micros(utc_now()))
    low = collection.number << SEQ_BITS
    dates = [
        timestamp(conn.execute("SELECT added FROM entry WHERE id = ?", (low | place,)).fetchone()[0])
        for place in _places(count)
    ]
    conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    conn.close()
    return rng.sample(ids, min(_PLACES, count)), dates[:-1], dates[-1]


def bare(folder: Path, bodies: dict[str, bytes], patience: float) -> Candidate:
    """Makes the bare application with a body for each kind of request."""
    ready = folder / "ready"
    ready.mkdir()
    for name, body in bodies.items():
        (ready / name).write_bytes(body)
    return _started("bare", Filled("/", _headers("Bearer key"), [""], [""], ""), _run("bare", ready), patience)


def medallion(folder: Path, count: int, patience: float) -> Candidate:
    """Makes medallion's own application with its memory backend."""
    objects = [json.loads(raw) for page in pages(count, count, SEED) for raw in page]
    added = [{**one, "_date_added": _date(rank)} for rank, one in enumerate(objects)]
    collection = {"id": "bench", "title": "Bench", "can_read": True, "can_write": True, "media_types": [TAXII]}
    root = {
        "information": {"title": "x", "versions": [TAXII], "max_content_length": 1 << 30},
        "status": [],
        "collections": [{**collection, "objects": added, "manifest": [_record(one) for one in added]}],
    }
    file = folder / "medallion.json"
    file.write_text(json.dumps({"/discovery": {"title": "x", "api_roots": []}, "api": root}))
    credentials = base64.b64encode(b"soc:bench").decode()
    ids, dates, near_end = _known(objects, count)
    filled = Filled("/api/collections/bench/", _headers(f"Basic {credentials}"), ids, dates, near_end)
    return _started("medallion", filled, _run("medallion", file), patience)


def opentaxii(folder: Path, count: int, patience: float, python: Path) -> Candidate:
    """Makes an OpenTAXII server, filled by rows and not through its interface."""
    here = Path(__file__).parent
    filling = [str(python), str(here / "opentaxii_peer.py"), str(folder), str(count), str(SEED)]
    made = subprocess.run(filling, check=True, capture_output=True, text=True)
    told = json.loads(made.stdout.splitlines()[-1])
    objects = [json.loads(raw) for raw in next(pages(min(count, 10_000), min(count, 10_000), SEED))]
    ids, dates, near_end = _known(objects, count)
    filled = Filled(told["path"], _headers(f"Bearer {told['token']}"), ids, dates, near_end)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(python.with_name("granian")), "--interface", "wsgi", "--port", str(port), "--no-log",
               "--blocking-threads", "8", "opentaxii.http:app"]  # fmt: skip
    environment = {**os.environ, "OPENTAXII_CONFIG": str(folder / "opentaxii.yml")}
    return _started("opentaxii", filled, command, patience, port, environment)


def opentaxii_python(folder: Path) -> Path:
    """Installs OpenTAXII for this run; raises OSError or CalledProcessError where it cannot be had."""
    place = folder / "opentaxii"
    subprocess.run([sys.executable, "-m", "venv", place], check=True, capture_output=True)
    python = place / "bin" / "python"
    install = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet", OPENTAXII, "granian"]
    subprocess.run(install, check=True, capture_output=True, text=True, timeout=600)
    return python


def envelopes(count: int, size: int, seed: int) -> list[bytes]:
    """Gives bodies to post, of objects that no server holds."""
    return [b'{"objects":[' + b",".join(objects) + b"]}" for objects in pages(count, size, seed)]


def _known(objects: Sequence[dict[str, Any]], count: int) -> tuple[list[str], list[str], str]:
    dates = [_date(place - 1) for place in _places(count)]
    return [one["id"] for one in random.Random(7).sample(objects, min(_PLACES, len(objects)))], dates[:-1], dates[-1]


def _places(count: int) -> list[int]:
    """Gives the numbers of entries after which pages begin, the last of them near the end."""
    rng = random.Random(11)
    return [*(rng.randint(1, max(1, count - 1_000)) for _ in range(_PLACES)), max(1, count - _NEAR_END)]


def _date(rank: int) -> str:
    return (BEGAN + timedelta(milliseconds=rank)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _record(one: dict[str, Any]) -> dict[str, Any]:
    media_type = "application/stix+json;version=2.1"
    return {"id": one["id"], "date_added": one["_date_added"], "version": one["modified"], "media_type": media_type}


def _entry(raw: bytes) -> NewEntry:
    read = read_object(raw)
    return NewEntry(read.id, read.version, read.type, read.spec_version or "2.1", raw, "")


def _headers(authorization: str) -> dict[str, str]:
    return {"Accept": TAXII, "Authorization": authorization}


def _kilobytes(file: Path, name: str) -> int:
    return next(int(line.split()[1]) for line in file.read_text().splitlines() if line.startswith(f"{name}:"))


def _run(kind: str, file: Path) -> list[str]:
    return [sys.executable, __file__, kind, str(file)]


def _started(
    name: str,
    filled: Filled,
    command: Sequence[str],
    patience: float,
    port: int = 0,
    environment: dict[str, str] | None = None,
) -> Candidate:
    # A file, since a pipe that nobody reads fills up.
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said, text=True, env=environment)
        until = time.monotonic() + 60
        while time.monotonic() < until and process.poll() is None:
            said.seek(0)
            told = [line for line in said if line.startswith("listening on ")]
            if told:
                port = int(told[0].rpartition(":")[2])
            if port and _answers(port):
                return Candidate(name, filled, process, port, patience)
            time.sleep(0.05)
        process.kill()
        said.seek(0)
        raise SystemExit(f"{name} did not start: {said.read()[-2_000:]}")


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _medallion_app(file: Path) -> Any:
    from medallion import application_instance, register_blueprints, set_config

    configuration = {
        "backend": {
            "module": "medallion.backends.memory_backend",
            "module_class": "MemoryBackend",
            "filename": str(file),
        },
        "users": {"soc": "bench"},
        "taxii": {"max_page_size": 1_000},
    }
    for name in configuration:
        set_config(application_instance, name, configuration)
    register_blueprints(application_instance)
    application_instance.close = lambda: None
    return application_instance


def _serve(kind: str, file: Path) -> None:
    made: Any = partial(Bare, file) if kind == "bare" else partial(_medallion_app, file)
    serve(made, Address("127.0.0.1", 0))


if __name__ == "__main__":
    _serve(sys.argv[1], Path(sys.argv[2]))
